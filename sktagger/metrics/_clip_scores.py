"""Checked labels and scores, in the form that all score-based metrics use."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

__all__ = ["ClipScores"]


@dataclass(frozen=True)
class ClipScores:
    """Checked scores of clips, and the positions of the positives.

    The scores are not copied if they need no conversion. Of ``y_true``, only the positions of the
    positives are stored, because weak labels are sparse: an AudioSet clip has two or three of the
    527 events.

    Attributes
    ----------
    scores : ndarray of shape (n_clips, n_events), float32 or float64
        Finite scores.
    clip, event : ndarray of shape (n_positives,), int
        Row and column of each positive. Every pair occurs once; the order is arbitrary.
    weight : ndarray of shape (n_clips,), float64, or None
        Weight of each clip, greater than 0; None if all clips have the same weight.
    names : Index of shape (n_events,), or None
        Names of the events; None if the input had no names.
    """

    scores: np.ndarray
    clip: np.ndarray
    event: np.ndarray
    weight: np.ndarray | None
    names: pd.Index | None

    @property
    def support(self):
        """Total weight of the clips with each event: ndarray of shape (n_events,), float64."""
        weight = None if self.weight is None else self.weight[self.clip]
        support = np.bincount(self.event, weights=weight, minlength=self.scores.shape[1])
        return support.astype(np.float64, copy=False)

    @property
    def negatives(self):
        """Total weight of the clips without each event: ndarray of shape (n_events,), float64."""
        n_clips, n_events = self.scores.shape
        total = n_clips if self.weight is None else self.weight.sum()
        n_positives = np.bincount(self.event, minlength=n_events)
        # The sums of weights are rounded, so their difference may not be exactly 0.
        return np.where(n_positives == n_clips, 0.0, total - self.support)

    def clips_by_event(self):
        """List the clips with the first event, then those with the second, and so on.

        Returns
        -------
        clip : ndarray of shape (n_positives,), int
        start : ndarray of shape (n_events + 1,), intp
            Those of event `i` are ``clip[start[i]:start[i + 1]]``.
        """
        return self.clip[_stable_order(self.event)], _starts(self.event, self.scores.shape[1])

    def events_by_clip(self):
        """List the events of the first clip, then those of the second, and so on.

        Returns
        -------
        event : ndarray of shape (n_positives,), int
        start : ndarray of shape (n_clips + 1,), intp
            Those of clip `i` are ``event[start[i]:start[i + 1]]``.
        """
        return self.event[_stable_order(self.clip)], _starts(self.clip, self.scores.shape[0])

    def pooled(self):
        """Pool all events into one: each pair of clip and event becomes a clip."""
        n_events = self.scores.shape[1]
        return replace(
            self,
            scores=self.scores.reshape(-1, 1),
            clip=self.clip.astype(np.intp) * n_events + self.event,
            event=np.zeros_like(self.event),
            weight=None if self.weight is None else np.repeat(self.weight, n_events),
            names=None,
        )


def _stable_order(position):
    """Return the indices that sort the positions; equal positions keep their order."""
    # NumPy uses a fast radix sort for 16-bit integers, which suffice for the number of events.
    if position.size and position.max() < 2**16:
        position = position.astype(np.uint16)
    return np.argsort(position, kind="stable")


def _starts(position, n_positions):
    """Return where each position starts among the sorted positions, and where the last ends."""
    return np.concatenate([[0], np.cumsum(np.bincount(position, minlength=n_positions))])
