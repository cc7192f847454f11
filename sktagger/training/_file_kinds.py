"""Telling files apart that hold taggers, so that each call can say which one reads a file."""

from pathlib import Path

_EVALUATED = "tagger.safetensors"


def find_tagger(path: Path, *, tuned: bool | None) -> Path:
    """Find the file that a tagger is to be loaded from.

    Parameters
    ----------
    path : Path
        A file, or a directory of an experiment, of its checkpoints, or of an evaluation.
    tuned : bool or None
        Whether thresholds are wanted, which only evaluations have.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If there is no such file, or none in the directory.
    ValueError
        If the file's first bytes tell that another program reads it.
    """
    if path.is_dir():
        return _find_in(path, tuned)
    if not path.is_file():
        raise FileNotFoundError(f"Saved tagger {str(path)!r} does not exist.")
    if tuned and is_checkpoint(path):
        raise ValueError(
            f"{str(path)!r} is a checkpoint, which has no thresholds: WALNetTagger.load reads it."
        )
    hint = other_reader(path)
    if hint and not is_checkpoint(path):
        raise ValueError(f"{str(path)!r} is no saved tagger: {hint}.")
    return path


def _find_in(directory, tuned):
    best = [directory / "checkpoints" / "best.pt", directory / "best.pt"]
    evaluated = [directory / _EVALUATED, *directory.glob(f"eval/*/{_EVALUATED}")]
    evaluated = sorted(filter(Path.is_file, evaluated), key=lambda file: file.stat().st_mtime_ns)
    found = next(filter(Path.is_file, best), None)
    if tuned:
        found, best = (evaluated or [None])[-1], found
        if found is None and best is not None:
            raise FileNotFoundError(
                f"{str(directory)!r} has no thresholds yet: `sktagger evaluate` tunes them, and "
                "WALNetTagger.load reads the tagger without them."
            )
    elif found is None and evaluated:
        found = evaluated[-1]
    if found is None:
        raise FileNotFoundError(
            f"{str(directory)!r} holds no tagger. Give a file that `save` wrote, or the directory "
            "that `sktagger train` printed; it has a best checkpoint after the first validation."
        )
    return found


def is_checkpoint(path: Path) -> bool:
    """Say whether a file is a zip archive, as checkpoints are."""
    return _first_bytes(path).startswith(b"PK")


def is_safetensors(path: Path) -> bool:
    """Say whether a file has a JSON header after its length of 8 bytes, as ``save`` writes it."""
    return _first_bytes(path)[8:9] == b"{"


def other_reader(path: Path) -> str:
    """Say what reads a file, by its first bytes; an empty text if they do not tell."""
    first = _first_bytes(path)
    if is_safetensors(path):
        return ""
    if first.startswith(b"PK"):
        return "it is a checkpoint, which WALNetTagger.load reads"
    if first.startswith((b"\x80", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"x\x9c")):
        return "it looks like a pickle, which joblib.load reads (only if you trust it)"
    if first.lstrip()[:1] in (b"{", b"["):
        return "it looks like JSON; a database is read by load_database"
    return ""


def _first_bytes(path):
    with open(path, "rb") as file:
        return file.read(9)
