"""Scores and thresholds -> the result files of an evaluation."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.files import expand_path, replacing
from sktagger._utils.text import printable
from sktagger.metrics import event_report, lwlrap

# names in event_report -> names in the files
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
    """What a tagger gives on one set of clips.

    Attributes
    ----------
    overall : dict of str to float
        mF1, mP, mR, mAP, mAUC (means over the events that occur) and lwlrap; fractions.
    events : DataFrame of shape (n_events, 7)
        Of each event: support, the number of clips with it, and F1, P, R, AP, AUC, lwlrap; NaN
        where there is no such clip.
    thresholds : Series of length n_events
        A clip is reported to have the event if its score is greater.
    false_positives, false_negatives : list of (str, str)
        Clips and the event that was reported wrongly, or missed; sorted.
    unknown_events : dict of str to int
        Events of the set that are left out of all figures, for the tagger does not know them, with
        the number of their clips.
    """

    overall: dict[str, float]
    events: pd.DataFrame
    false_positives: list
    false_negatives: list
    thresholds: pd.Series
    unknown_events: dict[str, int] = {}  # noqa: RUF012


def evaluate_scores(Y: pd.DataFrame, scores: np.ndarray, thresholds: np.ndarray) -> Evaluation:
    """Compare scores and decisions with the truth.

    Parameters
    ----------
    Y : DataFrame of shape (n_clips, n_events)
        Indicator matrix; index are the clips, columns the events.
    scores : ndarray of shape (n_clips, n_events), float
    thresholds : ndarray of shape (n_events,), float
        An event is reported where its score is greater.

    Returns
    -------
    Evaluation
    """
    table = event_report(Y, scores, thresholds=thresholds)
    # by position, for the last row has the means, whatever it is called
    events = table.iloc[:-1][list(_COLUMNS)].rename(columns=_COLUMNS)
    overall = {mean: float(events[name].mean()) for name, mean in _MEANS.items()}
    overall["lwlrap"] = float(lwlrap(Y, scores))
    truth, decisions = Y.to_numpy(dtype=bool), scores > thresholds
    return Evaluation(
        overall,
        events,
        _pairs(Y, decisions & ~truth),
        _pairs(Y, truth & ~decisions),
        pd.Series(np.broadcast_to(thresholds, Y.shape[1]), index=Y.columns),
    )


def _pairs(Y, mask):
    return sorted((str(Y.index[row]), str(Y.columns[column])) for row, column in np.argwhere(mask))


def write_evaluation(directory, validation: Evaluation, test: Evaluation) -> None:
    """Write ``overall.json``, ``event_wise.json``, ``fp.json`` and ``fn.json``.

    Undefined figures become null. A threshold that is infinite is the string "inf" (the event is
    never reported) or "-inf" (always), which Python's `float` reads. False positives and negatives
    are those of the test set.

    Parameters
    ----------
    directory : str or PathLike
        Made if missing.
    validation, test : Evaluation
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


def results_table(validation: Evaluation, test: Evaluation, names=("validate", "eval")) -> str:
    """Lay the overall figures out as text.

    Parameters
    ----------
    validation, test : Evaluation
    names : tuple of str, default=("validate", "eval")
        Names of the rows.

    Returns
    -------
    str
        Rows: the two sets. Columns: mAP, mAUC, lwlrap, mF1 in %, and how many of the events
        occur in the set and so are in the means.
    """
    columns = ["mAP", "mAUC", "lwlrap", "mF1"]
    names = list(map(printable, names))
    width = max(map(len, names))
    lines = [f"{'':{width}}" + "".join(f"{column:>9}" for column in columns) + "   events"]
    for name, evaluation in zip(names, (validation, test), strict=True):
        figures = "".join(f"{100 * evaluation.overall[column]:9.2f}" for column in columns)
        counted = f"{evaluation.events['AP'].notna().sum()} of {len(evaluation.events)}"
        lines.append(f"{name:{width}}{figures}   {counted}")
    return "\n".join(lines)


def write_json(content, path) -> None:
    """Write strictly valid JSON (NaN and infinities become null), replacing the file at once.

    Parameters
    ----------
    content : object
        Dicts, lists, strings, numbers, None.
    path : str or PathLike
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
