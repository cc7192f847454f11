"""One interface for clips in audio files and clips in memory.

Files are decoded only when a clip is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from joblib import Memory

from sktagger._utils.files import expand_path
from sktagger._utils.warnings import warn
from sktagger.audio._array_clips import ArrayClips
from sktagger.audio._blocks import audio_blocks
from sktagger.audio._files import file_version
from sktagger.audio._gaps import Gap, present
from sktagger.audio._waveforms import resampled_length
from sktagger.audio.reading import Section, audio_info, read_audio
from sktagger.audio.spectral import STFTSizes

__all__ = ["ArrayClips", "FileClips", "Gap", "warn_of_short_sections"]

# Other versions may decode a file differently. The first number is the version of `read_audio`.
_READERS = (
    3,
    soundfile.__version__,
    soundfile.__libsndfile_version__,
    soxr.__version__,
    soxr.__libsoxr_version__,
)


class FileClips:
    """Clips in audio files, which are decoded when they are loaded.

    Parameters
    ----------
    sections : sequence of Section or Gap
        The clips.
    read : callable or None, default=None
        Reader with a cache, see :meth:`cached`.
    positions : sequence of int or None, default=None
        Positions of the clips in the container that the user passed. None: 0, 1, 2 and so on.
    """

    def __init__(
        self,
        sections: Sequence[Section | Gap],
        read: Callable[..., np.ndarray] | None = None,
        positions: Sequence[int] | None = None,
    ) -> None:
        self.sections = sections
        self.read = read
        self.positions = range(len(sections)) if positions is None else positions

    def __len__(self) -> int:
        return len(self.sections)

    def take(self, indices: Sequence[int] | np.ndarray) -> FileClips:
        """Select clips.

        Parameters
        ----------
        indices : sequence of int
            Indices of the clips to select.

        Returns
        -------
        FileClips
        """
        sections = [self.sections[i] for i in indices]
        return FileClips(sections, self.read, [self.positions[i] for i in indices])

    def cached(self, memory: str | os.PathLike[str] | Memory) -> FileClips:
        """Return the same clips with a cache of decoded clips on the disk.

        Parameters
        ----------
        memory : str, PathLike or joblib.Memory
            Folder of the cache; ``~`` is expanded. A file is decoded again if it was changed or
            replaced. Files in memory are not cached.

        Returns
        -------
        FileClips

        Raises
        ------
        OSError
            If the folder cannot be created.
        """
        try:
            read = _memory(memory).cache(_read_version)
        except OSError as error:
            raise type(error)(
                f"memory={memory!r}: no clips can be cached there ({error.strerror}). Give a "
                "folder that can be written to, or None."
            ) from error
        return FileClips(self.sections, read, self.positions)

    def name(self, index: int) -> str:
        """Return the name of a clip for messages.

        Parameters
        ----------
        index : int
            Index of the clip.

        Returns
        -------
        str
        """
        return f"Audio file {self.sections[index]}"

    def n_samples(self, index: int, sample_rate: int) -> int:
        """Return the number of samples of a clip at a sample rate, without decoding it.

        Parameters
        ----------
        index : int
            Index of the clip.
        sample_rate : int
            In Hz.

        Returns
        -------
        int

        Raises
        ------
        OSError, ValueError
            If the clip cannot be read, see :func:`sktagger.audio.audio_info`.
        """
        n_samples, orig_sr = audio_info(present(self.sections[index]))
        return resampled_length(n_samples, orig_sr, sample_rate)

    def identity(self, index: int) -> tuple[bytes, ...]:
        """Return bytes that identify a clip: the path of the file and the section.

        Parameters
        ----------
        index : int
            Index of the clip.

        Returns
        -------
        tuple of bytes
        """
        if isinstance(self.sections[index], Gap):
            return (b"",)
        path, *bounds = self.sections[index]
        if hasattr(path, "content"):  # a file in memory
            return path.content, repr(bounds).encode()
        return os.fsencode(Path(path).absolute()), repr(bounds).encode()

    def version(self, index: int) -> tuple[int | str, ...]:
        """Return what changes if the file of a clip is changed or replaced, or read differently.

        Parameters
        ----------
        index : int
            Index of the clip.

        Returns
        -------
        tuple of int and str

        Raises
        ------
        OSError, ValueError
            If the clip is missing, or its file cannot be opened.
        """
        # The time of modification is not enough, because `cp -p`, `rsync -t` and `tar` set it. No
        # program sets the time of the last change of the metadata.
        return (*file_version(present(self.sections[index]).path), *_READERS)

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Decode a clip.

        Parameters
        ----------
        index : int
            Index of the clip.
        sample_rate : int
            Sample rate of the result in Hz.

        Returns
        -------
        ndarray of shape (n_channels, n_samples), float32

        Raises
        ------
        OSError, ValueError, MemoryError
            If the clip cannot be read, see :func:`sktagger.audio.read_audio`.
        """
        section = present(self.sections[index])
        if self.read is None or not isinstance(section.path, str | os.PathLike):
            return read_audio(section, sample_rate)
        version = self.version(index)
        # Not `resolve`, because messages name the file as the user does.
        section = section._replace(path=str(Path(section.path).absolute()))
        return self.read(section, sample_rate, version)

    def blocks(self, index: int, sample_rate: int) -> Iterator[np.ndarray]:
        """Decode a clip in blocks, without the cache.

        Parameters
        ----------
        index : int
            Index of the clip.
        sample_rate : int
            Sample rate of the result in Hz.

        Returns
        -------
        iterator of ndarray of shape (n_channels, n), float32
            The concatenated blocks are the result of :meth:`load`.

        Raises
        ------
        OSError, ValueError
            If the clip cannot be read, see :func:`sktagger.audio.read_audio`.
        """
        return audio_blocks(present(self.sections[index]), sample_rate)


def warn_of_short_sections(
    clips: FileClips | ArrayClips, lengths: np.ndarray, sizes: STFTSizes
) -> None:
    """Warn about sections that are shorter than one window, as bounds in seconds make them.

    Parameters
    ----------
    clips : FileClips or ArrayClips
        The clips. Arrays are not checked.
    lengths : ndarray of shape (n_clips,), int
        Numbers of samples, at the sample rate of `sizes`.
    sizes : STFTSizes
        Sizes of the STFT.

    Warns
    -----
    UserWarning
        If a section of a file is shorter than one window. The message names the first one.
    """
    if not isinstance(clips, FileClips):
        return
    short = np.flatnonzero(lengths < sizes.win_length)
    short = [k for k in short if clips.sections[k][1:] != (None, None)]
    if short:
        warn(
            f"{clips.name(short[0])}: the section is shorter than one window of the STFT "
            f"({len(short)} such sections in all). Its bounds are in samples at the sample rate "
            "of the file: multiply seconds by this rate."
        )


def _memory(memory):
    return memory if hasattr(memory, "cache") else Memory(expand_path(memory), verbose=0)


def _read_version(section, sample_rate, version):
    """Read a file. The cache distinguishes versions of a file by `version`."""
    return read_audio(section, sample_rate)
