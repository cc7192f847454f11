"""Choose clips to label, and find labels that are likely to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger._utils.text import listed, short
from sktagger._utils.validation import check_lengths

__all__ = ["propose_clips", "suspicious_labels"]

_STRATEGIES = ("auto", "mixed", "uncertainty", "diversity", "disagreement")
_LEAST = 1e-6  # distance of a score from 0 and 1 where its logarithm is taken


def propose_clips(
    scores: ArrayLike | Sequence[ArrayLike],
    n_clips: int,
    *,
    embeddings: ArrayLike | None = None,
    labeled_embeddings: ArrayLike | None = None,
    strategy: Literal["auto", "mixed", "uncertainty", "diversity", "disagreement"] = "auto",
) -> np.ndarray:
    """Choose the clips whose labels would teach a tagger most.

    Parameters
    ----------
    scores : array-like of shape (n_clips, n_events), or sequence of such, in [0, 1]
        Scores of clips without labels, such as ``tagger.predict_proba(X)``. Several ones, of
        different taggers, for the strategy "disagreement"; others use their mean. Clips whose
        scores are NaN are never chosen.
    n_clips : int
        Number of clips to choose, at least 1. If there are fewer, all are chosen.
    embeddings : array-like of shape (n_clips, n_features) or None, default=None
        Embeddings of the same clips, such as ``AudioEmbedding(...).fit_transform(X)``.
    labeled_embeddings : array-like of shape (n_labeled, n_features) or None, default=None
        Embeddings of clips that already have labels. None: there are none.
    strategy : {"auto", "mixed", "uncertainty", "diversity", "disagreement"}, default="auto"
        What makes a clip worth its label. "uncertainty": the mean entropy of its scores over
        events. "diversity": the distance of its embedding from those of all clips that have labels
        or were chosen before (the k-center greedy algorithm [1]_). "mixed": the product of both.
        "disagreement": the mean standard deviation of the scores of several taggers.
        "auto": "mixed" if there are embeddings, else "uncertainty".

    Returns
    -------
    ndarray of shape (n_chosen,), int
        Positions of the clips, the most valuable one first.

    Raises
    ------
    ValueError
        If shapes do not fit, scores lie outside of [0, 1], embeddings are not finite, or `strategy`
        lacks what it needs.

    Notes
    -----
    Embeddings are standardized and scaled to length 1, so that features of large values do not
    prevail.

    References
    ----------
    .. [1] O. Sener, S. Savarese, "Active learning for convolutional neural networks: a core-set
       approach", ICLR 2018.

    Examples
    --------
    >>> from sktagger.review import propose_clips
    >>> propose_clips([[0.1, 0.9], [0.5, 0.6], [0.2, 0.7]], 2)
    array([1, 2])
    """
    several = _read_scores(scores)
    mean = several.mean(axis=0)
    points, labeled = _read_embeddings(embeddings, labeled_embeddings, len(mean))
    if strategy not in _STRATEGIES:
        raise ValueError(f"strategy={strategy!r}, but it must be one of {listed(_STRATEGIES)}.")
    if not isinstance(n_clips, Integral) or isinstance(n_clips, bool) or n_clips < 1:
        raise ValueError(f"n_clips={n_clips!r}, but it must be an integer of at least 1.")
    if strategy == "auto":
        strategy = "uncertainty" if points is None else "mixed"
    if strategy in ("mixed", "diversity") and points is None:
        raise ValueError(
            f"strategy={strategy!r} needs embeddings. Pass those of an AudioEmbedding, or "
            "strategy='uncertainty'."
        )
    if strategy == "disagreement" and len(several) < 2:
        raise ValueError(
            "strategy='disagreement' needs the scores of at least 2 taggers, but scores has those "
            "of 1. Pass a list of arrays."
        )
    known = ~np.isnan(mean).any(axis=1)
    n_chosen = min(int(n_clips), int(known.sum()))
    worth = np.ones(len(mean))
    if strategy in ("mixed", "uncertainty"):
        worth = _entropy(mean).mean(axis=1)
    elif strategy == "disagreement":
        worth = several.std(axis=0).mean(axis=1)
    worth[~known] = -1.0
    if points is None or strategy in ("uncertainty", "disagreement"):
        return np.argsort(-worth, kind="stable")[:n_chosen]
    return _spread(points, labeled, worth, n_chosen)


def _read_scores(scores):
    """Return scores of shape (n_taggers, n_clips, n_events)."""
    arrays = np.asarray(scores, dtype=float)
    if arrays.ndim == 2:
        arrays = arrays[np.newaxis]
    if arrays.ndim != 3 or not arrays.size:
        raise ValueError(
            f"scores has shape {arrays.shape}, but it must be (n_clips, n_events), or a sequence "
            "of arrays of this shape, with at least 1 clip."
        )
    if (arrays < 0).any() or (arrays > 1).any():
        raise ValueError(
            f"scores has values from {np.nanmin(arrays):g} to {np.nanmax(arrays):g}, but they must "
            "lie in [0, 1]. Pass predict_proba of a tagger."
        )
    return arrays


def _read_embeddings(embeddings, labeled, n_clips):
    if embeddings is None:
        if labeled is not None:
            raise ValueError("labeled_embeddings is given, but no embeddings. Give both.")
        return None, None
    points = np.asarray(embeddings, dtype=float)
    labeled = points[:0] if labeled is None else np.asarray(labeled, dtype=float)
    for name, array in {"embeddings": points, "labeled_embeddings": labeled}.items():
        if array.ndim != 2 or array.shape[1] != points.shape[-1]:
            raise ValueError(
                f"{name} has shape {array.shape}, but it must be 2-D, with as many features as "
                f"embeddings, which has shape {points.shape}."
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} has NaN or infinite values in row {np.argwhere(~np.isfinite(array))[0, 0]}"
                ". Leave such clips out."
            )
    check_lengths(points, range(n_clips), ("embeddings", "scores"))
    spread = points.std(axis=0)
    spread[spread == 0] = 1.0
    return tuple(_unit((array - points.mean(axis=0)) / spread) for array in (points, labeled))


def _unit(points):
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths == 0, 1.0, lengths)


def _entropy(scores):
    p = np.clip(scores, _LEAST, 1 - _LEAST)
    return -(p * np.log(p) + (1 - p) * np.log(1 - p))


def _spread(points, labeled, worth, n_chosen):
    """Choose points by worth times squared distance from all points chosen before."""
    distance = np.full(len(points), np.inf)
    for point in labeled:
        distance = np.minimum(distance, _squared(points, point))
    distance[np.isinf(distance)] = 1.0  # the first one is chosen by its worth
    chosen: list[int] = []
    is_left = worth >= 0
    for _ in range(n_chosen):
        # copies of a chosen clip come last, in the order of their worth
        value = np.where(is_left, worth * distance + 1e-12 * worth, -1.0)
        chosen.append(int(value.argmax()))
        is_left[chosen[-1]] = False
        from_this = _squared(points, points[chosen[-1]])
        begins = len(chosen) == 1 and not len(labeled)
        distance = from_this if begins else np.minimum(distance, from_this)
    return np.array(chosen, dtype=int)


def _squared(points, point):
    return np.maximum(2 - 2 * (points @ point), 0.0)  # they have length 1


def suspicious_labels(Y: Any, scores: ArrayLike, *, n_labels: int | None = None) -> pd.DataFrame:
    """Find labels that contradict the scores of a tagger, most suspicious first.

    Parameters
    ----------
    Y : DataFrame of shape (n_clips, n_events), or array-like of this shape
        0/1 indicator of the events of each clip. The index names the clips, the columns the events.
    scores : array-like of shape (n_clips, n_events), in [0, 1]
        Scores of a tagger that was not trained on these clips: out-of-fold scores, as
        ``AudioTagger(cross_fit=5).fit_transform(X, Y)`` or scikit-learn's ``cross_val_predict``
        computes them. A tagger that has seen the labels agrees with them, wrong ones included.
        Clips whose scores are NaN are left out.
    n_labels : int or None, default=None
        Number of labels to return. None: all.

    Returns
    -------
    DataFrame with columns clip, event, label, score, suspicion
        One row per clip and event. `clip` is from the index of `Y`, `label` is 1 or 0, and
        `suspicion` is the distance in log-odds of the score from the middle between the mean
        scores of clips with and without the event, on the side that contradicts the label: positive
        ones contradict it. Events that all clips have, or none, are left out.

    Raises
    ------
    ValueError
        If shapes do not fit, labels are not 0 or 1, or scores lie outside of [0, 1].

    Examples
    --------
    >>> import pandas as pd
    >>> from sktagger.review import suspicious_labels
    >>> Y = pd.DataFrame({"Dog": [1, 1, 0, 0]}, index=["a", "b", "c", "d"])
    >>> suspicious_labels(Y, [[0.9], [0.1], [0.2], [0.1]], n_labels=1)
      clip event  label  score  suspicion
    0    b   Dog      1    0.1   1.30...
    """
    table = Y if isinstance(Y, pd.DataFrame) else pd.DataFrame(Y)
    labels = table.to_numpy(dtype=float)
    (values,) = _read_scores(scores)
    if values.shape != labels.shape:
        raise ValueError(
            f"scores has shape {values.shape}, but Y has {labels.shape}. Both must have one row "
            "per clip and one column per event."
        )
    if not np.isin(labels, (0, 1)).all():
        wrong = labels[~np.isin(labels, (0, 1))][0]
        raise ValueError(f"Y has the value {short(wrong)}, but labels must be 0 or 1.")
    kept = ~np.isnan(values).any(axis=1)
    present = labels[kept] > 0
    p = np.clip(values[kept], _LEAST, 1 - _LEAST)
    logits = np.log(p) - np.log(1 - p)
    columns = np.flatnonzero(present.any(axis=0) & ~present.all(axis=0))
    parts = []
    for column in columns:
        has, x = present[:, column], logits[:, column]
        middle = (x[has].mean() + x[~has].mean()) / 2
        part = {
            "clip": table.index[kept],
            "event": [table.columns[column]] * len(x),
            "label": has.astype(int),
            "score": values[kept, column],
            "suspicion": np.where(has, middle - x, x - middle),
        }
        parts.append(pd.DataFrame(part))
    if not parts:
        return pd.DataFrame(columns=["clip", "event", "label", "score", "suspicion"])
    found = pd.concat(parts).sort_values("suspicion", ascending=False, kind="stable")
    return found.reset_index(drop=True).head(len(found) if n_labels is None else n_labels)
