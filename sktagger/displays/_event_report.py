"""Plot of the AP and F1 of each event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from sktagger.displays._common import COLORS, event_label, find_columns, get_predictions, make_axes
from sktagger.metrics import event_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

__all__ = ["EventReportDisplay"]


class EventReportDisplay:
    """Plot of the AP and F1 of each event, with the best event at the top.

    Use `from_predictions` or `from_estimator` to make the display.

    Parameters
    ----------
    report : DataFrame of shape (n_events + 1, n_columns)
        Result of :func:`sktagger.metrics.event_report`. Its confidence intervals are plotted if it
        has any.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.displays import EventReportDisplay
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> EventReportDisplay.from_predictions(Y, S, thresholds=[0.15, 0.75]) # doctest: +SKIP
    """

    def __init__(self, report: pd.DataFrame):
        self.report = report

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        y: Any,
        *,
        events: list[str] | list[int] | None = None,
        n_bootstraps: int = 0,
        random_state: int | np.random.RandomState | None = None,
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
        n_bootstraps : int, default=0
            Number of bootstrap resamples for confidence intervals. 0: no intervals.
        random_state : int, RandomState instance or None, default=None
            Random numbers for the resamples. Pass an int to get the same intervals in every call.
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : EventReportDisplay
            The display, with ``ax_`` and ``figure_``.
        """
        y_true, scores, thresholds = get_predictions(estimator, X, y)
        return cls.from_predictions(
            y_true,
            scores,
            thresholds=thresholds,
            events=events,
            n_bootstraps=n_bootstraps,
            random_state=random_state,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        thresholds: ArrayLike | None = None,
        events: list[str] | list[int] | None = None,
        n_bootstraps: int = 0,
        random_state: int | np.random.RandomState | None = None,
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
            None: the threshold of each event with the highest F1 on these clips.
        events : list of (str or int), default=None
            Names of the events to plot, or column numbers if events have no names. None: all
            events. The means are always those of all events.
        n_bootstraps : int, default=0
            Number of bootstrap resamples for confidence intervals. 0: no intervals.
        random_state : int, RandomState instance or None, default=None
            Random numbers for the resamples. Pass an int to get the same intervals in every call.
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : EventReportDisplay
            The display, with ``ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If an event is unknown.
        """
        report = event_report(
            y_true, y_score, thresholds, n_bootstraps=n_bootstraps, random_state=random_state
        )
        columns = find_columns(report.index[:-1], events)
        return cls(report.iloc[[*columns, len(report) - 1]]).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Plot the report.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure, whose height depends on the number of
            events.

        Returns
        -------
        display : EventReportDisplay
            This display, with ``ax_`` and ``figure_``.
        """
        events, macro = self.report.iloc[:-1], self.report.iloc[-1]
        events = events.sort_values("AP", kind="stable", na_position="first")
        ax = make_axes(ax, figsize=(6.4, 1.3 + 0.21 * len(events)))
        position = np.arange(len(events))
        ax.hlines(position, 0, 1, color="0.92", linewidth=0.8, zorder=0)
        for metric, color, marker, shift in (
            ("AP", COLORS[0], "o", 0.14),
            ("F1", COLORS[1], "D", -0.14),
        ):
            if f"{metric}_low" in events:
                limits = events[f"{metric}_low"], events[f"{metric}_high"]
                ax.hlines(position + shift, *limits, color=color, linewidth=1.2, alpha=0.6)
            ax.plot(
                events[metric], position + shift, marker, color=color, markersize=4.5, label=metric
            )
            ax.axvline(macro[metric], color=color, linewidth=1, linestyle=":", zorder=1)
        labels = [
            f"{event_label(event)} ({support})"
            for event, support in zip(events.index, events["support"].astype(int), strict=True)
        ]
        ax.set_yticks(position, labels, fontsize="small")
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.8, len(events) - 0.2), xlabel="AP, F1 (dotted: means)")
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.set_ylabel("Event (clips with it)")
        ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
        self.ax_, self.figure_ = ax, ax.figure
        return self
