"""Numbers of the report page: table of events, curves, confusions, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_random_state

from sktagger._utils.text import printable
from sktagger.metrics import lwlrap
from sktagger.metrics._bootstrap import draw_weights
from sktagger.metrics._input import check_scores
from sktagger.metrics._lwlrap import precision_at_positives

N_POINTS = 64  # of a curve
N_BINS = 20  # of a histogram
N_RELIABILITY_BINS = 10
N_CONFUSIONS = 50

# Columns of the table of events: key, label, kind, explanation
COLUMNS = (
    ("name", "Event", "name", "Name of the event"),
    ("support", "Clips", "count", "Number of clips with the event"),
    ("AP", "AP", "rate", "Average precision, in %"),
    ("AUC", "AUC", "rate", "Area under the ROC curve, in %"),
    ("d", "d′", "d", "Separation of clips with and without the event (d prime)"),
    ("lwlrap", "lwlrap", "rate", "Label-weighted label-ranking average precision, in %"),
    ("F1", "F1", "rate", "F1 at the threshold, in %"),
    ("P", "P", "rate", "Precision at the threshold, in %"),
    ("R", "R", "rate", "Recall at the threshold, in %"),
    ("threshold", "Threshold", "threshold", "The event is found in clips with a higher score"),
    ("FP", "FP", "count", "False positives: found, but not labeled"),
    ("FN", "FN", "count", "False negatives: labeled, but not found"),
)
_IN_REPORT = {"P": "precision", "R": "recall", "d": "d_prime"}
_WITH_INTERVALS = ("AP", "F1")


def round_number(x: float, digits: int = 4) -> float | str | None:
    """Round a number for JSON: None for NaN, "inf" or "-inf" for infinities.

    Parameters
    ----------
    x : float
    digits : int, default=4
        Decimal places.

    Returns
    -------
    float, str or None
    """
    if np.isnan(x):
        return None
    return round(float(x), digits) if np.isfinite(x) else repr(float(x))


def _rounded(values, digits=4):
    return [round_number(x, digits) for x in np.asarray(values, float).tolist()]


def table_of_events(report: pd.DataFrame) -> list[dict[str, Any]]:
    """Make the rows of the table of events.

    Parameters
    ----------
    report : DataFrame of shape (n_events + 1, n_columns)
        Result of :func:`sktagger.metrics.event_report`.

    Returns
    -------
    list of dict
        By the keys of `COLUMNS`; "AP_i" and "F1_i" are intervals, if the report has any.
    """
    rows = []
    for name, values in zip(report.index[:-1], report.iloc[:-1].to_dict("records"), strict=True):
        row: dict[str, Any] = {"name": printable(name)}
        for key, _, kind, _ in COLUMNS[1:]:
            value = values[_IN_REPORT.get(key, key)]
            row[key] = int(value) if kind == "count" else round_number(value)
        for key in _WITH_INTERVALS:
            limits = [values.get(f"{key}_{end}", np.nan) for end in ("low", "high")]
            if not np.isnan(limits).any():
                row[f"{key}_i"] = _rounded(limits)
        rows.append(row)
    return rows


def overall_row(
    name: str, report: pd.DataFrame, Y: pd.DataFrame, scores: np.ndarray, limits: Any
) -> dict[str, Any]:
    """Make a row of the table of results, in %.

    Parameters
    ----------
    name : str
        Name of the clips.
    report : DataFrame
        Result of :func:`sktagger.metrics.event_report`.
    Y : DataFrame of shape (n_clips, n_events)
    scores : ndarray of shape (n_clips, n_events)
    limits : tuple of float or None
        Interval of lwlrap.

    Returns
    -------
    dict
        `name`, and `cells` with texts: `value` and `interval`, which is empty if there is none.
    """
    macro = report.iloc[-1]
    cells = []
    for key in ("AP", "AUC", "d", "lwlrap", "F1", "P", "R"):
        column, factor, digits = _IN_REPORT.get(key, key), 100, 1
        value = float(macro[column]) if key != "lwlrap" else float(lwlrap(Y, scores))
        interval = [macro.get(f"{column}_low", np.nan), macro.get(f"{column}_high", np.nan)]
        if key == "lwlrap":
            interval = [np.nan, np.nan] if limits is None else limits
        if key == "d":
            factor, digits = 1, 2
        texts = ["–" if np.isnan(x) else f"{factor * x:.{digits}f}" for x in (value, *interval)]
        undefined = np.isnan(interval).any()
        cells.append(
            {"value": texts[0], "interval": "" if undefined else f"{texts[1]} to {texts[2]}"}
        )
    return {"name": printable(name), "cells": cells}


OVERALL_NAMES = ("mAP", "mAUC", "d′", "lwlrap", "mF1", "mP", "mR")


def lwlrap_limits(
    Y: pd.DataFrame,
    scores: np.ndarray,
    n_bootstraps: int,
    confidence_level: float,
    random_state: Any,
) -> tuple[float, float] | None:
    """Compute the bootstrap interval of lwlrap, as `event_report` does for other metrics.

    Parameters
    ----------
    Y : DataFrame of shape (n_clips, n_events)
    scores : ndarray of shape (n_clips, n_events)
    n_bootstraps : int
        Number of resamples. 0: no interval.
    confidence_level : float
        Coverage, in (0, 1).
    random_state : int, RandomState instance or None

    Returns
    -------
    low, high : float, or None
    """
    if not n_bootstraps or not Y.to_numpy().any():
        return None
    checked = check_scores(Y, scores, None)
    clip, _, precision = precision_at_positives(checked)
    of_clips = (
        np.bincount(clip, precision, minlength=len(scores)),
        np.bincount(clip, minlength=len(scores)),
    )
    values = np.concatenate(
        [
            np.divide(*(per_clip @ weights.astype(float) for per_clip in of_clips))
            for weights in draw_weights(checked, n_bootstraps, check_random_state(random_state))
        ]
    )
    low, high = np.nanquantile(values, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return float(low), float(high)


def score_range(scores: np.ndarray) -> tuple[float, float]:
    """Return the range of an axis of scores: [0, 1], unless some lie outside of it."""
    low, high = float(scores.min(initial=0.0)), float(scores.max(initial=1.0))
    return low, high


def curves_of_events(labels: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Compute the curves of each event, and those of all events together.

    Parameters
    ----------
    labels : ndarray of shape (n_clips, n_events), bool
    scores : ndarray of shape (n_clips, n_events), float

    Returns
    -------
    dict
        "events": a dict for each event, or None if it occurs in no clip: `precision` over `recall`;
        `f1`, `p` and `r` over `threshold`; the `mean_score` of bins of scores and the `fraction` of
        their clips that have the event; histograms of scores `with` and `without` it. "all": the
        mean of the precisions, and scores of all events.
    """
    span = score_range(scores)
    grid = np.linspace(0, 1, N_POINTS)
    curves: list[dict[str, Any] | None] = []
    precisions = []
    for truth, values in zip(labels.T, scores.T, strict=True):
        if not truth.any():
            curves.append(None)
            continue
        precision = _precision_at(truth, values, grid)
        precisions.append(precision)
        curves.append(
            {
                "recall": _rounded(grid, 3),
                "precision": _rounded(precision, 3),
                **_threshold_curve(truth, values, span),
                **_distribution(truth, values, span),
            }
        )
    mean = np.mean(precisions, axis=0) if precisions else np.full(N_POINTS, np.nan)
    of_all = {"recall": _rounded(grid, 3), "precision": _rounded(mean, 3)}
    return {"events": curves, "all": {**of_all, **_distribution(labels, scores, span)}}


def _precision_at(truth, values, recalls):
    """Compute the precision at the highest threshold that has at least each recall."""
    order = np.argsort(-values, kind="stable")
    found = np.cumsum(truth[order])
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))  # of equal scores
    found, n_predicted = found[last], last + 1
    wanted = np.maximum(1, np.ceil(recalls * truth.sum() - 1e-9))
    at = np.searchsorted(found, wanted)
    return found[at] / n_predicted[at]


def _threshold_curve(truth, values, span):
    thresholds = np.linspace(span[0], span[1], N_POINTS)
    n_predicted = len(values) - np.searchsorted(np.sort(values), thresholds, side="right")
    positives = np.sort(values[truth])
    found = len(positives) - np.searchsorted(positives, thresholds, side="right")
    with np.errstate(invalid="ignore"):
        precision = found / n_predicted
    curves = {
        "threshold": thresholds,
        "f1": 2 * found / (n_predicted + len(positives)),
        "p": precision,
        "r": found / len(positives),
    }
    return {name: _rounded(curve, 3) for name, curve in curves.items()}


def _distribution(truth, values, span):
    """Count the scores in bins, and compare them with the fraction of clips with the event."""
    truth, values = truth.ravel(), values.ravel().astype(float)
    bins = _find_bins(values, span, N_RELIABILITY_BINS)
    counts = np.bincount(bins, minlength=N_RELIABILITY_BINS)
    with np.errstate(invalid="ignore"):
        mean_score = np.bincount(bins, values, N_RELIABILITY_BINS) / counts
        fraction = np.bincount(bins, truth, N_RELIABILITY_BINS) / counts
    return {
        "mean_score": _rounded(mean_score, 3),
        "fraction": _rounded(fraction, 3),
        "with": np.bincount(_find_bins(values[truth], span, N_BINS), minlength=N_BINS).tolist(),
        "without": np.bincount(_find_bins(values[~truth], span, N_BINS), minlength=N_BINS).tolist(),
    }


def _find_bins(values, span, n_bins):
    """Return the bin of each value; on an edge, the upper one, whatever the rounding."""
    places = n_bins * (values - span[0]) / (span[1] - span[0])
    return np.minimum((places + 1e-9).astype(np.int64), n_bins - 1)


def find_confusions(
    labels: np.ndarray, predictions: np.ndarray, names: Sequence[Any]
) -> list[dict[str, Any]]:
    """Count in how many clips an event was missed while another one was wrongly found.

    Parameters
    ----------
    labels, predictions : ndarray of shape (n_clips, n_events), bool
    names : sequence of length n_events

    Returns
    -------
    list of dict
        The most frequent pairs: names, positions, number of clips, and their share in % among the
        clips with the missed event.
    """
    missed = sparse.csr_array((labels & ~predictions).astype(np.int64))
    wrong = sparse.csr_array((predictions & ~labels).astype(np.int64))
    pairs = sparse.coo_array(missed.T @ wrong)
    support = labels.sum(axis=0)
    order = np.lexsort((pairs.col, pairs.row, -pairs.data))[:N_CONFUSIONS]
    return [
        {
            "missed": printable(names[row]),
            "missed_index": int(row),
            "found": printable(names[column]),
            "found_index": int(column),
            "n_clips": int(n),
            "share": f"{100 * n / support[row]:.0f}",
        }
        for row, column, n in zip(
            pairs.row[order], pairs.col[order], pairs.data[order], strict=True
        )
    ]


def list_errors(
    labels: np.ndarray, predictions: np.ndarray, scores: np.ndarray
) -> dict[str, np.ndarray]:
    """List false positives and false negatives, worst first.

    Parameters
    ----------
    labels, predictions : ndarray of shape (n_clips, n_events), bool
    scores : ndarray of shape (n_clips, n_events), float

    Returns
    -------
    dict of ndarray of shape (n_errors,)
        `clip` and `event` are positions; `kind` is 0 for false positives and 1 for false negatives.
        The worst ones are false positives with the highest scores and false negatives with the
        lowest ones.
    """
    clip, event = np.nonzero(labels != predictions)
    kind = labels[clip, event].astype(int)
    low, high = score_range(scores)
    score = scores[clip, event]
    wrongness = (score - low) / (high - low)
    wrongness = np.where(kind == 1, 1 - wrongness, wrongness)
    order = np.lexsort((event, clip, -wrongness))
    return {
        name: values[order]
        for name, values in {"clip": clip, "event": event, "kind": kind, "score": score}.items()
    }
