"""Scores of segments that may overlap, as scores of cells of a regular grid in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from sktagger._utils.text import short

__all__ = ["TimeGrid"]

_MAX_BLOCK = 1024  # cells; bounds the memory of the steps that follow
_TOLERANCE = 1e-6  # of a cell; onsets are rounded numbers


class TimeGrid:
    """Turn segments, as they come, into cells of equal length.

    Cell k begins ``k * step`` after the first onset. A segment covers the cells of which at least
    half lies inside of it; if there are none, the cell in which it begins. The scores of a cell are
    the mean of the scores of the segments that cover it, and 0 without such segments. A cell is
    complete when a segment begins after it.

    Parameters
    ----------
    events : sequence of length n_events
        Names of the events, for messages.
    step : float or None
        Length of a cell in seconds. None: the time between the first two onsets, or the length of
        a single segment.

    Attributes
    ----------
    start : float
        First onset.
    stop : float
        Latest offset.
    step : float
        Length of a cell. NaN as long as it is not known.
    """

    def __init__(self, events: Sequence[object], step: float | None) -> None:
        self.events = events
        self.step = np.nan if step is None else float(step)
        self.start = self.stop = np.nan
        self._last_onset = -np.inf
        self._held = []  # the first segment, as long as the step is not known
        self._first = 0  # cell of the first item of _open
        self._open = deque()  # sum of scores and number of segments of each cell

    def push(
        self, onsets: np.ndarray, offsets: np.ndarray, scores: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Add segments, and give blocks of the cells that are complete now.

        Parameters
        ----------
        onsets, offsets : array-like of shape (n_segments,)
            Times in seconds; onsets do not decrease.
        scores : ndarray of shape (n_segments, n_events), float

        Yields
        ------
        ndarray of shape (n_cells, n_events), float64
        """
        done = []
        for onset, offset, row in zip(onsets, offsets, np.asarray(scores, float), strict=True):
            self._check(onset, offset, row)
            if np.isnan(self.start):
                self.start, self.stop = onset, offset
            elif np.isnan(self.step) and onset > self._last_onset:
                self.step = onset - self._last_onset
                for held in self._held:
                    self._add(*held)
                self._held = []
            self._last_onset = onset
            self.stop = max(self.stop, offset)
            if np.isnan(self.step):
                self._held.append((onset, offset, row.copy()))
                continue
            while self._first < self._cell(onset, 0.0):
                done.append(self._pop())
                if len(done) == _MAX_BLOCK:
                    yield np.stack(done)
                    done = []
            self._add(onset, offset, row)
        if done:
            yield np.stack(done)

    def finish(self) -> Iterator[np.ndarray]:
        """Give blocks of the remaining cells.

        Yields
        ------
        ndarray of shape (n_cells, n_events), float64
        """
        if self._held:
            self.step = self.stop - self.start
            for held in self._held:
                self._add(*held)
        while self._open:
            n_cells = min(len(self._open), _MAX_BLOCK)
            yield np.stack([self._pop() for _ in range(n_cells)])

    def _cell(self, time: float, least: float = 0.5) -> int:
        """Return the cell in which a time lies; the next one if more than 1 - `least` is over."""
        return int(np.floor((time - self.start) / self.step + least + _TOLERANCE))

    def _add(self, onset: float, offset: float, row: np.ndarray) -> None:
        first, stop = self._cell(onset), self._cell(offset)
        if first >= stop:
            first = self._cell(onset, 0.0)
            stop = first + 1
        while len(self._open) < stop - self._first:
            self._open.append([np.zeros(len(row)), 0])
        for cell in range(first - self._first, stop - self._first):
            self._open[cell][0] += row
            self._open[cell][1] += 1

    def _pop(self) -> np.ndarray:
        self._first += 1
        if not self._open:
            return np.zeros(len(self.events))
        total, n_segments = self._open.popleft()
        return total / max(n_segments, 1)

    def _check(self, onset: float, offset: float, row: np.ndarray) -> None:
        if not (np.isfinite(onset) and np.isfinite(offset) and onset < offset):
            raise ValueError(
                f"scores: a segment has the onset {onset!s} and the offset {offset!s}. Both must "
                "be finite, and the onset before the offset. Give times in seconds."
            )
        if onset < self._last_onset:
            raise ValueError(
                f"scores: the segment at {onset:g} s comes after the one at "
                f"{self._last_onset:g} s. Segments must be sorted by onset. Sort them, and give "
                "each recording on its own."
            )
        if len(row) != len(self.events):
            raise ValueError(
                f"scores: the segment at {onset:g} s has {len(row)} scores, but there are "
                f"{len(self.events)} events. Give one score per event."
            )
        if not np.isfinite(row).all():
            event = self.events[int(np.flatnonzero(~np.isfinite(row))[0])]
            raise ValueError(
                f"scores: the score of {short(event)} at {onset:g} s is NaN or infinite. Scores "
                "must be finite. Leave out recordings that could not be read."
            )
