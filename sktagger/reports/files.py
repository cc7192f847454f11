"""Evaluation of scores and thresholds, and its result files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.files import expand_path, replacing
from sktagger._utils.text import printable
from sktagger.metrics import event_report, lwlrap

__all__ = ["Evaluation", "evaluate_scores", "results_table", "write_evaluation", "write_json"]

# Columns of event_report, and their names in the files
_COLUMNS = {
    "support": "support",
    "F1": "F1",
    "precision": "P",
    "recall": "R",
    "AP": "AP",
    "AUC": "AUC",
    "lwlrap": "lwlrap",
}
_MEANS = {"F1": "mF1", "P": "mP", "R": "mR", "AP": "mAP", "AUC": "mAUC"}


class Evaluation(NamedTuple):
    """Results of a tagger on one set of clips.

    Attributes
    ----------
    overall : dict of str to float
        mF1, mP, mR, mAP, mAUC (means over the events that occur) and lwlrap, in [0, 1].
    events : DataFrame of shape (n_events, 7)
        For each event, the support (number of clips with the event), F1, P, R, AP, AUC and lwlrap.
        Metrics of an event without clips are NaN.
    false_positives, false_negatives : list of (str, str)
        Pairs of a clip and an event that was wrongly predicted, or missed; sorted.
    thresholds : Series of length n_events
        An event is predicted if its score is greater than its threshold.
    unknown_events : dict of str to int
        Events that the tagger does not know, with their number of clips. They are left out of all
        results.
    """

    overall: dict[str, float]
    events: pd.DataFrame
    false_positives: list[tuple[str, str]]
    false_negatives: list[tuple[str, str]]
    thresholds: pd.Series
    unknown_events: dict[str, int] = {}  # noqa: RUF012


def evaluate_scores(Y: pd.DataFrame, scores: np.ndarray, thresholds: np.ndarray) -> Evaluation:
    """Evaluate scores and binary predictions.

    Parameters
    ----------
    Y : DataFrame of shape (n_clips, n_events)
        0/1 indicator of the events of each clip. The index names the clips, the columns the events.
    scores : ndarray of shape (n_clips, n_events), float
        Scores, with the columns of `Y`.
    thresholds : ndarray of shape (n_events,), float
        An event is predicted if its score is greater than its threshold.

    Returns
    -------
    Evaluation
        The results.
    """
    table = event_report(Y, scores, thresholds=thresholds)
    # The last row has the means. Its name is not always "macro".
    events = table.iloc[:-1][list(_COLUMNS)].rename(columns=_COLUMNS)
    overall = {mean: float(events[name].mean()) for name, mean in _MEANS.items()}
    overall["lwlrap"] = float(lwlrap(Y, scores))
    labels, predictions = Y.to_numpy(dtype=bool), scores > thresholds
    return Evaluation(
        overall,
        events,
        _pairs(Y, predictions & ~labels),
        _pairs(Y, labels & ~predictions),
        pd.Series(np.broadcast_to(thresholds, Y.shape[1]), index=Y.columns),
    )


def _pairs(Y, mask):
    return sorted((str(Y.index[row]), str(Y.columns[column])) for row, column in np.argwhere(mask))


def write_evaluation(
    directory: str | os.PathLike[str], validation: Evaluation, test: Evaluation
) -> None:
    """Write ``overall.json``, ``event_wise.json``, ``fp.json`` and ``fn.json``.

    Undefined metrics are written as null. An infinite threshold is written as the string "inf" (the
    event is never predicted) or "-inf" (always), which Python's `float` reads. ``fp.json`` and
    ``fn.json`` have the false positives and false negatives of the test set.

    Parameters
    ----------
    directory : str or PathLike
        Directory of the files. It is created if it does not exist.
    validation, test : Evaluation
        Results of the validation set and the test set.
    """
    directory = expand_path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    order = test.events["AP"].sort_values(ascending=False, kind="stable").index
    write_json({"validation": validation.overall, "test": test.overall}, directory / "overall.json")
    write_json(
        {
            str(event): {
                "threshold": _number(test.thresholds[event]),
                "validation": _row(validation, event),
                "test": _row(test, event),
            }
            for event in order
        },
        directory / "event_wise.json",
    )
    write_json(test.false_positives, directory / "fp.json")
    write_json(test.false_negatives, directory / "fn.json")


def results_table(
    validation: Evaluation, test: Evaluation, names: Sequence[str] = ("validate", "eval")
) -> str:
    """Format the overall results as a table of text.

    Parameters
    ----------
    validation, test : Evaluation
        Results of the validation set and the test set.
    names : sequence of str, default=("validate", "eval")
        Names of the two rows.

    Returns
    -------
    str
        One row per set. The columns are mAP, mAUC, lwlrap, mF1 in %, and the number of events that
        occur in the set and are part of the means.
    """
    columns = ["mAP", "mAUC", "lwlrap", "mF1"]
    names = list(map(printable, names))
    width = max(map(len, names))
    lines = [f"{'':{width}}" + "".join(f"{column:>9}" for column in columns) + "   events"]
    for name, evaluation in zip(names, (validation, test), strict=True):
        values = "".join(f"{100 * evaluation.overall[column]:9.2f}" for column in columns)
        events = f"{evaluation.events['AP'].notna().sum()} of {len(evaluation.events)}"
        lines.append(f"{name:{width}}{values}   {events}")
    return "\n".join(lines)


def write_json(content: Any, path: str | os.PathLike[str]) -> None:
    """Write strictly valid JSON, and replace an existing file atomically.

    NaN and infinities are written as null.

    Parameters
    ----------
    content : object
        Dicts, lists, strings, numbers and None.
    path : str or PathLike
        Path of the file.
    """
    text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    with replacing(path) as file:
        file.write((text + "\n").encode())


def _row(evaluation, event):
    row = evaluation.events.loc[event].to_dict()
    return {**row, "support": int(row["support"])}


def _number(threshold):
    return float(threshold) if np.isfinite(threshold) else repr(float(threshold))


def _finite(content):
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content
