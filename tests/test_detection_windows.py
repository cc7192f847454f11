"""Detection with windows, filters and masks of each event, as published for FBCRNN."""

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from _fbcrnn_reference import published  # noqa: F401
from _level_network import EVENTS, HOP, RATE, LevelModule, make_tagger, sound
from sklearn.frozen import FrozenEstimator

from sktagger import AudioTagger, WALNetTagger
from sktagger.metrics import event_f1
from sktagger.networks import FBCRNN
from sktagger.recordings import EventDetector, detect_events, find_events, read_results, tag_files
from sktagger.recordings._tuning import tune_on_onsets
from sktagger.taggers._adjusting import adjust_network, segments_of_settings

STEP = HOP / RATE


def table(*columns, step=1.0):
    onset = np.arange(len(columns[0])) * step
    index = pd.MultiIndex.from_arrays([onset, onset + step], names=["onset", "offset"])
    return pd.DataFrame(dict(zip("abc", columns, strict=False)), index)


def rows(events):
    return [(row.onset, row.offset, row.event) for row in events.itertuples()]


def same(tables, expected, atol=1e-6):
    for one, other in zip(tables, expected, strict=True):
        pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def tagger():
    return make_tagger()


# Filters of each event


@pytest.mark.parametrize("smoothing", ["median", "change", "boundary"])
def test_each_event_has_its_own_filter(rng, smoothing):
    scores = table(*rng.random((3, 2500)))
    lengths = {"b": 7.0, "c": 0.0, "a": 40.0}
    options = {"smoothing": smoothing, "threshold": 0.4}
    found = find_events(scores, filter_length=lengths, **options)
    assert len(found) >= 3
    for event, length in lengths.items():
        alone = find_events(scores[[event]], filter_length=length, **options)
        of_event = found[found["event"] == event].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_event, alone)
    in_order = find_events(scores, filter_length=[40, 7, 0], **options)
    pd.testing.assert_frame_equal(in_order, found)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"a": 1.0}, "filter_length lacks 1 of 2 events: 'b'.*Pass 0 where there is no filter"),
        ({"a": 1.0, "b": 1.0, "d": 1.0}, "filter_length has the event 'd'"),
        ([1.0], "filter_length is .* each of the 2 events"),
        ([1.0, -2.0], "filter_length of 'b'=-2.0 is out of range"),
        ([np.inf, 2.0], "filter_length of 'a'=inf is out of range"),
    ],
)
def test_wrong_filters_of_events_are_named(lengths, message):
    with pytest.raises(ValueError, match=message):
        find_events(table([0.0], [1.0]), smoothing="median", filter_length=lengths)


# Boundaries


def test_boundaries_make_one_segment_of_each_event():
    scores = table([0, 0.9, 0, 0.8, 0, 0.2, 0], [0.3, 0, 0, 0, 0, 0, 0.6])
    assert rows(find_events(scores, smoothing="boundary")) == [(1, 4, "a"), (6, 7, "b")]
    found = find_events(scores, smoothing="boundary", threshold={"a": 0.1, "b": 0.1})
    assert rows(found) == [(0, 7, "b"), (1, 6, "a")]


@pytest.mark.parametrize("half", [1, 3])
def test_boundaries_are_those_of_the_formula(rng, half):
    """Written out: means beside each cell, their differences, and the highest ones so far."""

    def rises(x):
        x = [0.0] * half + list(x) + [0.0] * half
        n = len(x) - 2 * half
        steps = [np.mean(x[t + half : t + 2 * half]) - np.mean(x[t : t + half]) for t in range(n)]
        return [max(steps[: t + 1]) for t in range(n)]

    x = rng.random(20)
    expected = np.minimum(rises(x), rises(x[::-1])[::-1])
    for threshold in np.sort(expected)[[2, 9, 15]] - 1e-9:
        found = find_events(
            table(x), smoothing="boundary", filter_length=2 * half, threshold=threshold
        )
        inside = np.flatnonzero(expected > threshold)
        assert rows(found) == [(inside[0], inside[-1] + 1, "a")]
        assert found["score"].item() == pytest.approx(expected[inside].mean())


@pytest.mark.parametrize("prefix", ["", "deep."])
def test_published_boundaries(published, prefix):  # noqa: F811
    scores, expected, lengths = (
        published[name]
        for name in (f"{prefix}boundary_scores", f"{prefix}boundary_scores_step20", "seq_len")
    )
    for clip, smoothed, n in zip(scores, expected, lengths, strict=True):
        options = {"smoothing": "boundary", "filter_length": 20, "score": "max"}
        for event, own in enumerate(clip[:, :n].astype(float)):
            for threshold in (-1.0, *np.quantile(smoothed[event, :n], [0.3, 0.8])):
                found = find_events(table(own), threshold=threshold - 1e-9, **options)
                inside = np.flatnonzero(smoothed[event, :n] > threshold - 1e-9)
                assert rows(found) == [(inside[0], inside[-1] + 1, "a")]
                assert found["score"].item() == pytest.approx(smoothed[event, :n].max(), abs=1e-12)


@pytest.mark.parametrize("prefix", ["", "deep."])
def test_published_medians_have_zeros_around_the_clip(published, prefix):  # noqa: F811
    scores, expected = (published[f"{prefix}sed_w11_s1{name}"] for name in ("", "_medfilt21"))
    for clip, smoothed, n in zip(scores, expected, published["seq_len"], strict=True):
        for event, own in enumerate(clip[:, :n].astype(float)):
            for threshold in np.quantile(smoothed[event, :n], [0.2, 0.5, 0.9]) - 1e-9:
                options = {"smoothing": "median", "filter_length": 21, "threshold": threshold}
                found = find_events(table(np.pad(own, 10)), **options)
                covered = np.zeros(n + 20, bool)
                for row in found.itertuples():
                    covered[int(row.onset) : int(row.offset)] = True
                np.testing.assert_array_equal(covered[10:-10], smoothed[event, :n] > threshold)


# Taggers with other windows


def test_adjusted_tagger_shares_weights_and_leaves_the_other_one_alone(tagger):
    clip = sound([0, 0, 0.9, 0, 0], [0, 0.5, 0, 0, 0])
    before = tagger.predict_segments([clip])
    view = adjust_network(tagger, score_window=[3, 1])
    np.testing.assert_allclose(
        view.predict_segments([clip])[0].to_numpy().T,
        [[0, 0.3, 0.3, 0.3, 0], [0, 0.5, 0, 0, 0]],
        atol=1e-6,
    )
    same(tagger.predict_segments([clip]), before, atol=0)
    assert tagger.network_.score_window == 1
    ours, theirs = (list(t.module_.parameters()) for t in (view, tagger))
    assert all(one is other for one, other in zip(ours, theirs, strict=True))


def test_wrong_setting_of_an_adjusted_tagger_is_named():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(800) for _ in range(2)]
    tagger = AudioTagger(FBCRNN(), max_epochs=1, augmentation=None, random_state=0, verbose=0)
    tagger.fit(X, [["a"], ["b"]])
    with pytest.raises(ValueError, match="score_window has 3 windows, but there are 2 events"):
        adjust_network(tagger, score_window=[1, 2, 3])
    with pytest.raises(ValueError, match="score_window"):
        adjust_network(tagger, score_window=0)


def test_windows_are_scored_in_one_pass(tagger):
    rng = np.random.default_rng(0)
    clips = [sound(rng.random(n), rng.random(n)) for n in (7, 30)]
    settings = [{"score_window": window} for window in (1, 5, [3, 2])]
    expected = [adjust_network(tagger, **own).predict_segments(clips) for own in settings]
    LevelModule.n_passes = 0
    tagger.predict_segments(clips)
    n_passes, LevelModule.n_passes = LevelModule.n_passes, 0
    for tables, others in zip(segments_of_settings(tagger, clips, settings), expected, strict=True):
        same(tables, others, atol=0)
    assert LevelModule.n_passes == n_passes


# Windows that are chosen


def make_clips(seed, n_clips=12, n_frames=60):
    """Long events of which every other frame is silent, and short ones beside each other."""
    rng = np.random.default_rng(seed)
    X, events = [], []
    for clip in range(n_clips):
        low, high = rng.uniform(0, 0.05, (2, n_frames))
        first = int(rng.integers(2, 20))
        low[first : first + 24 : 2] = 0.9
        events.append((clip, first * STEP, (first + 24) * STEP, "low"))
        for start in np.cumsum(rng.integers(4, 7, 8)):
            high[start : start + 2] = 0.9
            events.append((clip, start * STEP, (start + 2) * STEP, "high"))
        X.append(sound(low, high, (0.8, 0.8)))
    return X, pd.DataFrame(events, columns=["clip", "onset", "offset", "event"])


@pytest.fixture(scope="module")
def clips():
    return make_clips(0)


@pytest.fixture(scope="module")
def detector(tagger, clips):
    return EventDetector(tagger, score_windows=[1, 9], metric="event_f1").fit(*clips)


def test_window_of_each_event_is_chosen(tagger, detector, clips):
    np.testing.assert_array_equal(detector.score_windows_, [9, 1])
    X, events = make_clips(1)
    assert detector.score(X, events) > 0.85
    for window in (1, 9):
        common = EventDetector(tagger, score_windows=window, metric="event_f1").fit(*clips)
        np.testing.assert_array_equal(common.score_windows_, [window, window])
        assert common.score(X, events) < detector.score(X, events) - 0.05
    once = EventDetector(tagger, score_windows=[1, 9], per_event=False, metric="event_f1")
    assert len(set(once.fit(*clips).score_windows_)) == 1


def test_filter_of_each_event_is_chosen(tagger, clips):
    options = {"smoothing": "median", "filter_length": [0.05, 0.45], "metric": "event_f1"}
    detector = EventDetector(tagger, score_windows=[2], **options).fit(*clips)
    assert detector.options_["filter_length"] == dict(
        zip(EVENTS, detector.filter_length_, strict=True)
    )
    np.testing.assert_array_equal(detector.filter_length_, [0.45, 0.05])
    alone = EventDetector(tagger, per_event=True, **options).fit(*clips)
    assert alone.score_windows_ is None
    assert alone.filter_length_.shape == (2,)
    assert isinstance(EventDetector(tagger, **options).fit(*clips).filter_length_, float)


@pytest.mark.parametrize("per_event", [False, True])
def test_later_one_of_equal_candidates_is_chosen(per_event):
    """A median changes nothing in long events with sharp edges."""
    level = np.zeros(60)
    level[20:40] = 0.9
    scores = [table(level, level, step=STEP)] * 8
    times = {"onset": 1.0, "offset": 2.0}
    truth = [pd.DataFrame({**times, "event": ["a", "b"]})] * 8
    options = {"smoothing": "median", "merge_gap": 0.0, "min_length": 0.0}

    def measure(truth, found, length):
        return event_f1(truth, found, average=None)

    for lengths in ([0.05, 0.15], [0.15, 0.05]):
        chosen = tune_on_onsets(
            [scores] * 3, truth, lengths, options, lambda low: low, measure, per_event
        )
        np.testing.assert_array_equal(chosen.variant, [2, 2])
        np.testing.assert_array_equal(chosen.filter_length, lengths[1])
        assert (chosen.thresholds < 0.9).all()


def test_first_window_is_used_with_weak_labels(tagger, clips):
    X, _ = clips
    detector = EventDetector(tagger, score_windows=[9, 1]).fit(X, [["low"], ["high"]] * 6)
    np.testing.assert_array_equal(detector.score_windows_, [9, 9])


def test_tagger_is_not_changed(tagger, detector, clips):
    assert tagger.network_.score_window == 1
    assert detector.tagger is tagger
    X, _ = clips
    same(tagger.predict_segments(X[:2]), make_tagger().predict_segments(X[:2]), atol=0)


def test_chosen_windows_are_used_everywhere(detector, tmp_path, write_audio):
    X, _ = make_clips(2, 2)
    expected = detector.predict(X)
    assert len(expected[0]) > 3
    same([find_events(t, **detector.options_) for t in detector.predict_scores(X)], expected, 0)
    for own in (detector, FrozenEstimator(detector)):
        same([detect_events(own, clip) for clip in X], expected)
    joblib.dump(detector, tmp_path / "detector.joblib")
    same(joblib.load(tmp_path / "detector.joblib").predict(X), expected)
    files = [write_audio(f"{i}.wav", clip, RATE, subtype="FLOAT") for i, clip in enumerate(X)]
    tag_files(detector, files, tmp_path / "out", kind="events", verbose=0)
    found = read_results(tmp_path / "out")
    of_files = [found[found["file"] == str(file)].drop(columns="file") for file in files]
    in_order = {"by": ["onset", "event"], "ignore_index": True}
    same(*([own.sort_values(**in_order) for own in tables] for tables in (of_files, expected)))


def test_results_of_other_windows_are_refused(tagger, detector, clips, tmp_path, write_audio):
    files = [write_audio("a.wav", clips[0][0], RATE, subtype="FLOAT")]
    tag_files(detector, files, tmp_path / "out", kind="events", verbose=0)
    other = EventDetector(tagger, score_windows=9).fit(*clips)
    other.options_ = detector.options_
    with pytest.raises(ValueError, match="results of other settings: model is"):
        tag_files(other, files, tmp_path / "out", kind="events", resume=True, verbose=0)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([0, 3], r"score_windows=\[0, 3\], but it must be an integer of at least 1"),
        ([1.5], r"score_windows=\[1.5\], but"),
        ([], r"score_windows=\[\], but"),
        (0, "'score_windows' parameter"),
    ],
)
def test_wrong_windows_are_named(tagger, clips, windows, message):
    with pytest.raises(ValueError, match=message):
        EventDetector(tagger, score_windows=windows).fit(*clips)


def test_other_networks_have_no_windows():
    X = np.random.default_rng(0).standard_normal((2, 8000))
    tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0, verbose=0)
    tagger.fit(X, [["a"], []])
    with pytest.raises(ValueError, match=r"the network WALNet has no windows.*such as FBCRNN"):
        EventDetector(tagger, score_windows=[11, 21]).fit(X, [["a"], []])
    with pytest.raises(ValueError, match="'per_event' parameter"):
        EventDetector(tagger, per_event="tune").fit(X, [["a"], []])


def test_boundaries_need_no_windows(tagger, clips):
    """Of networks with windows, the scores of ``score_window=None`` are used."""
    X, events = clips
    wide = adjust_network(tagger, score_window=9)
    detector = EventDetector(wide, smoothing="boundary", filter_length=0.0, metric="event_f1")
    detector.fit(X, events[events["event"] == "low"])
    scores = detector.predict_scores(X[:1])[0]
    same([scores], tagger.predict_segments(X[:1]))
    assert (pd.concat(detector.predict(X)).groupby("event").size() == 12).all()
    found = pd.concat([t.assign(clip=clip) for clip, t in enumerate(detector.predict(X))])
    assert event_f1(*(t[t["event"] == "low"] for t in (events, found))) > 0.7
    detector.fit(X, [["low"], []] * 6)
    assert (pd.concat(detector.predict(X)).groupby("event").size() <= 12).all()


# Masks


def masked_clips(seed=0):
    """Clips in which "low" seems to be, but whose own score says that it is not."""
    X, events = make_clips(seed)
    silent = range(0, 12, 2)
    for clip in silent:
        X[clip] = X[clip] - sound([0], [0] * 60, (0.7, 0.0))
    kept = ~((events["event"] == "low") & events["clip"].isin(silent))
    high = (events["event"] == "high") & events["clip"].isin(range(6))
    return X, events[kept & ~high]


def test_masks_are_the_decisions_about_clips(tagger):
    X, events = masked_clips()
    detector = EventDetector(tagger, tag_masking=True).fit(X, events)
    assert 0.1 < detector.clip_thresholds_[0] < 0.8
    plain = tagger.predict_segments(X)
    decisions = tagger.predict_proba(X) > detector.clip_thresholds_
    expected = [own * decision for own, decision in zip(plain, decisions, strict=True)]
    same(detector.predict_scores(X), expected, atol=0)
    assert [bool(own["low"].any()) for own in expected] == [False, True] * 6
    found = detector.predict(X)
    assert ["low" in set(table["event"]) for table in found] == [False, True] * 6


def test_masking_is_chosen_for_each_event(tagger):
    """The scores of clips say nothing about "high"."""
    X, events = masked_clips()
    swapped = [x + sound([0], [0] * 60, (0.0, 0.1 * (i >= 6) - 0.05)) for i, x in enumerate(X)]
    detector = EventDetector(tagger, tag_masking="tune", per_event=True).fit(swapped, events)
    assert np.isfinite(detector.clip_thresholds_[0])
    high = events[events["event"] == "high"]
    nothing = EventDetector(tagger, tag_masking="tune").fit(
        X[6:], high.assign(clip=high["clip"] - 6)
    )
    assert nothing.clip_thresholds_ is None or len(nothing.clip_thresholds_) == 2


def test_masks_are_tuned_with_weak_labels(tagger):
    X, _ = masked_clips()
    for masking in (True, "tune"):
        detector = EventDetector(tagger, tag_masking=masking)
        detector.fit(X, [["high"], ["low", "high"]] * 6)
        assert 0.1 < detector.clip_thresholds_[0] < 0.8
        found = detector.predict(X)
        assert ["low" in set(table["event"]) for table in found] == [False, True] * 6


def test_long_recording_is_masked_in_parts(tagger, tmp_path, write_audio):
    X, events = masked_clips()
    detector = EventDetector(tagger, tag_masking=True, score_windows=3).fit(X, events)
    recording = np.concatenate([X[0], X[1], X[2], X[3][: 20 * HOP]])
    # the last part is as long as the others: the last 3 s of the recording
    parts = [X[0], X[1], X[2], recording[-60 * HOP :]]
    decisions = tagger.predict_proba(parts) > detector.clip_thresholds_
    plain = adjust_network(tagger, score_window=3).predict_segments([recording])[0]
    expected = plain * decisions[np.minimum(np.arange(200) // 60, 3)]
    same(detector.predict_scores([recording]), [expected], atol=1e-6)
    events = find_events(expected, **detector.options_)
    assert len(events) > 5
    same([detect_events(detector, recording)], [events])
    same(detector.predict([recording]), [events])
    file = write_audio("long.wav", recording, RATE, subtype="FLOAT")
    tag_files(detector, [file], tmp_path / "out", kind="events", verbose=0)
    found = read_results(tmp_path / "out").drop(columns="file")
    same(*([t.sort_values(["onset", "event"], ignore_index=True)] for t in (found, events)))


def test_masks_need_a_recording_that_can_be_read_twice(tagger):
    detector = EventDetector(tagger, tag_masking=True).fit(*masked_clips())
    with pytest.raises(ValueError, match="tag_masking needs a recording that can be read twice"):
        detect_events(detector, iter([np.zeros(RATE, np.float32)]))


def test_results_of_other_masks_are_refused(tagger, tmp_path, write_audio):
    X, events = masked_clips()
    files = [write_audio("a.wav", X[0], RATE, subtype="FLOAT")]
    plain, masked = (
        EventDetector(tagger, tag_masking=masking).fit(X, events) for masking in (False, True)
    )
    masked.options_ = plain.options_
    tag_files(plain, files, tmp_path / "out", kind="events", verbose=0)
    with pytest.raises(ValueError, match="results of other settings: mask is"):
        tag_files(masked, files, tmp_path / "out", kind="events", resume=True, verbose=0)


# Times


def test_events_in_long_recordings_are_at_their_times(tagger):
    """A recording that is scored in blocks: more than 5120 frames."""
    low = np.zeros(9000)
    events = [(123.4, 125.0), (255.95, 256.2), (300.0, 300.5), (449.0, 450.0)]
    for onset, offset in events:
        low[round(onset / STEP) : round(offset / STEP)] = 0.9
    view = adjust_network(tagger, score_window=5)
    recording = sound(low)
    found = detect_events(view, recording, threshold=0.45)
    assert rows(found) == [(*event, "low") for event in events]
    same(detector_tables(view, recording), view.predict_segments([recording]))
    # scores that depend on the whole clip: windows of 2 s
    whole = adjust_network(tagger, score_window=None)
    onsets = [onset for onset, *_ in detector_scores(whole, recording)]
    assert onsets[:3] == [0.0, 1.0, 2.0]


def detector_scores(tagger, recording):
    from sktagger.recordings._score_source import ScoreSource, detection_windows

    return list(ScoreSource(tagger, *detection_windows(tagger, "auto", None)).along(recording))


def detector_tables(tagger, recording):
    scores = detector_scores(tagger, recording)
    index = pd.MultiIndex.from_tuples([row[:2] for row in scores], names=["onset", "offset"])
    return [pd.DataFrame([row[2] for row in scores], index, tagger.classes_)]


@pytest.fixture(scope="module", params=[1, 2])
def fbcrnn(request):
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(16000) for _ in range(2)]
    network = FBCRNN(time_pooling=request.param, score_window=5)
    tagger = AudioTagger(network, max_epochs=1, augmentation=None, random_state=0, verbose=0)
    return tagger.fit(X, [["a"], ["b"]])


def test_segments_of_fbcrnn_are_at_the_times_of_the_sound(fbcrnn):
    """A change of one sample changes the scores of the segments around it alike."""
    step = fbcrnn.network_.time_pooling * 0.02
    x = 0.1 * np.random.default_rng(1).standard_normal(3 * 16000)
    x[0] = 1.0  # the peak, which scales the clip
    x -= x.mean()
    (before,) = fbcrnn.predict_segments([x])
    np.testing.assert_allclose(
        before.index.get_level_values("onset"), np.arange(len(before)) * step
    )
    assert before.index[-1][1] == 3.0
    for segment in (40, 47):
        changed = x.copy()
        middle = int((segment + 0.5) * step * 16000)
        changed[middle : middle + 2] += [0.5, -0.5]  # the mean stays
        (after,) = fbcrnn.predict_segments([changed])
        differs = np.flatnonzero((after - before).abs().max(axis=1) > 1e-6)
        assert abs(differs[0] + differs[-1] - 2 * segment) <= 1


def test_detector_of_fbcrnn(fbcrnn, tmp_path):
    """Each window is computed for the clip, and the detector survives a file."""
    rng = np.random.default_rng(2)
    X = [rng.standard_normal(n) for n in (16000, 24000, 8000)]
    events = pd.DataFrame({"clip": [0, 1], "onset": 0.2, "offset": 0.6, "event": ["a", "b"]})
    detector = EventDetector(
        fbcrnn,
        smoothing="median",
        score_windows=[11, 5],
        tag_masking="tune",
        filter_length=[0.1, 0.3],
    ).fit(X, events)
    assert fbcrnn.network_.score_window == 5
    windows = detector.score_windows_.tolist()
    scores = detector.predict_scores(X)
    expected = adjust_network(fbcrnn, score_window=windows).predict_segments(X)
    if detector.clip_thresholds_ is None:
        same(scores, expected)
    joblib.dump(detector, tmp_path / "detector.joblib")
    same(joblib.load(tmp_path / "detector.joblib").predict(X), detector.predict(X))
    boundary = EventDetector(fbcrnn, smoothing="boundary").fit(X, events)
    with torch.no_grad():
        whole = adjust_network(fbcrnn, score_window=None)
    same(boundary.predict_scores(X), whole.predict_segments(X))


def test_decisions_about_long_clips_are_for_parts_of_30_s(tagger):
    """An event is in a clip if it is in one of its parts."""
    there, absent = (sound([0.9] * 700, pilots=(level, 0.0)) for level in (0.8, 0.1))
    early = np.concatenate([there[:20000], absent[20000:]])  # of 35 s, the first 20 s
    detector = EventDetector(tagger, tag_masking=True)
    detector.fit([early, absent] * 3, [["low"], []] * 3)
    assert 0.1 < detector.clip_thresholds_[0] < 0.8
    (scores,) = detector.predict_scores([early])
    # the last part is that of 5 to 35 s
    assert (scores["low"] > 0.5).all()
    assert not detector.predict_scores([absent])[0]["low"].any()
    long = np.concatenate([early, absent])  # parts of 0 to 30, 30 to 60 and 40 to 70 s
    (scores,) = detector.predict_scores([long])
    np.testing.assert_array_equal(scores["low"] > 0.5, np.arange(1400) * STEP < 30)
