"""Mapping of thresholds to levels, which stand for false positive rates on new clips."""

import numpy as np
from scipy.special import ndtr, ndtri

from sktagger.metrics._ranking import split_rows
from sktagger.thresholds._scale import ScoreScale

__all__ = ["Levels", "shift_bins"]

# Bins for the normal deviates of scores
_STEP = 0.025
_BINS = np.arange(-6, 8, _STEP)
# Width of the kernel for an event with one negative, in standard deviations. It is divided by the
# cube root of the number of negatives.
_KERNEL_WIDTH = 1.0
# Prior guess of the squared relative spread of the events' false positive rates at a bin, and the
# number of events that this guess is worth
_PRIOR_SPREAD = 0.05 * (0.1 + np.maximum(_BINS, 0)) ** 2
_PRIOR_WEIGHT = 2.0
# The spread is not estimated at bins above which all events together have fewer expected negatives.
_MIN_EXPECTED = 5


class Levels:
    """Map the thresholds of each event to levels.

    The score of a negative clip exceeds the threshold at level z with probability Phi(-z), where
    Phi is the standard normal distribution function. To find the levels, the negatives of each
    event are shifted and scaled, and a transformation that all events share makes them nearly
    standard normal. The remaining deviations are estimated from the event's own negatives, but only
    as far as the events differ. If the numbers of negatives above a bin vary between events no more
    than by chance, all events share the same rate.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
        Finite.
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry must be False.

    Attributes
    ----------
    positives : ndarray of shape (n_events, n_bins), float64
        Number of positive clips in each bin.
    levels : ndarray of shape (n_events, n_bins), float64
        Level of each bin, in ascending order.
    """

    def __init__(self, scores, positive):
        self._scale = ScoreScale(scores, positive)
        n_negatives = len(scores) - positive.sum(axis=0)
        deviates = np.empty(scores.shape[::-1], dtype=np.float32)
        blocks = split_rows(scores.shape[1], row_bytes=8 * len(scores))
        for events in blocks:
            deviates[events] = self._scale.deviates(scores[:, events]).T
        self._center, self._width = _center_and_width(
            *_sums_of_negatives(deviates, positive, blocks), n_negatives
        )
        negatives, positives = np.zeros((2, scores.shape[1], len(_BINS)))
        for events in blocks:
            standard = deviates[events] - self._center[events, np.newaxis]
            standard /= self._width[events, np.newaxis]
            is_positive = positive[:, events].T
            negatives[events] = _count_bins(standard, ~is_positive)
            positives[events] = _count_bins(standard, is_positive)
        transformed = _normal_scale(negatives.sum(axis=0))
        center, width = _center_and_width(
            negatives @ transformed, negatives @ transformed**2, n_negatives
        )
        standard = (transformed - center[:, np.newaxis]) / width[:, np.newaxis]
        negatives = shift_bins(negatives, standard, _BINS)
        rates = _widen_tails(_false_positive_rates(negatives, n_negatives), n_negatives)
        # A negligible slope makes the levels invertible.
        slope = 1e-9 * np.arange(len(_BINS))
        levels = np.maximum.accumulate(-ndtri(rates) + slope, axis=1)
        self.positives = positives
        self.levels = np.stack(
            [np.interp(bins, _BINS, level) for bins, level in zip(standard, levels, strict=True)]
        )

    def thresholds(self, level, value_at):
        """Convert levels to thresholds.

        Parameters
        ----------
        level : ndarray of shape (n_events,), float64
        value_at : callable
            ``value_at(event, level)`` returns the value of the metric, for integer and float arrays
            of the same shape. If a threshold falls among equal scores, it is moved to the side with
            the greater value.

        Returns
        -------
        thresholds : ndarray of shape (n_events,), float64
        """
        bins = [np.interp(*pair, _BINS) for pair in zip(level, self.levels, strict=True)]
        deviates = self._center + self._width * np.array(bins)
        thresholds = self._scale.thresholds(deviates)
        event, low, high, below, at = self._scale.ties(deviates)
        value_below, value_at_tie = (
            value_at(event, self._level(event, end)) for end in (low, high)
        )
        thresholds[event] = np.where(value_below >= value_at_tie, below, at)
        return thresholds

    def _level(self, event, deviates):
        deviates = (deviates - self._center[event]) / self._width[event]
        pairs = zip(deviates, self.levels[event], strict=True)
        return np.array([np.interp(deviate, _BINS, levels) for deviate, levels in pairs])


def shift_bins(counts, values, bins):
    """Move counts to the nearest of other bins.

    Parameters
    ----------
    counts : ndarray of shape (n_events, n_values)
    values : ndarray of shape (n_events, n_values), float64
        The values that were counted.
    bins : ndarray of shape (n_bins,), float64
        Evenly spaced centers of the bins.

    Returns
    -------
    counts : ndarray of shape (n_events, n_bins), float64
    """
    n_events = len(counts)
    index = _nearest_bin(values, bins) + len(bins) * np.arange(n_events)[:, np.newaxis]
    shifted = np.bincount(index.ravel(), weights=counts.ravel(), minlength=n_events * len(bins))
    return shifted.reshape(n_events, len(bins))


def _sums_of_negatives(deviates, positive, blocks):
    """Return the sum and the sum of squares of each event's negatives, shape (2, n_events)."""
    parts = []
    for events in blocks:
        negatives = np.where(positive[:, events].T, 0, deviates[events]).astype(np.float64)
        parts.append([negatives.sum(axis=1), np.square(negatives).sum(axis=1)])
    return np.concatenate(parts, axis=1)


def _count_bins(values, mask):
    """Count the entries of each row in each bin, where the mask is True."""
    bins = _nearest_bin(values, _BINS) + len(_BINS) * np.arange(len(values))[:, np.newaxis]
    counts = np.bincount(bins[mask], minlength=len(_BINS) * len(values))
    return counts.reshape(len(values), len(_BINS))


def _nearest_bin(values, bins):
    index = np.rint((values - bins[0]) / (bins[1] - bins[0]))
    return index.clip(0, len(bins) - 1).astype(np.intp)


def _center_and_width(total, total_squares, count):
    """Mean and standard deviation of each event, shrunk toward those of the other events."""
    n = np.maximum(count, 1)
    variance = np.maximum(total_squares - total**2 / n, 1e-6 * n) / np.maximum(n - 1, 1)
    log_variance = _shrink(np.log(variance), 2 / np.maximum(n - 1, 1), count)
    width = np.exp(0.5 * log_variance)
    return _shrink(total / n, width**2 / n, count), width


def _shrink(values, error_variance, count):
    """Shrink values toward their mean, by the share of their variance that is error."""
    known = count >= 2
    if not known.any():
        return np.zeros(len(values))
    mean = np.average(values[known], weights=count[known])
    variance = max(np.mean((values - mean)[known] ** 2 - error_variance[known]), 1e-4)
    shrunk = (variance * values + error_variance * mean) / (variance + error_variance)
    return np.where(known, shrunk, mean)


def _normal_scale(counts):
    """Transform the bins such that the counted clips are normal; linear beyond these clips."""
    rank = (np.cumsum(counts) - 0.5 * counts + 0.25) / (counts.sum() + 0.5)
    scale = ndtri(rank)
    first, last = np.flatnonzero(counts)[[0, -1]]
    scale[:first] = scale[first] + (_BINS[:first] - _BINS[first])
    scale[last:] = scale[last] + (_BINS[last:] - _BINS[last])
    return scale


def _false_positive_rates(negatives, n_negatives):
    """Share of new negatives above each bin.

    It mixes a rate that all events share with each event's own rate. The own rates have more weight
    the more the events differ.
    """
    shared = ndtr(-_BINS)
    expected = n_negatives[:, np.newaxis] * shared
    above = np.cumsum(negatives[:, ::-1], axis=1)[:, ::-1]
    chance = expected * (1 - shared)
    # The spread of the rates is the variance of the counts beyond chance.
    n_events = len(negatives)
    excess = np.sum((above - expected) ** 2 - chance, axis=0) * n_events / max(n_events - 1, 1)
    weight = np.sum(expected**2, axis=0)
    prior_weight = _PRIOR_WEIGHT / n_events * weight
    spread = (excess.clip(min=0) + prior_weight * _PRIOR_SPREAD) / (weight + prior_weight + 1e-300)
    estimable = np.flatnonzero(expected.sum(axis=0) >= _MIN_EXPECTED)
    if len(estimable):
        # A shift of the scores changes the logarithm of the rate in proportion to the level.
        last = estimable[-1]
        spread[last:] = spread[last] * (_BINS[last:] / max(_BINS[last], 0.5)) ** 2
    else:
        spread = _PRIOR_SPREAD
    trust = spread / (spread + (1 - shared) / np.maximum(expected, 1e-300))
    return (1 - trust) * shared + trust * _smooth_tails(negatives, n_negatives)


def _widen_tails(rates, n_negatives):
    """Widen the tails by the uncertainty of centers and widths that few negatives determine."""
    variance = (1 + 0.5 * _BINS**2) / np.maximum(n_negatives, 1)[:, np.newaxis]
    return ndtr(ndtri(rates.clip(1e-12, 1 - 1e-12)) / np.sqrt(1 + variance))


def _smooth_tails(counts, total):
    """Share above each bin, smoothed by a normal kernel that keeps the variance."""
    tails = np.empty(counts.shape)
    total = np.maximum(total, 1)
    width = np.round(_KERNEL_WIDTH * total ** (-1 / 3), 3).clip(0.03)
    for kernel_width in np.unique(width):
        same_width = width == kernel_width
        shrinkage = 1 / np.sqrt(1 + kernel_width**2)
        kernel = ndtr((shrinkage * _BINS[:, np.newaxis] - _BINS) / (shrinkage * kernel_width))
        tails[same_width] = counts[same_width] @ kernel
    return tails / total[:, np.newaxis]
