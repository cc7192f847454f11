"""The three forms of targets (indicator, event lists, labels) in the containers of any library."""

from collections.abc import Callable, Iterable, Sized
from numbers import Integral, Number
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from sktagger._utils.text import quoted, short

_NUMBERS = Number | np.bool_
_FORMS = "an indicator matrix, a list of event lists, or 1-D labels"


class Form(NamedTuple):
    """Targets as they were given, checked.

    Attributes
    ----------
    kind : {"indicator", "lists", "labels"}
    values : ndarray of shape (n_clips, n_events), float32; list of list; or ndarray of (n_clips,)
    names : ndarray of shape (n_events,) or None
        Of the columns of an indicator matrix, where it has names.
    """

    kind: str
    values: Any
    names: np.ndarray | None = None


def plain_container(values, name: str):
    """Turn a container of any library into one that can be read and indexed at will.

    Parameters
    ----------
    values : object
        pandas, NumPy, SciPy; tables and columns of polars and pyarrow, and what else can be turned
        into pandas or an array; lists and other iterables.
    name : str
        Of the argument, for messages.

    Returns
    -------
    DataFrame, Series, ndarray, sparse matrix or list

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or has no order; if it is None.
    """
    if values is None:
        raise ValueError(
            f"requires y to be passed, but the target y is None. Give the events of each clip: "
            f"{_FORMS}."
        )
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), values.data
        return np.where(mask, None, values) if mask.any() else values
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    values = plain_table(values)
    if isinstance(values, pd.DataFrame | pd.Series | list) or sparse.issparse(values):
        return values
    if isinstance(values, pd.Categorical):
        return values.tolist()
    for method in ("to_pylist", "to_list"):
        if hasattr(values, method):
            return getattr(values, method)()
    if hasattr(values, "__array__"):
        try:
            return np.asarray(values)
        except (TypeError, RuntimeError, ValueError) as error:  # tensors that need more than a look
            raise TypeError(
                f"{name} is a {type(values).__name__} that NumPy cannot take: {error}"
            ) from error
    if hasattr(values, "collect") and not isinstance(values, Sized):
        raise TypeError(f"{name} is a {type(values).__name__}. Call its collect() first.")
    if isinstance(values, str | bytes | dict | set | frozenset) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name} is {short(values)} of type {type(values).__name__}, but it must have one "
            f"entry per clip, in their order: {_FORMS}."
        )
    return list(values)


def plain_table(values):
    """Turn a table of any library into a DataFrame; other things stay as they are."""
    if hasattr(values, "column_names") and hasattr(values, "to_pydict"):  # pyarrow
        return _make_frame(values.column_names, [c.to_pylist() for c in values.columns])
    if hasattr(values, "get_columns"):  # polars
        return _make_frame(values.columns, [column.to_list() for column in values.get_columns()])
    if hasattr(values, "to_pandas") and hasattr(values, "columns"):
        return values.to_pandas()
    return values


def _make_frame(names, columns):
    return pd.DataFrame(dict(enumerate(columns))).set_axis(list(names), axis=1)


def column_names(frame: pd.DataFrame, name: str) -> np.ndarray | None:
    """Return the names of the columns, each once; None for those that pandas numbers itself."""
    columns = frame.columns
    if isinstance(columns, pd.RangeIndex) and columns.equals(pd.RangeIndex(len(columns))):
        return None
    if not columns.is_unique:
        twice = columns[columns.duplicated()].unique()
        raise ValueError(
            f"{name} has more than one column for {quoted(twice)}. Give each event one column."
        )
    blank = any(isinstance(column, str) and not column.strip() for column in columns)
    if blank or (not isinstance(columns, pd.MultiIndex) and columns.hasnans):
        raise ValueError(f"{name} has a column without a name. Name its event, or leave it out.")
    return columns.to_numpy()


def read_form(Y, name: str = "Y", n_events: int | None = None) -> Form:
    """Find out in which form targets are given, and check that they are whole.

    Parameters
    ----------
    Y : array-like
        See :func:`sktagger.targets._matching.check_targets`.
    name : str, default="Y"
        Of the argument, for messages.
    n_events : int or None, default=None
        Number of events where it is known: rows of another length that are not of 0 and 1 list
        class ids.

    Returns
    -------
    Form

    Raises
    ------
    TypeError, ValueError
        If `Y` is none of the forms, or values are missing; the message names the first clip.
    """
    Y = plain_container(Y, name)
    if isinstance(Y, pd.DataFrame):
        if Y.shape[1] == 1 and _holds_labels(Y.iloc[:, 0]):
            return read_form(Y.iloc[:, 0], name, n_events)
        names = column_names(Y, name)
        return Form("indicator", _check_indicator(Y.to_numpy(), names, name), names)
    if sparse.issparse(Y):
        return Form("indicator", _check_indicator(Y.toarray(), None, name))
    if isinstance(Y, np.ndarray) and (Y.dtype.kind not in "OUT" or Y.ndim != 1):
        return _read_array(Y, name, n_events)
    if isinstance(Y, pd.Series) and isinstance(Y.dtype, np.dtype) and Y.dtype.kind in "biuf":
        return _read_array(Y.to_numpy(), name, n_events)
    values = Y.tolist() if isinstance(Y, np.ndarray | pd.Series) else Y
    values = [value.item() if _is_scalar_array(value) else value for value in values]
    if not len(values):
        raise ValueError(f"{name} is empty (0 samples), but at least 1 clip is needed.")
    rows = [_as_row(value) for value in values]
    if all(row is None for row in rows):
        as_objects = not isinstance(Y, list) and Y.dtype.kind == "O"
        return Form("labels", _check_labels(values, name, as_objects))
    return _read_rows(values, rows, name, n_events)


def _is_scalar_array(value):
    return not np.isscalar(value) and getattr(value, "ndim", 1) == 0 and hasattr(value, "item")


_TRUTH_VALUES = {"0", "1", "yes", "no", "y", "n", "true", "false", "t", "f"}


def _holds_labels(column):
    """Say whether a table's only column cannot be that of an event's 0 and 1."""
    values = column[column.notna()].tolist()
    if all(isinstance(value, str) and value.casefold() in _TRUTH_VALUES for value in values):
        return False  # an indicator in words, which is an error
    if isinstance(values[0], str) or _as_row(values[0]) is not None:
        return True
    are_ids = all(isinstance(value, Number) and value == value // 1 for value in values)
    return are_ids and not all(value in (0, 1) for value in values)


def _as_row(value):
    """Return the entries of a row, None for a single value."""
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, str | bytes) or np.isscalar(value):
        return None
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(value, method) and (not hasattr(value, "ndim") or value.ndim):
            entries = getattr(value, method)()
            return entries if isinstance(entries, list) else None
    return None


def _read_array(Y, name, n_events):
    if Y.dtype.kind in "OUT" and Y.ndim == 2:
        if Y.shape[1] == 1 and Y.dtype.kind != "O":
            return Form("labels", _check_labels(column_or_1d(Y, warn=True), name))
        if Y.shape[1] == 1 and len(Y) and isinstance(Y[0, 0], str | list | tuple | np.ndarray):
            return read_form(Y[:, 0], name, n_events)
        texts = Y.dtype.kind != "O" or any(isinstance(value, str) for value in Y[:1].ravel())
        if texts and not np.isin(Y, ["0", "1"]).all():
            return read_form(Y.tolist(), name, n_events)
        return Form("indicator", _check_indicator(Y, None, name))
    Y = check_array(Y, ensure_2d=False, dtype=None, input_name=name, ensure_all_finite="allow-nan")
    # a single column is an indicator if it can be one, else scikit-learn's way to pass labels
    if Y.ndim == 2 and (Y.shape[1] > 1 or np.isin(Y, [0, 1]).all()):
        return Form("indicator", _check_indicator(Y, None, name))
    return Form("labels", _check_labels(column_or_1d(Y, warn=True), name))


def _read_rows(values, rows, name, n_events):
    """Read a sequence of rows: of events, by name or number, or of 0 and 1."""
    for clip, row in enumerate(rows):
        if row is None:
            raise _error_of_single(name, clip, values[clip])
    entry = next((entry for row in rows for entry in row), "")
    if isinstance(entry, _NUMBERS) and entry == entry:
        is_set = any(isinstance(row, set | frozenset) for row in rows)
        widths = {len(row) for row in rows}
        of_one = len(widths) == 1 and not is_set
        if not of_one or (n_events is not None and n_events not in widths and _are_ids(rows)):
            _check_entries(rows, name, "class ids", _is_id)
            _check_repeated(rows, name)
            return Form("lists", [list(row) for row in rows])
        matrix = np.array(rows)
        if matrix.dtype.kind in "US":
            _check_entries(rows, name, "numbers", lambda entry: isinstance(entry, Number))
        return _read_array(matrix, name, n_events)
    _check_entries(rows, name, "names", lambda entry: isinstance(entry, str))
    return Form("lists", [list(row) for row in rows])


def _are_ids(rows):
    return not all(entry in (0, 1) for row in rows for entry in row)


def _is_id(entry):
    return isinstance(entry, Integral) and not isinstance(entry, bool | np.bool_)


def _check_entries(rows, name, what: str, is_valid: Callable):
    for clip, row in enumerate(rows):
        for entry in row:
            if not is_valid(entry):
                raise ValueError(
                    f"{name}: clip {clip} has {short(entry)} of type {type(entry).__name__} among "
                    f"its events. These event lists must hold {what} only, none missing. If they "
                    "are rows of an indicator matrix, give all of them one length."
                )
            if isinstance(entry, str) and not entry.strip():
                raise ValueError(
                    f"{name}: clip {clip} has the empty event {entry!r}. Leave it out: [] is a "
                    "clip without events."
                )


def _check_repeated(rows, name):
    for clip, row in enumerate(rows):
        if len(set(row)) < len(row):
            raise ValueError(
                f"{name}: clip {clip} has {len(row)} entries, {short(row)}, and other clips have "
                "more or fewer. Rows of 0 and 1 must be of one length; class ids must be listed "
                "once each."
            )


def _error_of_single(name, clip, value):
    if isinstance(value, str):
        return ValueError(
            f"{name}: clip {clip} is the single text {short(value)}, but other clips have lists of "
            "events. Give each clip a list."
        )
    return ValueError(
        f"{name}: clip {clip} is {short(value)}, but other clips have lists of events. Give each "
        "clip a list, [] where there are no events, and leave out clips that nobody labeled."
    )


def _check_labels(values, name, as_objects=False):
    """Return labels as an array, all of one kind and none missing."""
    if isinstance(values, np.ndarray) and values.dtype.kind not in "OUT":
        labels = values
        missing = np.flatnonzero(pd.isna(labels))
    else:
        values = values.tolist() if isinstance(values, np.ndarray) else values
        objects = np.fromiter(values, dtype=object, count=len(values))
        missing = np.flatnonzero(pd.isna(objects))
    if len(missing):
        clip = missing[0]
        raise ValueError(
            f"{name}: clip {clip} has no label, it is {short(values[clip])} ({len(missing)} such "
            "clips in all). Each clip must have one. Leave such clips out, or give event lists, "
            "where [] is a clip without events."
        )
    if not isinstance(values, np.ndarray):
        _check_label_types(values, name)
        labels = objects if as_objects and isinstance(values[0], str) else np.asarray(values)
    if labels.dtype.kind == "f":
        check_array(labels, ensure_2d=False, dtype=None, input_name=name)
    check_classification_targets(labels)
    return labels


def _check_label_types(values, name):
    is_text = isinstance(values[0], str)
    for clip, value in enumerate(values):
        if isinstance(value, str) != is_text or not isinstance(value, str | bytes | _NUMBERS):
            other = f", and clip 0 {short(values[0])}" if clip else ""
            raise ValueError(
                f"{name}: clip {clip} has the label {short(value)} of type {type(value).__name__}"
                f"{other}. Labels must be all text or all numbers."
            )
        if is_text and not value.strip():
            raise ValueError(
                f"{name}: clip {clip} has the empty label {value!r}. Leave such clips out, or give "
                "event lists, where [] is a clip without events."
            )


def _check_indicator(values, names, name):
    if 0 in values.shape:
        raise ValueError(
            f"{name} is empty: it has {values.shape[0]} rows (samples) and {values.shape[1]} "
            "columns, but at least 1 clip and 1 event are needed."
        )
    try:
        indicator = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        indicator = np.array([[_as_number(value) for value in row] for row in values], np.float32)
    wrong = ~((indicator == 0) | (indicator == 1))
    if wrong.any():
        clip, column = np.argwhere(wrong)[0]
        value, event = values[clip, column], column if names is None else names[column]
        place = f"the event {short(event)}"
        if value is None or pd.isna(value):
            raise ValueError(
                f"{name}: clip {clip} has no value (NaN) for {place}, but an indicator matrix must "
                "hold 0 and 1 only. Give 0 where the event does not occur, and leave out clips "
                "that nobody labeled."
            )
        if isinstance(value, str | bytes):
            advice = "Turn text into 0 and 1."
        elif isinstance(value, Integral):
            advice = "Give class ids as sets, {0, 2}."
        else:
            advice = "Threshold soft labels first."
        if names is not None:
            advice += " Leave out columns that are no events."
        raise ValueError(
            f"{name}: clip {clip} has {short(value)} for {place}, but an indicator matrix must "
            f"hold 0 and 1 only. {advice}"
        )
    return indicator


def _as_number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
