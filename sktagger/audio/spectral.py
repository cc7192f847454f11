"""Short-time Fourier transform of waveforms.

An STFT is defined by the onsets of its frames in samples. Evenly spaced onsets give the plain
STFT; :mod:`sktagger.audio.onsets` has others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.fft import rfft
from scipy.signal import get_window
from sklearn.base import BaseEstimator

from sktagger._utils.text import printable, short

__all__ = ["STFT", "STFTSizes", "frame_onsets", "samples_missing", "stft", "window_of"]

_MAX_SIZE = 2**20  # 24 s at 44.1 kHz; settings from a file must not fill the memory
_BLOCK = 64  # frames that are transformed at a time, few enough for the CPU cache


class STFTSizes(NamedTuple):
    """Sizes of an STFT in samples, and what is done at the edges of a waveform.

    See :class:`STFT` for the first four. The others are those of a network's input.

    Parameters
    ----------
    n_fft : int
        Length of the FFT.
    hop_length : int
        Distance between frames.
    win_length : int
        Length of a frame.
    window : str or tuple, default="blackman"
        Window of :func:`scipy.signal.get_window`.
    periodic : bool, default=True
        Whether the window is periodic, as is usual for an STFT, or symmetric.
    edges : {"drop", "reflect", "zeros"}, default="drop"
        "drop": frames begin with the waveform, and samples at the end that fill no frame are
        dropped. "reflect": frame k is centered at sample ``k * hop_length``; the waveform is
        reflected at its edges by half a window. "zeros": the waveform is surrounded by zeros, so
        that there are exactly ``ceil(n_samples / hop_length)`` frames, and frame k is centered at
        sample ``(k + 1 / 2) * hop_length``. The window must then not be shorter than the hop.
    preemphasis : float, default=0.0
        Factor a of the filter ``y[t] = x[t + 1] - a * x[t]`` before the STFT. 0: no filter.
    min_samples : int, default=1
        Waveforms that are shorter are repeated up to this length.
    """

    n_fft: int
    hop_length: int
    win_length: int
    window: str | tuple[Any, ...] = "blackman"
    periodic: bool = True
    edges: str = "drop"
    preemphasis: float = 0.0
    min_samples: int = 1

    @property
    def n_bins(self) -> int:
        """Number of frequency bins."""
        return self.n_fft // 2 + 1

    @property
    def padding(self) -> int:
        """Number of samples that are added before a waveform."""
        if self.edges == "drop":
            return 0
        if self.edges == "reflect":
            return self.win_length // 2
        if self.edges != "zeros":
            raise ValueError(
                f"edges={self.edges!r} of an STFT, but it must be 'drop', 'reflect' or 'zeros'."
            )
        if self.win_length < self.hop_length:
            raise ValueError(
                f"win_length={self.win_length} is below hop_length={self.hop_length}, but this "
                "network centers a frame in each hop, so that windows must not be shorter. Give a "
                "longer win_length or a shorter hop_length."
            )
        return (self.win_length - self.hop_length) // 2

    def prepared_length(self, n_samples: int) -> int:
        """Return the length of a waveform after :func:`sktagger.audio.edges.prepare`.

        Parameters
        ----------
        n_samples : int
            Length of the waveform.

        Returns
        -------
        int
            In samples.
        """
        n_samples, padding = max(n_samples, self.min_samples), self.padding
        if self.edges == "zeros":
            n_frames = -(-n_samples // self.hop_length)
            return (n_frames - 1) * self.hop_length + self.win_length
        return n_samples - (self.preemphasis != 0) + 2 * padding

    def n_frames(self, n_samples: int) -> int:
        """Return the number of frames of a waveform.

        Samples at the end of the prepared waveform that do not fill a frame are dropped.

        Parameters
        ----------
        n_samples : int
            Length of the waveform.

        Returns
        -------
        int
            At least 1.
        """
        n_samples = self.prepared_length(n_samples)
        return max(1, (n_samples - self.win_length) // self.hop_length + 1)

    def max_frames(self, seconds: float, sample_rate: float) -> int:
        """Return the number of frames of a waveform.

        Parameters
        ----------
        seconds : float
            Length of the waveform.
        sample_rate : float
            In Hz.

        Returns
        -------
        int
            At least 1.
        """
        return self.n_frames(int(seconds * sample_rate))


class STFT(BaseEstimator):
    """Settings of the short-time Fourier transform.

    Parameters
    ----------
    n_fft : int or None, default=None
        Length of the FFT in samples, in [2, 2**20]. Windowed frames are zero-padded at the end to
        this length, or cut to it if it is shorter than the window. None: the smallest power of
        two that is not shorter than the window (2048 at 44.1 kHz).
    hop_length : int or None, default=None
        Distance between frames in samples, in [1, 2**20]. None: 20 ms (882 at 44.1 kHz).
    win_length : int or None, default=None
        Length of a frame in samples, in [2, 2**20]. None: 40 ms (1764 at 44.1 kHz).
    window : str or tuple, default="blackman"
        Window of :func:`scipy.signal.get_window`: a name, or a tuple (or list) of a name and
        parameters, such as ``("kaiser", 8.6)``. It is periodic and not scaled.

    Examples
    --------
    >>> STFT().sizes(44100)[:4]
    (2048, 882, 1764, 'blackman')
    >>> STFT(hop_length=160).sizes(16000)[:4]
    (1024, 160, 640, 'blackman')
    """

    def __init__(
        self,
        *,
        n_fft: int | None = None,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: str | tuple[Any, ...] | list[Any] = "blackman",
    ) -> None:
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.win_length = win_length
        self.window = window

    def sizes(self, sample_rate: float) -> STFTSizes:
        """Return the sizes for a sample rate.

        Parameters
        ----------
        sample_rate : float
            In Hz.

        Returns
        -------
        STFTSizes
            The sizes, with defaults filled in.

        Raises
        ------
        ValueError
            If a size is not an integer in the allowed range, or the window is not known.
        """
        win_length = _size("win_length", self.win_length, max(2, round(0.04 * sample_rate)), 2)
        hop_length = _size("hop_length", self.hop_length, max(1, round(0.02 * sample_rate)), 1)
        n_fft = _size("n_fft", self.n_fft, 1 << (win_length - 1).bit_length(), 2)
        window = _plain_window(self.window)
        try:
            get_window(window, win_length)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"STFT: window={short(self.window)} is not a window of scipy.signal.get_window "
                f"({printable(error):.100}). Give for example 'blackman', 'hann' or 'hamming'."
            ) from error
        return STFTSizes(n_fft, hop_length, win_length, window)


def _plain_window(window):
    """Return a window with tuples and Python numbers, as JSON and YAML do not have tuples."""
    if isinstance(window, tuple | list):
        return tuple(_plain_window(part) for part in window)
    return window.item() if isinstance(window, np.generic) else window


def _size(name, value, default, minimum):
    value = default if value is None else value
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (number and minimum <= value <= _MAX_SIZE):
        raise ValueError(
            f"STFT: {name}={value!r}, but it must be an integer from {minimum} to {_MAX_SIZE} "
            "(samples), or None for the default, which depends on the sample rate."
        )
    return int(value)


def frame_onsets(n_samples: int, sizes: STFTSizes) -> np.ndarray:
    """Return the evenly spaced frame onsets of the plain STFT.

    Parameters
    ----------
    n_samples : int
        Length of the waveform. A waveform that is shorter than the window has one frame.
    sizes : STFTSizes
        Sizes of the STFT.

    Returns
    -------
    ndarray of shape (n_frames,), int
        In samples of the prepared waveform, see :func:`sktagger.audio.edges.prepare`.

    Examples
    --------
    >>> frame_onsets(5000, STFT().sizes(44100))
    array([   0,  882, 1764, 2646])
    """
    return np.arange(sizes.n_frames(n_samples)) * sizes.hop_length


def stft(
    waveform: np.ndarray, onsets: np.ndarray, sizes: STFTSizes, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the short-time Fourier transform of frames with given onsets.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,), float
        Prepared, see :func:`sktagger.audio.edges.prepare`. Zeros follow for frames that end after
        it.
    onsets : ndarray of shape (n_frames,), int
        First sample of each frame, see :func:`frame_onsets`.
    sizes : STFTSizes
        Sizes of the STFT.
    out : ndarray of shape (n_frames, n_bins, 2), float32, contiguous, or None, default=None
        Array to which the result is added.

    Returns
    -------
    ndarray of shape (n_frames, n_bins, 2), float32
        Real and imaginary part. The window is not scaled.

    Examples
    --------
    >>> import numpy as np
    >>> sizes = STFT().sizes(44100)
    >>> stft(np.ones(4410), frame_onsets(4410, sizes), sizes).shape
    (4, 1025, 2)
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    missing = samples_missing(len(waveform), onsets, sizes)
    if missing:
        waveform = np.pad(waveform, (0, missing))
    if out is None:
        out = np.zeros((len(onsets), sizes.n_bins, 2), dtype=np.float32)
    window = window_of(sizes)
    # An FFT that is shorter than the window uses only the beginning of each frame.
    frames = np.lib.stride_tricks.sliding_window_view(waveform, sizes.win_length)[:, : len(window)]
    block = np.zeros((min(len(onsets), _BLOCK), sizes.n_fft), dtype=np.float32)
    for start in range(0, len(onsets), _BLOCK):
        first = onsets[start : start + _BLOCK]
        windowed = block[: len(first)]
        np.multiply(frames[first], window, out=windowed[:, : len(window)])
        spectrum = rfft(windowed).view(np.float32)
        out[start : start + _BLOCK] += spectrum.reshape(len(first), sizes.n_bins, 2)
    return out


def samples_missing(n_samples: int, onsets: np.ndarray, sizes: STFTSizes) -> int:
    """Count the zeros that must follow a waveform so that all frames lie inside of it.

    Parameters
    ----------
    n_samples : int
        Length of the prepared waveform.
    onsets : ndarray of shape (n_frames,), int
        First sample of each frame.
    sizes : STFTSizes
        Sizes of the STFT.

    Returns
    -------
    int
        At least 0.
    """
    return max(0, int(np.max(onsets, initial=0)) + sizes.win_length - n_samples)


def window_of(sizes: STFTSizes) -> np.ndarray:
    """Return the window of an STFT.

    Parameters
    ----------
    sizes : STFTSizes
        Sizes of the STFT.

    Returns
    -------
    ndarray of shape (min(win_length, n_fft),), float32
    """
    window = get_window(sizes.window, sizes.win_length, fftbins=sizes.periodic)
    return window.astype(np.float32)[: sizes.n_fft]
