"""Curves over thresholds, and of precision over recall."""

import warnings

import numpy as np
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning

from sktagger.displays._common import COLORS, event_label, find_columns, make_axes, respond
from sktagger.metrics import RankedScores, event_report

_DASHES = ["-", "--"]
# More events than this are drawn in grey, with their mean
_N_NAMED = 8
_N_GRID = 201


class _CurvesDisplay:
    """Curves of events on one pair of axes: named, or as a bundle with its mean."""

    @classmethod
    def from_estimator(cls, estimator, X, y, *, events=None, ax=None):
        """Plot what a fitted estimator gives on clips.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `predict_proba`. Thresholds are taken from its ``thresholds_``, or from
            those of the last step of a pipeline, if there are.
        X : array-like
            Clips, as the estimator takes them.
        y : array-like
            Their events, in any form of :meth:`sktagger.ThresholdTuner.fit`.
        events : list of (str or int), default=None
            Names of events. None: all.
        ax : matplotlib Axes, default=None
            None: of a new figure.

        Returns
        -------
        display
            With ``ax_``, ``figure_`` and ``lines_``.
        """
        y_true, scores, thresholds = respond(estimator, X, y)
        return cls.from_predictions(y_true, scores, thresholds=thresholds, events=events, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_score, *, thresholds=None, events=None, ax=None):
        """Plot scores against the truth.

        Parameters
        ----------
        y_true : array-like of shape (n_clips, n_events)
            Indicator matrix; a DataFrame names the events.
        y_score : array-like of shape (n_clips, n_events), float
        thresholds : array-like of shape (n_events,), default=None
            Marked on the curves.
        events : list of (str or int), default=None
            Names of events, or columns if events have no names. None: all.
        ax : matplotlib Axes, default=None
            None: of a new figure.

        Returns
        -------
        display
            With ``ax_``, ``figure_`` and ``lines_``.

        Raises
        ------
        ValueError
            If an event is unknown, or none of the events has positives.
        """
        ranked = RankedScores(y_true, y_score)
        names = ranked.event_names_
        names = pd.RangeIndex(len(ranked.support_)) if names is None else names
        columns = find_columns(names, events)
        columns = [column for column in columns if ranked.support_[column] > 0]
        if not columns:
            raise ValueError(
                "None of the events has a positive clip, so there is no curve. At least one event "
                "must occur in y_true. Choose others, or more clips."
            )
        curves = {names[column]: ranked.curve(column) for column in columns}
        points = None
        if thresholds is not None:
            with warnings.catch_warnings():
                # Events that are absent have no curve, either
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                report = event_report(y_true, y_score, thresholds)
            points = report.loc[list(curves), ["threshold", "F1", "precision", "recall"]]
        average_precision = pd.Series(ranked.average_precision(), index=names)[list(curves)]
        return cls(curves, points=points, average_precision=average_precision).plot(ax=ax)

    def __init__(self, curves, *, points=None, average_precision=None):
        self.curves = curves
        self.points = points
        self.average_precision = average_precision

    def _marks(self, x, y):
        """Where the thresholds are, for columns `x` and `y` of the points."""
        if self.points is None:
            return {}
        finite = self.points[np.isfinite(self.points[x]) & np.isfinite(self.points[y])]
        return {event: (finite.at[event, x], finite.at[event, y]) for event in finite.index}

    def _plot(self, ax, lines, marks, label, mean_label):
        """Draw the lines, and marks on them, by event; name what can be told apart."""
        self.lines_ = []
        many = len(lines) > _N_NAMED
        for number, (event, (x, y)) in enumerate(lines.items()):
            style = {"color": "0.8", "linewidth": 0.7, "zorder": 1}
            if not many:
                style = {
                    "color": COLORS[number % len(COLORS)],
                    "linestyle": _DASHES[number // len(COLORS)],
                    "label": label(event),
                }
            (line,) = ax.plot(x, y, drawstyle=self._drawstyle, **style)
            self.lines_.append(line)
            if event in marks:
                size = 3 if many else 7
                color = "0.45" if many else line.get_color()
                ax.plot(*marks[event], "o", color=color, markersize=size, zorder=3 - many)
        if many:
            grid = np.linspace(*self._span(lines), _N_GRID)
            mean = np.mean([self._at(grid, *line) for line in lines.values()], axis=0)
            ax.plot([], [], color="0.8", label=f"{len(lines)} events")
            (line,) = ax.plot(grid, mean, color=COLORS[0], linewidth=2.2, label=mean_label)
            self.lines_.append(line)
        if marks:
            ax.plot([], [], "o", color="0.45", markersize=5, label="at the threshold")
        ax.spines[["top", "right"]].set_visible(False)
        # Beside the axes: curves of events may be anywhere within
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        return self


class ThresholdCurveDisplay(_CurvesDisplay):
    """F1 of each event as the threshold rises.

    A broad top forgives a threshold that is a little off; a sharp one, or a ragged one, will not be
    met on new clips. It is recommended to use `from_predictions` or `from_estimator`. Up to eight
    events are named, more are drawn as a bundle, with the mean.

    Parameters
    ----------
    curves : dict of (str or int) to DataFrame
        For each event what :meth:`sktagger.metrics.RankedScores.curve` gives.
    points : DataFrame of shape (n_events, 4), default=None
        ``threshold``, ``F1``, ``precision`` and ``recall`` of events at their thresholds, which
        are marked.
    average_precision : Series of shape (n_events,), default=None
        Not shown here.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each event, and the mean if there are more than eight.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.displays import ThresholdCurveDisplay
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> ThresholdCurveDisplay.from_predictions(Y, S, thresholds=[0.15, 0.75]) # doctest: +SKIP
    """

    _drawstyle = "default"

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: of a new figure.

        Returns
        -------
        display : ThresholdCurveDisplay
            Itself, with ``ax_``, ``figure_`` and ``lines_``.
        """
        ax = make_axes(ax, figsize=(7.4, 4.2))
        lines = {event: _steps(curve) for event, curve in self.curves.items()}
        marks = self._marks("threshold", "F1")
        ax.set(xlabel="Threshold", ylabel="F1", ylim=(-0.02, 1.02))
        return self._plot(ax, lines, marks, event_label, "mean, one threshold for all")

    @staticmethod
    def _span(lines):
        ends = [(x[0], x[-1]) for x, _ in lines.values()]
        return min(low for low, _ in ends), max(high for _, high in ends)

    @staticmethod
    def _at(grid, x, y):
        # the value holds from a score up to the next one
        return y[np.searchsorted(x, grid, side="right").clip(1, len(x)) - 1]


class PrecisionRecallEventsDisplay(_CurvesDisplay):
    """Precision of each event against its recall.

    It is recommended to use `from_predictions` or `from_estimator`. Up to eight events are named,
    with their average precision; more are drawn as a bundle, with the mean over events of the
    precision at each recall.

    Parameters
    ----------
    curves : dict of (str or int) to DataFrame
        For each event what :meth:`sktagger.metrics.RankedScores.curve` gives.
    points : DataFrame of shape (n_events, 4), default=None
        ``threshold``, ``F1``, ``precision`` and ``recall`` of events at their thresholds, which
        are marked.
    average_precision : Series of shape (n_events,), default=None
        Told in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each event, and the mean if there are more than eight.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.displays import PrecisionRecallEventsDisplay
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> PrecisionRecallEventsDisplay.from_predictions(Y, S) # doctest: +SKIP
    """

    _drawstyle = "steps-pre"

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: of a new figure.

        Returns
        -------
        display : PrecisionRecallEventsDisplay
            Itself, with ``ax_``, ``figure_`` and ``lines_``.
        """
        ax = make_axes(ax, figsize=(7.0, 5.0))
        lines = {
            event: (curve["recall"].to_numpy(), curve["precision"].to_numpy())
            for event, curve in self.curves.items()
        }
        marks = self._marks("recall", "precision")
        average_precision = self.average_precision

        def label(event):
            known = average_precision is not None
            name = event_label(event)
            return f"{name} (AP {average_precision[event]:.2f})" if known else name

        ax.set(xlabel="Recall", ylabel="Precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        ax.set_aspect("equal")
        mean_label = "mean of events"
        if average_precision is not None:
            mean_label += f" (mAP {np.mean(average_precision):.2f})"
        return self._plot(ax, lines, marks, label, mean_label)

    @staticmethod
    def _span(lines):
        return 0.0, 1.0

    @staticmethod
    def _at(grid, x, y):
        return y[np.searchsorted(x, grid, side="left").clip(0, len(x) - 1)]


def _steps(curve):
    """Ascending finite scores, and the F1 of a threshold from each of them to the next."""
    finite = curve.iloc[1:-1]
    return finite["threshold"].to_numpy()[::-1], finite["F1"].to_numpy()[::-1]
