"""Imbalance: which clips and which terms of the loss count more."""

from numbers import Real

import numpy as np

from sktagger._utils.text import nearest


def check_class_weight(class_weight, classes) -> None:
    """Raise ValueError if a dict of weights names unknown events or has weights <= 0."""
    if not isinstance(class_weight, dict):
        return
    known = list(classes)
    for event, weight in class_weight.items():
        if event not in known:
            raise ValueError(
                f"class_weight has the event {event!r}, which is not among the {len(known)} events "
                f"of training{nearest(event, known)}. Name events of y only."
            )
        number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not (number and 0 < weight < np.inf):
            raise ValueError(
                f"class_weight of {event!r} is {weight!r}, but a weight must be a number above 0."
            )


def mean_one(weights) -> np.ndarray:
    """Scale weights to an average of 1.

    Parameters
    ----------
    weights : ndarray of shape (n_clips,), float
        Not all 0.

    Returns
    -------
    ndarray of shape (n_clips,), float32
    """
    return (weights / weights.mean()).astype(np.float32)


def event_weights(class_weight, indicator, classes, copies=None):
    """Weight the terms of the loss.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    indicator : ndarray of shape (n_clips, n_events)
    classes : ndarray of shape (n_events,)
    copies : ndarray of shape (n_clips,) or None, default=None
        How many clips each one counts as: the `sample_weight`. None: one.

    Returns
    -------
    ndarray of shape (2, n_events), float32, or None
        Weights of clips without (first row) and with an event. "balanced" gives either half of
        the weight; an event that all or no clips have is weighted 1.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        present = [class_weight.get(event, 1.0) for event in classes]
        return np.array([np.ones(len(classes)), present], dtype=np.float32)
    copies = _copies(copies, indicator)
    counts = np.stack([copies @ (1 - indicator), copies @ indicator])
    balanced = copies.sum() / (2 * _divisor(counts))
    return np.where((counts > 0).all(axis=0), balanced, 1.0).astype(np.float32)


def label_weights(class_weight, indicator, classes, copies=None) -> np.ndarray:
    """Weight clips by their label, where each has one.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    indicator : ndarray of shape (n_clips, n_labels)
    classes : ndarray of shape (n_labels,)
    copies : ndarray of shape (n_clips,) or None, default=None
        As for :func:`event_weights`.

    Returns
    -------
    ndarray of shape (n_clips,), float
        "balanced" gives the clips of each label, times their copies, the same sum.
    """
    if class_weight is None:
        return np.ones(len(indicator))
    if isinstance(class_weight, dict):
        return indicator @ np.array([class_weight.get(label, 1.0) for label in classes])
    return indicator @ (1 / _divisor(_copies(copies, indicator) @ indicator))


def draw_probabilities(indicator, copies=None) -> np.ndarray:
    """Give each clip the probability by which every event is drawn equally often.

    Parameters
    ----------
    indicator : ndarray of shape (n_clips, n_events)
        Clips without any event count as those of an event of their own.
    copies : ndarray of shape (n_clips,) or None, default=None
        As for :func:`event_weights`. The clips of an event share its probability by them.

    Returns
    -------
    ndarray of shape (n_clips,), float
        Sums to 1.
    """
    without = ~indicator.any(axis=1, keepdims=True)
    indicator = np.hstack([indicator, without]).astype(float)
    copies = _copies(copies, indicator)
    probabilities = copies * (indicator / _divisor(copies @ indicator)).sum(axis=1)
    return probabilities / probabilities.sum()


def _copies(copies, indicator):
    return np.ones(len(indicator), indicator.dtype) if copies is None else copies


def _divisor(sums):
    """Let what nothing adds up to be divided by."""
    return np.where(sums > 0, sums, 1)
