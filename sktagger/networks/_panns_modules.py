"""The torch modules of PANNs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._chunks import chunk_size
from sktagger.networks._features import frame_mask
from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames, MaskedBatchNorm2d
from sktagger.networks._module import NetworkModule
from sktagger.networks._panns_layers import ConvBlock, Layout
from sktagger.networks._pooling import Dropout, PoolingModule
from sktagger.networks._slaney import LogMelPower

_N_CHUNKED = 2  # blocks that a batch passes in chunks in evaluation


class PANNsModule(PoolingModule):
    """The torch module of :class:`PANNs`.

    Its weights have the names and shapes of the original implementation.

    Parameters
    ----------
    n_events : int
        Number of outputs.
    layout : Layout
        Sizes of the blocks.
    filters : Tensor of shape (n_bins, n_mels), float32
        Mel filters. They are no part of the state dict.
    """

    def __init__(self, n_events: int, *, layout: Layout, filters: Tensor):
        super().__init__(n_events)
        self.n_bins, n_mels = filters.shape
        self.min_frames = layout.step
        self.log_mel = LogMelPower(filters)
        self.bn0 = MaskedBatchNorm2d(n_mels)
        n_in = 1
        for number, n_out in enumerate(layout.channels, 1):
            pooled = number <= layout.n_pools
            block = ConvBlock(n_in, n_out, layout.kernel_size, layout.n_convs, pooled)
            self.add_module(f"conv_block{number}", block)
            n_in = n_out
        self.dropout = Dropout(0.5)
        self.fc1 = skip_init(nn.Linear, n_in, layout.n_features)
        self.fc_audioset = skip_init(nn.Linear, layout.n_features, n_events)

    @property
    def conv_blocks(self) -> list[ConvBlock]:
        """The convolutional blocks, in order."""
        return [part for part in self.children() if isinstance(part, ConvBlock)]

    @property
    def stages(self) -> list[nn.Module]:
        """The blocks, the first one with the norm of the input, and the layer before the head."""
        first, *others = self.conv_blocks
        return [nn.ModuleList([self.bn0, first]), *others, nn.ModuleList([self.dropout, self.fc1])]

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights, Xavier-uniform for all layers.

        Parameters
        ----------
        random_state : int, default=0
            Seed. The global generator of PyTorch is neither used nor changed.
        """
        generator = torch.Generator().manual_seed(random_state)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                # the memory layout of the weight must not change what is drawn
                drawn = torch.empty(part.weight.shape)
                nn.init.xavier_uniform_(drawn, generator=generator)
                with torch.no_grad():
                    part.weight.copy_(drawn)
                    if part.bias is not None:
                        part.bias.zero_()
            elif isinstance(part, nn.BatchNorm2d):
                part.reset_parameters()

    @property
    def mel_filters(self) -> Tensor:
        """Filters of the mel bands, (n_bins, n_mels), float32."""
        return self.log_mel.filters

    def input_features(self, stft: Tensor, n_frames: Tensor) -> Tensor:
        """Compute the features that the first layer gets, see :class:`NetworkModule`.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_mels, n_frames), float32
        """
        return self.features(stft, n_frames)

    def features(
        self,
        stft: Tensor,
        n_frames: Tensor,
        *,
        time_mask: Tensor | None = None,
        mel_mask: Tensor | None = None,
    ) -> Tensor:
        """Compute the normalized log-mel features.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2), float32
            Real and imaginary part.
        n_frames : Tensor of shape (n_clips,), integer
            Number of valid frames of each clip.
        time_mask : Tensor of shape (n_clips, 2), integer, or None, default=None
            First frame and number of frames to set to 0 in each clip.
        mel_mask : Tensor of shape (n_clips, 2), integer, or None, default=None
            First band and number of bands to set to 0 in each clip.

        Returns
        -------
        Tensor of shape (n_clips, n_mels, n_frames), float32
            0 beyond the frames of a clip.
        """
        if stft.ndim != 5 or stft.shape[1] != 1 or stft.shape[3:] != (self.n_bins, 2):
            raise ValueError(
                f"stft has shape {tuple(stft.shape)}, but PANNs take "
                f"(n_clips, 1, n_frames, {self.n_bins}, 2). Check n_fft and the axes."
            )
        x = self.log_mel(stft).transpose(1, 2)[:, :, None]
        x = self.bn0(x, Frames.of(n_frames, x.shape[-1]))[:, :, 0]
        if time_mask is not None:
            x = x.masked_fill(frame_mask(time_mask, x.shape[2])[:, None, :], 0.0)
        if mel_mask is not None:
            x = x.masked_fill(frame_mask(mel_mask, x.shape[1])[:, :, None], 0.0)
        return x

    def feature_maps(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Frames]:
        """Compute the features of each segment, see :class:`PoolingModule`.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            At least 0, and 0 beyond the segments of a clip.
        segments : Frames
            Valid segments of the clips.
        """
        x = self.features(stft, n_frames, **distortions)
        x = F.pad(x, (0, max(0, self.min_frames - x.shape[2])))
        frames = Frames.of(n_frames, x.shape[2])
        x = x.contiguous()[..., None].permute(0, 3, 1, 2)  # channels-last
        dtype = torch.bfloat16 if self.precision == "bfloat16" else x.dtype
        first, others = self.conv_blocks[:_N_CHUNKED], self.conv_blocks[_N_CHUNKED:]
        # batch norm in training and dropout need the batch as a whole
        whole = any(p.training for b in first for p in b.modules())
        size = len(x) if whole else chunk_size(x, first[0].n_channels)
        chunks = [
            _apply(first, *chunk, dtype)
            for chunk in zip(x.split(size), frames.split(size), strict=True)
        ]
        chunks, frames = zip(*chunks, strict=True)
        x, frames = torch.cat(chunks), Frames.joined(frames)
        x, frames = _apply(others, x, frames, dtype)
        return x.to(self.fc1.weight.dtype).mean(2), frames

    def pool_features(self, features: Tensor, segments: Frames) -> Tensor:
        """Pool the features of a clip over time: their maximum plus their mean.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            At least 0, and 0 beyond the segments of a clip.
        segments : Frames
            Valid segments of the clips.

        Returns
        -------
        Tensor of shape (n_clips, n_channels), float32
        """
        return features.amax(-1) + super().pool_features(features, segments)

    def smooth_features(self, features: Tensor, segments: Frames) -> Tensor:
        """Pool the features of each segment and its neighbors: their maximum plus their mean.

        Parameters
        ----------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            At least 0, and 0 beyond the segments of a clip.
        segments : Frames
            Valid segments of the clips.

        Returns
        -------
        Tensor of shape (n_clips, n_channels, n_segments), float32
            At the edges, the mean counts a neighbor of 0.
        """
        smooth = F.max_pool1d(features, 3, 1, 1) + F.avg_pool1d(features, 3, 1, 1)
        return segments.filled(smooth)

    def outputs(self, layer: str, features: Tensor) -> Tensor:
        """Compute the embedding.

        Parameters
        ----------
        layer : {"embedding"}
            Its name.
        features : Tensor of shape (..., n_channels), float32
            Pooled features.

        Returns
        -------
        Tensor of shape (..., n_features), float32
            At least 0.
        """
        return self.fc1(self.dropout(features)).relu()


class DecisionLevelMaxModule(PANNsModule):
    """The same layers, applied to segments. The score of a clip is the largest of its segments."""

    pools_embeddings = False
    segment_features = NetworkModule.segment_features
    pool_segments = NetworkModule.pool_segments
    segment_scores_and_embeddings = NetworkModule.segment_scores_and_embeddings
    scores_and_embeddings = NetworkModule.scores_and_embeddings

    def pool(self, scores: Tensor, n_segments: Tensor) -> Tensor:
        """Compute the scores of clips: the maximum over their segments.

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
        return scores.amax(-1)


def _apply(blocks, x, frames, dtype):
    for block in blocks:
        x, frames = block(x, frames, dtype)
    return x, frames
