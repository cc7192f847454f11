"""Audio files that are read in parts: joined recordings, and recordings with a wrong header."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile

from sktagger.audio._files import MemoryFile, open_bytes

_N_BEFORE = 2**16  # samples; an MP3 frame may use bits of up to 85 short frames before it
_MAX_PAGE = 2**18  # samples; 255 packets of 1024
_BLOCK = 2**16  # samples


class Part(NamedTuple):
    """A recording inside a file.

    Attributes
    ----------
    prefix : bytes
        Header that replaces the header in the file.
    start, stop : int
        Position of the first byte after the prefix, and position after the last byte.
    n_samples : int or None, default=None
        Counted number of samples per channel. None: the number in the header is right.
    n_zeros : int, default=0
        Number of zero bytes to append, for decoders that estimate the length from the size.
    """

    prefix: bytes
    start: int
    stop: int
    n_samples: int | None = None
    n_zeros: int = 0

    def shifted(self, offset: int) -> Part:
        """Return the part with `offset` bytes added to its positions."""
        return self._replace(start=self.start + offset, stop=self.stop + offset)


class Contents(NamedTuple):
    """The recordings in a file, and what is wrong with it.

    Attributes
    ----------
    parts : tuple of Part, default=()
        Empty if the file can be read without changes.
    missing : str, default=""
        What the header promises but the file does not contain, for an error message.
    doubt : str, default=""
        What is not read or may be lost, for a warning.
    """

    parts: tuple[Part, ...] = ()
    missing: str = ""
    doubt: str = ""


class View(io.RawIOBase):
    """A part of a file that can be read like a file. Closing it does not close the file.

    Parameters
    ----------
    file : binary file
    part : Part
    """

    def __init__(self, file: BinaryIO | View, part: Part) -> None:
        self._file = file
        self._part = part
        self._length = len(part.prefix) + part.stop - part.start + part.n_zeros
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        out = memoryview(buffer).cast("B")
        out = out[: max(0, self._length - self._position)]
        part = self._part
        prefix = part.prefix[self._position : self._position + len(out)]
        out[: len(prefix)] = prefix
        n_read = len(prefix)
        position = part.start + self._position + n_read - len(part.prefix)
        n_left = min(len(out) - n_read, part.stop - position)
        if n_left > 0:
            self._file.seek(position)
            data = self._file.read(n_left)
            out[n_read : n_read + len(data)] = data
            n_read += len(data)
        if part.n_zeros:
            out[n_read:] = bytes(len(out) - n_read)
            n_read = len(out)
        self._position += n_read
        return n_read


class Recording(soundfile.SoundFile):
    """A SoundFile that reaches a later sample by decoding if its codec cannot seek."""

    _n_read = 0

    def tell(self) -> int:
        return super().tell() if self.seekable() else self._n_read

    def seek(self, frames: int, whence: int = io.SEEK_SET) -> int:
        if self.seekable() or frames < self._n_read:
            return super().seek(frames, whence)
        while self._n_read < frames and len(self.read(min(_BLOCK, frames - self._n_read))):
            pass
        return self._n_read

    def read(self, *args: Any, **kwargs: Any) -> np.ndarray:
        data = super().read(*args, **kwargs)
        self._n_read += len(data)
        return data


class JoinedFile:
    """Recordings that follow each other in a file, read as one.

    It has the methods and attributes of a SoundFile that are used here.

    Parameters
    ----------
    path : str or MemoryFile
        The file that contains all recordings.
    parts : sequence of Part
        The recordings.

    Attributes
    ----------
    frames : int
        Number of samples per channel in all parts together.
    samplerate : int
        In Hz.
    channels : int
        Number of channels.

    Raises
    ------
    soundfile.LibsndfileError, ValueError
        If a part cannot be read, or differs from the first one in its sample rate or number of
        channels.
    """

    def __init__(self, path: str | MemoryFile, parts: Sequence[Part]) -> None:
        self._bytes = open_bytes(path)
        self._files, self._lengths = [], []
        try:
            for part in parts:
                self._add(part)
        except BaseException:
            self.close()
            raise
        self.samplerate = self._files[0].samplerate
        self.channels = self._files[0].channels
        self.frames = sum(self._lengths)
        self._position = 0

    def __enter__(self) -> JoinedFile:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and its parts."""
        for file in self._files:
            file.close()
        self._bytes.close()

    def tell(self) -> int:
        """Return the position of the next sample."""
        return self._position

    def seek(self, position: int) -> int:
        """Move to a sample, and return its position."""
        self._position = position
        return position

    def read(
        self, frames: int = -1, dtype: str = "float64", *, always_2d: bool = False
    ) -> np.ndarray:
        """Decode samples, starting at the current position.

        Parameters
        ----------
        frames : int, default=-1
            Maximum number of samples per channel. -1 reads all samples that are left.
        dtype : str, default="float64"
            Type of the samples.
        always_2d : bool, default=False
            Whether mono samples have an axis of channels, too.

        Returns
        -------
        ndarray of shape (n_samples, n_channels) or (n_samples,)
        """
        stop = self.frames if frames < 0 else min(self.frames, self._position + frames)
        blocks = [np.empty((0, self.channels), dtype)]
        begin = 0
        for file, length in zip(self._files, self._lengths, strict=True):
            first = max(self._position, begin) - begin
            last = min(stop, begin + length) - begin
            if first < last:
                blocks.append(read_samples(file, first, last, dtype))
                if len(blocks[-1]) < last - first:
                    break
            begin += length
        data = np.concatenate(blocks)
        self._position += len(data)
        return data if always_2d or self.channels > 1 else data[:, 0]

    def _add(self, part):
        file = Recording(View(self._bytes, part))
        self._files.append(file)
        first = self._files[0]
        if (file.samplerate, file.channels) != (first.samplerate, first.channels):
            raise ValueError(
                f"it joins a recording of {first.channels} channel(s) at {first.samplerate} Hz "
                f"and one of {file.channels} at {file.samplerate} Hz, split it"
            )
        if part.n_samples is not None and file.frames < part.n_samples:
            raise ValueError(
                f"it has {part.n_samples} samples, but the decoder finds only {file.frames}; "
                "convert it to another format"
            )
        self._lengths.append(file.frames if part.n_samples is None else part.n_samples)


def read_samples(file: Recording | JoinedFile, start: int, stop: int, dtype: str) -> np.ndarray:
    """Decode a range of samples, exactly as if the file were decoded from its beginning.

    Parameters
    ----------
    file : Recording or JoinedFile
    start, stop : int
        First sample, and the sample after the last one.
    dtype : str
        Type of the samples.

    Returns
    -------
    ndarray of shape (n_samples, n_channels)
    """
    first = start
    if isinstance(file, Recording) and file.format == "MP3":
        first = start - _N_BEFORE  # frames depend on earlier frames
    elif isinstance(file, Recording) and file.format == "OGG":
        # The samples of the last page are counted from its end.
        first = min(start, file.frames - _MAX_PAGE)
    first = max(0, first)
    if first != file.tell():
        file.seek(first)
    # One call, because a SoundFile seeks after each call.
    return file.read(stop - first, dtype=dtype, always_2d=True)[start - first :]
