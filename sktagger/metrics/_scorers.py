"""Scorers for `cross_validate` and hyperparameter searches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.pipeline import Pipeline

from sktagger._utils.text import listed
from sktagger._utils.validation import BaseScorer
from sktagger._utils.warnings import warn
from sktagger.metrics._binary import mean_f1
from sktagger.metrics._lwlrap import lwlrap
from sktagger.metrics._ranking_metrics import mean_average_precision, mean_roc_auc
from sktagger.metrics._scored import scored
from sktagger.targets import (
    event_columns,
    match_form,
    matched_by_name,
    plain_container,
    read_form,
)
from sktagger.targets.responses import (
    is_list_of_events,
    is_single_event,
    select_event,
    stack_events,
)

__all__ = ["lwlrap_scorer", "map_scorer", "mauc_scorer", "mf1_scorer", "scorers"]


class _EstimatorOutputs(BaseEstimator):
    """Scores and predictions of a fitted estimator, in the same form for all kinds of estimators.

    scikit-learn's own conversion is wrong for events: it treats an estimator with two events as a
    binary classifier and keeps one column. For events without positives in training, it uses the
    score of their absence.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `predict_proba` or `decision_function`.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def event_scores(self, X):
        """Return scores of shape (n_clips, n_columns), with the columns of `predict_proba`."""
        if hasattr(self.estimator, "predict_proba"):
            scores = self.estimator.predict_proba(X)
            if is_list_of_events(scores):
                return stack_events(scores, self.estimator.classes_)
            return np.asarray(scores)
        if hasattr(self.estimator, "decision_function"):
            scores = np.asarray(self.estimator.decision_function(X))
            # A binary classifier has one column, which is positive for the second class.
            return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
        raise AttributeError(
            f"{type(self.estimator).__name__} has neither predict_proba nor decision_function. "
            "This scorer needs one of them. Use mf1_scorer, which only needs predict."
        )

    def predictions(self, X):
        """Return the predictions in the form that `predict` returns."""
        return self.estimator.predict(X)

    def __sklearn_tags__(self):
        # All versions of scikit-learn pass the output of outlier detectors on without changes.
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags


class EventScorer(BaseScorer):
    """Scorer for multi-label and 1-D targets, similar to :func:`sklearn.metrics.make_scorer`.

    All scorers of a `cross_validate` call or a search share one call of `predict_proba`, or of
    `decision_function` if the estimator has no `predict_proba`. Scorers that take binary
    predictions share this call, too, if the estimator (or the last step of a pipeline) has a method
    ``predict_from_scores(scores)``, which converts the output of `predict_proba` into that of
    `predict`. Otherwise they call `predict`.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_score_or_pred, *, sample_weight=None, **options)``.
    binary : bool, default=False
        Whether `metric` takes binary predictions instead of scores.
    **options : dict
        Keyword arguments for `metric`.
    """

    def __init__(self, metric: Callable[..., Any], *, binary: bool = False, **options: Any):
        self.binary = binary
        methods = ["predict_proba", "decision_function"]
        super().__init__(metric, 1, options, methods + ["predict"] * binary)

    def __repr__(self):
        options = "".join(f", {key}={value!r}" for key, value in self._kwargs.items())
        return f"EventScorer({self._score_func.__name__}{options})"

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        outputs = _EstimatorOutputs(estimator)
        y_true = _as_indicator(y_true, estimator)
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if self.binary and not hasattr(last, "predict_from_scores"):
            y_pred = _as_indicator(method_caller(outputs, "predictions", X), estimator)
            return self._score_func(y_true, y_pred, **{**self._kwargs, **kwargs})

        scores = method_caller(outputs, "event_scores", X)
        kept = scored(scores)
        if not kept.all():  # unreadable clips; predict_proba already warned
            scores, y_true = scores[kept], y_true[kept]
            if kwargs.get("sample_weight") is not None:
                kwargs["sample_weight"] = np.asarray(kwargs["sample_weight"])[kept]
        if self.binary:
            y_out = _as_indicator(last.predict_from_scores(scores), estimator)
        else:
            y_out = _select_events(scores, y_true, estimator)
        return self._score_func(y_true, y_out, **{**self._kwargs, **kwargs})


def _as_indicator(y, estimator):
    """Convert targets of any form to an indicator matrix of shape (n_clips, n_events).

    The columns are matched with the events of the estimator by name, if both have names.
    """
    if sparse.issparse(y):
        return y
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray):
        classes = None  # a list with one array per event, from an estimator without event names
    y = plain_container(y, "y")
    form = read_form(y, "y", None if classes is None else len(classes))
    if form.kind == "labels" and is_single_event(classes):
        return (form.values == 1)[:, np.newaxis]
    if form.kind == "indicator" and (classes is None or not matched_by_name(form.names, classes)):
        indicator, names = form.values, form.names
    elif classes is None:
        raise ValueError(
            "y names events, but the estimator has no classes_ to match the columns of scores with "
            "these names. Pass a fitted classifier, or pass y as an indicator matrix."
        )
    else:
        unknown = set()
        indicator = match_form(form, classes, name="y", unknown=unknown).indicator
        names = None if form.names is None else classes
        _warn_unknown(unknown)
    return indicator if names is None else pd.DataFrame(indicator, _index(y), event_columns(names))


def _index(y):
    return y.index if isinstance(y, pd.DataFrame) else None


def _select_events(scores, y_true, estimator):
    """Select the scores of the events in `y_true`.

    A classifier of the classes 0 and 1 has two columns for a single event.
    """
    return select_event(scores, estimator) if y_true.shape[1] == 1 else scores


def _warn_unknown(unknown):
    """Warn about events or labels that the estimator does not know."""
    if unknown:
        warn(
            f"{len(unknown)} events of the scored clips were absent in training and have no "
            f"scores: {listed(sorted(map(str, unknown)))}. The metric ignores them.",
            UndefinedMetricWarning,
        )


#: Mean average precision of the scores of `predict_proba`; see :func:`mean_average_precision`.
map_scorer = EventScorer(mean_average_precision)
#: Mean area under the ROC curve of the scores of `predict_proba`; see :func:`mean_roc_auc`.
mauc_scorer = EventScorer(mean_roc_auc)
#: Label-weighted label-ranking average precision of the scores; see :func:`lwlrap`.
lwlrap_scorer = EventScorer(lwlrap)
#: Mean F1 of `predict`, at the thresholds that the estimator applies; see :func:`mean_f1`.
mf1_scorer = EventScorer(mean_f1, binary=True)
#: All of these scorers, for the parameter `scoring` of `cross_validate` and searches.
scorers: dict[str, EventScorer] = {
    "mAP": map_scorer,
    "mAUC": mauc_scorer,
    "lwlrap": lwlrap_scorer,
    "mF1": mf1_scorer,
}
