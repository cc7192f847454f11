"""Lengths, clips and event names from the examples of a database."""

from __future__ import annotations

import math
import reprlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sktagger.audio.reading import Section, audio_info
from sktagger.datasets._check import SECTION_KEYS


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
        The JSON file, for messages.
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
        section = Section(clip["audio_path"], *(clip.get(key) for key in SECTION_KEYS))
        try:
            n_samples, sample_rate = audio_info(section)
        except (OSError, ValueError) as error:
            if on_error == "raise":
                raise type(error)(
                    f"{path}: clip {example_id!r} of {name!r}: {error} Correct the clip, "
                    "or add its audio_length."
                ) from error
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


def clip_of(clip: dict[str, Any]) -> str | tuple[str, int, int | None]:
    """Return the clip of an example as an estimator accepts it.

    Parameters
    ----------
    clip : dict
        A checked example.

    Returns
    -------
    str or tuple of (str, int, int or None)
        The path, or path, start and stop of a section in samples.
    """
    start, stop = clip.get("audio_start_samples"), clip.get("audio_stop_samples")
    if start is None and stop is None:
        return clip["audio_path"]
    return clip["audio_path"], start or 0, stop
