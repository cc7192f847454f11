"""The report page: results, curves, and the errors of a tagger, to be seen and heard."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktagger import __version__
from sktagger._utils.files import expand_path, replacing
from sktagger._utils.text import printable, quoted, short
from sktagger._utils.validation import check_lengths
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.metrics import event_report
from sktagger.reports import _page_data as numbers
from sktagger.reports._model_card import describe_history, describe_settings, make_card
from sktagger.reports._page_media import Renderer, choose_clips, links_to_files, render_clips
from sktagger.taggers import TunedThresholdTagger

__all__ = ["write_report"]

_PACKAGES = ("jinja2", "matplotlib", "PIL")
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}  # of JSON inside of HTML


def write_report(
    path: str | os.PathLike[str],
    Y: pd.DataFrame,
    scores: np.ndarray,
    thresholds: ArrayLike,
    *,
    X: Any = None,
    tagger: Any = None,
    history: pd.DataFrame | None = None,
    validation: tuple[pd.DataFrame, np.ndarray] | None = None,
    names: tuple[str, str] = ("validate", "eval"),
    title: str | None = None,
    about: Mapping[str, Any] | None = None,
    n_bootstraps: int = 1000,
    confidence_level: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
    max_bytes: int = 10_000_000,
    max_seconds: float = 15.0,
    verbose: int | bool = 1,
) -> None:
    """Write a page with results, curves and errors, for any browser and without a network.

    The page has the metrics of all events with bootstrap intervals, curves of each event, and false
    positives and false negatives, worst first. Those of the clips that fit into the page can be
    heard and seen: the log-mel spectrogram that the network gets, and the scores of events in time.
    Other clips are links to their files, which a browser can play as long as the files stay where
    they are, relative to the page.

    Parameters
    ----------
    path : str or PathLike
        File to write, such as "report.html". An existing file is replaced in one step.
    Y : DataFrame of shape (n_clips, n_events)
        0/1 indicator of the events of each clip. The index names the clips, the columns the events.
    scores : ndarray of shape (n_clips, n_events), float
        Finite scores, with the columns of `Y`.
    thresholds : float or array-like of shape (n_events,)
        An event is found in a clip if its score is greater than its threshold. A Series is matched
        by event name.
    X : array-like of clips or None, default=None
        The clips, in a form that taggers accept. None: errors can neither be heard nor seen.
    tagger : AudioTagger, TunedThresholdTagger or None, default=None
        Fitted tagger with the events of `Y`, in their order: for scores in time, pictures, the
        training history and settings. None: the page is without these.
    history : DataFrame or None, default=None
        Training history, with the columns of ``tagger.history_``. None: that of the tagger, if it
        has one; saved taggers do not.
    validation : tuple of (DataFrame, ndarray), or None, default=None
        `Y` and `scores` of the clips on which thresholds were tuned, for another row of results.
    names : tuple of (str, str), default=("validate", "eval")
        Names of the validation clips and of the clips in `Y`.
    title : str or None, default=None
        Title of the page. None: "Report of sktagger" with the name of the clips.
    about : dict or None, default=None
        Further lines of the model card, by their name, such as
        ``{"Intended use": "birds in gardens"}``.
    n_bootstraps : int, default=1000
        Number of bootstrap resamples for intervals. 0: no intervals.
    confidence_level : float, default=0.95
        Nominal coverage of the intervals, in (0, 1).
    random_state : int, RandomState instance or None, default=0
        Random numbers for the resamples.
    max_bytes : int, default=10_000_000
        Maximum size of clips and pictures in the page. All events take turns, each with its worst
        errors first. 0: none is in the page.
    max_seconds : float, default=15.0
        Longer clips are cut to this length, around the highest score of the event of an error.
    verbose : int or bool, default=1
        0: no progress is shown.

    Raises
    ------
    ImportError
        If jinja2, matplotlib or Pillow are not installed: ``pip install sktagger[report]``.
    ValueError
        If `Y`, `scores`, `thresholds`, `X` or the events of the tagger do not fit each other.

    Examples
    --------
    >>> import numpy as np, pandas as pd, tempfile
    >>> from pathlib import Path
    >>> from sktagger.reports import write_report
    >>> Y = pd.DataFrame({"Dog": [1, 0, 1], "Rain": [0, 1, 1]}, index=["a", "b", "c"])
    >>> scores = np.array([[0.9, 0.2], [0.6, 0.3], [0.5, 0.7]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(Path(folder) / "report.html", Y, scores, 0.5, n_bootstraps=0)
    ...     (Path(folder) / "report.html").read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    template = load_template("report.html.jinja")
    path = expand_path(path)
    Y = _check_targets(Y)
    if isinstance(thresholds, pd.Series):
        thresholds = thresholds.reindex(Y.columns)  # by name; a missing one is an error below
    thresholds = np.broadcast_to(np.asarray(thresholds, float), Y.shape[1])
    settings: dict[str, Any] = {
        "n_bootstraps": n_bootstraps,
        "confidence_level": confidence_level,
        "random_state": random_state,
    }
    report = event_report(Y, scores, thresholds, **settings)
    scores = np.asarray(scores)
    labels, predictions = Y.to_numpy() > 0, scores > thresholds
    tagger = _find_tagger(tagger, Y)
    if history is None and tagger is not None:
        history = tagger.history_
    limits = numbers.lwlrap_limits(Y, scores, **settings)
    overall = [numbers.overall_row(names[1], report, Y, scores, limits)]
    if validation is not None:
        Y_val, scores_val = _check_targets(validation[0]), np.asarray(validation[1])
        of_val = event_report(Y_val, scores_val, thresholds, **settings)
        limits = numbers.lwlrap_limits(Y_val, scores_val, **settings)
        overall.insert(0, numbers.overall_row(names[0], of_val, Y_val, scores_val, limits))

    errors = numbers.list_errors(labels, predictions, scores)
    kept, of_clips = np.unique(errors["clip"], return_inverse=True)
    clips = _describe_clips(Y, labels, predictions, scores, kept)
    media: dict[int, dict] = {}
    if X is not None:
        X = reusable(X)
        reader = _Reader() if tagger is None else tagger
        read = check_clips(reader, X, reset=tagger is None)
        check_lengths(read, Y, ("X", "Y"))
        links = links_to_files(read.take(kept), path.parent)
        renderer = Renderer(read, tagger, max_seconds)
        order = choose_clips(errors) if max_bytes > 0 else []
        wrong = _events_to_draw(labels, predictions, scores, order)
        place = {int(clip): i for i, clip in enumerate(kept)}
        rendered = render_clips(renderer, X, order, wrong, max_bytes, verbose)
        media = {place[clip]: content for clip, content in rendered}
        clips["media"] = [1 if i in media else link for i, link in enumerate(links)]
    data = {
        "columns": [list(column) for column in numbers.COLUMNS],
        "events": numbers.table_of_events(report),
        "range": list(numbers.score_range(scores)),
        "curves": numbers.curves_of_events(labels, scores),
        "clips": clips,
        "errors": {
            "clip": of_clips.tolist(),
            "event": errors["event"].tolist(),
            "kind": errors["kind"].tolist(),
            "score": [numbers.round_number(x, 3) for x in errors["score"]],
        },
        "history": describe_history(history),
        "silent": _why_silent(X),
    }
    text = template.render(
        version=__version__,
        title=title or f"Report of sktagger on the clips {printable(names[1])!r}",
        n_clips=len(Y),
        n_events=Y.shape[1],
        n_unseen=int((~labels.any(axis=0)).sum()),
        n_wrong_clips=len(kept),
        n_false_positives=int((errors["kind"] == 0).sum()),
        n_false_negatives=int((errors["kind"] == 1).sum()),
        overall_names=numbers.OVERALL_NAMES,
        overall=overall,
        n_bootstraps=n_bootstraps,
        confidence=f"{100 * confidence_level:g}",
        threshold_note="" if validation is None else f"Thresholds were tuned on {names[0]!r}.",
        media_note=_describe_media(len(media), len(kept), X is None),
        confusions=numbers.find_confusions(labels, predictions, Y.columns),
        history=data["history"] is not None,
        card=make_card(tagger, about),
        settings=describe_settings(tagger),
        data=to_json(data),
        media=to_json(media),
        css=read_file("report.css"),
        script=read_script("report.js"),
    )
    with replacing(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


class _Reader(BaseEstimator):
    """Reads clips where there is no tagger."""

    on_error = "skip"


def _check_targets(Y):
    if not isinstance(Y, pd.DataFrame):
        raise ValueError(
            f"Y is {short(Y)}, but it must be a DataFrame whose index names the clips and whose "
            "columns name the events. Pass pd.DataFrame(Y, clips, events)."
        )
    return Y


def _find_tagger(tagger, Y):
    """Return a copy of a tagger that leaves out clips that it cannot read."""
    if tagger is None:
        return None
    check_is_fitted(tagger)
    if isinstance(tagger, TunedThresholdTagger):
        tagger = tagger.estimator_
    if [str(event) for event in tagger.classes_] != [str(event) for event in Y.columns]:
        raise ValueError(
            f"tagger has the events {quoted(tagger.classes_)}, but Y has {quoted(Y.columns)}. Both "
            "must have the same events in the same order. Pass Y[tagger.classes_]."
        )
    return quiet_copy(tagger)


def quiet_copy(tagger: Any) -> Any:
    """Return a copy of a tagger that is silent and leaves out clips that it cannot read."""
    return copy.copy(tagger).set_params(on_error="skip", verbose=0)


def _describe_clips(Y, labels, predictions, scores, kept):
    """Return names, labels and predictions of the clips with errors."""
    return {
        "name": [printable(name) for name in Y.index[kept]],
        "labels": [np.flatnonzero(labels[i]).tolist() for i in kept],
        "found": [
            [
                [int(e), numbers.round_number(scores[i, e], 3)]
                for e in np.flatnonzero(predictions[i])
            ]
            for i in kept
        ],
        "media": [None] * len(kept),
    }


def _events_to_draw(labels, predictions, scores, order):
    """Return the events whose scores in time are drawn, by clip: errors, then others, by score."""
    events = {}
    for clip in order:
        wrong = labels[clip] != predictions[clip]
        shown = np.flatnonzero(labels[clip] | predictions[clip])
        rank = np.lexsort((-scores[clip, shown], ~wrong[shown]))
        events[clip] = shown[rank].tolist()
    return events


def _why_silent(X):
    if X is None:
        return "Clips were not given to the page, so that they cannot be heard."
    return "This clip is no file and did not fit into the page. Raise max_bytes to hear more clips."


def _describe_media(n_inside, n_clips, without):
    if without or not n_clips:
        return ""
    if n_inside == n_clips:
        return "All clips with errors are in this page."
    return f"{n_inside} of {n_clips} clips with errors are in this page, the others link to files."


def can_write_report() -> bool:
    """Say whether the packages are installed that the report page needs.

    Returns
    -------
    bool
    """
    return all(importlib.util.find_spec(name) for name in _PACKAGES)


def load_template(name: str) -> Any:
    """Read a template; ImportError if a package is missing that pages need."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The report page needs {', '.join(missing)}, not installed here. Install it: "
            "pip install sktagger[report]"
        )
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(read_file(name))


def read_script(name: str) -> str:
    """Return the script of a page, after what all pages with clips share."""
    return "\n".join(['"use strict";', "(() => {", read_file("clip.js"), read_file(name), "})();"])


def read_file(name: str) -> str:
    """Read a file of pages."""
    files = resources.files("sktagger.reports") / "page_files"
    return (files / name).read_text(encoding="utf-8")


def to_json(content: Any) -> str:
    """Write data as JSON inside of HTML."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text
