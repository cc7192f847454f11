import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from sktagger import ThresholdTuner
from sktagger.metrics import mean_f1


@pytest.fixture
def scores_and_events(rng):
    Y = rng.random((200, 4)) < [0.5, 0.3, 0.1, 0.05]
    return rng.standard_normal(Y.shape) + Y, Y.astype(int)


def best_by_trying(y, s):
    """Highest F1 over -inf, all midpoints and +inf, by the formula."""
    distinct = np.unique(s)
    best = (-1.0, None)
    for threshold in [-np.inf, *(distinct[1:] + distinct[:-1]) / 2, np.inf]:
        tp = np.sum(y & (s > threshold))
        precision, recall = tp / max(np.sum(s > threshold), 1), tp / max(y.sum(), 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-15)
        best = max(best, (f1, threshold))
    return best


def test_thresholds_have_the_best_f1(scores_and_events):
    S, Y = scores_and_events
    tuner = ThresholdTuner().fit(S, Y)
    expected = [best_by_trying(Y[:, k], S[:, k]) for k in range(4)]
    np.testing.assert_allclose(tuner.thresholds_, [threshold for _, threshold in expected])
    assert tuner.score(S, Y) == pytest.approx(np.mean([f1 for f1, _ in expected]))


def test_decisions_are_scores_above_the_threshold(scores_and_events):
    S, Y = scores_and_events
    tuner = ThresholdTuner().fit(S, Y)
    np.testing.assert_array_equal(tuner.predict(S), tuner.thresholds_ < S)
    np.testing.assert_array_equal(tuner.transform(S), tuner.predict(S))
    assert tuner.score(S, Y) == mean_f1(Y, tuner.predict(S))


def test_scores_pass_unchanged(scores_and_events):
    S, Y = scores_and_events
    np.testing.assert_array_equal(ThresholdTuner().fit(S, Y).predict_proba(S), S)


def test_event_without_positives_gets_the_threshold_of_all_events(scores_and_events):
    S, Y = scores_and_events
    Y[:, 3] = 0
    tuner = ThresholdTuner().fit(S, Y)
    assert tuner.thresholds_[3] == pytest.approx(best_by_trying(Y.ravel(), S.ravel())[1])


def test_no_positives_at_all_reports_nothing(scores_and_events):
    S, Y = scores_and_events
    assert not ThresholdTuner().fit(S, 0 * Y).predict(S).any()


def test_events_keep_their_names(scores_and_events):
    S, Y = scores_and_events
    names = ["siren", "bell", "rain", "dog"]
    tuner = ThresholdTuner().set_output(transform="pandas").fit(S, pd.DataFrame(Y, columns=names))
    assert list(tuner.classes_) == names
    assert list(tuner.transform(S).columns) == names


def test_another_number_of_events_is_refused(scores_and_events):
    S, Y = scores_and_events
    with pytest.raises(ValueError, match="X has scores of 3 events, but y has 4"):
        ThresholdTuner().fit(S[:, :3], Y)
    with pytest.raises(ValueError, match="X has 3 features"):
        ThresholdTuner().fit(S, Y).predict(S[:, :3])


def test_unfitted_tuner_says_so():
    with pytest.raises(NotFittedError):
        ThresholdTuner().predict(np.ones((2, 2)))
