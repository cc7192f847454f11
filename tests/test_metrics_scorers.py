"""Scorers in cross_validate and in searches, with estimators of scikit-learn."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sktagger import metrics
from sktagger.metrics import lwlrap_scorer, map_scorer, mauc_scorer, mf1_scorer, scorers

ESTIMATORS = {
    "one vs rest": OneVsRestClassifier(LogisticRegression()),
    "forest": RandomForestClassifier(5, random_state=0),
    "neighbors": KNeighborsClassifier(3),
    "perceptron": MLPClassifier((4,), solver="lbfgs", max_iter=20, random_state=0),
    "decision function": OneVsRestClassifier(LinearSVC()),
    "pipeline": make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture
def Y(X):
    noise = np.random.default_rng(1).normal(size=(60, 3))
    return (X[:, :3] + noise > 0.3).astype(int)


class FixedTagger(ClassifierMixin, BaseEstimator):
    """Tagger whose scores are its input, and which counts the calls of predict_proba."""

    n_calls = 0

    def __init__(self, threshold=0.0):
        self.threshold = threshold

    def fit(self, X, y):
        self.classes_ = np.array(getattr(y, "columns", range(np.shape(y)[1])))
        return self

    def predict_proba(self, X):
        FixedTagger.n_calls += 1
        return X[:, : len(self.classes_)]

    def predict(self, X):
        return (self.predict_proba(X) > self.threshold).astype(int)


class SharingTagger(FixedTagger):
    def predict_from_scores(self, scores):
        return (scores > self.threshold).astype(int)


@pytest.mark.parametrize("n_events", [2, 3])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_scorers_equal_metrics_on_multilabel_targets(name, n_events, X, Y):
    Y = Y[:, :n_events]
    estimator = clone(ESTIMATORS[name]).fit(X[:40], Y[:40])
    if name == "decision function":
        scores = estimator.decision_function(X[40:])
    else:
        scores = estimator.predict_proba(X[40:])
    if isinstance(scores, list):
        scores = np.column_stack([score[:, 1] for score in scores])
    y_true, y_pred = Y[40:], estimator.predict(X[40:])
    assert map_scorer(estimator, X[40:], y_true) == metrics.mean_average_precision(y_true, scores)
    assert mauc_scorer(estimator, X[40:], y_true) == metrics.mean_roc_auc(y_true, scores)
    assert lwlrap_scorer(estimator, X[40:], y_true) == metrics.lwlrap(y_true, scores)
    assert mf1_scorer(estimator, X[40:], y_true) == metrics.mean_f1(y_true, y_pred)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_scorers_equal_metrics_on_1d_labels(name, X):
    labels = np.array(["Dog", "Rain", "Bell"])[X[:, :3].argmax(axis=1)]
    estimator = clone(ESTIMATORS[name]).fit(X[:40], labels[:40])
    indicator = labels[40:, np.newaxis] == estimator.classes_
    if name == "decision function":
        scores = estimator.decision_function(X[40:])
    else:
        scores = estimator.predict_proba(X[40:])
    y_pred = estimator.predict(X[40:])[:, np.newaxis] == estimator.classes_
    expected = metrics.mean_average_precision(indicator, scores)
    assert map_scorer(estimator, X[40:], labels[40:]) == expected
    assert mf1_scorer(estimator, X[40:], labels[40:]) == metrics.mean_f1(indicator, y_pred)
    assert lwlrap_scorer(estimator, X[40:], list(labels[40:])) == metrics.lwlrap(indicator, scores)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_zero_and_one_are_a_single_event(name, shape, X, Y):
    y = Y[:, 0]
    estimator = clone(ESTIMATORS[name]).fit(X[:40], y[:40])
    if name == "decision function":
        scores = estimator.decision_function(X[40:])
    else:
        scores = estimator.predict_proba(X[40:])[:, 1]
    y_true = y[40:].reshape(shape)
    assert_allclose(map_scorer(estimator, X[40:], y_true), average_precision_score(y[40:], scores))
    assert_allclose(mauc_scorer(estimator, X[40:], y_true), roc_auc_score(y[40:], scores))
    y_pred = estimator.predict(X[40:])
    assert_allclose(mf1_scorer(estimator, X[40:], y_true), f1_score(y[40:], y_pred))


def test_two_named_labels_are_two_events(X):
    labels = np.where(X[:, 0] > 0, "Rain", "Dog")
    forest = ESTIMATORS["forest"].fit(X[:40], labels[:40])
    ridge = RidgeClassifier().fit(X[:40], labels[:40])
    indicator = labels[40:, np.newaxis] == ["Dog", "Rain"]
    expected = metrics.lwlrap(indicator, forest.predict_proba(X[40:]))
    assert lwlrap_scorer(forest, X[40:], labels[40:]) == expected
    margin = ridge.decision_function(X[40:])
    expected = metrics.mean_average_precision(indicator, np.column_stack([-margin, margin]))
    assert map_scorer(ridge, X[40:], labels[40:]) == expected


@pytest.mark.parametrize("name", ["one vs rest", "forest", "neighbors"])
@pytest.mark.filterwarnings("ignore:Label not .* is present in all training examples")
def test_event_absent_in_training_scores_zero(name, X, Y):
    train = Y[:40].copy()
    train[:, 1] = 0
    estimator = clone(ESTIMATORS[name]).fit(X[:40], train)
    scores = estimator.predict_proba(X[40:])
    if isinstance(scores, list):
        scores = np.column_stack([scores[0][:, 1], np.zeros(20), scores[2][:, 1]])
    assert lwlrap_scorer(estimator, X[40:], Y[40:]) == metrics.lwlrap(Y[40:], scores)


@pytest.mark.parametrize("name", ["one vs rest", "forest", "perceptron"])
def test_event_absent_in_a_test_fold_is_left_out(name, X, Y):
    Y[40:, 1] = 0
    with pytest.warns(UndefinedMetricWarning, match="1 of 3 events"):
        results = cross_validate(
            ESTIMATORS[name], X, Y, scoring=scorers, cv=KFold(3), error_score="raise"
        )
    for metric in scorers:
        assert np.isfinite(results[f"test_{metric}"]).all()


def test_label_absent_in_training_warns(X):
    labels = np.array(["Dog", "Rain", "Bell"])[X[:, :3].argmax(axis=1)]
    known = labels != "Rain"
    estimator = GaussianNB().fit(X[known], labels[known])
    with pytest.warns(UndefinedMetricWarning, match="1 events .* absent in training.*: Rain"):
        map_scorer(estimator, X, labels)


def test_scorers_share_one_call_of_predict_proba(X, Y):
    FixedTagger.n_calls = 0
    results = cross_validate(FixedTagger(), X, Y, scoring=scorers, cv=3, error_score="raise")
    # Each of the three folds has one call for the score-based metrics, and one inside predict.
    assert FixedTagger.n_calls == 6
    assert_allclose(
        results["test_mAP"], cross_val_score(FixedTagger(), X, Y, scoring=map_scorer, cv=3)
    )


@pytest.mark.parametrize("wrap", [lambda tagger: tagger, lambda t: make_pipeline("passthrough", t)])
@pytest.mark.parametrize("names", [list(scorers), ["mAP", "mF1"]])
def test_predict_from_scores_shares_the_call_of_predict_proba(wrap, names, X, Y):
    expected = cross_validate(FixedTagger(), X, Y, scoring=scorers, cv=3)
    FixedTagger.n_calls = 0
    scoring = {name: scorers[name] for name in names}
    results = cross_validate(wrap(SharingTagger()), X, Y, scoring=scoring, cv=3)
    assert FixedTagger.n_calls == 3
    for name in names:
        assert_allclose(results[f"test_{name}"], expected[f"test_{name}"])


def test_scorers_do_not_change_the_results_of_sklearn_scorers(X):
    labels = (X[:, 0] > 0).astype(int)
    scoring = {"mAP": map_scorer, "mAUC": mauc_scorer, "roc_auc": "roc_auc", "f1": "f1"}
    results = cross_validate(GaussianNB(), X, labels, scoring=scoring, cv=3, error_score="raise")
    assert_allclose(results["test_mAUC"], results["test_roc_auc"])


def test_grid_search_with_all_scorers_selects_the_best_map(X, Y):
    grid = {"estimator__C": [1e-4, 1.0]}
    search = GridSearchCV(
        OneVsRestClassifier(LogisticRegression()), grid, scoring=scorers, refit="mAP", cv=3
    ).fit(X, Y)
    assert search.best_score_ == search.cv_results_["mean_test_mAP"].max()
    assert search.score(X, Y) == map_scorer(search.best_estimator_, X, Y)


def test_grid_search_of_thresholds_on_mf1(X, Y):
    grid = {"threshold": [-5.0, 0.0, 5.0]}
    search = GridSearchCV(FixedTagger(), grid, scoring=mf1_scorer, cv=3).fit(X, Y)
    assert search.best_params_ == {"threshold": 0.0}


@pytest.mark.parametrize("form", [pd.DataFrame, sparse.csr_array])
def test_targets_in_any_form(form, X, Y):
    estimator = ESTIMATORS["one vs rest"].fit(X, Y)
    for scorer in scorers.values():
        assert scorer(estimator, X, form(Y)) == scorer(estimator, X, Y)


def test_columns_are_matched_to_the_estimators_events_by_name(X, Y):
    Y = pd.DataFrame(Y, columns=["Bell", "Dog", "Rain"])
    tagger = FixedTagger().fit(X, Y)
    for scorer in scorers.values():
        assert scorer(tagger, X, Y[["Rain", "Bell", "Dog"]]) == scorer(tagger, X, Y)


def test_event_lists_as_targets(X, Y):
    Y = pd.DataFrame(Y, columns=["Bell", "Dog", "Rain"])
    lists = [list(Y.columns[row]) for row in Y.to_numpy(bool)]
    tagger = FixedTagger().fit(X, Y)
    for scorer in scorers.values():
        assert scorer(tagger, X, lists) == scorer(tagger, X, Y)


def test_sample_weight_reaches_the_metric(X, Y):
    tagger, weight = FixedTagger().fit(X, Y), np.arange(60)
    expected = metrics.mean_average_precision(Y, X[:, :3], sample_weight=weight)
    assert map_scorer(tagger, X, Y, sample_weight=weight) == expected


def test_sample_weight_is_routed_through_cross_validate(X, Y):
    weight = np.arange(60.0)
    with config_context(enable_metadata_routing=True):
        weighted = {
            name: copy.deepcopy(scorer).set_score_request(sample_weight=True)
            for name, scorer in scorers.items()
        }
        results = cross_validate(
            FixedTagger(), X, Y, scoring=weighted, cv=KFold(3), params={"sample_weight": weight}
        )
    expected = metrics.mean_average_precision(Y[:20], X[:20, :3], sample_weight=weight[:20])
    assert results["test_mAP"][0] == expected


def test_mf1_needs_no_scores(X, Y):
    class Predictor(BaseEstimator):
        def predict(self, X):
            return (X[:, :3] > 0).astype(int)

    assert mf1_scorer(Predictor(), X, Y) == metrics.mean_f1(Y, X[:, :3] > 0)


def test_score_based_scorers_need_scores(X, Y):
    class Predictor(BaseEstimator):
        def predict(self, X):
            return (X[:, :3] > 0).astype(int)

    with pytest.raises(AttributeError, match="neither predict_proba nor decision_function"):
        map_scorer(Predictor(), X, Y)


def test_labels_need_an_estimator_with_classes(X):
    class Predictor(BaseEstimator):
        def predict(self, X):
            return np.where(X[:, 0] > 0, "Dog", "Rain")

    with pytest.raises(ValueError, match="the estimator has no classes_"):
        mf1_scorer(Predictor(), X, np.repeat("Dog", 60))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_scorers_pickle_and_copy(copied, X, Y):
    tagger = FixedTagger().fit(X, Y)
    for name, scorer in copied(scorers).items():
        assert scorer(tagger, X, Y) == scorers[name](tagger, X, Y)


def test_search_with_scorers_clones(X, Y):
    search = clone(GridSearchCV(FixedTagger(), {"threshold": [0.0]}, scoring=scorers, refit=False))
    assert set(search.get_params()["scoring"]) == {"mAP", "mAUC", "lwlrap", "mF1"}
    search.fit(X, Y)


def test_repr_names_the_metric():
    assert repr(map_scorer) == "EventScorer(mean_average_precision)"
    assert repr(mf1_scorer) == "EventScorer(mean_f1)"


@pytest.fixture
def named(X, Y):
    """A tagger whose events have names, and a table of events with these names."""
    Y = pd.DataFrame(Y, columns=["Bell", "Dog", "Rain"])
    return FixedTagger().fit(X, Y), Y


@pytest.mark.parametrize("name", scorers)
def test_names_of_tables_of_other_libraries_are_matched(name, named, X):
    tagger, Y = named
    swapped = Y[["Rain", "Bell", "Dog"]].to_dict("list")
    for make in (pytest.importorskip("polars").DataFrame, pytest.importorskip("pyarrow").table):
        assert scorers[name](tagger, X, make(swapped)) == scorers[name](tagger, X, Y)


@pytest.mark.parametrize("name", scorers)
def test_error_names_unknown_and_missing_columns(name, named, X):
    tagger, Y = named
    with pytest.raises(ValueError, match="y has the event 'Cat', which is not among the 3 events"):
        scorers[name](tagger, X, Y.rename(columns={"Dog": "Cat"}))
    with pytest.raises(ValueError, match="y lacks the columns of 1 of 3 events: 'Rain'"):
        scorers[name](tagger, X, Y[["Bell", "Dog"]])


def test_event_lists_in_any_container(named, X):
    tagger, Y = named
    lists = [list(Y.columns[row]) for row in Y.to_numpy(bool)]
    for form in (tuple, pd.Series, lambda rows: [set(row) for row in rows]):
        assert map_scorer(tagger, X, form(lists)) == map_scorer(tagger, X, Y)
    arrays = pd.Series([np.array(row, dtype=object) for row in lists])
    assert map_scorer(tagger, X, arrays) == map_scorer(tagger, X, Y)


def test_event_lists_need_an_estimator_with_names(X, Y):
    lists = [["Rain"]] * 60
    with pytest.raises(ValueError, match="the estimator has no classes_"):
        map_scorer(ESTIMATORS["forest"].fit(X, Y), X, lists)
    with pytest.raises(ValueError, match="3 columns of scores have no names"):
        map_scorer(ESTIMATORS["one vs rest"].fit(X, Y), X, lists)


def test_event_lists_of_a_fold_may_lack_events(named, X):
    tagger, Y = named
    lists = [
        [event for event in row if event != "Dog"]
        for row in map(Y.columns.__getitem__, Y.to_numpy(bool))
    ]
    with pytest.warns(UndefinedMetricWarning, match="1 of 3 events"):
        assert map_scorer(tagger, X, lists) == map_scorer(tagger, X, Y.assign(Dog=0))


def test_unknown_events_are_printable(named, X):
    tagger, _ = named
    with pytest.warns(UndefinedMetricWarning, match="absent in training") as caught:
        map_scorer(tagger, X, [["Rain"], ["Dog", "x\x1b[2J"], ["Bell"]] * 20)
    assert all(str(warning.message).isprintable() for warning in caught)


def test_metrics_read_the_names_of_tables_of_other_libraries(named, X):
    _, Y = named
    S = pd.DataFrame(X[:, :3], columns=Y.columns)
    for make in (pytest.importorskip("polars").DataFrame, pytest.importorskip("pyarrow").table):
        y_true, y_score = make(Y.to_dict("list")), make(S.to_dict("list"))
        expected = metrics.mean_average_precision(Y, S, average=None)
        pd.testing.assert_series_equal(
            metrics.mean_average_precision(y_true, y_score, average=None), expected
        )
        with pytest.raises(ValueError, match="same events in the same order"):
            metrics.mean_average_precision(make(Y[["Rain", "Dog", "Bell"]].to_dict("list")), S)
