"""Precision, recall and F-score from counts; NaN for events without positives."""

import numpy as np

__all__ = ["f_score", "precision", "ratio", "recall"]


def ratio(numerator, denominator, undefined=np.nan):
    """Divide; the result is `undefined` where the denominator is 0."""
    out = np.full(np.shape(denominator), undefined, dtype=np.float64)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)


def precision(tp, fp, fn):
    """Share of predictions that are true; 0 without predictions, NaN without positives."""
    return np.where(tp + fn > 0, ratio(tp, tp + fp, undefined=0.0), np.nan)


def recall(tp, fp, fn):
    """Share of positives that are predicted; NaN without positives."""
    return ratio(tp, tp + fn)


def f_score(tp, fp, fn, beta=1.0):
    """Weighted harmonic mean of precision and recall; NaN without positives."""
    # Computed from counts, not rates: with a single rounding, equal F-scores are equal numbers.
    hits = (1.0 + beta**2) * tp
    return np.where(tp + fn > 0, ratio(hits, hits + beta**2 * fn + fp), np.nan)
