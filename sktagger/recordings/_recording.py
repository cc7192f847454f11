"""Results of one recording, in constant memory except for the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.text import short
from sktagger.audio.reading import Section, audio_info
from sktagger.recordings._score_source import ScoreSource, TagMask
from sktagger.recordings.detection import resolve_detection, tagger_and_thresholds
from sktagger.recordings.events import EventStream, events_table
from sktagger.taggers._recordings import check_has_embeddings, check_windows

Kind = Literal["clips", "windows", "events"]
KINDS = ("clips", "windows", "events")
_RESERVED = ("file", "duration", "onset", "offset", "event", "score", "embedding")


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
    mask : TagMask or None, default=None
        For "events".
    """

    kind: Kind
    window: float | None
    hop: float | None
    detection: dict[str, Any]
    embeddings: bool = False
    mask: TagMask | None = None


def tag_recording(
    tagger: Any,
    path: str,
    task: Task,
    *,
    duration: float | None = None,
    tick: Callable[[float], object] = lambda seconds: None,
) -> tuple[pd.DataFrame, np.ndarray | None]:
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
    names = _names(tagger)
    highest = np.zeros(len(names), np.float32)
    times, scores, events = [], [], []
    embeddings = Embeddings(mean=task.kind == "clips") if task.embeddings else None
    stream = EventStream(names, **task.detection) if task.kind == "events" else None
    outputs: Iterator[Any]
    if embeddings is None:
        outputs = ScoreSource(tagger, task.window, task.hop, task.mask).along(path)
    else:
        outputs = tagger.iter_embeddings(path, task.window, task.hop)
    for onset, offset, of_window, *embedding in outputs:
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
        table.insert(0, "duration", recording_length(path) if duration is None else duration)
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
    embeddings: bool = False,
) -> tuple[Any, Task, Any]:
    """Check parameters, and find out what to compute of each file.

    Parameters
    ----------
    tagger, kind, window, hop, threshold, detection, embeddings
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
        if embeddings:
            raise ValueError(
                "embeddings=True has no effect for kind='events', whose rows are no windows. Use "
                "kind='windows' in another folder."
            )
        scores, options = resolve_detection(tagger, threshold, detection or {}, window, hop)
        inner = scores.tagger
        EventStream(_names(inner), **options)  # raises an error if a parameter is wrong
        options = {
            name: {str(event): float(number) for event, number in value.items()}
            if isinstance(value, Mapping)
            else value
            for name, value in options.items()
        }
        window, hop = _seconds(scores.window), _seconds(scores.hop)
        return inner, Task(kind, window, hop, options, mask=scores.mask), None
    if detection:
        raise ValueError(f"detection={short(detection)} has an effect only for kind='events'.")
    inner, thresholds = tagger_and_thresholds(tagger, threshold)
    clash = next((name for name in _names(inner) if name in _RESERVED), None)
    if clash is not None:
        raise ValueError(
            f"The tagger has the event {clash!r}, which is the name of another column of the "
            "results. Use kind='events', or rename the event."
        )
    if embeddings:
        check_has_embeddings(inner)
    if isinstance(window, str) and window == "auto":
        window = 10.0
    check_windows(window, hop)
    if isinstance(thresholds, Mapping):
        thresholds = {str(event): float(number) for event, number in thresholds.items()}
    return inner, Task(kind, _seconds(window), _seconds(hop), {}, bool(embeddings)), thresholds


def _names(tagger: Any) -> list[str]:
    return [str(event) for event in tagger.classes_]


def _seconds(number: float | None) -> float | None:
    return None if number is None else float(number)
