"""CRNN: a convolutional recurrent network that learns from onsets and offsets.

Source: J. Ebbers, R. Haeb-Umbach, "Pre-training and self-training for sound event detection in
domestic environments", DCASE Challenge 2022, whose second stage it is.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from sktagger.networks._crnn_settings import CRNNSettings
from sktagger.networks._fbcrnn_loss import FrameCrossEntropy
from sktagger.networks._protocol import ScoreGrid
from sktagger.networks._strong_crnn_module import StrongCRNNModule

__all__ = ["CRNN", "StrongCRNNModule"]


class CRNN(CRNNSettings):
    """Settings of CRNN, a convolutional recurrent network that learns from onsets and offsets.

    It has the features and convolutions of :class:`FBCRNN`, and one recurrent network that runs in
    both directions. Each frame is to have exactly the events that are active in it. It cannot learn
    from weak labels alone: an event that occurs in a clip, but without known times, has no part in
    the loss. :class:`sktagger.recordings.StrongLabelTagger` trains it on the events that another
    tagger has found.

    Parameters
    ----------
    depth : {"shallow", "deep"}, default="shallow"
        "shallow": 9 2-d and 5 1-d convolutions, as published for DESED. "deep": 18 and 8, with
        residual connections, as published for AudioSet.
    width : {1, 2}, default=1
        Factor of the numbers of channels. The published deep network has 2.
    time_pooling : {1, 2}, default=1
        Number of frames of a segment: a score every 20 or 40 ms. With 2, the first pooling also
        halves the number of frames, which halves the cost; it is not published.
    sample_rate : int, default=16000
        In Hz.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz. The upper end is half the sample rate.
    tag_conditioned : bool, default=False
        Whether the events that occur in the clip are a further input, as published for events with
        exact onsets. In training, they come from the labels, afterwards from the FBCRNN of the
        first stage, which becomes a part of the module. It has the same settings and events.

    Examples
    --------
    >>> import torch
    >>> from sktagger.networks import CRNN
    >>> module = CRNN().build(10).eval()
    >>> scores, n_segments = module.segment_scores(
    ...     torch.randn(2, 1, 30, 513, 2), torch.tensor([30, 20])
    ... )
    >>> scores.shape
    torch.Size([2, 10, 30])
    """

    head_name: str = "rnn.output_net.convs.1.conv"
    criterion: ClassVar[type[nn.Module]] = FrameCrossEntropy
    needs_onsets: ClassVar[bool] = True
    _own_tensor: ClassVar[str] = f"{head_name}.weight"
    _parameter_constraints: ClassVar[dict[str, list]] = {
        **CRNNSettings._parameter_constraints,
        "tag_conditioned": ["boolean"],
    }

    def __init__(
        self,
        *,
        depth: Literal["shallow", "deep"] = "shallow",
        width: int = 1,
        time_pooling: int = 1,
        sample_rate: int = 16000,
        fmin: float = 50.0,
        tag_conditioned: bool = False,
    ):
        self.depth = depth
        self.width = width
        self.time_pooling = time_pooling
        self.sample_rate = sample_rate
        self.fmin = fmin
        self.tag_conditioned = tag_conditioned

    @property
    def needs_tags(self) -> bool:  # type: ignore[override]
        """Whether the module takes the tags of clips as an input."""
        return bool(self.tag_conditioned)

    def get_grid(self) -> ScoreGrid:
        """Return the positions of segment scores in time.

        Returns
        -------
        ScoreGrid
            Scores depend on the whole clip.
        """
        return ScoreGrid(self.time_pooling, self.time_pooling, None)

    def _make(self, n_events: int) -> StrongCRNNModule:
        return StrongCRNNModule(
            n_events,
            **self._module_settings(),
            tag_conditioned=bool(self.tag_conditioned),
        )
