"""Read tables that people and other tools write, with every cell as text."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sktagger._utils.text import nearest, quoted
from sktagger.datasets._file_formats import advise, describe_format
from sktagger.datasets._parquet import SUFFIXES, import_pyarrow

_MISSING = frozenset({"", "nan", "<na>", "null"})


def read_text_file(path: Path) -> tuple[str, str]:
    r"""Read a text file, whatever its encoding.

    Parameters
    ----------
    path : Path

    Returns
    -------
    text : str
        With ``\n`` at the ends of lines.
    encoding : str
        UTF-8 if it is that, UTF-16 if it begins with a byte-order mark of that, else Windows-1252
        (a superset of Latin-1).
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    else:
        try:
            content.decode("utf-8-sig")
            encoding = "utf-8-sig"
        except UnicodeDecodeError:
            encoding = "cp1252"
    text = content.decode(encoding, errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def read_cells(path: Path, notes: list[str], *, comment: str = "") -> pd.DataFrame:
    """Read a CSV, TSV or Parquet table.

    Parameters
    ----------
    path : Path
    notes : list of str
        Gets a line about an unusual encoding.
    comment : str, default=""
        Beginning of lines to leave out. Empty: none.

    Returns
    -------
    DataFrame
        Cells are stripped str, "" if missing; cells of a Parquet table may be lists of str. The
        index is the number of the line or row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such table. The message names the line.
    """
    if not path.is_file():
        others = sorted(p.name for p in path.parent.glob("*")) if path.parent.is_dir() else []
        raise FileNotFoundError(
            f"source: there is no file {str(path)!r}{nearest(path.name, others)}. Give a CSV, TSV "
            "or Parquet table."
        )
    if path.suffix.lower() in SUFFIXES:
        return _read_parquet(path)
    with open(path, "rb") as file:
        name = describe_format(file.read(2**16), "")
    if name not in (None, "CSV", "TSV", "plain text", "text in UTF-16", "YAML"):
        raise ValueError(
            f"{path}: it looks like {name}; allowed is CSV, TSV or Parquet. "
            f"{advise(name).replace(', then read it with sktagger.datasets.read_table', '')}."
        )
    text, encoding = read_text_file(path)
    if encoding != "utf-8-sig":
        notes.append(f"{path.name} is not UTF-8 and is read as {encoding}")
    lines = text.split("\n")
    if comment:
        lines = ["" if line.startswith(comment) else line for line in lines]
    first = next((line for line in lines if line.strip()), "")
    return _parse(path, lines, find_delimiter(first))


def find_delimiter(header: str) -> str:
    r"""Return the delimiter that occurs most in the header of a table.

    Examples
    --------
    >>> find_delimiter('"file, with path"\tevents')
    '\t'
    """
    outside = re.sub(r'"[^"]*"', "", header)
    return max("\t,;|", key=outside.count)


def _parse(path: Path, lines: list[str], delimiter: str) -> pd.DataFrame:
    reader = csv.reader(
        io.StringIO("\n".join(lines)), delimiter=delimiter, skipinitialspace=delimiter != "\t"
    )
    header, rows, numbers = None, [], []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if header is None:
                header = cells
                continue
            if any(cells[len(header) :]):
                raise ValueError(
                    f"{path}, line {reader.line_num}: got {len(cells)} cells; allowed are "
                    f"{len(header)}, as in the first line. Put cells that contain the delimiter "
                    f"{delimiter!r} in quotation marks."
                )
            rows.append((cells + [""] * len(header))[: len(header)])
            numbers.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}. Correct the line.") from error
    if header is None:
        raise ValueError(f"{path}: the table is empty. Give a table with a line of column names.")
    while header and not header[-1]:  # spreadsheets write empty columns
        header.pop()
        rows = [row[: len(header)] for row in rows]
    if twice := [name for i, name in enumerate(header) if name in header[:i]]:
        raise ValueError(
            f"{path}: the column {twice[0]!r} occurs more than once. Give each column one name."
        )
    rows = [["" if is_missing(cell) else cell for cell in row] for row in rows]
    return pd.DataFrame(rows, columns=header, index=numbers, dtype=object)


def _read_parquet(path: Path) -> pd.DataFrame:
    pa = import_pyarrow(f"Reading {path.name!r}")
    try:
        table = pa.parquet.read_table(path).to_pydict()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path}: it is no Parquet table ({error}). Give another file.") from error
    columns = {name.strip(): [_cell(value) for value in cells] for name, cells in table.items()}
    return pd.DataFrame(columns, dtype=object)


def _cell(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return [str(item).strip() for item in value if item is not None]
    text = "" if value is None else str(value).strip()
    return "" if is_missing(text) else text


def is_missing(cell: str) -> bool:
    """Say whether a cell is empty, or a program wrote NaN there."""
    return cell.casefold() in _MISSING


def find_column(
    table: pd.DataFrame,
    given: str | None,
    usual: Sequence[str],
    *,
    argument: str,
    what: str,
    path: Path,
) -> str | None:
    """Return the column that a user named, or the only one with a usual name.

    Parameters
    ----------
    table : DataFrame
    given : str or None
        What the user gave. None: find it.
    usual : sequence of str
        Usual names, in lower case.
    argument : str
        Name of the argument, for messages.
    what : str
        What the column contains, for messages.
    path : Path
        The table, for messages.

    Returns
    -------
    str or None
        None if nothing is given and no column has a usual name.

    Raises
    ------
    ValueError
        If there is no column `given`, or several columns have usual names.
    """
    if given is not None:
        for name in table.columns:
            if name == str(given).strip():
                return name
        raise ValueError(
            f"{argument}: {path.name} has no column {given!r}{nearest(given, table.columns)}; its "
            f"columns are {quoted(table.columns, 20)}. Give the column of {what}."
        )
    found = [name for name in table.columns if plain_name(name) in usual]
    if len(found) > 1:
        raise ValueError(
            f"{argument}: any of the columns {quoted(found)} of {path.name} may contain {what}. "
            f"Give one of them as {argument}."
        )
    return found[0] if found else None


def plain_name(column: str) -> str:
    """Return the name of a column in lower case, with single spaces for other separators."""
    return re.sub(r"[\s_.-]+", " ", column).strip().casefold()


def to_seconds(text: str, place: str) -> float:
    """Parse a time in seconds; the decimal separator may be a comma."""
    try:
        seconds = float(text.replace(",", "."))
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{place}: got {text!r}; allowed is a time in seconds, from 0 up.")
    return seconds


def join_names(names: Iterable[str]) -> list[str]:
    """Return distinct names without those that are empty, in their order."""
    return [name for name in dict.fromkeys(map(str.strip, names)) if not is_missing(name)]
