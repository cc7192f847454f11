"""Read files of ``torch.save`` without running code, whatever they hold.

Checkpoints of other programs are such files, as were those of sktagger up to format 2. There are
two layouts: zip archives since PyTorch 1.6, and before that pickles in a row, followed by the data.
The pickle is followed without calling anything, every byte of the file is accounted for, and then
the tensors are made from the data.

``torch.load`` is not used: it refuses the NumPy objects that some programs save beside their
weights, and a second reader of the same bytes may understand them differently.
"""

import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch

from sktagger.training._torch_layouts import Place, read_content
from sktagger.training._torch_objects import Storage, StoredTensor
from sktagger.training._torch_pickles import DataCheck

_MODEL = "model"  # the entry of the weights; a file without it is all weights


def read_torch_weights(path: Path) -> dict[Any, Any]:
    """Read a file of ``torch.save``, of any version of PyTorch.

    Time and memory are bounded by the size of the file, whatever it says.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        Tensors, on the CPU, and plain data, as ``torch.load`` gives them. If there is an entry
        "model", entries beside it that hold NumPy objects are left out.

    Raises
    ------
    ValueError
        If the file is damaged, or holds anything but tensors and plain data. The message names it.
    """
    try:
        with open(path, "rb") as file:
            content = read_content(file)
            return _Builder(file, content.places).build(_without_foreign(content.top))
    except Exception as error:
        raise ValueError(
            f"Checkpoint {str(path)!r} cannot be read as tensors and plain data "
            f"({describe(error)}). It is damaged, or holds what is refused because loading it "
            "could run code or fill the memory. Save it again, as a dict of tensors, numbers and "
            "strings, from a program that you trust with it."
        ) from error


def describe(error: Exception) -> str:
    """Describe what went wrong, in one line."""
    what, *_ = str(error).splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {what}"


def _without_foreign(top):
    """Give the top level without the entries beside the weights that hold NumPy objects."""
    if not isinstance(top, dict):
        raise ValueError(f"it holds no dict, but a {type(top).__name__}")
    kept, check = type(top)(), DataCheck()
    for key, value in top.items():
        foreign = check.find_foreign(value)
        if foreign is None:
            kept[key] = value
        elif key == _MODEL or _MODEL not in top:
            raise _among_weights(foreign)
    for name, value in getattr(top, "__dict__", {}).items():
        foreign = check.find_foreign(value)
        if foreign is not None:
            raise _among_weights(foreign)
        setattr(kept, name, value)
    return kept


def _among_weights(foreign):
    return ValueError(
        f"it holds the Python object {foreign.name!r} among its weights; those of NumPy are left "
        f"out only beside {_MODEL!r}"
    )


class _Builder:
    """Make tensors and containers; what is one object in the file becomes one object."""

    def __init__(self, file: BufferedReader, places: dict[str, Place]) -> None:
        self._file = file
        self._places = places
        self._data: dict[str, torch.Tensor] = {}
        self._built: dict[int, Any] = {}

    def build(self, item: Any) -> Any:
        """Build an item that was checked: its depth is limited, and no item holds itself."""
        if not isinstance(item, dict | list | tuple | StoredTensor):
            return item
        if id(item) not in self._built:
            self._built[id(item)] = self._build_new(item)
        return self._built[id(item)]

    def _build_new(self, item):
        if isinstance(item, StoredTensor):
            return self._build_tensor(item)
        if not isinstance(item, dict):
            return type(item)(map(self.build, item))
        built = type(item)((key, self.build(value)) for key, value in item.items())
        for name, value in getattr(item, "__dict__", {}).items():
            setattr(built, name, self.build(value))
        return built

    def _build_tensor(self, stored):
        data = self._data.get(stored.storage.key)
        if data is None:
            data = self._data[stored.storage.key] = self._read(stored.storage)
        tensor = torch.empty(0, dtype=data.dtype)
        tensor.set_(data.untyped_storage(), stored.offset, stored.shape, stored.strides)
        if stored.is_parameter:
            return torch.nn.Parameter(tensor, stored.requires_grad)
        return tensor.requires_grad_(stored.requires_grad)

    def _read(self, storage: Storage) -> torch.Tensor:
        place = self._places[storage.key]
        data = torch.empty(storage.n_items, dtype=storage.dtype)
        as_bytes: Any = data.view(torch.uint8).numpy()
        self._file.seek(place.start)
        if self._file.readinto(as_bytes) != as_bytes.nbytes:
            raise ValueError("it was changed while it was read")
        if place.checksum is not None and place.checksum != zlib.crc32(as_bytes):
            raise ValueError(f"the data of the storage {storage.key!r:.40} have another checksum")
        return data
