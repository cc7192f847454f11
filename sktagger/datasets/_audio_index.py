"""Find the recordings that annotations belong to, by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sktagger._utils.text import nearest, short
from sktagger.datasets._finding import is_audio, walk

_MAX_COMPARED = 500  # names; comparing is slow if many files are missing


class AudioIndex:
    """The audio files of a folder and of the folders in it, by name and by stem.

    Parameters
    ----------
    folder : Path
        Absolute.

    Attributes
    ----------
    used : set of str
        The files that were found so far.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"audio: there is no folder {str(folder)!r}. Give the folder of the audio files."
            )
        self.folder = folder
        self.used: set[str] = set()
        self._files: list[str] = []
        self._names: dict[str, list[tuple[str, ...]]] = {}
        self._stems: dict[str, list[tuple[str, ...]]] = {}
        for parts in walk(folder):
            if is_audio(parts[-1]) and not parts[-1].startswith("."):
                self._files.append(os.path.join(folder, *parts))
                self._names.setdefault(parts[-1], []).append(parts)
                self._stems.setdefault(os.path.splitext(parts[-1])[0], []).append(parts)

    def find(self, *names: str, near: Sequence[str] = ()) -> str | None:
        """Return the file that has the first of some names.

        Parameters
        ----------
        *names : str
            Each with or without suffix.
        near : sequence of str, default=()
            Folders on the way to the file. Of files with the same name, the one counts whose last
            folders agree with most of these.

        Returns
        -------
        str or None
            The absolute path. None: no file has any of the names.

        Raises
        ------
        ValueError
            If several files have the name, and it is not clear which one is meant.
        """
        for name in names:
            if found := self._names.get(name) or self._stems.get(name):
                return self._choose(name, found, tuple(near))
        return None

    def _choose(self, name, found, near):
        scores = [(parts[:-1] == near, _n_common(parts[:-1], near)) for parts in found]
        best = [parts for parts, score in zip(found, scores, strict=True) if score == max(scores)]
        paths = [os.path.join(self.folder, *parts) for parts in best]
        if len(paths) > 1:
            raise ValueError(
                f"Audio file {short(name)}: {str(self.folder)!r} has {len(paths)} files of this "
                f"name, such as {paths[0]!r} and {paths[1]!r}. Give a folder with one of them."
            )
        self.used.add(paths[0])
        return paths[0]

    def missing(self, name: str) -> FileNotFoundError:
        """Return the error for a name that no file has."""
        known = self._names if is_audio(name) else self._stems
        hint = nearest(name, known) if len(known) <= _MAX_COMPARED else ""
        return FileNotFoundError(
            f"Audio file {short(name)} is not in the folder {str(self.folder)!r} or in its folders"
            f"{hint}. Correct the name, or give another folder as audio."
        )

    def unused(self) -> list[str]:
        """Return the files that were not found by any name, relative to the folder."""
        return [os.path.relpath(p, self.folder) for p in self._files if p not in self.used]


def _n_common(folders: Sequence[str], others: Sequence[str]) -> int:
    """Count the last folders that agree."""
    n = 0
    while n < min(len(folders), len(others)) and folders[-1 - n] == others[-1 - n]:
        n += 1
    return n
