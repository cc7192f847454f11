"""Follow a pickle of ``torch.save`` without calling anything.

The result has placeholders instead of tensors, and instead of the NumPy objects that some programs
save beside their weights. Every other Python object is refused, and every operation that
``torch.save`` does not write.
"""

from collections import OrderedDict
from pickletools import genops
from typing import Any, BinaryIO

from sktagger.training._torch_objects import (
    KNOWN_OBJECTS,
    Foreign,
    Global,
    References,
    Storage,
    StoredTensor,
    rebuild,
)

# A tensor takes 20 to 40 operations, and so does each validation interval of the history.
_MAX_OPERATIONS = 2**20
_MAX_STACK = 10_000  # torch.save writes at most a thousand items at a time
_MAX_DEPTH = 20

_VALUES = {"BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_CONTAINERS = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def follow(stream: BinaryIO, *, legacy: bool = False) -> tuple[Any, dict[str, Storage]]:
    """Give what a pickle would make. Time and memory are bounded by its length.

    Parameters
    ----------
    stream : binary file
        At the beginning of the pickle; afterwards it is behind its end.
    legacy : bool, default=False
        Whether references to storages are those of PyTorch before version 1.6.

    Returns
    -------
    content : object
        Plain data, :class:`StoredTensor`, and the other placeholders.
    storages : dict of str to Storage
        All that the pickle refers to, by their keys.

    Raises
    ------
    ValueError, IndexError, KeyError, TypeError
        If ``torch.save`` does not write such pickles, or a tensor lies beyond its storage.
    """
    stack: list[Any] = []
    outer: list[list[Any]] = []
    memo: dict[int | None, Any] = {}
    references = References(legacy)
    for index, (opcode, argument, _) in enumerate(genops(stream)):
        name = opcode.name
        if index == _MAX_OPERATIONS:
            raise ValueError(f"its pickle has more than {_MAX_OPERATIONS} operations")
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
            parts = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(parts)))
        elif name == "APPEND":
            item = stack.pop()
            _fill(stack[-1], [item], keyed=False)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _fill(stack[-1], [key, value], keyed=True)
        elif name == "GLOBAL":
            if argument not in KNOWN_OBJECTS:
                raise ValueError(f"it asks for the Python object {argument!r:.80}")
            stack.append(Global(argument))
        elif name == "BINPERSID":
            stack.append(references.read(stack.pop()))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(rebuild(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _set_state(stack[-1], state)
        elif name == "PROTO":
            if argument != 2:
                raise ValueError(f"it is a pickle of protocol {argument}; PyTorch writes 2")
        elif name == "STOP":
            content = stack.pop()
            if stack or outer:
                raise ValueError("its pickle makes objects that it does not use")
            return content, references.storages
        else:
            raise ValueError(f"it has the pickle operation {name}, which PyTorch does not write")
    raise ValueError("its pickle is cut off")


class DataCheck:
    """Check that there is only data, not too deeply nested; each object is visited once."""

    def __init__(self) -> None:
        self._visited: dict[int, tuple[int, Foreign | None] | None] = {}

    def find_foreign(self, content: Any) -> Foreign | None:
        """Find an object that cannot be built.

        Parameters
        ----------
        content : object
            From :func:`follow`. It must exist as long as the check.

        Returns
        -------
        Foreign or None
            None: there is none.

        Raises
        ------
        ValueError
            If the content is nested too deeply, or has classes, functions or bare storages.
        """
        return self._visit(content, _MAX_DEPTH)[1]

    def _visit(self, item, n_levels):
        """Give the number of levels below an item, and a foreign object in it."""
        if isinstance(item, Foreign):
            return 0, item
        if not isinstance(item, dict | list | tuple):
            if not isinstance(item, str | int | float | StoredTensor | None):
                raise ValueError("it holds a Python class or function, or a bare storage")
            return 0, None
        result = self._visited.get(id(item))
        if result is None:
            # one that is being visited holds itself
            if n_levels == 0 or id(item) in self._visited:
                raise _too_deep()
            self._visited[id(item)] = None
            below, foreign = 0, None
            for value in _values(item):
                n_below, found = self._visit(value, n_levels - 1)
                below, foreign = max(below, n_below), foreign or found
            result = self._visited[id(item)] = (below + 1, foreign)
        if result[0] > n_levels:
            raise _too_deep()
        return result


def _values(container):
    """Give what is in a container, and the attribute of a state dict."""
    if not isinstance(container, dict):
        return container
    return [*container.values(), *getattr(container, "__dict__", {}).values()]


def _too_deep():
    return ValueError(f"it is nested deeper than {_MAX_DEPTH} levels")


def _fill(container: Any, items: list[Any], *, keyed: bool) -> None:
    """Add items to a list, or keys and values to a dict."""
    if type(container) not in ((dict, OrderedDict) if keyed else (list,)):
        raise ValueError("it adds items to an object that is no list or dict")
    if not keyed:
        container.extend(items)
        return
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in (str, int):
            raise ValueError(f"it has a key of type {type(key).__name__}; allowed are str and int")
        # many large integers of the same hash would make a dict very slow
        if type(key) is int and not 0 <= key < 2**31:
            raise ValueError(f"it has the key {key}; allowed are strings and 0 to 2**31 - 1")
        if key in container:
            raise ValueError(f"it has the key {key!r:.80} twice")
        container[key] = value


def _set_state(target, state):
    """Set the attribute of a state dict that has the versions of its layers."""
    if isinstance(target, Foreign):
        return
    is_metadata = type(state) is dict and len(state) == 1 and "_metadata" in state
    if type(target) is not OrderedDict or not is_metadata:
        raise ValueError("it sets attributes of Python objects")
    target.__dict__.update(state)
