"""Metrics of 0/1 decisions: precision, recall, F-score, error rate."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger.metrics._averaging import average_events
from sktagger.metrics._counts import f_score, precision, ratio, recall
from sktagger.metrics._input import check_average, check_decisions, check_positive

__all__ = [
    "ClipErrors",
    "clip_errors",
    "error_rate",
    "event_support",
    "mean_f1",
    "mean_precision",
    "mean_recall",
]


def mean_f1(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    beta: float = 1.0,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """F-score of each event, averaged over events (mF1).

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) decisions.
    beta : float, default=1.0
        Weight of recall over precision, greater than 0: 2 counts recall twice as much.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro": mean over events; "weighted": mean weighted by the number of clips with the event;
        "micro": from the counts of all events together; None: the value of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    mean_f1 : float, or ndarray or Series of shape (n_events,)
        In [0, 1]. With ``average=None`` a Series by event name if the input is a DataFrame, else
        an array. Events without positives are NaN and left out of means, whatever was decided.

    Raises
    ------
    ValueError
        If shapes or event names differ, an entry is not 0/1, or `beta` is not positive.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives; names how many.

    See Also
    --------
    best_f1 : F-score of the best thresholds.
    sklearn.metrics.f1_score : The same on events with positives.

    Examples
    --------
    >>> from sktagger.metrics import mean_f1
    >>> mean_f1([[1, 0], [0, 0], [1, 1]], [[1, 0], [1, 0], [1, 1]])
    0.9
    >>> mean_f1([[1, 0], [0, 0], [1, 1]], [[1, 0], [1, 0], [1, 1]], average=None)
    array([0.8, 1. ])
    """
    check_positive(beta, "beta")
    tp, fp, fn, names = _count(y_true, y_pred, average, sample_weight)
    return average_events(
        f_score(tp, fp, fn, beta), tp + fn, average, metric="F-score", names=names
    )


def mean_precision(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Precision of each event, averaged over events (mP).

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) decisions.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro": mean over events; "weighted": mean weighted by the number of clips with the event;
        "micro": from the counts of all events together; None: the value of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    mean_precision : float, or ndarray or Series of shape (n_events,)
        In [0, 1]; 0 for an event that is never decided. Events without positives are NaN and left
        out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, or an entry is not 0/1.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives; names how many.

    Examples
    --------
    >>> from sktagger.metrics import mean_precision
    >>> mean_precision([[1, 0], [0, 0], [1, 1]], [[1, 0], [1, 0], [1, 1]], average=None)
    array([0.666..., 1.        ])
    """
    tp, fp, fn, names = _count(y_true, y_pred, average, sample_weight)
    return average_events(precision(tp, fp, fn), tp + fn, average, metric="precision", names=names)


def mean_recall(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average: str | None = "macro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Recall of each event, averaged over events (mR).

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) decisions.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro": mean over events; "weighted": mean weighted by the number of clips with the event;
        "micro": from the counts of all events together; None: the value of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    mean_recall : float, or ndarray or Series of shape (n_events,)
        In [0, 1]. Events without positives are NaN and left out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, or an entry is not 0/1.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives; names how many.

    Examples
    --------
    >>> from sktagger.metrics import mean_recall
    >>> mean_recall([[1, 0], [0, 0], [1, 1]], [[1, 0], [1, 0], [0, 1]], average=None)
    array([0.5, 1. ])
    """
    tp, fp, fn, names = _count(y_true, y_pred, average, sample_weight)
    return average_events(recall(tp, fp, fn), tp + fn, average, metric="recall", names=names)


class ClipErrors(NamedTuple):
    """Errors of each clip.

    Attributes
    ----------
    substitutions : ndarray of shape (n_clips,), int64
        Pairs of a missed event and one that was decided instead.
    insertions, deletions : ndarray of shape (n_clips,), int64
        Remaining events that were decided wrongly, and that were missed.
    """

    substitutions: np.ndarray
    insertions: np.ndarray
    deletions: np.ndarray


def clip_errors(y_true: ArrayLike, y_pred: ArrayLike) -> ClipErrors:
    """Substitutions, insertions and deletions of each clip.

    A missed event and a false one in the same clip make one substitution; what is left over are
    insertions or deletions [1]_.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events)
        0/1 (or bool) indicator of the events of each clip.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) decisions.

    Returns
    -------
    errors : ClipErrors
        Named tuple ``(substitutions, insertions, deletions)``.

    Raises
    ------
    ValueError
        If shapes or event names differ, or an entry is not 0/1.

    References
    ----------
    .. [1] A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection",
       Applied Sciences 6(6), 162, 2016.

    Examples
    --------
    >>> from sktagger.metrics import clip_errors
    >>> clip_errors([[1, 0, 1], [0, 1, 0]], [[0, 1, 0], [1, 1, 0]])
    ClipErrors(substitutions=array([1, 0]), insertions=array([0, 1]), deletions=array([1, 0]))
    """
    y_true, y_pred, _, _ = check_decisions(y_true, y_pred)
    return _clip_errors(y_true, y_pred)


def error_rate(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average: str | None = "micro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Errors per labelled event: the lower, the better.

    The substitutions, insertions and deletions of all clips (see `clip_errors`), divided by the
    number of labelled events [1]_. Deciding nothing gives 1.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events)
        0/1 (or bool) indicator of the events of each clip.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) decisions.
    average : {"micro", "macro", "weighted"} or None, default="micro"
        "micro": as above. The others know no substitutions, for these involve two events: None
        gives the false and missed decisions of each event, divided by the number of its positives;
        "macro" and "weighted" their mean over events, the latter weighted by that number.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    error_rate : float, or ndarray or Series of shape (n_events,)
        At least 0, without upper bound. Events without positives are NaN and left out of means;
        with "micro" their insertions count, and it is NaN only if no clip has any event.

    Raises
    ------
    ValueError
        If shapes or event names differ, or an entry is not 0/1.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives (with "micro": if none has); names how many.

    References
    ----------
    .. [1] A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection",
       Applied Sciences 6(6), 162, 2016.

    Examples
    --------
    >>> from sktagger.metrics import error_rate
    >>> error_rate([[1, 0, 1], [0, 1, 0]], [[0, 1, 0], [1, 1, 0]])
    1.0
    >>> error_rate([[1, 0, 1], [0, 1, 0]], [[0, 1, 0], [1, 1, 0]], average=None)
    array([2., 1., 1.])
    """
    check_average(average)
    y_true, y_pred, weight, names = check_decisions(y_true, y_pred, sample_weight)
    tp, fp, fn = count_decisions(y_true, y_pred, weight)
    if average == "micro":
        support, errors = (tp + fn).sum(keepdims=True), weight @ sum(_clip_errors(y_true, y_pred))
    else:
        support, errors = tp + fn, fp + fn
    values = ratio(errors, support)
    return average_events(values, support, average, metric="error rate", names=names)


def event_support(
    y_true: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> np.ndarray | pd.Series:
    """Number of clips with each event: the weights with which `lwlrap` averages events.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    support : ndarray or Series of shape (n_events,), float64
        Series by event name if `y_true` is a DataFrame. 0 for events that the policy leaves out.

    Raises
    ------
    ValueError
        If an entry is not 0/1.

    Examples
    --------
    >>> from sktagger.metrics import event_support
    >>> event_support([[1, 0, 0], [1, 0, 1]])
    array([2., 0., 1.])
    """
    y_true, _, weight, names = check_decisions(y_true, y_true, sample_weight)
    support = weight @ y_true
    return support if names is None else pd.Series(support, index=names, name="support")


def count_decisions(y_true, y_pred, weight):
    """True positives, false positives and false negatives of each event.

    Parameters
    ----------
    y_true, y_pred : csr_array of shape (n_clips, n_events), int64
        0/1 indicators.
    weight : ndarray of shape (n_clips,), float64
        Weights of the clips.

    Returns
    -------
    tp, fp, fn : ndarray of shape (n_events,), float64
        Exact integers if weights are.
    """
    tp = weight @ y_true.multiply(y_pred)
    return tp, weight @ y_pred - tp, weight @ y_true - tp


def _clip_errors(y_true, y_pred):
    tp = y_true.multiply(y_pred).sum(axis=1)
    false, missed = y_pred.sum(axis=1) - tp, y_true.sum(axis=1) - tp
    substitutions = np.minimum(false, missed)
    return ClipErrors(substitutions, false - substitutions, missed - substitutions)


def _count(y_true, y_pred, average, sample_weight):
    """Counts as in `count_decisions`, pooled if `average` is "micro", and names of events."""
    check_average(average)
    y_true, y_pred, weight, names = check_decisions(y_true, y_pred, sample_weight)
    counts = count_decisions(y_true, y_pred, weight)
    if average == "micro":
        counts = [count.sum(keepdims=True) for count in counts]
    return *counts, names
