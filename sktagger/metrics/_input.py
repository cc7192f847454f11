"""Checks of labels, scores, predictions and options."""

import numbers

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import column_or_1d

from sktagger._utils.text import listed
from sktagger.metrics._clip_scores import ClipScores
from sktagger.targets import plain_table

__all__ = ["as_sparse", "check_average", "check_positive", "check_predictions", "check_scores"]

_AVERAGES = ("macro", "micro", "weighted", None)
_MAKE_INDICATOR = (
    "convert event lists with sklearn.preprocessing.MultiLabelBinarizer, and labels with "
    "pandas.get_dummies."
)


def check_scores(y_true, y_score, sample_weight=None):
    """Check labels and scores.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or (n_clips,)
        0/1 (or bool) indicator of the events of each clip; 1-D for a single event.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0. Clips with weight 0 are left out.

    Returns
    -------
    clip_scores : ClipScores

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, or scores are NaN or infinite.
    TypeError
        If scores are sparse or not numbers.
    """
    y_true, y_score = plain_table(y_true), plain_table(y_score)
    names = _event_names(y_true=y_true, y_score=y_score)
    clip_names = _clip_names(y_true, y_score)
    scores = _as_float_matrix(y_score, "y_score")
    clip, event, shape = _positives(y_true, "y_true")
    _check_same_shape(shape, scores.shape, "y_score")
    _check_finite(scores, clip_names)
    weight = _check_weight(sample_weight, len(scores))
    if weight is not None and not weight.all():
        kept = weight > 0
        position = np.cumsum(kept) - 1
        scores, weight = scores[kept], weight[kept]
        clip, event = position[clip[kept[clip]]], event[kept[clip]]
    return ClipScores(scores, clip, event, weight, names)


def check_predictions(y_true, y_pred, sample_weight=None):
    """Check labels and binary predictions.

    Parameters
    ----------
    y_true, y_pred : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events) or \
            (n_clips,)
        0/1 (or bool) indicators of the labeled and of the predicted events.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    y_true, y_pred : csr_array of shape (n_clips, n_events), int64
    weight : ndarray of shape (n_clips,), float64
        Ones if `sample_weight` is None.
    names : Index of shape (n_events,), or None

    Raises
    ------
    ValueError
        If shapes or event names differ, or an entry is not 0/1.
    """
    y_true, y_pred = plain_table(y_true), plain_table(y_pred)
    names = _event_names(y_true=y_true, y_pred=y_pred)
    true_clip, true_event, shape = _positives(y_true, "y_true")
    pred_clip, pred_event, pred_shape = _positives(y_pred, "y_pred")
    _check_same_shape(shape, pred_shape, "y_pred")
    weight = _check_weight(sample_weight, shape[0])
    if weight is None:
        weight = np.ones(shape[0])
    return (
        as_sparse(true_clip, true_event, shape),
        as_sparse(pred_clip, pred_event, shape),
        weight,
        names,
    )


def as_sparse(clip, event, shape, values=None):
    """Make a sparse matrix (clips, events) with `values` (default 1) at the given positions."""
    if values is None:
        values = np.ones(len(clip), dtype=np.int64)
    return sparse.csr_array((values, (clip, event)), shape=shape)


def check_average(average):
    """Raise ValueError unless `average` is "macro", "micro", "weighted" or None."""
    if average not in _AVERAGES:
        raise ValueError(
            f"average={average!r} is unknown. It must be 'macro', 'micro', 'weighted' or None. "
            "Pass average=None for the value of each event."
        )


def check_positive(value, name):
    """Raise ValueError unless the number `value` is finite and greater than 0."""
    if not isinstance(value, numbers.Real) or not 0 < value < np.inf:
        raise ValueError(
            f"{name}={value!r} is out of range. It must be a finite number greater than 0. "
            f"Pass {name}=1 to weight precision and recall equally."
        )


def _event_names(**tables):
    """Return the column names of the first DataFrame; other DataFrames must have the same."""
    named = {key: table.columns for key, table in tables.items() if isinstance(table, pd.DataFrame)}
    if not named:
        return None
    (first, names), *others = named.items()
    for key, columns in others:
        if not columns.equals(names):
            raise ValueError(
                f"The columns of {key} are {listed(columns)}, but those of {first} are "
                f"{listed(names)}. Both must name the same events in the same order. "
                f"Pass {key}[{first}.columns]."
            )
    return names


def _clip_names(*tables):
    """Return the row names of the first DataFrame; None if there is no DataFrame."""
    return next((table.index for table in tables if isinstance(table, pd.DataFrame)), None)


def _as_float_matrix(values, name):
    """Return an array of shape (n_clips, n_events), float32 or float64; a view if possible."""
    if sparse.issparse(values):
        raise TypeError(
            f"{name} is a sparse matrix. Scores must be dense, because 0 is a score like any "
            f"other. Pass {name}.toarray()."
        )
    matrix = _as_matrix(values, name)
    if matrix.dtype in (np.float32, np.float64):
        return matrix
    try:
        if matrix.dtype.kind not in "biufO":
            raise TypeError(f"dtype {matrix.dtype}")
        return matrix.astype(np.float32 if matrix.dtype == np.float16 else np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} has entries that are not numbers ({error}). Scores must be real numbers. "
            "Pass a float32 or float64 array."
        ) from error


def _positives(values, name):
    """Return the row and column of each 1 in an indicator matrix, and the matrix's shape."""
    if sparse.issparse(values):
        matrix = sparse.coo_array(values, copy=True)
        _check_matrix_shape(matrix.shape, name)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        clip, event, entries = matrix.row, matrix.col, matrix.data
    else:
        matrix = _as_matrix(values, name)
        clip, event = _nonzero(matrix)
        entries = np.ones(0) if matrix.dtype == bool else matrix[clip, event]
    if len(wrong := np.flatnonzero(entries != 1)):
        first = wrong[0]
        raise ValueError(
            f"{name} has the value {entries[first]!s} (clip {clip[first]}, event {event[first]}). "
            f"An indicator matrix must have only 0 and 1 (or False and True); {_MAKE_INDICATOR}"
        )
    return clip, event, matrix.shape


def _as_matrix(values, name):
    """Return an array of shape (n_clips, n_events); a view if possible."""
    try:
        values = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} has rows of different lengths. It must have one column per event. To get an "
            f"indicator matrix, {_MAKE_INDICATOR}"
        ) from error
    if values.ndim == 1:
        values = values[:, np.newaxis]
    _check_matrix_shape(values.shape, name)
    return values


def _nonzero(matrix):
    """Return row and column of each nonzero entry; needs half the memory of `numpy.nonzero`."""
    if matrix.flags.f_contiguous and not matrix.flags.c_contiguous:
        return _nonzero(matrix.T)[::-1]
    position = np.flatnonzero(matrix)
    dtype = np.int32 if max(matrix.shape) < 2**31 else np.intp
    n_columns = matrix.shape[1]
    return (position // n_columns).astype(dtype), (position % n_columns).astype(dtype)


def _check_matrix_shape(shape, name):
    if len(shape) != 2 or 0 in shape:
        raise ValueError(
            f"{name} has shape {tuple(shape)}. It must be a matrix of at least one clip (row) and "
            "one event (column), or 1-D for a single event. Check this argument."
        )


def _check_same_shape(shape, other, name):
    if tuple(shape) != tuple(other):
        raise ValueError(
            f"y_true has shape {tuple(shape)}, but {name} has shape {tuple(other)}. Both must have "
            "one row per clip and one column per event. Select the same clips and events."
        )


def _check_finite(scores, clip_names):
    # A sum finds every NaN and infinity, and is far cheaper than a mask of the whole matrix.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(scores.sum()):
            return
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        where = bad if clip_names is None else clip_names[bad]
        raise ValueError(
            f"y_score is NaN or infinite in {len(bad)} of {len(scores)} clips: {listed(where)}. "
            "Scores must be finite. Check these clips or leave them out."
        )


def _check_weight(sample_weight, n_clips):
    if sample_weight is None:
        return None
    weight = column_or_1d(sample_weight, dtype=np.float64)
    if len(weight) != n_clips:
        raise ValueError(
            f"sample_weight has {len(weight)} entries for {n_clips} clips. It must have one entry "
            "per clip. Select the weights of these clips."
        )
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise ValueError(
            f"sample_weight ranges from {weight.min()} to {weight.max()}. Weights must be finite, "
            "at least 0, and not all 0. Use weight 0 to leave out a clip."
        )
    return weight
