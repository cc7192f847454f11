"""FBCRNN: a forward-backward convolutional recurrent network, which scores every frame.

Source: J. Ebbers, R. Haeb-Umbach, "Forward-backward convolutional recurrent neural networks and
tag-conditioned convolutional neural networks for weakly labeled semi-supervised sound event
detection", DCASE Workshop 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sktagger._utils.text import short
from sktagger._utils.validation import Interval
from sktagger.networks._crnn_settings import CRNNSettings
from sktagger.networks._fbcrnn_layers import CONTEXT
from sktagger.networks._fbcrnn_loss import FrameCrossEntropy
from sktagger.networks._fbcrnn_module import FBCRNNModule
from sktagger.networks._protocol import ScoreGrid

__all__ = ["FBCRNN", "FBCRNNModule"]

_HEADS = ("rnn_fwd.output_net.convs.1.conv", "rnn_bwd.output_net.convs.1.conv")


class FBCRNN(CRNNSettings):
    """Settings of FBCRNN [1]_, a convolutional recurrent network that scores every frame.

    Two recurrent networks follow a stack of convolutions. One of them hears the clip from its
    beginning, the other one from its end. Training lets the better one of both tell the events of
    the clip at every frame, from weak labels alone: each learns to score an event as soon as it has
    heard it. Short windows of frames can therefore be scored like clips, which finds events in
    time. Features are log-mel spectra of 128 bands every 20 ms.

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
    score_window : int, list of int or None, default=21
        Number of segments of the windows that scores in time come from, for all events or for each
        one: a segment has the score of the window around it. The cost is proportional to it. None:
        the lower one of the forward and the backward score of each segment, which is high from the
        first onset of an event to its last offset. It depends on the whole clip. Scores of clips
        do not depend on this setting.
    boundary_weight : float, default=1.0
        Weight in the loss, in [0, 1], of onsets and offsets, for clips whose events have them. The
        weak labels have the rest.
    sample_rate : int, default=16000
        In Hz.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz. The upper end is half the sample rate.

    References
    ----------
    .. [1] J. Ebbers, R. Haeb-Umbach, "Forward-backward convolutional recurrent neural networks and
       tag-conditioned convolutional neural networks for weakly labeled semi-supervised sound event
       detection", DCASE Workshop 2020.

    Examples
    --------
    >>> import torch
    >>> from sktagger.networks import FBCRNN
    >>> module = FBCRNN().build(10).eval()
    >>> scores, n_segments = module.segment_scores(
    ...     torch.randn(2, 1, 30, 513, 2), torch.tensor([30, 20])
    ... )
    >>> scores.shape
    torch.Size([2, 10, 30])
    """

    head_name: str = "classifier"
    adjustable: ClassVar[tuple[str, ...]] = ("score_window", "boundary_weight")
    criterion: ClassVar[type[nn.Module]] = FrameCrossEntropy
    _own_tensor: ClassVar[str] = f"{_HEADS[0]}.weight"
    _parameter_constraints: ClassVar[dict[str, list]] = {
        **CRNNSettings._parameter_constraints,
        "score_window": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "boundary_weight": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        *,
        depth: Literal["shallow", "deep"] = "shallow",
        width: int = 1,
        time_pooling: int = 1,
        score_window: int | Sequence[int] | None = 21,
        boundary_weight: float = 1.0,
        sample_rate: int = 16000,
        fmin: float = 50.0,
    ):
        self.depth = depth
        self.width = width
        self.time_pooling = time_pooling
        self.score_window = score_window
        self.boundary_weight = boundary_weight
        self.sample_rate = sample_rate
        self.fmin = fmin

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError, TypeError
            If a setting is not allowed.
        """
        super().validate()
        window = self.score_window
        if window is not None and np.ndim(window):
            widths = np.asarray(window)
            if widths.ndim != 1 or widths.dtype.kind not in "iu" or (widths < 1).any():
                raise ValueError(
                    f"score_window={short(window)}, but it must be an integer of at least 1, a "
                    "list of such integers with one per event, or None."
                )

    def get_grid(self) -> ScoreGrid:
        """Return the positions of segment scores in time.

        Returns
        -------
        ScoreGrid
        """
        step = self.time_pooling
        if self.score_window is None:
            return ScoreGrid(step, step, None)
        reach = step * (int(np.max(self.score_window)) // 2)
        return ScoreGrid(step, step, reach + CONTEXT + (step - 1) * (CONTEXT - 2))

    def convert(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Join the heads of both directions, which pb_sed stores apart.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.

        Returns
        -------
        dict of str to Tensor
            Not checked either. Weights of this implementation are returned as they are.
        """
        parts = [[state.get(f"{head}.{name}") for head in _HEADS] for name in ("weight", "bias")]
        weights, biases = parts
        shapes = [x.shape if isinstance(x, Tensor) else () for x in (*weights, *biases)]
        if len(shapes[0]) != 3 or len(set(shapes[:2])) > 1 or len(shapes[2]) != 1:
            return state
        if shapes[2] != shapes[3] or len({x.dtype for x in (*weights, *biases)}) > 1:
            return state
        converted = {k: x for k, x in state.items() if not str(k).startswith(_HEADS)}
        converted["classifier.weight"] = torch.cat(weights, 1).flatten(1)
        converted["classifier.bias"] = torch.stack(biases, 1)
        return converted

    def _make(self, n_events: int) -> FBCRNNModule:
        window = self.score_window
        if window is not None and np.ndim(window) and len(window) != n_events:
            raise ValueError(
                f"score_window has {len(window)} windows, but there are {n_events} events. Give "
                "one window for all, or one per event."
            )
        return FBCRNNModule(
            n_events,
            **self._module_settings(),
            score_window=window,
            boundary_weight=self.boundary_weight,
        )
