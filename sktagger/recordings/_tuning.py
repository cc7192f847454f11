"""Choice of thresholds and filters on clips with onsets, and on clips with weak labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning

from sktagger.recordings._options import Options
from sktagger.recordings._segments import Runs, make_smoother
from sktagger.recordings._time_grid import TimeGrid
from sktagger.recordings.events import find_events
from sktagger.thresholds.tuner import ThresholdTuner

__all__ = ["Choice", "clip_scores", "smoothed_cells", "tune_on_events", "tune_on_onsets"]

_LENGTHS = (0.3, 0.6, 1.0, 2.0, 3.5, 5.0)  # seconds
# A threshold finds between a tenth and four times as much time as the event lasts.
_SHARES = np.geomspace(0.1, 4, 24)
# An event with this number of occurrences depends as much on the other events as on its own.
_BORROWED = 10


class Choice(NamedTuple):
    """What was chosen on clips with onsets.

    Attributes
    ----------
    variant : ndarray of shape (n_events,), int
        Which scores are used.
    filter_length : float, ndarray of shape (n_events,), or None
        In seconds. None without smoothing.
    thresholds : ndarray of shape (n_events,), float64
    """

    variant: np.ndarray
    filter_length: float | np.ndarray | None
    thresholds: np.ndarray


def tune_on_onsets(
    variants: Iterable[Sequence[pd.DataFrame]],
    truth: Sequence[pd.DataFrame],
    lengths: Sequence[float] | None,
    options: dict[str, Any],
    low: Callable[[np.ndarray], np.ndarray],
    measure: Callable[..., pd.Series],
    per_event: bool = False,
) -> Choice:
    """Choose scores, the length of the filter, and a threshold for each event.

    Among equals, the later scores and lengths are chosen, and the higher threshold.

    Parameters
    ----------
    variants : iterable of sequence of DataFrame
        Scores in time of each clip, in one or several variants.
    truth : sequence of DataFrame
        Events of each clip.
    lengths : sequence of float or None
        Lengths of the filter in seconds. None: a default grid.
    options : dict
        Other parameters of :func:`find_events`.
    low : callable
        Makes the low thresholds from the thresholds.
    measure : callable
        ``measure(truth, found, length)`` returns the quality of each event. The clips are parts of
        one recording.
    per_event : bool, default=False
        Whether scores and length are chosen for each event.

    Returns
    -------
    Choice
    """
    candidates: list[_Candidate] = []
    for place, tables in enumerate(variants):
        clips = _Clips(tables, truth)
        for length in _distinct(lengths, options["smoothing"], clips.tables[0]):
            grid, find = _candidates(clips, {**options, "filter_length": length}, low)
            candidates.append(_Candidate(place, length, *_best_row(clips, grid, find, measure)))
    if per_event:
        best = _last_best(np.stack([candidate.shrunk for candidate in candidates]))
    else:
        means = [[candidate.quality[clips.occurs].mean()] for candidate in candidates]
        best = np.repeat(_last_best(np.array(means)), len(clips.names))
    of_events = [candidates[place] for place in best]
    thresholds = np.array([own.thresholds[k] for k, own in enumerate(of_events)])
    thresholds[~clips.occurs] = np.median(thresholds[clips.occurs])
    length = of_events[0].filter_length
    return Choice(
        np.array([own.variant for own in of_events]),
        np.array([own.filter_length for own in of_events])
        if per_event and length is not None
        else length,
        thresholds,
    )


class _Candidate(NamedTuple):
    """Scores and a filter, and for each event the best threshold and its quality."""

    variant: int
    filter_length: float | None
    thresholds: np.ndarray
    quality: np.ndarray
    shrunk: np.ndarray  # the quality, nearer to that of all events


class _Clips:
    """Clips that follow each other in one recording: scores and events."""

    def __init__(self, tables, truth):
        kept = [i for i, table in enumerate(tables) if len(table)]
        self.tables, truth = [tables[i] for i in kept], [truth[i] for i in kept]
        self.names = self.tables[0].columns
        ends = [
            max([t.index[-1][1], *e["offset"]]) for t, e in zip(self.tables, truth, strict=True)
        ]
        # at whole seconds: segments stay as they are
        self.begins = np.arange(len(kept)) * (np.ceil(max(ends)) + 10)
        self.length = self.begins[-1] + max(ends)
        self.truth = _shifted(truth, self.begins)[["onset", "offset", "event"]]
        durations = self.truth["offset"] - self.truth["onset"]
        durations = durations.groupby(self.truth["event"]).sum()
        self.durations = durations.reindex(self.names, fill_value=0.0)
        self.occurs = self.durations.to_numpy() > 0
        counts = self.truth["event"].value_counts()
        self.counts = counts.reindex(self.names, fill_value=0).to_numpy()

    @cached_property
    def cells(self):
        """Scores of the cells of each clip before smoothing, and the length of a cell."""
        parts = [_cells(table) for table in self.tables]
        return [cells for cells, _ in parts], parts[0][1]


def _best_row(clips, grid, find, measure):
    """Return the best of a grid of thresholds for each event, and its quality, also shrunk."""
    quality = np.zeros(grid.shape)
    for row, thresholds in enumerate(grid):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            of_events = measure(clips.truth, find(thresholds), clips.length)
        quality[row] = of_events.reindex(clips.names, fill_value=0.0)
    # The best of many noisy values is too good. Neighbors share the noise, and events with few
    # occurrences borrow from the others: a row finds the same share of time of all events.
    padded = np.pad(quality, ((1, 1), (0, 0)), mode="edge")
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    common = smooth[:, clips.occurs].mean(axis=1, keepdims=True)
    shrunk = common + (smooth - common) * clips.counts / (clips.counts + _BORROWED)
    chosen = shrunk.argmax(axis=0)[np.newaxis]
    return [np.take_along_axis(values, chosen, axis=0)[0] for values in (grid, smooth, shrunk)]


def _last_best(quality):
    """Return the row with the highest value of each column, the last one of equals."""
    # without differences by rounding
    return len(quality) - 1 - quality.round(9)[::-1].argmax(axis=0)


def tune_on_events(
    tuner: ThresholdTuner, scores: np.ndarray, indicator: np.ndarray, columns: pd.Index
) -> np.ndarray:
    """Choose thresholds by weak labels.

    Parameters
    ----------
    tuner : ThresholdTuner
    scores : ndarray of shape (n_clips, n_events)
        What :func:`clip_scores` returns.
    indicator : ndarray of shape (n_clips, n_events)
    columns : Index of shape (n_events,)

    Returns
    -------
    ndarray of shape (n_events,), float64
    """
    targets = pd.DataFrame(indicator, columns=columns)
    return clone(tuner).fit(scores, targets).thresholds_


def clip_scores(tables: Sequence[pd.DataFrame], options: dict[str, Any]) -> np.ndarray:
    """Return the lowest threshold of each event at which it is not found in a clip any more.

    Low thresholds and merging are ignored.

    Parameters
    ----------
    tables : sequence of DataFrame
        Scores in time of each clip.
    options : dict
        Parameters of :func:`find_events`.

    Returns
    -------
    ndarray of shape (n_clips, n_events), float64
        NaN for clips without scores.
    """
    scores = np.full((len(tables), tables[0].shape[1]), np.nan)
    for row, table in zip(scores, tables, strict=True):
        if not len(table):
            continue
        if options["smoothing"] == "change":
            found = find_events(table, **{**options, "merge_gap": 0.0}, threshold=-np.inf)
            best = found.groupby("event")["score"].max()
            row[:] = best.reindex(table.columns, fill_value=0.0)
            continue
        cells, step = smoothed_cells(table, options)
        n_cells = max(int(np.ceil(options["min_length"] / step - 1e-6)), 1)
        if n_cells <= len(cells):
            row[:] = sliding_window_view(cells, n_cells, axis=0).min(axis=-1).max(axis=0)
        else:
            row[:] = 0.0
    return scores


def smoothed_cells(table: pd.DataFrame, options: dict[str, Any]) -> tuple[np.ndarray, float]:
    """Return the scores to which thresholds are applied, without change detection.

    Parameters
    ----------
    table : DataFrame
        Scores in time of a clip, with at least one row.
    options : dict
        Parameters of :func:`find_events`.

    Returns
    -------
    scores : ndarray of shape (n_cells, n_events), float64
    step : float
        Length of a cell in seconds.
    """
    cells, step = _cells(table)
    return _smooth(cells, Options.check(table.columns, **options), step), step


def _cells(table):
    grid = TimeGrid(table.columns, None)
    onset, offset = (table.index.get_level_values(level).to_numpy(float) for level in (0, 1))
    blocks = [*grid.push(onset, offset, table.to_numpy(float)), *grid.finish()]
    return np.concatenate(blocks), grid.step


def _smooth(cells, options, step):
    smoother = make_smoother(options.smoothing, options.half_filter(step))
    if smoother is None:
        return cells
    return np.concatenate([smoother.push(cells), smoother.finish()])


def _candidates(clips, options, low):
    """Return a grid of thresholds, and a function that finds the events of all clips at one."""
    names = clips.names
    if options["smoothing"] == "change":
        # Times do not depend on the threshold: find them once.
        apart = {**options, "merge_gap": 0.0, "min_length": 0.0}
        found = [find_events(table, threshold=-np.inf, **apart) for table in clips.tables]
        found = _shifted(found, clips.begins)
        lengths = found["offset"] - found["onset"]
        by_event = {
            event: (found["score"].to_numpy()[rows], lengths.to_numpy()[rows])
            for event, rows in found.groupby("event").indices.items()
        }

        def select(thresholds):
            limit = dict(zip(names, thresholds, strict=True))
            return _merge(found[found["score"] > found["event"].map(limit)], options)

        return _threshold_grid(by_event, clips.durations), select

    of_clips, step = clips.cells
    checked = Options.check(names, **options)
    parts = [_smooth(cells, checked, step) for cells in of_clips]
    silence = np.zeros((1, len(names)))
    cells = np.concatenate([cells for part in parts for cells in (part, silence)])
    firsts = np.cumsum([0, *(len(part) + 1 for part in parts)])
    starts = np.array([table.index[0][0] for table in clips.tables]) + clips.begins
    by_event = {
        event: (column, np.full(len(cells), step))
        for event, column in zip(names, cells.T, strict=True)
    }

    def find(thresholds):
        runs = Runs(thresholds, np.minimum(low(thresholds), thresholds))
        found = [*runs.push(cells), *runs.finish()]
        first = np.array([run.start for run in found], int)
        clip = np.searchsorted(firsts, first, side="right") - 1
        length = np.array([run.stop for run in found], int) - first
        onset = starts[clip] + (first - firsts[clip]) * step
        event = names.to_numpy(object)[np.array([run.event for run in found], int)]
        rows = pd.DataFrame({"onset": onset, "offset": onset + length * step, "event": event})
        return _merge(rows.sort_values("onset", kind="stable"), options)

    return _threshold_grid(by_event, clips.durations), find


def _threshold_grid(by_event, durations):
    """Return thresholds (n_thresholds, n_events) between which the best ones lie.

    `by_event` has the scores of each event and how long they last.
    """
    grid = np.zeros((len(_SHARES), len(durations)))
    for column, (event, duration) in zip(grid.T, durations.items(), strict=True):
        scores, lengths = by_event.get(event, (np.zeros(1), np.ones(1)))
        order = np.argsort(-scores, kind="stable")
        scores, found_time = scores[order], np.cumsum(lengths[order])
        wanted = (duration or durations[durations > 0].median()) * _SHARES
        last = np.minimum(np.searchsorted(found_time, wanted), len(scores) - 1)
        following = np.append(scores, 0.0)[last + 1]
        column[:] = (scores[last] + following) / 2
    return np.maximum(grid, 0.0)  # scores of boundaries may be below


def _merge(found, options):
    """Merge events that are close together, and leave out short ones."""
    if options["merge_gap"] > 0 and len(found):
        found = found.sort_values(["event", "onset"], kind="stable")
        gap = found["onset"] - found.groupby("event")["offset"].shift()
        group = (~(gap <= options["merge_gap"] + 1e-6)).cumsum()
        groups = found.groupby(group.to_numpy())
        found = groups.agg({"onset": "first", "offset": "last", "event": "first"})
    return found[found["offset"] - found["onset"] >= options["min_length"] - 1e-6]


def _shifted(tables, begins):
    """Return the events of all clips in one table, after the beginning of each clip."""
    joined = pd.concat(tables, ignore_index=True)
    shift = np.repeat(begins, [len(table) for table in tables])
    return joined.assign(onset=joined["onset"] + shift, offset=joined["offset"] + shift)


def _distinct(lengths, smoothing, table):
    """Return lengths of a filter that differ when they are rounded to cells."""
    if smoothing is None:
        return [None]
    if lengths is not None and len(lengths) == 1:
        return list(lengths)
    onsets = table.index.get_level_values("onset")
    step = onsets[1] - onsets[0] if len(onsets) > 1 else table.index[0][1] - onsets[0]
    by_size: dict[int, float] = {}
    default = (0.0, *_LENGTHS) if smoothing == "boundary" else _LENGTHS
    for length in default if lengths is None else lengths:
        options = Options.check(["any"], smoothing=smoothing, filter_length=length)
        by_size.setdefault(options.half_filter(step), length)
    return list(by_size.values())
