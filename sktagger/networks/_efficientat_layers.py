"""The convolutions of EfficientAT: inverted residual blocks of MobileNetV3 for padded clips."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames, MaskedBatchNorm2d

_EPS, _MOMENTUM = 1e-3, 0.01  # of the batch norms


class _Block(NamedTuple):
    kernel_size: int
    n_expanded: int  # channels, for a width of 1
    n_out: int  # channels, for a width of 1
    squeezes: bool
    activation: str
    strided: bool  # whether its stride is one of the settings


BLOCKS = (
    _Block(3, 16, 16, False, "relu", False),
    _Block(3, 64, 24, False, "relu", True),
    _Block(3, 72, 24, False, "relu", False),
    _Block(5, 72, 40, True, "relu", True),
    _Block(5, 120, 40, True, "relu", False),
    _Block(5, 120, 40, True, "relu", False),
    _Block(3, 240, 80, False, "hardswish", True),
    _Block(3, 200, 80, False, "hardswish", False),
    _Block(3, 184, 80, False, "hardswish", False),
    _Block(3, 184, 80, False, "hardswish", False),
    _Block(3, 480, 112, True, "hardswish", False),
    _Block(3, 672, 112, True, "hardswish", False),
    _Block(5, 672, 160, True, "hardswish", True),
    _Block(5, 960, 160, True, "hardswish", False),
    _Block(5, 960, 160, True, "hardswish", False),
)
N_STEM = 16  # channels, for a width of 1
N_HIDDEN = 1280  # of the classifier, for a width of 1


def round_channels(n_channels: float) -> int:
    """Round a number of channels to a multiple of 8 that is not much lower.

    Parameters
    ----------
    n_channels : float

    Returns
    -------
    int
        At least 8, and at least 0.9 times `n_channels`.

    Examples
    --------
    >>> [round_channels(n) for n in (3, 12, 18, 26, 36)]
    [8, 16, 24, 24, 40]
    """
    rounded = max(8, int(n_channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * n_channels else rounded + 8


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm, and an activation.

    Parameters
    ----------
    n_in, n_out : int
        Number of channels.
    kernel_size : int, default=1
    stride : int, default=1
    groups : int, default=1
    activation : {"relu", "hardswish"} or None, default=None
    """

    def __init__(self, n_in, n_out, kernel_size=1, stride=1, groups=1, activation=None):
        conv = skip_init(
            nn.Conv2d,
            n_in,
            n_out,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        )
        super().__init__(conv, MaskedBatchNorm2d(n_out, eps=_EPS, momentum=_MOMENTUM))
        self.activation = activation

    def forward(  # type: ignore[override]
        self, x: Tensor, frames: Frames
    ) -> tuple[Tensor, Frames]:
        """Compute the output, which is 0 beyond the frames of a clip, and its frames.

        Parameters
        ----------
        x : Tensor of shape (n_clips, n_in, n_mels, n_frames), float
            0 beyond the frames of a clip, unless the kernel has one frame.
        frames : Frames
            Valid frames of `x`.

        Returns
        -------
        x : Tensor of shape (n_clips, n_out, n_mels, n_frames), float
            The last two axes are divided by the stride and rounded up.
        frames : Frames
            Its valid frames.
        """
        conv: Any = self[0]
        norm: Any = self[1]
        arguments = conv.stride, conv.padding, conv.dilation, conv.groups
        strided = frames.halved() if conv.stride[1] == 2 else frames
        if norm.training:
            x = norm(F.conv2d(x, conv.weight, None, *arguments), strided)
        else:
            x = strided.fill_(F.conv2d(x, *norm.folded(conv.weight), *arguments))
        if self.activation is not None:
            # both are 0 at 0
            x = getattr(F, self.activation)(x, inplace=not torch.is_grad_enabled())
        return x, strided


class _SqueezeExcitation(nn.Module):
    """Scales channels by a function of their means over the valid frames of a clip."""

    def __init__(self, n_channels):
        super().__init__()
        n_squeezed = round_channels(n_channels // 4)
        layers = nn.Module()
        layers.fc1 = skip_init(nn.Linear, n_channels, n_squeezed)
        layers.fc2 = skip_init(nn.Linear, n_squeezed, n_channels)
        self.conc_se_layers = nn.ModuleList([layers])

    def forward(self, x, frames):
        (layers,) = self.conc_se_layers
        mean = x.sum((2, 3), dtype=torch.float32) / (x.shape[2] * frames.n_frames[:, None])
        scale = layers.fc2(layers.fc1(mean).relu()).sigmoid()
        scale = scale[:, :, None, None].to(x.dtype)
        return (x * scale if torch.is_grad_enabled() else x.mul_(scale)), frames


class InvertedResidual(nn.Module):
    """Expands channels, convolves each, and projects them to fewer.

    Parameters
    ----------
    n_in : int
        Number of input channels.
    block : tuple
        A row of the table of blocks.
    width : float
        Factor of its numbers of channels.
    stride : int
    """

    def __init__(self, n_in, block, width, stride):
        super().__init__()
        n_expanded = round_channels(width * block.n_expanded)
        n_out = round_channels(width * block.n_out)
        self.is_residual = stride == 1 and n_in == n_out
        act = block.activation
        parts: list[nn.Module] = []
        if n_expanded != n_in:
            parts.append(ConvNorm(n_in, n_expanded, activation=act))
        parts.append(ConvNorm(n_expanded, n_expanded, block.kernel_size, stride, n_expanded, act))
        if block.squeezes:
            parts.append(_SqueezeExcitation(n_expanded))
        parts.append(ConvNorm(n_expanded, n_out))
        self.block = nn.ModuleList(parts)

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """Compute the output and its frames, see :class:`ConvNorm`.

        Parameters
        ----------
        x : Tensor of shape (n_clips, n_in, n_mels, n_frames), float
            0 beyond the frames of a clip.
        frames : Frames
            Valid frames of `x`.

        Returns
        -------
        x : Tensor of shape (n_clips, n_out, n_mels, n_frames), float
        frames : Frames
        """
        y = x
        for part in self.block:
            y, frames = part(y, frames)
        return (x + y if self.is_residual else y), frames
