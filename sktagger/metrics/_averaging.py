"""From a value per event to one number: the policy for undefined events lives here."""

import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

__all__ = ["average_events", "warn_undefined"]


def average_events(values, support, average, *, metric, names=None, n_negatives=None):
    """Average a metric over events, leaving out the events for which it is undefined.

    Parameters
    ----------
    values : ndarray of shape (n_events,), float64
        Value of each event, NaN where undefined.
    support : ndarray of shape (n_events,), float64
        Number (or weight) of the positives of each event.
    average : {"macro", "micro", "weighted"} or None
        With None the values are returned as they are. With "micro" there is one value.
    metric : str
        Name of the metric, for the warning and the Series.
    names : Index of shape (n_events,), default=None
        Names of the events.
    n_negatives : ndarray of shape (n_events,), default=None
        Number (or weight) of the negatives, for metrics that need them.

    Returns
    -------
    value : float, or ndarray or Series of shape (n_events,)
        NaN if no event has a value. A Series if ``average=None`` and events have names.

    Warns
    -----
    UndefinedMetricWarning
        If the metric is undefined for an event; names how many. Events without positives are no
        reason with "weighted", because they have weight 0, unless there are no others.
    """
    if average != "weighted" or not support.any():
        warn_undefined(metric, support, n_negatives, stacklevel=4)
    elif n_negatives is not None:
        # Events without positives weigh nothing, so that only the others can be missed.
        warn_undefined(metric, support[support > 0], n_negatives[support > 0], stacklevel=4)
    if average is None:
        return values if names is None else pd.Series(values, index=names, name=metric)
    defined = ~np.isnan(values)
    if not defined.any():
        return np.nan
    weights = support[defined] if average == "weighted" else None
    return float(np.average(values[defined], weights=weights))


def warn_undefined(metric, support, n_negatives=None, *, stacklevel=3):
    """Warn once if events lack the positives (or the negatives) that a metric needs."""
    lacking = {"positives": support == 0}
    if n_negatives is not None:
        lacking["negatives"] = n_negatives == 0
    n_undefined = np.count_nonzero(np.any(list(lacking.values()), axis=0))
    if n_undefined:
        reasons = [f"{events.sum()} without {kind}" for kind, events in lacking.items()]
        warnings.warn(
            f"{metric} is undefined for {n_undefined} of {len(support)} events "
            f"({', '.join(reasons)}): NaN for each of them, and left out of means.",
            UndefinedMetricWarning,
            stacklevel=stacklevel,
        )
