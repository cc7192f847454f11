"""STFTs of waveforms that are surrounded by zeros, and STFTs that are warped in time."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from _networks import OddNet
from hypothesis import given, settings
from hypothesis import strategies as st

from sktagger import AudioTagger
from sktagger.audio.clips import ArrayClips
from sktagger.audio.edges import prepare
from sktagger.audio.onsets import warped_onsets
from sktagger.audio.spectral import STFTSizes, frame_onsets, stft
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.long_clips import LongClip
from sktagger.batching.plans import plain_example
from sktagger.batching.smaller_batches import BatchSplitter
from sktagger.networks import NetworkInput, ScoreGrid
from sktagger.taggers._scoring import segment_times

AT_16K = STFTSizes(1024, 320, 960, edges="zeros")
SMALL = STFTSizes(64, 20, 40, edges="zeros")


class ZerosNet(OddNet):
    """A network that takes as many frames as there are hops in a clip."""

    def get_input(self):
        found = super().get_input()
        return found._replace(stft=found.stft._replace(edges="zeros"))


@pytest.fixture(scope="module")
def published():
    """Inputs and outputs of the published FBCRNN, beside those of WALNet."""
    default = Path(__file__).parents[2] / "shared" / "reference" / "parity.npz"
    path = Path(os.environ.get("SKTAGGER_PARITY", default)).with_name("fbcrnn_parity.npz")
    if not path.is_file():
        pytest.skip("no fbcrnn_parity.npz beside parity.npz: set SKTAGGER_PARITY")
    names = ["waveform", "waveform_stft"]
    names += [f"{name}{k}" for name in ("warp", "warped_stft") for k in (0, 1)]
    with np.load(path) as file:
        return {name: file[name] for name in names}


def noise(n_samples):
    return np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32)


def close(got, expected):
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_stft_of_the_published_fbcrnn(published):
    waveform = published["waveform"][0]
    onsets = frame_onsets(len(waveform), AT_16K)
    close(stft(prepare(waveform, AT_16K), onsets, AT_16K), published["waveform_stft"][0])


@pytest.mark.parametrize("k", [0, 1])
def test_time_warp_of_the_published_fbcrnn(published, k):
    waveform = published["waveform"][0]
    onsets = warped_onsets(len(waveform), AT_16K, *published[f"warp{k}"])
    close(stft(prepare(waveform, AT_16K), onsets, AT_16K), published[f"warped_stft{k}"][0])


@pytest.mark.parametrize("sizes", [AT_16K, SMALL, STFTSizes(64, 7, 12, edges="zeros")])
@pytest.mark.parametrize("n_samples", [1, 6, 7, 8, 14, 319, 320, 321, 8111])
def test_there_is_a_frame_for_each_hop(sizes, n_samples):
    n_frames = int(np.ceil(n_samples / sizes.hop_length))
    assert sizes.n_frames(n_samples) == n_frames
    prepared = prepare(noise(n_samples), sizes)
    assert len(prepared) == sizes.prepared_length(n_samples)
    assert frame_onsets(n_samples, sizes)[-1] + sizes.win_length == len(prepared)
    before = (sizes.win_length - sizes.hop_length) // 2
    np.testing.assert_array_equal(prepared[before:][:n_samples], noise(n_samples))
    assert not prepared[:before].any()
    assert not prepared[before + n_samples :].any()


def test_ten_seconds_have_500_frames():
    assert AT_16K.max_frames(10, 16000) == 500


@pytest.mark.parametrize("frame", [0, 3, 9])
def test_frames_are_centered_in_their_hops(frame):
    waveform = np.zeros(200, np.float32)
    waveform[frame * 20 + 10] = 1  # the window is 1 at its center only
    spectrum = stft(prepare(waveform, SMALL), frame_onsets(200, SMALL), SMALL)
    np.testing.assert_allclose(np.square(spectrum[frame]).sum(-1), 1, atol=1e-6)
    assert np.square(spectrum).sum((1, 2)).argmax() == frame


@pytest.mark.parametrize("n_samples", [1, 9, 10, 11, 30])
def test_preemphasis_and_repetition_do_not_change_the_number_of_frames(n_samples):
    sizes = SMALL._replace(preemphasis=0.97, min_samples=10)
    prepared = prepare(noise(n_samples), sizes)
    n_frames = -(-max(10, n_samples) // 20)
    assert sizes.n_frames(n_samples) == n_frames
    assert len(prepared) == sizes.prepared_length(n_samples) == 20 * n_frames + 20
    filtered = prepare(noise(n_samples), sizes._replace(edges="drop"))
    np.testing.assert_array_equal(prepared[10:][: len(filtered)], filtered)


def test_windows_without_overlap():
    sizes = STFTSizes(64, 20, 20, edges="zeros")
    np.testing.assert_array_equal(prepare(noise(41), sizes)[:41], noise(41))
    assert sizes.prepared_length(41) == 60


@pytest.mark.parametrize("edges", ["drop", "reflect"])
def test_windows_may_be_shorter_than_the_hop_at_other_edges(edges):
    assert STFTSizes(64, 20, 10, edges=edges).n_frames(100) >= 5


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (SMALL._replace(win_length=19), r"win_length=19 is below hop_length=20, but .* Give a"),
        (SMALL._replace(edges="mirror"), r"edges='mirror' .* 'drop', 'reflect' or 'zeros'"),
    ],
)
def test_wrong_sizes(sizes, message):
    for function in (sizes.n_frames, sizes.prepared_length, lambda n: prepare(noise(n), sizes)):
        with pytest.raises(ValueError, match=message):
            function(100)


@pytest.mark.parametrize("n_samples", [320 * 500, 320 * 499 + 1, 320 * 499 + 319])
def test_scores_of_frames_cover_their_hops(n_samples):
    clip_input, grid = NetworkInput(16000, AT_16K, 128), ScoreGrid(1, 1, 0)
    n_scores = grid.n_scores(AT_16K.n_frames(n_samples))
    assert n_scores == 500
    onsets, offsets = segment_times(0, n_scores, n_samples, clip_input, grid)
    np.testing.assert_array_equal(onsets, np.arange(500) * 320 / 16000)
    np.testing.assert_array_equal(offsets[:-1], onsets[1:])
    assert offsets[-1] == n_samples / 16000
    later = segment_times(250, 3, n_samples, clip_input, grid)
    np.testing.assert_array_equal(later, [onsets[250:253], offsets[250:253]])


@pytest.mark.parametrize("n_frames", [700, 1024])
@pytest.mark.parametrize("rest", [1, 40, 79, 80])
def test_chunks_have_the_scores_of_the_whole(n_frames, rest):
    network = ZerosNet()
    rate, sizes, *_ = network.get_input()
    module, n_samples = network.build(3).eval(), (n_frames - 1) * 80 + rest
    assert sizes.n_frames(n_samples) == n_frames
    clips = ArrayClips([noise(n_samples)])
    dataset = ClipDataset(clips, np.array([n_samples]), rate, sizes, scale="raw")
    example = plain_example(0, n_samples, sizes)
    with torch.no_grad():
        padded, n_expected = module.segment_scores(**dataset[[example]].inputs)
    expected = padded[..., : int(n_expected)]
    clip = LongClip(dataset, example, network.get_grid())
    scores, n_segments = clip.segments(module.segment_scores, BatchSplitter(""), 100)
    assert expected.std() > 1e-3
    assert torch.equal(n_segments, n_expected)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)


def test_tagger_with_a_network_that_takes_all_frames():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(n).astype(np.float32) for n in (4000, 5001, 79, 1)]
    tagger = AudioTagger(ZerosNet(), max_epochs=1, batch_size=2, random_state=0, verbose=0)
    tagger.fit(X, [["a"], ["b"], [], ["a", "b"]])
    table = tagger.predict_segments(X[1:2])[0]
    onset, offset = (table.index.get_level_values(name) for name in ("onset", "offset"))
    assert len(table) == 1 + int(np.ceil((np.ceil(5001 / 80) - 10) / 5))
    np.testing.assert_array_equal(onset, np.arange(len(table)) * 5 * 80 / 8000)
    assert offset[-1] == 5001 / 8000


# --- time warp

EDGES = st.sampled_from(["drop", "reflect", "zeros"])


@settings(max_examples=150, deadline=None)
@given(
    n_samples=st.integers(41, 3000),
    edges=EDGES,
    position=st.floats(0.4, 0.6),
    strength=st.floats(-0.3, 0.3),
)
def test_warped_frames_cover_the_clip(n_samples, edges, position, strength):
    sizes = SMALL._replace(edges=edges)
    onsets = warped_onsets(n_samples, sizes, position, strength)
    length = sizes.prepared_length(n_samples)
    assert np.all(np.diff(onsets) > 0)
    first_hop = round(20 * position / (position + strength))
    second_hop = round(20 * (1 - position) / (1 - position - strength))
    assert onsets[0] <= first_hop  # more than 0 only if the clip has about one frame
    if edges == "zeros":
        assert onsets[-1] + 30 >= 10 + n_samples - second_hop
    else:
        assert length - 40 - second_hop < onsets[-1] <= max(0, length - 40)
    assert sum(hop not in (first_hop, second_hop) for hop in np.diff(onsets)) <= 1


@pytest.mark.parametrize("edges", ["drop", "reflect", "zeros"])
def test_very_short_clips_can_be_warped(edges):
    sizes = SMALL._replace(edges=edges)
    for n_samples in (*range(1, 60), 79, 80, 81):
        waveform = noise(max(n_samples, 21))[:n_samples]
        for strength in (-0.3, -0.1, 0.0, 0.1, 0.3):
            onsets = warped_onsets(n_samples, sizes, 0.4, strength)
            assert len(onsets) >= 1
            if edges != "reflect" or n_samples > 20:
                spectrum = stft(prepare(waveform, sizes), onsets, sizes)
                assert np.isfinite(spectrum).all()


@settings(max_examples=100, deadline=None)
@given(n_samples=st.integers(1, 3000), edges=EDGES, position=st.floats(0.1, 0.9))
def test_warp_of_nothing_is_the_plain_stft(n_samples, edges, position):
    sizes = SMALL._replace(edges=edges)
    onsets = warped_onsets(n_samples, sizes, position, 0.0)
    assert onsets.tolist() == frame_onsets(n_samples, sizes).tolist()


@settings(max_examples=60, deadline=None)
@given(position=st.floats(0.4, 0.6), strength=st.floats(-0.1, 0.1))
def test_warped_clips_keep_their_length(position, strength):
    onsets = warped_onsets(160_000, AT_16K, position, strength)
    assert abs(len(onsets) - 500) <= 2
    # what lies at `position` is now at `position + strength`
    index = np.abs(onsets - position * 160_000).argmin()
    assert index / 500 == pytest.approx(position + strength, abs=0.006)


@pytest.mark.parametrize("sizes", [SMALL, SMALL._replace(edges="drop")])
def test_frames_beyond_the_waveform_have_zeros(sizes):
    waveform, longer = noise(100), np.pad(noise(100), (0, 50))
    onsets = np.array([0, 61, 99, 105])
    np.testing.assert_array_equal(stft(waveform, onsets, sizes), stft(longer, onsets, sizes))
