import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline

from sktagger import ThresholdTuner, TunedThresholdTagger
from sktagger.metrics import mean_f1


@pytest.fixture
def data(rng):
    Y = (rng.random((120, 3)) < 0.4).astype(int)
    return rng.standard_normal((120, 5)) + Y @ rng.standard_normal((3, 5)), Y


@pytest.fixture
def model():
    return OneVsRestClassifier(LogisticRegression())


def test_thresholds_are_tuned_on_out_of_fold_scores(data, model):
    X, Y = data
    cv = KFold(4)
    tuned = TunedThresholdTagger(model, cv=cv).fit(X, Y)
    scores = np.empty(Y.shape)
    for train, test in cv.split(X):
        scores[test] = model.fit(X[train], Y[train]).predict_proba(X[test])
    expected = ThresholdTuner().fit(scores, Y).thresholds_
    np.testing.assert_allclose(tuned.thresholds_, expected)


def test_names_of_events_do_not_matter_to_the_thresholds(data, model):
    X, Y = data
    named = pd.DataFrame(Y, columns=["siren", "bell", "rain"])
    expected = TunedThresholdTagger(model, cv=3, random_state=0).fit(X, Y).thresholds_
    tuned = TunedThresholdTagger(model, cv=3, random_state=0).fit(X, named)
    np.testing.assert_array_equal(tuned.thresholds_, expected)


def test_estimator_is_refitted_on_all_clips(data, model):
    X, Y = data
    tuned = TunedThresholdTagger(model, cv=3, random_state=0).fit(X, Y)
    np.testing.assert_allclose(tuned.predict_proba(X), model.fit(X, Y).predict_proba(X))
    np.testing.assert_array_equal(tuned.predict(X), tuned.predict_proba(X) > tuned.thresholds_)
    assert tuned.score(X, Y) == mean_f1(Y, tuned.predict(X))


def test_part_of_the_clips_is_held_out(data, model):
    X, Y = data
    tuned = TunedThresholdTagger(model, cv=0.25, refit=False, random_state=0).fit(X, Y)
    n_train = {len(e.coef_) for e in tuned.estimator_.estimators_}
    assert n_train == {1}
    everything = model.fit(X, Y).predict_proba(X)
    assert not np.allclose(tuned.predict_proba(X), everything)


def test_prefit_estimator_is_kept(data, model):
    X, Y = data
    model.fit(X[:60], Y[:60])
    tuned = TunedThresholdTagger(model, cv="prefit").fit(X[60:], Y[60:])
    assert tuned.estimator_ is model
    expected = ThresholdTuner().fit(model.predict_proba(X[60:]), Y[60:]).thresholds_
    np.testing.assert_allclose(tuned.thresholds_, expected)


def test_groups_stay_together(data):
    X, Y = data
    groups = np.repeat(np.arange(40), 3)
    forest = OneVsRestClassifier(ExtraTreesClassifier(50, random_state=0))
    # each clip thrice: without groups, the forest has seen every clip it is tuned on
    X, Y = X[groups], Y[groups]
    leaky = TunedThresholdTagger(forest, cv=4, random_state=0).fit(X, Y)
    clean = TunedThresholdTagger(forest, cv=4, random_state=0).fit(X, Y, groups=groups)
    assert leaky.tuner_.score(forest.fit(X, Y).predict_proba(X), Y) > 0
    assert not np.allclose(leaky.thresholds_, clean.thresholds_)


def test_several_splits_need_a_refit(data, model):
    with pytest.raises(ValueError, match="refit=False with cv=5 leaves 5 estimators"):
        TunedThresholdTagger(model, refit=False).fit(*data)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"cv": 1}, ValueError, "'cv' parameter"),
        ({"cv": 0.7}, ValueError, "'cv' parameter"),
        ({"cv": "pre"}, ValueError, "'cv' parameter"),
        ({"cv": "prefit"}, NotFittedError, "not fitted"),
        ({"estimator": KFold()}, ValueError, "'estimator' parameter"),
    ],
)
def test_bad_parameters(data, model, changes, error, message):
    with pytest.raises(error, match=message):
        TunedThresholdTagger(**{"estimator": model, **changes}).fit(*data)


def test_only_our_tagger_can_be_saved(data, model, tmp_path):
    with pytest.raises(TypeError, match="not a OneVsRestClassifier"):
        TunedThresholdTagger(model, cv=2).fit(*data).save(tmp_path / "x")


@pytest.mark.parametrize("fraction", [0.5, 0.4, 0.35, 0.3, 0.2, 0.001])
def test_part_that_thresholds_are_tuned_on_is_as_large_as_asked_for(data, model, fraction):
    sizes = []

    class Spy(ThresholdTuner):
        def fit(self, S, y):
            sizes.append(len(S))
            return super().fit(S, y)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # of a single clip
        TunedThresholdTagger(model, tuner=Spy(), cv=fraction, random_state=0).fit(*data)
    assert sizes == [max(1, round(120 * fraction))]


class Recorder(DummyClassifier):
    """Takes groups, and notes what it was given with which clips."""

    seen = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, groups=None):
        type(self).seen.append((X[:, 0].astype(int), sample_weight, groups))
        return super().fit(X, np.asarray(y)[:, 0])

    def predict_proba(self, X):
        return np.linspace(0, 1, 2 * len(X)).reshape(-1, 2)


@pytest.mark.parametrize("cv", [3, 0.4])
def test_groups_and_weights_reach_an_estimator_that_takes_them(cv):
    Recorder.seen.clear()
    X = np.arange(24)[:, None]
    groups = [f"speaker {i // 4}" for i in range(24)]
    Y = np.stack([np.arange(24) % 2, np.arange(24) % 4 < 2], axis=1).astype(int)
    weight = np.arange(24) / 10
    TunedThresholdTagger(Recorder(), cv=cv, random_state=0).fit(
        X, Y, groups=groups, sample_weight=weight
    )
    assert len(Recorder.seen) == (4 if cv == 3 else 2)
    for rows, weight_of_rows, groups_of_rows in Recorder.seen:
        np.testing.assert_array_equal(weight_of_rows, weight[rows])
        np.testing.assert_array_equal(groups_of_rows, rows // 4)
    trained, *_ = Recorder.seen[0]
    assert np.isin(np.arange(24) // 4, trained // 4).sum() == len(trained)


def test_weights_of_a_step_go_with_the_clips():
    Recorder.seen.clear()
    X, Y = np.arange(12)[:, None], np.eye(2, dtype=int)[np.arange(12) % 2]
    pipe = Pipeline([("model", Recorder())])
    weight = np.arange(12.0)
    TunedThresholdTagger(pipe, cv=2, random_state=0).fit(X, Y, model__sample_weight=weight)
    for rows, weight_of_rows, groups in Recorder.seen:
        np.testing.assert_array_equal(weight_of_rows, weight[rows])
        assert groups is None


def test_groups_of_another_length(data, model):
    with pytest.raises(ValueError, match="groups: got 2 entries for 120 clips"):
        TunedThresholdTagger(model).fit(*data, groups=[1, 2])
