"""Scores of clips by estimators that were not trained on them."""

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktagger._validation import Targets, safe_indexing


def out_of_fold_scores(estimator, X, y, targets: Targets, splits, *, fitted=None, **fit_params):
    """Fit clones on the training part of splits, and score the other part.

    Parameters
    ----------
    estimator : estimator
        With `predict_proba`; not fitted itself.
    X : array-like of clips
    y : array-like
        Events of the clips in any form.
    targets : Targets
        `y`, checked.
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
    """
    # under their names, events keep their columns also where a fold has no clip with some
    Y = pd.DataFrame(targets.indicator, columns=targets.classes) if targets.multilabel else y
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
        proba = fold.predict_proba(safe_indexing(X, test))
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
