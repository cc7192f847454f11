"""A tuned EventDetector in the functions that find events in recordings."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from sktagger import AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.commands.tag import tag
from sktagger.networks import EfficientAT
from sktagger.recordings import EventDetector, detect_events, read_results, tag_files

RATE = 8000


def sounds(n_clips, seed):
    """Two seconds of noise somewhere in a tone of 6 s, and where."""
    rng = np.random.default_rng(seed)
    X = np.tile(0.3 * np.sin(np.arange(6 * RATE)), (n_clips, 1)).astype(np.float32)
    onsets = rng.integers(0, 4, n_clips).astype(float)
    for clip, onset in zip(X, onsets, strict=True):
        clip[int(onset * RATE) :][: 2 * RATE] = rng.uniform(-0.3, 0.3, 2 * RATE)
    return X, pd.DataFrame(
        {"clip": range(n_clips), "onset": onsets, "offset": onsets + 2, "event": "noise"}
    )


@pytest.fixture(scope="module")
def tagger():
    rng = np.random.default_rng(0)
    X = [rng.uniform(-1, 1, 2 * RATE), np.sin(np.arange(2 * RATE))] * 4
    tagger = WALNetTagger(
        sample_rate=RATE,
        max_epochs=4,
        augmentation=None,
        batch_size=4,
        precision="float32",
        random_state=0,
        verbose=0,
    )
    return tagger.fit(X, [["noise"], ["tone"]] * 4)


@pytest.fixture(scope="module")
def detector(tagger):
    detector = EventDetector(tagger, smoothing="median", hysteresis=0.5).fit(*sounds(4, 0))
    # The tuned thresholds are so close to 1 that rounding would decide about events.
    detector.options_["threshold"] = {"noise": 0.5, "tone": 0.6}
    detector.options_["low"] = {"noise": 0.25, "tone": 0.3}
    return detector


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, _ = sounds(2, 1)
    for name, clip in zip(("a.wav", "b.wav"), X, strict=True):
        soundfile.write(name, clip, RATE, subtype="FLOAT")
    return ["a.wav", "b.wav"]


@pytest.fixture
def expected(detector, files):
    """The events that the detector finds in all files."""
    tables = detector.predict(files)
    for file, table in zip(files, tables, strict=True):
        table.insert(0, "file", file)
    events = pd.concat(tables, ignore_index=True)
    assert len(events) > 0
    return events


def test_events_are_those_of_the_detector(detector, files, expected):
    pd.testing.assert_frame_equal(
        detect_events(detector, files), expected, check_dtype=False, atol=1e-4
    )
    of_file = expected[expected["file"] == "b.wav"].drop(columns="file").reset_index(drop=True)
    for same in (detector, FrozenEstimator(detector)):
        pd.testing.assert_frame_equal(detect_events(same, "b.wav"), of_file, atol=1e-4)
    highest = detect_events(detector, "b.wav", score="max")
    assert (highest["score"] >= of_file["score"]).all()


def test_archive_and_command_find_the_same(detector, files, expected, tmp_path):
    tag_files(detector, files, "out", kind="events", verbose=0)
    rows = read_results("out")
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False, atol=1e-4)
    rows = pd.concat([result.rows for result in tag(detector, files, kind="detect", verbose=0)])
    pd.testing.assert_frame_equal(
        rows.reset_index(drop=True), expected, check_dtype=False, atol=1e-4
    )
    # the detector is a part of the settings
    with pytest.raises(ValueError, match="results of other settings: detection is"):
        tag_files(detector.tagger, files, "out", kind="events", resume=True, verbose=0)


def test_scores_of_clips_and_windows_are_those_of_its_tagger(detector, tagger, files):
    tuned = TunedThresholdTagger(tagger, cv="prefit").fit(files * 3, [["noise"], []] * 3)
    around = EventDetector(tuned).fit(*sounds(4, 0))
    for kind in ("clips", "segments"):
        for wrapped, plain in ((detector, tagger), (around, tuned)):
            one, other = (
                pd.concat([result.rows for result in tag(t, files, kind=kind, verbose=0)])
                for t in (wrapped, plain)
            )
            pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize(
    "given",
    [
        {"threshold": 0.5},
        {"threshold": {"noise": 0.5, "tone": 0.5}},
        {"low": 0.2},
        {"smoothing": "change"},
        {"min_length": 1.0},
        {"window": 2.0},
        {"window": None},
        {"window": 2.0, "hop": 1.0},
        {"hop": 1.0},
    ],
)
def test_what_the_detector_has_tuned_cannot_be_given(detector, files, given):
    name = "hop" if set(given) == {"hop"} else next(iter(given))
    with pytest.raises(ValueError, match=rf"^{name}=.* is given, but tagger is an EventDetector"):
        detect_events(detector, "a.wav", **given)
    archived = {k: v for k, v in given.items() if k in ("threshold", "window", "hop")}
    detection = {k: v for k, v in given.items() if k not in archived}
    with pytest.raises(ValueError, match=rf"^{name}=.* is given, but tagger is an EventDetector"):
        tag_files(detector, files, "out", kind="events", detection=detection, **archived)


def test_given_defaults_are_no_conflict(detector, files):
    assert detect_events(
        detector, "a.wav", threshold="tuned", min_length=0.0, window="auto"
    ).equals(detect_events(detector, "a.wav"))


def test_detector_that_is_not_fitted(tagger, files):
    with pytest.raises(NotFittedError, match="EventDetector"):
        detect_events(EventDetector(tagger), "a.wav")


def test_windows_are_those_that_were_tuned(files, monkeypatch):
    """Segments of EfficientAT depend on the whole clip, so there are windows of 2 s every 1 s."""
    X, events = sounds(2, 0)
    tagger = AudioTagger(
        EfficientAT(width=0.1), max_epochs=1, batch_size=2, random_state=0, verbose=0
    )
    tagger.fit([(clip[: 2 * RATE], RATE) for clip in X], [["noise"], ["tone"]])
    windows = []
    original = AudioTagger.iter_scores

    def iter_scores(self, source, window=None, hop=None, **options):
        windows.append((window, hop))
        return original(self, source, window, hop, **options)

    monkeypatch.setattr(AudioTagger, "iter_scores", iter_scores)
    detector = EventDetector(tagger).fit([(clip, RATE) for clip in X], events)
    detect_events(detector, "a.wav")
    detect_events(detector, files)
    assert windows == [(2.0, 1.0)] * 5
