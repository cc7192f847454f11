"""Checks of what users pass in; the only file that imports scikit-learn's private helpers."""

import os
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_array, column_or_1d, validate_data

from sktagger._text import nearest
from sktagger.audio import Section
from sktagger.clips import ArrayClips, FileClips

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "Targets",
    "align_events",
    "check_clips",
    "check_lengths",
    "check_params",
    "check_targets",
    "check_weights",
    "safe_indexing",
]


def check_params(estimator) -> None:
    """Check an estimator's parameters against its ``_parameter_constraints``."""
    validate_parameter_constraints(
        estimator._parameter_constraints,
        estimator.get_params(deep=False),
        caller_name=type(estimator).__name__,
    )


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


def check_clips(estimator, X, *, reset: bool):
    """Turn any container of clips into one of two.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets, or is asked for, ``n_features_in_`` if `X` is a 2-D array of waveforms.
    X : array-like
        See :class:`sktagger.WALNetTagger`.
    reset : bool
        True in fit.

    Returns
    -------
    FileClips or ArrayClips

    Raises
    ------
    TypeError, ValueError
        If `X` is no container of clips. The message names the first clip that is wrong.
    """
    if isinstance(X, str | os.PathLike):
        raise ValueError(
            f"X is the single path {os.fspath(X)!r}, but it must be an array-like of clips. "
            f"Give a list: [{os.fspath(X)!r}]."
        )
    if sparse.issparse(X):
        raise TypeError(
            "X is a sparse matrix, but waveforms must be a dense array: X.toarray() makes one."
        )
    if isinstance(X, pd.DataFrame) and X.shape[1] == 1 and X.dtypes.iloc[0].kind not in "fiub":
        X = X.iloc[:, 0]
    clips = X if _is_matrix(X) else list(X)
    if _is_matrix(clips):
        # integers of sound cards are scaled by their range, others taken as they are
        keep = getattr(X, "dtype", None) in (np.int16, np.int32)
        dtype = None if keep else [np.float32, np.float64]
        return ArrayClips(validate_data(estimator, X, reset=reset, dtype=dtype))
    if not clips:
        raise ValueError("X is empty, but at least 1 clip is needed.")
    kinds = {_kind(clip, index) for index, clip in enumerate(clips)}
    if len(kinds) > 1:
        raise ValueError(
            "X mixes files and waveforms in memory. Give either, not both: read the files, or "
            "write the waveforms to files."
        )
    if kinds == {"file"}:
        return FileClips([_section(clip, index) for index, clip in enumerate(clips)])
    return ArrayClips([_waveform(clip, index) for index, clip in enumerate(clips)])


def _is_matrix(X):
    """Whether X is one array of numbers, for scikit-learn's checks, and not a list of clips."""
    if isinstance(X, list):
        return bool(X) and (
            (np.isscalar(X[0]) and not isinstance(X[0], str))
            or (isinstance(X[0], list) and not (X[0] and isinstance(X[0][0], str | os.PathLike)))
        )
    if isinstance(X, pd.Series) or not hasattr(X, "shape"):
        return not hasattr(X, "__iter__")
    return isinstance(X, pd.DataFrame) or X.ndim != 1 or X.dtype.kind not in "OUST"


def _kind(clip, index):
    if isinstance(clip, str | os.PathLike):
        return "file"
    if isinstance(clip, tuple | list) and clip and isinstance(clip[0], str | os.PathLike):
        return "file"
    if hasattr(clip, "__array__") and getattr(clip, "ndim", 0) > 0:
        return "waveform"
    raise TypeError(
        f"X: clip {index} is {_short(clip)} of type {type(clip).__name__}, but a clip must be a "
        "path, a section (path, start, stop), or an array of samples."
    )


def _section(clip, index):
    if isinstance(clip, str | os.PathLike):
        return Section(os.fspath(clip))
    path, *bounds = clip
    valid = len(bounds) == 2 and all(
        b is None or (isinstance(b, int | np.integer) and not isinstance(b, bool)) for b in bounds
    )
    if not valid:
        raise ValueError(
            f"X: clip {index} is {_short(clip)}, but a section must be (path, start, stop) with "
            "start and stop integers (samples at the file's own rate) or None."
        )
    return Section(os.fspath(path), *(None if b is None else int(b) for b in bounds))


def _waveform(clip, index):
    waveform = np.asarray(clip)
    if waveform.dtype.kind not in "fi" or waveform.ndim > 2 or waveform.size == 0:
        raise ValueError(
            f"X: clip {index} is an array of shape {waveform.shape} and type {waveform.dtype}, but "
            "a waveform must be (n_samples,) or (n_channels, n_samples), not empty, of floats or "
            "signed integers."
        )
    return waveform


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_targets(Y) -> Targets:
    """Turn any form of targets into an indicator matrix and event names.

    Parameters
    ----------
    Y : array-like
        Indicator matrix (dense, sparse, DataFrame), list of event lists, or 1-D labels.

    Returns
    -------
    Targets

    Raises
    ------
    ValueError
        If `Y` is none of these.
    """
    if Y is None:
        raise ValueError(
            "requires y to be passed, but the target y is None. Give the events of each clip: an "
            "indicator matrix, a list of event lists, or 1-D labels."
        )
    if isinstance(Y, pd.DataFrame):
        names = Y.columns.to_numpy()
        if not Y.columns.is_unique:
            twice = Y.columns[Y.columns.duplicated()].unique().tolist()
            raise ValueError(f"Y has more than one column for {twice}. Give each event one column.")
        return _check_indicator(Y.to_numpy(), names)
    if sparse.issparse(Y):
        return _check_indicator(Y.toarray(), np.arange(Y.shape[1]))
    if _is_event_lists(Y):
        classes = sorted({event for events in Y for event in events})
        if not classes:
            raise ValueError("Y lists no events for any clip. At least 1 event is needed.")
        return _binarize_lists(Y, np.array(classes))
    Y = check_array(Y, ensure_2d=False, dtype=None, input_name="Y", ensure_all_finite=True)
    # a single column is an indicator if it can be one, else scikit-learn's way to pass labels
    if Y.ndim == 2 and (Y.shape[1] > 1 or np.isin(Y, [0, 1]).all()):
        return _check_indicator(Y, np.arange(Y.shape[1]))
    labels = column_or_1d(Y, warn=True)
    check_classification_targets(labels)
    classes, codes = np.unique(labels, return_inverse=True)
    return Targets(np.eye(len(classes), dtype=np.float32)[codes], classes, multilabel=False)


def _is_event_lists(Y):
    if not isinstance(Y, list | tuple | np.ndarray | pd.Series) or np.ndim(Y[:0]) > 1:
        return False
    lists = len(Y) > 0 and all(isinstance(row, list | tuple | set | frozenset) for row in Y)
    return lists and all(isinstance(event, str) for row in Y for event in row)


def _binarize_lists(Y, classes):
    column = {event: k for k, event in enumerate(classes)}
    indicator = np.zeros((len(Y), len(classes)), dtype=np.float32)
    for row, events in enumerate(Y):
        for event in events:
            if event not in column:
                raise ValueError(
                    f"Y: clip {row} has the event {event!r}, which is not among the "
                    f"{len(classes)} events of training{nearest(event, classes)}."
                )
            indicator[row, column[event]] = 1
    return Targets(indicator, classes, multilabel=True)


def _check_indicator(Y, names):
    try:
        indicator = np.asarray(Y, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Y: an indicator matrix must hold 0 and 1 only ({error}).") from error
    wrong = ~((indicator == 0) | (indicator == 1))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"Y: clip {row} has {np.asarray(Y)[row, column]!r} for the event {names[column]!r}, "
            "but an indicator matrix must hold 0 and 1 only. Threshold soft labels first."
        )
    return Targets(indicator, names, multilabel=True)


def align_events(Y, classes, multilabel: bool) -> np.ndarray:
    """Bring the targets of other clips into the columns of training.

    Parameters
    ----------
    Y : array-like
        As for :func:`check_targets`.
    classes : ndarray of shape (n_events,)
        Events of training.
    multilabel : bool
        Whether training had more than 1-D labels.

    Returns
    -------
    indicator : ndarray of shape (n_clips, n_events), float32

    Raises
    ------
    ValueError
        If `Y` has events that training had not, or lacks columns.
    """
    if multilabel and _is_event_lists(Y):
        return _binarize_lists(Y, classes).indicator
    targets = check_targets(Y)
    named = isinstance(Y, pd.DataFrame) or not targets.multilabel
    if targets.multilabel != multilabel:
        raise ValueError(
            "Y_val and Y must be of one form: both indicator matrices or event lists, or both 1-D "
            "labels."
        )
    if not named:
        if len(targets.classes) != len(classes):
            raise ValueError(
                f"Y has {len(targets.classes)} columns, but there are {len(classes)} events."
            )
        return targets.indicator
    column = {event: k for k, event in enumerate(targets.classes)}
    for event in targets.classes:
        if event not in set(classes):
            raise ValueError(
                f"Y has the event {event!r}, which is not among the {len(classes)} events of "
                f"training{nearest(event, classes)}."
            )
    if multilabel and len(column) < len(classes):
        missing = [event for event in classes if event not in column]
        raise ValueError(f"Y lacks the columns of the events {missing[:5]}.")
    indicator = np.zeros((len(targets.indicator), len(classes)), dtype=np.float32)
    for k, event in enumerate(classes):
        if event in column:
            indicator[:, k] = targets.indicator[:, column[event]]
    return indicator


def check_lengths(X, Y, names=("X", "Y")) -> None:
    """Raise ValueError unless there are as many clips as rows of targets."""
    n_clips, n_rows = _num_samples(X), _num_samples(Y)
    if n_clips != n_rows:
        raise ValueError(
            f"{names[0]} has {n_clips} clips, but {names[1]} has {n_rows} rows: inconsistent "
            "numbers of samples. Give each clip one row."
        )


def check_weights(sample_weight, n_clips: int) -> np.ndarray:
    """Check the weights of clips.

    Parameters
    ----------
    sample_weight : array-like of shape (n_clips,) or None
        Not negative, and not all zero.
    n_clips : int

    Returns
    -------
    ndarray of shape (n_clips,), float64
        As they are. None: ones.
    """
    if sample_weight is None:
        return np.ones(n_clips)
    weights = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != (n_clips,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but there are {n_clips} clips: it must have "
            f"shape ({n_clips},)."
        )
    if (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight must not be negative, and not be zero for all clips.")
    return weights
