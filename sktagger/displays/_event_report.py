"""AP and F1 of each event."""

import numpy as np

from sktagger.displays._common import COLORS, event_label, find_columns, make_axes, respond
from sktagger.metrics import event_report


class EventReportDisplay:
    """AP and F1 of each event, best first.

    It is recommended to use `from_predictions` or `from_estimator`.

    Parameters
    ----------
    report : DataFrame of shape (n_events + 1, n_columns)
        What :func:`sktagger.metrics.event_report` gives. Intervals are drawn if it has them.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.displays import EventReportDisplay
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> EventReportDisplay.from_predictions(Y, S, thresholds=[0.15, 0.75]) # doctest: +SKIP
    """

    def __init__(self, report):
        self.report = report

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, events=None, n_bootstraps=0, random_state=None, ax=None
    ):
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
        n_bootstraps, random_state
            See :func:`sktagger.metrics.event_report`.
        ax : matplotlib Axes, default=None
            None: of a new figure.

        Returns
        -------
        display : EventReportDisplay
            With ``ax_`` and ``figure_``.
        """
        y_true, scores, thresholds = respond(estimator, X, y)
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
        y_true,
        y_score,
        *,
        thresholds=None,
        events=None,
        n_bootstraps=0,
        random_state=None,
        ax=None,
    ):
        """Plot scores against the truth.

        Parameters
        ----------
        y_true : array-like of shape (n_clips, n_events)
            Indicator matrix; a DataFrame names the events.
        y_score : array-like of shape (n_clips, n_events), float
        thresholds : array-like of shape (n_events,), default=None
            None: the best ones on these very clips.
        events : list of (str or int), default=None
            Names of events, or columns if events have no names. None: all. The means are always
            those of all events.
        n_bootstraps, random_state
            See :func:`sktagger.metrics.event_report`.
        ax : matplotlib Axes, default=None
            None: of a new figure.

        Returns
        -------
        display : EventReportDisplay
            With ``ax_`` and ``figure_``.

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

    def plot(self, ax=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None: of a new figure, as high as the events need.

        Returns
        -------
        display : EventReportDisplay
            Itself, with ``ax_`` and ``figure_``.
        """
        events, macro = self.report.iloc[:-1], self.report.iloc[-1]
        events = events.sort_values("AP", kind="stable", na_position="first")
        ax = make_axes(ax, figsize=(6.4, 1.3 + 0.21 * len(events)))
        place = np.arange(len(events))
        ax.hlines(place, 0, 1, color="0.92", linewidth=0.8, zorder=0)
        for metric, color, marker, shift in (
            ("AP", COLORS[0], "o", 0.14),
            ("F1", COLORS[1], "D", -0.14),
        ):
            if f"{metric}_low" in events:
                limits = events[f"{metric}_low"], events[f"{metric}_high"]
                ax.hlines(place + shift, *limits, color=color, linewidth=1.2, alpha=0.6)
            ax.plot(
                events[metric], place + shift, marker, color=color, markersize=4.5, label=metric
            )
            ax.axvline(macro[metric], color=color, linewidth=1, linestyle=":", zorder=1)
        labels = [
            f"{event_label(event)} ({support})"
            for event, support in zip(events.index, events["support"].astype(int), strict=True)
        ]
        ax.set_yticks(place, labels, fontsize="small")
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.8, len(events) - 0.2), xlabel="AP, F1 (dotted: means)")
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.set_ylabel("Event (clips with it)")
        ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
        self.ax_, self.figure_ = ax, ax.figure
        return self
