"""Rates from counts of decisions, with the policy for events without positives built in."""

import numpy as np

__all__ = ["f_score", "precision", "ratio", "recall"]


def ratio(numerator, denominator, undefined=np.nan):
    """Quotient, `undefined` where the denominator is 0."""
    out = np.full(np.shape(denominator), undefined, dtype=np.float64)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)


def precision(tp, fp, fn):
    """Share of the accepted that are right; 0 if none is accepted, NaN if none is to be found."""
    return np.where(tp + fn > 0, ratio(tp, tp + fp, undefined=0.0), np.nan)


def recall(tp, fp, fn):
    """Share of those to be found that are accepted; NaN if none is to be found."""
    return ratio(tp, tp + fn)


def f_score(tp, fp, fn, beta=1.0):
    """Weighted harmonic mean of precision and recall; NaN if none is to be found."""
    # From counts instead of rates: a single rounding, so that equal F-scores are equal numbers.
    hits = (1.0 + beta**2) * tp
    return np.where(tp + fn > 0, ratio(hits, hits + beta**2 * fn + fp), np.nan)
