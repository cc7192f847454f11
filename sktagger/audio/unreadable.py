"""Handle clips that cannot be read: raise, warn or skip."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

import pandas as pd

from sktagger._utils.warnings import warn

__all__ = ["Unreadable", "no_clip_left", "skipped_table"]

Result = TypeVar("Result")


class Unreadable:
    """Record of the clips in a container that cannot be read.

    Parameters
    ----------
    on_error : {"raise", "warn", "skip"}
        "raise" raises the error. "warn" leaves the clip out with a warning. "skip" leaves it out
        without one, see :meth:`summarize`.
    container : str, default="X"
        Name of the container in messages.
    n_clips : int, default=0
        Number of clips in the container.

    Attributes
    ----------
    causes : dict of int to str
        Maps the position of an unreadable clip in the container to the error message.
    """

    def __init__(self, on_error: str, container: str = "X", n_clips: int = 0) -> None:
        self.on_error = on_error
        self.container = container
        self.n_clips = n_clips
        self.causes: dict[int, str] = {}
        self._lock = threading.Lock()

    def __contains__(self, position: int) -> bool:
        return position in self.causes

    def read(self, position: int, function: Callable[[], Result]) -> Result | None:
        """Call a function that reads a clip.

        Parameters
        ----------
        position : int
            Position of the clip in the container.
        function : callable
            Called without arguments. Not called if the clip is known to be unreadable.

        Returns
        -------
        object or None
            The result of the function, or None if the clip cannot be read.

        Raises
        ------
        OSError, ValueError, MemoryError
            If the clip cannot be read and `on_error` is "raise".

        Warns
        -----
        UserWarning
            If the clip cannot be read and `on_error` is "warn", once per clip.
        """
        if position in self.causes:
            return None
        try:
            return function()
        except (OSError, ValueError, MemoryError) as error:
            if self.on_error == "raise":
                raise
            with self._lock:
                known = position in self.causes
                self.causes[position] = str(error)
            if self.on_error == "warn" and not known:
                warn(f"Left out: {error}")
            return None

    def first_cause(self) -> str:
        """Return the error message of the first unreadable clip.

        Returns
        -------
        str
        """
        return self.causes[min(self.causes)]

    def summarize(self, consequence: str) -> None:
        """Warn once about all skipped clips.

        Parameters
        ----------
        consequence : str
            What happened to the clips, such as "were left out".

        Warns
        -----
        UserWarning
            If a clip cannot be read and `on_error` is "skip".
        """
        if self.causes and self.on_error == "skip":
            warn(
                f"{len(self.causes)} of {self.n_clips} clips of {self.container} cannot be read "
                f"and {consequence}. The first: {self.first_cause()}"
            )


def no_clip_left(unreadable: Unreadable) -> ValueError:
    """Return the error of a container without any readable clip.

    Parameters
    ----------
    unreadable : Unreadable
        Record of the unreadable clips, at least one.

    Returns
    -------
    ValueError
    """
    return ValueError(
        f"Not one clip of {unreadable.container} can be read. The first: {unreadable.first_cause()}"
    )


def skipped_table(sets: Iterable[Unreadable]) -> pd.DataFrame:
    """Return a table of the clips that were left out of a training.

    Parameters
    ----------
    sets : iterable of Unreadable
        One for each container of clips.

    Returns
    -------
    DataFrame of shape (n_skipped, 3)
        Columns: ``container`` (its name), ``position`` of the clip in it, and ``cause`` (the
        error message).
    """
    rows = [
        (unreadable.container, position, unreadable.causes[position])
        for unreadable in sets
        for position in sorted(unreadable.causes)
    ]
    return pd.DataFrame(rows, columns=["container", "position", "cause"])
