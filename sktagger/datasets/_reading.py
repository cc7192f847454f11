"""Read the file of a database, JSON or Parquet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sktagger._utils.files import expand_path, path_hint
from sktagger._utils.json import JSONError, parse_json
from sktagger._utils.text import nearest
from sktagger.datasets._file_formats import advise, describe_format
from sktagger.datasets._parquet import SUFFIXES, from_parquet


def load_content(typed: str | os.PathLike[str]) -> tuple[Path, Any]:
    """Read the file of a database.

    Parameters
    ----------
    typed : str or PathLike
        The file as the user gave it. If its name ends with ``.parquet`` or ``.pq``, it is a
        Parquet file, else JSON.

    Returns
    -------
    path : Path
        Absolute path of the file.
    content : object
        Not yet checked.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        See :func:`load_json` and :func:`sktagger.datasets._parquet.from_parquet`.
    TypeError
        If `typed` is not a path.
    """
    try:
        path = expand_path(typed).absolute()
    except TypeError as error:
        raise TypeError(
            f"path: got {type(typed).__name__}; allowed is the path of a JSON or Parquet file (str "
            "or PathLike). Write the content to a file first."
        ) from error
    is_parquet = path.suffix.lower() in SUFFIXES and path.is_file()
    try:
        return path, from_parquet(path) if is_parquet else load_json(path)
    except FileNotFoundError as error:
        text = os.fspath(typed)
        if not (hint := path_hint(os.path.expanduser(text))):
            raise
        raise FileNotFoundError(f"path: no file {text!r}. {hint}.") from error


def load_json(path: Path) -> Any:
    """Read a database in JSON, see :func:`sktagger._utils.json.parse_json`.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    dict, list, str, int, float, bool or None

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the path is a folder, or the file is not strict JSON. The message names the place, or
        the format that the file seems to have.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        suffixes = (".json", *SUFFIXES)
        others = sorted(f.name for f in path.parent.glob("*") if f.suffix.lower() in suffixes)
        raise FileNotFoundError(
            f"path: no file {str(path)!r}{nearest(path.name, others)}. "
            "Give the path of an existing database."
        ) from error
    except IsADirectoryError as error:
        raise ValueError(
            f"path: {str(path)!r} is a folder; allowed is a JSON or Parquet file. Give the file in "
            "it."
        ) from error
    try:
        parsed = parse_json(content)
    except JSONError as error:
        where, got, allowed = error.args
        if (name := describe_format(content, path.suffix)) is not None:
            raise _other_format(path, where, got, name) from error
        raise malformed(path, where, got, allowed) from error
    if path.suffix.lower() in (".jsonl", ".ndjson") and not _has_datasets(parsed):
        raise _other_format(path, "line 1", "an object without datasets", "JSON Lines")
    return parsed


def malformed(path: Path, where: str, got: str, allowed: str) -> ValueError:
    """Return the error for one place in a database file."""
    return ValueError(
        f"{path}, at {where}: got {got}; allowed is {allowed}. "
        "Correct the file (its format: see sktagger.load_database)."
    )


def _has_datasets(content):
    return isinstance(content, dict) and "datasets" in content


def _other_format(path, where, got, name):
    return ValueError(
        f"{path}, at {where}: got {got}, which looks like {name}; allowed is JSON, "
        '{"datasets": {name: {example_id: {"audio_path": ..., "events": [...]}}}}. '
        f"{advise(name)} (see sktagger.load_database)."
    )
