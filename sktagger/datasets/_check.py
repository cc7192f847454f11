"""Check the content of a database."""

from __future__ import annotations

import functools
import math
import os
import reprlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sktagger._utils.files import path_hint
from sktagger._utils.text import nearest
from sktagger.datasets._reading import malformed

SECTION_KEYS = ("audio_start_samples", "audio_stop_samples")
SECONDS_KEYS = ("audio_start", "audio_stop")
OPTIONAL_KEYS = ("audio_length", *SECTION_KEYS, *SECONDS_KEYS)


def check_content(path: Path, content: Any) -> dict[str, dict[str, Any]]:
    """Check the content of a database and make its audio paths absolute.

    Parameters
    ----------
    path : Path
        The JSON file. Audio paths are relative to its folder, and messages name it.
    content : object
        The parsed content of the file.

    Returns
    -------
    dict of str to dict of str to dict
        The examples by data set and id, without optional keys that are null.

    Raises
    ------
    ValueError
        If the content is not that of a database. The message names the place.
    """
    _check_type(path, "the top level", content, dict, 'an object {"datasets": {...}}')
    if "datasets" not in content:
        raise _missing_key(path, "the top level", "datasets", content)
    sets = content["datasets"]
    _check_type(path, "datasets", sets, dict, "an object {name: {example_id: {...}}}")
    if not sets:
        raise malformed(path, "datasets", "an empty object", "at least one data set")
    resolved = functools.cache(os.path.realpath)  # many clips share a folder
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
    """Return a checked example with an absolute audio path and without null options."""
    _check_type(path, where, example, dict, 'an object {"audio_path": ..., "events": [...]}')
    for key in ("audio_path", "events"):
        if key not in example:
            raise _missing_key(path, where, key, example)
    clip = {k: v for k, v in example.items() if v is not None or k not in OPTIONAL_KEYS}

    def require(holds, key, allowed):
        if not holds:
            raise malformed(path, f"{where}[{key!r}]", reprlib.repr(clip[key]), allowed)

    audio_path, events = clip["audio_path"], clip["events"]
    length = clip.get("audio_length", 1)
    start = clip.get("audio_start_samples", 0)
    stop = clip.get("audio_stop_samples", sys.maxsize)
    # `type` instead of `isinstance`, for which a bool is an int.
    require(isinstance(audio_path, str) and audio_path, "audio_path", "a non-empty string")
    require("\0" not in audio_path, "audio_path", "a path with no null character")
    seconds, samples = "a number of seconds above 0", "a non-negative integer number of samples"
    require(type(length) in (int, float) and length > 0, "audio_length", f"{seconds}, or null")
    require(type(start) is int and start >= 0, "audio_start_samples", f"{samples}, or null")
    require(type(stop) is int and stop >= 0, "audio_stop_samples", f"{samples}, or null")
    require(stop > start, "audio_stop_samples", f"more than audio_start_samples, {start}")
    _check_seconds(clip, require)
    require(isinstance(events, list), "events", "a list of strings, which may be empty")
    known = set()
    for position, event in enumerate(events):
        place = f"{where}['events'][{position}]"
        if not isinstance(event, str) or not event.strip():
            raise malformed(path, place, reprlib.repr(event), "a non-empty string")
        if len(event) >= 1000:  # in arrays, every name takes the space of the longest one
            raise malformed(path, place, reprlib.repr(event), "fewer than 1000 characters")
        if event in known:
            raise malformed(path, place, f"{event!r} again", "each event once")
        known.add(event)

    absolute = _absolute(path.parent, audio_path, resolved)
    hint = path_hint(audio_path)
    require(
        not hint or os.path.lexists(absolute), "audio_path", f"the path of a local file. {hint}"
    )
    clip["audio_path"] = absolute
    return clip


def _check_seconds(clip: dict[str, Any], require: Callable[[Any, str, str], None]) -> None:
    """Check a section in seconds."""
    begin, end = (
        clip.get(key, default) for key, default in zip(SECONDS_KEYS, (0, math.inf), strict=True)
    )
    seconds = "a non-negative number of seconds, or null"
    require(type(begin) in (int, float) and begin >= 0, "audio_start", seconds)
    require(type(end) in (int, float) and end >= 0, "audio_stop", seconds)
    require(end > begin, "audio_stop", f"more than audio_start, {begin}")
    for key in SECONDS_KEYS:
        in_samples = [other for other in SECTION_KEYS if other in clip]
        require(
            key not in clip or not in_samples,
            key,
            f"a section either in seconds or in samples, and there is {''.join(in_samples[:1])}",
        )


def _absolute(folder: Path, audio_path: str, resolved: Callable[[str], str]) -> str:
    """Return the absolute path of the file that the system opens for a path.

    After a symbolic link to a folder, ``..`` is the parent of the target.
    """
    path = folder / audio_path
    if ".." not in path.parts:
        return str(path)
    n_resolved = len(path.parts) - path.parts[::-1].index("..")
    return os.path.join(resolved(os.path.join(*path.parts[:n_resolved])), *path.parts[n_resolved:])


def check_inside(path: Path, sets: dict[str, dict[str, Any]], root: str | os.PathLike[str]) -> None:
    """Check that all audio files lie inside a folder.

    Parameters
    ----------
    path : Path
        The JSON file, for messages.
    sets : dict of str to dict of str to dict
        The examples by data set and id, with absolute audio paths.
    root : str or PathLike
        The folder; ``~`` is expanded.

    Raises
    ------
    ValueError
        If an audio file lies outside. The message names data set, clip and path.
    FileNotFoundError
        If there is no such folder.
    TypeError
        If `root` is not a path.
    """
    try:
        inside = os.path.realpath(os.path.expanduser(os.fsdecode(root)))
    except TypeError as error:
        raise TypeError(
            f"root: got {type(root).__name__}; allowed is the path of a folder (str or PathLike) "
            "or None."
        ) from error
    if not os.path.isdir(inside):
        raise FileNotFoundError(f"root: no folder {inside!r}. Give the folder of the audio files.")
    resolved = functools.cache(os.path.realpath)  # many clips share a folder
    for name, examples in sets.items():
        for example_id, clip in examples.items():
            folder, file = os.path.split(clip["audio_path"])
            real = os.path.join(resolved(folder), file)
            if os.path.islink(real):
                real = os.path.realpath(real)
            if not os.path.join(real, "").startswith(os.path.join(inside, "")):
                raise ValueError(
                    f"{path}: the audio file {clip['audio_path']!r} of clip {example_id!r} of "
                    f"{name!r} is {real!r}, which lies outside of root={inside!r}. Correct the "
                    "clip, or give a root that contains all audio files."
                )


def _check_type(path: Path, where: str, value: Any, expected: type, allowed: str) -> None:
    if not isinstance(value, expected):
        raise malformed(path, where, reprlib.repr(value), allowed)


def _missing_key(path: Path, where: str, key: str, content: dict[str, Any]) -> ValueError:
    keys = ", ".join(map(repr, content)) or "none"
    got = f"only the keys {keys:.200}{nearest(key, content)}"
    return malformed(path, where, got, f"an object with the key {key!r}")
