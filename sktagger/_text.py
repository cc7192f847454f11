"""Words for messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, names: Iterable[str]) -> str:
    """Return '; nearest: ...' for messages, or nothing where no name is near."""
    spelled = {known.casefold(): known for known in map(str, names)}
    near = get_close_matches(str(name).casefold(), spelled)
    return f"; nearest: {', '.join(repr(spelled[match]) for match in near)}" if near else ""
