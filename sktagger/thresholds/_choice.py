"""Criteria for thresholds, and the search for the best threshold."""

import numpy as np

from sktagger.metrics import RankedScores
from sktagger.thresholds._model import ExpectedRates

__all__ = ["Criterion", "pick_best", "pick_expected"]

# A user's metric is called on so many synthetic clips that about this many of them are positive.
_N_POSITIVES = 50
_MIN_CLIPS, _MAX_CLIPS = 1000, 20_000


class Criterion:
    """The metric that thresholds maximize, and the precision and recall that they must have.

    Parameters
    ----------
    metric : {"f1", "fbeta", "error_rate"} or callable, default="f1"
        See `ThresholdTuner`.
    beta : float, default=1.0
        Weight of recall over precision for ``metric="fbeta"``.
    min_precision, min_recall : float or None, default=None
        Minimum precision and recall; None for no minimum.
    """

    def __init__(self, metric="f1", beta=1.0, min_precision=None, min_recall=None):
        self.metric = metric
        self.beta = beta if metric == "fbeta" else 1.0
        self.min_precision = min_precision or 0.0
        self.min_recall = min_recall or 0.0

    @property
    def is_constrained(self):
        """Whether a minimum precision or recall is set: bool."""
        return self.min_precision > 0 or self.min_recall > 0

    def gain(self, tp, fp, fn):
        """Compute the metric from confusion counts; greater is better.

        Parameters
        ----------
        tp, fp, fn : ndarray of the same shape, float64
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
        """Compute the user's metric on synthetic clips with the given confusion counts.

        Parameters
        ----------
        tp, fp, fn : ndarray of shape (n_thresholds,), int
            Numbers of clips.
        n_clips : int
            Number of all clips.

        Returns
        -------
        gain : ndarray of shape (n_thresholds,), float64
        """
        gains = np.empty(len(tp))
        for number, counts in enumerate(zip(tp, fp, fn, strict=True)):
            repeats = [*counts, n_clips - sum(counts)]
            y_true, y_pred = (np.repeat(labels, repeats) for labels in ([1, 0, 1, 0], [1, 1, 0, 0]))
            gains[number] = self.metric(y_true, y_pred)
        return gains

    def best(self, gain, tp, fp, fn):
        """Find the best threshold with the minimum precision and recall.

        Parameters
        ----------
        gain, tp, fp, fn : ndarray of shape (n_events, n_thresholds), float64

        Returns
        -------
        best : ndarray of shape (n_events,), intp
            Index of the best threshold; the first one of a tie. If no threshold has the minimum
            precision and recall, the one with the smallest shortfall.
        allowed : ndarray of shape (n_events,), bool
            Whether the best threshold has the minimum precision and recall.
        """
        if not self.is_constrained:
            return gain.argmax(axis=1), np.ones(len(gain), dtype=bool)
        precision, recall = tp / np.maximum(tp + fp, 1e-300), tp / np.maximum(tp + fn, 1e-300)
        shortfall = (self.min_precision - precision).clip(min=0)
        shortfall = shortfall + (self.min_recall - recall).clip(min=0)
        smallest = np.maximum(shortfall.min(axis=1, keepdims=True), 1e-12)
        best = np.where(shortfall <= smallest, gain, -np.inf).argmax(axis=1)
        return best, smallest[:, 0] <= 1e-12


def pick_best(scores, positive, criterion):
    """Find the thresholds that are best on the tuning clips themselves.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry must be True.
    criterion : Criterion

    Returns
    -------
    thresholds : ndarray of shape (n_events,), float64
    allowed : ndarray of shape (n_events,), bool
        Whether the threshold has the minimum precision and recall.
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
        # Fewer false positives are never worse, so the best threshold lies just below a positive or
        # above all scores.
        curve = curve[(curve["TP"].diff() != 0) | (curve["threshold"] == np.inf)]
        tp, fp = curve["TP"].to_numpy(), curve["FP"].to_numpy()
        fn = ranked.support_[event] - tp
        if callable(criterion.metric):
            counts = (values.astype(int) for values in (tp, fp, fn))
            gain = criterion.gain_by_call(*counts, n_clips=len(scores))
        else:
            gain = criterion.gain(tp, fp, fn)
        best, is_allowed = criterion.best(*(values[np.newaxis] for values in (gain, tp, fp, fn)))
        # At +inf the event is never predicted. The highest score is finite and has the same effect.
        thresholds[event] = min(curve["threshold"].iloc[best[0]], scores[:, event].max())
        allowed[event] = is_allowed[0]
    return thresholds, allowed


def pick_expected(scores, positive, criterion):
    """Find the thresholds that are expected to be best on new clips.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry must be True.
    criterion : Criterion

    Returns
    -------
    thresholds : ndarray of shape (n_events,), float64
    allowed : ndarray of shape (n_events,), bool
        Whether the threshold has the minimum precision and recall.
    """
    if positive.all():
        below_all = np.nextafter(scores.min(axis=0).astype(np.float64), -np.inf)
        return below_all, np.ones(scores.shape[1], dtype=bool)
    rates = ExpectedRates(scores, positive)
    if callable(criterion.metric):
        gain = _expected_by_call(rates, criterion)
    else:
        gain = rates.expect(criterion.gain)
    best, allowed = criterion.best(gain, *rates.shares())
    position = best if criterion.is_constrained else _refine(gain, best)
    return rates.thresholds(position, gain), allowed


def _expected_by_call(rates, criterion):
    """Compute the user's metric on synthetic clips with the expected counts, for each level."""
    tp, fp, fn = rates.shares()
    gain = np.empty(tp.shape)
    for event, prior in enumerate(tp[:, 0] + fn[:, 0]):
        n_clips = int(np.clip(_N_POSITIVES / prior, _MIN_CLIPS, _MAX_CLIPS))
        n_positives = max(1, round(prior * n_clips))
        n_tp = np.rint(n_positives * tp[event] / prior).astype(int)
        n_fp = np.rint((n_clips - n_positives) * fp[event] / (1 - prior)).astype(int)
        gain[event] = criterion.gain_by_call(n_tp, n_fp, n_positives - n_tp, n_clips)
    return gain


def _refine(gain, best):
    """Find the maximum of the parabola through the best level and its two neighbors."""
    event = np.arange(len(gain))
    best = best.clip(1, gain.shape[1] - 2)
    before, top, after = (gain[event, best + offset] for offset in (-1, 0, 1))
    curvature = before - 2 * top + after
    is_peak = curvature < 0
    offset = np.where(is_peak, 0.5 * (before - after) / np.where(is_peak, curvature, -1), 0)
    return best + offset.clip(-1, 1)
