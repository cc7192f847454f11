"""Random distortions of training clips: roll, gain, stretch, mixup, mel warp, masks.

Everything random about a training clip is drawn here, by NumPy generators, before its audio is
read: how a batch is made then depends on the seed alone, whatever the number of loader threads
or the device.
"""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.base import BaseEstimator, clone

from sktagger.audio.spectral import STFTSizes, frame_onsets, stretched_onsets


class Augmentation(BaseEstimator):
    """Settings of the distortions of training clips.

    Parameters
    ----------
    roll_prob : float, default=1.0
        Probability, in [0, 1], that a clip is shifted in time by a random number of samples,
        its tail coming round to its beginning.
    gain_mean, gain_std : float, default=0.0, 1.0
        Mean, in [-10, 10], and standard deviation, in [0, 10], of the normally distributed
        natural logarithm of the factor that a waveform is multiplied with after its peak was
        scaled to 1.
    gain_limit : float, default=3.0
        Largest deviation of that logarithm from its mean, in [0, 10].
    stretch : float, default=0.5
        Largest relative change of duration, in [0, 0.95]: each second of a clip is stretched by a
        factor from U(1 - stretch, 1 + stretch).
    mixup_prob : float, default=0.5
        Probability, in [0, 1], that another training clip is added to a clip; the mixture has
        the events of both. Clips are added as often as they are to count (`sample_weight`,
        `class_weight` of labels, `sampler`), so that one that counts as several may be added to
        itself, distorted otherwise.
    mixup_overlap : float, default=0.8
        In [0.05, 1]: at most the rest of the added clip sticks out at either end of the first.
    mixup_max_length : float, default=15.0
        Greatest length of a mixture in seconds, in [0.1, 3600].
    mixup_delay : int, default=0
        Number of batches without mixup at the start of training, >= 0.
    warp_std : float, default=0.07
        Standard deviation, in [0, 1], of the logarithm of the factor that stretches the mel axis;
        values beyond ln 1.3 are not drawn. 0: no warping.
    time_mask : float, default=0.2
        Greatest part of a clip's frames, in [0, 1], that is set to 0 in one stretch.
    time_mask_frames : int, default=70
        Greatest number of frames of that stretch, >= 0.
    mel_mask : int, default=20
        Greatest number of neighbouring mel bands set to 0, in 0..128.
    final_weak_fraction : float, default=0.2
        Part of a training, in [0, 1], at its end, in which clips are distorted lightly, see
        :meth:`weak`: the network settles on clips like those that it is to tag [2]_. Not in
        `partial_fit`, which does not know the end.

    Notes
    -----
    The order of the steps is that of the published system: roll, (normalise), gain, stretched
    STFT, mixup, warped mel filters, (normalise), masks. Masks follow [1]_.

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
    >>> Augmentation.reference()
    Augmentation(gain_mean=1.0, mixup_delay=80, final_weak_fraction=0.0)
    """

    def __init__(
        self,
        *,
        roll_prob=1.0,
        gain_mean=0.0,
        gain_std=1.0,
        gain_limit=3.0,
        stretch=0.5,
        mixup_prob=0.5,
        mixup_overlap=0.8,
        mixup_max_length=15.0,
        mixup_delay=0,
        warp_std=0.07,
        time_mask=0.2,
        time_mask_frames=70,
        mel_mask=20,
        final_weak_fraction=0.2,
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
    def reference(cls):
        """Give the published settings, flaws included.

        The median gain is e, which nothing undoes at evaluation; mixup begins only after 80
        batches, when the published system's buffer of clips is full; and distortions are as strong
        at the end as before.

        Returns
        -------
        Augmentation
        """
        return cls(gain_mean=1.0, mixup_delay=80, final_weak_fraction=0.0)

    def weak(self):
        """Give the settings of the last part of training, see `final_weak_fraction`.

        Clips are not mixed, `stretch` is at most 0.2, `gain_std` at most 0.3; the rest is as
        before.

        Returns
        -------
        Augmentation
        """
        return clone(self).set_params(
            mixup_prob=0.0, stretch=min(self.stretch, 0.2), gain_std=min(self.gain_std, 0.3)
        )

    def validate(self):
        """Check the settings.

        Raises
        ------
        ValueError
            If one is out of its range.
        """
        for name, kind, low, high in _RANGES:
            value = getattr(self, name)
            number = isinstance(value, kind) and not isinstance(value, bool)
            if not (number and low <= value <= high):
                what = "an integer" if kind is Integral else "a number"
                raise ValueError(
                    f"Augmentation: {name}={value!r}, but it must be {what} from {low} to {high}."
                )


# (name, type, least, greatest value)
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
    """What happens to one waveform: shift in samples, factor, onsets of the STFT's frames."""

    n_roll: int
    gain: float
    onsets: np.ndarray

    @property
    def n_frames(self) -> int:
        """Number of frames of the STFT."""
        return len(self.onsets)


class FeatureDraw(NamedTuple):
    """What happens to one clip's features, see :meth:`sktagger.networks.LogMel.forward`."""

    warp: tuple[float, float]
    time_mask: tuple[int, int]
    mel_mask: tuple[int, int]


def truncated_normal(rng, mean: float, std: float, limit: float) -> float:
    """Draw from a normal distribution without the values more than `limit` from its mean."""
    if std == 0 or limit == 0:
        return mean
    low = ndtr(-limit / std)
    return mean + std * ndtri(rng.uniform(low, 1 - low))


def draw_waveform(
    augmentation: Augmentation, rng, n_samples: int, sizes: STFTSizes, sample_rate: int
) -> WaveformDraw:
    """Draw the distortions of one waveform.

    Parameters
    ----------
    augmentation : Augmentation
    rng : numpy.random.Generator
    n_samples : int
        Length of the waveform.
    sizes : STFTSizes
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


def draw_features(augmentation: Augmentation, rng, n_frames: int, n_mels: int) -> FeatureDraw:
    """Draw the distortions of one clip's features.

    Parameters
    ----------
    augmentation : Augmentation
    rng : numpy.random.Generator
    n_frames, n_mels : int
        Sizes of the features.

    Returns
    -------
    FeatureDraw
        The warp factor is ``exp(g)``, g normal and within +-ln 1.3; the relative position of its
        breakpoint is exponential with mean 0.5 and at most 5. Widths of masks are uniform from 0
        to the greatest, their onsets uniform over where they fit.
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
    augmentation: Augmentation, rng, n_first: int, n_second: int, max_frames: int
) -> int | None:
    """Draw where a second clip begins relative to the first.

    Parameters
    ----------
    augmentation : Augmentation
    rng : numpy.random.Generator
    n_first, n_second : int
        Numbers of frames of the two clips.
    max_frames : int
        Greatest number of frames of the mixture.

    Returns
    -------
    onset : int or None
        In frames, negative if the second clip begins first; None if no onset keeps the
        overlap and the length.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> draw_mixup_onset(Augmentation(mixup_overlap=1.0), rng, 100, 100, 150)
    0
    """
    # rounded, so that 0.8 * 35 does not become 29 by a last bit
    inside = int(np.ceil(round(augmentation.mixup_overlap * n_second, 6)))
    low = max(inside - n_second, n_first - max_frames)
    high = min(n_first - inside, max_frames - n_second)
    if low > high or max(n_first, n_second) > max_frames:
        return None
    return int(rng.integers(low, high, endpoint=True))


def roll(waveform: np.ndarray, n_roll: int, sample_rate: int) -> np.ndarray:
    """Shift a waveform in time; what leaves at its end returns at its beginning.

    The outer 10 ms are faded first, so that the junction does not click.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples)
    n_roll : int
        Shift to the right in samples; 0 leaves the waveform untouched.
    sample_rate : int
        In Hz.

    Returns
    -------
    ndarray of the shape of `waveform`
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
