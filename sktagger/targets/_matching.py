"""Matching of the events in targets with events of scores or of training.

Events are matched by name if both sides have names, and otherwise by position.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Number
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger._utils.text import quoted, short
from sktagger.targets._conversion import Targets, lists_to_indicator, unknown_events_error
from sktagger.targets._forms import Form, plain_container, read_form

__all__ = [
    "align_events",
    "align_score_targets",
    "check_classes",
    "check_same_classes",
    "match_columns",
    "match_events",
    "match_form",
    "matched_by_name",
]


def match_events(
    Y: Any,
    classes: ArrayLike,
    *,
    name: str = "Y",
    unknown: set | None = None,
    soft: bool = False,
) -> Targets:
    """Convert targets of any form to an indicator matrix whose columns match those of scores.

    Parameters
    ----------
    Y : array-like
        See :func:`check_targets`.
    classes : array-like of shape (n_events,)
        Events of the columns. If they have no names, numbers starting at 0.
    name : str, default="Y"
        Name of the argument, for messages.
    unknown : set or None, default=None
        Events of lists, or labels, that are not in `classes` are added to this set. None: they
        raise an error.
    soft : bool, default=False
        See :func:`check_targets`.

    Returns
    -------
    Targets
        With the events `classes`, or with the names in `Y` if `classes` are only column numbers.
        Columns of events that the lists or labels do not contain are 0.

    Raises
    ------
    TypeError, ValueError
        As in :func:`check_targets`, and if `Y` has unknown events or lacks columns. The message
        names them.
    """
    classes = np.asarray(classes)
    form = read_form(Y, name, len(classes), soft=soft)
    return match_form(form, classes, name=name, unknown=unknown)


def match_columns(Y: Any, columns: np.ndarray, *, name: str = "Y") -> Targets:
    """Match targets with the columns of a table of scores, as :func:`match_events` does.

    Column names may be strings although the events are numbers, because `set_output` of
    scikit-learn makes tables whose column names are strings.

    Parameters
    ----------
    Y : array-like
        See :func:`check_targets`.
    columns : ndarray of shape (n_events,)
        Column names of the scores.
    name : str, default="Y"
        Name of the argument, for messages.

    Returns
    -------
    Targets
        See :func:`match_events`. Names of numbered events are converted to numbers.

    Raises
    ------
    TypeError, ValueError
        See :func:`match_events`.
    """
    form = read_form(Y, name, len(columns))
    if form.kind == "lists":
        events = {event for events in form.values for event in events}
    elif form.kind == "labels":
        events = set(form.values.tolist())
    else:
        events = range(form.values.shape[1]) if form.names is None else form.names.tolist()
    numbers = {str(event): event for event in events if not isinstance(event, str)}
    is_number = [column in numbers for column in columns.tolist()]
    if any(is_number):
        classes = [numbers.get(column, column) for column in columns.tolist()]
        columns = np.array(classes, dtype=None if all(is_number) else object)
    return match_form(form, columns, name=name)


def match_form(
    form: Form, classes: np.ndarray, *, name: str = "Y", unknown: set | None = None
) -> Targets:
    """Match targets as :func:`match_events` does, after :func:`read_form` has read them.

    Parameters
    ----------
    form : Form
        Targets in their original form.
    classes : ndarray of shape (n_events,)
        See :func:`match_events`.
    name : str, default="Y"
        Name of the argument, for messages.
    unknown : set or None, default=None
        See :func:`match_events`.

    Returns
    -------
    Targets
        See :func:`match_events`.

    Raises
    ------
    ValueError
        See :func:`match_events`.
    """
    kind, values, names = form
    numbered = _are_numbers(classes)
    if numbered and names is not None:
        names = _to_numbers(names, classes)
    if kind == "labels":
        lists = [[label] for label in values.tolist()]
        indicator = lists_to_indicator(lists, classes, name, unknown)
        return Targets(indicator, classes, multilabel=False)
    if kind == "lists":
        if numbered and any(isinstance(event, str) for events in values for event in events):
            raise ValueError(
                f"{name} lists events by name, but the {len(classes)} columns of scores have no "
                "names to match them with. Pass an indicator matrix with its columns in the same "
                "order, or train with event names."
            )
        indicator = lists_to_indicator(values, classes, name, unknown)
        return Targets(indicator, classes, multilabel=True)
    if matched_by_name(names, classes):
        return Targets(_select(values, names, classes, name), classes, multilabel=True)
    if values.shape[1] != len(classes):
        raise ValueError(
            f"{name} has {values.shape[1]} columns, but there are {len(classes)} events"
            f"{'' if numbered else ', ' + quoted(classes)}. Pass one column per event."
        )
    return Targets(values, classes if names is None else names, multilabel=True)


def align_events(
    Y: Any, classes: ArrayLike, multilabel: bool, *, name: str = "Y", soft: bool = False
) -> np.ndarray:
    """Convert targets to an indicator matrix with the columns of the training targets.

    Parameters
    ----------
    Y : array-like
        See :func:`check_targets`.
    classes : array-like of shape (n_events,)
        Events of the training targets.
    multilabel : bool
        False if the training targets were 1-D labels.
    name : str, default="Y"
        Name of the argument, for messages.
    soft : bool, default=False
        See :func:`check_targets`.

    Returns
    -------
    indicator : ndarray of shape (n_clips, n_events), float32
        1 where an event occurs; with `soft`, in [0, 1].

    Raises
    ------
    TypeError, ValueError
        As in :func:`match_events`, and if only one of `Y` and the training targets is 1-D labels.
    """
    targets = match_events(Y, classes, name=name, soft=soft)
    _check_form(targets, multilabel, name)
    return targets.indicator


def align_score_targets(
    Y: Any, classes: ArrayLike, multilabel: bool, *, name: str = "y"
) -> np.ndarray:
    """Align targets as :func:`align_events` does, with extra columns for unknown labels.

    Only 1-D labels may be unknown. An unknown label has score 0 in every clip and is never
    predicted.

    Parameters
    ----------
    Y : array-like
        See :func:`check_targets`.
    classes : array-like of shape (n_events,)
        Events of the training targets.
    multilabel : bool
        False if the training targets were 1-D labels.
    name : str, default="y"
        Name of the argument, for messages.

    Returns
    -------
    indicator : ndarray of shape (n_clips, n_events + n_unknown), float32
        1 where an event occurs.

    Raises
    ------
    TypeError, ValueError
        See :func:`align_events`.
    """
    if multilabel:
        return align_events(Y, classes, multilabel, name=name)
    Y = plain_container(Y, name)
    unknown = set()
    _check_form(match_events(Y, classes, name=name, unknown=unknown), multilabel, name)
    all_classes = np.array([*np.asarray(classes).tolist(), *sorted(unknown)], dtype=object)
    return match_events(Y, all_classes, name=name).indicator


def check_classes(classes: Any) -> np.ndarray:
    """Check the events that are passed to `partial_fit`.

    Parameters
    ----------
    classes : iterable of str or of numbers
        Each event once.

    Returns
    -------
    ndarray of shape (n_events,)
        The events; sorted if `classes` is a set.

    Raises
    ------
    ValueError
        If `classes` is empty, or has duplicates, missing values or mixed types.
    """
    given = classes
    if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        classes = []
    is_set = isinstance(classes, set | frozenset)
    names = list(classes if is_set else plain_container(classes, "classes"))
    if (
        not names
        or not all(isinstance(name, str | Number | np.bool_) for name in names)
        or pd.isna(names).any()
        or len({isinstance(name, str) for name in names}) > 1
        or any(isinstance(name, str) and not name.strip() for name in names)
        or len(set(names)) < len(names)
    ):
        raise ValueError(
            f"classes is {quoted(names) or short(given)}, but it must list each event once, as "
            "names only or as numbers only. Remove duplicates and missing values."
        )
    return np.array(sorted(names) if is_set else names)


def check_same_classes(classes: Any, known: np.ndarray) -> None:
    """Check that `partial_fit` gets the same events as in its first call.

    Parameters
    ----------
    classes : iterable of str or of numbers
        Each event once.
    known : ndarray of shape (n_events,)
        Events of the first call.

    Raises
    ------
    ValueError
        If the events differ.
    """
    if set(check_classes(classes).tolist()) != set(known.tolist()):
        raise ValueError(
            f"classes is {short(classes)}, but the first call of partial_fit had the "
            f"{len(known)} events {quoted(known)}. Pass all events in the first call."
        )


def _are_numbers(classes: np.ndarray) -> bool:
    """Return whether the events are only the numbers of their columns."""
    return classes.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes)))


def _to_numbers(names: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Convert column names such as "0" and "1", as in a CSV file, to numbers."""
    numbers = {str(number): number for number in classes.tolist()}
    if set(names.tolist()) != numbers.keys():
        return names
    return np.array([numbers[name] for name in names.tolist()])


def matched_by_name(names: np.ndarray | None, classes: np.ndarray) -> bool:
    """Return whether the columns of a table are matched with events by name.

    They are matched by position if one side has no names, or only column numbers.

    Parameters
    ----------
    names : ndarray of shape (n_columns,) or None
        Column names of the table.
    classes : ndarray of shape (n_events,)
        Event names or numbers.

    Returns
    -------
    bool
        Whether names are used.
    """
    if names is None:
        return False
    return not _are_numbers(classes) or all(isinstance(name, Integral) for name in names.tolist())


def _check_form(targets, multilabel, name):
    if targets.multilabel != multilabel:
        forms = ("1-D labels", "an indicator matrix or event lists")
        raise ValueError(
            f"{name} and the targets of training must be of one form: {name} has "
            f"{forms[targets.multilabel]}, training had {forms[multilabel]}. Convert {name}."
        )


def _select(indicator, names, classes, name):
    column = {event: k for k, event in enumerate(names.tolist())}
    known = set(classes.tolist())
    unknown = [event for event in column if event not in known]
    if unknown:
        raise unknown_events_error(unknown, classes, name)
    missing = [event for event in classes.tolist() if event not in column]
    if missing:
        raise ValueError(
            f"{name} lacks the columns of {len(missing)} of {len(classes)} events: "
            f"{quoted(missing)}. Pass one column per event, with zeros for an event that does not "
            "occur."
        )
    return indicator[:, [column[event] for event in classes.tolist()]]
