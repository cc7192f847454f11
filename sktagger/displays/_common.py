"""What all pictures need: data, axes, colours."""

import pandas as pd
from sklearn.pipeline import Pipeline

from sktagger._utils.text import nearest, printable, short
from sktagger.targets import event_columns
from sktagger.targets.responses import scores_and_targets

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
    if isinstance(events, str):
        raise ValueError(
            f"events is {short(events)}, but it must be a list. Give [{short(events)}]."
        )
    unknown = [event for event in events if event not in names]
    if unknown:
        raise ValueError(
            f"events has {unknown[0]!r}, which is not among the {len(names)} events"
            f"{nearest(unknown[0], names)}. Name columns of y_true."
        )
    return [names.get_loc(event) for event in events]


def event_label(event):
    """Give an event's name for matplotlib to draw as it is.

    It takes ``$`` for mathematics, leaves names that begin with ``_`` out of legends, and has no
    glyphs for control characters.
    """
    label = printable(event).replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def respond(estimator, X, y):
    """Give truth as a table of named events, scores, and thresholds if there are.

    Events are matched by name; an estimator without names has them from `y`, by position.
    """
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    scores, targets = scores_and_targets(estimator, X, y)
    y_true = pd.DataFrame(targets.indicator.astype(int), columns=event_columns(targets.classes))
    return y_true, scores, getattr(last, "thresholds_", None)
