"""Convolutions with 3x3 kernels in a quarter of the multiplications, for CPUs.

Winograd's minimal filtering F(4x4, 3x3): each tile of 4x4 outputs comes from 36 products of
transformed inputs and transformed weights, instead of 16 * 9 = 144 [1]_. Results differ from those
of the direct convolution by rounding, about five times as much as the latter from exact ones.

References
----------
.. [1] A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

_N_OUT, _N_IN = 4, 6  # rows and columns of a tile of outputs, and of the inputs it depends on
_N_TILES = (
    128  # at least so many are transformed at a time, which the cache of the CPU has room for
)

# The transforms along one axis of inputs, weights and outputs, for the points 0, 1, -1, 2, -2, inf.
_INPUT = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_WEIGHT = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # times 24
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def can_use_winograd(x: Tensor, weight: Tensor) -> bool:
    """Say whether :func:`winograd_conv` can replace a convolution, and is faster.

    Parameters
    ----------
    x : Tensor of shape (n_clips, n_in, height, width)
    weight : Tensor of shape (n_out, n_in, ...)

    Returns
    -------
    bool
        With few channels or frames, the transforms take longer than what they save.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and weight.shape[2:] == (3, 3)
        and min(weight.shape[:2]) >= 64
        and max(weight.shape[:2]) >= 128
        and x.shape[3] >= 64
    )


def winograd_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with a 3x3 kernel; the output has the height and width of the input.

    Parameters
    ----------
    x : Tensor of shape (n_clips, n_in, height, width), float32
        Fastest if channels are last in memory.
    weight : Tensor of shape (n_out, n_in, 3, 3), float32
    bias : Tensor of shape (n_out,), float32

    Returns
    -------
    Tensor of shape (n_clips, n_out, height, width), float32
        Channels are last in memory.
    """
    return _WinogradConv.apply(x, weight, bias)


class _WinogradConv(torch.autograd.Function):
    """The convolution and its gradients, all of which work on transformed tiles."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight).add_(bias[:, None, None])

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _convolve(grad, weight.flip(2, 3).transpose(0, 1))
        if ctx.needs_input_grad[1]:
            of_weight = _gradient_of_weight(x, grad)
        if ctx.needs_input_grad[2]:
            of_bias = grad.sum((0, 2, 3))
        return of_x, of_weight, of_bias


def _convolve(x, weight):
    n_clips, _, height, width = x.shape
    n_out, n_in = weight.shape[:2]
    to_weight, to_input, to_output = (_both_axes(m) for m in (_WEIGHT, _INPUT, _OUTPUT))
    flat = weight.permute(2, 3, 1, 0).reshape(9, n_in * n_out)
    weights = (to_weight @ flat / 24**2).view(_N_IN**2, n_in, n_out)
    n_rows, n_columns = -(-height // _N_OUT), -(-width // _N_OUT)
    shape = n_clips, n_out, n_rows * _N_OUT, n_columns * _N_OUT
    y = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    by_tile = y.permute(0, 2, 3, 1).view(n_clips, n_rows, _N_OUT, n_columns, _N_OUT, n_out)
    for clip, rows, tiles in _rows_of_tiles(x, n_rows, n_columns, 1, _N_IN):
        inputs = (to_input @ tiles).view(_N_IN**2, -1, n_in)
        products = torch.bmm(inputs, weights).flatten(1)
        outputs = (to_output @ products).view(_N_OUT, _N_OUT, -1, n_columns, n_out)
        by_tile[clip, rows] = outputs.permute(2, 0, 3, 1, 4)
    if shape[2:] != (height, width):
        y = y[:, :, :height, :width].contiguous(memory_format=torch.channels_last)
    return y


def _gradient_of_weight(x, grad):
    n_in, n_out = x.shape[1], grad.shape[1]
    to_weight, to_input, to_output = (_both_axes(m) for m in (_WEIGHT, _INPUT, _OUTPUT))
    n_rows, n_columns = (-(-n // _N_OUT) for n in x.shape[2:])
    total = x.new_zeros(_N_IN**2, n_in, n_out)
    for (*_, of_x), (*_, of_y) in zip(
        _rows_of_tiles(x, n_rows, n_columns, 1, _N_IN),
        _rows_of_tiles(grad, n_rows, n_columns, 0, _N_OUT),
        strict=True,
    ):
        inputs = (to_input @ of_x).view(_N_IN**2, -1, n_in)
        outputs = (to_output.T @ of_y).view(_N_IN**2, -1, n_out)
        total.baddbmm_(inputs.transpose(1, 2), outputs)
    of_weight = to_weight.T @ total.view(_N_IN**2, n_in * n_out) / 24**2
    return of_weight.view(3, 3, n_in, n_out).permute(3, 2, 0, 1)


def _rows_of_tiles(
    x: Tensor, n_rows: int, n_columns: int, padding: int, size: int
) -> Iterator[tuple[int, slice, Tensor]]:
    """Yield some rows of tiles of a clip at a time.

    These are the clip, the rows, and the tiles (size**2, n_tiles * n_channels).
    """
    height, width = x.shape[2:]
    below, right = n_rows * _N_OUT - height, n_columns * _N_OUT - width
    x = x.permute(0, 2, 3, 1).contiguous()
    if padding or below or right:
        x = F.pad(x, (0, 0, padding, padding + right, padding, padding + below))
    tiles = x.unfold(1, size, _N_OUT).unfold(2, size, _N_OUT)
    step = -(-_N_TILES // n_columns)
    for clip, of_clip in enumerate(tiles):
        for first in range(0, n_rows, step):
            rows = slice(first, first + step)
            yield clip, rows, of_clip[rows].permute(3, 4, 0, 1, 2).reshape(size**2, -1)


def _both_axes(matrix):
    """Return the matrix that applies a transform to the rows and the columns of flat tiles."""
    along_one = torch.tensor(matrix, dtype=torch.float32)
    return torch.kron(along_one, along_one)
