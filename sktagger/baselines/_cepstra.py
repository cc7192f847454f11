"""Compute MFCCs of a waveform that comes in blocks, and their statistics.

librosa is imported inside of functions, because its import takes a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from sktagger.audio.reading import is_lost, to_mono
from sktagger.audio.spectral import STFTSizes

STATISTICS: dict[str, Callable[..., Any]] = {
    "mean": partial(np.mean, dtype=np.float64),
    "std": partial(np.std, dtype=np.float64),
    "min": np.min,
    "median": np.median,
    "max": np.max,
}

# defaults of librosa
_DELTA_FRAMES = 9
_TOP_DB = np.float32(80)

_BLOCK_FRAMES = 1024


class CepstralSettings(NamedTuple):
    """What to compute.

    Parameters
    ----------
    sizes : STFTSizes
        Sizes of the STFT. Its `win_length` is its `n_fft`.
    filters : ndarray of shape (n_mels, n_bins), float32
        Mel filters, see :func:`mel_filters`.
    n_mfcc : int
        Number of coefficients.
    deltas : int
        Highest order of the derivatives.
    statistics : sequence of str
        Keys of `STATISTICS`.
    """

    sizes: STFTSizes
    filters: np.ndarray
    n_mfcc: int
    deltas: int
    statistics: tuple[str, ...]


class MonoBlocks:
    """Average the channels of a waveform in blocks, and notice if they cancel each other.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n_channels, n), float32
        The waveform. It is read once.

    Attributes
    ----------
    n_samples : int
        Number of samples so far.
    """

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self.n_samples = 0
        self._blocks = blocks
        self._energy = self._energy_of_mono = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.n_samples += block.shape[1]
            if len(block) > 1:
                centered = block - block.mean(axis=1, keepdims=True)
                mono = centered.mean(axis=0)
                self._energy += float(np.vdot(centered, centered)) / len(block)
                self._energy_of_mono += float(np.vdot(mono, mono))
            yield to_mono(block, "raw")

    def cancel(self) -> bool:
        """Return whether the channels cancel each other in the blocks so far."""
        n_samples = max(self.n_samples, 1)
        return is_lost(self._energy / n_samples, self._energy_of_mono / n_samples)


def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Return librosa's mel filters, from 0 Hz to half the sample rate.

    Parameters
    ----------
    sample_rate : int
        In Hz.
    n_fft : int
        Length of the FFT.
    n_mels : int
        Number of filters.

    Returns
    -------
    ndarray of shape (n_mels, 1 + n_fft // 2), float32
    """
    from librosa.filters import mel

    return mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels)


def mfcc_statistics(
    waveform: Iterable[np.ndarray], settings: CepstralSettings
) -> np.ndarray | None:
    """Compute statistics of the MFCCs of a waveform.

    Parameters
    ----------
    waveform : iterable of ndarray of shape (n,), float32
        Blocks of any lengths. The result does not depend on them.
    settings : CepstralSettings
        What to compute.

    Returns
    -------
    ndarray of shape (n_features,), float32, or None
        None if samples are so large that their power is not finite in float32.
    """
    from librosa.feature import delta

    with np.errstate(over="ignore", invalid="ignore"):
        coefficients = _mfcc(waveform, settings)
        if not np.isfinite(coefficients).all():
            return None
        long_enough = coefficients.shape[1] >= _DELTA_FRAMES
        mode = "interp" if long_enough else "nearest"
        series = [coefficients] + [
            delta(coefficients, order=order, mode=mode) for order in range(1, settings.deltas + 1)
        ]
        parts = [STATISTICS[name](x, axis=1) for name in settings.statistics for x in series]
        return np.concatenate(parts).astype(np.float32)


def _mfcc(waveform, settings):
    """Compute MFCCs of shape (n_mfcc, n_frames)."""
    from librosa.feature import mfcc

    log_mel = list(_log_mel(waveform, settings))
    floor = max(block.max() for block in log_mel) - _TOP_DB
    n_frames = sum(block.shape[1] for block in log_mel)
    coefficients = np.empty((settings.n_mfcc, n_frames), dtype=np.float32)
    first = 0
    for block in log_mel:
        last = first + block.shape[1]
        coefficients[:, first:last] = mfcc(S=np.maximum(block, floor), n_mfcc=settings.n_mfcc)
        first = last
    return coefficients


def _log_mel(waveform, settings):
    """Yield blocks of the mel spectrogram in dB, of shape (n_mels, n_frames)."""
    from librosa import power_to_db, stft

    n_fft, hop_length, *_ = settings.sizes
    for samples in _frames(waveform, n_fft, hop_length):
        spectrum = stft(samples, n_fft=n_fft, hop_length=hop_length, center=False)
        yield power_to_db(settings.filters @ np.abs(spectrum) ** 2, top_db=None)


def _frames(waveform, n_fft, hop_length):
    """Yield the samples of up to `_BLOCK_FRAMES` whole frames, which are centered."""
    half = np.zeros(n_fft // 2, dtype=np.float32)
    n_samples = n_fft + (_BLOCK_FRAMES - 1) * hop_length
    buffer = half
    for block in chain(waveform, [half]):
        buffer = np.concatenate([buffer, block])
        while len(buffer) >= n_samples:
            yield buffer[:n_samples]
            buffer = buffer[_BLOCK_FRAMES * hop_length :]
    if len(buffer) >= n_fft:
        yield buffer
