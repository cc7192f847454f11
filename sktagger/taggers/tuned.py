"""TunedThresholdTagger: an estimator with thresholds tuned on out-of-fold scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit
from sklearn.utils import check_random_state, get_tags, indexable
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sktagger._utils.text import short
from sktagger._utils.validation import HasMethods, Interval, StrOptions, check_lengths, check_params
from sktagger.audio.clip_input import reusable
from sktagger.metrics import mean_f1
from sktagger.metrics._scored import check_scored
from sktagger.model_selection import (
    MultilabelStratifiedGroupKFold,
    check_groups,
    stratified_hold_out,
)
from sktagger.networks import Network
from sktagger.taggers import persistence
from sktagger.taggers._score_table import ScoreTableMixin
from sktagger.taggers._stored import estimators
from sktagger.taggers.audio_tagger import AudioTagger
from sktagger.taggers.out_of_fold import out_of_fold_scores
from sktagger.targets import align_score_targets, check_targets, event_columns, match_events
from sktagger.targets.responses import event_scores, scores_and_targets
from sktagger.thresholds.tuner import ThresholdTuner

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TunedThresholdTagger"]


class TunedThresholdTagger(ScoreTableMixin, MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Tagger with per-event thresholds that are tuned on out-of-fold scores.

    Out-of-fold scores are those of clips that the estimator was not trained on. This is
    the multi-label counterpart of scikit-learn's
    :class:`~sklearn.model_selection.TunedThresholdClassifierCV`.

    Parameters
    ----------
    estimator : estimator
        Its `predict_proba` returns an array of shape (n_clips, n_events), as
        :class:`WALNetTagger` does, or a list of one array per event, as forests do.
    tuner : ThresholdTuner or None, default=None
        Learns the thresholds. None: ``ThresholdTuner()``.
    cv : float, int, splitter or "prefit", default=5
        Scores that the thresholds are tuned on. An int: out-of-fold scores of this number of
        stratified folds. A float in (0, 0.5]: scores of this fraction of the clips, at least one
        clip, which is held out. A splitter with scikit-learn's interface. "prefit": scores of all
        clips given to `fit` by the fitted `estimator`, which must not be trained on them.
    refit : bool, default=True
        Whether to fit the estimator on all clips at the end. False keeps the estimator of a single
        split.
    random_state : int, RandomState instance or None, default=None
        Determines the folds if `cv` is a number.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    tuner_ : ThresholdTuner
        The fitted tuner.
    thresholds_ : ndarray of shape (n_events,), float64
        An event is predicted if its score is above its threshold.
    classes_ : ndarray of shape (n_events,)
        Events in the order of the columns. With ``cv="prefit"``, the events of the estimator, if
        they have names.

    See Also
    --------
    ThresholdTuner : Tunes thresholds on given scores.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> from sktagger import TunedThresholdTagger, WALNetTagger
    >>> X = np.random.default_rng(0).standard_normal((8, 8000))
    >>> Y = [["noise"], [], ["noise"], [], ["noise"], [], ["noise"], []]
    >>> tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0)
    >>> tuned = TunedThresholdTagger(tagger, cv=2, random_state=0).fit(X, Y)
    >>> tuned.predict(X).shape
    (8, 1)
    """

    _parameter_constraints = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "tuner": [ThresholdTuner, None],
        "cv": [
            Interval(Integral, 2, None, closed="left"),
            Interval(Real, 0, 0.5, closed="right"),
            StrOptions({"prefit"}),
            HasMethods(["split", "get_n_splits"]),
        ],
        "refit": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        tuner: ThresholdTuner | None = None,
        cv: float | BaseCrossValidator | BaseShuffleSplit | Literal["prefit"] = 5,
        refit: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.tuner = tuner
        self.cv = cv
        self.refit = refit
        self.random_state = random_state

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def fit(self, X: Any, y: Any, *, groups: ArrayLike | None = None, **fit_params: Any) -> Self:
        """Tune the thresholds and fit the estimator.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips. With ``cv="prefit"``, they are matched with the events of the
            estimator by name. Event lists and labels need not contain all of them.
        groups : array-like of shape (n_clips,) or None, default=None
            Group of each clip. Groups are not split between training and tuning. If the
            estimator's `fit` has the parameter `groups`, it gets them, too.
        **fit_params : dict
            Further arguments of the estimator's `fit`. `sample_weight` and `events` are split like
            the clips.

        Returns
        -------
        self
            The fitted tagger.

        Raises
        ------
        ValueError
            If a parameter is out of range, `refit` is False with more than one split, a training
            part has only one label, or a fitted estimator has other events.

        Warns
        -----
        UndefinedMetricWarning
            If a label is missing from the training part of a fold. It scores 0 in the test part.
        """
        check_params(self)
        (X,) = indexable(reusable(X))
        if self.cv == "prefit":
            check_is_fitted(self.estimator)
            scores, targets = scores_and_targets(self.estimator, X, y)
            check_lengths(X, targets.indicator, ("X", "y"))
            self.estimator_, indicator = self.estimator, targets.indicator
        else:
            targets = check_targets(y, name="y")
            check_lengths(X, targets.indicator, ("X", "y"))
            self._check_sizes(targets)
            if groups is not None:
                groups = check_groups(groups, len(targets.indicator))
            splits = self._make_splits(targets.indicator, groups)
            if groups is not None and has_fit_parameter(self.estimator, "groups"):
                fit_params["groups"] = groups
            if not self.refit and len(splits) > 1:
                raise ValueError(
                    f"refit=False with cv={self.cv!r} gives {len(splits)} estimators, but only one "
                    "can be kept. Set cv=0.2 or another single split, or set refit=True."
                )
            fits = []
            rows, scores = out_of_fold_scores(
                self.estimator, X, targets, splits, fitted=fits, **fit_params
            )
            indicator = targets.indicator[rows]
            self.estimator_ = (
                clone(self.estimator).fit(X, targets.to_y(), **fit_params)
                if self.refit
                else fits[0]
            )
        self.tuner_ = clone(ThresholdTuner() if self.tuner is None else self.tuner)
        self.tuner_.fit(scores, pd.DataFrame(indicator, columns=event_columns(targets.classes)))
        self.thresholds_ = self.tuner_.thresholds_
        self.classes_ = targets.classes
        self._multilabel = targets.multilabel
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the score of each event in each clip.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        return event_scores(self.estimator_, X, len(self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """Predict which events occur in each clip.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
            1 if the score is above the threshold. After training on 1-D labels, the label whose
            score exceeds its threshold most.
        """
        return self.predict_from_scores(self.predict_proba(X))

    def predict_from_scores(self, scores: np.ndarray) -> np.ndarray:
        """Predict events as `predict` does, from given scores.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float
            Scores that `predict_proba` returned.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
            As `predict` returns it.
        """
        check_is_fitted(self)
        if self._multilabel:
            return self.tuner_.predict_from_scores(scores)
        check_scored(scores)
        return self.classes_[(scores - self.thresholds_).argmax(axis=1)]

    def score(self, X: Any, y: Any) -> float:
        """Compute the mean F1 score of the predictions.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the estimator accepts.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips, in the same form as in training.

        Returns
        -------
        float
            Mean over the events that occur in `y`. A label that did not occur in training has an F1
            score of 0.
        """
        check_is_fitted(self)
        truth = align_score_targets(y, self.classes_, self._multilabel)
        check_lengths(X, truth, ("X", "y"))
        predicted = match_events(self.predict(X), self.classes_).indicator
        n_unknown = truth.shape[1] - predicted.shape[1]
        return float(mean_f1(truth, np.pad(predicted, ((0, 0), (0, n_unknown)))))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tagger and its thresholds to a file without Python objects in it.

        Parameters
        ----------
        path : str or PathLike
            An existing file is replaced in one step.

        Raises
        ------
        TypeError
            If the estimator is not an :class:`AudioTagger`.
        ValueError
            If the file could not be loaded again.

        See Also
        --------
        AudioTagger.save : The format.
        """
        check_is_fitted(self)
        if not isinstance(self.estimator_, AudioTagger):
            raise TypeError(
                "save needs an AudioTagger as estimator, such as a WALNetTagger, not a "
                f"{type(self.estimator_).__name__}. Use joblib.dump."
            )
        persistence.save(path, self.estimator_, thresholds=self.thresholds_)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        precision: Literal["auto", "float32", "bfloat16"] | None = None,
        networks: Sequence[type[Network]] = (),
    ) -> Self:
        """Read a saved tagger with thresholds. Nothing in the file is executed.

        Parameters
        ----------
        path : str or PathLike
            File that `save` wrote, or ``tagger.safetensors`` of ``sktagger evaluate``. In a
            directory of an experiment, the latest evaluation is read.
        device : str, default="auto"
            Parameter of the :class:`AudioTagger`, which is not in the file.
        precision : {"auto", "float32", "bfloat16"} or None, default=None
            Parameter of the :class:`AudioTagger`. None: as saved.
        networks : sequence of class, default=()
            See :meth:`AudioTagger.load`.

        Returns
        -------
        TunedThresholdTagger
            Fitted tagger, with ``cv="prefit"``.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, has a newer format, or has no thresholds.
        """
        tagger, thresholds = persistence.load(
            path, estimators(), device=device, precision=precision, tuned=True, networks=networks
        )
        assert thresholds is not None  # tuned=True
        tuned = cls(tagger, cv="prefit")
        tuned.estimator_ = tagger
        tuned.tuner_ = ThresholdTuner()
        tuned.tuner_.thresholds_ = tuned.thresholds_ = thresholds
        tuned.tuner_.classes_ = tuned.classes_ = tagger.classes_
        tuned.tuner_.n_features_in_ = len(thresholds)
        tuned._multilabel = tagger._multilabel
        return tuned

    def _make_splits(
        self, indicator: np.ndarray, groups: np.ndarray | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        cv: Any = self.cv
        if isinstance(self.cv, Real):
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            if not isinstance(self.cv, Integral):
                return [stratified_hold_out(indicator, cv, groups, random_state=seed, name="cv")]
            splitter = MultilabelStratifiedGroupKFold(cv, shuffle=True, random_state=seed)
            return list(splitter.split(indicator, indicator, groups))
        return list(cv.split(np.arange(len(indicator)), indicator, groups))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = True
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    @property
    def n_features_in_(self) -> int:
        """Number of features of the estimator, if it has this attribute."""
        return self.estimator_.n_features_in_

    def _check_sizes(self, targets):
        n_clips, n_events = targets.indicator.shape
        if n_clips < 2:
            raise ValueError(
                f"X has only {n_clips} clip (n_samples = {n_clips}), but at least one clip is "
                "needed to fit the estimator and another one to tune the thresholds."
            )
        if not targets.multilabel and n_events < 2:
            raise ValueError(
                f"y has only 1 class, {short(targets.classes[0])}, but tuning thresholds needs "
                "clips of at least two classes."
            )
