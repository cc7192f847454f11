"""Cut recordings with annotated times into clips with events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sktagger._utils.text import short


class Annotation(NamedTuple):
    """An event in a recording.

    Attributes
    ----------
    onset, offset : float
        In seconds from the beginning of the recording.
    event : str
    """

    onset: float
    offset: float
    event: str


@dataclass(frozen=True)
class Cutting:
    """How recordings are cut.

    Attributes
    ----------
    window : float
        Length of the clips in seconds.
    overlap : float, default=0.0
        Overlap of neighboring clips in seconds, below `window`.
    min_overlap : float or None, default=0.5
        An event is in a clip if at least this many seconds of it are. None: only `min_share`
        decides.
    min_share : float or None, default=0.5
        An event is in a clip, too, if at least this share of it is. None: only `min_overlap`
        decides.
    keep_empty : bool, default=True
        Whether clips without events are kept.
    """

    window: float
    overlap: float = 0.0
    min_overlap: float | None = 0.5
    min_share: float | None = 0.5
    keep_empty: bool = True

    def __post_init__(self) -> None:
        def require(holds, name, allowed):
            if not holds:
                raise ValueError(
                    f"{name}: got {short(getattr(self, name))}; allowed is {allowed}. Give for "
                    "example window=10, overlap=0, min_overlap=0.5, min_share=0.5."
                )

        require(_is_number(self.window) and self.window > 0, "window", "seconds above 0")
        below = f"seconds from 0 to below window={self.window}"
        require(_is_number(self.overlap) and 0 <= self.overlap < self.window, "overlap", below)
        least = self.min_overlap
        allowed = "seconds above 0 up to the window, or None"
        require(
            least is None or (_is_number(least) and 0 < least <= self.window),
            "min_overlap",
            allowed,
        )
        share = self.min_share
        allowed = "a share above 0 up to 1, or None, and not None for both"
        is_share = share is None or (_is_number(share) and 0 < share <= 1)
        require(is_share and not (share is None and least is None), "min_share", allowed)

    def cut(
        self, n_samples: int, sample_rate: int, annotations: Iterable[Annotation]
    ) -> Iterator[tuple[int, int, list[str] | None]]:
        """Cut a recording.

        The last clip ends with the recording. It begins early enough to have the full length, so
        it overlaps the one before. A recording that is shorter than the window is one clip.

        Parameters
        ----------
        n_samples : int
            Length of the recording.
        sample_rate : int
            In Hz.
        annotations : iterable of Annotation

        Yields
        ------
        start, stop : int
            In samples.
        events : list of str or None
            Sorted. None: the clip contains only pieces of events that are too short to count, so
            it is neither an example of them nor of the background.
        """
        length = max(1, min(n_samples, round(self.window * sample_rate)))
        hop = max(1, round((self.window - self.overlap) * sample_rate))
        starts = list(range(0, n_samples - length + 1, hop))
        if starts[-1] + length < n_samples:
            starts.append(n_samples - length)
        annotations = list(annotations)
        for start in starts:
            begin, end = start / sample_rate, (start + length) / sample_rate
            events, has_pieces = set(), False
            for onset, offset, event in annotations:
                inside = min(offset, end) - max(onset, begin)
                if self._counts(inside, offset - onset, begin <= onset < end):
                    events.add(event)
                elif inside > 0:
                    has_pieces = True
            yield start, start + length, None if has_pieces and not events else sorted(events)

    def _counts(self, inside: float, duration: float, begins_inside: bool) -> bool:
        """Whether an event is in a clip; a point in time is where it begins."""
        if duration <= 0:
            return begins_inside
        # Times in tables are rounded, so an event of exactly the least length must not fail.
        if self.min_overlap is not None and inside >= self.min_overlap - 1e-6:
            return True
        return self.min_share is not None and inside >= self.min_share * duration - 1e-6


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
