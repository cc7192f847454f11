"""Curves of F1 over thresholds, and of precision over recall."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning

from sktagger.displays._common import COLORS, event_label, find_columns, get_predictions, make_axes
from sktagger.metrics import RankedScores, event_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

__all__ = ["PrecisionRecallEventsDisplay", "ThresholdCurveDisplay"]

_DASHES = ["-", "--"]
# Up to this many events have colors and labels. More events are gray, with their mean in color.
_N_LABELED = 8
# Number of points of the mean curve
_N_GRID = 201


class _CurvesDisplay:
    """Curves of events in one plot: a few labeled curves, or many gray curves with their mean."""

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        y: Any,
        *,
        events: list[str] | list[int] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Plot the scores of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `predict_proba`. The thresholds are the ``thresholds_`` of the estimator,
            or of the last step of a pipeline, if it has them.
        X : array-like
            Clips, in a form that the estimator accepts.
        y : array-like
            Events of the clips, in any form that :meth:`sktagger.ThresholdTuner.fit` accepts.
        events : list of (str or int), default=None
            Names of the events to plot. None: all events.
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display
            The display, with ``ax_``, ``figure_`` and ``lines_``.
        """
        y_true, scores, thresholds = get_predictions(estimator, X, y)
        return cls.from_predictions(y_true, scores, thresholds=thresholds, events=events, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        thresholds: ArrayLike | None = None,
        events: list[str] | list[int] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Plot scores and labels.

        Parameters
        ----------
        y_true : array-like of shape (n_clips, n_events)
            0/1 indicator of the events of each clip. The columns of a DataFrame name the events.
        y_score : array-like of shape (n_clips, n_events), float
            Finite scores.
        thresholds : array-like of shape (n_events,), default=None
            Thresholds to mark on the curves.
        events : list of (str or int), default=None
            Names of the events to plot, or column numbers if events have no names. None: all
            events.
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display
            The display, with ``ax_``, ``figure_`` and ``lines_``.

        Raises
        ------
        ValueError
            If an event is unknown, or if none of the events has positives.
        """
        ranked = RankedScores(y_true, y_score)
        names = ranked.event_names_
        names = pd.RangeIndex(len(ranked.support_)) if names is None else names
        columns = find_columns(names, events)
        columns = [column for column in columns if ranked.support_[column] > 0]
        if not columns:
            raise ValueError(
                "None of the events has a positive clip, so there is no curve. At least one event "
                "must occur in y_true. Select other events, or pass more clips."
            )
        curves = {names[column]: ranked.curve(column) for column in columns}
        points = None
        if thresholds is not None:
            with warnings.catch_warnings():
                # Events without positives have no curve, so they need no warning.
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                report = event_report(y_true, y_score, thresholds)
            points = report.loc[list(curves), ["threshold", "F1", "precision", "recall"]]
        average_precision = pd.Series(ranked.average_precision(), index=names)[list(curves)]
        return cls(curves, points=points, average_precision=average_precision).plot(ax=ax)

    def __init__(
        self,
        curves: dict[Any, pd.DataFrame],
        *,
        points: pd.DataFrame | None = None,
        average_precision: pd.Series | None = None,
    ):
        self.curves = curves
        self.points = points
        self.average_precision = average_precision

    def _threshold_marks(self, x, y):
        """Return the coordinates of the thresholds, from columns `x` and `y` of the points."""
        if self.points is None:
            return {}
        finite = self.points[np.isfinite(self.points[x]) & np.isfinite(self.points[y])]
        return {event: (finite.at[event, x], finite.at[event, y]) for event in finite.index}

    def _plot(self, ax, lines, marks, label, mean_label):
        """Plot the line and the mark of each event."""
        self.lines_ = []
        many = len(lines) > _N_LABELED
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
        # The legend is beside the axes, because curves may be anywhere inside.
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        return self


class ThresholdCurveDisplay(_CurvesDisplay):
    """Plot of the F1 of each event over the threshold.

    If the maximum is broad, a slightly wrong threshold does little harm. A sharp or ragged maximum
    will not be reached on new clips. Use `from_predictions` or `from_estimator` to make the
    display. Up to eight events are labeled. If there are more, all curves are gray, and their mean
    is added.

    Parameters
    ----------
    curves : dict of (str or int) to DataFrame
        Result of :meth:`sktagger.metrics.RankedScores.curve` for each event.
    points : DataFrame of shape (n_events, 4), default=None
        ``threshold``, ``F1``, ``precision`` and ``recall`` of each event at its threshold. These
        points are marked.
    average_precision : Series of shape (n_events,), default=None
        Not shown in this plot.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.
    lines_ : list of matplotlib Line2D
        One line per event, and the mean if there are more than eight events.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.displays import ThresholdCurveDisplay
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> ThresholdCurveDisplay.from_predictions(Y, S, thresholds=[0.15, 0.75]) # doctest: +SKIP
    """

    _drawstyle = "default"

    def plot(self, ax: Axes | None = None) -> Self:
        """Plot the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : ThresholdCurveDisplay
            This display, with ``ax_``, ``figure_`` and ``lines_``.
        """
        ax = make_axes(ax, figsize=(7.4, 4.2))
        lines = {event: _steps(curve) for event, curve in self.curves.items()}
        marks = self._threshold_marks("threshold", "F1")
        ax.set(xlabel="Threshold", ylabel="F1", ylim=(-0.02, 1.02))
        return self._plot(ax, lines, marks, event_label, "mean, one threshold for all")

    @staticmethod
    def _span(lines):
        ends = [(x[0], x[-1]) for x, _ in lines.values()]
        return min(low for low, _ in ends), max(high for _, high in ends)

    @staticmethod
    def _at(grid, x, y):
        # F1 is constant from a score up to the next one.
        return y[np.searchsorted(x, grid, side="right").clip(1, len(x)) - 1]


class PrecisionRecallEventsDisplay(_CurvesDisplay):
    """Plot of the precision of each event over its recall.

    Use `from_predictions` or `from_estimator` to make the display. Up to eight events are labeled
    with their average precision. If there are more, all curves are gray, and the mean precision at
    each recall is added.

    Parameters
    ----------
    curves : dict of (str or int) to DataFrame
        Result of :meth:`sktagger.metrics.RankedScores.curve` for each event.
    points : DataFrame of shape (n_events, 4), default=None
        ``threshold``, ``F1``, ``precision`` and ``recall`` of each event at its threshold. These
        points are marked.
    average_precision : Series of shape (n_events,), default=None
        Shown in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.
    lines_ : list of matplotlib Line2D
        One line per event, and the mean if there are more than eight events.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.displays import PrecisionRecallEventsDisplay
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> PrecisionRecallEventsDisplay.from_predictions(Y, S) # doctest: +SKIP
    """

    _drawstyle = "steps-pre"

    def plot(self, ax: Axes | None = None) -> Self:
        """Plot the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : PrecisionRecallEventsDisplay
            This display, with ``ax_``, ``figure_`` and ``lines_``.
        """
        ax = make_axes(ax, figsize=(7.0, 5.0))
        lines = {
            event: (curve["recall"].to_numpy(), curve["precision"].to_numpy())
            for event, curve in self.curves.items()
        }
        marks = self._threshold_marks("recall", "precision")
        average_precision = self.average_precision

        def label(event):
            name = event_label(event)
            if average_precision is None:
                return name
            return f"{name} (AP {average_precision[event]:.2f})"

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
    """Return the finite thresholds in ascending order, and the F1 from each to the next."""
    finite = curve.iloc[1:-1]
    return finite["threshold"].to_numpy()[::-1], finite["F1"].to_numpy()[::-1]
