"""STFT -> normalised log-mel features, with the training-time distortions of them."""

import math

import torch
from torch import nn

from sktagger.networks._masking import Frames, RunningNorm

LOG_FLOOR = 1e-12
CLAMP = 6.0


def hz_to_mel(frequency):
    """Convert Hz to mel on the HTK scale.

    Parameters
    ----------
    frequency : float
        In Hz.

    Returns
    -------
    float

    Examples
    --------
    >>> round(hz_to_mel(700.0), 2)
    781.17
    """
    return 2595.0 * math.log10(1.0 + frequency / 700.0)


def warp_mel(points, warp, top):
    """Stretch the lower part of the mel axis, as another vocal tract or body would.

    Points up to a breakpoint b are multiplied by the factor w; from there a straight line goes
    on to `top`, which stays where it is. Where ``b`` or ``w * b`` would lie above `top` there
    is no second part.

    Parameters
    ----------
    points : Tensor of shape (n_points,)
        Positions in mel.
    warp : Tensor of shape (n_clips, 2)
        Per clip the factor w > 0 and the breakpoint's relative position r >= 0:
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


def mel_filterbank(sample_rate, n_fft, n_mels=128, fmin=50.0, *, warp=None):
    """Compute triangular mel filters over the bins of an FFT.

    Parameters
    ----------
    sample_rate : float
        In Hz. The filters reach up to half of it.
    n_fft : int
        Length of the FFT in samples.
    n_mels : int, default=128
        Number of filters.
    fmin : float, default=50.0
        Lower foot of the first filter in Hz.
    warp : Tensor of shape (n_clips, 2) or None, default=None
        See :func:`warp_mel`; gives a filterbank for each clip.

    Returns
    -------
    Tensor of shape (n_bins, n_mels), or (n_clips, n_bins, n_mels) with `warp`, float32
        Each filter is at least one bin wide on both sides of its centre and sums to 1.

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
    centre = points[..., 1:-1]
    left = torch.minimum(points[..., :-2], centre - 1)
    right = torch.maximum(points[..., 2:], centre + 1)
    if warp is not None:  # made for each batch anew: so accurate will do, and is faster
        left, centre, right = left.float(), centre.float(), right.float()
    bins = torch.arange(n_fft // 2 + 1, dtype=left.dtype, device=device)[:, None]
    left, centre, right = left[..., None, :], centre[..., None, :], right[..., None, :]
    rising = (bins - left).mul_(1 / (centre - left))
    falling = (right - bins).mul_(1 / (right - centre))
    triangles = torch.minimum(rising, falling, out=rising).clamp_(min=0)
    return triangles.div_(triangles.sum(-2, keepdim=True) + 1e-6).float()


class _MelTransform(nn.Module):
    """Power spectrum -> log-mel by the filters in ``fbanks``."""

    def __init__(self, sample_rate, n_fft, n_mels, fmin):
        super().__init__()
        self.sizes = (sample_rate, n_fft, n_mels, fmin)
        self.register_buffer("fbanks", mel_filterbank(*self.sizes))

    def forward(self, power, warp=None):
        # the filters of the checkpoint rule unless they are warped
        fbanks = self.fbanks if warp is None else mel_filterbank(*self.sizes, warp=warp)
        return (power @ fbanks).add_(LOG_FLOOR).log_()


class LogMel(nn.Module):
    """STFT -> log-mel features, normalised per band, clamped to [-6, 6]. Without gradient.

    Parameters
    ----------
    sample_rate : float
        In Hz.
    n_fft : int
        Length of the FFT in samples.
    n_mels : int, default=128
        Number of mel bands.
    fmin : float, default=50.0
        Lower foot of the first band in Hz.
    """

    def __init__(self, sample_rate, n_fft, n_mels=128, fmin=50.0):
        super().__init__()
        self.mel_transform = _MelTransform(sample_rate, n_fft, n_mels, fmin)
        self.norm = RunningNorm(n_mels)

    @torch.no_grad()
    def forward(self, stft, n_frames, *, warp=None, time_mask=None, mel_mask=None):
        """Compute the features.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2)
            Real and imaginary part.
        n_frames : Tensor of shape (n_clips,), integer
            Valid frames of each clip.
        warp : Tensor of shape (n_clips, 2) or None
            Warped filters for each clip, see :func:`warp_mel`.
        time_mask, mel_mask : Tensor of shape (n_clips, 2), integer, or None
            Onset and width of a stretch of frames (of bands) to set to 0.

        Returns
        -------
        Tensor of shape (n_clips, 1, n_mels, n_frames), 0 beyond a clip's frames
        """
        real, imaginary = stft[:, 0].unbind(-1)
        power = real.square().addcmul_(imaginary, imaginary)
        x = self.mel_transform(power, warp).transpose(1, 2)[:, None]
        length = x.shape[-1]
        x = self.norm(x, Frames.of(n_frames, length))
        x = x.clamp_(-CLAMP, CLAMP)
        if time_mask is not None:
            x = x.masked_fill_(_stretch(time_mask, length)[:, None, None, :], 0.0)
        if mel_mask is not None:
            x = x.masked_fill_(_stretch(mel_mask, x.shape[2])[:, None, :, None], 0.0)
        return x


def _stretch(onset_and_width, length):
    """Turn (onset, width) rows into a bool mask of shape (n_clips, length)."""
    position = torch.arange(length, device=onset_and_width.device)
    onset, width = onset_and_width[:, :1], onset_and_width[:, 1:]
    return (position >= onset) & (position < onset + width)
