"""Strict reading of TOML and JSON files."""

import math
import re
import sys
from pathlib import Path
from typing import Any

from sktagger._utils.json import parse_json
from sktagger._utils.text import short

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MAX_DEPTH = 100  # levels of objects and lists
_MAX_BYTES = {"JSON": 2**20, "TOML": 2**16}
# The parser needs quadratic time for a key such as a.a.a. ...
_KEY_PART = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"""(?<![\w"'\\-])(?:{_KEY_PART}[ \t]*\.[ \t]*){{{_MAX_DEPTH}}}""")


def file_format(path: Path) -> str:
    """Return the format that the name of a file stands for.

    Parameters
    ----------
    path : Path

    Returns
    -------
    {"TOML", "JSON"}
        "TOML" for names ending in ``.toml``, "JSON" for all others.

    Raises
    ------
    ValueError
        If the name ends in ``.yaml`` or ``.yml``.
    """
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        raise ValueError(
            f"{path}: YAML is not supported. Write the settings in TOML (a file ending in .toml) "
            "or JSON (.json)."
        )
    return "TOML" if suffix == ".toml" else "JSON"


def read_plain(path: Path) -> Any:
    """Read a TOML or JSON file.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    content : dict, list, str, int, float, bool or None
        Integers fit into 64 bits, floats are finite, and objects and lists are nested at most 100
        levels deep.

    Raises
    ------
    ValueError
        If the file is too large, is not valid, or contains other values. The message names the
        file and the place in it.
    """
    name = file_format(path)
    try:
        n_bytes, limit = path.stat().st_size, _MAX_BYTES[name]
        if n_bytes > limit:
            raise ValueError(f"it has {n_bytes} bytes; the limit for {name} is {limit}")
        parse = _parse_toml if name == "TOML" else parse_json
        content = parse(path.read_bytes())
        _check_values(content)
    except ValueError as error:
        hint = "" if path.suffix.lower() in (".json", ".toml") else " TOML files must end in .toml."
        raise ValueError(
            f"{path} cannot be read as {name} ({error}). Correct the file.{hint}"
        ) from error
    return content


def _parse_toml(content):
    try:
        text = content.decode("utf-8-sig")  # some editors write a byte-order mark
        if key := _LONG_KEY.search(text):
            line = text.count("\n", 0, key.start()) + 1
            raise ValueError(f"at line {line}: a key has more than {_MAX_DEPTH} parts")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"at byte {error.start}: got bytes that are not UTF-8") from error
    except RecursionError as error:
        raise ValueError("it is nested too many levels deep") from error


def _check_values(value, place="", depth=0):
    """Refuse values that strict JSON cannot express."""
    if isinstance(value, dict):
        children = [(f"{place}[{key!r}]" if place else key, child) for key, child in value.items()]
    elif isinstance(value, list):
        children = [(f"{place}[{position}]", child) for position, child in enumerate(value)]
    else:
        children = []
        _check_scalar(value, place)
    if children and depth == _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")
    for child_place, child in children:
        _check_values(child, child_place, depth + 1)


def _check_scalar(value, place):
    if isinstance(value, bool | str | None):
        return
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"at {place}: got an integer beyond 64 bits")
    elif not isinstance(value, float):
        raise ValueError(
            f"at {place}: got {short(str(value))}, a date or time; allowed are strings, numbers, "
            "true and false"
        )
    elif not math.isfinite(value):
        raise ValueError(f"at {place}: got {value}; numbers must be finite")
