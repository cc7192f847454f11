"""Check a file of ``torch.save`` before ``torch.load`` reads it.

Checkpoints of other programs are such files, as were those of sktagger up to format 2.
``torch.load(weights_only=True)`` runs no code, but it makes what a file asks for: tensors far
larger than the file, or keys so deeply nested that Python crashes. This module follows the file's
pickle without calling anything, and compares tensors with the data that is there. It refuses
everything that ``torch.save`` does not write for tensors, numbers, strings, dicts, lists and
tuples.
"""

import math
import zipfile
from dataclasses import dataclass
from pickletools import genops
from typing import Any, BinaryIO

# A tensor takes some hundred bytes, and so does each validation interval of the history.
_MAX_PICKLE = 2**22
_MAX_STACK = 10_000  # torch.save writes at most a thousand items at a time
_MAX_DEPTH = 20

_VALUES = {"BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_CONTAINERS = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ORDERED_DICT, _TENSOR, _PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_NUMBERS = {8: "Double Long", 4: "Float Int", 2: "Half BFloat16 Short", 1: "Char Byte Bool"}
_ITEM_SIZES = {
    f"torch {name}Storage": n_bytes for n_bytes, names in _NUMBERS.items() for name in names.split()
}


@dataclass(frozen=True)
class _Global:
    """A class or function that a pickle names: module and name."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The items behind tensors."""

    n_items: int


class _Tensor:
    """A tensor, which lies within its storage."""


def check_torch_file(file: BinaryIO) -> None:
    """Check that ``torch.load`` can read a file safely.

    Time and memory are bounded by the file's size. Nothing is decompressed or called.

    Parameters
    ----------
    file : binary file
        Open for reading, at any position.

    Raises
    ------
    ValueError, IndexError, KeyError, TypeError, OSError, zipfile.BadZipFile
        If it is not an archive that ``torch.save`` wrote, or holds anything but tensors and plain
        data.
    """
    pickle, sizes = _read_archive(file)
    _check_content(_follow(pickle, sizes))


def _read_archive(file):
    """Return the pickle of an archive, and the size of each storage in bytes."""
    n_bytes = file.seek(0, 2)
    file.seek(0)
    # torch.load tells archives from plain pickles in the same way
    if file.read(4) != b"PK\3\4":
        raise ValueError(
            "it is no zip archive, which PyTorch writes since version 1.6; if you trust an older "
            "file, load it and save it again by torch.save"
        )
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, but PyTorch never compresses its files")
        if sum(max(entry.file_size, entry.compress_size) for entry in entries) > n_bytes:
            raise ValueError("it declares more data than it has")
        # different readers of archives would read different content
        if archive.comment or len({entry.filename.casefold() for entry in entries}) < len(entries):
            raise ValueError("its archive has a comment, or entries of the same name")
        sizes = {entry.filename: entry.file_size for entry in entries}
        folder = next(iter(sizes), "").partition("/")[0]
        if f"{folder}/data.pkl" not in sizes:
            raise ValueError("its archive has no data.pkl")
        if sizes[f"{folder}/data.pkl"] > _MAX_PICKLE:
            raise ValueError(f"its data.pkl is larger than {_MAX_PICKLE} bytes")
        pickle = archive.read(f"{folder}/data.pkl")
    return pickle, {name.removeprefix(f"{folder}/data/"): size for name, size in sizes.items()}


def _follow(pickle, sizes):
    """Return what a pickle would make; tensors are compared with their data, nothing is called."""
    stack: list[Any] = []
    outer: list[list[Any]] = []
    memo: dict[int | None, Any] = {}
    attributes: list[Any] = []
    for opcode, argument, _ in genops(pickle):
        name = opcode.name
        if len(stack) + len(outer) > _MAX_STACK:
            raise ValueError("it is nested too deeply")
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _CONTAINERS:
            stack.append(_CONTAINERS[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            outer.append(stack)
            stack = []
        elif name in ("TUPLE", "APPENDS", "SETITEMS"):
            items, stack = stack, outer.pop()
            if name == "TUPLE":
                stack.append(tuple(items))
            else:
                _fill(stack[-1], items, keyed=name == "SETITEMS")
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name == "APPEND":
            item = stack.pop()
            _fill(stack[-1], [item], keyed=False)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _fill(stack[-1], [key, value], keyed=True)
        elif name == "GLOBAL":
            if argument not in (_ORDERED_DICT, _TENSOR, _PARAMETER, *_ITEM_SIZES):
                raise ValueError(f"it asks for the Python object {argument!r:.80}")
            stack.append(_Global(argument))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop(), sizes))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_rebuild(function, arguments))
        elif name == "BUILD":  # a state dict has an attribute with its versions
            state = stack.pop()
            if not isinstance(stack[-1], dict) or list(state) != ["_metadata"]:
                raise ValueError("it sets attributes of Python objects")
            attributes.append(state)
        elif name == "PROTO":
            if argument != 2:
                raise ValueError(f"it is a pickle of protocol {argument}; PyTorch writes 2")
        elif name == "STOP":
            return [stack.pop(), *attributes]
        else:
            raise ValueError(f"it has the pickle operation {name}, which PyTorch does not write")
    raise ValueError("its pickle is cut off")


def _fill(container: Any, items: list[Any], *, keyed: bool) -> None:
    """Add items to a list, or keys and values to a dict."""
    if type(container) is not (dict if keyed else list):
        raise ValueError("it adds items to an object that is no list or dict")
    if isinstance(container, list):
        container.extend(items)
        return
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in (str, int):
            raise ValueError(f"it has a key of type {type(key).__name__}; allowed are str and int")
        container[key] = value


def _storage(reference, sizes):
    """Describe the storage that a tensor refers to."""
    kind, storage_type, key, _, n_items = reference
    if kind != "storage" or not isinstance(storage_type, _Global) or not _is_count(n_items):
        raise ValueError("it refers to something other than the data of a tensor")
    if n_items * _ITEM_SIZES[storage_type.name] > sizes[key]:
        raise ValueError(f"it declares a storage of {n_items} items for {sizes[key]} bytes of data")
    return _Storage(n_items)


def _rebuild(function, arguments):
    """Describe what a function that the pickle calls would make."""
    if function == _Global(_ORDERED_DICT) and arguments == ():
        return {}
    if function == _Global(_PARAMETER) and isinstance(arguments[0], _Tensor):
        return arguments[0]
    if function != _Global(_TENSOR):
        raise ValueError("it calls a function that makes no tensor")
    storage, offset, shape, strides, _, hooks = arguments
    counts = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or hooks != {} or not all(map(_is_count, counts)):
        raise ValueError("it has a malformed tensor")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    n_items = math.prod(shape)
    if len(shape) > 64 or n_items > storage.n_items or (n_items and last >= storage.n_items):
        raise ValueError(
            f"it declares a tensor of shape {shape!r:.80} for {storage.n_items} items of data"
        )
    return _Tensor()


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _check_content(content):
    """Check that there is only data, and not too deeply nested: by levels, each object once."""
    level, seen = content, set()
    for _ in range(_MAX_DEPTH):
        inner = {}
        for item in level:
            if isinstance(item, dict | list | tuple):
                seen.add(id(item))
                values = item.values() if isinstance(item, dict) else item
                inner |= {id(value): value for value in values if id(value) not in seen}
            elif not isinstance(item, str | int | float | _Tensor | None):
                raise ValueError("it holds a Python class or function, or a bare storage")
        level = list(inner.values())
    if level:
        raise ValueError(f"it is nested deeper than {_MAX_DEPTH} levels")
