"""Conversion of targets in any form to indicator matrices.

Targets are an indicator matrix, event lists, or 1-D labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.text import nearest, quoted
from sktagger.targets._forms import read_form
from sktagger.targets._names import warn_of_names

__all__ = ["Targets", "check_targets", "event_columns", "read_targets"]


class Targets(NamedTuple):
    """Checked targets.

    Attributes
    ----------
    indicator : ndarray of shape (n_clips, n_events), float32, in [0, 1]
        1 where an event occurs. Soft targets are probabilities of the events.
    classes : ndarray of shape (n_events,)
        Event names or numbers, in the order of the columns.
    multilabel : bool
        False for 1-D labels, which give each clip exactly one event.
    """

    indicator: np.ndarray
    classes: np.ndarray
    multilabel: bool

    @property
    def are_soft(self) -> np.ndarray:
        """Whether each target is between 0 and 1: ndarray of shape (n_clips, n_events), bool."""
        return (self.indicator > 0) & (self.indicator < 1)

    def to_y(self) -> pd.DataFrame | np.ndarray:
        """Convert the targets to a form that all estimators accept and that keeps the names.

        Returns
        -------
        DataFrame of shape (n_clips, n_events), int8 or float32, or ndarray of shape (n_clips,)
            An indicator matrix, float32 if it has soft targets; or 1-D labels if `multilabel` is
            False.
        """
        if not self.multilabel:
            return self.classes[self.indicator.argmax(axis=1)]
        indicator = self.indicator if self.are_soft.any() else self.indicator.astype(np.int8)
        return pd.DataFrame(indicator, columns=event_columns(self.classes))


def event_columns(classes: np.ndarray) -> pd.Index:
    """Make the columns of a table of events.

    Names stay Python objects, because strings of Arrow cannot hold every name.

    Parameters
    ----------
    classes : ndarray of shape (n_events,)
        Event names or numbers.

    Returns
    -------
    Index of shape (n_events,)
        The columns.
    """
    return pd.Index(classes, dtype=object if classes.dtype.kind in "OUT" else None)


def check_targets(Y: Any, *, name: str = "Y", soft: bool = False) -> Targets:
    """Convert training targets of any form to an indicator matrix and event names.

    Parameters
    ----------
    Y : array-like
        Indicator matrix (dense, sparse, or a table of pandas, polars or pyarrow whose columns name
        the events), list of event lists (names or class ids), or 1-D labels. A table with a single
        column may also hold labels or event lists. Rows of numbers that all have the same length
        are read as an indicator matrix.
    name : str, default="Y"
        Name of the argument, for messages.
    soft : bool, default=False
        Whether an indicator matrix may have values between 0 and 1: probabilities of the events,
        to train on.

    Returns
    -------
    Targets
        Indicator matrix, event names, and whether a clip may have several events.

    Raises
    ------
    TypeError, ValueError
        If `Y` has another form, missing values, or values that are not allowed. The message names
        the first such clip.

    Warns
    -----
    UserWarning
        If names look like several joined events, like missing values, or like each other.
    """
    targets = read_targets(Y, name=name, soft=soft)
    warn_of_names(targets.classes, targets.indicator, name)
    return targets


def read_targets(Y: Any, *, name: str = "Y", soft: bool = False) -> Targets:
    """Convert targets as :func:`check_targets` does, but without warnings about names.

    Parameters
    ----------
    Y : array-like
        See :func:`check_targets`.
    name : str, default="Y"
        Name of the argument, for messages.
    soft : bool, default=False
        See :func:`check_targets`.

    Returns
    -------
    Targets
        Indicator matrix, event names, and whether a clip may have several events.

    Raises
    ------
    TypeError, ValueError
        See :func:`check_targets`.
    """
    kind, values, names = read_form(Y, name, soft=soft)
    if kind == "indicator":
        names = np.arange(values.shape[1]) if names is None else names
        return Targets(values, names, multilabel=True)
    if kind == "labels":
        classes, codes = np.unique(values, return_inverse=True)
        return Targets(np.eye(len(classes), dtype=np.float32)[codes], classes, multilabel=False)
    events = sorted({event for clip in values for event in clip})
    if not events:
        raise ValueError(f"{name} lists no events for any clip. Pass at least 1 event.")
    classes = np.array(events)
    return Targets(lists_to_indicator(values, classes, name), classes, multilabel=True)


def lists_to_indicator(
    lists: Sequence[Iterable[Any]], classes: np.ndarray, name: str, unknown: set | None = None
) -> np.ndarray:
    """Convert event lists to an indicator matrix.

    Parameters
    ----------
    lists : sequence of iterable of str or int
        The events of each clip.
    classes : ndarray of shape (n_events,)
        Events of the columns.
    name : str
        Name of the argument, for messages.
    unknown : set or None, default=None
        Events that are not in `classes` are added to this set. None: they raise an error.

    Returns
    -------
    ndarray of shape (n_clips, n_events), float32
        1 where an event occurs.

    Raises
    ------
    ValueError
        If an event is unknown and `unknown` is None. The message names the clip.
    """
    column = {event: k for k, event in enumerate(classes.tolist())}
    indicator = np.zeros((len(lists), len(classes)), dtype=np.float32)
    for clip, events in enumerate(lists):
        for event in events:
            if event in column:
                indicator[clip, column[event]] = 1
            elif unknown is None:
                raise unknown_events_error([event], classes, f"{name}: clip {clip}")
            else:
                unknown.add(event)
    return indicator


def unknown_events_error(unknown: list[Any], classes: np.ndarray, where: str) -> ValueError:
    """Return the error for events that are not among those of training.

    Parameters
    ----------
    unknown : list of str or int
        The unknown events, at least one.
    classes : ndarray of shape (n_events,)
        Events of training.
    where : str
        Name of the argument, and the clip if there is only one, for the message.

    Returns
    -------
    ValueError
    """
    what, verb = ("event", "is") if len(unknown) == 1 else ("events", "are")
    return ValueError(
        f"{where} has the {what} {quoted(unknown)}, which {verb} not among the {len(classes)} "
        f"events of training{nearest(unknown[0], classes)}. Correct the names or leave them out."
    )
