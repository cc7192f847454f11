"""Data, axes and colors that all displays use."""

import pandas as pd
from sklearn.pipeline import Pipeline

from sktagger._utils.text import nearest, printable, short
from sktagger.targets import event_columns
from sktagger.targets.responses import scores_and_targets

# Colors of Okabe and Ito, which people with any color vision can distinguish; dark colors first
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def make_axes(ax, figsize):
    """Return the axes; new axes for None."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Plotting requires matplotlib, which is not installed. Install it: "
            "pip install sktagger[plot]"
        ) from error
    return pyplot.subplots(figsize=figsize, layout="constrained")[1]


def find_columns(names, events):
    """Return the columns of the selected events."""
    if events is None:
        return list(range(len(names)))
    if isinstance(events, str):
        raise ValueError(
            f"events is {short(events)}, but it must be a list. Pass [{short(events)}]."
        )
    unknown = [event for event in events if event not in names]
    if unknown:
        raise ValueError(
            f"events has {unknown[0]!r}, which is not among the {len(names)} events"
            f"{nearest(unknown[0], names)}. Pass names of columns of y_true."
        )
    return [names.get_loc(event) for event in events]


def event_label(event):
    """Return a name that matplotlib draws literally.

    Without the changes, matplotlib would read ``$`` as mathematics, leave names that begin with
    ``_`` out of legends, and lack glyphs for control characters.
    """
    label = printable(event).replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def get_predictions(estimator, X, y):
    """Compute the inputs of a display from a fitted estimator.

    Events are matched by name. If the estimator has no event names, those of `y` are used, by
    position.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `predict_proba`.
    X : array-like
        Clips.
    y : array-like
        Their events.

    Returns
    -------
    y_true : DataFrame of shape (n_clips, n_events), int
    scores : ndarray of shape (n_clips, n_events), float
    thresholds : ndarray of shape (n_events,), float, or None
        None if the estimator has no thresholds.
    """
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    scores, targets = scores_and_targets(estimator, X, y)
    y_true = pd.DataFrame(targets.indicator.astype(int), columns=event_columns(targets.classes))
    return y_true, scores, getattr(last, "thresholds_", None)
