"""Tables of strong labels: which events occur in a file, and when."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable

import numpy as np
import pandas as pd

from sktagger._utils.files import expand_path, replacing
from sktagger._utils.text import listed, short

__all__ = ["read_strong_labels", "write_strong_labels"]

# Names of the columns in the files of data sets, and here. The first ones are written.
_NAMES = {
    "file": ("filename", "file", "clip", "audio_id"),
    "onset": ("onset",),
    "offset": ("offset",),
    "event": ("event_label", "event"),
}


def read_strong_labels(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of events with their times.

    The files have tab-separated columns with a header, as those of the DCASE challenges and of
    :func:`make_scenes`: `filename`, `onset`, `offset` and `event_label`. `file`, `clip` or
    `audio_id` may stand for `filename`, and `event` for `event_label`. A file without events has a
    row without times.

    Parameters
    ----------
    path : str or PathLike
        File of tab-separated values, UTF-8.

    Returns
    -------
    DataFrame of shape (n_events, 4)
        Columns `file` (str, as it is in the file), `onset` and `offset` (float64, in seconds) and
        `event` (str), in the order of the file, without rows that have no event.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, or a time is not a number, is negative, or the offset is before the
        onset. The message names the line.

    Examples
    --------
    >>> import tempfile
    >>> from sktagger.datasets import make_scenes, read_strong_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     db = make_scenes(folder, n_train=6, n_validate=0, n_eval=0, duration=1, random_state=0)
    ...     labels = read_strong_labels(f"{folder}/strong_labels.tsv")
    >>> list(labels.columns), len(labels)
    (['file', 'onset', 'offset', 'event'], 10)
    """
    path = expand_path(path)
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row]
    header = rows[0] if rows else []
    places = {}
    for name, spellings in _NAMES.items():
        found = [header.index(spelling) for spelling in spellings if spelling in header]
        if not found:
            raise ValueError(
                f"{str(path)!r} has the columns {listed(header) or 'none'}. It must have "
                f"{' or '.join(map(repr, spellings))}, separated by tabs. Correct its first line."
            )
        places[name] = found[0]
    events = [
        {name: row[place] if place < len(row) else "" for name, place in places.items()}
        for row in rows[1:]
    ]
    for line, event in enumerate(events, start=2):
        if event["event"]:
            _read_times(event, f"line {line} of {str(path)!r}")
    table = pd.DataFrame([event for event in events if event["event"]], columns=list(_NAMES))
    return table.astype({"onset": float, "offset": float})


def write_strong_labels(
    path: str | os.PathLike[str], labels: Iterable[tuple[str, float, float, str]]
) -> None:
    """Write a table that :func:`read_strong_labels` reads.

    Parameters
    ----------
    path : str or PathLike
        An existing file is replaced in one step.
    labels : iterable of (file, onset, offset, event)
        Times in seconds; they are written with six decimals.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow([spellings[0] for spellings in _NAMES.values()])
    for name, onset, offset, event in labels:
        writer.writerow([name, f"{onset:.6f}", f"{offset:.6f}", event])
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _read_times(event: dict, where: str) -> None:
    try:
        onset, offset = float(event["onset"]), float(event["offset"])
    except ValueError as error:
        raise ValueError(
            f"{where} has the onset {short(event['onset'])} and the offset "
            f"{short(event['offset'])}. Both must be numbers of seconds. Correct the line."
        ) from error
    if not 0 <= onset <= offset < np.inf:
        raise ValueError(
            f"{where} has the onset {onset:g} and the offset {offset:g}. Times must be finite, not "
            "negative, and the onset not after the offset. Correct the line."
        )
    event["onset"], event["offset"] = onset, offset
