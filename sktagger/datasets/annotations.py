"""Import annotations in time: selection tables of Raven and labels of Audacity."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from sktagger._utils.files import expand_path
from sktagger._utils.text import quoted
from sktagger.datasets._cutting import Annotation, Cutting
from sktagger.datasets._database import Database
from sktagger.datasets._finding import AudioIndex
from sktagger.datasets._importing import TRAINING_SET, Importer
from sktagger.datasets._tables import (
    find_column,
    is_missing,
    plain_name,
    read_cells,
    read_text_file,
    to_seconds,
)

__all__ = ["read_audacity", "read_raven"]

_BEGIN, _END = "begin time (s)", "end time (s)"
# Usual names of the column of events, in this order of preference.
_ANNOTATIONS = (
    *("annotation", "annotations", "event", "label", "labels", "species", "species code"),
    *("common name", "class", "call type", "tag", "tags"),
)
_MEASURED = re.compile(
    r"selection|view|channel|begin|end |end$|file |low freq|high freq|delta|freq|time|offset|"
    r"length|power|amp|energy|entropy|duration|bw|peak|score|confidence|rank|number|occupancy"
)
_TABLE_ENDING = re.compile(r"(\.table\.\d+)?(\.birdnet)?(\.selections?)?(\.table)?$", re.IGNORECASE)


def read_raven(
    source: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    events: str | None = None,
    window: float | None = 10.0,
    overlap: float = 0.0,
    min_overlap: float | None = 0.5,
    min_share: float | None = 0.5,
    keep_empty: bool = True,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    """Import selection tables of Raven, and cut their recordings into clips.

    A table [1]_ is a text file with tabs between its columns ``Begin Time (s)``,
    ``End Time (s)`` and one of events. Its recordings are those of the column ``Begin Path``
    or ``Begin File``. Without these, a table belongs to the recording of the same name, as
    ``night.Table.1.selections.txt`` to ``night.wav``. A table without rows is a recording
    without events. If there is a column ``File Offset (s)``, it is the onset of the event in its
    file, because Raven can show several files as one. Rows of several views count once.

    Parameters
    ----------
    source : str or PathLike
        A table, or a folder of tables with the suffix ``.txt``; ``~`` is expanded.
    audio : str, PathLike or None, default=None
        Folder of the recordings, which may be in folders inside. None: that of the tables.
    events : str or None, default=None
        Column of the events. None: the first usual one, such as "Annotation" or "Species", or
        the only column that is none of Raven's measurements.
    window : float or None, default=10.0
        Length of the clips in seconds. The last clip of a recording overlaps the one before, so
        that it has this length. None: each recording is one clip.
    overlap : float, default=0.0
        Overlap of neighboring clips in seconds, below `window`.
    min_overlap : float or None, default=0.5
        An event is in a clip if at least this many seconds of it are.
    min_share : float or None, default=0.5
        An event is in a clip, too, if at least this share of it is. Clips that contain only
        shorter pieces of events are left out.
    keep_empty : bool, default=True
        Whether clips without events are kept.
    on_error : {"skip", "raise"}, default="skip"
        What to do with tables and recordings that are missing or cannot be read. "skip" leaves
        them out with a warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        All clips are in "balanced_train", see :func:`sktagger.datasets.split_database`. The key
        ``group`` is the recording.

    Raises
    ------
    FileNotFoundError
        If there is no `source` or `audio`.
    ValueError
        If no clip is left, or a setting of the clips is out of range.
    OSError
        If a recording cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If tables or recordings are left out.

    References
    ----------
    .. [1] Cornell Lab of Ornithology, Raven Pro User's Manual, chapter on selections.
       https://www.ravensoundsoftware.com/knowledge-base/
    """
    cutting = _cutting(window, overlap, min_overlap, min_share, keep_empty)
    importer = Importer(source, on_error=on_error, verbose=verbose, cutting=cutting)
    columns = set()

    def read(table: Path, index: AudioIndex) -> Iterator[tuple[str, list[Annotation]]]:
        cells = read_cells(table, importer.notes)
        names = {plain_name(name): name for name in cells.columns}
        if _BEGIN not in names or _END not in names:
            raise ValueError(
                f"{table}: it lacks the column 'Begin Time (s)' or 'End Time (s)'; its columns are "
                f"{quoted(cells.columns, 20)}. Give selection tables of Raven only."
            )
        column = _event_column(cells, events, table)
        columns.add(column)
        found: dict[str, list[Annotation]] = {}
        if not len(cells):
            found[_by_stem(table, index)] = []
        for line, row in zip(cells.index, cells.to_dict("records"), strict=True):
            where = f"{table}, line {line}"
            onset, offset = (to_seconds(row[names[key]], where) for key in (_BEGIN, _END))
            if text := row.get(names.get("file offset (s)", "")):
                onset, offset = (
                    start := to_seconds(text, where),
                    start + offset - onset,
                )
            path = _recording(row, names, table, index)
            _append(found, path, Annotation(onset, offset, row[column]), where)
        yield from found.items()

    _read_tables(importer, audio, read)
    if columns:
        importer.notes.append(f"events from the column {quoted(sorted(columns))}")
    return importer.finish()


def read_audacity(
    source: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    window: float | None = 10.0,
    overlap: float = 0.0,
    min_overlap: float | None = 0.5,
    min_share: float | None = 0.5,
    keep_empty: bool = True,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    r"""Import label files of Audacity, and cut their recordings into clips.

    A label file [1]_ is a text file whose lines are onset, offset and label, separated by tabs.
    Lines that begin with a backslash, which state frequencies, are left out. The file
    ``night.txt`` belongs to ``night.wav``. An empty label file is a recording without events.

    Parameters
    ----------
    source : str or PathLike
        A label file, or a folder of label files with the suffix ``.txt``; ``~`` is expanded.
    audio : str, PathLike or None, default=None
        Folder of the recordings, which may be in folders inside. None: that of the label files.
    window : float or None, default=10.0
        Length of the clips in seconds. The last clip of a recording overlaps the one before, so
        that it has this length. None: each recording is one clip.
    overlap : float, default=0.0
        Overlap of neighboring clips in seconds, below `window`.
    min_overlap : float or None, default=0.5
        An event is in a clip if at least this many seconds of it are.
    min_share : float or None, default=0.5
        An event is in a clip, too, if at least this share of it is. Clips that contain only
        shorter pieces of events are left out.
    keep_empty : bool, default=True
        Whether clips without events are kept.
    on_error : {"skip", "raise"}, default="skip"
        What to do with label files and recordings that are missing or cannot be read. "skip"
        leaves them out with a warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        All clips are in "balanced_train", see :func:`sktagger.datasets.split_database`. The key
        ``group`` is the recording.

    Raises
    ------
    FileNotFoundError
        If there is no `source` or `audio`.
    ValueError
        If no clip is left, or a setting of the clips is out of range.
    OSError
        If a recording cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If label files or recordings are left out.

    References
    ----------
    .. [1] Audacity Manual, "Importing and Exporting Labels".
       https://manual.audacityteam.org/man/importing_and_exporting_labels.html

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/night.wav", np.zeros(8 * 1000), 1000)
    ...     _ = pathlib.Path(folder, "night.txt").write_text("1.0\t2.5\towl\n5.0\t5.5\tfox\n")
    ...     db = read_audacity(folder, window=2)
    >>> db.table("balanced_train")["events"].tolist()
    [['owl'], ['owl'], ['fox'], []]
    """
    cutting = _cutting(window, overlap, min_overlap, min_share, keep_empty)
    importer = Importer(source, on_error=on_error, verbose=verbose, cutting=cutting)

    def read(labels: Path, index: AudioIndex) -> Iterator[tuple[str, list[Annotation]]]:
        text, encoding = read_text_file(labels)
        if encoding != "utf-8-sig":
            importer.notes.append(f"{labels.name} is not UTF-8 and is read as {encoding}")
        path = _by_stem(labels, index)
        found: dict[str, list[Annotation]] = {path: []}
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip() or line.startswith("\\"):
                continue
            where, cells = f"{labels}, line {number}", line.split("\t")
            if len(cells) != 3:
                raise ValueError(
                    f"{where}: got {len(cells)} cells; allowed are onset, offset and label, "
                    "separated by tabs. Export the labels of Audacity again."
                )
            onset, offset = (to_seconds(cell.strip(), where) for cell in cells[:2])
            _append(found, path, Annotation(onset, offset, cells[2].strip()), where)
        yield from found.items()

    _read_tables(importer, audio, read)
    return importer.finish()


def _cutting(window, *settings):
    return None if window is None else Cutting(window, *settings)


def _read_tables(importer, audio, read):
    """Add the recordings of all tables of the source."""
    source = importer.source
    folder = source if source.is_dir() else source.parent
    index = AudioIndex(folder if audio is None else expand_path(audio).absolute())
    tables = [source]
    if source.is_dir():
        tables = sorted(
            path
            for path in source.rglob("*")
            if path.suffix.lower() == ".txt" and not path.name.startswith(".") and path.is_file()
        )
    if not tables:
        raise ValueError(
            f"source: the folder {str(source)!r} has no file with the suffix .txt. Give the folder "
            "of the tables, or one table."
        )
    for table in tables:
        try:
            recordings = list(read(table, index))
        except (OSError, ValueError) as error:
            importer.add_absent(TRAINING_SET, table.stem, str(table), error)
            continue
        for path, events in recordings:
            importer.add(TRAINING_SET, path, (), events)
    importer.notes.append(f"{len(tables)} tables")
    importer.count("recordings have no table and are left out", index.unused())


def _append(found, path, annotation, where):
    """Add an annotation to those of its recording."""
    if is_missing(annotation.event):
        raise ValueError(f"{where}: the event has no name. Give each event a name.")
    if annotation.offset < annotation.onset:
        raise ValueError(
            f"{where}: the event ends at {annotation.offset} s, before it begins at "
            f"{annotation.onset} s. Correct the line."
        )
    found.setdefault(path, []).append(annotation)


def _by_stem(table: Path, index: AudioIndex) -> str:
    stem = _TABLE_ENDING.sub("", table.stem)
    path = index.find(table.stem, stem)
    if path is None:
        raise index.missing(stem)
    return path


def _recording(row, names, table, index):
    """Return the recording of a row."""
    named = [row.get(names.get(key, ""), "") for key in ("begin path", "begin file")]
    if not any(named):
        return _by_stem(table, index)
    for name in filter(None, named):
        if os.path.isabs(name) and os.path.isfile(name):
            index.used.add(name)
            return name
        if path := index.find(re.split(r"[/\\]", name)[-1]):
            return path
    raise index.missing(re.split(r"[/\\]", next(filter(None, named)))[-1])


def _event_column(cells, given, table):
    if given is not None:
        return find_column(cells, given, (), argument="events", what="events", path=table)
    names = {plain_name(name): name for name in cells.columns}
    if usual := [names[name] for name in _ANNOTATIONS if name in names]:
        return usual[0]
    others = [name for plain, name in names.items() if plain and not _MEASURED.match(plain)]
    if len(others) != 1:
        raise ValueError(
            f"{table}: it is not clear which column contains the events: {quoted(others) or 'none'}"
            f" of {quoted(cells.columns, 20)}. Give the column as events."
        )
    return others[0]
