"""What makes a threshold the best one, and the search for it."""

import numpy as np

from sktagger.metrics import RankedScores
from sktagger.thresholds._model import ExpectedRates

__all__ = ["Criterion", "pick_best", "pick_expected"]

# A metric that the user gives sees as many clips as hold about this many positives
_N_POSITIVES = 50
_MIN_CLIPS, _MAX_CLIPS = 1000, 20_000


class Criterion:
    """A metric of decisions on one event, and the precision and recall that they must have.

    Parameters
    ----------
    metric : {"f1", "fbeta", "error_rate"} or callable
    beta : float
    min_precision, min_recall : float or None
    """

    def __init__(self, metric="f1", beta=1.0, min_precision=None, min_recall=None):
        self.metric = metric
        self.beta = beta if metric == "fbeta" else 1.0
        self.min_precision = min_precision or 0.0
        self.min_recall = min_recall or 0.0

    @property
    def is_constrained(self):
        """Whether not any decisions will do: bool."""
        return self.min_precision > 0 or self.min_recall > 0

    def gain(self, tp, fp, fn):
        """Metric of decisions; the greater, the better.

        Parameters
        ----------
        tp, fp, fn : ndarray of one shape, float64
            Numbers or shares of clips.

        Returns
        -------
        gain : ndarray of this shape, float64
        """
        if self.metric == "error_rate":
            return -(fp + fn)
        weight = self.beta**2
        return (1 + weight) * tp / np.maximum((1 + weight) * tp + fp + weight * fn, 1e-300)

    def gain_by_call(self, tp, fp, fn, n_clips):
        """Metric of decisions by the user's function, for integer numbers of clips: ndarray."""
        gains = np.empty(len(tp))
        for place, numbers in enumerate(zip(tp, fp, fn, strict=True)):
            repeats = [*numbers, n_clips - sum(numbers)]
            y_true, y_pred = (np.repeat(labels, repeats) for labels in ([1, 0, 1, 0], [1, 1, 0, 0]))
            gains[place] = self.metric(y_true, y_pred)
        return gains

    def best(self, gain, tp, fp, fn):
        """Place of the best decisions that are allowed, or else are nearest to what is allowed.

        Parameters
        ----------
        gain, tp, fp, fn : ndarray of shape (n_events, n_decisions), float64

        Returns
        -------
        best : ndarray of shape (n_events,), intp
            The first of several.
        allowed : ndarray of shape (n_events,), bool
        """
        if not self.is_constrained:
            return gain.argmax(axis=1), np.ones(len(gain), dtype=bool)
        precision, recall = tp / np.maximum(tp + fp, 1e-300), tp / np.maximum(tp + fn, 1e-300)
        lack = (self.min_precision - precision).clip(min=0) + (self.min_recall - recall).clip(min=0)
        least = np.maximum(lack.min(axis=1, keepdims=True), 1e-12)
        return np.where(lack <= least, gain, -np.inf).argmax(axis=1), least[:, 0] <= 1e-12


def pick_best(scores, positive, criterion):
    """Thresholds that are best on the tuning clips themselves.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry is True.
    criterion : Criterion

    Returns
    -------
    thresholds : ndarray of shape (n_events,), float64
    allowed : ndarray of shape (n_events,), bool
    """
    thresholds, allowed = _search(scores, positive, criterion)
    absent = ~positive.any(axis=0)
    if absent.any():
        shared, _ = _search(scores.reshape(-1, 1), positive.reshape(-1, 1), criterion)
        thresholds[absent] = shared.clip(scores.min(), scores.max())
    return thresholds, allowed | absent


def _search(scores, positive, criterion):
    ranked = RankedScores(positive, scores)
    n_events = scores.shape[1]
    if criterion.metric in ("f1", "fbeta") and not criterion.is_constrained:
        return ranked.best_thresholds(criterion.beta).thresholds, np.ones(n_events, dtype=bool)
    thresholds, allowed = np.full(n_events, np.inf), np.ones(n_events, dtype=bool)
    for event in np.flatnonzero(positive.any(axis=0)):
        curve = ranked.curve(int(event))
        # To reject more negatives is never worse: of the rest only "no clip" may be best
        curve = curve[(curve["TP"].diff() != 0) | (curve["threshold"] == np.inf)]
        tp, fp = curve["TP"].to_numpy(), curve["FP"].to_numpy()
        fn = ranked.support_[event] - tp
        if callable(criterion.metric):
            numbers = (values.astype(int) for values in (tp, fp, fn))
            gain = criterion.gain_by_call(*numbers, n_clips=len(scores))
        else:
            gain = criterion.gain(tp, fp, fn)
        best, is_allowed = criterion.best(*(values[np.newaxis] for values in (gain, tp, fp, fn)))
        # Above all scores is a threshold that decides nothing; the highest score does the same
        thresholds[event] = min(curve["threshold"].iloc[best[0]], scores[:, event].max())
        allowed[event] = is_allowed[0]
    return thresholds, allowed


def pick_expected(scores, positive, criterion):
    """Thresholds that are expected to be best on new clips.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry is True.
    criterion : Criterion

    Returns
    -------
    thresholds : ndarray of shape (n_events,), float64
    allowed : ndarray of shape (n_events,), bool
    """
    if positive.all():
        all_clips = np.nextafter(scores.min(axis=0).astype(np.float64), -np.inf)
        return all_clips, np.ones(scores.shape[1], dtype=bool)
    rates = ExpectedRates(scores, positive)
    if callable(criterion.metric):
        gain = _expected_by_call(rates, criterion)
    else:
        gain = rates.expect(criterion.gain)
    best, allowed = criterion.best(gain, *rates.shares())
    place = best if criterion.is_constrained else _refine(gain, best)
    return rates.thresholds(place, gain), allowed


def _expected_by_call(rates, criterion):
    """Metric of the user on clips as they are expected, for each event and level."""
    tp, fp, fn = rates.shares()
    gain = np.empty(tp.shape)
    for event, prior in enumerate(tp[:, 0] + fn[:, 0]):
        n_clips = int(np.clip(_N_POSITIVES / prior, _MIN_CLIPS, _MAX_CLIPS))
        n_positives = max(1, round(prior * n_clips))
        hits = np.rint(n_positives * tp[event] / prior).astype(int)
        n_false = np.rint((n_clips - n_positives) * fp[event] / (1 - prior)).astype(int)
        gain[event] = criterion.gain_by_call(hits, n_false, n_positives - hits, n_clips)
    return gain


def _refine(gain, best):
    """Place of the top of the parabola through the best level and its neighbours."""
    event = np.arange(len(gain))
    best = best.clip(1, gain.shape[1] - 2)
    before, top, after = (gain[event, best + offset] for offset in (-1, 0, 1))
    bend = before - 2 * top + after
    offset = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1), 0)
    return best + offset.clip(-1, 1)
