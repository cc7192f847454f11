"""Find audio files in folders, and the files that tables name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from sktagger._utils.files import path_hint
from sktagger._utils.text import nearest

# Suffixes of files that libsndfile reads.
AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au"}
    | {".snd", ".caf", ".w64", ".rf64", ".sph"}
)
_MAX_DEPTH = 12  # folders; links may form circles
_MAX_SEARCHED = 100_000  # files


def is_audio(name: str) -> bool:
    """Say whether a file has a suffix of audio, in upper or lower case."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def walk(
    folder: str | os.PathLike[str], depth: int = _MAX_DEPTH, *, strict: bool = True
) -> Iterator[tuple[str, ...]]:
    """Yield the files of a folder, sorted, as parts of paths below it.

    Parameters
    ----------
    folder : str or PathLike
    depth : int, default=12
        Number of folders to go down. Links are followed, except to a folder that contains them.
    strict : bool, default=True
        False leaves out folders that cannot be read, and does not check names.

    Yields
    ------
    tuple of str

    Raises
    ------
    PermissionError
        If a folder may not be read.
    ValueError
        If the name of an audio file is not valid, so that tables cannot name it.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        if strict:
            raise
        return
    for entry in found:
        if not entry.is_dir():
            if strict and is_audio(entry.name):
                check_name(entry.path)
            yield (entry.name,)
        elif depth > 0 and not entry.name.startswith(".") and not _leads_up(entry):
            for parts in walk(entry.path, depth - 1, strict=strict):
                yield (entry.name, *parts)


def check_name(path: str) -> None:
    """Raise ValueError if the path of a file cannot be written to a table."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"The name of the file {path!a} is not valid UTF-8, so tables cannot name it. Rename "
            "the file."
        ) from None


def _leads_up(entry: os.DirEntry[str]) -> bool:
    """Say whether a folder is a link to a folder that contains it."""
    if not entry.is_symlink():
        return False
    inside = os.path.join(os.path.realpath(os.path.dirname(entry.path)), "")
    return inside.startswith(os.path.join(os.path.realpath(entry.path), ""))


class AudioFinder:
    """Find the files that a table names.

    A file is found by its path below the root. If it has none, then a backslash may stand for a
    slash, the suffix may be missing, and letters may differ in case.

    Parameters
    ----------
    root : Path
        Folder that relative paths start from.

    Attributes
    ----------
    respelled : list of str
        Names that were found only in another spelling.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FileNotFoundError(
                f"root: there is no folder {str(root)!r}. Give the folder that the paths of audio "
                "files start from."
            )
        self.root = root
        self.respelled: list[str] = []
        self._listed: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str:
        """Return the absolute path of a file.

        Parameters
        ----------
        name : str
            As the table names it.

        Returns
        -------
        str

        Raises
        ------
        FileNotFoundError
            If there is no such file. The message names files that are near.
        """
        path = os.path.normpath(self.root / name)
        if "\0" not in path and os.path.isfile(path):
            return path
        path = os.path.normpath(self.root / name.replace("\\", "/"))
        folder, file = os.path.split(path)
        candidates = [path] if os.path.isfile(path) else self._spelled(folder).get(_key(file), [])
        if not candidates and not is_audio(file):
            candidates = self._spelled(folder, stems=True).get(_key(file), [])
        if len(candidates) == 1:
            self.respelled.append(name)
            return candidates[0]
        raise self._missing(name, folder, file, candidates)

    def _spelled(self, folder: str, *, stems: bool = False) -> dict[str, list[str]]:
        key = folder + "\0" * stems
        if key not in self._listed:
            self._listed[key] = found = {}
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            for name in filter(is_audio, names):
                short = os.path.splitext(name)[0] if stems else name
                found.setdefault(_key(short), []).append(os.path.join(folder, name))
        return self._listed[key]

    def _missing(self, name, folder, file, candidates):
        if candidates:
            hint = f"It may be any of {', '.join(map(repr, candidates[:3]))}: write out its name"
        elif elsewhere := self._by_name.get(file):
            below = os.path.normpath(name.replace("\\", "/"))
            root = elsewhere[: -len(below)] if elsewhere.endswith(os.sep + below) else ""
            place = root.rstrip(os.sep) or os.path.dirname(elsewhere)
            hint = f"A file of that name is {elsewhere!r}: give root={place!r}"
        else:
            hint = path_hint(name, is_missing=True) or "Correct the name, or give another root"
            siblings = sorted(
                os.path.basename(p) for g in self._spelled(folder).values() for p in g
            )
            hint = (
                nearest(file, siblings)[2:].capitalize()
                + ". " * bool(nearest(file, siblings))
                + hint
            )
        return FileNotFoundError(
            f"Audio file {name!r} does not exist in the folder {str(self.root)!r}. {hint}."
        )

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """A file of each name or stem below the root, or below the folder above it.

        They are only for hints, so other people's files must not be an error.
        """
        found = {}
        for base in (self.root, self.root.parent):
            if base == Path(base.anchor) or base == Path.home():
                continue  # too much to search
            for number, parts in enumerate(walk(base, 4, strict=False)):
                if number >= _MAX_SEARCHED:
                    break
                if is_audio(parts[-1]):
                    path = os.path.join(base, *parts)
                    found.setdefault(parts[-1], path)
                    found.setdefault(os.path.splitext(parts[-1])[0], path)
        return found


def _key(name: str) -> str:
    return name.casefold()
