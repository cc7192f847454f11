"""Checking plain data from files, key by key, with errors that say where and what is allowed."""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sktagger._utils.text import nearest


class Field(NamedTuple):
    """What a key of an object must hold.

    Attributes
    ----------
    allowed : str
        In words, for the error.
    holds : callable
        Takes the value; says whether it is allowed.
    required : bool, default=True
        Whether the key must be there.
    """

    allowed: str
    holds: Callable[[Any], bool]
    required: bool = True


def check_object(
    content: Any,
    fields: Mapping[str, Field],
    fault: Callable[[str, str, str], Exception],
    *,
    place: str = "",
    others: bool = False,
) -> None:
    """Check an object of plain data, which may come from anywhere.

    Parameters
    ----------
    content : object
    fields : dict of str to Field
        Checked in their order.
    fault : callable
        Makes an error from the place, what is there, and what is allowed.
    place : str, default=""
        Of the object itself, for messages.
    others : bool, default=False
        Whether it may have further keys.

    Raises
    ------
    Exception
        What `fault` makes, if `content` is no object, a key is missing or not known, or a value
        is not allowed.
    """
    if not isinstance(content, Mapping):
        raise fault(
            place or "the top level", type(content).__name__, f"an object of {_keys(fields)}"
        )
    unknown = [key for key in content if key not in fields]
    if unknown and not others:
        got = f"the unknown key {unknown[0]!r:.60}{nearest(unknown[0], fields)}"
        raise fault(place or "the top level", got, _keys(fields))
    for key, field in fields.items():
        where = f"{place}, {key}" if place else key
        if key not in content:
            if field.required:
                raise fault(where, "nothing", field.allowed)
        elif not field.holds(content[key]):
            # the repr of lists that share lists may be far larger than they are
            raise fault(where, f"{reprlib.repr(content[key]):.60}", field.allowed)


def is_count(value: Any) -> bool:
    """Say whether a value is an integer from 0 up, of 63 bits, and no truth value."""
    return type(value) is int and 0 <= value < 2**63


def _keys(fields):
    return f"the keys {', '.join(fields)}"
