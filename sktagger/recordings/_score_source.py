"""Where scores in time come from: a tagger, its windows, and decisions about clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktagger.audio.unreadable import Unreadable
from sktagger.taggers._recordings import Scores, check_windows

__all__ = [
    "ScoreSource",
    "TagMask",
    "detection_windows",
    "mask_tables",
    "scores_in_time",
    "scores_of_parts",
]


class TagMask(NamedTuple):
    """Decisions that an event is not in a part of a recording, where its scores in time become 0.

    Attributes
    ----------
    length : float
        Length of the parts in seconds. They follow each other; the last one is shifted back so that
        it ends with the recording. A shorter clip is one part.
    thresholds : ndarray of shape (n_events,), float64
        An event is in a part if the score of the part as a clip is above its threshold. -inf: the
        event is not masked.
    """

    length: float
    thresholds: np.ndarray

    def place(self, onset: Any, offset: Any) -> Any:
        """Return the part that a segment is in; the last part may come before it."""
        return (np.add(onset, offset) / 2 // self.length).astype(int)


class ScoreSource(NamedTuple):
    """Where scores in time come from.

    Attributes
    ----------
    tagger : AudioTagger
    window, hop : float or None
        See :meth:`sktagger.AudioTagger.iter_scores`.
    mask : TagMask or None, default=None
    """

    tagger: Any
    window: float | None
    hop: float | None
    mask: TagMask | None = None

    def tables(self, X: Any) -> list[pd.DataFrame]:
        """Return the scores in time of each clip, see :func:`scores_in_time`."""
        tables = scores_in_time(self.tagger, X, self.window, self.hop)
        if self.mask is None:
            return tables
        of_parts = scores_of_parts(self.tagger, X, tables, self.mask.length)
        return mask_tables(tables, of_parts, self.mask)

    def along(self, source: Any, sample_rate: int | None = None) -> Iterator[Scores]:
        """Yield scores along a recording, see :meth:`sktagger.AudioTagger.iter_scores`."""
        options = {} if sample_rate is None else {"sample_rate": sample_rate}
        if self.mask is None:
            return self.tagger.iter_scores(source, self.window, self.hop, **options)
        if hasattr(source, "__next__") and not hasattr(source, "read"):
            raise ValueError(
                "source is an iterator of blocks, but tag_masking needs a recording that can be "
                "read twice. Give a file, or a detector without tag_masking."
            )
        scores = self.tagger.iter_scores(source, self.window, self.hop, **options)
        parts = self.tagger.iter_scores(source, self.mask.length, **options)
        return self._masked(scores, parts, self.mask)

    @staticmethod
    def _masked(scores, parts, mask):
        place, is_there = -1, np.zeros(len(mask.thresholds), bool)
        for onset, offset, row in scores:
            while place < mask.place(onset, offset):
                part = next(parts, None)
                if part is None:
                    break
                place, is_there = place + 1, part[2] > mask.thresholds
            yield onset, offset, np.where(is_there, row, np.zeros_like(row))


def scores_of_parts(
    tagger: Any, X: Any, tables: Sequence[pd.DataFrame], length: float
) -> list[np.ndarray]:
    """Return the scores of parts of each clip.

    Parameters
    ----------
    tagger : AudioTagger
    X : container of clips
    tables : sequence of DataFrame
        Scores in time of each clip, which tell how long it is.
    length : float
        Length of the parts in seconds, see :class:`TagMask`.

    Returns
    -------
    list of ndarray of shape (n_parts, n_events)
        Without rows for clips that cannot be read.
    """
    ends = [table.index[-1][1] if len(table) else 0.0 for table in tables]
    if max(ends, default=0.0) <= length:  # each clip is one part: in batches
        scores = tagger.predict_proba(X)
        return [row[np.newaxis][: len(table)] for row, table in zip(scores, tables, strict=True)]
    return [table.to_numpy() for table in scores_in_time(tagger, X, length)]


def mask_tables(
    tables: Sequence[pd.DataFrame], of_parts: Sequence[np.ndarray], mask: TagMask
) -> list[pd.DataFrame]:
    """Return scores in time that are 0 for events that are not in a part of a clip.

    Parameters
    ----------
    tables : sequence of DataFrame
        Scores in time of each clip.
    of_parts : sequence of ndarray of shape (n_parts, n_events)
        What :func:`scores_of_parts` returns.
    mask : TagMask

    Returns
    -------
    list of DataFrame
    """
    masked = []
    for table, scores in zip(tables, of_parts, strict=True):
        if len(table):
            times = (table.index.get_level_values(level).to_numpy(float) for level in (0, 1))
            places = np.minimum(mask.place(*times), len(scores) - 1)
            table = table * (scores > mask.thresholds)[places]
        masked.append(table)
    return masked


def detection_windows(tagger: Any, window: Any, hop: Any) -> tuple[float | None, float | None]:
    """Return the windows whose scores are used; None: the segments of the network.

    Parameters
    ----------
    tagger : AudioTagger
    window, hop : float, "auto" or None
        See :func:`detect_events`.

    Returns
    -------
    window, hop : float or None
    """
    if isinstance(window, str) and window == "auto":
        network = getattr(tagger, "network_", None)
        if hop is not None:
            raise ValueError(f"hop={hop!r} has no effect with window='auto'. Give window, too.")
        if network is None or network.uses_onsets or network.get_grid().context is not None:
            return None, None
        return 2.0, 1.0
    check_windows(window, hop)
    return window, hop


def scores_in_time(
    tagger: Any, X: Any, window: float | None = None, hop: float | None = None
) -> list[pd.DataFrame]:
    """Return the scores in time of each clip, as `predict_segments` does.

    Parameters
    ----------
    tagger : estimator
        With scores in time.
    X : container of clips
        See Notes of :class:`sktagger.AudioTagger`.
    window, hop : float or None
        See :func:`detection_windows`.

    Returns
    -------
    list of DataFrame of shape (n_segments, n_events)
        Without rows for clips that cannot be read, if the tagger leaves them out.
    """
    if window is None:
        return tagger.predict_segments(X)
    unreadable = Unreadable(tagger.on_error, "source", len(X))
    clips = X.itertuples(index=False, name=None) if isinstance(X, pd.DataFrame) else X
    tables = []
    for number, clip in enumerate(clips):
        rows = unreadable.read(number, partial(_scores_of, tagger, clip, window, hop)) or []
        times = pd.MultiIndex.from_tuples([row[:2] for row in rows], names=["onset", "offset"])
        scores = np.array([row[2] for row in rows], np.float32).reshape(-1, len(tagger.classes_))
        tables.append(pd.DataFrame(scores, times, tagger.classes_))
    unreadable.summarize("have no events")
    return tables


def _scores_of(tagger, clip, window, hop):
    return list(tagger.iter_scores(clip, window, hop))
