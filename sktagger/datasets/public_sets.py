"""Import public data sets from their own layouts: ESC-50, UrbanSound8K, FSD50K."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from sktagger._utils.json import parse_json
from sktagger._utils.text import quoted
from sktagger.datasets._audioset import audioset_classes
from sktagger.datasets._database import Database
from sktagger.datasets._importing import TRAINING_SET, Importer
from sktagger.datasets._tables import join_names, read_cells

__all__ = ["read_esc50", "read_fsd50k", "read_urbansound8k"]


def read_esc50(
    root: str | os.PathLike[str],
    *,
    esc10: bool = False,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    """Import ESC-50: 2000 clips of 5 s, 50 events, 5 folds [1]_.

    The layout is ``meta/esc50.csv`` and ``audio/*.wav``.

    Parameters
    ----------
    root : str or PathLike
        The folder of the data set; ``~`` is expanded.
    esc10 : bool, default=False
        Whether to import the 10 events of ESC-10 only.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        All clips are in "balanced_train", with the keys ``fold`` (int), ``group`` (the recording
        that a clip comes from) and ``take``. See :func:`sktagger.datasets.split_by_fold`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table.
    ValueError
        If the table has other columns, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    References
    ----------
    .. [1] K. J. Piczak, "ESC: Dataset for environmental sound classification", ACM MM 2015.
       https://github.com/karolpiczak/ESC-50
    """
    importer = Importer(root, on_error=on_error, verbose=verbose)
    needed = ("filename", "fold", "category", "esc10", "src_file")
    table = _read(importer, "meta/esc50.csv", needed)
    if esc10:
        table = table[table["esc10"].str.casefold() == "true"]
    for line, row in _rows(table):
        keys = {"fold": _integer(row, "fold", line), "group": row["src_file"]}
        _add(
            importer, TRAINING_SET, f"audio/{row['filename']}", [row["category"]],
            **keys, take=row.get("take"),
        )  # fmt: skip
    return importer.finish()


def read_urbansound8k(
    root: str | os.PathLike[str], *, on_error: str = "skip", verbose: int | bool = 1
) -> Database:
    """Import UrbanSound8K: 8732 clips of up to 4 s, 10 events, 10 folds [1]_.

    The layout is ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` to ``audio/fold10``.

    Parameters
    ----------
    root : str or PathLike
        The folder of the data set; ``~`` is expanded.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        All clips are in "balanced_train", with the keys ``fold`` (int), ``group`` (the recording
        that a clip comes from) and ``salience`` (1 foreground, 2 background). See
        :func:`sktagger.datasets.split_by_fold`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table.
    ValueError
        If the table has other columns, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    References
    ----------
    .. [1] J. Salamon, C. Jacoby, J. P. Bello, "A dataset and taxonomy for urban sound research",
       ACM MM 2014. https://urbansounddataset.weebly.com/urbansound8k.html
    """
    importer = Importer(root, on_error=on_error, verbose=verbose)
    needed = ("slice_file_name", "fsID", "salience", "fold", "class")
    table = _read(importer, "metadata/UrbanSound8K.csv", needed)
    for line, row in _rows(table):
        fold = _integer(row, "fold", line)
        _add(
            importer, TRAINING_SET, f"audio/fold{fold}/{row['slice_file_name']}", [row["class"]],
            fold=fold, group=row["fsID"], salience=_integer(row, "salience", line),
        )  # fmt: skip
    return importer.finish()


def read_fsd50k(
    root: str | os.PathLike[str],
    *,
    audioset_names: bool = False,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    """Import FSD50K: 51,197 clips of 0.3 to 30 s, 200 events [1]_.

    The layout is ``FSD50K.ground_truth/dev.csv`` and ``eval.csv``, ``FSD50K.dev_audio`` and
    ``FSD50K.eval_audio``. If there is ``FSD50K.metadata/dev_clips_info_FSD50K.json`` (and the same
    for ``eval``), the uploader of a clip is its group. One half of the set may be absent.

    Parameters
    ----------
    root : str or PathLike
        The folder of the data set; ``~`` is expanded.
    audioset_names : bool, default=False
        Whether events get the names that they have in AudioSet, such as "Acoustic guitar" for
        "Acoustic_guitar", if AudioSet's 527 classes contain them.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        The sets are "balanced_train" (split "train"), "validate" (split "val") and "eval".

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table.
    ValueError
        If a table has other columns, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    References
    ----------
    .. [1] E. Fonseca et al., "FSD50K: an open dataset of human-labeled sound events", TASLP 2022.
       https://zenodo.org/records/4060432
    """
    importer = Importer(root, on_error=on_error, verbose=verbose)
    names = audioset_classes().set_index("mid")["name"].to_dict() if audioset_names else {}
    sets = {"train": TRAINING_SET, "val": "validate"}
    halves = [h for h in ("dev", "eval") if _path(importer, _truth(h)).is_file()] or ["dev"]
    if len(halves) == 1:
        importer.notes.append(f"only the half {halves[0]!r} of the set is there")
    for half in halves:
        needed = ("fname", "labels", "mids", *(["split"] if half == "dev" else []))
        table = _read(importer, _truth(half), needed)
        uploaders = _uploaders(importer, half)
        for line, row in _rows(table):
            if half == "dev" and row["split"] not in sets:
                raise ValueError(
                    f"{_path(importer, _truth(half))}, line {line}: got the split "
                    f"{row['split']!r}; allowed is 'train' or 'val'. Fetch the table again."
                )
            labels = row["labels"].split(",")
            mids = row["mids"].split(",")
            if len(labels) == len(mids):
                labels = [names.get(m, label) for label, m in zip(labels, mids, strict=True)]
            _add(
                importer,
                "eval" if half == "eval" else sets[row["split"]],
                f"FSD50K.{half}_audio/{row['fname']}.wav",
                labels,
                group=uploaders.get(row["fname"]),
            )
    return importer.finish()


def _truth(half):
    return f"FSD50K.ground_truth/{half}.csv"


def _uploaders(importer, half):
    """Return the uploader of each clip, if the file of that is there."""
    file = _path(importer, f"FSD50K.metadata/{half}_clips_info_FSD50K.json")
    if not file.is_file():
        return {}
    try:
        clips = parse_json(file.read_bytes())
        return {str(name): str(clip["uploader"]) for name, clip in clips.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{file}: it is not the JSON file of FSD50K ({error!r}). Fetch it again, or remove it."
        ) from error


def _path(importer, name):
    return importer.source / name


def _read(importer: Importer, name: str, needed: tuple[str, ...]) -> pd.DataFrame:
    path = _path(importer, name)
    if not path.is_file():
        there = sorted(p.name for p in Path(importer.source).glob("*"))
        raise FileNotFoundError(
            f"root: {str(importer.source)!r} has no {name!r}; it has {quoted(there) or 'nothing'}. "
            "Give the folder of the data set, with its own layout."
        )
    table = read_cells(path, importer.notes)
    if missing := [column for column in needed if column not in table]:
        raise ValueError(
            f"{path}: it lacks the column {missing[0]!r}; its columns are "
            f"{quoted(table.columns, 20)}. Give the data set with its own table."
        )
    return table


def _rows(table: pd.DataFrame) -> list[tuple[int, dict[str, Any]]]:
    return list(zip(table.index, table.to_dict("records"), strict=True))


def _integer(row, column, line):
    try:
        return int(row[column])
    except ValueError as error:
        raise ValueError(
            f"line {line}, {column}: got {row[column]!r}; allowed is an integer. Fetch the table "
            "again."
        ) from error


def _add(importer, dataset, name, events, **keys):
    """Add a clip, or note that its file is missing."""
    path = str(_path(importer, name))
    if os.path.isfile(path):
        importer.add(dataset, path, join_names(events), keys=keys)
        return
    error = FileNotFoundError(
        f"Audio file {path!r} does not exist. Fetch the rest of the data set, or leave it out."
    )
    importer.add_absent(dataset, Path(name).stem, path, error)
