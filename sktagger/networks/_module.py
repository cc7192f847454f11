"""Base class of the torch modules of networks."""

from __future__ import annotations

import torch
from torch import Tensor

from sktagger.networks._masking import Frames
from sktagger.networks._module_parts import ModuleParts


class NetworkModule(ModuleParts):
    """The torch module of a network. It takes STFTs of clips and returns scores of events.

    Neither padding nor the other clips of a batch may change the scores of a clip.

    Parameters
    ----------
    n_events : int
        Number of outputs.

    Attributes
    ----------
    precision : {"float32", "bfloat16"}
        See :meth:`set_precision`.
    head_name : str
        Name of the last layer. :meth:`Network.build` sets it.
    pools_embeddings : bool
        Whether the head scores one embedding of the whole clip. Otherwise, it scores segments, and
        :meth:`pool` computes the scores of clips from theirs.
    linear_head : bool
        Whether logits are a linear function of embeddings, so that a head can be fitted to them.
    """

    pools_embeddings = False
    linear_head = True

    @property
    def mel_filters(self) -> Tensor:
        """Filters of the mel bands of :meth:`input_features`, (n_bins, n_mels), float32.

        A network without these two has no pictures of spectrograms.
        """
        raise NotImplementedError(f"{type(self).__name__} does not tell its mel filters.")

    def input_features(self, stft: Tensor, n_frames: Tensor) -> Tensor:
        """Compute the features that the first layer gets, for pictures.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_mels, n_frames), float32
            Log-mel features. Bands lie in the order of their frequency.
        """
        raise NotImplementedError(f"{type(self).__name__} does not tell its features.")

    def segment_embeddings(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the input of the head for each segment.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        raise NotImplementedError

    def segment_scores(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score each segment.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2), float32
            Real and imaginary part, 0 beyond the frames of a clip.
        n_frames : Tensor of shape (n_clips,), integer
            Number of valid frames of each clip.
        **distortions : Tensor of shape (n_clips, 2)
            Any of those in `NetworkInput.distortions`, see
            :meth:`sktagger.networks.LogMel.forward`.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip, as in :meth:`ScoreGrid.n_scores`.
        """
        raise NotImplementedError

    def segment_outputs(
        self, layer: str, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the output of a layer for each segment.

        Parameters
        ----------
        layer : str
            One of `Network.layers`.
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        outputs : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        outputs, n_segments = self.segment_embeddings(stft, n_frames, **distortions)
        if layer == "logits":
            outputs = self.apply_head(outputs)
            outputs = Frames.of(n_segments, outputs.shape[-1]).fill_(outputs)
        return outputs, n_segments

    def clip_outputs(
        self, layer: str, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> Tensor:
        """Compute the output of a layer for each clip.

        Parameters
        ----------
        layer : str
            One of `Network.layers`.
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_features), float32
            If the head scores segments: the mean of their outputs.
        """
        return self.pool_segments(
            layer, *self.segment_features(layer, stft, n_frames, **distortions)
        )

    def segment_features(
        self, layer: str | None, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute what :meth:`pool_segments` needs of each segment.

        A long clip is cut into chunks. Their segments are put together before they are pooled.

        Parameters
        ----------
        layer : str or None
            One of `Network.layers`. None: the scores.
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        if layer is None:
            return self.segment_scores(stft, n_frames, **distortions)
        return self.segment_outputs(layer, stft, n_frames, **distortions)

    def pool_segments(self, layer: str | None, features: Tensor, n_segments: Tensor) -> Tensor:
        """Compute the output of a layer for clips from what :meth:`segment_features` returned.

        Parameters
        ----------
        layer : str or None
            One of `Network.layers`. None: the scores.
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        Tensor of shape (n_clips, n_outputs), float32
            What :meth:`clip_outputs` returns; without a layer, what :meth:`forward` returns.
        """
        if layer is None:
            return self.pool(features, n_segments)
        return features.sum(-1) / n_segments[:, None]

    def pool_for_loss(
        self, features: Tensor, n_segments: Tensor, activity: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the scores of clips, and what the loss takes.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            What :meth:`segment_features` returned for the layer None.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        activity : Tensor of shape (n_clips, n_events, n_frames), float32, or None, default=None
            1 where an event is in time, else 0. Only networks with `uses_onsets` get it.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events), float32, in [0, 1]
        outputs : Tensor of shape (n_clips, n_events, ...), float32
            What `Network.criterion` takes: the scores, unless a network says otherwise.
        """
        scores = self.pool_segments(None, features, n_segments)
        return scores, scores

    def segment_scores_and_embeddings(
        self, features: Tensor, n_segments: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute scores and embeddings of segments at once.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            What :meth:`segment_features` returned for the layer "embedding".
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            What :meth:`segment_scores` returns, apart from rounding.
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32
            What :meth:`segment_outputs` returns for the layer "embedding".
        """
        logits = self.apply_head(features)
        segments = Frames.of(n_segments, logits.shape[-1])
        return segments.fill_(logits, -torch.inf).sigmoid(), features

    def scores_and_embeddings(self, features: Tensor, n_segments: Tensor) -> tuple[Tensor, Tensor]:
        """Compute scores and embeddings of clips at once.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            What :meth:`segment_features` returned for the layer "embedding".
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events), float32, in [0, 1]
            What :meth:`forward` returns, apart from rounding.
        embeddings : Tensor of shape (n_clips, n_features), float32
            What :meth:`clip_outputs` returns for the layer "embedding".
        """
        scores, _ = self.segment_scores_and_embeddings(features, n_segments)
        return self.pool(scores, n_segments), self.pool_segments("embedding", features, n_segments)

    def pool(self, scores: Tensor, n_segments: Tensor) -> Tensor:
        """Compute the scores of clips from the scores of their segments.

        Networks that pool embeddings do not have it.

        Parameters
        ----------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        raise NotImplementedError

    def training_outputs(
        self,
        stft: Tensor,
        n_frames: Tensor,
        activity: Tensor | None = None,
        **distortions: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Score each clip, and compute what the loss takes.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        activity : Tensor or None, default=None
            See :meth:`pool_for_loss`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        scores, outputs : Tensor
            See :meth:`pool_for_loss`.
        """
        features = self.segment_features(None, stft, n_frames, **distortions)
        return self.pool_for_loss(*features, activity)

    def forward(self, stft: Tensor, n_frames: Tensor, **distortions: Tensor) -> Tensor:
        """Score each clip.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        return self.pool_segments(None, *self.segment_features(None, stft, n_frames, **distortions))
