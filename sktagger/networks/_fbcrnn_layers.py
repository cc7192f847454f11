"""The convolutions of FBCRNN: normalization comes first, and only the mel axis is pooled."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._chunks import chunk_size
from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames
from sktagger.networks._norm_pool import LOWEST, NormPoolReLU
from sktagger.networks._winograd import can_use_winograd, winograd_conv

EPS = 1e-3  # added to variances
N_MELS = 128
POOLED_MELS = 8  # mel bands after the poolings
CONTEXT = 12  # frames before and after a frame that its features depend on


class Layout(NamedTuple):
    """The layers of a depth, without the width.

    Attributes
    ----------
    channels_2d : tuple of int
        Output channels of the 2-d convolutions.
    kernels_2d : tuple of int
        Their kernel sizes.
    pools : tuple of int
        The 2-d convolutions that a pooling follows.
    kernels_1d : tuple of int
        Kernel sizes of the 1-d convolutions.
    residuals_2d, residuals_1d : dict
        From the layer that an input is added to, to the layer of which it is the input.
    """

    channels_2d: tuple[int, ...]
    kernels_2d: tuple[int, ...]
    pools: tuple[int, ...]
    kernels_1d: tuple[int, ...]
    residuals_2d: dict[int, int]
    residuals_1d: dict[int, int]

    def widths(self, width: int) -> list[int]:
        """Return the output channels of the 2-d convolutions for a width."""
        return [min(width * n, 512) if n == 256 else width * n for n in self.channels_2d]


def _chain(first, last, step):
    """Connect every `step`-th layer; an input is added to the output of the layer before."""
    return {end - 1: end - step for end in range(first + step, last + 1, step)}


LAYOUTS = {
    "shallow": Layout(
        (16, 16, 32, 32, 64, 64, 128, 128, 256), (3,) * 9, (1, 3, 5, 7), (1, 3, 3, 3, 1), {}, {}
    ),
    "deep": Layout(
        (16,) * 4 + (32,) * 4 + (64,) * 4 + (128,) * 4 + (256, 256),
        (3, 1) * 9,
        (3, 7, 11, 15),
        (1, 3, 1, 3, 1, 3, 1, 1),
        _chain(2, 16, 2),
        _chain(1, 7, 2),
    ),
}


def norm_relu(norm: NormPoolReLU, chunks: list[Tensor], frames: list[Frames]) -> list[Tensor]:
    """Normalize and apply the ReLU; 0 beyond the frames of a clip.

    Parameters
    ----------
    norm : NormPoolReLU
    chunks : list of Tensor of shape (n_clips, n_channels, n_mels, n_frames), float
        The batch. In training, it is overwritten: set to 0 beyond the frames of the clips.
    frames : list of Frames

    Returns
    -------
    list of Tensor
    """
    if norm.training:
        return norm(chunks, frames)
    variance = (norm.running_variance() + norm.eps).flatten()
    weights = norm.running_mean.flatten(), variance, norm.gamma.flatten(), norm.beta.flatten()
    return [
        valid.fill_(F.batch_norm(x, *weights, training=False, eps=0.0)).relu_()
        for x, valid in zip(chunks, frames, strict=True)
    ]


class _Conv(nn.Module):
    """[Normalization, ReLU,] convolution with the same number of frames."""

    def __init__(self, n_in, n_out, kernel_size, ndim, *, first=False):
        super().__init__()
        layer = nn.Conv2d if ndim == 4 else nn.Conv1d
        # FBCRNNModule.reset_parameters draws the weights from its own generator
        self.conv = skip_init(layer, n_in, n_out, kernel_size, padding=kernel_size // 2)
        self.norm = None if first else NormPoolReLU(n_in, EPS, "power", ndim)

    def forward(self, chunks, frames):
        if self.norm is not None:
            chunks = norm_relu(self.norm, chunks, frames)
        return [convolve(self.conv, x) for x in chunks]


def convolve(conv: nn.Conv1d | nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a convolution to clips with a mel axis; a 1-d one joins all mel bands.

    Parameters
    ----------
    conv : nn.Conv1d or nn.Conv2d
        The input channels of a 1-d convolution are ``channel * n_mels + mel``.
    x : Tensor of shape (n_clips, n_channels, n_mels, n_frames), float

    Returns
    -------
    Tensor of shape (n_clips, n_out, n_mels or 1, n_frames)
    """
    if conv.weight.ndim == 3:
        weight = conv.weight.unflatten(1, (-1, x.shape[2]))
        return F.conv2d(x, weight, conv.bias, padding=(0, *conv.padding))
    if can_use_winograd(x, conv.weight):
        return winograd_conv(x, conv.weight, conv.bias)
    return F.conv2d(x, conv.weight, conv.bias, padding=conv.padding)


class _Stack(nn.Module):
    """Convolutions with residual connections and poolings, then normalization and ReLU."""

    def __init__(self, n_in, channels, kernels, residuals, ndim):
        super().__init__()
        inputs = [n_in, *channels[:-1]]
        self.convs = nn.ModuleList(
            _Conv(*sizes, ndim, first=i == 0)
            for i, sizes in enumerate(zip(inputs, channels, kernels, strict=True))
        )
        self.output_norm = NormPoolReLU(channels[-1], EPS, "power", ndim)
        self.residuals = residuals
        layer = nn.Conv2d if ndim == 4 else nn.Conv1d
        self.residual_skip_convs = nn.ModuleDict(
            {
                f"{start}->{end + 1}": _Skip(layer, inputs[start], channels[end])
                for end, start in residuals.items()
                if inputs[start] != channels[end]
            }
        )

    def stages(self):
        """Return the modules of each layer."""
        by_end = {int(name.split(">")[1]) - 1: m for name, m in self.residual_skip_convs.items()}
        for i, conv in enumerate(self.convs):
            yield [conv, *([by_end[i]] if i in by_end else [])]

    def forward(self, chunks, frames, pools=()):
        """Compute the output of the stack; `pools` maps a layer to the pooling after it."""
        kept = {}
        starts = set(self.residuals.values())
        for i, conv in enumerate(self.convs):
            if i in starts:
                kept[i] = chunks
            chunks = conv(chunks, frames)
            if i in self.residuals:
                start = self.residuals[i]
                skipped = kept.pop(start)
                name = f"{start}->{i + 1}"
                if name in self.residual_skip_convs:
                    skip = self.residual_skip_convs[name].conv
                    skipped = [convolve(skip, x) for x in skipped]
                chunks = [x + y for x, y in zip(chunks, skipped, strict=True)]
            if i in pools:
                size = pools[i]
                if size[1] > 1:  # padding must not be the maximum
                    chunks = [v.fill_(x, LOWEST) for x, v in zip(chunks, frames, strict=True)]
                chunks = [F.max_pool2d(x, size, ceil_mode=True) for x in chunks]
                if size[1] > 1:
                    frames = [valid.halved() for valid in frames]
        return norm_relu(self.output_norm, chunks, frames), frames


class _Skip(nn.Module):
    """The 1x1 convolution of a residual connection between different numbers of channels."""

    def __init__(self, layer, n_in, n_out):
        super().__init__()
        self.conv = skip_init(layer, n_in, n_out, 1)


class CNN(nn.Module):
    """All convolutions: from log-mel spectra to 256 * width features per frame.

    Parameters
    ----------
    layout : Layout
    width : int
        Factor of the numbers of channels.
    time_pooling : {1, 2}, default=1
        Frames that the first pooling joins.
    n_tags : int, default=0
        Number of events whose tags are further input channels of both stacks.
    """

    def __init__(self, layout: Layout, width: int, time_pooling: int = 1, n_tags: int = 0):
        super().__init__()
        channels = layout.widths(width)
        self.n_features = 256 * width
        sizes = [(2, time_pooling), *[(2, 1)] * 3]
        self.pools = dict(zip(layout.pools, sizes, strict=True))
        self.cnn_2d = _Stack(1 + n_tags, channels, layout.kernels_2d, layout.residuals_2d, 4)
        self.cnn_1d = _Stack(
            channels[-1] * POOLED_MELS + n_tags,
            [self.n_features] * len(layout.kernels_1d),
            layout.kernels_1d,
            layout.residuals_1d,
            3,
        )

    def forward(self, x: Tensor, frames: Frames, tags: Tensor | None = None):
        """Compute the features of each frame.

        Parameters
        ----------
        x : Tensor of shape (n_clips, 1, 128, n_frames), float32
            Log-mel spectra, 0 beyond the frames of a clip.
        frames : Frames
        tags : Tensor of shape (n_clips, n_tags), float32, or None, default=None

        Returns
        -------
        features : Tensor of shape (n_clips, n_features, n_frames)
            At least 0, and 0 beyond the frames of a clip.
        frames : Frames
            Their frames: fewer if time is pooled.
        """
        if tags is not None:
            x = _join_tags(x, tags, frames)
        x = x.contiguous(memory_format=torch.channels_last)
        size = chunk_size(x, self.cnn_2d.convs[0].conv.out_channels)
        chunks, parts = self.cnn_2d(list(x.split(size)), frames.split(size), self.pools)
        x, frames = torch.cat(chunks), Frames.joined(parts)
        if tags is not None:
            x = _join_tags(x.flatten(1, 2)[:, :, None], tags, frames)
        chunks, parts = self.cnn_1d([x], [frames])
        return chunks[0][:, :, 0], parts[0]


def _join_tags(x, tags, frames):
    """Append the tags as channels, which are 0 beyond the frames of a clip, as `x` is."""
    tags = tags[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, frames.filled(tags)], 1)
