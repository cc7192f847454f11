"""The same seed gives the same bits; other clips in a batch change a score by rounding only."""

import hashlib
import pickle

import joblib
import numpy as np
import pytest
import soundfile
from sklearn.model_selection import cross_val_predict, cross_val_score

from sktagger import WALNetTagger
from sktagger.metrics import map_scorer

# explicit, because other processes do not have the settings of this test run
SETTINGS = {
    "sample_rate": 8000,
    "batch_size": 4,
    "max_epochs": 1,
    "precision": "float32",
    "random_state": 0,
}
EVENTS = [["siren"], ["rain"], ["rain", "siren"]] * 2
INDICATOR = np.array([["rain" in clip, "siren" in clip] for clip in EVENTS], dtype=int)
FRESH_PROCESS = f"""
import sys
import test_determinism as here

print(here.digest(here.WALNetTagger(**{SETTINGS}).fit(sys.argv[1:], {EVENTS})))
"""


def digest(tagger):
    state = tagger.module_.state_dict().values()
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state)).hexdigest()


@pytest.fixture(scope="module")
def files(scenes):
    return list(scenes.to_xy("balanced_train")[0][: len(EVENTS)])


@pytest.fixture(scope="module")
def fitted(files):
    return WALNetTagger(**SETTINGS).fit(files, EVENTS)


def test_fresh_process_makes_the_same_weights(fitted, files, run_python):
    # another hash seed gives another order of strings in sets
    output = run_python(FRESH_PROCESS, *files, OMP_NUM_THREADS="1", PYTHONHASHSEED="1")
    assert output == digest(fitted)


def test_samples_of_files_make_the_same_weights(fitted, files):
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in files]
    assert digest(WALNetTagger(**SETTINGS).fit(waveforms, EVENTS)) == digest(fitted)
    np.testing.assert_array_equal(fitted.predict_proba(waveforms), fitted.predict_proba(files))


def test_cached_files_make_the_same_weights(fitted, files, tmp_path):
    for _ in ("cold", "warm"):
        cached = WALNetTagger(**SETTINGS, memory=tmp_path).fit(files, EVENTS)
        assert digest(cached) == digest(fitted)
    np.testing.assert_array_equal(cached.predict_proba(files), fitted.predict_proba(files))


@pytest.mark.parametrize("n_jobs", [2, 3, -1])
def test_scores_do_not_depend_on_the_number_of_loader_threads(fitted, files, n_jobs):
    other = pickle.loads(pickle.dumps(fitted)).set_params(n_jobs=n_jobs)
    np.testing.assert_array_equal(other.predict_proba(files), fitted.predict_proba(files))


@pytest.mark.parametrize("batch_size", [1, 2, 5, 12])
def test_company_of_a_clip_changes_its_score_by_rounding_only(fitted, rng, batch_size):
    lengths = [8000, 3000, 12000, 8000, 1, 500, 40000, 8000, 16000, 7000, 8100]
    clips = [rng.standard_normal(n).astype(np.float32) for n in lengths]
    alone = np.concatenate([fitted.predict_proba([clip]) for clip in clips])
    tagger = pickle.loads(pickle.dumps(fitted)).set_params(batch_size=batch_size)
    for order in (np.arange(len(clips)), rng.permutation(len(clips)), rng.permutation(5)):
        scores = tagger.predict_proba([clips[i] for i in order])
        np.testing.assert_allclose(scores, alone[order], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def cross_validated(files):
    """Scores of clips and folds from one process, and a function that computes them again."""

    def cross_validate(n_jobs):
        arguments = {"X": files, "y": INDICATOR, "cv": 2, "n_jobs": n_jobs}
        return (
            cross_val_predict(WALNetTagger(**SETTINGS), method="predict_proba", **arguments),
            cross_val_score(WALNetTagger(**SETTINGS), scoring=map_scorer, **arguments),
        )

    return cross_validate(None), cross_validate


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_folds_side_by_side_give_the_same_scores(cross_validated, backend):
    expected, cross_validate = cross_validated
    # the number of PyTorch threads changes the order of sums
    threads = {"inner_max_num_threads": 1} if backend == "loky" else {}
    with joblib.parallel_config(backend, **threads):
        for ours, theirs in zip(cross_validate(2), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
