"""The convolutions of WALNet."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sktagger.networks._chunks import chunk_size
from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames
from sktagger.networks._norm_pool import NormPoolReLU

# (output channels, kernel size, same padding, pool after) of the layers before the head
LAYERS = (
    (16, 3, True, False),
    (16, 3, True, True),
    (32, 3, True, False),
    (32, 3, True, True),
    (64, 3, True, False),
    (64, 3, True, True),
    (128, 3, True, False),
    (128, 3, True, True),
    (256, 3, True, False),
    (256, 3, True, True),
    (512, 3, True, True),
    (1024, 2, False, False),
)

_N_CHUNKED = 4  # layers that a batch passes in chunks


class _ConvBlock(nn.Module):
    """Convolution, batch norm, max-pooling, ReLU; the head is a convolution only."""

    def __init__(self, n_in, n_out, kernel_size, same, pool, *, head=False):
        super().__init__()
        # WALNetModule.reset_parameters draws the weights from its own generator
        self.conv = skip_init(
            nn.Conv2d, n_in, n_out, kernel_size, padding=kernel_size // 2 if same else 0
        )
        self.norm = None if head else NormPoolReLU(n_out)
        self.same = same
        self.pool = pool

    def forward(self, chunks, frames):
        """Compute the output of the block, and its valid frames, for each chunk of a batch.

        Pooling and ReLU commute. Pooling comes first, so that the ReLU has fewer values.
        """
        sign = None
        weight, bias = self.conv.weight, self.conv.bias
        training = self.norm.training  # its statistics can be frozen
        if not training:
            weight, bias = self.norm.folded(weight, bias)
        elif self.pool:
            sign = torch.where(self.norm.gamma.detach().flatten() < 0, -1.0, 1.0)
            weight, bias = weight * sign[:, None, None, None], bias * sign
        chunks = [F.conv2d(x, weight, bias, padding=self.conv.padding) for x in chunks]
        if not self.same:
            frames = [valid.unpadded_conv() for valid in frames]
        pooled = [valid.halved() for valid in frames] if self.pool else frames
        if training:
            return self.norm(chunks, frames, sign), pooled
        chunks = [valid.fill_(x) for x, valid in zip(chunks, frames, strict=True)]
        if self.pool:
            chunks = [F.max_pool2d(x, 2, ceil_mode=True) for x in chunks]
        return [x.relu_() for x in chunks], pooled


class CNN(nn.Module):
    def __init__(self, n_events):
        super().__init__()
        self.convs = nn.ModuleList()
        n_in = 1
        for n_out, kernel_size, same, pool in LAYERS:
            self.convs.append(_ConvBlock(n_in, n_out, kernel_size, same, pool))
            n_in = n_out
        self.convs.append(_ConvBlock(n_in, n_events, 1, True, False, head=True))

    def hidden(self, x, frames, bfloat16=False):
        """Compute the output of the layer before the head, and its valid frames."""
        size = chunk_size(x, LAYERS[0][0])
        chunks, frames = x.split(size), frames.split(size)
        hidden = self.convs[:-1]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            for place, block in enumerate(hidden):
                if place == _N_CHUNKED:
                    chunks, frames = [torch.cat(chunks)], [Frames.joined(frames)]
                chunks, frames = block(chunks, frames)
        return chunks[0].to(self.convs[-1].conv.weight.dtype), frames[0]
