"""Check of the values of an indicator matrix."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from sktagger._utils.text import short

__all__ = ["check_indicator"]


def check_indicator(
    values: np.ndarray, names: np.ndarray | None, name: str, *, soft: bool = False
) -> np.ndarray:
    """Check the values of an indicator matrix.

    Parameters
    ----------
    values : ndarray of shape (n_clips, n_events)
        Of any dtype.
    names : ndarray of shape (n_events,) or None
        Names of the columns, for messages.
    name : str
        Name of the argument, for messages.
    soft : bool, default=False
        Whether values between 0 and 1 are allowed.

    Returns
    -------
    ndarray of shape (n_clips, n_events), float32
        0 and 1; with `soft`, values in [0, 1].

    Raises
    ------
    ValueError
        If the matrix is empty, or has a missing or another value. The message names the clip and
        the event.
    """
    if 0 in values.shape:
        raise ValueError(
            f"{name} is empty: it has {values.shape[0]} rows (samples) and {values.shape[1]} "
            "columns, but it must have at least 1 clip and 1 event."
        )
    try:
        indicator = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        indicator = np.array([[_as_number(value) for value in row] for row in values], np.float32)
    wrong = ~((indicator == 0) | (indicator == 1))
    if soft:
        wrong[_are_soft(values, indicator)] = False
    if wrong.any():
        clip, column = np.argwhere(wrong)[0]
        event = column if names is None else names[column]
        allowed = (
            "Targets must be numbers from 0 to 1"
            if soft
            else ("An indicator matrix must hold 0 and 1 only")
        )
        problem, advice = _explain(values[clip, column], soft=soft, named=names is not None)
        raise ValueError(
            f"{name}: clip {clip} has {problem} for the event {short(event)}. {allowed}. {advice}"
        )
    return indicator


def _as_number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def _are_soft(values, indicator):
    """Return where the values are numbers between 0 and 1, and not text such as "0.5"."""
    are_soft = (indicator > 0) & (indicator < 1)
    if values.dtype.kind == "O":
        are_soft[are_soft] = [not isinstance(value, str | bytes) for value in values[are_soft]]
    return are_soft


def _explain(value: Any, *, soft: bool, named: bool) -> tuple[str, str]:
    """Return what a wrong value is, and what to do."""
    if value is None or pd.isna(value):
        return "no value (NaN)", (
            "Use 0 if the event does not occur, and leave out unlabeled clips."
        )
    if isinstance(value, str | bytes):
        advice = f"Convert strings to {'numbers' if soft else '0 and 1'}."
    elif isinstance(value, Integral):
        advice = "Pass class ids as sets, such as {0, 2}."
    elif soft:
        advice = "Convert logits or percentages to probabilities."
    else:
        advice = (
            "Only the training of a tagger takes values between them; metrics, such as the "
            "validation mAP, and thresholds do not. Threshold soft labels first."
        )
    return short(value), advice + " Drop columns that are not events." * named
