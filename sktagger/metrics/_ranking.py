"""Ranking of the positives, with one sort per event for all ranking metrics.

Average precision, ROC AUC and the best threshold of an event depend on two counts per positive: the
number of clips that score at least as high, and the number of clips that score higher. The scores
are sorted once, and a binary search for the positives yields both counts, ties included. This needs
no argsort. Weak labels are sparse, so the search is cheap. Within a clip, the same counts yield the
precision that lwlrap averages.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import joblib
import numpy as np

__all__ = ["PositiveGroups", "map_blocks", "rank_positives", "split_rows"]

# A block of this size fits into a core's cache while it is sorted and searched.
_BLOCK_BYTES = 2**21
# With fewer scores, threads cost more time than they save.
_MIN_SIZE_FOR_THREADS = 2**20


class PositiveGroups(NamedTuple):
    """The positives of each row, grouped by equal score.

    Groups are sorted by row, and within a row by descending score.

    Attributes
    ----------
    row : ndarray of shape (n_groups,), intp
    score, next_score : ndarray of shape (n_groups,)
        Score of the group, and the next lower score of the row (-inf if there is none).
    reaching, above : ndarray of shape (n_groups,)
        Number (or total weight) of the entries of the row that score at least as high as the
        group, and of the entries that score higher.
    positives_reaching, positives_above : ndarray of shape (n_groups,)
        The same for positives only.
    group_of : ndarray of shape (n_positives,), intp
        Group of each positive, in the order of the input.
    """

    row: np.ndarray
    score: np.ndarray
    next_score: np.ndarray
    reaching: np.ndarray
    above: np.ndarray
    positives_reaching: np.ndarray
    positives_above: np.ndarray
    group_of: np.ndarray

    @property
    def positives(self):
        """Number (or weight) of the positives of each group: ndarray of shape (n_groups,)."""
        return self.positives_reaching - self.positives_above

    @property
    def precision(self):
        """Share of positives among the entries that score at least as high, in (0, 1]."""
        return self.positives_reaching / self.reaching


def rank_positives(scores, row, column, weight=None):
    """Rank the positives of each row among all entries of their row.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_columns), float32 or float64
        C-contiguous. It is sorted in place.
    row, column : ndarray of shape (n_positives,), int
        Rows and columns of the positives.
    weight : ndarray of shape (n_columns,), float64, default=None
        Weight of each column, greater than 0. None: all weights are 1.

    Returns
    -------
    groups : PositiveGroups
    """
    score = scores[row, column]
    order = np.lexsort((-score, row))
    sorted_row, sorted_score = row[order], score[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (np.diff(sorted_row) != 0) | (np.diff(sorted_score) != 0)
    first = np.flatnonzero(is_first)
    group_of = np.empty_like(order)
    group_of[order] = np.cumsum(is_first) - 1
    group_row, group_score = sorted_row[first], sorted_score[first]

    if weight is not None:
        from_top, positive_from_top = _cumulative_weights(scores, row, column, weight)
    scores.sort(axis=1)
    n_columns = scores.shape[1]
    n_lower = _search_rows(scores, group_row, group_score, side="left")
    reaching = n_columns - n_lower
    above = n_columns - _search_rows(scores, group_row, group_score, side="right")
    if weight is None:
        row_start = np.searchsorted(sorted_row, group_row)
        positives_above = first - row_start
        positives_reaching = np.append(first, len(order))[1:] - row_start
    else:
        positives_reaching = positive_from_top[group_row, reaching]
        positives_above = positive_from_top[group_row, above]
        reaching, above = from_top[group_row, reaching], from_top[group_row, above]
    return PositiveGroups(
        row=group_row,
        score=group_score,
        next_score=np.where(n_lower > 0, scores[group_row, n_lower - 1], -np.inf),
        reaching=reaching,
        above=above,
        positives_reaching=positives_reaching,
        positives_above=positives_above,
        group_of=group_of,
    )


def _cumulative_weights(scores, row, column, weight):
    """Cumulative weights of all entries and of the positives, in order of descending score.

    The sums start at the highest score. The precision depends most on the sums there, and small
    sums are the most accurate.
    """
    weights = np.zeros((2, *scores.shape))
    weights[0] = weight
    weights[1, row, column] = weight[column]
    descending = np.argsort(scores, axis=1)[np.newaxis, :, ::-1]
    sums = np.zeros((2, scores.shape[0], scores.shape[1] + 1))
    np.cumsum(np.take_along_axis(weights, descending, axis=2), axis=2, out=sums[:, :, 1:])
    return sums


def _search_rows(ascending, row, value, side):
    """Search many sorted rows at once, each value in its own row, as `numpy.searchsorted` does.

    Parameters
    ----------
    ascending : ndarray of shape (n_rows, n_columns)
        Each row in ascending order, C-contiguous.
    row : ndarray of shape (n_values,), int
    value : ndarray of shape (n_values,)
    side : {"left", "right"}
        "left" counts the entries lower than the value, "right" those lower or equal.

    Returns
    -------
    count : ndarray of shape (n_values,), intp
    """
    comes_before = np.less if side == "left" else np.less_equal
    n_columns = ascending.shape[1]
    flat, before_row = ascending.ravel(), row.astype(np.intp) * n_columns - 1
    count = np.zeros(len(row), dtype=np.intp)
    # Set the bits of the count, starting at the highest: a bit is set if the last entry of the
    # longer prefix still comes before the value.
    for bit in reversed(range(n_columns.bit_length())):
        longer = count + 2**bit
        last = flat[before_row + np.minimum(longer, n_columns)]
        np.copyto(count, longer, where=(longer <= n_columns) & comes_before(last, value))
    return count


def split_rows(n_rows, row_bytes):
    """Split rows into slices of a few MB, each with at least one row."""
    step = max(1, _BLOCK_BYTES // row_bytes)
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def map_blocks(function, blocks, n_scores):
    """Apply a function to each block, in threads if there are many scores.

    Threads help because NumPy releases the interpreter's lock while it sorts and compares.
    """
    n_threads = min(joblib.cpu_count(), len(blocks))
    if n_threads < 2 or n_scores < _MIN_SIZE_FOR_THREADS:
        return [function(block) for block in blocks]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(function, blocks))
