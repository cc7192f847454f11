"""Plot of how often an event occurs in clips of a score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.calibration import calibration_curve

from sktagger.displays._common import COLORS, event_label, find_columns, get_predictions, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

__all__ = ["ReliabilityDisplay"]


class ReliabilityDisplay:
    """Plot of the share of clips with an event among those of a score (reliability diagram).

    On the diagonal, scores are probabilities. Use `from_predictions` or `from_estimator` to make
    the display.

    Parameters
    ----------
    curves : dict of str to DataFrame with columns score, share, n_clips
        For each line, the mean score of each bin, the share of its clips that have the event, and
        their number. Bins without clips are left out.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure of the plot.
    lines_ : list of matplotlib Line2D
        One line per curve.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.displays import ReliabilityDisplay
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> ReliabilityDisplay.from_predictions(Y, S)  # doctest: +SKIP
    """

    def __init__(self, curves: dict[str, pd.DataFrame]):
        self.curves = curves

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Any,
        y: Any,
        *,
        events: list[str] | list[int] | None = None,
        n_bins: int = 10,
        ax: Axes | None = None,
    ) -> Self:
        """Plot the scores of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `predict_proba`.
        X : array-like
            Clips that it was not trained on, in a form that it accepts.
        y : array-like
            Events of the clips, in any form that :meth:`sktagger.ThresholdTuner.fit` accepts.
        events : list of (str or int), default=None
            Events with a line of their own. None: one line for all events together.
        n_bins : int, default=10
            Number of bins of equal width.
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : ReliabilityDisplay
            The display, with ``ax_``, ``figure_`` and ``lines_``.
        """
        y_true, scores, _ = get_predictions(estimator, X, y)
        return cls.from_predictions(y_true, scores, events=events, n_bins=n_bins, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        events: list[str] | list[int] | None = None,
        n_bins: int = 10,
        ax: Axes | None = None,
    ) -> Self:
        """Plot scores and labels.

        Parameters
        ----------
        y_true : array-like of shape (n_clips, n_events)
            0/1 indicator of the events of each clip. The columns of a DataFrame name the events.
        y_score : array-like of shape (n_clips, n_events), float, in [0, 1]
            Scores.
        events : list of (str or int), default=None
            Events with a line of their own, or column numbers if events have no names. None: one
            line for all events together.
        n_bins : int, default=10
            Number of bins of equal width.
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : ReliabilityDisplay
            The display, with ``ax_``, ``figure_`` and ``lines_``.

        Raises
        ------
        ValueError
            If an event is unknown, shapes differ, or scores lie outside of [0, 1].
        """
        labels, scores = np.asarray(y_true), np.asarray(y_score)
        if labels.ndim != 2 or labels.shape != scores.shape:
            raise ValueError(
                f"y_true has shape {labels.shape} and y_score {scores.shape}. Both must have one "
                "row per clip and one column per event."
            )
        names = (
            y_true.columns if isinstance(y_true, pd.DataFrame) else pd.RangeIndex(labels.shape[1])
        )
        if events is None:
            pooled = _bins(labels.ravel(), scores.ravel(), n_bins)
            return cls({f"all {labels.shape[1]} events": pooled}).plot(ax=ax)
        columns = find_columns(names, events)
        curves = {names[k]: _bins(labels[:, k], scores[:, k], n_bins) for k in columns}
        return cls(curves).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Plot the curves. The size of a dot grows with the number of clips of its bin.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : ReliabilityDisplay
            This display, with ``ax_``, ``figure_`` and ``lines_``.
        """
        ax = make_axes(ax, figsize=(5.6, 4.0))
        ax.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle=":", label="probabilities")
        self.lines_ = []
        for k, (name, curve) in enumerate(self.curves.items()):
            color = COLORS[k % len(COLORS)]
            (line,) = ax.plot(curve["score"], curve["share"], color=color, label=event_label(name))
            self.lines_.append(line)
            sizes = 8 + 60 * curve["n_clips"] / max(curve["n_clips"].max(), 1)
            ax.scatter(curve["score"], curve["share"], sizes, color=color, zorder=3)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        ax.set(xlabel="Mean score of the clips", ylabel="Share of them with the event")
        ax.set_aspect("equal")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _bins(labels, scores, n_bins):
    """Return the mean score, the share of positives and the number of clips of each bin."""
    share, score = calibration_curve(labels, scores, n_bins=n_bins, pos_label=1)
    # calibration_curve leaves out empty bins, and does not count clips
    edges = np.linspace(0, 1, n_bins + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], scores), minlength=n_bins)
    return pd.DataFrame({"score": score, "share": share, "n_clips": counts[counts > 0]})
