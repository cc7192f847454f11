"""Data sets of clips and their events."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sktagger._utils.text import nearest, printable
from sktagger.datasets._check import SECONDS_KEYS, SECTION_KEYS
from sktagger.datasets._examples import (
    check_event_names,
    check_options,
    fill_lengths,
    to_clips,
    to_indicator,
)
from sktagger.datasets._writing import check_suffix, write_database

if TYPE_CHECKING:
    from sktagger.datasets.report import DatabaseReport


class Database:
    """Data sets of clips: audio files and the events in them.

    Use :func:`sktagger.load_database` to read a database from a file.

    Parameters
    ----------
    path : pathlib.Path
        The file, or what was imported, for messages.
    content : dict of str to dict of str to dict
        ``{dataset: {example_id: example}}``, already checked, with absolute audio paths.
    training_set : str, default="balanced_train"
        Name of the data set that a tagger is trained on.
    report : DatabaseReport or None, default=None
        What an importer found.

    Attributes
    ----------
    path : pathlib.Path
        Absolute path of the file, or of the folder or table that was imported.
    datasets : tuple of str
        Names of the data sets, in the order of the file.
    training_set : str
        Name of the data set whose events are the columns of ``Y`` for all sets.
    report : DatabaseReport or None
        What an importer found. None for a database from a file, see
        :func:`sktagger.datasets.check_database`.

    See Also
    --------
    sktagger.load_database : Read and check a database.
    sktagger.datasets.make_scenes : Write a database of synthetic scenes.
    """

    def __init__(
        self,
        path: Path,
        content: dict[str, dict[str, dict[str, Any]]],
        training_set: str = "balanced_train",
        report: DatabaseReport | None = None,
    ) -> None:
        self.path = path
        self.report = report
        self.training_set = training_set
        self.datasets = tuple(content)
        self._content = content

    def __repr__(self) -> str:
        sets = ", ".join(f"{len(clips)} in {name}" for name, clips in self._content.items())
        return printable(f"<Database {self.path.name}, clips: {sets}>")

    def events(self, name: str) -> list[str]:
        """Return the events that occur in a data set.

        Parameters
        ----------
        name : str
            Name of a data set, one of :attr:`datasets`.

        Returns
        -------
        list of str
            The distinct events, sorted. Empty if no clip of the set has an event.

        Raises
        ------
        ValueError
            If there is no data set of that name.
        """
        return sorted({event for clip in self.examples(name).values() for event in clip["events"]})

    def table(self, name: str, *, read_lengths: bool = False) -> pd.DataFrame:
        """Return a data set as a table with one row per clip.

        Parameters
        ----------
        name : str
            Name of a data set, one of :attr:`datasets`.
        read_lengths : bool, default=False
            Whether to read missing lengths from the headers of the audio files. If a clip is a
            section, its length is that of the section. False opens no file, and a missing length
            is NaN.

        Returns
        -------
        DataFrame of shape (n_clips, n_columns)
            Indexed by example id, in the order of the file. Columns: ``audio_path`` (str,
            absolute), ``audio_length`` (float, in seconds), ``audio_start_samples`` and
            ``audio_stop_samples`` (``Int64``, in samples at the sample rate of the file, only if
            a clip of the set has one), ``audio_start`` and ``audio_stop`` (float, in seconds, only
            if a clip of the set has one), ``events`` (lists of str), and then all other keys of
            the examples, unchanged.

        Raises
        ------
        ValueError
            If there is no data set of that name, or a header cannot be read.
        FileNotFoundError, OSError
            If an audio file whose length is needed is missing or cannot be opened.
        """
        examples = self.examples(name)
        index = pd.Index(list(examples), name="example_id", dtype="str")
        table = pd.DataFrame(list(examples.values()), index=index)

        samples = [key for key in SECTION_KEYS if key in table]
        seconds = [key for key in SECONDS_KEYS if key in table]
        known = ["audio_path", "audio_length", *samples, *seconds, "events"]
        extra = [key for key in table.columns if key not in known]
        table = table.reindex(columns=known + extra).astype(dict.fromkeys(samples, "Int64"))
        table = table.astype(dict.fromkeys(seconds, float))
        lengths = table["audio_length"].to_numpy(float, copy=True)
        if read_lengths:
            fill_lengths(self.path, name, self._content[name], lengths)
        table["audio_length"] = lengths
        # Changes to these lists must not change the database.
        table["events"] = table["events"].map(list)
        return table

    def to_xy(
        self,
        name: str,
        *,
        events: Iterable[str] | None = None,
        min_length: float = 0.0,
        on_error: str = "raise",
        unknown_events: str = "error",
    ) -> tuple[np.ndarray, pd.DataFrame]:
        """Return a data set as clips ``X`` and targets ``Y`` for an estimator.

        Parameters
        ----------
        name : str
            Name of a data set, one of :attr:`datasets`.
        events : iterable of str or None, default=None
            The columns of ``Y``, in this order. None: the sorted events of the training set, or
            of the set itself if the database has no training set.
        min_length : float, default=0.0
            Minimum length of a clip in seconds. Shorter clips are left out; the published system
            trains with 1.5. If it is above 0, missing lengths are read from the headers of the
            audio files.
        on_error : {"raise", "warn", "skip"}, default="raise"
            How to handle a clip whose header is needed but cannot be read. "raise" raises an
            error. "warn" and "skip" keep the clip, which is then handled according to `on_error`
            of the tagger.
        unknown_events : {"error", "ignore"}, default="error"
            How to handle events that are not among `events`. "error" raises an error. "ignore"
            leaves them out of ``Y`` and keeps the clips. :meth:`unknown_events` counts them.

        Returns
        -------
        X : ndarray of shape (n_clips,), dtype object
            The absolute path of each clip (str), or ``(path, start, stop)`` for a section of a
            file, in samples at the sample rate of the file. ``stop`` is None for the end of the
            file. If a section is in seconds, the header of its file is read.
        Y : DataFrame of shape (n_clips, n_events), dtype int8
            1 if the event occurs in the clip, else 0. Indexed by example id.

        Raises
        ------
        ValueError
            If there is no data set of that name, it is empty, or no clip is long enough. If
            `events` are not distinct names, a clip has an event that is not among them,
            `min_length` is negative or not a number, `unknown_events` is neither of its values,
            or a header cannot be read.
        FileNotFoundError, OSError
            If an audio file whose header is needed is missing or cannot be opened.

        See Also
        --------
        table : All columns of a data set.

        Examples
        --------
        >>> import tempfile
        >>> from sktagger.datasets import make_scenes
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     db = make_scenes(folder, n_train=9, n_validate=1, n_eval=1, duration=0.5)
        >>> X, Y = db.to_xy("balanced_train")
        >>> X.shape, Y.shape, Y.index[0]
        ((9,), (9, 10), 'balanced_train_0000')
        """
        check_options(min_length, unknown_events)
        table = self.table(name)
        if not len(table):
            others = [repr(other) for other, clips in self._content.items() if clips]
            raise ValueError(
                f"{self.path}: the data set {name!r} is empty: it has 0 clips. Add clips to it, or "
                f"give a data set that has some: {', '.join(others) or 'this file has none'}."
            )
        kept = table
        if min_length > 0:
            lengths = table["audio_length"].to_numpy(copy=True)
            fill_lengths(self.path, name, self._content[name], lengths, on_error)
            kept = table[lengths >= min_length]
        if not len(kept):
            raise ValueError(
                f"{self.path}: the data set {name!r} has {len(table)} clips, and none is at least "
                f"min_length={min_length} s long; at least one clip must be left. "
                "Lower min_length or give another data set."
            )

        columns = self._columns(name, events)
        examples = {example_id: self._content[name][example_id] for example_id in kept.index}
        no_columns = "" if events is not None else self.training_set
        known_only = unknown_events == "ignore"
        indicator = to_indicator(self.path, name, examples, columns, known_only, no_columns)
        X = to_clips(self.path, name, examples, on_error)
        return X, pd.DataFrame(indicator, index=kept.index, columns=columns)

    def unknown_events(self, name: str, *, events: Iterable[str] | None = None) -> dict[str, int]:
        """Count the events of a data set that are not columns of ``Y`` in :meth:`to_xy`.

        Parameters
        ----------
        name : str
            Name of a data set, one of :attr:`datasets`.
        events : iterable of str or None, default=None
            The columns of ``Y``, see :meth:`to_xy`.

        Returns
        -------
        dict of str to int
            Number of clips for each unknown event, sorted by event.

        Raises
        ------
        ValueError
            If there is no data set of that name, or `events` are not distinct names.
        """
        known = set(self._columns(name, events))
        clips = self.examples(name).values()
        counts = Counter(event for clip in clips for event in clip["events"])
        return {event: counts[event] for event in sorted(counts) if event not in known}

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the database to a file that :func:`sktagger.load_database` reads.

        Parameters
        ----------
        path : str or PathLike
            A name that ends with ``.json``, ``.parquet`` or ``.pq``; ``~`` is expanded. An
            existing file is replaced as a whole.

        Returns
        -------
        Path
            Absolute path of the file. Paths of audio files in its folder, or in folders below,
            are relative to it, so they can be moved together. Others are absolute.

        Raises
        ------
        ValueError
            If the name ends with something else.
        OSError
            If the file cannot be written.
        ImportError
            If it is a Parquet file, and pyarrow is not installed.
        """
        file = check_suffix(path)
        write_database(file, self._content)
        return file

    def _columns(self, name: str, events: Iterable[str] | None) -> list[str]:
        if events is not None:
            return check_event_names(events)
        return self.events(self.training_set if self.training_set in self.datasets else name)

    def examples(self, name: str) -> dict[str, dict[str, Any]]:
        """Return the examples of a data set, with absolute audio paths.

        Parameters
        ----------
        name : str
            Name of a data set, one of :attr:`datasets`.

        Returns
        -------
        dict of str to dict
            The examples by id, which must not be changed.

        Raises
        ------
        ValueError
            If there is no data set of that name.
        """
        if not isinstance(name, str) or name not in self._content:
            raise ValueError(
                f"{self.path}: no data set {name!r}; there are "
                f"{', '.join(map(repr, self.datasets))}{nearest(str(name), self.datasets)}. "
                "Give one of these names."
            )
        return self._content[name]
