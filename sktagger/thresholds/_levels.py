"""Thresholds as levels: the false positive rates that they give on new clips."""

import numpy as np
from scipy.special import ndtr, ndtri

from sktagger.metrics._ranking import split_rows
from sktagger.thresholds._scale import ScoreScale

__all__ = ["Levels", "shift_bins"]

# Bins for deviates of scores
_STEP = 0.025
_BINS = np.arange(-6, 8, _STEP)
# Width of the kernel of an event with one negative, in standard deviations; it falls with the cube
# root of their number
_KERNEL_WIDTH = 1.0
# Before events are seen: squared relative spread of their false positive rates at a bin, and how
# many events this guess counts for
_GUESSED_SPREAD = 0.05 * (0.1 + np.maximum(_BINS, 0)) ** 2
_GUESS_WEIGHT = 2.0
# Fewer expected negatives above a bin, of all events, tell nothing of the spread
_MIN_EXPECTED = 5


class Levels:
    """Map thresholds of each event to levels: a negative clip exceeds the level z with Phi(-z).

    Each event's negatives are shifted, scaled, and bent alike for all events, until they are
    nearly standard normal. What is left is estimated from the event's own negatives as far as the
    events are seen to differ: where the numbers of negatives above a bin vary between events no
    more than chance would have it, all events share one rate.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float
        Finite.
    positive : ndarray of shape (n_clips, n_events), bool
        At least one entry is False.

    Attributes
    ----------
    positives : ndarray of shape (n_events, n_bins), float64
        Number of positive clips by bin.
    levels : ndarray of shape (n_events, n_bins), float64
        Level of each bin, not descending.
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
        bent = _bend(negatives.sum(axis=0))
        center, width = _center_and_width(negatives @ bent, negatives @ bent**2, n_negatives)
        standard = (bent - center[:, np.newaxis]) / width[:, np.newaxis]
        negatives = shift_bins(negatives, standard, _BINS)
        rates = _predict(_false_positive_rates(negatives, n_negatives), n_negatives)
        # A slope too small to matter makes the levels invertible
        slope = 1e-9 * np.arange(len(_BINS))
        levels = np.maximum.accumulate(-ndtri(rates) + slope, axis=1)
        self.positives = positives
        self.levels = np.stack(
            [np.interp(place, _BINS, level) for place, level in zip(standard, levels, strict=True)]
        )

    def thresholds(self, level, value_at):
        """Scores at the levels.

        Parameters
        ----------
        level : ndarray of shape (n_events,), float64
        value_at : callable
            ``value_at(event, level)`` is what a level is worth, for integer and float arrays of
            one shape. Decides on which side of equal scores a threshold goes that falls among
            them.

        Returns
        -------
        thresholds : ndarray of shape (n_events,), float64
        """
        bins = [np.interp(*pair, _BINS) for pair in zip(level, self.levels, strict=True)]
        deviates = self._center + self._width * np.array(bins)
        thresholds = self._scale.thresholds(deviates)
        event, low, high, accepting, rejecting = self._scale.ties(deviates)
        accept, reject = (value_at(event, self._level(event, end)) for end in (low, high))
        thresholds[event] = np.where(accept >= reject, accepting, rejecting)
        return thresholds

    def _level(self, event, deviates):
        deviates = (deviates - self._center[event]) / self._width[event]
        pairs = zip(deviates, self.levels[event], strict=True)
        return np.array([np.interp(deviate, _BINS, levels) for deviate, levels in pairs])


def shift_bins(counts, places, bins):
    """Count again in other bins.

    Parameters
    ----------
    counts : ndarray of shape (n_events, n_places)
    places : ndarray of shape (n_events, n_places), float64
        Where the entries of `counts` are.
    bins : ndarray of shape (n_bins,), float64
        Evenly spaced.

    Returns
    -------
    counts : ndarray of shape (n_events, n_bins), float64
    """
    n_events = len(counts)
    place = _nearest_bin(places, bins) + len(bins) * np.arange(n_events)[:, np.newaxis]
    shifted = np.bincount(place.ravel(), weights=counts.ravel(), minlength=n_events * len(bins))
    return shifted.reshape(n_events, len(bins))


def _sums_of_negatives(deviates, positive, blocks):
    """Sum, and sum of squares, of each event's negatives: two arrays of shape (n_events,)."""
    parts = []
    for events in blocks:
        negatives = np.where(positive[:, events].T, 0, deviates[events]).astype(np.float64)
        parts.append([negatives.sum(axis=1), np.square(negatives).sum(axis=1)])
    return np.concatenate(parts, axis=1)


def _count_bins(values, which):
    """Count of the entries of each row that are `which`, by bin."""
    bins = _nearest_bin(values, _BINS) + len(_BINS) * np.arange(len(values))[:, np.newaxis]
    counts = np.bincount(bins[which], minlength=len(_BINS) * len(values))
    return counts.reshape(len(values), len(_BINS))


def _nearest_bin(values, bins):
    place = np.rint((values - bins[0]) / (bins[1] - bins[0]))
    return place.clip(0, len(bins) - 1).astype(np.intp)


def _center_and_width(total, total_squares, count):
    """Mean and standard deviation of each event, drawn to those of the others if uncertain."""
    n = np.maximum(count, 1)
    variance = np.maximum(total_squares - total**2 / n, 1e-6 * n) / np.maximum(n - 1, 1)
    log_variance = _shrink(np.log(variance), 2 / np.maximum(n - 1, 1), count)
    width = np.exp(0.5 * log_variance)
    return _shrink(total / n, width**2 / n, count), width


def _shrink(values, error_variance, count):
    """Draw values toward their mean, by how much of their variance is error."""
    known = count >= 2
    if not known.any():
        return np.zeros(len(values))
    mean = np.average(values[known], weights=count[known])
    variance = max(np.mean((values - mean)[known] ** 2 - error_variance[known]), 1e-4)
    drawn = (variance * values + error_variance * mean) / (variance + error_variance)
    return np.where(known, drawn, mean)


def _bend(counts):
    """Bent scale of the bins on which the clips counted are normal; straight on beyond them."""
    rank = (np.cumsum(counts) - 0.5 * counts + 0.25) / (counts.sum() + 0.5)
    bent = ndtri(rank)
    first, last = np.flatnonzero(counts)[[0, -1]]
    bent[:first] = bent[first] + (_BINS[:first] - _BINS[first])
    bent[last:] = bent[last] + (_BINS[last:] - _BINS[last])
    return bent


def _false_positive_rates(negatives, n_negatives):
    """Share of new negatives above each bin: one for all events, and own where they differ."""
    shared = ndtr(-_BINS)
    expected = n_negatives[:, np.newaxis] * shared
    above = np.cumsum(negatives[:, ::-1], axis=1)[:, ::-1]
    chance = expected * (1 - shared)
    # What the counts vary more than by chance is the spread of the rates
    n_events = len(negatives)
    excess = np.sum((above - expected) ** 2 - chance, axis=0) * n_events / max(n_events - 1, 1)
    weight = np.sum(expected**2, axis=0)
    guess_weight = _GUESS_WEIGHT / n_events * weight
    spread = (excess.clip(min=0) + guess_weight * _GUESSED_SPREAD) / (
        weight + guess_weight + 1e-300
    )
    seen = np.flatnonzero(expected.sum(axis=0) >= _MIN_EXPECTED)
    if len(seen):
        # A shift of the scores changes the logarithm of the rate in proportion to the level
        last = seen[-1]
        spread[last:] = spread[last] * (_BINS[last:] / max(_BINS[last], 0.5)) ** 2
    else:
        spread = _GUESSED_SPREAD
    trust = spread / (spread + (1 - shared) / np.maximum(expected, 1e-300))
    return (1 - trust) * shared + trust * _smooth_tails(negatives, n_negatives)


def _predict(rates, n_negatives):
    """Widen the tails by what the centers and widths of a few negatives leave uncertain."""
    variance = (1 + 0.5 * _BINS**2) / np.maximum(n_negatives, 1)[:, np.newaxis]
    return ndtr(ndtri(rates.clip(1e-12, 1 - 1e-12)) / np.sqrt(1 + variance))


def _smooth_tails(counts, total):
    """Share above each bin, smoothed by a normal kernel that leaves the variance as it is."""
    tails = np.empty(counts.shape)
    total = np.maximum(total, 1)
    width = np.round(_KERNEL_WIDTH * total ** (-1 / 3), 3).clip(0.03)
    for kernel_width in np.unique(width):
        alike = width == kernel_width
        inward = 1 / np.sqrt(1 + kernel_width**2)
        kernel = ndtr((inward * _BINS[:, np.newaxis] - _BINS) / (inward * kernel_width))
        tails[alike] = counts[alike] @ kernel
    return tails / total[:, np.newaxis]
