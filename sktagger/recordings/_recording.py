"""Results of one recording, in constant memory except for the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from sktagger.audio.reading import Section, audio_info
from sktagger.recordings.detection import detection_windows, tagger_and_thresholds
from sktagger.recordings.events import EventStream, events_table
from sktagger.taggers._recordings import check_windows

Kind = Literal["clips", "windows", "events"]
KINDS = ("clips", "windows", "events")


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
    tagger: Any, path: str, task: Task, tick: Callable[[float], object] = lambda seconds: None
) -> pd.DataFrame:
    """Tag a file.

    Parameters
    ----------
    tagger : AudioTagger
    path : str
    task : Task
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
    n_samples, sample_rate = audio_info(Section(path))
    duration = n_samples / sample_rate
    names = [str(event) for event in tagger.classes_]
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
        table.insert(0, "duration", duration)
    table.insert(0, "file", pd.Series([path] * len(table), table.index, dtype=str))
    return table


def task_windows(tagger: Any, kind: Kind, window: Any, hop: Any) -> tuple[Any, Any]:
    """Return the windows in seconds; "auto" depends on the kind, and on the network."""
    if kind == "events":
        return detection_windows(tagger, window, hop)
    if isinstance(window, str) and window == "auto":
        window = 10.0
    check_windows(window, hop)
    return window, hop


def unwrap(tagger: Any, threshold: Any) -> tuple[Any, Any]:
    """Return the tagger inside of an estimator, and the thresholds to use, by name of event."""
    inner, tuned = tagger_and_thresholds(tagger)
    if isinstance(threshold, str):
        if threshold != "tuned":
            raise ValueError(
                f"threshold={threshold!r} is unknown. It must be 'tuned', a number, or a dict of "
                "event to number."
            )
        return inner, 0.5 if tuned is None else {str(k): float(v) for k, v in tuned.items()}
    return inner, threshold
