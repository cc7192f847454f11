"""Read the JSON file of a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sktagger._utils.json import JSONError, parse_json
from sktagger._utils.text import nearest
from sktagger.datasets._file_formats import advise, describe_format


def load_json(path: Path) -> Any:
    """Read a JSON database, see :func:`sktagger._utils.json.parse_json`.

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
        others = sorted(file.name for file in path.parent.glob("*.json"))
        raise FileNotFoundError(
            f"path: no file {str(path)!r}{nearest(path.name, others)}. "
            "Give the path of an existing JSON database."
        ) from error
    except IsADirectoryError as error:
        raise ValueError(
            f"path: {str(path)!r} is a folder; allowed is a JSON file. Give the file in it."
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
