"""What becomes of clips that cannot be read: an error, a warning, or a gap."""

import threading
import warnings
from collections.abc import Callable

import pandas as pd


class Unreadable:
    """Collects the clips of a container that cannot be read.

    Parameters
    ----------
    on_error : {"raise", "warn", "skip"}
        "raise": the error is raised. "warn": the clip is left out, with a warning. "skip": it is
        left out.
    container : str, default="X"
        Name of what holds the clips.
    n_clips : int, default=0
        Number of clips in it.

    Attributes
    ----------
    causes : dict of int to str
        Why clips are unreadable, by their positions in the container.
    """

    def __init__(self, on_error: str, container: str = "X", n_clips: int = 0):
        self.on_error = on_error
        self.container = container
        self.n_clips = n_clips
        self.causes = {}
        self._lock = threading.Lock()

    def __contains__(self, position: int) -> bool:
        return position in self.causes

    def read(self, position: int, function: Callable):
        """Call a function that reads a clip.

        Parameters
        ----------
        position : int
            Of the clip in the container.
        function : callable

        Returns
        -------
        object or None
            What the function returned; None if the clip cannot be read, now or earlier.
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
                warnings.warn(f"Left out: {error}", UserWarning, stacklevel=2)
            return None

    def first_cause(self) -> str:
        """Say why the first unreadable clip is so."""
        return self.causes[min(self.causes)]

    def summarise(self, consequence: str) -> None:
        """Warn once of all the clips that were skipped, and say what has become of them."""
        if self.causes and self.on_error == "skip":
            warnings.warn(
                f"{len(self.causes)} of {self.n_clips} clips of {self.container} cannot be read "
                f"and {consequence}. The first: {self.first_cause()}",
                UserWarning,
                stacklevel=4,
            )


def no_clip_left(unreadable: Unreadable) -> ValueError:
    """Make the error of a container of which nothing can be used."""
    return ValueError(
        f"Not one clip of {unreadable.container} can be read. The first: {unreadable.first_cause()}"
    )


def skipped_table(sets) -> pd.DataFrame:
    """Lay out the clips that were left out of a training.

    Parameters
    ----------
    sets : iterable of Unreadable

    Returns
    -------
    DataFrame of shape (n_skipped, 3)
        `container`, `position` in it, and `cause`.
    """
    rows = [
        (unreadable.container, position, unreadable.causes[position])
        for unreadable in sets
        for position in sorted(unreadable.causes)
    ]
    return pd.DataFrame(rows, columns=["container", "position", "cause"])
