"""The review page: clips to listen to, whose events one can correct and save."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from sktagger import __version__
from sktagger._utils.files import expand_path, replacing
from sktagger._utils.text import printable
from sktagger._utils.validation import check_lengths
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.reports._page_data import round_number
from sktagger.reports._page_media import Renderer, links_to_files, render_clips
from sktagger.reports.page import load_template, quiet_copy, read_file, read_script, to_json

__all__ = ["write_review_page"]

_N_OFFERED = 5  # events with the highest scores, which are offered beside those of the labels


def write_review_page(
    path: str | os.PathLike[str],
    X: Any,
    scores: np.ndarray,
    tagger: Any,
    *,
    clips: pd.DataFrame | None = None,
    labels: Sequence[Iterable[str]] | None = None,
    suspects: Sequence[Iterable[str]] | None = None,
    reasons: Sequence[str] | None = None,
    thresholds: Any = None,
    title: str = "Review of clips",
    max_bytes: int = 30_000_000,
    max_seconds: float = 15.0,
    verbose: int | bool = 1,
) -> None:
    """Write a page in which one listens to clips, corrects their events, and saves corrections.

    The page loads nothing from a network. :func:`sktagger.datasets.read_corrections` and
    ``sktagger import corrections`` read what it saves.

    Parameters
    ----------
    path : str or PathLike
        File to write, such as "review.html". An existing file is replaced in one step.
    X : array-like of clips
        The clips to review, in their order, in a form that taggers accept.
    scores : ndarray of shape (n_clips, n_events), float, in [0, 1]
        Their scores, in the order of the events of the tagger.
    tagger : AudioTagger
        Fitted: for scores in time and pictures.
    clips : DataFrame of shape (n_clips, n_columns) or None, default=None
        Where the clips are from: its index has their ids, its columns may be `dataset`, `path`,
        `start` and `stop` (in samples). The corrections have the same. None: ids are numbers.
    labels : sequence of iterable of str of length n_clips, or None, default=None
        Events that the clips have according to their labels. None: they have no labels, and the
        events above the thresholds are offered as set.
    suspects : sequence of iterable of str of length n_clips, or None, default=None
        Events of each clip that are in doubt, which are marked.
    reasons : sequence of str of length n_clips, or None, default=None
        Why a clip is worth a look, which the page shows.
    thresholds : float or array-like of shape (n_events,), or None, default=None
        An event is found if its score is greater. None: 0.5.
    title : str, default="Review of clips"
        Title of the page.
    max_bytes : int, default=30_000_000
        Maximum size of clips and pictures in the page. The others are links to their files.
    max_seconds : float, default=15.0
        Longer clips are cut to this length, around the highest score of an event in doubt.
    verbose : int or bool, default=1
        0: no progress is shown.

    Raises
    ------
    ImportError
        If a package is missing: ``pip install sktagger[report]``.
    ValueError
        If the arguments do not fit each other.
    """
    template = load_template("review.html.jinja")
    path = expand_path(path)
    check_is_fitted(tagger)
    X = reusable(X)
    events = [str(event) for event in tagger.classes_]
    read = check_clips(tagger, X, reset=False)
    table = pd.DataFrame(index=range(len(read))) if clips is None else clips
    scores = np.asarray(scores, float)
    lists = {"scores": scores, "clips": table, "labels": labels, "suspects": suspects}
    for name, value in {**lists, "reasons": reasons}.items():
        if value is not None:
            check_lengths(read, value, ("X", name))
    limits = np.broadcast_to(np.asarray(0.5 if thresholds is None else thresholds), len(events))
    names = list(dict.fromkeys([*events, *(e for row in labels or () for e in row)]))
    place = {name: i for i, name in enumerate(names)}
    marked = [[place[e] for e in row] for row in suspects or [()] * len(read)]
    links = links_to_files(read, path.parent)
    described = []
    for i, (key, row) in enumerate(zip(table.index, table.to_dict("records"), strict=True)):
        found = np.flatnonzero(scores[i] > limits).tolist()
        own = found if labels is None else [place[e] for e in labels[i]]
        best = np.argsort(-scores[i], kind="stable")[:_N_OFFERED].tolist()
        described.append(
            {
                "name": printable(key),
                "id": str(key),
                **{name: _plain(row.get(name)) for name in ("dataset", "path", "start", "stop")},
                "labels": own,
                "offered": list(dict.fromkeys([*marked[i], *own, *best])),
                "suspects": marked[i],
                "scores": [[e, round_number(scores[i, e], 3)] for e in range(len(events))],
                "reason": "" if reasons is None else printable(reasons[i]),
                "link": links[i],
            }
        )
    drawn = {i: [e for e in clip["offered"] if e < len(events)] for i, clip in enumerate(described)}
    renderer = Renderer(read, quiet_copy(tagger), max_seconds)
    order = range(len(read))
    media = dict(render_clips(renderer, X, order, drawn, max_bytes, verbose))
    data = {
        "events": [
            {"name": name, "threshold": round_number(limits[i]) if i < len(events) else None}
            for i, name in enumerate(names)
        ],
        "clips": described,
    }
    from_database = "dataset" in table and table["dataset"].notna().any()
    text = template.render(
        version=__version__,
        title=title,
        about=f"{len(read)} clips, the most valuable ones first.",
        target="the database" if from_database else "a database",
        data=to_json(data),
        media=to_json(media),
        css=read_file("report.css"),
        script=read_script("review.js"),
    )
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def _plain(value):
    """Return a value for JSON: None if it is missing."""
    if value is None or (not isinstance(value, str | Path) and pd.isna(value)):
        return None
    return str(value) if isinstance(value, str | Path) else int(value)
