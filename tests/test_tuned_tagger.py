import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsRestClassifier

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
