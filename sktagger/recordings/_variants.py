"""The scores in time among which a detector chooses: of several windows, and masked or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.text import short
from sktagger.recordings._score_source import (
    ScoreSource,
    TagMask,
    detection_windows,
    mask_tables,
    scores_of_parts,
)
from sktagger.recordings._tuning import tune_on_events
from sktagger.taggers._adjusting import adjust_network, segments_of_settings
from sktagger.thresholds.tuner import ThresholdTuner

__all__ = ["Variants", "check_score_windows", "score_source"]

_SETTING = "score_window"
_LONGEST_PART = 30.0  # seconds; the scores of longer clips tell little about the time of an event


def check_score_windows(tagger: Any, windows: Any) -> list[int | None]:
    """Return the windows to try; None: those of the network as it is.

    Parameters
    ----------
    tagger : AudioTagger
    windows : int, sequence of int or None

    Raises
    ------
    ValueError
        If they are no windows, or the network has none.
    """
    if windows is None:
        return [None]
    if not _has_windows(tagger):
        network = type(getattr(tagger, "network_", tagger)).__name__
        raise ValueError(
            f"score_windows={short(windows)} is given, but the network {network} has no windows. "
            "Only networks with the setting 'score_window' have, such as FBCRNN. Pass "
            "score_windows=None."
        )
    numbers = np.atleast_1d(np.asarray(windows))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not len(numbers) or min(numbers) < 1:
        raise ValueError(
            f"score_windows={short(windows)}, but it must be an integer of at least 1, a list of "
            "such integers, or None. Pass score_windows=[11, 21, 31, 41, 51]."
        )
    return numbers.tolist()


def score_source(
    tagger: Any, windows: Sequence[int] | None, smoothing: str | None, mask: TagMask | None = None
) -> ScoreSource:
    """Return where the scores in time of a detector come from.

    Parameters
    ----------
    tagger : AudioTagger
        It does not change.
    windows : sequence of int of length n_events, or None
        Window of each event, for networks that have windows. None: those of the network.
    smoothing : {"median", "change", "boundary"} or None
        With "boundary" and without `windows`, networks that have windows score each frame from the
        whole clip.
    mask : TagMask or None, default=None

    Returns
    -------
    ScoreSource
    """
    if windows is not None:
        tagger = adjust_network(tagger, **{_SETTING: list(windows)})
    elif smoothing == "boundary" and _has_windows(tagger):
        return ScoreSource(adjust_network(tagger, **{_SETTING: None}), None, None, mask)
    return ScoreSource(tagger, *detection_windows(tagger, "auto", None), mask)


class Variants:
    """Scores in time of clips, in several variants.

    Parameters
    ----------
    tagger : AudioTagger
    X : container of clips
    windows : sequence of int or None
        What :func:`check_score_windows` returns.
    smoothing : {"median", "change", "boundary"} or None
        See :func:`score_source`.

    Attributes
    ----------
    tables : list of DataFrame
        Scores in time of each clip with the first window.
    names : Index of shape (n_events,)
    mask : TagMask or None
        Set by `add_masks`.
    """

    def __init__(
        self, tagger: Any, X: Any, windows: Sequence[int | None], smoothing: str | None
    ) -> None:
        self._tagger, self._X, self._windows = tagger, X, windows
        self._by_window: list[list[pd.DataFrame]]
        if len(windows) > 1:
            settings = [{_SETTING: window} for window in windows]
            self._by_window = segments_of_settings(tagger, X, settings)
        else:
            (window,) = windows
            of_events = None if window is None else [window] * len(tagger.classes_)
            self._by_window = [score_source(tagger, of_events, smoothing).tables(X)]
        self.tables = self._by_window[0]
        self.names = pd.Index(self.tables[0].columns)
        self.mask: TagMask | None = None
        self._masked = [False]

    def add_masks(self, indicator: np.ndarray, columns: pd.Index, only: bool) -> None:
        """Tune the clip thresholds of masks, and add the masked scores.

        Parameters
        ----------
        indicator : ndarray of shape (n_clips, n_events)
            Events of the clips.
        columns : Index of shape (n_events,)
        only : bool
            Whether there are no others then.
        """
        longest = max(table.index[-1][1] for table in self.tables if len(table))
        length = min(longest, _LONGEST_PART)
        self._parts = scores_of_parts(self._tagger, self._X, self.tables, length)
        scores = np.full(indicator.shape, np.nan)
        for row, parts in zip(scores, self._parts, strict=True):
            if len(parts):
                row[:] = parts.max(axis=0)
        tuner = ThresholdTuner(strategy="best")
        self.mask = TagMask(length, tune_on_events(tuner, scores, indicator, columns))
        self._masked = [True] if only else [False, True]

    def __iter__(self) -> Iterator[list[pd.DataFrame]]:
        """Give the scores in time of each clip, for each variant."""
        for tables in self._by_window:
            for is_masked in self._masked:
                if is_masked:
                    assert self.mask is not None
                    yield mask_tables(tables, self._parts, self.mask)
                else:
                    yield tables

    def select(self, places: np.ndarray) -> Selection:
        """Return what the variants at some places are.

        Parameters
        ----------
        places : ndarray of shape (n_events,), int
            Place of the variant of each event.

        Returns
        -------
        Selection
        """
        kinds = [(window, masked) for window in self._windows for masked in self._masked]
        windows = None
        if self._windows[0] is not None:
            windows = np.array([kinds[place][0] for place in places])
        mask = self.mask
        is_masked = np.array([kinds[place][1] for place in places])
        if mask is not None:
            thresholds = np.where(is_masked, mask.thresholds, -np.inf)
            mask = mask._replace(thresholds=thresholds) if is_masked.any() else None
        return Selection(windows, mask)


class Selection(NamedTuple):
    """The variants that were chosen.

    Attributes
    ----------
    windows : ndarray of shape (n_events,), int, or None
    mask : TagMask or None
    """

    windows: np.ndarray | None
    mask: TagMask | None


def _has_windows(tagger: Any) -> bool:
    return _SETTING in getattr(getattr(tagger, "network_", None), "adjustable", ())
