"""Read the tables of events in time that Raven and Audacity write, row by row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from sktagger._utils.text import listed, quoted, short

__all__ = ["RAVEN_NAMES", "numbers", "parse_audacity", "parse_raven", "parse_rows", "records"]

# Usual columns of names of events in Raven's tables.
RAVEN_NAMES = ("Annotation", "Species", "Common Name", "Species Code", "Sound type", "Tags")


def parse_audacity(text: str, where: str) -> list[dict]:
    """Read a label track; lines with the frequencies of a label begin with a backslash."""
    rows = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        cells = line.split("\t", 2)
        if len(cells) < 3:
            raise ValueError(
                f"Line {number} of {where} is {short(line)}. A label has an onset, an offset and a "
                "name, separated by tabs. Export the labels from Audacity again."
            )
        rows.append(dict(zip(("onset", "offset", "event"), cells, strict=True), line=number))
    return rows


def parse_raven(text: str, where: str) -> list[dict]:
    """Read a selection table; the other views of a selection are left out.

    A row has all its cells, too, as `cells`.
    """
    rows: list[dict] = []
    known = set()
    for number, row in records(text, "\t", where, ("Begin Time (s)", "End Time (s)")):
        file = row.get("Begin Path") or row.get("Begin File") or None
        selection, view = (row.get("Selection"), file), row.get("View")
        # Without a view, tables may have been joined, so the same number is another selection.
        if selection[0] and view and selection in known and not view.startswith("Spectro"):
            continue
        known.add(selection)
        names = [row[name] for name in RAVEN_NAMES if row.get(name)]
        onset: Any = row["Begin Time (s)"]
        offset: Any = row["End Time (s)"]
        if row.get("File Offset (s)"):
            times = numbers([row["File Offset (s)"], onset, offset], number, where)
            onset, offset = times[0], times[0] + times[2] - times[1]
        score = row.get("Score") or row.get("Confidence") or None
        rows.append(
            {
                "file": file,
                "onset": onset,
                "offset": offset,
                "event": names[0] if names else "",
                "score": score,
                "line": number,
                "cells": row,
            }
        )
    return rows


def parse_rows(rows: Iterable[dict], where: str) -> pd.DataFrame:
    """Make a table of rows of texts, and check its times.

    Parameters
    ----------
    rows : iterable of dict
        With `onset`, `offset`, `event`, `line`, and perhaps `file` and `score`.
    where : str
        The file, for messages.

    Returns
    -------
    DataFrame
        Without the column `file` if no row has a file.
    """
    columns: dict[str, list[Any]] = {
        key: [] for key in ("file", "onset", "offset", "event", "score")
    }
    for row in rows:
        times = numbers([row["onset"], row["offset"]], row["line"], where)
        if not 0 <= times[0] <= times[1] < np.inf:
            raise ValueError(
                f"Line {row['line']} of {where} has the onset {times[0]:g} and the offset "
                f"{times[1]:g}. Times must be finite, not negative, and the onset not after the "
                "offset. Correct the line."
            )
        score = row.get("score")
        (score,) = [np.nan] if score in (None, "") else numbers([score], row["line"], where)
        values = (row.get("file"), *times, row["event"], score)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    table = pd.DataFrame(columns)
    table = table.astype({"onset": float, "offset": float, "score": float})
    return table if table["file"].notna().any() else table.drop(columns="file")


def records(
    text: str, separator: str, where: str, needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Give the lines of a table with a header, each with its number."""
    lines = io.StringIO(text, newline="")
    if separator == ",":
        reader = csv.reader(lines)
    else:
        reader = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    # Kaleidoscope marks the columns that a person can edit with an asterisk.
    header = [name.strip().rstrip("*") for name in next(reader, [])]
    missing = [name for name in needed if name not in header]
    if missing:
        separators = "commas" if separator == "," else "tabs"
        raise ValueError(
            f"{where} has the columns {listed(header, 20) or 'none'}, but not {quoted(missing)}. "
            f"They must be in its first line, separated by {separators}. Correct it, or "
            "choose the format that the file has."
        )
    for row in reader:
        if any(row):
            yield reader.line_num, dict(zip_longest(header, row[: len(header)], fillvalue=""))


def numbers(texts: Sequence[Any], line: int, where: str) -> list[float]:
    """Parse numbers, whose decimal separator may be a comma."""
    try:
        return [float(str(text).replace(",", ".")) for text in texts]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Line {line} of {where} has {quoted(texts)}, which must be numbers. Correct the line."
        ) from error
