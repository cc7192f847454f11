"""The torch module of FBCRNN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._crnn_module import CRNNModule, HiddenLayer, make_gru
from sktagger.networks._fbcrnn_loss import boundary_likelihoods, weak_likelihoods
from sktagger.networks._gru import reverse_order, run_both, run_windows
from sktagger.networks._masking import Frames

FLOOR = 1e-5  # lowest score of a frame; the highest is 1 - FLOOR


class FBCRNNModule(CRNNModule):
    """The torch module of :class:`FBCRNN`.

    Parameters
    ----------
    n_events : int
        Number of outputs.
    depth : {"shallow", "deep"}, default="shallow"
        See :class:`FBCRNN`, as for the following parameters.
    width : int, default=1
    sample_rate : float, default=16000
        In Hz.
    n_fft : int, default=1024
        Length of the FFT in samples. The input has ``n_fft // 2 + 1`` bins.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz.
    time_pooling : {1, 2}, default=1
    score_window : int, sequence of int of length n_events, or None, default=None
    boundary_weight : float, default=1.0
    """

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
        score_window: int | Sequence[int] | None = None,
        boundary_weight: float = 1.0,
    ):
        super().__init__(n_events, depth, width, sample_rate, n_fft, fmin, time_pooling)
        self.score_window = score_window
        self.boundary_weight = boundary_weight
        n_hidden = self.cnn.n_features
        self.rnn_fwd = _Direction(n_hidden)
        self.rnn_bwd = _Direction(n_hidden)
        self.classifier = _Head(n_events, n_hidden)

    @property
    def recurrent(self) -> list[nn.Module]:
        """The layers between convolutions and head."""
        return [self.rnn_fwd, self.rnn_bwd]

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Set the weights of the head.

        Parameters
        ----------
        weight : Tensor of shape (n_events, n_features), float32
            For the forward direction, then for the backward direction.
        bias : Tensor of shape (n_events,), float32
            For both.
        """
        self.classifier.load_state_dict({"weight": weight, "bias": bias[:, None].expand(-1, 2)})

    def _hidden(self, features, frames):
        """Compute the input of the head of each direction, twice (n_clips, n_hidden, n_frames)."""
        x = features.permute(2, 0, 1)
        reverse = reverse_order(frames.n_frames, len(x))
        return self._head_inputs(run_both(x, reverse, self._grus()), frames)

    def _head_inputs(self, states, frames):
        """Compute them from the states (n_frames, n_clips, n_hidden) of each direction."""
        return [
            direction.output(state.permute(1, 2, 0), frames)
            for direction, state in zip(self.recurrent, states, strict=True)
        ]

    def _frame_scores(self, hidden, frames):
        """Compute the scores of each direction, twice (n_clips, n_events, n_frames)."""
        scores = self.classifier(*(x.transpose(1, 2) for x in hidden))
        return [frames.fill_(x.transpose(1, 2)) for x in scores]

    def frame_scores(self, features: Tensor, n_segments: Tensor) -> tuple[Tensor, Tensor]:
        """Score each frame from the frames before and after it.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            What :meth:`segment_features` returned.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        forward, backward : Tensor of shape (n_clips, n_events, n_segments), float32
            Scores of what was heard up to each frame, and from each frame on, in
            [1e-5, 1 - 1e-5]. 0 beyond the segments of a clip.
        """
        frames = Frames.of(n_segments, features.shape[-1])
        forward, backward = self._frame_scores(self._hidden(features, frames), frames)
        return forward, backward

    def window_scores(
        self, features: Tensor, n_segments: Tensor, width: int, step: int = 1
    ) -> Tensor:
        """Score windows of frames, as if each was a clip.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_features, n_frames), float32
            What :meth:`segment_features` returned.
        n_segments : Tensor of shape (n_clips,), integer
            Number of frames of each clip.
        width : int
            Number of frames of a window.
        step : int, default=1
            Number of frames from one window to the next. If `width` is larger, window i is
            centered on the frames from ``i * step`` to ``(i + 1) * step``; else, it begins there.

        Returns
        -------
        Tensor of shape (n_clips, n_events, ceil(n_frames / step)), float32, in [1e-5, 1 - 1e-5]
            0 beyond the frames of a clip.
        """
        embeddings, frames = self._window_embeddings(features, n_segments, width, step)
        return frames.fill_(self._scores(embeddings))

    def _window_embeddings(self, features, n_segments, width, step=1):
        n_windows = -(-features.shape[-1] // step)
        x = features.permute(2, 0, 1)
        states = run_windows(x, self._grus(), width, step, n_windows)
        frames = Frames.of(-(-n_segments // step), n_windows)
        return torch.cat(self._head_inputs(states, frames), 1), frames

    def _grus(self):
        return self.rnn_fwd.rnn, self.rnn_bwd.rnn

    def _windows(self):
        """Return the width of the window of each event."""
        return np.broadcast_to(np.asarray(self.score_window), self.n_events).tolist()

    def _scores(self, embeddings):
        """Compute scores (n_clips, n_events, n_segments) from (n_clips, n_features, n_segments)."""
        scores = self.classifier(*embeddings.transpose(1, 2).chunk(2, -1))
        return ((scores[0] + scores[1]) / 2).transpose(1, 2)

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
            With `score_window`: the scores of the windows around each frame. Else, the lower one of
            the forward and the backward score of each frame, which depend on the whole clip. 0
            beyond the segments of a clip.
        embeddings : Tensor of shape (n_clips, 2 * n_features, n_segments), float32
            Those of the widest window, if events have different ones.
        """
        frames = Frames.of(n_segments, features.shape[-1])
        if self.score_window is None:
            hidden = self._hidden(features, frames)
            return torch.minimum(*self._frame_scores(hidden, frames)), torch.cat(hidden, 1)
        widths = self._windows()
        scores = features.new_zeros(len(features), self.n_events, features.shape[-1])
        for width in sorted(set(widths)):
            embeddings, _ = self._window_embeddings(features, n_segments, width)
            events = [k for k, own in enumerate(widths) if own == width]
            scores[:, events] = self._scores(embeddings)[:, events]
        return frames.fill_(scores), embeddings

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
        scores : Tensor of shape (n_clips, n_events), float32
            Mean of the forward score of the last frame and the backward score of the first.
        embeddings : Tensor of shape (n_clips, 2 * n_features), float32
            Inputs of the head for these frames.
        """
        frames = Frames.of(n_segments, features.shape[-1])
        forward, backward = self._hidden(features, frames)
        embeddings = torch.cat([_last(forward, n_segments), backward[..., 0]], 1)
        return self._scores(embeddings[..., None])[..., 0], embeddings

    def segment_outputs(
        self, layer: str, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the output of a layer for each segment, see :class:`NetworkModule`.

        Parameters
        ----------
        layer : {"embedding", "logits"}
            "logits": the logits of the scores.
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        outputs : Tensor of shape (n_clips, n_outputs, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        features, n_segments = self.segment_features(layer, stft, n_frames, **distortions)
        scores, embeddings = self.segment_scores_and_embeddings(features, n_segments)
        if layer == "embedding":
            return embeddings, n_segments
        return Frames.of(n_segments, scores.shape[-1]).fill_(scores.logit()), n_segments

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
            See :meth:`scores_and_embeddings`. "logits": the logits of the scores.
        """
        scores, embeddings = self.scores_and_embeddings(features, n_segments)
        if layer == "embedding":
            return embeddings
        return scores if layer is None else scores.logit()

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
            See :class:`FrameCrossEntropy`.
        """
        forward, backward = self.frame_scores(features, n_segments)
        scores = (_last(forward, n_segments) + backward[..., 0]) / 2
        frames = Frames.of(n_segments, features.shape[-1])
        # padding must not give infinite logarithms, not even in gradients
        forward, backward = (frames.filled(x, 0.5) for x in (forward, backward))
        likelihoods = weak_likelihoods(forward, backward, frames)
        if activity is not None and self.boundary_weight:
            activity = self.pool_activity(activity, forward.shape[-1])
            strong = boundary_likelihoods(forward, backward, frames, activity)
            present = likelihoods[..., 0]
            known = activity.amax(-1) > 0
            present = torch.where(known, torch.lerp(present, strong, self.boundary_weight), present)
            likelihoods = torch.stack([present, likelihoods[..., 1]], -1)
        return scores, likelihoods


class _Direction(nn.Module):
    """A GRU, and the layer after it."""

    def __init__(self, n_hidden):
        super().__init__()
        self.rnn = make_gru(n_hidden, n_hidden)
        self.output_net = nn.Module()
        self.output_net.convs = nn.ModuleList([HiddenLayer(n_hidden, n_hidden)])

    def output(self, states, frames):
        """Compute the input of the head from states, both (n_clips, n_hidden, n_frames)."""
        (layer,) = self.output_net.convs
        return layer(states, frames)


class _Head(nn.Module):
    """The last layers of both directions: a row for each event, forward, then backward."""

    def __init__(self, n_events, n_hidden):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_events, 2 * n_hidden))
        self.bias = nn.Parameter(torch.empty(n_events, 2))

    def forward(self, *hidden):
        """Compute the scores (..., n_events) of each direction from (..., n_hidden)."""
        parts = zip(hidden, self.weight.chunk(2, 1), self.bias.unbind(1), strict=True)
        return [FLOOR + (1 - 2 * FLOOR) * F.linear(*part).sigmoid() for part in parts]


def _last(x, n_segments):
    """Return the last valid frame (n_clips, n_channels) of (n_clips, n_channels, n_segments)."""
    place = (n_segments - 1)[:, None, None].expand(-1, x.shape[1], 1)
    return x.gather(2, place)[..., 0]
