"""Check a database before training: files, lengths, events and sets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sktagger._utils.text import printable, quoted, short
from sktagger.datasets._headers import Header, find_copies, read_headers
from sktagger.datasets._sections import check_clip
from sktagger.datasets._twins import near_twins

if TYPE_CHECKING:
    from sktagger.datasets._database import Database

__all__ = ["DatabaseReport", "check_database"]

_N_LISTED = 10


@dataclass(frozen=True, repr=False)
class DatabaseReport:
    """What is in a database, and what may be wrong with it.

    ``print(report)`` shows all of it.

    Attributes
    ----------
    sets : DataFrame of shape (n_sets, 7)
        Indexed by data set. Columns: ``clips`` and ``without_events`` (numbers of clips),
        ``min``, ``median``, ``max`` and ``total`` (lengths of the clips, in seconds), and
        ``recordings`` (number of files).
    events : DataFrame of shape (n_events, n_sets)
        Number of clips of each event, sorted by name, in each data set.
    formats : DataFrame of shape (n_formats, 3)
        Columns: ``sample_rate`` (in Hz), ``channels``, and ``files`` (number of files).
    faulty : DataFrame of shape (n_faulty, 5)
        Clips that are missing or cannot be read. Columns: ``dataset``, ``example_id``,
        ``audio_path``, ``kind`` ("missing" or "unreadable") and ``cause``.
    findings : list of str
        What to look at before training, such as names that hardly differ, rare events, and files
        that are in two sets.
    notes : list of str
        How an importer understood its source, and what it left out.
    source : str
        The file, folder or table.
    """

    sets: pd.DataFrame
    events: pd.DataFrame
    formats: pd.DataFrame
    faulty: pd.DataFrame
    findings: list[str]
    notes: list[str] = field(default_factory=list)
    source: str = ""
    _headers: Mapping[str, Header | Exception] = field(default_factory=dict)
    _absent: tuple[tuple[str, str, str, Exception], ...] = ()

    def of_parts(
        self, content: Mapping[str, Mapping[str, dict[str, Any]]], training_set: str
    ) -> DatabaseReport:
        """Return the report of the same clips in other sets, without reading headers again.

        Parameters
        ----------
        content : dict of str to dict of str to dict
            The examples by data set and id.
        training_set : str
            Name of the data set that a tagger is trained on.

        Returns
        -------
        DatabaseReport
        """
        _, lengths = check_clips(content, self._headers)
        return make_report(
            content,
            self._headers,
            lengths,
            self._absent,
            training_set,
            notes=self.notes,
            source=self.source,
        )

    def __repr__(self) -> str:
        n_clips, n_faulty = int(self.sets["clips"].sum()), len(self.faulty)
        n_events = int((self.events.sum(axis=1) > 0).sum())
        return (
            f"<DatabaseReport, {n_clips} clips, {n_events} events, {n_faulty} missing or "
            f"unreadable, {len(self.findings)} findings>"
        )

    def __str__(self) -> str:
        parts = [[self.source] if self.source else [], self.notes, _table(_shown_sets(self.sets))]
        if len(self.formats):
            formats = [
                f"{row.files} files: {row.sample_rate} Hz, {row.channels} channel"
                + "s" * (row.channels != 1)
                for row in self.formats.itertuples()
            ]
            parts.append(formats[:_N_LISTED])
        parts.append(_table(self.events.rename_axis("event")))
        if len(self.faulty):
            parts.append(self._faulty_lines())
        parts.append([f"! {finding}" for finding in self.findings])
        return "\n\n".join("\n".join(map(printable, part)) for part in parts if part)

    def _faulty_lines(self):
        kinds = Counter(self.faulty["kind"])
        lines = [", ".join(f"{n} {kind}" for kind, n in kinds.items()) + ":"]
        lines += [f"  {cause}" for cause in self.faulty["cause"].head(_N_LISTED)]
        if (n_more := len(self.faulty) - _N_LISTED) > 0:
            lines.append(f"  and {n_more} more")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain objects that JSON can represent.

        Returns
        -------
        dict of str to object
            The attributes. Tables with an index are ``{row: {column: value}}``, the others lists
            of ``{column: value}``.
        """
        return {
            "source": self.source,
            "notes": list(self.notes),
            "sets": {
                name: {key: None if pd.isna(value) else value for key, value in row.items()}
                for name, row in self.sets.astype(object).to_dict("index").items()
            },
            "events": self.events.astype(object).to_dict("index"),
            "formats": self.formats.astype(object).to_dict("records"),
            "faulty": self.faulty.to_dict("records"),
            "findings": list(self.findings),
        }


def check_database(db: Database, *, verbose: int | bool = 1) -> DatabaseReport:
    """Check a database before training: read all headers, and look for what may be wrong.

    The findings are: names of events that hardly differ, events with fewer than 2 clips, events
    of other sets that the training set lacks, recordings in more than one set, files with the
    same content, and stated lengths that the headers contradict.

    Parameters
    ----------
    db : Database
        From :func:`sktagger.load_database` or an importer.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    DatabaseReport

    Examples
    --------
    >>> import tempfile
    >>> from sktagger.datasets import check_database, make_scenes
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     db = make_scenes(folder, n_train=9, n_validate=2, n_eval=2, duration=0.5)
    ...     report = check_database(db, verbose=0)
    >>> report.sets.loc["balanced_train", ["clips", "total"]].tolist()
    [9.0, 4.5]
    >>> len(report.faulty)
    0
    """
    content = {name: dict(db.examples(name)) for name in db.datasets}
    paths = [clip["audio_path"] for clips in content.values() for clip in clips.values()]
    headers = read_headers(paths, verbose=verbose)
    faulty, lengths = check_clips(content, headers)
    return make_report(
        content, headers, lengths, faulty, db.training_set, source=str(db.path), verbose=verbose
    )


def check_clips(
    content: Mapping[str, Mapping[str, dict[str, Any]]],
    headers: Mapping[str, Header | Exception],
) -> tuple[list[tuple[str, str, str, Exception]], dict[tuple[str, str], float]]:
    """Compare clips with the headers of their files.

    Parameters
    ----------
    content : dict of str to dict of str to dict
        The examples by data set and id.
    headers : dict of str to Header or Exception
        From :func:`sktagger.datasets._headers.read_headers`, for the files of all clips.

    Returns
    -------
    faulty : list of (str, str, str, Exception)
        Data set, id, path and error of the clips that cannot be read.
    lengths : dict of (str, str) to float
        Lengths of the other clips in seconds, by data set and id.
    """
    faulty: list[tuple[str, str, str, Exception]] = []
    lengths: dict[tuple[str, str], float] = {}
    for name, clips in content.items():
        for example_id, clip in clips.items():
            header = headers[clip["audio_path"]]
            length = header if isinstance(header, Exception) else check_clip(clip, header)
            if isinstance(length, Exception):
                faulty.append((name, example_id, clip["audio_path"], length))
            else:
                lengths[name, example_id] = length
    return faulty, lengths


def make_report(
    content: Mapping[str, Mapping[str, dict[str, Any]]],
    headers: Mapping[str, Header | Exception],
    lengths: Mapping[tuple[str, str], float],
    faulty: Iterable[tuple[str, str, str, Exception]],
    training_set: str,
    *,
    notes: Iterable[str] = (),
    source: str = "",
    verbose: int | bool = 0,
) -> DatabaseReport:
    """Make the report of a database whose headers were read.

    Parameters
    ----------
    content : dict of str to dict of str to dict
        The examples by data set and id.
    headers : dict of str to Header or Exception
        By path.
    lengths : dict of (str, str) to float
        Lengths of the readable clips in seconds, by data set and id.
    faulty : iterable of (str, str, str, Exception)
        Data set, id, path and error of clips that are missing or cannot be read.
    training_set : str
        Name of the data set that a tagger is trained on.
    notes : iterable of str, default=()
        How an importer understood its source.
    source : str, default=""
        The file, folder or table.
    verbose : int or bool, default=0
        0 shows no progress of the search for files with the same content.

    Returns
    -------
    DatabaseReport
    """
    rows, absent = {}, list(faulty)
    for name, clips in content.items():
        known = np.array([lengths[name, i] for i in clips if (name, i) in lengths])
        figures = (np.min, np.median, np.max) if len(known) else ()
        rows[name] = [
            len(clips),
            sum(not clip["events"] for clip in clips.values()),
            *([float(f(known)) for f in figures] or [np.nan] * 3),
            float(known.sum()),
            len({clip["audio_path"] for clip in clips.values()}),
        ]
    columns = ["clips", "without_events", "min", "median", "max", "total", "recordings"]
    sets = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("dataset")
    counts = {
        name: Counter(event for clip in clips.values() for event in clip["events"])
        for name, clips in content.items()
    }
    names = sorted({event for counter in counts.values() for event in counter})
    table = {name: [counter[event] for event in names] for name, counter in counts.items()}
    events = pd.DataFrame(table, index=pd.Index(names, name="event", dtype="str"), dtype=int)
    used = {clip["audio_path"] for clips in content.values() for clip in clips.values()}
    readable: dict[str, Header] = {}
    for path in sorted(used):
        if not isinstance(header := headers[path], Exception):
            readable[path] = header
    kinds = Counter((header.sample_rate, header.n_channels) for header in readable.values())
    formats = [(*kind, n) for kind, n in kinds.most_common()]
    return DatabaseReport(
        sets=sets,
        events=events,
        formats=pd.DataFrame(formats, columns=["sample_rate", "channels", "files"]),
        faulty=pd.DataFrame(
            [
                (
                    *place,
                    "missing" if isinstance(error, FileNotFoundError) else "unreadable",
                    str(error),
                )
                for *place, error in absent
            ],
            columns=["dataset", "example_id", "audio_path", "kind", "cause"],
        ),
        findings=[
            *_event_findings(events, training_set),
            *_length_findings(content, lengths),
            *_file_findings(content, find_copies(readable, verbose=verbose)),
        ],
        notes=list(notes),
        source=source,
        _headers=headers,
        _absent=tuple(absent),
    )


def _event_findings(events, training_set):
    if not len(events):
        yield "no clip has an event"
        return
    for twins in near_twins(events.index):
        yield f"the names {quoted(twins)} may mean the same event"
    totals = events.sum(axis=1)
    if rare := list(totals.index[totals < 2]):
        yield f"{len(rare)} events have fewer than 2 clips: {quoted(rare)}"
    if training_set in events:
        trained = events[training_set] > 0
        for name in events.columns.drop(training_set):
            if unknown := list(events.index[(events[name] > 0) & ~trained]):
                yield (
                    f"{len(unknown)} events of {name!r} have no clip in {training_set!r}: "
                    f"{quoted(unknown)}"
                )
            if len(lacking := events.index[(events[name] == 0) & trained]):
                yield f"{len(lacking)} events have no clip in {name!r}: {quoted(lacking)}"


def _length_findings(content, lengths):
    wrong = [
        example_id
        for name, clips in content.items()
        for example_id, clip in clips.items()
        if (name, example_id) in lengths
        and abs(clip.get("audio_length", actual := lengths[name, example_id]) - actual) > 0.1
    ]
    if wrong:
        yield (
            f"{len(wrong)} clips have another length than their audio_length: {quoted(wrong)}. "
            "Correct it, or leave it out"
        )


def _file_findings(content, copies):
    sets_of = defaultdict(set)
    for name, clips in content.items():
        for clip in clips.values():
            sets_of[clip["audio_path"]].add(name)
    shared = [path for path, names in sets_of.items() if len(names) > 1]
    if shared:
        yield (
            f"{len(shared)} files are in more than one set, for example {short(shared[0])} in "
            f"{quoted(sorted(sets_of[shared[0]]))}"
        )
    if copies:
        n_copies = sum(len(group) - 1 for group in copies)
        first, second, *_ = copies[0]
        yield (
            f"{n_copies} files have the content of another one, for example {first} and {second}"
        )
    across = [g for g in copies if len(set().union(*(sets_of[path] for path in g))) > 1]
    if across:
        yield (
            f"{len(across)} groups of files with the same content lie in more than one set, for "
            f"example {', '.join(across[0][:2])}"
        )


def _shown_sets(sets):
    shown = sets.astype({"clips": int, "without_events": int, "recordings": int}).astype(object)
    for column in ("min", "median", "max"):
        shown[column] = ["-" if pd.isna(v) else f"{v:.2f} s" for v in sets[column]]
    shown["total"] = [_duration(value) for value in sets["total"]]
    return shown.rename(columns=lambda column: column.replace("_", " "))


def _duration(seconds):
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _table(frame):
    """Return the lines of a table, with the index on the left."""
    rows = [[frame.index.name, *frame.columns]]
    rows += [[name, *row] for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    texts = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]
