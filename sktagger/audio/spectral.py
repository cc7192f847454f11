"""Waveform -> short-time Fourier transform; samples <-> frames.

An STFT is described by the onsets of its frames, in samples. Evenly spaced onsets give the plain
STFT; onsets whose spacing changes from second to second give a clip stretched in time.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import rfft
from scipy.signal import get_window
from sklearn.base import BaseEstimator

from sktagger._utils.text import printable, short

_MAX_SIZE = 2**20  # 24 s at 44.1 kHz; settings from a file must not fill the memory
_BLOCK = 64  # frames that are transformed at a time, so that they stay in the processor's cache


class STFTSizes(NamedTuple):
    """The sizes of an STFT in samples, see :class:`STFT`."""

    n_fft: int
    hop_length: int
    win_length: int
    window: str = "blackman"

    @property
    def n_bins(self) -> int:
        """Number of frequency bins."""
        return self.n_fft // 2 + 1

    def n_frames(self, n_samples: int) -> int:
        """Count the frames of a waveform; the tail that fills no frame is dropped."""
        return max(1, (n_samples - self.win_length) // self.hop_length + 1)

    def max_frames(self, seconds: float, sample_rate: float) -> int:
        """Count the frames of a waveform of some seconds."""
        return self.n_frames(int(seconds * sample_rate))


class STFT(BaseEstimator):
    """Settings of the short-time Fourier transform.

    Parameters
    ----------
    n_fft : int or None, default=None
        Length of the FFT in samples; windowed frames are zero-padded at the end to that length
        (and cut to it if it is shorter than the window), in [2, 2**20]. None: the least power of
        two that is not shorter than the window (2048 at 44.1 kHz).
    hop_length : int or None, default=None
        Distance between frames in samples, in [1, 2**20]. None: 20 ms (882 at 44.1 kHz).
    win_length : int or None, default=None
        Length of a frame in samples, in [2, 2**20]. None: 40 ms (1764 at 44.1 kHz).
    window : str or tuple, default="blackman"
        Name of a window of :func:`scipy.signal.get_window`, or name and parameters, such as
        ``("kaiser", 8.6)`` (or a list); the periodic form is taken, unscaled.

    Examples
    --------
    >>> STFT().sizes(44100)
    STFTSizes(n_fft=2048, hop_length=882, win_length=1764, window='blackman')
    >>> STFT(hop_length=160).sizes(16000)
    STFTSizes(n_fft=1024, hop_length=160, win_length=640, window='blackman')
    """

    def __init__(self, *, n_fft=None, hop_length=None, win_length=None, window="blackman"):
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.win_length = win_length
        self.window = window

    def sizes(self, sample_rate: float) -> STFTSizes:
        """Resolve the settings for audio of `sample_rate` Hz.

        Parameters
        ----------
        sample_rate : float
            In Hz.

        Returns
        -------
        STFTSizes

        Raises
        ------
        ValueError
            If a size is no integer of the allowed range, or the window is not known.
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
                f"({printable(error):.100}). Take for example 'blackman', 'hann' or 'hamming'."
            ) from error
        return STFTSizes(n_fft, hop_length, win_length, window)


def _plain_window(window):
    """Give a window with Python's own numbers; JSON and YAML have lists for tuples."""
    if isinstance(window, tuple | list):
        return tuple(_plain_window(part) for part in window)
    return window.item() if isinstance(window, np.generic) else window


def _size(name, value, default, minimum):
    value = default if value is None else value
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (number and minimum <= value <= _MAX_SIZE):
        raise ValueError(
            f"STFT: {name}={value!r}, but it must be an integer from {minimum} to {_MAX_SIZE} "
            "(samples), or None for the default, which goes with the sample rate."
        )
    return int(value)


def frame_onsets(n_samples: int, sizes: STFTSizes) -> np.ndarray:
    """Give the evenly spaced frame onsets of the plain STFT.

    Parameters
    ----------
    n_samples : int
        Length of the waveform; one shorter than the window has one frame.
    sizes : STFTSizes

    Returns
    -------
    onsets : ndarray of shape (n_frames,), int
        In samples.

    Examples
    --------
    >>> frame_onsets(5000, STFT().sizes(44100))
    array([   0,  882, 1764, 2646])
    """
    return np.arange(sizes.n_frames(n_samples)) * sizes.hop_length


def stretched_onsets(
    n_samples: int, sizes: STFTSizes, sample_rate: float, draw_factor
) -> np.ndarray:
    """Give frame onsets whose spacing changes from second to second.

    Each stretch of about a second of audio gets a factor f and the hop ``int(hop_length / f)``:
    the larger the factor, the more frames, the slower the clip seems. Window and FFT, and so the
    frequencies, stay as they are.

    Parameters
    ----------
    n_samples : int
        Length of the waveform.
    sizes : STFTSizes
    sample_rate : float
        In Hz.
    draw_factor : callable
        Called without arguments for the factor of the next stretch, > 0.

    Returns
    -------
    onsets : ndarray of shape (n_frames,), int
        In samples.

    Examples
    --------
    >>> stretched_onsets(5000, STFT().sizes(44100), 44100, lambda: 2.0)
    array([   0,  441,  882, 1323, 1764, 2205, 2646, 3087])
    """
    last = n_samples - sizes.win_length
    if last < 0:
        return np.zeros(1, dtype=int)
    pieces = []
    onset = 0
    while onset <= last:
        hop = max(1, int(sizes.hop_length / draw_factor()))
        length = max(1, int(sample_rate) // hop) * hop
        stop = last + 1 if onset + length > last else onset + length
        pieces.append(np.arange(onset, stop, hop))
        onset += length
    return np.concatenate(pieces)


def stft(
    waveform: np.ndarray, onsets: np.ndarray, sizes: STFTSizes, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute the short-time Fourier transform of frames that begin at given samples.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,), float
        Zeros are appended to one that is shorter than the window.
    onsets : ndarray of shape (n_frames,), int
        First sample of each frame, see :func:`frame_onsets`.
    sizes : STFTSizes
    out : ndarray of shape (n_frames, n_bins, 2), float32, contiguous, or None, default=None
        What the result is added to.

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
    if len(waveform) < sizes.win_length:
        waveform = np.pad(waveform, (0, sizes.win_length - len(waveform)))
    if out is None:
        out = np.zeros((len(onsets), sizes.n_bins, 2), dtype=np.float32)
    window = window_of(sizes)
    # only so much of each frame is kept as the FFT takes
    frames = np.lib.stride_tricks.sliding_window_view(waveform, sizes.win_length)[:, : len(window)]
    block = np.zeros((min(len(onsets), _BLOCK), sizes.n_fft), dtype=np.float32)
    for start in range(0, len(onsets), _BLOCK):
        first = onsets[start : start + _BLOCK]
        windowed = block[: len(first)]
        np.multiply(frames[first], window, out=windowed[:, : len(window)])
        spectrum = rfft(windowed).view(np.float32)
        out[start : start + _BLOCK] += spectrum.reshape(len(first), sizes.n_bins, 2)
    return out


def window_of(sizes: STFTSizes) -> np.ndarray:
    """Give the window, as far as the FFT takes it: ndarray of shape (n,), float32."""
    return get_window(sizes.window, sizes.win_length).astype(np.float32)[: sizes.n_fft]
