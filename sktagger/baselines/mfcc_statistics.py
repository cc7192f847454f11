"""MFCCStatistics: means, standard deviations and the like of MFCCs, as features of clips."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from joblib import Memory, effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin

from sktagger._utils.progress import TaskProgress
from sktagger._utils.threads import prefetch
from sktagger._utils.validation import HasMethods, Interval, StrOptions, check_params
from sktagger._utils.warnings import warn
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.audio.clips import warn_of_short_sections
from sktagger.audio.spectral import STFTSizes
from sktagger.audio.unreadable import Unreadable
from sktagger.baselines._cepstra import (
    STATISTICS,
    CepstralSettings,
    MonoBlocks,
    mel_filters,
    mfcc_statistics,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MFCCStatistics"]


class MFCCStatistics(TransformerMixin, BaseEstimator):
    """Describe each clip by statistics of its mel-frequency cepstral coefficients (MFCCs).

    MFCCs [1]_ describe the shape of the spectrum of each frame. Their means and standard deviations
    over a clip, with a random forest or a support vector machine, are the usual baseline for
    environmental sounds [2]_. The MFCCs are those of :func:`librosa.feature.mfcc`.

    The transformer learns nothing from the clips. Fitting is optional.

    Parameters
    ----------
    n_mfcc : int, default=20
        Number of MFCCs, from 1 to `n_mels`. The first one depends on the level of the clip.
    deltas : {0, 1, 2}, default=1
        Highest order of the derivatives over time that are described, too: by a polynomial of this
        order, fitted to 9 frames (0.21 s by default). 0: none.
    statistics : sequence of str, default=("mean", "std", "min", "median", "max")
        Statistics over the frames of a clip: any of these. ``("mean", "std")`` is common in papers.
        A random forest is better with all five, on scenes and on the recordings of ESC-10.
    sample_rate : int, default=22050
        Sample rate in Hz to which clips are resampled; of waveforms without a rate, their own.
    n_fft : int, default=2048
        Length of a frame and of its Hann window in samples, at least 2. The default is 93 ms.
    hop_length : int, default=512
        Distance between frames in samples, from 1 to `n_fft`. The default is 23 ms.
    n_mels : int, default=128
        Number of mel bands from 0 Hz to half the sample rate, in Slaney's scale.
    on_error : {"raise", "warn", "skip"}, default="raise"
        What to do with clips that cannot be read, and with None, NaN or "" instead of a clip.
        "raise": raise an error at the first one. "warn": warn about each one. "skip": warn once at
        the end. The features of these clips are NaN.
    memory : str, PathLike, joblib.Memory or None, default=None
        Directory of a cache of decoded and resampled audio files, 4 bytes per sample. Its files are
        pickles, so choose a directory that only you can write to.
    n_jobs : int or None, default=None
        Number of threads that read clips and compute features. None: 1. -1: one per processor.
        Results do not depend on it.
    verbose : int, default=1
        0: no output. 1: progress on standard error, if `transform` takes more than 2 s.

    Attributes
    ----------
    n_features_in_ : int
        Number of samples per clip; only if `X` in `fit` was a 2-D array of waveforms.

    See Also
    --------
    sktagger.AudioTagger : A network, which needs no features.
    librosa.feature.mfcc : The MFCCs of one waveform.

    Notes
    -----
    `X` is any container of clips that :class:`sktagger.AudioTagger` accepts. Channels are averaged.
    Levels are not changed. Frames are centered: half a frame of zeros surrounds a clip, so a clip
    of n samples has ``1 + n // hop_length`` frames (with an even `n_fft`), at least one. Levels
    of more than 80 dB below the maximum of the clip are raised to that value.

    A clip of fewer than 9 frames (0.19 s by default) is too short for the derivatives of librosa.
    Its first and last frames are repeated for them, so the derivatives of a single frame are 0.

    Clips are decoded in blocks. Of long clips, the mel spectrogram is kept, a quarter of the
    waveform by default: 80 MB per hour. With `memory`, clips are decoded as a whole.

    In a search over the next steps of a pipeline, every fold computes the features again. As
    they are learned from nothing, it is safe to transform all clips once before the search.

    References
    ----------
    .. [1] S. Davis and P. Mermelstein, "Comparison of parametric representations for monosyllabic
       word recognition in continuously spoken sentences", IEEE Transactions on Acoustics, Speech,
       and Signal Processing 28(4), 1980.
    .. [2] K. J. Piczak, "ESC: Dataset for environmental sound classification", ACM Multimedia,
       2015. It leaves out the first MFCC, and adds the rate of zero crossings.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktagger.baselines import MFCCStatistics
    >>> X = np.random.default_rng(0).standard_normal((4, 8000))
    >>> features = MFCCStatistics(sample_rate=8000)
    >>> features.transform(X).shape
    (4, 200)
    >>> features.get_feature_names_out()[[0, 20, 40]]
    array(['mfcc0_mean', 'mfcc0_delta_mean', 'mfcc0_std'], dtype=object)
    >>> forest = make_pipeline(features, RandomForestClassifier(random_state=0))
    >>> forest.fit(X, ["a", "b", "a", "b"]).predict(X)
    array(['a', 'b', 'a', 'b'], dtype='<U1')
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "n_mfcc": [Interval(Integral, 1, None, closed="left")],
        "deltas": [Interval(Integral, 0, 2, closed="both")],
        "statistics": [list, tuple],
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "n_fft": [Interval(Integral, 2, None, closed="left")],
        "hop_length": [Interval(Integral, 1, None, closed="left")],
        "n_mels": [Interval(Integral, 1, None, closed="left")],
        "on_error": [StrOptions({"raise", "warn", "skip"})],
        "memory": [str, HasMethods("cache"), os.PathLike, None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        n_mfcc: int = 20,
        deltas: int = 1,
        statistics: Sequence[str] = ("mean", "std", "min", "median", "max"),
        sample_rate: int = 22050,
        n_fft: int = 2048,
        hop_length: int = 512,
        n_mels: int = 128,
        on_error: Literal["raise", "warn", "skip"] = "raise",
        memory: str | os.PathLike[str] | Memory | None = None,
        n_jobs: int | None = None,
        verbose: int = 1,
    ) -> None:
        self.n_mfcc = n_mfcc
        self.deltas = deltas
        self.statistics = statistics
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.on_error = on_error
        self.memory = memory
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the container of clips. No clip is read.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : object, default=None
            Ignored; present for compatibility with scikit-learn.

        Returns
        -------
        self
            The transformer.

        Raises
        ------
        ValueError, TypeError
            If a parameter or `X` is not as described.
        """
        self._check_settings()
        check_clips(self, X, reset=True)
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Compute the features of each clip, as `transform` does.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : object, default=None
            Ignored; present for compatibility with scikit-learn.
        **fit_params : dict
            Ignored; present for compatibility with scikit-learn.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float32
            See `transform`.
        """
        X = reusable(X)
        return self.fit(X).transform(X)

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float32
            In the order of `get_feature_names_out`: for each statistic, the MFCCs, then their
            derivatives. With ``on_error="warn"`` or "skip", the rows of clips that cannot be read
            are NaN.

        Raises
        ------
        FileNotFoundError, ValueError, MemoryError
            If a clip cannot be read, or its samples are too large for float32. The message names
            the clip.
        TypeError
            If `X` is not a container of clips.
        """
        self._check_settings()
        clips = check_clips(self, X, reset=False)
        if self.memory is not None:
            clips = clips.cached(self.memory)
        unreadable = Unreadable(self.on_error, "X", len(clips))
        settings = self._cepstral_settings()
        features = np.full((len(clips), self._n_features_out), np.nan, dtype=np.float32)
        lengths = np.full(len(clips), self.n_fft)

        def describe(index):
            read = partial(self._describe, clips, index, settings)
            return unreadable.read(clips.positions[index], read)

        results = prefetch(describe, range(len(clips)), effective_n_jobs(self.n_jobs))
        with TaskProgress(
            "Computing MFCCs", len(clips), verbose=self.verbose, delay=2, leave=False
        ) as progress:
            for index, result in enumerate(results):
                if result is not None:
                    features[index], lengths[index] = result
                progress.update()
        warn_of_short_sections(clips, lengths, settings.sizes)
        unreadable.summarize("have features of NaN")
        return features

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like or None, default=None
            Ignored; present for compatibility with scikit-learn.

        Returns
        -------
        ndarray of shape (n_features,), object
            Such as "mfcc0_mean", "mfcc0_delta_mean" and "mfcc0_delta2_std".
        """
        kinds = ["", "_delta", "_delta2"][: self.deltas + 1]
        names = [
            f"mfcc{number}{kind}_{statistic}"
            for statistic in self.statistics
            for kind in kinds
            for number in range(self.n_mfcc)
        ]
        return np.array(names, dtype=object)

    @property
    def _n_features_out(self):
        return len(self.get_feature_names_out())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _check_settings(self):
        check_params(self)
        unknown = [name for name in self.statistics if name not in STATISTICS]
        if unknown or not self.statistics:
            raise ValueError(
                f"MFCCStatistics: statistics={self.statistics!r}, but it must be a sequence of at "
                f"least one of {list(STATISTICS)}."
                + (f" Leave out or replace {unknown}." if unknown else " Give ('mean', 'std').")
            )
        for name, limit in {"n_mfcc": "n_mels", "hop_length": "n_fft"}.items():
            value, highest = getattr(self, name), getattr(self, limit)
            if value > highest:
                raise ValueError(
                    f"MFCCStatistics: {name}={value!r}, but it must be at most {limit}={highest!r}."
                    f" Set a lower {name} or a higher {limit}."
                )

    def _cepstral_settings(self):
        return CepstralSettings(
            STFTSizes(self.n_fft, self.hop_length, self.n_fft, "hann"),
            mel_filters(self.sample_rate, self.n_fft, self.n_mels),
            self.n_mfcc,
            self.deltas,
            tuple(self.statistics),
        )

    def _describe(self, clips, index, settings):
        """Return the features of a clip and its number of samples."""
        if self.memory is None:
            blocks = clips.blocks(index, self.sample_rate)
        else:
            blocks = [clips.load(index, self.sample_rate)]
        waveform = MonoBlocks(blocks)
        features = mfcc_statistics(waveform, settings)
        if features is None:
            raise ValueError(
                f"{clips.name(index)}: its samples are so large that their power is not finite in "
                "float32. Samples should be in [-1, 1]: scale them, or leave the clip out."
            )
        if waveform.cancel():
            warn(
                f"{clips.name(index)}: its channels cancel each other. Their average, which the "
                "features describe, is silence. Invert one channel, or give a single channel."
            )
        return features, waveform.n_samples
