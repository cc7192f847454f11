"""What thresholds give on new clips: a model of all events together.

An event with three positives says little about its threshold; all events together say how scores
of taggers are usually distributed. Three things are estimated for each event and drawn toward what
the events have in common, the more the less the event has to say for itself (empirical Bayes):

1. Which share of its negatives is above a threshold, the false positive rate.
2. Which share of its positives is, the true positive rate.
3. Which share of clips are positives, the prior.

Thresholds are looked at on a scale where the negatives of each event are standard normal.
"""

import numpy as np
from scipy.special import betaincinv, betaln, ndtr, ndtri

from sktagger._score_scale import ScoreScale

__all__ = ["RateModel"]

# Deviates of scores, and deviates of false positive rates
_STEP = 0.025
_DEVIATES = np.arange(-6, 8 + _STEP, _STEP)
_LEVELS = np.arange(-4, 9.01, 0.05)
# Kernel widths, in standard deviations at one clip
_NULL_WIDTH = 1.0
_POSITIVE_WIDTH = 1.0
# Positives at which an event's own kernel estimate counts as much as the model of all events
_OWN_SUPPORT = 60.0
# How many events' worth of weight the initial guess has in what is learnt of all events
_GUESS_WEIGHT = 4.0
_SPREAD_WEIGHT = 2.0
_N_ITERATIONS = 15
_N_PRIORS = 15
_STAGE2 = True


class RateModel:
    """True and false positive rates that thresholds of each event give on new clips.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry is True and one False.
    """

    def __init__(self, scores, positive):
        self.n_clips, self.n_events = scores.shape
        self.support = positive.sum(axis=0)
        self._scale = ScoreScale(scores, positive)
        deviates = self._scale.deviates(scores)
        n_negatives = self.n_clips - self.support
        self._center, self._width = _location_and_scale(
            np.where(positive, 0, deviates).sum(axis=0), (np.where(positive, 0, deviates**2)).sum(axis=0), n_negatives
        )
        deviates -= self._center
        deviates /= self._width
        bins = np.clip(np.rint((deviates - _DEVIATES[0]) / _STEP), 0, len(_DEVIATES) - 1).astype(np.intp)
        bins += len(_DEVIATES) * np.arange(self.n_events)
        n_bins = len(_DEVIATES) * self.n_events
        negatives, positives = (
            np.bincount(bins[mask], minlength=n_bins).reshape(self.n_events, -1).astype(float)
            for mask in (~positive, positive)
        )
        if _STAGE2:
            self._straight = _straighten(negatives.sum(axis=0))
        else:
            self._straight = _DEVIATES
        c2, w2 = _location_and_scale(negatives @ self._straight, negatives @ self._straight**2, n_negatives)
        self._final = (self._straight - c2[:, None]) / w2[:, None]
        negatives, positives = (_rebin(h, self._final) for h in (negatives, positives))
        rate = _false_positive_rate(negatives, n_negatives)
        self._level = np.maximum.accumulate(
            -ndtri(np.clip(rate, 1e-12, 1 - 1e-12)) + 1e-9 * np.arange(len(_DEVIATES)), axis=1
        )
        self.levels = _LEVELS
        self.fpr = ndtr(-_LEVELS)
        at = _at_levels(positives, self._level)
        self.curves, self.weights = _known_curves(at, self.support)
        self.own, self.own_weight = _kernel_curves(at, self.support)
        self.priors = _priors(self.support, self.n_clips)

    def expect(self, gain):
        total = np.zeros((self.n_events, len(_LEVELS)))
        prior, node = self.priors
        own = self.own_weight[:, None]
        for j, p in enumerate(prior):
            own_gain = gain(p * self.own, (1 - p) * self.fpr, p * (1 - self.own))
            known = self.weights @ gain(p * self.curves, (1 - p) * self.fpr, p * (1 - self.curves))
            total += node[:, j : j + 1] * (own * own_gain + (1 - own) * known)
        return total

    def thresholds(self, value):
        event = np.arange(self.n_events)
        best = np.clip(value.argmax(axis=1), 1, len(_LEVELS) - 2)
        before, at, after = (value[event, best + k] for k in (-1, 0, 1))
        bend = before - 2 * at + after
        shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1), 0)
        level = _LEVELS[best] + (_LEVELS[1] - _LEVELS[0]) * np.clip(shift, -1, 1)
        x = np.array([np.interp(l, own, g) for l, own, g in zip(level, self._level, np.broadcast_to(_DEVIATES, self._level.shape))])
        x = np.array([np.interp(v, f, _DEVIATES) for v, f in zip(x, self._final)])
        deviate = self._center + self._width * x
        thresholds = self._scale.scores(deviate)
        among, low, high, below, above = self._scale.ties(deviate)
        for e in np.flatnonzero(among):
            v = [np.interp(self._to_level(e, d), _LEVELS, value[e]) for d in (low[e], high[e])]
            thresholds[e] = below[e] if v[0] >= v[1] else above[e]
        return np.minimum(thresholds,self._scale._midpoint(len(self._scale._scores)-1))

    def _to_level(self, e, d):
        x = (d - self._center[e]) / self._width[e]
        x = np.interp(x, _DEVIATES, self._final[e])
        return np.interp(x, _DEVIATES, self._level[e])


def _rebin(h, final):
    E, B = h.shape
    b = np.clip(np.rint((final - _DEVIATES[0]) / _STEP), 0, B - 1).astype(int) + B * np.arange(E)[:, None]
    return np.bincount(b.ravel(), weights=h.ravel(), minlength=B * E).reshape(E, B)


def _straighten(total):
    c = np.cumsum(total)
    u = (c - 0.5 * total + 0.25) / (c[-1] + 0.5)
    g = ndtri(u)
    lo, hi = np.flatnonzero(total)[[0, -1]]
    # beyond the negatives: parallel
    g[:lo] = g[lo] + (_DEVIATES[:lo] - _DEVIATES[lo])
    g[hi + 1 :] = g[hi] + (_DEVIATES[hi + 1 :] - _DEVIATES[hi])
    return np.maximum.accumulate(g + 1e-9 * np.arange(len(g)))


def _location_and_scale(total, total_squares, count):
    known = count >= 2
    n = np.maximum(count, 1)
    mean = total / n
    var = np.maximum(total_squares - n * mean**2, 1e-6 * n) / np.maximum(n - 1, 1)
    log_var = _shrink(np.log(var), 2 / np.maximum(n - 1, 1), known, count)
    width = np.exp(0.5 * log_var)
    return _shrink(mean, width**2 / n, known, count), width


def _shrink(values, error, known, weight):
    if not known.any():
        return np.zeros_like(values)
    middle = np.average(values[known], weights=weight[known])
    between = max(np.mean((values[known] - middle) ** 2 - error[known]), 1e-4)
    return np.where(known, (between * values + error * middle) / (between + error), middle)


def _smooth_tails(h, width, weight):
    out = np.empty_like(h)
    width = np.round(width, 3)
    for w in np.unique(width):
        e = np.flatnonzero(width == w)
        a = 1 / np.sqrt(1 + w * w)
        out[e] = h[e] @ ndtr((a * _DEVIATES[:, None] - _DEVIATES) / (a * w))
    return out / weight[:, None]


def _false_positive_rate(negatives, n):
    normal = ndtr(-_DEVIATES)
    width = np.clip(_NULL_WIDTH * np.maximum(n, 1) ** -0.2, 0.05, 2)
    own = _smooth_tails(negatives, width, np.maximum(n, 1))
    expected = n[:, None] * normal
    count = np.cumsum(negatives[:, ::-1], axis=1)[:, ::-1]
    excess = ((count - expected) ** 2 - expected * (1 - normal)).sum(0) * len(n) / max(len(n) - 1, 1)
    scale = (expected**2).sum(0)
    guess = 0.05 * (0.1 + np.maximum(_DEVIATES, 0)) ** 2
    w = _SPREAD_WEIGHT * scale / len(n)
    spread = (np.maximum(excess, 0) + w * guess) / (scale + w + 1e-300)
    good = np.flatnonzero(expected.sum(0) >= 5)
    if len(good):
        last = good[-1]
        spread[last + 1 :] = spread[last] * (_DEVIATES[last + 1 :] / max(_DEVIATES[last], 0.5)) ** 2
    else:
        spread = guess
    trust = spread / (spread + (1 - normal) / np.maximum(expected, 1e-300))
    return (1 - trust) * normal + trust * own


def _at_levels(h, level):
    E, B = h.shape
    step = _LEVELS[1] - _LEVELS[0]
    b = np.clip(np.rint((level - _LEVELS[0]) / step), 0, len(_LEVELS) - 1).astype(int) + len(_LEVELS) * np.arange(E)[:, None]
    return np.bincount(b.ravel(), weights=h.ravel(), minlength=E * len(_LEVELS)).reshape(E, -1)


def _pdf(x, m, s):
    return np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))


def _known_curves(at, support):
    faint_share = {0.0: 0.6, 0.1: 0.2, 0.25: 0.12, 0.5: 0.08}
    m, s, f = (
        v.reshape(-1, 1)
        for v in np.meshgrid(
            np.linspace(-0.5, 6, 27), [0.35, 0.5, 0.7, 1, 1.4, 2.0], list(faint_share), indexing="ij"
        )
    )
    density = 0.995 * ((1 - f) * _pdf(_LEVELS, m, s) + f * _pdf(_LEVELS, 0, 1)) + 0.0005
    tpr = (1 - f) * ndtr((m - _LEVELS) / s) + f * ndtr(-_LEVELS)
    guess = (_pdf(m, 2, 1) * _pdf(np.log(s), 0, 0.5) * np.vectorize(faint_share.get)(f))[:, 0]
    guess /= guess.sum()
    ll = at @ np.log(density).T
    like = np.exp(ll - ll.max(1, keepdims=True))
    seen = support > 0
    share = guess
    for _ in range(_N_ITERATIONS):
        w = like[seen] * share
        w /= w.sum(1, keepdims=True)
        share = (_GUESS_WEIGHT * guess + w.sum(0)) / (_GUESS_WEIGHT + seen.sum())
    w = like * share
    return tpr, w / w.sum(1, keepdims=True)


def _kernel_curves(at, support):
    n = np.maximum(support, 1)
    mean = at @ _LEVELS / n
    sd = np.sqrt(np.maximum(at @ _LEVELS**2 / n - mean**2, 0.01))
    width = np.maximum(0.05, np.round(np.clip(_POSITIVE_WIDTH * sd * n**-0.2, 0.05, 2) / 0.05) * 0.05)
    out = np.empty_like(at)
    for w in np.unique(width):
        e = np.flatnonzero(width == w)
        out[e] = at[e] @ ndtr((_LEVELS[:, None] - _LEVELS) / w) / n[e, None]
    return out, support / (support + _OWN_SUPPORT)


def _priors(support, n_clips):
    mean = (support.sum() + 0.5) / (n_clips * len(support) + 1)
    best = None
    for a in [0.15, 0.25, 0.4, 0.6, 1, 1.5, 2.5, 4, 8, 20]:
        b = a * (1 - mean) / mean
        L = (betaln(support + a, n_clips - support + b) - betaln(a, b)).sum() - 0.5 * np.log(a) ** 2
        if best is None or best[0] < L:
            best = L, a, b
    _, a, b = best
    p = np.exp(np.linspace(np.log(min(1e-5, 0.1 / n_clips)), np.log(0.5), 60))
    p = np.concatenate([p, np.linspace(0.52, 0.98, 15)])
    ld = (support + a - 1)[:, None] * np.log(p) + (n_clips - support + b - 1)[:, None] * np.log1p(-p) + np.log(np.gradient(p))
    w = np.exp(ld - ld.max(1, keepdims=True))
    return p, w / w.sum(1, keepdims=True)
