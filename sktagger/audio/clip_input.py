"""Check the clips that users pass: lists, arrays, tables and other containers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from sktagger._utils.warnings import warn
from sktagger.audio._clip_items import (
    MAX_CHANNELS,
    PATH_NAMES,
    Waveform,
    as_array,
    check_samples_type,
    has_channels_last,
    is_file,
    is_missing,
    is_number,
    read_item,
    short,
    split_rate,
)
from sktagger.audio.clips import ArrayClips, FileClips, Gap
from sktagger.audio.reading import Section

__all__ = ["check_clips", "list_clips", "reusable"]

_BOUNDS = ("start", "stop")
_MAX_MESSAGE = 300


def check_clips(
    estimator: BaseEstimator, X: Any, *, reset: bool, name: str = "X"
) -> FileClips | ArrayClips:
    """Check a container of clips and convert it.

    Parameters
    ----------
    estimator : BaseTagger
        If `X` is a 2-D array of waveforms, its ``n_features_in_`` is set or compared. Its
        `on_error` determines whether a clip that is None, NaN or "" is an error.
    X : array-like
        See :class:`sktagger.WALNetTagger`.
    reset : bool
        Whether to set ``n_features_in_``, as in ``fit``.
    name : str, default="X"
        Name of `X` in messages.

    Returns
    -------
    FileClips or ArrayClips

    Raises
    ------
    TypeError, ValueError
        If `X` is not a container of clips. The message names the first wrong clip.

    Warns
    -----
    UserWarning
        If `X` is a matrix of the shape of a single recording, (n_samples, n_channels).
    """
    clips = list_clips(X, name)
    if not isinstance(clips, list):
        return ArrayClips(_check_matrix(estimator, clips, reset, name))
    if not clips:
        raise ValueError(f"{name} is empty, but at least 1 clip is needed.")
    clips = [read_item(clip, f"{name}: clip {index}") for index, clip in enumerate(clips)]
    gap = next((clip for clip in clips if isinstance(clip, Gap)), None)
    if gap is not None and estimator.on_error == "raise":
        raise gap.error(f"{gap.cause} Leave it out, or set on_error='skip'.")
    kinds = {type(clip) for clip in clips} - {Gap}
    if len(kinds) > 1:
        raise ValueError(
            f"{name} mixes files and waveforms in memory. Give only one kind: read the files, or "
            "write the waveforms to files."
        )
    if kinds != {Waveform}:
        return FileClips(clips)
    _check_layouts(clips, name)
    rates = [None if isinstance(clip, Gap) else clip.rate for clip in clips]
    arrays = [clip if isinstance(clip, Gap) else clip.samples for clip in clips]
    return ArrayClips(_narrow(arrays, name), rates=rates)


def reusable(X: Any, name: str = "X") -> Any:
    """Return clips that can be read several times and indexed.

    Parameters
    ----------
    X : iterable of clips
        Any container of clips.
    name : str, default="X"
        Name of `X` in messages.

    Returns
    -------
    array-like
        A list if `X` is an iterator or a view of a dict, else `X` itself.

    Raises
    ------
    TypeError
        If `X` is a set or a dict.
    """
    _refuse_unordered(X, name)
    if isinstance(X, Iterable) and not (hasattr(X, "__getitem__") or hasattr(X, "shape")):
        return list(X)
    return X


def list_clips(X: Any, name: str = "X") -> list | np.ndarray | pd.DataFrame:
    """Return a list of clips, or an array or DataFrame of shape (n_clips, n_samples).

    Parameters
    ----------
    X : array-like of clips
        Any container of clips.
    name : str, default="X"
        Name of `X` in messages.

    Returns
    -------
    list, ndarray or DataFrame
        The clips are not checked.

    Raises
    ------
    TypeError, ValueError
        If `X` is a single clip, or has no order.
    """
    _refuse_single(X, name)
    _refuse_unordered(X, name)
    if sparse.issparse(X):
        raise TypeError(
            f"{name} is a sparse matrix, but waveforms must be a dense array: give "
            f"{name}.toarray()."
        )
    X = _to_known(X, name)
    if isinstance(X, pd.DataFrame):
        return _list_table(X, name)
    if isinstance(X, np.ndarray):
        return _list_array(X, name)
    return _list_rows(list(X), name)


def _refuse_single(X, name):
    if isinstance(X, str | os.PathLike):
        path = short(os.fspath(X))
        raise ValueError(
            f"{name} is the single path {path}, but it must be an array-like of clips. Give a "
            f"list: [{path}]."
        )
    is_section = isinstance(X, Section) or (
        isinstance(X, tuple)
        and len(X) == 3
        and is_file(X[0])
        and any(is_number(bound) and not is_missing(bound) for bound in X[1:])
    )
    if is_file(X) or is_section or split_rate(X) is not None:
        raise ValueError(
            f"{name} is the single clip {short(X)}, but it must be an array-like of clips. Give a "
            f"list: [{name}]."
        )


def _refuse_unordered(X, name):
    if isinstance(X, Set) and not hasattr(X, "mapping"):  # views of dicts are ordered
        raise TypeError(
            f"{name} is a {type(X).__name__}, which has no order. Give a list, in the order of y."
        )
    if isinstance(X, Mapping) and not sparse.issparse(X):  # SciPy's dok_matrix is a dict
        raise TypeError(
            f"{name} is a {type(X).__name__}, but it must be an array-like of clips. Give [{name}] "
            f"for a single clip, or list({name}.values()) for clips by name."
        )


def _to_known(X, name):
    """Convert containers to lists, NumPy arrays or DataFrames.

    Containers of polars and pyarrow are recognized by their attributes, without an import.
    """
    if isinstance(X, pd.DataFrame | list | tuple):
        return X
    if isinstance(X, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return X.to_numpy()
    if hasattr(X, "shape") and (hasattr(X, "column_names") or hasattr(X, "columns")):
        names = X.column_names if hasattr(X, "column_names") else X.columns
        return pd.DataFrame({column: _to_column(X[column], name) for column in names})
    if hasattr(X, "__array__"):
        try:
            array = as_array(X)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name} cannot be converted to an array: it is {str(error)[:100]}."
            ) from None
        # An array of polars structs has lost the names of their fields.
        is_struct = array.dtype.kind == "O" and array.ndim == 2 and hasattr(X, "to_list")
        return X.to_list() if is_struct else array
    is_sequence = hasattr(X, "__getitem__") and hasattr(X, "__len__")
    if not isinstance(X, Iterable) and not is_sequence:
        raise ValueError(
            f"{name} is {short(X)} of type {type(X).__name__}, but it must be an array-like of "
            "clips."
        )
    return X


def _to_column(X, name):
    column = _to_known(X, name)
    return list(column) if getattr(column, "ndim", 1) > 1 else column


def _list_rows(rows, name):
    """Return a list of clips, or an array if the list consists of rows of numbers."""
    if rows and all(map(is_number, rows)) and not all(map(is_missing, rows)):
        raise _one_waveform(name, "list", len(rows))
    first = rows[0] if rows else None
    if not (isinstance(first, list | tuple) and first and all(map(is_number, first))):
        return rows
    lengths = {len(row) if isinstance(row, list | tuple) else None for row in rows}
    if len(lengths) > 1:
        raise ValueError(
            f"{name} is a list with rows of unequal length ({short(sorted(lengths, key=str))}). "
            f"Convert each row to an array: [np.array(row) for row in {name}]."
        )
    return _list_array(np.array(rows), name)


def _list_array(X, name):
    if X.dtype.names is not None:
        return _list_table(pd.DataFrame({field: X[field] for field in X.dtype.names}), name)
    if X.dtype.kind in "OUST" and X.ndim in (1, 2):
        if X.ndim == 1:
            return _list_rows(list(X), name)
        return _list_columns(X, name)
    if X.ndim == 1 and X.dtype.kind in "fiubc":
        if len(X) and all(map(is_missing, X)):
            return list(X)
        raise _one_waveform(name, "array", len(X))
    if X.ndim not in (2, 3) or X.dtype.kind not in "fiubcO":
        raise ValueError(
            f"{name} is an array of shape {X.shape} and type {X.dtype}, but its shape must be "
            "(n_clips,) for paths, and (n_clips, n_samples) or (n_clips, n_channels, n_samples) "
            "for numbers."
        )
    if X.ndim == 3:
        has_channels_last(X.shape[1:], f"{name} has dim 3 and shape {X.shape}: each clip")
        return list(X)
    return X


def _list_columns(X, name):
    """Return the clips of a 2-D array of objects or strings.

    It may be a column of clips, rows of sections, or a matrix of samples.
    """
    edge = [*X[:1].ravel(), *X[:, 0]]
    if all(map(is_number, edge)) and not all(map(is_missing, edge)):
        return X
    if X.shape[1] == 1:
        return list(X[:, 0])
    if X.dtype.kind == "O":
        return [tuple(row) for row in X]
    if X.shape[1] != 3:
        raise ValueError(
            f"{name} is an array of strings of shape {X.shape}, but its shape must be (n_clips,) "
            "for paths or (n_clips, 3) for sections (path, start, stop)."
        )
    # NumPy converts the numbers in a row with a string to strings.
    return [Section(path, *map(_to_number, bounds)) for path, *bounds in X.tolist()]


def _to_number(text):
    try:
        return float(text)
    except ValueError:
        return text


def _list_table(X, name):
    """Return the clips of a DataFrame.

    Its columns may be samples, one column of clips, or the parts of sections.
    """
    columns = {str(column).casefold(): k for k, column in enumerate(X.columns)}
    paths = [column for column in columns if column in PATH_NAMES]
    if len(paths) == 1 and len(columns) == X.shape[1] and columns.keys() <= {*paths, *_BOUNDS}:
        parts = [
            list(X.iloc[:, columns[part]]) if part in columns else [None] * len(X)
            for part in (*paths, *_BOUNDS)
        ]
        return [Section(*row) for row in zip(*parts, strict=True)]
    if columns and all(map(is_numeric_dtype, X.dtypes)):
        return X
    if X.shape[1] == 1:
        return _list_array(X.iloc[:, 0].to_numpy(), name)
    if isinstance(X.columns, pd.RangeIndex) and X.shape[1] == 3:
        return _list_array(X.to_numpy(dtype=object), name)
    if columns and X.map(is_number).to_numpy().all():
        return X
    raise ValueError(
        f"{name} is a DataFrame with the columns {short(list(X.columns))}, but it must have one "
        f"column of paths ({', '.join(PATH_NAMES)}) and optionally start and stop. Select these "
        f"columns: {name}[['path']]."
    )


def _one_waveform(name, kind, n):
    return ValueError(
        f"{name} is a 1D {kind} of {n} numbers, but it must contain clips. Reshape your data: give "
        f"[{name}] for a single waveform."
    )


def _check_matrix(estimator, X, reset, name):
    """Check a matrix of shape (n_clips, n_samples) with scikit-learn."""
    if isinstance(X, np.ndarray) and X.dtype.kind != "O":
        check_samples_type(X.dtype, name)
    finite = estimator.on_error == "raise"
    try:
        X = validate_data(estimator, X, reset=reset, ensure_all_finite=finite)
    except (TypeError, ValueError) as error:
        if len(str(error)) <= _MAX_MESSAGE:
            raise
        # Some messages of scikit-learn and NumPy contain all of the data.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{str(error)[:_MAX_MESSAGE]}... ({name} has shape {X.shape})") from None
    check_samples_type(X.dtype, name)
    if X.shape[1] <= MAX_CHANNELS < len(X):
        warn(
            f"{name} of shape {X.shape} is read as {len(X)} clips of {X.shape[1]} samples. If it "
            f"is one recording of shape (n_samples, n_channels), give a list: [{name}]."
        )
    return _narrow([X], name)[0]


def _check_layouts(clips, name):
    """Raise a ValueError if the clips have different orders of axes."""
    seen = {}
    for index, clip in enumerate(clips):
        if isinstance(clip, Waveform) and len(clip.shape) == 2:
            seen.setdefault(has_channels_last(clip.shape, name), index)
    if len(seen) == 2:
        first, last = seen[False], seen[True]
        raise ValueError(
            f"{name}: clip {first} has shape {clips[first].shape}, but clip {last} has shape "
            f"{clips[last].shape}. Give all clips as (n_channels, n_samples), or all clips as "
            "(n_samples, n_channels)."
        )


def _narrow(arrays, name):
    """Convert samples of 64 bits, which no audio file has, to the type whose range they fit."""
    wide = [array for array in arrays if _is_wide(array)]
    if not wide:
        return arrays
    low, high = min(array.min() for array in wide), max(array.max() for array in wide)
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return [array.astype(dtype) if _is_wide(array) else array for array in arrays]
    raise ValueError(
        f"{name} has samples of type int64 from {low} to {high}, beyond the range of int32. "
        "Convert them to floats in [-1, 1]."
    )


def _is_wide(array):
    return not isinstance(array, Gap) and array.dtype.kind == "i" and array.dtype.itemsize > 4
