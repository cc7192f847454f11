"""Cross-validation splitters for multi-label targets and groups."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from sktagger.targets import read_targets

__all__ = ["MultilabelStratifiedGroupKFold"]

# Each pass lowers the same sum, so the search converges, mostly after two to five passes.
_MAX_PASSES = 20
# The weight of the number of clips, compared to that of one event. In benchmarks/bench_splitter.py,
# folds of groups differ more in size with 1, and shares of rare events are worse with 10.
_CLIPS_WEIGHT = 3


class MultilabelStratifiedGroupKFold(BaseCrossValidator):
    """K-fold splitter that keeps each event's share of clips, and never splits a group.

    Each fold is used once as the test set. It should contain ``1 / n_splits`` of the clips of each
    event, and of all clips. If clips belong together (excerpts of one recording, takes of one
    speaker), pass `groups` to keep them in one fold. Otherwise a tagger could get better scores by
    recognizing the recording.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to shuffle the clips (or groups) first. This mainly affects clips with the same
        events. Without shuffling, the same data always give the same folds.
    random_state : int, RandomState instance or None, default=None
        Random numbers for the shuffling; only with ``shuffle=True``. Pass an int to get the same
        folds in every call.

    See Also
    --------
    sklearn.model_selection.StratifiedGroupKFold : Similar, for one label per clip.
    sklearn.model_selection.GroupKFold : Does not stratify.

    Notes
    -----
    As in iterative stratification [1]_, each clip is assigned to the fold that needs its events
    most. This splitter assigns whole groups, and each step minimizes the same sum: the squared
    deviations of the folds' shares from ``1 / n_splits``, summed over all events and the number of
    clips. The number of clips has the weight of three events. Groups with the largest shares of
    events, which are those with rare events, are assigned first. All groups are then reconsidered
    repeatedly, until no move of a group lowers the sum.

    An event that occurs in fewer than `n_splits` clips (or groups) is missing in some folds. Use
    metrics that leave such events out of their mean, such as those of :mod:`sktagger.metrics`.

    With metadata routing, the splitter requests `groups`, like scikit-learn's group splitters, but
    also works without groups.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011. https://doi.org/10.1007/978-3-642-23808-6_10

    Examples
    --------
    Rain occurs in all six clips, and a siren in three of them. Clips 0 and 1 come from the same
    recording.

    >>> from sktagger.model_selection import MultilabelStratifiedGroupKFold
    >>> Y = [["rain"], ["rain", "siren"], ["rain"], ["rain", "siren"], ["rain", "siren"], ["rain"]]
    >>> recording = ["a", "a", "b", "c", "d", "e"]
    >>> cv = MultilabelStratifiedGroupKFold(n_splits=3)
    >>> for train, test in cv.split(range(6), Y, groups=recording):
    ...     print(train, test)
    [2 3 4 5] [0 1]
    [0 1 4 5] [2 3]
    [0 1 2 3] [4 5]
    """

    # This replaces scikit-learn's GroupsConsumerMixin, which is private.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self, X: Any, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training clips and the test clips of each fold.

        Parameters
        ----------
        X : array-like of length n_clips
            The clips. Only their number matters.
        y : array-like of length n_clips
            Indicator matrix of shape (n_clips, n_events) (array, sparse or DataFrame), a list of
            event lists, or 1-D labels. Values of a matrix between 0 and 1, to train on, count as
            fractions of a clip.
        groups : array-like of shape (n_clips,), default=None
            Group of each clip: strings or numbers. None: each clip is its own group.

        Yields
        ------
        train, test : ndarray of int
            Sorted indices of the clips. Each clip is in exactly one test set.

        Raises
        ------
        ValueError
            If a parameter is out of range, `y` has another form, `groups` has missing values, or
            there are fewer clips or groups than folds.
        """
        yield from super().split(X, y, groups)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored; they exist for compatibility with scikit-learn.

        Returns
        -------
        int
            The number of folds.
        """
        self._check_params()
        return self.n_splits

    def _iter_test_indices(self, X=None, y=None, groups=None):
        self._check_params()
        indicator = read_targets(y, name="y", soft=True).indicator
        group_of = check_groups(groups, len(indicator))
        n_groups = group_of.max() + 1
        if n_groups < self.n_splits:
            what = "clips" if groups is None else "groups"
            raise ValueError(
                f"n_splits: got {self.n_splits}, but there are only {n_groups} {what}. It must not "
                f"be greater than the number of {what}. Lower n_splits."
            )
        order = np.arange(n_groups)
        if self.shuffle:
            check_random_state(self.random_state).shuffle(order)
        counts, weights = _count(indicator, group_of, order)
        fold_of = np.empty(n_groups, int)
        fold_of[order] = _assign(counts, weights, np.ones(self.n_splits))
        for fold in range(self.n_splits):
            yield np.flatnonzero(fold_of[group_of] == fold)

    def _check_params(self):
        n_splits, shuffle = self.n_splits, self.shuffle
        if not isinstance(n_splits, Integral) or isinstance(n_splits, bool) or n_splits < 2:
            raise ValueError(
                f"n_splits: got {n_splits!r}, but it must be an integer of at least 2. "
                "Pass, for example, n_splits=5."
            )
        if not isinstance(shuffle, bool | np.bool_):
            raise ValueError(
                f"shuffle: got {shuffle!r}, but it must be True or False. Pass one of these."
            )
        if not shuffle and self.random_state is not None:
            raise ValueError(
                f"random_state: got {self.random_state!r} with shuffle=False, but it must then be "
                "None, because it has no effect. Leave it out, or pass shuffle=True."
            )


def stratified_hold_out(
    indicator: np.ndarray,
    fraction: float,
    groups: object = None,
    *,
    random_state: int,
    name: str = "fraction",
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a fraction of the clips of each event, and never split a group.

    Parameters
    ----------
    indicator : ndarray of shape (n_clips, n_events)
        1 where an event occurs.
    fraction : float
        Fraction of the clips to hold out, in (0, 0.5]. The number of clips is exact to within one
        clip. With `groups`, it is so close that no move of a single group would bring it closer. At
        least one clip or group is held out.
    groups : array-like of shape (n_clips,), default=None
        Group of each clip. None: each clip is its own group.
    random_state : int
        Random order of the clips or groups, which mainly affects clips with the same events.
    name : str, default="fraction"
        Name of the parameter, for messages.

    Returns
    -------
    kept, held_out : ndarray of int
        Sorted indices of the clips.

    Raises
    ------
    ValueError
        If `groups` has missing values or a wrong length, or if there is only one clip or group.
    """
    n_clips = len(indicator)
    group_of = check_groups(groups, n_clips)
    n_groups = group_of.max() + 1
    if n_groups < 2:
        what, where = ("clip", "X") if groups is None else ("group", "groups")
        raise ValueError(
            f"{name}={fraction} holds out a part of the {what}s, but {where} has only {n_groups} "
            f"{what}. Pass at least 2 {what}s."
        )
    order = np.arange(n_groups)
    check_random_state(random_state).shuffle(order)
    counts, weights = _count(indicator, group_of, order)
    # If the fraction is 1/k, hold out the first of k folds.
    k = round(1 / fraction)
    has_equal_folds = math.isclose(k * fraction, 1, rel_tol=1e-6) and k <= n_groups
    sizes = np.ones(k) if has_equal_folds else np.array([fraction, 1 - fraction])
    held_out = _assign(counts, weights, sizes) == 0
    # The sizes of equal folds differ by at most one clip. Two unequal parts may have wrong sizes if
    # many events are rare: of an event with three clips, one clip is closest to 0.4 of them.
    _resize(held_out, counts, weights, fraction, tolerance=0.99 if has_equal_folds else 0.5)
    is_held_out = np.empty(n_groups, bool)
    is_held_out[order] = held_out
    return np.flatnonzero(~is_held_out[group_of]), np.flatnonzero(is_held_out[group_of])


def _count(indicator, group_of, order) -> tuple[sparse.csr_array, np.ndarray]:
    """Count the clips of each event in each group, in the given order, and weight the events.

    The number of clips is balanced as an additional event, which every clip has.
    """
    n_clips, n_events = indicator.shape
    membership = sparse.csr_array((np.ones(n_clips), (group_of, np.arange(n_clips))))
    columns = [sparse.csr_array(indicator, dtype=float), sparse.csr_array(np.ones((n_clips, 1)))]
    counts = (membership @ sparse.hstack(columns, format="csr"))[order]
    return counts, np.append(np.ones(n_events), _CLIPS_WEIGHT)


def check_groups(groups: object, n_clips: int) -> np.ndarray:
    """Check the groups of clips, and number them.

    Parameters
    ----------
    groups : array-like of shape (n_clips,) or None
        Strings or numbers. None: each clip is its own group.
    n_clips : int
        Number of clips.

    Returns
    -------
    ndarray of shape (n_clips,), int
        Number of each clip's group, starting at 0.

    Raises
    ------
    ValueError
        If `groups` has another shape or missing values.
    """
    if groups is None:
        return np.arange(n_clips)
    # Without dtype=object, NumPy would convert a missing value in a list of strings to a string.
    groups = np.asarray(groups, dtype=None if hasattr(groups, "dtype") else object)
    if groups.ndim != 1:
        raise ValueError(
            f"groups: got an array of shape {groups.shape}, but it must have shape (n_clips,). "
            "Pass one group per clip."
        )
    if len(groups) != n_clips:
        raise ValueError(
            f"groups: got {len(groups)} entries for {n_clips} clips, but it must have one entry "
            "per clip. Pass the groups of these clips."
        )
    group_of, _ = pd.factorize(groups)
    if (group_of < 0).any():
        clip = np.flatnonzero(group_of < 0)[0]
        raise ValueError(
            f"groups: got {groups[clip]!r} for clip {clip}, but groups must be strings or numbers, "
            "and none may be missing. Pass a unique group for a clip that belongs to no other clip."
        )
    return group_of


def _assign(counts: sparse.csr_array, weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Assign groups to folds such that the counts of each column are proportional to the sizes.

    Parameters
    ----------
    counts : csr_array of shape (n_groups, n_columns), float
        Number of clips with each event in each group. The last column counts all clips, so it is
        positive for every group.
    weights : ndarray of shape (n_columns,), float
        Weight of each column, greater than 0.
    sizes : ndarray of shape (n_splits,), float
        Relative sizes of the folds. There must be at least as many groups as folds.

    Returns
    -------
    fold_of : ndarray of shape (n_groups,), int
        Fold of each group. If all sizes are equal, no fold is empty, because an empty fold needs
        more of every column than any other.
    """
    shares = _shares(counts, weights)
    rows = [
        (shares.indices[start:stop], shares.data[start:stop])
        for start, stop in zip(shares.indptr[:-1], shares.indptr[1:], strict=True)
    ]
    largest_first = np.argsort([-np.sum(share**2) for _, share in rows], kind="stable")

    missing = np.sqrt(weights)[:, None] * sizes / sizes.sum()
    fold_of = np.full(len(rows), -1)
    for _ in range(_MAX_PASSES):
        moved = False
        for group in largest_first:
            columns, share = rows[group]
            fold = fold_of[group]
            if fold >= 0:
                missing[columns, fold] += share
            # Adding the group to a fold lowers the sum of squares by twice this product, minus a
            # term that is the same for all folds.
            gain = share @ missing[columns]
            best = gain.argmax()
            # Rounding errors must not move a group back and forth between equal folds.
            if fold < 0 or gain[best] > gain[fold] + 1e-12:
                fold_of[group] = fold = best
                moved = True
            missing[columns, fold] -= share
        if not moved:
            break
    return fold_of


def _shares(counts, weights):
    """Return the weighted share of each group in each column."""
    total = counts.sum(axis=0)
    # Shares give rare and frequent events the same weight. Shares will be squared, so they are
    # multiplied by the square root of the weight.
    return sparse.csr_array(counts * (np.sqrt(weights) / np.where(total > 0, total, 1)))


def _resize(held_out, counts, weights, fraction, *, tolerance):
    """Move single groups into or out of the held-out part until it has the right size.

    Parameters
    ----------
    held_out : ndarray of shape (n_groups,), bool
        Whether each group is held out; changed in place.
    counts : csr_array of shape (n_groups, n_columns), float
        See `_assign`.
    weights : ndarray of shape (n_columns,), float
        See `_assign`.
    fraction : float
        Fraction of the clips to hold out.
    tolerance : float
        Allowed deviation from the size, in clips.
    """
    shares = _shares(counts, weights)
    squares = shares.multiply(shares).sum(axis=1)
    sizes = counts[:, [-1]].toarray()[:, 0]
    deviation = held_out @ shares - fraction * np.sqrt(weights)
    excess = sizes[held_out].sum() - fraction * sizes.sum()
    while abs(excess) > tolerance or not held_out.any():
        sign = 1 if excess < 0 else -1
        after = np.abs(excess + sign * sizes)
        movable = ~held_out if sign > 0 else held_out & (held_out.sum() > 1)
        if held_out.any():
            movable &= after < abs(excess)
        else:
            movable &= after == after.min()
        if not movable.any():
            break
        # how much the move raises the sum of squares that the splitter minimizes
        increase = np.where(movable, 2 * sign * (shares @ deviation) + squares, np.inf)
        group = increase.argmin()
        held_out[group] = sign > 0
        excess += sign * sizes[group]
        deviation = deviation + sign * shares[[group]].toarray()[0]
