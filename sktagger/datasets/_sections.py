"""Clips of a database beside the headers of their files."""

from __future__ import annotations

from typing import Any

from sktagger.audio.reading import Section
from sktagger.datasets._check import SECONDS_KEYS, SECTION_KEYS
from sktagger.datasets._examples import section_in_samples
from sktagger.datasets._headers import Header


def check_clip(clip: dict[str, Any], header: Header) -> float | ValueError:
    """Return the length of a clip by the header of its file.

    Parameters
    ----------
    clip : dict
        A checked example.
    header : Header
        Of its file.

    Returns
    -------
    float or ValueError
        In seconds. An error if the clip is a section that is not inside the file.
    """
    path = clip["audio_path"]
    begin, end = (clip.get(key) for key in SECONDS_KEYS)
    if begin is None and end is None:
        section = Section(path, *(clip.get(key) for key in SECTION_KEYS))
    else:
        section = section_in_samples(path, begin, end, header.n_samples, header.sample_rate)
    start = section.start or 0
    stop = header.n_samples if section.stop is None else section.stop
    if not start < stop <= header.n_samples:
        return ValueError(
            f"Audio file {section}: the section is not inside the file, which has "
            f"{header.n_samples} samples."
        )
    return (stop - start) / header.sample_rate
