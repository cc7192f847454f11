"""Short-time Fourier transform of a whole batch at once, for a GPU."""

from __future__ import annotations

import torch
from torch import Tensor


def stft_of_frames(
    samples: Tensor,
    onsets: Tensor,
    places: Tensor,
    shape: tuple[int, int],
    window: Tensor,
    n_fft: int,
) -> Tensor:
    """Transform frames of waveforms, and add them up at their places in a batch.

    Parameters
    ----------
    samples : Tensor of shape (n_samples,), float32
        All waveforms of the batch, concatenated.
    onsets : Tensor of shape (n_frames_in_all,), int64
        First sample of each frame.
    places : Tensor of shape (n_frames_in_all,), int64
        ``row * n_frames + frame`` of each frame in the batch. Frames at the same place are added
        up, which mixes them.
    shape : tuple of int
        (n_clips, n_frames) of the batch.
    window : Tensor of shape (win_length,), float32
        At most `n_fft` samples.
    n_fft : int
        Length of the FFT in samples. Frames are zero-padded to it.

    Returns
    -------
    Tensor of shape (n_clips, 1, n_frames, n_fft // 2 + 1, 2), float32
        Real and imaginary part.

    Examples
    --------
    >>> import torch
    >>> onsets, places = torch.tensor([0, 2, 4]), torch.tensor([0, 1, 1])
    >>> stft_of_frames(torch.ones(8), onsets, places, (1, 2), torch.ones(4), 4)[0, 0, :, 0, 0]
    tensor([4., 8.])
    """
    frames = samples.unfold(0, len(window), 1)[onsets] * window
    spectra = torch.view_as_real(torch.fft.rfft(frames, n=n_fft)).flatten(1)
    n_clips, n_frames = shape
    batch = spectra.new_zeros(n_clips * n_frames, spectra.shape[1])
    batch.index_add_(0, places, spectra)
    return batch.view(n_clips, 1, n_frames, -1, 2)
