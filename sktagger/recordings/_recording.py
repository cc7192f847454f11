"""Results of one recording, in constant memory except for the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.text import short
from sktagger.audio.reading import Section, audio_info
from sktagger.recordings.detection import resolve_detection, tagger_and_thresholds
from sktagger.recordings.events import EventStream, events_table
from sktagger.taggers._recordings import check_windows

Kind = Literal["clips", "windows", "events"]
KINDS = ("clips", "windows", "events")
_RESERVED = ("file", "duration", "onset", "offset", "event", "score")


class Task(NamedTuple):
    """What is computed of each file.

    Attributes
    ----------
    kind : {"clips", "windows", "events"}
    window, hop : float or None
        See :meth:`sktagger.AudioTagger.iter_scores`.
    detection : dict
        Parameters of :class:`sktagger.recordings.EventStream`.
    """

    kind: Kind
    window: float | None
    hop: float | None
    detection: dict[str, Any]


def tag_recording(
    tagger: Any,
    path: str,
    task: Task,
    *,
    duration: float | None = None,
    tick: Callable[[float], object] = lambda seconds: None,
) -> pd.DataFrame:
    """Tag a file.

    Parameters
    ----------
    tagger : AudioTagger
    path : str
    task : Task
    duration : float or None, default=None
        Length of the file in seconds. None: it is read.
    tick : callable
        Called with the time in seconds up to which the file has been tagged.

    Returns
    -------
    DataFrame
        With the columns `file`, then, for "clips", `duration` and the events; for "windows",
        `onset`, `offset` and the events; for "events", `onset`, `offset`, `event` and `score`.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read.
    """
    names = _names(tagger)
    highest = np.zeros(len(names), np.float32)
    times, scores, events = [], [], []
    stream = EventStream(names, **task.detection) if task.kind == "events" else None
    for onset, offset, of_window in tagger.iter_scores(path, task.window, task.hop):
        if stream is not None:
            events += stream.push(onset, offset, of_window)
        elif task.kind == "windows":
            times.append((onset, offset))
            scores.append(of_window)
        else:
            highest = np.maximum(highest, of_window)
        tick(offset)
    if stream is not None:
        table = events_table([*events, *stream.finish()])
    elif task.kind == "windows":
        table = pd.DataFrame(np.array(scores), columns=names)
        table.insert(0, "onset", [onset for onset, _ in times])
        table.insert(1, "offset", [offset for _, offset in times])
    else:
        table = pd.DataFrame(highest[np.newaxis], columns=names)
        table.insert(0, "duration", recording_length(path) if duration is None else duration)
    table.insert(0, "file", pd.Series([path] * len(table), table.index, dtype=str))
    return table


def recording_length(path: str) -> float:
    """Read the length of a file in seconds.

    Raises
    ------
    OSError, ValueError
        If it cannot be read.
    """
    n_samples, sample_rate = audio_info(Section(path))
    return n_samples / sample_rate


def plan(
    tagger: Any,
    kind: Any,
    *,
    window: Any = "auto",
    hop: Any = None,
    threshold: Any = "tuned",
    detection: Mapping[str, Any] | None = None,
) -> tuple[Any, Task, Any]:
    """Check parameters, and find out what to compute of each file.

    Parameters
    ----------
    tagger, kind, window, hop, threshold, detection
        See :func:`sktagger.recordings.tag_files`.

    Returns
    -------
    inner : AudioTagger
    task : Task
    thresholds : dict of event to float, float or None
        Thresholds for "clips" and "windows". None if there are none.

    Raises
    ------
    TypeError
        If `tagger` has no scores in time.
    ValueError
        If a parameter is wrong.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}, but it must be one of {', '.join(map(repr, KINDS))}.")
    if kind == "events":
        inner, options, window, hop = resolve_detection(
            tagger, threshold, detection or {}, window, hop
        )
        EventStream(_names(inner), **options)  # raises an error if a parameter is wrong
        options = {
            name: {str(event): float(number) for event, number in value.items()}
            if isinstance(value, Mapping)
            else value
            for name, value in options.items()
        }
        return inner, Task(kind, _seconds(window), _seconds(hop), options), None
    if detection:
        raise ValueError(f"detection={short(detection)} has an effect only for kind='events'.")
    inner, thresholds = tagger_and_thresholds(tagger, threshold)
    clash = next((name for name in _names(inner) if name in _RESERVED), None)
    if clash is not None:
        raise ValueError(
            f"The tagger has the event {clash!r}, which is the name of another column of the "
            "results. Use kind='events', or rename the event."
        )
    if isinstance(window, str) and window == "auto":
        window = 10.0
    check_windows(window, hop)
    if isinstance(thresholds, Mapping):
        thresholds = {str(event): float(number) for event, number in thresholds.items()}
    return inner, Task(kind, _seconds(window), _seconds(hop), {}), thresholds


def _names(tagger: Any) -> list[str]:
    return [str(event) for event in tagger.classes_]


def _seconds(number: float | None) -> float | None:
    return None if number is None else float(number)
