"""Batches on their way to the device."""

import torch

from sktagger.audio.spectral import STFTSizes, window_of
from sktagger.networks import stft_of_frames

# Memory that one batch has freed then fits another
_FRAME_STEP = 16


def padded_length(n_frames: int) -> int:
    """Give the number of frames to which a batch is padded whose longest clip has `n_frames`."""
    return -(-n_frames // _FRAME_STEP) * _FRAME_STEP


def pin(batch, device: torch.device):
    """Copy a batch to memory from which a GPU can fetch it while the processor goes on.

    Parameters
    ----------
    batch : tuple of dict of Tensor, and tuple of Tensor or Tensor
        What :class:`sktagger.batching.dataset.ClipDataset` makes.
    device : torch.device
        On the CPU, nothing is copied.

    Returns
    -------
    batch
    """
    if device.type != "cuda":
        return batch
    inputs, targets = batch
    inputs = {name: tensor.pin_memory() for name, tensor in inputs.items()}
    if isinstance(targets, tuple):
        return inputs, tuple(tensor.pin_memory() for tensor in targets)
    return inputs, targets.pin_memory()


def to_device(inputs: dict, device: torch.device, sizes: STFTSizes) -> dict:
    """Bring the inputs of a batch to the device, as arguments of the network.

    Parameters
    ----------
    inputs : dict of Tensor
        With the STFT, or with waveforms and frames, which are transformed on the device.
    device : torch.device
    sizes : STFTSizes

    Returns
    -------
    dict of Tensor
        Arguments of :meth:`sktagger.networks.WALNet.forward`.
    """
    length = padded_length(int(inputs["n_frames"].max()))
    inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
    if "samples" in inputs:
        frames = (inputs.pop(name) for name in ("samples", "onsets", "places"))
        window = torch.from_numpy(window_of(sizes)).to(device)
        shape = (len(inputs["n_frames"]), length)
        inputs["stft"] = stft_of_frames(*frames, shape, window, sizes.n_fft)
    return inputs
