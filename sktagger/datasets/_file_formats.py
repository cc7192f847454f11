"""Recognize the format of a file that should be JSON but is not."""

from __future__ import annotations

import json
import re

_MAGIC = {
    b"PK\x03\x04": "a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow or Feather",
    b"\x1f\x8b": "a file compressed by gzip",
    b"BZh": "a file compressed by bzip2",
    b"\xfd7zXZ": "a file compressed by xz",
    b"\x28\xb5\x2f\xfd": "a file compressed by Zstandard",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "a NumPy array",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"%PDF": "a PDF document",
    b"RIFF": "an audio file",
    b"fLaC": "an audio file",
    b"OggS": "an audio file",
    b"ID3": "an audio file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"version https://git-lfs": "a pointer of Git LFS, whose file `git lfs pull` fetches",
}
_TABLE = "Read it with sktagger.datasets.read_table, or write such JSON"
_CONVERT = "Convert it to such JSON"
_ADVICE = {
    "CSV": _TABLE,
    "TSV": _TABLE,
    "an Excel workbook": "Save it as CSV, then read it with sktagger.datasets.read_table",
    "Parquet": "Give it a name that ends with .parquet",
    "Arrow or Feather": "Save it as Parquet, then read it with sktagger.datasets.read_table",
    "JSON Lines": "Read it with pandas, then pass its columns to fit, or write such JSON",
    "a pickle": "Write its content as such JSON; reading a pickle can run code",
    "a file compressed by gzip": "Unpack it first",
    "a file compressed by bzip2": "Unpack it first",
    "a file compressed by xz": "Unpack it first",
    "a file compressed by Zstandard": "Unpack it first",
    "a ZIP archive": "Unpack it first",
    "text in UTF-16": "Save it as UTF-8",
    "a Python dict": "Write it with json.dump, not with print or str",
}
_DELIMITERS = {",": "CSV", ";": "CSV", "|": "CSV", "\t": "TSV"}
_SUFFIXES = {
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".yaml": "YAML",
    ".yml": "YAML",
    ".toml": "TOML",
    ".xml": "XML or HTML",
    ".txt": "plain text",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".joblib": "a pickle",
}
_N_BYTES = 2**16  # at the beginning of a text, which are examined


def describe_format(content: bytes, suffix: str) -> str | None:
    r"""Recognize the format of a file that is not JSON.

    Parameters
    ----------
    content : bytes
        The content of the file, which is examined first.
    suffix : str
        Suffix of its name, such as ".csv".

    Returns
    -------
    str or None
        The format, such as "CSV". None if the file looks like JSON with an error, or if the
        format is not known.

    Examples
    --------
    >>> describe_format(b"path,events\na.wav,Rain\n", ".json")
    'CSV'
    """
    for magic, name in _MAGIC.items():
        if content.startswith(magic):
            is_workbook = name == "a ZIP archive" and (b"xl/" in content or suffix == ".xlsx")
            return "an Excel workbook" if is_workbook else name
    text = content[:_N_BYTES].decode("utf-8-sig", errors="replace")
    return _describe_text(text, len(content) > _N_BYTES) or _SUFFIXES.get(suffix.lower())


def advise(format_name: str) -> str:
    """Return what to do with a file of another format.

    Parameters
    ----------
    format_name : str
        Result of :func:`describe_format`.

    Returns
    -------
    str
        A sentence without its final period.
    """
    return _ADVICE.get(format_name, _CONVERT)


def _describe_text(text, is_cut):
    lines = [line for line in text.splitlines() if line.strip()]
    if is_cut and len(lines) > 1:
        lines.pop()  # the last line may be incomplete
    if not lines:
        return None
    first, *others = (line.strip() for line in lines[:10])
    if first.startswith("{'"):
        return "a Python dict"
    if first.startswith(("{", "[")):
        return "JSON Lines" if others and _is_json(first) and _is_json(others[0]) else None
    if re.match(r'"[^"]*":', first):  # JSON without its outer braces
        return None
    if first.startswith("<"):
        return "XML or HTML"
    for delimiter, name in _DELIMITERS.items():
        if delimiter in first and all(delimiter in line for line in others):
            return name
    if first == "---" or re.match(r"(- +)?[\w .-]+:(\s|$)", first):
        return "YAML"
    return None


def _is_json(text):
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
