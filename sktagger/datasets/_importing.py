"""What all importers share: collect clips, read their headers, cut, and report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sktagger._utils.files import expand_path
from sktagger._utils.text import printable, quoted, short
from sktagger._utils.warnings import warn
from sktagger.datasets._cutting import Annotation, Cutting
from sktagger.datasets._database import Database
from sktagger.datasets._headers import read_headers
from sktagger.datasets.report import check_clips, make_report

TRAINING_SET = "balanced_train"
_LONGER = 1.0  # seconds that a clip may be longer than its section

# Names of sets as the command `train` expects them.
_SET_NAMES = {
    "train": TRAINING_SET,
    "training": TRAINING_SET,
    "val": "validate",
    "valid": "validate",
    "validation": "validate",
    "test": "eval",
    "testing": "eval",
    "evaluate": "eval",
    "evaluation": "eval",
}


def standard_set_name(name: str) -> str:
    """Return the name of a data set as the commands expect it.

    Parameters
    ----------
    name : str
        Such as "train", "val" or "test"; other names stay.

    Returns
    -------
    str
        Such as "balanced_train", "validate" or "eval".
    """
    return _SET_NAMES.get(name.strip().casefold(), name.strip())


def is_set_name(name: str) -> bool:
    """Say whether a name is usual for a data set, such as "train" or "test"."""
    name = name.strip().casefold()
    return name in _SET_NAMES or name in _SET_NAMES.values()


class Importer:
    """Collect the clips of a source, then make a database of them.

    Parameters
    ----------
    source : str or PathLike
        The folder or table, which must exist.
    on_error : {"skip", "raise"}
        What to do with files that are missing or cannot be read.
    verbose : int or bool
        0 shows no progress.
    cutting : Cutting or None, default=None
        How to cut the recordings. None: each recording is one clip.

    Attributes
    ----------
    source : Path
        Absolute.
    notes : list of str
        For the report.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        on_error: str,
        verbose: int | bool,
        cutting: Cutting | None = None,
    ) -> None:
        if on_error not in ("skip", "raise"):
            raise ValueError(
                f"on_error: got {short(on_error)}; allowed is 'skip' or 'raise'. Give one of these."
            )
        try:
            self.source = expand_path(source).absolute()
        except TypeError as error:
            raise TypeError(
                f"source: got {type(source).__name__}; allowed is a path (str or PathLike). Give "
                "the file or folder to import."
            ) from error
        if not self.source.exists():
            raise FileNotFoundError(
                f"source: there is no {str(self.source)!r}. Give an existing file or folder."
            )
        self.on_error = on_error
        self.verbose = verbose
        self.cutting = cutting
        self.notes: list[str] = []
        self._recordings: dict[tuple[str, str], dict[str, Any]] = {}
        self._absent: list[tuple[str, str, str, Exception]] = []
        self._n_merged = self._n_sections = 0

    def add(
        self,
        dataset: str,
        path: str,
        events: Iterable[str] = (),
        annotations: Iterable[Annotation] = (),
        *,
        section: tuple[float, float] | None = None,
        keys: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a clip, or more events of the same file.

        Parameters
        ----------
        dataset : str
            Name of its set.
        path : str
            Absolute path of the audio file, which exists.
        events : iterable of str, default=()
            Events of the whole file, or of the section.
        annotations : iterable of Annotation, default=()
            Events in time.
        section : tuple of float or None, default=None
            Where the clip is in its file, in seconds, if the file is longer than that. None: it is
            the whole file.
        keys : dict or None, default=None
            Other keys of the example. Values of None are left out.
        """
        recording = self._recordings.get((dataset, path))
        if recording is None:
            kept = {key: value for key, value in (keys or {}).items() if value is not None}
            recording = {"events": {}, "sections": {}, "annotations": [], "keys": kept}
            self._recordings[dataset, path] = recording
        elif not annotations:
            self._n_merged += section is None or section in recording["sections"]
        if section is None:
            recording["events"].update(dict.fromkeys(events))
        else:
            recording["sections"].setdefault(section, set()).update(events)
        recording["annotations"].extend(annotations)

    def add_absent(self, dataset: str, name: str, path: str, error: Exception) -> None:
        """Add a clip whose file is missing or whose annotations cannot be read.

        Parameters
        ----------
        dataset, name, path : str
            Set and id of the clip, and the path of its file.
        error : Exception
            Raised if `on_error` is "raise".
        """
        if self.on_error == "raise":
            raise error
        self._absent.append((dataset, name, path, error))

    def count(self, what: str, names: Iterable[str]) -> None:
        """Note how many files or rows were treated in some way, with a few examples."""
        names = list(dict.fromkeys(names))
        if names:
            self.notes.append(f"{len(names)} {what}: {quoted(names, 3)}")

    def finish(self) -> Database:
        """Read the headers, cut the recordings, and make the database with its report.

        Returns
        -------
        Database

        Raises
        ------
        OSError, ValueError
            If a file cannot be read and `on_error` is "raise", or if no clip is left.
        """
        headers = read_headers((path for _, path in self._recordings), verbose=self.verbose)
        ids = _unique_ids(self._recordings)
        content: dict[str, dict[str, dict[str, Any]]] = {}
        n_dropped = n_outside = 0
        for (dataset, path), recording in self._recordings.items():
            header, example_id = headers[path], ids[dataset, path]
            examples = content.setdefault(dataset, {})
            if isinstance(header, Exception):
                self.add_absent(dataset, example_id, path, header)
                continue
            whole = {"audio_path": path, **recording["keys"]}
            annotations = recording["annotations"]
            length = header.n_samples / header.sample_rate
            if recording["sections"]:
                try:
                    examples.update(self._sections(example_id, header, whole, recording))
                except ValueError as error:
                    self.add_absent(dataset, example_id, path, error)
                continue
            if self.cutting is None:
                names = sorted({*recording["events"], *(a.event for a in annotations)})
                examples[example_id] = {**whole, "audio_length": length, "events": names}
                continue
            n_outside += sum(annotation.onset >= length for annotation in annotations)
            whole.setdefault("group", example_id)
            for start, stop, events in self.cutting.cut(*header[:2], annotations):
                if events is None or not (events or self.cutting.keep_empty):
                    n_dropped += events is None
                    continue
                seconds = (stop - start) / header.sample_rate
                name = f"{example_id}_{start / header.sample_rate:.3f}"
                examples[name] = {
                    **whole,
                    "audio_length": seconds,
                    "audio_start_samples": start,
                    "audio_stop_samples": stop,
                    "events": events,
                }
        if self._n_merged:
            self.notes.append(f"{self._n_merged} rows name a file again: their events are joined")
        if self._n_sections:
            self.notes.append(f"{self._n_sections} clips are sections of longer files")
        if n_dropped:
            self.notes.append(
                f"{n_dropped} sections are left out: they contain only pieces of events"
            )
        if n_outside:
            self.notes.append(f"{n_outside} annotations begin after the end of their recording")
        return self._make_database(content, headers)

    def _sections(self, example_id, header, whole, recording):
        """Return the examples of a file whose clips have known places in a longer recording.

        The file is the whole recording, or a single clip that was cut from it.
        """
        n_samples, rate, _ = header
        length, sections = n_samples / rate, recording["sections"]
        if length <= max(stop - start for start, stop in sections) + _LONGER:
            self._n_merged += len(sections) - 1
            events = sorted(set().union(*sections.values()))
            return {example_id: {**whole, "audio_length": length, "events": events}}
        examples = {}
        for (start, stop), events in sections.items():
            if start >= length:
                raise ValueError(
                    f"Audio file {whole['audio_path']!r} has {length:.1f} s. It is neither the "
                    f"section from {start:g} s to {stop:g} s nor the recording that this section "
                    "is in. Fetch it again, or leave it out."
                )
            bounds = round(start * rate), min(round(stop * rate), n_samples)
            examples[f"{example_id}_{start:.3f}"] = {
                **whole,
                "audio_length": (bounds[1] - bounds[0]) / rate,
                "audio_start_samples": bounds[0],
                "audio_stop_samples": bounds[1],
                "events": sorted(events),
            }
        self._n_sections += len(examples)
        return examples

    def _make_database(self, content, headers):
        faulty, lengths = check_clips(content, headers)
        for dataset, example_id, path, error in faulty:
            self.add_absent(dataset, example_id, path, error)
            del content[dataset][example_id]
        content = {name: clips for name, clips in content.items() if clips}
        n_clips, n_absent = sum(map(len, content.values())), len(self._absent)
        if not content:
            first = f" The first: {printable(self._absent[0][-1])}" if self._absent else ""
            raise ValueError(
                f"{self.source}: not one clip is left of {n_absent}. Give a source with audio files"
                f" that exist.{first}"
            )
        report = make_report(
            content,
            headers,
            lengths,
            self._absent,
            TRAINING_SET,
            notes=self.notes,
            source=str(self.source),
            verbose=self.verbose,
        )
        if self._absent:
            warn(
                f"{self.source}: {n_absent} files are missing or cannot be read and are left out, "
                f"{n_clips} clips are kept. The first: {printable(self._absent[0][-1])} "
                "The attribute `report` of the database lists them."
            )
        return Database(self.source, content, TRAINING_SET, report)


def _unique_ids(recordings: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return ids: the shortest of stem, name and path below the common folder that are distinct."""
    places = list(recordings)
    if not places:
        return {}
    base = os.path.commonpath([os.path.dirname(path) for _, path in places])
    relative = {place: Path(os.path.relpath(place[1], base)) for place in places}
    for shorten in (lambda p: p.stem, lambda p: str(p.with_suffix("")), str):
        ids = {place: shorten(path) for place, path in relative.items()}
        if len({(place[0], name) for place, name in ids.items()}) == len(ids):
            return ids
    return {place: place[1] for place in places}
