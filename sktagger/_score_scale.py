"""Scores of all events on one scale that does not depend on how a tagger spreads its scores."""

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

__all__ = ["ScoreScale"]

# Enough to follow a distribution closely, few enough to search fast; all scores of the tails are
# among them.
_N_KNOTS = 3000
# Irrational steps, which fill the interval of a tie evenly whatever clips share it.
_CLIP_STEP, _EVENT_STEP = 0.6180339887498949, 0.4142135623730951


class ScoreScale:
    """Map scores to normal deviates, such that negatives of all events together are normal.

    Only the order of the scores matters: any increasing function of all scores gives the same
    deviates (but for interpolation between knots). Equal scores are spread evenly over their
    ranks. Positives that score beyond all negatives share the last rank.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry is False.
    """

    def __init__(self, scores, positive):
        negatives = np.sort(scores[~positive]).astype(np.float64)
        positives = np.sort(scores[positive]).astype(np.float64)
        n = len(negatives)
        reach = logit(1 - 0.5 / n)
        at = np.unique(np.rint(n * expit(np.linspace(-reach, reach, _N_KNOTS)) - 0.5).astype(int))
        above = positives[positives > negatives[-1]]
        self._scores = np.unique(
            np.concatenate(
                [
                    positives[:1],
                    negatives[np.clip(at, 0, n - 1)],
                    above[:: 1 + len(above) // _N_KNOTS],
                    above[-1:],
                ]
            )
        )

        def rank(side):
            below = np.searchsorted(negatives, self._scores, side)
            share = np.searchsorted(positives, self._scores, side) / max(len(positives), 1)
            return np.clip((below + share) / (n + 1), 0.25 / (n + 1), 1 - 1e-9)

        self._low, self._high = rank("left"), rank("right")
        self._tied = (self._high - self._low) * (n + 1) > 2

    def deviates(self, scores):
        """Normal deviates of scores.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float
            Those of which the scale was made.

        Returns
        -------
        deviates : ndarray of shape (n_clips, n_events), float64
        """
        n_clips, n_events = scores.shape
        spread = np.add.outer(_CLIP_STEP * np.arange(n_clips), _EVENT_STEP * np.arange(n_events))
        spread %= 1
        left = np.searchsorted(self._scores, scores, "right") - 1
        right = np.minimum(left + 1, len(self._scores) - 1)
        start, width = self._scores[left], self._scores[right] - self._scores[left]
        is_knot = scores == start
        share = np.where(is_knot, spread, (scores - start) / np.where(width > 0, width, 1))
        low = np.where(is_knot, self._low[left], self._high[left])
        high = np.where(is_knot, self._high[left], self._low[right])
        return ndtri(low + share * (high - low))

    def scores(self, deviates):
        """Scores at deviates, between the scores that are known.

        Parameters
        ----------
        deviates : ndarray of any shape, float64

        Returns
        -------
        scores : ndarray of the same shape, float64
            Less than the highest score.
        """
        # Ranks above 1 - 1e-9 are the highest score; a threshold there would report nothing.
        scores = np.interp(ndtr(deviates), 0.5 * (self._low + self._high), self._scores)
        return np.minimum(scores, self._midpoint(len(self._scores) - 1))

    def ties(self, deviates):
        """Find the deviates that fall among equal scores, where no threshold can be.

        Parameters
        ----------
        deviates : ndarray of shape (n_events,), float64

        Returns
        -------
        among : ndarray of shape (n_events,), bool
        low, high : ndarray of shape (n_events,), float64
            Deviates where the equal scores begin and end.
        below, at : ndarray of shape (n_events,), float64
            Thresholds that accept and reject them.
        """
        rank = ndtr(deviates)
        knot = np.clip(np.searchsorted(self._high, rank), 0, len(self._scores) - 1)
        among = self._tied[knot] & (rank > self._low[knot])
        return (
            among,
            ndtri(self._low[knot]),
            ndtri(self._high[knot]),
            self._midpoint(knot),
            self._scores[knot],
        )

    def _midpoint(self, knot):
        """Score between a knot and the one below."""
        score = self._scores[knot]
        below = np.where(knot > 0, self._scores[np.maximum(knot, 1) - 1], score - 1)
        return 0.5 * (score + below)
