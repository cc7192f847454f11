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
    embeddings : bool, default=False
        Whether embeddings of windows are kept.
    """

    kind: Kind
    window: float | None
    hop: float | None
    detection: dict[str, Any]
    embeddings: bool = False


def tag_recording(
    tagger: Any, path: str, task: Task, tick: Callable[[float], object] = lambda seconds: None
) -> tuple[pd.DataFrame, np.ndarray | None]:
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
    rows : DataFrame
        With the columns `file`, then, for "clips", `duration` and the events; for "windows",
        `onset`, `offset` and the events; for "events", `onset`, `offset`, `event` and `score`.
    embeddings : ndarray of shape (n_rows, n_features), float16, or None
        None, unless the task is to compute them.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, or float16 cannot represent its embeddings.
    """
    n_samples, sample_rate = audio_info(Section(path))
    duration = n_samples / sample_rate
    names = [str(event) for event in tagger.classes_]
    highest = np.zeros(len(names), np.float32)
    times, scores, events = [], [], []
    embeddings = Embeddings(mean=task.kind == "clips") if task.embeddings else None
    stream = EventStream(names, **task.detection) if task.kind == "events" else None
    iterate = tagger.iter_scores if embeddings is None else tagger.iter_embeddings
    for onset, offset, of_window, *embedding in iterate(path, task.window, task.hop):
        if embeddings is not None:
            embeddings.add(*embedding)
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
    return table, None if embeddings is None else embeddings.to_float16(path)


class Embeddings:
    """Embeddings of the windows of a recording, or their mean.

    Parameters
    ----------
    mean : bool
        Whether only the mean is needed.
    """

    def __init__(self, *, mean: bool) -> None:
        self._mean = mean
        self._n_windows = 0
        self._sum: Any = 0.0
        self._vectors: list[np.ndarray] = []

    def add(self, vector: np.ndarray) -> None:
        """Add the embedding of the next window."""
        if self._mean:
            self._n_windows += 1
            self._sum = self._sum + vector.astype(np.float64)
        else:
            with np.errstate(over="ignore"):  # to_float16 raises an error
                self._vectors.append(vector.astype(np.float16))

    def mean(self) -> np.ndarray:
        """Return the mean of all windows, of shape (n_features,), float32."""
        return np.asarray(self._sum / self._n_windows, np.float32)

    def to_float16(self, name: str) -> np.ndarray:
        """Return an array of shape (n_windows, n_features), or (1, n_features) for the mean.

        Parameters
        ----------
        name : str
            The recording, for the message.

        Raises
        ------
        ValueError
            If a value is too large for float16.
        """
        with np.errstate(over="ignore"):
            mean = [self.mean().astype(np.float16)] if self._mean else []
        vectors = np.array(mean or self._vectors)
        if not np.isfinite(vectors).all():
            raise ValueError(
                f"The embedding of {name!r} has values above {np.finfo(np.float16).max:.0f}, the "
                "largest that is stored. Use embeddings=False with this network."
            )
        return vectors


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
