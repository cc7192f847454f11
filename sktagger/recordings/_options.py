"""The options of event detection, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.text import nearest, quoted, short

__all__ = ["SMOOTHINGS", "Options", "per_event"]

# what `smoothing` may be
SMOOTHINGS = (None, "median", "change", "boundary")

# least length of a filter in seconds, and in cells
_DEFAULT_LENGTHS = {"median": (0.48, 3), "change": (0.64, 2), "boundary": (0.0, 0)}


class Options(NamedTuple):
    """The parameters of :class:`sktagger.recordings.EventStream`, checked.

    Attributes
    ----------
    threshold, low : ndarray of shape (n_events,), float64
        `low` is not above `threshold`.
    smoothing : {"median", "change", "boundary"} or None
    filter_length : float, ndarray of shape (n_events,) or None
    merge_absolute, merge_relative, min_length, merge_gap : float
    score : {"mean", "max"}
    """

    threshold: np.ndarray
    low: np.ndarray
    smoothing: str | None
    filter_length: float | np.ndarray | None
    merge_absolute: float
    merge_relative: float
    min_length: float
    merge_gap: float
    score: str

    @classmethod
    def check(
        cls,
        events: Sequence[object],
        *,
        threshold: Any = 0.5,
        low: Any = None,
        smoothing: str | None = None,
        filter_length: Any = None,
        merge_absolute: float = 0.2,
        merge_relative: float = 2.0,
        min_length: float = 0.0,
        merge_gap: float = 0.0,
        score: str = "mean",
    ) -> Options:
        """Check parameters, which have the defaults of ``EventStream``."""
        high = per_event(threshold, events, "threshold")
        lower = high if low is None else np.minimum(per_event(low, events, "low"), high)
        if smoothing not in SMOOTHINGS:
            raise ValueError(
                f"smoothing={short(smoothing)} is unknown. It must be None, 'median', 'change' or "
                "'boundary'. Pass smoothing='median' to remove short gaps and peaks."
            )
        if score not in ("mean", "max"):
            raise ValueError(
                f"score={short(score)} is unknown. It must be 'mean' or 'max'. Pass score='mean' "
                "for the mean score in the event."
            )
        if isinstance(filter_length, Mapping) or np.ndim(filter_length):
            filter_length = _lengths(filter_length, events)
        elif filter_length is not None:
            _check_number(filter_length, "filter_length", 0, "seconds; None chooses it")
        _check_number(merge_absolute, "merge_absolute", 0, "a difference of scores, such as 0.2")
        _check_number(merge_relative, "merge_relative", 1, "a ratio of scores, such as 2")
        _check_number(min_length, "min_length", 0, "seconds; 0 keeps all events")
        _check_number(merge_gap, "merge_gap", 0, "seconds; 0 merges no events")
        return cls(
            high,
            lower,
            smoothing,
            filter_length,
            merge_absolute,
            merge_relative,
            min_length,
            merge_gap,
            score,
        )

    def half_filter(self, step: float) -> Any:
        """Return half the length of the filter in cells of `step` seconds.

        Parameters
        ----------
        step : float
            Length of a cell in seconds.

        Returns
        -------
        int, or ndarray of shape (n_events,), int
            Of a median over ``2 * half + 1`` cells, or of a step filter of ``2 * half`` cells. 0
            without smoothing.
        """
        if self.smoothing is None:
            return 0
        if isinstance(self.filter_length, np.ndarray):
            halves = [self._half(length, step) for length in self.filter_length.tolist()]
            return np.array(halves, int)
        length = self.filter_length
        if length is None:
            least, n_cells = _DEFAULT_LENGTHS[self.smoothing]
            length = max(least, n_cells * step)
        return self._half(length, step)

    def _half(self, length, step):
        cells = length / step + 1e-6
        if self.smoothing == "median":
            return int((cells - 1) / 2 + 0.5) if cells > 1 else 0
        return max(int(cells / 2 + 0.5), 1 if self.smoothing == "change" else 0)


def _lengths(values, events):
    lengths = per_event(values, events, "filter_length", "0 where there is no filter")
    for event, length in zip(events, lengths.tolist(), strict=True):
        _check_number(length, f"filter_length of {short(event)}", 0, "seconds")
    return lengths


def per_event(
    values: Any,
    events: Sequence[object],
    name: str,
    missing_hint: str = "float('inf') for events to leave out",
) -> np.ndarray:
    """Return one number per event.

    Parameters
    ----------
    values : float, mapping of event to float, Series, or array-like of shape (n_events,)
    events : sequence of length n_events
        Names of the events.
    name : str
        Name of the argument, for messages.
    missing_hint : str
        What to pass for events that are missing.

    Returns
    -------
    ndarray of shape (n_events,), float64
        Infinite numbers are kept.

    Raises
    ------
    ValueError
        If a number is NaN, or events are missing or unknown.
    TypeError
        If `values` is something else.
    """
    if isinstance(values, pd.Series):
        values = values.to_dict()
    if isinstance(values, Mapping):
        known = {str(event): event for event in events}
        given = {str(event): value for event, value in values.items()}
        for event in given:
            if event not in known:
                raise ValueError(
                    f"{name} has the event {short(event)}, which has no scores"
                    f"{nearest(event, known)}. The events are {quoted(known)}. Correct the name."
                )
        missing = [event for event in known if event not in given]
        if missing:
            raise ValueError(
                f"{name} lacks {len(missing)} of {len(known)} events: {quoted(missing)}. It must "
                f"have a number for each event. Pass {missing_hint}."
            )
        values = [given[event] for event in known]
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is {short(values)}. It must be a number, or a dict with a number for each "
            f"event. Pass {name}=0.5."
        ) from error
    if numbers.shape not in ((), (len(events),)) or np.isnan(numbers).any():
        raise ValueError(
            f"{name} is {short(values)}. It must be a number, or have one number for each of the "
            f"{len(events)} events, and no NaN. Pass {name}=0.5."
        )
    return np.broadcast_to(numbers, len(events)).copy()


def _check_number(value: Any, name: str, low: float, what: str) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not (is_number and low <= float(value) < np.inf):
        raise ValueError(
            f"{name}={short(value)} is out of range. It must be a number of at least {low}: {what}."
        )
