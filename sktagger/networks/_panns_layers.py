"""The convolutional layers of PANNs, on tensors with axes (clip, channel, mel, frame).

The original has (clip, channel, frame, mel), and its weights are kept as they are. Convolutions of
PyTorch on CPUs are faster if the last axis is the longer one: of the last layers, with two mel
bands, by two to six times. Weights lie in memory so that they can be transposed without a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames, MaskedBatchNorm2d
from sktagger.networks._pooling import Dropout

# A batch norm is folded into its convolution in evaluation if the weight has at most so many
# values. To fold larger weights takes longer than to normalize the few outputs of such layers.
_MAX_FOLDED = 2**20
_DROPOUT = 0.2


class Layout(NamedTuple):
    """Sizes of a network.

    Attributes
    ----------
    channels : tuple of int
        Number of channels of each block.
    kernel_size : int
        Of all convolutions.
    n_convs : int
        Number of convolutions in a block.
    n_pools : int
        Number of blocks, from the first one, after which both axes are halved.
    n_features : int
        Size of the embedding.
    """

    channels: tuple[int, ...]
    kernel_size: int
    n_convs: int
    n_pools: int
    n_features: int

    @property
    def step(self) -> int:
        """Number of frames of a segment."""
        return 2**self.n_pools

    @property
    def context(self) -> int:
        """Number of frames before and after a segment that its score depends on."""
        steps = [2 ** min(block, self.n_pools) for block in range(len(self.channels))]
        return self.n_convs * (self.kernel_size // 2) * sum(steps) + self.step  # of its neighbors


LAYOUTS = {
    "cnn14": Layout((64, 128, 256, 512, 1024, 2048), 3, 2, 5, 2048),
    "cnn14_decision_level_max": Layout((64, 128, 256, 512, 1024, 2048), 3, 2, 5, 2048),
    "cnn10": Layout((64, 128, 256, 512), 3, 2, 4, 512),
    "cnn6": Layout((64, 128, 256, 512), 5, 1, 4, 512),
}


def conv_norm(
    x: Tensor,
    frames: Frames,
    conv: nn.Conv2d,
    norm: MaskedBatchNorm2d,
    activation: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
) -> Tensor:
    """Apply a convolution, its batch norm and an activation that works in place.

    Parameters
    ----------
    x : Tensor of shape (n_clips, n_in, n_mels, n_frames), float
        0 beyond the frames of a clip.
    frames : Frames
        Valid frames of the clips.
    conv : Conv2d
        Without bias.
    norm : MaskedBatchNorm2d
    activation : callable
        It keeps 0.
    dtype : torch.dtype
        Of the output.

    Returns
    -------
    Tensor of shape (n_clips, n_channels, n_mels, n_frames)
        0 beyond the frames of a clip.
    """
    weight, bias = conv.weight.transpose(2, 3), None
    folded = not norm.training and weight.numel() <= _MAX_FOLDED
    if folded:
        weight, bias = norm.folded(weight)
        bias = bias.to(x.dtype)
    y = F.conv2d(x, weight.to(x.dtype), bias, padding=conv.padding).to(dtype)
    return activation(frames.fill_(y) if folded else norm(y, frames))


class ConvBlock(nn.Module):
    """One or two convolutions with batch norm and ReLU, average pooling, dropout.

    Parameters
    ----------
    n_in, n_out : int
        Number of channels.
    kernel_size : int
        Odd.
    n_convs : {1, 2}
        Number of convolutions.
    pooled : bool
        Whether both axes are halved in floor mode.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int, n_convs: int, pooled: bool):
        super().__init__()
        for number in range(1, n_convs + 1):
            # PANNsModule.reset_parameters draws the weights from its own generator
            conv = skip_init(
                nn.Conv2d, n_in, n_out, kernel_size, padding=kernel_size // 2, bias=False
            )
            weight = conv.weight.mT.contiguous(memory_format=torch.channels_last).mT
            conv.weight = nn.Parameter(weight.detach())
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", MaskedBatchNorm2d(n_out))
            n_in = n_out
        self.n_channels = n_out
        self.n_convs = n_convs
        self.pooled = pooled
        self.dropout = Dropout(_DROPOUT)

    def forward(self, x: Tensor, frames: Frames, dtype: torch.dtype) -> tuple[Tensor, Frames]:
        """Compute the output of the block.

        Parameters
        ----------
        x : Tensor of shape (n_clips, n_in, n_mels, n_frames), float
            0 beyond the frames of a clip.
        frames : Frames
            Valid frames of the clips.
        dtype : torch.dtype
            Of the output.

        Returns
        -------
        x : Tensor of shape (n_clips, n_out, n_mels, n_frames)
            0 beyond the frames of a clip.
        frames : Frames
            Valid frames of the output.
        """
        for number in range(1, self.n_convs + 1):
            conv, norm = self.get_submodule(f"conv{number}"), self.get_submodule(f"bn{number}")
            x = conv_norm(x, frames, conv, norm, F.relu_, dtype)
        if self.pooled:
            frames = frames.pooled(2)
            x = frames.fill_(F.avg_pool2d(x, 2))
        return self.dropout(x), frames
