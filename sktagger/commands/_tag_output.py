"""Print and write what was found in recordings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sktagger._utils.files import expand_path
from sktagger._utils.text import printable
from sktagger.commands._tagging import Tagged, no_rows

if TYPE_CHECKING:
    import pandas as pd

# Formats for people and programs that are printed only, and those that are written, too.
_PRINTED = ("table", "text", "json-lines")
_WRITTEN = ("csv", "json", "parquet", "audacity", "raven", "kaleidoscope", "sed_scores")
FORMATS = _PRINTED + _WRITTEN
_SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".pq": "parquet"}
_BAR = 20  # characters


class Output(NamedTuple):
    """Where results go.

    Attributes
    ----------
    path : Path or None
        None: standard output.
    format : str
    is_folder, is_archive : bool
        Whether `path` is a folder, and gets the results of an archive.
    """

    path: Path | None
    format: str
    is_folder: bool = False
    is_archive: bool = False

    @classmethod
    def of(cls, out: str | None, format: str | None) -> Output:
        """Find out what the options -o and --format mean.

        A terminal gets a table, and a pipe or a file gets text.
        """
        if out is None:
            if format not in (None, *_PRINTED, "csv", "json"):
                raise ValueError(f"--format {format} needs a file or a folder. Give it by -o.")
            return cls(None, format or ("table" if sys.stdout.isatty() else "text"))
        if format in _PRINTED:
            raise ValueError(
                f"-o {str(out)!r}: the format {format} is printed only. Leave out -o, or give "
                f"another --format: {', '.join(_WRITTEN)}."
            )
        path = expand_path(out)
        if path.is_dir() or not path.suffix:
            return cls(path, format or "parquet", True, format is None)
        by_suffix = _SUFFIXES.get(path.suffix.lower())
        if format is None and by_suffix is None:
            raise ValueError(
                f"-o {str(out)!r}: the suffix gives no format. Give --format, or a file that ends "
                f"in {', '.join(_SUFFIXES)}."
            )
        return cls(path, format or by_suffix or "")

    @property
    def needs_times(self) -> bool:
        """Whether the format is for events in time."""
        return self.format in ("audacity", "raven", "kaleidoscope", "sed_scores")


def write_results(results: Iterable[Tagged], output: Output, kind: str) -> list[tuple[str, str]]:
    """Print or write results; return the files that could not be read."""
    import pandas as pd

    from sktagger.recordings import write_events

    skipped, tables, lengths = [], [], {}
    as_text = {"table": _as_table, "text": _as_text, "json-lines": _as_json}.get(output.format)
    for result in results:
        if result.cause is not None:
            skipped.append((result.file, result.cause))
        elif as_text is not None:
            print(as_text(result, kind), end="", flush=True)
        elif output.is_folder:
            assert output.path is not None
            output.path.mkdir(parents=True, exist_ok=True)
            _write_recording(result, output)
        else:
            tables.append(result.rows)
            lengths[result.file] = result.duration
    if as_text is not None or output.is_folder:
        return skipped
    table = pd.concat(tables, ignore_index=True) if tables else no_rows()
    if output.path is not None:
        needed: Any = {"lengths": lengths} if output.format == "sed_scores" else {}
        write_events(table, output.path, output.format, **needed)
    else:
        print_rows(table, output.format)
    return skipped


def print_rows(rows: pd.DataFrame, format: str) -> None:
    """Print rows for other programs; the last column has the scores."""
    if format == "csv":
        print(rows.to_csv(index=False, float_format="%.6g"), end="")
    elif format == "json":
        print(rows.to_json(orient="records", indent=1, double_precision=6))
    else:
        print(json_lines(rows) if format == "json-lines" else tab_separated(rows), end="")


def tab_separated(rows: pd.DataFrame) -> str:
    """Write a line per row: file, onset, offset, perhaps event, score."""
    return "".join(
        f"{printable(file)}\t{onset:.3f}\t{offset:.3f}\t"
        + "".join(f"{printable(event)}\t" for event in events)
        + f"{score:.4f}\n"
        for file, onset, offset, *events, score in rows.itertuples(index=False)
    )


def json_lines(rows: pd.DataFrame) -> str:
    """Write a JSON object per row; the last column has the scores."""
    score = rows.columns[-1]
    return "".join(
        json.dumps({**row, score: round(float(row[score]), 4)}) + "\n"
        for row in rows.to_dict("records")
    )


def _write_recording(result, output):
    from sktagger.recordings import write_events

    stem = Path(result.file).stem
    suffix = ".txt" if output.format in ("audacity", "raven") else f".{output.format}"
    if output.format == "sed_scores":
        lengths = {result.file: result.duration}
        write_events(result.rows, output.path, output.format, lengths=lengths)
        return
    rows = result.rows.drop(columns="file") if output.format == "audacity" else result.rows
    write_events(rows, output.path / f"{stem}{suffix}", output.format)


def _as_table(result, kind):
    """Write what was found in a file for a terminal."""
    lines = [f"{printable(result.file)}  ({clock(result.duration)})"]
    width = max([len(printable(event)) for event in result.rows["event"]] or [0])
    for row in result.rows.itertuples():
        times = "" if kind == "clips" else f"{clock(row.onset)} - {clock(row.offset)}  "
        lines.append(
            f"  {times}{printable(row.event).ljust(width)}  {bar(row.score)}  {row.score:.2f}"
        )
    if len(lines) == 1:
        lines.append("  nothing above the threshold")
    return "".join(f"{line}\n" for line in lines)


def _blocks():
    """Return the characters of bars, which the terminal must be able to show."""
    try:
        "█·".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#", "."
    return "█", "·"


def _as_text(result, kind):
    return tab_separated(result.rows)


def _as_json(result, kind):
    return json_lines(result.rows)


def bar(score: float) -> str:
    """Draw a score from 0 to 1."""
    full, empty = _blocks()
    filled = max(0, round(_BAR * score))
    return full * filled + empty * (_BAR - filled)


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, after hours if there are any."""
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"
