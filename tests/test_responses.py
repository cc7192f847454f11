import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from sktagger.targets.responses import event_names, event_scores, scores_and_targets, stack_events


@pytest.fixture
def data(rng):
    X = rng.standard_normal((40, 4))
    return X, (X[:, :3] + rng.standard_normal((40, 3)) > 0).astype(int)


def test_scores_of_forests_are_probabilities_of_presence(data):
    X, Y = data
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    expected = np.column_stack([probabilities[:, 1] for probabilities in forest.predict_proba(X)])
    np.testing.assert_array_equal(event_scores(forest, X), expected)
    np.testing.assert_array_equal(stack_events(forest.predict_proba(X)), expected)
    assert event_names(forest, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("value", "score"), [(0, 0), (1, 1)])
def test_event_with_one_class_has_one_column(data, value, score):
    X, Y = data
    Y = np.column_stack([Y, np.full(40, value)])
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    assert event_scores(forest, X)[:, 3].tolist() == [score] * 40


def test_score_of_a_single_event_is_the_second_column_of_a_binary_classifier(data):
    X, Y = data
    model = OneVsRestClassifier(LogisticRegression()).fit(X, Y[:, :1])
    scores, targets = scores_and_targets(model, X, pd.DataFrame({"siren": Y[:, 0]}))
    np.testing.assert_array_equal(scores, model.predict_proba(X)[:, 1:])
    assert targets.classes.tolist() == ["siren"]
    scores, _ = scores_and_targets(model, X, Y[:, :1].tolist())
    assert scores.shape == (40, 1)
    scores, targets = scores_and_targets(model, X[:1], Y[:1, 0])  # a label, not a column
    assert scores.shape == (1, 2)
    assert targets.classes.tolist() == [0, 1]


def test_wrong_events_raise_before_clips_are_scored(data):
    X, Y = data
    model = OneVsRestClassifier(LogisticRegression()).fit(X, Y)
    with pytest.raises(ValueError, match=r"clip 0 has 0\.5"):
        scores_and_targets(model, None, Y / 2 + 0.5 * (Y == 0))
