"""Files that cannot be read, and unusual files that can."""

import os
import re
import signal
import struct
import warnings

import numpy as np
import pytest
import soundfile
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from sktagger import ThresholdTuner, TunedThresholdTagger, WALNetTagger
from sktagger.audio.reading import Section, audio_info, read_audio
from sktagger.metrics import map_scorer, mf1_scorer

RATE = 8000


@pytest.fixture(autouse=True)
def no_hang():
    """Raise an error instead of blocking forever, as when a named pipe is opened."""

    def stop(*args):
        raise TimeoutError("a file is waited for")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)


def noise(n_samples=RATE, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n_samples).astype(np.float32)


def with_sample(value):
    samples = noise()
    samples[50] = value
    return samples


def write(path, samples=None, **kwargs):
    soundfile.write(path, noise() if samples is None else samples, RATE, **kwargs)


def cut(path, part, **kwargs):
    write(path, **kwargs)
    os.truncate(path, int(part * os.path.getsize(path)))


def patch(path, offset, value):
    """Write a 32-bit number into the header of a WAV file."""
    write(path)
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(struct.pack("<I", value))


def promise(path):
    """Write the maximum number of samples into the header of a FLAC file."""
    write(path)
    with open(path, "r+b") as file:
        file.seek(21)
        bits = file.read(1)[0]
        file.seek(21)
        file.write(bytes([bits | 0x0F, 255, 255, 255, 255]))


# file -> (function that makes it, its error message, whether the header shows the error)
BAD = {
    "missing.wav": (lambda path: None, "does not exist", True),
    "directory.wav": (os.mkdir, "is a directory", True),
    "empty.wav": (lambda path: path.touch(), r"is empty \(0 bytes\)", True),
    "text.wav": (lambda path: path.write_text("no sound"), "cannot be read as audio", True),
    "raw.raw": (lambda path: path.write_bytes(bytes(100)), "cannot be read as audio", True),
    "pipe.wav": (os.mkfifo, "not a regular file", True),
    "loop.wav": (lambda path: path.symlink_to(path), "Too many levels of symbolic links", True),
    "dangling.wav": (lambda path: path.symlink_to("nowhere.wav"), "cannot be opened", True),
    "x" * 300 + ".wav": (lambda path: None, "File name too long", True),
    "nul\0.wav": (lambda path: None, "null byte", True),
    "header.wav": (lambda path: cut(path, 0.001), "cannot be read as audio", True),
    "cut.wav": (lambda path: cut(path, 0.5), "bytes more than the file has", True),
    "cut.aiff": (lambda path: cut(path, 0.5), "bytes more than the file has", True),
    "cut.au": (lambda path: cut(path, 0.5), "bytes more than the file has", True),
    "cut.caf": (lambda path: cut(path, 0.5), "cannot be read as audio", True),
    "cut.w64": (lambda path: cut(path, 0.5), "bytes more than the file has", True),
    "cut_rf64.wav": (lambda path: cut(path, 0.5, format="RF64"), "bytes more than", True),
    "cut.flac": (lambda path: cut(path, 0.5), "cannot be decoded|data ends after", False),
    "cut.ogg": (lambda path: cut(path, 0.5), "has no samples: its last page is missing", True),
    "cut.mp3": (lambda path: cut(path, 0.5), "data ends after", False),
    "long.wav": (lambda path: patch(path, 40, 10**6), "bytes more than the file has", True),
    "promise.flac": (promise, "more than the file can hold", True),
    "nothing.wav": (lambda path: write(path, noise(0)), "has no samples", True),
    "rate0.wav": (lambda path: patch(path, 24, 0), "cannot be read as audio", True),
    "nan.wav": (lambda path: write(path, with_sample(np.nan), subtype="FLOAT"), "is NaN", False),
    "inf.wav": (lambda path: write(path, with_sample(np.inf), subtype="FLOAT"), "is NaN", False),
}


@pytest.fixture
def bad_files(tmp_path):
    """Paths of files, one of each kind."""
    for name, (make, _, _) in BAD.items():
        make(tmp_path / name)
    return [str(tmp_path / name) for name in BAD]


@pytest.mark.parametrize("name", BAD)
def test_error_names_file_and_cause(tmp_path, name):
    make, cause, in_header = BAD[name]
    make(tmp_path / name)
    section = Section(str(tmp_path / name))
    with pytest.raises((OSError, ValueError), match=cause) as caught:
        (audio_info if in_header else lambda section: read_audio(section, RATE))(section)
    assert repr(section.path) in str(caught.value)


def test_file_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    write(tmp_path / "long.wav")

    def read(*args, **kwargs):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("sktagger.audio.reading.soundfile.SoundFile.read", read)
    with pytest.raises(MemoryError, match=r"long\.wav': does not fit into memory .*9 TiB"):
        read_audio(Section(str(tmp_path / "long.wav")), RATE)


def test_file_without_permission(tmp_path, monkeypatch):
    write(tmp_path / "secret.wav")

    def refuse(path, *args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sktagger.audio._files.os.stat", refuse)
    with pytest.raises(PermissionError, match=r"secret\.wav' cannot be opened: Permission denied"):
        audio_info(Section(str(tmp_path / "secret.wav")))


# unusual, but audio

GOOD = {
    "one_sample.wav": {"samples": noise(1)},
    "zero.wav": {"samples": np.zeros(800)},
    "constant.wav": {"samples": np.full(800, 0.5)},
    "clipping.wav": {"samples": np.sign(noise())},
    "pcm_u8.wav": {"subtype": "PCM_U8"},
    "pcm_24.wav": {"subtype": "PCM_24"},
    "float.wav": {"subtype": "FLOAT"},
    "double.wav": {"subtype": "DOUBLE"},
    "channels.wav": {"samples": np.tile(noise()[:, None], 32)},
    "rf64.wav": {"format": "RF64"},
    "a.w64": {},
    "a.aiff": {},
    "a.caf": {},
    "a.flac": {},
    "a.ogg": {},
    "opus.ogg": {"format": "OGG", "subtype": "OPUS"},
    "a.mp3": {},
    "wind, Ünïcode 風 🦉.wav": {},
    "y" * 251 + ".wav": {},
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_files_are_read(tmp_path, name):
    write(tmp_path / name, **GOOD[name])
    section = Section(str(tmp_path / name))
    waveform = read_audio(section, RATE)
    assert waveform.shape[1] == audio_info(section)[0]
    assert np.isfinite(waveform).all()


@pytest.mark.parametrize("rate", [1, 50, 11025, 192000, 384000])
def test_odd_rates_are_resampled(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", noise(2 * rate), rate)
    assert read_audio(Section(str(tmp_path / "a.wav")), RATE).shape == (1, 2 * RATE)


@pytest.mark.parametrize("size", [2**32 - 1, 2**31 - 2**12])
def test_size_that_a_pipe_did_not_know(tmp_path, size):
    patch(tmp_path / "a.wav", 40, size)
    assert read_audio(Section(str(tmp_path / "a.wav")), RATE).shape == (1, RATE)


def test_section_before_the_cut_is_read(tmp_path):
    cut(tmp_path / "a.wav", 0.5)
    assert read_audio(Section(str(tmp_path / "a.wav"), 0, 1000), RATE).shape == (1, 1000)


# training and prediction among them


@pytest.fixture
def good_files(tmp_path):
    paths = [str(tmp_path / f"good_{i}.wav") for i in range(8)]
    for i, path in enumerate(paths):
        write(path, noise(RATE + 100 * i, i))
    return paths


@pytest.fixture
def mixed(good_files, bad_files):
    """Paths of good and bad files, their events, and a mask of the bad files."""
    paths = good_files[:4] + bad_files + good_files[4:]
    bad = np.isin(paths, bad_files)
    Y = np.arange(3 * len(paths)).reshape(-1, 3) % 2
    return paths, Y, bad


def make_tagger(**params):
    settings = {"sample_rate": RATE, "max_epochs": 1, "batch_size": 3, "random_state": 0}
    return WALNetTagger(**(settings | {"verbose": 0} | params))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_skip_leaves_out_the_bad_ones_only(mixed, n_jobs):
    paths, Y, bad = mixed
    tagger = make_tagger(on_error="skip", n_jobs=n_jobs)
    message = f"{bad.sum()} of {len(bad)} clips of X cannot be read and were left out"
    with pytest.warns(UserWarning, match=message) as caught:
        tagger.fit(paths, Y)
    assert len(caught) == 1
    assert tagger.skipped_["position"].tolist() == np.flatnonzero(bad).tolist()
    for cause, (_, expected, _) in zip(tagger.skipped_["cause"], BAD.values(), strict=True):
        assert re.search(expected, cause)

    with pytest.warns(UserWarning, match=f"{bad.sum()} of {len(bad)} .* scores of NaN") as caught:
        scores = tagger.predict_proba(paths)
    assert len(caught) == 1
    np.testing.assert_array_equal(np.isnan(scores).all(axis=1), bad)
    np.testing.assert_array_equal(np.isnan(scores).any(axis=1), bad)
    alone = tagger.predict_proba(
        [path for path, is_bad in zip(paths, bad, strict=True) if not is_bad]
    )
    np.testing.assert_allclose(scores[~bad], alone, rtol=0, atol=1e-6)


def test_skip_trains_as_without_them_where_headers_tell(good_files, tmp_path):
    Y = np.arange(24).reshape(8, 3) % 2
    with pytest.warns(UserWarning, match="1 of 9 clips of X"):
        skipping = make_tagger(on_error="skip").fit(
            [*good_files[:3], str(tmp_path / "gone.wav"), *good_files[3:]],
            np.insert(Y, 3, 1, axis=0),
        )
    without = make_tagger().fit(good_files, Y)
    np.testing.assert_array_equal(
        skipping.predict_proba(good_files), without.predict_proba(good_files)
    )
    assert len(without.skipped_) == 0


def test_warn_names_each(mixed):
    paths, Y, bad = mixed
    with pytest.warns(UserWarning, match="Left out") as caught:
        make_tagger(on_error="warn").fit(paths, Y)
    assert len(caught) == bad.sum()


def test_raise_comes_before_training_where_the_header_tells(good_files, tmp_path):
    cut(tmp_path / "cut.wav", 0.5)
    paths = [*good_files, str(tmp_path / "cut.wav")]
    tagger = make_tagger()
    with pytest.raises(ValueError, match=r"cut\.wav': the header promises \d+ bytes more"):
        tagger.fit(paths, np.arange(27).reshape(9, 3) % 2)
    assert not hasattr(tagger, "net_")


class AfterFirstRound(Callback):
    """Change the files during training."""

    def __init__(self, action):
        self.action = action

    def on_epoch_end(self, net, **kwargs):
        if self.action is not None:
            self.action()
        self.action = None


@pytest.mark.parametrize(
    ("change", "message"),
    [(os.remove, "does not exist"), (lambda path: write(path, noise(5000)), "has changed: it had")],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_file_that_changes_during_training(good_files, change, message, on_error):
    action = AfterFirstRound(lambda: change(good_files[5]))
    tagger = make_tagger(on_error=on_error, max_epochs=3, callbacks=[action])
    Y = np.arange(24).reshape(8, 3) % 2
    if on_error == "raise":
        with pytest.raises((OSError, ValueError), match=rf"good_5\.wav'.*{message}"):
            tagger.fit(good_files, Y)
        assert tagger.n_iter_ == 3  # the first validation interval is not lost
        return
    with pytest.warns(UserWarning, match=rf"1 of 8 clips of X .*good_5\.wav'.*{message}"):
        tagger.fit(good_files, Y)
    assert tagger.skipped_["position"].tolist() == [5]
    assert tagger.history_["n_epochs"].tolist() == [1, 2, 3]


def test_bad_validation_clips_are_named_by_their_place(mixed, good_files):
    paths, Y, bad = mixed
    Y_train = np.arange(24).reshape(8, 3) % 2
    with pytest.warns(UserWarning, match="clips of X_val cannot be read"):
        tagger = make_tagger(on_error="skip").fit(good_files, Y_train, X_val=paths, Y_val=Y)
    assert set(tagger.skipped_["container"]) == {"X_val"}
    assert tagger.skipped_["position"].tolist() == np.flatnonzero(bad).tolist()


def test_clips_set_apart_keep_their_place(good_files, tmp_path):
    write(tmp_path / "nan.wav", with_sample(np.nan), subtype="FLOAT")
    paths = [*good_files, str(tmp_path / "nan.wav")]
    tagger = make_tagger(on_error="skip", validation_fraction=0.5)
    with pytest.warns(UserWarning, match=r"1 of \d clips of X"):
        tagger.fit(paths, np.arange(27).reshape(9, 3) % 2)
    assert tagger.skipped_["container"].tolist() == ["X"]
    assert tagger.skipped_["position"].tolist() == [8]


def test_bad_waveform_is_named_by_its_place():
    clips = [noise(seed=i) for i in range(6)]
    clips[4] = with_sample(np.inf)
    Y = np.arange(18).reshape(6, 3) % 2
    with pytest.raises(ValueError, match="Clip 4: sample"):
        make_tagger(validation_fraction=0.5).fit(clips, Y)


@pytest.mark.parametrize("where", ["header", "data"])
def test_no_clip_can_be_read(tmp_path, where):
    paths = [str(tmp_path / f"{i}.wav") for i in range(2)]
    if where == "data":
        for path in paths:
            write(path, with_sample(np.nan), subtype="FLOAT")
    with pytest.raises(ValueError, match=r"Not one clip of X can be read. The first: .*0\.wav"):
        make_tagger(on_error="skip").fit(paths, [["a"], ["b"]])


@pytest.fixture
def fitted(good_files):
    return make_tagger(on_error="skip").fit(good_files, np.arange(24).reshape(8, 3) % 2)


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_what_follows_from_scores_of_nan(fitted, mixed):
    paths, Y, bad = mixed
    good = np.array(paths)[~bad]
    assert not fitted.predict(paths)[bad].any()
    assert [len(table) > 0 for table in fitted.predict_segments(paths)] == (~bad).tolist()
    assert fitted.score(paths, Y) == pytest.approx(fitted.score(good, Y[~bad]))
    assert map_scorer(fitted, paths, Y) == pytest.approx(map_scorer(fitted, good, Y[~bad]))
    tuner = ThresholdTuner().fit(fitted.predict_proba(paths), Y)
    expected = ThresholdTuner().fit(fitted.predict_proba(good), Y[~bad])
    np.testing.assert_allclose(tuner.thresholds_, expected.thresholds_, atol=1e-6)
    assert not tuner.predict(fitted.predict_proba(paths))[bad].any()


def test_thresholds_refuse_scores_that_lack_in_part(rng):
    scores, Y = rng.random((10, 2)), rng.integers(0, 2, (10, 2))
    scores[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN among the scores of clip 3"):
        ThresholdTuner().fit(scores, Y)
    with pytest.raises(ValueError, match="no clip with scores"):
        ThresholdTuner().fit(np.full((10, 2), np.nan), Y)


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_labels_cannot_be_given_to_clips_without_scores(good_files, tmp_path):
    tagger = make_tagger(on_error="skip").fit(good_files, list("abcdabcd"))
    with pytest.raises(ValueError, match="Clip 1 has no scores"):
        tagger.predict([good_files[0], str(tmp_path / "gone.wav")])


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_cross_validation_and_pipelines_go_on(good_files, tmp_path):
    paths = np.array([*good_files, str(tmp_path / "gone.wav")])
    Y = np.arange(27).reshape(9, 3) % 2
    tagger = make_tagger(on_error="skip")
    for model in (
        tagger,
        make_pipeline(tagger, ThresholdTuner()),
        TunedThresholdTagger(tagger, cv=2),
    ):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fit_transform scores")
            scores = cross_val_score(model, paths, Y, cv=2, scoring=mf1_scorer, error_score="raise")
        assert np.isfinite(scores).all()
