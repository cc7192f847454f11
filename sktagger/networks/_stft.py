"""Short-time Fourier transform of a whole batch at once, for a GPU."""

import torch


def stft_of_frames(samples, onsets, places, shape, window, n_fft):
    """Transform frames of waveforms, and add them up at their places in a batch.

    Parameters
    ----------
    samples : Tensor of shape (n_samples,), float32
        The waveforms of the batch, end to end.
    onsets : Tensor of shape (n_frames_in_all,), int64
        First sample of each frame.
    places : Tensor of shape (n_frames_in_all,), int64
        ``row * n_frames + frame`` of each frame in the batch. Two frames may have the same place:
        then they are mixed.
    shape : tuple of int
        (n_clips, n_frames) of the batch.
    window : Tensor of shape (n,), float32
        n is at most `n_fft`.
    n_fft : int
        Length of the FFT; frames are zero-padded to it.

    Returns
    -------
    Tensor of shape (n_clips, 1, n_frames, n_fft // 2 + 1, 2), float32

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
