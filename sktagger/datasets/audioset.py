"""Import AudioSet from its tables of segments."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from sktagger._utils.files import expand_path
from sktagger._utils.text import nearest
from sktagger.datasets._audio_index import AudioIndex
from sktagger.datasets._audioset import audioset_classes
from sktagger.datasets._database import Database
from sktagger.datasets._importing import Importer
from sktagger.datasets._tables import join_names, read_text_file, to_seconds

__all__ = ["read_audioset"]

_ENDING = "_segments"


def read_audioset(
    source: str | os.PathLike[str],
    audio: str | os.PathLike[str] | None = None,
    *,
    classes: str | os.PathLike[str] | None = None,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    r"""Import the part of AudioSet [1]_ whose audio is there.

    The layout is::

        balanced_train_segments.csv    (YTID, start_seconds, end_seconds, positive_labels)
        eval_segments.csv
        unbalanced_train_segments.csv
        audio/Y--PJHxphWEs.wav

    Audio files are named by the video in one of the usual ways: ``<id>``, ``Y<id>``,
    ``<id>_<start>``, ``<id>_<start>_<end>``, or one of the last two after ``Y``, with times in
    seconds or milliseconds, in any folder inside of `audio`. A file ``<id>`` or ``Y<id>`` that is
    more than 1 s longer than its segment is taken for the whole video, of which the clip is the
    section from start to end. Since videos disappear, files are usually missing; they are left out
    and counted.

    Parameters
    ----------
    source : str or PathLike
        A table of segments, or the folder of the tables; ``~`` is expanded.
    audio : str, PathLike or None, default=None
        Folder of the audio files. None: that of the tables.
    classes : str, PathLike or None, default=None
        Table of the classes, ``class_labels_indices.csv``. None: the 527 classes of
        :func:`sktagger.datasets.audioset_classes`.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        The sets are named as the tables: "balanced_train", "eval" and "unbalanced_train". Events
        are display names. The key ``group`` is the video.

    Raises
    ------
    FileNotFoundError
        If there is no `source`, `audio` or `classes`.
    ValueError
        If a line of a table is malformed, a class is not known, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    References
    ----------
    .. [1] J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio
       events", ICASSP 2017. https://research.google.com/audioset/download.html

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pathlib.Path(folder, "eval_segments.csv")
    ...     _ = table.write_text('--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\n')
    ...     soundfile.write(f"{folder}/Y--4gqARaEJE.wav", np.zeros(800), 8000)
    ...     db = read_audioset(folder)
    >>> db.events("eval")
    ['Domestic animals, pets', 'Squeak']
    """
    importer = Importer(source, on_error=on_error, verbose=verbose)
    folder = importer.source if importer.source.is_dir() else importer.source.parent
    tables = [importer.source]
    if importer.source.is_dir():
        tables = sorted(importer.source.glob(f"*{_ENDING}.csv"))
    if not tables:
        raise ValueError(
            f"source: the folder {str(importer.source)!r} has no table *{_ENDING}.csv. Give the "
            "folder of AudioSet's tables, or one of them."
        )
    names = _read_classes(classes)
    index = AudioIndex(folder if audio is None else expand_path(audio).absolute())
    for table in tables:
        _add_segments(importer, table, index, names)
    importer.count("audio files are in no table and are left out", index.unused())
    return importer.finish()


def _add_segments(importer, table, index, names):
    dataset = table.stem.removesuffix(_ENDING)
    for number, line in enumerate(read_text_file(table)[0].split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{table}, line {number}"
        cells = [cell.strip() for cell in line.split(",", 3)]
        if len(cells) < 4:
            raise ValueError(
                f"{where}: got {len(cells)} cells; allowed are YTID, start_seconds, end_seconds "
                "and positive_labels, separated by commas. Fetch the table again."
            )
        video, mids = cells[0], cells[3].strip('"').split(",")
        if video == "YTID":
            continue
        start, end = (to_seconds(cell, where) for cell in cells[1:3])
        events = [_event(mid, names, where) for mid in join_names(mids)]
        if not events:
            raise ValueError(
                f"{where}: there is no class; each segment has one. Fetch the table again."
            )
        try:
            if (path := index.find(*_file_names(video, start, end))) is None:
                raise FileNotFoundError(
                    f"No audio file of the video {video!r} is in {str(index.folder)!r}. Fetch it, "
                    "or leave it out."
                )
        except (FileNotFoundError, ValueError) as error:
            importer.add_absent(dataset, video, video, error)
            continue
        # a file that is named after the video alone may be the whole of it
        is_clip = Path(path).stem not in (video, f"Y{video}")
        section = None if is_clip else (start, end)
        importer.add(dataset, path, events, section=section, keys={"group": video})


def _file_names(video: str, start: float, end: float) -> list[str]:
    """Return the usual names of the file of a segment, without suffix."""
    begins = [f"{start:g}", f"{start:.3f}", f"{start:.1f}", f"{1000 * start:.0f}"]
    ends = [f"{end:g}", f"{end:.3f}", f"{end:.1f}", f"{1000 * end:.0f}"]
    times = [f"_{begin}_{end}" for begin, end in zip(begins, ends, strict=True)]
    times += [*(f"_{begin}" for begin in begins), ""]
    return [prefix + video + time for time in times for prefix in ("", "Y")]


def _event(mid, names, where):
    if mid not in names:
        raise ValueError(
            f"{where}: the class {mid!r} is not known{nearest(mid, names)}. Give the table of its "
            "classes as classes."
        )
    return names[mid]


def _read_classes(path):
    if path is None:
        table = audioset_classes().rename(columns={"name": "display_name"})
    else:
        file = Path(expand_path(path))
        if not file.is_file():
            raise FileNotFoundError(f"classes: there is no file {str(file)!r}. Give another path.")
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    if not {"mid", "display_name"} <= set(table.columns):
        raise ValueError(
            f"classes: {path} has the columns {', '.join(table.columns)}; allowed is a table with "
            "the columns mid and display_name. Give class_labels_indices.csv of AudioSet."
        )
    return dict(zip(table["mid"], table["display_name"], strict=True))
