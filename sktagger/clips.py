"""Clips, be they audio files, sections of them or arrays in memory, behind one interface.

Nothing is decoded before it is asked for.
"""

import os
import warnings
from typing import NamedTuple

import numpy as np
from joblib import Memory

from sktagger._audio_files import file_version
from sktagger.audio import (
    audio_info,
    check_finite,
    open_audio,
    read_audio,
    resample,
    resampled_length,
)


class Gap(NamedTuple):
    """A clip that is not there.

    Parameters
    ----------
    cause : str
        What there is instead, for the error on reading it.
    error : type, default=ValueError
        Of the error where gaps are refused at once.
    """

    cause: str
    error: type = ValueError


class FileClips:
    """Clips in audio files, decoded when asked for.

    Parameters
    ----------
    sections : list of Section or Gap
    read : callable or None, default=None
        Cached reader, see :meth:`cached`.
    positions : sequence of int or None, default=None
        Where the clips stood in the container that they come from. None: in their order.
    """

    def __init__(self, sections, read=None, positions=None):
        self.sections = sections
        self.read = read
        self.positions = range(len(sections)) if positions is None else positions

    def __len__(self) -> int:
        return len(self.sections)

    def take(self, indices):
        """Give some of the clips."""
        sections = [self.sections[i] for i in indices]
        return FileClips(sections, self.read, [self.positions[i] for i in indices])

    def cached(self, memory):
        """Give the same clips, decoded only once.

        Parameters
        ----------
        memory : str, PathLike or joblib.Memory
            Where decoded clips are kept. A changed file is decoded anew.
        """
        return FileClips(self.sections, _memory(memory).cache(_read_version), self.positions)

    def name(self, index: int) -> str:
        """Name a clip in a message."""
        return f"Audio file {self.sections[index]}"

    def n_samples(self, index: int, sample_rate: int) -> int:
        """Give a clip's length at `sample_rate` from the header."""
        n_samples, orig_sr = audio_info(_present(self.sections[index]))
        return resampled_length(n_samples, orig_sr, sample_rate)

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Decode a clip to (n_channels, n_samples) float32."""
        section = _present(self.sections[index])
        if self.read is None:
            return read_audio(section, sample_rate)
        with open_audio(section):  # for the error if it is missing
            version = file_version(section.path)
        return self.read(section, sample_rate, version)


class ArrayClips:
    """Clips in memory.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (n_samples,) or (n_channels, n_samples), or of Gap
        Floats, or signed integers, which are scaled by their range.
    positions : sequence of int or None, default=None
        See :class:`FileClips`.
    rates : sequence of int or None, default=None
        Sample rates of the clips in Hz. None, for all or for one: that of whoever asks.
    """

    def __init__(self, arrays, positions=None, rates=None):
        self.arrays = arrays
        self.positions = range(len(arrays)) if positions is None else positions
        self.rates = [None] * len(arrays) if rates is None else rates

    def __len__(self) -> int:
        return len(self.arrays)

    def take(self, indices):
        """Give some of the clips."""
        arrays = [self.arrays[i] for i in indices]
        positions = [self.positions[i] for i in indices]
        return ArrayClips(arrays, positions, [self.rates[i] for i in indices])

    def cached(self, memory):
        """Give the same clips; those in memory need no cache."""
        return self

    def name(self, index: int) -> str:
        """Name a clip in a message."""
        return f"Clip {self.positions[index]}"

    def n_samples(self, index: int, sample_rate: int) -> int:
        """Give a clip's length at `sample_rate`."""
        n_samples = _present(self.arrays[index]).shape[-1]
        return resampled_length(n_samples, self.rates[index] or sample_rate, sample_rate)

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Give a clip as (n_channels, n_samples) float32."""
        waveform = np.atleast_2d(_present(self.arrays[index]))
        scale = -np.iinfo(waveform.dtype).min if waveform.dtype.kind == "i" else 1
        with np.errstate(over="ignore"):  # what overflows is refused below
            # in one order, by which sums are rounded
            waveform = waveform.astype(np.float32, order="C") / np.float32(scale)
        check_finite(waveform.T, self.name(index))
        return resample(waveform, self.rates[index] or sample_rate, sample_rate)


def warn_of_short_sections(clips, lengths, sizes) -> None:
    """Warn of sections without a full window, as those are whose bounds are in seconds.

    Parameters
    ----------
    clips : FileClips or ArrayClips
    lengths : ndarray of shape (n_clips,), int
        In samples at the rate of `sizes`.
    sizes : STFTSizes
    """
    if not isinstance(clips, FileClips):
        return
    short = np.flatnonzero(lengths < sizes.win_length)
    short = [k for k in short if clips.sections[k][1:] != (None, None)]
    if short:
        warnings.warn(
            f"{clips.name(short[0])}: the section is shorter than one window of the STFT "
            f"({len(short)} such sections in all). Its bounds are in samples at the file's own "
            "rate: multiply seconds by the rate.",
            UserWarning,
            stacklevel=4,
        )


def _present(clip):
    if isinstance(clip, Gap):
        raise ValueError(clip.cause)
    return clip


def _memory(memory):
    return memory if hasattr(memory, "cache") else Memory(os.fspath(memory), verbose=0)


def _read_version(section, sample_rate, version):
    """Decode a version of a file, which makes part of a cache's key."""
    return read_audio(section, sample_rate)
