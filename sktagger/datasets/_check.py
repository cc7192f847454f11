"""Checks of what a JSON database holds."""

import functools
import os
import re
import reprlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sktagger._utils.text import nearest
from sktagger.datasets._reading import malformed

SECTION_KEYS = ("audio_start_samples", "audio_stop_samples")
_OPTIONAL_KEYS = ("audio_length", *SECTION_KEYS)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters: C:/ is a drive
_HOME = re.compile(r"~[^/\\]*([/\\]|$)")
_DRIVE = re.compile(r"[A-Za-z]:/")


def check_content(path: Path, content: Any) -> dict[str, dict[str, Any]]:
    """Return the examples by data set and id, with absolute audio paths.

    Parameters
    ----------
    path : Path
        The file, to name it in messages; paths of audio files are relative to its folder.
    content : object
        What the file holds.

    Returns
    -------
    dict of str to dict of str to dict
        Without the optional keys that are null.

    Raises
    ------
    ValueError
        If the content is not that of a database; the message says where.
    """
    _check_type(path, "the top level", content, dict, 'an object {"datasets": {...}}')
    if "datasets" not in content:
        raise _missing_key(path, "the top level", "datasets", content)
    sets = content["datasets"]
    _check_type(path, "datasets", sets, dict, "an object {name: {example_id: {...}}}")
    if not sets:
        raise malformed(path, "datasets", "an empty object", "at least one data set")
    resolved = functools.cache(os.path.realpath)  # of folders, which many clips share
    for name, examples in sets.items():
        where = f"datasets[{name!r}]"
        _check_type(path, where, examples, dict, "an object {example_id: {...}}")
        for example_id, example in examples.items():
            examples[example_id] = _check_example(
                path, f"{where}[{example_id!r}]", example, resolved
            )
    return sets


def _check_example(
    path: Path, where: str, example: Any, resolved: Callable[[str], str]
) -> dict[str, Any]:
    """Return the example with an absolute path and without null options, or raise."""
    _check_type(path, where, example, dict, 'an object {"audio_path": ..., "events": [...]}')
    for key in ("audio_path", "events"):
        if key not in example:
            raise _missing_key(path, where, key, example)
    clip = {k: v for k, v in example.items() if v is not None or k not in _OPTIONAL_KEYS}

    def require(holds, key, allowed):
        if not holds:
            raise malformed(path, f"{where}[{key!r}]", reprlib.repr(clip[key]), allowed)

    audio_path, events = clip["audio_path"], clip["events"]
    length = clip.get("audio_length", 1)
    start = clip.get("audio_start_samples", 0)
    stop = clip.get("audio_stop_samples", sys.maxsize)
    # Types are compared as they are, for a bool is an int to isinstance.
    require(isinstance(audio_path, str) and audio_path, "audio_path", "a non-empty string")
    require("\0" not in audio_path, "audio_path", "a path, which holds no null character")
    seconds, samples = "a number of seconds above 0", "an integer number of samples from 0 up"
    require(type(length) in (int, float) and length > 0, "audio_length", f"{seconds}, or nothing")
    require(type(start) is int and start >= 0, "audio_start_samples", f"{samples}, or nothing")
    require(type(stop) is int and stop >= 0, "audio_stop_samples", f"{samples}, or nothing")
    require(stop > start, "audio_stop_samples", f"more than audio_start_samples, {start}")
    require(isinstance(events, list), "events", "a list of strings, which may be empty")
    known = set()
    for position, event in enumerate(events):
        place = f"{where}['events'][{position}]"
        if not isinstance(event, str) or not event.strip():
            raise malformed(path, place, reprlib.repr(event), "a non-empty string")
        if len(event) >= 1000:  # arrays of names give all the space of the longest
            raise malformed(path, place, reprlib.repr(event), "fewer than 1000 characters")
        if event in known:
            raise malformed(path, place, f"{event!r} again", "each event once")
        known.add(event)

    absolute = _absolute(path.parent, audio_path, resolved)
    fault = foreign_path(audio_path)
    require(not fault or os.path.lexists(absolute), "audio_path", fault)
    clip["audio_path"] = absolute
    return clip


def _absolute(folder: Path, audio_path: str, resolved: Callable[[str], str]) -> str:
    """Return the absolute path of the file that the system opens under a path.

    Behind a link to a folder, ``..`` is the folder that holds the one linked to.
    """
    path = folder / audio_path
    if ".." not in path.parts:
        return str(path)
    n_resolved = len(path.parts) - path.parts[::-1].index("..")
    return os.path.join(resolved(os.path.join(*path.parts[:n_resolved])), *path.parts[n_resolved:])


def foreign_path(path: str) -> str:
    """Say what is allowed instead of a path that another program or system would take.

    Parameters
    ----------
    path : str
        As it was typed.

    Returns
    -------
    str
        Empty if it looks like a path of this system.
    """
    if _URI.match(path):
        return "the path of a local file, not a URI"
    if _HOME.match(path):
        return "a path without ~, which is not expanded here: write out the home directory"
    if os.sep == "/" and ("\\" in path or _DRIVE.match(path)):
        return "a path of this system, with / and without drive letters, not Windows' backslashes"
    if path != path.strip():
        return "a path without blanks or a line end around it"
    return ""


def check_inside(path: Path, sets: dict[str, dict[str, Any]], root: str | os.PathLike) -> None:
    """Raise ValueError if an audio file lies outside a folder."""
    try:
        inside = os.path.realpath(os.path.expanduser(os.fsdecode(root)))
    except TypeError as error:
        raise TypeError(
            f"root: got {type(root).__name__}; allowed is the path of a folder, str or PathLike, "
            "or None."
        ) from error
    if not os.path.isdir(inside):
        raise FileNotFoundError(f"root: no folder {inside!r}. Give the folder of the audio files.")
    resolved = functools.cache(os.path.realpath)  # of folders, which many clips share
    for name, examples in sets.items():
        for example_id, clip in examples.items():
            folder, file = os.path.split(clip["audio_path"])
            real = os.path.join(resolved(folder), file)
            if os.path.islink(real):
                real = os.path.realpath(real)
            if not os.path.join(real, "").startswith(os.path.join(inside, "")):
                raise ValueError(
                    f"{path}: clip {example_id!r} of {name!r} has the audio file "
                    f"{clip['audio_path']!r}, that is {real!r}, which lies outside of "
                    f"root={inside!r}. Correct the clip, or give a root with all audio files."
                )


def _check_type(path: Path, where: str, value: Any, expected: type, allowed: str) -> None:
    if not isinstance(value, expected):
        raise malformed(path, where, reprlib.repr(value), allowed)


def _missing_key(path: Path, where: str, key: str, content: dict[str, Any]) -> ValueError:
    keys = ", ".join(map(repr, content)) or "none"
    got = f"only the keys {keys:.200}{nearest(key, content)}"
    return malformed(path, where, got, f"an object with the key {key!r}")
