"""Weights of classes, events and samples.

Soft targets, between 0 and 1, count as fractions of a clip: a clip with the target 0.3 counts as
0.3 clips with the event and 0.7 clips without it. An event that is expected in less than one clip
in all counts only as much as this expected number, because it would otherwise get the weight of a
frequent event for scores that are hardly above 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np

from sktagger._utils.text import nearest

__all__ = [
    "check_class_weight",
    "draw_probabilities",
    "event_weights",
    "label_weights",
    "mean_one",
]


def check_class_weight(
    class_weight: Mapping[Any, float] | Literal["balanced"] | None, classes: np.ndarray
) -> None:
    """Check that weights of events have known names and positive numbers.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Only a dict is checked.
    classes : ndarray of shape (n_events,)
        Events of the training.

    Raises
    ------
    ValueError
        If the dict has an unknown event or a weight that is not a positive number.
    """
    if not isinstance(class_weight, dict):
        return
    known = list(classes)
    for event, weight in class_weight.items():
        if event not in known:
            raise ValueError(
                f"class_weight has the event {event!r}, which is not among the {len(known)} events "
                f"of training{nearest(event, known)}. Use events of y only."
            )
        is_number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not (is_number and 0 < weight < np.inf):
            raise ValueError(
                f"class_weight of {event!r} is {weight!r}, but a weight must be a number above 0."
            )


def mean_one(weights: np.ndarray) -> np.ndarray:
    """Scale weights to a mean of 1.

    Parameters
    ----------
    weights : ndarray of shape (n_clips,), float
        Not negative and not all 0.

    Returns
    -------
    ndarray of shape (n_clips,), float32
        The scaled weights.
    """
    return (weights / weights.mean()).astype(np.float32)


def event_weights(
    class_weight: Mapping[Any, float] | Literal["balanced"] | None,
    indicator: np.ndarray,
    classes: np.ndarray,
    copies: np.ndarray | None = None,
) -> np.ndarray | None:
    """Compute weights of the terms of the loss.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        See :class:`sktagger.AudioTagger`.
    indicator : ndarray of shape (n_clips, n_events), in [0, 1]
        Events of the clips.
    classes : ndarray of shape (n_events,)
        Names of the events.
    copies : ndarray of shape (n_clips,) or None, default=None
        Number of copies that each clip counts as (`sample_weight`). None: 1.

    Returns
    -------
    ndarray of shape (2, n_events), float32, or None
        Weights of clips without (first row) and with an event. "balanced" gives positives and
        negatives of an event half of the weight each. An event that occurs in all or no clips has
        weights of 1. None if `class_weight` is None.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        present = [class_weight.get(event, 1.0) for event in classes]
        return np.array([np.ones(len(classes)), present], dtype=np.float32)
    copies = _copies(copies, indicator)
    counts = np.stack([copies @ (1 - indicator), copies @ indicator])
    expected = np.stack([_expected(1 - indicator), _expected(indicator)])
    balanced = expected * copies.sum() / (2 * _divisor(counts))
    return np.where((counts > 0).all(axis=0), balanced, 1.0).astype(np.float32)


def label_weights(
    class_weight: Mapping[Any, float] | Literal["balanced"] | None,
    indicator: np.ndarray,
    classes: np.ndarray,
    copies: np.ndarray | None = None,
) -> np.ndarray:
    """Compute weights of clips from their labels, if each clip has one label.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        See :class:`sktagger.AudioTagger`.
    indicator : ndarray of shape (n_clips, n_labels)
        Labels of the clips, one per row.
    classes : ndarray of shape (n_labels,)
        Names of the labels.
    copies : ndarray of shape (n_clips,) or None, default=None
        See :func:`event_weights`.

    Returns
    -------
    ndarray of shape (n_clips,), float
        Weights of the clips. With "balanced", weights times copies have the same sum for each
        label.
    """
    if class_weight is None:
        return np.ones(len(indicator))
    if isinstance(class_weight, dict):
        return indicator @ np.array([class_weight.get(label, 1.0) for label in classes])
    return indicator @ (1 / _divisor(_copies(copies, indicator) @ indicator))


def draw_probabilities(indicator: np.ndarray, copies: np.ndarray | None = None) -> np.ndarray:
    """Compute the probabilities of clips with which every event is drawn equally often.

    Parameters
    ----------
    indicator : ndarray of shape (n_clips, n_events), in [0, 1]
        Events of the clips, which share an event's probability in proportion to these values.
        Clips without events count as clips of an additional event. Its soft targets are the
        probabilities that no event occurs, if events are independent.
    copies : ndarray of shape (n_clips,) or None, default=None
        See :func:`event_weights`. Clips of an event share its probability in this proportion, too.

    Returns
    -------
    ndarray of shape (n_clips,), float
        Probabilities, which sum to 1.
    """
    indicator = indicator.astype(float)
    without = (1 - indicator).prod(axis=1, keepdims=True)
    indicator = np.hstack([indicator, without])
    copies = _copies(copies, indicator)
    shares = _expected(indicator) * indicator / _divisor(copies @ indicator)
    probabilities = copies * shares.sum(axis=1)
    return probabilities / probabilities.sum()


def _copies(copies, indicator):
    return np.ones(len(indicator), indicator.dtype) if copies is None else copies


def _expected(indicator):
    """Return the expected number of clips with each event, at most 1."""
    return np.minimum(indicator.sum(axis=0), 1)


def _divisor(sums):
    """Replace 0 by 1, to divide by sums without terms."""
    return np.where(sums > 0, sums, 1)
