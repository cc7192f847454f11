"""Which clips have scores: those that can be read."""

import numpy as np


def scored(scores) -> np.ndarray:
    """Say which clips have scores: those whose row is not all NaN.

    Parameters
    ----------
    scores : ndarray of shape (n_clips, n_events), float

    Returns
    -------
    ndarray of shape (n_clips,), bool
    """
    return ~np.isnan(scores).all(axis=1)


def check_scored(scores) -> None:
    """Raise ValueError if a clip has no scores, where each is to get a label."""
    missing = np.flatnonzero(~scored(scores))
    if len(missing):
        raise ValueError(
            f"Clip {missing[0]} has no scores ({len(missing)} such clips in all), so that no label "
            "can be given. Leave out the clips whose rows of predict_proba are NaN."
        )
