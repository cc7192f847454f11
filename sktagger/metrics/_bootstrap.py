"""Metrics on bootstrap resamples of the clips, vectorized over the resamples."""

import numpy as np
from scipy import sparse

from sktagger.metrics._counts import ratio
from sktagger.metrics._ranking import map_blocks, rank_positives, split_rows

__all__ = ["draw_weights", "resampled_average_precision_and_auc"]

# Resamples are drawn in batches. The weights of a batch take about this much memory.
_BATCH_BYTES = 2**25


def draw_weights(clip_scores, n_bootstraps, random_state):
    """Draw bootstrap resamples: as many clips as there are, with replacement.

    Parameters
    ----------
    clip_scores : ClipScores
    n_bootstraps : int
    random_state : RandomState instance

    Yields
    ------
    weights : ndarray of shape (n_clips, n_resamples), float32 or float64
        How often each clip was drawn, times its weight. All batches together have `n_bootstraps`
        columns.
    """
    n_clips = len(clip_scores.scores)
    # Without weights, all sums are integers. Up to 2**24, float32 is exact and twice as fast.
    exact = clip_scores.weight is None and n_clips < 2**24
    dtype = np.dtype(np.float32 if exact else np.float64)
    batch_size = max(1, _BATCH_BYTES // (dtype.itemsize * n_clips))
    for start in range(0, n_bootstraps, batch_size):
        size = min(batch_size, n_bootstraps - start)
        drawn = random_state.randint(n_clips, size=(size, n_clips), dtype=np.int64)
        drawn += n_clips * np.arange(size)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=size * n_clips).reshape(size, n_clips)
        weights = counts.T.astype(dtype, order="C")
        yield weights if clip_scores.weight is None else weights * clip_scores.weight[:, np.newaxis]


def resampled_average_precision_and_auc(clip_scores, weights):
    """Compute average precision and ROC AUC of each event in each resample.

    A resample changes the weights of the clips, but not the order of their scores. The scores are
    therefore sorted once. The weights between adjacent positives are then summed for all resamples
    together.

    Parameters
    ----------
    clip_scores : ClipScores
    weights : ndarray of shape (n_clips, n_resamples), float32 or float64

    Returns
    -------
    average_precision, roc_auc : ndarray of shape (n_resamples, n_events), float64
    """
    scores = clip_scores.scores
    n_clips, n_events = scores.shape
    clip, start = clip_scores.clips_by_event()
    total = weights.sum(axis=0, dtype=np.float64)

    def measure_block(events):
        block = scores[:, events].T.copy()
        order = np.argsort(block, axis=1)[:, ::-1]
        n_positives = np.diff(start[events.start : events.stop + 1])
        positives = clip[start[events.start] : start[events.stop]]
        row = np.repeat(np.arange(len(block)), n_positives)
        groups = rank_positives(block, row, positives)
        return [
            _measure_event(
                order[event],
                np.column_stack([groups.above, groups.reaching])[groups.row == event].ravel(),
                positives[row == event],
                groups.group_of[row == event],
                weights,
                total,
            )
            for event in range(len(block))
        ]

    blocks = split_rows(n_events, row_bytes=n_clips * 8)
    measured = [pair for block in map_blocks(measure_block, blocks, scores.size) for pair in block]
    return tuple(np.stack(values, axis=1) for values in zip(*measured, strict=True))


def _measure_event(order, bounds, positives, group_of, weights, total):
    """Compute average precision and ROC AUC of one event in each resample.

    Parameters
    ----------
    order : ndarray of shape (n_clips,), intp
        Clips in order of descending score.
    bounds : ndarray of shape (2 * n_groups,), intp
        Two entries per group of positives with equal scores: the number of clips that score
        higher, and the number of clips that score at least as high.
    positives, group_of : ndarray of shape (n_positives,), intp
        Clips with the event, and the group of each of them.
    weights : ndarray of shape (n_clips, n_resamples), float32 or float64
    total : ndarray of shape (n_resamples,), float64

    Returns
    -------
    average_precision, roc_auc : ndarray of shape (n_resamples,), float64
    """
    n_clips, n_resamples = weights.shape
    if not len(positives):
        return np.full((2, n_resamples), np.nan)

    def sum_weights(clips, starts):
        """Sum the weights in consecutive slices of `clips`, by a product with a 0/1 matrix."""
        ones = np.ones(len(clips), dtype=weights.dtype)
        slices = sparse.csr_array((ones, clips, starts), shape=(len(starts) - 1, n_clips))
        return slices @ weights

    passed = sum_weights(order[: bounds[-1]], np.concatenate([[0], bounds]))
    passed = np.cumsum(passed, axis=0, dtype=np.float64)
    above, reaching = passed[0::2], passed[1::2]
    group_sizes = np.bincount(group_of - group_of.min())
    own = sum_weights(
        positives[np.argsort(group_of)], np.concatenate([[0], np.cumsum(group_sizes)])
    )
    positives_reaching = np.cumsum(own, axis=0, dtype=np.float64)
    support = positives_reaching[-1]
    negatives = total - support
    precision = ratio(positives_reaching, reaching, undefined=0.0)
    negatives_below = negatives - (reaching + above - 2 * positives_reaching + own) / 2
    return (
        ratio((own * precision).sum(axis=0), support),
        ratio((own * negatives_below).sum(axis=0), support * negatives),
    )
