"""Events in recordings: which thresholds count, and how recordings are named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _networks import TinyNet
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktagger import AudioTagger, ThresholdTuner, TunedThresholdTagger, WALNetTagger
from sktagger.audio.reading import Section
from sktagger.recordings import detect_events, find_events

EVENTS = ["high", "low"]


@pytest.fixture(scope="module")
def data():
    """Noise (low) and clicks (high) of 4 s at 8 kHz."""
    rng = np.random.default_rng(0)
    Y = np.array([[0, 1], [1, 0]] * 4)
    X = rng.standard_normal((8, 32000)).astype(np.float32) * np.where(Y[:, :1], 0.01, 0.3)
    return X, pd.DataFrame(Y, columns=EVENTS)


@pytest.fixture(scope="module")
def tagger(data):
    return WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(*data)


@pytest.fixture(scope="module")
def tuned(tagger, data):
    return TunedThresholdTagger(tagger, cv="prefit").fit(*data)


def test_events_are_those_of_the_scores_in_time(tagger, data):
    clip = data[0][0]
    events = detect_events(tagger, clip, threshold=0.4, smoothing="median", min_length=1.0)
    (scores,) = tagger.predict_segments([clip])
    expected = find_events(scores, threshold=0.4, smoothing="median", min_length=1.0)
    pd.testing.assert_frame_equal(events, expected)


def test_threshold_is_that_of_the_tuned_tagger(tagger, tuned, data):
    X, _ = data
    expected = detect_events(tagger, X, threshold=dict(zip(EVENTS, tuned.thresholds_, strict=True)))
    pd.testing.assert_frame_equal(detect_events(tuned, X), expected)
    pd.testing.assert_frame_equal(detect_events(FrozenEstimator(tuned), X), expected)


def test_threshold_is_that_of_the_tuner_in_a_pipeline(tagger, data):
    X, Y = data
    tuner = ThresholdTuner().fit(tagger.predict_proba(X), Y)
    pipeline = make_pipeline(tagger, tuner)
    expected = detect_events(tagger, X, threshold=tuner.thresholds_)
    pd.testing.assert_frame_equal(detect_events(pipeline, X), expected)


def test_threshold_without_tuning_is_one_half(tagger, data):
    X, _ = data
    expected = detect_events(tagger, X, threshold=0.5)
    pd.testing.assert_frame_equal(detect_events(tagger, X), expected)
    pd.testing.assert_frame_equal(detect_events(make_pipeline(tagger), X), expected)


def test_given_threshold_goes_before_the_tuned_one(tuned, data):
    assert len(detect_events(tuned, data[0], threshold=2.0)) == 0


def test_one_recording_has_no_column_of_names(tagger, data, write_audio):
    clip = data[0][0]
    path = write_audio("a.wav", clip, 8000)
    options = {"threshold": -1.0, "smoothing": None}
    expected = [("high", 0, 3.84), ("low", 0, 3.84)]  # whole segments only
    for source in (path, Path(path), (path, 0, None), Section(path), clip, (clip, 8000)):
        events = detect_events(tagger, source, **options)
        assert (
            list(zip(events["event"], events["onset"], events["offset"], strict=True)) == expected
        )


def test_several_recordings_are_named_by_path_or_position(tagger, data, write_audio):
    paths = [write_audio(f"{i}.wav", clip, 8000) for i, clip in enumerate(data[0][:2])]
    events = detect_events(tagger, paths, threshold=-1.0, smoothing=None)
    assert list(events.columns) == ["file", "onset", "offset", "event", "score"]
    assert events["file"].tolist() == [paths[0]] * 2 + [paths[1]] * 2
    clips = [paths[0], (paths[1], 0, None)]
    named = detect_events(tagger, clips, threshold=-1.0, smoothing=None)
    assert named["clip"].tolist() == [0, 0, 1, 1]
    assert list(detect_events(tagger, data[0], threshold=2.0).columns) == list(named.columns)


def test_recording_that_cannot_be_read_has_no_events(tagger, data, write_audio, tmp_path):
    path = write_audio("a.wav", data[0][0], 8000)
    tolerant = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0, on_error="skip")
    tolerant.fit(*data)
    with pytest.warns(UserWarning, match="1 of 2 clips of X cannot be read"):
        events = detect_events(tolerant, [str(tmp_path / "none.wav"), path], threshold=-1.0)
    assert events["file"].unique().tolist() == [path]


def test_wrong_tagger_is_refused(tagger, data):
    for wrong in (
        LogisticRegression(),
        BaseEstimator(),
        make_pipeline(tagger, LogisticRegression()),
    ):
        with pytest.raises(TypeError, match="no scores in time"):
            detect_events(wrong, data[0])
    with pytest.raises(NotFittedError):
        detect_events(WALNetTagger(), data[0])


def test_wrong_source_or_threshold_is_named(tagger, data):
    with pytest.raises(ValueError, match=r"For the files a\.wav, b\.wav, pass a list"):
        detect_events(tagger, ("a.wav", "b.wav"))
    with pytest.raises(ValueError, match="threshold='best' is unknown"):
        detect_events(tagger, data[0], threshold="best")


@pytest.mark.parametrize("smoothing", [None, "median", "change"])
def test_a_recording_is_streamed_with_the_events_of_its_segments(data, smoothing):
    tagger = AudioTagger(TinyNet(rate=8000), max_epochs=20, lr=1e-2, random_state=0).fit(*data)
    level = np.repeat([0.01, 0.3, 0.01], 160_000)
    noise = np.random.default_rng(3).standard_normal(len(level)) * level
    (scores,) = tagger.predict_segments([noise])
    # the network tells the levels apart, so no score is close to the threshold for long
    threshold = ((scores.min() + scores.max()) / 2).to_dict()
    expected = find_events(scores, threshold=threshold, smoothing=smoothing)
    assert len(expected) >= 2
    assert set(expected["event"]) == set(EVENTS)
    got = detect_events(tagger, noise, threshold=threshold, smoothing=smoothing)
    pd.testing.assert_frame_equal(got, expected)


def test_events_of_windows(tagger):
    noise = np.random.default_rng(3).standard_normal(160_000)
    found = list(tagger.iter_scores(noise, 4, 2))
    times = pd.MultiIndex.from_tuples([x[:2] for x in found], names=["onset", "offset"])
    scores = pd.DataFrame([x[2] for x in found], times, tagger.classes_)
    expected = find_events(scores, threshold=0.3, smoothing="median")
    for source in (noise, iter(np.split(noise, 10))):
        got = detect_events(tagger, source, threshold=0.3, window=4, hop=2)
        pd.testing.assert_frame_equal(got, expected, atol=5e-3)  # bfloat16
    both = detect_events(tagger, [noise, noise], threshold=0.3, window=4, hop=2)
    assert both["clip"].tolist() == [0] * len(expected) + [1] * len(expected)
