"""Find the recordings in an audio file and their true lengths, whatever its header says."""

from __future__ import annotations

import time
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import soundfile

from sktagger.audio._chunks import chunk_contents
from sktagger.audio._files import FileVersion, MemoryFile, open_bytes
from sktagger.audio._mpeg import mp3_contents
from sktagger.audio._parts import Contents, Part, View
from sktagger.audio._tags import end_of_sound, is_filler, read_at, start_of_sound

_BLOCK = 2**20
_RECENT = 2_000_000_000  # ns
_FLAC_INFO = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # header of the first block
_FIRST_PAGE, _LAST_PAGE = 2, 4  # flags of an Ogg page


def file_contents(path: str | MemoryFile, version: FileVersion) -> Contents | None:
    """Find the recordings in a file, once for each version of the file.

    Parameters
    ----------
    path : str or MemoryFile
    version : FileVersion

    Returns
    -------
    Contents or None
        None if the format is not examined here.

    Raises
    ------
    soundfile.LibsndfileError
        If the file must be decoded to find its length, but cannot be decoded.
    """
    if isinstance(path, MemoryFile):  # the cache would keep the file in memory
        return _examine(path)
    # The clocks of file systems are coarse: two changes may get the same time.
    if time.time_ns() - max(version.modified, version.changed) < _RECENT:
        return _examine(path)
    return _examine_version(path, version)


@lru_cache(maxsize=2**15)
def _examine_version(path, version):
    return _examine(path)


def _examine(path):
    with open_bytes(path) as file:
        size = file.seek(0, 2)
        start = start_of_sound(file)
        magic = read_at(file, start, 4)
        if magic == b"fLaC":
            return _flac_contents(path, file, start, end_of_sound(file, start, size))
        if magic == b"OggS":
            return _ogg_contents(file, start, size)
        contents = chunk_contents(View(file, Part(b"", start, size)), size - start)
        if contents is None:
            return mp3_contents(file, start, size)
        parts = contents.parts
        if start and not parts:  # decoders do not accept a tag before the chunks
            parts = (Part(b"", 0, size - start),)
        return contents._replace(parts=tuple(part.shifted(start) for part in parts))


def _flac_contents(path, file, start, end):
    """Find joined FLAC files, and count the samples if a header does not state their number."""
    starts = [at for at, head in _find_all(file, b"fLaC", start) if head[4:] in _FLAC_INFO]
    parts, doubt = [], ""
    for begin, stop in pairwise([start, *starts[1:], end]):
        part = Part(b"", begin, stop)
        head = bytearray(read_at(file, begin, 26))
        if len(head) == 26 and not (head[21] & 0x0F or any(head[22:])):
            n_samples, is_whole = _count(path, part)
            head[21] |= n_samples >> 32
            head[22:] = (n_samples & 0xFFFFFFFF).to_bytes(4, "big")
            part = Part(bytes(head), begin + 26, stop)
            if not is_whole:
                doubt = f"it is cut off or damaged after {n_samples} samples, the rest is lost"
        parts.append(part)
    is_plain = len(parts) == 1 and not parts[0].prefix
    return Contents(() if is_plain else tuple(parts), doubt=doubt)


class _Stream(soundfile.SoundFile):
    """A file that is read in order, because seeking fails if the length is unknown."""

    def seekable(self) -> bool:
        return False


def _count(path, part):
    """Count samples by decoding them. Also return whether decoding reached the end."""
    n_samples = 0
    # An error does not tell where it occurred, so smaller steps come closer to it.
    for step in (2**16, 2**8, 1):
        with open_bytes(path) as whole, _Stream(View(whole, part)) as file:
            read = partial(_read_block, file, np.empty((2**16, file.channels), np.int32))
            for _ in range(n_samples // 2**16):
                read(2**16)
            read(n_samples % 2**16)
            try:
                while n_read := read(step):
                    n_samples += n_read
            except soundfile.LibsndfileError:
                if step == 1 and n_samples == 0:
                    raise
            else:
                return n_samples, True
    return n_samples, False


def _read_block(file, block, n_samples):
    return file.buffer_read_into(block[:n_samples], "int32") if n_samples else 0


def _ogg_contents(file, start, size):
    """Find joined Ogg files, and check that each has its last page."""
    starts, last_pages = [], []
    may_begin = True
    for at, page in _find_all(file, b"OggS\x00", start):
        is_first = bool(page[5] & _FIRST_PAGE)
        if may_begin and (is_first or not starts):
            starts.append(at)
            last_pages.append(at)
        may_begin = not is_first  # the first pages of parallel streams follow each other
        last_pages[-1:] = [at]
    if not starts:
        return Contents()
    parts = tuple(Part(b"", begin, stop) for begin, stop in pairwise([*starts, size]))
    ends = [_end_of_stream(file, at) for at in last_pages]
    doubt = ""
    if any(end == 0 or end > part.stop for end, part in zip(ends, parts, strict=True)):
        doubt = "its last page is missing or cut off, so its end may be lost"
    elif not is_filler(file, ends[-1], size):
        doubt = f"{size - ends[-1]} bytes follow the sound and are not read"
    return Contents(parts if len(parts) > 1 else (), doubt=doubt)


def _end_of_stream(file, position):
    """Return the end of the page at a position, or 0 if it is not the last page."""
    head = read_at(file, position, 27 + 255)
    if len(head) < 27 or not head[5] & _LAST_PAGE:
        return 0
    n_segments = head[26]
    return position + 27 + n_segments + sum(head[27 : 27 + n_segments])


def _find_all(file, what, position):
    """Yield each position where a file has the given bytes, and eight bytes from there."""
    kept = b""
    while block := read_at(file, position, _BLOCK):
        data = kept + block
        at = data.find(what)
        while 0 <= at <= len(data) - 8:
            yield position - len(kept) + at, data[at : at + 8]
            at = data.find(what, at + 1)
        position += len(block)
        kept = data[-7:]
