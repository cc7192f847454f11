"""Checks of what users pass in; the only file that imports scikit-learn's private helpers."""

import numpy as np

# There is no public way for several scorers to share one call of predict_proba. cross_validate
# passes its cache of predictions to instances of this class only.
from sklearn.metrics._scorer import _BaseScorer as BaseScorer
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _num_samples, check_array

__all__ = [
    "BaseScorer",
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "check_lengths",
    "check_params",
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
