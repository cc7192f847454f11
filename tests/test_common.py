"""The estimator checks of scikit-learn, and the same checks for files and multi-label targets."""

import inspect
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from _networks import TinyNet
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sktagger import AudioTagger, ThresholdTuner, TunedThresholdTagger, WALNetTagger

SETTINGS = {"max_epochs": 1, "random_state": 0}

# In bfloat16, the last bits of a score depend on the position of the clip in the batch.
WALNET = WALNetTagger(sample_rate=8000, **SETTINGS, precision="float32")

# The same estimator with a network of a few hundred weights: all checks take seconds.
TAGGER = AudioTagger(TinyNet(width=8), **SETTINGS, precision="float32")

TUNED = TunedThresholdTagger(OneVsRestClassifier(LogisticRegression()), cv=2, random_state=0)

# Checks of WALNetTagger: of its parameters, which differ from those of AudioTagger, and of fit.
# Names begin with these words; their ends differ between versions of scikit-learn.
WALNET_CHECKS = (
    "check_dict_unchanged",
    "check_do_not_raise_errors_in_init_or_set_param",
    "check_dont_overwrite_parameters",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)

EXPECTED_FAILURES = {
    AudioTagger: {
        "check_sample_weight_equivalence_on_dense_data": (
            "repeating a clip changes the batches, as in scikit-learn's own estimators that train "
            "on batches"
        ),
    },
    TunedThresholdTagger: {
        "check_classifiers_train": (
            "predictions by thresholds are not the labels with the highest score, as in "
            "scikit-learn's TunedThresholdClassifierCV"
        ),
    },
}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [TAGGER, TUNED], expected_failed_checks=lambda estimator: EXPECTED_FAILURES[type(estimator)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def check_name(check):
    return getattr(check, "func", check).__name__


def walnet_checks():
    checks = [check for _, check in estimator_checks_generator(WALNET)]
    return [check for check in checks if check_name(check).startswith(WALNET_CHECKS)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", walnet_checks(), ids=check_name)
def test_scikit_learn_checks_of_walnet_tagger(check):
    check(WALNET)


def test_selected_checks_exist():
    names = [check_name(check) for check in walnet_checks()]
    assert not [word for word in WALNET_CHECKS if not any(name.startswith(word) for name in names)]


@pytest.mark.parametrize("tagger", [TAGGER, WALNET], ids=["AudioTagger", "WALNetTagger"])
def test_checks_are_not_skipped_because_of_a_tag(tagger):
    tags = tagger.__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert tags.classifier_tags.multi_label
    assert tags.classifier_tags.multi_class
    assert not tags.no_validation


@pytest.fixture(scope="module", params=["tagger", "walnet", "tuned", "tuner"])
def case(request, scenes):
    """An unfitted estimator, and clips and events that it can be fitted on."""
    X, Y = scenes.to_xy("balanced_train")
    if request.param == "tuner":
        S = np.random.default_rng(0).random(Y.shape)
        return ThresholdTuner(), S, Y
    if request.param == "walnet":
        return WALNetTagger(sample_rate=8000, batch_size=6, **SETTINGS), X, Y
    tagger = AudioTagger(TinyNet(rate=8000, width=8), batch_size=6, **SETTINGS)
    if request.param == "tagger":
        return tagger, X, Y
    return TunedThresholdTagger(tagger, cv=2, random_state=0), X, Y


@pytest.fixture(scope="module")
def fitted_case(case):
    """A fitted estimator, which tests may fit again on the same clips and events."""
    estimator, X, Y = case
    return fit_quietly(clone(estimator), X, Y), X, Y


def fit_quietly(estimator, X, Y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, Y)


def test_clone_has_the_same_parameters(case):
    estimator, _, _ = case
    assert repr(clone(estimator)) == repr(estimator)
    assert joblib.hash(clone(estimator).get_params()) == joblib.hash(estimator.get_params())


def test_init_only_stores_parameters(case):
    estimator, _, _ = case
    names = set(inspect.signature(type(estimator).__init__).parameters) - {"self"}
    assert set(vars(estimator)) == names


def test_fit_changes_no_parameter_and_no_input(fitted_case):
    estimator, X, Y = fitted_case
    expected = joblib.hash(estimator.get_params())
    X_before, Y_before = joblib.hash(list(X)), joblib.hash(Y)
    fit_quietly(estimator, X, Y)
    assert joblib.hash(estimator.get_params()) == expected
    assert (joblib.hash(list(X)), joblib.hash(Y)) == (X_before, Y_before)


def test_fit_is_idempotent(fitted_case):
    estimator, X, Y = fitted_case
    expected = estimator.predict_proba(X)
    np.testing.assert_array_equal(fit_quietly(estimator, X, Y).predict_proba(X), expected)


def test_unfitted_estimator_raises(case):
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
    loaded = fit_quietly(pickle.loads(pickle.dumps(estimator)), X, Y)
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))


def test_number_of_rows_must_agree(case):
    estimator, X, Y = case
    with pytest.raises(ValueError, match=rf"X has {len(X)} clips, but .* has {len(Y) - 1} rows"):
        estimator.fit(X, Y[:-1])


def test_events_keep_their_names(fitted_case):
    estimator, _, Y = fitted_case
    assert list(estimator.classes_) == list(Y.columns)


@pytest.mark.parametrize("case", ["tagger", "tuner"], indirect=True)
def test_transform_returns_a_frame_with_event_names(case):
    estimator, X, Y = case
    frame = fit_quietly(clone(estimator), X, Y).set_output(transform="pandas").transform(X)
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


def test_number_of_samples_must_agree_in_a_matrix_only():
    X = np.random.default_rng(0).standard_normal((4, 4000))
    tagger = clone(TAGGER).fit(X, [["a"], ["b"]] * 2)
    with pytest.raises(ValueError, match="3000 features"):
        tagger.predict(X[:, :3000])
    assert tagger.predict(list(X[:, :3000])).shape == (4, 2)
