"""What is in an audio file: recordings and their true lengths, where headers only guess."""

import time
from functools import lru_cache
from itertools import pairwise

import numpy as np
import soundfile

from sktagger._audio_files import FileVersion, MemoryFile, open_bytes
from sktagger._chunks import chunk_contents
from sktagger._mpeg import id3_size, mp3_contents
from sktagger._parts import Contents, Part, View

_BLOCK = 2**20
_RECENT = 2_000_000_000  # ns
_FLAC_INFO = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # header of the block that comes first
_FIRST_PAGE = b"OggS\x00\x02"
_LAST_PAGE = 4


def file_contents(path, version: FileVersion) -> Contents | None:
    """Look into a file, once for each version of it.

    Parameters
    ----------
    path : str or MemoryFile
    version : FileVersion

    Returns
    -------
    Contents or None
        None if nothing is known of files of this kind.

    Raises
    ------
    soundfile.LibsndfileError
        If a file has to be decoded to find its length, and cannot be.
    """
    if isinstance(path, MemoryFile):  # which the cache would keep in memory
        return _examine(path)
    # clocks of file systems are coarse: a file may change twice at what they take for one time
    if time.time_ns() - max(version.modified, version.changed) < _RECENT:
        return _examine(path)
    return _examine_version(path, version)


@lru_cache(maxsize=2**15)
def _examine_version(path, version):
    return _examine(path)


def _examine(path):
    with open_bytes(path) as file:
        size = file.seek(0, 2)
        start = 0
        while (head := _read(file, start, 10))[:3] == b"ID3" and len(head) == 10:
            start += id3_size(head)
        magic = _read(file, start, 4)
        if magic == b"fLaC":
            return _flac_contents(path, file, start, size)
        if magic == b"OggS":
            return _ogg_contents(file, start, size)
        contents = chunk_contents(View(file, Part(b"", start, size)), size - start)
        if contents is not None:
            parts = contents.parts
            if start and not parts:  # decoders do not expect a tag before chunks
                parts = (Part(b"", 0, size - start),)
            return contents._replace(parts=tuple(part.shifted(start) for part in parts))
        return mp3_contents(file, start, size)


def _flac_contents(path, file, start, size):
    """Find FLAC files one after another; count their samples where their headers do not."""
    found = _find_all(file, b"fLaC", start)
    starts = [at for at in found if _read(file, at + 4, 4) in _FLAC_INFO]
    bounds = [start, *starts[1:], size]
    parts = []
    for begin, end in pairwise(bounds):
        head = bytearray(_read(file, begin, 26))
        part = Part(b"", begin, end)
        if len(head) == 26 and not (head[21] & 0x0F or any(head[22:])):
            n_samples = _count(path, part)
            head[21] |= n_samples >> 32
            head[22:] = (n_samples & 0xFFFFFFFF).to_bytes(4, "big")
            part = Part(bytes(head), begin + 26, end)
        parts.append(part)
    is_plain = len(parts) == 1 and not parts[0].prefix
    return Contents(() if is_plain else tuple(parts))


class _Stream(soundfile.SoundFile):
    """A file that is only read on: seeking fails where the length is unknown."""

    def seekable(self):
        return False


def _count(path, part):
    """Count samples by decoding them."""
    n_samples = 0
    with open_bytes(path) as whole, _Stream(View(whole, part)) as file:
        block = np.empty((2**16, file.channels), np.int32)
        while n_read := file.buffer_read_into(block, "int32"):
            n_samples += n_read
    return n_samples


def _ogg_contents(file, start, size):
    """Find Ogg files one after another, and look whether the last one has its end."""
    after = start
    while _read(file, after, 6) == _FIRST_PAGE:  # several streams side by side begin together
        after += _page_length(file, after)
    starts = [start, *_find_all(file, _FIRST_PAGE, after)]
    bounds = [*starts, size]
    parts = tuple(Part(b"", begin, end) for begin, end in pairwise(bounds))
    cut = any(not _has_end(file, part) for part in parts)
    doubt = "its last page is missing or cut off, so that its end may be lost" if cut else ""
    return Contents(parts if len(parts) > 1 else (), doubt=doubt)


def _has_end(file, part):
    """Whether the last page is whole, and marked as the last one."""
    begin = max(part.start, part.stop - 2**16)  # no page is longer
    tail = _read(file, begin, part.stop - begin)
    at = tail.rfind(b"OggS\x00")
    if at < 0 or len(tail) < at + 27:
        return False
    return bool(tail[at + 5] & _LAST_PAGE) and at + _page_length(file, begin + at) <= len(tail)


def _page_length(file, position):
    head = _read(file, position, 27 + 255)
    if len(head) < 27:
        return 27
    n_segments = head[26]
    return 27 + n_segments + sum(head[27 : 27 + n_segments])


def _find_all(file, what, position):
    """Yield where a file has given bytes, reading it block by block."""
    file.seek(position)
    kept = b""
    while block := file.read(_BLOCK):
        data = kept + block
        at = data.find(what)
        while at >= 0:
            yield position - len(kept) + at
            at = data.find(what, at + 1)
        position += len(block)
        kept = data[-(len(what) - 1) :]
        file.seek(position)


def _read(file, position, n_bytes):
    file.seek(position)
    return file.read(n_bytes)
