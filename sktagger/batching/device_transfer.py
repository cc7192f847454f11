"""Move batches to the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sktagger.audio.spectral import STFTSizes, window_of
from sktagger.networks import stft_of_frames

__all__ = ["padded_length", "pin", "to_device"]

_FRAME_STEP = 16  # with few different sizes, batches can reuse the memory of earlier ones


def padded_length(n_frames: int) -> int:
    """Round up the length of the longest clip of a batch to that of the padded batch.

    Parameters
    ----------
    n_frames : int
        Number of frames of the longest clip.

    Returns
    -------
    int
        A multiple of 16.

    Examples
    --------
    >>> padded_length(17)
    32
    """
    return -(-n_frames // _FRAME_STEP) * _FRAME_STEP


def pin(
    batch: tuple[dict[str, Tensor], Any], device: torch.device
) -> tuple[dict[str, Tensor], Any]:
    """Copy a batch to pinned memory, which a GPU can read while the CPU continues.

    Parameters
    ----------
    batch : tuple of dict of Tensor, and tuple of Tensor or Tensor
        Inputs and targets, see :class:`sktagger.batching.dataset.Batch`.
    device : torch.device
        Where the batch will go. Unless it is a GPU, nothing is copied.

    Returns
    -------
    tuple of dict of Tensor, and tuple of Tensor or Tensor
        The copy.
    """
    if device.type != "cuda":
        return batch
    inputs, targets = batch
    inputs = {name: tensor.pin_memory() for name, tensor in inputs.items()}
    if isinstance(targets, tuple):
        return inputs, tuple(tensor.pin_memory() for tensor in targets)
    return inputs, targets.pin_memory()


def to_device(
    inputs: dict[str, Tensor], device: torch.device, sizes: STFTSizes
) -> dict[str, Tensor]:
    """Move the inputs of a batch to the device, and compute the STFT there if they have none.

    Parameters
    ----------
    inputs : dict of Tensor
        See :meth:`sktagger.batching.dataset.ClipDataset.inputs`.
    device : torch.device
    sizes : STFTSizes
        Sizes of the STFT.

    Returns
    -------
    dict of Tensor
        Arguments of :meth:`sktagger.networks.NetworkModule.forward`.
    """
    length = padded_length(int(inputs["n_frames"].max()))
    inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
    if "samples" in inputs:
        frames = (inputs.pop(name) for name in ("samples", "onsets", "places"))
        window = torch.from_numpy(window_of(sizes)).to(device)
        shape = (len(inputs["n_frames"]), length)
        inputs["stft"] = stft_of_frames(*frames, shape, window, sizes.n_fft)
    return inputs
