"""Tables of events in files, for other tools and back."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktagger._utils.files import expand_path, replacing
from sktagger._utils.text import listed, quoted, short
from sktagger.datasets._annotation_tables import parse_audacity, parse_raven, parse_rows
from sktagger.recordings import _other_tools as tools

__all__ = ["FORMATS", "read_events", "write_events"]

# Formats of tables of events.
FORMATS = ("csv", "json", "parquet", "audacity", "raven", "kaleidoscope", "sed_scores")

_NEEDED = ("onset", "offset", "event")


def write_events(
    events: pd.DataFrame,
    path: str | os.PathLike[str],
    format: str = "csv",
    *,
    frequencies: tuple[float, float] = (0.0, 8000.0),
    lengths: Mapping[str, float] | float | None = None,
    names: Sequence[str] | None = None,
) -> None:
    r"""Write a table of events to a file, which is replaced in one step.

    Text is UTF-8 with line feeds. Times have 6 decimals, scores have 4, and 6 in "sed_scores".

    Parameters
    ----------
    events : DataFrame
        Columns `onset`, `offset` (in seconds), `event`, and perhaps `score` and `file`, as
        :func:`detect_events` returns it.
    path : str or PathLike
        The file. For "sed_scores" and events with a column `file`, the folder of the files.
    format : str, default="csv"
        "csv", "json", "parquet", "audacity", "raven", "kaleidoscope" or "sed_scores"; see Notes.
    frequencies : (float, float), default=(0.0, 8000.0)
        Lower and upper frequency of all selections in Hz, for "raven", which draws boxes.
    lengths : mapping of file to float, float or None, default=None
        Lengths of the files in seconds. "sed_scores" needs them. With "raven", times count from the
        beginning of the first file, as in a window with all files in this order; None: from the
        beginning of each file.
    names : sequence of str or None, default=None
        Names of all events, for "sed_scores". None: those in the table, sorted.

    Raises
    ------
    ValueError
        If the format is unknown, a column or a length is missing, or the format cannot hold the
        events.
    ImportError
        If "parquet" needs pyarrow, which is not installed.
    OSError
        If the file cannot be written.

    See Also
    --------
    read_events : Read the tables again.

    Notes
    -----
    * "csv": columns as in the table, with a header. An apostrophe is put before names that a
      spreadsheet program would take for formulas, such as ``=1+1``; `read_events` removes it.
    * "json": a list with one object for each event; a missing score is null.
    * "parquet": the table, with full precision.
    * "audacity": a label track, to be imported by "File > Import > Labels". It has no scores, and
      belongs to a single recording.
    * "raven": a selection table of Raven Pro and Raven Lite, with the names in the column
      `Annotation`. `Begin Path` and `File Offset (s)` name the files, if there are any.
    * "kaleidoscope": a CSV file with ``INDIR``, ``FOLDER``, ``IN FILE``, ``CHANNEL``, ``OFFSET``
      and ``DURATION``. The names are in ``AUTO ID``, and ``MANUAL ID`` is left empty.
    * "sed_scores": one table of scores per recording for the package sed_scores_eval, named like
      the recording. The score of an event is constant while it lasts.

    In "audacity", "raven", "kaleidoscope" and "sed_scores", tabs and line breaks in names become
    spaces.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from sktagger.recordings import read_events, write_events
    >>> events = pd.DataFrame({"onset": [0.5], "offset": [2], "event": ["bird"], "score": [0.9]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.txt"
    ...     write_events(events, path, "audacity")
    ...     print(path.read_text().expandtabs(), end="")
    ...     read_events(path, "audacity")
    0.500000        2.000000        bird
       onset  offset event  score
    0    0.5     2.0  bird    NaN
    """
    _check_format(format)
    table = _check_events(events)
    if format == "sed_scores":
        _write_sed_scores(table, expand_path(path), lengths, names)
        return
    if format == "parquet":
        content = io.BytesIO()
        events.to_parquet(content, index=False)
        data = content.getvalue()
    elif format == "audacity":
        data = tools.audacity_text(table).encode()
    elif format == "raven":
        if lengths is not None and not isinstance(lengths, Mapping):
            raise ValueError(
                f"lengths={short(lengths)} is not a mapping. With format='raven', it must have the "
                "length of each file. Pass a dict, or None."
            )
        data = tools.raven_text(table, frequencies, lengths).encode()
    elif format == "kaleidoscope":
        data = tools.kaleidoscope_text(table).encode()
    else:
        columns = [name for name in ("file", *_NEEDED, "score") if name in events]
        data = {"csv": _csv, "json": _json}[format](table[columns]).encode()
    with replacing(path) as file:
        file.write(data)


def read_events(path: str | os.PathLike[str], format: str = "csv") -> pd.DataFrame:
    """Read a table of events that :func:`write_events` or another tool wrote.

    Parameters
    ----------
    path : str or PathLike
        The file.
    format : {"csv", "json", "parquet", "audacity", "raven", "kaleidoscope"}, default="csv"
        Its format. In a CSV file, other columns are left out. In tables of Raven, the name is the
        first of `Annotation`, `Species`, `Common Name` and `Species Code` that is not empty. In
        those of Kaleidoscope, ``MANUAL ID`` goes before ``AUTO ID``.

    Returns
    -------
    DataFrame of shape (n_events, 4) or (n_events, 5)
        Columns `file` (if the table names files), `onset`, `offset` (float64, in seconds), `event`
        (str) and `score` (float64; NaN if missing), in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the format is unknown or not that of the file, or a time is not a number, is negative or
        after its end. The message names the line.
    """
    _check_format(format)
    where = repr(str(path))
    if format == "sed_scores":
        raise ValueError(
            f"{where}: format='sed_scores' holds scores in time, not events. Formats of events are "
            f"{quoted(FORMATS[:-1], 10)}. Pass one of them."
        )
    if format == "parquet":
        return _plain(_check_events(pd.read_parquet(expand_path(path))))
    text = expand_path(path).read_bytes().decode("utf-8-sig")
    parse = {
        "csv": _parse_csv,
        "json": _parse_json,
        "audacity": parse_audacity,
        "raven": parse_raven,
        "kaleidoscope": tools.parse_kaleidoscope,
    }[format]
    return parse_rows(parse(text, where), where)


def _csv(table: pd.DataFrame) -> str:
    rows = [list(table.columns)]
    for row in table.itertuples(index=False):
        texts = []
        for name, value in zip(table.columns, row, strict=True):
            if name in ("onset", "offset"):
                texts.append(f"{value:.6f}")
            elif name == "score":
                texts.append("" if np.isnan(value) else f"{value:.4f}")
            else:
                texts.append(tools.guarded(str(value)))
        rows.append(texts)
    return tools.csv_text(rows)


def _parse_csv(text: str, where: str) -> list[dict]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in _NEEDED if name not in (reader.fieldnames or [])]
    if missing:
        raise ValueError(
            f"{where} has the columns {listed(reader.fieldnames or []) or 'none'}, but not "
            f"{quoted(missing)}. They must be in its first line, separated by commas. Correct it, "
            "or choose the format that the file has."
        )
    rows = []
    for row in reader:
        file = row.get("file")
        name = tools.unguarded(row["event"] or "")
        rows.append(
            {
                **row,
                "event": name,
                "file": None if file is None else tools.unguarded(file),
                "line": reader.line_num,
            }
        )
    return rows


def _json(table: pd.DataFrame) -> str:
    decimals = {"onset": 6, "offset": 6, "score": 4}
    rows = [
        {
            name: (None if np.isnan(value) else round(float(value), decimals[name]))
            if name in decimals
            else value
            for name, value in zip(table.columns, row, strict=True)
        }
        for row in table.itertuples(index=False)
    ]
    lines = (json.dumps(row, ensure_ascii=False, default=str) for row in rows)
    return "[" + ",".join(f"\n {line}" for line in lines) + "\n]\n"


def _parse_json(text: str, where: str) -> list[dict]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where} is not JSON: {error}. It must be a list of events. Choose the format that "
            "the file has."
        ) from error
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and set(_NEEDED) <= row.keys() for row in rows
    ):
        raise ValueError(
            f"{where} must be a list of objects with 'onset', 'offset' and 'event'. Choose the "
            "format that the file has."
        )
    return [{**row, "line": number} for number, row in enumerate(rows, start=1)]


def _write_sed_scores(table, path, lengths, names):
    names = sorted(table["event"].unique()) if names is None else list(names)
    unknown = [event for event in table["event"].unique() if event not in names]
    if unknown:
        raise ValueError(
            f"names lacks the events {quoted(unknown)} of the table. It must have all events. Pass "
            "names=None to use those of the table."
        )
    if table["score"].isna().any():
        raise ValueError(
            "events has no score of some events, but format='sed_scores' holds scores. Give a "
            "column 'score' without NaN."
        )
    if isinstance(lengths, Mapping):
        stems = [Path(file).stem for file in lengths]
        twins = sorted({stem for stem in stems if stems.count(stem) > 1})
        if twins:
            raise ValueError(
                f"lengths has several files named {quoted(twins)}, which would be written to the "
                "same table. Names must differ. Write them to different folders."
            )
        missing = set(table["file"]) - set(lengths)
        if missing:
            raise ValueError(
                f"lengths has no length of {quoted(sorted(map(str, missing)))}. It must have the "
                "length in seconds of each file. Add them."
            )
        path.mkdir(parents=True, exist_ok=True)
        for stem, (file, length) in zip(stems, lengths.items(), strict=True):
            events = table[table["file"] == file]
            with replacing(path / f"{stem}.tsv") as stream:
                stream.write(tools.sed_scores_text(events, names, length).encode())
        return
    if lengths is None or table["file"].notna().any():
        raise ValueError(
            f"lengths={short(lengths)}, but format='sed_scores' needs the length of each recording "
            "in seconds. Pass a dict of file to length, or a number if there is no column 'file'."
        )
    with replacing(path) as stream:
        stream.write(tools.sed_scores_text(table, names, float(lengths)).encode())


def _check_format(format: Any) -> None:
    if format not in FORMATS:
        raise ValueError(
            f"format={short(format)} is unknown. It must be one of {quoted(FORMATS, 10)}. Pass "
            "format='csv' for a plain table."
        )


def _check_events(events: Any) -> pd.DataFrame:
    """Return a copy with all five columns."""
    missing = [name for name in _NEEDED if name not in events]
    if missing:
        raise ValueError(
            f"events has no column {quoted(missing)}. It must have the columns 'onset', 'offset' "
            "and 'event'. Pass a table as detect_events returns it."
        )
    table = events[[*_NEEDED]].copy()
    table.insert(0, "file", events["file"].astype(object) if "file" in events else None)
    table["score"] = events["score"].astype(float) if "score" in events else np.nan
    return table.astype({"onset": float, "offset": float})


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    return table if table["file"].notna().any() else table.drop(columns="file")
