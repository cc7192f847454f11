"""Parts of the results of an archive: Parquet files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence, Set
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktagger._utils.files import replacing
from sktagger._utils.json import JSONError, parse_json
from sktagger.datasets._parquet import import_pyarrow

_METADATA = b"sktagger"
_PATTERN = "part-*.parquet"
EMBEDDING = "embedding"  # column
_BLOCK_ROWS = 2**14  # rows of results that are in memory when embeddings are searched


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


def to_table(rows: pd.DataFrame, embeddings: np.ndarray | None = None) -> Any:
    """Make a table of pyarrow, with a column of embeddings if there are any.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
    embeddings : ndarray of shape (n_rows, n_features), float16, or None, default=None

    Returns
    -------
    pyarrow.Table
        `embedding` is a list of fixed size.
    """
    pa = import_pyarrow("Writing results of an archive")
    table = pa.Table.from_pandas(rows, preserve_index=False)
    if embeddings is None:
        return table
    values = pa.array(embeddings.reshape(-1))
    # reading is faster if no value can be missing
    kind = pa.list_(pa.field("element", values.type, nullable=False), embeddings.shape[1])
    column = pa.FixedSizeListArray.from_arrays(values, type=kind)
    return table.append_column(pa.field(EMBEDDING, kind, nullable=False), column)


class Block(NamedTuple):
    """Consecutive rows with embeddings.

    Attributes
    ----------
    files : pyarrow.Array of str, of length n_rows
    onsets, offsets : ndarray of shape (n_rows,), float64
        In seconds.
    embeddings : ndarray of shape (n_rows, n_features), float32
    """

    files: Any
    onsets: np.ndarray
    offsets: np.ndarray
    embeddings: np.ndarray

    def take(self, rows: np.ndarray) -> Block:
        """Return some of the rows."""
        pa = import_pyarrow("Reading results of an archive")
        return Block(self.files.take(pa.array(rows)), *(values[rows] for values in self[1:]))


def read_blocks(path: Path, kind: str) -> Iterator[Block]:
    """Read the embeddings of a part, block by block.

    Parameters
    ----------
    path : Path
        The part.
    kind : {"clips", "windows"}
        Rows of "clips" last from 0 to the duration.

    Yields
    ------
    Block
        Of at most 16384 rows.
    """
    pa = import_pyarrow("Reading results of an archive")
    times = ["duration"] if kind == "clips" else ["onset", "offset"]
    with pa.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_BLOCK_ROWS, columns=["file", *times, EMBEDDING]):
            *onsets, offsets = (np.asarray(batch.column(name), np.float64) for name in times)
            first = onsets[0] if onsets else np.zeros(len(offsets))
            yield Block(batch.column("file"), first, offsets, as_matrix(batch.column(EMBEDDING)))


def write_part(
    folder: Path,
    rows: Any,
    files: dict[str, Version],
    skipped: dict[str, tuple[Version, str]],
) -> Path:
    """Write a part.

    Parameters
    ----------
    folder : Path
    rows : pyarrow.Table
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
    stream = BytesIO()
    table = rows.replace_schema_metadata({**(rows.schema.metadata or {}), _METADATA: metadata})
    # a dictionary or statistics of embeddings would take time, and be of no use
    others = [name for name in table.column_names if name != EMBEDDING]
    options = {"use_dictionary": others, "write_statistics": others, "row_group_size": _BLOCK_ROWS}
    pa.parquet.write_table(
        table, stream, compression="zstd", **(options if EMBEDDING in table.column_names else {})
    )
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
    rows = pa.parquet.read_table(part.path)
    files = {path: version for path, version in part.files.items() if path not in paths}
    skipped = {path: found for path, found in part.skipped.items() if path not in paths}
    if files or skipped:
        kept = rows.column("file").to_pandas().isin(list(files))
        _write(part.path, rows.filter(pa.array(kept)), files, skipped)
    else:
        part.path.unlink()


def read_results(
    out_dir: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    *,
    embeddings: bool = False,
) -> pd.DataFrame:
    """Read the results that :func:`tag_files` has written.

    Parameters
    ----------
    out_dir : str or PathLike
        Folder of the results. `tag_files` may still be running.
    columns : sequence of str or None, default=None
        Columns to read, such as ``["file", "onset", "Rain"]``. None: all, except embeddings.
    embeddings : bool, default=False
        Whether to read the embeddings, too. They are in the last column, `embedding`, which has an
        ndarray of shape (n_features,), float32, in each row. Stack them with
        ``np.stack(rows["embedding"])``.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns)
        As :func:`tag_files` describes it. Rows of a file follow each other.

    Raises
    ------
    FileNotFoundError
        If there are no results.
    ValueError
        If a part is damaged, there is no such column, or there are no embeddings. The message names
        what is missing.
    """
    parts = [part.path for part in read_parts(_folder(out_dir))]
    if not parts:
        raise FileNotFoundError(
            f"There are no results in {os.fspath(out_dir)!r}. Give the folder that tag_files wrote."
        )
    pa = import_pyarrow("Reading results of an archive")
    known = pa.parquet.read_schema(parts[0]).names
    unknown = [column for column in columns or () if column not in known or column == EMBEDDING]
    if unknown:
        names = ", ".join(name for name in known if name != EMBEDDING)
        hint = " Set embeddings=True." if EMBEDDING in known and EMBEDDING in unknown else ""
        raise ValueError(
            f"columns: there is no column {unknown[0]!r}. There are {names:.500}.{hint}"
        )
    if embeddings and EMBEDDING not in known:
        raise ValueError(
            f"embeddings=True, but the results in {os.fspath(out_dir)!r} have no embeddings. Call "
            "tag_files with embeddings=True and another folder."
        )
    asked = [name for name in known if name != EMBEDDING] if columns is None else list(columns)
    tables, vectors = [], []
    for path in parts:
        table = pa.parquet.read_table(path, columns=asked + [EMBEDDING] * embeddings)
        if embeddings:
            vectors += [as_matrix(chunk) for chunk in table.column(EMBEDDING).chunks]
            table = table.drop_columns([EMBEDDING])
        tables.append(table.replace_schema_metadata(None))
    rows = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    if embeddings:
        cells = [vector for of_chunk in vectors for vector in of_chunk]
        rows[EMBEDDING] = pd.Series(cells, rows.index, dtype=object)
    return rows


def as_matrix(embeddings: Any) -> np.ndarray:
    """Convert a column of embeddings.

    Parameters
    ----------
    embeddings : pyarrow.FixedSizeListArray of length n_rows

    Returns
    -------
    ndarray of shape (n_rows, n_features), float32
    """
    values = embeddings.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(embeddings), embeddings.type.list_size).astype(np.float32)


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
