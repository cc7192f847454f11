"""Tag recordings one by one, with rows for a table.

PyTorch is imported only inside functions, so that help and errors appear without waiting for it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sktagger._utils.text import nearest, quoted, short

if TYPE_CHECKING:
    import pandas as pd

    from sktagger.recordings._recording import Kind

KINDS: dict[str, Kind] = {"clips": "clips", "segments": "windows", "detect": "events"}


class Tagged(NamedTuple):
    """What was found in a recording.

    Attributes
    ----------
    file : str
        Its path.
    duration : float
        In seconds. NaN if it could not be read.
    rows : DataFrame of shape (n_rows, 5)
        Columns `file`, `onset`, `offset`, `event` and `score`.
    cause : str or None, default=None
        Why it could not be read.
    """

    file: str
    duration: float
    rows: pd.DataFrame
    cause: str | None = None


def tag(
    tagger: Any,
    files: Sequence[str],
    *,
    kind: Literal["clips", "segments", "detect"] = "clips",
    threshold: float | Literal["tuned"] = "tuned",
    top: int | None = None,
    events: Sequence[str] | None = None,
    window: float | None = None,
    hop: float | None = None,
    verbose: int = 1,
) -> Iterator[Tagged]:
    """Tag recordings one by one.

    Parameters
    ----------
    tagger : estimator
        Fitted :class:`sktagger.AudioTagger`, or one of the estimators around it that
        :func:`sktagger.recordings.tag_files` accepts.
    files : sequence of str
        Recordings, folders and patterns. "-": audio from standard input.
    kind : {"clips", "segments", "detect"}, default="clips"
        Rows of a file. "clips": one per event with its highest score in all windows. "segments":
        one per window and event. "detect": one per event in time.
    threshold : "tuned" or float, default="tuned"
        Rows have scores above it. "tuned": the thresholds of the tagger; if it has none, 0.5 with
        "detect", else all rows.
    top : int or None, default=None
        Number of rows with the highest scores to keep of each file, or of each window. None: all.
    events : sequence of str or None, default=None
        Events to look for. None: all.
    window, hop : float or None, default=None
        Windows in seconds, see :meth:`sktagger.AudioTagger.iter_scores`. None: 10 and `window`;
        with "detect", as in :func:`sktagger.recordings.detect_events`.
    verbose : int, default=1
        0: no progress is shown.

    Yields
    ------
    Tagged
        Files that cannot be read have a cause, and no rows.

    Raises
    ------
    FileNotFoundError
        If a file, folder or pattern matches nothing.
    ValueError
        If a parameter is wrong.
    """
    from sktagger._utils.progress import TaskProgress
    from sktagger.recordings import find_recordings
    from sktagger.recordings._recording import plan, recording_length, tag_recording

    if top is not None and top < 1:
        raise ValueError(f"top={top!r}, but it must be an integer above 0, or None.")
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}, but it must be one of {', '.join(map(repr, KINDS))}.")
    inner, task, thresholds = plan(
        tagger,
        KINDS[kind],
        window="auto" if window is None else window,
        hop=hop,
        threshold=threshold,
    )
    chosen = _choose_events(inner, events)
    with _standard_input(files) as places:
        paths = find_recordings([places.get(file, file) for file in files])
        names = {place: name for name, place in places.items()}
        unit, total, lengths = "file", len(paths), {}
        if len(paths) == 1:
            with suppress(OSError, ValueError):  # raised again below
                lengths[paths[0]] = recording_length(paths[0])
                unit, total = "second", max(1, int(lengths[paths[0]]))
        with TaskProgress(
            "Tagging", total, unit=unit, verbose=verbose, delay=2, leave=False
        ) as bar:

            def tick(seconds):
                if unit == "second":
                    bar.update(int(seconds) - bar.n)

            for path in paths:
                name = names.get(path, path)
                try:
                    duration = lengths[path] if path in lengths else recording_length(path)
                    wide, _ = tag_recording(inner, path, task, duration=duration, tick=tick)
                except (OSError, ValueError) as error:
                    result = Tagged(name, float("nan"), no_rows(), str(error))
                else:
                    rows = _to_rows(wide, name, kind, chosen, thresholds, top)
                    result = Tagged(name, duration, rows)
                if unit == "file":
                    bar.update()
                yield result


def _choose_events(tagger, events):
    names = [str(event) for event in tagger.classes_]
    for event in events or ():
        if event not in names:
            raise ValueError(
                f"events: the model has no event {short(event)}{nearest(event, names)}. It has "
                f"{len(names)}, such as {quoted(names)}. Each event is an argument of its own: "
                "quote names with spaces or commas, and give recordings before --events."
            )
    return set(names if events is None else events)


def _to_rows(wide, file, kind, chosen, thresholds, top):
    """Turn the results of a file into rows of file, onset, offset, event and score."""
    import pandas as pd

    if kind == "detect":
        rows = wide.drop(columns="file")
    else:
        if kind == "clips":
            wide = wide.rename(columns={"duration": "offset"})
            wide.insert(1, "onset", 0.0)
        rows = wide.drop(columns="file").melt(["onset", "offset"], None, "event", "score")
    rows = rows.loc[rows["event"].isin(chosen)]
    if thresholds is not None:
        low = rows["event"].map(thresholds) if isinstance(thresholds, dict) else thresholds
        rows = rows.loc[rows["score"] > low]
    if kind != "detect":
        rows = rows.sort_values(["onset", "score"], ascending=[True, False], kind="stable")
    if top is not None and kind == "segments":
        rows = rows.groupby("onset", sort=False).head(top)
    elif top is not None:
        rows = rows.loc[rows["score"].rank(method="first", ascending=False) <= top]
    rows = rows.reset_index(drop=True)
    rows.insert(0, "file", pd.Series([file] * len(rows), rows.index, dtype=str))
    return rows


def no_rows():
    import pandas as pd

    return pd.DataFrame(columns=["file", "onset", "offset", "event", "score"])


@contextmanager
def _standard_input(files):
    """Copy audio from standard input to a file, whose path is yielded by "-"."""
    if "-" not in files:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard_input"
        with open(path, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield {"-": str(path)}
