"""Networks that pool features over time to one embedding, and dropout with its own seed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktagger.networks._masking import Frames
from sktagger.networks._module import NetworkModule


class PoolingModule(NetworkModule):
    """A module whose head scores one embedding of the whole clip.

    A subclass defines `feature_maps` and `outputs`. It also has scores of segments: the layers
    after the features are then applied to the features of each segment.
    """

    pools_embeddings = True

    def feature_maps(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Frames]:
        """Compute the features of each segment.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            0 beyond the segments of a clip.
        segments : Frames
            Valid segments of the clips.
        """
        raise NotImplementedError

    def pool_features(self, features: Tensor, segments: Frames) -> Tensor:
        """Pool the features of a clip over time.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            0 beyond the segments of a clip.
        segments : Frames
            Valid segments of the clips.

        Returns
        -------
        Tensor of shape (n_clips, n_channels), float32
            Their mean.
        """
        return features.sum(-1) / segments.n_frames[:, None]

    def smooth_features(self, features: Tensor, segments: Frames) -> Tensor:
        """Pool the features of each segment and its neighbors, as the scores of segments need it.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            0 beyond the segments of a clip.
        segments : Frames
            Valid segments of the clips.

        Returns
        -------
        Tensor of shape (n_clips, n_channels, n_segments), float32
            The features as they are.
        """
        return features

    def outputs(self, layer: str, features: Tensor) -> Tensor:
        """Compute the output of a layer from pooled features.

        Parameters
        ----------
        layer : str
            One of `Network.layers`, except "logits".
        features : Tensor of shape (..., n_channels), float32

        Returns
        -------
        Tensor of shape (..., n_features), float32
        """
        raise NotImplementedError

    @property
    def head_input(self) -> str:
        """Name of the layer whose output is the input of the head."""
        return "embedding"

    def _outputs(self, layer, features):
        if layer == "logits":
            return self.head(self.outputs(self.head_input, features))
        return self.outputs(layer, features)

    def segment_embeddings(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the input of the head for each segment, see :class:`NetworkModule`.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        return self.segment_outputs(self.head_input, stft, n_frames, **distortions)

    def segment_outputs(
        self, layer: str, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the output of a layer for each segment, see :class:`NetworkModule`.

        Parameters
        ----------
        layer : str
            One of `Network.layers`.
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        outputs : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        features, segments = self.feature_maps(stft, n_frames, **distortions)
        features = self.smooth_features(features, segments)
        outputs = self._outputs(layer, features.transpose(1, 2)).transpose(1, 2)
        return segments.filled(outputs), segments.n_frames

    def segment_scores(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score each segment, see :class:`NetworkModule`.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        logits, n_segments = self.segment_outputs("logits", stft, n_frames, **distortions)
        return Frames.of(n_segments, logits.shape[-1]).filled(logits.sigmoid()), n_segments

    def segment_features(
        self, layer: str | None, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the features of each segment, which any layer of the clip depends on.

        Parameters
        ----------
        layer : str or None
            Without effect.
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        features, segments = self.feature_maps(stft, n_frames, **distortions)
        return features, segments.n_frames

    def pool_segments(self, layer: str | None, features: Tensor, n_segments: Tensor) -> Tensor:
        """Pool the features of clips, and apply the layers after them.

        Parameters
        ----------
        layer : str or None
            One of `Network.layers`. None: the scores.
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        Tensor of shape (n_clips, n_outputs), float32
        """
        pooled = self.pool_features(features, Frames.of(n_segments, features.shape[-1]))
        if layer is None:
            return self._outputs("logits", pooled).sigmoid()
        return self._outputs(layer, pooled)

    def segment_scores_and_embeddings(
        self, features: Tensor, n_segments: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute scores and embeddings of segments at once, see :class:`NetworkModule`.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            What :meth:`segment_features` returned.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond the segments of a clip.
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        """
        segments = Frames.of(n_segments, features.shape[-1])
        smooth = self.smooth_features(features, segments).transpose(1, 2)
        logits, embeddings = (
            self._outputs(layer, smooth).transpose(1, 2) for layer in ("logits", "embedding")
        )
        return segments.filled(logits.sigmoid()), segments.filled(embeddings)

    def scores_and_embeddings(self, features: Tensor, n_segments: Tensor) -> tuple[Tensor, Tensor]:
        """Compute scores and embeddings of clips at once, see :class:`NetworkModule`.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            What :meth:`segment_features` returned.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events), float32, in [0, 1]
            What :meth:`forward` returns.
        embeddings : Tensor of shape (n_clips, n_features), float32
            What :meth:`clip_outputs` returns for the layer "embedding".
        """
        pooled = self.pool_features(features, Frames.of(n_segments, features.shape[-1]))
        return self._outputs("logits", pooled).sigmoid(), self._outputs("embedding", pooled)


class Dropout(nn.Dropout):
    """Dropout that draws from a generator of its own.

    :meth:`NetworkModule.seed_dropout` sets the seed before each batch.

    Parameters
    ----------
    p : float
        Probability of a value to become 0 in training.
    """

    seed = 0

    def forward(self, input: Tensor) -> Tensor:
        """Set values to 0, and scale the others so that the mean stays.

        Parameters
        ----------
        input : Tensor

        Returns
        -------
        Tensor of the shape of `input`
        """
        if not self.training or not self.p:
            return input
        generator = torch.Generator(input.device).manual_seed(self.seed)
        kept = torch.rand(input.shape, generator=generator, device=input.device) >= self.p
        return input * kept / (1 - self.p)
