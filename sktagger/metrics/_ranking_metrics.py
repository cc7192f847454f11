"""Metrics that rank the clips by each event's score: AP, AUC, d', F1 of the best threshold."""

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from sktagger.metrics._averaging import average_events
from sktagger.metrics._input import check_average, check_positive, check_scores
from sktagger.metrics._ranked_scores import RankedScores

__all__ = ["best_f1", "d_prime", "mean_average_precision", "mean_roc_auc"]


def mean_average_precision(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Compute the average precision of each event, and average it over events (mAP).

    Each clip with the event has a precision: the share of clips with the event among all clips that
    score at least as high. The average precision of the event is the mean of this precision over
    its clips [1]_. For random scores, it is about the share of clips with the event.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores in any range. A higher score means that the event is more likely.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro": mean over events; "weighted": mean weighted by the number of clips with the event;
        "micro": all pairs of clip and event ranked together; None: the value of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    mean_average_precision : float, or ndarray or Series of shape (n_events,)
        In (0, 1]. With ``average=None`` a Series by event name if the input is a DataFrame, else
        an array. Events without positives are NaN and left out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, or scores are NaN or infinite. The
        message names the clips.
    TypeError
        If scores are sparse or not numeric.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives; the message gives their number.

    See Also
    --------
    lwlrap : Ranks the events within each clip, instead of the clips within each event.
    sklearn.metrics.average_precision_score : Equal, but 0 for events without positives.

    References
    ----------
    .. [1] M. Zhu, "Recall, precision and average precision", Technical report 2004-09,
       University of Waterloo, 2004.

    Examples
    --------
    >>> from sktagger.metrics import mean_average_precision
    >>> y_true = [[1, 0], [0, 0], [1, 1]]
    >>> y_score = [[0.9, 0.2], [0.6, 0.3], [0.5, 0.7]]
    >>> mean_average_precision(y_true, y_score)
    0.916...
    >>> mean_average_precision(y_true, y_score, average=None)
    array([0.833..., 1.        ])
    """
    ranked = _rank(y_true, y_score, average, sample_weight)
    return average_events(
        ranked.average_precision(),
        ranked.support_,
        average,
        metric="average precision",
        names=ranked.event_names_,
    )


def mean_roc_auc(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Compute the area under the ROC curve of each event, and average it over events (mAUC).

    The AUC of an event is the probability that a clip with the event scores higher than a clip
    without it; ties count half [1]_. For random scores, it is about 0.5.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores in any range. A higher score means that the event is more likely.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro": mean over events; "weighted": mean weighted by the number of clips with the event;
        "micro": all pairs of clip and event ranked together; None: the value of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    mean_roc_auc : float, or ndarray or Series of shape (n_events,)
        In [0, 1]. With ``average=None`` a Series by event name if the input is a DataFrame, else
        an array. Events without positives or without negatives are NaN and left out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, or scores are NaN or infinite. The
        message names the clips.
    TypeError
        If scores are sparse or not numeric.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives or no negatives; the message gives their number.

    See Also
    --------
    d_prime : Expresses the AUC as a distance between two normal distributions.
    sklearn.metrics.roc_auc_score : Equal for a single event.

    References
    ----------
    .. [1] J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a receiver
       operating characteristic (ROC) curve", Radiology 143, 29-36, 1982.

    Examples
    --------
    >>> from sktagger.metrics import mean_roc_auc
    >>> mean_roc_auc([[1, 0], [0, 0], [1, 1]], [[0.9, 0.2], [0.6, 0.3], [0.5, 0.7]])
    0.75
    """
    ranked = _rank(y_true, y_score, average, sample_weight)
    return average_events(
        ranked.roc_auc(),
        ranked.support_,
        average,
        metric="ROC AUC",
        names=ranked.event_names_,
        n_negatives=ranked.n_negatives_,
    )


def d_prime(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    r"""Compute the sensitivity index d' from the area under the ROC curve.

    Suppose that the scores of clips with and without the event have normal distributions of equal
    width. d' is the distance between their means, in standard deviations, that yields this AUC
    [1]_: :math:`d' = \sqrt 2 \, \Phi^{-1}(\mathrm{AUC})`. Differences between AUCs near 1 are
    easier to see in d'.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores in any range. A higher score means that the event is more likely.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        How AUCs are averaged before d' is computed, as in `mean_roc_auc`. d' itself is not averaged
        because it is infinite for an event with an AUC of 1. None: d' of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    d_prime : float, or ndarray or Series of shape (n_events,)
        Any number; 0 for random scores, inf for perfect separation. Events without positives or
        without negatives are NaN and left out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, or scores are NaN or infinite. The
        message names the clips.
    TypeError
        If scores are sparse or not numeric.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives or no negatives; the message gives their number.

    References
    ----------
    .. [1] S. Hershey et al., "CNN architectures for large-scale audio classification",
       ICASSP 2017, arXiv:1609.09430.

    Examples
    --------
    >>> from sktagger.metrics import d_prime
    >>> d_prime([[1, 0], [0, 0], [1, 1]], [[0.9, 0.2], [0.6, 0.3], [0.5, 0.7]])
    0.953...
    """
    ranked = _rank(y_true, y_score, average, sample_weight)
    auc = average_events(
        ranked.roc_auc(),
        ranked.support_,
        average,
        metric="d'",
        names=ranked.event_names_,
        n_negatives=ranked.n_negatives_,
    )
    return auc_to_d_prime(auc) if average is None else float(auc_to_d_prime(auc))


def best_f1(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    beta: float = 1.0,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Compute the F-score at the best threshold of each event, and average it over events.

    This is an upper bound of the F-score on these clips, and not an estimate for new clips, because
    the thresholds are chosen and evaluated on the same labels.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores in any range. A higher score means that the event is more likely.
    beta : float, default=1.0
        Weight of recall over precision, greater than 0: 2 counts recall twice as much.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro": mean over events; "weighted": mean weighted by the number of clips with the event;
        "micro": a single threshold for all pairs of clip and event; None: the value of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    best_f1 : float, or ndarray or Series of shape (n_events,)
        In (0, 1]. Events without positives are NaN and left out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, scores are NaN or infinite (the
        message names the clips), or `beta` is not positive.
    TypeError
        If scores are sparse or not numeric.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives; the message gives their number.

    See Also
    --------
    RankedScores.best_thresholds : The thresholds themselves.
    mean_f1 : F-score of binary predictions.

    Examples
    --------
    >>> from sktagger.metrics import best_f1
    >>> best_f1([[1, 0], [0, 0], [1, 1]], [[0.9, 0.2], [0.6, 0.3], [0.5, 0.7]])
    0.9
    """
    check_positive(beta, "beta")
    ranked = _rank(y_true, y_score, average, sample_weight)
    return average_events(
        ranked.best_thresholds(beta).fscores,
        ranked.support_,
        average,
        metric="best F-score",
        names=ranked.event_names_,
    )


def auc_to_d_prime(auc):
    """Convert areas under the ROC curve to sensitivity indices, elementwise."""
    return math.sqrt(2) * special.ndtri(auc)


def _rank(y_true, y_score, average, sample_weight):
    check_average(average)
    clip_scores = check_scores(y_true, y_score, sample_weight)
    return RankedScores.from_checked(clip_scores.pooled() if average == "micro" else clip_scores)
