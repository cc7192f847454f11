"""Events in time in recordings, from a tagger and its thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sktagger._utils.text import listed, short
from sktagger.audio._clip_items import is_file, split_rate
from sktagger.audio.reading import Section
from sktagger.recordings._score_source import ScoreSource, detection_windows
from sktagger.recordings.events import EventStream, events_table, find_events
from sktagger.taggers import TunedThresholdTagger
from sktagger.targets import clip_names
from sktagger.thresholds.tuner import ThresholdTuner

__all__ = [
    "detect_events",
    "resolve_detection",
    "tagger_and_thresholds",
]


def detect_events(
    tagger: BaseEstimator,
    source: Any,
    *,
    threshold: float | Mapping[Any, float] | ArrayLike | Literal["tuned"] = "tuned",
    low: float | Mapping[Any, float] | ArrayLike | None = None,
    smoothing: Literal["median", "change", "boundary"] | None = None,
    filter_length: float | Mapping[Any, float] | ArrayLike | None = None,
    merge_absolute: float = 0.2,
    merge_relative: float = 2.0,
    min_length: float = 0.0,
    merge_gap: float = 0.0,
    score: Literal["mean", "max"] = "mean",
    step: float | None = None,
    window: float | Literal["auto"] | None = "auto",
    hop: float | None = None,
    sample_rate: int | None = None,
) -> pd.DataFrame:
    """Find events in a recording of any length, or in several.

    Parameters
    ----------
    tagger : estimator
        Fitted :class:`sktagger.AudioTagger`, :class:`sktagger.TunedThresholdTagger` around one,
        pipeline of one and a :class:`sktagger.ThresholdTuner`, or :class:`EventDetector`. The
        latter brings its own thresholds, smoothing and windows, so these must not be given.
    source : path, section, waveform, iterator of blocks, or list of clips
        One recording: a path, a section ``(path, start, stop)``, an array of shape (n_samples,), or
        an iterator of blocks, see :meth:`sktagger.AudioTagger.iter_scores`. Few of its scores are
        in memory at a time. A list or another container of clips, as `predict_proba` accepts it:
        several recordings.
    threshold : "tuned", float, mapping or array-like of shape (n_events,), default="tuned"
        An event is found where its score is above its threshold. "tuned": the thresholds of the
        tagger, or 0.5 if it has none.
    low : float, mapping, array-like of shape (n_events,) or None, default=None
        See :func:`find_events`, as for the following parameters.
    smoothing : {"median", "change", "boundary"} or None, default=None
        How scores are smoothed.
    filter_length : float, mapping, array-like of shape (n_events,) or None, default=None
        Length of the median or step filter in seconds.
    merge_absolute, merge_relative : float, default=0.2, 2.0
        When segments between changes are merged.
    min_length, merge_gap : float, default=0.0
        Least length of an event and longest gap to merge, in seconds.
    score : {"mean", "max"}, default="mean"
        Score of an event.
    step : float or None, default=None
        Length of a cell in seconds.
    window : float, "auto" or None, default="auto"
        Length in seconds of windows whose scores are used, see
        :meth:`sktagger.AudioTagger.iter_scores`. None: the segments of the network. "auto": windows
        of 2 s every 1 s if the scores of segments depend on the whole clip and were not trained
        with onsets, as those of EfficientAT and PANNs; else segments.
    hop : float or None, default=None
        Step of the windows in seconds. None: `window`.
    sample_rate : int or None, default=None
        Sample rate of the blocks of an iterator in Hz. None: that of the network.

    Returns
    -------
    DataFrame of shape (n_found, 4) or (n_found, 5)
        Columns `onset`, `offset` (in seconds), `event` and `score`, sorted by onset. For several
        recordings, the first column is `file` (str) with their paths, or `clip` (int) with their
        positions if they are not all paths; rows of a recording follow each other.

    Raises
    ------
    TypeError
        If `tagger` has no scores in time.
    FileNotFoundError, ValueError
        If a recording cannot be read, a parameter is out of range, or an `EventDetector` has it
        tuned. With ``on_error="warn"`` or
        "skip" of the tagger, unreadable ones of several recordings have no events instead.

    See Also
    --------
    find_events : The same for given scores in time.
    EventDetector : An estimator that tunes thresholds and smoothing.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import WALNetTagger
    >>> from sktagger.recordings import detect_events
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((4, 16000))
    >>> Y = [["noise"], [], ["noise"], []]
    >>> tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(X, Y)
    >>> list(detect_events(tagger, X[0], threshold=0.0).columns)
    ['onset', 'offset', 'event', 'score']
    >>> list(detect_events(tagger, X[:2], threshold=0.0).columns)
    ['clip', 'onset', 'offset', 'event', 'score']
    """
    given: dict[str, Any] = {
        "low": low,
        "smoothing": smoothing,
        "filter_length": filter_length,
        "merge_absolute": merge_absolute,
        "merge_relative": merge_relative,
        "min_length": min_length,
        "merge_gap": merge_gap,
        "score": score,
        "step": step,
    }
    scores, options = resolve_detection(tagger, threshold, given, window, hop)
    if _is_single(source):
        return _detect(scores, source, options, sample_rate)
    tables = [find_events(of_clip, **options) for of_clip in scores.tables(source)]
    column, names = clip_names(source, len(tables))
    for name, table in zip(names, tables, strict=True):
        table.insert(0, column, pd.Series([name] * len(table), table.index, type(name)))
    return pd.concat(tables, ignore_index=True)


def _detect(scores, source, options, sample_rate):
    """Find the events in one recording, with few of its scores in memory."""
    events = scores.tagger.classes_
    stream = EventStream(events, **options)
    found = []
    for onset, offset, row in scores.along(source, sample_rate):
        found += stream.push(onset, offset, row)
    return events_table([*found, *stream.finish()], events)


def resolve_detection(
    tagger: Any, threshold: Any, options: Mapping[str, Any], window: Any, hop: Any
) -> tuple[ScoreSource, dict[str, Any]]:
    """Return what detects events: scores in time, and the parameters of `EventStream`.

    Parameters
    ----------
    tagger : estimator
        See :func:`detect_events`, as for the following parameters.
    threshold : "tuned", float, mapping or array-like
    options : dict
        Other parameters of :class:`sktagger.recordings.EventStream`.
    window, hop : float, "auto" or None

    Returns
    -------
    scores : ScoreSource
    options : dict

    Raises
    ------
    TypeError
        If there is no tagger with scores in time.
    ValueError
        If `window` and `hop` do not fit, or a parameter is given that an `EventDetector` has tuned.
    """
    inner, thresholds = tagger_and_thresholds(tagger, threshold)
    if hasattr(tagger, "_tuned_options"):
        tuned = tagger._tuned_options()
        defaults = {name: p.default for name, p in signature(EventStream).parameters.items()}
        defaults |= {"threshold": "tuned", "window": "auto", "hop": None}
        given = {**options, "threshold": threshold, "window": window, "hop": hop}
        for name in (*tuned, "window", "hop"):
            if name in given and not _is_default(given[name], defaults[name]):
                raise ValueError(
                    f"{name}={short(given[name])} is given, but tagger is an EventDetector, which "
                    f"has tuned its own {name} or depends on it. Leave it out, or pass "
                    "`detector.tagger` as tagger, with the options that you want of "
                    "`detector.options_`."
                )
        return tagger._tuned_scores(), {**options, **tuned}
    resolved = {"threshold": 0.5 if thresholds is None else thresholds, **options}
    return ScoreSource(inner, *detection_windows(inner, window, hop)), resolved


def _is_default(value, default):
    return value is default or bool(np.ndim(value) == 0 and value == default)


def tagger_and_thresholds(tagger: Any, threshold: Any = "tuned") -> tuple[Any, Any]:
    """Return the tagger inside of an estimator, and the thresholds to use.

    Parameters
    ----------
    tagger : estimator
        See :func:`detect_events`.
    threshold : "tuned", float, mapping or array-like of shape (n_events,), default="tuned"
        "tuned": the thresholds of the tagger.

    Returns
    -------
    inner : estimator
        It has `predict_segments`.
    thresholds : dict of event to float, or as given, or None
        None: "tuned", but the tagger has none. Those of an `EventDetector` do not count, because
        they depend on its smoothing.

    Raises
    ------
    TypeError
        If there is no tagger with scores in time.
    ValueError
        If `threshold` is another text.
    NotFittedError
        If it is not fitted.
    """
    if isinstance(threshold, str) and threshold != "tuned":
        raise ValueError(
            f"threshold={short(threshold)} is unknown. It must be 'tuned', a number, or one "
            "number per event. Pass threshold=0.5."
        )
    thresholds = None
    inner = tagger
    while getattr(inner, "_delegates", False) or not hasattr(inner, "predict_segments"):
        if getattr(inner, "_delegates", False):
            check_is_fitted(inner)
            inner = inner.estimator_
        elif isinstance(inner, FrozenEstimator):
            inner = inner.estimator
        elif isinstance(inner, TunedThresholdTagger):
            check_is_fitted(inner)
            if thresholds is None:
                thresholds = dict(zip(inner.classes_, inner.thresholds_, strict=True))
            inner = inner.estimator_
        elif isinstance(inner, Pipeline) and len(inner.steps) and _ends_in_thresholds(inner):
            if thresholds is None and len(inner.steps) > 1:
                thresholds = inner.steps[-1][1].thresholds_
            inner = inner.steps[0][1]
        elif hasattr(inner, "_tuned_options"):
            inner = inner.tagger
        else:
            raise TypeError(
                f"tagger is a {type(tagger).__name__}, which has no scores in time. It must be an "
                "AudioTagger, a TunedThresholdTagger around one, a pipeline of one and a "
                "ThresholdTuner, or an EventDetector. Pass the fitted AudioTagger."
            )
    check_is_fitted(inner)
    if isinstance(thresholds, np.ndarray):
        # The columns of a pipeline's scores are those of its tagger.
        thresholds = dict(zip(inner.classes_, thresholds, strict=True))
    return inner, thresholds if isinstance(threshold, str) else threshold


def _ends_in_thresholds(pipeline: Pipeline) -> bool:
    steps = [step for _, step in pipeline.steps]
    return len(steps) == 1 or (len(steps) == 2 and isinstance(steps[1], ThresholdTuner))


def _is_single(source: Any) -> bool:
    if hasattr(source, "__next__"):  # blocks
        return True
    if is_file(source) or isinstance(source, Section) or split_rate(source) is not None:
        return True
    if isinstance(source, tuple) and len(source) in (2, 3) and is_file(source[0]):
        if not all(bound is None or isinstance(bound, int | np.integer) for bound in source[1:]):
            raise ValueError(
                f"source is the tuple {short(source)}. It must be one recording, such as a section "
                f"(path, start, stop), or a list. For the files {listed(source)}, pass a list."
            )
        return True
    return getattr(source, "dtype", None) is not None and (
        np.ndim(source) == 1 and np.asarray(source[:1]).dtype.kind in "fiu"
    )
