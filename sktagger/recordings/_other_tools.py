"""Tables of events as other tools write and read them.

A table of events is here a DataFrame of `file` (None if there is a single recording), `onset`,
`offset`, `event` and `score` (NaN where it is not known).
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from sktagger._utils.text import quoted
from sktagger.datasets._annotation_tables import numbers, records

__all__ = [
    "audacity_text",
    "csv_text",
    "guarded",
    "kaleidoscope_text",
    "parse_kaleidoscope",
    "raven_text",
    "sed_scores_text",
    "unguarded",
]

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
    for number, row in records(text, ",", where, needed):
        onset, length = numbers([row["OFFSET"], row["DURATION"]], number, where)
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
    # times as they are written: what is shorter must not become a row of length 0
    length = np.round(length, 6)
    onsets, offsets = (np.round(events[key].to_numpy(float), 6) for key in ("onset", "offset"))
    times = np.unique(np.clip([0.0, length, *onsets, *offsets], 0.0, length))
    scores = np.zeros((len(times) - 1, len(names)))
    for event, first, last in zip(events.itertuples(), onsets, offsets, strict=True):
        during = (times[:-1] >= first) & (times[:-1] < last)
        column = scores[:, list(names).index(event.event)]
        column[during] = np.maximum(column[during], event.score)
    rows = [["onset", "offset", *map(_one_line, names)]]
    for onset, offset, row in zip(times, times[1:], scores, strict=False):
        rows.append([f"{onset:.6f}", f"{offset:.6f}", *(f"{score:.6f}" for score in row)])
    return "".join("\t".join(row) + "\n" for row in rows)


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Write rows as CSV with line feeds."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


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
