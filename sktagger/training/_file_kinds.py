"""Find the file that a tagger is read from, and tell kinds of files apart.

A file that another call reads then gives an error that names the call.
"""

import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sktagger._utils.json import parse_json

METADATA_KEY = "sktagger"
# In bytes. Names of events and the history of a training take most of it: some 300 bytes per
# validation interval.
MAX_HEADER = 2**24
# how readers of safetensors and JSON fail on damaged files
HEADER_FAULTS = (SafetensorError, struct.error, LookupError, TypeError, ValueError)

# of torch.save before PyTorch 1.6: the pickle of a magic number
LEGACY_BEGINNING = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_EVALUATED = "tagger.safetensors"
_SUFFIXES = (".safetensors", ".pt")  # of checkpoints; ".pt" up to format 2


def find_checkpoint(directory: Path, name: str) -> Path | None:
    """Find a checkpoint of the present format, else one of an earlier format.

    Parameters
    ----------
    directory : Path
    name : {"best", "latest"}

    Returns
    -------
    Path or None
        None: there is neither.
    """
    return next(filter(Path.is_file, checkpoint_paths(directory, name)), None)


def checkpoint_paths(directory: Path, name: str) -> list[Path]:
    """Give the paths that a checkpoint may have; the first is that of the present format."""
    return [directory / f"{name}{suffix}" for suffix in _SUFFIXES]


def find_tagger(path: Path, *, tuned: bool | None) -> Path:
    """Find the file that a tagger is read from.

    Parameters
    ----------
    path : Path
        A file, or a directory of an experiment, of its checkpoints, or of an evaluation.
    tuned : bool or None
        Whether the tagger must have thresholds, which only evaluations write. None: either will do.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If there is no such file, or the directory holds no tagger.
    ValueError
        If another call or program reads the file.
    """
    if path.is_dir():
        return _find_in(path, tuned)
    if not path.is_file():
        raise FileNotFoundError(f"Saved tagger {str(path)!r} does not exist.")
    if is_checkpoint(path):
        if tuned:
            raise ValueError(
                f"{str(path)!r} is a checkpoint, which has no thresholds: WALNetTagger.load reads "
                "it."
            )
        return path
    hint = _other_reader(path)
    if hint:
        raise ValueError(f"{str(path)!r} is not a saved tagger: {hint}.")
    return path


def _find_in(directory, tuned):
    folders = (directory / "checkpoints", directory)
    best = next(filter(None, (find_checkpoint(folder, "best") for folder in folders)), None)
    evaluated = [directory / _EVALUATED, *directory.glob(f"eval/*/{_EVALUATED}")]
    evaluated = sorted(filter(Path.is_file, evaluated), key=lambda file: file.stat().st_mtime_ns)
    latest = evaluated[-1] if evaluated else None
    found = latest if tuned else best or latest
    if found is None and best is not None:
        raise FileNotFoundError(
            f"{str(directory)!r} has no thresholds yet: `sktagger evaluate` tunes them, and "
            "WALNetTagger.load reads the tagger without them."
        )
    if found is None:
        raise FileNotFoundError(
            f"{str(directory)!r} holds no tagger. Give a file that `save` wrote, or the directory "
            "that `sktagger train` printed; it has a best checkpoint after the first validation."
        )
    return found


def is_checkpoint(path: Path) -> bool:
    """Say whether a file is a checkpoint: a file of PyTorch, or safetensors that say so."""
    return _is_torch_file(path) or (is_safetensors(path) and _kind(path) == "checkpoint")


def is_safetensors(path: Path) -> bool:
    """Say whether a file begins like safetensors: a length of 8 bytes, then a JSON object."""
    return _first_bytes(path)[8:9] == b"{"


def read_header(path: Path) -> dict[str, Any]:
    """Read what sktagger noted in the metadata of a file of safetensors.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        Plain data, not checked.

    Raises
    ------
    SafetensorError, struct.error, LookupError, TypeError, ValueError
        If the file is damaged, or sktagger did not write it.
    """
    with open(path, "rb") as file:
        (n_bytes,) = struct.unpack("<Q", file.read(8))
    if n_bytes > MAX_HEADER:
        raise ValueError(f"its header would have {n_bytes} bytes, more than {MAX_HEADER}")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if METADATA_KEY not in metadata:
        raise ValueError("it has no metadata of sktagger")
    header = parse_json(metadata[METADATA_KEY])
    if not isinstance(header, dict):
        raise ValueError(f"its metadata are no JSON object, but of type {type(header).__name__}")
    return header


def _other_reader(path):
    """Say what reads a file that is not a checkpoint; an empty text if it may hold a tagger."""
    first = _first_bytes(path)
    if is_safetensors(path):
        kind = _kind(path)
        if kind not in (None, "tagger"):
            return f"it is of the kind {kind!r:.40}, which a newer version of sktagger may read"
    elif first.startswith((b"\x80", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"x\x9c")):
        return "it looks like a pickle, which joblib.load reads (only if you trust it)"
    elif first.lstrip()[:1] in (b"{", b"["):
        return "it looks like JSON; a database is read by load_database"
    return ""


def _kind(path):
    """Read the kind of a file of safetensors; None if it has none, or is damaged."""
    try:
        return read_header(path).get("kind")
    except HEADER_FAULTS:
        return None


def _is_torch_file(path):
    """Say whether a file begins like a zip archive, or like the layout before PyTorch 1.6."""
    return _first_bytes(path).startswith((b"PK", LEGACY_BEGINNING))


def _first_bytes(path):
    with open(path, "rb") as file:
        return file.read(len(LEGACY_BEGINNING))
