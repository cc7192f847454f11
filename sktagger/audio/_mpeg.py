"""Find the recordings in MP3 files and their lengths.

The frames are counted, because the headers often state an estimated length or none.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import takewhile
from typing import BinaryIO, NamedTuple

from sktagger.audio._parts import Contents, Part
from sktagger.audio._tags import end_of_sound, tag_length

_V1_BITRATES = {  # in kbit/s, by layer
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2_BITRATES = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)
_WINDOW = 2**20
_MAX_FRAME = 2881  # bytes
_MUCH_JUNK = 2048  # bytes; more than the rest of a damaged frame
_N_INFO = 4 + 32 + 2 + 120  # header, side information, checksum and the information on the file


class Frame(NamedTuple):
    """Content of the header of a frame.

    Attributes
    ----------
    n_bytes : int
        Size of the frame.
    n_samples : int
        Number of samples per channel.
    kind : tuple
        Version, layer, sample rate in Hz, and whether the frame is mono. All frames of a recording
        are of one kind.
    """

    n_bytes: int
    n_samples: int
    kind: tuple[int, int, int, bool]


@lru_cache(maxsize=2**14)
def parse_frame(header: bytes) -> Frame | None:
    """Parse the header of a frame.

    Parameters
    ----------
    header : bytes
        Of length 4.

    Returns
    -------
    Frame or None
        None if the bytes are not a header, or do not determine the size of the frame.
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version = (2.5, None, 2, 1)[header[1] >> 3 & 3]
    layer = 4 - (header[1] >> 1 & 3)
    bitrate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version is None or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    bitrate = (_V1_BITRATES if version == 1 else _V2_BITRATES)[layer][bitrate - 1]
    rate = _RATES[rate] // {1: 1, 2: 2, 2.5: 4}[version]
    padding = header[2] >> 1 & 1
    n_samples = {1: 384, 2: 1152, 3: 1152 if version == 1 else 576}[layer]
    if layer == 1:
        n_bytes = 4 * (12_000 * bitrate // rate + padding)
    else:
        n_bytes = n_samples // 8 * 1000 * bitrate // rate + padding
    return Frame(n_bytes, n_samples, (version, layer, rate, header[3] >> 6 == 3))


class _Info(NamedTuple):
    """Information on the whole recording, which encoders write into a first frame without sound.

    `n_frames` and `n_bytes` are 0 if they are not stated.
    """

    name: bytes
    n_frames: int
    n_bytes: int


class _Run(NamedTuple):
    """Frames that follow each other without a gap."""

    start: int
    stop: int
    n_frames: int
    info: _Info | None
    first: Frame


def mp3_contents(file: BinaryIO, start: int, size: int) -> Contents | None:
    """Find the recordings in an MP3 file and their lengths.

    Parameters
    ----------
    file : binary file
    start : int
        Expected position of the first frame.
    size : int
        Size of the file in bytes.

    Returns
    -------
    Contents or None
        None if there is no frame at `start`.
    """
    data = _Window(file)
    if not _is_frame(data, start, size):
        return None
    end = end_of_sound(file, start, size)
    junk = []
    runs = list(_runs(data, start, end, junk))
    parts = tuple(part for part in map(_part, runs) if part is not None)
    if not parts:
        return None
    missing, n_lost = _compare(runs)
    doubt = ""
    if sum(junk) >= _MUCH_JUNK:
        doubt = f"{sum(junk)} bytes of it are not MP3 frames and are not read"
    elif n_lost and junk:
        doubt = f"it is damaged, {n_lost} samples are lost"
    is_plain = len(runs) == 1 and not parts[0].n_zeros
    return Contents(() if is_plain else parts, missing, doubt)


def _compare(runs):
    """Compare the stated numbers of frames with the counted ones.

    Returns a text on what is missing at the end, and the number of samples lost in between.
    """
    n_lost = 0
    for i, run in enumerate(runs):
        if run.info is None or run.info.n_frames == 0:
            continue
        of_header = [run, *takewhile(lambda other: other.info is None, runs[i + 1 :])]
        n_frames = sum(other.n_frames for other in of_header) - 1
        n_bytes = of_header[-1].stop - run.start
        # If no number of bytes is stated, a difference of one frame comes from the encoder.
        is_cut = n_bytes < run.info.n_bytes or (
            run.info.n_bytes == 0 and n_frames + 1 < run.info.n_frames
        )
        if n_frames < run.info.n_frames:
            n_promised, n_samples = (n * run.first.n_samples for n in (run.info.n_frames, n_frames))
            if is_cut:
                return f"{n_promised} samples, but the data ends after {n_samples}", 0
            n_lost += n_promised - n_samples
    return "", n_lost


def _part(run):
    """Return a part that decoders read completely, or None if the run has no sound."""
    n_frames = run.n_frames - (run.info is not None)
    if n_frames == 0 or run.n_frames == 1:  # decoders need two frames in a row
        return None
    if run.info is not None and run.info.name != b"VBRI" and run.info.n_frames == n_frames:
        return Part(b"", run.start, run.stop)
    start = run.start + (run.first.n_bytes if run.info is not None else 0)
    n_samples = n_frames * run.first.n_samples
    # Decoders estimate the length from the size and the first frame, and stop there.
    return Part(b"", start, run.stop, n_samples, n_zeros=n_frames * _MAX_FRAME)


def _runs(data, position, end, junk):
    """Yield runs of frames.

    A new run begins after a gap, at a frame with information, and where the kind changes. The
    lengths of sections that are neither frames nor tags are appended to `junk`.
    """
    while position < end:
        start = last = position
        first = parse_frame(data.at(position, 4))
        info = _read_info(data, position)
        n_frames = 0
        while (frame := parse_frame(data.at(position, 4))) is not None:
            if frame.kind != first.kind or position + frame.n_bytes > end:
                break
            # A frame with information has zeros in place of the side information.
            is_info = n_frames and not data.at(position + 6, 7).strip(b"\0")
            if is_info and _read_info(data, position) is not None:
                break
            n_frames += 1
            last = position
            position += frame.n_bytes
        if frame is None and _is_in_frame(data, last, position):
            n_frames -= 1
            position = last
        if n_frames:
            yield _Run(start, position, n_frames, info, first)
        position = _next_frame(data, max(position, start + 1), end, junk)


def _is_in_frame(data, position, stop):
    """Return whether a frame begins inside another one, which was cut off."""
    while (position := data.find(b"\xff", position + 1, stop)) < stop:
        frame = parse_frame(data.at(position, 4))
        if frame is None:
            continue
        following = parse_frame(data.at(position + frame.n_bytes, 4))
        if following is not None and following.kind == frame.kind:
            return True
    return False


def _next_frame(data, position, end, junk):
    """Return the position of the next frame, after tags and the rest of damaged frames."""
    while position < end and not _is_frame(data, position, end):
        n_bytes = tag_length(data.at(position, 32))
        if not n_bytes:
            n_bytes = data.find(b"\xff", position + 1, end) - position
            junk.append(n_bytes)
        position += n_bytes
    return position


def _is_frame(data, position, end):
    """Return whether there is a frame that is followed by one of its kind or by the end."""
    frame = parse_frame(data.at(position, 4))
    if frame is None or position + frame.n_bytes > end:
        return False
    after = position + frame.n_bytes
    following = parse_frame(data.at(after, 4))
    if following is not None:
        return following.kind == frame.kind
    return after == end or tag_length(data.at(after, 32)) > 0


def _read_info(data, position):
    """Return the information in the frame at a position, or None if the frame has sound."""
    head = data.at(position, _N_INFO)
    if head[36:40] == b"VBRI" and len(head) >= 54:
        n_bytes, n_frames = struct.unpack(">II", head[46:54])
        return _Info(b"VBRI", n_frames, n_bytes)
    at = max(head.find(b"Xing", 4, 46), head.find(b"Info", 4, 46))
    if at < 0 or len(head) < at + 16:
        return None
    flags, *values = struct.unpack(">III", head[at + 4 : at + 16])
    n_frames = values.pop(0) if flags & 1 else 0
    n_bytes = values.pop(0) if flags & 2 else 0
    return _Info(head[at : at + 4], n_frames, n_bytes)


class _Window:
    """Random access to the bytes of a file, which are read in large blocks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bytes = b""
        self._start = 0

    def at(self, position: int, n_bytes: int) -> bytes:
        """Return `n_bytes` bytes at a position, or fewer at the end of the file."""
        first = position - self._start
        found = self._bytes[first : first + n_bytes] if first >= 0 else b""
        if len(found) < n_bytes and position >= 0:
            self._load(position)
            found = self._bytes[:n_bytes]
        return found

    def find(self, what: bytes, position: int, end: int) -> int:
        """Return the next position of a byte, or `end` if there is none."""
        while position < end:
            self.at(position, 1)
            at = self._bytes.find(what, position - self._start)
            if at >= 0:
                return min(end, self._start + at)
            position = self._start + max(1, len(self._bytes))
        return end

    def _load(self, position):
        self._file.seek(position)
        self._bytes = self._file.read(_WINDOW)
        self._start = position
