"""Write and read databases as Parquet files, one row per clip.

The columns are ``dataset``, ``example_id`` and the keys of the examples. A key whose values are all
strings, integers, numbers or truth values has a column of that type, which other programs can read.
Other values, such as lists, are JSON text. The metadata of the file list these columns, and
the data sets in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from sktagger._utils.json import JSONError, parse_json

SUFFIXES = (".parquet", ".pq")
_METADATA = b"sktagger"
_SECONDS = ("audio_length", "audio_start", "audio_stop")
_PLACE = ("dataset", "example_id")
_MEANT = (
    "a table with the columns dataset, example_id, audio_path and events (lists of strings), as "
    "Database.save writes it. Read other tables with sktagger.datasets.read_table"
)


def import_pyarrow(purpose: str) -> Any:
    """Return the module pyarrow with ``pyarrow.parquet``.

    Parameters
    ----------
    purpose : str
        What needs it, for the message.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"{purpose} requires pyarrow, which is not installed. Install it: "
            "pip install sktagger[parquet]"
        ) from error
    return pyarrow


def to_parquet(sets: dict[str, dict[str, dict[str, Any]]], path: Path) -> bytes:
    """Return the content of a Parquet file of a database.

    Parameters
    ----------
    sets : dict of str to dict of str to dict
        The examples by data set and id.
    path : Path
        The file, for messages.

    Returns
    -------
    bytes

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    """
    pa = import_pyarrow(f"Writing {path.name!r}")
    examples = [example for clips in sets.values() for example in clips.values()]
    places = [(name, example_id) for name, clips in sets.items() for example_id in clips]
    arrays = {
        column: pa.array([place[i] for place in places], pa.string())
        for i, column in enumerate(_PLACE)
    }
    keys = list(dict.fromkeys(key for example in examples for key in example))
    names, json_keys = {}, []
    for key in ["audio_path", "events", *(k for k in keys if k not in ("audio_path", "events"))]:
        name = key
        while name in arrays:  # a key of the examples may be called "dataset"
            name += "_"
        names[name] = key
        present = [example[key] for example in examples if key in example]
        if (kind := _column_type(pa, key, present)) is None:
            json_keys.append(key)
            values = [json.dumps(e[key]) if key in e else None for e in examples]
            arrays[name] = pa.array(values, pa.string())
        else:
            arrays[name] = pa.array([example.get(key) for example in examples], kind)
    metadata = {"datasets": list(sets), "names": names, "json": json_keys}
    table = pa.table(arrays).replace_schema_metadata({_METADATA: json.dumps(metadata)})
    stream = BytesIO()
    pa.parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def _column_type(pa: Any, key: str, values: Iterable[Any]) -> Any:
    """Return the type of a column, or None for values that only JSON can represent."""
    if key == "events":
        return pa.list_(pa.string())
    kinds = {type(value) for value in values}
    if key in _SECONDS and kinds == {int, float}:
        return pa.float64()
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return types.get(kinds.pop()) if len(kinds) == 1 else None


def from_parquet(path: Path) -> dict[str, Any]:
    """Read a database from a Parquet file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        As the JSON file of the same database, not yet checked.

    Raises
    ------
    FileNotFoundError, OSError
        If the file is missing or cannot be opened.
    ImportError
        If pyarrow is not installed.
    ValueError
        If it is not a Parquet file or has other columns.
    """
    content = path.read_bytes()
    pa = import_pyarrow(f"Reading {path.name!r}")
    try:
        table = pa.parquet.read_table(BytesIO(content))
        rows, columns = table.to_pylist(), table.column_names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _malformed(path, f"no Parquet file ({error})", "a Parquet file") from error
    for column in (*_PLACE, "audio_path", "events"):
        if column not in columns:
            raise _malformed(path, f"the columns {', '.join(columns):.200}", _MEANT)
    described = _describe(path, table)
    names = described.get("names", {})
    json_keys = frozenset(described.get("json", ()))
    sets: dict[str, Any] = {name: {} for name in described.get("datasets", ())}
    for row, values in enumerate(rows):
        dataset, example_id = (values.pop(column) for column in _PLACE)
        if not isinstance(dataset, str) or not isinstance(example_id, str):
            got = f"dataset {dataset!r:.60} and example_id {example_id!r:.60} in row {row}"
            raise _malformed(path, got, "strings")
        example = {}
        for name, value in values.items():
            key = names.get(name, name)
            if value is None:
                continue
            example[key] = _parse(path, key, row, value) if key in json_keys else value
        examples = sets.setdefault(dataset, {})
        if example_id in examples:
            got = f"the clip {example_id!r} of {dataset!r} again in row {row}"
            raise _malformed(path, got, "each clip once")
        examples[example_id] = example
    return {"datasets": sets}


def _describe(path, table):
    """Return the metadata that Database.save writes; another program may have written others."""
    text = (table.schema.metadata or {}).get(_METADATA)
    if text is None:
        return {}
    try:
        described = parse_json(text)
        kinds = {"datasets": list, "names": dict, "json": list}
        if not all(isinstance(described.get(key), kind) for key, kind in kinds.items()):
            raise _malformed(path, "other metadata", "those of Database.save")
    except (JSONError, AttributeError) as error:
        raise _malformed(path, "damaged metadata", "those of Database.save") from error
    strings = [*described["datasets"], *described["names"].values(), *described["json"]]
    if not all(isinstance(name, str) for name in strings):
        raise _malformed(path, "damaged metadata", "those of Database.save")
    return described


def _parse(path, key, row, text):
    try:
        return parse_json(text)
    except (JSONError, AttributeError, TypeError) as error:
        raise _malformed(path, f"{text!r:.60} as {key!r} in row {row}", "JSON text") from error


def _malformed(path, got, allowed):
    return ValueError(f"{path}: got {got}; allowed is {allowed}. Correct the file.")
