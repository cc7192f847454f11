"""Means over events, and the policy for events whose value is undefined."""

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from sktagger._utils.warnings import warn

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
        None returns the values unchanged. With "micro" there is only one value.
    metric : str
        Name of the metric, used in the warning and as the name of the Series.
    names : Index of shape (n_events,), default=None
        Names of the events.
    n_negatives : ndarray of shape (n_events,), default=None
        Number (or weight) of the negatives of each event, for metrics that need negatives.

    Returns
    -------
    value : float, or ndarray or Series of shape (n_events,)
        NaN if no event has a value. A Series if ``average=None`` and events have names.

    Warns
    -----
    UndefinedMetricWarning
        If the metric is undefined for some events; the message gives their number. With "weighted",
        events without positives have weight 0 and cause a warning only if there are no others.
    """
    if average != "weighted" or not support.any():
        warn_undefined(metric, support, n_negatives)
    elif n_negatives is not None:
        # Events without positives have weight 0. Only the other events can change the mean.
        warn_undefined(metric, support[support > 0], n_negatives[support > 0])
    if average is None:
        return values if names is None else pd.Series(values, index=names, name=metric)
    defined = ~np.isnan(values)
    if not defined.any():
        return np.nan
    weights = support[defined] if average == "weighted" else None
    return float(np.average(values[defined], weights=weights))


def warn_undefined(metric, support, n_negatives=None):
    """Warn once if events have no positives (or no negatives) although the metric needs them."""
    missing = {"positives": support == 0}
    if n_negatives is not None:
        missing["negatives"] = n_negatives == 0
    n_undefined = np.count_nonzero(np.any(list(missing.values()), axis=0))
    if n_undefined:
        reasons = [f"{events.sum()} without {kind}" for kind, events in missing.items()]
        warn(
            f"{metric} is undefined for {n_undefined} of {len(support)} events "
            f"({', '.join(reasons)}). Their value is NaN and left out of means.",
            UndefinedMetricWarning,
        )
