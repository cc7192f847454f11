"""Candidates of events in blocks of scores: runs above a threshold, and parts between changes.

Each class takes the cells of a recording in blocks of any lengths, and the result does not depend
on these lengths. Memory does not grow with the recording, except for `Boundaries`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["Boundaries", "Changes", "Median", "Runs", "Segment", "make_smoother"]


class Segment(NamedTuple):
    """A candidate of an event.

    Attributes
    ----------
    event : int
        Position of the event.
    start, stop : int
        Its first cell, and the one after its last cell.
    before, after : float
        Sums of the scores of all cells before `start` and before `stop`.
    peak : float
        Highest score of a cell.
    """

    event: int
    start: int
    stop: int
    before: float
    after: float
    peak: float

    @property
    def mean(self) -> float:
        """Mean score of its cells."""
        return (self.after - self.before) / (self.stop - self.start)


class Median:
    """Replace each cell by the median of the cells around it; the ends are repeated.

    Parameters
    ----------
    half : int or ndarray of shape (n_events,), int
        Number of cells on each side, for all events or for each one.
    """

    def __init__(self, half: int | np.ndarray) -> None:
        self.half = half
        self._longest = int(np.max(half))
        self._tail: np.ndarray | None = None

    def push(self, block: np.ndarray) -> np.ndarray:
        """Add cells of shape (n_cells, n_events), and return those that are smoothed now."""
        if self._tail is None:
            self._tail = np.repeat(block[:1], self._longest, axis=0)
        return self._smooth(block)

    def finish(self) -> np.ndarray | None:
        """Return the remaining cells."""
        if self._tail is None:
            return None
        return self._smooth(np.repeat(self._tail[-1:], self._longest, axis=0))

    def _smooth(self, block):
        cells = np.concatenate([self._tail, block])
        n_smoothed = max(len(cells) - 2 * self._longest, 0)
        self._tail = cells[n_smoothed:]
        smoothed = np.empty((n_smoothed, cells.shape[1]))
        if not n_smoothed:
            return smoothed
        halves = np.broadcast_to(self.half, cells.shape[1])
        for half in np.unique(halves):
            first = self._longest - half
            around = cells[first : len(cells) - first, halves == half]
            windows = sliding_window_view(around, 2 * half + 1, axis=0)
            smoothed[:, halves == half] = np.median(windows, axis=-1)
        return smoothed


class Boundaries:
    """Make scores that rise until the first offset of an event, and fall from its last onset on.

    Those above a threshold are therefore one segment. The score of a cell is the lower one of two
    numbers: how much the score rose at most, up to this cell, and how much it fell at most, from
    this cell on. All cells are kept until the end.

    Parameters
    ----------
    half : int or ndarray of shape (n_events,), int
        The rise is the mean of this number of cells minus the mean of those before, with zeros
        before the recording and after it. 0: the score itself.
    """

    def __init__(self, half: int | np.ndarray) -> None:
        self.half = half
        self._blocks: list[np.ndarray] = []

    def push(self, block: np.ndarray) -> np.ndarray:
        """Add cells of shape (n_cells, n_events), and return none of them."""
        self._blocks.append(block)
        return block[:0]

    def finish(self) -> np.ndarray | None:
        """Return all cells."""
        if not self._blocks:
            return None
        cells = np.concatenate(self._blocks)
        self._blocks = []
        scores = np.empty(cells.shape)
        halves = np.broadcast_to(self.half, cells.shape[1])
        for half in np.unique(halves):
            own = cells[:, halves == half]
            from_left = _highest_rise(own, half)
            from_right = _highest_rise(own[::-1], half)[::-1]
            scores[:, halves == half] = np.minimum(from_left, from_right)
        return scores


def _highest_rise(cells, half):
    """Return how much the scores rose at most up to each cell."""
    if half:
        n_cells = len(cells)
        means = sliding_window_view(np.pad(cells, ((half, half), (0, 0))), half, axis=0).mean(-1)
        cells = means[half : half + n_cells] - means[:n_cells]
    return np.maximum.accumulate(cells, axis=0)


def make_smoother(smoothing: str | None, half: int | np.ndarray) -> Median | Boundaries | None:
    """Return what smooths cells before a threshold is applied, or None.

    Parameters
    ----------
    smoothing : {"median", "boundary", "change"} or None
    half : int or ndarray of shape (n_events,), int
        Half the length of the filter in cells.
    """
    if smoothing == "median":
        return Median(half)
    return Boundaries(half) if smoothing == "boundary" else None


class Runs:
    """Runs of cells above a low threshold, of which at least one is above a threshold.

    Parameters
    ----------
    threshold, low : ndarray of shape (n_events,), float64
        `low` is not above `threshold`.
    """

    def __init__(self, threshold: np.ndarray, low: np.ndarray) -> None:
        n_events = len(threshold)
        self.threshold, self.low = threshold, low
        self.n_cells = 0
        self._sum = np.zeros(n_events)
        self._inside = np.zeros(n_events, bool)
        self._start = np.zeros(n_events, int)
        self._before = np.zeros(n_events)
        self._peak = np.full(n_events, -np.inf)

    def push(self, block: np.ndarray) -> Iterator[Segment]:
        """Add cells of shape (n_cells, n_events), and give the runs that are complete now."""
        # Sums run through the whole recording: a block may end anywhere.
        sums = np.cumsum(np.vstack([self._sum, block]), axis=0)
        above = np.vstack([self._inside, block > self.low])
        edges = np.diff(above.astype(np.int8), axis=0)
        for event in np.flatnonzero(above.any(axis=0)):
            starts = np.flatnonzero(edges[:, event] == 1)
            stops = np.flatnonzero(edges[:, event] == -1)
            if self._inside[event]:
                # -1: begun in an earlier block
                starts = np.concatenate([[-1], starts])
            for start, stop in zip(starts, [*stops, None], strict=False):
                if start >= 0:
                    self._start[event] = self.n_cells + start
                    self._before[event] = sums[start, event]
                    self._peak[event] = -np.inf
                cells = block[max(start, 0) : stop, event]
                self._peak[event] = max(self._peak[event], cells.max(initial=-np.inf))
                if stop is not None:
                    yield from self._close(event, self.n_cells + stop, sums[stop, event])
        self.n_cells += len(block)
        self._sum, self._inside = sums[-1], above[-1]

    def finish(self) -> Iterator[Segment]:
        """Give the runs that last until the end."""
        for event in np.flatnonzero(self._inside):
            yield from self._close(event, self.n_cells, self._sum[event])
        self._inside[:] = False

    def earliest(self) -> np.ndarray:
        """Return the first cell that a later segment of each event can have."""
        return np.where(self._inside, self._start, self.n_cells)

    def _close(self, event, stop, after):
        if self._peak[event] > self.threshold[event]:
            start, before = int(self._start[event]), float(self._before[event])
            yield Segment(
                int(event), start, int(stop), before, float(after), float(self._peak[event])
            )


class Changes:
    """Segments between changes of the score, after the change detection of SEBBs.

    The change at a boundary of cells is the mean of the `half` cells after it minus the mean of
    those before it; there is silence before and after the recording. Its local maxima are onsets,
    its local minima are offsets. Two segments and the gap between them become one segment unless
    the gap is clearly lower than the higher one of them.

    Parameters
    ----------
    threshold : ndarray of shape (n_events,), float64
        Segments with a higher mean are given.
    half : int or ndarray of shape (n_events,), int
        Half the length of the step filter in cells, for all events or for each one.
    absolute, relative : float
        The gap is clearly lower if its mean is more than `absolute` below the mean of the higher
        segment, or below this mean divided by `relative`.
    """

    def __init__(
        self, threshold: np.ndarray, half: int | np.ndarray, absolute: float, relative: float
    ) -> None:
        n_events = len(threshold)
        self.threshold, self.half = threshold, int(np.max(half))
        self._halves = np.broadcast_to(half, n_events)
        self.absolute, self.relative = absolute, relative
        self._tail = np.zeros((self.half + 1, n_events))
        self._n_pushed = self._boundary = 0
        self._sum = np.zeros(n_events)
        self._peak = np.full(n_events, -np.inf)  # since the last onset or offset
        self._inside = np.zeros(n_events, bool)
        self._start = np.zeros(n_events, int)
        self._before = np.zeros(n_events)
        self._gap_peak = np.full(n_events, -np.inf)
        # the segment before, which may still grow
        self._is_kept = np.zeros(n_events, bool)
        self._kept_start = np.zeros(n_events, int)
        self._kept_stop = np.zeros(n_events, int)
        self._kept_before = np.zeros(n_events)
        self._kept_after = np.zeros(n_events)
        self._kept_peak = np.zeros(n_events)

    def push(self, block: np.ndarray) -> Iterator[Segment]:
        """Add cells of shape (n_cells, n_events), and give the segments that are complete now."""
        self._n_pushed += len(block)
        yield from self._step(block)

    def finish(self) -> Iterator[Segment]:
        """Give the remaining segments."""
        if not self._n_pushed:
            return
        yield from self._step(np.zeros((self.half + 1, len(self.threshold))))
        yield from self._close(np.flatnonzero(self._inside))
        yield from self._give(np.flatnonzero(self._is_kept))
        self._is_kept[:] = False

    def earliest(self) -> np.ndarray:
        """Return the first cell that a later segment of each event can have."""
        first = np.where(self._inside, self._start, self._boundary)
        return np.where(self._is_kept, self._kept_start, first)

    def _step(self, block):
        half = self.half
        cells = np.concatenate([self._tail, block])
        if len(cells) < 2 * half + 2:
            self._tail = cells
            return
        self._tail = cells[-(2 * half + 1) :]
        n = len(cells) - 2 * half + 1
        # One by one: the sum of the same cells must not depend on the block they are in.
        change = np.zeros((n, cells.shape[1]))
        for i in range(half):
            change += cells[half + i : half + i + n] * (i < self._halves)
        earlier = np.zeros_like(change)
        for i in range(half):
            earlier += cells[i : i + n] * (half - i <= self._halves)
        change -= earlier
        before, here, after = change[:-2], change[1:-1], change[2:]
        # On a plateau, a sound begins at the end and ends at the beginning.
        onset = (here >= before) & (here > after)
        offset = (here < before) & (here <= after)
        for onsets, offsets, cell in zip(onset, offset, cells[half + 1 :], strict=False):
            if onsets.any():
                self._open(np.flatnonzero(onsets & ~self._inside))
            if offsets.any():
                yield from self._close(np.flatnonzero(offsets & self._inside))
            if self._boundary == self._n_pushed:
                break  # only silence follows
            self._sum += cell
            np.maximum(self._peak, cell, out=self._peak)
            self._boundary += 1

    def _open(self, events):
        self._inside[events] = True
        self._start[events] = self._boundary
        self._before[events] = self._sum[events]
        self._gap_peak[events] = self._peak[events]
        self._peak[events] = -np.inf

    def _close(self, events):
        kept = events[self._is_kept[events]]
        joined = kept[self._are_joined(kept)]
        yield from self._give(np.setdiff1d(kept, joined, assume_unique=True))
        new = np.setdiff1d(events, joined, assume_unique=True)
        self._kept_start[new] = self._start[new]
        self._kept_before[new] = self._before[new]
        self._kept_peak[new] = self._peak[new]
        self._kept_peak[joined] = np.max(
            [self._kept_peak[joined], self._gap_peak[joined], self._peak[joined]], axis=0
        )
        self._kept_stop[events] = self._boundary
        self._kept_after[events] = self._sum[events]
        self._is_kept[events] = True
        self._inside[events] = False
        self._peak[events] = -np.inf

    def _are_joined(self, events):
        """Whether the kept segment, the gap and the current segment become one."""
        start, stop = self._kept_start[events], self._kept_stop[events]
        before, after = self._kept_before[events], self._kept_after[events]
        first = (after - before) / (stop - start)
        gap = (self._before[events] - after) / (self._start[events] - stop)
        length = self._boundary - self._start[events]
        second = (self._sum[events] - self._before[events]) / length
        top = np.maximum(first, second)
        return (top - gap <= self.absolute) & (top <= self.relative * gap)

    def _give(self, events):
        for event in events:
            segment = Segment(
                int(event),
                int(self._kept_start[event]),
                int(self._kept_stop[event]),
                float(self._kept_before[event]),
                float(self._kept_after[event]),
                float(self._kept_peak[event]),
            )
            if segment.mean > self.threshold[event]:
                yield segment
