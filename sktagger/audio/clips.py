"""Clips, be they audio files, sections of them or arrays in memory, behind one interface.

Nothing is decoded before it is asked for.
"""

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from joblib import Memory

from sktagger._utils.files import expand_path
from sktagger.audio._blocks import (
    BLOCK_SAMPLES,
    audio_blocks,
    resample_blocks,
)
from sktagger.audio._files import file_version
from sktagger.audio.reading import (
    audio_info,
    check_finite,
    read_audio,
    resample,
    resampled_length,
)

# what else decides what is read from a file; the first counts changes of `read_audio` itself
_READERS = (
    3,
    soundfile.__version__,
    soundfile.__libsndfile_version__,
    soxr.__version__,
    soxr.__libsoxr_version__,
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
            Where decoded clips are kept; ``~`` is expanded. A file that was changed, or replaced
            by another, is decoded anew. What is no file on a disk is not cached.

        Raises
        ------
        OSError
            If there can be no such folder.
        """
        try:
            read = _memory(memory).cache(_read_version)
        except OSError as error:
            raise type(error)(
                f"memory={memory!r}: no clips can be kept there ({error.strerror}). Give a folder "
                "that can be written to, or None."
            ) from error
        return FileClips(self.sections, read, self.positions)

    def name(self, index: int) -> str:
        """Name a clip in a message."""
        return f"Audio file {self.sections[index]}"

    def n_samples(self, index: int, sample_rate: int) -> int:
        """Give a clip's length at `sample_rate` from the header."""
        n_samples, orig_sr = audio_info(_present(self.sections[index]))
        return resampled_length(n_samples, orig_sr, sample_rate)

    def identity(self, index: int) -> tuple[bytes, ...]:
        """Give what tells a clip from others: the file and the section of it."""
        if isinstance(self.sections[index], Gap):
            return (b"",)
        path, *bounds = self.sections[index]
        if hasattr(path, "content"):  # of a file in memory
            return path.content, repr(bounds).encode()
        return os.fsencode(Path(path).absolute()), repr(bounds).encode()

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Decode a clip to (n_channels, n_samples) float32."""
        section = _present(self.sections[index])
        if self.read is None or not isinstance(section.path, str | os.PathLike):
            return read_audio(section, sample_rate)
        # the time of modification alone does not tell files apart: `cp -p`, `rsync -t`, `tar` and
        # others set it; none of them sets the time of the last change of the file's entry
        version = (*file_version(section.path), *_READERS)
        # not `resolve`, for messages name the file as the user does
        section = section._replace(path=str(Path(section.path).absolute()))
        return self.read(section, sample_rate, version)

    def blocks(self, index: int, sample_rate: int):
        """Decode a clip block by block, past the cache, which holds clips as a whole.

        Yields
        ------
        ndarray of shape (n_channels, n), float32
        """
        return audio_blocks(_present(self.sections[index]), sample_rate)


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

    def identity(self, index: int) -> tuple[bytes, ...]:
        """Give what tells a clip from others: its samples."""
        if isinstance(self.arrays[index], Gap):
            return (b"",)
        array = np.ascontiguousarray(self.arrays[index])
        return f"{array.dtype} {array.shape} {self.rates[index]}".encode(), array.tobytes()

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Give a clip as (n_channels, n_samples) float32."""
        waveform = _as_float32(np.atleast_2d(_present(self.arrays[index])))
        check_finite(waveform.T, self.name(index))
        return resample(waveform, self.rates[index] or sample_rate, sample_rate)

    def blocks(self, index: int, sample_rate: int):
        """Give a clip block by block.

        Yields
        ------
        ndarray of shape (n_channels, n), float32
        """
        waveform = np.atleast_2d(_present(self.arrays[index]))
        rate = self.rates[index] or sample_rate
        blocks = self._blocks(waveform, self.name(index))
        yield from resample_blocks(blocks, waveform.shape[1], rate, sample_rate)

    @staticmethod
    def _blocks(waveform, name):
        for start in range(0, waveform.shape[1], BLOCK_SAMPLES):
            block = _as_float32(waveform[:, start : start + BLOCK_SAMPLES])
            check_finite(block.T, name, first=start)
            yield block


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


def _as_float32(waveform):
    scale = -np.iinfo(waveform.dtype).min if waveform.dtype.kind == "i" else 1
    with np.errstate(over="ignore"):  # what overflows is refused by whoever asks
        # in one order, by which sums are rounded
        return waveform.astype(np.float32, order="C") / np.float32(scale)


def _memory(memory):
    return memory if hasattr(memory, "cache") else Memory(expand_path(memory), verbose=0)


def _read_version(section, sample_rate, version):
    """Decode a file as it is now; `version` makes part of a cache's key."""
    return read_audio(section, sample_rate)
