import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from joblib import Memory

from sktagger.audio.clips import _READERS, ArrayClips, FileClips, Gap, warn_of_short_sections
from sktagger.audio.reading import Section, read_audio, resample, to_mono


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
    with pytest.raises(ValueError, match="X: clip 0 is None"):
        clips.version(0)


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


@pytest.fixture
def decoded(monkeypatch):
    """Paths of the decoded files, in order."""
    paths = []

    def note(section, sample_rate):
        paths.append(section.path)
        return read_audio(section, sample_rate)

    monkeypatch.setattr("sktagger.audio.clips.read_audio", note)
    return paths


def load_cached(path, cache, sample_rate=16000):
    return FileClips([Section(path)]).cached(cache).load(0, sample_rate)


@pytest.mark.parametrize("kind", [str, Path, lambda path: Memory(path, verbose=0)])
def test_cached_clips_are_decoded_once(write_audio, sine, tmp_path, decoded, kind):
    path = write_audio("a.wav", sine())
    first = load_cached(path, kind(tmp_path / "cache"))
    np.testing.assert_array_equal(load_cached(path, kind(tmp_path / "cache")), first)
    assert len(decoded) == 1
    assert load_cached(path, tmp_path / "cache", 8000).shape == (1, 8000)
    assert len(decoded) == 2


REPLACE = {
    "written": lambda new, path: Path(path).write_bytes(Path(new).read_bytes()),
    "cp": shutil.copyfile,
    "cp -p": shutil.copy2,
    "mv": os.replace,
}


@pytest.mark.parametrize("replace", REPLACE.values(), ids=REPLACE)
def test_replaced_file_is_decoded_anew_though_it_kept_size_and_time(
    write_audio, sine, tmp_path, replace
):
    path, new = write_audio("a.wav", sine()), write_audio("b.wav", 0 * sine())
    for name in (path, new):
        os.utime(name, ns=(10**18, 10**18))
    load_cached(path, tmp_path / "cache")
    replace(new, path)
    os.utime(path, ns=(10**18, 10**18))
    assert not load_cached(path, tmp_path / "cache").any()


def test_cached_clip_of_a_file_that_is_gone(write_audio, sine, tmp_path):
    path = write_audio("a.wav", sine())
    load_cached(path, tmp_path / "cache")
    os.remove(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_cached(path, tmp_path / "cache")


def test_relative_path_names_another_file_in_another_folder(tmp_path, sine, monkeypatch):
    for folder, gain in (("a", 1), ("b", 0)):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "x.wav", gain * sine(), 16000)
        os.utime(tmp_path / folder / "x.wav", ns=(10**18, 10**18))
    sound = []
    for folder in "ab":
        monkeypatch.chdir(tmp_path / folder)
        sound.append(load_cached("x.wav", tmp_path / "cache").any())
    assert sound == [True, False]


def test_cached_path_through_a_link_is_that_of_the_system(write_audio, sine, tmp_path, monkeypatch):
    (tmp_path / "far" / "sub").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "sub")
    write_audio("near/x.wav", sine())
    write_audio("far/x.wav", 0 * sine())
    monkeypatch.chdir(tmp_path / "near")
    assert not load_cached("link/../x.wav", tmp_path / "cache").any()


@pytest.mark.parametrize("position", range(len(_READERS)))
def test_other_decoder_decodes_anew(write_audio, sine, tmp_path, decoded, monkeypatch, position):
    path = write_audio("a.wav", sine())
    load_cached(path, tmp_path / "cache")
    others = [*_READERS[:position], "another", *_READERS[position + 1 :]]
    monkeypatch.setattr("sktagger.audio.clips._READERS", tuple(others))
    load_cached(path, tmp_path / "cache")
    assert len(decoded) == 2


def test_what_is_no_file_on_a_disk_is_not_cached(tmp_path, monkeypatch):
    held = object()
    monkeypatch.setattr(
        "sktagger.audio.clips.read_audio", lambda section, sample_rate: section.path
    )
    assert load_cached(held, tmp_path / "cache") is held
    assert not list(tmp_path.rglob("*.pkl"))


def test_cache_in_the_home_directory(write_audio, sine, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    load_cached(write_audio("a.wav", sine()), "~/cache")
    assert list((tmp_path / "cache").rglob("*.pkl"))


def test_folder_of_a_cache_that_cannot_be_is_named(write_audio, sine):
    path = write_audio("a.wav", sine())
    cache = os.path.join(path, "cache")
    with pytest.raises(OSError, match=rf"memory='{re.escape(cache)}': no clips can be cached"):
        load_cached(path, cache)
