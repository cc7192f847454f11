"""Find the samples in WAV, W64, AIFF, CAF and AU files, even if their headers are wrong."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO, NamedTuple

from sktagger.audio._parts import Contents, Part, View
from sktagger.audio._tags import is_filler, read_at

_FEW_BYTES = 64
_NEEDED_IDS = (b"fmt ", b"ds64", b"fact", b"COMM", b"FVER", b"desc", b"kuki", b"chan", b"pakt")
_MAX_NEEDED = 2**20  # bytes
_OFFSET_OF_SAMPLES = {b"data": 0, b"SSND": 8}  # bytes before the samples in their chunk
_TAIL = 2**16
_ID = re.compile(rb"[ -~]{4}")
_KNOWN_ID = re.compile(
    rb"LIST|list|guan|bext|iXML|axml|chna|cart|fact|cue |smpl|inst|plst|adtl|PEAK|PAD |JUNK|junk"
    rb"|FLLR|id3 |ID3 |wamd|umid|acid|DISP|_PMX|levl|afsp|mark|summ|COMM|MARK|INST|NAME|AUTH|ANNO"
    rb"|COMT|APPL|MIDI|CHAN|\(c\) "
)
_MAGIC = re.compile(rb"RIF[FX]|RF64|FORM|\.snd|riff|caff")
_W64_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # follows the four letters of an id


class _Style(NamedTuple):
    """Format of chunks.

    Attributes
    ----------
    id_size : int, default=4
        Length of the identifier in bytes.
    size_format : str, default="<I"
        Format of the size, see :mod:`struct`.
    counts_header : bool, default=False
        Whether the size includes identifier and size.
    alignment : int, default=2
        Chunks begin at multiples of this number of bytes.
    """

    id_size: int = 4
    size_format: str = "<I"
    counts_header: bool = False
    alignment: int = 2


_LITTLE, _BIG = _Style(), _Style(size_format=">I")
_WAVE_64 = _Style(16, "<Q", True, 8)
_CORE_AUDIO = _Style(size_format=">Q", alignment=1)


class _Layout(NamedTuple):
    """Position and size of the samples according to the header.

    Attributes
    ----------
    header : bytes
        The chunks before the samples that decoders need.
    start : int
        Position of the first sample.
    declared : int
        Number of bytes of the samples.
    size_at : int
        Position of this number in `header`.
    size_format : str
        Format of this number, see :mod:`struct`.
    extra : int, default=0
        Number of other bytes that this number includes.
    outer_at : int or None, default=None
        Position of the size of the whole file in `header`. None: it is not stated.
    outer_extra : int, default=0
        Number of bytes to add to the size of the file for this number.
    outer_end : int, default=0
        End of the file according to the header. 0: it is not stated.
    style : _Style or None, default=None
        Format of the chunks that may follow. None: no chunk can follow.
    is_regular : bool, default=True
        Whether decoders find the samples.
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
    """The true size of the samples.

    Attributes
    ----------
    n_bytes : int
        Number of bytes of the samples.
    n_missing : int, default=0
        Number of bytes that the header promises but the file does not contain.
    rest : int, default=0
        Position after the samples where unknown content begins. 0: there is none.
    """

    n_bytes: int
    n_missing: int = 0
    rest: int = 0


def chunk_contents(file: BinaryIO | View, size: int) -> Contents | None:
    """Find the recordings in a file that consists of chunks.

    Parameters
    ----------
    file : binary file
    size : int
        Size of the file in bytes.

    Returns
    -------
    Contents or None
        None if the file has another format or is damaged.
    """
    parts, start = [], 0
    while True:
        found = _first_recording(View(file, Part(b"", start, size)), size - start)
        if found is None and not parts:
            return None
        if found is None:
            return Contents(
                tuple(parts),
                doubt=f"{size - start} bytes follow the end given by its header and are not read",
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
    """Return the first recording and the position where the next one begins.

    The position is 0 if there is no other recording. None if there is no recording at all.
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
        _WAVE_64: stop == size,  # decoders read all bytes that follow as samples
        None: samples.n_bytes < 2**31,  # decoders read the size in AU files as a signed number
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
    """Compare the declared sizes with each other and with the content of the file."""
    start, declared = layout.start, layout.declared
    end = start + declared
    found = size - start
    if declared > found or (_is_unknown(declared) and found):
        if _is_unknown(declared):
            is_true = (
                declared <= found
                and declared % 2 == 0  # the maximum is odd and never the true size
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
    # Sizes of 32 bits wrap around at 4 GiB.
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
    return _Samples(last - start)  # the writer updated only one of the sizes


def _is_unknown(n_bytes):
    """Return whether a size is 0 or close to the maximum.

    Programs write such sizes if they do not know the real one.
    """
    near = _FEW_BYTES + 2**12
    return n_bytes == 0 or any(abs(n_bytes - 2**bits) <= near for bits in (31, 32, 63, 64))


def _ends_well(file, position, size, style, with_padding=True):
    """Return whether a file ends at a position, apart from chunks, a tag or zeros."""
    if position >= size or (with_padding and is_filler(file, position, size)):
        return True
    if style is None:
        return False
    return any(_chunks_end(file, at, size, style) for at in {position, _aligned(position, style)})


def _chunks_end(file, position, size, style):
    """Return whether a file consists of chunks from a position to its end.

    The last chunk may be cut off.
    """
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
    """Return where samples of unknown size end: at the first chunk that follows, if any."""
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
    """Return a part whose header states the true size."""
    header = bytearray(layout.header)
    # In AIFF files, the chunk that describes the samples may follow them.
    stop = size if header[:4] == b"FORM" and b"COMM" not in header else layout.start + n_bytes
    if header[:4] == b"RIFF" and len(header) + n_bytes >= 2**32:
        # Only RF64 has sizes of 64 bits.
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, len(header) + 28 + n_bytes, n_bytes, 0, 0)
        struct.pack_into("<4sI", header, 0, b"RF64", 2**32 - 1)
        struct.pack_into("<I", header, layout.size_at, 2**32 - 1)
        return Part(bytes(header[:12] + sizes + header[12:]), layout.start, stop)
    # In AU files, the maximum means "to the end of the file".
    declared = 2**32 - 1 if layout.style is None else n_bytes + layout.extra
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
    """Read the chunks up to the one with the samples."""
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
        if name[:4] in _OFFSET_OF_SAMPLES:
            offset = _OFFSET_OF_SAMPLES[name[:4]] if style != _CORE_AUDIO else 4
            if name == b"SSND":
                offset += int.from_bytes(read_at(file, start, 4), "big")
            return _Layout(
                header=header + read_at(file, position, n_head + offset),
                start=start + offset,
                declared=max(0, n_bytes - offset),
                size_at=len(header) + style.id_size,
                size_format=style.size_format,
                extra=offset + n_head * style.counts_header,
                style=style,
                is_regular=is_regular,
                **outer,
            )
        if name[:4] in _NEEDED_IDS and 0 <= n_bytes <= _MAX_NEEDED:
            chunk = read_at(file, position, n_head + n_bytes)
            header += chunk.ljust(_aligned(len(chunk), style), b"\0")
        position = start + n_bytes
        # Some programs omit the padding byte after a chunk of odd length.
        if _is_chunk(file, _aligned(position, style), style):
            position = _aligned(position, style)
        else:
            is_regular = False
    return None


def _chunk(file, position, style):
    """Return the name of a chunk, the position of its content and its number of bytes."""
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
