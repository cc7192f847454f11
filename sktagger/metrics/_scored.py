"""Clips without scores, whose audio could not be read."""

import numpy as np

__all__ = ["check_scored", "scored"]


def scored(scores) -> np.ndarray:
    """Find the clips that have scores, which are those whose row is not all NaN.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float

    Returns
    -------
    ndarray of shape (n_clips,), bool
    """
    return ~np.isnan(scores).all(axis=1)


def check_scored(scores) -> None:
    """Raise ValueError if a clip has no scores, so that its label cannot be predicted."""
    missing = np.flatnonzero(~scored(scores))
    if len(missing):
        raise ValueError(
            f"Clip {missing[0]} has no scores ({len(missing)} such clips in total), so its label "
            "cannot be predicted. Leave out the clips for which predict_proba returns NaN."
        )
