"""Scorers for `cross_validate` and searches: from an estimator and its clips to a metric."""

import warnings

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning

# Private, but there is no other way to share one prediction pass between scorers: cross_validate
# hands its cache of predictions to instances of this class only.
from sklearn.metrics._scorer import _BaseScorer
from sklearn.pipeline import Pipeline

from sktagger._utils.text import listed
from sktagger.metrics._decisions import mean_f1
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


class _Responses(BaseEstimator):
    """What a fitted estimator says about clips, in one form for every kind of estimator.

    scikit-learn's own conversion takes an estimator with two events for a binary classifier and
    keeps one column, and takes the score of "absent" for events without positives in training.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `predict_proba` or `decision_function`.
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def event_scores(self, X):
        """Scores: ndarray of shape (n_clips, n_columns), columns as in `predict_proba`."""
        if hasattr(self.estimator, "predict_proba"):
            scores = self.estimator.predict_proba(X)
            if is_list_of_events(scores):
                return stack_events(scores, self.estimator.classes_)
            return np.asarray(scores)
        if hasattr(self.estimator, "decision_function"):
            scores = np.asarray(self.estimator.decision_function(X))
            # Of a binary classifier: one column, greater than 0 for the second class.
            return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
        raise AttributeError(
            f"{type(self.estimator).__name__} has neither predict_proba nor decision_function. "
            "A scorer of scores needs one of them. Use mf1_scorer, which takes decisions."
        )

    def decisions(self, X):
        """Whatever `predict` returns."""
        return self.estimator.predict(X)

    def __sklearn_tags__(self):
        # the one kind whose responses every scikit-learn takes as they are
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags


class EventScorer(_BaseScorer):
    """Scorer of multi-label and 1-D targets, in the way of :func:`sklearn.metrics.make_scorer`.

    Scorers of one `cross_validate` or search share one pass of `predict_proba` (or, without it,
    of `decision_function`). Scorers of decisions share the pass, too, if the estimator or the last
    step of a pipeline has a method ``predict_from_scores(scores)`` that turns what
    `predict_proba` returned into what `predict` returns; otherwise they call `predict`.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_score_or_pred, *, sample_weight=None, **options)``.
    of_decisions : bool, default=False
        Whether `metric` takes 0/1 decisions instead of scores.
    **options
        Keyword arguments for `metric`.
    """

    def __init__(self, metric, *, of_decisions=False, **options):
        self.of_decisions = of_decisions
        methods = ["predict_proba", "decision_function"]
        super().__init__(metric, 1, options, methods + ["predict"] * of_decisions)

    def __repr__(self):
        options = "".join(f", {key}={value!r}" for key, value in self._kwargs.items())
        return f"EventScorer({self._score_func.__name__}{options})"

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        responses = _Responses(estimator)
        y_true = _as_indicator(y_true, estimator)
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if self.of_decisions and not hasattr(last, "predict_from_scores"):
            y_out = _as_indicator(method_caller(responses, "decisions", X), estimator)
            return self._score_func(y_true, y_out, **{**self._kwargs, **kwargs})

        scores = method_caller(responses, "event_scores", X)
        kept = scored(scores)
        if not kept.all():  # of clips that cannot be read, of which predict_proba has told
            scores, y_true = scores[kept], y_true[kept]
            if kwargs.get("sample_weight") is not None:
                kwargs["sample_weight"] = np.asarray(kwargs["sample_weight"])[kept]
        if self.of_decisions:
            y_out = _as_indicator(last.predict_from_scores(scores), estimator)
        else:
            y_out = _select_events(scores, y_true, estimator)
        return self._score_func(y_true, y_out, **{**self._kwargs, **kwargs})


def _as_indicator(y, estimator):
    """Indicator matrix (n_clips, n_events) of any target that estimators are fitted on.

    Columns are matched by name with the events of the estimator, if both have names.
    """
    if sparse.issparse(y):
        return y
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray):
        classes = None  # a list of arrays, of estimators that know no names
    y = plain_container(y, "y")
    form = read_form(y, "y", None if classes is None else len(classes))
    if form.kind == "labels" and is_single_event(classes):
        return (form.values == 1)[:, np.newaxis]
    if form.kind == "indicator" and (classes is None or not matched_by_name(form.names, classes)):
        indicator, names = form.values, form.names
    elif classes is None:
        raise ValueError(
            "y names events, but the estimator has no classes_ that say which column is which. "
            "The estimator must be a fitted classifier. Or pass y as an indicator matrix."
        )
    else:
        unknown = set()
        indicator = match_form(form, classes, name="y", unknown=unknown).indicator
        names = None if form.names is None else classes
        _warn_of_unknown(unknown)
    return indicator if names is None else pd.DataFrame(indicator, _index(y), event_columns(names))


def _index(y):
    return y.index if isinstance(y, pd.DataFrame) else None


def _select_events(scores, y_true, estimator):
    """Scores of the events of `y_true`: a classifier of 0 and 1 has two columns for one event."""
    return select_event(scores, estimator) if y_true.shape[1] == 1 else scores


def _warn_of_unknown(unknown):
    """Warn of events, or labels, that the estimator does not know: they have no column."""
    if unknown:
        warnings.warn(
            f"{len(unknown)} events of the scored clips were absent in training and have no "
            f"scores: {listed(sorted(map(str, unknown)))}. They are left out of the metric.",
            UndefinedMetricWarning,
            stacklevel=2,
        )


#: Mean average precision of `predict_proba`; see :func:`mean_average_precision`.
map_scorer = EventScorer(mean_average_precision)
#: Mean area under the ROC curve of `predict_proba`; see :func:`mean_roc_auc`.
mauc_scorer = EventScorer(mean_roc_auc)
#: Label-weighted label-ranking average precision of `predict_proba`; see :func:`lwlrap`.
lwlrap_scorer = EventScorer(lwlrap)
#: Mean F1 of `predict`, with whatever thresholds the estimator applies; see :func:`mean_f1`.
mf1_scorer = EventScorer(mean_f1, of_decisions=True)
#: All of them, for ``scoring=`` of `cross_validate` and searches.
scorers = {
    "mAP": map_scorer,
    "mAUC": mauc_scorer,
    "lwlrap": lwlrap_scorer,
    "mF1": mf1_scorer,
}
