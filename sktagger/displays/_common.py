"""What all pictures need: data, axes, colours."""

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from sktagger._text import nearest
from sktagger._validation import check_targets

# Okabe and Ito's colours, which people with any colour vision can tell apart; dark ones first
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def make_axes(ax, figsize):
    """Give the axes, new ones for None."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "matplotlib is not installed, but needed to plot. Install it: "
            "pip install sktagger[plot]"
        ) from error
    return pyplot.subplots(figsize=figsize, layout="constrained")[1]


def find_columns(names, events):
    """Give the columns of the events chosen."""
    if events is None:
        return list(range(len(names)))
    unknown = [event for event in events if event not in names]
    if unknown:
        raise ValueError(
            f"events has {unknown[0]!r}, which is not among the {len(names)} events"
            f"{nearest(str(unknown[0]), [str(name) for name in names])}. Name columns of y_true."
        )
    return [names.get_loc(event) for event in events]


def respond(estimator, X, y):
    """Give truth as a table of named events, scores, and thresholds if there are."""
    targets = check_targets(y)
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    y_true = pd.DataFrame(targets.indicator.astype(int), columns=pd.Index(targets.classes))
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) == y_true.shape[1]:
        named = isinstance(y, pd.DataFrame) and set(classes) == set(y_true.columns)
        y_true = y_true[list(classes)] if named else y_true.set_axis(list(classes), axis=1)
    return y_true, np.asarray(estimator.predict_proba(X)), getattr(last, "thresholds_", None)
