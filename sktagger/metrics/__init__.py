"""Metrics of audio tagging on arrays, and their scorers.

Every metric takes labels and scores (or decisions), clips in rows and events in columns, and gives
one number, or with ``average=None`` one for each event: a Series by event name if the input is a
DataFrame. Where scikit-learn has the metric, values are equal, ties included.

Events without positives or without negatives
---------------------------------------------
There is one policy, and everything here follows it. In rare events it is common that no clip has
the event, and then it has no average precision, no recall, no F-score. Such a value is

* NaN for the event (``average=None``, `event_report`, `RankedScores`),
* left out of the mean over events, which is NaN only if no event has a value,
* counted in one `sklearn.exceptions.UndefinedMetricWarning`, which names how many there are. Means
  that a missing event cannot change, weighted by support or pooled, do not warn of it.

Undefined are, for events without positives: all metrics but counts, false positives or not. For
events without negatives: ROC AUC and d', nothing else. The best threshold of an event without
positives is +inf: it is never decided. `event_support` tells the number of positives of each event.
Precision of an event that has positives but is never decided is 0, as is its F-score.
With ``average="micro"`` all events are pooled before anything is computed, so that a rare event
takes part through its negatives.

NaN or infinite scores are an error that names the clips.
"""

from sktagger.metrics._decisions import (
    ClipErrors,
    clip_errors,
    error_rate,
    event_support,
    mean_f1,
    mean_precision,
    mean_recall,
)
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
]
