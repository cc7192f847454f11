"""Threads and processes share a tagger; global state of the process does not change."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed

from sktagger import WALNetTagger

SETTINGS = {
    "sample_rate": 8000,
    "batch_size": 2,
    "max_epochs": 1,
    "precision": "float32",  # other processes do not have the settings of this test run
    "random_state": 0,
}
EVENTS = [["siren"], ["rain"], ["rain", "siren"], []]


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) for n in (8000, 5000, 12000, 8000)]


@pytest.fixture(scope="module")
def fitted(clips):
    return WALNetTagger(**SETTINGS).fit(clips, EVENTS)


@pytest.fixture(params=[1, 2])
def torch_threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.mark.usefixtures("torch_threads")
def test_threads_share_a_tagger(fitted, clips):
    scores, segments = fitted.predict_proba(clips), fitted.predict_segments(clips)

    def score(_):
        return fitted.predict_proba(clips), fitted.predict_segments(clips)

    with ThreadPoolExecutor(4) as pool:
        for ours, tables in pool.map(score, range(8)):
            np.testing.assert_allclose(ours, scores, rtol=0, atol=1e-6)
            for table, expected in zip(tables, segments, strict=True):
                np.testing.assert_allclose(table, expected, rtol=0, atol=1e-6)


def test_taggers_are_trained_in_parallel(fitted, clips):
    with ThreadPoolExecutor(3) as pool:
        taggers = pool.map(lambda _: WALNetTagger(**SETTINGS).fit(clips, EVENTS), range(3))
        for tagger in taggers:
            for ours, expected in zip(
                tagger.module_.state_dict().values(),
                fitted.module_.state_dict().values(),
                strict=True,
            ):
                assert torch.equal(ours, expected)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib_gives_the_same_scores(fitted, clips, backend):
    expected = fitted.predict_proba(clips)
    with joblib.parallel_config(backend):
        jobs = (delayed(fitted.predict_proba)(clips) for _ in range(3))
        for scores in Parallel(n_jobs=2, timeout=600)(jobs):
            np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


def test_tagger_loads_from_a_read_only_file(fitted, clips, tmp_path):
    joblib.dump(fitted, tmp_path / "tagger.joblib")
    loaded = joblib.load(tmp_path / "tagger.joblib", mmap_mode="r")  # like joblib's processes
    np.testing.assert_array_equal(loaded.predict_proba(clips), fitted.predict_proba(clips))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_process_gives_the_same_scores(fitted, clips, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    with multiprocessing.get_context(method).Pool(1) as pool:
        scores = pool.apply_async(fitted.predict_proba, [clips]).get(timeout=600)
    np.testing.assert_allclose(scores, fitted.predict_proba(clips), rtol=0, atol=1e-6)


FORK = f"""
import os
import signal
import time

import numpy as np
import torch
from sktagger import WALNetTagger

torch.set_num_threads(2)
X = np.random.default_rng(0).standard_normal((4, 8000))
tagger = WALNetTagger(**{SETTINGS}).fit(X, {EVENTS})
scores = tagger.predict_proba(X)
time.sleep(0.5)  # MKL's memory is inconsistent while one of its threads ends
child = os.fork()
if child == 0:
    signal.alarm(40)  # kills a child that waits forever, so that the test fails
    np.testing.assert_allclose(tagger.predict_proba(X[:1]), scores[:1], rtol=0, atol=1e-6)
    again = tagger.fit(X, {EVENTS}).predict_proba(X)
    os._exit(0 if np.isfinite(again).all() else 1)
assert os.waitpid(child, 0)[1] == 0
assert torch.get_num_threads() == 2
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_forked_process_trains_after_threads_have_run(run_python):
    run_python(FORK)


LEFT_ALONE = f"""
import sys
import tempfile
from pathlib import Path
from threading import Thread

# changes that these libraries make on import, also late imports of PyTorch, are their own
import joblib, numpy, pandas, safetensors.torch, skorch, soundfile, soxr, tensorboardX, torch, tqdm
import matplotlib, scipy.fft, scipy.signal, sklearn.frozen, sklearn.model_selection, torch._dynamo

from _global_state import global_state

assert torch.get_num_threads() == 2
expected = global_state()

def check(what):
    state = global_state()
    changed = [name for name in expected if state[name] != expected[name]]
    assert not changed, (what, changed)

import sktagger
from sktagger import displays
check("import")
assert "matplotlib.pyplot" not in sys.modules

X = numpy.random.default_rng(0).standard_normal((4, 8000))
tagger = sktagger.WALNetTagger(**{SETTINGS}, n_jobs=2).fit(X, {EVENTS}, X_val=X, Y_val={EVENTS})
check("fit")
scores = tagger.predict_proba(X)
tagger.predict_proba(X[:1])
check("predict_proba")
tagger.predict_segments(X)
check("predict_segments")
sktagger.ThresholdTuner().fit(scores, {EVENTS}).predict(scores)
sktagger.metrics.event_report(scores > 0.5, scores)
check("thresholds and metrics")
with tempfile.TemporaryDirectory() as folder:
    tagger.save(Path(folder, "tagger"))
    sktagger.WALNetTagger.load(Path(folder, "tagger")).predict(X)
check("save and load")

try:
    tagger.predict([X[0], X[1], X[2] * numpy.nan])
except ValueError:
    check("an error")

threads = []
later = Thread(target=lambda: threads.append(torch.get_num_threads()))
later.start()
later.join()
assert threads == [2]
"""


def test_what_a_process_shares_is_left_alone(run_python):
    run_python(LEFT_ALONE, OMP_NUM_THREADS="2")
