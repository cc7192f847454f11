"""What fitted estimators of any kind give: scores with one column per event, and their names."""

import numpy as np

from sktagger.targets._matching import Targets, match_form, read_form


def event_scores(estimator, X, n_events: int | None = None) -> np.ndarray:
    """Score each event in each clip.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `predict_proba`.
    X : array-like of clips
    n_events : int or None, default=None
        1 takes the second column of a binary classifier, which is what other estimators make of an
        indicator matrix of one event.

    Returns
    -------
    ndarray of shape (n_clips, n_events), float
    """
    classes = getattr(estimator, "classes_", None)
    scores = estimator.predict_proba(X)
    if is_list_of_events(scores):
        return stack_events(scores, classes)
    scores = np.asarray(scores)
    return select_event(scores, estimator) if n_events == 1 else scores


def select_event(scores, estimator):
    """Take the scores of presence, where an estimator scores an event's absence and presence."""
    classes = getattr(estimator, "classes_", None)
    # a tagger of two events without names has the same classes_
    of_two = getattr(estimator, "_multilabel", False)
    if scores.shape[1] != 2 or not is_single_event(classes) or of_two:
        return scores
    return scores[:, list(classes).index(1), np.newaxis]


def scores_and_targets(estimator, X, y) -> tuple[np.ndarray, Targets]:
    """Score clips, and bring their events into the columns of the scores.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `predict_proba`. If it has no names of events, `y` gives them, by position.
    X : array-like of clips
    y : array-like
        Events of the clips in any form.

    Returns
    -------
    scores : ndarray of shape (n_clips, n_events), float
    targets : Targets
    """
    classes = getattr(estimator, "classes_", None)
    n_events = len(classes) if isinstance(classes, np.ndarray) else None
    form = read_form(y, "y", n_events)
    scores = event_scores(estimator, X, form.values.shape[1] if form.kind == "indicator" else None)
    return scores, match_form(form, event_names(estimator, scores.shape[1]), name="y")


def is_list_of_events(scores) -> bool:
    """Say whether these are the scores of a forest: for each event an array of its own."""
    return (
        isinstance(scores, list)
        and len(scores) > 0
        and all(getattr(of_event, "ndim", 0) == 2 for of_event in scores)
    )


def stack_events(scores, classes=None) -> np.ndarray:
    """Make one column for each event of the list that forests and neighbors return.

    Parameters
    ----------
    scores : list of ndarray of shape (n_clips, n_classes)
        Probabilities that an event is absent and that it is present.
    classes : list of ndarray or None, default=None
        ``classes_`` of the estimator, which tells what the columns stand for. None: a single
        column is that of the absence, for an event without positives in training is what has it.

    Returns
    -------
    ndarray of shape (n_clips, n_events), float
    """
    if classes is None:
        classes = [[0, 1][: of_event.shape[1]] for of_event in scores]
    return np.column_stack(
        [
            # An event without positives (or negatives) in training has a single class.
            of_event[:, list(known).index(1)] if 1 in known else np.zeros(len(of_event))
            for of_event, known in zip(scores, classes, strict=True)
        ]
    )


def is_single_event(classes) -> bool:
    """Say whether classes tell an event's absence and presence, instead of naming events."""
    return isinstance(classes, np.ndarray) and classes.tolist() == [0, 1]


def event_names(estimator, n_events: int) -> np.ndarray:
    """Return the events of the columns of scores; where they have no names, numbers from 0 on."""
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, np.ndarray) and classes.shape == (n_events,):
        return classes
    return np.arange(n_events)
