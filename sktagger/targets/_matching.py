"""Every form of ``Y``, read once: for estimators, tuner, scorers, splitter and displays.

Targets are an indicator matrix, event lists, or 1-D labels. Names decide which event is which
wherever both sides have them, positions only where one has none.
"""

from collections.abc import Iterable
from numbers import Integral, Number
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.text import nearest, quoted, short
from sktagger.targets._forms import Form, column_names, plain_container, plain_table, read_form
from sktagger.targets._names import warn_of_names

__all__ = [
    "Targets",
    "align_events",
    "align_score_targets",
    "check_classes",
    "check_same_classes",
    "check_targets",
    "column_names",
    "event_columns",
    "match_columns",
    "match_events",
    "match_form",
    "matched_by_name",
    "plain_container",
    "plain_table",
    "read_form",
    "read_targets",
]


class Targets(NamedTuple):
    """Checked targets.

    Attributes
    ----------
    indicator : ndarray of shape (n_clips, n_events), float32
        1 where an event occurs.
    classes : ndarray of shape (n_events,)
        Event names (or numbers), in the order of the columns.
    multilabel : bool
        False for 1-D labels, where each clip has one event.
    """

    indicator: np.ndarray
    classes: np.ndarray
    multilabel: bool

    def to_y(self):
        """Give the targets in the form that every estimator takes, and that keeps all names.

        Returns
        -------
        DataFrame of shape (n_clips, n_events), int8, or ndarray of shape (n_clips,)
        """
        if not self.multilabel:
            return self.classes[self.indicator.argmax(axis=1)]
        return pd.DataFrame(self.indicator.astype(np.int8), columns=event_columns(self.classes))


def event_columns(classes: np.ndarray) -> pd.Index:
    """Make columns of events; names stay objects, for Arrow's strings do not hold all of them."""
    return pd.Index(classes, dtype=object if classes.dtype.kind in "OUT" else None)


def check_targets(Y, *, name: str = "Y") -> Targets:
    """Turn any form of targets of a training into an indicator matrix and event names.

    Parameters
    ----------
    Y : array-like
        Indicator matrix (dense, sparse, or a table of pandas, polars or pyarrow, whose columns
        name the events), list of event lists (names, or class ids), or 1-D labels. A table's only
        column may hold labels or event lists. Rows of numbers that are all of one length are an
        indicator matrix.
    name : str, default="Y"
        Of the argument, for messages.

    Returns
    -------
    Targets

    Raises
    ------
    TypeError, ValueError
        If `Y` is none of these, or values are missing; the message names the first clip.

    Warns
    -----
    UserWarning
        If names look like several events in one, or like each other.
    """
    targets = read_targets(Y, name=name)
    warn_of_names(targets.classes, targets.indicator, name)
    return targets


def read_targets(Y, *, name: str = "Y") -> Targets:
    """Do as :func:`check_targets`, without a word about odd names."""
    kind, values, names = read_form(Y, name)
    if kind == "indicator":
        names = np.arange(values.shape[1]) if names is None else names
        return Targets(values, names, multilabel=True)
    if kind == "labels":
        classes, codes = np.unique(values, return_inverse=True)
        return Targets(np.eye(len(classes), dtype=np.float32)[codes], classes, multilabel=False)
    classes = sorted({event for events in values for event in events})
    if not classes:
        raise ValueError(f"{name} lists no events for any clip. At least 1 event is needed.")
    classes = np.array(classes)
    return Targets(_place(values, classes, name), classes, multilabel=True)


def match_events(Y, classes, *, name: str = "Y", unknown: set | None = None) -> Targets:
    """Bring the targets of any clips into the columns of scores.

    Parameters
    ----------
    Y : array-like
        As for :func:`check_targets`.
    classes : ndarray of shape (n_events,)
        Events of the columns; where they have no names, numbers from 0 on.
    name : str, default="Y"
        Of the argument, for messages.
    unknown : set or None, default=None
        Gets the events of lists, or labels, that are not among `classes`. None: they are an error.

    Returns
    -------
    Targets
        With `classes`, or, where those are mere numbers of columns, the names that `Y` has. Events
        of `classes` that lists or labels do not have occur in no clip.

    Raises
    ------
    TypeError, ValueError
        If `Y` is wrong as for :func:`check_targets`, has other events than `classes`, or lacks
        columns; the message names them.
    """
    classes = np.asarray(classes)
    return match_form(read_form(Y, name, len(classes)), classes, name=name, unknown=unknown)


def match_columns(Y, columns, *, name: str = "Y") -> Targets:
    """Do as :func:`match_events`, for the columns of a table of scores.

    Such columns may be named by text only (`set_output` of scikit-learn), where events are numbers.
    """
    form = read_form(Y, name, len(columns))
    if form.kind == "lists":
        events = {event for events in form.values for event in events}
    elif form.kind == "labels":
        events = set(form.values.tolist())
    else:
        events = range(form.values.shape[1]) if form.names is None else form.names.tolist()
    numbers = {str(event): event for event in events if not isinstance(event, str)}
    known = [column in numbers for column in columns.tolist()]
    if any(known):
        classes = [numbers.get(column, column) for column in columns.tolist()]
        columns = np.array(classes, dtype=None if all(known) else object)
    return match_form(form, columns, name=name)


def match_form(form: Form, classes, *, name: str = "Y", unknown: set | None = None) -> Targets:
    """Do as :func:`match_events`, for targets that :func:`read_form` has read."""
    kind, values, names = form
    numbered = _are_numbers(classes)
    if numbered and names is not None:
        names = _to_numbers(names, classes)
    if kind == "labels":
        lists = [[label] for label in values.tolist()]
        return Targets(_place(lists, classes, name, unknown), classes, multilabel=False)
    if kind == "lists":
        if numbered and any(isinstance(event, str) for events in values for event in events):
            raise ValueError(
                f"{name} lists events by name, but the {len(classes)} columns of scores have no "
                "names to match them with. Give an indicator matrix with columns in their order, "
                "or train with names."
            )
        return Targets(_place(values, classes, name, unknown), classes, multilabel=True)
    if matched_by_name(names, classes):
        return Targets(_select(values, names, classes, name), classes, multilabel=True)
    if values.shape[1] != len(classes):
        raise ValueError(
            f"{name} has {values.shape[1]} columns, but there are {len(classes)} events"
            f"{'' if numbered else ', ' + quoted(classes)}. Give each event one column."
        )
    return Targets(values, classes if names is None else names, multilabel=True)


def align_events(Y, classes, multilabel: bool, *, name: str = "Y") -> np.ndarray:
    """Bring the targets of other clips into the columns of training.

    Parameters
    ----------
    Y : array-like
        As for :func:`check_targets`.
    classes : ndarray of shape (n_events,)
        Events of training.
    multilabel : bool
        Whether training had more than 1-D labels.
    name : str, default="Y"
        Of the argument, for messages.

    Returns
    -------
    indicator : ndarray of shape (n_clips, n_events), float32

    Raises
    ------
    TypeError, ValueError
        As for :func:`match_events`, and if `Y` is of another form than that of training.
    """
    targets = match_events(Y, classes, name=name)
    _check_form(targets, multilabel, name)
    return targets.indicator


def align_score_targets(Y, classes, multilabel: bool, *, name: str = "y") -> np.ndarray:
    """Do as :func:`align_events`, with columns more for labels that training had not.

    Such a label scores 0 in every clip, and is never predicted.

    Returns
    -------
    indicator : ndarray of shape (n_clips, n_events + n_unknown), float32
    """
    if multilabel:
        return align_events(Y, classes, multilabel, name=name)
    Y = plain_container(Y, name)
    unknown = set()
    _check_form(match_events(Y, classes, name=name, unknown=unknown), multilabel, name)
    everything = np.array([*np.asarray(classes).tolist(), *sorted(unknown)], dtype=object)
    return match_events(Y, everything, name=name).indicator


def check_classes(classes) -> np.ndarray:
    """Return the events that `partial_fit` is told of, shape (n_events,), each once."""
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
            f"classes is {quoted(names) or short(given)}, but it must list each event once, all by "
            "names or all by numbers, none missing."
        )
    return np.array(sorted(names) if is_set else names)


def check_same_classes(classes, known: np.ndarray) -> None:
    """Raise ValueError if `partial_fit` is told of other events than in its first call."""
    if set(check_classes(classes).tolist()) != set(known.tolist()):
        raise ValueError(
            f"classes is {short(classes)}, but the first call of partial_fit had the "
            f"{len(known)} events {quoted(known)}. Give all events in the first call."
        )


def _are_numbers(classes: np.ndarray) -> bool:
    """Say whether the names of events are but the numbers of their columns."""
    return classes.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes)))


def _to_numbers(names: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Turn names of columns that are their numbers as text, as in a CSV file, into numbers."""
    numbers = {str(number): number for number in classes.tolist()}
    if set(names.tolist()) != numbers.keys():
        return names
    return np.array([numbers[name] for name in names.tolist()])


def matched_by_name(names: np.ndarray | None, classes: np.ndarray) -> bool:
    """Say whether the names of a table's columns are to be found among events.

    They are not where one side has no names, or mere numbers of columns.
    """
    if names is None:
        return False
    return not _are_numbers(classes) or all(isinstance(name, Integral) for name in names.tolist())


def _check_form(targets, multilabel, name):
    if targets.multilabel != multilabel:
        forms = ("1-D labels", "an indicator matrix or event lists")
        raise ValueError(
            f"{name} and the targets of training must be of one form: {name} has "
            f"{forms[targets.multilabel]}, training had {forms[multilabel]}."
        )


def _place(lists, classes, name, unknown=None):
    column = {event: k for k, event in enumerate(classes.tolist())}
    indicator = np.zeros((len(lists), len(classes)), dtype=np.float32)
    for clip, events in enumerate(lists):
        for event in events:
            if event in column:
                indicator[clip, column[event]] = 1
            elif unknown is None:
                raise _unknown_events([event], classes, f"{name}: clip {clip}")
            else:
                unknown.add(event)
    return indicator


def _select(indicator, names, classes, name):
    column = {event: k for k, event in enumerate(names.tolist())}
    known = set(classes.tolist())
    unknown = [event for event in column if event not in known]
    if unknown:
        raise _unknown_events(unknown, classes, name)
    missing = [event for event in classes.tolist() if event not in column]
    if missing:
        raise ValueError(
            f"{name} lacks the columns of {len(missing)} of {len(classes)} events: "
            f"{quoted(missing)}. Give each event a column, of zeros where it does not occur."
        )
    return indicator[:, [column[event] for event in classes.tolist()]]


def _unknown_events(unknown, classes, where):
    what, which = ("event", "is") if len(unknown) == 1 else ("events", "are")
    return ValueError(
        f"{where} has the {what} {quoted(unknown)}, which {which} not among the {len(classes)} "
        f"events of training{nearest(unknown[0], classes)}. Correct the names, or leave them out."
    )
