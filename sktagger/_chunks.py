"""How many bytes of samples WAV, W64, AIFF and AU files hold, whatever their size fields say."""

import re
import struct
from typing import NamedTuple

from sktagger._parts import Contents, Part, View

_FEW_BYTES = 64
_LONGEST_HEADER = 2**24
_TAIL = 2**16
_ID = re.compile(rb"[ -~]{4}")
_KNOWN_ID = re.compile(
    rb"LIST|list|guan|bext|iXML|axml|chna|cart|fact|cue |smpl|inst|plst|adtl|PEAK|PAD |JUNK|junk"
    rb"|FLLR|id3 |ID3 |wamd|umid|acid|DISP|_PMX|levl|afsp|mark|summ|COMM|MARK|INST|NAME|AUTH|ANNO"
    rb"|COMT|APPL|MIDI|CHAN|\(c\) "
)
_TAG = re.compile(rb"TAG|ID3|APETAGEX")
_MAGIC = re.compile(rb"RIF[FX]|RF64|FORM|\.snd|riff")
_W64_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # follows the four letters of a chunk


class _Style(NamedTuple):
    """How chunks are written: their identifier, size, and what follows."""

    id_size: int = 4
    size_format: str = "<I"
    counts_header: bool = False
    alignment: int = 2


_LITTLE, _BIG = _Style(), _Style(size_format=">I")
_WAVE_64 = _Style(16, "<Q", True, 8)


class _Layout(NamedTuple):
    """Where a header says that samples are.

    Attributes
    ----------
    start : int
        Their first byte.
    declared : int
        Their number of bytes.
    size_at, size_format, extra
        Where that is written, how, and how many other bytes it counts.
    outer_at, outer_format, outer_extra
        The same for the size of the whole file; `outer_at` is None if it is not written.
    outer_end : int
        Where the file ends by its header; 0 if that is not written.
    style : _Style or None
        Of the chunks that may follow. None: there can be none.
    """

    start: int
    declared: int
    size_at: int
    size_format: str
    extra: int
    outer_at: int | None
    outer_format: str
    outer_extra: int
    outer_end: int
    style: _Style | None


def chunk_contents(file, size: int) -> Contents | None:
    """Find the samples in a file that is made of chunks.

    Parameters
    ----------
    file : binary file
    size : int
        In bytes.

    Returns
    -------
    Contents or None
        None if this is no such file, or a damaged one.
    """
    layout = _layout(file, size)
    if layout is None or layout.start > min(size, _LONGEST_HEADER):
        return None
    n_bytes, missing, doubt, joined = _judge(file, layout, size)
    if missing:
        return Contents(missing=f"{missing} bytes more than the file has")
    clean = not doubt and joined is None
    if clean and n_bytes == _as_libsndfile_reads(layout, size):
        return Contents()
    parts = [_part(file, layout, n_bytes, size if clean else layout.start + n_bytes)]
    if joined is not None:
        rest = chunk_contents(View(file, Part(b"", joined, size)), size - joined)
        if rest is None:
            doubt = f"{size - joined} bytes follow the samples and are not read"
        else:
            parts += [p.shifted(joined) for p in rest.parts or [Part(b"", 0, size - joined)]]
            missing, doubt = rest.missing, rest.doubt
    return Contents(tuple(parts), missing, doubt)


def _as_libsndfile_reads(layout, size):
    found = size - layout.start
    # of W64, it takes all that follows for samples
    return found if layout.style == _WAVE_64 else min(layout.declared, found)


def _judge(file, layout, size):
    """Weigh sizes against each other and against what is there.

    Returns the number of bytes of samples, of those that lack, a doubt, and where another
    recording begins, or None.
    """
    start, declared = layout.start, layout.declared
    found = size - start
    end = start + declared
    if _is_unknown(declared) and found > 0:
        if declared == 0 and _ends_well(file, start, size, layout.style, zeros=False):
            return 0, 0, "", None
        if declared <= found and _ends_well(file, end, size, layout.style):
            return declared, 0, "", None
        return _samples_end(file, layout, size) - start, 0, "", None
    if declared > found:
        last = _samples_end(file, layout, size)
        counts_header = declared in (size, size - 8)
        contradicts = layout.outer_end < end or _is_unknown(layout.outer_end)
        if last < size or counts_header or (declared - found <= _FEW_BYTES and contradicts):
            return last - start, 0, "", None
        return found, declared - found, "", None
    # sizes of 32 bits start over at 4 GiB
    wraps = (found - declared + _FEW_BYTES) >> 32
    if wraps and struct.calcsize(layout.size_format) == 4:
        wrapped = declared + (wraps << 32)
        if wrapped <= found and _ends_well(file, start + wrapped, size, layout.style, zeros=False):
            return wrapped, 0, "", None
        return _samples_end(file, layout, size) - start, 0, "", None
    if _ends_well(file, end, size, layout.style):
        return declared, 0, "", None
    for joined in (end, end + end % 2):
        if _MAGIC.match(_read(file, joined, 4)):
            return declared, 0, "", joined
    if size - end <= _FEW_BYTES:
        return declared, 0, "", None
    if layout.outer_end in (end, end + end % 2) or _is_unknown(layout.outer_end):
        return declared, 0, f"{size - end} bytes follow the samples and are not read", None
    return _samples_end(file, layout, size) - start, 0, "", None  # only one was kept up to date


def _is_unknown(n_bytes):
    """Whether a size is what programs write that do not know it: about the greatest number."""
    near = _FEW_BYTES + 2**12
    return n_bytes == 0 or any(abs(n_bytes - 2**bits) <= near for bits in (31, 32, 63, 64))


def _ends_well(file, position, size, style, zeros=True):
    """Whether a file ends at a position, or chunks, a tag or zeros follow up to its end."""
    if style is None:
        return position == size or (zeros and _is_padding(file, position, size))
    for first in {position, _aligned(position, style)}:
        if first >= size or _chunks_end(file, first, size, style):
            return True
    return zeros and _is_padding(file, position, size)


def _is_padding(file, position, size):
    rest = _read(file, position, min(_TAIL, size - position))
    return len(rest) < 8 or not any(rest) or _TAG.match(rest) is not None


def _chunks_end(file, position, size, style):
    """Whether there are chunks from a position up to a file's end; the last may be cut off."""
    while size - position >= style.id_size + struct.calcsize(style.size_format):
        name, start, n_bytes = _chunk(file, position, style)
        if not _ID.match(name) or n_bytes < 0:
            return _is_padding(file, position, size)
        if start + n_bytes > size:
            return _KNOWN_ID.match(name) is not None and n_bytes < 2**20
        position = _aligned(start + n_bytes, style)
    return True


def _samples_end(file, layout, size):
    """Give where samples end that nothing tells the number of: at the chunks behind, if any."""
    if layout.style is None:
        return size
    begin = max(layout.start, size - _TAIL)
    tail = _read(file, begin, size - begin)
    for match in _KNOWN_ID.finditer(tail):
        position = begin + match.start()
        if position % 2 == 0 and _chunks_end(file, position, size, layout.style):
            return position
    return size


def _part(file, layout, n_bytes, stop):
    """Make a part with a header that tells its true length."""
    header = bytearray(_read(file, 0, layout.start))
    if layout.style == _LITTLE and header[:4] == b"RIFF" and layout.start + n_bytes >= 2**32:
        # these sizes have 64 bits only in RF64
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, layout.start + n_bytes + 28, n_bytes, 0, 0)
        struct.pack_into("<4sI", header, 0, b"RF64", 2**32 - 1)
        struct.pack_into("<I", header, layout.size_at, 2**32 - 1)
        return Part(bytes(header[:12] + sizes + header[12:]), layout.start, stop)
    struct.pack_into(layout.size_format, header, layout.size_at, n_bytes + layout.extra)
    if layout.outer_at is not None:
        n_outer = len(header) + n_bytes + layout.outer_extra
        struct.pack_into(layout.outer_format, header, layout.outer_at, n_outer)
    return Part(bytes(header), layout.start, stop)


def _layout(file, size):
    head = _read(file, 0, 40)
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
        return _in_chunks(file, size, _LITTLE if head[:4] == b"RIFF" else _BIG, b"data")
    if head[:4] == b"RF64" and head[8:16] == b"WAVEds64":
        layout = _in_chunks(file, size, _LITTLE, b"data")
        if layout is None or layout.declared != 2**32 - 1:
            return layout
        outer, declared = struct.unpack("<QQ", head[20:36])
        return layout._replace(
            declared=declared,
            size_at=28,
            size_format="<Q",
            outer_at=20,
            outer_format="<Q",
            outer_end=outer + 8,
        )
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _in_chunks(file, size, _BIG, b"SSND")
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _in_chunks(file, size, _WAVE_64, b"data")
    if head[:4] in (b".snd", b"dns.") and len(head) >= 24:
        order = ">" if head[:4] == b".snd" else "<"
        start, declared = struct.unpack(order + "II", head[4:12])
        return _Layout(start, declared, 8, order + "I", 0, None, "", 0, 0, None)
    return None


def _in_chunks(file, size, style, name_of_samples):
    """Go through the chunks up to that of the samples."""
    outer_at = style.id_size
    n_size = struct.calcsize(style.size_format)
    (outer,) = struct.unpack(style.size_format, _read(file, outer_at, n_size))
    outer_extra = 0 if style.counts_header else -(style.id_size + n_size)
    position = 40 if style.counts_header else 12
    while position < size:
        name, start, n_bytes = _chunk(file, position, style)
        if not _ID.match(name):
            return None
        if name[:4] == name_of_samples:
            extra = style.id_size + n_size if style.counts_header else 0
            if name_of_samples == b"SSND":
                offset = struct.unpack(">I", _read(file, start, 4).rjust(4, b"\0"))[0]
                start, n_bytes, extra = start + 8 + offset, max(0, n_bytes - 8 - offset), 8 + offset
            return _Layout(
                start,
                n_bytes,
                position + style.id_size,
                style.size_format,
                extra,
                outer_at,
                style.size_format,
                outer_extra,
                outer - outer_extra,
                style,
            )
        after = start + n_bytes
        position = _aligned(after, style)
        # some programs leave the byte out that makes lengths even
        if position != after and not _is_chunk(file, position, style):
            position = after
    return None


def _chunk(file, position, style):
    """Read a chunk's name, where its content begins, and its number of bytes."""
    n_size = struct.calcsize(style.size_format)
    head = _read(file, position, style.id_size + n_size)
    name = head[: style.id_size]
    if len(head) < style.id_size + n_size or (style.id_size > 4 and name[4:] != _W64_GUID):
        return b"", position, 0
    (n_bytes,) = struct.unpack(style.size_format, head[style.id_size :])
    return name, position + len(head), n_bytes - len(head) * style.counts_header


def _is_chunk(file, position, style):
    return _ID.match(_chunk(file, position, style)[0]) is not None


def _aligned(position, style):
    return -(-position // style.alignment) * style.alignment


def _read(file, position, n_bytes):
    file.seek(position)
    return file.read(n_bytes)
