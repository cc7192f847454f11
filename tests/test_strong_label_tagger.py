"""Pseudo strong labels, and the tagger that is trained with them."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from _tones import make_tones
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from sktagger import AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.networks import CRNN, FBCRNN, StrongCRNNModule, WALNet
from sktagger.recordings import (
    EventDetector,
    StrongLabelTagger,
    detect_events,
    find_events,
    pseudo_labels,
    read_results,
    tag_files,
)
from sktagger.training.callbacks import Checkpoint

SETTINGS = {"max_epochs": 4, "batch_size": 4, "random_state": 0, "verbose": 0}
SECOND = AudioTagger(CRNN(sample_rate=2000), **SETTINGS)


class Recorder(BaseEstimator):
    """A second stage that keeps what it is trained with."""

    def fit(self, X, y, **params):
        self.given_ = X, y, params
        self.classes_ = y.columns.to_numpy()
        return self

    def predict_segments(self, X):
        return []


@pytest.fixture(scope="module")
def tones():
    return make_tones(8)


@pytest.fixture(scope="module")
def detector(tones):
    X, Y, events = tones
    first = AudioTagger(FBCRNN(sample_rate=2000, score_window=5), **SETTINGS)
    return EventDetector(first.fit(X, Y, events=events)).fit(X, events)


def test_events_that_weak_labels_rule_out_are_left_out(detector, tones):
    X, Y, _ = tones
    given = Y.assign(a=0)[["b", "a"]]  # names decide, not positions
    weak, events = pseudo_labels(detector, X, given)
    assert weak.columns.tolist() == ["a", "b"]
    np.testing.assert_array_equal(weak, given[["a", "b"]])
    found = detector.predict(X)
    assert any("a" in set(table["event"]) for table in found)
    for table, kept, row in zip(found, events, given.itertuples(), strict=True):
        expected = table[table["event"] == "b"] if row.b else table[:0]
        pd.testing.assert_frame_equal(kept, expected)


def test_predictions_are_the_weak_labels_of_other_clips(detector, tones):
    X, *_ = tones
    tuned = TunedThresholdTagger(detector.tagger, cv="prefit").fit(X, tones[1])
    wrapped = EventDetector(tuned).fit(X, tones[2])
    for each in (detector, wrapped, FrozenEstimator(detector)):
        weak, events = pseudo_labels(each, X)
        tagger = each.estimator.tagger if isinstance(each, FrozenEstimator) else each.tagger
        np.testing.assert_array_equal(weak, tagger.predict(X))
        for table, row in zip(events, weak.to_numpy(), strict=True):
            assert set(table["event"]) <= set(weak.columns[row > 0])


def test_second_stage_gets_labeled_and_unlabeled_clips(detector, tones):
    X, Y, _ = tones
    more, _, _ = make_tones(3, seed=1)
    tagger = StrongLabelTagger(detector, Recorder())
    tagger.fit(X, Y, unlabeled=more, groups=range(11))
    clips, y, params = tagger.estimator_.given_
    np.testing.assert_array_equal(np.stack(clips), [*X, *more])
    weak, events = pseudo_labels(detector, more)
    np.testing.assert_array_equal(y, [*Y.to_numpy(), *weak.to_numpy()])
    assert params["groups"] == range(11)
    assert len(params["events"]) == 11
    for found, expected in zip(params["events"][8:], events, strict=True):
        pd.testing.assert_frame_equal(found, expected)
    assert tagger.events_ is params["events"]


def test_unlabeled_clips_may_be_in_another_container(detector, tones, write_audio):
    X, Y, _ = tones
    paths = [write_audio(f"{i}.wav", clip / 3, 2000) for i, clip in enumerate(X)]
    sections = pd.DataFrame({"path": paths[:2], "start": 0, "stop": 1000})
    tagger = StrongLabelTagger(detector, Recorder())
    tagger.fit(np.array(paths), Y, unlabeled=sections)
    clips = tagger.estimator_.given_[0]
    assert clips[:8] == paths
    assert len(AudioTagger.predict_proba(detector.tagger, clips)) == 10


def test_all_clips_may_be_without_labels(detector, tones):
    X, *_ = tones
    tagger = StrongLabelTagger(detector, Recorder()).fit(X)
    weak, _ = pseudo_labels(detector, X)
    pd.testing.assert_frame_equal(tagger.estimator_.given_[1], weak)


@pytest.fixture(scope="module")
def strong(detector, tones):
    X, Y, _ = tones
    return StrongLabelTagger(detector, SECOND).fit(X, Y, unlabeled=make_tones(4, seed=1)[0])


def test_scores_are_those_of_the_second_stage(strong, tones):
    X, Y, _ = tones
    second = strong.estimator_
    assert isinstance(second.network_, CRNN)
    assert list(strong.classes_) == ["a", "b"]
    np.testing.assert_array_equal(strong.predict_proba(X), second.predict_proba(X))
    np.testing.assert_array_equal(strong.predict(X), second.predict(X))
    assert strong.score(X, Y) == second.score(X, Y)
    for first, other in zip(strong.predict_segments(X), second.predict_segments(X), strict=True):
        pd.testing.assert_frame_equal(first, other)
    along = [scores for *_, scores in strong.iter_scores(X[0])]
    np.testing.assert_allclose(along, strong.predict_segments(X[:1])[0], atol=1e-5)


def test_detector_takes_the_second_stage(strong, tones):
    X, _, events = tones
    detector = EventDetector(strong, filter_length=0.06).fit(X, events)
    assert 0 <= detector.score(X, events) <= 1
    found = detect_events(strong, X[0], threshold=0.3)
    # frames of 20 ms, not windows, though their scores depend on the whole clip
    pd.testing.assert_frame_equal(
        found.drop(columns="score"),
        find_events(strong.predict_segments(X[:1])[0], threshold=0.3).drop(columns="score"),
    )
    assert len(detect_events(detector, X[:2]).columns) == 5


def test_detector_tunes_the_windows_of_a_second_stage_that_has_some(detector, tones):
    X, Y, events = tones
    second = AudioTagger(FBCRNN(sample_rate=2000), **SETTINGS)
    strong = StrongLabelTagger(detector, second).fit(X, Y)
    tuned = EventDetector(strong, score_windows=[5, 11]).fit(X, events)
    assert len(tuned.predict(X)) == 8


def test_archives_are_tagged_by_the_second_stage(strong, tones, write_audio, tmp_path):
    path = write_audio("a.wav", tones[0][0] / 3, 2000)
    tag_files(strong, [path], tmp_path / "results", kind="events", threshold=0.3)
    found = read_results(tmp_path / "results")
    expected = detect_events(strong, path, threshold=0.3)
    assert sorted(found["event"]) == sorted(expected["event"])


def test_it_must_be_fitted(detector, tones):
    tagger = StrongLabelTagger(detector)
    for call in (tagger.predict_proba, tagger.predict_segments, tagger.predict):
        with pytest.raises(NotFittedError):
            call(tones[0])
    with pytest.raises(NotFittedError):
        detect_events(tagger, tones[0][0])


def test_copies_share_a_frozen_detector(detector, tones):
    X, Y, _ = tones
    tagger = StrongLabelTagger(FrozenEstimator(detector), Recorder())
    copy = clone(tagger)
    assert copy.fit(X, Y).detector.estimator is detector
    assert tagger.get_params(deep=False).keys() == {"detector", "estimator"}


def test_self_training(detector, tones):
    """The first stage learns from unlabeled clips, too: the lines of docs/recipe.md."""
    X, Y, _ = tones
    more, _, _ = make_tones(4, seed=1)
    weak, events = pseudo_labels(detector, X, Y)
    weak_more, events_more = pseudo_labels(detector, more)
    again = clone(detector.tagger).fit(
        [*X, *more], pd.concat([weak, weak_more]), events=events + events_more
    )
    assert again.predict_proba(more).shape == (4, 2)


def test_wrong_detectors_are_named(detector, tones):
    X, Y, _ = tones
    with pytest.raises(TypeError, match="detector is AudioTagger, but it must be a fitted Event"):
        StrongLabelTagger(detector.tagger).fit(X, Y)
    with pytest.raises(NotFittedError):
        StrongLabelTagger(EventDetector(detector.tagger)).fit(X, Y)
    with pytest.raises(ValueError, match="'estimator' parameter"):
        StrongLabelTagger(detector, "CRNN").fit(X, Y)
    with pytest.raises(ValueError, match="detector finds no event in any of the 8 clips"):
        StrongLabelTagger(detector, SECOND).fit(X, Y * 0)
    with pytest.raises(ValueError, match="X has 8 clips, but y has 7 rows"):
        pseudo_labels(detector, X, Y[:7])
    weak = WALNetTagger(sample_rate=2000, **SETTINGS)
    with pytest.raises(ValueError, match="events is given, but WALNet learns from weak labels"):
        StrongLabelTagger(detector, weak).fit(X, Y)


TAGGED = CRNN(sample_rate=2000, tag_conditioned=True)


@pytest.fixture(scope="module")
def conditioned(detector, tones):
    X, Y, events = tones
    masking = EventDetector(detector.tagger, tag_masking=True).fit(X, events)
    return StrongLabelTagger(masking, AudioTagger(TAGGED, **SETTINGS)).fit(X, Y)


def test_first_stage_becomes_a_part_of_a_second_one_that_takes_tags(conditioned, tones):
    X, *_ = tones
    first, module = conditioned.detector.tagger, conditioned.estimator_.module_
    for name, tensor in first.module_.state_dict().items():
        assert torch.equal(module.first_stage.state_dict()[name], tensor)
    thresholds = conditioned.detector.clip_thresholds_
    np.testing.assert_allclose(module.tag_thresholds, thresholds, rtol=1e-6)
    given = []
    predict_tags = module.predict_tags
    module.predict_tags = lambda *inputs: given.append(predict_tags(*inputs)) or given[-1]
    conditioned.predict_segments(X)
    del module.predict_tags
    expected = first.predict_proba(X) > thresholds
    np.testing.assert_array_equal(np.sort(torch.cat(given), 0), np.sort(expected, 0))


def test_tags_are_labels_in_training_and_predictions_in_validation(detector, tones, monkeypatch):
    X, Y, _ = tones
    given = {True: [], False: []}
    features = StrongCRNNModule.segment_features

    def record(self, layer, stft, n_frames, tags=None, **distortions):
        given[self.training].append(tags)
        return features(self, layer, stft, n_frames, tags, **distortions)

    monkeypatch.setattr(StrongCRNNModule, "segment_features", record)
    second = AudioTagger(TAGGED, **SETTINGS | {"augmentation": None, "max_epochs": 1})
    StrongLabelTagger(detector, second).fit(X, Y, X_val=X, Y_val=1 - Y)
    tags = torch.cat(given[True])
    assert tags.dtype == torch.float32
    assert sorted(tags.tolist()) == sorted(Y.to_numpy().tolist())
    assert given[False]
    assert all(tags is None for tags in given[False])


def test_thresholds_of_tags_are_those_by_which_the_tagger_predicts(detector, tones):
    X, Y, events = tones
    second = AudioTagger(TAGGED, **SETTINGS | {"max_epochs": 1})
    tuned = TunedThresholdTagger(detector.tagger, cv="prefit").fit(X, Y)
    for tagger, expected in ((detector.tagger, [0.5, 0.5]), (tuned, tuned.thresholds_)):
        strong = StrongLabelTagger(EventDetector(tagger).fit(X, events), second).fit(X, Y)
        np.testing.assert_allclose(strong.estimator_.module_.tag_thresholds, expected, rtol=1e-6)
    partly = EventDetector(tuned, tag_masking=True).fit(X, events)
    partly.clip_thresholds_[1] = -np.inf  # as if masks had not helped
    strong = StrongLabelTagger(partly, second).fit(X, Y)
    expected = [partly.clip_thresholds_[0], tuned.thresholds_[1]]
    np.testing.assert_allclose(strong.estimator_.module_.tag_thresholds, expected, rtol=1e-6)


def test_second_stage_with_tags_is_saved_pickled_and_trained_further(conditioned, tones, tmp_path):
    X, Y, events = tones
    second, path = conditioned.estimator_, tmp_path / "second.sktagger"
    expected = second.predict_proba(X)
    second.save(path)
    loaded = AudioTagger.load(path)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert loaded.network.tag_conditioned
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(second)).predict_proba(X), expected)
    going_on = clone(second).set_params(init_from=path, max_epochs=1)
    going_on.fit(X, Y, events=events)
    for name, tensor in second.module_.first_stage.state_dict().items():
        assert torch.equal(going_on.module_.first_stage.state_dict()[name], tensor)
    for other in (["b", "a"], ["a", "c"]):
        renamed = pd.DataFrame(Y.to_numpy(), columns=other)
        moved = events.assign(event=events["event"].map(dict(zip("ab", other, strict=True))))
        with pytest.raises(
            ValueError, match=r"the events 'a', 'b', but this tagger has .* same or"
        ):
            going_on.fit(X, renamed, events=moved)
    with pytest.raises(ValueError, match=r"inputs of CRNN\(.*cannot have other events"):
        second.map_classes({"c": "a"})


def test_long_recordings_have_the_tags_of_windows(conditioned):
    clip = np.random.default_rng(0).normal(0, 0.1, 2000 * 110).astype(np.float32)
    module, given = conditioned.estimator_.module_, []
    predict_tags = module.predict_tags
    module.predict_tags = lambda *inputs: given.append(predict_tags(*inputs)) or given[-1]
    (table,) = conditioned.predict_segments([clip])
    del module.predict_tags
    assert len(table) == 5500
    assert len(given) > 5


def test_checkpoint_goes_on_with_the_same_first_stage_only(detector, tones, tmp_path):
    X, Y, events = tones
    checkpoint = Checkpoint(tmp_path, on_mismatch="raise")
    second = AudioTagger(TAGGED, **SETTINGS | {"max_epochs": 1, "callbacks": [checkpoint]})
    StrongLabelTagger(detector, second).fit(X, Y)
    again = StrongLabelTagger(detector, second).fit(X, Y)
    assert again.estimator_.n_iter_ == 2  # was read from the checkpoint
    other = EventDetector(detector.tagger, tag_masking=True).fit(X, events)
    with pytest.raises(ValueError, match="first_stage"):
        StrongLabelTagger(other, second).fit(X, Y)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (FBCRNN(sample_rate=2000, time_pooling=2), "has an FBCRNN with time_pooling=2. Train"),
        (WALNet(sample_rate=2000), "has a WALNet. Train an FBCRNN with the same depth"),
    ],
    ids=str,
)
def test_first_stage_must_fit_a_second_one_that_takes_tags(tones, network, message):
    X, Y, _ = tones
    first = AudioTagger(network, **SETTINGS | {"max_epochs": 1}).fit(X, Y)
    strong = StrongLabelTagger(EventDetector(first).fit(X, Y), AudioTagger(TAGGED, **SETTINGS))
    with pytest.raises(ValueError, match=message):
        strong.fit(X, Y)
