"""Read the tables of public data sets, whose layout is fixed, and add their clips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sktagger._utils.text import quoted
from sktagger.datasets._importing import Importer
from sktagger.datasets._tables import join_names, read_cells


def read_rows(
    importer: Importer, name: str, needed: tuple[str, ...]
) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Read a table of a data set.

    Parameters
    ----------
    importer : Importer
        Its source is the folder of the data set.
    name : str
        Path of the table below this folder.
    needed : tuple of str
        Columns that the table must have.

    Yields
    ------
    where : str
        The place of the row, for messages.
    row : dict of str to str
        By column.

    Raises
    ------
    FileNotFoundError
        If there is no such table. The message lists what there is.
    ValueError
        If a column is missing.
    """
    path = importer.source / name
    if not path.is_file():
        there = sorted(p.name for p in importer.source.glob("*"))
        raise FileNotFoundError(
            f"root: {str(importer.source)!r} has no file {name!r}; it has "
            f"{quoted(there) or 'nothing'}. Give the folder of the data set, with its own layout."
        )
    table = read_cells(path, importer.notes)
    if missing := [column for column in needed if column not in table]:
        raise ValueError(
            f"{path}: it lacks the column {missing[0]!r}; its columns are "
            f"{quoted(table.columns, 20)}. Give the data set with its own table."
        )
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        yield f"{path}, line {line}", row


def integer(row: dict[Any, Any], column: str, where: str) -> int:
    """Return the integer in a cell."""
    try:
        return int(row[column])
    except ValueError as error:
        raise ValueError(
            f"{where}, {column}: got {row[column]!r}; allowed is an integer. Fetch the table again."
        ) from error


def add_clip(
    importer: Importer, dataset: str, name: str, events: list[str], where: str, **keys: Any
) -> None:
    """Add a clip, or note that its file is missing."""
    events = join_names(events)
    if not events:
        raise ValueError(f"{where}: there is no event; each clip has one. Fetch the table again.")
    path = str(importer.source / name)
    if os.path.isfile(path):
        importer.add(dataset, path, events, keys=keys)
        return
    error = FileNotFoundError(
        f"Audio file {path!r} does not exist. Fetch the rest of the data set, or leave it out."
    )
    importer.add_absent(dataset, Path(name).stem, path, error)
