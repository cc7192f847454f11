"""TunedThresholdTagger with estimators of scikit-learn."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
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


def test_thresholds_do_not_depend_on_names_of_events(data, model):
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


def test_fraction_of_the_clips_is_held_out(data, model):
    X, Y = data
    tuned = TunedThresholdTagger(model, cv=0.25, refit=False, random_state=0).fit(X, Y)
    n_train = {len(e.coef_) for e in tuned.estimator_.estimators_}
    assert n_train == {1}
    everything = model.fit(X, Y).predict_proba(X)
    assert not np.allclose(tuned.predict_proba(X), everything)


def test_prefit_estimator_is_not_fitted_again(data, model):
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
    # each clip occurs three times: without groups, the forest is trained on the tuning clips
    X, Y = X[groups], Y[groups]
    leaky = TunedThresholdTagger(forest, cv=4, random_state=0).fit(X, Y)
    clean = TunedThresholdTagger(forest, cv=4, random_state=0).fit(X, Y, groups=groups)
    assert leaky.tuner_.score(forest.fit(X, Y).predict_proba(X), Y) > 0
    assert not np.allclose(leaky.thresholds_, clean.thresholds_)


def test_several_splits_need_a_refit(data, model):
    with pytest.raises(ValueError, match="refit=False with cv=5 gives 5 estimators"):
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


def test_only_audio_taggers_can_be_saved(data, model, tmp_path):
    with pytest.raises(TypeError, match="not a OneVsRestClassifier"):
        TunedThresholdTagger(model, cv=2).fit(*data).save(tmp_path / "x")


class NamedScores(ClassifierMixin, BaseEstimator):
    """Scores are the input; the columns have names."""

    def __init__(self, names=("siren", "bell", "rain")):
        self.names = names

    def fit(self, X, y):
        self.classes_ = np.array(self.names)
        return self

    def predict_proba(self, X):
        return X


@pytest.fixture
def named(rng):
    """Scores of three events, events under their names, and a fitted estimator."""
    Y = pd.DataFrame(rng.random((80, 3)) < [0.5, 0.3, 0.1], columns=["siren", "bell", "rain"])
    S = rng.standard_normal(Y.shape) + 2 * Y.to_numpy()
    return S, Y.astype(int), NamedScores().fit(S, None)


def as_lists(Y):
    return [list(Y.columns[row]) for row in Y.to_numpy(bool)]


@pytest.mark.parametrize(
    "form",
    [
        lambda Y: Y[["rain", "siren", "bell"]],
        as_lists,
        lambda Y: iter(as_lists(Y)),
        lambda Y: pytest.importorskip("polars").DataFrame(
            Y[["rain", "siren", "bell"]].to_dict("list")
        ),
        lambda Y: pytest.importorskip("pyarrow").table(
            Y[["rain", "bell", "siren"]].to_dict("list")
        ),
        lambda Y: Y.to_numpy(),
    ],
)
def test_prefit_estimator_has_the_names(named, form):
    S, Y, estimator = named
    tuned = TunedThresholdTagger(estimator, cv="prefit").fit(S, form(Y))
    expected = ThresholdTuner().fit(S, Y.to_numpy())
    assert tuned.classes_.tolist() == tuned.tuner_.classes_.tolist() == list(Y)
    np.testing.assert_array_equal(tuned.thresholds_, expected.thresholds_)
    assert tuned.score(S, form(Y)) == mean_f1(Y, expected.thresholds_ < S)


def test_prefit_clips_need_not_have_all_events(named):
    S, Y, estimator = named
    zeros = Y.assign(bell=0)
    expected = ThresholdTuner().fit(S, zeros.to_numpy()).thresholds_
    for y in (zeros, as_lists(zeros)):
        tuned = TunedThresholdTagger(estimator, cv="prefit").fit(S, y)
        np.testing.assert_array_equal(tuned.thresholds_, expected)
    with pytest.raises(ValueError, match=r"y lacks the columns .* 'bell'"):
        TunedThresholdTagger(estimator, cv="prefit").fit(S, Y.drop(columns="bell"))


def test_error_names_events_unknown_to_a_prefit_estimator(named):
    S, Y, estimator = named
    with pytest.raises(ValueError, match=r"the event 'Rain', which is not .* nearest: 'rain'"):
        TunedThresholdTagger(estimator, cv="prefit").fit(S, Y.rename(columns={"rain": "Rain"}))
    with pytest.raises(ValueError, match="clip 0 has the event 'fog'"):
        TunedThresholdTagger(estimator, cv="prefit").fit(S, [["fog"]] * len(S))


def test_prefit_labels_are_matched_by_value(rng):
    labels = rng.choice(["a", "b", "c"], 60)
    X = rng.standard_normal((60, 4)) + (labels == "b")[:, None]
    model = LogisticRegression().fit(X, labels)
    tuned = TunedThresholdTagger(model, cv="prefit").fit(X[labels != "a"], labels[labels != "a"])
    assert tuned.classes_.tolist() == ["a", "b", "c"]
    assert set(tuned.predict(X)) <= {"a", "b", "c"}
    with pytest.raises(ValueError, match="clip 1 has the event 'z'"):
        TunedThresholdTagger(model, cv="prefit").fit(X[:2], ["a", "z"])


def test_columns_of_a_prefit_estimator_without_names_are_matched_by_position(data, model):
    X, Y = data
    named = pd.DataFrame(Y, columns=["siren", "bell", "rain"])
    tuned = TunedThresholdTagger(model.fit(X, Y), cv="prefit").fit(X, named)
    assert tuned.classes_.tolist() == list(named)
    expected = ThresholdTuner().fit(model.predict_proba(X), Y).thresholds_
    np.testing.assert_array_equal(tuned.thresholds_, expected)
    with pytest.raises(ValueError, match="3 columns of scores have no names"):
        TunedThresholdTagger(model, cv="prefit").fit(X, as_lists(named))


@pytest.mark.parametrize("cv", [3, "prefit"])
def test_forest_returns_an_array_per_event(data, cv):
    X, Y = data
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    tuned = TunedThresholdTagger(forest, cv=cv, random_state=0).fit(X, Y)
    expected = np.column_stack([of_event[:, 1] for of_event in forest.predict_proba(X)])
    np.testing.assert_array_equal(tuned.predict_proba(X), expected)
    np.testing.assert_array_equal(tuned.predict(X), expected > tuned.thresholds_)
    if cv == "prefit":
        np.testing.assert_array_equal(
            tuned.thresholds_, ThresholdTuner().fit(forest.predict_proba(X), Y).thresholds_
        )


def test_event_without_training_clips_scores_zero_in_a_forest(data):
    X, Y = data
    Y = Y.copy()
    Y[:, 1] = 0
    forest = RandomForestClassifier(5, random_state=0)
    tuned = TunedThresholdTagger(forest, cv=2, random_state=0).fit(X, Y)
    assert not tuned.predict_proba(X)[:, 1].any()
    assert not tuned.predict(X)[:, 1].any()


@pytest.mark.parametrize("cv", [3, "prefit"])
def test_single_event_has_one_column(data, model, cv):
    X, Y = data
    Y = Y[:, :1]
    model.fit(X, Y)
    tuned = TunedThresholdTagger(model, cv=cv, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(tuned.predict_proba(X), model.predict_proba(X)[:, 1:])
    assert tuned.predict(X).shape == (120, 1)


def test_any_estimator_takes_event_lists(data, model):
    X, Y = data
    lists = [[f"event {k}" for k in np.flatnonzero(row)] for row in Y]
    tuned = TunedThresholdTagger(model, cv=3, random_state=0).fit(X, iter(lists))
    expected = TunedThresholdTagger(model, cv=3, random_state=0).fit(X, Y)
    assert tuned.classes_.tolist() == ["event 0", "event 1", "event 2"]
    np.testing.assert_array_equal(tuned.thresholds_, expected.thresholds_)


@pytest.fixture
def labels(rng):
    """Clips of three labels, the last one rare."""
    y = np.repeat(["a", "b", "rare"], [30, 30, 2])
    return rng.standard_normal((62, 3)) + 2 * np.eye(3)[np.repeat([0, 1, 2], [30, 30, 2])], y


def test_label_may_have_fewer_clips_than_folds(labels):
    X, y = labels
    tuned = TunedThresholdTagger(LogisticRegression(), cv=5, random_state=0).fit(X, y)
    assert tuned.classes_.tolist() == ["a", "b", "rare"]
    assert np.isfinite(tuned.thresholds_).all()


def test_warning_names_labels_missing_from_a_training_part(labels):
    X, y = labels
    tuned = TunedThresholdTagger(LogisticRegression(), cv=5, random_state=0)
    with pytest.warns(
        UndefinedMetricWarning, match="1 of 3 labels .* score 0 in its test part: rare"
    ):
        tuned.fit(X[:-1], y[:-1])
    assert tuned.classes_.tolist() == ["a", "b", "rare"]


def test_folds_with_a_single_label_raise(labels):
    X, y = labels
    few = np.r_[0:10, 60]
    with pytest.raises(ValueError, match=r"too few clips of the label 'rare'.*has 'a' only"):
        TunedThresholdTagger(LogisticRegression(), cv=5).fit(X[few], y[few])


def test_unknown_label_has_an_f1_of_zero(labels):
    X, y = labels
    tuned = TunedThresholdTagger(LogisticRegression(), cv=2, random_state=0).fit(X, y)
    predicted = tuned.predict(X)
    assert tuned.score(X, predicted) == 1
    other = np.where((predicted == "b") & (np.arange(62) % 2 == 0), "never seen", predicted)
    expected = f1_score(other, predicted, average="macro", zero_division=0)
    assert tuned.score(X, other) == pytest.approx(expected)


@pytest.mark.parametrize("fraction", [0.5, 0.4, 0.35, 0.3, 0.2, 0.001])
def test_number_of_tuning_clips_is_the_fraction(data, model, fraction):
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
    """Classifier that records the clips, weights and groups of each fit."""

    seen = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None, groups=None):
        type(self).seen.append((X[:, 0].astype(int), sample_weight, groups))
        return super().fit(X, np.asarray(y)[:, 0])

    def predict_proba(self, X):
        return np.linspace(0, 1, 2 * len(X)).reshape(-1, 2)


@pytest.mark.parametrize("cv", [3, 0.4])
def test_groups_and_weights_are_passed_to_the_estimator(cv):
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


def test_weights_of_a_step_are_split_like_the_clips():
    Recorder.seen.clear()
    X, Y = np.arange(12)[:, None], np.eye(2, dtype=int)[np.arange(12) % 2]
    pipe = Pipeline([("model", Recorder())])
    weight = np.arange(12.0)
    TunedThresholdTagger(pipe, cv=2, random_state=0).fit(X, Y, model__sample_weight=weight)
    for rows, weight_of_rows, groups in Recorder.seen:
        np.testing.assert_array_equal(weight_of_rows, weight[rows])
        assert groups is None


def test_wrong_number_of_groups_raises(data, model):
    with pytest.raises(ValueError, match="groups: got 2 entries for 120 clips"):
        TunedThresholdTagger(model).fit(*data, groups=[1, 2])
