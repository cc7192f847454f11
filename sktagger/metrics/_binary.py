"""Metrics of binary predictions: precision, recall, F-score, error rate."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger.metrics._averaging import average_events
from sktagger.metrics._counts import f_score, precision, ratio, recall
from sktagger.metrics._input import check_average, check_positive, check_predictions

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
    """Compute the F-score of each event, and average it over events (mF1).

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) predictions.
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
        an array. Events without positives are NaN and left out of means, even if they have false
        positives.

    Raises
    ------
    ValueError
        If shapes or event names differ, an entry is not 0/1, or `beta` is not positive.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives; the message gives their number.

    See Also
    --------
    best_f1 : F-score of the best thresholds.
    sklearn.metrics.f1_score : Equal for events with positives.

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
    """Compute the precision of each event, and average it over events (mP).

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) predictions.
    average : {"macro", "micro", "weighted"} or None, default="macro"
        "macro": mean over events; "weighted": mean weighted by the number of clips with the event;
        "micro": from the counts of all events together; None: the value of each event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    mean_precision : float, or ndarray or Series of shape (n_events,)
        In [0, 1]; 0 for an event that is never predicted. Events without positives are NaN and
        left out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, or an entry is not 0/1.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives; the message gives their number.

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
    """Compute the recall of each event, and average it over events (mR).

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) predictions.
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
        If events have no positives; the message gives their number.

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
        Pairs of a missed event and a wrongly predicted one.
    insertions, deletions : ndarray of shape (n_clips,), int64
        Remaining events that were wrongly predicted, and that were missed.
    """

    substitutions: np.ndarray
    insertions: np.ndarray
    deletions: np.ndarray


def clip_errors(y_true: ArrayLike, y_pred: ArrayLike) -> ClipErrors:
    """Count the substitutions, insertions and deletions of each clip.

    A missed event and a wrongly predicted event in the same clip make one substitution. The
    remaining errors are insertions or deletions [1]_.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events)
        0/1 (or bool) indicator of the events of each clip.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) predictions.

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
    y_true, y_pred, _, _ = check_predictions(y_true, y_pred)
    return _clip_errors(y_true, y_pred)


def error_rate(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    average: str | None = "micro",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Compute the number of errors per labeled event; lower is better.

    The number of substitutions, insertions and deletions in all clips (see `clip_errors`), divided
    by the number of labeled events [1]_. It is 1 if no event is predicted.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events)
        0/1 (or bool) indicator of the events of each clip.
    y_pred : {array-like, sparse matrix, DataFrame} of the same shape
        0/1 (or bool) predictions.
    average : {"micro", "macro", "weighted"} or None, default="micro"
        "micro": as above. Substitutions span two events, so the other averages ignore them. None:
        the number of false positives and false negatives of each event, divided by the number of
        its positives; "macro": mean of this over events; "weighted": mean weighted by the number of
        positives.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    error_rate : float, or ndarray or Series of shape (n_events,)
        At least 0, without upper bound. Events without positives are NaN and left out of means;
        with "micro" their insertions count, and the result is NaN only if no clip has any event.

    Raises
    ------
    ValueError
        If shapes or event names differ, or an entry is not 0/1.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives (with "micro": if no event has any); the message gives their
        number.

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
    y_true, y_pred, weight, names = check_predictions(y_true, y_pred, sample_weight)
    tp, fp, fn = confusion_counts(y_true, y_pred, weight)
    if average == "micro":
        support, errors = (tp + fn).sum(keepdims=True), weight @ sum(_clip_errors(y_true, y_pred))
    else:
        support, errors = tp + fn, fp + fn
    values = ratio(errors, support)
    return average_events(values, support, average, metric="error rate", names=names)


def event_support(
    y_true: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> np.ndarray | pd.Series:
    """Count the clips with each event; by default, `lwlrap` weights events by these numbers.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    support : ndarray or Series of shape (n_events,), float64
        A Series by event name if `y_true` is a DataFrame. It is 0 for events without positives,
        which are left out of means.

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
    y_true, _, weight, names = check_predictions(y_true, y_true, sample_weight)
    support = weight @ y_true
    return support if names is None else pd.Series(support, index=names, name="support")


def confusion_counts(y_true, y_pred, weight):
    """Count true positives, false positives and false negatives of each event.

    Parameters
    ----------
    y_true, y_pred : csr_array of shape (n_clips, n_events), int64
        0/1 indicators.
    weight : ndarray of shape (n_clips,), float64
        Weights of the clips.

    Returns
    -------
    tp, fp, fn : ndarray of shape (n_events,), float64
        Whole numbers if the weights are.
    """
    tp = weight @ y_true.multiply(y_pred)
    return tp, weight @ y_pred - tp, weight @ y_true - tp


def _clip_errors(y_true, y_pred):
    tp = y_true.multiply(y_pred).sum(axis=1)
    fp, fn = y_pred.sum(axis=1) - tp, y_true.sum(axis=1) - tp
    substitutions = np.minimum(fp, fn)
    return ClipErrors(substitutions, fp - substitutions, fn - substitutions)


def _count(y_true, y_pred, average, sample_weight):
    """Return the counts of `confusion_counts`, summed over events for "micro", and event names."""
    check_average(average)
    y_true, y_pred, weight, names = check_predictions(y_true, y_pred, sample_weight)
    counts = confusion_counts(y_true, y_pred, weight)
    if average == "micro":
        counts = [count.sum(keepdims=True) for count in counts]
    return *counts, names
