"""Memory of clips is free as soon as they are not used, not only when Python collects garbage."""

import gc

import numpy as np
import pytest
import torch
from _networks import TinyNet

from sktagger import AudioTagger

RATE = 8000


@pytest.fixture(scope="module")
def tagger():
    return fit()


def fit():
    X = list(np.random.default_rng(0).standard_normal((6, RATE)))
    tagger = AudioTagger(TinyNet(rate=RATE, width=8), max_epochs=2, random_state=0, verbose=0)
    return tagger.fit(X, [["a"], ["b"], ["a", "b"], [], ["a"], ["b"]])


def noise(seconds):
    return np.random.default_rng(0).uniform(-1, 1, seconds * RATE)


@pytest.mark.parametrize(
    "call",
    [
        lambda tagger: fit(),
        lambda tagger: tagger.predict_proba([noise(1), noise(200)]),
        lambda tagger: tagger.predict_segments([noise(1), noise(200)]),
        lambda tagger: list(tagger.iter_scores(noise(200))),
        lambda tagger: list(tagger.iter_scores(noise(20), window=1)),
        lambda tagger: list(tagger.iter_scores((noise(1) for _ in range(20)), window=1)),
    ],
    ids=["fit", "predict_proba", "predict_segments", "segments", "windows", "blocks"],
)
def test_no_circle_of_references_holds_arrays(tagger, call):
    call(tagger)  # once, for what is made only once
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        call(tagger)
        gc.collect()
        kinds = {type(found) for found in gc.garbage if is_ours(found)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not kinds


def is_ours(found):
    arrays = isinstance(found, np.ndarray | torch.Tensor)
    return arrays or type(found).__module__.startswith("sktagger")
