"""Describe the objects that ``torch.save`` writes, before anything of them is made."""

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import torch

_MAX_DIMENSIONS = 16

_ORDERED_DICT, _TENSOR, _PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_DTYPES = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}
# what NumPy arrays, scalars and dtypes are made of in pickles of protocol 2
_FOREIGN = {
    "numpy ndarray",
    "numpy dtype",
    *(f"numpy.{core}.multiarray {name}" for core in ("core", "_core") for name in
      ("_reconstruct", "scalar")),
    "_codecs encode",
    "__builtin__ bytes",
}  # fmt: skip
KNOWN_OBJECTS = frozenset({_ORDERED_DICT, _TENSOR, _PARAMETER, *_DTYPES, *_FOREIGN})


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that a pickle names: module and name."""

    name: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """An object of NumPy, which is never built: the function that would make it."""

    name: str


@dataclass(frozen=True, slots=True)
class Storage:
    """The items behind tensors."""

    key: str
    dtype: torch.dtype
    n_items: int


@dataclass(frozen=True, slots=True)
class View:
    """A part of a storage, from its item `first` on; mostly it is the whole."""

    storage: Storage
    first: int
    n_items: int


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """A tensor, which lies within its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    is_parameter: bool = False


class References:
    """The storages that a pickle refers to.

    Parameters
    ----------
    legacy : bool
        Whether a reference says which part of the storage is meant, as before PyTorch 1.6.
    """

    def __init__(self, legacy: bool) -> None:
        self.storages: dict[str, Storage] = {}
        self._legacy = legacy
        self._views: dict[str, View] = {}

    def read(self, reference: Any) -> View:
        """Describe what a tensor refers to."""
        if type(reference) is not tuple or len(reference) != (6 if self._legacy else 5):
            raise _other_reference()
        kind, storage_type, key, device, n_items, *part = reference
        dtype = _DTYPES.get(storage_type.name) if isinstance(storage_type, Global) else None
        if kind != "storage" or dtype is None or not _is_count(n_items):
            raise _other_reference()
        if type(key) is not str or type(device) is not str:
            raise _other_reference()
        storage = Storage(key, dtype, n_items)
        if self.storages.setdefault(key, storage) != storage or key in self._views:
            raise _in_two_ways(key)
        return View(storage, 0, n_items) if part in ([], [None]) else self._part(storage, *part)

    def _part(self, storage, part):
        if type(part) is not tuple or len(part) != 3:
            raise _other_reference()
        key, first, n_items = part
        if type(key) is not str or not _is_count(first) or not _is_count(n_items):
            raise _other_reference()
        if first + n_items > storage.n_items:
            raise ValueError(
                f"it declares a view from item {first} to {first + n_items} of a storage of "
                f"{storage.n_items} items"
            )
        view = View(storage, first, n_items)
        if self._views.setdefault(key, view) != view or key in self.storages:
            raise _in_two_ways(key)
        return view


def rebuild(function: Any, arguments: Any) -> Any:
    """Describe what a function that the pickle calls would make."""
    name = function.name if isinstance(function, Global) else None
    if name in _FOREIGN:
        return Foreign(name)
    if name == _ORDERED_DICT and arguments == ():
        return OrderedDict()
    if name not in (_TENSOR, _PARAMETER):
        raise ValueError("it calls a function that makes no tensor")
    if type(arguments) is tuple and len(arguments) == (6 if name == _TENSOR else 3):
        return (_tensor if name == _TENSOR else _parameter)(*arguments)
    raise _malformed()


def _tensor(view, offset, shape, strides, requires_grad, hooks):
    sizes = (shape, strides)
    if not all(type(counts) is tuple and len(counts) <= _MAX_DIMENSIONS for counts in sizes):
        raise _malformed()
    if not isinstance(view, View) or not all(map(_is_count, (offset, *shape, *strides))):
        raise _malformed()
    if len(shape) != len(strides) or type(requires_grad) is not bool or not _is_no_hook(hooks):
        raise _malformed()
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    n_items = math.prod(shape)
    if n_items > view.n_items or (n_items and last >= view.n_items):
        raise ValueError(f"it declares a tensor of shape {shape} for {view.n_items} items of data")
    return StoredTensor(view.storage, view.first + offset, shape, strides, requires_grad)


def _parameter(tensor, requires_grad, hooks):
    if not isinstance(tensor, StoredTensor) or type(requires_grad) is not bool:
        raise _malformed()
    if not _is_no_hook(hooks):
        raise _malformed()
    return replace(tensor, requires_grad=requires_grad, is_parameter=True)


def _is_no_hook(hooks):
    return isinstance(hooks, dict) and not hooks


def _is_count(value):
    return type(value) is int and 0 <= value < 2**63


def _other_reference():
    return ValueError("it refers to something other than the data of a tensor")


def _in_two_ways(key):
    return ValueError(f"it declares the storage {key!r:.40} in two ways")


def _malformed():
    return ValueError("it has a malformed tensor")
