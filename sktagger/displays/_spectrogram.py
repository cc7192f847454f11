"""Plot of what the network of a tagger gets of a clip, with scores in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sktagger._utils.text import listed, nearest
from sktagger.audio.clip_input import check_clips
from sktagger.audio.reading import to_mono
from sktagger.displays._common import COLORS, event_label, make_axes
from sktagger.taggers._spectrogram import compute_spectrogram, frequency_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from typing_extensions import Self

__all__ = ["SpectrogramDisplay"]

_LEAST_GAP = 0.07  # between ticks, as a fraction of the axis


class SpectrogramDisplay:
    """Plot of the log-mel spectrogram that a network gets, with scores and labels in time.

    Use `from_estimator` to make the display.

    Parameters
    ----------
    values : ndarray of shape (n_mels, n_frames)
        Log-mel features, as the network normalizes them.
    times : ndarray of shape (n_frames,)
        Centers of the frames in seconds.
    frequencies : ndarray of shape (n_mels,)
        Centers of the mel bands in Hz.
    scores : DataFrame of shape (n_segments, n_events) or None, default=None
        Scores in time, as `predict_segments` returns them.
    labels : DataFrame with columns onset, offset, event, or None, default=None
        When events are heard, in seconds.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the spectrogram.
    score_ax_ : matplotlib Axes or None
        Axes of the scores.
    figure_ : matplotlib Figure
        Figure of the plot.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import WALNetTagger
    >>> from sktagger.displays import SpectrogramDisplay
    >>> X = np.random.default_rng(0).standard_normal((4, 16000))
    >>> Y = [["noise"], [], ["noise"], []]
    >>> tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(X, Y)
    >>> SpectrogramDisplay.from_estimator(tagger, X[0])  # doctest: +SKIP
    """

    def __init__(
        self,
        values: np.ndarray,
        times: np.ndarray,
        frequencies: np.ndarray,
        *,
        scores: pd.DataFrame | None = None,
        labels: pd.DataFrame | None = None,
    ):
        self.values = values
        self.times = times
        self.frequencies = frequencies
        self.scores = scores
        self.labels = labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        clip: Any,
        *,
        events: list[str] | int | None = 3,
        labels: pd.DataFrame | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Plot a clip as the network of a fitted tagger gets it.

        Parameters
        ----------
        estimator : AudioTagger
            Fitted.
        clip : str, PathLike, tuple or ndarray
            A clip, in a form that the tagger accepts in `X`.
        events : list of str, int or None, default=3
            Events whose scores are plotted below the spectrogram. A number: those with the highest
            scores. None: no scores.
        labels : DataFrame or None, default=None
            When events are heard: columns `onset`, `offset` (in seconds) and `event`, such as an
            item of ``EventDetector.predict(X)`` or rows of :func:`sktagger.datasets.
            read_strong_labels`.
        ax : matplotlib Axes or None, default=None
            Axes of the spectrogram. Scores are then not plotted. None: those of a new figure.

        Returns
        -------
        display : SpectrogramDisplay
            The display, with ``ax_``, ``score_ax_`` and ``figure_``.

        Raises
        ------
        ValueError
            If an event is unknown, or the clip cannot be read.
        NotImplementedError
            If the network of the tagger does not tell its features.
        """
        clips = check_clips(estimator, [clip], reset=False, name="clip")
        network_input = estimator.network_.get_input()
        loaded = clips.load(0, network_input.sample_rate)
        waveform = to_mono(loaded, network_input.scale)
        found = compute_spectrogram(estimator, waveform)
        scores = None
        if events is not None and ax is None:
            (scores,) = estimator.predict_segments([clip])
            scores = scores[_choose(events, scores)]
        return cls(*found, scores=scores, labels=labels).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Plot the spectrogram.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes of the spectrogram. Scores are then not plotted. None: those of a new figure.

        Returns
        -------
        display : SpectrogramDisplay
            This display, with ``ax_``, ``score_ax_`` and ``figure_``.
        """
        self.score_ax_ = None
        if ax is None:
            n_scores = 0 if self.scores is None else self.scores.shape[1]
            ax = make_axes(None, figsize=(8.0, 3.6 + 1.4 * (n_scores > 0)))
            if n_scores:
                figure = ax.figure
                figure.clear()
                grid = {"height_ratios": [2.4, 1]}
                ax, self.score_ax_ = figure.subplots(2, 1, sharex=True, gridspec_kw=grid)
        step = self.times[1] - self.times[0] if len(self.times) > 1 else 0.02
        edges = self.times[0] - step / 2, self.times[-1] + step / 2
        low, high = np.quantile(self.values, [0.01, 0.999])
        extent = (*edges, -0.5, len(self.values) - 0.5)
        ax.imshow(
            self.values, origin="lower", aspect="auto", extent=extent, cmap="magma",
            vmin=low, vmax=high, interpolation="nearest",
        )  # fmt: skip
        ticks = frequency_ticks(self.frequencies, _LEAST_GAP)
        ax.set_yticks([place for place, _ in ticks], [f"{hz:,}" for _, hz in ticks])
        ax.set(ylabel="Frequency in Hz (mel)", xlim=edges)
        self._plot_labels(ax)
        last = ax
        if self.score_ax_ is not None:
            _plot_scores(self.score_ax_, self.scores)
            last = self.score_ax_
        last.set_xlabel("Time in s")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_labels(self, ax):
        if self.labels is None or not len(self.labels):
            return
        names = list(dict.fromkeys(self.labels["event"]))
        scored = [] if self.scores is None else list(self.scores)
        order = list(dict.fromkeys([*scored, *names]))  # an event has one color
        colors = {name: COLORS[order.index(name) % len(COLORS)] for name in names}
        for row in self.labels.itertuples():
            place = len(self.values) - 0.5 + 3.5 * (names.index(row.event) + 1)
            style = {"color": colors[row.event], "linewidth": 3, "solid_capstyle": "butt"}
            ax.plot([row.onset, row.offset], [place, place], clip_on=False, **style)
        for name in names:
            ax.plot([], [], color=colors[name], linewidth=3, label=event_label(name))
        ax.set_ylim(-0.5, len(self.values) - 0.5 + 3.5 * (len(names) + 1))
        ax.legend(
            frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=4,
            borderaxespad=0.2,
        )  # fmt: skip


def _plot_scores(ax, scores):
    onsets, offsets = (scores.index.get_level_values(i).to_numpy(float) for i in (0, 1))
    # segments may overlap: each one is drawn up to the onset of the next
    ends = np.append(onsets[1:], offsets[-1:])
    if len(onsets) > 1:
        shift = max(0.0, (offsets[0] - onsets[0] - (onsets[1] - onsets[0])) / 2)
        onsets, ends = onsets + shift, np.minimum(ends + shift, offsets[-1])
    for k, event in enumerate(scores):
        x = np.append(onsets, ends[-1:])
        y = np.append(scores[event], scores[event].iloc[-1:])
        ax.step(x, y, where="post", color=COLORS[k % len(COLORS)], label=event_label(event))
    ax.set(ylim=(0, 1.02), ylabel="Score")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def _choose(events, scores):
    """Return the columns of the scores to plot."""
    if isinstance(events, int | np.integer) and not isinstance(events, bool):
        return scores.max().sort_values(ascending=False, kind="stable").index[:events].tolist()
    names = list(scores.columns)
    for event in events:
        if event not in names:
            raise ValueError(
                f"events has {event!r}, which is no event of the tagger{nearest(event, names)}. "
                f"Its events are {listed(names)}."
            )
    return list(events)
