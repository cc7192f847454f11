"""Resample, shift and mix down waveforms, and check their samples."""

from __future__ import annotations

import math

import numpy as np
import soxr

_SILENCE = 1e-3  # magnitude


def resampled_length(n_samples: int, orig_sr: int, target_sr: int) -> int:
    """Return the number of samples after resampling.

    Parameters
    ----------
    n_samples : int
        Number of samples before.
    orig_sr, target_sr : int
        Sample rates before and after, in Hz.

    Returns
    -------
    int
        ``n_samples * target_sr / orig_sr``, rounded up.

    Examples
    --------
    >>> resampled_length(1000, 8000, 44100)
    5513
    """
    return math.ceil(n_samples * target_sr / orig_sr)


def resample(waveform: np.ndarray, orig_sr: int, target_sr: int) -> np.ndarray:
    """Change the sample rate, with soxr at high quality.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
        Waveform at the rate `orig_sr`.
    orig_sr, target_sr : int
        Sample rates before and after, in Hz.

    Returns
    -------
    ndarray of shape (n_channels, ceil(n_samples * target_sr / orig_sr)), float32
        The waveform itself if the rates are equal.
    """
    if orig_sr == target_sr:
        return waveform
    n_samples = resampled_length(waveform.shape[1], orig_sr, target_sr)
    resampled = soxr.resample(waveform.T, orig_sr, target_sr, quality="HQ").T
    return _fit_length(resampled, n_samples)


def to_mono(waveform: np.ndarray, scale: str = "peak") -> np.ndarray:
    """Average the channels of a waveform, and scale it.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
    scale : {"peak", "raw"}, default="peak"
        "peak": each channel is centered, and the average is divided by its maximum magnitude plus
        0.001. Its peak is then just below 1, and silence stays silent. "raw": neither.

    Returns
    -------
    ndarray of shape (n_samples,), float32

    Examples
    --------
    >>> import numpy as np
    >>> to_mono(np.array([[0.0, 2.0], [1.0, 1.0]], dtype=np.float32)).round(2)
    array([-1.,  1.], dtype=float32)
    >>> to_mono(np.array([[0.0, 2.0], [1.0, 1.0]], dtype=np.float32), "raw")
    array([0.5, 1.5], dtype=float32)
    """
    if scale == "raw":
        return waveform[0].copy() if len(waveform) == 1 else waveform.mean(axis=0)
    # The channels of files are interleaved, so that NumPy sums a channel sequentially instead of
    # pairwise. In float32, the mean over minutes would then be wrong in its first digits.
    dtype = np.float32 if len(waveform) == 1 else np.float64
    means = waveform.mean(axis=1, keepdims=True, dtype=dtype).astype(np.float32)
    centered = waveform - means
    mono = centered[0] if len(centered) == 1 else centered.mean(axis=0)
    mono /= max(mono.max(), -mono.min()) + np.float32(_SILENCE)
    return mono


def channels_cancel(waveform: np.ndarray) -> bool:
    """Return whether the channels cancel in their average, as with opposite polarity.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
        Channels with or without an offset.

    Returns
    -------
    bool
        True if the average is more than 40 dB below the channels and they are not silent.

    Examples
    --------
    >>> import numpy as np
    >>> channel = np.array([0.0, 0.5, -0.5], dtype=np.float32)
    >>> channels_cancel(np.stack([channel, -channel]))
    True
    """
    if len(waveform) == 1:
        return False
    centered = waveform - waveform.mean(axis=1, keepdims=True)
    mono = centered.mean(axis=0)
    return is_lost(np.vdot(centered, centered) / centered.size, np.vdot(mono, mono) / mono.size)


def is_lost(power: float, power_of_mono: float) -> bool:
    """Return whether channels cancel, see :func:`channels_cancel`.

    Parameters
    ----------
    power : float
        Mean square of all channels.
    power_of_mono : float
        Mean square of their average.

    Returns
    -------
    bool
    """
    return bool(power > _SILENCE**2 and power_of_mono < 1e-4 * power)


def check_finite(data: np.ndarray, name: str, *, first: int | None = None) -> None:
    """Raise a ValueError if samples are NaN or infinite.

    Parameters
    ----------
    data : ndarray of shape (n_samples, n_channels), float
        All samples of a clip, or a block of them.
    name : str
        Name of the clip in the message.
    first : int or None, default=None
        Position of the block in the clip, in samples. None: the data are the whole clip.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(data.sum()):
            return
    bad = np.flatnonzero(~np.isfinite(data).all(axis=1))
    if len(bad):
        in_all = f" ({len(bad)} such samples in all)" if first is None else ""
        raise ValueError(
            f"{name}: sample {(first or 0) + bad[0]} is NaN or infinite{in_all}. "
            "Samples must be finite: repair the audio or leave the clip out."
        )


def _fit_length(waveform, n_samples):
    """Cut or zero-pad a waveform of shape (n_channels, n) to `n_samples`."""
    missing = n_samples - waveform.shape[1]
    if missing > 0:
        return np.pad(waveform, ((0, 0), (0, missing)))
    return waveform[:, :n_samples]


def roll(waveform: np.ndarray, n_roll: int, sample_rate: int) -> np.ndarray:
    """Shift a waveform in time. What leaves at its end returns at its beginning.

    The first and last 10 ms are faded out before, to avoid a click where they meet.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
    n_roll : int
        Shift to the right in samples. 0: the waveform is returned unchanged.
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray of shape (n_channels, n_samples), float32
    """
    if n_roll == 0:
        return waveform
    waveform = waveform.copy()
    n_fade = min(sample_rate // 100, waveform.shape[1])
    if n_fade:
        cosine = np.cos(np.pi * np.arange(n_fade) / n_fade).astype(waveform.dtype)
        waveform[:, :n_fade] *= 0.5 - 0.5 * cosine
        waveform[:, -n_fade:] *= 0.5 + 0.5 * cosine
    return np.roll(waveform, n_roll, axis=1)


def place(waveform: np.ndarray, offset: int, n_total: int, n_fade: int) -> np.ndarray:
    """Put a waveform into silence.

    Its edges fade as a raised cosine, except those that are edges of the result, too.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,), float32
    offset : int
        Its first sample in the result, from 0 to ``n_total - n_samples``.
    n_total : int
        Length of the result in samples.
    n_fade : int
        Length of a fade in samples, or that of the waveform if it is shorter.

    Returns
    -------
    ndarray of shape (n_total,), float32

    Examples
    --------
    >>> import numpy as np
    >>> place(np.ones(6, np.float32), 1, 8, 2)
    array([0. , 0. , 0.5, 1. , 1. , 0.5, 0. , 0. ], dtype=float32)
    """
    end, n_fade = offset + len(waveform), min(n_fade, len(waveform))
    placed = np.zeros(n_total, np.float32)
    placed[offset:end] = waveform
    rising = (0.5 - 0.5 * np.cos(np.pi * np.arange(n_fade) / max(1, n_fade))).astype(np.float32)
    if offset > 0:
        placed[offset : offset + n_fade] *= rising
    if end < n_total:
        placed[end - n_fade : end] *= rising[::-1]
    return placed
