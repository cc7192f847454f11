"""Find what is where in a file of ``torch.save``, and account for every byte of it.

There are two layouts. Since PyTorch 1.6: a zip archive of a pickle and an entry for each storage,
not compressed. Before: pickles in a row (magic number, protocol, the machine's types, the content,
the keys of the storages), then for each storage its number of items and the items.
"""

import io
import struct
import sys
import zipfile
from typing import Any, BinaryIO, NamedTuple

from sktagger.training._file_kinds import LEGACY_BEGINNING
from sktagger.training._torch_objects import Storage
from sktagger.training._torch_pickles import follow

# In bytes. NumPy arrays beside the weights take most of it: their items are in the pickle.
_MAX_PICKLE = 2**26
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_SYSTEM = {
    "protocol_version": _PROTOCOL,
    "little_endian": sys.byteorder == "little",
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
_DESCRIPTOR = 24  # bytes that may follow an entry of an archive


class Place(NamedTuple):
    """Where the data of a storage are in a file, and their checksum if there is one."""

    start: int
    checksum: int | None = None


class Content(NamedTuple):
    """What a file holds: plain data and placeholders, and the place of each storage."""

    top: Any
    places: dict[str, Place]


def read_content(file: BinaryIO) -> Content:
    """Read all but the data of tensors. Nothing is decompressed or called.

    Parameters
    ----------
    file : binary file
        Open for reading, at any position.

    Returns
    -------
    Content

    Raises
    ------
    ValueError, IndexError, KeyError, TypeError, struct.error, OSError, zipfile.BadZipFile
        If the file is not as ``torch.save`` writes it.
    """
    n_bytes = file.seek(0, 2)
    file.seek(0)
    first = file.read(len(LEGACY_BEGINNING))
    file.seek(0)
    if first.startswith(b"PK\3\4"):
        return _read_archive(file, n_bytes)
    if first == LEGACY_BEGINNING:
        return _read_legacy(file, n_bytes)
    raise ValueError(
        "it is no zip archive, which PyTorch writes since version 1.6, nor of its earlier layout"
    )


def _read_archive(file, n_bytes):
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if archive.comment or len({name.casefold() for name in entries}) < len(archive.infolist()):
            raise ValueError("its archive has a comment, or entries of the same name")
        starts = _find_entries(file, archive, n_bytes)
        folder = next(iter(entries), "").partition("/")[0]
        if f"{folder}/data.pkl" not in entries:
            raise ValueError("its archive has no data.pkl")
        if entries[f"{folder}/data.pkl"].file_size > _MAX_PICKLE:
            raise ValueError(f"its data.pkl is larger than {_MAX_PICKLE} bytes")
        stream = io.BytesIO(archive.read(f"{folder}/data.pkl"))
        order = f"{folder}/byteorder"  # which PyTorch writes since version 2.1
        if order in entries and archive.read(order) != sys.byteorder.encode():
            raise ValueError("it was written on a machine of another byte order")
    top, storages = follow(stream)
    if stream.read(1):
        raise ValueError("its data.pkl goes on behind its end")
    data = {
        name.removeprefix(f"{folder}/data/"): (entry.file_size, Place(starts[name], entry.CRC))
        for name, entry in entries.items()
        if name.startswith(f"{folder}/data/")
    }
    if data.keys() != storages.keys():
        name = min(data.keys() ^ storages.keys())
        raise ValueError(f"it has data without a tensor, or no data for one, at {name!r:.40}")
    for key, storage in storages.items():
        if data[key][0] != _size(storage):
            raise ValueError(
                f"it declares a storage of {storage.n_items} items for {data[key][0]} bytes of data"
            )
    return Content(top, {key: place for key, (_, place) in data.items()})


def _find_entries(file, archive, n_bytes):
    """Give where the data of each entry begin, if the entries are all that the file holds."""
    starts, end, gap = {}, 0, 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError("it is compressed or encrypted, which PyTorch never does")
        if entry.file_size != entry.compress_size or entry.file_size > n_bytes:
            raise ValueError("it declares more data than it has")
        file.seek(entry.header_offset)
        signature, n_name, n_extra = struct.unpack("<4s22xHH", file.read(30))
        name = file.read(n_name).decode("utf-8" if entry.flag_bits & 0x800 else "cp437")
        if signature != b"PK\3\4" or name != entry.filename:
            raise ValueError(f"its archive has no entry {entry.filename!r:.80} where it should be")
        if not end <= entry.header_offset <= end + gap:
            raise ValueError("its archive has entries that overlap, or data between them")
        starts[entry.filename] = entry.header_offset + 30 + n_name + n_extra
        end = starts[entry.filename] + entry.file_size
        gap = _DESCRIPTOR if entry.flag_bits & 8 else 0
    file.seek(max(n_bytes - 22, 0))
    last = file.read()
    if not end <= archive.start_dir <= end + gap or last[:4] != b"PK\5\6" or last[-2:] != b"\0\0":
        raise ValueError("its archive has data behind its entries")
    return starts


def _read_legacy(file, n_bytes):
    stream = io.BytesIO(file.read(_MAX_PICKLE))
    try:
        if follow(stream)[0] != _MAGIC or follow(stream)[0] != _PROTOCOL:
            raise ValueError("it has another magic number or protocol than PyTorch writes")
        if follow(stream)[0] != _SYSTEM:
            raise ValueError("it was written on a machine of other type sizes or byte order")
        top, storages = follow(stream, legacy=True)
        keys, _ = follow(stream)
    except ValueError as error:
        if stream.tell() == _MAX_PICKLE:
            raise ValueError(f"its pickles are larger than {_MAX_PICKLE} bytes") from error
        raise
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise ValueError("it has no list of storages")
    if len(set(keys)) < len(keys) or set(keys) != storages.keys():
        raise ValueError("its list of storages is not that of its tensors")
    places, end = {}, stream.tell()
    for key in keys:
        file.seek(end)
        storage, head = storages[key], file.read(8)
        if head != storage.n_items.to_bytes(8, sys.byteorder):
            raise ValueError(f"it declares another number of items for the storage {key!r:.40}")
        places[key] = Place(end + 8)
        end += 8 + _size(storage)
        if end > n_bytes:
            raise ValueError(f"it declares a storage of {storage.n_items} items, but is cut off")
    if end < n_bytes:
        raise ValueError(f"it goes on for {n_bytes - end} bytes behind its end")
    return Content(top, places)


def _size(storage: Storage) -> int:
    return storage.n_items * storage.dtype.itemsize
