"""From scores to decisions: thresholds per event."""

import warnings
from numbers import Real

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sktagger._utils.text import listed, quoted
from sktagger._utils.validation import Interval, StrOptions, check_lengths, check_params
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


class ThresholdTuner(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Learn from scores of tuning clips above which score an event is to be reported.

    The threshold of an event with few positives that is best on the tuning clips fits their
    accidents, and on new clips F1 falls. By default, a threshold is therefore chosen by the F1 that
    it is expected to have on new clips, given what all events show together.

    Tune on clips that the scores' model was not trained on: scores of training clips are too good,
    and so the thresholds too high.

    Parameters
    ----------
    metric : {"f1", "fbeta", "error_rate"} or callable, default="f1"
        What the decisions on each event are to be good at: the F1; the F-score that weighs recall
        `beta` times as much as precision; the number of errors, false and missed events alike; or
        ``metric(y_true, y_pred)``, the greater, the better, for the 0/1 labels and decisions of
        one event: int arrays of shape (n,). It may depend only on how many clips are of which
        kind: it is asked about clips made up to have the numbers that a threshold is expected to
        give, and up to a few hundred times for each event.
    beta : float, default=1.0
        Weight of recall over precision for ``metric="fbeta"``, greater than 0; the other metrics
        ignore it.
    min_precision, min_recall : float or None, default=None
        Least precision and recall of each event, in (0, 1]; among the thresholds that have them
        the best is chosen. Where there is none, the one that lacks least (of both in sum) is, and
        a warning names the events. Precision and recall are those of the strategy: expected on
        new clips, or measured on the tuning clips.
    strategy : {"expected", "best"}, default="expected"
        How the metric of a threshold is estimated. "expected": as on new clips (see Notes).
        "best": as measured on the tuning clips; candidates are the midpoints between adjacent
        scores, and -inf where all clips are to be reported. This is common practice.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_events,), float64
        A clip has an event if its score is greater. An event without positive tuning clips gets
        the threshold that the other events suggest: with ``strategy="best"`` the score that is best
        for all events together, otherwise a score that so many negatives exceed as is best for a
        rare event whose positives score as those of the other events do. If no event has positives,
        it is the highest score of all: none of the tuning clips is reported.
    classes_ : ndarray of shape (n_events,)
        Events, in the order of the columns.
    n_features_in_ : int
        Number of events.

    See Also
    --------
    sktagger.metrics.RankedScores.best_thresholds : The best thresholds on given clips.

    Notes
    -----
    ``strategy="expected"`` takes three things from the tuning clips, and draws each toward what the
    events have in common, the more the less an event's own clips say (empirical Bayes [1]_):

    * which share of the negatives exceeds a threshold. Scores are ranked among the negatives of all
      events, and the negatives of each event brought to the standard normal distribution by
      location and scale. Where events differ in more, by the evidence of all of them, a kernel
      estimate from the event's own negatives corrects the tail;
    * which share of the positives does. On the scale where negatives are normal, the positives of
      an event are a normal distribution, of which a part may be faint as negatives are. How common
      which centre, width and part are is learnt of all events [2]_. A kernel estimate from the
      event's own positives takes over where there are many (half and half at 60);
    * which share of the clips has the event, by a beta distribution common to all. Larger shares
      count more, because F1 counts only where the event occurs at all.

    The F1 of every threshold is averaged over what remains uncertain, and the highest average taken
    [3]_. It is assumed that new clips are like the tuning clips, and that scores of different
    events have something to do with each other. The strategy gains most where events have few
    positives, and there the more, the more events there are; a single event also gains, by
    smoothing. With thousands of positives, both strategies agree to a tenth of a point. Scores of
    which most are equal, as after rounding, leave little to smooth: there it gains least.

    The scores may be on any scale: an increasing function of all scores changes decisions little.
    Equal scores are never parted. There is no randomness. The time is that of a few sorts of all
    scores.

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
        self, *, metric="f1", beta=1.0, min_precision=None, min_recall=None, strategy="expected"
    ):
        self.metric = metric
        self.beta = beta
        self.min_precision = min_precision
        self.min_recall = min_recall
        self.strategy = strategy

    def fit(self, X, y):
        """Learn the thresholds.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores. Clips whose scores are all NaN, as those that cannot be read, are left out. The
            columns of a table name the events. What `predict_proba` of a forest gives, a list with
            an array per event, is taken, too.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips: an indicator matrix, event lists or 1-D labels. Where `X` and `y`
            both name events, names decide. Otherwise columns are in the order of those of `X`;
            the events of lists, and labels, in sorted order.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, a score NaN or infinite, or `X` and `y` do not fit, or
            name other events.

        Warns
        -----
        UserWarning
            If no threshold has the precision and recall asked for; names the events.
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
                f"events, {quoted(targets.classes)}. Give one column of scores for each event, and "
                "tables with names where y lacks some."
            )
        kept = scored(scores)
        if not kept.any():
            raise ValueError("X has no clip with scores; at least one is needed.")
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
            lacking = events[~allowed]
            warnings.warn(
                f"No threshold of {len(lacking)} of {len(events)} events has "
                f"min_precision={self.min_precision} and min_recall={self.min_recall}: "
                f"{listed(lacking)}. "
                "They get the one that lacks least. Ask for less, or give more tuning clips.",
                UserWarning,
                stacklevel=3,
            )
        return thresholds

    def _check_scores(self, X, *, reset):
        """Check scores: rows are finite, or all NaN, as of clips that cannot be read."""
        dtype = [np.float64, np.float32]
        scores = validate_data(self, X, dtype=dtype, reset=reset, ensure_all_finite="allow-nan")
        partly = np.flatnonzero(np.isnan(scores).any(axis=1) & scored(scores))
        if len(partly):
            raise ValueError(
                f"X has NaN among the scores of clip {partly[0]} ({len(partly)} such clips in "
                "all). Scores must be finite, or NaN for all events, of clips without scores."
            )
        return scores

    def predict(self, X):
        """Decide which events occur.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
            1 where the score is greater than the event's threshold; 0 where it is NaN.
        """
        return self.predict_from_scores(self.predict_proba(X))

    def predict_proba(self, X):
        """Give the scores back, so that a pipeline ending here has them, too.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float
            `X`.
        """
        check_is_fitted(self)
        return self._check_scores(self._sort_columns(X), reset=False)

    def _sort_columns(self, X):
        """Bring scores under names into the order of `fit`."""
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
                f"X has other columns than the {len(wanted)} events of fit: missing are "
                f"{quoted(missing) or 'none'}, unknown {quoted(unknown) or 'none'}. Give the "
                "scores of each event under its name."
            )
        X = X.iloc[:, [given.index(event) for event in wanted]]
        return X if had_names else X.to_numpy()

    def predict_from_scores(self, scores):
        """Decide as `predict` does, from scores that `predict_proba` gave.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
        """
        check_is_fitted(self)
        return (scores > self.thresholds_).astype(int)

    def transform(self, X):
        """Decide which events occur; `predict` as a step of a pipeline.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
        """
        return self.predict(X)

    def score(self, X, y):
        """Give the mean F1 of the decisions.

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
        return mean_f1(match_events(y, self.classes_, name="y").indicator, self.predict(X))

    def get_feature_names_out(self, input_features=None):
        """Give the names of the columns of `transform`.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_events,), object
        """
        check_is_fitted(self)
        return np.array([str(event) for event in self.classes_], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.allow_nan = True
        return tags


def _read_scores(X):
    """Return scores as a matrix or DataFrame, and the names of its columns if it has some."""
    if is_list_of_events(X):
        return stack_events(X), None
    X = plain_table(X)
    return X, column_names(X, "X") if isinstance(X, pd.DataFrame) else None
