"""Scores along recordings of any length."""

import resource
import sys

import numpy as np
import pytest
import soundfile
import soxr
from _networks import TinyNet

from sktagger import AudioTagger, WALNetTagger
from sktagger.audio._streams import cut_windows, read_blocks
from sktagger.batching.long_clips import CHUNK_FRAMES, MIN_CHUNK_FRAMES, plan_chunks
from sktagger.networks import EfficientAT, ScoreGrid

RATE = 8000


def make_noise(seconds, n_channels=1, rate=RATE):
    """Make noise whose level changes, of shape (n_channels, n_samples)."""
    n_samples = round(seconds * rate)
    level = 0.01 + 0.2 * np.abs(np.sin(np.arange(n_samples) / n_samples * 9))
    noise = np.random.default_rng(1).uniform(-1, 1, (n_channels, n_samples))
    return (noise * level).astype(np.float32)


def fit(tagger):
    X = list(np.random.default_rng(0).standard_normal((6, RATE)))
    return tagger.fit(X, [["a"], ["b"], ["a", "b"], [], ["a"], ["b"]])


@pytest.fixture(scope="module")
def walnet_tagger():
    return fit(
        WALNetTagger(sample_rate=RATE, max_epochs=1, precision="float32", random_state=0, verbose=0)
    )


@pytest.fixture(scope="module")
def tiny():
    return fit(AudioTagger(TinyNet(rate=RATE, width=8), max_epochs=1, random_state=0, verbose=0))


@pytest.fixture(scope="module")
def efficientat():
    network = EfficientAT(width=0.1)
    X = list(np.random.default_rng(0).standard_normal((4, 16_000)))
    tagger = AudioTagger(network, max_epochs=1, random_state=0, verbose=0, batch_size=2)
    return tagger.fit(X, [["a"], ["b"], ["a", "b"], []])


@pytest.mark.parametrize(("length", "step"), [(5, 5), (5, 2), (7, 1), (100, 30)])
@pytest.mark.parametrize("n_samples", [1, 4, 5, 6, 23, 100, 101])
@pytest.mark.parametrize("block", [1, 3, 50, 1000])
def test_windows_cover_a_recording(length, step, n_samples, block):
    recording = np.arange(2.0 * n_samples).reshape(2, n_samples)
    blocks = [recording[:, i : i + block] for i in range(0, n_samples, block)]
    windows = [window for windows in cut_windows(blocks, length, step) for window in windows]
    for start, window in windows:
        np.testing.assert_array_equal(window, recording[:, start : start + length])
    starts = [start for start, _ in windows]
    last = max(0, n_samples - length)
    assert starts == [*range(0, last, step), last]


def test_windows_come_as_soon_as_they_are_complete():
    counts = [len(windows) for windows in cut_windows(np.zeros((6, 1, 4)), 8, 4)]
    assert counts == [0, 1, 1, 1, 1, 1]  # nothing is left at the end


def test_resampled_blocks_equal_the_resampled_whole():
    noise = make_noise(2, 2, 44_100)
    blocks = [noise[:, i : i + 999] for i in range(0, noise.shape[1], 999)]
    got = np.concatenate(list(read_blocks(blocks, 44_100, RATE)), axis=1)
    expected = soxr.resample(noise.T, 44_100, RATE, "HQ").T
    assert got.shape[0] == 2
    assert abs(got.shape[1] - expected.shape[1]) <= 1
    n = min(got.shape[1], expected.shape[1])
    np.testing.assert_allclose(got[:, :n], expected[:, :n], atol=1e-6)


def test_blocks_of_integers_are_scaled():
    (block,) = read_blocks([np.array([2**14, -(2**15)], np.int16)], RATE, RATE)
    np.testing.assert_array_equal(block, [[0.5, -1.0]])


@pytest.mark.parametrize("name", ["walnet_tagger", "tiny", "efficientat"])
@pytest.mark.parametrize(("window", "hop"), [(2.0, None), (3.0, 1.5)])
def test_windows_have_the_scores_of_clips(name, window, hop, tmp_path, request):
    tagger = request.getfixturevalue(name)
    rate = tagger.network_.get_input().sample_rate
    noise = make_noise(10.3, 2, rate)
    soundfile.write(tmp_path / "night.wav", noise.T, rate, subtype="FLOAT")
    found = list(tagger.iter_scores(tmp_path / "night.wav", window, hop))
    clips = [noise[:, round(onset * rate) : round(offset * rate)] for onset, offset, _ in found]
    scores = np.array([scores for *_, scores in found])
    np.testing.assert_allclose(scores, tagger.predict_proba(clips), atol=1e-6)
    onsets, offsets, _ = map(np.array, zip(*found, strict=True))
    np.testing.assert_allclose(offsets - onsets, window, rtol=1e-12)
    assert onsets[0] == 0
    assert offsets[-1] == pytest.approx(10.3)
    np.testing.assert_allclose(np.diff(onsets)[:-1], hop or window)


@pytest.mark.parametrize("block", [160, 5000, 10**6])
def test_iterators_have_the_scores_of_files(tiny, block):
    noise = make_noise(7)
    expected = list(tiny.iter_scores(noise, window=2, hop=1))
    blocks = (noise[0, i : i + block] for i in range(0, noise.shape[1], block))
    got = list(tiny.iter_scores(blocks, window=2, hop=1))
    assert [times for *times, _ in got] == [times for *times, _ in expected]
    for (*_, scores), (*_, wanted) in zip(got, expected, strict=True):
        np.testing.assert_allclose(scores, wanted, atol=1e-6)


def test_iterators_are_scored_while_they_last(tiny):
    n_read = 0

    def microphone():
        nonlocal n_read
        while True:
            n_read += 1
            yield np.full(RATE // 2, 0.1 * n_read)

    scores = tiny.iter_scores(microphone(), window=1)
    for number in range(1, 4):
        onset, offset, _ = next(scores)
        assert (onset, offset) == (number - 1, number)
        assert n_read == 2 * number


def test_iterators_of_another_rate_are_resampled(tiny):
    noise = make_noise(4, rate=16_000)
    expected = list(tiny.iter_scores((noise, 16_000), window=1))
    blocks = iter(np.split(noise, 4, axis=1))
    got = list(tiny.iter_scores(blocks, window=1, sample_rate=16_000))
    assert len(got) == len(expected) == 4
    for (*_, scores), (*_, wanted) in zip(got, expected, strict=True):
        np.testing.assert_allclose(scores, wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["walnet_tagger", "tiny", "efficientat"])
@pytest.mark.parametrize("seconds", [0.9, 20, 110])
def test_segments_are_those_of_predict_segments(name, seconds, request):
    tagger = request.getfixturevalue(name)
    rate = tagger.network_.get_input().sample_rate
    recording = make_noise(seconds, rate=rate), rate
    (table,) = tagger.predict_segments([recording])
    found = list(tagger.iter_scores(recording))
    assert [(onset, offset) for onset, offset, _ in found] == table.index.tolist()
    np.testing.assert_allclose([scores for *_, scores in found], table, atol=1e-6)


def test_segments_of_long_recordings_have_the_scores_of_one_pass(walnet_tagger, monkeypatch):
    recording = make_noise(110)
    found = [scores for *_, scores in walnet_tagger.iter_scores(recording)]
    monkeypatch.setattr("sktagger.batching.plain.CHUNK_FRAMES", np.inf)
    (whole,) = walnet_tagger.predict_segments([recording])
    np.testing.assert_allclose(found, whole, atol=5e-6)


@pytest.mark.parametrize("n_frames", [5121, 6000, 5632, 5633, 20_001])
def test_middles_of_windows_cover_each_segment_once(n_frames):
    grid = ScoreGrid(32, 32, None)
    found = []
    for chunk in plan_chunks(n_frames, grid):
        assert chunk.stop - chunk.start <= MIN_CHUNK_FRAMES
        assert chunk.stop - chunk.start > MIN_CHUNK_FRAMES // 2
        first = chunk.start // 32
        for number in range(chunk.segments.start, chunk.segments.stop):
            found.append(first + number)
            around = number * 32, chunk.stop - chunk.start - (number + 1) * 32
            far = MIN_CHUNK_FRAMES // 4
            assert around[0] >= far or chunk.start == 0
            assert around[1] >= far or chunk.stop == n_frames
    assert found == list(range(grid.n_scores(n_frames)))


def test_scores_of_long_clips_depend_on_all_frames(efficientat, monkeypatch):
    """Only segments come from windows."""
    n_samples = (CHUNK_FRAMES + 400) * 320
    clip = np.random.default_rng(0).uniform(-1, 1, n_samples).astype(np.float32)
    scores, (segments,) = efficientat.predict_proba([clip]), efficientat.predict_segments([clip])
    monkeypatch.setattr("sktagger.batching.plain.CHUNK_FRAMES", np.inf)
    (whole,) = efficientat.predict_segments([clip])
    np.testing.assert_array_equal(efficientat.predict_proba([clip]), scores)
    assert segments.index.equals(whole.index)
    assert 0 < np.abs(segments - whole).to_numpy().max() < 0.1


def test_label_scores_of_windows_sum_to_one():
    X = list(np.random.default_rng(0).standard_normal((6, RATE)))
    tagger = AudioTagger(TinyNet(rate=RATE, width=8), max_epochs=1, random_state=0)
    tagger.fit(X, list("aabbcc"))
    for *_, scores in tagger.iter_scores(make_noise(3), window=1):
        assert scores.sum() == pytest.approx(1)


def test_damage_in_a_recording_is_an_error_after_the_scores_before_it(tiny, tmp_path):
    path = tmp_path / "damaged.wav"
    noise = make_noise(80)
    noise[0, 70 * RATE] = np.nan
    soundfile.write(path, noise.T, RATE, subtype="FLOAT")
    onsets = []
    with pytest.raises(ValueError, match=r"damaged\.wav.* sample 560000 is NaN"):
        onsets.extend(onset for onset, *_ in tiny.iter_scores(path, window=1))
    assert onsets == list(range(65))  # blocks have 2**18 samples


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("missing.wav", {}, r"Audio file 'missing\.wav' does not exist"),
        (None, {}, "source is None, but it must be a recording"),
        ("night.wav", {"window": 0}, "window=0, but it must be a number of seconds above 0"),
        ("night.wav", {"window": "10"}, "window='10', but it must be a number of seconds"),
        ("night.wav", {"window": 1, "hop": 2}, "hop=2 is above window=1"),
        ("night.wav", {"hop": 2}, "hop=2 has no effect if window is None"),
        ("night.wav", {"window": 1, "sample_rate": 8000}, "is for an iterator of blocks"),
        (iter([]), {}, "window=None needs a recording that can be read twice"),
        (iter([]), {"window": 1, "sample_rate": 0.5}, "sample_rate=0.5, but it must be an integer"),
    ],
)
def test_errors_come_at_once(tiny, tmp_path, monkeypatch, source, settings, message):
    monkeypatch.chdir(tmp_path)
    soundfile.write("night.wav", np.zeros(RATE), RATE)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tiny.iter_scores(source, **settings)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros((2, 100)), "source: block 1 has 2 channels, but the first one has 1"),
        (np.full(100, np.nan), "source: block 1: sample 0 is NaN or infinite"),
        ("noise.wav", "source: block 1 is 'noise.wav', but it must be an array of samples"),
    ],
)
def test_wrong_blocks_are_errors(tiny, block, message):
    with pytest.raises((ValueError, TypeError), match=message):
        list(tiny.iter_scores(iter([np.zeros(100), block]), window=1))


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_memory_does_not_grow_with_the_recording(tiny):
    """An hour is 115 MB of samples in float32."""

    def blocks(seconds):
        return (np.zeros(RATE, np.float32) + 0.1 for _ in range(seconds))

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    for _ in tiny.iter_scores(blocks(300), window=10):
        pass
    before = peak()
    for _ in tiny.iter_scores(blocks(3600), window=10):
        pass
    assert peak() - before < 40
