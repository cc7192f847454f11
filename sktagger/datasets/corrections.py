"""Corrections of labels, which the review page saves, and how a database takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sktagger._utils.files import expand_path
from sktagger._utils.json import parse_json
from sktagger._utils.schema import Field, check_object
from sktagger._utils.text import listed, nearest, short
from sktagger.datasets._check import check_content
from sktagger.datasets._database import Database
from sktagger.datasets.database import load_database
from sktagger.datasets.report import check_database

__all__ = ["read_corrections"]

KIND = "sktagger corrections"
FORMAT = 1
_TEXT_OR_NONE = "a string or null"
_FIELDS = {
    "dataset": Field(_TEXT_OR_NONE, lambda x: x is None or isinstance(x, str)),
    "id": Field("a string", lambda x: isinstance(x, str) and bool(x)),
    "path": Field(_TEXT_OR_NONE, lambda x: x is None or isinstance(x, str)),
    "start": Field("a number of samples or null", lambda x: x is None or type(x) is int),
    "stop": Field("a number of samples or null", lambda x: x is None or type(x) is int),
    "events": Field(
        "a list of strings",
        lambda x: isinstance(x, list) and all(isinstance(event, str) for event in x),
    ),
}
_TOP = {
    "kind": Field(repr(KIND), lambda x: x == KIND),
    "format": Field(str(FORMAT), lambda x: type(x) is int and x == FORMAT),
    "clips": Field("a list", lambda x: isinstance(x, list)),
}


def read_corrections(
    source: str | os.PathLike[str],
    *,
    database: str | os.PathLike[str] | Database | None = None,
    dataset: str = "reviewed",
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    """Read the corrections that a review page saved, and put them into a database.

    Parameters
    ----------
    source : str or PathLike
        File of corrections, see :func:`sktagger.review.write_review_page`.
    database : str, PathLike, Database or None, default=None
        Database that the clips are from. The events of its clips are replaced by the corrected
        ones; all else stays. None: a new database of the clips in the file.
    dataset : str, default="reviewed"
        Data set of clips that were in no database. If there is a clip of the same path in it, it is
        replaced.
    on_error : {"skip", "raise"}, default="skip"
        What to do with clips in no database whose file is missing.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        With a `report`. The file of `database` does not change.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or no file of corrections, or the database does not have a data set
        or a clip that it names.
    """
    path = expand_path(source)
    clips = _read(path)
    if database is not None and not isinstance(database, Database):
        database = load_database(database)
    content: dict[str, dict[str, Any]] = {}
    if database is not None:
        content = {name: dict(database.examples(name)) for name in database.datasets}
    for clip in clips:
        if clip["dataset"] is not None:
            _correct(content, clip, path, database)
            continue
        if clip["path"] is None or not os.path.exists(clip["path"]):
            if on_error == "raise":
                raise FileNotFoundError(
                    f"{path}: the clip {clip['id']!r} has the file {clip['path']!r}, which does "
                    "not exist."
                )
            continue
        examples = content.setdefault(dataset, {})
        example = {"audio_path": clip["path"], "events": clip["events"]}
        if clip["start"] is not None or clip["stop"] is not None:
            example["audio_start_samples"] = clip["start"] or 0
            if clip["stop"] is not None:
                example["audio_stop_samples"] = clip["stop"]
        examples[clip["id"]] = example
    if not any(content.values()):
        raise ValueError(f"{path}: there is no clip in it that exists. Give the database, too.")
    place = path if database is None else database.path
    checked = check_content(place, {"datasets": content})
    training_set = dataset if database is None else database.training_set
    corrected = Database(place, checked, training_set)
    corrected.report = check_database(corrected, verbose=verbose)
    return corrected


def _correct(content: dict, clip: Mapping[str, Any], path: Path, database: Database | None):
    if database is None:
        raise ValueError(
            f"{path}: the clip {clip['id']!r} is from the data set {clip['dataset']!r} of a "
            "database. Give it by database, or --database."
        )
    examples = content.get(clip["dataset"])
    if examples is None:
        raise ValueError(
            f"{path}: {database.path} has no data set {clip['dataset']!r}; there are "
            f"{listed(content)}. Give the database that was reviewed."
        )
    if clip["id"] not in examples:
        raise ValueError(
            f"{path}: the data set {clip['dataset']!r} of {database.path} has no clip "
            f"{short(clip['id'])}{nearest(clip['id'], examples)}. Give the database that was "
            "reviewed."
        )
    examples[clip["id"]] = {**examples[clip["id"]], "events": clip["events"]}


def _read(path):
    try:
        content = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error

    def fault(place, found, allowed):
        where = f" at {place}" if place else ""
        return ValueError(
            f"{path} is no file of corrections:{where} got {found}; allowed is {allowed}. Give a "
            "file that the review page has saved."
        )

    check_object(content, _TOP, fault)
    for i, clip in enumerate(content["clips"]):
        check_object(clip, _FIELDS, fault, place=f"clips[{i}]")
    return content["clips"]
