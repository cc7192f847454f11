"""Choice of thresholds and filters on clips with onsets, and on clips with weak labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning

from sktagger.recordings._options import Options
from sktagger.recordings._segments import Median, Runs
from sktagger.recordings._time_grid import TimeGrid
from sktagger.recordings.events import find_events
from sktagger.thresholds.tuner import ThresholdTuner

__all__ = ["clip_scores", "tune_on_events", "tune_on_length"]

_LENGTHS = (0.3, 0.6, 1.0, 2.0, 3.5, 5.0)  # seconds
# A threshold finds between a tenth and four times as much time as the event lasts.
_SHARES = np.geomspace(0.1, 4, 24)
# An event with this number of occurrences depends as much on the other events as on its own.
_BORROWED = 10


def tune_on_length(
    tables: Sequence[pd.DataFrame],
    truth: Sequence[pd.DataFrame],
    lengths: Sequence[float] | None,
    options: dict[str, Any],
    low: Callable[[np.ndarray], np.ndarray],
    measure: Callable[..., pd.Series],
) -> tuple[float | None, np.ndarray]:
    """Choose the length of the filter and a threshold for each event.

    Parameters
    ----------
    tables : sequence of DataFrame
        Scores in time of each clip.
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

    Returns
    -------
    length : float or None
        None without smoothing.
    thresholds : ndarray of shape (n_events,), float64
    """
    kept = [i for i, table in enumerate(tables) if len(table)]
    tables, truth = [tables[i] for i in kept], [truth[i] for i in kept]
    names = tables[0].columns
    ends = [max([t.index[-1][1], *e["offset"]]) for t, e in zip(tables, truth, strict=True)]
    # All clips follow each other in one recording, at whole seconds: segments stay as they are.
    begins = np.arange(len(tables)) * (np.ceil(max(ends)) + 10)
    total = begins[-1] + max(ends)
    joined = _shifted(truth, begins)[["onset", "offset", "event"]]
    durations = (joined["offset"] - joined["onset"]).groupby(joined["event"]).sum()
    durations = durations.reindex(names, fill_value=0.0)
    occurs = durations.to_numpy() > 0
    counts = joined["event"].value_counts().reindex(names, fill_value=0).to_numpy()
    best: tuple[float, float | None, np.ndarray] = (-np.inf, None, np.zeros(len(names)))
    for length in _distinct(lengths, options["smoothing"], tables[0]):
        grid, find = _candidates(
            tables, begins, {**options, "filter_length": length}, durations, low
        )
        quality = np.zeros(grid.shape)
        for row, thresholds in enumerate(grid):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                of_events = measure(joined, find(thresholds), total)
            quality[row] = of_events.reindex(names, fill_value=0.0)
        # The best of many noisy values is too good. Neighbors share the noise, and events with few
        # occurrences borrow from the others: a row finds the same share of time of all events.
        padded = np.pad(quality, ((1, 1), (0, 0)), mode="edge")
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        common = smooth[:, occurs].mean(axis=1, keepdims=True)
        shrunk = common + (smooth - common) * counts / (counts + _BORROWED)
        chosen = shrunk.argmax(axis=0)
        mean = np.take_along_axis(smooth, chosen[np.newaxis], axis=0)[0, occurs].mean()
        if mean > best[0]:
            thresholds = np.take_along_axis(grid, chosen[np.newaxis], axis=0)[0]
            thresholds[~occurs] = np.median(thresholds[occurs])
            best = mean, length, thresholds
    return best[1:]


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
        cells, step = _cells(table, options)
        n_cells = max(int(np.ceil(options["min_length"] / step - 1e-6)), 1)
        if n_cells <= len(cells):
            row[:] = sliding_window_view(cells, n_cells, axis=0).min(axis=-1).max(axis=0)
        else:
            row[:] = 0.0
    return scores


def _cells(table: pd.DataFrame, options: dict[str, Any]) -> tuple[np.ndarray, float]:
    """Return the scores of cells after a median, and the length of a cell in seconds."""
    grid = TimeGrid(table.columns, None)
    onset, offset = (table.index.get_level_values(level).to_numpy(float) for level in (0, 1))
    blocks = [*grid.push(onset, offset, table.to_numpy(float)), *grid.finish()]
    cells = np.concatenate(blocks)
    if options["smoothing"] == "median":
        checked = Options.check(table.columns, **options)
        median = Median(checked.half_filter(grid.step))
        parts = [median.push(block) for block in blocks]
        rest = median.finish()
        cells = np.concatenate(parts if rest is None else [*parts, rest])
    return cells, grid.step


def _candidates(tables, begins, options, durations, low):
    """Return a grid of thresholds, and a function that finds the events of all clips at one."""
    names = tables[0].columns
    if options["smoothing"] == "change":
        # Times do not depend on the threshold: find them once.
        apart = {**options, "merge_gap": 0.0, "min_length": 0.0}
        found = [find_events(table, threshold=-np.inf, **apart) for table in tables]
        found = _shifted(found, begins)
        lengths = found["offset"] - found["onset"]
        by_event = {
            event: (found["score"].to_numpy()[rows], lengths.to_numpy()[rows])
            for event, rows in found.groupby("event").indices.items()
        }

        def select(thresholds):
            limit = dict(zip(names, thresholds, strict=True))
            return _merge(found[found["score"] > found["event"].map(limit)], options)

        return _threshold_grid(by_event, durations), select

    parts = [_cells(table, options) for table in tables]
    step = parts[0][1]
    silence = np.zeros((1, len(names)))
    cells = np.concatenate([cells for part, _ in parts for cells in (part, silence)])
    firsts = np.cumsum([0, *(len(part) + 1 for part, _ in parts)])
    starts = np.array([table.index[0][0] for table in tables]) + begins
    by_event = {
        event: (column, np.full(len(cells), step))
        for event, column in zip(names, cells.T, strict=True)
    }

    def find(thresholds):
        thresholds = np.maximum(thresholds, 0.0)
        runs = Runs(thresholds, np.minimum(low(thresholds), thresholds))
        found = [*runs.push(cells), *runs.finish()]
        first = np.array([run.start for run in found], int)
        clip = np.searchsorted(firsts, first, side="right") - 1
        length = np.array([run.stop for run in found], int) - first
        onset = starts[clip] + (first - firsts[clip]) * step
        event = names.to_numpy(object)[np.array([run.event for run in found], int)]
        rows = pd.DataFrame({"onset": onset, "offset": onset + length * step, "event": event})
        return _merge(rows.sort_values("onset", kind="stable"), options)

    return _threshold_grid(by_event, durations), find


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
    return grid


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
    for length in _LENGTHS if lengths is None else lengths:
        options = Options.check(["any"], smoothing=smoothing, filter_length=length)
        by_size.setdefault(options.half_filter(step), length)
    return list(by_size.values())
