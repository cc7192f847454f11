"""Label-weighted label-ranking average precision, which ranks the events within each clip."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger.metrics._averaging import average_events
from sktagger.metrics._counts import ratio
from sktagger.metrics._input import check_average, check_scores
from sktagger.metrics._ranking import map_blocks, rank_positives, split_rows

__all__ = ["lwlrap", "lwlrap_by_event", "precision_at_positives"]


def lwlrap(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    average: str | None = "weighted",
    sample_weight: ArrayLike | None = None,
) -> float | np.ndarray | pd.Series:
    """Compute the label-weighted label-ranking average precision (lwlrap).

    Each event of a clip has a precision: the share of the clip's events among all events that score
    at least as high in this clip. lwlrap is the mean of this precision over all pairs of a clip and
    one of its events [1]_. It equals scikit-learn's label ranking average precision if each clip is
    weighted by the number of its events. Unlike mAP and AUC, it compares scores of different
    events.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n_clips, n_events)
        0/1 (or bool) indicator of the events of each clip. Clips without events are ignored.
    y_score : {array-like, DataFrame} of the same shape
        Finite scores, comparable between events. Tied scores all get the lowest rank of the tie.
    average : {"weighted", "micro", "macro"} or None, default="weighted"
        "weighted": mean over all pairs of a clip and one of its events, which is the mean over
        events weighted by `event_support`; "micro": the same; "macro": unweighted mean over events;
        None: for each event, the mean over the clips that have it.
    sample_weight : array-like of shape (n_clips,), default=None
        Weights of the clips, at least 0.

    Returns
    -------
    lwlrap : float, or ndarray or Series of shape (n_events,)
        In (0, 1]. With ``average=None`` a Series by event name if the input is a DataFrame, else
        an array. Events without positives are NaN and left out of means.

    Raises
    ------
    ValueError
        If shapes or event names differ, labels are not 0/1, or scores are NaN or infinite. The
        message names the clips.
    TypeError
        If scores are sparse or not numeric.

    Warns
    -----
    UndefinedMetricWarning
        With "macro" and None, if some events have no positives; the message gives their number.
        With "weighted" and "micro", only if no event has positives.

    See Also
    --------
    event_support : The weights of the events.
    sklearn.metrics.label_ranking_average_precision_score : All clips have the same weight.

    References
    ----------
    .. [1] E. Fonseca et al., "Audio tagging with noisy labels and minimal supervision",
       DCASE 2019, arXiv:1906.02975.

    Examples
    --------
    >>> from sktagger.metrics import lwlrap
    >>> y_true = [[1, 0, 0], [1, 0, 1]]
    >>> y_score = [[0.3, 0.7, 0.1], [0.9, 0.2, 0.4]]
    >>> lwlrap(y_true, y_score)
    0.833...
    """
    check_average(average)
    clip_scores = check_scores(y_true, y_score, sample_weight)
    return average_events(
        lwlrap_by_event(clip_scores),
        clip_scores.support,
        "weighted" if average == "micro" else average,
        metric="lwlrap",
        names=clip_scores.names,
    )


def lwlrap_by_event(clip_scores):
    """Compute the mean precision at the positives of each event; NaN without positives.

    Parameters
    ----------
    clip_scores : ClipScores

    Returns
    -------
    lwlrap : ndarray of shape (n_events,), float64
    """
    clip, event, precision = precision_at_positives(clip_scores)
    if clip_scores.weight is not None:
        precision = precision * clip_scores.weight[clip]
    support = clip_scores.support
    total = np.bincount(event, weights=precision, minlength=len(support))
    return ratio(total, support)


def precision_at_positives(clip_scores):
    """Compute, for each positive, the precision among the events that score at least as high.

    Parameters
    ----------
    clip_scores : ClipScores

    Returns
    -------
    clip, event : ndarray of shape (n_positives,), int
        Rows and columns of the positives, sorted by clip.
    precision : ndarray of shape (n_positives,), float64
        In (0, 1].
    """
    scores = clip_scores.scores
    n_clips, n_events = scores.shape
    event, start = clip_scores.events_by_clip()
    n_positives = np.diff(start)

    def rank_block(clips):
        count = n_positives[clips]
        has_event = count > 0
        groups = rank_positives(
            scores[clips][has_event],
            np.repeat(np.arange(np.count_nonzero(has_event)), count[has_event]),
            event[start[clips.start] : start[clips.stop]],
        )
        return groups.precision[groups.group_of]

    blocks = split_rows(n_clips, row_bytes=n_events * scores.itemsize)
    precision = np.concatenate(map_blocks(rank_block, blocks, scores.size))
    return np.repeat(np.arange(n_clips), n_positives), event, precision
