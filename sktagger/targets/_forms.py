"""The three forms of targets (indicator, event lists, labels) in containers of any library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from numbers import Integral, Number, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from sktagger._utils.text import quoted, short
from sktagger.targets._indicator import check_indicator

__all__ = ["Form", "column_names", "plain_container", "plain_table", "read_form"]

_NUMBERS = Number | np.bool_
_FORMS = "an indicator matrix, a list of event lists, or 1-D labels"


class Form(NamedTuple):
    """Checked targets in their original form.

    Attributes
    ----------
    kind : {"indicator", "lists", "labels"}
    values : ndarray of shape (n_clips, n_events), float32; list of list; or ndarray of (n_clips,)
    names : ndarray of shape (n_events,) or None
        Names of the columns, if `values` is an indicator matrix with names.
    """

    kind: str
    values: Any
    names: np.ndarray | None = None


def plain_container(
    values: Any, name: str
) -> pd.DataFrame | pd.Series | np.ndarray | sparse.spmatrix | sparse.sparray | list:
    """Convert a container of any library to one of pandas, NumPy or SciPy, or to a list.

    Parameters
    ----------
    values : object
        Objects of pandas, NumPy and SciPy; tables and columns of polars and pyarrow; other objects
        that can be converted to pandas or to an array; lists and other iterables.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    DataFrame, Series, ndarray, sparse matrix or list
        The same values, which can be read repeatedly and indexed.

    Raises
    ------
    TypeError, ValueError
        If `values` is None, has no order, or is of an unsupported type.
    """
    if values is None:
        raise ValueError(
            "requires y to be passed, but the target y is None. Pass the events of each clip: "
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
        except (TypeError, RuntimeError, ValueError) as error:  # tensors with a gradient
            raise TypeError(
                f"{name} is a {type(values).__name__} that cannot be converted to a NumPy array: "
                f"{error}"
            ) from error
    if hasattr(values, "collect") and not isinstance(values, Sized):
        raise TypeError(f"{name} is a {type(values).__name__}. Call its collect() first.")
    if isinstance(values, str | bytes | dict | set | frozenset) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name} is {short(values)} of type {type(values).__name__}, but it must have one "
            f"entry per clip, in the order of the clips. Pass {_FORMS}."
        )
    return list(values)


def plain_table(values: Any) -> Any:
    """Convert a table of any library to a DataFrame.

    Parameters
    ----------
    values : object
        A table of polars, pyarrow or another library, or any other object.

    Returns
    -------
    DataFrame or object
        A DataFrame for tables. Other objects are returned unchanged.
    """
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
    """Return the names of the columns; None if pandas numbers the columns by default.

    Parameters
    ----------
    frame : DataFrame
        Table with events in columns.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    ndarray of shape (n_events,) or None
        Unique names.

    Raises
    ------
    ValueError
        If a name is empty or occurs more than once.
    """
    columns = frame.columns
    if isinstance(columns, pd.RangeIndex) and columns.equals(pd.RangeIndex(len(columns))):
        return None
    if not columns.is_unique:
        duplicates = columns[columns.duplicated()].unique()
        raise ValueError(
            f"{name} has more than one column for {quoted(duplicates)}. Pass one column per event."
        )
    blank = any(isinstance(column, str) and not column.strip() for column in columns)
    if blank or (not isinstance(columns, pd.MultiIndex) and columns.hasnans):
        raise ValueError(f"{name} has a column without a name. Name its event or drop the column.")
    return columns.to_numpy()


def read_form(Y: Any, name: str = "Y", n_events: int | None = None, *, soft: bool = False) -> Form:
    """Determine the form of targets, and check them.

    Parameters
    ----------
    Y : array-like
        See :func:`sktagger.targets.check_targets`.
    name : str, default="Y"
        Name of the argument, for messages.
    n_events : int or None, default=None
        Number of events, if it is known. Rows of another length are then read as lists of class
        ids, unless they contain only 0 and 1, or values between them.
    soft : bool, default=False
        Whether an indicator matrix may have values between 0 and 1.

    Returns
    -------
    Form
        The checked targets.

    Raises
    ------
    TypeError, ValueError
        If `Y` has another form or missing values. The message names the first such clip.
    """
    Y = plain_container(Y, name)
    if isinstance(Y, pd.DataFrame):
        if Y.shape[1] == 1 and _holds_labels(Y.iloc[:, 0]):
            return read_form(Y.iloc[:, 0], name, n_events, soft=soft)
        names = column_names(Y, name)
        return Form("indicator", check_indicator(Y.to_numpy(), names, name, soft=soft), names)
    if sparse.issparse(Y):
        return Form("indicator", check_indicator(Y.toarray(), None, name, soft=soft))
    if isinstance(Y, np.ndarray) and (Y.dtype.kind not in "OUT" or Y.ndim != 1):
        return _read_array(Y, name, n_events, soft)
    if isinstance(Y, pd.Series) and isinstance(Y.dtype, np.dtype) and Y.dtype.kind in "biuf":
        return _read_array(Y.to_numpy(), name, n_events, soft)
    values = Y.tolist() if isinstance(Y, np.ndarray | pd.Series) else Y
    values = [value.item() if _is_scalar_array(value) else value for value in values]
    if not len(values):
        raise ValueError(f"{name} is empty (0 samples), but it must have at least 1 clip.")
    rows = [_as_row(value) for value in values]
    if all(row is None for row in rows):
        as_objects = not isinstance(Y, list) and Y.dtype.kind == "O"
        return Form("labels", _check_labels(values, name, as_objects))
    return _read_rows(values, rows, name, n_events, soft)


def _is_scalar_array(value):
    return not np.isscalar(value) and getattr(value, "ndim", 1) == 0 and hasattr(value, "item")


_TRUTH_VALUES = {"0", "1", "yes", "no", "y", "n", "true", "false", "t", "f"}


def _holds_labels(column):
    """Return whether the only column of a table holds labels, and not an event's 0 and 1."""
    values = column[column.notna()].tolist()
    if all(isinstance(value, str) and value.casefold() in _TRUTH_VALUES for value in values):
        return False  # truth values as text, which are an error
    if isinstance(values[0], str) or _as_row(values[0]) is not None:
        return True
    are_ids = all(isinstance(value, Number) and value == value // 1 for value in values)
    return are_ids and not all(value in (0, 1) for value in values)


def _as_row(value):
    """Return the entries of a row; None for a single value."""
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, str | bytes) or np.isscalar(value):
        return None
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(value, method) and (not hasattr(value, "ndim") or value.ndim):
            entries = getattr(value, method)()
            return entries if isinstance(entries, list) else None
    return None


def _read_array(Y, name, n_events, soft):
    if Y.dtype.kind in "OUT" and Y.ndim == 2:
        if Y.shape[1] == 1 and Y.dtype.kind != "O":
            return Form("labels", _check_labels(column_or_1d(Y, warn=True), name))
        if Y.shape[1] == 1 and len(Y) and isinstance(Y[0, 0], str | list | tuple | np.ndarray):
            return read_form(Y[:, 0], name, n_events, soft=soft)
        texts = Y.dtype.kind != "O" or any(isinstance(value, str) for value in Y[:1].ravel())
        if texts and not np.isin(Y, ["0", "1"]).all():
            return read_form(Y.tolist(), name, n_events, soft=soft)
        return Form("indicator", check_indicator(Y, None, name, soft=soft))
    Y = check_array(Y, ensure_2d=False, dtype=None, input_name=name, ensure_all_finite="allow-nan")
    # A single column of whole numbers other than 0 and 1 holds labels, as in scikit-learn.
    has_fractions = Y.dtype.kind == "f" and (Y % 1 > 0).any()
    if Y.ndim == 2 and (Y.shape[1] > 1 or has_fractions or np.isin(Y, [0, 1]).all()):
        return Form("indicator", check_indicator(Y, None, name, soft=soft))
    return Form("labels", _check_labels(column_or_1d(Y, warn=True), name))


def _read_rows(values, rows, name, n_events, soft):
    """Read a sequence of rows that hold event names, class ids, or 0 and 1."""
    for clip, row in enumerate(rows):
        if row is None:
            raise _single_value_error(name, clip, values[clip])
    entry = next((entry for row in rows for entry in row), "")
    if isinstance(entry, _NUMBERS) and entry == entry:
        has_sets = any(isinstance(row, set | frozenset) for row in rows)
        lengths = {len(row) for row in rows}
        is_matrix = len(lengths) == 1 and not has_sets
        if not is_matrix or (n_events is not None and n_events not in lengths and _are_ids(rows)):
            _check_entries(rows, name, "class ids", _is_id)
            _check_duplicates(rows, name)
            return Form("lists", [list(row) for row in rows])
        matrix = np.array(rows)
        if matrix.dtype.kind in "US":
            _check_entries(rows, name, "numbers", lambda entry: isinstance(entry, Number))
        return _read_array(matrix, name, n_events, soft)
    _check_entries(rows, name, "names", lambda entry: isinstance(entry, str))
    return Form("lists", [list(row) for row in rows])


def _are_ids(rows):
    return not all(
        isinstance(entry, Real | np.bool_) and 0 <= entry <= 1 for row in rows for entry in row
    )


def _is_id(entry):
    return isinstance(entry, Integral) and not isinstance(entry, bool | np.bool_)


def _check_entries(rows, name, what: str, is_valid: Callable):
    for clip, row in enumerate(rows):
        for entry in row:
            if not is_valid(entry):
                raise ValueError(
                    f"{name}: clip {clip} has {short(entry)} of type {type(entry).__name__} among "
                    f"its events. These event lists must contain only {what}, and none may be "
                    "missing. Rows of an indicator matrix must all have the same length."
                )
            if isinstance(entry, str) and not entry.strip():
                raise ValueError(
                    f"{name}: clip {clip} has the empty event {entry!r}. Remove it. Use [] for a "
                    "clip without events."
                )


def _check_duplicates(rows, name):
    for clip, row in enumerate(rows):
        if len(set(row)) < len(row):
            raise ValueError(
                f"{name}: clip {clip} has {len(row)} entries, {short(row)}, but other clips have "
                "more or fewer entries. Rows of 0 and 1 must have the same length, and each class "
                "id may be listed only once."
            )


def _single_value_error(name, clip, value):
    if isinstance(value, str):
        return ValueError(
            f"{name}: clip {clip} is the single string {short(value)}, but other clips have lists "
            "of events. Pass a list for each clip."
        )
    return ValueError(
        f"{name}: clip {clip} is {short(value)}, but other clips have lists of events. Pass a list "
        "for each clip, [] for a clip without events. Leave out unlabeled clips."
    )


def _check_labels(values, name, as_objects=False):
    """Check that labels have the same type and that none is missing; return them as an array."""
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
            f"{name}: clip {clip} has no label, but {short(values[clip])} ({len(missing)} such "
            "clips in total). Each clip must have a label. Leave out these clips, or pass event "
            "lists with [] for a clip without events."
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
            other = f", but clip 0 has {short(values[0])}" if clip else ""
            raise ValueError(
                f"{name}: clip {clip} has the label {short(value)} of type {type(value).__name__}"
                f"{other}. Labels must be all strings or all numbers."
            )
        if is_text and not value.strip():
            raise ValueError(
                f"{name}: clip {clip} has the empty label {value!r}. Leave out such clips, or pass "
                "event lists with [] for a clip without events."
            )
