"""Waveforms are repeated, filtered and reflected as networks of other projects expect them."""

import librosa
import numpy as np
import pytest
import torch

from sktagger.audio.edges import prepare, prepare_blocks
from sktagger.audio.onsets import stretched_onsets
from sktagger.audio.spectral import STFTSizes, frame_onsets, stft, window_of

EDGES = {
    "plain": {},
    "center": {"edges": "reflect"},
    "preemphasis": {"preemphasis": 0.97},
    "both": {"edges": "reflect", "preemphasis": 0.97},
    "zeros": {"edges": "zeros"},
    "zeros and preemphasis": {"edges": "zeros", "preemphasis": 0.97},
}
SIZES = STFTSizes(64, 20, 40, "hann")


def noise(n_samples):
    return np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32)


@pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("n_samples", [50, 59, 60, 61, 1000])
def test_length_and_frames_are_those_of_the_prepared_waveform(edges, n_samples):
    sizes = SIZES._replace(**edges)
    prepared = prepare(noise(n_samples), sizes)
    assert len(prepared) == sizes.prepared_length(n_samples)
    assert sizes.n_frames(n_samples) == (len(prepared) - 40) // 20 + 1
    assert frame_onsets(n_samples, sizes)[-1] + 40 <= len(prepared)
    assert stretched_onsets(n_samples, sizes, 1000, lambda: 1.7)[-1] + 40 <= len(prepared)
    assert prepared.dtype == np.float32


@pytest.mark.parametrize("n_samples", [65, 100, 1017])
def test_centered_frames_are_those_of_librosa(n_samples):
    waveform, sizes = noise(n_samples), STFTSizes(64, 20, 64, "hann", edges="reflect")
    got = stft(prepare(waveform, sizes), frame_onsets(n_samples, sizes), sizes)
    expected = librosa.stft(waveform, n_fft=64, hop_length=20, pad_mode="reflect").T
    np.testing.assert_allclose(got[..., 0] + 1j * got[..., 1], expected, atol=1e-5)


def test_centered_short_windows_have_the_power_of_torch():
    """PyTorch centers a short window in the FFT, which changes the phase only."""
    waveform, sizes = noise(500), SIZES._replace(edges="reflect", periodic=False)
    got = stft(prepare(waveform, sizes), frame_onsets(500, sizes), sizes)
    window = torch.hann_window(40, periodic=False)
    expected = torch.stft(
        torch.from_numpy(waveform), 64, 20, 40, window, pad_mode="reflect", return_complex=True
    )
    np.testing.assert_allclose((got**2).sum(-1), expected.abs().square().T, rtol=1e-4, atol=1e-4)


def test_symmetric_window():
    np.testing.assert_allclose(window_of(SIZES._replace(periodic=False)), np.hanning(40), atol=1e-7)


def test_preemphasis_drops_one_sample():
    sizes = SIZES._replace(preemphasis=0.5)
    np.testing.assert_array_equal(prepare(np.float32([1, 2, 4]), sizes), np.float32([1.5, 3]))


@pytest.mark.parametrize("n_samples", [1, 7, 99])
def test_short_waveforms_are_repeated(n_samples):
    waveform, sizes = noise(n_samples), SIZES._replace(min_samples=100)
    np.testing.assert_array_equal(prepare(waveform, sizes), np.tile(waveform, 100)[:100])
    assert sizes.n_frames(n_samples) == sizes.n_frames(100) == 4


def test_long_waveforms_are_not_repeated():
    waveform, sizes = noise(101), SIZES._replace(min_samples=100)
    np.testing.assert_array_equal(prepare(waveform, sizes), waveform)


@pytest.mark.parametrize("edges", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("block", [1, 3, 19, 20, 21, 22, 150, 500])
def test_blocks_give_the_waveform_as_a_whole(edges, block):
    waveform, sizes = noise(150), SIZES._replace(**edges)
    blocks = (waveform[i : i + block] for i in range(0, len(waveform), block))
    got = np.concatenate(list(prepare_blocks(blocks, sizes)))
    np.testing.assert_array_equal(got, prepare(waveform, sizes))
