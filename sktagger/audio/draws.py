"""Draw the distortions of training clips: roll, gain, stretch, mixup, mel warp, noise, masks.

All random numbers of a training clip are drawn here, from generators of NumPy, before its audio is
read. A batch therefore depends only on the seed, and not on the number of loader threads or the
device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from sktagger.audio.augmentation import Augmentation
from sktagger.audio.onsets import stretched_onsets, warped_onsets
from sktagger.audio.spectral import STFTSizes, frame_onsets

__all__ = [
    "FeatureDraw",
    "WaveformDraw",
    "draw_features",
    "draw_mixup_onset",
    "draw_superposition",
    "draw_waveform",
    "truncated_normal",
]


class WaveformDraw(NamedTuple):
    """Distortions of one waveform.

    Attributes
    ----------
    n_roll : int
        Shift to the right in samples, see :func:`sktagger.audio._waveforms.roll`.
    gain : float
        Factor that the waveform is multiplied by.
    onsets : ndarray of shape (n_frames,), int
        First sample of each frame of the STFT.
    offset : int
        First sample of the waveform in a mixture of waveforms.
    n_total : int or None
        Length of this mixture in samples. None: the waveform is in none.
    """

    n_roll: int
    gain: float
    onsets: np.ndarray
    offset: int = 0
    n_total: int | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames of the STFT."""
        return len(self.onsets)


class FeatureDraw(NamedTuple):
    """Distortions of the features of one clip, see :meth:`sktagger.networks.LogMel.forward`.

    Attributes
    ----------
    warp : tuple of float
        Factor and relative position of the breakpoint, see :func:`sktagger.networks.warp_mel`.
    time_mask : tuple of int
        First frame and number of frames that are set to 0.
    mel_mask : tuple of int
        First band and number of bands that are set to 0.
    noise : tuple of float
        Standard deviation of the noise, and an integer below 2**24 as its seed, which float32
        represents exactly.
    """

    warp: tuple[float, float]
    time_mask: tuple[int, int]
    mel_mask: tuple[int, int]
    noise: tuple[float, float] = (0.0, 0.0)


def truncated_normal(rng: np.random.Generator, mean: float, std: float, limit: float) -> float:
    """Draw from a truncated normal distribution.

    Parameters
    ----------
    rng : numpy.random.Generator
    mean : float
        Mean of the distribution.
    std : float
        Standard deviation before truncation, >= 0.
    limit : float
        Maximum deviation from the mean, >= 0.

    Returns
    -------
    float
    """
    if std == 0 or limit == 0:
        return mean
    low = ndtr(-limit / std)
    return mean + std * ndtri(rng.uniform(low, 1 - low))


def draw_waveform(
    augmentation: Augmentation,
    rng: np.random.Generator,
    n_samples: int,
    sizes: STFTSizes,
    sample_rate: int,
) -> WaveformDraw:
    """Draw the distortions of one waveform.

    Parameters
    ----------
    augmentation : Augmentation
        Settings of the distortions.
    rng : numpy.random.Generator
    n_samples : int
        Length of the waveform in samples.
    sizes : STFTSizes
        Sizes of the STFT.
    sample_rate : int
        In Hz.

    Returns
    -------
    WaveformDraw
    """
    a = augmentation
    rolls = rng.random() < a.roll_prob
    n_roll = int(rng.random() * n_samples) if rolls else 0
    gain = float(np.exp(truncated_normal(rng, a.gain_mean, a.gain_std, a.gain_limit)))
    if a.stretch:
        onsets = stretched_onsets(
            n_samples, sizes, sample_rate, lambda: rng.uniform(1 - a.stretch, 1 + a.stretch)
        )
    elif a.time_warp:
        position = rng.uniform(0.4, 0.6)
        onsets = warped_onsets(n_samples, sizes, position, rng.uniform(-a.time_warp, a.time_warp))
    else:
        onsets = frame_onsets(n_samples, sizes)
    return WaveformDraw(n_roll, gain, onsets)


def draw_superposition(
    rng: np.random.Generator, draws: tuple[WaveformDraw, WaveformDraw], lengths: tuple[int, int]
) -> tuple[WaveformDraw, WaveformDraw]:
    """Draw where the shorter of two waveforms lies inside the longer one.

    Parameters
    ----------
    rng : numpy.random.Generator
    draws : tuple of WaveformDraw
        Distortions of each waveform.
    lengths : tuple of int
        Their lengths in samples.

    Returns
    -------
    tuple of WaveformDraw
        Both have the frames of the longer waveform. The `offset` of the shorter one is uniform over
        all positions at which it lies inside.

    Examples
    --------
    >>> import numpy as np
    >>> draws = WaveformDraw(0, 1.0, np.arange(3)), WaveformDraw(0, 1.0, np.arange(2))
    >>> [draw[3:] for draw in draw_superposition(np.random.default_rng(0), draws, (50, 40))]
    [(0, 50), (9, 50)]
    """
    first, second = lengths
    offset = int(rng.integers(0, abs(first - second), endpoint=True))
    offsets = (0, offset) if first >= second else (offset, 0)
    onsets = draws[0 if first >= second else 1].onsets
    placed = [
        draw._replace(onsets=onsets, offset=begin, n_total=max(lengths))
        for draw, begin in zip(draws, offsets, strict=True)
    ]
    return placed[0], placed[1]


def draw_features(
    augmentation: Augmentation, rng: np.random.Generator, n_frames: int, n_mels: int
) -> FeatureDraw:
    """Draw the distortions of the features of one clip.

    Parameters
    ----------
    augmentation : Augmentation
        Settings of the distortions.
    rng : numpy.random.Generator
    n_frames : int
        Number of frames of the clip.
    n_mels : int
        Number of mel bands.

    Returns
    -------
    FeatureDraw
        The warp factor is ``exp(g)``, where g is normal with a magnitude of at most ln 1.3. The
        relative position of the breakpoint is exponential with mean 0.5, and at most 5. The width
        of a mask is uniform from 0 to its maximum, and its onset is uniform over all positions
        that the width allows. The standard deviation of the noise is uniform.
    """
    a = augmentation
    factor = float(np.exp(truncated_normal(rng, 0.0, a.warp_std, np.log(1.3))))
    position = rng.exponential(0.5)
    while position > 5:
        position = rng.exponential(0.5)
    widest = int(min(a.time_mask_frames, a.time_mask * n_frames))
    draw = FeatureDraw(
        (factor, float(position)),
        _draw_mask(rng, widest, n_frames),
        _draw_mask(rng, min(a.mel_mask, n_mels), n_mels),
    )
    if a.noise:
        level = float(rng.uniform(0, a.noise))
        draw = draw._replace(noise=(level, float(rng.integers(2**24))))
    return draw


def _draw_mask(rng, widest, length):
    width = int(rng.integers(0, widest, endpoint=True))
    return int(rng.integers(0, length - width, endpoint=True)), width


def draw_mixup_onset(
    augmentation: Augmentation,
    rng: np.random.Generator,
    n_first: int,
    n_second: int,
    max_frames: int,
) -> int | None:
    """Draw the onset of the second clip of a mixture, relative to the first.

    Parameters
    ----------
    augmentation : Augmentation
        Settings of the distortions.
    rng : numpy.random.Generator
    n_first : int
        Number of frames of the first clip.
    n_second : int
        Number of frames of the second clip.
    max_frames : int
        Maximum number of frames of the mixture.

    Returns
    -------
    onset : int or None
        In frames; negative if the second clip begins first. None if no onset satisfies
        `mixup_overlap` and `max_frames`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> draw_mixup_onset(Augmentation(mixup_overlap=1.0), rng, 100, 100, 150)
    0
    """
    # without rounding, 0.8 * 35 would become 29 by a floating-point error
    inside = int(np.ceil(round(augmentation.mixup_overlap * n_second, 6)))
    low = max(inside - n_second, n_first - max_frames)
    high = min(n_first - inside, max_frames - n_second)
    if low > high or max(n_first, n_second) > max_frames:
        return None
    return int(rng.integers(low, high, endpoint=True))
