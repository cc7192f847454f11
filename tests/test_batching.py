import itertools
import threading
import time
import warnings

import _reference as reference
import numpy as np
import pytest
import torch

from sktagger._utils.threads import prefetch
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.clips import ArrayClips
from sktagger.audio.draws import FeatureDraw, WaveformDraw
from sktagger.audio.reading import to_mono
from sktagger.audio.spectral import STFTSizes, stft
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.device_transfer import to_device
from sktagger.batching.plans import Example, Part, TrainingPlan, plain_example

SIZES = STFTSizes(n_fft=64, hop_length=20, win_length=40)
RATE = 1000


def distorted_batches(lengths, n_epochs):
    plan = TrainingPlan(np.asarray(lengths), SIZES, RATE, 4, Augmentation(), 128, seed=0)
    return list(plan.take(n_epochs=n_epochs))


@pytest.fixture
def make_dataset(rng):
    """Return a function that makes clips of given lengths with random events."""

    def make(lengths):
        clips = ArrayClips([rng.normal(size=(2, n)).astype(np.float32) for n in lengths])
        targets = rng.integers(0, 2, (len(lengths), 3)).astype(np.float32)
        weights = rng.uniform(0.5, 1.5, len(lengths)).astype(np.float32)
        return ClipDataset(clips, np.asarray(lengths), RATE, SIZES, targets, weights)

    return make


def test_batch_of_plain_clips(make_dataset):
    dataset = make_dataset([500, 300, 30])
    batch = [plain_example(i, n, SIZES) for i, n in enumerate(dataset.lengths)]
    inputs, (events, weights), *_ = dataset[batch]
    assert set(inputs) == {"stft", "n_frames"}
    assert inputs["stft"].shape == (3, 1, 32, 33, 2)  # a multiple of 16 frames
    assert inputs["stft"].dtype == torch.float32
    assert inputs["n_frames"].tolist() == [24, 14, 1]
    for i, n in enumerate([24, 14, 1]):
        waveform = reference.to_mono(dataset.clips.arrays[i])
        expected = reference.stft(waveform, range(0, 20 * n, 20), 40, 64)
        spectrum = torch.view_as_complex(inputs["stft"])[i, 0]
        np.testing.assert_allclose(spectrum[:n], expected, rtol=0, atol=1e-4)
        assert not spectrum[n:].any()
    np.testing.assert_array_equal(events, dataset.targets)
    np.testing.assert_array_equal(weights, dataset.weights)


@pytest.mark.parametrize("n_threads", [1, 4])
def test_warns_once_per_clip_whose_channels_cancel(rng, n_threads):
    noise = rng.normal(size=500).astype(np.float32)
    clips = [np.stack([noise, sign * noise]) for sign in (-1, 1, 0, -1)]
    clips += [np.zeros((2, 500), dtype=np.float32)]
    dataset = ClipDataset(ArrayClips(clips), np.full(5, 500), RATE, SIZES)
    batch = [plain_example(i, 500, SIZES) for i in range(5)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(prefetch(dataset.load, 6 * [batch], n_threads))
    messages = sorted(str(warning.message) for warning in caught)
    assert [message.split(":")[0] for message in messages] == ["Clip 0", "Clip 3"]
    assert "its channels cancel each other" in messages[0]


def test_batch_without_targets(make_dataset):
    dataset = make_dataset([500, 300])
    dataset.targets = None
    targets = dataset[[plain_example(1, 300, SIZES)]].targets
    assert targets.tolist() == [0]


def test_number_of_clips(make_dataset):
    assert len(make_dataset([500, 300])) == 2


def test_distorted_clip_is_rolled_then_normalized_then_amplified(make_dataset):
    dataset = make_dataset([500])
    onsets = np.array([0, 17, 34, 51, 300])
    draw = WaveformDraw(n_roll=123, gain=2.5, onsets=onsets)
    features = FeatureDraw((1.1, 0.4), (2, 1), (5, 6))
    inputs = dataset[[Example(5, (Part(0, draw),), features)]].inputs
    rolled = reference.to_mono(reference.roll(dataset.clips.arrays[0], 123, RATE))
    expected = reference.stft(2.5 * rolled, onsets, 40, 64)
    spectrum = torch.view_as_complex(inputs["stft"])[0, 0]
    np.testing.assert_allclose(spectrum[:5], expected, rtol=0, atol=1e-4)
    assert not spectrum[5:].any()
    np.testing.assert_allclose(inputs["warp"], [[1.1, 0.4]])
    assert inputs["time_mask"].tolist() == [[2, 1]]
    assert inputs["mel_mask"].tolist() == [[5, 6]]


def test_mixture_adds_stfts_and_joins_events(make_dataset):
    dataset = make_dataset([500, 300])
    dataset.targets = np.array([[1, 0, 0], [1, 1, 0]], dtype=np.float32)
    draws = [WaveformDraw(0, 1.0, np.arange(n) * 20) for n in (24, 14)]
    parts = (Part(0, draws[0], onset=2), Part(1, draws[1], onset=0))
    inputs, (events, weights), *_ = dataset[
        [Example(26, parts, FeatureDraw((1, 1), (0, 0), (0, 0)))]
    ]
    expected = np.zeros((26, 33, 2), np.float32)
    for i, (draw, onset) in enumerate(zip(draws, [2, 0], strict=True)):
        part = stft(to_mono(dataset.clips.arrays[i]), draw.onsets, SIZES)
        expected[onset : onset + len(part)] += part
    np.testing.assert_allclose(inputs["stft"][0, 0, :26], expected, rtol=0, atol=1e-5)
    assert not inputs["stft"][0, 0, 26:].any()
    assert events.tolist() == [[1, 1, 0]]
    assert weights[0] == dataset.weights[0]


def test_weights_of_a_plan_override_those_of_the_dataset(make_dataset):
    dataset = make_dataset([500, 300])
    batch = [plain_example(i, dataset.lengths[i], SIZES) for i in range(2)]
    _, (_, weights), *_ = dataset[[batch[0]._replace(weight=2.5), batch[1]]]
    assert weights.tolist() == [2.5, dataset.weights[1]]


@pytest.mark.parametrize("n_samples", [1, 2, 39, 41])
def test_very_short_clip_can_be_trained_on(make_dataset, n_samples):
    dataset = make_dataset([n_samples, n_samples])
    for batch in distorted_batches(dataset.lengths, 1):
        inputs = dataset[batch].inputs
        assert inputs["n_frames"].tolist() == [e.n_frames for e in batch]
        assert torch.isfinite(inputs["stft"]).all()


@pytest.mark.parametrize("n_threads", [2, 5])
def test_batches_do_not_depend_on_the_number_of_threads(rng, make_dataset, n_threads):
    lengths = rng.integers(300, 3000, 60)
    dataset = make_dataset(lengths)
    runs = [
        list(prefetch(dataset.__getitem__, distorted_batches(lengths, 2), n))
        for n in (1, n_threads)
    ]
    assert len(runs[0]) == len(runs[1]) > 20
    for (inputs, targets, *_), (other_inputs, other_targets, *_) in zip(*runs, strict=True):
        assert all(torch.equal(inputs[name], other_inputs[name]) for name in inputs)
        assert all(torch.equal(a, b) for a, b in zip(targets, other_targets, strict=True))


@pytest.mark.parametrize("n_threads", [1, 3, 8])
def test_prefetch_keeps_the_order(rng, n_threads):
    delays = rng.uniform(0, 0.004, 30)

    def work(i):
        time.sleep(delays[i])
        return i**2

    assert list(prefetch(work, range(30), n_threads)) == [i**2 for i in range(30)]


def test_prefetch_of_nothing():
    assert list(prefetch(abs, [], 2)) == []


def test_prefetch_starts_with_the_first_result():
    taken = []
    batches = prefetch(abs, (taken.append(i) or i for i in range(10)), 2)
    assert taken == []
    batches.close()


@pytest.mark.parametrize("n_threads", [1, 3])
def test_prefetch_is_ahead_by_at_most_the_number_of_threads(n_threads):
    taken = []
    results = prefetch(abs, (taken.append(i) or i for i in range(100)), n_threads)
    for n_got in range(1, 10):
        next(results)
        assert len(taken) == n_got + n_threads
    results.close()


def test_prefetch_runs_in_parallel():
    together = threading.Barrier(3, timeout=10)

    def work(i):
        together.wait()
        return i

    assert list(prefetch(work, range(6), 3)) == list(range(6))


def test_prefetch_raises_an_error_after_earlier_results():
    def work(i):
        if i == 3:
            raise ValueError("clip 3 is broken")
        return i

    results = prefetch(work, range(10), 2)
    assert list(itertools.islice(results, 3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="clip 3 is broken"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_prefetch_raises_the_error_of_its_items():
    def items():
        yield 1
        raise ValueError("no more clips")

    with pytest.raises(ValueError, match="no more clips"):
        list(prefetch(abs, items(), 2))


def test_prefetch_closed_early_leaves_no_thread():
    done = []

    def work(i):
        time.sleep(0.002)
        done.append(i)
        return i

    results = prefetch(work, itertools.count(), 2)
    next(results)
    results.close()
    assert len(done) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("sktagger-loader")]


@pytest.mark.parametrize("max_size", [1, 10, 25])
def test_prefetch_limits_the_total_size(rng, max_size):
    sizes = rng.integers(1, 12, 60)
    at_work, most, lock = 0, 0, threading.Lock()
    waiting = set()

    def work(i):
        nonlocal at_work, most
        with lock:
            at_work += sizes[i]
            waiting.add(i)
            most = max(most, at_work if len(waiting) > 1 else 0)
        time.sleep(0.001)
        return i

    results = prefetch(work, range(60), 8, size=sizes.__getitem__, max_size=max_size)
    for i, result in enumerate(results):
        assert result == i
        with lock:
            at_work -= sizes[i]
            waiting.remove(i)
    assert most <= max_size
    assert most > 0 or max_size == 1


def test_prefetch_handles_an_item_that_is_too_large_alone():
    assert list(prefetch(abs, [5, 1, 1, 7], 4, size=abs, max_size=2)) == [5, 1, 1, 7]


def test_batch_whose_stft_does_not_fit_into_memory_has_waveforms(make_dataset, monkeypatch):
    dataset = make_dataset([500, 300, 30])
    batch = [plain_example(i, n, SIZES) for i, n in enumerate(dataset.lengths)]
    expected, targets, *_ = dataset[batch]

    def fails(*args):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(dataset, "_spectra", fails)
    inputs, same_targets, *_ = dataset[batch]
    assert "stft" not in inputs
    inputs = to_device(inputs, torch.device("cpu"), SIZES)
    torch.testing.assert_close(inputs, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(same_targets, targets)


def test_batch_that_does_not_fit_into_memory_names_its_longest_clip(make_dataset, monkeypatch):
    dataset = make_dataset([300, 500])

    def fails(*args):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("sktagger.batching.dataset.to_mono", fails)
    batch = [plain_example(i, n, SIZES) for i, n in enumerate(dataset.lengths)]
    with pytest.raises(MemoryError, match=r"9 GiB.* 2 clips; the longest is Clip 1\. Set"):
        dataset.load(batch)
