"""Settings of the distortions of training clips, which :mod:`sktagger.audio.draws` draws."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Literal

from sklearn.base import BaseEstimator, clone

__all__ = ["Augmentation"]


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
    time_warp : float, default=0.0
        Maximum shift in time, in [0, 0.3], as a fraction of the length of a clip. A point at
        U(0.4, 0.6) of the length moves by U(-time_warp, time_warp), so that one side of it becomes
        slower and the other faster. The clip keeps its length. Not together with `stretch`.
    mixup_prob : float, default=0.5
        Probability, in [0, 1], that another training clip is added to a clip. The mixture has the
        events of both. Clips are added in proportion to their weight in training
        (`sample_weight`, `class_weight` of labels, `sampler`). If weights differ, a clip with a
        high weight can be added to itself with other distortions.
    mixup_domain : {"stft", "waveform"}, default="stft"
        What is added. "stft": the STFTs, each of which has its own `stretch` or `time_warp`.
        "waveform": the waveforms, before both. The shorter clip then lies inside the longer one,
        at a random position, and is faded in and out by the length of a window of the STFT where
        it begins or ends inside of the mixture.
    mixup_overlap : float, default=0.8
        In [0.05, 1]. At most a fraction of ``1 - mixup_overlap`` of the added clip lies before the
        first clip, and at most that fraction after it. No effect in the domain "waveform".
    mixup_max_length : float, default=15.0
        Maximum length of a mixture in seconds, in [0.1, 3600]. No effect in the domain "waveform",
        where a mixture is as long as the longer clip.
    mixup_delay : int, default=0
        Number of batches without mixup at the start of training, >= 0.
    warp_std : float, default=0.07
        Standard deviation, in [0, 1], of the natural logarithm of the factor that stretches the
        mel axis. Its magnitude is at most ln 1.3. 0: no warp.
    noise : float, default=0.0
        Maximum standard deviation, in [0, 10], of white noise that is added to the normalized
        features. That of a clip is from U(0, noise). Networks that cannot apply it ignore it, as
        they ignore other distortions of features.
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
    The order of the steps is that of the published system: roll, (normalize), gain, (mixup of
    waveforms), stretched or warped STFT, mixup, warped mel filters, (normalize), noise, masks.
    Masks follow [1]_.

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
        time_warp: float = 0.0,
        mixup_prob: float = 0.5,
        mixup_domain: Literal["stft", "waveform"] = "stft",
        mixup_overlap: float = 0.8,
        mixup_max_length: float = 15.0,
        mixup_delay: int = 0,
        warp_std: float = 0.07,
        noise: float = 0.0,
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
        self.time_warp = time_warp
        self.mixup_prob = mixup_prob
        self.mixup_domain = mixup_domain
        self.mixup_overlap = mixup_overlap
        self.mixup_max_length = mixup_max_length
        self.mixup_delay = mixup_delay
        self.warp_std = warp_std
        self.noise = noise
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

    @classmethod
    def fbcrnn_reference(cls) -> Augmentation:
        """Return the settings of the published system whose network is the FBCRNN.

        Clips are not rolled. Of every six clips of the published system, four are mixed; here, each
        clip is mixed with a probability of 2/3. Distortions are not weaker at the end.

        Returns
        -------
        Augmentation
        """
        return cls(
            roll_prob=0.0,
            gain_limit=math.log(3),
            stretch=0.0,
            time_warp=0.1,
            mixup_prob=2 / 3,
            mixup_domain="waveform",
            warp_std=0.08,
            noise=0.2,
            final_weak_fraction=0.0,
        )

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
            If a setting is outside its range, or `stretch` and `time_warp` are both above 0.
        """
        for name, kind, low, high in _RANGES:
            value = getattr(self, name)
            number = isinstance(value, kind) and not isinstance(value, bool)
            if not (number and low <= value <= high):
                what = "an integer" if kind is Integral else "a number"
                raise ValueError(
                    f"Augmentation: {name}={value!r}, but it must be {what} from {low} to {high}."
                )
        if self.mixup_domain not in ("stft", "waveform"):
            raise ValueError(
                f"Augmentation: mixup_domain={self.mixup_domain!r:.100}, but it must be 'stft' or "
                "'waveform'."
            )
        if self.stretch and self.time_warp:
            raise ValueError(
                f"Augmentation: stretch={self.stretch!r} and time_warp={self.time_warp!r} exclude "
                "each other. Set one of them to 0."
            )


# (name, type, minimum, maximum)
_RANGES = (
    ("roll_prob", Real, 0, 1),
    ("gain_mean", Real, -10, 10),
    ("gain_std", Real, 0, 10),
    ("gain_limit", Real, 0, 10),
    ("stretch", Real, 0, 0.95),
    ("time_warp", Real, 0, 0.3),
    ("mixup_prob", Real, 0, 1),
    ("mixup_overlap", Real, 0.05, 1),
    ("mixup_max_length", Real, 0.1, 3600),
    ("mixup_delay", Integral, 0, 10**9),
    ("warp_std", Real, 0, 1),
    ("noise", Real, 0, 10),
    ("time_mask", Real, 0, 1),
    ("time_mask_frames", Integral, 0, 10**9),
    ("mel_mask", Integral, 0, 10**4),
    ("final_weak_fraction", Real, 0, 1),
)
