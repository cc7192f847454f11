"""Slow and simple implementations of `sktagger.metrics`, written from the definitions.

They handle one event (or one clip) at a time, with plain loops and without sorting.
"""

import math
from itertools import pairwise

import numpy as np


def average_precision(is_positive, score, weight=None):
    """Mean precision over the positives, among all clips that score at least as high."""
    weight = np.ones(len(score)) if weight is None else weight
    total = sum(w for w, p in zip(weight, is_positive, strict=True) if p)
    if total == 0:
        return math.nan
    mean = 0.0
    for i in np.flatnonzero(is_positive):
        reaching = [j for j in range(len(score)) if score[j] >= score[i]]
        if weight[i] > 0:
            right = sum(weight[j] for j in reaching if is_positive[j])
            mean += weight[i] / total * right / sum(weight[j] for j in reaching)
    return mean


def roc_auc(is_positive, score, weight=None):
    """Share of pairs in which the positive scores higher than the negative; ties count half."""
    weight = np.ones(len(score)) if weight is None else weight
    in_order = pairs = 0.0
    for i in np.flatnonzero(is_positive):
        for j in np.flatnonzero(~np.asarray(is_positive, dtype=bool)):
            pairs += weight[i] * weight[j]
            in_order += (
                weight[i]
                * weight[j]
                * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
            )
    return in_order / pairs if pairs else math.nan


def rates(is_positive, predicted, beta=1.0):
    """F-score, precision and recall, with the formulas of the published system."""
    tp = sum(bool(t and p) for t, p in zip(is_positive, predicted, strict=True))
    fp = sum(bool(p and not t) for t, p in zip(is_positive, predicted, strict=True))
    fn = sum(bool(t and not p) for t, p in zip(is_positive, predicted, strict=True))
    if tp + fn == 0:
        return math.nan, math.nan, math.nan
    p, r = tp / max(tp + fp, 1), tp / max(tp + fn, 1)
    return (1 + beta**2) * p * r / max(beta**2 * p + r, 1e-15), p, r


def best_threshold(is_positive, score, beta=1.0):
    """Try -inf, all midpoints between adjacent scores, and +inf; return the highest if tied."""
    distinct = sorted({float(s) for s in score})
    midpoints = [(low + high) / 2 for low, high in pairwise(distinct)]
    best, best_fscore = math.inf, 0.0
    for threshold in sorted([-math.inf, *midpoints], reverse=True):
        fscore = rates(is_positive, [float(s) > threshold for s in score], beta)[0]
        # Equal F-scores may differ in the last digit, because they are computed from rounded rates.
        if fscore > best_fscore + 1e-12:
            best, best_fscore = threshold, fscore
    return best


def precision_in_clip(is_positive, score):
    """Precision at each event of a clip, among all events that score at least as high."""
    precision = {}
    for i in np.flatnonzero(is_positive):
        reaching = [j for j in range(len(score)) if score[j] >= score[i]]
        precision[i] = sum(bool(is_positive[j]) for j in reaching) / len(reaching)
    return precision


def lwlrap(y_true, y_score):
    """Label-weighted label-ranking average precision of each event, and overall."""
    hits = [[] for _ in range(y_true.shape[1])]
    for is_positive, score in zip(y_true, y_score, strict=True):
        for event, precision in precision_in_clip(is_positive, score).items():
            hits[event].append(precision)
    pooled = [precision for event in hits for precision in event]
    by_event = [float(np.mean(event)) if event else math.nan for event in hits]
    return by_event, float(np.mean(pooled)) if pooled else math.nan


def clip_errors(is_positive, predicted):
    """Substitutions, insertions and deletions of one clip."""
    true, found = set(np.flatnonzero(is_positive)), set(np.flatnonzero(predicted))
    missed, false = len(true - found), len(found - true)
    return min(missed, false), max(0, false - missed), max(0, missed - false)
