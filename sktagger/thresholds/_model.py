"""Expected metrics of thresholds on new clips, from a model of all events together."""

import numpy as np
from scipy.special import betaincinv, betaln, ndtr

from sktagger.thresholds._levels import Levels, shift_bins

__all__ = ["ExpectedRates"]

LEVELS = np.arange(-4, 9.01, 0.1)
FALSE_POSITIVE_RATE = ndtr(-LEVELS)
# Candidate distributions ("shapes") of the positives on the scale where negatives are standard
# normal: the mean, the width, and the share of positives that score like negatives ("faint"), with
# the prior weight of each share
_CENTERS = np.linspace(-0.5, 6, 27)
_WIDTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
_FAINT = {0.0: 0.6, 0.1: 0.2, 0.25: 0.12, 0.5: 0.08}
# Share of positives that may have any score, so that a single clip cannot rule out a shape
_OUTLIERS = 0.005
# Number of events that the prior weights of the shapes are worth
_PRIOR_WEIGHT = 8.0
# Few iterations keep the weights smooth.
_N_ITERATIONS = 8
# With this many positives, an event's own curve has the same weight as the shapes.
_OWN_SUPPORT = 60.0
# Width of the kernel for an event with one positive, in standard deviations
_KERNEL_WIDTH = 1.0
# Number of quantiles that represent the posterior distribution of an event's share of clips, and
# the grid of shares that they are interpolated to
_N_QUANTILES = 21
_PRIORS = np.concatenate([np.geomspace(1e-7, 0.5, 70), np.linspace(0.52, 0.99, 16)])
_BETA_SHAPES = np.array([0.15, 0.25, 0.4, 0.6, 1, 1.5, 2.5, 4, 8, 20])


class ExpectedRates:
    """Expected rates of each event on new clips, at each level.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
        Finite.
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry must be True and one False.

    Attributes
    ----------
    n_clips : int
        Number of tuning clips.
    """

    def __init__(self, scores, positive):
        self.n_clips = len(scores)
        support = positive.sum(axis=0)
        self._levels = Levels(scores, positive)
        positives = shift_bins(self._levels.positives, self._levels.levels, LEVELS)
        self._shapes, self._shape_weight = _weigh_shapes(positives)
        self._own = _own_curves(positives)
        self._own_weight = (support / (support + _OWN_SUPPORT))[:, np.newaxis]
        self._prior, self._prior_weight = _weigh_priors(support, self.n_clips)

    def expect(self, gain):
        """Compute the expected gain at each level, averaged over the posterior distributions.

        Parameters
        ----------
        gain : callable
            ``gain(tp, fp, fn)`` for arrays of shares of all clips.

        Returns
        -------
        value : ndarray of shape (n_events, n_levels), float64
        """
        value = np.zeros(self._own.shape)
        for prior, weight in zip(self._prior, self._prior_weight.T, strict=True):
            events = np.flatnonzero(weight)
            if not len(events):
                continue
            own_weight = self._own_weight[events]
            shape_gain = self._shape_weight[events] @ _apply(gain, prior, self._shapes)
            own_gain = _apply(gain, prior, self._own[events])
            mean_gain = own_weight * own_gain + (1 - own_weight) * shape_gain
            value[events] += weight[events, np.newaxis] * mean_gain
        return value

    def shares(self):
        """Compute the expected shares of true positives, false positives and false negatives.

        Returns
        -------
        tp, fp, fn : ndarray of shape (n_events, n_levels), float64
        """
        prior = (self._prior_weight @ self._prior)[:, np.newaxis]
        tpr = self._own_weight * self._own
        tpr = tpr + (1 - self._own_weight) * (self._shape_weight @ self._shapes)
        return prior * tpr, (1 - prior) * FALSE_POSITIVE_RATE, prior * (1 - tpr)

    def thresholds(self, position, value):
        """Convert positions on the axis of levels to thresholds.

        Parameters
        ----------
        position : ndarray of shape (n_events,), float64
            From 0 to n_levels - 1; fractions lie between levels.
        value : ndarray of shape (n_events, n_levels), float64
            Value of the metric at each level.

        Returns
        -------
        thresholds : ndarray of shape (n_events,), float64
        """

        def value_at(event, level):
            pairs = zip(level, value[event], strict=True)
            return np.array([np.interp(one, LEVELS, values) for one, values in pairs])

        level = np.interp(position, np.arange(len(LEVELS)), LEVELS)
        return self._levels.thresholds(level, value_at)


def _apply(gain, prior, tpr):
    return gain(prior * tpr, (1 - prior) * FALSE_POSITIVE_RATE, prior * (1 - tpr))


def _weigh_shapes(positives):
    """Compute the true positive rates of the shapes, and the probability of each shape.

    Parameters
    ----------
    positives : ndarray of shape (n_events, n_levels), float64
        Number of positives at each level.

    Returns
    -------
    tpr : ndarray of shape (n_shapes, n_levels), float64
    weight : ndarray of shape (n_events, n_shapes), float64
        Sums to 1 over the shapes.
    """
    grid = np.meshgrid(_CENTERS, _WIDTHS, list(_FAINT), indexing="ij")
    center, width, faint = (values.reshape(-1, 1) for values in grid)
    shape = (1 - faint) * _normal(LEVELS, center, width) + faint * _normal(LEVELS, 0, 1)
    density = (1 - _OUTLIERS) * shape + _OUTLIERS / (LEVELS[-1] - LEVELS[0])
    tpr = (1 - faint) * ndtr((center - LEVELS) / width) + faint * FALSE_POSITIVE_RATE

    prior = _normal(center, 2, 1) * _normal(np.log(width), 0, 0.5)
    prior = prior.ravel() * np.tile(list(_FAINT.values()), prior.size // len(_FAINT))
    prior /= prior.sum()
    log_likelihood = positives @ np.log(density).T
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    informative = likelihood[positives.any(axis=1)]
    share = prior
    for _ in range(_N_ITERATIONS):
        weight = _normalize(informative * share)
        share = (_PRIOR_WEIGHT * prior + weight.sum(axis=0)) / (_PRIOR_WEIGHT + len(informative))
    return tpr, _normalize(likelihood * share)


def _own_curves(positives):
    """Kernel estimate of the true positive rate of each event from its own positives only."""
    total = np.maximum(positives.sum(axis=1), 1)
    mean = positives @ LEVELS / total
    width = np.sqrt(np.maximum(positives @ LEVELS**2 / total - mean**2, 0.01)) * total**-0.2
    width = (0.05 * np.rint(_KERNEL_WIDTH * width / 0.05)).clip(0.05, 2)
    curves = np.empty(positives.shape)
    for kernel_width in np.unique(width):
        same_width = width == kernel_width
        kernel = ndtr((LEVELS[:, np.newaxis] - LEVELS) / kernel_width)
        curves[same_width] = positives[same_width] @ kernel
    return curves / total[:, np.newaxis]


def _weigh_priors(support, n_clips):
    """Compute a grid of priors, and weights that represent each event's posterior distribution.

    The prior of an event is its share of the clips.

    Parameters
    ----------
    support : ndarray of shape (n_events,), int
    n_clips : int

    Returns
    -------
    prior : ndarray of shape (n_priors,), float64
    weight : ndarray of shape (n_events, n_priors), float64
        Sums to 1 over the priors. Most weights are 0.
    """
    mean = (support.sum() + 0.5) / (n_clips * len(support) + 1)
    a = _BETA_SHAPES[:, np.newaxis]
    b = a * (1 - mean) / mean
    log_likelihood = betaln(support + a, n_clips - support + b) - betaln(a, b)
    best = np.argmax(log_likelihood.sum(axis=1) - 0.5 * np.log(_BETA_SHAPES) ** 2)
    a, b = a[best], b[best]
    probability = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    shape = support[:, np.newaxis] + a, n_clips - support[:, np.newaxis] + b
    quantile = betaincinv(*shape, probability).clip(_PRIORS[0], _PRIORS[-1])
    right = np.searchsorted(_PRIORS, quantile).clip(1, len(_PRIORS) - 1)
    share = (quantile - _PRIORS[right - 1]) / (_PRIORS[right] - _PRIORS[right - 1])
    weight = np.zeros((len(support), len(_PRIORS)))
    event = np.arange(len(support))[:, np.newaxis]
    # F1 is undefined and left out of the mean if an event does not occur. The weight is therefore
    # the probability that the event occurs among as many new clips.
    occurs = -np.expm1(n_clips * np.log1p(-quantile))
    np.add.at(weight, (event, right), share * occurs)
    np.add.at(weight, (event, right - 1), (1 - share) * occurs)
    return _PRIORS, _normalize(weight)


def _normal(values, mean, width):
    return np.exp(-0.5 * ((values - mean) / width) ** 2) / (width * np.sqrt(2 * np.pi))


def _normalize(weights):
    return weights / weights.sum(axis=1, keepdims=True)
