"""Audio files in parts: recordings that were joined, or whose header must be put right."""

import io
from typing import NamedTuple

import numpy as np
import soundfile

from sktagger.audio._files import open_bytes

_N_BEFORE = 2**16  # samples: a frame may need the bits of up to 85 short ones before it
_LONGEST_PAGE = 2**18  # samples: 255 packets of 1024
_BLOCK = 2**16  # samples


class Part(NamedTuple):
    """A recording inside a file.

    Attributes
    ----------
    prefix : bytes
        Header to be read in place of the file's own.
    start, stop : int
        First byte that follows the prefix, and the byte after the last one.
    n_samples : int or None, default=None
        Length by a count of what is there. None: what the header says.
    n_zeros : int, default=0
        Bytes to be read after the last one, for decoders that guess a length from the size.
    """

    prefix: bytes
    start: int
    stop: int
    n_samples: int | None = None
    n_zeros: int = 0

    def shifted(self, offset: int) -> "Part":
        """Give the same part of a file that begins elsewhere."""
        return self._replace(start=self.start + offset, stop=self.stop + offset)


class Contents(NamedTuple):
    """What was found in a file.

    Attributes
    ----------
    parts : tuple of Part
        Empty: the file can be read as it is.
    missing : str, default=""
        What the header promises and the file lacks.
    doubt : str, default=""
        What a user should know of what is not read.
    """

    parts: tuple[Part, ...] = ()
    missing: str = ""
    doubt: str = ""


class View(io.RawIOBase):
    """A part of a file, as if it were a file of its own; closing it leaves that open.

    Parameters
    ----------
    file : binary file
    part : Part
    """

    def __init__(self, file, part):
        self._file = file
        self._part = part
        self._length = len(part.prefix) + part.stop - part.start + part.n_zeros
        self._position = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self._position

    def seek(self, offset, whence=io.SEEK_SET):
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer):
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
            n_read += self._file.readinto(out[n_read : n_read + n_left])
        if part.n_zeros:
            out[n_read:] = bytes(len(out) - n_read)
            n_read = len(out)
        self._position += n_read
        return n_read


class Recording(soundfile.SoundFile):
    """A SoundFile that gets to a later sample by decoding where its codec cannot seek."""

    _n_read = 0

    def tell(self):
        return super().tell() if self.seekable() else self._n_read

    def seek(self, frames, whence=io.SEEK_SET):
        if self.seekable() or frames < self._n_read:
            return super().seek(frames, whence)
        while self._n_read < frames and len(self.read(min(_BLOCK, frames - self._n_read))):
            pass
        return self._n_read

    def read(self, *args, **kwargs):
        data = super().read(*args, **kwargs)
        self._n_read += len(data)
        return data


class JoinedFile:
    """Recordings one after another, with the part of the interface of a SoundFile that is used.

    Parameters
    ----------
    path : str or MemoryFile
    parts : sequence of Part

    Attributes
    ----------
    frames : int
        Number of samples of all parts.
    samplerate, channels : int

    Raises
    ------
    soundfile.LibsndfileError, ValueError
        If a part cannot be read, or has another sample rate or number of channels.
    """

    def __init__(self, path, parts):
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

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self) -> None:
        """Close the file and its parts."""
        for file in self._files:
            file.close()
        self._bytes.close()

    def tell(self) -> int:
        """Give the position of the next sample."""
        return self._position

    def seek(self, position: int) -> int:
        """Go to a sample."""
        self._position = position
        return position

    def read(self, frames: int = -1, dtype: str = "float64", *, always_2d: bool = False):
        """Decode samples from the current position on.

        Parameters
        ----------
        frames : int, default=-1
            How many at the most; -1: all that are left.
        dtype : str, default="float64"
        always_2d : bool, default=False

        Returns
        -------
        ndarray of shape (n_samples, n_channels), or (n_samples,) for a single channel
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
                f"a recording of {first.channels} channel(s) at {first.samplerate} Hz and one of "
                f"{file.channels} at {file.samplerate} Hz are joined in it, split it"
            )
        if part.n_samples is not None and file.frames < part.n_samples:
            raise ValueError(
                f"it holds {part.n_samples} samples, of which the decoder finds {file.frames}: "
                "convert it to another format"
            )
        self._lengths.append(file.frames if part.n_samples is None else part.n_samples)


def read_samples(file: Recording | JoinedFile, start: int, stop: int, dtype: str):
    """Decode the samples that reading from the beginning gives, too.

    Parameters
    ----------
    file : Recording or JoinedFile
    start, stop : int
        First sample, and the sample after the last one.
    dtype : str

    Returns
    -------
    ndarray of shape (n_samples, n_channels)
    """
    first = start
    if isinstance(file, Recording) and file.format == "MP3":
        first = start - _N_BEFORE  # frames need those before them
    elif isinstance(file, Recording) and file.format == "OGG":
        first = min(start, file.frames - _LONGEST_PAGE)  # the last page is counted from its end
    first = max(0, first)
    if first != file.tell():
        file.seek(first)
    # in a single call: a SoundFile seeks after each one
    return file.read(stop - first, dtype=dtype, always_2d=True)[start - first :]
