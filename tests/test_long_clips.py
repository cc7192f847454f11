import numpy as np
import pytest
import soundfile
import torch
from _networks import make_walnet
from hypothesis import given
from hypothesis import strategies as st

from sktagger import WALNetTagger
from sktagger.audio.clips import ArrayClips
from sktagger.audio.reading import Section, read_audio, to_mono
from sktagger.audio.spectral import frame_onsets, stft
from sktagger.audio.unreadable import Unreadable
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.long_clips import CHUNK_FRAMES, LongClip, plan_chunks
from sktagger.batching.plans import plain_example
from sktagger.batching.smaller_batches import BatchSplitter
from sktagger.networks import ScoreGrid, WALNet, WALNetModule

RATE = 8000
GRID = WALNet().get_grid()
LONG = 105.0  # seconds; clips of more than 102.4 s are scored in chunks


@given(
    st.integers(1, 20_000),
    st.integers(7, 40),
    st.sampled_from(
        [
            GRID,
            ScoreGrid(10, 5, 2),
            ScoreGrid(1, 1, 0),
            ScoreGrid(20, 4, 3),
            ScoreGrid(20, 4, 3, partial=False),
            ScoreGrid(32, 32, 5, partial=False),
        ]
    ),
)
def test_chunks_have_each_segment_once_with_its_context(n_frames, n_steps, grid):
    length, step, context, _ = grid
    largest = (n_steps + 1) * (length + 2 * context)
    chunks = plan_chunks(n_frames, grid, largest)
    found = []
    for chunk in chunks:
        assert 0 <= chunk.start < chunk.stop <= n_frames
        assert chunk.stop - chunk.start <= largest
        assert chunk.start % step == 0
        first = chunk.start // step
        for i in range(chunk.segments.start, chunk.segments.stop):
            found.append(first + i)
            onset = (first + i) * step
            assert chunk.start <= max(0, onset - context)
            assert chunk.stop >= min(n_frames, onset + length + context)
        assert chunk.segments.stop <= grid.n_scores(chunk.stop - chunk.start)
    assert found == list(range(grid.n_scores(n_frames)))


def test_score_of_a_segment_depends_on_its_context_only(walnet, monkeypatch):
    """The gradient is 0 exactly where the score does not depend on the input."""
    features = torch.randn(1, 1, 128, 1024, requires_grad=True)
    monkeypatch.setattr(type(walnet), "features", lambda *args, **kwargs: features)
    scores, _ = walnet.segment_scores(torch.zeros(1, 1, 1024, 257, 2), torch.tensor([1024]))
    scores[0, :, 6].sum().backward()
    (seen,) = features.grad[0, 0].abs().sum(0).nonzero(as_tuple=True)
    assert seen.min() >= 6 * 64 - 94
    assert seen.max() < 8 * 64 + 94
    assert GRID[:3] == (128, 64, 94)


def net_of(precision="float32"):
    net = make_walnet(3, sample_rate=1000, n_fft=64, precision=precision)
    generator = torch.Generator().manual_seed(0)
    for block in net.cnn.convs[:-1]:  # statistics as after training, so that biases have an effect
        for tensor in (block.norm.beta.data, block.norm.running_mean, block.conv.bias.data):
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
    return net.eval()


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("bfloat16", 5e-3)])
def test_scores_in_chunks_equal_those_of_the_whole_clip(rng, sizes, precision, tolerance):
    net = net_of(precision)
    lengths = [
        20 * n + 20 + extra
        for n, extra in [
            (1, 0),
            (65, 5),
            (512, 0),
            (512, 19),
            (513, 0),
            (577, 0),
            (896, 9),
            (1153, 1),
        ]
    ]
    clips = ArrayClips([rng.normal(0.3, 1, (2, n)).cumsum(axis=1) for n in lengths])
    dataset = ClipDataset(clips, np.array(lengths), 1000, sizes)
    for i, length in enumerate(lengths):
        example = plain_example(i, length, sizes)
        long_clip = LongClip(dataset, example, GRID)
        scores, n_segments = long_clip.segments(net.segment_scores, BatchSplitter(""), 512)
        with torch.inference_mode():
            expected, n_expected = net.segment_scores(**dataset[[example]].inputs)
        assert torch.equal(n_segments, n_expected)
        torch.testing.assert_close(scores, expected, rtol=0, atol=tolerance)
        for net.pooling in ("mean", "linear_softmax"):
            with torch.inference_mode():
                whole = net(**dataset[[example]].inputs)
            torch.testing.assert_close(net.pool(scores, n_segments), whole, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = list(rng.standard_normal((6, RATE)))
    return WALNetTagger(
        sample_rate=RATE, max_epochs=2, batch_size=2, precision="float32", random_state=0
    ).fit(X, [["a"], ["b"], ["a", "b"], [], ["a"], ["b"]])


def long_noise(rate=RATE, n_channels=1, seconds=LONG, dc=0.0):
    """Make noise whose level changes, of shape (n_channels, n_samples)."""
    n_samples = int(seconds * rate)
    loudness = 0.01 + 0.2 * np.abs(np.sin(np.arange(n_samples) / n_samples * 9))
    noise = np.random.default_rng(1).uniform(-1, 1, (n_channels, n_samples))
    return (noise * loudness + dc).astype(np.float32)


def scores_of_the_whole(tagger, waveform):
    """Score a waveform of shape (n_channels, n_samples) at once."""
    tagger.module_.eval()
    mono = to_mono(waveform)
    onsets = frame_onsets(len(mono), tagger.stft_)
    spectrum = torch.from_numpy(stft(mono, onsets, tagger.stft_))[None, None]
    n_frames = torch.tensor([len(onsets)])
    with torch.inference_mode():
        segments, _ = tagger.module_.segment_scores(spectrum, n_frames)
        return tagger.module_(spectrum, n_frames)[0].numpy(), segments[0].numpy().T


def check_long(tagger, X, waveform):
    scores, segments = scores_of_the_whole(tagger, waveform)
    assert scores.std() > 1e-4
    np.testing.assert_allclose(tagger.predict_proba([X])[0], scores, rtol=0, atol=1e-5)
    (table,) = tagger.predict_segments([X])
    np.testing.assert_allclose(table, segments, rtol=0, atol=1e-5)
    onset, offset = (table.index.get_level_values(name) for name in ("onset", "offset"))
    np.testing.assert_allclose(onset, 1.28 * np.arange(len(segments)))
    assert offset[0] == 2.56
    assert offset[-1] == pytest.approx(min(onset[-1] + 2.56, waveform.shape[1] / RATE))


FILES = {
    "as it is": ("long.wav", RATE, 1, 0.0),
    "stereo, off center": ("long.wav", RATE, 2, 0.3),
    "resampled down": ("long.flac", 16000, 2, 0.0),
    "resampled up": ("long.wav", 6000, 1, -0.4),
}


@pytest.mark.parametrize("kind", FILES)
def test_long_file_is_scored_as_a_whole(fitted, tmp_path, kind):
    name, rate, n_channels, dc = FILES[kind]
    soundfile.write(tmp_path / name, long_noise(rate, n_channels, dc=dc).T, rate)
    path = str(tmp_path / name)
    check_long(fitted, path, read_audio(Section(path), RATE))


def test_long_section_is_scored_as_a_whole(fitted, tmp_path):
    path = str(tmp_path / "longer.wav")
    soundfile.write(path, long_noise(seconds=LONG + 5)[0], RATE)
    section = Section(path, 12_345, int(RATE * LONG) + 12_345)
    check_long(fitted, section, read_audio(section, RATE))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_long_array_is_scored_as_a_whole(fitted, dtype):
    waveform = long_noise(n_channels=2)
    given = waveform if dtype != np.int16 else np.round(waveform * 2**15)
    given = given.astype(dtype)
    same = given.astype(np.float32) / np.float32(2**15 if dtype == np.int16 else 1)
    check_long(fitted, given, same)


def test_length_from_which_clips_are_scored_in_chunks(fitted):
    assert CHUNK_FRAMES * fitted.stft_.hop_length / RATE == pytest.approx(102.4)


def test_long_and_short_clips_keep_their_order(fitted, rng):
    short = list(rng.standard_normal((3, RATE)))
    long_clip = long_noise()[0]
    scores = fitted.predict_proba([short[0], long_clip, short[1], 0.5 * long_clip[::-1], short[2]])
    alone = [fitted.predict_proba([x])[0] for x in (*short, long_clip)]
    np.testing.assert_allclose(scores[[0, 2, 4, 1]], alone, rtol=0, atol=1e-6)


def test_network_never_gets_more_than_a_chunk(fitted, monkeypatch):
    seen = []
    segment_scores = WALNetModule.segment_scores

    def noted(self, stft, n_frames):
        seen.append((len(stft), int(n_frames.max())))
        return segment_scores(self, stft, n_frames)

    monkeypatch.setattr(WALNetModule, "segment_scores", noted)
    fitted.predict_proba([long_noise(seconds=320)])
    assert len(seen) > 3
    assert all(n_clips == 1 and n_frames <= CHUNK_FRAMES for n_clips, n_frames in seen)


def test_silence_stays_silent(fitted):
    check = fitted.predict_proba([np.zeros(RATE), np.zeros(int(LONG * RATE))])
    assert np.isfinite(check).all()


def test_long_file_that_cannot_be_read_is_left_out(fitted, tmp_path, monkeypatch):
    waveform = long_noise()[0]
    waveform[800_000] = np.nan
    path = str(tmp_path / "long.wav")
    soundfile.write(path, waveform, RATE, subtype="FLOAT")
    short = str(tmp_path / "short.wav")
    soundfile.write(short, waveform[:RATE], RATE)
    with pytest.raises(ValueError, match=r"long.wav': sample 800000 is NaN"):
        fitted.predict_proba([path])
    monkeypatch.setattr(fitted, "on_error", "skip")
    with pytest.warns(UserWarning, match="1 of 2 clips of X cannot be read and have scores of NaN"):
        scores = fitted.predict_proba([path, short])
    assert np.isnan(scores[0]).all()
    assert np.isfinite(scores[1]).all()


@pytest.mark.parametrize("which", [1, 2])
def test_long_clip_that_changes_while_it_is_read_is_an_error(sizes, rng, which):
    """The first pass measures the peak, and the second one scores."""
    clips = ArrayClips([rng.normal(size=20_000)])
    passes = []

    def blocks(index, sample_rate):
        passes.append(index)
        yield clips.load(index, sample_rate)[:, : 10_000 if len(passes) == which else None]

    clips.blocks = blocks
    dataset = ClipDataset(clips, np.array([20_000]), 1000, sizes)
    long_clip = LongClip(dataset, plain_example(0, 20_000, sizes), GRID)
    with pytest.raises(ValueError, match=r"Clip 0 has changed: it had 20000 .* now has 10000"):
        long_clip.segments(net_of().segment_scores, BatchSplitter(""), 512)
    dataset.unreadable, passes[:] = Unreadable("skip", "X", 1), []
    assert long_clip.segments(net_of().segment_scores, BatchSplitter(""), 512) is None
    assert "has changed" in dataset.unreadable.first_cause()


def test_error_names_the_clip_whose_chunk_does_not_fit_into_memory(fitted, monkeypatch):
    def fails(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(WALNetModule, "segment_scores", fails)
    with pytest.raises(MemoryError, match=r"single clip .* longest of the batch: Clip 0\."):
        fitted.predict_proba([long_noise()])


def test_long_clips_of_the_validation_data_are_scored_in_chunks(rng):
    X, Y = list(rng.standard_normal((4, RATE))), np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    X_val, Y_val = [*X[:2], long_noise()[0]], np.array([[1, 0], [0, 1], [1, 1]])
    tagger = WALNetTagger(
        sample_rate=RATE, max_epochs=1, batch_size=2, precision="float32", random_state=0
    ).fit(X, Y, X_val=X_val, Y_val=Y_val)
    best = tagger.history_[tagger.history_["valid_mAP_best"]].iloc[-1]
    p = tagger.predict_proba(X_val)
    losses = -(Y_val * np.log(p) + (1 - Y_val) * np.log(1 - p)).sum(axis=1)
    assert best["valid_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert best["valid_mAP"] == pytest.approx(tagger.score(X_val, Y_val))


def test_unreadable_long_clip_is_left_out_of_validation(rng):
    X, Y = list(rng.standard_normal((4, RATE))), np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    bad = long_noise()[0]
    bad[-1] = np.inf
    tagger = WALNetTagger(
        sample_rate=RATE, max_epochs=1, batch_size=2, on_error="skip", random_state=0
    )
    with pytest.warns(UserWarning, match="1 of 3 clips of X_val cannot be read"):
        tagger.fit(X, Y, X_val=[*X[:2], bad], Y_val=np.array([[1, 0], [0, 1], [1, 1]]))
    assert tagger.skipped_[["container", "position"]].to_numpy().tolist() == [["X_val", 2]]


def test_memory_does_not_grow_with_the_length_of_a_file(run_python, tmp_path):
    path = str(tmp_path / "long.wav")
    soundfile.write(path, np.tile(long_noise(seconds=60)[0], 7), RATE)
    code = """
import resource, sys, warnings
import numpy as np, torch
from sktagger import WALNetTagger

torch.set_num_threads(1)
warnings.simplefilter("ignore")
X = list(np.random.default_rng(0).standard_normal((2, 8000)))
tagger = WALNetTagger(sample_rate=8000, max_epochs=1, precision="float32").fit(X, [["a"], ["b"]])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tagger.predict_segments(sys.argv[1:])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    assert int(run_python(code, path)) < 220  # MiB; the whole clip would take 700
