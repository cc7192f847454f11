"""Scores that are ranked once per event, for several metrics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger._utils.text import listed
from sktagger.metrics._clip_scores import ClipScores
from sktagger.metrics._counts import f_score, precision, ratio, recall
from sktagger.metrics._input import check_positive, check_scores
from sktagger.metrics._ranking import map_blocks, rank_positives, split_rows

__all__ = ["BestThresholds", "RankedScores"]


class BestThresholds(NamedTuple):
    """The threshold with the highest F-score for each event, and the values at this threshold.

    Attributes
    ----------
    thresholds : ndarray of shape (n_events,), float64
        The event is predicted for clips with a greater score. -inf: for all clips; +inf: for none.
    fscores, precision, recall : ndarray of shape (n_events,), float64
        In [0, 1]; NaN for events without positives.
    """

    thresholds: np.ndarray
    fscores: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


class RankedScores:
    """Scores that are ranked once per event, for all metrics that depend on the ranking.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores. A higher score means that the event is more likely. float16 is converted to
        float32. Types other than float32 and float64 are converted to float64.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Attributes
    ----------
    event_names_ : Index of shape (n_events,), or None
        Columns of the DataFrame that was passed; None for arrays.
    support_ : ndarray of shape (n_events,), float64
        Number (or total weight) of the clips with each event (positives).
    n_negatives_ : ndarray of shape (n_events,), float64
        Number (or total weight) of the clips without each event (negatives).

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, or scores are NaN or infinite. The
        message names the clips.
    TypeError
        If scores are sparse or not numeric.

    See Also
    --------
    event_report : A table of all metrics.

    Notes
    -----
    Undefined values are NaN, as described in :mod:`sktagger.metrics`. The methods do not warn.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.metrics import RankedScores
    >>> y_true = np.array([[1, 0], [0, 0], [1, 1]])
    >>> y_score = np.array([[0.9, 0.2], [0.6, 0.3], [0.5, 0.7]])
    >>> ranked = RankedScores(y_true, y_score)
    >>> ranked.average_precision()
    array([0.833..., 1.        ])
    >>> ranked.best_thresholds().thresholds
    array([-inf,  0.5])
    """

    def __init__(
        self, y_true: ArrayLike, y_score: ArrayLike, sample_weight: ArrayLike | None = None
    ):
        self._rank(check_scores(y_true, y_score, sample_weight))

    @classmethod
    def from_checked(cls, clip_scores: ClipScores) -> RankedScores:
        """Rank scores that have already been checked.

        Parameters
        ----------
        clip_scores : ClipScores
            Checked labels and scores.

        Returns
        -------
        ranked : RankedScores
            The ranked scores.
        """
        ranked = cls.__new__(cls)
        ranked._rank(clip_scores)
        return ranked

    def _rank(self, clip_scores):
        self._clip_scores = clip_scores
        self.event_names_ = clip_scores.names
        self.support_ = clip_scores.support
        self.n_negatives_ = clip_scores.negatives

        scores = clip_scores.scores
        n_clips, n_events = scores.shape
        clip, start = clip_scores.clips_by_event()

        def rank_block(events):
            n_positives = np.diff(start[events.start : events.stop + 1])
            groups = rank_positives(
                scores[:, events].T.copy(),
                np.repeat(np.arange(len(n_positives)), n_positives),
                clip[start[events.start] : start[events.stop]],
                clip_scores.weight,
            )
            support, negatives = self.support_[events], self.n_negatives_[events]
            count = np.int32 if scores.size < 2**31 else np.int64
            return (
                _average_precision(groups, support),
                _roc_auc(groups, support, negatives),
                np.bincount(groups.row, minlength=len(n_positives)),
                groups.score,
                groups.next_score,
                *(
                    values.astype(count) if clip_scores.weight is None else values
                    for values in (groups.reaching, groups.positives_reaching)
                ),
            )

        blocks = split_rows(n_events, row_bytes=n_clips * scores.itemsize)
        parts = map_blocks(rank_block, blocks, scores.size)
        (
            self._average_precision,
            self._roc_auc,
            self._n_groups,
            self._score,
            self._next_score,
            self._reaching,
            self._positives_reaching,
        ) = (np.concatenate(values) for values in zip(*parts, strict=True))

    def average_precision(self) -> np.ndarray:
        """Return the average precision of each event.

        Returns
        -------
        average_precision : ndarray of shape (n_events,), float64
            In (0, 1]; NaN for events without positives.
        """
        return self._average_precision.copy()

    def roc_auc(self) -> np.ndarray:
        """Return the area under the ROC curve of each event.

        Returns
        -------
        roc_auc : ndarray of shape (n_events,), float64
            In [0, 1]; NaN for events without positives or without negatives.
        """
        return self._roc_auc.copy()

    def best_thresholds(self, beta: float = 1.0) -> BestThresholds:
        """Find the threshold of each event with the highest F-score.

        The candidates are -inf, the midpoints between adjacent distinct scores of the event, and
        +inf. An event is predicted if its score is greater than the threshold. If several
        thresholds have the highest F-score, the highest of them is returned.

        Parameters
        ----------
        beta : float, default=1.0
            Weight of recall over precision, greater than 0.

        Returns
        -------
        best : BestThresholds
            Named tuple ``(thresholds, fscores, precision, recall)``. For an event without
            positives, the threshold is +inf and the other values are NaN.

        Notes
        -----
        Thresholds are float64, also for float32 scores. Compare them with the original scores. If
        there is no float64 number between two adjacent scores, the threshold is the lower score.
        """
        check_positive(beta, "beta")
        n_events = len(self.support_)
        event = np.repeat(np.arange(n_events), self._n_groups)
        # Fewer false positives never lower F, so the best threshold lies just below a positive.
        tp = self._positives_reaching
        fp, fn = self._reaching - tp, self.support_[event] - tp
        fscore = f_score(tp, fp, fn, beta)
        highest = np.full(n_events, -np.inf)
        np.maximum.at(highest, event, fscore)
        at_highest = np.flatnonzero(fscore == highest[event])
        # Groups are in order of descending score, so the first one has the highest threshold.
        found, first = np.unique(event[at_highest], return_index=True)
        best = at_highest[first]

        thresholds = np.full(n_events, np.inf)
        fscores, precisions, recalls = np.full((3, n_events), np.nan)
        thresholds[found] = _between(self._next_score[best], self._score[best])
        fscores[found] = fscore[best]
        precisions[found] = precision(tp[best], fp[best], fn[best])
        recalls[found] = recall(tp[best], fp[best], fn[best])
        return BestThresholds(thresholds, fscores, precisions, recalls)

    def curve(self, event: int | str) -> pd.DataFrame:
        """Compute precision, recall and other rates of an event at each threshold.

        Parameters
        ----------
        event : int or str
            Column number, or name of the event if events have names.

        Returns
        -------
        curve : DataFrame of shape (n_thresholds, 7)
            One row per candidate of :meth:`best_thresholds`, from +inf (no clip) to -inf (all
            clips). The columns are ``threshold``, ``TP`` and ``FP`` (numbers or weights of true and
            false positives), ``precision`` (1 if the event is not predicted for any clip, as in
            scikit-learn), ``recall``, ``false_positive_rate`` and ``F1``. Undefined rates are NaN.

        Raises
        ------
        KeyError
            If the event is unknown.
        """
        column = self._column(event)
        scores = self._clip_scores.scores[:, column]
        weight = self._clip_scores.weight
        is_positive = np.zeros(len(scores), dtype=bool)
        is_positive[self._clip_scores.clip[self._clip_scores.event == column]] = True
        weight = np.ones(len(scores)) if weight is None else weight
        distinct, rank = np.unique(scores, return_inverse=True)

        def reaching(weights):
            per_score = np.bincount(rank, weights=weights, minlength=len(distinct))
            return np.concatenate([[0.0], np.cumsum(per_score[::-1])])

        tp, fp = reaching(weight * is_positive), reaching(weight * ~is_positive)
        support, negatives = self.support_[column], self.n_negatives_[column]
        below = np.concatenate([[-np.inf], distinct[:-1]])
        return pd.DataFrame(
            {
                "threshold": np.concatenate([[np.inf], _between(below, distinct)[::-1]]),
                "TP": tp,
                "FP": fp,
                "precision": ratio(tp, tp + fp, undefined=1.0),
                "recall": ratio(tp, np.full(len(tp), support)),
                "false_positive_rate": ratio(fp, np.full(len(fp), negatives)),
                "F1": f_score(tp, fp, support - tp),
            }
        )

    def _column(self, event):
        """Return the column of an event that is given by name or column number."""
        names = self.event_names_
        if names is not None and event in names:
            return names.get_loc(event)
        n_events = len(self.support_)
        if isinstance(event, (int, np.integer)) and 0 <= event < n_events:
            return int(event)
        allowed = f"a column number from 0 to {n_events - 1}"
        if names is not None:
            allowed = f"one of the event names ({listed(names)}) or {allowed}"
        raise KeyError(f"event={event!r} is unknown. It must be {allowed}. Check the spelling.")


def _average_precision(groups, support):
    """Mean precision at the positives of each row; NaN without positives."""
    total = np.bincount(
        groups.row, weights=groups.positives * groups.precision, minlength=len(support)
    )
    return ratio(total, support)


def _roc_auc(groups, support, negatives):
    """Share of pairs in which the positive scores higher than the negative; ties count half."""
    false_reaching = groups.reaching - groups.positives_reaching
    false_above = groups.above - groups.positives_above
    below = negatives[groups.row] - (false_reaching + false_above) / 2
    total = np.bincount(groups.row, weights=groups.positives * below, minlength=len(support))
    return ratio(total, support * negatives)


def _between(lower, upper):
    """Midpoints in float64 with ``lower <= midpoint < upper``, also for adjacent numbers."""
    lower, upper = lower.astype(np.float64), upper.astype(np.float64)
    middle = 0.5 * lower + 0.5 * upper
    return np.where((middle >= lower) & (middle < upper), middle, lower)
