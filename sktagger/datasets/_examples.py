"""Lengths, clips and targets from the examples of a database."""

from __future__ import annotations

import math
import reprlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sktagger._utils.text import nearest
from sktagger.audio.reading import Section, audio_info, open_audio
from sktagger.datasets._check import SECONDS_KEYS, SECTION_KEYS

# Seconds in a table are often rounded, so a section may seem to end after its file.
_MAX_EXCESS = 0.01  # seconds


def fill_lengths(
    path: Path,
    name: str,
    examples: dict[str, dict[str, Any]],
    lengths: np.ndarray,
    on_error: str = "raise",
) -> None:
    """Replace missing lengths by the lengths in the headers of the audio files, in place.

    Parameters
    ----------
    path : Path
        The database file, for messages.
    name : str
        Name of the data set, for messages.
    examples : dict of str to dict
        The examples of the data set by id.
    lengths : ndarray of shape (n_examples,), float
        Lengths in seconds. NaN is replaced.
    on_error : {"raise", "warn", "skip"}, default="raise"
        How to handle a clip that cannot be read. "raise" raises an error. "warn" and "skip" set
        its length to infinity.

    Raises
    ------
    OSError, ValueError
        If a clip cannot be read and `on_error` is "raise". The message names the clip.
    """
    clips = list(examples.items())
    for i in np.flatnonzero(np.isnan(lengths)):
        example_id, clip = clips[i]
        try:
            n_samples, sample_rate = audio_info(section_of(clip))
        except (OSError, ValueError) as error:
            if on_error == "raise":
                advice = "Correct the clip, or add its audio_length."
                raise _of_clip(error, path, name, example_id, advice) from error
            lengths[i] = math.inf
        else:
            lengths[i] = n_samples / sample_rate


def check_event_names(events: Iterable[str]) -> list[str]:
    """Check the events that a user passes as the columns of ``Y``.

    Parameters
    ----------
    events : iterable of str
        Distinct, non-empty names.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        If `events` are not distinct names.
    """
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


def check_options(min_length: float, unknown_events: str) -> None:
    """Raise ValueError if an option of :meth:`Database.to_xy` has another value.

    Parameters
    ----------
    min_length : float
        Not negative.
    unknown_events : str
        "error" or "ignore".
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


def section_of(clip: dict[str, Any]) -> Section:
    """Return the section of a file that is an example.

    Parameters
    ----------
    clip : dict
        A checked example.

    Returns
    -------
    Section
        In samples. If the example states seconds, the header of the file is read.

    Raises
    ------
    OSError, ValueError
        If the section is in seconds, and the file cannot be read.
    """
    path = clip["audio_path"]
    start, stop = (clip.get(key) for key in SECONDS_KEYS)
    if start is None and stop is None:
        return Section(path, *(clip.get(key) for key in SECTION_KEYS))
    # With an end, a file that is cut off after this section can be read.
    with open_audio(Section(path, 0, 1)) as file:
        return section_in_samples(path, start, stop, file.frames, file.samplerate)


def section_in_samples(
    path: str, start: float | None, stop: float | None, n_samples: int, sample_rate: int
) -> Section:
    """Convert a section from seconds to samples.

    Parameters
    ----------
    path : str
        The file.
    start, stop : float or None
        Beginning and end of the section in seconds.
    n_samples : int
        Length of the file. A section that ends up to 10 ms later ends with the file.
    sample_rate : int
        Sample rate of the file in Hz.

    Returns
    -------
    Section
    """
    begin = round((start or 0) * sample_rate)
    end = None if stop is None else round(stop * sample_rate)
    if end is not None and n_samples < end <= n_samples + _MAX_EXCESS * sample_rate:
        end = n_samples
    return Section(path, begin, end)


def to_clips(
    path: Path, name: str, examples: dict[str, dict[str, Any]], on_error: str = "raise"
) -> np.ndarray:
    """Return examples as clips that an estimator accepts.

    Parameters
    ----------
    path : Path
        The database file, for messages.
    name : str
        Name of the data set, for messages.
    examples : dict of str to dict
        Checked examples by id.
    on_error : {"raise", "warn", "skip"}, default="raise"
        How to handle a clip whose section is in seconds and whose file cannot be read. "raise"
        raises an error. "warn" and "skip" give the path of the file, which then cannot be read by
        the estimator either.

    Returns
    -------
    ndarray of shape (n_examples,), dtype object
        Paths, or path, start and stop of sections in samples.

    Raises
    ------
    OSError, ValueError
        If a file cannot be read and `on_error` is "raise". The message names the clip.
    """
    clips = np.empty(len(examples), object)
    for row, (example_id, example) in enumerate(examples.items()):
        try:
            section = section_of(example)
        except (OSError, ValueError) as error:
            if on_error == "raise":
                raise _of_clip(error, path, name, example_id, "Correct the clip.") from error
            section = Section(example["audio_path"])
        whole = section.start is None and section.stop is None
        clips[row] = section.path if whole else (section.path, section.start or 0, section.stop)
    return clips


def to_indicator(
    path: Path,
    name: str,
    examples: dict[str, dict[str, Any]],
    columns: list[str],
    known_only: bool,
    training_set: str,
) -> np.ndarray:
    """Return the events of examples as an indicator matrix.

    Parameters
    ----------
    path : Path
        The database file, for messages.
    name : str
        Name of the data set, for messages.
    examples : dict of str to dict
        Checked examples by id.
    columns : list of str
        The events of the columns.
    known_only : bool
        Whether events that have no column are left out.
    training_set : str
        Name of the data set whose events are the columns, for messages. Empty: they were given.

    Returns
    -------
    ndarray of shape (n_examples, n_columns), int8

    Raises
    ------
    ValueError
        If an event has no column, and `known_only` is False.
    """
    column_of = {event: column for column, event in enumerate(columns)}
    indicator = np.zeros((len(examples), len(columns)), np.int8)
    for row, (example_id, clip) in enumerate(examples.items()):
        for event in clip["events"]:
            if event in column_of:
                indicator[row, column_of[event]] = 1
            elif known_only:
                continue
            elif training_set and not columns:
                raise ValueError(
                    f"{path}: no clip of the training set {training_set!r} has an event, but clip "
                    f"{example_id!r} of {name!r} has. Add events, or give another training_set."
                )
            else:
                raise ValueError(
                    f"{path}: clip {example_id!r} of {name!r} has the event {event!r}, "
                    f"which is not among the {len(columns)} events allowed"
                    f"{nearest(event, columns)}. Correct the clip, add the event to `events`, "
                    "or leave such events out with unknown_events='ignore'."
                )
    return indicator


def _of_clip(error: Exception, path: Path, name: str, example_id: str, advice: str) -> Exception:
    return type(error)(f"{path}: clip {example_id!r} of {name!r}: {error} {advice}")
