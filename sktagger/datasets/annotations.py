"""Import annotations in time: selection tables of Raven and label files of Audacity."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from sktagger._utils.text import quoted
from sktagger.datasets._annotated_recordings import add_tables
from sktagger.datasets._annotation_tables import RAVEN_NAMES, parse_audacity, parse_raven
from sktagger.datasets._cutting import Cutting
from sktagger.datasets._database import Database
from sktagger.datasets._importing import Importer
from sktagger.datasets._tables import find_column, plain_name

__all__ = ["read_audacity", "read_raven"]

# Usual columns of events, in this order of preference.
_USUAL = (*RAVEN_NAMES, "Annotations", "Event", "Label", "Labels", "Class", "Call type", "Tag")
# Beginnings of the names of columns that Raven or a classifier fills in.
_MEASURED = re.compile(
    r"selection|view|channel|begin|end |end$|file |low freq|high freq|delta|freq|time|offset|"
    r"length|power|amp|energy|entropy|duration|bw|peak|score|confidence|rank|number|occupancy"
)


def read_raven(
    source: str | os.PathLike[str],
    audio: str | os.PathLike[str] | None = None,
    *,
    events: str | None = None,
    window: float | None = 10.0,
    overlap: float = 0.0,
    min_overlap: float | None = 0.5,
    min_share: float | None = 0.5,
    keep_empty: bool = True,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    r"""Import selection tables of Raven, and cut their recordings into clips.

    A table [1]_ is a text file with tabs between its columns ``Begin Time (s)``,
    ``End Time (s)`` and one of events. ``Begin Path`` or ``Begin File`` names the recording of a
    row. Without these columns, a table belongs to the recording of the same name::

        recordings/night.Table.1.selections.txt   (or night.txt)
        recordings/night.wav

    If there is ``File Offset (s)``, it is the onset of the event in its file, because Raven can
    show several files as one. A table without rows is a recording without events. Recordings
    without a table are left out and counted, since they may contain events.

    Parameters
    ----------
    source : str or PathLike
        A table, or a folder of tables with the suffix ``.txt``; ``~`` is expanded.
    audio : str, PathLike or None, default=None
        Folder of the recordings, which may be in folders inside. None: that of the tables, and
        the paths of ``Begin Path`` if they exist.
    events : str or None, default=None
        Column of the events. None: the first of "Annotation", "Species", "Common Name", "Label",
        "Class" and the like that is not empty, or else the only column that is none of Raven's
        measurements.
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
        Whether clips without events are kept, as examples of the background.
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
        If there is no table, no clip is left, or a setting of the clips is out of range.
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

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(f"{folder}/night.wav", np.zeros(4 * 1000), 1000)
    ...     table = pathlib.Path(folder, "night.Table.1.selections.txt")
    ...     _ = table.write_text("Begin Time (s)\tEnd Time (s)\tSpecies\n2.5\t3.5\towl\n")
    ...     db = read_raven(folder, window=2)
    >>> db.table("balanced_train")["events"].tolist()
    [[], ['owl']]
    """
    cutting = _cutting(window, overlap, min_overlap, min_share, keep_empty)
    importer = Importer(source, on_error=on_error, verbose=verbose, cutting=cutting)
    columns: dict[str, None] = {}
    joined: list[str] = []

    def parse(text: str, table: Path) -> list[dict]:
        rows = parse_raven(text, repr(str(table)))
        if rows:
            column = _event_column(rows, events, table)
            columns[column] = None
            for row in rows:
                row["event"] = row["cells"][column]
            if len({r["file"] for r in rows}) > 1 and "File Offset (s)" not in rows[0]["cells"]:
                joined.append(table.name)
        return rows

    add_tables(importer, audio, parse)
    if columns:
        importer.notes.append(f"events from the column {quoted(columns)}")
    importer.count(
        "tables name several files without 'File Offset (s)'; their times are taken from the "
        "beginning of each file",
        joined,
    )
    return importer.finish()


def read_audacity(
    source: str | os.PathLike[str],
    audio: str | os.PathLike[str] | None = None,
    *,
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
    Lines that begin with a backslash, which state the frequencies of the label before, are left
    out. A label file belongs to the recording of the same name::

        recordings/night.txt
        recordings/night.wav

    An empty label file is a recording without events. Recordings without a label file are left
    out and counted, since they may contain events.

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
        An event is in a clip if at least this many seconds of it are. A label of a point in time
        is in the clips around it.
    min_share : float or None, default=0.5
        An event is in a clip, too, if at least this share of it is. Clips that contain only
        shorter pieces of events are left out.
    keep_empty : bool, default=True
        Whether clips without events are kept, as examples of the background.
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
        If there is no label file, no clip is left, or a setting of the clips is out of range.
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
    add_tables(importer, audio, lambda text, table: parse_audacity(text, repr(str(table))))
    return importer.finish()


def _cutting(window, *settings):
    return None if window is None else Cutting(window, *settings)


def _event_column(rows: list[dict], given: str | None, table: Path) -> str:
    cells = [row["cells"] for row in rows]
    if given is not None:
        frame = pd.DataFrame(columns=list(cells[0]))
        return find_column(frame, given, (), argument="events", what="events", path=table) or given
    filled = [name for name in cells[0] if name and any(row[name].strip() for row in cells)]
    by_name = {plain_name(name): name for name in filled}
    for name in map(plain_name, _USUAL):
        if name in by_name:
            return by_name[name]
    others = [name for plain, name in by_name.items() if not _MEASURED.match(plain)]
    if len(others) != 1:
        raise ValueError(
            f"events: it is not clear which column of {str(table)!r} contains the events: "
            f"{quoted(others) or 'none'} of {quoted(cells[0], 20)}. Give the column as events."
        )
    return others[0]
