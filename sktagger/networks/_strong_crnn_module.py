"""The torch module of CRNN."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sktagger.networks._crnn_module import CRNNModule, HiddenLayer, make_gru
from sktagger.networks._fbcrnn_loss import mean_over_frames
from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames


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
    ):
        super().__init__(n_events, depth, width, sample_rate, n_fft, fmin, time_pooling)
        self.rnn = _Recurrent(n_events, self.cnn.n_features)

    @property
    def recurrent(self) -> list[nn.Module]:
        """The layers between convolutions and head."""
        return [self.rnn.rnn, self.rnn.output_net.hidden]

    @property
    def classifier(self) -> nn.Module:
        """The last layer."""
        return self.rnn.output_net.head

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

    def __init__(self, n_events, n_hidden):
        super().__init__()
        self.rnn = make_gru(n_hidden, n_hidden, bidirectional=True)
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
