"""Parts of the results of an archive: Parquet files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence, Set
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sktagger._utils.files import replacing
from sktagger._utils.json import JSONError, parse_json
from sktagger.datasets._parquet import import_pyarrow

_METADATA = b"sktagger"
_PATTERN = "part-*.parquet"


class Version(NamedTuple):
    """What changes if a file is changed.

    Attributes
    ----------
    size : int
        In bytes. -1 if there is no such file.
    mtime : int
        Time of the last change, in ns. -1 if there is no such file.
    """

    size: int = -1
    mtime: int = -1

    @classmethod
    def of(cls, path: str) -> Version:
        """Read the version of a file."""
        try:
            status = os.stat(path)
        except OSError:
            return cls()
        return cls(status.st_size, status.st_mtime_ns)


class Part(NamedTuple):
    """Which files a part has.

    Attributes
    ----------
    path : Path
        The part.
    files : dict of str to Version
        Files whose rows it has, perhaps none.
    skipped : dict of str to (Version, cause)
        Files that could not be read.
    """

    path: Path
    files: dict[str, Version]
    skipped: dict[str, tuple[Version, str]]


def write_part(
    folder: Path,
    rows: pd.DataFrame,
    files: dict[str, Version],
    skipped: dict[str, tuple[Version, str]],
) -> Path:
    """Write a part.

    Parameters
    ----------
    folder : Path
    rows : DataFrame
        Results of the files.
    files : dict of str to Version
    skipped : dict of str to (Version, cause)

    Returns
    -------
    Path
        Its name depends on paths and versions of the files.

    Raises
    ------
    OSError
        If it cannot be written. Nothing is left of it.
    """
    keys = sorted([*files.items(), *((path, v) for path, (v, _) in skipped.items())])
    name = hashlib.sha256(json.dumps(keys).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    path = folder / f"part-{name}.parquet"
    _write(path, rows, files, skipped)
    return path


def _write(path, rows, files, skipped):
    pa = import_pyarrow("Writing results of an archive")
    metadata = json.dumps(
        {
            "files": {path: list(version) for path, version in files.items()},
            "skipped": {path: [list(v), cause] for path, (v, cause) in skipped.items()},
        }
    )
    table = pa.Table.from_pandas(rows, preserve_index=False)
    stream = BytesIO()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA: metadata})
    pa.parquet.write_table(table, stream, compression="zstd")
    with replacing(path) as file:
        file.write(stream.getbuffer())


def read_parts(folder: Path) -> Iterator[Part]:
    """Read which files the parts in a folder have.

    Parameters
    ----------
    folder : Path

    Yields
    ------
    Part
        In the order of their names.

    Raises
    ------
    ValueError
        If a part is damaged. The message names it.
    """
    pa = import_pyarrow("Reading results of an archive")
    for path in sorted(folder.glob(_PATTERN)):
        try:
            found = parse_json(pa.parquet.read_metadata(path).metadata[_METADATA])
            files = {name: Version(*version) for name, version in found["files"].items()}
            skipped = {
                name: (Version(*version), cause)
                for name, (version, cause) in found["skipped"].items()
            }
        except (pa.ArrowException, OSError, JSONError, TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{str(path)!r} is not a part of results ({str(error)[:100]}). It is damaged: "
                "delete it, and call tag_files with resume=True to tag its files again."
            ) from error
        yield Part(path, files, skipped)


def remove_from_part(part: Part, paths: Set[str]) -> None:
    """Remove the results of some files from a part, in one step.

    Parameters
    ----------
    part : Part
    paths : set of str
    """
    pa = import_pyarrow("Reading results of an archive")
    rows = pa.parquet.read_table(part.path).to_pandas()
    files = {path: version for path, version in part.files.items() if path not in paths}
    skipped = {path: found for path, found in part.skipped.items() if path not in paths}
    if files or skipped:
        kept = rows.loc[rows["file"].isin(list(files))].reset_index(drop=True)
        _write(part.path, kept, files, skipped)
    else:
        part.path.unlink()


def read_results(
    out_dir: str | os.PathLike[str], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read the results that :func:`tag_files` has written.

    Parameters
    ----------
    out_dir : str or PathLike
        Folder of the results. `tag_files` may still be running.
    columns : sequence of str or None, default=None
        Columns to read, such as ``["file", "onset", "Rain"]``. None: all.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        As :func:`tag_files` describes it. Rows of a file follow each other.

    Raises
    ------
    FileNotFoundError
        If there are no results.
    ValueError
        If a part is damaged, or there is no such column. The message names it.
    """
    parts = [part.path for part in read_parts(_folder(out_dir))]
    if not parts:
        raise FileNotFoundError(
            f"There are no results in {os.fspath(out_dir)!r}. Give the folder that tag_files wrote."
        )
    pa = import_pyarrow("Reading results of an archive")
    known = pa.parquet.read_schema(parts[0]).names
    unknown = [column for column in columns or () if column not in known]
    if unknown:
        raise ValueError(
            f"columns: there is no column {unknown[0]!r}. There are {', '.join(known):.500}."
        )
    asked = None if columns is None else list(columns)
    tables = [pa.parquet.read_table(path, columns=asked) for path in parts]
    tables = [table.replace_schema_metadata(None) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive").to_pandas()


def read_skipped(out_dir: str | os.PathLike[str]) -> pd.DataFrame:
    """Read which files :func:`tag_files` could not read.

    Parameters
    ----------
    out_dir : str or PathLike
        Folder of the results.

    Returns
    -------
    DataFrame of shape (n_files, 2)
        Columns `file` and `cause`, sorted by file.
    """
    parts = list(read_parts(_folder(out_dir)))
    done = {name for part in parts for name in part.files}
    causes = {name: cause for part in parts for name, (_, cause) in part.skipped.items()}
    rows = sorted((name, cause) for name, cause in causes.items() if name not in done)
    return pd.DataFrame(rows, columns=["file", "cause"], dtype=str)


def _folder(out_dir: Any) -> Path:
    from sktagger._utils.files import expand_path

    return expand_path(out_dir)
