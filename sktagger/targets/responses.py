"""Scores of fitted estimators of any kind, with one column per event, and event names."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sktagger.targets._conversion import Targets
from sktagger.targets._forms import read_form
from sktagger.targets._matching import match_form

__all__ = [
    "event_names",
    "event_scores",
    "is_list_of_events",
    "is_single_event",
    "scores_and_targets",
    "select_event",
    "stack_events",
]


def event_scores(estimator: BaseEstimator, X: Any, n_events: int | None = None) -> np.ndarray:
    """Compute the score of each event in each clip.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `predict_proba`.
    X : array-like of shape (n_clips,) or (n_clips, n_features)
        Clips, in a form that the estimator accepts.
    n_events : int or None, default=None
        1 selects the second column of a binary classifier. Most estimators treat an indicator
        matrix of a single event as binary classes.

    Returns
    -------
    ndarray of shape (n_clips, n_events), float
        The scores.
    """
    classes = getattr(estimator, "classes_", None)
    scores = estimator.predict_proba(X)
    if is_list_of_events(scores):
        return stack_events(scores, classes)
    scores = np.asarray(scores)
    return select_event(scores, estimator) if n_events == 1 else scores


def select_event(scores: np.ndarray, estimator: BaseEstimator) -> np.ndarray:
    """Select the scores of the presence, if an estimator scores an event's absence and presence.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_columns), float
        Output of `predict_proba`.
    estimator : estimator
        The fitted estimator.

    Returns
    -------
    ndarray of shape (n_clips, 1) or (n_clips, n_columns), float
        The second of two columns for a classifier of the classes 0 and 1, otherwise `scores`.
    """
    classes = getattr(estimator, "classes_", None)
    # A tagger of two events without names has the same classes_.
    has_two_events = getattr(estimator, "_multilabel", False)
    if scores.shape[1] != 2 or not is_single_event(classes) or has_two_events:
        return scores
    return scores[:, list(classes).index(1), np.newaxis]


def scores_and_targets(estimator: BaseEstimator, X: Any, y: Any) -> tuple[np.ndarray, Targets]:
    """Compute scores of clips, and convert their targets to the columns of the scores.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `predict_proba`. If it has no event names, those of `y` are used, by position.
    X : array-like of shape (n_clips,) or (n_clips, n_features)
        Clips, in a form that the estimator accepts.
    y : array-like
        Events of the clips in any form; see :func:`sktagger.targets.check_targets`.

    Returns
    -------
    scores : ndarray of shape (n_clips, n_events), float
        The scores.
    targets : Targets
        The targets, with the columns of the scores.
    """
    classes = getattr(estimator, "classes_", None)
    n_events = len(classes) if isinstance(classes, np.ndarray) else None
    form = read_form(y, "y", n_events)
    scores = event_scores(estimator, X, form.values.shape[1] if form.kind == "indicator" else None)
    return scores, match_form(form, event_names(estimator, scores.shape[1]), name="y")


def is_list_of_events(scores: Any) -> bool:
    """Return whether scores are a list with one array per event, as forests return them.

    Parameters
    ----------
    scores : object
        Output of `predict_proba`.

    Returns
    -------
    bool
        Whether `scores` is such a list.
    """
    return (
        isinstance(scores, list)
        and len(scores) > 0
        and all(getattr(probabilities, "ndim", 0) == 2 for probabilities in scores)
    )


def stack_events(scores: list[np.ndarray], classes: list[np.ndarray] | None = None) -> np.ndarray:
    """Stack the list of arrays that forests and nearest neighbors return into one matrix.

    Parameters
    ----------
    scores : list of ndarray of shape (n_clips, n_classes)
        For each event, the probabilities of its absence and its presence.
    classes : list of ndarray or None, default=None
        ``classes_`` of the estimator, which gives the meaning of the columns. None: a single column
        is the probability of the absence, which is right for events without positives in training.

    Returns
    -------
    ndarray of shape (n_clips, n_events), float
        The probability that each event is present.
    """
    if classes is None:
        classes = [[0, 1][: probabilities.shape[1]] for probabilities in scores]
    return np.column_stack(
        [
            # An event without positives (or negatives) in training has a single class.
            probabilities[:, list(known).index(1)] if 1 in known else np.zeros(len(probabilities))
            for probabilities, known in zip(scores, classes, strict=True)
        ]
    )


def is_single_event(classes: Any) -> bool:
    """Return whether the classes are 0 and 1, for the absence and presence of a single event.

    Parameters
    ----------
    classes : object
        ``classes_`` of an estimator.

    Returns
    -------
    bool
        Whether the classes are 0 and 1.
    """
    return isinstance(classes, np.ndarray) and classes.tolist() == [0, 1]


def event_names(estimator: BaseEstimator, n_events: int) -> np.ndarray:
    """Return the events of the columns of scores.

    Parameters
    ----------
    estimator : estimator
        The fitted estimator.
    n_events : int
        Number of columns.

    Returns
    -------
    ndarray of shape (n_events,)
        Names, or numbers starting at 0 if the estimator has no event names.
    """
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, np.ndarray) and classes.shape == (n_events,):
        return classes
    return np.arange(n_events)
