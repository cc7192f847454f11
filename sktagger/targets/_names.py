"""Warnings about names of events that are probably not what was meant."""

import re
import warnings
from typing import Any

import numpy as np

from sktagger._utils.text import find_twins, listed, short

# "['a', 'b']", "['a' 'b']", "{'a'}", "[]", "[a, b]": lists as they are written into CSV files
_LIST = re.compile(r"\s*[\[({]\s*(?:['\"].*['\"]\s*,?|[^\])}]*,[^\])}]*)?\s*[\])}]\s*", re.DOTALL)
# between names, and not in them; commas of sentences have a space behind them
_SEPARATOR = re.compile(r"[;|\t\n\uff1b]|,(?![ \d])")
# also in names: "Speech, child"
_MAYBE = re.compile(r"\s*[,/+&\uff0c\u3001]\s*")
_MISSING = {"nan", "NaN", "None", "<NA>", "NaT", "null", "NULL", "N/A", "n/a"}


def warn_of_names(classes: np.ndarray, indicator: np.ndarray, name: str) -> None:
    """Warn of names that are several events in one, stand for no event, or look alike.

    Parameters
    ----------
    classes : ndarray of shape (n_events,)
    indicator : ndarray of shape (n_clips, n_events)
    name : str
        Of the argument that they come from.

    Warns
    -----
    UserWarning
        Once for each of these.
    """
    names = [event for event in classes.tolist() if isinstance(event, str)]

    def first(event):
        clips = np.flatnonzero(indicator[:, classes.tolist().index(event)])
        return f"{short(event)}" + (f" (clip {clips[0]})" if len(clips) else "")

    for found, what in (
        (
            _find_joined(names),
            "look like several events in one text. Each is learned as one event; give event lists "
            'instead, such as ["Bark", "Rain"] for a clip with both',
        ),
        (
            [event for event in names if event in _MISSING],
            "look like missing values. Leave out clips without a label, or give event lists, where "
            "[] is a clip without events",
        ),
    ):
        if found:
            warnings.warn(
                f"{name}: {len(found)} of {len(classes)} names {what}: "
                f"{listed(map(first, found))}.",
                UserWarning,
                stacklevel=4,
            )
    twins = find_twins(names)
    if twins:
        spelled = listed((" and ".join(map(ascii, group)) for group in twins), 3)
        come = "name comes" if len(twins) == 1 else "names come"
        warnings.warn(
            f"{name}: {len(twins)} {come} in more than one spelling, each learned as an event of "
            f"its own: {spelled}. Correct the names, if they mean the same.",
            UserWarning,
            stacklevel=4,
        )


def _find_joined(names):
    """Return the names that are lists in disguise."""
    parts = {name: set(filter(None, map(str.strip, _MAYBE.split(name)))) for name in names}
    occurrences = {}
    for name in names:
        for part in parts[name] | {name}:
            occurrences[part] = occurrences.get(part, 0) + 1

    def is_joined(name):
        if _LIST.fullmatch(name) or _SEPARATOR.search(name.strip()):
            return True
        if "/" in name and not parts[name] <= set(names):
            return False  # a path in a taxonomy, which shares its parts with others
        # each part is also heard of elsewhere
        return len(parts[name]) > 1 and all(occurrences[part] > 1 for part in parts[name])

    return [name for name in names if is_joined(name)]


def are_events(content: Any) -> bool:
    """Say whether what a file holds is a list of distinct names, or numbers, of events.

    Parameters
    ----------
    content : object

    Returns
    -------
    bool
        Names have 1 to 999 characters: NumPy gives all the space of the longest.
    """
    return (
        isinstance(content, list)
        and all(isinstance(event, str | int | float) for event in content)
        and all(0 < len(event) < 1000 for event in content if isinstance(event, str))
        and len(set(content)) == len(content)
    )
