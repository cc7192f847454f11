"""How long MP3 files are: their frames are counted, as their headers often guess or say nothing."""

import struct
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

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
_LONGEST_FRAME = 2881  # bytes
_MUCH_JUNK = 2048  # bytes: more than the remains of a single frame
_N_INFO = 4 + 32 + 2 + 120  # header, side information, checksum and what encoders write of a file


class Frame(NamedTuple):
    """What the four bytes of a frame's header say.

    Attributes
    ----------
    n_bytes, n_samples : int
        Length of the frame, and of its sound.
    kind : tuple
        What all frames of a recording have in common.
    """

    n_bytes: int
    n_samples: int
    kind: tuple[int, int, int, bool]


@lru_cache(maxsize=2**14)
def parse_frame(header: bytes) -> Frame | None:
    """Read a frame's header.

    Parameters
    ----------
    header : bytes of length 4

    Returns
    -------
    Frame or None
        None if it is no header, or one that does not say how long the frame is.
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
    """What the first frame of a recording may say of the whole, in place of sound."""

    name: bytes
    n_frames: int
    n_bytes: int


class _Run(NamedTuple):
    """Frames without a gap."""

    start: int
    stop: int
    n_frames: int
    info: _Info | None
    first: Frame


def mp3_contents(file, start: int, size: int) -> Contents | None:
    """Find the recordings in an MP3 file, and how long they are.

    Parameters
    ----------
    file : binary file
    start : int
        Where the first frame is to be.
    size : int
        Of the file in bytes.

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
        doubt = f"{sum(junk)} bytes of it are no MP3 frames and are not read"
    elif n_lost and junk:
        doubt = f"it is damaged, {n_lost} samples are lost"
    is_plain = len(runs) == 1 and not parts[0].n_zeros
    return Contents(() if is_plain else parts, missing, doubt)


def _compare(runs):
    """Compare counts of frames in headers with what is there.

    Returns what the file lacks as it is cut off, and the number of samples that are lost inside.
    """
    n_lost = 0
    for i, run in enumerate(runs):
        if run.info is None or run.info.n_frames == 0:
            continue
        of_header = [run, *takewhile(lambda other: other.info is None, runs[i + 1 :])]
        n_frames = sum(other.n_frames for other in of_header) - 1
        n_bytes = of_header[-1].stop - run.start
        # without a number of bytes, a difference of one frame is how the encoder counts
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
    """Make a part of which the decoder gives all frames; None if there are none with sound."""
    n_frames = run.n_frames - (run.info is not None)
    if n_frames == 0 or run.n_frames == 1:  # decoders look for two in a row
        return None
    if run.info is not None and run.info.name != b"VBRI" and run.info.n_frames == n_frames:
        return Part(b"", run.start, run.stop)
    start = run.start + (run.first.n_bytes if run.info is not None else 0)
    n_samples = n_frames * run.first.n_samples
    # decoders guess from the size and the first frame, and give no more than they have guessed
    return Part(b"", start, run.stop, n_samples, n_zeros=n_frames * _LONGEST_FRAME)


def _runs(data, position, end, junk):
    """Yield runs of frames: a new one begins after a gap, at a header, and at another kind.

    `junk` gets the lengths of what is neither frame nor tag.
    """
    while position < end:
        start = last = position
        first = parse_frame(data.at(position, 4))
        info = _read_info(data, position)
        n_frames = 0
        while (frame := parse_frame(data.at(position, 4))) is not None:
            if frame.kind != first.kind or position + frame.n_bytes > end:
                break
            # what encoders say of a file begins with zeros in place of the side information
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
    """Whether a frame begins inside another one, which was cut off before it."""
    while (position := data.find(b"\xff", position + 1, stop)) < stop:
        frame = parse_frame(data.at(position, 4))
        if frame is None:
            continue
        following = parse_frame(data.at(position + frame.n_bytes, 4))
        if following is not None and following.kind == frame.kind:
            return True
    return False


def _next_frame(data, position, end, junk):
    """Skip what is no frame: tags, and remains of frames."""
    while position < end and not _is_frame(data, position, end):
        n_bytes = tag_length(data.at(position, 32))
        if not n_bytes:
            n_bytes = data.find(b"\xff", position + 1, end) - position
            junk.append(n_bytes)
        position += n_bytes
    return position


def _is_frame(data, position, end):
    """Whether there is a frame, followed by another one of its kind or by the end."""
    frame = parse_frame(data.at(position, 4))
    if frame is None or position + frame.n_bytes > end:
        return False
    after = position + frame.n_bytes
    following = parse_frame(data.at(after, 4))
    if following is not None:
        return following.kind == frame.kind
    return after == end or tag_length(data.at(after, 32)) > 0


def _read_info(data, position):
    """Read what an encoder says in the frame at a position; None if it is one with sound."""
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
    """Gives bytes of a file at random, of which it reads many at a time."""

    def __init__(self, file):
        self._file = file
        self._bytes = b""
        self._start = 0

    def at(self, position, n_bytes):
        """Give bytes; fewer at the end of the file."""
        first = position - self._start
        found = self._bytes[first : first + n_bytes] if first >= 0 else b""
        if len(found) < n_bytes and position >= 0:
            self._load(position)
            found = self._bytes[:n_bytes]
        return found

    def find(self, what, position, end):
        """Give the next position of a byte; the end if there is none."""
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
