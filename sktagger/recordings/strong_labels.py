"""Pseudo strong labels: onsets and offsets that a detector has found, to train on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sktagger._utils.text import short
from sktagger._utils.validation import HasMethods, check_lengths, check_params
from sktagger.audio.clip_input import list_clips, reusable
from sktagger.networks import CRNN, FBCRNN, Network
from sktagger.recordings.detection import tagger_and_thresholds
from sktagger.recordings.detector import EventDetector
from sktagger.taggers import AudioTagger
from sktagger.targets import event_columns, match_events
from sktagger.training.callbacks import copy_state

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["StrongLabelTagger", "pseudo_labels"]


def pseudo_labels(
    detector: EventDetector | FrozenEstimator, X: Any, y: Any = None
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Find weak and strong labels of clips, to train on.

    The detector finds onsets and offsets. Only those of events that occur in the clip according to
    its weak labels are kept. Without weak labels, the predictions of the detector's tagger take
    their place.

    Parameters
    ----------
    detector : EventDetector
        Fitted, or a :class:`~sklearn.frozen.FrozenEstimator` around a fitted one.
    X : array-like of clips
        Clips, in a form that its tagger accepts.
    y : array-like of shape (n_clips, n_events) or (n_clips,), list of event lists, or None
        Weak labels of the clips, in a form that taggers accept; events are matched by name. None:
        they are not known.

    Returns
    -------
    Y : DataFrame of shape (n_clips, n_events), float32
        Weak labels, with the events of the tagger as columns.
    events : list of DataFrame of length n_clips
        Onsets and offsets, in the form that ``fit(events=)`` takes. Where none were found for an
        event of `Y`, its times are not known.

    Raises
    ------
    ValueError, TypeError
        If `detector` is no fitted EventDetector, or `y` does not fit `X` or the tagger.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import WALNetTagger
    >>> from sktagger.recordings import EventDetector, pseudo_labels
    >>> X = np.random.default_rng(0).standard_normal((8, 32000))
    >>> Y = [["noise"], [], ["noise"], [], ["noise"], [], ["noise"], []]
    >>> tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(X, Y)
    >>> weak, events = pseudo_labels(EventDetector(tagger).fit(X, Y), X[:2], Y[:2])
    >>> weak["noise"].tolist(), len(events), len(events[1])
    ([1.0, 0.0], 2, 0)
    """
    fitted = _find_detector(detector)
    X = reusable(X)
    events = fitted.predict(X)
    known = fitted.tagger.predict(X) if y is None else y
    targets = match_events(known, fitted.classes_, name="y", soft=True)
    check_lengths(events, targets.indicator, ("X", "y"))
    Y = pd.DataFrame(targets.indicator, columns=event_columns(fitted.classes_), dtype=np.float32)
    occurs = Y.to_numpy() > 0
    kept = [
        table[table["event"].isin(Y.columns[row])]
        for table, row in zip(events, occurs, strict=True)
    ]
    return Y, kept


class StrongLabelTagger(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Tagger that learns when events occur from what a detector has found.

    This is the second stage of a published system [1]_: a tagger that was trained on weak labels,
    and a detector that was tuned for it, find onsets and offsets in the training clips, see
    :func:`pseudo_labels`. Then another tagger is trained with them, also on clips without labels.

    If its network takes tags as an input, such as ``CRNN(tag_conditioned=True)``, the tagger of the
    first stage must be an AudioTagger with an FBCRNN of the same settings and events. It becomes a
    part of the second stage. An event is a tag of a clip if its score is above the threshold by
    which the detector masks events, or else by which the tagger predicts them.

    Parameters
    ----------
    detector : EventDetector
        The fitted first stage. In searches and other functions that clone estimators, wrap it in
        :class:`~sklearn.frozen.FrozenEstimator`.
    estimator : AudioTagger or None, default=None
        The second stage. It is cloned. Its network must use onsets. None:
        ``AudioTagger(CRNN())``.

    Attributes
    ----------
    estimator_ : AudioTagger
        The trained second stage, which can be saved and used alone.
    classes_ : ndarray of shape (n_events,)
        Events in the order of the columns of scores.
    events_ : list of DataFrame of length n_clips
        Onsets and offsets that it was trained with: those of `X`, then those of `unlabeled`.

    See Also
    --------
    EventDetector : Takes this tagger, too.

    References
    ----------
    .. [1] J. Ebbers, R. Haeb-Umbach, "Pre-training and self-training for sound event detection in
       domestic environments", DCASE Challenge 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import AudioTagger, WALNetTagger
    >>> from sktagger.networks import CRNN
    >>> from sktagger.recordings import EventDetector, StrongLabelTagger
    >>> X = np.random.default_rng(0).standard_normal((8, 8000))
    >>> Y = [["noise"], [], ["noise"], [], ["noise"], [], ["noise"], []]
    >>> weak = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(X, Y)
    >>> detector = EventDetector(weak).fit(X, Y)
    >>> second = AudioTagger(CRNN(sample_rate=8000), max_epochs=1, random_state=0)
    >>> strong = StrongLabelTagger(detector, second).fit(X, Y)
    >>> strong.predict_segments(X[:1])[0].shape
    (50, 1)
    """

    _delegates = True  # detectors use `estimator_` in its place
    _parameter_constraints = {  # noqa: RUF012
        "detector": [HasMethods(["fit", "predict"])],
        "estimator": [HasMethods(["fit", "predict_segments"]), None],
    }

    def __init__(
        self,
        detector: EventDetector | FrozenEstimator,
        estimator: AudioTagger | None = None,
    ) -> None:
        self.detector = detector
        self.estimator = estimator

    def fit(self, X: Any, y: Any = None, *, unlabeled: Any = None, **fit_params: Any) -> Self:
        """Find onsets and offsets, and train the second stage with them.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that both taggers accept.
        y : array-like of shape (n_clips, n_events) or (n_clips,), list of event lists, or None
            Weak labels of the clips, see :func:`pseudo_labels`. None: they are not known.
        unlabeled : array-like of clips or None, default=None
            Further clips to train on, without labels.
        **fit_params : dict
            Further arguments of the estimator's `fit`, such as `X_val` and `Y_val`. Those with an
            entry per clip have the entries of `X`, then those of `unlabeled`.

        Returns
        -------
        self
            The fitted tagger.

        Raises
        ------
        ValueError, TypeError
            If a parameter, the clips or the labels are not as described, the detector finds no
            event at all, or the network takes tags and the first stage does not fit it.
        """
        check_params(self)
        X = reusable(X)
        estimator = clone(AudioTagger(CRNN()) if self.estimator is None else self.estimator)
        if getattr(getattr(estimator, "network", None), "needs_tags", False):
            estimator._first_stage = _first_stage(_find_detector(self.detector), estimator.network)
        Y, events = pseudo_labels(self.detector, X, y)
        if unlabeled is not None:
            unlabeled = reusable(unlabeled, "unlabeled")
            more, events_of_more = pseudo_labels(self.detector, unlabeled)
            X = [*_rows(X, "X"), *_rows(unlabeled, "unlabeled")]
            Y = pd.concat([Y, more], ignore_index=True)
            events = events + events_of_more
        if not any(map(len, events)):
            raise ValueError(
                f"detector finds no event in any of the {len(events)} clips that occurs in its "
                "clip. Lower its thresholds, or give clips with events that it knows."
            )
        self.estimator_ = estimator.fit(X, Y, events=events, **fit_params)
        self.events_ = events
        self.classes_ = self.estimator_.classes_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the score of each event in each clip, as the second stage does.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    def predict(self, X: Any) -> np.ndarray:
        """Predict which events occur in each clip, as the second stage does.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
            1 if the score is above 0.5.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def predict_segments(self, X: Any) -> list[pd.DataFrame]:
        """Predict the score of each event in each segment of each clip.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.

        Returns
        -------
        list of DataFrame of shape (n_segments, n_events), float32
            See :meth:`sktagger.AudioTagger.predict_segments`.
        """
        check_is_fitted(self)
        return self.estimator_.predict_segments(X)

    def iter_scores(
        self, source: Any, window: float | None = None, hop: float | None = None, **options: Any
    ) -> Iterator[tuple[float, float, np.ndarray]]:
        """Yield scores along a recording of any length.

        Parameters
        ----------
        source : clip, or iterator of blocks
            See :meth:`sktagger.AudioTagger.iter_scores`, as for the following parameters.
        window, hop : float or None, default=None
            In seconds.
        **options : dict
            Further arguments.

        Yields
        ------
        tuple of (onset, offset, scores)
            Times in seconds, and an array of shape (n_events,).
        """
        check_is_fitted(self)
        return self.estimator_.iter_scores(source, window, hop, **options)

    def score(self, X: Any, y: Any) -> float:
        """Compute the mean average precision of the scores of clips.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips.

        Returns
        -------
        float
            Mean over the events that occur in `y`.
        """
        check_is_fitted(self)
        return self.estimator_.score(X, y)

    @property
    def network_(self) -> Network:
        """The settings of the trained network, with defaults resolved."""
        return self.estimator_.network_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.string = True
        return tags


def _find_detector(detector: Any) -> EventDetector:
    """Return the fitted detector, which may be wrapped."""
    inner = detector
    while isinstance(inner, FrozenEstimator):
        inner = inner.estimator
    if not isinstance(inner, EventDetector):
        raise TypeError(
            f"detector is {type(inner).__name__}, but it must be a fitted EventDetector, or a "
            "FrozenEstimator around one. Call EventDetector(tagger).fit(X, events)."
        )
    check_is_fitted(inner)
    return inner


def _first_stage(detector: EventDetector, network: Network) -> tuple[dict[str, Tensor], Tensor]:
    """Return the weights of the detector's network, and the thresholds of its tags."""
    tagger, thresholds = tagger_and_thresholds(detector.tagger)
    first = getattr(tagger, "network_", None)
    names = ("depth", "width", "time_pooling", "sample_rate", "fmin")
    differ = [
        f"{name}={getattr(first, name)!r}"
        for name in names
        if isinstance(first, FBCRNN) and getattr(first, name) != getattr(network, name)
    ]
    if not isinstance(first, FBCRNN) or differ:
        what = f"an FBCRNN with {', '.join(differ)}" if differ else f"a {type(first).__name__}"
        raise ValueError(
            f"estimator: {short(network)} takes tags as an input, but the first stage that has to "
            f"predict them has {what}. Train an FBCRNN with the same {', '.join(names)}, or set "
            "tag_conditioned=False."
        )
    values = np.array([(thresholds or {}).get(event, 0.5) for event in tagger.classes_])
    if detector.clip_thresholds_ is not None:  # -inf: the event is not masked
        masks = np.isfinite(detector.clip_thresholds_)
        values = np.where(masks, detector.clip_thresholds_, values)
    return copy_state(tagger.module_), torch.as_tensor(values, dtype=torch.float32)


def _rows(X: Any, name: str) -> list[Any]:
    clips = list_clips(X, name)
    return list(clips.to_numpy() if isinstance(clips, pd.DataFrame) else clips)
