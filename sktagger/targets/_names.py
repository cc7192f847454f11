"""Warnings about event names that are probably mistakes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from sktagger._utils.text import find_twins, listed, short
from sktagger._utils.warnings import warn

__all__ = ["are_events", "warn_of_names"]

# Lists as they are written into CSV files: "['a', 'b']", "['a' 'b']", "{'a'}", "[]", "[a, b]"
_LIST = re.compile(r"\s*[\[({]\s*(?:['\"].*['\"]\s*,?|[^\])}]*,[^\])}]*)?\s*[\])}]\s*", re.DOTALL)
# Characters that separate names but are not part of them. A comma within a name is followed by a
# space.
_SEPARATOR = re.compile(r"[;|\t\n\uff1b]|,(?![ \d])")
# Separators that also occur in names, such as "Speech, child"
_POSSIBLE_SEPARATOR = re.compile(r"\s*[,/+&\uff0c\u3001]\s*")
_MISSING = {"nan", "NaN", "None", "<NA>", "NaT", "null", "NULL", "N/A", "n/a"}


def warn_of_names(classes: np.ndarray, indicator: np.ndarray, name: str) -> None:
    """Warn about names that join several events, stand for missing values, or look alike.

    Parameters
    ----------
    classes : ndarray of shape (n_events,)
        Event names.
    indicator : ndarray of shape (n_clips, n_events)
        1 where an event occurs.
    name : str
        Name of the argument, for messages.

    Warns
    -----
    UserWarning
        Once per kind of mistake.
    """
    names = [event for event in classes.tolist() if isinstance(event, str)]

    def describe(event):
        clips = np.flatnonzero(indicator[:, classes.tolist().index(event)])
        return f"{short(event)}" + (f" (clip {clips[0]})" if len(clips) else "")

    for suspects, problem in (
        (
            _find_joined(names),
            "look like several events in one string. Each name is learned as one event. Pass event "
            'lists instead, such as ["Bark", "Rain"] for a clip with both events',
        ),
        (
            [event for event in names if event in _MISSING],
            "look like missing values. Leave out clips without a label, or pass event lists with "
            "[] for a clip without events",
        ),
    ):
        if suspects:
            warn(
                f"{name}: {len(suspects)} of {len(classes)} names {problem}: "
                f"{listed(map(describe, suspects))}."
            )
    twins = find_twins(names)
    if twins:
        spelled = listed((" and ".join(map(ascii, group)) for group in twins), 3)
        what = "name occurs" if len(twins) == 1 else "names occur"
        warn(
            f"{name}: {len(twins)} {what} in more than one spelling: {spelled}. Each spelling is "
            "learned as a separate event. Correct the names if they mean the same event."
        )


def _find_joined(names):
    """Return the names that look like several joined names."""
    parts = {
        name: set(filter(None, map(str.strip, _POSSIBLE_SEPARATOR.split(name)))) for name in names
    }
    occurrences = {}
    for name in names:
        for part in parts[name] | {name}:
            occurrences[part] = occurrences.get(part, 0) + 1

    def is_joined(name):
        if _LIST.fullmatch(name) or _SEPARATOR.search(name.strip()):
            return True
        if "/" in name and not parts[name] <= set(names):
            return False  # a path in a taxonomy, whose parts also occur in other paths
        # Every part also occurs in another name.
        return len(parts[name]) > 1 and all(occurrences[part] > 1 for part in parts[name])

    return [name for name in names if is_joined(name)]


def are_events(content: Any) -> bool:
    """Return whether the content of a file is a list of distinct event names or numbers.

    Names must have 1 to 999 characters, because a NumPy array stores every name with the length of
    the longest one.

    Parameters
    ----------
    content : object
        Content of a file.

    Returns
    -------
    bool
        Whether `content` is such a list.
    """
    return (
        isinstance(content, list)
        and all(isinstance(event, str | int | float) for event in content)
        and all(0 < len(event) < 1000 for event in content if isinstance(event, str))
        and len(set(content)) == len(content)
    )
