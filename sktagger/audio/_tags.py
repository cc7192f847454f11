"""Tags and zero padding before and after the sound in audio files."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

_TAG = re.compile(rb"TAG|ID3|APETAGEX")
_N_ID3V1 = 128
_N_APE = 32
_BLOCK = 2**20


def read_at(file: BinaryIO, position: int, n_bytes: int) -> bytes:
    """Read `n_bytes` bytes at a position, or fewer at the end of the file."""
    file.seek(max(0, position))
    return file.read(n_bytes)


def start_of_sound(file: BinaryIO) -> int:
    """Return the position after the ID3 tags at the beginning of a file."""
    position = 0
    while (head := read_at(file, position, _N_APE))[:3] == b"ID3" and (length := tag_length(head)):
        position += length
    return position


def end_of_sound(file: BinaryIO, start: int, size: int) -> int:
    """Return the position where the tags at the end of a file begin.

    Parameters
    ----------
    file : binary file
    start : int
        Position where the sound begins.
    size : int
        Size of the file in bytes.

    Returns
    -------
    int
        `size` if there are no tags.
    """
    end = size
    if read_at(file, end - _N_ID3V1, 3) == b"TAG":
        end -= _N_ID3V1
    footer = read_at(file, end - _N_APE, _N_APE)
    if footer[:8] == b"APETAGEX":
        n_bytes, _, flags = struct.unpack("<III", footer[12:24])
        end -= n_bytes + _N_APE * bool(flags & 2**31)
    return end if end > start else size


def tag_length(head: bytes) -> int:
    """Return the length of a tag in bytes.

    Parameters
    ----------
    head : bytes
        The first 32 bytes of the tag.

    Returns
    -------
    int
        0 if the bytes are not a tag.
    """
    if head[:3] == b"ID3" and len(head) >= 10:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + 10 * bool(head[5] & 0x10)
    if head[:3] == b"TAG":
        return _N_ID3V1
    if head[:8] == b"APETAGEX" and len(head) == _N_APE:
        n_bytes, _, flags = struct.unpack("<III", head[12:24])
        is_header = bool(flags & 2**29)  # else it is the footer
        return n_bytes + _N_APE * is_header
    return 0


def is_filler(file: BinaryIO, position: int, size: int) -> bool:
    """Return whether only a tag, zeros or fewer than 8 bytes follow a position in a file."""
    if size - position < 8 or _TAG.match(read_at(file, position, 8)):
        return True
    file.seek(position)
    while block := file.read(_BLOCK):
        if block.strip(b"\0"):
            return False
    return True
