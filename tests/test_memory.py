"""Training and prediction when memory runs out, simulated by a limited number of clips."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch

from sktagger import STFT, Augmentation, WALNetTagger
from sktagger.audio.clip_input import check_clips
from sktagger.audio.clips import ArrayClips
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.device_transfer import to_device
from sktagger.batching.plans import TrainingPlan, plain_plan
from sktagger.batching.smaller_batches import BatchSplitter, is_out_of_memory, select_clips
from sktagger.networks import WALNetModule, stft_of_frames

SETTINGS = {
    "sample_rate": 8000, "batch_size": 5, "max_epochs": 1, "augmentation": None, "random_state": 0,
}  # fmt: skip
MESSAGES = {
    "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore."),
    "CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return list(rng.standard_normal((10, 4000))), np.array([[1, 0], [0, 1]] * 5)


@pytest.fixture
def small_memory(monkeypatch):
    """Return a function that limits the clips of a batch, and returns a list of the sizes tried."""

    def limit(n_clips, error=MESSAGES["GPU"], modes=(True, False)):
        tried = []
        segment_scores = WALNetModule.segment_scores

        def limited(self, stft, n_frames, **distortions):
            if self.training in modes:
                tried.append(len(stft))
                if len(stft) > n_clips:
                    raise error
            return segment_scores(self, stft, n_frames, **distortions)

        monkeypatch.setattr(WALNetModule, "segment_scores", limited)
        return tried

    return limit


def test_errors_of_memory_are_recognized():
    assert all(map(is_out_of_memory, MESSAGES.values()))
    assert is_out_of_memory(MemoryError("Unable to allocate 2.75 GiB for an array"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


@pytest.mark.parametrize("kind", MESSAGES)
def test_training_continues_with_half_batches(data, small_memory, kind):
    X, Y = data
    tried = small_memory(3, MESSAGES[kind], modes=[True])
    with pytest.warns(UserWarning, match=r"with 5 clips at once .* at most 3; gradients") as caught:
        tagger = WALNetTagger(**SETTINGS).fit(X, Y)
    assert len(caught) == 1
    assert tried == [5, 3, 2, 3, 2]
    assert tagger.n_iter_ == 2
    assert sum(tagger.net_.history[-1, "batches", :, "train_batch_size"]) == len(X)


def test_batches_are_halved_down_to_one_clip(data, small_memory):
    tried = small_memory(1, modes=[True])
    with pytest.warns(UserWarning, match="Out of memory") as caught:
        WALNetTagger(**SETTINGS | {"max_iterations": 1}).fit(*data)
    assert [warning.message.args[0].split()[4] for warning in caught] == ["5", "3", "2"]
    assert tried == [5, 3, 2, 1, 1, 1, 1, 1]


@pytest.mark.filterwarnings("ignore:Out of memory")
def test_a_clip_that_does_not_fit_into_memory_is_an_error(data, small_memory):
    small_memory(0, modes=[True])
    with pytest.raises(MemoryError, match=r"a single clip \(CUDA out of memory.*Split long clips"):
        WALNetTagger(**SETTINGS).fit(*data)


def test_other_errors_are_not_swallowed(data, small_memory):
    tried = small_memory(3, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        WALNetTagger(**SETTINGS).fit(*data)
    assert tried == [5]


def test_gradients_of_parts_are_those_of_the_batch(data, monkeypatch):
    """Batch norm uses its running statistics here, because those of parts would differ."""
    X, Y = data
    tagger = WALNetTagger(**SETTINGS, precision="float32").fit(X, Y)
    net, n_clips = tagger.net_, len(X)
    monkeypatch.setattr(type(net), "_set_training", lambda self, training: self.module_.eval())
    weights = np.arange(1.0, n_clips + 1)
    clips = check_clips(tagger, X, reset=False)
    dataset = tagger._dataset(clips, tagger.network_, Y.astype(np.float32), weights)
    (plan,) = plain_plan(dataset.lengths, tagger.stft_, n_clips)

    def gradient():
        net._zero_grad_optimizer()
        loss = net.train_step_single(dataset[plan])["loss"]
        return torch.cat([loss[None], *(p.grad.flatten() for p in net.module_.parameters())])

    whole = gradient()
    # the whole batch fails; then the second half, after the gradient of the first one
    outcomes = iter([False, True, False, True, True, True, True])
    segment_scores = WALNetModule.segment_scores

    def limited(self, *args, **kwargs):
        if not next(outcomes):
            raise MESSAGES["GPU"]
        return segment_scores(self, *args, **kwargs)

    monkeypatch.setattr(WALNetModule, "segment_scores", limited)
    with pytest.warns(UserWarning, match="Out of memory"):
        parts = gradient()
    assert next(outcomes, None) is None
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_validation_and_prediction_do_not_change(data, small_memory):
    X, Y = data
    settings = SETTINGS | {"batch_size": 10}
    plain = WALNetTagger(**settings).fit(X, Y, X_val=X, Y_val=Y)
    scores, segments = plain.predict_proba(X), plain.predict_segments(X)
    small_memory(3, modes=[False])
    with pytest.warns(UserWarning, match="scores do not change"):
        limited = WALNetTagger(**settings).fit(X, Y, X_val=X, Y_val=Y)
    np.testing.assert_allclose(
        limited.history_[["valid_loss", "valid_mAP"]],
        plain.history_[["valid_loss", "valid_mAP"]],
        rtol=1e-5,
    )
    with pytest.warns(UserWarning, match="scores do not change"):
        np.testing.assert_allclose(plain.predict_proba(X), scores, atol=1e-6)
    with pytest.warns(UserWarning, match="scores do not change"):
        limited_segments = plain.predict_segments(X)
    np.testing.assert_allclose(limited_segments, segments, atol=1e-6)


def test_memory_of_a_failed_attempt_is_freed_before_the_next():
    held = []

    def attempt(parts):
        assert all(reference() is None for reference in held)
        activation = torch.ones(3)
        held.append(weakref.ref(activation))
        if len(parts) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return len(parts)

    gc.disable()  # memory must be freed without garbage collection
    try:
        with pytest.warns(UserWarning, match="Out of memory with 8 clips"):
            assert BatchSplitter("fine").run(attempt, 8) == 2
    finally:
        gc.enable()


def test_clips_are_selected_from_every_tensor():
    inputs = {"n_frames": torch.arange(4), "b": torch.arange(8).reshape(4, 2)}
    selected = select_clips(inputs, slice(1, 3))
    assert selected["n_frames"].tolist() == [1, 2]
    assert selected["b"].tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 4), slice(3, 6), slice(0, 9)])
@pytest.mark.parametrize("augmentation", [None, Augmentation(mixup_prob=1.0)])
def test_clips_are_selected_from_concatenated_waveforms(rng, part, augmentation):
    sizes = STFT().sizes(8000)
    lengths = np.array([8000, 7900, 3000, 100, 5000, 1])
    clips = ArrayClips([rng.normal(size=n).astype(np.float32) for n in lengths])
    on_cpu = ClipDataset(clips, lengths, 8000, sizes)
    on_gpu = ClipDataset(clips, lengths, 8000, sizes, device=torch.device("cuda"))
    if augmentation is None:
        (batch,) = plain_plan(lengths, sizes, 6)
    else:
        batch = next(TrainingPlan(lengths, sizes, 8000, 6, augmentation, 128, 0).take(1))
    expected, inputs = on_cpu[batch[part]][0], select_clips(on_gpu[batch][0], part)
    inputs = to_device(inputs, torch.device("cpu"), sizes)
    assert inputs.keys() == expected.keys()
    for name in inputs:
        torch.testing.assert_close(inputs[name], expected[name], rtol=0, atol=2e-4)


@pytest.mark.filterwarnings("ignore:Out of memory with 5")
def test_stft_that_does_not_fit_into_memory_is_computed_later(data, monkeypatch, small_memory):
    X, Y = data
    settings = SETTINGS | {"batch_size": 10, "precision": "float32"}
    plain = WALNetTagger(**settings).fit(X, Y)
    scores = plain.predict_proba(X)

    def fails(*args):
        raise MemoryError("Unable to allocate 2.75 GiB for an array")

    monkeypatch.setattr(ClipDataset, "_spectra", fails)
    np.testing.assert_allclose(plain.predict_proba(X), scores, rtol=0, atol=1e-5)
    tried = small_memory(3)
    with pytest.warns(UserWarning, match="Out of memory with 10 clips"):
        np.testing.assert_allclose(plain.predict_proba(X), scores, rtol=0, atol=1e-5)
    assert tried == [10, 5, 3, 3, 3, 1]
    with pytest.warns(UserWarning, match="gradients add up"):
        WALNetTagger(**settings).fit(X, Y)


@pytest.mark.filterwarnings("ignore:Out of memory with 3")
def test_stft_on_the_device_is_computed_in_parts(data, monkeypatch):
    X, Y = data
    tagger = WALNetTagger(**SETTINGS, precision="float32").fit(X, Y)
    scores = tagger.predict_proba(X)

    def limited(samples, onsets, places, shape, window, n_fft):
        if shape[0] > 2:
            raise MESSAGES["GPU"]
        return stft_of_frames(samples, onsets, places, shape, window, n_fft)

    monkeypatch.setattr(ClipDataset, "_spectra", ClipDataset._frames)
    monkeypatch.setattr("sktagger.batching.device_transfer.stft_of_frames", limited)
    with pytest.warns(UserWarning, match="Out of memory"):
        np.testing.assert_allclose(tagger.predict_proba(X), scores, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Out of memory")
def test_error_names_the_clip_that_does_not_fit(data, small_memory):
    X, Y = data
    X = [*X[:7], np.concatenate([X[7], X[8]]), *X[8:]]
    small_memory(0)
    with pytest.raises(MemoryError, match=r"a single clip .* longest of the batch: Clip 7\."):
        WALNetTagger(**SETTINGS | {"batch_size": 10}).fit(X, Y)


@pytest.fixture
def frames_at_once(monkeypatch):
    """List the frames that the network computes at the same time, whenever a batch is added."""
    lock, at_work, seen = threading.Lock(), [0], []
    segment_scores = WALNetModule.segment_scores

    def noted(self, stft, n_frames):
        size = stft.shape[0] * stft.shape[2]
        with lock:
            at_work[0] += size
            seen.append(at_work[0])
        try:
            return segment_scores(self, stft, n_frames)
        finally:
            with lock:
                at_work[0] -= size

    monkeypatch.setattr(WALNetModule, "segment_scores", noted)
    return seen


@pytest.mark.parametrize(("n_clips", "seconds", "limit"), [(12, 12, 2100), (4, 104, 2100)])
def test_frames_of_parallel_batches_are_limited(
    data, frames_at_once, monkeypatch, n_clips, seconds, limit
):
    tagger = WALNetTagger(**SETTINGS | {"batch_size": 1}).fit(*data)
    X = list(np.random.default_rng(0).standard_normal((n_clips, 8000 * seconds)))
    expected = tagger.predict_proba(X)
    monkeypatch.setattr("sktagger.taggers._scoring._LEAST_BUDGET", limit)
    frames_at_once.clear()
    torch.set_num_threads(4)
    try:
        scores = tagger.predict_proba(X)
    finally:
        torch.set_num_threads(1)
    assert min(frames_at_once) < max(frames_at_once) <= limit  # some batches ran in parallel
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5)


def test_batches_of_prediction_are_limited_by_frames(data, frames_at_once):
    tagger = WALNetTagger(**SETTINGS | {"batch_size": 3}).fit(*data)
    frames_at_once.clear()
    tagger.predict_proba(list(np.random.default_rng(0).standard_normal((3, 8000 * 50))))
    assert frames_at_once == [2 * 2512, 2512]  # at most 3 * 2048 frames
