"""Every container of clips and targets works with scikit-learn's tools."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy import sparse
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, KFold, cross_validate, train_test_split
from sklearn.pipeline import Pipeline

from sktagger import ThresholdTuner, TunedThresholdTagger, WALNetTagger
from sktagger.metrics import scorers

pytestmark = [
    # folds of so few clips lack events, which does not matter here
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),
    pytest.mark.filterwarnings("ignore:fit_transform scores:UserWarning"),
    pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning"),
]

N_CLIPS = 8
EVENTS = [["siren"], ["rain", "siren"], [], ["rain"]] * 2


@pytest.fixture(scope="module")
def paths(scenes):
    return [str(path) for path in scenes.to_xy("validate")[0][:N_CLIPS]]


@pytest.fixture(scope="module")
def waveforms(paths):
    return np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def cut(waveforms):
    return [waveform[: 4000 + 100 * i] for i, waveform in enumerate(waveforms)]


CLIPS = {
    "list of str": lambda paths, waves: paths,
    "tuple of str": lambda paths, waves: tuple(paths),
    "str array": lambda paths, waves: np.array(paths),
    "object array": lambda paths, waves: np.array(paths, dtype=object),
    "list of Path": lambda paths, waves: [Path(path) for path in paths],
    "Series": lambda paths, waves: pd.Series(paths, index=np.arange(len(paths))[::-1]),
    "Series of string dtype": lambda paths, waves: pd.Series(paths, dtype="string"),
    "DataFrame of paths": lambda paths, waves: pd.DataFrame({"path": paths}),
    "column of paths": lambda paths, waves: np.array(paths, dtype=object)[:, None],
    "polars": lambda paths, waves: pytest.importorskip("polars").Series(paths),
    "sections": lambda paths, waves: [(path, 0, 4000) for path in paths],
    "array of sections": lambda paths, waves: objects([(path, 100, None) for path in paths]),
    "float32 matrix": lambda paths, waves: waves,
    "float64 matrix": lambda paths, waves: waves.astype(float),
    "int16 matrix": lambda paths, waves: (waves * 32767).astype(np.int16),
    "list of equal arrays": lambda paths, waves: list(waves),
    "list of unequal arrays": lambda paths, waves: cut(waves),
    "array of unequal arrays": lambda paths, waves: objects(cut(waves)),
    "mono and stereo": lambda paths, waves: [
        w if i % 2 else np.stack([w, w]) for i, w in enumerate(waves)
    ],
}  # fmt: skip

INDICATOR = np.array([["rain" in e, "siren" in e] for e in EVENTS], dtype=int)
TARGETS = {
    "indicator": INDICATOR,
    "bool indicator": INDICATOR.astype(bool),
    "DataFrame": pd.DataFrame(INDICATOR, columns=["rain", "siren"]),
    "event lists": EVENTS,
    "str labels": np.array(["rain", "siren"] * (N_CLIPS // 2)),
    "int labels": np.array([3, 5, 3, 5] * (N_CLIPS // 4)),
    "bool labels": np.array([True, False] * (N_CLIPS // 2)),
}


def make():
    return WALNetTagger(sample_rate=8000, batch_size=4, max_epochs=1, random_state=0)


@pytest.mark.parametrize("name", CLIPS)
def test_clips_go_everywhere(name, paths, waveforms):
    X, Y = CLIPS[name](paths, waveforms), TARGETS["DataFrame"]
    expected = make().fit(X, Y).predict_proba(X)
    assert expected.shape == (N_CLIPS, 2)

    X_train, X_test, Y_train, _ = train_test_split(X, Y, random_state=0)
    assert make().fit(X_train, Y_train).predict_proba(X_test).shape == (2, 2)
    assert len(list(KFold(2).split(X, Y))) == 2

    pipe = Pipeline([("tagger", make()), ("tuner", ThresholdTuner())])
    assert pipe.fit(X, Y).predict(X).shape == (N_CLIPS, 2)
    np.testing.assert_array_equal(pipe.predict_proba(X), expected)
    results = cross_validate(make(), X, Y, scoring=scorers, cv=2, error_score="raise")
    assert set(results) >= {f"test_{metric}" for metric in scorers}
    search = GridSearchCV(
        make(), {"lr": [1e-3]}, scoring=scorers, refit="mAP", cv=2, n_jobs=2,
        error_score="raise",
    )  # fmt: skip
    assert search.fit(X, Y).predict_proba(X).shape == (N_CLIPS, 2)


def test_bagging_takes_a_column_of_paths(paths):
    X, y = np.array(paths, dtype=object)[:, None], TARGETS["str labels"]
    bagging = BaggingClassifier(make(), n_estimators=1, bootstrap=False, random_state=0).fit(X, y)
    only = make().set_params(random_state=bagging.estimators_[0].random_state).fit(paths, y)
    np.testing.assert_allclose(bagging.predict_proba(X), only.predict_proba(paths), atol=1e-6)


@pytest.mark.parametrize("name", TARGETS)
def test_targets_go_everywhere(name, waveforms):
    Y = TARGETS[name]
    tagger = make().fit(waveforms, Y)
    assert len(tagger.classes_) == 2
    assert len(tagger.predict(waveforms)) == N_CLIPS
    _, _, Y_train, Y_test = train_test_split(waveforms, Y, random_state=0)
    assert (len(Y_train), len(Y_test)) == (6, 2)
    # given a number of folds, scikit-learn checks the targets and refuses event lists
    results = cross_validate(
        make(), waveforms, Y, scoring=scorers, cv=KFold(2), error_score="raise"
    )
    assert np.isfinite(results["test_mAP"]).all()


def test_sparse_targets(waveforms):
    expected = make().fit(waveforms, INDICATOR).predict_proba(waveforms)
    tagger = make().fit(waveforms, sparse.csr_array(INDICATOR))
    np.testing.assert_array_equal(tagger.predict_proba(waveforms), expected)


@pytest.mark.parametrize("dtype", [int, float, bool])
def test_one_column_is_an_indicator_of_one_event(waveforms, dtype):
    Y = INDICATOR[:, :1].astype(dtype)
    tuned = TunedThresholdTagger(make(), cv=2, random_state=0).fit(waveforms, Y)
    assert tuned.predict(waveforms).shape == (N_CLIPS, 1)
    assert make().fit(waveforms, Y).score(waveforms, Y) > 0


@pytest.mark.parametrize("scale", [np.float64(1), np.float32(1)])
def test_type_of_float_changes_nothing(waveforms, scale):
    tagger = make().fit(waveforms, INDICATOR)
    np.testing.assert_allclose(
        tagger.predict_proba(waveforms * scale), tagger.predict_proba(waveforms), atol=1e-6
    )


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[1.0, 2.0], [3.0]], ValueError, "inhomogeneous|rows of unequal length"),
        (["a.wav", np.ones(3)], ValueError, "mixes files and waveforms"),
        (np.ones((2, 3, 4)), ValueError, "dim 3"),
        ([], ValueError, "empty"),
        (np.ones(5), ValueError, "1D array"),
        ([None, None], TypeError, "clip 0 is None"),
    ],
)
def test_what_holds_no_clips_is_refused(X, error, message):
    with pytest.raises(error, match=message):
        make().fit(X, [["a"], []])


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (np.array([[1.5, 1], [0, 1]]), r"clip 0 has .*1\.5.* from 0 to 1"),
        (np.array([[2, 1], [0, 1]]), "clip 0 has .*2.* from 0 to 1"),
        (np.array([0.3, 0.7]), "continuous"),
        ([["a"], ["b"], []], "X has 2 clips, but y has 3 rows"),
        ([[], []], "lists no events"),
        (pd.DataFrame({"a": ["yes", "no"]}), "clip 0 has 'yes' .* from 0 to 1"),
    ],
)
def test_what_holds_no_targets_is_refused(Y, message):
    with pytest.raises(ValueError, match=message):
        make().fit(np.ones((2, 4000)), Y)
