"""Names of events that probably mean the same event."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_MIN_LENGTH = 6  # letters; in shorter words, one letter often makes another word


def near_twins(names: Iterable[str]) -> list[list[str]]:
    """Return groups of names that hardly differ.

    Names are grouped if they differ in case, spaces, underscores and hyphens only, or, from 6
    characters up, in one letter that was added, left out, replaced or swapped with its neighbor.
    Names that differ in a digit are no twins.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    list of list of str
        Sorted groups of at least two names.

    Examples
    --------
    >>> near_twins(["Dog bark", "dog_bark", "Dog  Bark", "Rain", "Train", "Siren wail", "Sirens"])
    [['Dog  Bark', 'Dog bark', 'dog_bark']]
    >>> near_twins(["Helicopter", "helicoptor", "class 10", "class 11"])
    [['Helicopter', 'helicoptor']]
    """
    groups = defaultdict(list)
    for name in sorted(set(names)):
        groups[_plain(name)].append(name)
    leader = {name: name for name in groups}

    def find(name):
        while leader[name] != name:
            name = leader[name]
        return name

    # Two names that are one edit apart have a text in common after at most one deletion in each.
    shortened = defaultdict(set)
    for name in groups:
        if len(name) >= _MIN_LENGTH:
            for text in {name, *(name[:i] + name[i + 1 :] for i in range(len(name)))}:
                shortened[text].add(name)
    for alike in shortened.values():
        first, *others = sorted(alike)
        for other in others:
            if _one_edit_apart(first, other):
                leader[find(other)] = find(first)
    joined = defaultdict(list)
    for name, spelled in groups.items():
        joined[find(name)].extend(spelled)
    return sorted(sorted(group) for group in joined.values() if len(group) > 1)


def _plain(name):
    text = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_-]+", "", text) or name


def _one_edit_apart(a: str, b: str) -> bool:
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    a, b = a[start:], b[start:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    if any(char.isdigit() for char in a + b):
        return False
    return max(len(a), len(b)) <= 1 or (len(a) == 2 and a == b[::-1])
