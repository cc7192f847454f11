"""Import tables of audio files and their events."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sktagger._utils.files import expand_path
from sktagger._utils.text import quoted, short
from sktagger.datasets._cutting import Annotation, Cutting
from sktagger.datasets._database import Database
from sktagger.datasets._finding import AudioFinder
from sktagger.datasets._importing import TRAINING_SET, Importer, standard_set_name
from sktagger.datasets._tables import (
    find_column,
    is_missing,
    join_names,
    read_cells,
    to_seconds,
)

__all__ = ["read_table"]

_FILES = (
    *("file", "filename", "path", "filepath", "fname", "audio", "wav", "clip", "recording"),
    *("file name", "file path", "audio path", "audio file", "audio filename", "slice file name"),
)
_EVENTS = (
    *("event", "events", "label", "labels", "tag", "tags", "class", "classes", "category"),
    *("categories", "species", "event label", "event labels", "event name", "common name"),
)
_SETS = ("dataset", "set", "split", "subset", "partition")
_ONSETS = ("onset", "onset s", "onset (s)")
_OFFSETS = ("offset", "offset s", "offset (s)")
_SEPARATORS = (";", "|", ",")
_YES, _NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no", ""}


def read_table(
    path: str | os.PathLike[str],
    *,
    file: str | None = None,
    events: str | Sequence[str] | None = None,
    separator: str | None = None,
    root: str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    onset: str | None = None,
    offset: str | None = None,
    keys: Sequence[str] = (),
    window: float | None = None,
    overlap: float = 0.0,
    min_overlap: float | None = 0.5,
    min_share: float | None = 0.5,
    keep_empty: bool = True,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    r"""Import a table of audio files and their events: CSV, TSV or Parquet.

    Events are in one column, or each event has a column of 0 and 1. Rows of the same file are
    joined. An empty cell (or NaN) is a clip without events. Text files may be in UTF-8, UTF-16 or
    Windows-1252 (Latin-1), and columns may be separated by commas, semicolons, tabs or ``|``.

    Parameters
    ----------
    path : str or PathLike
        The table, whose first line names the columns; ``~`` is expanded.
    file : str or None, default=None
        Column of the audio files. None: the only one with a usual name, such as "filename".
    events : str, list of str or None, default=None
        Column of the events, or the columns that are events, with 0 or 1 in each row. None: the
        only one with a usual name, such as "label"; without one, all columns of 0 and 1.
    separator : str or None, default=None
        Between the events in a cell. None: the only one of ``;``, ``|`` and ``,`` that occurs, or
        "" if the events have times. "": each cell is one event, such as "Speech, child".
        Lists as Python prints them are understood, too.
    root : str, PathLike or None, default=None
        Folder that the paths of files start from. None: the folder of the table. If a file does
        not exist, a backslash is taken as a slash, letters may differ in case, and a missing
        suffix is completed; the report counts these.
    dataset : str or None, default=None
        Column of the data sets. "train" becomes "balanced_train", "val" "validate", and "test"
        "eval". None: the only one with a usual name, such as "split"; without one, all clips are
        in "balanced_train".
    onset, offset : str or None, default=None
        Columns of the beginning and end of the event of a row, in seconds. None: columns of these
        names.
    keys : list of str, default=()
        Other columns to keep as keys of the examples, such as "fold", as text. If the rows of a
        file differ, the first counts.
    window : float or None, default=None
        If the events have times: length of the clips in seconds that recordings are cut into.
        None: each recording is one clip.
    overlap : float, default=0.0
        Overlap of neighboring clips in seconds, below `window`.
    min_overlap : float or None, default=0.5
        An event is in a clip if at least this many seconds of it are.
    min_share : float or None, default=0.5
        An event is in a clip, too, if at least this share of it is. Clips that contain only
        shorter pieces of events are left out.
    keep_empty : bool, default=True
        Whether clips without events are kept, when recordings are cut.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        Its attribute ``report`` tells which columns were found, and what was left out.

    Raises
    ------
    FileNotFoundError
        If there is no table or no folder `root`.
    ValueError
        If a column is not clear or does not exist, a cell is malformed, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".
    ImportError
        If it is a Parquet table, and pyarrow is not installed.

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/1.wav", np.zeros(800), 8000)
    ...     table = pathlib.Path(folder, "labels.csv")
    ...     _ = table.write_text("filename,labels\n1.wav,rain;siren\n")
    ...     db = read_table(table)
    >>> db.events("balanced_train")
    ['rain', 'siren']
    >>> print(*db.report.notes, sep="\n")
    files from the column 'filename', events from 'labels', separated by ';'
    """
    cutting = None
    if window is not None:
        cutting = Cutting(window, overlap, min_overlap, min_share, keep_empty)
    importer = Importer(path, on_error=on_error, verbose=verbose, cutting=cutting)
    source = importer.source
    table = read_cells(source, importer.notes)
    find = _Columns(table, source)
    files = find("file", file, _FILES, "audio files")
    if files is None:
        raise ValueError(
            f"file: no column of {source.name} has a usual name of audio files; its columns are "
            f"{quoted(table.columns, 20)}. Give the column as file."
        )
    sets = find("dataset", dataset, _SETS, "the names of data sets")
    times = _times(find, onset, offset, table)
    if cutting and times is None:
        raise ValueError(
            f"window: {source.name} has no columns 'onset' and 'offset', so it cannot be cut; its "
            f"columns are {quoted(table.columns, 20)}. Give onset and offset, or no window."
        )
    kept = [str(find("keys", key, (), "a key")) for key in keys]
    taken = {files, sets, *(times or ()), *kept}
    if separator is None and times is not None:
        separator = ""  # a row has the times of one event
    events_of, described = _events(find, events, separator, taken)
    importer.notes.append(f"files from the column {files!r}, {described}")
    if sets is not None:
        importer.notes.append(f"data sets from {sets!r}")
    if times is not None:
        do = "recordings are cut" if cutting else "not used, since no window is given"
        importer.notes.append(f"times from {times[0]!r} and {times[1]!r}: {do}")
    finder = AudioFinder(source.parent if root is None else expand_path(root).absolute())
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        where, name = f"{source}, line {line}", row[files]
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: the column {files!r} is empty. Give each row a file.")
        in_set = standard_set_name(row[sets]) if sets is not None and row[sets] else TRAINING_SET
        found = events_of(row, where)
        try:
            audio = finder.find(name)
        except FileNotFoundError as error:
            importer.add_absent(in_set, name, name, error)
            continue
        extra: dict[str, Any] = {key: row[key] or None for key in kept}
        if cutting:
            annotations = _annotations(row, times, found, where)
            importer.add(in_set, audio, (), annotations, keys=extra)
        else:
            importer.add(in_set, audio, found, keys=extra)
    importer.count("files are found in another spelling", finder.respelled)
    return importer.finish()


class _Columns:
    """Find the columns of a table."""

    def __init__(self, table: pd.DataFrame, path: Path) -> None:
        self.table, self.path = table, path

    def __call__(
        self, argument: str, given: str | None, usual: Sequence[str], what: str
    ) -> str | None:
        return find_column(self.table, given, usual, argument=argument, what=what, path=self.path)


def _times(find, onset, offset, table):
    """Return the columns of onsets and offsets, or None."""
    found = [
        find("onset", onset, _ONSETS, "the beginning of events"),
        find("offset", offset, _OFFSETS, "the end of events"),
    ]
    if None not in found:
        return tuple(found)
    if onset is not None or offset is not None:
        missing = "onset" if found[0] is None else "offset"
        raise ValueError(
            f"{missing}: no column of {find.path.name} has this name; its columns are "
            f"{quoted(table.columns, 20)}. Give both onset and offset."
        )
    return None


def _annotations(row, times, events, where):
    onset, offset = (row[column] for column in times)
    if not onset and not offset:  # a recording without events
        return []
    start, stop = to_seconds(onset, f"{where}, {times[0]}"), to_seconds(offset, f"{where}, offset")
    if stop < start:
        raise ValueError(f"{where}: the event ends at {stop} s, before it begins at {start} s.")
    return [Annotation(start, stop, event) for event in events]


def _events(find, events, separator, taken):
    """Return a function that gives the events of a row, and a description for the report."""
    table = find.table
    if events is not None and not isinstance(events, str):
        columns = [find("events", name, (), "an event") for name in events]
        return _from_columns(columns), f"events from {len(columns)} columns of 0 and 1"
    column = find("events", events, _EVENTS, "events")
    if column is not None and column not in taken:
        found = _find_separator(table[column], column, separator)
        described = f"events from {column!r}" + f", separated by {found!r}" * bool(found)
        return _from_cells(column, found), described
    others = [name for name in table.columns if name not in taken]
    flags = [name for name in others if set(map(str.casefold, map(str, table[name]))) <= _YES | _NO]
    flags = [name for name in flags if any(cell != "" for cell in table[name])]
    if not flags:
        raise ValueError(
            f"events: no column of {find.path.name} has a usual name of events or contains 0 and 1 "
            f"only; its columns are {quoted(table.columns, 20)}. Give the column as events."
        )
    described = f"events from {len(flags)} columns of 0 and 1: {quoted(flags)}"
    if left := [name for name in others if name not in flags]:
        described += f"; not used: {quoted(left)}"
    return _from_columns(flags), described


def _from_columns(columns):
    def events_of(row: dict[str, Any], where: str) -> list[str]:
        found = []
        for column in columns:
            value = str(row[column]).casefold()
            if value not in _YES | _NO:
                raise ValueError(
                    f"{where}, {column}: got {short(row[column])}; allowed is 0 or 1. Correct the "
                    "cell, or give the columns of events."
                )
            if value in _YES:
                found.append(column)
        return found

    return events_of


def _from_cells(column, separator):
    def events_of(row: dict[str, Any], where: str) -> list[str]:
        cell = row[column]
        if isinstance(cell, str) and (parsed := _parse_list(cell)) is not None:
            cell = parsed
        if isinstance(cell, list):
            return join_names(cell)
        return join_names(cell.split(separator) if separator else [cell])

    return events_of


def _parse_list(cell: str) -> list[str] | None:
    """Return a list as Python prints it, as in a column of lists that pandas wrote to CSV."""
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        names = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return names if all(isinstance(name, str) for name in names) else None


def _find_separator(cells, column, given):
    if given is not None:
        return given
    texts = [c for c in cells if isinstance(c, str) and not is_missing(c) and not _parse_list(c)]
    found = [s for s in _SEPARATORS if any(s in text for text in texts)]
    if len(found) > 1:
        examples = [next(text for text in texts if s in text) for s in found]
        raise ValueError(
            f"separator: the column {column!r} contains {' and '.join(map(repr, found))}, for "
            f"example in {quoted(examples)}. Give the separator between events, or '' if each cell "
            "is one event."
        )
    return found[0] if found else ""
