"""scikit-learn's own checks, and the same promises for files and multi-label targets."""

import inspect
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktagger import ThresholdTuner, TunedThresholdTagger, WALNetTagger

# in bfloat16, rows of a batch differ in their last bits by their place
TAGGER = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0, precision="float32")

TUNED = TunedThresholdTagger(OneVsRestClassifier(LogisticRegression()), cv=2, random_state=0)

EXPECTED_FAILURES = {
    WALNetTagger: {
        "check_sample_weight_equivalence_on_dense_data": (
            "repeating a clip changes the batches: as for scikit-learn's own estimators that are "
            "trained by batches"
        ),
    },
    TunedThresholdTagger: {
        "check_classifiers_train": (
            "decisions by thresholds are not those by the highest score: as for scikit-learn's "
            "TunedThresholdClassifierCV"
        ),
    },
}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [TAGGER, TUNED], expected_failed_checks=lambda estimator: EXPECTED_FAILURES[type(estimator)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_checks_are_not_skipped_by_a_tag():
    tags = TAGGER.__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert tags.classifier_tags.multi_label
    assert tags.classifier_tags.multi_class
    assert not tags.no_validation


@pytest.fixture(params=["tagger", "tuned", "tuner"])
def case(request, scenes):
    """An estimator with clips and events that it can be fitted on."""
    X, Y = scenes.to_xy("balanced_train")
    if request.param == "tuner":
        S = np.random.default_rng(0).random(Y.shape)
        return ThresholdTuner(), S, Y
    tagger = WALNetTagger(sample_rate=8000, batch_size=6, max_epochs=1, random_state=0)
    if request.param == "tagger":
        return tagger, X, Y
    return TunedThresholdTagger(tagger, cv=2, random_state=0), X, Y


@pytest.fixture
def fitted_case(case):
    estimator, X, Y = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(estimator).fit(X, Y), X, Y


def test_clone_has_the_same_parameters(case):
    estimator, _, _ = case
    assert repr(clone(estimator)) == repr(estimator)
    assert joblib.hash(clone(estimator).get_params()) == joblib.hash(estimator.get_params())


def test_init_only_stores(case):
    estimator, _, _ = case
    names = set(inspect.signature(type(estimator).__init__).parameters) - {"self"}
    assert set(vars(estimator)) == names


def test_fit_writes_no_parameter_and_no_input(fitted_case, case):
    estimator, X, Y = case
    expected = joblib.hash(estimator.get_params())
    X_before, Y_before = joblib.hash(list(X)), joblib.hash(Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, Y)
    assert joblib.hash(estimator.get_params()) == expected
    assert (joblib.hash(list(X)), joblib.hash(Y)) == (X_before, Y_before)


def test_fit_is_idempotent(fitted_case):
    estimator, X, Y = fitted_case
    expected = estimator.predict_proba(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(estimator.fit(X, Y).predict_proba(X), expected)


def test_unfitted_estimator_says_so(case):
    estimator, X, _ = case
    for method in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(estimator, method)(X)


def test_predictions_survive_pickling(fitted_case):
    estimator, X, _ = fitted_case
    loaded = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))


def test_refit_after_pickling_is_the_same(fitted_case):
    estimator, X, Y = fitted_case
    loaded = pickle.loads(pickle.dumps(estimator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(loaded.fit(X, Y).predict_proba(X), estimator.predict_proba(X))


def test_number_of_rows_must_agree(case):
    estimator, X, Y = case
    with pytest.raises(ValueError, match=rf"X has {len(X)} clips, but .* has {len(Y) - 1} rows"):
        estimator.fit(X, Y[:-1])


def test_events_keep_their_names(fitted_case):
    estimator, _, Y = fitted_case
    assert list(estimator.classes_) == list(Y.columns)


@pytest.mark.parametrize("case", ["tagger", "tuner"], indirect=True)
def test_transform_gives_a_frame_with_event_names(fitted_case):
    estimator, X, Y = fitted_case
    frame = estimator.set_output(transform="pandas").transform(X)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(Y.columns)


def test_has_a_diagram(case):
    estimator, _, _ = case
    assert type(estimator).__name__ in estimator._repr_html_()


def test_read_only_and_memmapped_waveforms(tmp_path):
    X = np.random.default_rng(0).standard_normal((6, 4000)).astype(np.float32)
    X.setflags(write=False)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    Y = [["a"], ["b"], ["a", "b"]] * 2
    expected = clone(TAGGER).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(clone(TAGGER).fit(mapped, Y).predict_proba(mapped), expected)


def test_another_number_of_samples_is_refused_in_a_matrix_only():
    X = np.random.default_rng(0).standard_normal((4, 4000))
    tagger = clone(TAGGER).fit(X, [["a"], ["b"]] * 2)
    with pytest.raises(ValueError, match="3000 features"):
        tagger.predict(X[:, :3000])
    assert tagger.predict(list(X[:, :3000])).shape == (4, 2)
