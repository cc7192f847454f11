"""Metrics of audio tagging on arrays, and their scorers.

Every metric takes labels and scores (or binary predictions), with clips in rows and events in
columns. It returns one number, or with ``average=None`` one number per event: a Series by event
name if the input is a DataFrame. Where scikit-learn has the metric, the values are equal, ties
included.

Events without positives or without negatives
---------------------------------------------
All metrics follow one policy. A rare event often occurs in none of the clips. Its average
precision, recall and F-score are then undefined. An undefined value

* is NaN for the event (``average=None``, `event_report`, `RankedScores`),
* is left out of the mean over events, which is NaN only if no event has a value,
* is counted in a single `sklearn.exceptions.UndefinedMetricWarning`. There is no warning where the
  event cannot change the mean: if means are weighted by support, or if events are pooled.

For events without positives, all metrics except counts are undefined, even if there are false
positives. For events without negatives, only ROC AUC and d' are undefined. The best threshold of an
event without positives is +inf, so the event is never predicted. An event that has positives but is
never predicted has a precision and an F-score of 0. `event_support` returns the number of positives
of each event. ``average="micro"`` pools all events first, so the negatives of rare events count.

NaN or infinite scores raise an error that names the clips.

Events in time
--------------
`segment_f1` and `event_f1` take tables of events with onsets and offsets.
"""

from sktagger.metrics._binary import (
    ClipErrors,
    clip_errors,
    error_rate,
    event_support,
    mean_f1,
    mean_precision,
    mean_recall,
)
from sktagger.metrics._events_in_time import event_f1, segment_f1
from sktagger.metrics._lwlrap import lwlrap
from sktagger.metrics._ranked_scores import BestThresholds, RankedScores
from sktagger.metrics._ranking_metrics import best_f1, d_prime, mean_average_precision, mean_roc_auc
from sktagger.metrics._report import event_report
from sktagger.metrics._scorers import (
    lwlrap_scorer,
    map_scorer,
    mauc_scorer,
    mf1_scorer,
    scorers,
)

__all__ = [
    "BestThresholds",
    "ClipErrors",
    "RankedScores",
    "best_f1",
    "clip_errors",
    "d_prime",
    "error_rate",
    "event_f1",
    "event_report",
    "event_support",
    "lwlrap",
    "lwlrap_scorer",
    "map_scorer",
    "mauc_scorer",
    "mean_average_precision",
    "mean_f1",
    "mean_precision",
    "mean_recall",
    "mean_roc_auc",
    "mf1_scorer",
    "scorers",
    "segment_f1",
]
