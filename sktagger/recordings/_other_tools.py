"""Tables of events as other tools write and read them.

A table of events is here a DataFrame of `file` (None if there is a single recording), `onset`,
`offset`, `event` and `score` (NaN where it is not known).
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sktagger._utils.text import listed, quoted, short

__all__ = [
    "audacity_text",
    "csv_text",
    "guarded",
    "kaleidoscope_text",
    "parse_audacity",
    "parse_kaleidoscope",
    "parse_raven",
    "parse_rows",
    "raven_text",
    "sed_scores_text",
    "unguarded",
]

_RAVEN_NAMES = ("Annotation", "Species", "Common Name", "Species Code", "Sound type", "Tags")
_FORMULA_SIGNS = "=+-@\t\r"


def guarded(name: str) -> str:
    """Put an apostrophe before what a spreadsheet program would take for a formula."""
    return f"'{name}" if name[:1] and name[0] in _FORMULA_SIGNS + "'" else name


def unguarded(name: str) -> str:
    """Undo :func:`guarded`."""
    return name[1:] if name[:1] == "'" and name[1:2] in tuple(_FORMULA_SIGNS + "'") else name


def audacity_text(events: pd.DataFrame) -> str:
    """Write a label track of Audacity: onset, offset and name in each line."""
    if events["file"].nunique() > 1:
        raise ValueError(
            f"events has {events['file'].nunique()} files: {quoted(events['file'].unique())}. A "
            "label track of Audacity belongs to a single recording. Write one file for each."
        )
    return "".join(
        f"{row.onset:.6f}\t{row.offset:.6f}\t{_one_line(row.event)}\n"
        for row in events.itertuples()
    )


def parse_audacity(text: str, where: str) -> list[dict]:
    """Read a label track; lines with the frequencies of a label begin with a backslash."""
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        onset, offset, *name = line.split("\t", 2)
        if not name:
            raise ValueError(
                f"Line {number} of {where} is {short(line)}. A label has an onset, an offset and a "
                "name, separated by tabs. Export the labels from Audacity again."
            )
        rows.append({"onset": onset, "offset": offset, "event": name[0], "line": number})
    return rows


def raven_text(
    events: pd.DataFrame, frequencies: tuple[float, float], lengths: Mapping[str, float] | None
) -> str:
    """Write a selection table of Raven Pro or Raven Lite."""
    header = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"]
    header += ["Low Freq (Hz)", "High Freq (Hz)"]
    has_files = events["file"].notna().any()
    # In a window with several files, times count from the beginning of the first one.
    begins = _begins(events["file"].unique(), lengths) if has_files and lengths else {}
    header += ["Begin Path", "File Offset (s)"] if has_files else []
    rows = []
    for number, event in enumerate(events.itertuples(), start=1):
        begin = begins.get(event.file, 0.0)
        row = [str(number), "Spectrogram 1", "1"]
        row += [f"{begin + time:.6f}" for time in (event.onset, event.offset)]
        row += [f"{frequency:.1f}" for frequency in frequencies]
        row += [_one_line(event.file), f"{event.onset:.6f}"] if has_files else []
        rows.append([*row, _one_line(event.event), _score(event.score)])
    lines = [[*header, "Annotation", "Score"], *rows]
    return "".join("\t".join(line) + "\n" for line in lines)


def parse_raven(text: str, where: str) -> list[dict]:
    """Read a selection table; the other views of a selection are left out."""
    rows, selections = [], set()
    for number, row in _records(text, "\t", where, ("Begin Time (s)", "End Time (s)")):
        selection = row.get("Selection")
        if selection in selections and selection and not row.get("View", "").startswith("Spectro"):
            continue
        selections.add(selection)
        names = [row[name] for name in _RAVEN_NAMES if row.get(name)]
        onset: Any = row["Begin Time (s)"]
        offset: Any = row["End Time (s)"]
        if row.get("File Offset (s)"):
            times = _numbers([row["File Offset (s)"], onset, offset], number, where)
            onset, offset = times[0], times[0] + times[2] - times[1]
        file = row.get("Begin Path") or row.get("Begin File") or None
        score = row.get("Score") or row.get("Confidence") or None
        rows.append(
            {
                "file": file,
                "onset": onset,
                "offset": offset,
                "event": names[0] if names else "",
                "score": score,
                "line": number,
            }
        )
    return rows


def kaleidoscope_text(events: pd.DataFrame) -> str:
    """Write a CSV file that Kaleidoscope opens."""
    if events["file"].isna().any():
        raise ValueError(
            "events has no column 'file', but a table for Kaleidoscope names the file of each "
            "event. Call events.insert(0, 'file', path)."
        )
    header = ["INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION"]
    rows = [[*header, "AUTO ID", "SCORE", "MANUAL ID"]]
    for event in events.itertuples():
        folder, name = os.path.split(event.file)
        indir, folder = os.path.split(folder)
        length = event.offset - event.onset
        rows.append(
            [indir, folder, name, "0", f"{event.onset:.6f}", f"{length:.6f}"]
            + [guarded(_one_line(event.event)), _score(event.score), ""]
        )
    return csv_text(rows)


def parse_kaleidoscope(text: str, where: str) -> list[dict]:
    """Read a CSV file of Kaleidoscope; what a person entered goes before the automatic name."""
    rows = []
    needed = ("IN FILE", "OFFSET", "DURATION")
    for number, row in _records(text, ",", where, needed):
        onset, length = _numbers([row["OFFSET"], row["DURATION"]], number, where)
        parts = [row.get("INDIR", ""), row.get("FOLDER", ""), row["IN FILE"]]
        name = row.get("MANUAL ID") or row.get("AUTO ID") or row.get("common_name") or ""
        score = row.get("SCORE") or row.get("confidence") or row.get("MATCH RATIO") or None
        rows.append(
            {
                "file": os.path.join(*parts),
                "onset": onset,
                "offset": onset + length,
                "event": unguarded(name),
                "score": score,
                "line": number,
            }
        )
    return rows


def sed_scores_text(events: pd.DataFrame, names: Sequence[str], length: float) -> str:
    """Write the events of a recording as a table of scores for sed_scores_eval.

    The score of an event is that of its table while it lasts, and 0 elsewhere.
    """
    times = np.unique(np.clip([0.0, length, *events["onset"], *events["offset"]], 0.0, length))
    scores = np.zeros((len(times) - 1, len(names)))
    for event in events.itertuples():
        during = (times[:-1] >= event.onset) & (times[:-1] < event.offset)
        column = scores[:, list(names).index(event.event)]
        column[during] = np.maximum(column[during], event.score)
    rows = [["onset", "offset", *map(_one_line, names)]]
    for onset, offset, row in zip(times, times[1:], scores, strict=False):
        rows.append([f"{onset:.6f}", f"{offset:.6f}", *(f"{score:.6f}" for score in row)])
    return "".join("\t".join(row) + "\n" for row in rows)


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
        times = _numbers([row["onset"], row["offset"]], row["line"], where)
        if not 0 <= times[0] <= times[1] < np.inf:
            raise ValueError(
                f"Line {row['line']} of {where} has the onset {times[0]:g} and the offset "
                f"{times[1]:g}. Times must be finite, not negative, and the onset not after the "
                "offset. Correct the line."
            )
        score = row.get("score")
        (score,) = [np.nan] if score in (None, "") else _numbers([score], row["line"], where)
        values = (row.get("file"), *times, row["event"], score)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    table = pd.DataFrame(columns)
    table = table.astype({"onset": float, "offset": float, "score": float})
    return table if table["file"].notna().any() else table.drop(columns="file")


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Write rows as CSV with line feeds."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _records(
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
        raise ValueError(
            f"{where} has the columns {listed(header, 20) or 'none'}, but not {quoted(missing)}. "
            "Choose the format that the file has."
        )
    for row in reader:
        if any(row):
            yield reader.line_num, dict(zip(header, row, strict=False))


def _numbers(texts: Sequence[Any], line: int, where: str) -> list[float]:
    try:
        return [float(text) for text in texts]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Line {line} of {where} has {quoted(texts)}, which must be numbers with a decimal "
            "point. Correct the line."
        ) from error


def _begins(files: Sequence[str], lengths: Mapping[str, float]) -> dict[str, float]:
    """Return when each file begins in the sequence of all files with a length."""
    missing = [file for file in files if file not in lengths]
    if missing:
        raise ValueError(
            f"lengths has no length of {quoted(missing)}. It must have the length in seconds of "
            "each file, in the order of the files in Raven. Add them."
        )
    ends = np.cumsum([0.0, *lengths.values()])
    return dict(zip(lengths, ends.tolist(), strict=False))


def _one_line(name: object) -> str:
    """Replace tabs and line breaks, which would begin a new field or line."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(name)).split())


def _score(score: float) -> str:
    return "" if np.isnan(score) else f"{score:.4f}"
