"""Which methods and properties of a class are on its page."""

import inspect
from importlib import import_module


def own_members(full_name):
    """List the public methods and properties of a class that the package itself documents.

    Parameters
    ----------
    full_name : str
        Name of a class, such as ``"sktagger.WALNetTagger"``.

    Returns
    -------
    list of (str, str)
        Names, in alphabetical order, each with ``"method"`` or ``"property"``. What is inherited
        from other packages is left out: it is documented there.
    """
    module, _, name = full_name.rpartition(".")
    cls = getattr(import_module(module), name)
    members = {}
    for base in reversed(cls.__mro__):
        for member, value in vars(base).items():
            if member.startswith("_"):
                continue
            members.pop(member, None)
            kind = _kind(value)
            if base.__module__.startswith("sktagger") and kind and value.__doc__:
                members[member] = kind
    return sorted(members.items())


def _kind(value):
    if isinstance(value, property):
        return "property"
    value = getattr(value, "__func__", value)
    is_method = inspect.isfunction(value) or hasattr(value, "fn")  # sklearn's available_if
    return "method" if is_method else None
