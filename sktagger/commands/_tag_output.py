"""Print and write what was found in recordings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sktagger._utils.files import expand_path
from sktagger._utils.text import printable
from sktagger.commands._tagging import Tagged, no_rows

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "csv", "json", "parquet", "audacity", "raven", "kaleidoscope", "sed_scores")
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
        """Find out what the options -o and --format mean."""
        if out is None:
            if format not in (None, "table", "csv", "json"):
                raise ValueError(f"--format {format} needs a file or a folder. Give it by -o.")
            return cls(None, format or "table")
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


def write_results(
    results: Iterable[Tagged], output: Output, kind: str, *, json_lines: bool = False
) -> list[tuple[str, str]]:
    """Print or write results; return the files that could not be read."""
    import pandas as pd

    from sktagger.recordings import write_events

    skipped, tables, lengths = [], [], {}
    for result in results:
        if result.cause is not None:
            skipped.append((result.file, result.cause))
            continue
        if json_lines:
            print_rows(result.rows, "json lines")
        elif output.path is None and output.format == "table":
            print(_as_text(result, kind), flush=True)
        elif output.is_folder:
            assert output.path is not None
            output.path.mkdir(parents=True, exist_ok=True)
            _write_recording(result, output)
        else:
            tables.append(result.rows)
            lengths[result.file] = result.duration
    if json_lines or output.is_folder or (output.path is None and output.format == "table"):
        return skipped
    table = pd.concat(tables, ignore_index=True) if tables else no_rows()
    if output.path is not None and output.format != "table":
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
    else:  # an object per line
        score = rows.columns[-1]
        for row in rows.to_dict("records"):
            print(json.dumps({**row, score: round(float(row[score]), 4)}), flush=True)


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


def _as_text(result, kind):
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
    return "\n".join(lines)


def bar(score: float) -> str:
    """Draw a score from 0 to 1."""
    filled = max(0, round(_BAR * score))
    return "█" * filled + "·" * (_BAR - filled)


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, after hours if there are any."""
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"
