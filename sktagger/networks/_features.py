"""Normalized log-mel features of an STFT, and their distortions in training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sktagger.networks._masking import Frames, RunningNorm

LOG_FLOOR = 1e-12
CLAMP = 6.0


def hz_to_mel(frequency: float) -> float:
    """Convert Hz to mel on the HTK scale.

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
    >>> round(hz_to_mel(700.0), 2)
    781.17
    """
    return 2595.0 * math.log10(1.0 + frequency / 700.0)


def warp_mel(points: Tensor, warp: Tensor, top: float) -> Tensor:
    """Stretch the lower part of the mel axis, as another vocal tract or body would.

    Points up to a breakpoint b are multiplied by the factor w. From there, a straight line
    continues to `top`, which does not move. If ``b`` or ``w * b`` would lie above `top`, all
    points are multiplied by w.

    Parameters
    ----------
    points : Tensor of shape (n_points,)
        Positions in mel.
    warp : Tensor of shape (n_clips, 2)
        Factor w > 0 and relative position r >= 0 of the breakpoint for each clip, with
        ``b = r * top * min(w, 1) / w``.
    top : float
        Upper end of the mel axis.

    Returns
    -------
    Tensor of shape (n_clips, n_points)

    Examples
    --------
    >>> import torch
    >>> warp_mel(torch.tensor([10.0, 20.0, 40.0]), torch.tensor([[1.5, 0.75]]), 40.0)
    tensor([[15., 30., 40.]])
    """
    factor, position = warp[:, :1], warp[:, 1:]
    knee = position * top * factor.clamp(max=1.0) / factor
    knee = torch.where((knee > top) | (factor * knee > top), top, knee)
    above = points > knee
    slope = (top - factor * knee) / torch.where(above, top - knee, 1.0)
    return torch.where(above, top + slope * (points - top), factor * points)


def mel_filterbank(
    sample_rate: float,
    n_fft: int,
    n_mels: int = 128,
    fmin: float = 50.0,
    *,
    warp: Tensor | None = None,
) -> Tensor:
    """Compute triangular mel filters over the bins of an FFT.

    Parameters
    ----------
    sample_rate : float
        In Hz. The upper end of the last filter is at half of it.
    n_fft : int
        Length of the FFT in samples.
    n_mels : int, default=128
        Number of filters.
    fmin : float, default=50.0
        Lower end of the first filter in Hz.
    warp : Tensor of shape (n_clips, 2) or None, default=None
        Warp of each clip, see :func:`warp_mel`. The result has a filterbank for each clip.

    Returns
    -------
    Tensor of shape (n_bins, n_mels), or (n_clips, n_bins, n_mels) with `warp`, float32
        Each filter is at least one bin wide on both sides of its center and sums to 1.

    Examples
    --------
    >>> fbanks = mel_filterbank(16000, 512)
    >>> fbanks.shape
    torch.Size([257, 128])
    """
    device = None if warp is None else warp.device
    top = hz_to_mel(sample_rate / 2)
    mel = torch.linspace(hz_to_mel(fmin), top, n_mels + 2, dtype=torch.float64, device=device)
    if warp is not None:
        mel = warp_mel(mel, warp.double(), top)
    points = 700.0 * (10.0 ** (mel / 2595.0) - 1.0) * n_fft / sample_rate
    center = points[..., 1:-1]
    left = torch.minimum(points[..., :-2], center - 1)
    right = torch.maximum(points[..., 2:], center + 1)
    if warp is not None:  # computed for every batch; float32 is accurate enough here, and faster
        left, center, right = left.float(), center.float(), right.float()
    bins = torch.arange(n_fft // 2 + 1, dtype=left.dtype, device=device)[:, None]
    left, center, right = left[..., None, :], center[..., None, :], right[..., None, :]
    rising = (bins - left).mul_(1 / (center - left))
    falling = (right - bins).mul_(1 / (right - center))
    triangles = torch.minimum(rising, falling, out=rising).clamp_(min=0)
    return triangles.div_(triangles.sum(-2, keepdim=True) + 1e-6).float()


class _MelTransform(nn.Module):
    """Power spectrum -> logarithm of mel bands, by the filters in ``fbanks``."""

    fbanks: Tensor

    def __init__(self, sample_rate, n_fft, n_mels, fmin):
        super().__init__()
        self.sizes = (sample_rate, n_fft, n_mels, fmin)
        self.register_buffer("fbanks", mel_filterbank(*self.sizes))

    def forward(self, power, warp=None):
        # use the filters of the checkpoint unless this batch is warped
        fbanks = self.fbanks if warp is None else mel_filterbank(*self.sizes, warp=warp)
        return (power @ fbanks).add_(LOG_FLOOR).log_()


class LogMel(nn.Module):
    """Log-mel features of an STFT, normalized per band, clamped to [-6, 6], without gradient.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    n_fft : int
        Length of the FFT in samples.
    n_mels : int, default=128
        Number of mel bands.
    fmin : float, default=50.0
        Lower end of the first band in Hz.
    """

    def __init__(self, sample_rate: float, n_fft: int, n_mels: int = 128, fmin: float = 50.0):
        super().__init__()
        self.mel_transform = _MelTransform(sample_rate, n_fft, n_mels, fmin)
        self.norm = RunningNorm(n_mels)

    @torch.no_grad()
    def forward(
        self,
        stft: Tensor,
        n_frames: Tensor,
        *,
        warp: Tensor | None = None,
        time_mask: Tensor | None = None,
        mel_mask: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Compute the features.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2), float32
            Real and imaginary part.
        n_frames : Tensor of shape (n_clips,), integer
            Number of valid frames of each clip.
        warp : Tensor of shape (n_clips, 2), float32, or None, default=None
            Warp of the mel axis for each clip, see :func:`warp_mel`.
        time_mask : Tensor of shape (n_clips, 2), integer, or None, default=None
            First frame and number of frames to set to 0 in each clip.
        mel_mask : Tensor of shape (n_clips, 2), integer, or None, default=None
            First band and number of bands to set to 0 in each clip.
        noise : Tensor of shape (n_clips, 2), float32, or None, default=None
            Standard deviation of white noise that is added to the features of each clip after they
            are clamped and before they are masked, and its seed, an integer. What is added depends
            on the seed, the number of frames and the number of bands only.

        Returns
        -------
        Tensor of shape (n_clips, 1, n_mels, n_frames), float32
            0 beyond the frames of a clip.
        """
        real, imaginary = stft[:, 0].unbind(-1)
        power = real.square().addcmul_(imaginary, imaginary)
        x = self.mel_transform(power, warp).transpose(1, 2)[:, None]
        length = x.shape[-1]
        x = self.norm(x, Frames.of(n_frames, length))
        x = x.clamp_(-CLAMP, CLAMP)
        if noise is not None:
            _add_noise(x, n_frames, noise)
        if time_mask is not None:
            x = x.masked_fill_(frame_mask(time_mask, length)[:, None, None, :], 0.0)
        if mel_mask is not None:
            x = x.masked_fill_(frame_mask(mel_mask, x.shape[2])[:, None, :, None], 0.0)
        return x


def _add_noise(x, n_frames, noise):
    """Add white noise to the frames of each clip, the same on all devices."""
    for clip, n, (level, seed) in zip(x, n_frames.tolist(), noise.tolist(), strict=True):
        if level:
            generator = torch.Generator().manual_seed(int(seed))
            drawn = torch.randn(clip.shape[1], n, generator=generator)
            clip[0, :, :n].add_(drawn.to(clip.device), alpha=level)


def frame_mask(onset_and_width: Tensor, length: int) -> Tensor:
    """Say which frames or bands a mask covers.

    Parameters
    ----------
    onset_and_width : Tensor of shape (n_clips, 2), integer
        First one and number of them, for each clip.
    length : int
        Number of frames or bands.

    Returns
    -------
    Tensor of shape (n_clips, length), bool

    Examples
    --------
    >>> import torch
    >>> frame_mask(torch.tensor([[1, 2]]), 4)
    tensor([[False,  True,  True, False]])
    """
    position = torch.arange(length, device=onset_and_width.device)
    onset, width = onset_and_width[:, :1], onset_and_width[:, 1:]
    return (position >= onset) & (position < onset + width)
