"""How many bytes of samples WAV, W64, AIFF, CAF and AU files hold, whatever their headers say."""

import re
import struct
from typing import NamedTuple

from sktagger.audio._parts import Contents, Part, View
from sktagger.audio._tags import is_filler, read_at

_FEW_BYTES = 64
_NEEDED = (b"fmt ", b"ds64", b"fact", b"COMM", b"FVER", b"desc", b"kuki", b"chan", b"pakt")
_LONGEST_NEEDED = 2**20
_OTHERS_OF_SAMPLES = {b"data": 0, b"SSND": 8}  # bytes in their chunk that precede them
_TAIL = 2**16
_ID = re.compile(rb"[ -~]{4}")
_KNOWN_ID = re.compile(
    rb"LIST|list|guan|bext|iXML|axml|chna|cart|fact|cue |smpl|inst|plst|adtl|PEAK|PAD |JUNK|junk"
    rb"|FLLR|id3 |ID3 |wamd|umid|acid|DISP|_PMX|levl|afsp|mark|summ|COMM|MARK|INST|NAME|AUTH|ANNO"
    rb"|COMT|APPL|MIDI|CHAN|\(c\) "
)
_MAGIC = re.compile(rb"RIF[FX]|RF64|FORM|\.snd|riff|caff")
_W64_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # follows the four letters of a chunk


class _Style(NamedTuple):
    """How chunks are written: their identifier, size, and what follows."""

    id_size: int = 4
    size_format: str = "<I"
    counts_header: bool = False
    alignment: int = 2


_LITTLE, _BIG = _Style(), _Style(size_format=">I")
_WAVE_64 = _Style(16, "<Q", True, 8)
_CORE_AUDIO = _Style(size_format=">Q", alignment=1)


class _Layout(NamedTuple):
    """Where a header says that samples are.

    Attributes
    ----------
    header : bytes
        What is needed of that which precedes them.
    start : int
        Their first byte.
    declared : int
        Their number of bytes.
    size_at, size_format, extra
        Where in `header` that is written, how, and how many other bytes it counts.
    outer_at, outer_extra
        The same for the size of the whole file; `outer_at` is None if it is not written.
    outer_end : int
        Where the file ends by its header; 0 if that is not written.
    style : _Style or None
        Of the chunks that may follow. None: there can be none.
    is_regular : bool, default=True
        Whether decoders find their way to the samples.
    """

    header: bytes
    start: int
    declared: int
    size_at: int
    size_format: str
    extra: int = 0
    outer_at: int | None = None
    outer_extra: int = 0
    outer_end: int = 0
    style: _Style | None = None
    is_regular: bool = True


class _Samples(NamedTuple):
    """What was found out of a file's samples.

    Attributes
    ----------
    n_bytes : int
    n_missing : int, default=0
        Bytes that the header promises and the file lacks.
    rest : int, default=0
        First of the bytes behind them that are not understood; 0 if there are none.
    """

    n_bytes: int
    n_missing: int = 0
    rest: int = 0


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
    parts, start = [], 0
    while True:
        found = _first_recording(View(file, Part(b"", start, size)), size - start)
        if found is None and not parts:
            return None
        if found is None:
            return Contents(
                tuple(parts),
                doubt=f"{size - start} bytes follow what its header counts, and are not read",
            )
        contents, rest = found
        if not rest and not parts:
            return contents
        own = contents.parts or (Part(b"", 0, size - start),)
        parts += [part.shifted(start) for part in own]
        if not rest:
            return contents._replace(parts=tuple(parts))
        start += rest


def _first_recording(file, size):
    """Find the first recording, and where the next one begins: 0 if there is none.

    None if there is no recording.
    """
    layout = _layout(file, size)
    if layout is None or layout.start > size:
        return None
    samples = _find_samples(file, layout, size)
    if samples.n_missing:
        return Contents(missing=f"{samples.n_missing} bytes more than the file has"), 0
    stop = layout.start + samples.n_bytes
    is_right = samples.n_bytes == layout.declared and not samples.rest
    is_understood = layout.is_regular and {
        _WAVE_64: stop == size,  # else decoders take what follows for samples
        None: samples.n_bytes < 2**31,  # they take the sizes of AU for signed numbers
    }.get(layout.style, True)
    if is_right and is_understood:
        return Contents(), 0
    most = 2 ** (8 * struct.calcsize(layout.size_format)) - 2**16
    if samples.n_bytes > most and layout.style is not None and layout.header[:4] != b"RIFF":
        n_lost = samples.n_bytes - most
        part = _part(layout, most, size)
        return Contents((part,), doubt=f"{n_lost} bytes beyond 4 GiB are not read"), 0
    return Contents((_part(layout, samples.n_bytes, size),)), samples.rest


def _find_samples(file, layout, size):
    """Weigh sizes against each other and against what is there."""
    start, declared = layout.start, layout.declared
    end = start + declared
    found = size - start
    if declared > found or (_is_unknown(declared) and found):
        if _is_unknown(declared):
            is_true = (
                declared <= found
                and declared % 2 == 0  # the greatest number is odd, and never the true one
                and _ends_well(file, end, size, layout.style, False)
            )
            return _Samples(declared if is_true else _samples_end(file, layout, size) - start)
        last = _samples_end(file, layout, size)
        counts_header = declared in (size, size - 8)
        is_contradicted = layout.outer_at is not None and (
            layout.outer_end < end or _is_unknown(layout.outer_end)
        )
        if last < size or counts_header or (end - size <= _FEW_BYTES and is_contradicted):
            return _Samples(last - start)
        return _Samples(found, n_missing=end - size)
    # sizes of 32 bits start over at 4 GiB
    wrapped = declared + ((found - declared + _FEW_BYTES) >> 32 << 32)
    if wrapped > declared and struct.calcsize(layout.size_format) == 4:
        is_true = wrapped <= found and _ends_well(file, start + wrapped, size, layout.style, False)
        return _Samples(wrapped if is_true else _samples_end(file, layout, size) - start)
    if _ends_well(file, end, size, layout.style):
        return _Samples(declared)
    for rest in (end, end + end % 2):
        if _MAGIC.match(read_at(file, rest, 4)):
            return _Samples(declared, rest=rest)
    last = _samples_end(file, layout, size)
    if last < size and abs(last - end) <= _FEW_BYTES:
        return _Samples(last - start)
    if size - end <= _FEW_BYTES:
        return _Samples(declared)
    if layout.outer_end in (end, end + end % 2) or _is_unknown(layout.outer_end):
        return _Samples(declared, rest=end)
    return _Samples(last - start)  # only one of the sizes was kept up to date


def _is_unknown(n_bytes):
    """Whether a size is what programs write that do not know it: about the greatest number."""
    near = _FEW_BYTES + 2**12
    return n_bytes == 0 or any(abs(n_bytes - 2**bits) <= near for bits in (31, 32, 63, 64))


def _ends_well(file, position, size, style, with_padding=True):
    """Whether a file ends at a position, or chunks follow up to its end, or a tag or zeros."""
    if position >= size or (with_padding and is_filler(file, position, size)):
        return True
    if style is None:
        return False
    return any(_chunks_end(file, at, size, style) for at in {position, _aligned(position, style)})


def _chunks_end(file, position, size, style):
    """Whether there are chunks from a position up to a file's end; the last may be cut off."""
    n_head = style.id_size + struct.calcsize(style.size_format)
    n_chunks = 0
    while size - position >= n_head:
        name, start, n_bytes = _chunk(file, position, style)
        if _MAGIC.match(name):
            return False
        if not _ID.match(name) or n_bytes < 0:
            return n_chunks > 0 and is_filler(file, position, size)
        if start + n_bytes > size:
            return _KNOWN_ID.match(name) is not None and n_bytes < 2**20
        position = _aligned(start + n_bytes, style)
        n_chunks += 1
    return n_chunks > 0 or position >= size


def _samples_end(file, layout, size):
    """Give where samples end that nothing tells the number of: at the chunks behind, if any."""
    if layout.style is None:
        return size
    begin = max(layout.start, size - _TAIL)
    tail = read_at(file, begin, size - begin)
    for match in _KNOWN_ID.finditer(tail):
        position = begin + match.start()
        if _chunks_end(file, position, size, layout.style):
            return position
    return size


def _part(layout, n_bytes, size):
    """Make a part with a header that tells its true length."""
    header = bytearray(layout.header)
    # in AIFF files, what describes the samples may follow them
    stop = size if header[:4] == b"FORM" and b"COMM" not in header else layout.start + n_bytes
    if header[:4] == b"RIFF" and len(header) + n_bytes >= 2**32:
        # these sizes have 64 bits only in RF64
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, len(header) + 28 + n_bytes, n_bytes, 0, 0)
        struct.pack_into("<4sI", header, 0, b"RF64", 2**32 - 1)
        struct.pack_into("<I", header, layout.size_at, 2**32 - 1)
        return Part(bytes(header[:12] + sizes + header[12:]), layout.start, stop)
    declared = 2**32 - 1 if layout.style is None else n_bytes + layout.extra  # in AU: to the end
    struct.pack_into(layout.size_format, header, layout.size_at, declared)
    if layout.outer_at is not None:
        n_outer = len(header) + n_bytes + layout.outer_extra
        struct.pack_into(layout.size_format, header, layout.outer_at, n_outer)
    return Part(bytes(header), layout.start, stop)


def _layout(file, size):
    head = read_at(file, 0, 40)
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
        return _in_chunks(file, size, _LITTLE if head[:4] == b"RIFF" else _BIG, 12)
    if head[:4] == b"RF64" and head[8:16] == b"WAVEds64" and len(head) == 40:
        layout = _in_chunks(file, size, _LITTLE, 12)
        if layout is None or layout.declared != 2**32 - 1:
            return layout
        outer, declared = struct.unpack("<QQ", head[20:36])
        sizes = {"size_at": 28, "size_format": "<Q", "outer_at": 20, "outer_end": outer + 8}
        return layout._replace(declared=declared, **sizes)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _in_chunks(file, size, _BIG, 12)
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _in_chunks(file, size, _WAVE_64, 40)
    if head[:4] == b"caff":
        return _in_chunks(file, size, _CORE_AUDIO, 8)
    if head[:4] in (b".snd", b"dns.") and len(head) >= 24:
        order = ">" if head[:4] == b".snd" else "<"
        start, declared = struct.unpack(order + "II", head[4:12])
        return _Layout(read_at(file, 0, start), start, declared, 8, order + "I")
    return None


def _in_chunks(file, size, style, position):
    """Go through the chunks up to that of the samples."""
    n_head = style.id_size + struct.calcsize(style.size_format)
    header = read_at(file, 0, position)
    outer = {}
    if style != _CORE_AUDIO:
        (outer_size,) = struct.unpack(style.size_format, header[style.id_size : n_head])
        extra = 0 if style.counts_header else -n_head
        outer = {"outer_at": style.id_size, "outer_extra": extra, "outer_end": outer_size - extra}
    is_regular = True
    while position < size:
        name, start, n_bytes = _chunk(file, position, style)
        if not _ID.match(name):
            return None
        if name[:4] in _OTHERS_OF_SAMPLES:
            n_others = _OTHERS_OF_SAMPLES[name[:4]] if style != _CORE_AUDIO else 4
            if name == b"SSND":
                n_others += int.from_bytes(read_at(file, start, 4), "big")
            return _Layout(
                header=header + read_at(file, position, n_head + n_others),
                start=start + n_others,
                declared=max(0, n_bytes - n_others),
                size_at=len(header) + style.id_size,
                size_format=style.size_format,
                extra=n_others + n_head * style.counts_header,
                style=style,
                is_regular=is_regular,
                **outer,
            )
        if name[:4] in _NEEDED and 0 <= n_bytes <= _LONGEST_NEEDED:
            chunk = read_at(file, position, n_head + n_bytes)
            header += chunk.ljust(_aligned(len(chunk), style), b"\0")
        position = start + n_bytes
        # some programs leave the byte out that makes lengths even
        if _is_chunk(file, _aligned(position, style), style):
            position = _aligned(position, style)
        else:
            is_regular = False
    return None


def _chunk(file, position, style):
    """Read a chunk's name, where its content begins, and its number of bytes."""
    n_size = struct.calcsize(style.size_format)
    head = read_at(file, position, style.id_size + n_size)
    name = head[: style.id_size]
    if len(head) < style.id_size + n_size or (style.id_size > 4 and name[4:] != _W64_GUID):
        return b"", position, 0
    (n_bytes,) = struct.unpack(style.size_format, head[style.id_size :])
    return name, position + len(head), n_bytes - len(head) * style.counts_header


def _is_chunk(file, position, style):
    return _ID.match(_chunk(file, position, style)[0]) is not None


def _aligned(position, style):
    return -(-position // style.alignment) * style.alignment
