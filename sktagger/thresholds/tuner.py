"""Per-event thresholds that turn scores into binary predictions."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sktagger._utils.text import listed, quoted
from sktagger._utils.validation import Interval, StrOptions, check_lengths, check_params
from sktagger._utils.warnings import warn
from sktagger.metrics import mean_f1
from sktagger.metrics._scored import scored
from sktagger.targets import (
    column_names,
    match_columns,
    match_events,
    matched_by_name,
    plain_table,
    read_targets,
)
from sktagger.targets.responses import is_list_of_events, stack_events
from sktagger.thresholds._choice import Criterion, pick_best, pick_expected

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ThresholdTuner"]


class ThresholdTuner(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Learn a score threshold for each event from tuning clips.

    The threshold with the best F1 on the tuning clips is overfitted if an event has few positives,
    and F1 is lower on new clips. By default, the tuner therefore maximizes the F1 that is expected
    on new clips. Events with few positives borrow information from all other events.

    Use tuning clips that the tagger was not trained on. Taggers score their training clips too
    well, and thresholds tuned on these scores are too high.

    Parameters
    ----------
    metric : {"f1", "fbeta", "error_rate"} or callable, default="f1"
        What to optimize for each event. "f1": the F1; "fbeta": the F-score in which recall is
        weighted `beta` times as much as precision; "error_rate": the number of false positives and
        false negatives. A callable ``metric(y_true, y_pred)`` gets int arrays of shape (n,) with
        the 0/1 labels and predictions of one event and returns a number; greater is better. It
        must depend on the confusion counts only. It is called on synthetic clips with the expected
        counts, up to a few hundred times per event.
    beta : float, default=1.0
        Weight of recall over precision for ``metric="fbeta"``, greater than 0. Other metrics ignore
        it.
    min_precision, min_recall : float or None, default=None
        Minimum precision and recall of each event, in (0, 1]. The best of the thresholds that meet
        the minimum is chosen. If there is none, the threshold with the smallest total shortfall is
        chosen, and a warning names the events. Depending on the strategy, precision and recall are
        those expected on new clips or those measured on the tuning clips.
    strategy : {"expected", "best"}, default="expected"
        How to estimate the metric at a threshold. "expected": as expected on new clips (see Notes).
        "best": as measured on the tuning clips, which is common practice. The candidates are then
        the midpoints between adjacent scores, and -inf, which predicts the event for all clips.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_events,), float64
        An event is predicted if its score is greater than its threshold. The threshold of an event
        without positive tuning clips is estimated from the other events. With ``strategy="best"``,
        it is the best common threshold for all events. Otherwise, it is the best threshold for a
        rare event whose positives have scores like those of the other events. If no event has
        positives, all thresholds are the highest of all scores, and no event is predicted for the
        tuning clips.
    classes_ : ndarray of shape (n_events,)
        Events in the order of the columns.
    n_features_in_ : int
        Number of events.

    See Also
    --------
    sktagger.metrics.RankedScores.best_thresholds : The best thresholds on given clips.

    Notes
    -----
    ``strategy="expected"`` estimates three rates of each event from the tuning clips. Each estimate
    is shrunk toward the other events; the fewer clips an event has, the more (empirical Bayes
    [1]_):

    * The false positive rate at a threshold. Scores are ranked among the negatives of all events.
      The negatives of each event are then shifted and scaled to a standard normal distribution. If
      the data show that events differ in more than location and scale, a kernel estimate from the
      event's own negatives corrects the tail.
    * The true positive rate. On the scale where negatives are standard normal, the positives of an
      event are a mixture: most are normally distributed, and some may score like negatives. The
      prior over (mean, width, mixing share) is fitted across events [2]_. With more positives, a
      kernel estimate from the event's own positives gains weight. At 60 positives, both have the
      same weight.
    * The share of clips with the event. It has a beta prior that all events share. Larger shares
      have more weight, because F1 is only defined if the event occurs.

    The F1 at each threshold is averaged over the remaining uncertainty, and the threshold with the
    highest mean is chosen [3]_. The strategy assumes that new clips are similar to the tuning
    clips, and that the scores of different events have similar distributions. It helps most if
    events have few positives and if there are many events. Smoothing also helps with a single
    event. With thousands of positives, both strategies agree to a tenth of a percentage point. The
    strategy helps least if most scores are equal, for example after rounding.

    Scores may have any scale. An increasing function of all scores changes the predictions little.
    A threshold never separates equal scores. The algorithm is deterministic and takes about as long
    as sorting all scores a few times.

    References
    ----------
    .. [1] B. Efron, "Large-scale inference", Cambridge University Press, 2010.
    .. [2] N. Laird, "Nonparametric maximum likelihood estimation of a mixing distribution",
       Journal of the American Statistical Association 73, 1978.
    .. [3] Z. C. Lipton, C. Elkan and B. Naryanaswamy, "Optimal thresholding of classifiers to
       maximize F1 measure", ECML PKDD 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import ThresholdTuner
    >>> rng = np.random.default_rng(0)
    >>> Y = rng.random((200, 3)) < [0.3, 0.1, 0.02]
    >>> S = rng.normal(size=Y.shape) + 2 * Y
    >>> ThresholdTuner().fit(S, Y).thresholds_.round(1)
    array([1.3, 1.4, 2.2])
    >>> ThresholdTuner(strategy="best").fit(S, Y).thresholds_.round(1)
    array([1.4, 1.9, 1.9])
    >>> tuner = ThresholdTuner(min_precision=0.9).fit(S, Y)
    >>> tuner.thresholds_.round(1)
    array([2.4, 2.9, 3. ])
    >>> tuner.predict(S[:3])
    array([[0, 0, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """

    _parameter_constraints = {  # noqa: RUF012
        "metric": [StrOptions({"f1", "fbeta", "error_rate"}), callable],
        "beta": [Interval(Real, 0, None, closed="neither")],
        "min_precision": [Interval(Real, 0, 1, closed="right"), None],
        "min_recall": [Interval(Real, 0, 1, closed="right"), None],
        "strategy": [StrOptions({"expected", "best"})],
    }

    def __init__(
        self,
        *,
        metric: Literal["f1", "fbeta", "error_rate"] | Callable[..., float] = "f1",
        beta: float = 1.0,
        min_precision: float | None = None,
        min_recall: float | None = None,
        strategy: Literal["expected", "best"] = "expected",
    ):
        self.metric = metric
        self.beta = beta
        self.min_precision = min_precision
        self.min_recall = min_recall
        self.strategy = strategy

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the thresholds.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores. Unreadable clips, whose scores are all NaN, are ignored. The columns of a table
            name the events. A list with one array per event, as `predict_proba` of a random forest
            returns it, is also accepted.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips: an indicator matrix, event lists or 1-D labels. If both `X` and `y`
            name the events, they are matched by name. Otherwise, the columns of `X` and `y` have
            the same order. The events of lists, and labels, are sorted.

        Returns
        -------
        self : ThresholdTuner
            The fitted tuner.

        Raises
        ------
        ValueError
            If a parameter is out of range, if a score is NaN or infinite, or if `X` and `y` have
            different numbers of clips or different events.

        Warns
        -----
        UserWarning
            If no threshold has the minimum precision and recall. The message names the events.
        """
        check_params(self)
        X, names = _read_scores(X)
        scores = self._check_scores(X, reset=True)
        if names is None:
            targets = read_targets(y, name="y")
        else:
            targets = match_columns(y, names, name="y")
        check_lengths(scores, targets.indicator, ("X", "y"))
        if scores.shape[1] != len(targets.classes):
            raise ValueError(
                f"X has scores of {scores.shape[1]} events, but y has {len(targets.classes)} "
                f"events, {quoted(targets.classes)}. Pass one column of scores per event. If some "
                "events do not occur in y, pass tables with event names."
            )
        kept = scored(scores)
        if not kept.any():
            raise ValueError("X has no clip with scores. Pass scores of at least one clip.")
        self.thresholds_ = self._tune(scores[kept], targets.indicator[kept] > 0, targets.classes)
        self.classes_ = targets.classes
        return self

    def _tune(self, scores, positive, events):
        if not positive.any():
            return np.full(scores.shape[1], scores.max(), dtype=np.float64)
        pick = {"expected": pick_expected, "best": pick_best}[self.strategy]
        criterion = Criterion(self.metric, self.beta, self.min_precision, self.min_recall)
        thresholds, allowed = pick(scores, positive, criterion)
        if not allowed.all():
            failed = events[~allowed]
            warn(
                f"No threshold of {len(failed)} of {len(events)} events has "
                f"min_precision={self.min_precision} and min_recall={self.min_recall}: "
                f"{listed(failed)}. These events get the threshold with the smallest shortfall. "
                "Lower the minimum, or pass more tuning clips."
            )
        return thresholds

    def _check_scores(self, X, *, reset):
        """Check that each row of scores is finite, or all NaN for an unreadable clip."""
        dtype = [np.float64, np.float32]
        scores = validate_data(self, X, dtype=dtype, reset=reset, ensure_all_finite="allow-nan")
        partly = np.flatnonzero(np.isnan(scores).any(axis=1) & scored(scores))
        if len(partly):
            raise ValueError(
                f"X has NaN among the scores of clip {partly[0]} ({len(partly)} such clips in "
                "total). The scores of a clip must all be finite, or all be NaN for an unreadable "
                "clip."
            )
        return scores

    def predict(self, X: Any) -> np.ndarray:
        """Predict which events occur.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
            1 if the score is greater than the event's threshold; 0 otherwise, also for NaN.
        """
        return self.predict_from_scores(self.predict_proba(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the scores themselves, so that a pipeline ending here has `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float
            The scores `X`, with columns in the order of `classes_`.
        """
        check_is_fitted(self)
        return self._check_scores(self._sort_columns(X), reset=False)

    def _sort_columns(self, X):
        """Sort named columns of scores into the order of `fit`."""
        X, names = _read_scores(X)
        had_names = hasattr(self, "feature_names_in_")
        if names is None or not (had_names or matched_by_name(names, self.classes_)):
            return X
        events = self.feature_names_in_ if had_names else self.classes_
        given, wanted = list(map(str, names)), list(map(str, events))
        if set(given) != set(wanted):
            missing = [event for event in wanted if event not in given]
            unknown = [event for event in given if event not in wanted]
            raise ValueError(
                f"X must have the columns of the {len(wanted)} events of fit. Missing events: "
                f"{quoted(missing) or 'none'}. Unknown events: {quoted(unknown) or 'none'}. Pass "
                "one column of scores per event."
            )
        X = X.iloc[:, [given.index(event) for event in wanted]]
        return X if had_names else X.to_numpy()

    def predict_from_scores(self, scores: ArrayLike) -> np.ndarray:
        """Predict from scores that `predict_proba` returned.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float
            Scores in the order of `classes_`.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
            The result of `predict`.
        """
        check_is_fitted(self)
        return (scores > self.thresholds_).astype(int)

    def transform(self, X: Any) -> np.ndarray:
        """Predict which events occur, in a step of a pipeline.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
            The result of `predict`.
        """
        return self.predict(X)

    def score(self, X: Any, y: Any) -> float:
        """Compute the mean F1 of the predictions.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips, matched by name as in `fit`.

        Returns
        -------
        float
            Mean over the events that occur in `y`.
        """
        check_is_fitted(self)
        truth = match_events(y, self.classes_, name="y").indicator
        return float(mean_f1(truth, self.predict(X)))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like or None, default=None
            Ignored.

        Returns
        -------
        ndarray of shape (n_events,), object
            Event names as strings.
        """
        check_is_fitted(self)
        return np.array([str(event) for event in self.classes_], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.allow_nan = True
        return tags


def _read_scores(X):
    """Return scores as a matrix or DataFrame, and the names of its columns or None."""
    if is_list_of_events(X):
        return stack_events(X), None
    X = plain_table(X)
    return X, column_names(X, "X") if isinstance(X, pd.DataFrame) else None
