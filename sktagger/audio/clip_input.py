"""Every container of clips -> sections of files, or waveforms in memory."""

import os
import warnings
from collections.abc import Iterable, Mapping, Set

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from scipy import sparse
from sklearn.utils.validation import validate_data

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

__all__ = ["check_clips", "reusable"]

_BOUNDS = ("start", "stop")
_MAX_MESSAGE = 300


def check_clips(estimator, X, *, reset: bool, name: str = "X"):
    """Turn any container of clips into one of two.

    Parameters
    ----------
    estimator : BaseTagger
        Gets, or is asked for, ``n_features_in_`` if `X` is a 2-D array of waveforms. Its
        `on_error` says whether a clip that is None, NaN or "" is an error.
    X : array-like
        See :class:`sktagger.WALNetTagger`.
    reset : bool
        True in fit.
    name : str, default="X"
        What messages call `X`.

    Returns
    -------
    FileClips or ArrayClips

    Raises
    ------
    TypeError, ValueError
        If `X` is no container of clips. The message names the first clip that is wrong.

    Warns
    -----
    UserWarning
        If `X` is a matrix of the shape of a single recording, (n_samples, n_channels).
    """
    clips = _list_clips(X, name)
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
            f"{name} mixes files and waveforms in memory. Give either, not both: read the files, "
            "or write the waveforms to files."
        )
    if kinds != {Waveform}:
        return FileClips(clips)
    _check_layouts(clips, name)
    rates = [None if isinstance(clip, Gap) else clip.rate for clip in clips]
    arrays = [clip if isinstance(clip, Gap) else clip.samples for clip in clips]
    return ArrayClips(_narrow(arrays, name), rates=rates)


def reusable(X, name: str = "X"):
    """Make a list of what can be read only once or has no order of its own to index by.

    Parameters
    ----------
    X : iterable of clips
    name : str, default="X"
        What messages call `X`.

    Returns
    -------
    array-like
        `X` itself, or a list for iterators and views of dicts.
    """
    _refuse_unordered(X, name)
    if isinstance(X, Iterable) and not (hasattr(X, "__getitem__") or hasattr(X, "shape")):
        return list(X)
    return X


def _list_clips(X, name):
    """Give a list of clips, or a matrix (n_clips, n_samples) as array or DataFrame."""
    _refuse_single(X, name)
    _refuse_unordered(X, name)
    if sparse.issparse(X):
        raise TypeError(
            f"{name} is a sparse matrix, but waveforms must be a dense array: {name}.toarray() "
            "makes one."
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
    if isinstance(X, Set) and not hasattr(X, "mapping"):  # views of dicts keep their order
        raise TypeError(
            f"{name} is a {type(X).__name__}, which has no order. Give a list, in the order of y."
        )
    if isinstance(X, Mapping) and not sparse.issparse(X):  # one of them is a dict
        raise TypeError(
            f"{name} is a {type(X).__name__}, but must be an array-like of clips: [{name}] for a "
            f"single clip, list({name}.values()) for clips by name."
        )


def _to_known(X, name):
    """Give what is no list as an object of NumPy or pandas; polars and pyarrow need no import."""
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
            raise TypeError(f"{name} makes no array: it is {str(error)[:100]}.") from None
        # an array of the structs of polars lacks the names of their fields
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
    """Read a list: of clips, or of rows of numbers, which are a matrix."""
    if rows and all(map(is_number, rows)) and not all(map(is_missing, rows)):
        raise _one_waveform(name, "list", len(rows))
    first = rows[0] if rows else None
    if not (isinstance(first, list | tuple) and first and all(map(is_number, first))):
        return rows
    lengths = {len(row) if isinstance(row, list | tuple) else None for row in rows}
    if len(lengths) > 1:
        raise ValueError(
            f"{name} is a list with rows of unequal length ({short(sorted(lengths, key=str))}). "
            f"Make each an array: [np.array(row) for row in {name}]."
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
            f"{name} is an array of shape {X.shape} and type {X.dtype}, but must be (n_clips,) of "
            "paths, (n_clips, n_samples) or (n_clips, n_channels, n_samples) of numbers."
        )
    if X.ndim == 3:
        has_channels_last(X.shape[1:], f"{name} has dim 3 and shape {X.shape}: each clip")
        return list(X)
    return X


def _list_columns(X, name):
    """Read a 2-D array of objects or strings: a column of clips, or rows of sections."""
    edge = [*X[:1].ravel(), *X[:, 0]]
    if all(map(is_number, edge)) and not all(map(is_missing, edge)):
        return X
    if X.shape[1] == 1:
        return list(X[:, 0])
    if X.dtype.kind == "O":
        return [tuple(row) for row in X]
    if X.shape[1] != 3:
        raise ValueError(
            f"{name} is an array of texts of shape {X.shape}, but must be (n_clips,) of paths or "
            "(n_clips, 3) of sections (path, start, stop)."
        )
    # NumPy makes texts of the numbers beside a text
    return [Section(path, *map(_to_number, bounds)) for path, *bounds in X.tolist()]


def _to_number(text):
    try:
        return float(text)
    except ValueError:
        return text


def _list_table(X, name):
    """Read a DataFrame: samples as columns, one column of clips, or columns of sections."""
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
        f"{name} is a DataFrame with the columns {short(list(X.columns))}, but it must have one of "
        f"paths ({', '.join(PATH_NAMES)}), and may have start and stop. Select them: "
        f"{name}[['path']]."
    )


def _one_waveform(name, kind, n):
    return ValueError(
        f"{name} is a 1D {kind} of {n} numbers, but must hold clips. Reshape your data: [{name}] "
        "holds one waveform."
    )


def _check_matrix(estimator, X, reset, name):
    """Check (n_clips, n_samples) as scikit-learn does."""
    if isinstance(X, np.ndarray) and X.dtype.kind != "O":
        check_samples_type(X.dtype, name)
    finite = estimator.on_error == "raise"
    try:
        X = validate_data(estimator, X, reset=reset, ensure_all_finite=finite)
    except (TypeError, ValueError) as error:
        if len(str(error)) <= _MAX_MESSAGE:
            raise
        # some messages of scikit-learn and NumPy hold all of the data
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{str(error)[:_MAX_MESSAGE]}... ({name} has shape {X.shape})") from None
    check_samples_type(X.dtype, name)
    if X.shape[1] <= MAX_CHANNELS < len(X):
        warnings.warn(
            f"{name} of shape {X.shape} is read as {len(X)} clips of {X.shape[1]} samples. Give "
            f"one recording (n_samples, n_channels) as a list: [{name}].",
            UserWarning,
            stacklevel=4,
        )
    return _narrow([X], name)[0]


def _check_layouts(clips, name):
    """Refuse both orders of axes in one container."""
    seen = {}
    for index, clip in enumerate(clips):
        if isinstance(clip, Waveform) and len(clip.shape) == 2:
            seen.setdefault(has_channels_last(clip.shape, name), index)
    if len(seen) == 2:
        first, last = seen[False], seen[True]
        raise ValueError(
            f"{name}: clip {first} has shape {clips[first].shape}, but clip {last} "
            f"{clips[last].shape}. Give all as (n_channels, n_samples), or all as (n_samples, "
            "n_channels)."
        )


def _narrow(arrays, name):
    """Give samples of 64 bits, which no audio file has, the type whose range they keep to."""
    wide = [array for array in arrays if _is_wide(array)]
    if not wide:
        return arrays
    low, high = min(array.min() for array in wide), max(array.max() for array in wide)
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return [array.astype(dtype) if _is_wide(array) else array for array in arrays]
    raise ValueError(
        f"{name} has samples of type int64 from {low} to {high}, beyond those of audio files, "
        "int16 and int32. Convert them to floats in [-1, 1]."
    )


def _is_wide(array):
    return not isinstance(array, Gap) and array.dtype.kind == "i" and array.dtype.itemsize > 4
