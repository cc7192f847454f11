"""Table of all metrics per event, with optional bootstrap confidence intervals."""

import numbers

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from sktagger._utils.text import listed
from sktagger.metrics._averaging import warn_undefined
from sktagger.metrics._bootstrap import draw_weights, resampled_average_precision_and_auc
from sktagger.metrics._counts import f_score, precision, ratio, recall
from sktagger.metrics._input import as_sparse, check_scores
from sktagger.metrics._lwlrap import precision_at_positives
from sktagger.metrics._ranked_scores import RankedScores
from sktagger.metrics._ranking import split_rows
from sktagger.metrics._ranking_metrics import auc_to_d_prime

__all__ = ["event_report"]

_MACRO = "macro"


def event_report(
    y_true: ArrayLike,
    y_score: ArrayLike,
    thresholds: ArrayLike | None = None,
    *,
    event_names: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    n_bootstraps: int = 0,
    confidence_level: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """Make a table of all metrics of each event, and their means.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores, comparable between events (for lwlrap).
    thresholds : float or array-like of shape (n_events,), default=None
        An event is predicted if its score is greater than its threshold. A Series is matched by
        event name. None: the threshold of each event with the highest F1 on these clips (see
        `best_f1`). F1 is then an upper bound. F1, precision and recall are no estimates for new
        clips.
    event_names : array-like of shape (n_events,), default=None
        Row names. None: the columns of the DataFrame, or numbers starting at 0.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.
    n_bootstraps : int, default=0
        Number of bootstrap resamples for confidence intervals. 0: no intervals. Use at least 1,000
        for published intervals.
    confidence_level : float, default=0.95
        Nominal coverage of the intervals, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Random numbers for the resamples. Pass an int to get the same intervals in every call.

    Returns
    -------
    report : DataFrame of shape (n_events + 1, 13 or more)
        One row per event, and a last row "macro" ("(macro)" in parentheses if an event has this
        name). The columns are:

        * ``support``: number of clips with the event; ``prior``: their share;
        * ``AP``, ``AUC``, ``d_prime``, ``lwlrap``: as computed by the functions of this module;
        * ``threshold``, and at this threshold ``F1``, ``precision``, ``recall``, and the numbers of
          true positives ``TP``, false positives ``FP`` and false negatives ``FN``;
        * with bootstraps, ``AP_low``, ``AP_high`` and so on, also for AUC, d_prime, lwlrap, F1,
          precision and recall: quantiles of the metric over resamples at the same thresholds.

        The row "macro" has the means over events with a value, the d' of the mean AUC, the totals
        of the counts, and no threshold. Its lwlrap is the unweighted mean over events, while
        `lwlrap` weights events by support by default. Counts are integers if no `sample_weight` is
        passed.

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, scores are NaN or infinite (the
        message names the clips), thresholds do not match the events, or an option is out of range.
    TypeError
        If scores are sparse or not numeric.

    Warns
    -----
    UndefinedMetricWarning
        If events have no positives or no negatives; the message gives their number.

    Notes
    -----
    Each bootstrap resample draws as many clips as there are, with replacement. All metrics are
    computed on the resample. An interval contains the central part of the results [1]_. An event
    without positives in a resample is left out of this resample. Intervals of events with few
    positives are too narrow.

    References
    ----------
    .. [1] B. Efron and R. J. Tibshirani, "An introduction to the bootstrap", chapter 13, 1993.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktagger.metrics import event_report
    >>> y_true = pd.DataFrame({"Dog": [1, 0, 1, 0], "Rain": [0, 0, 1, 0]})
    >>> y_score = [[0.9, 0.2], [0.6, 0.3], [0.5, 0.7], [0.1, 0.6]]
    >>> report = event_report(y_true, y_score, thresholds=0.5)
    >>> report[["support", "AP", "F1", "TP", "FP", "FN"]].round(2)
           support    AP    F1  TP  FP  FN
    Dog          2  0.83  0.50   1   1   1
    Rain         1  1.00  0.67   1   1   0
    macro        3  0.92  0.58   2   2   1
    """
    clip_scores = check_scores(y_true, y_score, sample_weight)
    names = _check_names(event_names, clip_scores)
    _check_bootstrap(n_bootstraps, confidence_level)
    ranked = RankedScores.from_checked(clip_scores)
    warn_undefined("part of the metrics", ranked.support_, ranked.n_negatives_)
    if thresholds is None:
        thresholds = ranked.best_thresholds().thresholds
    else:
        thresholds = _check_thresholds(thresholds, names)

    predictions = _BinaryPredictions(clip_scores, thresholds)
    weight = np.ones(len(clip_scores.scores)) if clip_scores.weight is None else clip_scores.weight
    rates, counts = predictions.measure(weight[:, np.newaxis])
    rates = {"AP": ranked.average_precision()[None], "AUC": ranked.roc_auc()[None], **rates}
    limits = {}
    if n_bootstraps:
        limits = _confidence_limits(
            clip_scores,
            predictions,
            n_bootstraps,
            confidence_level,
            check_random_state(random_state),
        )

    rates = {name: values[0] for name, values in _with_macro(rates).items()}
    counts = {name: np.append(values, values.sum()) for name, values in counts.items()}
    if clip_scores.weight is None:
        counts = {name: values.astype(np.int64) for name, values in counts.items()}
    prior = ranked.support_ / weight.sum()
    columns = {
        "support": counts["support"],
        "prior": np.append(prior, prior.mean()),
        **{name: rates[name] for name in ("AP", "AUC", "d_prime", "lwlrap")},
        "threshold": np.append(thresholds, np.nan),
        **{name: rates[name] for name in ("F1", "precision", "recall")},
        **{name: counts[name] for name in ("TP", "FP", "FN")},
        **limits,
    }
    macro = _MACRO
    while macro in names:
        macro = f"({macro})"
    return pd.DataFrame(columns, index=names.append(pd.Index([macro])))


class _BinaryPredictions:
    """Binary predictions on clips, whose metrics are computed for several weightings of the clips.

    Parameters
    ----------
    clip_scores : ClipScores
    thresholds : ndarray of shape (n_events,), float64
    """

    def __init__(self, clip_scores, thresholds):
        self.scores = clip_scores.scores
        self.thresholds = thresholds
        shape = self.scores.shape
        clip, event, precision_in_clip = precision_at_positives(clip_scores)
        is_predicted = self.scores[clip, event] > thresholds[event]
        self.positives = as_sparse(clip, event, shape, np.ones(len(clip)))
        self.true_positives = as_sparse(clip, event, shape, is_predicted.astype(np.float64))
        self.precision_in_clip = as_sparse(clip, event, shape, precision_in_clip)

    def measure(self, weights):
        """Compute lwlrap and the metrics of the predictions for several weightings of the clips.

        Parameters
        ----------
        weights : ndarray of shape (n_clips, n_weightings), float32 or float64

        Returns
        -------
        rates, counts : dict of str to ndarray of shape (n_weightings, n_events), float64
        """
        support, tp, precision_in_clip = (
            (matrix.T @ weights).T
            for matrix in (self.positives, self.true_positives, self.precision_in_clip)
        )
        n_predicted = np.zeros_like(support)
        for clips in split_rows(len(self.scores), row_bytes=8 * self.scores.shape[1]):
            predicted = self.scores[clips] > self.thresholds
            n_predicted += weights[clips].T @ predicted.astype(weights.dtype)
        fp, fn = n_predicted - tp, support - tp
        rates = {
            "lwlrap": ratio(precision_in_clip, support),
            "F1": f_score(tp, fp, fn),
            "precision": precision(tp, fp, fn),
            "recall": recall(tp, fp, fn),
        }
        return rates, {"support": support, "TP": tp, "FP": fp, "FN": fn}


def _with_macro(rates):
    """Add d', and append the mean over events to each row.

    Parameters
    ----------
    rates : dict of str to ndarray of shape (n_weightings, n_events), float64

    Returns
    -------
    rates : dict of str to ndarray of shape (n_weightings, n_events + 1), float64
    """
    rates = {
        name: np.column_stack([values, ratio(np.nansum(values, 1), (~np.isnan(values)).sum(1))])
        for name, values in rates.items()
    }
    return {**rates, "d_prime": auc_to_d_prime(rates["AUC"])}


def _confidence_limits(clip_scores, predictions, n_bootstraps, confidence_level, random_state):
    """Make columns with the lower and upper limit of each rate, for all events and their mean."""
    batches = []
    for weights in draw_weights(clip_scores, n_bootstraps, random_state):
        rates, _ = predictions.measure(weights)
        rates["AP"], rates["AUC"] = resampled_average_precision_and_auc(clip_scores, weights)
        batches.append(_with_macro(rates))
    tail = (1 - confidence_level) / 2
    limits = {}
    for name in ("AP", "AUC", "d_prime", "lwlrap", "F1", "precision", "recall"):
        values = np.concatenate([batch[name] for batch in batches])
        limits[f"{name}_low"], limits[f"{name}_high"] = _quantiles(values, [tail, 1 - tail])
    return limits


def _quantiles(values, levels):
    """Compute quantiles of each column, ignoring NaN.

    The nearest value is returned. Interpolation would fail where d' is infinite.
    """
    values = np.sort(values, axis=0)
    last = np.count_nonzero(~np.isnan(values), axis=0) - 1
    nearest = np.round(np.outer(levels, np.maximum(last, 0))).astype(np.intp)
    return np.take_along_axis(values, nearest, axis=0)


def _check_names(event_names, clip_scores):
    n_events = clip_scores.scores.shape[1]
    if event_names is not None:
        names = pd.Index(event_names)
    else:
        names = pd.RangeIndex(n_events) if clip_scores.names is None else clip_scores.names
    if len(names) != n_events:
        raise ValueError(
            f"event_names has {len(names)} entries for {n_events} events. It must have one name "
            "per column of y_true. Select the names of these columns."
        )
    if not names.is_unique:
        duplicates = names[names.duplicated()].unique()
        raise ValueError(
            f"The event names contain {listed(duplicates)} more than once. Each event must have a "
            "unique name. Pass unique names as event_names."
        )
    return names


def _check_thresholds(thresholds, names):
    if isinstance(thresholds, pd.Series):
        if len(missing := names.difference(thresholds.index)):
            raise ValueError(
                f"thresholds has no entry for {len(missing)} events: {listed(missing)}. A Series "
                "must have one entry per event. Pass an array to match events by position."
            )
        thresholds = thresholds[names]
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.shape not in ((), (len(names),)) or np.isnan(thresholds).any():
        raise ValueError(
            f"thresholds has shape {thresholds.shape} and {np.isnan(thresholds).sum()} NaN. It "
            f"must be a single number or one number for each of the {len(names)} events; inf and "
            "-inf are allowed. Pass +inf for an event that must never be predicted."
        )
    return np.broadcast_to(thresholds, len(names))


def _check_bootstrap(n_bootstraps, confidence_level):
    if not isinstance(n_bootstraps, numbers.Integral) or n_bootstraps < 0:
        raise ValueError(
            f"n_bootstraps={n_bootstraps!r} is out of range. It must be an integer of at least 0. "
            "Pass 0 for no confidence intervals."
        )
    if not isinstance(confidence_level, numbers.Real) or not 0 < confidence_level < 1:
        raise ValueError(
            f"confidence_level={confidence_level!r} is out of range. It must be a number between "
            "0 and 1. Pass 0.95 for intervals of 95 %."
        )
