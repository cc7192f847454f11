"""Onsets and offsets of events in training: from tables to frames, and their part in the loss."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from _tones import make_tones
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from sktagger import AudioTagger, Augmentation, ThresholdTuner, TunedThresholdTagger
from sktagger.audio.clips import ArrayClips
from sktagger.audio.draws import WaveformDraw
from sktagger.audio.spectral import STFTSizes, frame_onsets
from sktagger.batching.activity import frame_positions
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.device_transfer import to_device
from sktagger.batching.plans import Example, Part, TrainingPlan, plain_example
from sktagger.batching.smaller_batches import select_clips
from sktagger.metrics import map_scorer
from sktagger.networks import FBCRNN, WALNet
from sktagger.taggers import _fitting
from sktagger.targets import check_targets, read_event_times
from sktagger.training.callbacks import Checkpoint

RATE = 1000
SIZES = STFTSizes(64, 20, 60, edges="zeros")  # frame k is centered at (k + 1/2) * 20 ms
COLUMNS = ["clip", "onset", "offset", "event"]
NETWORK = FBCRNN(sample_rate=2000)
SETTINGS = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "verbose": 0, "n_jobs": 1}


def table(*rows):
    return pd.DataFrame(list(rows), columns=COLUMNS)


def dataset_of(lengths, Y, *rows, sizes=SIZES, **settings):
    clips = [np.ones(n, np.float32) for n in lengths]
    targets = check_targets(pd.DataFrame(Y, columns=["a", "b"]))
    lengths = np.array(lengths)
    times = read_event_times(table(*rows), clips, targets).within(lengths / RATE, str)
    indicator = targets.indicator.astype(np.float32)
    return ClipDataset(ArrayClips(clips), lengths, RATE, sizes, indicator, times=times, **settings)


def frames_of(dataset, *parts):
    """The frames in which "a", then "b" is active, for an example of given parts."""
    n_frames = max(part.onset + len(dataset.onsets_of(part)) for part in parts)
    activity = dataset.activity([Example(n_frames, parts)])["activity"]
    assert activity.shape == (1, 2, 16)
    assert activity.dtype == torch.float32
    assert set(activity.unique().tolist()) <= {0, 1}
    return [np.flatnonzero(row).tolist() for row in activity[0]]


def test_frame_is_active_if_its_center_lies_inside_of_an_event():
    dataset = dataset_of(
        [100], [[1, 1]], (0, 0.02, 0.05, "a"), (0, 0, 0.02, "b"), (0, 0.07, 0.5, "b")
    )
    assert frames_of(dataset, Part(0)) == [[1], [0, 3, 4]]


def test_last_frame_counts_though_its_center_lies_after_the_end():
    dataset = dataset_of([105], [[1, 1]], (0, 0.02, 0.105, "a"), (0, 0.0, 0.1, "b"))
    assert frames_of(dataset, Part(0)) == [[1, 2, 3, 4, 5], [0, 1, 2, 3, 4]]


def test_event_between_two_centers_is_in_no_frame():
    dataset = dataset_of([100], [[1, 1]], (0, 0.012, 0.028, "a"))
    assert frames_of(dataset, Part(0)) == [[], []]


def test_frames_of_a_warped_clip_are_where_their_samples_are():
    dataset = dataset_of([100], [[1, 1]], (0, 0.015, 0.06, "a"), (0, 0.06, 0.1, "b"))
    draw = WaveformDraw(0, 2.0, np.array([0, 10, 45, 50, 85, 120]))  # centers 10 samples later
    assert frames_of(dataset, Part(0, draw)) == [[1, 2], [3, 4, 5]]


def test_rolled_event_wraps_around():
    dataset = dataset_of([100], [[1, 1]], (0, 0.055, 0.1, "a"), (0, 0.0, 0.015, "b"))
    draw = WaveformDraw(30, 1.0, frame_onsets(100, SIZES))  # centers from 80, 0, 20, 40, 60
    assert frames_of(dataset, Part(0, draw)) == [[0, 4], [1]]


def test_rolled_activity_is_that_of_the_rolled_audio():
    clip = np.zeros(200, np.float32)
    clip[150:160] = 1
    times = read_event_times(table((0, 0.15, 0.16, "a")), [clip], check_targets([["a"]]))
    targets = np.ones((1, 1), np.float32)
    dataset = ClipDataset(ArrayClips([clip]), np.array([200]), RATE, SIZES, targets, times=times)
    onsets = np.arange(0, 190, 3)
    for n_roll in (0, 1, 10, 77, 100, 150, 199):  # none of them moves the click to an edge
        part = Part(0, WaveformDraw(n_roll, 1.0, onsets))
        loud = dataset._waveform(part)[onsets + SIZES.win_length // 2] > 0.5
        activity = dataset.activity([Example(len(onsets), (part,))])["activity"][0, 0]
        assert loud.sum() >= 3
        assert activity[: len(onsets)].bool().tolist() == loud.tolist()


def test_clip_has_a_place_in_a_mixture_of_waveforms():
    dataset = dataset_of(
        [200, 100], [[1, 0], [1, 1]], (0, 0, 0.03, "a"), (1, 0.03, 0.05, "a"), (1, 0, 0.1, "b")
    )
    onsets = frame_onsets(200, SIZES)
    first = Part(0, WaveformDraw(0, 1.0, onsets, 0, 200))
    second = Part(1, WaveformDraw(0, 1.0, onsets, 50, 200))
    assert frames_of(dataset, first, second) == [[0, 4], [2, 3, 4, 5, 6]]
    rolled = Part(1, WaveformDraw(40, 1.0, onsets, 50, 200))
    assert frames_of(dataset, first, rolled) == [[0, 6], [2, 3, 4, 5, 6]]


def test_clip_has_a_place_in_a_mixture_of_stfts():
    dataset = dataset_of(
        [200, 100], [[1, 0], [1, 1]], (0, 0, 0.03, "a"), (1, 0.03, 0.05, "a"), (1, 0, 0.1, "b")
    )
    first = Part(0, WaveformDraw(0, 1.0, frame_onsets(200, SIZES)))
    second = Part(1, WaveformDraw(0, 1.0, frame_onsets(100, SIZES)), 7)
    assert frames_of(dataset, first, second) == [[0, 8], [7, 8, 9, 10, 11]]


@pytest.mark.parametrize("first", [True, False])
def test_mixture_has_no_times_of_an_event_if_one_clip_has_none(first):
    rows = [(0, 0, 0.03, "a"), (1, 0, 0.03, "b")]
    dataset = dataset_of([100, 100], [[1, 1], [0, 1]], *(rows if first else rows[::-1]))
    parts = [Part(i, WaveformDraw(0, 1.0, frame_onsets(100, SIZES))) for i in (0, 1)]
    assert frames_of(dataset, *parts) == [[0], []]
    assert frames_of(dataset, parts[1]) == [[], [0]]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (SIZES, [10, 30, 50, 70, 90]),
        (SIZES._replace(edges="drop"), [30, 50, 70]),
        (SIZES._replace(edges="reflect"), [0, 20, 40, 60, 80, 99]),
    ],
)
def test_center_depends_on_the_edges(sizes, expected):
    onsets = frame_onsets(100, sizes)
    assert frame_positions(onsets, 100, sizes, None).tolist() == expected


def test_times_of_sections_and_resampled_files(write_audio):
    path = write_audio("a.wav", np.random.default_rng(0).normal(0, 0.1, 16000), 8000)
    X = [(path, 4000, 12000), (path, None, None)]  # 1 s from 0.5 s on, and 2 s
    events = table((0, 0.1, 0.16, "a"), (1, 1.9, 2.0, "a"))
    targets = check_targets(pd.DataFrame([[1], [1]], columns=["a"]))
    tagger = AudioTagger(NETWORK, **SETTINGS)
    dataset = datasets_of(tagger, X, targets.to_y(), events=events)[0]
    examples = [plain_example(i, dataset.lengths[i], dataset.sizes) for i in (0, 1)]
    activity = dataset.activity(examples)["activity"]
    active = [np.flatnonzero(row[0]).tolist() for row in activity]
    assert active == [[5, 6, 7], [95, 96, 97, 98, 99]]


def test_part_of_a_batch_on_a_gpu_has_the_frames_of_its_clips():
    dataset = dataset_of(
        [2000, 300], [[1, 0], [1, 0]], (1, 0, 0.1, "a"), device=torch.device("cuda")
    )
    examples = [plain_example(i, n, SIZES) for i, n in enumerate(dataset.lengths)]
    inputs = dataset[examples].inputs
    part = to_device(select_clips(inputs, slice(1, 2)), torch.device("cpu"), SIZES)
    assert part["activity"].shape == (1, 2, part["stft"].shape[2]) == (1, 2, 16)
    assert part["activity"][0, 0].nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


def datasets_of(tagger, *args, **kwargs):
    """The datasets that `fit` trains and validates on."""
    made = []

    class Made(Exception):
        pass

    def train(self, module, network, targets, train_set, validation, *rest, **more):
        made.extend([train_set, None if validation is None else validation.dataset])
        raise Made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fitting.FittingTagger, "_train", train)
        with pytest.raises(Made):
            tagger.fit(*args, **kwargs)
    return made


@pytest.fixture(scope="module")
def data():
    return make_tones()


def weights_of(tagger):
    return torch.cat([x.flatten().double() for x in tagger.module_.state_dict().values()])


def fit(X, Y, network=NETWORK, settings=(), **params):
    return AudioTagger(network, **{**SETTINGS, **dict(settings)}).fit(X, Y, **params)


def test_without_onsets_weights_are_those_of_weak_labels(data):
    X, Y, events = data
    weak = weights_of(fit(X, Y))
    assert torch.equal(weights_of(fit(X, Y, events=None)), weak)
    assert torch.equal(weights_of(fit(X, Y, events=events[:0])), weak)
    weightless = FBCRNN(sample_rate=2000, boundary_weight=0)
    assert torch.equal(weights_of(fit(X, Y, weightless, events=events)), weak)
    assert not torch.equal(weights_of(fit(X, Y, events=events)), weak)


def test_batches_have_no_activity_without_onsets(data):
    X, Y, events = data
    tagger = AudioTagger(NETWORK, validation_fraction=0.25, **SETTINGS)
    for given, expected in ((None, False), (events, True)):
        for dataset in datasets_of(tagger, X, Y, events=given):
            batch = dataset.load([plain_example(0, 2000, dataset.sizes)])
            assert ("activity" in batch.inputs) == expected


def boundary_loss(tagger, X, Y, events):
    """The loss of clips of equal lengths, written out for each clip, event and frame."""
    module = tagger.module_.eval()
    dataset = datasets_of(tagger, X, Y)[0]
    batch = dataset.load([plain_example(i, 2000, dataset.sizes) for i in range(len(X))])
    with torch.no_grad():
        stft, n_frames = batch.inputs["stft"], batch.inputs["n_frames"]
        scores = module.frame_scores(*module.segment_features(None, stft, n_frames))
    forward, backward = (x.double().numpy() for x in scores)
    centers = (np.arange(50) + 0.5) * 0.02
    total = 0.0
    for clip in range(len(X)):
        for place, event in enumerate(Y.columns):
            y = Y.iloc[clip, place]
            rows = events[(events["clip"] == clip) & (events["event"] == event)]
            losses = []
            for frame, center in enumerate(centers):
                f, b = forward[clip, place, frame], backward[clip, place, frame]
                if len(rows):
                    f = f if center >= rows["onset"].min() else 1 - f
                    b = b if center < rows["offset"].max() else 1 - b
                    losses.append(-(np.log(f) + np.log(b)) / 2)
                else:
                    losses.append(-np.log(max(f, b) if y else 1 - max(f, b)))
            total += np.mean(losses)
    return total / len(X)


@pytest.mark.parametrize("kept", [1.0, 0.5])
def test_loss_is_that_of_each_frame(data, kept):
    X, Y, events = data
    X_val, Y_val, events_val = make_tones(4, seed=1)
    events_val = events_val[: int(kept * len(events_val))]
    tagger = fit(X, Y, X_val=X_val, Y_val=Y_val, events=events, events_val=events_val)
    expected = boundary_loss(tagger, X_val, Y_val, events_val)
    assert tagger.history_["valid_loss"].iloc[-1] == pytest.approx(expected, rel=1e-4)


def test_loss_of_a_clip_that_is_scored_in_chunks(data, monkeypatch):
    X, Y, events = data
    rng = np.random.default_rng(0)
    X_val, Y_val = [rng.normal(0, 0.1, 30_000).astype(np.float32)], [["a"]]
    params = {"X_val": X_val, "Y_val": Y_val, "events": events}
    params["events_val"] = table((0, 6.0, 9.0, "a"))
    with pytest.warns(UserWarning, match="events occur in no clip of Y_val"):
        whole = fit(X, Y, **params).history_
    monkeypatch.setattr("sktagger.batching.plain.CHUNK_FRAMES", 500)
    monkeypatch.setattr("sktagger.batching.long_clips.LongClip.segments.__defaults__", (300,))
    with pytest.warns(UserWarning, match="events occur in no clip of Y_val"):
        chunked = fit(X, Y, **params).history_
    weak = {**params, "events_val": None}
    with pytest.warns(UserWarning, match="events occur in no clip of Y_val"):
        other = fit(X, Y, **weak).history_
    assert chunked["valid_loss"].iloc[0] == pytest.approx(whole["valid_loss"].iloc[0], rel=1e-5)
    assert other["valid_loss"].iloc[0] != pytest.approx(whole["valid_loss"].iloc[0], rel=1e-3)


def test_onsets_are_learned_from_mixed_and_warped_clips(data):
    X, Y, events = data
    settings = {"augmentation": Augmentation.fbcrnn_reference(), "max_epochs": 2}
    tagger = fit(X, Y, settings=settings, events=events)
    assert tagger.history_["train_loss"].notna().all()
    weak = fit(X, Y, settings=settings)
    assert not torch.equal(weights_of(tagger), weights_of(weak))


def test_plans_of_all_kinds_have_active_frames():
    rng = np.random.default_rng(0)
    lengths = rng.integers(800, 1200, 8)
    rows = [(i, 0, lengths[i] / RATE, "a") for i in range(8)]
    dataset = dataset_of(lengths, [[1, 0]] * 8, *rows)
    for augmentation in (Augmentation(), Augmentation.reference(), Augmentation.fbcrnn_reference()):
        plan = TrainingPlan(lengths, SIZES, RATE, 4, augmentation, 128, 0)
        for batch in plan.take(n_epochs=1):
            activity = dataset.activity(batch)["activity"]
            # the event fills its clip, so that all frames are active, also where two clips overlap
            for row, example in zip(activity, batch, strict=True):
                assert row[0].sum() == example.n_frames
                assert not row[1].any()


def test_held_out_clips_keep_their_onsets(data):
    X, Y, events = data
    tagger = AudioTagger(NETWORK, validation_fraction=0.25, **SETTINGS)
    for dataset in datasets_of(tagger, X, Y, events=events):
        for index, position in enumerate(dataset.clips.positions):
            event, onset, offset = dataset.times.of_clip(index)
            own = events[events["clip"] == position]
            assert Y.columns[event].tolist() == own["event"].tolist()
            assert onset.tolist() == own["onset"].tolist()
            assert offset.tolist() == own["offset"].tolist()


def test_clips_that_are_left_out_take_their_onsets_along(data, write_audio):
    X, Y, events = data
    paths = [write_audio(f"{i}.wav", clip / 3, 2000) for i, clip in enumerate(X)]
    events = events.assign(file=[f"{i}.wav" for i in events["clip"]]).drop(columns="clip")
    soundfile.write(paths[2], np.zeros(0), 2000)
    tagger = AudioTagger(NETWORK, on_error="skip", **SETTINGS)
    weights = np.array([1, 0, 1, 1, 0, 1, 1, 1])
    dataset, _ = datasets_of(tagger, paths, Y, events=events, sample_weight=weights)
    assert list(dataset.clips.positions) == [0, 3, 5, 6, 7]
    for index, position in enumerate(dataset.clips.positions):
        own = events[events["file"] == f"{position}.wav"]
        assert dataset.times.of_clip(index)[1].tolist() == own["onset"].tolist()


def test_tables_of_each_clip_and_one_table_are_the_same(data):
    X, Y, events = data
    tables = [events[events["clip"] == i].drop(columns="clip") for i in range(len(X))]
    assert torch.equal(weights_of(fit(X, Y, events=tables)), weights_of(fit(X, Y, events=events)))


def test_order_of_rows_does_not_matter(data):
    X, Y, events = data
    shuffled = events.sample(frac=1, random_state=0)
    assert torch.equal(weights_of(fit(X, Y, events=shuffled)), weights_of(fit(X, Y, events=events)))


def test_folds_have_the_onsets_of_their_clips(data, monkeypatch):
    X, Y, events = data
    tables = [events[events["clip"] == i].drop(columns="clip") for i in range(len(X))]
    seen = []
    original = _fitting.read_times

    def spy(given, clips, targets, network, name="events"):
        times = original(given, clips, targets, network, name)
        if times is not None:
            waveforms = [clips.load(i, 2000)[0] for i in range(len(clips))]
            places = [int(np.flatnonzero((w == X).all(1))[0]) for w in waveforms]
            for i, place in enumerate(places):
                own = events[events["clip"] == place]
                assert times.of_clip(i)[1].tolist() == own["onset"].tolist()
            seen.append(places)
        return times

    monkeypatch.setattr(_fitting, "read_times", spy)
    tagger = AudioTagger(NETWORK, **SETTINGS)
    TunedThresholdTagger(tagger, cv=2, random_state=0).fit(X, Y, events=events)
    pipeline = Pipeline([("tagger", tagger.set_params(cross_fit=2)), ("tuner", ThresholdTuner())])
    pipeline.fit(X, Y, tagger__events=tables)
    cross_val_score(tagger, X, Y, scoring=map_scorer, cv=2, params={"events": tables})
    assert [len(places) for places in seen] == [4, 4, 8, 4, 4, 8, 4, 4]


def test_partial_fit_takes_onsets(data):
    X, Y, events = data
    tagger = AudioTagger(NETWORK, **SETTINGS)
    tagger.partial_fit(X, Y, events=events)
    weak = AudioTagger(NETWORK, **SETTINGS).partial_fit(X, Y)
    assert not torch.equal(weights_of(tagger), weights_of(weak))


def test_checkpoint_of_other_onsets_is_of_another_training(data, tmp_path):
    X, Y, events = data
    other = events.assign(onset=events["onset"] + 0.01 * (events["clip"] == 2))

    def train(events):
        callbacks = [("checkpoint", Checkpoint(tmp_path, on_mismatch="raise"))]
        return fit(X, Y, settings={"callbacks": callbacks}, events=events)

    train(events)
    train(events)  # goes on
    with pytest.raises(
        ValueError, match=r"1 of 8 training clips' events or weights differ \(the fi"
    ):
        train(other)
    with pytest.raises(ValueError, match="6 of 8 training clips' events or weights differ"):
        train(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(event=["aa", *t["event"][1:]]), "has 'aa', which y does not have"),
        (lambda t: t.assign(clip=99), "the clip 99, but X has 8 clips"),
        (lambda t: t.rename(columns={"clip": "file"}), "clips of X are not all paths"),
        (lambda t: t.drop(columns="clip"), "no column 'file' or 'clip'"),
        (lambda t: t.drop(columns="offset"), "no column 'offset'"),
        (lambda t: t.assign(onset="x"), "must be numbers of seconds"),
        (lambda t: t.assign(onset=-0.1), "row 0, 'a', has the onset -0.1 and the offset"),
        (lambda t: t.assign(onset=t["offset"]), "the onset before the offset"),
        (lambda t: t.assign(offset=np.inf), "must be finite"),
        (lambda t: t.assign(onset=np.nan), "has the onset nan"),
        (
            lambda t: t.assign(offset=1.6),
            r"Clip 0 is 1.000 s long, but its event 'a' has the onset",
        ),
        (lambda t: t.assign(onset=1.1, offset=1.2), "begin before the end of the clip"),
        (lambda t: [t], "a list of 1 tables, but there are 8 clips"),
        (lambda t: t.assign(event="b"), r"onset of 'b' in the clip 2, but according to y"),
        (lambda t: Ellipsis, "events is ellipsis, but it must be a DataFrame"),
    ],
)
def test_wrong_events_are_named(data, change, message):
    X, Y, events = data
    with pytest.raises((ValueError, TypeError), match=message):
        fit(X, Y, events=change(events))


def test_wrong_events_of_files_are_named(data, write_audio):
    X, Y, events = data
    paths = [write_audio(f"{i}.wav", clip / 3, 2000) for i, clip in enumerate(X)]
    named = events.assign(file=[f"{i}.wav" for i in events["clip"]]).drop(columns="clip")
    with pytest.raises(ValueError, match=r"onset of 'b' in the clip '2.wav', but according to y"):
        fit(paths, Y, events=named.assign(event="b"))
    late = named[named["file"] == "2.wav"].assign(offset=5.0)
    with pytest.raises(ValueError, match=r"2.wav.* is 1.000 s long, but its event"):
        fit(paths, Y, events=late)
    with pytest.raises(ValueError, match=r"the file 'x\.wav', which is not a clip of X"):
        fit(paths, Y, events=named.assign(file="x.wav"))


def test_networks_without_onsets_refuse_them(data):
    X, Y, events = data
    with pytest.raises(
        ValueError, match=r"events is given, but WALNet learns .* uses onsets: FBCRNN"
    ):
        fit(X, Y, WALNet(sample_rate=2000), events=events)
    with pytest.raises(ValueError, match="events_val is given, but no X_val"):
        fit(X, Y, events_val=events)


def test_offset_a_little_after_the_end_counts_as_the_end(data):
    X, Y, events = data
    late = events.assign(offset=1.5)
    at_end = events.assign(offset=1.0)
    assert torch.equal(weights_of(fit(X, Y, events=late)), weights_of(fit(X, Y, events=at_end)))
