"""Events in time from scores in time, for whole recordings and for streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger._utils.text import listed
from sktagger.recordings._options import Options
from sktagger.recordings._segments import Boundaries, Changes, Median, Runs, Segment, make_smoother
from sktagger.recordings._time_grid import TimeGrid

__all__ = ["Event", "EventStream", "events_table", "find_events"]

_DECIMALS = 6  # of times in seconds, so that 3 * 0.1 is 0.3


class Event(NamedTuple):
    """An event in time.

    Attributes
    ----------
    onset, offset : float
        Begin and end in seconds.
    event : str
        Name of the event.
    score : float
        Mean or highest score.
    """

    onset: float
    offset: float
    event: Any
    score: float


class EventStream:
    """Find events in scores that come one after the other, in constant memory.

    The events are those that :func:`find_events` finds in a table of all scores. Only
    ``smoothing="boundary"`` needs all scores in memory, and gives the events at the end.

    Parameters
    ----------
    events : sequence of length n_events
        Names of the events, in the order of the scores.
    threshold : float, mapping or array-like of shape (n_events,), default=0.5
        See :func:`find_events`, as for the following parameters.
    low : float, mapping, array-like of shape (n_events,) or None, default=None
        Threshold of the cells to which an event extends.
    smoothing : {"median", "change", "boundary"} or None, default=None
        How scores are smoothed.
    filter_length : float, mapping, array-like of shape (n_events,) or None, default=None
        Length of the median or step filter in seconds.
    merge_absolute, merge_relative : float, default=0.2, 2.0
        When segments between changes are merged.
    min_length, merge_gap : float, default=0.0
        Least length of an event and longest gap to merge, in seconds.
    score : {"mean", "max"}, default="mean"
        Score of an event.
    step : float or None, default=None
        Length of a cell in seconds.

    See Also
    --------
    find_events : The same for a table, with the meaning of the parameters.

    Notes
    -----
    An event is given when it cannot change any more: without smoothing, one cell after its end; a
    median delays it by half of its length, and `merge_gap` by itself. With ``smoothing="change"``,
    an event is given when the next segment of the same event has ended and is not merged with it,
    which may take long if the scores stay equal.

    Examples
    --------
    >>> from sktagger.recordings import EventStream
    >>> stream = EventStream(["bird", "rain"])
    >>> scores = [[0.1, 0.9], [0.2, 0.7], [0.6, 0.3], [0.1, 0.2]]
    >>> for second, row in enumerate(scores):
    ...     for event in stream.push(second, second + 1, row):
    ...         print(event)
    Event(onset=0.0, offset=2.0, event='rain', score=0.8)
    >>> stream.finish()
    [Event(onset=2.0, offset=3.0, event='bird', score=0.6)]
    """

    def __init__(
        self,
        events: Sequence[Any],
        *,
        threshold: float | Mapping[Any, float] | ArrayLike = 0.5,
        low: float | Mapping[Any, float] | ArrayLike | None = None,
        smoothing: Literal["median", "change", "boundary"] | None = None,
        filter_length: float | Mapping[Any, float] | ArrayLike | None = None,
        merge_absolute: float = 0.2,
        merge_relative: float = 2.0,
        min_length: float = 0.0,
        merge_gap: float = 0.0,
        score: Literal["mean", "max"] = "mean",
        step: float | None = None,
    ) -> None:
        self.events = list(events)
        self._options = Options.check(
            self.events,
            threshold=threshold,
            low=low,
            smoothing=smoothing,
            filter_length=filter_length,
            merge_absolute=merge_absolute,
            merge_relative=merge_relative,
            min_length=min_length,
            merge_gap=merge_gap,
            score=score,
        )
        if step is not None and not 0 < step < np.inf:
            raise ValueError(
                f"step={step!r} is out of range. It must be a number of seconds above 0. Pass "
                "step=None to use the time between two onsets."
            )
        self._grid = TimeGrid(self.events, step)
        self._finder: Runs | Changes | None = None
        self._smoother: Median | Boundaries | None = None
        self._kept: dict[int, Segment] = {}  # of each event, the last one, which may still grow
        self._n_cells = 0
        self._is_finished = False

    def push(self, onset: ArrayLike, offset: ArrayLike, scores: ArrayLike) -> list[Event]:
        """Add the scores of a segment, or of several.

        Parameters
        ----------
        onset, offset : float, or array-like of shape (n_segments,)
            Times in seconds. Onsets must not decrease.
        scores : array-like of shape (n_events,) or (n_segments, n_events), float
            Finite scores.

        Returns
        -------
        list of Event
            Events that are complete now, sorted by onset.

        Raises
        ------
        ValueError
            If times or scores are not as above, or `finish` was called.
        """
        if self._is_finished:
            raise ValueError(
                "push was called after finish. A stream ends there. Make a new EventStream for "
                "the next recording."
            )
        rows = np.atleast_2d(np.asarray(scores, dtype=float))
        found = []
        for block in self._grid.push(np.atleast_1d(onset), np.atleast_1d(offset), rows):
            found += self._find(block)
        return self._to_events(found)

    def finish(self) -> list[Event]:
        """End the stream.

        Returns
        -------
        list of Event
            The remaining events, sorted by onset.
        """
        self._is_finished = True
        found = []
        for block in self._grid.finish():
            found += self._find(block)
        if self._finder is None:
            return []
        rest = self._smoother.finish() if self._smoother else None
        if rest is not None:
            found += self._join(self._finder.push(rest))
        found += self._join(self._finder.finish())
        found += self._kept.values()
        self._kept = {}
        return self._to_events(found)

    def _find(self, block: np.ndarray) -> Iterator[Segment]:
        self._n_cells += len(block)
        if self._finder is None:
            self._make_steps()
        assert self._finder is not None
        if self._smoother is not None:
            block = self._smoother.push(block)
        yield from self._join(self._finder.push(block))
        if self._kept:
            earliest = self._finder.earliest()
            for event in [e for e, kept in self._kept.items() if self._is_apart(kept, earliest[e])]:
                yield self._kept.pop(event)

    def _make_steps(self) -> None:
        options, step = self._options, self._grid.step
        if options.smoothing == "change":
            self._finder = Changes(
                options.threshold,
                options.half_filter(step),
                options.merge_absolute,
                options.merge_relative,
            )
            return
        self._smoother = make_smoother(options.smoothing, options.half_filter(step))
        self._finder = Runs(options.threshold, options.low)

    def _join(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Merge segments of the same event that are close together."""
        if self._options.merge_gap == 0:
            yield from segments
            return
        for new in segments:
            kept = self._kept.get(new.event)
            if kept is not None and self._is_apart(kept, new.start):
                yield kept
                kept = None
            if kept is not None:
                peak = max(kept.peak, new.peak)
                new = new._replace(start=kept.start, before=kept.before, peak=peak)
            self._kept[new.event] = new

    def _is_apart(self, segment: Segment, start: int) -> bool:
        gap = (start - segment.stop) * self._grid.step
        return gap > self._options.merge_gap + 10**-_DECIMALS

    def _to_events(self, segments: list[Segment]) -> list[Event]:
        events = []
        for segment in sorted(segments, key=lambda segment: (segment.start, segment.event)):
            length = (segment.stop - segment.start) * self._grid.step
            if length < self._options.min_length - 10**-_DECIMALS:
                continue
            onset = self._grid.start + segment.start * self._grid.step
            offset = self._grid.start + segment.stop * self._grid.step
            if self._is_finished and segment.stop == self._n_cells:
                offset = min(offset, self._grid.stop)
            score = segment.mean if self._options.score == "mean" else segment.peak
            times = round(float(onset), _DECIMALS), round(float(offset), _DECIMALS)
            events.append(Event(times[0], times[1], self.events[segment.event], score))
        return events


def find_events(
    scores: pd.DataFrame,
    *,
    threshold: float | Mapping[Any, float] | ArrayLike = 0.5,
    low: float | Mapping[Any, float] | ArrayLike | None = None,
    smoothing: Literal["median", "change", "boundary"] | None = None,
    filter_length: float | Mapping[Any, float] | ArrayLike | None = None,
    merge_absolute: float = 0.2,
    merge_relative: float = 2.0,
    min_length: float = 0.0,
    merge_gap: float = 0.0,
    score: Literal["mean", "max"] = "mean",
    step: float | None = None,
) -> pd.DataFrame:
    """Find events in a table of scores in time.

    Time is divided into cells of equal length. Segments may overlap: the score of a cell is the
    mean of the scores of all segments that cover at least half of it. It is 0 where there are none.

    Parameters
    ----------
    scores : DataFrame of shape (n_segments, n_events), float
        Scores of one recording, as :meth:`sktagger.AudioTagger.predict_segments` returns them: the
        levels of the index are `onset` and `offset` in seconds, and the columns name the events.
    threshold : float, mapping or array-like of shape (n_events,), default=0.5
        An event has a cell with a score above its threshold; with ``smoothing="change"``, its mean
        score is above. A mapping or Series has a threshold for each event.
    low : float, mapping, array-like of shape (n_events,) or None, default=None
        Hysteresis: an event extends to the neighboring cells with scores above this threshold.
        Where it is above `threshold`, it counts as equal. None: as `threshold`. It has no effect
        with ``smoothing="change"``.
    smoothing : {"median", "change", "boundary"} or None, default=None
        "median": a median over `filter_length` before the threshold. "change": events lie between
        changes of the score [1]_, so that their times do not depend on the threshold. "boundary":
        an event lasts from its first onset to its last offset in the recording [2]_. See Notes.
    filter_length : float, mapping, array-like of shape (n_events,) or None, default=None
        Length of the median, or of the step filter that finds changes, in seconds, for all events
        or for each one. It is rounded to an odd number of cells for medians, and to an even one
        for changes. None: 0.48 s and at least 3 cells for medians, 0.64 s and at least 2 cells for
        changes, 0 for boundaries.
    merge_absolute, merge_relative : float, default=0.2, 2.0
        With ``smoothing="change"``, segments are merged if the score in the gap between them is at
        most `merge_absolute` below that of the higher segment, and not below that score divided by
        `merge_relative`.
    min_length : float, default=0.0
        Least length of an event in seconds. Shorter events are left out, after merging.
    merge_gap : float, default=0.0
        Longest gap in seconds between two occurrences of an event that are merged into one.
    score : {"mean", "max"}, default="mean"
        Score of an event: the mean or the maximum over its cells, after smoothing. Gaps that were
        merged count for the mean.
    step : float or None, default=None
        Length of a cell in seconds. None: the time between the first two onsets.

    Returns
    -------
    DataFrame of shape (n_found, 4)
        Columns `onset`, `offset` (float64, in seconds), `event` (as the columns of `scores`) and
        `score` (float64). Sorted by onset; events with the same onset have the order of the
        columns.

    Raises
    ------
    ValueError
        If a parameter is out of range, the index has no onsets and offsets in increasing order, or
        a score is not finite.

    See Also
    --------
    EventStream : The same for scores that come one after the other.
    detect_events : The same for a recording and a tagger.

    Notes
    -----
    Change detection follows sound event bounding boxes [1]_. The change at the boundary between two
    cells is the mean score of half a `filter_length` after it, minus that before it. Local maxima
    of the change begin a segment, and local minima end it; the recording is preceded and followed
    by silence. From the first to the last, a segment is merged with the one before it as
    `merge_absolute` and `merge_relative` tell. The mean score of a merged segment includes its
    gaps.

    For medians, the first and the last score are repeated beyond the ends; [2]_ has zeros there.

    For boundaries, the step filter gives the rise of the score at each cell: the mean of half a
    `filter_length` from the cell on, minus that before it, with silence beyond the ends; with a
    length of 0, the score itself. The score of a cell is the highest rise up to the cell, or the
    highest one from it on in reversed time, whichever is lower.

    References
    ----------
    .. [1] J. Ebbers, F. G. Germain, G. Wichern and J. Le Roux, "Sound event bounding boxes",
       Interspeech 2024, arXiv:2406.04212.
    .. [2] J. Ebbers and R. Haeb-Umbach, "Forward-backward convolutional recurrent neural networks
       and tag-conditioned convolutional neural networks for weakly labeled semi-supervised sound
       event detection", DCASE Workshop 2020.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktagger.recordings import find_events
    >>> times = pd.MultiIndex.from_arrays([[0, 1, 2, 3], [1, 2, 3, 4]], names=["onset", "offset"])
    >>> scores = pd.DataFrame({"bird": [0.1, 0.6, 0.8, 0.3], "rain": [0.9, 0.1, 0.1, 0.1]}, times)
    >>> find_events(scores)
       onset  offset event  score
    0    0.0     1.0  rain    0.9
    1    1.0     3.0  bird    0.7
    >>> find_events(scores, low=0.2, threshold={"bird": 0.7, "rain": 0.95})
       onset  offset event     score
    0    1.0     4.0  bird  0.566667
    """
    if not (isinstance(scores, pd.DataFrame) and list(scores.index.names) == ["onset", "offset"]):
        kind = type(scores).__name__
        if isinstance(scores, pd.DataFrame):
            kind = f"table with the index {listed(scores.index.names)}"
        raise ValueError(
            f"scores is a {kind}. It must be a DataFrame with an index of onset and offset. Pass "
            "one table of predict_segments."
        )
    stream = EventStream(
        scores.columns,
        threshold=threshold,
        low=low,
        smoothing=smoothing,
        filter_length=filter_length,
        merge_absolute=merge_absolute,
        merge_relative=merge_relative,
        min_length=min_length,
        merge_gap=merge_gap,
        score=score,
        step=step,
    )
    onset, offset = (scores.index.get_level_values(level).to_numpy(float) for level in (0, 1))
    found = stream.push(onset, offset, scores.to_numpy(dtype=float)) if len(scores) else []
    return events_table(found + stream.finish(), scores.columns)


def events_table(events: Iterable[Event], order: Iterable[Any] = ()) -> pd.DataFrame:
    """Make a table of events.

    Parameters
    ----------
    events : iterable of Event
        Events of one recording, in any order.
    order : iterable of event names, default=()
        Order of events with the same onset.

    Returns
    -------
    DataFrame of shape (n_events, 4)
        Columns `onset`, `offset`, `event` and `score`, sorted by onset.
    """
    places = {event: place for place, event in enumerate(order)}
    rows = sorted(events, key=lambda row: (row.onset, places.get(row.event, 0)))
    table = pd.DataFrame(rows, columns=list(Event._fields))
    return table.astype({"onset": float, "offset": float, "score": float})
