"""Log-mel spectra in dB with the filters that librosa computes by default."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

_LINEAR_END = 1000.0  # Hz: the scale is linear below, logarithmic above
_HZ_PER_MEL = 200.0 / 3.0
_MELS_PER_STEP = 27.0 / math.log(6.4)
_POWER_FLOOR = 1e-10  # -100 dB


def hz_to_slaney(frequency: float) -> float:
    """Convert Hz to mel on the scale of Slaney's Auditory Toolbox.

    Parameters
    ----------
    frequency : float
        In Hz.

    Returns
    -------
    float
        In mel.

    Examples
    --------
    >>> round(hz_to_slaney(200.0), 6), round(hz_to_slaney(6400.0), 6)
    (3.0, 42.0)
    """
    if frequency < _LINEAR_END:
        return frequency / _HZ_PER_MEL
    return _LINEAR_END / _HZ_PER_MEL + _MELS_PER_STEP * math.log(frequency / _LINEAR_END)


def slaney_filters(sample_rate: float, n_fft: int, n_mels: int, fmin: float, fmax: float) -> Tensor:
    """Compute triangular mel filters of equal area over the bins of an FFT.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    n_fft : int
        Length of the FFT in samples.
    n_mels : int
        Number of filters.
    fmin, fmax : float
        Lower end of the first filter and upper end of the last one in Hz.

    Returns
    -------
    Tensor of shape (n_bins, n_mels), float32
        The area under each filter over frequencies in Hz is 1.

    Examples
    --------
    >>> slaney_filters(32000, 1024, 64, 50.0, 14000.0).shape
    torch.Size([513, 64])
    """
    mel = np.linspace(hz_to_slaney(fmin), hz_to_slaney(fmax), n_mels + 2)
    knee = _LINEAR_END / _HZ_PER_MEL
    above = _LINEAR_END * np.exp((mel - knee) / _MELS_PER_STEP)
    points = np.where(mel < knee, mel * _HZ_PER_MEL, above)
    left, center, right = points[:-2], points[1:-1], points[2:]
    frequencies = np.arange(n_fft // 2 + 1)[:, None] * (sample_rate / n_fft)
    rising = (frequencies - left) / (center - left)
    falling = (right - frequencies) / (right - center)
    triangles = np.minimum(rising, falling).clip(min=0)
    return torch.from_numpy((triangles * 2 / (right - left)).astype(np.float32))


class LogMelPower(nn.Module):
    """Log-mel power spectra in dB, without gradient and without normalization.

    Parameters
    ----------
    filters : Tensor of shape (n_bins, n_mels), float32
        They are no part of the state dict.
    """

    filters: Tensor

    def __init__(self, filters: Tensor):
        super().__init__()
        self.register_buffer("filters", filters, persistent=False)

    @torch.no_grad()
    def forward(self, stft: Tensor) -> Tensor:
        """Compute the spectra.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2), float32
            Real and imaginary part.

        Returns
        -------
        Tensor of shape (n_clips, n_frames, n_mels), float32
            At least -100 dB, which is that of silence.
        """
        real, imaginary = stft[:, 0].unbind(-1)
        power = real.square().addcmul_(imaginary, imaginary)
        return (power @ self.filters).clamp_(min=_POWER_FLOOR).log10_().mul_(10)
