"""Random distortions of training clips: roll, gain, stretch, mixup, mel warp, masks.

All random numbers of a training clip are drawn here, from generators of NumPy, before its audio is
read. A batch therefore depends only on the seed, and not on the number of loader threads or the
device.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.base import BaseEstimator, clone

from sktagger.audio._waveforms import roll
from sktagger.audio.spectral import STFTSizes, frame_onsets, stretched_onsets

__all__ = [
    "Augmentation",
    "FeatureDraw",
    "WaveformDraw",
    "draw_features",
    "draw_mixup_onset",
    "draw_waveform",
    "roll",
    "truncated_normal",
]


class Augmentation(BaseEstimator):
    """Settings of the distortions of training clips.

    Parameters
    ----------
    roll_prob : float, default=1.0
        Probability, in [0, 1], that a clip is shifted in time by a random number of samples. What
        leaves at its end returns at its beginning.
    gain_mean : float, default=0.0
        Mean of the log gain, in [-10, 10]. The log gain is normally distributed. It is the natural
        logarithm of the factor that the waveform is multiplied by after its peak has been scaled
        to 1, so that a log gain of 1 is 8.7 dB.
    gain_std : float, default=1.0
        Standard deviation of the log gain, in [0, 10].
    gain_limit : float, default=3.0
        Maximum deviation of the log gain from `gain_mean`, in [0, 10].
    stretch : float, default=0.5
        Maximum relative change of duration, in [0, 0.95]. Each second of a clip is stretched by a
        factor from U(1 - stretch, 1 + stretch).
    mixup_prob : float, default=0.5
        Probability, in [0, 1], that another training clip is added to a clip. The mixture has the
        events of both. Clips are added in proportion to their weight in training
        (`sample_weight`, `class_weight` of labels, `sampler`). If weights differ, a clip with a
        high weight can be added to itself with other distortions.
    mixup_overlap : float, default=0.8
        In [0.05, 1]. At most a fraction of ``1 - mixup_overlap`` of the added clip lies before the
        first clip, and at most that fraction after it.
    mixup_max_length : float, default=15.0
        Maximum length of a mixture in seconds, in [0.1, 3600].
    mixup_delay : int, default=0
        Number of batches without mixup at the start of training, >= 0.
    warp_std : float, default=0.07
        Standard deviation, in [0, 1], of the natural logarithm of the factor that stretches the
        mel axis. Its magnitude is at most ln 1.3. 0: no warp.
    time_mask : float, default=0.2
        Maximum fraction of the frames of a clip, in [0, 1], that a mask sets to 0.
    time_mask_frames : int, default=70
        Maximum number of frames of that mask, >= 0.
    mel_mask : int, default=20
        Maximum number of adjacent mel bands that a mask sets to 0, from 0 to the number of mel
        bands of the network (128 for WALNet).
    final_weak_fraction : float, default=0.2
        Fraction of the training, in [0, 1], at its end, in which distortions are weak, see
        :meth:`weak`. The network then adapts to clips like those that it will tag [2]_. It has no
        effect in `partial_fit`, which does not know where training ends.

    Notes
    -----
    The order of the steps is that of the published system: roll, (normalize), gain, stretched
    STFT, mixup, warped mel filters, (normalize), masks. Masks follow [1]_.

    References
    ----------
    .. [1] D. S. Park et al., "SpecAugment: A simple data augmentation method for automatic speech
       recognition", Interspeech 2019.
    .. [2] Z. He, L. Xie, X. Chen, Y. Zhang, Y. Wang, Q. Tian, "Data augmentation revisited:
       rethinking the distribution gap between clean and augmented data", arXiv:1909.09148, 2019.

    Examples
    --------
    >>> Augmentation(mixup_prob=0.8)
    Augmentation(mixup_prob=0.8)
    >>> Augmentation.reference().mixup_delay
    80
    """

    def __init__(
        self,
        *,
        roll_prob: float = 1.0,
        gain_mean: float = 0.0,
        gain_std: float = 1.0,
        gain_limit: float = 3.0,
        stretch: float = 0.5,
        mixup_prob: float = 0.5,
        mixup_overlap: float = 0.8,
        mixup_max_length: float = 15.0,
        mixup_delay: int = 0,
        warp_std: float = 0.07,
        time_mask: float = 0.2,
        time_mask_frames: int = 70,
        mel_mask: int = 20,
        final_weak_fraction: float = 0.2,
    ):
        self.roll_prob = roll_prob
        self.gain_mean = gain_mean
        self.gain_std = gain_std
        self.gain_limit = gain_limit
        self.stretch = stretch
        self.mixup_prob = mixup_prob
        self.mixup_overlap = mixup_overlap
        self.mixup_max_length = mixup_max_length
        self.mixup_delay = mixup_delay
        self.warp_std = warp_std
        self.time_mask = time_mask
        self.time_mask_frames = time_mask_frames
        self.mel_mask = mel_mask
        self.final_weak_fraction = final_weak_fraction

    @classmethod
    def reference(cls) -> Augmentation:
        """Return the settings of the published system, including its flaws.

        The median gain is 8.7 dB, although clips are not amplified in evaluation. Mixup begins
        after 80 batches, when the buffer of clips of the published system is full. Distortions
        are not weaker at the end.

        Returns
        -------
        Augmentation
        """
        return cls(gain_mean=1.0, mixup_delay=80, final_weak_fraction=0.0)

    def weak(self) -> Augmentation:
        """Return the settings for the end of training, see `final_weak_fraction`.

        Clips are not mixed, `stretch` is at most 0.2, and `gain_std` is at most 0.3. Other settings
        do not change.

        Returns
        -------
        Augmentation
        """
        return clone(self).set_params(
            mixup_prob=0.0, stretch=min(self.stretch, 0.2), gain_std=min(self.gain_std, 0.3)
        )

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            If a setting is outside its range.
        """
        for name, kind, low, high in _RANGES:
            value = getattr(self, name)
            number = isinstance(value, kind) and not isinstance(value, bool)
            if not (number and low <= value <= high):
                what = "an integer" if kind is Integral else "a number"
                raise ValueError(
                    f"Augmentation: {name}={value!r}, but it must be {what} from {low} to {high}."
                )


# (name, type, minimum, maximum)
_RANGES = (
    ("roll_prob", Real, 0, 1),
    ("gain_mean", Real, -10, 10),
    ("gain_std", Real, 0, 10),
    ("gain_limit", Real, 0, 10),
    ("stretch", Real, 0, 0.95),
    ("mixup_prob", Real, 0, 1),
    ("mixup_overlap", Real, 0.05, 1),
    ("mixup_max_length", Real, 0.1, 3600),
    ("mixup_delay", Integral, 0, 10**9),
    ("warp_std", Real, 0, 1),
    ("time_mask", Real, 0, 1),
    ("time_mask_frames", Integral, 0, 10**9),
    ("mel_mask", Integral, 0, 10**4),
    ("final_weak_fraction", Real, 0, 1),
)


class WaveformDraw(NamedTuple):
    """Distortions of one waveform.

    Attributes
    ----------
    n_roll : int
        Shift to the right in samples, see :func:`roll`.
    gain : float
        Factor that the waveform is multiplied by.
    onsets : ndarray of shape (n_frames,), int
        First sample of each frame of the STFT.
    """

    n_roll: int
    gain: float
    onsets: np.ndarray

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
    """

    warp: tuple[float, float]
    time_mask: tuple[int, int]
    mel_mask: tuple[int, int]


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
    else:
        onsets = frame_onsets(n_samples, sizes)
    return WaveformDraw(n_roll, gain, onsets)


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
        that the width allows.
    """
    a = augmentation
    factor = float(np.exp(truncated_normal(rng, 0.0, a.warp_std, np.log(1.3))))
    position = rng.exponential(0.5)
    while position > 5:
        position = rng.exponential(0.5)
    widest = int(min(a.time_mask_frames, a.time_mask * n_frames))
    return FeatureDraw(
        (factor, float(position)),
        _draw_mask(rng, widest, n_frames),
        _draw_mask(rng, min(a.mel_mask, n_mels), n_mels),
    )


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
