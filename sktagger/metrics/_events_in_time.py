"""F1 of events in time: by segments, and by onsets and offsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sktagger.metrics._averaging import average_events
from sktagger.metrics._counts import f_score
from sktagger.metrics._input import check_positive

__all__ = ["event_f1", "segment_f1"]

_COLUMNS = ["onset", "offset", "event"]
_TOLERANCE = 1e-9  # of times in seconds, which are rounded decimal numbers
_AVERAGES = ("macro", "micro", None)


def segment_f1(
    true_events: pd.DataFrame | Sequence[pd.DataFrame],
    predicted_events: pd.DataFrame | Sequence[pd.DataFrame],
    lengths: float | Sequence[float] | Mapping[str, float],
    segment: float = 1.0,
    *,
    average: Literal["macro", "micro"] | None = "macro",
) -> float | pd.Series:
    """Compute the F1 score of events in segments of equal length.

    Each recording is divided into segments. An event is active in a segment if it overlaps with it
    [1]_. The last segment may be shorter.

    Parameters
    ----------
    true_events, predicted_events : DataFrame or sequence of DataFrame of length n_recordings
        Columns `onset`, `offset` (in seconds) and `event`. Several recordings are in one table with
        the column `file` or `clip`, or in one table each, in the order of `lengths`. Parts of
        events after the end of a recording are left out.
    lengths : float, sequence of length n_recordings, or mapping of file to float
        Length of each recording in seconds.
    segment : float, default=1.0
        Length of a segment in seconds.
    average : {"macro", "micro"} or None, default="macro"
        "macro": mean over the events that are in `true_events`; "micro": from the counts of all
        events together; None: the value of each event.

    Returns
    -------
    float, or Series of shape (n_events,)
        In [0, 1]. With ``average=None``, indexed by the names of all events, sorted. Events that
        are not in `true_events` are NaN and left out of the mean. NaN if there are none.

    Raises
    ------
    ValueError
        If columns or lengths are missing, or an argument is out of range.

    Warns
    -----
    UndefinedMetricWarning
        If predicted events are not in `true_events`; the message gives their number.

    See Also
    --------
    event_f1 : F1 of events with the right onset and offset.

    References
    ----------
    .. [1] A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection",
       Applied Sciences 6(6), 162, 2016.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktagger.metrics import segment_f1
    >>> true = pd.DataFrame({"onset": [0.0], "offset": [2.0], "event": ["rain"]})
    >>> predicted = pd.DataFrame({"onset": [0.5], "offset": [3.5], "event": ["rain"]})
    >>> round(segment_f1(true, predicted, lengths=10.0), 4)
    0.6667
    """
    check_positive(segment, "segment")
    _check_average(average)
    recordings, names = _read(true_events, predicted_events, lengths)
    counts = np.zeros((3, len(names)))
    for true, predicted, length in recordings:
        n_segments = int(np.ceil(length / segment - _TOLERANCE))
        truth = _activity(true, names, segment, n_segments)
        found = _activity(predicted, names, segment, n_segments)
        counts += [(truth & found).sum(0), (~truth & found).sum(0), (truth & ~found).sum(0)]
    return _average(counts, names, average, "segment F1")


def event_f1(
    true_events: pd.DataFrame | Sequence[pd.DataFrame],
    predicted_events: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    collar: float = 0.2,
    offset_share: float = 0.2,
    average: Literal["macro", "micro"] | None = "macro",
) -> float | pd.Series:
    """Compute the F1 score of events with the right onset and offset.

    A predicted event is right if its onset differs from that of a true one by at most `collar`, and
    its offset by at most `collar` or `offset_share` of the length of the true event, whichever is
    more [1]_. A true event counts once; as many pairs as possible are formed.

    Parameters
    ----------
    true_events, predicted_events : DataFrame or sequence of DataFrame of length n_recordings
        See :func:`segment_f1`.
    collar : float, default=0.2
        Greatest difference of times in seconds, above 0.
    offset_share : float, default=0.2
        Greatest difference of offsets as a share of the length of the true event, at least 0.
    average : {"macro", "micro"} or None, default="macro"
        See :func:`segment_f1`.

    Returns
    -------
    float, or Series of shape (n_events,)
        See :func:`segment_f1`.

    Raises
    ------
    ValueError
        If columns are missing, there are different numbers of tables, or an argument is out of
        range.

    Warns
    -----
    UndefinedMetricWarning
        If predicted events are not in `true_events`; the message gives their number.

    See Also
    --------
    segment_f1 : F1 in segments of a second.

    References
    ----------
    .. [1] A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection",
       Applied Sciences 6(6), 162, 2016.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktagger.metrics import event_f1
    >>> true = pd.DataFrame({"onset": [0, 5], "offset": [2, 6], "event": ["rain", "rain"]})
    >>> predicted = pd.DataFrame({"onset": [0.1], "offset": [2.3], "event": ["rain"]})
    >>> round(event_f1(true, predicted), 4)
    0.6667
    """
    check_positive(collar, "collar")
    if not 0 <= offset_share < np.inf:
        raise ValueError(
            f"offset_share={offset_share!r} is out of range. It must be a finite number of at "
            "least 0. Pass offset_share=0 for the collar alone."
        )
    _check_average(average)
    recordings, names = _read(true_events, predicted_events, None)
    counts = np.zeros((3, len(names)))
    for true, predicted, _ in recordings:
        true_times, true_names = _times_and_names(true)
        times, found_names = _times_and_names(predicted)
        for name in {*true_names, *found_names}:
            place = names.index(name)
            truth, found = true_times[true_names == name], times[found_names == name]
            n_right = _count_pairs(truth, found, collar, offset_share)
            counts[:, place] += [n_right, len(found) - n_right, len(truth) - n_right]
    return _average(counts, names, average, "event F1")


def _average(counts, names, average, metric):
    if average == "micro":
        counts = counts.sum(axis=1, keepdims=True)
    tp, fp, fn = counts
    index = None if average == "micro" else pd.Index(names, name="event")
    if not len(names):
        return pd.Series([], index=index, name=metric, dtype=float) if average is None else np.nan
    return average_events(f_score(tp, fp, fn), tp + fn, average, metric=metric, names=index)


def _activity(events, names, segment, n_segments):
    """Return in which segments (n_segments, n_events) an event is active."""
    active = np.zeros((n_segments, len(names)), bool)
    for onset, offset, event in events[_COLUMNS].itertuples(index=False):
        first = int(np.floor(onset / segment + _TOLERANCE))
        stop = int(np.ceil(offset / segment - _TOLERANCE))
        active[first:stop, names.index(event)] = True
    return active


def _times_and_names(events):
    return events[["onset", "offset"]].to_numpy(float), events["event"].to_numpy(object)


def _count_pairs(truth, found, collar, offset_share):
    """Return the number of true events with a predicted event of their own."""
    found = found[np.argsort(found[:, 0], kind="stable")]
    low, high = (truth[:, 0] + sign * (collar + _TOLERANCE) for sign in (-1, 1))
    first = np.searchsorted(found[:, 0], low, side="left")
    n_near = np.searchsorted(found[:, 0], high, side="right") - first
    # pairs whose onsets fit; all pairs of a long recording would be too many
    row = np.repeat(np.arange(len(truth)), n_near)
    column = np.arange(len(row)) - np.repeat(np.cumsum(n_near) - n_near, n_near)
    column += np.repeat(first, n_near)
    allowed = np.maximum(collar, offset_share * (truth[:, 1] - truth[:, 0])) + _TOLERANCE
    fits = np.abs(truth[row, 1] - found[column, 1]) <= allowed[row]
    if not fits.any():
        return 0
    pairs = (np.ones(fits.sum(), np.int8), (row[fits], column[fits]))
    graph = csr_array(pairs, shape=(len(truth), len(found)))
    return int((maximum_bipartite_matching(graph) >= 0).sum())


def _read(true_events, predicted_events, lengths):
    """Return the tables and length of each recording, and the names of all events."""
    tables = [_by_recording(true_events, "true_events")]
    tables.append(_by_recording(predicted_events, "predicted_events"))
    if isinstance(tables[0], list) != isinstance(tables[1], list) or (
        isinstance(tables[0], list) and len(tables[0]) != len(tables[1])
    ):
        raise ValueError(
            "true_events and predicted_events must have the same form: one table each, or one "
            f"table per recording, as many in both. They are {_form(tables[0])} and "
            f"{_form(tables[1])}."
        )
    if isinstance(tables[0], list):
        keys = list(range(len(tables[0])))
        tables = [dict(zip(keys, of_clips, strict=True)) for of_clips in tables]
    else:
        keys = list(lengths) if isinstance(lengths, Mapping) else []
        keys = list(dict.fromkeys([*keys, *tables[0], *tables[1]]))
    values = _read_lengths(lengths, keys)
    nothing = pd.DataFrame([], columns=_COLUMNS)
    recordings = [
        (tables[0].get(key, nothing), tables[1].get(key, nothing), length)
        for key, length in zip(keys, values, strict=True)
    ]
    names = {event for *both, _ in recordings for table in both for event in table["event"]}
    return recordings, sorted(names, key=str)


def _form(tables):
    return f"{len(tables)} tables" if isinstance(tables, list) else "one table"


def _read_lengths(lengths, keys):
    if lengths is None:
        return [np.nan] * len(keys)
    if isinstance(lengths, Mapping):
        missing = [key for key in keys if key not in lengths]
        if missing:
            raise ValueError(
                f"lengths has no length of {missing[0]!r} ({len(missing)} missing in all). It must "
                "have the length of each recording in seconds. Add them."
            )
        values = [lengths[key] for key in keys]
    elif np.ndim(lengths) == 0:
        values = [lengths] * len(keys)
    else:
        # the recordings of a table with clip numbers are all those that have a length
        values = list(lengths)
        if sorted(set(range(len(values))) | set(keys), key=str) != sorted(
            range(len(values)), key=str
        ):
            raise ValueError(
                f"lengths has {len(values)} numbers, but the recordings are {keys[:5]}. It must "
                "have one for each table, or be a dict of file to length. Add the others."
            )
        values = [values[key] for key in keys]
    numbers = np.asarray(values, float)
    if not (np.isfinite(numbers) & (numbers >= 0)).all():
        raise ValueError("lengths must be finite numbers of seconds, at least 0. Correct them.")
    return numbers.tolist()


def _by_recording(events, name):
    """Return a list of tables, or a dict of them if a table names its recordings."""
    if isinstance(events, pd.DataFrame):
        _check_table(events, name)
        for column in ("file", "clip"):
            if column in events:
                return dict(iter(events.groupby(column, sort=False)))
        return {0: events}
    tables = list(events)
    for number, table in enumerate(tables):
        _check_table(table, f"{name}[{number}]")
    return tables


def _check_table(events, name):
    missing = [column for column in _COLUMNS if column not in getattr(events, "columns", ())]
    if missing:
        raise ValueError(
            f"{name} has no column {missing[0]!r}. It must be a DataFrame with the columns "
            "'onset', 'offset' and 'event'. Pass a table as detect_events returns it."
        )
    times = events[["onset", "offset"]].to_numpy(float)
    if not (
        np.isfinite(times).all() and (times[:, 0] >= 0).all() and (times.T[0] <= times.T[1]).all()
    ):
        raise ValueError(
            f"{name} has times that are not finite, negative, or onsets after their offsets. Times "
            "are seconds since the beginning of the recording. Correct them."
        )


def _check_average(average):
    if average not in _AVERAGES:
        raise ValueError(
            f"average={average!r} is unknown. It must be 'macro', 'micro' or None. Pass "
            "average=None for the value of each event."
        )
