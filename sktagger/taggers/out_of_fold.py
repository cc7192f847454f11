"""Scores of clips by estimators that were not trained on them."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import UndefinedMetricWarning

from sktagger._utils.text import listed, quoted
from sktagger._utils.validation import safe_indexing
from sktagger.targets import Targets
from sktagger.targets.responses import event_scores


def out_of_fold_scores(estimator, X, targets: Targets, splits, *, fitted=None, **fit_params):
    """Fit clones on the training part of splits, and score the other part.

    Parameters
    ----------
    estimator : estimator
        With `predict_proba`; not fitted itself.
    X : array-like of clips
    targets : Targets
        Events of the clips.
    splits : iterable of (ndarray of int, ndarray of int)
        Clips to train on and to score.
    fitted : list or None, default=None
        Gets the fitted clones.
    **fit_params : dict
        Arguments of `fit`; `sample_weight` and `groups`, also those of a step of a pipeline
        (``step__groups``), are split like `X`.

    Returns
    -------
    rows : ndarray of shape (n_scored,), int
        The clips that were scored.
    scores : ndarray of shape (n_scored, n_events), float
        0 for labels that a training part lacked.

    Raises
    ------
    ValueError
        If a training part has one label only.

    Warns
    -----
    UndefinedMetricWarning
        If a training part lacks labels that its other part has; names them.
    """
    # under their names, events keep their columns also where a fold has no clip with some
    Y, splits = targets.to_y(), list(splits)
    if not targets.multilabel:
        _check_labels_of_parts(targets, splits)
    of_clips = {
        name: values
        for name, values in fit_params.items()
        if values is not None and name.rpartition("__")[2] in ("sample_weight", "groups")
    }
    rows, scores = [], []
    for train, test in splits:
        for name, values in of_clips.items():
            fit_params[name] = safe_indexing(values, train)
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


def _check_labels_of_parts(targets, splits):
    """Look for labels that training parts lack."""
    lacking = np.zeros(len(targets.classes), dtype=bool)
    for train, test in splits:
        trained, tested = (targets.indicator[part].any(axis=0) for part in (train, test))
        if trained.sum() == 1 and len(targets.classes) > 1:
            raise ValueError(
                f"y has too few clips of the label {quoted(targets.classes[tested & ~trained])}: a "
                f"training part of the folds has {quoted(targets.classes[trained])} only. Give "
                "each label two clips or more (or groups, if clips are grouped), or take fewer "
                "folds."
            )
        lacking |= tested & ~trained
    if lacking.any():
        warnings.warn(
            f"{lacking.sum()} of {len(lacking)} labels occur in no clip of the training part of "
            f"a fold, and score 0 in its other clips: {listed(targets.classes[lacking])}. Give "
            "each label two clips or more (or groups, if clips are grouped).",
            UndefinedMetricWarning,
            stacklevel=4,
        )
