"""Onsets and offsets of events: tables of them, and the times of each clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.text import nearest, quoted, short
from sktagger.targets._conversion import Targets, event_columns

__all__ = [
    "EventTimes",
    "are_strong",
    "check_known_events",
    "clip_names",
    "clips_of_rows",
    "read_event_times",
    "take_event_rows",
]

_COLUMNS = ("onset", "offset", "event")
_MAX_EXCESS = 0.5  # seconds; annotations often give the nominal length of a clip as the last offset


class EventTimes(NamedTuple):
    """Onsets and offsets of the events of clips.

    Attributes
    ----------
    classes : ndarray of shape (n_events,)
        The events.
    first : ndarray of shape (n_clips + 1,), int
        Clip i has the rows from ``first[i]`` up to, but not including, ``first[i + 1]``.
    event : ndarray of shape (n_rows,), int
        Which event.
    onset, offset : ndarray of shape (n_rows,), float64
        In seconds from the beginning of the clip.
    """

    classes: np.ndarray
    first: np.ndarray
    event: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    def of_clip(self, clip: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the events, onsets and offsets of a clip."""
        rows = slice(self.first[clip], self.first[clip + 1])
        return self.event[rows], self.onset[rows], self.offset[rows]

    def take(self, clips: Sequence[int] | np.ndarray) -> EventTimes:
        """Select clips.

        Parameters
        ----------
        clips : sequence of int
            Positions of the clips to select.

        Returns
        -------
        EventTimes
        """
        clips = np.asarray(clips, int)
        counts = np.diff(self.first)[clips]
        first = np.concatenate([[0], np.cumsum(counts)])
        rows = np.arange(first[-1]) + np.repeat(self.first[:-1][clips] - first[:-1], counts)
        times = self.event[rows], self.onset[rows], self.offset[rows]
        return EventTimes(self.classes, first, *times)

    def within(self, lengths: np.ndarray, name_of: Callable[[int], str]) -> EventTimes:
        """Cut events at the ends of their clips.

        Parameters
        ----------
        lengths : ndarray of shape (n_clips,), float
            Lengths of the clips in seconds.
        name_of : callable
            Gives the name of a clip for messages.

        Returns
        -------
        EventTimes
            Offsets lie inside of the clips.

        Raises
        ------
        ValueError
            If an event begins after the end of its clip, or ends more than 0.5 s after it.
        """
        clip = np.repeat(np.arange(len(lengths)), np.diff(self.first))
        ends = np.asarray(lengths, float)[clip]
        wrong = np.flatnonzero((self.onset >= ends) | (self.offset > ends + _MAX_EXCESS))
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"{name_of(clip[row])} is {ends[row]:.3f} s long, but its event "
                f"{short(self.classes[self.event[row]])} has the onset {self.onset[row]:g} s and "
                f"the offset {self.offset[row]:g} s. Events begin before the end of the clip, and "
                f"end at most {_MAX_EXCESS} s after it. Times are relative to the clip, also if it "
                "is a section of a file."
            )
        return self._replace(offset=np.minimum(self.offset, ends))


def are_strong(events: Any) -> bool:
    """Say whether events are a table with onsets and offsets."""
    return isinstance(events, pd.DataFrame) and set(_COLUMNS) <= set(events.columns)


def read_event_times(events: Any, X: Any, targets: Targets, name: str = "events") -> EventTimes:
    """Read the onsets and offsets of events.

    Parameters
    ----------
    events : DataFrame, or list of DataFrame of length n_clips
        See :meth:`sktagger.AudioTagger.fit`.
    X : sequence of clips
        Paths, if the table names files.
    targets : Targets
        Events of the clips.
    name : str, default="events"
        Name of the argument, for messages.

    Returns
    -------
    EventTimes
        The rows of a clip have the order of the table.

    Raises
    ------
    ValueError, TypeError
        If this is no such table, or it does not fit the clips and their targets.
    """
    n_clips = len(targets.indicator)
    table = _join(events, n_clips, name)
    columns = event_columns(targets.classes)
    source = "y" if name == "events" else "training"
    check_known_events(table["event"], columns, f"{source} does not have", name)
    onset, offset = _read_times(table, name)
    clip = clips_of_rows(table, X, n_clips, name)
    event = columns.get_indexer(pd.Index(table["event"], dtype=columns.dtype))
    absent = np.flatnonzero(targets.indicator[clip, event] == 0)
    if len(absent):
        row = absent[0]
        where = short(table["file"].iloc[row]) if "file" in table else str(clip[row])
        raise ValueError(
            f"{name} has an onset of {short(table['event'].iloc[row])} in the clip {where}, but "
            f"according to {'y' if name == 'events' else 'Y_val'} this event does not occur there. "
            f"Correct the targets, or leave out the row. ({len(absent)} of {len(table)} rows are "
            "of such events.)"
        )
    order = np.argsort(clip, kind="stable")
    first = np.searchsorted(clip[order], np.arange(n_clips + 1))
    return EventTimes(targets.classes, first, event[order], onset[order], offset[order])


def check_known_events(events: pd.Series, known: pd.Index, fault: str, name: str) -> None:
    """Raise ValueError if a table has unknown events.

    Parameters
    ----------
    events : Series of shape (n_rows,)
        The events of the table.
    known : Index of shape (n_events,)
    fault : str
        What is wrong with unknown ones: "which ...".
    name : str
        Name of the table, for the message.
    """
    unknown = [event for event in pd.unique(events) if event not in known]
    if unknown:
        raise ValueError(
            f"{name} has {quoted(unknown)}, which {fault}{nearest(unknown[0], known)}. Its events "
            f"are {quoted(known)}. Leave out other events."
        )


def clips_of_rows(events: pd.DataFrame, X: Any, n_clips: int, name: str = "events") -> np.ndarray:
    """Find the clip of each row of a table of events.

    Parameters
    ----------
    events : DataFrame of shape (n_rows, n_columns)
        Its column `file` has paths, or ends of paths; otherwise, `clip` has positions in `X`. A
        single clip needs neither.
    X : sequence of clips
        Paths, if the table names files.
    n_clips : int
        Number of clips.
    name : str, default="events"
        Name of the table, for messages.

    Returns
    -------
    ndarray of shape (n_rows,), int
        Positions in `X`.

    Raises
    ------
    ValueError
        If a row belongs to no clip, or it is not clear to which one.
    """
    if "file" in events:
        return _places(events["file"], X, n_clips, name)
    if "clip" in events:
        allowed = range(n_clips)
        wrong = [place for place in events["clip"].to_numpy() if place not in allowed]
        if wrong:
            raise ValueError(
                f"{name} has the clip {short(wrong[0])}, but X has {n_clips} clips. Clips are "
                "positions in X, starting at 0. Correct the column, or name it 'file'."
            )
        return events["clip"].to_numpy(int)
    if n_clips == 1:
        return np.zeros(len(events), int)
    raise ValueError(
        f"{name} has no column 'file' or 'clip', but X has {n_clips} clips. The column tells "
        "where an event is. Call events.insert(0, 'clip', positions)."
    )


def take_event_rows(events: Any, indices: np.ndarray, X: Any, n_clips: int) -> Any:
    """Select the rows of some clips of a table of events.

    Parameters
    ----------
    events : DataFrame, or list of DataFrame of length n_clips
    indices : ndarray of int
        Positions of the clips to select, each once.
    X : sequence of clips
    n_clips : int
        Number of clips.

    Returns
    -------
    DataFrame, or list of DataFrame
        In a table, the column `clip` has their positions in the selection.
    """
    if not isinstance(events, pd.DataFrame):
        return [events[clip] for clip in indices]
    place = np.full(n_clips, -1)
    place[indices] = np.arange(len(indices))
    places = place[clips_of_rows(events, X, n_clips)]
    selected = events.drop(columns=["file", "clip"], errors="ignore").assign(clip=places)
    return selected[places >= 0]


def clip_names(X: Any, n_clips: int) -> tuple[str, list[Any]]:
    """Return how clips are named in tables of events.

    Parameters
    ----------
    X : container of clips
    n_clips : int
        Number of clips.

    Returns
    -------
    column : {"file", "clip"}
    names : list of length n_clips
        Paths, or positions if the clips are not all paths.
    """
    clips = list(X.to_numpy() if isinstance(X, pd.Series) else X)
    if len(clips) == n_clips and all(isinstance(clip, str | os.PathLike) for clip in clips):
        return "file", [os.fspath(clip) for clip in clips]
    return "clip", list(range(n_clips))


def _join(events, n_clips, name):
    """Return one table; of a list, each table has the events of a clip."""
    if isinstance(events, list | tuple) and all(map(are_strong, events)):
        if len(events) != n_clips:
            raise ValueError(
                f"{name} is a list of {len(events)} tables, but there are {n_clips} clips. Give "
                "each clip a table, or give one table with a column 'file' or 'clip'."
            )
        clip = np.repeat(np.arange(n_clips), [len(table) for table in events])
        joined = pd.concat([table[list(_COLUMNS)] for table in events], ignore_index=True)
        return joined.assign(clip=clip)
    if not isinstance(events, pd.DataFrame):
        raise TypeError(
            f"{name} is {type(events).__name__}, but it must be a DataFrame with the columns "
            "'onset', 'offset' (in seconds), 'event', and 'file' or 'clip', or a list with a "
            "DataFrame for each clip. Weak labels belong into y."
        )
    if not are_strong(events):
        missing = [column for column in _COLUMNS if column not in events]
        raise ValueError(
            f"{name} has no column {quoted(missing)}. It must have 'onset', 'offset' (in seconds), "
            f"'event', and 'file' or 'clip'; it has {quoted(events.columns, 20)}."
        )
    return events


def _read_times(table, name):
    try:
        onset, offset = (table[column].to_numpy(float) for column in ("onset", "offset"))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: onsets and offsets must be numbers of seconds ({error}). Correct them."
        ) from error
    wrong = np.flatnonzero(~((onset >= 0) & (onset < offset) & (offset < np.inf)))
    if len(wrong):
        row = wrong[0]
        raise ValueError(
            f"{name}: row {row}, {short(table['event'].iloc[row])}, has the onset {onset[row]:g} "
            f"and the offset {offset[row]:g}. Times must be finite, not negative, and the onset "
            "before the offset. Correct it, or leave out the row."
        )
    return onset, offset


def _places(files, X, n_clips, name):
    kind, paths = clip_names(X, n_clips)
    if kind == "clip":
        raise ValueError(
            f"{name} names files, but the clips of X are not all paths. Use a column 'clip' with "
            "positions in X instead of 'file'."
        )
    ends: dict[str, set[int]] = {}
    for place, path in enumerate(paths):
        parts = path.replace("\\", "/").split("/")
        for first in range(len(parts)):
            ends.setdefault("/".join(parts[first:]), set()).add(place)
    found = {}
    for file in pd.unique(files):
        match = ends.get(str(file).replace("\\", "/").removeprefix("./"), set())
        if len(match) != 1:
            cause = f"fits {len(match)} clips" if match else "is not a clip"
            raise ValueError(
                f"{name} has the file {short(file)}, which {cause} of X. It must be the path of a "
                "clip, or its end. Leave out events of other files, or use a column 'clip' with "
                "positions in X."
            )
        (found[file],) = match
    return files.map(found).to_numpy(int)
