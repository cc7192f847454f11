"""Log-mel features with the mel filters of Kaldi, as EfficientAT's networks expect them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktagger.networks._features import frame_mask
from sktagger.networks._masking import Frames

_LOG_FLOOR = 1e-5
_SHIFT, _SCALE = 4.5, 5.0


def kaldi_filterbank(
    sample_rate: float, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> Tensor:
    """Compute triangular mel filters as Kaldi does: linear in mel, of height 1.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    n_fft : int
        Length of the FFT in samples.
    n_mels : int
        Number of filters.
    fmin, fmax : float
        Lower end of the first and upper end of the last filter, in Hz.

    Returns
    -------
    Tensor of shape (n_bins, n_mels), float32
        0 in the last bin, which Kaldi leaves out.

    Examples
    --------
    >>> kaldi_filterbank(32000, 1024, 128, 0.0, 15000.0).shape
    torch.Size([513, 128])
    """

    def to_mel(frequency: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(frequency / 700.0)

    low, high = to_mel(torch.tensor([fmin, fmax], dtype=torch.float64))
    step = (high - low) / (n_mels + 1)
    left = low + step * torch.arange(n_mels, dtype=torch.float64)
    bins = to_mel(torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft)
    rising = (bins[:, None] - left) / step
    filters = torch.minimum(rising, 2 - rising).clamp(min=0)
    filters[n_fft // 2] = 0
    return filters.float()


class KaldiLogMel(nn.Module):
    """Shifted and scaled log-mel features of an STFT, without gradient and statistics.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    n_fft : int
        Length of the FFT in samples.
    n_mels : int
        Number of mel bands.
    fmin, fmax : float
        Lower end of the first and upper end of the last band, in Hz.
    """

    filters: Tensor

    def __init__(self, sample_rate: float, n_fft: int, n_mels: int, fmin: float, fmax: float):
        super().__init__()
        with torch.device("cpu"):
            filters = kaldi_filterbank(sample_rate, n_fft, n_mels, fmin, fmax)
        self.register_buffer("filters", filters, persistent=False)

    @torch.no_grad()
    def forward(
        self,
        stft: Tensor,
        n_frames: Tensor,
        *,
        time_mask: Tensor | None = None,
        mel_mask: Tensor | None = None,
    ) -> Tensor:
        """Compute the features.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2), float32
            Real and imaginary part.
        n_frames : Tensor of shape (n_clips,), integer
            Number of valid frames of each clip.
        time_mask : Tensor of shape (n_clips, 2), integer, or None, default=None
            First frame and number of frames whose log-mel energy is set to 0 in each clip.
        mel_mask : Tensor of shape (n_clips, 2), integer, or None, default=None
            First band and number of bands whose log-mel energy is set to 0 in each clip.

        Returns
        -------
        Tensor of shape (n_clips, 1, n_mels, n_frames), float32
            ``(ln(energy + 1e-5) + 4.5) / 5``, and 0 beyond the frames of a clip.
        """
        real, imaginary = stft[:, 0].unbind(-1)
        power = real.square().addcmul_(imaginary, imaginary)
        x = (power @ self.filters).add_(_LOG_FLOOR).log_()
        if time_mask is not None:
            x = x.masked_fill_(frame_mask(time_mask, x.shape[1])[:, :, None], 0.0)
        if mel_mask is not None:
            x = x.masked_fill_(frame_mask(mel_mask, x.shape[2])[:, None, :], 0.0)
        x = x.add_(_SHIFT).div_(_SCALE).transpose(1, 2)[:, None]
        return Frames.of(n_frames, x.shape[-1]).fill_(x)
