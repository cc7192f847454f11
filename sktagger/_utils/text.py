"""Helpers for error messages: print untrusted names safely and suggest similar ones.

Names of events, files and settings come from users and from files that others wrote.
"""

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_N_LISTED = 5
_N_SHORT = 60
# Cyrillic and Greek letters that look like Latin ones.
_LATIN = str.maketrans(
    "АВЕКМНОРСТХаеорсухѕіјΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEKMHOPCTXaeopcyxsijABEZHIKMNOPTYXo"
)


def printable(text: object) -> str:
    r"""Return ``str(text)`` with unprintable characters escaped.

    Line breaks, escape sequences, marks that change the writing direction, invisible characters
    and unpaired surrogates become ``\n``, ``\x1b``, ``\u202e`` and so on. Letters of any script
    stay.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def listed(names: Iterable[object], n_listed: int = _N_LISTED) -> str:
    """Return the first `n_listed` names, printable and separated by commas."""
    names = iter(names)
    shown = ", ".join(map(printable, islice(names, n_listed)))
    return shown if next(names, None) is None else f"{shown}, ..."


def quoted(names: Iterable[object], n_listed: int = _N_LISTED) -> str:
    """Return the first `n_listed` names in quotation marks; numbers have none."""
    return listed((short(name) for name in names), n_listed)


def short(value: object) -> str:
    """Return the `repr` of a value that a user passed, cut to 60 characters."""
    value = value.item() if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 else value
    text = repr(str(value) if isinstance(value, str) else value)
    text = " ".join(text.split())  # the repr of an array has several lines
    return printable(text if len(text) <= _N_SHORT else text[: _N_SHORT - 3] + "...")


def nearest(name: object, names: Iterable[object]) -> str:
    """Return '; nearest: ...' for messages, or an empty text if no name is similar.

    If a known name looks the same on a screen, both names are shown with their special characters
    escaped.
    """
    names, text = list(names), str(name)
    alike = [
        known for known in names if str(known) != text and _as_seen(str(known)) == _as_seen(text)
    ]
    if alike:
        return f"; {alike[0]!a} looks alike, but is not {text!a}"
    spelled = {str(known).casefold(): known for known in names}
    near = get_close_matches(text.casefold(), spelled)
    return f"; nearest: {quoted(spelled[match] for match in near)}" if near else ""


def find_twins(names: Iterable[object]) -> list[list[str]]:
    """Return groups of names that differ only in case, spaces or the encoding of characters."""
    groups = {}
    for name in names:
        if isinstance(name, str):
            groups.setdefault(_as_seen(name).casefold(), []).append(str(name))
    return [group for group in groups.values() if len(group) > 1]


def _as_seen(name: str) -> str:
    """Return a name as a reader sees it, without invisible differences."""
    composed = unicodedata.normalize("NFKC", name).translate(_LATIN)
    visible = (char for char in composed if unicodedata.category(char) != "Cf")
    return " ".join("".join(visible).split())
