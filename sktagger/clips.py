"""Clips, be they audio files, sections of them or arrays in memory, behind one interface.

Nothing is decoded before it is asked for.
"""

import os

import numpy as np
from joblib import Memory

from sktagger._audio_blocks import BLOCK_SAMPLES, audio_blocks, check_finite_block
from sktagger.audio import audio_info, check_finite, open_audio, read_audio, resampled_length


class FileClips:
    """Clips in audio files, decoded when asked for.

    Parameters
    ----------
    sections : list of Section
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
        n_samples, orig_sr = audio_info(self.sections[index])
        return resampled_length(n_samples, orig_sr, sample_rate)

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Decode a clip to (n_channels, n_samples) float32."""
        section = self.sections[index]
        if self.read is None:
            return read_audio(section, sample_rate)
        with open_audio(section):  # for the error if it is missing
            modified = os.stat(section.path).st_mtime_ns
        return self.read(section, sample_rate, modified)

    def blocks(self, index: int, sample_rate: int):
        """Decode a clip block by block, past the cache, which holds clips as a whole.

        Yields
        ------
        ndarray of shape (n_channels, n), float32
        """
        return audio_blocks(self.sections[index], sample_rate)


class ArrayClips:
    """Clips in memory, at the sample rate of whoever asks.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (n_samples,) or (n_channels, n_samples)
        Floats, or int16 or int32, which are scaled by their range.
    positions : sequence of int or None, default=None
        See :class:`FileClips`.
    """

    def __init__(self, arrays, positions=None):
        self.arrays = arrays
        self.positions = range(len(arrays)) if positions is None else positions

    def __len__(self) -> int:
        return len(self.arrays)

    def take(self, indices):
        """Give some of the clips."""
        arrays = [self.arrays[i] for i in indices]
        return ArrayClips(arrays, [self.positions[i] for i in indices])

    def cached(self, memory):
        """Give the same clips; those in memory need no cache."""
        return self

    def name(self, index: int) -> str:
        """Name a clip in a message."""
        return f"Clip {self.positions[index]}"

    def n_samples(self, index: int, sample_rate: int) -> int:
        """Give a clip's length."""
        return self.arrays[index].shape[-1]

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Give a clip as (n_channels, n_samples) float32."""
        waveform = _as_float32(np.atleast_2d(self.arrays[index]))
        check_finite(waveform.T, self.name(index))
        return waveform

    def blocks(self, index: int, sample_rate: int):
        """Give a clip block by block.

        Yields
        ------
        ndarray of shape (n_channels, n), float32
        """
        waveform = np.atleast_2d(self.arrays[index])
        for start in range(0, waveform.shape[1], BLOCK_SAMPLES):
            block = _as_float32(waveform[:, start : start + BLOCK_SAMPLES])
            check_finite_block(block, start, self.name(index))
            yield block


def _as_float32(waveform):
    scale = -np.iinfo(waveform.dtype).min if waveform.dtype in (np.int16, np.int32) else 1
    with np.errstate(over="ignore"):  # what overflows is refused by whoever asks
        return waveform.astype(np.float32) / np.float32(scale)


def _memory(memory):
    return memory if hasattr(memory, "cache") else Memory(os.fspath(memory), verbose=0)


def _read_version(section, sample_rate, modified):
    """Decode a file as it is at a time of modification, which makes part of a cache's key."""
    return read_audio(section, sample_rate)
