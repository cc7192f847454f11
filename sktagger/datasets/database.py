"""Read JSON databases of audio clips and their events into ``X`` and ``Y``.

The format is that of padertorch [1]_::

    {"datasets": {"eval": {"clip_7": {"audio_path": "eval/7.wav",
                                      "audio_length": 10.0,
                                      "events": ["Rain", "Siren"]}}}}

See :func:`load_database` for the meaning of each key. Audio files are not opened, except for
their headers if a length is needed that the database does not state.

References
----------
.. [1] J. Ebbers et al., padertorch, ``contrib/examples/sound_recognition/audio_tagging``.
   https://github.com/fgnt/padertorch
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktagger._utils.files import expand_path, path_hint
from sktagger._utils.text import nearest, printable
from sktagger.datasets._check import SECTION_KEYS, check_content, check_inside
from sktagger.datasets._examples import check_event_names, clip_of, fill_lengths
from sktagger.datasets._reading import load_json

__all__ = ["Database", "load_database"]


class Database:
    """Data sets of clips: audio files and the events in them.

    Use :func:`load_database` to read a database from a file.

    Parameters
    ----------
    path : pathlib.Path
        The JSON file, for messages.
    content : dict of str to dict of str to dict
        ``{dataset: {example_id: example}}``, already checked, with absolute audio paths.
    training_set : str
        Name of the data set that a tagger is trained on.

    Attributes
    ----------
    path : pathlib.Path
        Absolute path of the JSON file.
    datasets : tuple of str
        Names of the data sets, in the order of the file.
    training_set : str
        Name of the data set whose events are the columns of ``Y`` for all sets.

    See Also
    --------
    load_database : Read and check a database.
    sktagger.datasets.make_scenes : Write a database of synthetic scenes.
    """

    def __init__(
        self, path: Path, content: dict[str, dict[str, dict[str, Any]]], training_set: str
    ) -> None:
        self.path = path
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
        return sorted({event for clip in self._examples(name).values() for event in clip["events"]})

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
            a clip of the set has one), ``events`` (lists of str), and then all other keys of the
            examples, unchanged.

        Raises
        ------
        ValueError
            If there is no data set of that name, or a header cannot be read.
        FileNotFoundError, OSError
            If an audio file whose length is needed is missing or cannot be opened.
        """
        examples = self._examples(name)
        index = pd.Index(list(examples), name="example_id", dtype="str")
        table = pd.DataFrame(list(examples.values()), index=index)

        samples = [key for key in SECTION_KEYS if key in table]
        known = ["audio_path", "audio_length", *samples, "events"]
        extra = [key for key in table.columns if key not in known]
        table = table.reindex(columns=known + extra).astype(dict.fromkeys(samples, "Int64"))
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
            How to handle a clip whose length is needed but cannot be read. "raise" raises an
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
            file.
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
            If an audio file whose length is needed is missing or cannot be opened.

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
        if unknown_events not in ("error", "ignore"):
            raise ValueError(
                f"unknown_events: got {unknown_events!r}; allowed is 'error' or 'ignore'. "
                "Give one of these."
            )
        if not min_length >= 0:
            raise ValueError(
                f"min_length: got {min_length!r}; allowed is a non-negative number of seconds. "
                "Give 0 to keep every clip."
            )
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
        column_of = {event: column for column, event in enumerate(columns)}
        indicator = np.zeros((len(kept), len(columns)), np.int8)
        X = np.empty(len(kept), object)
        for row, example_id in enumerate(kept.index):
            clip = self._content[name][example_id]
            X[row] = clip_of(clip)
            for event in clip["events"]:
                if event in column_of:
                    indicator[row, column_of[event]] = 1
                elif unknown_events == "error" and events is None and not columns:
                    raise ValueError(
                        f"{self.path}: no clip of the training set {self.training_set!r} has an "
                        f"event, but clip {example_id!r} of {name!r} has. Add events, or give "
                        "another training_set."
                    )
                elif unknown_events == "error":
                    raise ValueError(
                        f"{self.path}: clip {example_id!r} of {name!r} has the event {event!r}, "
                        f"which is not among the {len(columns)} events allowed"
                        f"{nearest(event, columns)}. Correct the clip, add the event to `events`, "
                        "or leave such events out with unknown_events='ignore'."
                    )
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
        clips = self._examples(name).values()
        counts = Counter(event for clip in clips for event in clip["events"])
        return {event: counts[event] for event in sorted(counts) if event not in known}

    def _columns(self, name: str, events: Iterable[str] | None) -> list[str]:
        if events is not None:
            return check_event_names(events)
        return self.events(self.training_set if self.training_set in self.datasets else name)

    def _examples(self, name: str) -> dict[str, dict[str, Any]]:
        if not isinstance(name, str) or name not in self._content:
            raise ValueError(
                f"{self.path}: no data set {name!r}; there are "
                f"{', '.join(map(repr, self.datasets))}{nearest(str(name), self.datasets)}. "
                "Give one of these names."
            )
        return self._content[name]


def load_database(
    path: str | os.PathLike[str],
    *,
    training_set: str = "balanced_train",
    root: str | os.PathLike[str] | None = None,
) -> Database:
    """Read and check a JSON database of clips and events.

    The file contains ``{"datasets": {name: {example_id: example}}}`` in UTF-8. The keys of an
    example:

    ``audio_path`` : str
        The audio file, relative to the folder of the JSON file, or absolute. A URI, a path with
        ``~``, and a Windows path on another system are errors, unless a file has this name.
    ``events`` : list of distinct str of 1 to 999 characters
        The events in the clip. The list may be empty.
    ``audio_length`` : number above 0, optional
        Length of the clip in seconds. If given, it is trusted and the header of the file is not
        read.
    ``audio_start_samples``, ``audio_stop_samples`` : integers, optional
        The clip is this section of the file, with ``0 <= start < stop``, in samples at the sample
        rate of the file. The default of start is 0, the default of stop is the end of the file.
    any other key
        Kept, see :meth:`Database.table`.

    An optional key may be ``null``, which has the same effect as leaving it out.

    Parameters
    ----------
    path : str or PathLike
        The JSON file; ``~`` is expanded. The audio files may be missing.
    training_set : str, default="balanced_train"
        Name of the data set that a tagger is trained on. Its events are the columns of ``Y`` for
        all sets. The database may lack this set.
    root : str, PathLike or None, default=None
        Folder that must contain all audio files, after following symbolic links; ``~`` is
        expanded. Use it for databases from others, which could otherwise name any file on this
        machine. Links are followed when the database is read. None: files may be anywhere.

    Returns
    -------
    Database
        The database, with absolute audio paths.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no such folder `root`.
    ValueError
        If the file is not such a database. The message names the place, or the format that the
        file seems to have (JSON Lines, CSV, Excel, Parquet, YAML, ...). Also if a key occurs
        twice, a number is NaN or does not fit into 64 bits, or an audio file lies outside `root`.
    TypeError
        If `path` or `root` is not a path.

    See Also
    --------
    sktagger.datasets.make_scenes : Write a database of synthetic scenes.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> clip = {"audio_path": "eval/7.wav", "audio_length": 10.0, "events": ["Rain", "Siren"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "scenes.json")
    ...     _ = file.write_text(json.dumps({"datasets": {"eval": {"clip_7": clip}}}))
    ...     db = load_database(file)
    >>> db
    <Database scenes.json, clips: 1 in eval>
    >>> X, Y = db.to_xy("eval")
    >>> Y
                Rain  Siren
    example_id
    clip_7         1      1
    """
    try:
        typed, path = os.fspath(path), expand_path(path).absolute()
    except TypeError as error:
        raise TypeError(
            f"path: got {type(path).__name__}; allowed is the path of a JSON file (str or "
            "PathLike). Write the content to a file first."
        ) from error
    try:
        content = load_json(path)
    except FileNotFoundError as error:
        if not (hint := path_hint(os.path.expanduser(typed))):
            raise
        raise FileNotFoundError(f"path: no file {typed!r}. {hint}.") from error
    sets = check_content(path, content)
    if root is not None:
        check_inside(path, sets, root)
    return Database(path, sets, training_set)
