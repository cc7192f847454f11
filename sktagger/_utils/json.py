"""Strict reading of JSON.

Standard JSON readers keep the last of two equal keys and accept NaN and numbers that overflow. In
a hand-made database, each of these silently loses clips or lengths. Here they are errors that
name the place.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

# The escape of a surrogate, which may be half of a pair or unpaired.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON in which every key occurs once and every number is finite.

    Parameters
    ----------
    text : str or bytes
        Bytes must be UTF-8, with or without a byte-order mark.

    Returns
    -------
    dict, list, str, int, float, bool or None
        Integers fit into 64 bits, floats are finite, and strings can be written as UTF-8.

    Raises
    ------
    ValueError
        If the text is not such JSON or is nested too deeply. The message names the place.
    """
    faults = []

    def fault(what):
        faults.append(_Fault(what))
        return faults[-1]

    def parse_object(pairs):
        content = dict(pairs)
        if len(content) == len(pairs):
            return content
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        return fault(f"the key {key!r} more than once")

    def parse_float(text):
        return value if math.isfinite(value := float(text)) else fault(f"the number {text:.30}")

    def parse_int(text):
        # int() raises its own error for thousands of digits, so the length is checked first. 19
        # digits and a sign hold every 64-bit integer.
        if len(text) <= 20 and -(2**63) <= (value := int(text)) < 2**63:
            return value
        return fault(f"an integer beyond 64 bits, {text[:20]}…")

    try:
        # "-sig" accepts the byte-order mark that some editors write.
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        content = json.loads(
            text,
            object_pairs_hook=parse_object,
            parse_float=parse_float,
            parse_int=parse_int,
            parse_constant=fault,
        )
        where, found = next(_locate(content)) if faults else ("", None)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        got = f"bytes that are not UTF-8 ({error.reason})"
        raise JSONError(f"byte {error.start}", got, "JSON text in UTF-8") from error
    except UnicodeEncodeError as error:
        surrogate = f"\\u{ord(error.object[error.start]):x}"
        got = f"half a character (the unpaired surrogate {surrogate}) in a string"
        raise JSONError("an unknown place", got, "complete characters") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        got = "an empty file" if not text.strip() else f"text that is not JSON ({error.msg})"
        raise JSONError(where, got, "JSON text {...}") from error
    except RecursionError as error:
        got = "objects or lists nested hundreds of levels deep"
        raise JSONError("an unknown place", got, "a few levels") from error
    if found is not None:
        allowed = "each key once, and finite numbers of at most 64 bits"
        raise JSONError(where or "the top level", found, allowed)
    return content


class JSONError(ValueError):
    """Error in a JSON text. Its arguments: the place, what was found, what is allowed."""

    def __str__(self):
        where, got, allowed = self.args
        return f"at {where}: got {got}; allowed is {allowed}"


class _Fault(str):
    """Description of an error, which replaces the value at its place in the parsed content."""


def _locate(node: Any, where: str = "") -> Iterator[tuple[str, _Fault]]:
    """Yield the place of each fault in a parsed JSON value, and the fault."""
    if isinstance(node, _Fault):
        yield where, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _locate(value, f"{where}[{key!r}]" if where else key)
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _locate(value, f"{where}[{position}]")
