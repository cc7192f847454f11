import math
import os

import numpy as np
import pytest

from sktagger.audio import Section, resample, to_mono
from sktagger.clips import ArrayClips, FileClips, Gap, warn_of_short_sections


def test_file_clips_know_their_resampled_length(write_audio, sine):
    path = write_audio("clip.wav", sine(1.0, 8000)[:1001], 8000)
    clips = FileClips([Section(path), Section(path, 10, 20)])
    assert len(clips) == 2
    for index, n_samples in enumerate([1001, 10]):
        length = math.ceil(n_samples * 44100 / 8000)
        assert clips.n_samples(index, 44100) == length
        assert clips.load(index, 44100).shape == (1, length)


def test_file_clips_are_not_opened_before_they_are_asked_for(tmp_path):
    clips = FileClips([Section(str(tmp_path / "gone.wav"))])
    assert len(clips) == 1
    with pytest.raises(FileNotFoundError, match="gone"):
        clips.n_samples(0, 16000)


def test_array_clips_of_any_shape():
    clips = ArrayClips([np.zeros(100), np.zeros((2, 70))])
    assert len(clips) == 2
    assert [clips.n_samples(i, 16000) for i in range(2)] == [100, 70]
    assert [clips.load(i, 16000).shape for i in range(2)] == [(1, 100), (2, 70)]


@pytest.mark.parametrize(
    ("dtype", "full"),
    [("i1", 2**7), ("i2", 2**15), (">i2", 2**15), ("i4", 2**31), ("f4", 1), (">f8", 1)],
)
def test_array_clips_scale_integers_by_their_range(dtype, full):
    values = np.array([-1.0, -0.5, 0.0, 0.25, 0.5])
    waveform = ArrayClips([(values * full).astype(dtype)]).load(0, 16000)
    assert waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, [values])


def test_array_clips_with_rates_are_resampled(sine):
    samples = sine(0.25, 22050)
    clips = ArrayClips([samples, samples, samples], rates=[22050, None, 8000]).take([0, 2, 1])
    expected = resample(samples[None], 22050, 8000)
    assert [clips.n_samples(index, 8000) for index in range(3)] == [2000, 5512, 5512]
    np.testing.assert_array_equal(clips.load(0, 8000), expected)
    for index in (1, 2):
        np.testing.assert_array_equal(clips.load(index, 8000), samples[None])


def test_order_in_memory_changes_no_bit(rng):
    stereo = rng.standard_normal((2, 1000)).astype(np.float32)
    clips = ArrayClips([stereo, np.asfortranarray(stereo)])
    assert clips.load(1, 8000).flags.c_contiguous
    np.testing.assert_array_equal(to_mono(clips.load(1, 8000)), to_mono(clips.load(0, 8000)))


@pytest.mark.parametrize("container", [FileClips, ArrayClips])
def test_gaps_are_errors_when_they_are_read(container):
    clips = container([Gap("X: clip 0 is None")])
    for method in (clips.n_samples, clips.load):
        with pytest.raises(ValueError, match="X: clip 0 is None"):
            method(0, 8000)


def test_only_sections_without_a_full_window_are_warned_of(sizes):
    clips = FileClips([Section("a.wav"), Section("b.wav", 0, 5), Section("c.wav", 7, None)])
    with pytest.warns(UserWarning, match=r"b\.wav.*samples 0 to 5.*\(1 such sections"):
        warn_of_short_sections(clips, np.array([5, 5, 40]), sizes)
    for short, lengths in [(clips, [5, 40, 41]), (ArrayClips([np.zeros(5)]), [5])]:
        warn_of_short_sections(short, np.array(lengths), sizes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_array_clips_that_are_not_finite(bad):
    clips = ArrayClips([np.zeros(5), np.array([0.0, 1.0, bad])])
    with pytest.raises(ValueError, match="Clip 1: sample 2 is NaN or infinite"):
        clips.load(1, 16000)


@pytest.mark.parametrize("bad", [[np.inf, -np.inf], [1e39]])
def test_samples_that_are_no_finite_float32_are_named(bad):
    with pytest.raises(ValueError, match="Clip 0: sample 0 is NaN or infinite"):
        ArrayClips([np.array([*bad, 0.0])]).load(0, 16000)


def test_large_finite_samples_are_read():
    samples = np.array([1e38, 3e38], dtype=np.float32)
    np.testing.assert_array_equal(ArrayClips([samples]).load(0, 16000), [samples])


def test_cached_clips_are_decoded_once_and_anew_when_changed(write_audio, sine, tmp_path):
    path = write_audio("a.wav", sine())
    clips = FileClips([Section(path)]).cached(tmp_path / "cache")
    first = clips.load(0, 16000)
    modified = os.stat(path).st_mtime_ns
    write_audio("a.wav", 0 * sine())
    os.utime(path, ns=(modified, modified))
    np.testing.assert_array_equal(clips.load(0, 16000), first)
    os.utime(path, ns=(modified + 10**9, modified + 10**9))
    np.testing.assert_array_equal(clips.load(0, 16000), 0 * first)
    os.remove(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        clips.load(0, 16000)
