"""Imbalance: which clips and which terms of the loss count more."""

from numbers import Real

import numpy as np

from sktagger._text import nearest


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


def event_weights(class_weight, indicator, classes):
    """Weight the terms of the loss.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    indicator : ndarray of shape (n_clips, n_events)
    classes : ndarray of shape (n_events,)

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
    present = indicator.sum(axis=0)
    counts = np.stack([len(indicator) - present, present])
    balanced = len(indicator) / (2 * np.maximum(counts, 1))
    return np.where((counts > 0).all(axis=0), balanced, 1.0).astype(np.float32)


def label_weights(class_weight, indicator, classes) -> np.ndarray:
    """Weight clips by their label, where each has one.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    indicator : ndarray of shape (n_clips, n_labels)
    classes : ndarray of shape (n_labels,)

    Returns
    -------
    ndarray of shape (n_clips,), float
        "balanced" gives the clips of each label the same sum.
    """
    if class_weight is None:
        return np.ones(len(indicator))
    if isinstance(class_weight, dict):
        return indicator @ np.array([class_weight.get(label, 1.0) for label in classes])
    return indicator @ (1 / np.maximum(indicator.sum(axis=0), 1))


def draw_probabilities(indicator) -> np.ndarray:
    """Give each clip the probability by which every event is drawn equally often.

    Parameters
    ----------
    indicator : ndarray of shape (n_clips, n_events)
        Clips without any event count as those of an event of their own.

    Returns
    -------
    ndarray of shape (n_clips,), float
        Sums to 1.
    """
    without = ~indicator.any(axis=1, keepdims=True)
    indicator = np.hstack([indicator, without]).astype(float)
    probabilities = (indicator / np.maximum(indicator.sum(axis=0), 1)).sum(axis=1)
    return probabilities / probabilities.sum()
