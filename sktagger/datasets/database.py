"""JSON databases of audio clips and their events, read into ``X`` and ``Y``.

The format is the one of the reference system [1]_::

    {"datasets": {"eval": {"clip_7": {"audio_path": "eval/7.wav",
                                      "audio_length": 10.0,
                                      "events": ["Rain", "Siren"]}}}}

See :func:`load_database` for what each key means. The audio files themselves are not opened,
except for their headers where a length is asked for that the database does not state.

References
----------
.. [1] J. Ebbers et al., padertorch, ``contrib/examples/sound_recognition/audio_tagging``.
   https://github.com/fgnt/padertorch
"""

import math
import os
import reprlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sktagger._utils.files import expand_path
from sktagger._utils.text import nearest, printable
from sktagger.audio.reading import Section, audio_info
from sktagger.datasets._check import SECTION_KEYS, check_content, check_inside, foreign_path
from sktagger.datasets._reading import load_json

__all__ = ["Database", "load_database"]


class Database:
    """Data sets of clips, each with its audio file and the events heard in it.

    Made by :func:`load_database`, which checks the content.

    Parameters
    ----------
    path : pathlib.Path
        The JSON file the content comes from, for messages.
    content : dict
        ``{dataset: {example_id: example}}``, checked, with absolute audio paths.
    training_set : str
        See :func:`load_database`.

    Attributes
    ----------
    path : pathlib.Path
        Absolute path of the JSON file.
    datasets : tuple of str
        Names of the data sets, in the order of the file.
    training_set : str
        Name of the data set whose events are those of all sets.

    See Also
    --------
    load_database : Read a database, and the format of its file.
    """

    def __init__(
        self, path: Path, content: dict[str, dict[str, dict[str, Any]]], training_set: str
    ):
        self.path = path
        self.training_set = training_set
        self.datasets = tuple(content)
        self._content = content

    def __repr__(self):
        sets = ", ".join(f"{len(clips)} in {name}" for name, clips in self._content.items())
        return printable(f"<Database {self.path.name}, clips: {sets}>")

    def events(self, name: str) -> list[str]:
        """Return the sorted events that occur in a data set.

        Parameters
        ----------
        name : str
            One of :attr:`datasets`.

        Returns
        -------
        events : list of str
            Each event once, sorted. Empty where no clip of the set has an event.

        Raises
        ------
        ValueError
            If there is no data set of that name.
        """
        return sorted({event for clip in self._examples(name).values() for event in clip["events"]})

    def table(self, name: str, *, read_lengths: bool = False) -> pd.DataFrame:
        """Return everything the database says of a data set, one row per clip.

        Parameters
        ----------
        name : str
            One of :attr:`datasets`.
        read_lengths : bool, default=False
            Whether to open the files of the clips whose ``audio_length`` the database leaves
            out, and take the length from the header (of the section, where the clip is one).
            By default no file is opened and such a length is NaN.

        Returns
        -------
        table : DataFrame of shape (n_clips, n_columns)
            Indexed by example id, in the order of the file. Columns: ``audio_path`` (str,
            absolute), ``audio_length`` (float, seconds), ``audio_start_samples`` and
            ``audio_stop_samples`` (``Int64``, samples at the file's own rate; only if a clip of
            the set has one), ``events`` (lists of str), then the extra keys as they are.

        Raises
        ------
        ValueError
            If there is no data set of that name, or a header that is needed cannot be read.
        FileNotFoundError
            If an audio file whose header is needed is missing.
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
            self._fill_lengths(name, lengths)
        table["audio_length"] = lengths
        # A caller who edits a list must not edit the database.
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
        """Return a data set as clips ``X`` and an indicator ``Y``, as estimators take them.

        Parameters
        ----------
        name : str
            One of :attr:`datasets`.
        events : iterable of str, default=None
            The columns of ``Y``, in this order. By default the sorted events of the training
            set, or of the set itself where the database has no training set.
        min_length : float, default=0.0
            Clips shorter than this, in seconds, are left out; the published system trains
            with 1.5. Above 0, lengths that the database does not state are read from the
            files' headers.
        on_error : {"raise", "warn", "skip"}, default="raise"
            What is done about a clip whose header is needed and cannot be read: "raise" is an
            error; else the clip is kept, for the tagger's `on_error` to decide.
        unknown_events : {"error", "ignore"}, default="error"
            What is done about events that are not among ``events``. "ignore" leaves them out of
            ``Y``; the clips stay. :meth:`unknown_events` counts them.


        Returns
        -------
        X : ndarray of shape (n_clips,), dtype object
            The absolute path of each clip (str), or ``(path, start, stop)`` for a section of a
            file, in samples at the file's own rate; ``stop`` is None for the file's end.
        Y : DataFrame of shape (n_clips, n_events), dtype int8
            1 where the event occurs in the clip, else 0. Indexed by example id.

        Raises
        ------
        ValueError
            If there is no data set of that name, it is empty, no clip is left, ``events`` is not
            made of distinct names, a clip has an event that is not among ``events``,
            ``min_length`` is negative or not a number, or ``unknown_events`` is neither of its
            values.
        FileNotFoundError, OSError
            If an audio file whose header is needed is missing or cannot be opened.

        Examples
        --------
        >>> import tempfile
        >>> from sktagger.datasets.scenes import make_scenes
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
                f"min_length: got {min_length!r}; allowed is a number of seconds from 0 up. "
                "Give 0 to keep every clip."
            )
        table = self.table(name)
        if not len(table):
            others = [repr(other) for other, clips in self._content.items() if clips]
            raise ValueError(
                f"{self.path}: the data set {name!r} has 0 clips: it is empty. Add clips to it, or "
                f"take a data set that has some: {', '.join(others) or 'this file has none'}."
            )
        kept = table
        if min_length > 0:
            lengths = table["audio_length"].to_numpy(copy=True)
            self._fill_lengths(name, lengths, on_error)
            kept = table[lengths >= min_length]
        if not len(kept):
            raise ValueError(
                f"{self.path}: the data set {name!r} has {len(table)} clips, and none is at least "
                f"min_length={min_length} s long; at least one clip must be left. "
                "Lower min_length or take another data set."
            )

        columns = self._columns(name, events)
        column_of = {event: column for column, event in enumerate(columns)}
        indicator = np.zeros((len(kept), len(columns)), np.int8)
        X = np.empty(len(kept), object)
        for row, example_id in enumerate(kept.index):
            clip = self._content[name][example_id]
            X[row] = _clip_of(clip)
            for event in clip["events"]:
                if event in column_of:
                    indicator[row, column_of[event]] = 1
                elif unknown_events == "error" and events is None and not columns:
                    raise ValueError(
                        f"{self.path}: no clip of the training set {self.training_set!r} has an "
                        f"event, but clip {example_id!r} of {name!r} has. Add events, or take "
                        "another training_set."
                    )
                elif unknown_events == "error":
                    raise ValueError(
                        f"{self.path}: clip {example_id!r} of {name!r} has the event {event!r}, "
                        f"which is not among the {len(columns)} events allowed"
                        f"{nearest(event, columns)}. Correct the clip, give `events` with it, or "
                        "leave such events out by unknown_events='ignore'."
                    )
        return X, pd.DataFrame(indicator, index=kept.index, columns=columns)

    def unknown_events(self, name: str, *, events: Iterable[str] | None = None) -> dict[str, int]:
        """Count the events of a data set that are not among the columns of `to_xy`.

        Parameters
        ----------
        name : str
            One of :attr:`datasets`.
        events : iterable of str, default=None
            As for :meth:`to_xy`.

        Returns
        -------
        dict of str to int
            Number of clips with each such event, sorted by name.

        Raises
        ------
        ValueError
            If there is no data set of that name, or ``events`` is not made of distinct names.
        """
        known = set(self._columns(name, events))
        clips = self._examples(name).values()
        counts = Counter(event for clip in clips for event in clip["events"])
        return {event: counts[event] for event in sorted(counts) if event not in known}

    def _columns(self, name: str, events: Iterable[str] | None) -> list[str]:
        if events is not None:
            return _check_event_names(events)
        return self.events(self.training_set if self.training_set in self.datasets else name)

    def _examples(self, name: str) -> dict[str, dict[str, Any]]:
        if not isinstance(name, str) or name not in self._content:
            raise ValueError(
                f"{self.path}: no data set {name!r}; there are "
                f"{', '.join(map(repr, self.datasets))}{nearest(str(name), self.datasets)}. "
                "Give one of these names."
            )
        return self._content[name]

    def _fill_lengths(self, name: str, lengths: np.ndarray, on_error: str = "raise") -> None:
        """Put what headers say in place of NaN; infinity where they cannot be read, if allowed."""
        examples = list(self._examples(name).items())
        for i in np.flatnonzero(np.isnan(lengths)):
            example_id, clip = examples[i]
            section = Section(clip["audio_path"], *(clip.get(key) for key in SECTION_KEYS))
            try:
                n_samples, sample_rate = audio_info(section)
            except (OSError, ValueError) as error:
                if on_error == "raise":
                    raise type(error)(
                        f"{self.path}: clip {example_id!r} of {name!r}: {error} Correct the clip, "
                        "or state its audio_length."
                    ) from error
                lengths[i] = math.inf
            else:
                lengths[i] = n_samples / sample_rate


def load_database(
    path: str | os.PathLike,
    *,
    training_set: str = "balanced_train",
    root: str | os.PathLike | None = None,
) -> Database:
    """Read a JSON database of clips and events, and check it.

    The file holds ``{"datasets": {name: {example_id: example}}}`` in UTF-8. The keys of an
    example:

    ``audio_path`` : str
        The audio file, relative to the folder of the JSON file, or absolute. A URI, ``~`` or
        Windows' separators elsewhere are errors, unless a file is named so.
    ``events`` : list of distinct str of 1 to 999 characters
        What occurs in the clip; may be empty.
    ``audio_length`` : number above 0, optional
        Length of the clip in seconds. It is believed where it is stated.
    ``audio_start_samples``, ``audio_stop_samples`` : integers, optional
        With ``0 <= start < stop``: the clip is this section of the file, in samples at the
        file's own rate. Start alone runs to the end of the file, stop alone begins at 0.
    any other key
        Kept, see :meth:`Database.table`.

    ``null`` for an optional key is as good as leaving it out.

    Parameters
    ----------
    path : str or PathLike
        The JSON file; ``~`` is expanded. The audio files need not exist yet.
    training_set : str, default="balanced_train"
        Name of the data set that a tagger is trained on; its events are the columns of the
        targets of all sets. A database without it can be read, too.
    root : str, PathLike or None, default=None
        Folder in which all audio files must lie, also after symbolic links are followed; for
        databases of others, which could otherwise name any file of this machine. Links are
        looked at when the database is read. ``~`` is expanded. None: files may lie anywhere.

    Returns
    -------
    database : Database
        The content, with absolute audio paths.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no such folder ``root``.
    ValueError
        If the file is not such a database; the message says where in it, or what it looks like
        instead (JSON Lines, CSV, Excel, Parquet, YAML, ...). Also for keys that
        occur twice, NaN, and numbers beyond 64 bits, at any place. If an audio file lies outside
        ``root``; the message names data set, clip and path.
    TypeError
        If ``path`` or ``root`` is not a path.

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
            f"path: got {type(path).__name__}; allowed is the path of a JSON file, str or "
            "PathLike. Write the content to a file first."
        ) from error
    try:
        content = load_json(path)
    except FileNotFoundError as error:
        if not (allowed := foreign_path(os.path.expanduser(typed))):
            raise
        raise FileNotFoundError(f"path: no file {typed!r}; allowed is {allowed}.") from error
    sets = check_content(path, content)
    if root is not None:
        check_inside(path, sets, root)
    return Database(path, sets, training_set)


def _check_event_names(events: Iterable[str]) -> list[str]:
    listed = isinstance(events, Iterable) and not isinstance(events, str)
    names = list(events) if listed else []
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if not listed:
        got = reprlib.repr(events)
    elif wrong:
        got = f"the name {wrong[0]!r}"
    elif len(set(names)) < len(names):
        got = f"the name {Counter(names).most_common(1)[0][0]!r} more than once"
    else:
        return [str(name) for name in names]
    raise ValueError(
        f"events: got {got}; allowed is a list of distinct, non-empty strings. "
        "Give for example the columns of the training set's Y."
    )


def _clip_of(clip: dict[str, Any]) -> str | tuple[str, int, int | None]:
    start, stop = clip.get("audio_start_samples"), clip.get("audio_stop_samples")
    if start is None and stop is None:
        return clip["audio_path"]
    return clip["audio_path"], start or 0, stop
