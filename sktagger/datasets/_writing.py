"""Write databases to files, with audio paths relative to the file where possible."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

from sktagger._utils.files import expand_path, replacing
from sktagger._utils.text import short
from sktagger.datasets._parquet import SUFFIXES, to_parquet


def check_suffix(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Check that a database can be written to a path.

    Parameters
    ----------
    path : str or PathLike
        ``~`` is expanded.
    name : str, default="path"
        Name of the argument, for messages.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    ValueError
        If it does not end with ``.json``, ``.parquet`` or ``.pq``.
    FileNotFoundError
        If its folder does not exist.
    """
    file = expand_path(path).absolute()
    if file.suffix.lower() not in (".json", *SUFFIXES):
        raise ValueError(
            f"{name}: got {short(os.fspath(path))}; allowed is a file that ends with .json or "
            ".parquet. Give for example database.json."
        )
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f"{name}: there is no folder {str(file.parent)!r} for {file.name!r}. Make it, or give "
            "another path."
        )
    return file


def write_database(path: Path, sets: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Write a database.

    Parameters
    ----------
    path : Path
        From :func:`check_suffix`.
    sets : dict of str to dict of str to dict
        The examples by data set and id, with absolute audio paths.

    Raises
    ------
    OSError
        If the file cannot be written.
    ImportError
        If it is a Parquet file and pyarrow is not installed.
    """
    relative = functools.cache(functools.partial(_relative, path.parent))

    def portable(example: dict[str, Any]) -> dict[str, Any]:
        folder, file = os.path.split(example["audio_path"])
        return {**example, "audio_path": os.path.join(relative(folder), file)}

    written = {
        name: {example_id: portable(example) for example_id, example in examples.items()}
        for name, examples in sets.items()
    }
    if path.suffix.lower() in SUFFIXES:
        content = to_parquet(written, path)
    else:
        content = json.dumps({"datasets": written}, indent=1, ensure_ascii=False).encode()
    with replacing(path) as file:
        file.write(content)


def _relative(base: Path, folder: str) -> str:
    """Return a folder relative to another one that contains it, else as it is.

    The names of links are kept, because a link inside of `base` moves with it.
    """
    named, real = os.path.abspath(base), os.path.realpath(base)
    for inner, outer in [(folder, named), (folder, real), (os.path.realpath(folder), real)]:
        if ".." in Path(inner).parts:  # after a link, .. may lead elsewhere
            continue
        if os.path.join(inner, "").startswith(os.path.join(outer, "")):
            inside = os.path.relpath(inner, outer)
            return "" if inside == "." else inside
    return folder
