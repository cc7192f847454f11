"""From scores to decisions: thresholds per event."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sktagger._validation import check_lengths, check_targets
from sktagger.metrics import RankedScores, mean_f1


class ThresholdTuner(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Learn from scores of tuning clips above which score an event is to be reported.

    Each event gets the threshold with the highest F1 on the tuning clips; candidates are the
    midpoints between adjacent scores. Tune on clips that the scores' model was not trained on:
    scores of training clips are too good, and so the thresholds too high.

    Attributes
    ----------
    thresholds_ : ndarray of shape (n_events,), float64
        A clip has an event if its score is greater. An event without positive tuning clips gets
        the threshold that is best for all events together.
    classes_ : ndarray of shape (n_events,)
        Events, in the order of the columns.
    n_features_in_ : int
        Number of events.

    See Also
    --------
    sktagger.metrics.RankedScores.best_thresholds : The search for one threshold per event.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import ThresholdTuner
    >>> S = np.array([[0.1, 0.9], [0.3, 0.2], [0.2, 0.6]])
    >>> Y = np.array([[0, 1], [1, 0], [1, 0]])
    >>> tuner = ThresholdTuner().fit(S, Y)
    >>> tuner.thresholds_
    array([0.15, 0.75])
    >>> tuner.predict(S)
    array([[0, 1],
           [1, 0],
           [1, 0]])
    """

    def fit(self, X, y):
        """Learn the thresholds.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips: an indicator matrix, event lists or 1-D labels. Columns are in the
            order of those of `X`.

        Returns
        -------
        self
        """
        scores = validate_data(self, X, dtype=[np.float64, np.float32])
        targets = check_targets(y)
        check_lengths(scores, targets.indicator, ("X", "y"))
        if scores.shape[1] != len(targets.classes):
            raise ValueError(
                f"X has scores of {scores.shape[1]} events, but y has {len(targets.classes)} "
                "events. Give one column of scores for each event."
            )
        best = RankedScores(targets.indicator, scores).best_thresholds()
        thresholds = best.thresholds
        absent = ~targets.indicator.any(axis=0)
        if absent.any() and not absent.all():
            shared = RankedScores(targets.indicator.ravel(), scores.ravel()).best_thresholds()
            thresholds = np.where(absent, shared.thresholds[0], thresholds)
        self.classes_ = targets.classes
        self.thresholds_ = thresholds
        return self

    def predict(self, X):
        """Decide which events occur.

        Parameters
        ----------
        X : array-like of shape (n_clips, n_events), float
            Scores.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int
            1 where the score is greater than the event's threshold.
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
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=False)

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
        y : array-like of shape (n_clips, n_events)
            Events of the clips.

        Returns
        -------
        float
            Mean over the events that occur in `y`.
        """
        return mean_f1(check_targets(y).indicator, self.predict(X))

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
        return tags
