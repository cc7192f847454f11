"""Out-of-fold scores: scores of clips by estimators that were not trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import UndefinedMetricWarning

from sktagger._utils.text import listed, quoted
from sktagger._utils.validation import safe_indexing
from sktagger._utils.warnings import warn
from sktagger.targets import Targets, take_event_rows
from sktagger.targets.responses import event_scores

__all__ = ["out_of_fold_scores"]


def out_of_fold_scores(
    estimator: BaseEstimator,
    X: Any,
    targets: Targets,
    splits: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    fitted: list | None = None,
    **fit_params: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a clone on the training part of each split, and score the test part.

    Parameters
    ----------
    estimator : estimator
        Has `predict_proba`. It is cloned, not fitted.
    X : array-like of clips
        Clips of all splits.
    targets : Targets
        Events of the clips.
    splits : iterable of (ndarray of int, ndarray of int)
        Positions of the training and the test clips.
    fitted : list or None, default=None
        The fitted clones are appended to it.
    **fit_params : dict
        Arguments of `fit`. `sample_weight`, `groups` and `events` are split like `X`, also if they
        belong to a step of a pipeline (``step__groups``).

    Returns
    -------
    rows : ndarray of shape (n_scored,), int
        Positions of the scored clips.
    scores : ndarray of shape (n_scored, n_events), float
        Their scores; 0 for labels that are missing from the training part.

    Raises
    ------
    ValueError
        If a training part has only one label.

    Warns
    -----
    UndefinedMetricWarning
        If labels of a test part are missing from its training part. The message names them.
    """
    # with names, each event keeps its column, even if a fold has no clip of it
    Y, splits = targets.to_y(), list(splits)
    if not targets.multilabel:
        _check_training_labels(targets, splits)
    n_clips = len(targets.indicator)
    split_by: dict[str, Callable[..., Any]] = {
        "sample_weight": safe_indexing,
        "groups": safe_indexing,
        "events": partial(take_event_rows, X=X, n_clips=n_clips),
    }
    clip_params = {
        name: (split_by[name.rpartition("__")[2]], values)
        for name, values in fit_params.items()
        if values is not None and name.rpartition("__")[2] in split_by
    }
    rows, scores = [], []
    for train, test in splits:
        for name, (split, values) in clip_params.items():
            fit_params[name] = split(values, indices=train)
        fold = clone(estimator).fit(safe_indexing(X, train), safe_indexing(Y, train), **fit_params)
        proba = event_scores(fold, safe_indexing(X, test), len(targets.classes))
        if not targets.multilabel:
            known = np.isin(targets.classes, fold.classes_)
            aligned = np.zeros((len(test), len(known)), dtype=proba.dtype)
            aligned[:, known] = proba
            proba = aligned
        if fitted is not None:
            fitted.append(fold)
        rows.append(test)
        scores.append(proba)
    return np.concatenate(rows), np.concatenate(scores)


def _check_training_labels(targets, splits):
    """Check that the training parts have the labels of the test parts."""
    missing = np.zeros(len(targets.classes), dtype=bool)
    for train, test in splits:
        trained, tested = (targets.indicator[part].any(axis=0) for part in (train, test))
        if trained.sum() == 1 and len(targets.classes) > 1:
            raise ValueError(
                f"y has too few clips of the label {quoted(targets.classes[tested & ~trained])}: a "
                f"training part of the folds has {quoted(targets.classes[trained])} only. Give "
                "each label at least two clips (or groups, if clips are grouped), or use fewer "
                "folds."
            )
        missing |= tested & ~trained
    if missing.any():
        warn(
            f"{missing.sum()} of {len(missing)} labels are missing from the training part of a "
            f"fold, and score 0 in its test part: {listed(targets.classes[missing])}. Give each "
            "label at least two clips (or groups, if clips are grouped).",
            UndefinedMetricWarning,
        )
