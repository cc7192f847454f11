import _reference as reference
import librosa
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from sktagger.audio.onsets import stretched_onsets
from sktagger.audio.spectral import STFT, STFTSizes, frame_onsets, stft

AT_44K = STFTSizes(n_fft=2048, hop_length=882, win_length=1764)


def as_complex(spectrum):
    return spectrum[..., 0] + 1j * spectrum[..., 1]


def test_stft_of_the_published_system(parity):
    waveform = parity["waveform"][0]
    spectrum = stft(waveform, frame_onsets(len(waveform), AT_44K), AT_44K)
    assert spectrum.shape == (79, 1025, 2)
    np.testing.assert_allclose(spectrum, parity["waveform_stft"][0], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "hop_length", "win_length"),
    [(44100, 2048, 882, 1764), (16000, 1024, 320, 640), (8000, 512, 160, 320), (10, 2, 1, 2)],
)
def test_default_sizes_are_20_and_40_ms(sample_rate, n_fft, hop_length, win_length):
    sizes = STFT().sizes(sample_rate)
    assert sizes[:4] == (n_fft, hop_length, win_length, "blackman")
    assert sizes.n_bins == n_fft // 2 + 1


def test_given_sizes_are_kept():
    settings = STFT(n_fft=512, hop_length=100, win_length=300, window="hann")
    assert settings.sizes(16000)[:4] == (512, 100, 300, "hann")
    assert STFT(n_fft=np.int64(512)).sizes(16000).n_fft == 512


def test_fft_length_follows_a_given_window():
    assert STFT(win_length=512).sizes(16000).n_fft == 512
    assert STFT(win_length=513).sizes(16000).n_fft == 1024


def test_settings_clone():
    settings = STFT(hop_length=100)
    assert clone(settings).get_params() == settings.get_params()


@pytest.mark.parametrize("name", ["n_fft", "hop_length", "win_length"])
@pytest.mark.parametrize("value", [0, -5, 2.0, "512", True])
def test_sizes_must_be_positive_integers(name, value):
    with pytest.raises(ValueError, match=f"STFT: {name}={value!r}, but it must be an integer"):
        STFT(**{name: value}).sizes(16000)


def test_unknown_window():
    with pytest.raises(ValueError, match="window='blakman' is not a window"):
        STFT(window="blakman").sizes(16000)


def test_window_with_parameters_may_be_a_list_as_in_json():
    expected = STFT(window=("kaiser", 8.0)).sizes(16000)
    assert STFT(window=["kaiser", 8.0]).sizes(16000) == expected
    assert expected.window == ("kaiser", 8.0)


def test_window_of_samples_is_refused_in_a_short_message():
    with pytest.raises(ValueError, match=r"STFT: window=array.* is not a window") as caught:
        STFT(window=np.hanning(640)).sizes(16000)
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize(("seconds", "n_frames"), [(1.5, 74), (5, 249), (10, 499), (15, 749)])
def test_number_of_frames_at_44k(seconds, n_frames):
    n_samples = int(seconds * 44100)
    assert AT_44K.n_frames(n_samples) == n_frames
    assert AT_44K.max_frames(seconds, 44100) == n_frames
    assert len(frame_onsets(n_samples, AT_44K)) == n_frames


@pytest.mark.parametrize("n_samples", [1, 39, 40, 41, 59, 60, 61, 79, 80, 1000])
def test_tail_that_fills_no_frame_is_dropped(sizes, n_samples):
    onsets = frame_onsets(n_samples, sizes)
    assert onsets.tolist() == reference.plain_onsets(n_samples, 20, 40)
    assert sizes.n_frames(n_samples) == len(onsets)


@pytest.mark.parametrize(
    "sizes", [STFTSizes(64, 20, 40), STFTSizes(32, 7, 32), STFTSizes(33, 5, 9)]
)
def test_stft_is_that_of_the_naive_twin(rng, sizes):
    waveform = rng.normal(size=200)
    onsets = frame_onsets(200, sizes)
    spectrum = stft(waveform, onsets, sizes)
    expected = reference.stft(waveform, onsets, sizes.win_length, sizes.n_fft)
    assert spectrum.dtype == np.float32
    assert spectrum.shape == (len(onsets), sizes.n_bins, 2)
    np.testing.assert_allclose(as_complex(spectrum), expected, rtol=0, atol=1e-4)


def test_stft_is_that_of_librosa(rng):
    sizes = STFTSizes(n_fft=512, hop_length=160, win_length=512)
    waveform = rng.normal(size=4000).astype(np.float32)
    expected = librosa.stft(
        waveform, n_fft=512, hop_length=160, win_length=512, window="blackman", center=False
    )
    spectrum = as_complex(stft(waveform, frame_onsets(4000, sizes), sizes))
    np.testing.assert_allclose(spectrum, expected.T, rtol=0, atol=1e-4)


def test_zeros_are_appended_to_the_frame_not_put_around_it():
    sizes = STFTSizes(n_fft=64, hop_length=20, win_length=40)
    waveform = np.zeros(40)
    waveform[20] = 1.0
    spectrum = as_complex(stft(waveform, [0], sizes))[0]
    phase = np.exp(-2j * np.pi * 20 * np.arange(33) / 64)
    np.testing.assert_allclose(spectrum, reference.blackman(40)[20] * phase, rtol=0, atol=1e-6)


def test_window_longer_than_the_fft_is_cut(rng):
    sizes = STFT(n_fft=32, win_length=40, hop_length=20).sizes(1000)
    waveform = rng.normal(size=100)
    spectrum = stft(waveform, frame_onsets(100, sizes), sizes)
    assert spectrum.shape == (4, 17, 2)
    expected = reference.stft(waveform, [0, 20, 40, 60], 40, 32)
    np.testing.assert_allclose(as_complex(spectrum), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 10, 39])
def test_clip_shorter_than_the_window_has_one_frame(rng, sizes, n_samples):
    waveform = rng.normal(size=n_samples)
    spectrum = stft(waveform, frame_onsets(n_samples, sizes), sizes)
    expected = reference.stft(waveform, [0], 40, 64)
    assert spectrum.shape == (1, 33, 2)
    np.testing.assert_allclose(as_complex(spectrum), expected, rtol=0, atol=1e-5)


def test_stft_of_uneven_onsets(rng, sizes):
    waveform = rng.normal(size=300)
    onsets = np.array([0, 3, 100, 100, 260])
    expected = reference.stft(waveform, onsets, 40, 64)
    spectrum = as_complex(stft(waveform, onsets, sizes))
    np.testing.assert_allclose(spectrum, expected, rtol=0, atol=1e-4)


@example(n_samples=1764, factors=12 * [1.0])
@example(n_samples=44100 + 1764, factors=12 * [1.0])
@settings(max_examples=60, deadline=None)
@given(
    n_samples=st.integers(1, 5 * 44100),
    factors=st.lists(st.floats(0.5, 1.5), min_size=12, max_size=12),
)
def test_stretched_onsets_are_those_of_the_naive_twin(n_samples, factors):
    onsets = stretched_onsets(n_samples, AT_44K, 44100, iter(factors).__next__)
    expected = reference.stretched_onsets(n_samples, 882, 1764, 44100, factors)
    assert onsets.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(n_samples=st.integers(1, 3000), factors=st.lists(st.floats(0.5, 1.5), min_size=8))
def test_stretched_frames_lie_inside_the_clip(n_samples, factors):
    sizes = STFTSizes(n_fft=64, hop_length=20, win_length=40)
    onsets = stretched_onsets(n_samples, sizes, 1000, iter(factors).__next__)
    assert onsets[0] == 0
    assert np.all(np.diff(onsets) > 0)
    assert onsets[-1] <= max(0, n_samples - 40)


def test_each_second_has_its_own_factor():
    onsets = stretched_onsets(3 * 44100, AT_44K, 44100, iter([0.5, 1.0, 1.5]).__next__)
    hops = np.diff(onsets)
    assert set(hops) == {1764, 882, 588}
    assert np.all(np.diff(hops) <= 0)


def test_factor_above_one_gives_more_frames():
    counts = [
        len(stretched_onsets(44100 * 5, AT_44K, 44100, lambda f=f: f)) for f in (0.5, 1.0, 1.5)
    ]
    assert counts == [125, 249, 373]


def test_no_factor_is_drawn_for_a_clip_shorter_than_the_window(sizes):
    def draw():
        raise AssertionError("drawn")

    assert stretched_onsets(39, sizes, 1000, draw).tolist() == [0]
