"""EventDetector: what it tunes with onsets, and what with weak labels."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sktagger import ThresholdTuner, WALNetTagger
from sktagger.metrics import event_f1, segment_f1
from sktagger.recordings import EventDetector, detect_events

STEP = 0.5
N_CELLS = 40


class TableTagger(BaseEstimator):
    """A tagger whose clips are the scores in time themselves, (n_cells * 2,) samples."""

    def __sklearn_is_fitted__(self):
        return True

    @property
    def classes_(self):
        return np.array(["a", "b"])

    def fit(self, X, y):
        return self

    def predict_segments(self, X):
        onset = np.arange(N_CELLS) * STEP
        index = pd.MultiIndex.from_arrays([onset, onset + STEP], names=["onset", "offset"])
        return [pd.DataFrame(clip.reshape(-1, 2), index, columns=["a", "b"]) for clip in X]


def make_clips(n_clips, seed):
    """Noisy scores of events; those of "b" are low, even inside of events."""
    rng = np.random.default_rng(seed)
    X = np.clip(rng.normal(0.05, 0.05, (n_clips, N_CELLS, 2)), 0, 1)
    rows = []
    for clip in range(n_clips):
        for place, (name, level) in enumerate([("a", 0.8), ("b", 0.25)]):
            if rng.random() < 0.6:
                start, n_cells = rng.integers(0, 28), rng.integers(4, 12)
                inside = slice(start, start + n_cells)
                X[clip, inside, place] = np.clip(rng.normal(level, 0.05, n_cells), 0, 1)
                rows.append((clip, start * STEP, (start + n_cells) * STEP, name))
    return X.reshape(n_clips, -1), pd.DataFrame(rows, columns=["clip", "onset", "offset", "event"])


def weak(events, n_clips):
    Y = pd.DataFrame(0, index=range(n_clips), columns=["a", "b"])
    for row in events.itertuples():
        Y.loc[row.clip, row.event] = 1
    return Y


@pytest.fixture(scope="module")
def clips():
    return make_clips(30, 0)


@pytest.fixture(scope="module")
def new_clips():
    return make_clips(30, 1)


@pytest.mark.parametrize("smoothing", [None, "median", "change"])
@pytest.mark.parametrize("metric", ["segment_f1", "event_f1"])
def test_thresholds_are_tuned_with_onsets(clips, new_clips, smoothing, metric):
    detector = EventDetector(TableTagger(), smoothing=smoothing, metric=metric).fit(*clips)
    assert 0.05 < detector.thresholds_[1] < 0.25
    assert detector.score(*new_clips) > (0.9 if metric == "segment_f1" else 0.5)
    untuned = detect_events(TableTagger(), new_clips[0], smoothing=smoothing)
    truth = new_clips[1]
    before = segment_f1(truth, untuned, [20.0] * 30, average=None)
    assert before["b"] < 0.5


@pytest.mark.parametrize("smoothing", [None, "median", "change"])
@pytest.mark.parametrize("min_length", [0.0, 1.2])
def test_thresholds_are_tuned_with_weak_labels(clips, new_clips, smoothing, min_length):
    detector = EventDetector(TableTagger(), smoothing=smoothing, min_length=min_length)
    Y = weak(clips[1], 30)
    detector.fit(clips[0], Y)
    assert detector.filter_length_ is None
    assert detector.thresholds_[1] < 0.3
    assert detector.score(new_clips[0], weak(new_clips[1], 30)) > 0.9
    lists = [[name for name in Y if row[name]] for _, row in Y.iterrows()]
    np.testing.assert_array_equal(
        detector.fit(clips[0], lists).thresholds_, detector.fit(clips[0], Y.to_numpy()).thresholds_
    )


def test_score_is_the_metric_of_the_predictions(clips, new_clips):
    X, truth = new_clips
    for metric in ("segment_f1", "event_f1"):
        detector = EventDetector(TableTagger(), metric=metric).fit(*clips)
        found = pd.concat([t.assign(clip=i) for i, t in enumerate(detector.predict(X))])
        expected = {
            "segment_f1": segment_f1(truth, found, [20.0] * 30),
            "event_f1": event_f1(truth, found),
        }
        assert detector.score(X, truth) == pytest.approx(expected[metric])


def test_options_make_the_same_events(clips, new_clips):
    detector = EventDetector(TableTagger(), smoothing="median", hysteresis=0.5, merge_gap=1.0)
    detector.fit(*clips)
    np.testing.assert_allclose(list(detector.options_["low"].values()), detector.thresholds_ / 2)
    found = pd.concat(detector.predict(new_clips[0]), ignore_index=True)
    same = detect_events(TableTagger(), new_clips[0], **detector.options_)
    pd.testing.assert_frame_equal(same.drop(columns="clip"), found)


def test_length_of_the_filter_is_chosen(clips):
    X, events = clips
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(X.shape) < 0.15, 0.9, X)  # single cells
    detector = EventDetector(TableTagger(), smoothing="median", filter_length=[0.5, 2.5])
    assert detector.fit(noisy, events).filter_length_ == 2.5
    assert detector.set_params(filter_length=0.5).fit(noisy, events).filter_length_ == 0.5
    assert (
        detector.set_params(filter_length=[1.5, 9]).fit(X, weak(events, 30)).filter_length_ == 1.5
    )


def test_event_without_onsets_gets_the_threshold_of_the_others(clips):
    X, events = clips
    detector = EventDetector(TableTagger()).fit(X, events[events["event"] == "a"])
    assert detector.thresholds_[0] == detector.thresholds_[1]


def test_tuner_of_weak_labels_can_be_chosen(clips):
    X, events = clips
    Y = weak(events, 30)
    strict = EventDetector(TableTagger(), tuner=ThresholdTuner(metric="fbeta", beta=0.05))
    mild = EventDetector(TableTagger(), tuner=ThresholdTuner(metric="fbeta", beta=20))
    assert (strict.fit(X, Y).thresholds_ > mild.fit(X, Y).thresholds_).all()


def test_files_may_be_named_by_their_end(write_audio):
    rng = np.random.default_rng(0)
    X = [write_audio(f"{i}.wav", rng.normal(0, 0.1, 32000), 8000) for i in range(4)]
    Y = [["noise"], [], ["noise"], []]
    tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(X, Y)
    labels = pd.DataFrame({"file": ["0.wav", X[2]], "onset": 0.0, "offset": 2.0, "event": "noise"})
    detector = EventDetector(tagger).fit(X, labels)
    assert len(detector.predict(X)) == 4
    with pytest.raises(ValueError, match=r"the file '9\.wav', which is not a clip of X"):
        detector.fit(X, labels.assign(file="9.wav"))
    with pytest.raises(ValueError, match=r"fits 2 clips of X"):
        detector.fit([X[0], X[0]], labels[:1])


def test_detector_is_cloned_and_searched_with_a_frozen_tagger(clips):
    X, events = clips
    detector = EventDetector(FrozenEstimator(TableTagger()), min_length=0.5)
    copy = clone(detector)
    assert copy.get_params()["min_length"] == 0.5
    search = GridSearchCV(copy, {"min_length": [0.0, 15.0]}, cv=2)
    search.fit(X, weak(events, 30).to_numpy())
    assert search.best_params_ == {"min_length": 0.0}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"smoothing": "mean"}, "'smoothing' parameter"),
        ({"filter_length": -1.0}, "'filter_length' parameter"),
        ({"metric": "f1"}, "'metric' parameter"),
        ({"hysteresis": 1.5}, "'hysteresis' parameter"),
        ({"min_length": -1.0}, "'min_length' parameter"),
    ],
)
def test_parameters_are_checked_in_fit(clips, params, message):
    with pytest.raises(ValueError, match=message):
        EventDetector(TableTagger(), **params).fit(*clips)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda events: events.assign(event="aa"), "'aa', which the tagger does not know"),
        (lambda events: events.assign(clip=99), "the clip 99, but X has 30 clips"),
        (lambda events: events.rename(columns={"clip": "file"}), "clips of X are not all paths"),
        (lambda events: events.drop(columns="clip"), "no column 'file' or 'clip'"),
        (lambda events: events[:0], "events has no rows"),
    ],
)
def test_wrong_events_are_named(clips, change, message):
    X, events = clips
    with pytest.raises(ValueError, match=message):
        EventDetector(TableTagger()).fit(X, change(events))
