"""Splitters for cross-validation that scikit-learn lacks."""

import math
from collections.abc import Iterator
from numbers import Integral
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from sktagger.targets import read_targets

__all__ = ["MultilabelStratifiedGroupKFold"]

# Each round lowers the same sum, so rounds end by themselves, mostly after two to five.
_MAX_ROUNDS = 20
# How many events the balance of clips is worth. In benchmarks/bench_splitter.py, 1 leaves folds of
# groups more uneven in size, and 10 makes the shares of events worse where there are few.
_CLIPS_WEIGHT = 3


class MultilabelStratifiedGroupKFold(BaseCrossValidator):
    """K folds that keep each event's share of clips, and never split a group.

    Each fold is the test set once. It should hold ``1 / n_splits`` of the clips of every event, and
    of all clips. Where clips belong together (excerpts of one recording, takes of one speaker),
    `groups` keeps them in one fold, so that scores do not profit from recognising the recording.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to put the clips (or groups) in random order first. It makes a difference among
        those that are alike in their events; without it, equal data give equal folds.
    random_state : int, RandomState or None, default=None
        Order of the shuffle; only with ``shuffle=True``. An int gives the same folds each time.

    See Also
    --------
    sklearn.model_selection.StratifiedGroupKFold : The same for one event per clip.
    sklearn.model_selection.GroupKFold : Ignores the events.

    Notes
    -----
    As in iterative stratification [1]_, clips are assigned one by one to the fold that lacks their
    events most. Here a group takes one step, and one sum guides every step: the squared deviations
    of the folds' shares from ``1 / n_splits``, over all events and, weighing as much as three
    events, the number of clips. Groups with the largest shares come first, which are those with
    rare events. Then every group is reconsidered in turn, as long as a move lowers the sum.

    An event that occurs in fewer than `n_splits` clips (or groups) is missing from a fold. Use
    metrics that leave such events out of their mean, as those of :mod:`sktagger.metrics` do.

    Under metadata routing the splitter requests `groups`, like scikit-learn's group splitters, but
    works without.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data",
       ECML PKDD 2011. https://doi.org/10.1007/978-3-642-23808-6_10

    Examples
    --------
    Rain falls in six clips, a siren in three of them; clips 0 and 1 are of one recording.

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

    # As scikit-learn's GroupsConsumerMixin, which is private, has it.
    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True}

    def __init__(self, n_splits=5, *, shuffle=False, random_state=None):
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(self, X, y=None, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the training and the test clips of each fold.

        Parameters
        ----------
        X : array-like of length n_clips
            The clips, whose content does not matter.
        y : array-like of length n_clips
            Indicator matrix of shape (n_clips, n_events) (array, sparse or DataFrame), a list of
            event lists, or 1-D labels.
        groups : array-like of shape (n_clips,), default=None
            Group of each clip: strings or numbers. By default each clip is its own.

        Yields
        ------
        train, test : ndarray of int
            Positions of the clips, sorted. Over the folds every clip is in one test set.

        Raises
        ------
        ValueError
            If a parameter is out of range, `y` is none of these, `groups` has missing values, or
            there are fewer clips or groups than folds.
        """
        yield from super().split(X, y, groups)

    def get_n_splits(self, X=None, y=None, groups=None) -> int:
        """Return the number of folds; the arguments are there for compatibility."""
        self._check_params()
        return self.n_splits

    def _iter_test_indices(self, X=None, y=None, groups=None):
        self._check_params()
        indicator = read_targets(y, name="y").indicator
        group_of = check_groups(groups, len(indicator))
        n_groups = group_of.max() + 1
        if n_groups < self.n_splits:
            what = "clips" if groups is None else "groups"
            raise ValueError(
                f"n_splits: got {self.n_splits}, but there are only {n_groups} {what}; allowed "
                f"is at most the number of {what}. Lower n_splits."
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
                f"n_splits: got {n_splits!r}; allowed is an integer of at least 2. "
                "Give for example n_splits=5."
            )
        if not isinstance(shuffle, bool | np.bool_):
            raise ValueError(
                f"shuffle: got {shuffle!r}; allowed is True or False. Give one of these."
            )
        if not shuffle and self.random_state is not None:
            raise ValueError(
                f"random_state: got {self.random_state!r} with shuffle=False, where it has no "
                "effect; allowed is None. Leave it out, or set shuffle=True."
            )


def stratified_hold_out(
    indicator: np.ndarray,
    fraction: float,
    groups: object = None,
    *,
    random_state: int,
    name: str = "fraction",
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a part of the clips that keeps each event's share, and splits no group.

    Parameters
    ----------
    indicator : ndarray of shape (n_clips, n_events)
        1 where an event occurs.
    fraction : float
        In (0, 0.5]. That part of the clips is held out, to within a clip or, with `groups`, as
        closely as moving any one group allows; but at least one clip or group.
    groups : array-like of shape (n_clips,), default=None
        Group of each clip. By default each clip is its own.
    random_state : int
        Order of the clips or groups, which makes a difference among those alike in their events.
    name : str, default="fraction"
        Of the parameter, for messages.

    Returns
    -------
    kept, held_out : ndarray of int
        Positions of the clips, sorted.

    Raises
    ------
    ValueError
        If `groups` has missing values or another length, or there is only one clip or group.
    """
    n_clips = len(indicator)
    group_of = check_groups(groups, n_clips)
    n_groups = group_of.max() + 1
    if n_groups < 2:
        what, where = ("clip", "X") if groups is None else ("group", "groups")
        raise ValueError(
            f"{name}={fraction} holds out a part of the {what}s, but {where} has only {n_groups} "
            f"{what}. Give at least 2 {what}s."
        )
    order = np.arange(n_groups)
    check_random_state(random_state).shuffle(order)
    counts, weights = _count(indicator, group_of, order)
    # Where the part is one of k equal ones, it is the first of k folds.
    k = round(1 / fraction)
    of_equal_folds = math.isclose(k * fraction, 1, rel_tol=1e-6) and k <= n_groups
    sizes = np.ones(k) if of_equal_folds else np.array([fraction, 1 - fraction])
    held = _assign(counts, weights, sizes) == 0
    # Equal folds are of one size to within a clip. Two unequal parts may miss their sizes where
    # events are rare: of each event with three clips, one is closest to a part of 0.4.
    _resize(held, counts, weights, fraction, tolerance=0.99 if of_equal_folds else 0.5)
    is_held = np.empty(n_groups, bool)
    is_held[order] = held
    return np.flatnonzero(~is_held[group_of]), np.flatnonzero(is_held[group_of])


def _count(indicator, group_of, order) -> tuple[sparse.csr_array, np.ndarray]:
    """Count what each group, in some order, has of each event, and weigh the events.

    The number of clips is balanced like one event more, which every clip has.
    """
    n_clips, n_events = indicator.shape
    membership = sparse.csr_array((np.ones(n_clips), (group_of, np.arange(n_clips))))
    columns = [sparse.csr_array(indicator, dtype=float), sparse.csr_array(np.ones((n_clips, 1)))]
    counts = (membership @ sparse.hstack(columns, format="csr"))[order]
    return counts, np.append(np.ones(n_events), _CLIPS_WEIGHT)


def check_groups(groups: object, n_clips: int) -> np.ndarray:
    """Number the groups of clips.

    Parameters
    ----------
    groups : array-like of shape (n_clips,) or None
        Strings or numbers. None: each clip is a group of its own.
    n_clips : int

    Returns
    -------
    ndarray of shape (n_clips,), int
        Group of each clip, from 0 on.

    Raises
    ------
    ValueError
        If `groups` is of another shape, or has missing values.
    """
    if groups is None:
        return np.arange(n_clips)
    # A list goes to objects, for NumPy would turn a missing value among strings into a string.
    groups = np.asarray(groups, dtype=None if hasattr(groups, "dtype") else object)
    if groups.ndim != 1:
        raise ValueError(
            f"groups: got an array of shape {groups.shape}; allowed is one group per clip, shape "
            "(n_clips,). Give one column."
        )
    if len(groups) != n_clips:
        raise ValueError(
            f"groups: got {len(groups)} entries for {n_clips} clips; allowed is one per clip. Give "
            "each clip its group."
        )
    group_of, _ = pd.factorize(groups)
    if (group_of < 0).any():
        clip = np.flatnonzero(group_of < 0)[0]
        raise ValueError(
            f"groups: got {groups[clip]!r} for clip {clip}; allowed are strings or numbers, none "
            "missing. Give a clip that belongs to no other a group of its own."
        )
    return group_of


def _assign(counts: sparse.csr_array, weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Assign groups to folds such that each column of counts is spread as the folds' sizes are.

    Parameters
    ----------
    counts : csr_array of shape (n_groups, n_columns), float
        What each group adds to each column; none adds nothing to the last.
    weights : ndarray of shape (n_columns,), float
        How much the balance of each column matters, above 0.
    sizes : ndarray of shape (n_splits,), float
        Sizes of the folds relative to each other; at most n_groups folds.

    Returns
    -------
    fold_of : ndarray of shape (n_groups,), int
        No fold of equal ones is empty: an empty one lacks more of every column than any other.
    """
    shares = _shares(counts, weights)
    rows = [
        (shares.indices[start:stop], shares.data[start:stop])
        for start, stop in zip(shares.indptr[:-1], shares.indptr[1:], strict=True)
    ]
    largest_first = np.argsort([-np.sum(share**2) for _, share in rows], kind="stable")

    lacking = np.sqrt(weights)[:, None] * sizes / sizes.sum()
    fold_of = np.full(len(rows), -1)
    for _ in range(_MAX_ROUNDS):
        moved = False
        for group in largest_first:
            columns, share = rows[group]
            fold = fold_of[group]
            if fold >= 0:
                lacking[columns, fold] += share
            # Adding the group to a fold lowers the sum of squares by twice this product, less what
            # is the same for all folds.
            gain = share @ lacking[columns]
            best = gain.argmax()
            # Rounding errors must not move a group to and fro between equal folds.
            if fold < 0 or gain[best] > gain[fold] + 1e-12:
                fold_of[group] = fold = best
                moved = True
            lacking[columns, fold] -= share
        if not moved:
            break
    return fold_of


def _shares(counts, weights):
    """Return what each group has of each column, such that squares of sums weigh columns."""
    total = counts.sum(axis=0)
    # As shares of their column, rare and frequent events matter alike. The root of the weight is
    # the weight where shares are squared.
    return sparse.csr_array(counts * (np.sqrt(weights) / np.where(total > 0, total, 1)))


def _resize(held, counts, weights, fraction, *, tolerance):
    """Move single groups into or out of what is held out until it has the size asked for.

    Parameters
    ----------
    held : ndarray of shape (n_groups,), bool
        Groups that are held out; changed in place.
    counts : csr_array of shape (n_groups, n_columns), float
        The last column counts clips.
    weights : ndarray of shape (n_columns,), float
    fraction : float
        Part of the clips to be held out.
    tolerance : float
        Number of clips by which the size may differ.
    """
    shares = _shares(counts, weights)
    squares = shares.multiply(shares).sum(axis=1)
    sizes = counts[:, [-1]].toarray()[:, 0]
    deviation = held @ shares - fraction * np.sqrt(weights)
    excess = sizes[held].sum() - fraction * sizes.sum()
    while abs(excess) > tolerance or not held.any():
        sign = 1 if excess < 0 else -1
        after = np.abs(excess + sign * sizes)
        movable = ~held if sign > 0 else held & (held.sum() > 1)
        if held.any():
            movable &= after < abs(excess)
        else:
            movable &= after == after.min()
        if not movable.any():
            break
        # the rise of the sum of squares that the splitter's notes describe
        rise = np.where(movable, 2 * sign * (shares @ deviation) + squares, np.inf)
        group = rise.argmin()
        held[group] = sign > 0
        excess += sign * sizes[group]
        deviation = deviation + sign * shares[[group]].toarray()[0]
