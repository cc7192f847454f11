"""EventDetector: events in time with thresholds and smoothing that are tuned on labeled clips."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from sktagger._utils.validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_lengths,
    check_params,
)
from sktagger.metrics import event_f1, mean_f1, segment_f1
from sktagger.recordings._score_source import ScoreSource
from sktagger.recordings._tuning import clip_scores, tune_on_events, tune_on_onsets
from sktagger.recordings._variants import Variants, check_score_windows, score_source
from sktagger.recordings.detection import tagger_and_thresholds
from sktagger.recordings.events import find_events
from sktagger.targets import (
    are_strong,
    check_known_events,
    clips_of_rows,
    event_columns,
    match_events,
)
from sktagger.thresholds.tuner import ThresholdTuner

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EventDetector"]


class EventDetector(MetaEstimatorMixin, BaseEstimator):
    """Detector of events in time, with thresholds and smoothing that are tuned on labeled clips.

    With onsets and offsets, `fit` tunes a threshold for each event and the length of the filter.
    Events with few occurrences borrow from the others.
    With weak labels alone, it tunes the thresholds so that the events are found somewhere in their
    clips. The tagger is not trained.

    Parameters
    ----------
    tagger : estimator
        Fitted :class:`sktagger.AudioTagger`, :class:`sktagger.TunedThresholdTagger` around one, or
        pipeline of one and a :class:`sktagger.ThresholdTuner`. In searches and other functions that
        clone estimators, wrap it in :class:`~sklearn.frozen.FrozenEstimator`.
    smoothing : {"median", "change", "boundary"} or None, default=None
        See :func:`find_events`. With "boundary" and without `score_windows`, the scores of an
        :class:`sktagger.networks.FBCRNN` are those of ``score_window=None``, which depend on the
        whole clip.
    filter_length : float, list of float or None, default=None
        Length of the filter in seconds. A list is tried if there are onsets; with weak labels, its
        first entry is used. None: 0.3 to 5 s are tried if there are onsets, with "boundary" also 0;
        otherwise the default of :func:`find_events` is used.
    score_windows : int, list of int or None, default=None
        For :class:`sktagger.networks.FBCRNN`: what to use as its `score_window`. A list is tried if
        there are onsets; with weak labels, its first entry is used. None: that of the tagger, which
        does not change in any case.
    per_event : bool or "auto", default="auto"
        Whether filter, window and masking are chosen for each event, or once for all. "auto": for
        each event if there are `score_windows`.
    tag_masking : bool or "tune", default=False
        Whether scores in time are 0 where the event is not in the clip, by the score of the clip
        and the threshold with the best F1 of the clips of `fit`. "tune": whichever is better, if
        there are onsets; with weak labels, as True. Decisions are for parts that are as long as the
        longest clip of `fit`, but at most 30 s: a clip of this length is one part, longer ones and
        recordings have several, one after the other.
    metric : {"segment_f1", "event_f1"}, default="segment_f1"
        What is tuned with onsets, and what `score` returns.
    hysteresis : float or None, default=None
        The parameter `low` of :func:`find_events` as a share of the threshold, in (0, 1]. It has no
        effect with ``smoothing="change"``. None: 1.
    merge_absolute, merge_relative, min_length, merge_gap : float
        See :func:`find_events`.
    tuner : ThresholdTuner or None, default=None
        Learns the thresholds from weak labels. None: ``ThresholdTuner()``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_events,)
        Events of the tagger.
    thresholds_ : ndarray of shape (n_events,), float64
        An event is found where its score is above its threshold. With onsets, an event that is not
        in them has the median of the thresholds of the others.
    filter_length_ : float, ndarray of shape (n_events,) or None
        Chosen length in seconds. None: the default of :func:`find_events`.
    score_windows_ : ndarray of shape (n_events,), int, or None
        Chosen window of each event. None: that of the tagger.
    clip_thresholds_ : ndarray of shape (n_events,), float64, or None
        Thresholds of the decisions about clips. -inf: the event is not masked. None: none is.
    options_ : dict
        Parameters of :func:`find_events` that find the same events in the scores that
        `predict_scores` returns. Without windows and masking, :func:`detect_events` finds the same
        events with them.

    See Also
    --------
    detect_events : Takes a fitted detector as its tagger, for recordings of any length, as do
        :func:`tag_files` for whole archives.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import WALNetTagger
    >>> from sktagger.recordings import EventDetector
    >>> X = np.random.default_rng(0).standard_normal((8, 32000))
    >>> Y = [["noise"], [], ["noise"], [], ["noise"], [], ["noise"], []]
    >>> tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(X, Y)
    >>> detector = EventDetector(tagger).fit(X, Y)
    >>> len(detector.predict(X))
    8
    """

    _parameter_constraints = {  # noqa: RUF012
        "tagger": [HasMethods(["fit"])],
        "smoothing": [StrOptions({"median", "change", "boundary"}), None],
        "filter_length": [Interval(Real, 0, None, closed="left"), "array-like", None],
        "score_windows": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "per_event": ["boolean", StrOptions({"auto"})],
        "tag_masking": ["boolean", StrOptions({"tune"})],
        "metric": [StrOptions({"segment_f1", "event_f1"})],
        "hysteresis": [Interval(Real, 0, 1, closed="right"), None],
        "merge_absolute": [Interval(Real, 0, None, closed="left")],
        "merge_relative": [Interval(Real, 1, None, closed="left")],
        "min_length": [Interval(Real, 0, None, closed="left")],
        "merge_gap": [Interval(Real, 0, None, closed="left")],
        "tuner": [ThresholdTuner, None],
    }

    def __init__(
        self,
        tagger: BaseEstimator,
        *,
        smoothing: Literal["median", "change", "boundary"] | None = None,
        filter_length: float | Sequence[float] | None = None,
        score_windows: int | Sequence[int] | None = None,
        per_event: bool | Literal["auto"] = "auto",
        tag_masking: bool | Literal["tune"] = False,
        metric: Literal["segment_f1", "event_f1"] = "segment_f1",
        hysteresis: float | None = None,
        merge_absolute: float = 0.2,
        merge_relative: float = 2.0,
        min_length: float = 0.0,
        merge_gap: float = 0.0,
        tuner: ThresholdTuner | None = None,
    ) -> None:
        self.tagger = tagger
        self.smoothing = smoothing
        self.filter_length = filter_length
        self.score_windows = score_windows
        self.per_event = per_event
        self.tag_masking = tag_masking
        self.metric = metric
        self.hysteresis = hysteresis
        self.merge_absolute = merge_absolute
        self.merge_relative = merge_relative
        self.min_length = min_length
        self.merge_gap = merge_gap
        self.tuner = tuner

    def fit(self, X: Any, events: Any) -> Self:
        """Tune thresholds and smoothing.

        Parameters
        ----------
        X : array-like of clips
            Clips that the tagger was not trained on.
        events : DataFrame, or array-like of shape (n_clips, n_events), or list of event lists
            A DataFrame with the columns `onset`, `offset` (in seconds), `event`, and `file` or
            `clip`: all events of the clips. `file` is the path of a clip as in `X`, or its end,
            such as the name of the file; `clip` is the position of a clip in `X`. Anything else:
            weak labels of the clips, in a form that taggers accept.

        Returns
        -------
        self
            The fitted detector.

        Raises
        ------
        ValueError
            If a parameter is out of range, an event is unknown to the tagger, a file is not in
            `X`, or there are no events.
        """
        check_params(self)
        tagger, _ = tagger_and_thresholds(self.tagger)
        windows = check_score_windows(tagger, self.score_windows)
        is_strong = are_strong(events)
        variants = Variants(tagger, X, windows if is_strong else windows[:1], self.smoothing)
        self.classes_ = tagger.classes_
        names, n_clips = variants.names, len(variants.tables)
        options: dict[str, Any] = {
            "smoothing": self.smoothing,
            "merge_absolute": self.merge_absolute,
            "merge_relative": self.merge_relative,
            "min_length": self.min_length,
            "merge_gap": self.merge_gap,
        }
        lengths = None
        if self.filter_length is not None:
            lengths = np.atleast_1d(np.asarray(self.filter_length, float)).tolist()
        if is_strong:
            truth = _by_clip(events, X, n_clips, names)
            if self.tag_masking:
                occurs = np.array([np.isin(names, table["event"]) for table in truth])
                variants.add_masks(occurs.astype(int), names, self.tag_masking is True)
            per_event = (
                self.score_windows is not None if self.per_event == "auto" else self.per_event
            )
            chosen, self.filter_length_, self.thresholds_ = tune_on_onsets(
                variants, truth, lengths, options, self._low, self._measure, bool(per_event)
            )
        else:
            targets = match_events(events, self.classes_, name="events")
            check_lengths(variants.tables, targets.indicator, ("X", "events"))
            columns = event_columns(targets.classes)
            if self.tag_masking:
                variants.add_masks(targets.indicator, columns, True)
            self.filter_length_ = None if lengths is None else lengths[0]
            (tables,) = variants
            scores = clip_scores(tables, {**options, "filter_length": self.filter_length_})
            tuner = ThresholdTuner() if self.tuner is None else self.tuner
            self.thresholds_ = tune_on_events(tuner, scores, targets.indicator, columns)
            chosen = np.zeros(len(names), int)
        self.score_windows_, self._mask = variants.select(chosen)
        self.clip_thresholds_ = None if self._mask is None else self._mask.thresholds
        length = self.filter_length_
        self.options_: dict[str, Any] = {
            "threshold": _by_name(names, self.thresholds_),
            "low": _by_name(names, self._low(self.thresholds_)),
            "filter_length": _by_name(names, length) if isinstance(length, np.ndarray) else length,
            **options,
        }
        return self

    def predict_scores(self, X: Any) -> list[pd.DataFrame]:
        """Compute the scores in time in which events are found.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the tagger accepts.

        Returns
        -------
        list of DataFrame of shape (n_segments, n_events), float32
            One table per clip, indexed by `onset` and `offset` in seconds: of the chosen windows,
            and 0 where events are masked. They are not smoothed.
        """
        return self._tuned_scores().tables(X)

    def predict(self, X: Any) -> list[pd.DataFrame]:
        """Find the events of each clip.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the tagger accepts.

        Returns
        -------
        list of DataFrame of shape (n_found, 4)
            One table per clip, as :func:`find_events` returns it.
        """
        return [find_events(scores, **self.options_) for scores in self.predict_scores(X)]

    def score(self, X: Any, events: Any) -> float:
        """Compute the F1 score of the events that are found.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the tagger accepts.
        events : DataFrame, or array-like of shape (n_clips, n_events), or list of event lists
            As for `fit`.

        Returns
        -------
        float
            Mean over the events in `events`. With onsets, the `metric`; with weak labels, the F1 of
            the events that are found somewhere in the clips.
        """
        tables = self.predict_scores(X)
        found = [find_events(scores, **self.options_) for scores in tables]
        names = pd.Index(tables[0].columns)
        if are_strong(events):
            truth = _by_clip(events, X, len(tables), names)
            values = self._measure(
                truth, found, [_length(*pair) for pair in zip(tables, truth, strict=True)]
            )
            return float(values[values.index.isin(pd.concat(truth)["event"])].mean())
        targets = match_events(events, self.classes_, name="events")
        check_lengths(tables, targets.indicator, ("X", "events"))
        predicted = np.array([np.isin(names, table["event"]) for table in found])
        return float(mean_f1(targets.indicator, predicted.astype(int)))

    def _tuned_options(self) -> dict[str, Any]:
        """Return the parameters with which other functions find the same events."""
        check_is_fitted(self)
        return self.options_

    def _tuned_scores(self) -> ScoreSource:
        """Return where the scores in time come from."""
        check_is_fitted(self)
        tagger, _ = tagger_and_thresholds(self.tagger)
        windows = None if self.score_windows_ is None else self.score_windows_.tolist()
        return score_source(tagger, windows, self.smoothing, self._mask)

    def _low(self, thresholds: np.ndarray) -> np.ndarray:
        return thresholds if self.hysteresis is None else thresholds * self.hysteresis

    def _measure(self, truth: Any, found: Any, lengths: Any) -> pd.Series:
        """Return the F1 of each event, 0 where it is undefined."""
        values: Any
        if self.metric == "event_f1":
            values = event_f1(truth, found, average=None)
        else:
            values = segment_f1(truth, found, lengths, average=None)
        return values.fillna(0.0)


def _by_name(names: pd.Index, values: np.ndarray) -> dict[Any, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _length(scores: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Return the length of a clip in seconds, as far as it is known."""
    ends = [*scores.index.get_level_values("offset")[-1:], *truth["offset"]]
    return max(ends, default=0.0)


def _by_clip(events: pd.DataFrame, X: Any, n_clips: int, names: pd.Index) -> list[pd.DataFrame]:
    """Return the events of each clip."""
    check_known_events(events["event"], names, "the tagger does not know", "events")
    if not len(events):
        raise ValueError(
            "events has no rows. It must have the events of all clips. Pass an indicator matrix or "
            "event lists if there are only weak labels."
        )
    places = clips_of_rows(events, X, n_clips)
    return [events[places == place] for place in range(n_clips)]
