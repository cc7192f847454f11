"""Chunks of a batch that are small enough for the memory allocator of the CPU."""

from __future__ import annotations

from torch import Tensor

# For larger tensors, the CPU allocator asks the system for memory each time, which takes longer
# than the arithmetic.
_CHUNK_VALUES = 2**22


def chunk_size(x: Tensor, n_channels: int) -> int:
    """Return how many clips of a batch pass the first layers, whose outputs are large, at a time.

    Parameters
    ----------
    x : Tensor of shape (n_clips, 1, height, n_frames)
        Input of the first layer.
    n_channels : int
        Number of output channels of the first layer.

    Returns
    -------
    int
        At least 1; all of them on a GPU.
    """
    if x.device.type != "cpu":
        return len(x)
    return max(1, _CHUNK_VALUES // (n_channels * x[0, 0].numel()))
