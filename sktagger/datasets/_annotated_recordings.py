"""Find the recordings that annotation tables belong to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from sktagger._utils.files import expand_path
from sktagger.datasets._annotation_tables import parse_rows
from sktagger.datasets._audio_index import AudioIndex
from sktagger.datasets._cutting import Annotation
from sktagger.datasets._finding import walk
from sktagger.datasets._importing import TRAINING_SET, Importer
from sktagger.datasets._tables import is_missing, read_text_file

# As in night.Table.1.selections.txt and night.BirdNET.selection.table.txt.
_TABLE_ENDING = re.compile(r"(\.table\.\d+)?(\.birdnet)?(\.selections?)?(\.table)?$", re.IGNORECASE)


def add_tables(
    importer: Importer,
    audio: str | os.PathLike[str] | None,
    parse: Callable[[str, Path], list[dict]],
) -> None:
    """Add the recordings of all tables of the source.

    Parameters
    ----------
    importer : Importer
        Its source is a table, or a folder of tables with the suffix ``.txt``.
    audio : str, PathLike or None
        Folder of the recordings. None: that of the tables.
    parse : callable
        ``parse(text, path)`` returns the rows of a table, see
        :func:`sktagger.datasets._annotation_tables.parse_rows`.
    """
    source = importer.source
    folder, tables = source.parent, [source]
    if source.is_dir():
        folder = source
        found = [parts for parts in walk(source) if not parts[-1].startswith(".")]
        tables = [source.joinpath(*parts) for parts in found if parts[-1].lower().endswith(".txt")]
    if not tables:
        raise ValueError(
            f"source: the folder {str(source)!r} has no file with the suffix .txt. Give the folder "
            "of the tables, or one table."
        )
    index = AudioIndex(folder if audio is None else expand_path(audio).absolute())
    for table in tables:
        try:
            text, encoding = read_text_file(table)
            rows = parse(text, table)
            place = table.relative_to(folder)
            recordings = _by_recording(rows, table, place, index, trust_paths=audio is None)
        except (OSError, ValueError) as error:
            importer.add_absent(TRAINING_SET, table.stem, str(table), error)
            continue
        if encoding != "utf-8-sig":
            importer.notes.append(f"{table.name} is not UTF-8 and is read as {encoding}")
        for path, events in recordings.items():
            importer.add(TRAINING_SET, path, (), events)
    importer.notes.append(f"{len(tables)} table" + "s" * (len(tables) > 1))
    importer.count("recordings have no table and are left out", index.unused())


def _by_recording(
    rows: list[dict], table: Path, place: Path, index: AudioIndex, *, trust_paths: bool
) -> dict[str, list[Annotation]]:
    """Return the annotations of each recording of a table."""
    for row in rows:
        row["event"] = row["event"].strip()
        if is_missing(row["event"]):
            raise ValueError(
                f"Line {row['line']} of {str(table)!r} has no event. Each line must have one. "
                "Name it, or remove the line."
            )
    times = parse_rows(rows, repr(str(table)))
    found: dict[str, list[Annotation]] = {}
    if not rows:
        found[_find(None, place, index, trust_paths)] = []
    paths: dict[str | None, str] = {}
    for row, onset, offset in zip(rows, times["onset"], times["offset"], strict=True):
        file = row.get("file")
        if file not in paths:
            paths[file] = _find(file, place, index, trust_paths)
        found.setdefault(paths[file], []).append(Annotation(onset, offset, row["event"]))
    return found


def _find(file: str | None, place: Path, index: AudioIndex, trust_paths: bool) -> str:
    """Return the path of a recording that a table names, or of the one that is named like it."""
    near = place.parent.parts
    if file is None:
        name = _TABLE_ENDING.sub("", place.stem)
        path = index.find(place.stem, name, near=near)
    else:
        if trust_paths and os.path.isabs(file) and os.path.isfile(file):
            path = os.path.normpath(file)
            index.used.add(path)
            return path
        *folders, name = re.split(r"[/\\]+", file.strip())
        path = index.find(name, os.path.splitext(name)[0], near=folders or near)
    if path is None:
        raise index.missing(name)
    return path
