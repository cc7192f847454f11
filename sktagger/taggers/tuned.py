"""TunedThresholdTagger: an estimator and thresholds tuned on clips it was not trained on."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
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
from sktagger.taggers.audio_tagger import AudioTagger, estimators
from sktagger.taggers.out_of_fold import out_of_fold_scores
from sktagger.targets import align_score_targets, check_targets, event_columns, match_events
from sktagger.targets.responses import event_scores, scores_and_targets
from sktagger.thresholds.tuner import ThresholdTuner


class TunedThresholdTagger(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Tagger with per-event thresholds, tuned on scores of clips that it was not trained on.

    The multi-label counterpart of scikit-learn's
    :class:`~sklearn.model_selection.TunedThresholdClassifierCV`.

    Parameters
    ----------
    estimator : estimator
        With `predict_proba` of shape (n_clips, n_events), such as :class:`WALNetTagger`, or a list
        of an array per event, as of forests.
    tuner : ThresholdTuner or None, default=None
        Learns the thresholds. None: ``ThresholdTuner()``.
    cv : float, int, splitter or "prefit", default=5
        Which scores the thresholds are tuned on. An int: out-of-fold scores of so many
        stratified folds. A float in (0, 0.5]: scores of that part of the clips, to within a clip
        and at least one, held out. A splitter of scikit-learn's interface. "prefit": scores of all
        clips given to `fit` by the fitted `estimator`; give other clips than it was trained on.
    refit : bool, default=True
        Whether the estimator is fitted on all clips in the end. False takes a single split, whose
        estimator is kept.
    random_state : int, RandomState instance or None, default=None
        Fixes the folds where `cv` is a number.

    Attributes
    ----------
    estimator_ : estimator
        Fitted.
    tuner_ : ThresholdTuner
        Fitted.
    thresholds_ : ndarray of shape (n_events,), float64
        A clip has an event if its score is greater.
    classes_ : ndarray of shape (n_events,)
        Events, in the order of the columns: with ``cv="prefit"`` those of the estimator, if it has
        such.

    See Also
    --------
    ThresholdTuner : The search for thresholds alone.

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

    def __init__(self, estimator, *, tuner=None, cv=5, refit=True, random_state=None):
        self.estimator = estimator
        self.tuner = tuner
        self.cv = cv
        self.refit = refit
        self.random_state = random_state

    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def fit(self, X, y, *, groups=None, **fit_params):
        """Tune the thresholds and fit the estimator.

        Parameters
        ----------
        X : array-like of clips
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips. With ``cv="prefit"``, they are matched with the events of the
            estimator by name; those that event lists, or labels, do not have occur in no clip.
        groups : array-like of shape (n_clips,) or None, default=None
            Clips of one group are not split between training and tuning, nor by the estimator, if
            its `fit` takes groups, too.
        **fit_params : dict
            Further arguments of the estimator's `fit`. `sample_weight` goes with the clips.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, `refit` is False with more than one split, a label is
            too rare to be in all training parts with another, or a fitted estimator has other
            events.

        Warns
        -----
        UndefinedMetricWarning
            If a label is missing from the training part of a fold: it scores 0 in the other part.
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
            self._check_enough(targets)
            if groups is not None:
                groups = check_groups(groups, len(targets.indicator))
            splits = self._splits(X, targets.indicator, groups)
            if groups is not None and has_fit_parameter(self.estimator, "groups"):
                fit_params["groups"] = groups
            if not self.refit and len(splits) > 1:
                raise ValueError(
                    f"refit=False with cv={self.cv!r} leaves {len(splits)} estimators, but needs "
                    "exactly one. Take cv=0.2 or another single split, or refit=True."
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

    def predict_proba(self, X):
        """Score each event in each clip.

        Parameters
        ----------
        X : array-like of clips

        Returns
        -------
        ndarray of shape (n_clips, n_events), float
        """
        check_is_fitted(self)
        return event_scores(self.estimator_, X, len(self.classes_))

    def predict(self, X):
        """Decide which events occur.

        Parameters
        ----------
        X : array-like of clips

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
            After training on 1-D labels, the label whose score exceeds its threshold most.
        """
        return self.predict_from_scores(self.predict_proba(X))

    def predict_from_scores(self, scores):
        """Decide as `predict` does, from scores that `predict_proba` gave.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
        """
        check_is_fitted(self)
        if self._multilabel:
            return self.tuner_.predict_from_scores(scores)
        check_scored(scores)
        return self.classes_[(scores - self.thresholds_).argmax(axis=1)]

    def score(self, X, y):
        """Give the mean F1 of the decisions.

        Parameters
        ----------
        X : array-like of clips
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips, in the form of training.

        Returns
        -------
        float
            Mean over the events that occur in `y`. A label that training had not has an F1 of 0.
        """
        check_is_fitted(self)
        truth = align_score_targets(y, self.classes_, self._multilabel)
        check_lengths(X, truth, ("X", "y"))
        decided = match_events(self.predict(X), self.classes_).indicator
        n_unknown = truth.shape[1] - decided.shape[1]
        return mean_f1(truth, np.pad(decided, ((0, 0), (0, n_unknown))))

    def save(self, path):
        """Write the tagger and its thresholds to a file without Python objects in it.

        Parameters
        ----------
        path : str or PathLike

        See Also
        --------
        AudioTagger.save : The format.
        """
        check_is_fitted(self)
        if not isinstance(self.estimator_, AudioTagger):
            raise TypeError(
                "save takes an AudioTagger as estimator, such as a WALNetTagger, not a "
                f"{type(self.estimator_).__name__}. Use joblib.dump."
            )
        persistence.save(path, self.estimator_, thresholds=self.thresholds_)

    @classmethod
    def load(cls, path, *, device="auto", precision=None, networks: Sequence[type[Network]] = ()):
        """Read what `save` or ``sktagger evaluate`` wrote. Nothing in the file is executed.

        Parameters
        ----------
        path : str or PathLike
            File of `save`, or ``tagger.safetensors`` of an evaluation; or the directory of an
            experiment, whose latest evaluation is read.
        device : str, default="auto"
            See :class:`WALNetTagger`.
        precision : {"auto", "float32", "bfloat16"} or None, default=None
            See :class:`WALNetTagger`. None: as saved.
        networks : sequence of class, default=()
            See :meth:`AudioTagger.load`.

        Returns
        -------
        TunedThresholdTagger
            Fitted, with ``cv="prefit"``.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, of a newer format, or holds no thresholds.
        """
        tagger, thresholds = persistence.load(
            path, estimators(), device=device, precision=precision, tuned=True, networks=networks
        )
        tuned = cls(tagger, cv="prefit")
        tuned.estimator_ = tagger
        tuned.tuner_ = ThresholdTuner()
        tuned.tuner_.thresholds_ = tuned.thresholds_ = thresholds
        tuned.tuner_.classes_ = tuned.classes_ = tagger.classes_
        tuned.tuner_.n_features_in_ = len(thresholds)
        tuned._multilabel = tagger._multilabel
        return tuned

    def _splits(self, X, indicator, groups):
        if isinstance(self.cv, Real):
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            if not isinstance(self.cv, Integral):
                return [
                    stratified_hold_out(indicator, self.cv, groups, random_state=seed, name="cv")
                ]
            splitter = MultilabelStratifiedGroupKFold(self.cv, shuffle=True, random_state=seed)
            return list(splitter.split(indicator, indicator, groups))
        return list(self.cv.split(np.arange(len(indicator)), indicator, groups))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = True
        tags.input_tags = get_tags(self.estimator).input_tags
        return tags

    @property
    def n_features_in_(self):
        """Number of features of the estimator, if it has such."""
        return self.estimator_.n_features_in_

    def _check_enough(self, targets):
        n_clips, n_events = targets.indicator.shape
        if n_clips < 2:
            raise ValueError(
                f"X has only {n_clips} clip (n_samples = {n_clips}), but some clips are needed to "
                "fit the estimator and some to tune the thresholds."
            )
        if not targets.multilabel and n_events < 2:
            raise ValueError(
                f"y has only 1 class, {short(targets.classes[0])}, but thresholds need clips of "
                "two or more."
            )
