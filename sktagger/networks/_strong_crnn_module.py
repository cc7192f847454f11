"""The torch module of CRNN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sktagger.networks._crnn_module import CRNNModule, HiddenLayer, make_gru
from sktagger.networks._fbcrnn_loss import mean_over_frames
from sktagger.networks._fbcrnn_module import FBCRNNModule
from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames

if TYPE_CHECKING:
    from typing_extensions import Self


class StrongCRNNModule(CRNNModule):
    """The torch module of :class:`CRNN`.

    Parameters
    ----------
    n_events : int
        Number of outputs.
    depth : {"shallow", "deep"}, default="shallow"
        See :class:`CRNN`, as for the following parameters.
    width : int, default=1
    sample_rate : float, default=16000
        In Hz.
    n_fft : int, default=1024
        Length of the FFT in samples. The input has ``n_fft // 2 + 1`` bins.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz.
    time_pooling : {1, 2}, default=1
    tag_conditioned : bool, default=False
    """

    pools_embeddings = False
    linear_head = True

    def __init__(
        self,
        n_events: int,
        *,
        depth: str = "shallow",
        width: int = 1,
        sample_rate: float = 16000,
        n_fft: int = 1024,
        fmin: float = 50.0,
        time_pooling: int = 1,
        tag_conditioned: bool = False,
    ):
        sizes = depth, width, sample_rate, n_fft, fmin, time_pooling
        n_tags = n_events if tag_conditioned else 0
        super().__init__(n_events, *sizes, n_tags)
        self.rnn = _Recurrent(n_events, self.cnn.n_features, n_tags)
        if tag_conditioned:
            names = "depth", "width", "sample_rate", "n_fft", "fmin", "time_pooling"
            settings: dict = dict(zip(names, sizes, strict=True))
            self.first_stage = FBCRNNModule(n_events, **settings)
            # until a trained first stage is set, any event may occur in any clip
            self.register_buffer("tag_thresholds", torch.zeros(n_events))
        self.tag_conditioned = tag_conditioned

    @property
    def front_end(self) -> list[nn.Module]:
        """The features and the first stage, which have no gradient."""
        return [*super().front_end, *([self.first_stage] if self.tag_conditioned else [])]

    @property
    def recurrent(self) -> list[nn.Module]:
        """The layers between convolutions and head."""
        return [self.rnn.rnn, self.rnn.output_net.hidden]

    @property
    def classifier(self) -> nn.Module:
        """The last layer."""
        return self.rnn.output_net.head

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights, see :meth:`CRNNModule.reset_parameters`.

        Parameters
        ----------
        random_state : int, default=0
            Seed. With `tag_conditioned`, the first stage is drawn, too; :meth:`set_first_stage`
            replaces it.
        """
        super().reset_parameters(random_state)
        if self.tag_conditioned:
            self.first_stage.reset_parameters(random_state)

    def set_first_stage(self, state: Mapping[str, Tensor], thresholds: Tensor) -> None:
        """Set the trained network whose tags are the further input.

        Parameters
        ----------
        state : dict of str to Tensor
            State of an :class:`FBCRNNModule` with the settings of this module.
        thresholds : Tensor of shape (n_events,), float32
            An event is in a clip if its score is above its threshold.
        """
        self.first_stage.load_state_dict(state)
        self.tag_thresholds.copy_(thresholds)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; the first stage stays in evaluation mode.

        Parameters
        ----------
        mode : bool, default=True
            False: evaluation mode.

        Returns
        -------
        self
        """
        super().train(mode)
        if self.tag_conditioned:
            self.first_stage.eval()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let weights be trained, or not; those of the first stage never are.

        Parameters
        ----------
        requires_grad : bool, default=True
            False: none is trained.

        Returns
        -------
        self
        """
        super().requires_grad_(requires_grad)
        if self.tag_conditioned:
            self.first_stage.requires_grad_(False)
        return self

    def set_precision(self, precision: str) -> None:
        """Set the number format that hidden layers compute in, see :class:`NetworkModule`.

        Parameters
        ----------
        precision : {"float32", "bfloat16"}
            Also that of the first stage.
        """
        super().set_precision(precision)
        if self.tag_conditioned:
            self.first_stage.set_precision(precision)

    @torch.no_grad()
    def predict_tags(self, stft: Tensor, n_frames: Tensor) -> Tensor:
        """Predict by the first stage which events occur in clips.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in {0, 1}
        """
        return (self.first_stage(stft, n_frames) > self.tag_thresholds).float()

    def segment_features(
        self,
        layer: str | None,
        stft: Tensor,
        n_frames: Tensor,
        tags: Tensor | None = None,
        **distortions: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Compute the features of each frame, see :meth:`CRNNModule.segment_features`.

        Parameters
        ----------
        layer : str or None
            Any layer: all are computed from the same features.
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        tags : Tensor of shape (n_clips, n_events), in {0, 1}, or None, default=None
            Events that occur in the clips, if `tag_conditioned`. None: those that the first stage
            predicts.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip. If `tag_conditioned`, the tags are the last ones.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        if not self.tag_conditioned:
            return super().segment_features(layer, stft, n_frames, **distortions)
        if tags is None:
            tags = self.predict_tags(stft, n_frames)
        features, n_segments = super().segment_features(
            layer, stft, n_frames, tags=tags, **distortions
        )
        frames = Frames.of(n_segments, features.shape[-1])
        tags = tags[:, :, None].expand(-1, -1, features.shape[-1])
        return torch.cat([features, frames.filled(tags)], 1), n_segments

    def segment_scores_and_embeddings(
        self, features: Tensor, n_segments: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute scores and embeddings of segments at once, see :class:`NetworkModule`.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            What :meth:`segment_features` returned.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            They depend on the whole clip. 0 beyond the segments of a clip.
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32
        """
        embeddings = self._embeddings(features, n_segments)
        return super().segment_scores_and_embeddings(embeddings, n_segments)

    def scores_and_embeddings(self, features: Tensor, n_segments: Tensor) -> tuple[Tensor, Tensor]:
        """Compute scores and embeddings of clips at once, see :class:`NetworkModule`.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            What :meth:`segment_features` returned.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events), float32, in [0, 1]
            Maximum over the segments.
        embeddings : Tensor of shape (n_clips, n_features), float32
            Mean over the segments.
        """
        scores, embeddings = self.segment_scores_and_embeddings(features, n_segments)
        return self.pool(scores, n_segments), embeddings.sum(-1) / n_segments[:, None]

    def pool_segments(self, layer: str | None, features: Tensor, n_segments: Tensor) -> Tensor:
        """Compute the output of a layer for clips from what :meth:`segment_features` returned.

        Parameters
        ----------
        layer : {"embedding", "logits"} or None
            None: the scores.
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        Tensor of shape (n_clips, n_outputs), float32
            Maximum of the scores, or mean of the outputs of the layer.
        """
        if layer != "logits":
            scores, embeddings = self.scores_and_embeddings(features, n_segments)
            return scores if layer is None else embeddings
        logits = self.apply_head(self._embeddings(features, n_segments))
        logits = Frames.of(n_segments, logits.shape[-1]).filled(logits)
        return logits.sum(-1) / n_segments[:, None]

    def pool(self, scores: Tensor, n_segments: Tensor) -> Tensor:
        """Compute the scores of clips from the scores of their segments.

        Parameters
        ----------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Not used.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
            Their maximum.
        """
        return scores.amax(-1)

    def pool_for_loss(
        self, features: Tensor, n_segments: Tensor, activity: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the scores of clips, and the likelihoods that the loss takes.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            What :meth:`segment_features` returned.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        activity : Tensor of shape (n_clips, n_events, n_frames), or None, default=None
            1 where an event is in time, else 0. Events without any 1 have weak labels only.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events), float32, in [0, 1]
        likelihoods : Tensor of shape (n_clips, n_events, 2), float32
            See :class:`FrameCrossEntropy`. 0 for the presence of an event of unknown times, so that
            it has no part in the loss.
        """
        logits = self.apply_head(self._embeddings(features, n_segments))
        frames = Frames.of(n_segments, logits.shape[-1])
        scores = self.pool(frames.filled(logits.sigmoid()), n_segments)
        absent = _mean_likelihood(logits, torch.zeros_like(logits), frames)
        present = torch.zeros_like(absent)
        if activity is not None:
            activity = self.pool_activity(activity, logits.shape[-1])
            known = activity.amax(-1) > 0
            present = torch.where(known, _mean_likelihood(logits, activity, frames), present)
        return scores, torch.stack([present, absent], -1)

    def _embeddings(self, features, n_segments):
        """Compute the input of the head, (n_clips, n_features, n_segments)."""
        frames = Frames.of(n_segments, features.shape[-1])
        packed = pack_padded_sequence(
            features.transpose(1, 2), n_segments.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.rnn.rnn(packed)[0], batch_first=True, total_length=features.shape[-1]
        )
        return self.rnn.output_net.hidden(states.transpose(1, 2), frames)


class _Recurrent(nn.Module):
    """The GRU, and the layers after it."""

    def __init__(self, n_events, n_hidden, n_tags):
        super().__init__()
        self.rnn = make_gru(n_hidden + n_tags, n_hidden, bidirectional=True)
        self.output_net = _OutputNet(n_events, n_hidden)


class _OutputNet(nn.Module):
    """The layer after the GRU, and the head."""

    def __init__(self, n_events, n_hidden):
        super().__init__()
        last = nn.Module()
        last.conv = skip_init(nn.Conv1d, n_hidden, n_events, 1)
        self.convs = nn.ModuleList([HiddenLayer(2 * n_hidden, n_hidden), last])

    @property
    def hidden(self) -> nn.Module:
        return self.convs[0]

    @property
    def head(self) -> nn.Module:
        return self.get_submodule("convs.1.conv")


def _mean_likelihood(logits, activity, frames):
    """Compute the mean logarithm of the probability of what is active, (n_clips, n_events)."""
    losses = F.binary_cross_entropy_with_logits(logits, activity, reduction="none")
    return -mean_over_frames(losses, frames)
