"""Plot of the losses and the validation mAP of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from sktagger.displays._common import COLORS, make_axes
from sktagger.taggers._base import kept_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

__all__ = ["TrainingHistoryDisplay"]


class TrainingHistoryDisplay:
    """Plot of the losses of a training, and of its validation mAP.

    Use `from_estimator` to make the display.

    Parameters
    ----------
    history : DataFrame of shape (n_intervals, n_columns)
        The ``history_`` of a tagger: one row per validation interval, with `train_loss` and, after
        a training with validation clips, `valid_loss` and `valid_mAP`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the losses.
    metric_ax_ : matplotlib Axes or None
        Axes of the validation mAP, which share the horizontal axis.
    figure_ : matplotlib Figure
        Figure of the plot.
    best_ : int or None
        Epoch, or iteration, of the validation interval that the tagger has kept.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktagger.displays import TrainingHistoryDisplay
    >>> history = pd.DataFrame({"n_epochs": [1, 2], "train_loss": [0.9, 0.5]})
    >>> TrainingHistoryDisplay(history).plot()  # doctest: +SKIP
    """

    def __init__(self, history: pd.DataFrame):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Plot the training of a fitted tagger.

        Parameters
        ----------
        estimator : AudioTagger
            Trained in this process, or read by joblib: files that ``save`` wrote have no history.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : TrainingHistoryDisplay
            The display, with ``ax_``, ``metric_ax_``, ``figure_`` and ``best_``.

        Raises
        ------
        ValueError
            If the tagger has no history.
        """
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Plot the history.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to plot on. None: the axes of a new figure.

        Returns
        -------
        display : TrainingHistoryDisplay
            This display, with ``ax_``, ``metric_ax_``, ``figure_`` and ``best_``.
        """
        history = self.history
        if not len(history):
            raise ValueError(
                "The history has no rows: the tagger was read from a file that has none. Plot it "
                "after training, or read the tagger with joblib."
            )
        column, kept = kept_interval(history)
        x = history[column].to_numpy()
        ax = make_axes(ax, figsize=(6.4, 3.8))
        marker = "o" if len(x) == 1 else None
        losses = {"train_loss": ("training loss", "-"), "valid_loss": ("validation loss", "--")}
        for name, (label, style) in losses.items():
            if name in history:
                ax.plot(x, history[name], style, color=COLORS[0], label=label, marker=marker)
        ax.set(xlabel="Epoch" if column == "n_epochs" else "Iteration", ylabel="Loss")
        ax.set_ylim(bottom=0)
        ax.spines["top"].set_visible(False)
        handles = ax.get_lines()
        self.metric_ax_, self.best_ = None, None
        if kept is not None:
            self.metric_ax_ = twin = ax.twinx()
            twin.plot(x, history["valid_mAP"], color=COLORS[1], label="mAP", marker=marker)
            twin.set(ylabel="Validation mAP", ylim=(0, 1.02))
            twin.spines["top"].set_visible(False)
            self.best_, value = int(x[kept]), history["valid_mAP"].iloc[kept]
            twin.plot([self.best_], [value], "D", color=COLORS[1], label=f"kept: {value:.3f}")
            handles = [*handles, *twin.get_lines()]
        ax.legend(
            handles=handles, frameon=False, fontsize="small", ncols=len(handles), loc="lower left",
            bbox_to_anchor=(0, 1), borderaxespad=0.2, columnspacing=1.2, handlelength=1.6,
        )  # fmt: skip
        self.ax_, self.figure_ = ax, ax.figure
        return self
