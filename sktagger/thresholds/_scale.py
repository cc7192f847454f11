"""A common scale for the scores of all events, which depends only on their order."""

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

__all__ = ["ScoreScale"]

# With this many knots the scale is accurate and the search is fast. Knots are densest in the tails,
# where the thresholds are. There, each score is a knot.
_N_KNOTS = 3000
# Multiples of an irrational number, modulo 1, spread any set of clips evenly.
_STEP = 2**0.5


class ScoreScale:
    """Map scores to normal deviates, such that the negatives of all events together are normal.

    Only the order of the scores matters. An increasing function of all scores changes nothing at
    the knots, and little between them. Equal scores are spread over their ranks. Positives that
    score above all negatives share the last rank.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
        Finite.
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry must be False.
    """

    def __init__(self, scores, positive):
        negatives = np.sort(scores[~positive]).astype(np.float64)
        positives = np.sort(scores[positive]).astype(np.float64)
        n_negatives = len(negatives)
        reach = logit(1 - 0.5 / n_negatives)
        ranks = n_negatives * expit(np.linspace(-reach, reach, _N_KNOTS)) - 0.5
        ranks = np.unique(np.rint(ranks).astype(np.intp)).clip(0, n_negatives - 1)
        above = positives[positives > negatives[-1]]
        self._knots = np.unique(
            np.concatenate(
                [
                    positives[:1],
                    negatives[ranks],
                    above[:: 1 + len(above) // _N_KNOTS],
                    above[-1:],
                ]
            )
        )

        def rank(side):
            below = np.searchsorted(negatives, self._knots, side)
            share = np.searchsorted(positives, self._knots, side) / max(len(positives), 1)
            return ((below + share) / (n_negatives + 1)).clip(0.25 / (n_negatives + 1), 1 - 1e-9)

        self._low, self._high = rank("left"), rank("right")
        distance = np.diff(self._knots, append=np.inf)
        self._slope = (np.append(self._low[1:], 1.0) - self._high) / distance
        self._is_tie = (self._high - self._low) * (n_negatives + 1) > 2
        self._highest_threshold = self._midpoint_below(len(self._knots) - 1)

    def deviates(self, scores):
        """Convert the scores that the scale was made from to deviates.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float

        Returns
        -------
        deviates : ndarray of shape (n_clips, n_events), float64
        """
        knot = np.searchsorted(self._knots, scores, side="right") - 1
        beyond = scores - self._knots[knot]
        rank = self._high[knot] + self._slope[knot] * beyond
        clip, event = np.nonzero(beyond == 0)
        knot = knot[clip, event]
        spread = np.where(self._is_tie[knot], _STEP * clip % 1, 0.5)
        rank[clip, event] = self._low[knot] + spread * (self._high[knot] - self._low[knot])
        return ndtri(rank)

    def thresholds(self, deviates):
        """Convert deviates to thresholds, by interpolation between the knots.

        Parameters
        ----------
        deviates : ndarray of shape (n_events,), float64

        Returns
        -------
        thresholds : ndarray of shape (n_events,), float64
            Below the highest of all scores, so that each event can be predicted.
        """
        middle = 0.5 * (self._low + self._high)
        thresholds = np.interp(ndtr(deviates), middle, self._knots)
        return np.minimum(thresholds, self._highest_threshold)

    def ties(self, deviates):
        """Find deviates among equal scores, which a threshold cannot separate.

        Parameters
        ----------
        deviates : ndarray of shape (n_events,), float64

        Returns
        -------
        event : ndarray of shape (n_ties,), intp
        low, high : ndarray of shape (n_ties,), float64
            Lowest and highest deviate of the equal scores.
        below, at : ndarray of shape (n_ties,), float64
            Thresholds below and at the equal scores: the event is predicted for all of these
            clips, or for none of them.
        """
        rank = ndtr(deviates)
        knot = np.searchsorted(self._high, rank).clip(0, len(self._knots) - 1)
        event = np.flatnonzero(self._is_tie[knot] & (rank > self._low[knot]))
        knot = knot[event]
        return (
            event,
            ndtri(self._low[knot]),
            ndtri(self._high[knot]),
            self._midpoint_below(knot),
            np.minimum(self._knots[knot], self._highest_threshold),
        )

    def _midpoint_below(self, knot):
        below = np.where(knot > 0, self._knots[np.maximum(knot, 1) - 1], self._knots[0] - 1)
        return 0.5 * (self._knots[knot] + below)
