"""F1 of events in time, compared with sed_eval and sed_scores_eval where they are installed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from sktagger.metrics import event_f1, segment_f1

EVENTS = ["a", "b", "c"]


def table(*rows, **extra):
    return pd.DataFrame(rows, columns=["onset", "offset", "event"]).assign(**extra)


def random_events(rng, n_events, length):
    """Events of each kind that do not overlap, as a table."""
    rows = []
    for event in EVENTS:
        times = np.sort(rng.uniform(0, length, 2 * n_events)).round(3)
        rows += [(*pair, event) for pair in times.reshape(-1, 2) if pair[0] < pair[1]]
    return table(*rows)


def moved(rng, events, length):
    """Events with slightly other times; some are lost."""
    moved = events[rng.random(len(events)) < 0.8].copy()
    shift = rng.normal(0, 0.15, (len(moved), 2))
    times = np.sort((moved[["onset", "offset"]] + shift).clip(0, length).round(3), axis=1)
    moved["onset"], moved["offset"] = times[:, 0], times[:, 1]
    moved = moved[moved["onset"] < moved["offset"]].sort_values("onset")
    # Scores cannot tell events of the same kind apart that touch.
    before = moved.groupby("event")["offset"].transform(lambda offset: offset.cummax().shift())
    return moved[~(moved["onset"] <= before)]


@pytest.fixture
def recordings(rng):
    lengths = rng.uniform(8, 20, 12).round(2)
    true = [random_events(rng, 3, length) for length in lengths]
    predicted = [moved(rng, events, length) for events, length in zip(true, lengths, strict=True)]
    return true, predicted, lengths


def to_dicts(tables):
    for number, events in enumerate(tables):
        yield (
            str(number),
            [
                {
                    "filename": str(number),
                    "onset": row.onset,
                    "offset": row.offset,
                    "event_label": row.event,
                }
                for row in events.itertuples()
            ],
        )


def test_segments_of_a_second():
    true = table((0.0, 2.0, "a"), (5.5, 6.0, "b"))
    predicted = table((0.5, 3.5, "a"), (5.0, 5.2, "b"))
    scores = segment_f1(true, predicted, 10.0, average=None)
    assert scores.to_dict() == {"a": pytest.approx(2 / 3), "b": 1.0}
    assert segment_f1(true, predicted, 10.0) == pytest.approx(5 / 6)
    assert segment_f1(true, predicted, 10.0, average="micro") == pytest.approx(6 / 8)
    assert segment_f1(true, predicted, 10.0, 0.1, average=None)["b"] == 0.0


def test_edge_of_a_segment_does_not_touch_the_next_one():
    assert segment_f1(table((0.3, 0.6, "a")), table((0.0, 0.9, "a")), 0.9, 0.3) == 0.5


def test_what_follows_the_end_is_left_out():
    assert segment_f1(table((0.0, 2.0, "a")), table((0.0, 9.0, "a")), 2.0) == 1.0


def test_onset_and_offset_must_both_fit():
    true = table((1.0, 2.0, "a"))
    for times, right in [
        ((1.2, 2.2), 1),
        ((1.21, 2.0), 0),
        ((0.8, 1.8), 1),
        ((1.0, 2.21), 0),
        ((1.0, 1.79), 0),
    ]:
        assert event_f1(true, table((*times, "a"))) == right
    # 20 % of 10 s
    assert event_f1(table((0.0, 10.0, "a")), table((0.1, 11.9, "a"))) == 1
    assert event_f1(table((0.0, 10.0, "a")), table((0.1, 11.9, "a")), offset_share=0) == 0
    assert event_f1(
        true, table((1.0, 2.0, "b"), (1.0, 2.0, "a")), average="micro"
    ) == pytest.approx(2 / 3)


def test_as_many_pairs_as_possible_are_formed():
    true = table((1.0, 2.0, "a"), (1.2, 2.2, "a"))
    predicted = table((1.2, 2.2, "a"), (1.35, 2.35, "a"))
    assert event_f1(true, predicted) == 1.0


def test_forms_of_several_recordings_agree(recordings):
    true, predicted, lengths = recordings
    named = [
        pd.concat([t.assign(file=f"{i}.wav") for i, t in enumerate(tables)], ignore_index=True)
        for tables in (true, predicted)
    ]
    by_name = {f"{i}.wav": length for i, length in enumerate(lengths)}
    expected = segment_f1(true, predicted, lengths)
    assert segment_f1(*named, by_name) == expected
    numbered = [t.assign(clip=t["file"].str[:-4].astype(int)) for t in named]
    numbered = [t.drop(columns="file") for t in numbered]
    assert segment_f1(*numbered, lengths) == expected
    assert event_f1(*named) == event_f1(*numbered) == event_f1(true, predicted)


def test_recordings_in_which_nothing_is_found_count(recordings):
    true, _, lengths = recordings
    nothing = [t[:0] for t in true]
    assert segment_f1(true, nothing, lengths) == 0
    assert event_f1(true, nothing) == 0


def test_events_that_are_not_true_are_left_out_of_the_mean():
    true, predicted = table((0.0, 1.0, "a")), table((0.0, 1.0, "a"), (0.0, 1.0, "b"))
    for metric in (lambda *args, **kw: segment_f1(*args, 3.0, **kw), event_f1):
        with pytest.warns(UndefinedMetricWarning, match="1 of 2 events"):
            assert metric(true, predicted) == 1.0
        with pytest.warns(UndefinedMetricWarning):
            assert np.isnan(metric(true, predicted, average=None)["b"])
        assert metric(true, predicted, average="micro") == pytest.approx(2 / 3)
        assert np.isnan(metric(true[:0], predicted[:0]))


def test_segment_f1_is_that_of_sed_eval(recordings):
    sed_eval = pytest.importorskip("sed_eval")
    true, predicted, lengths = recordings
    oracle = sed_eval.sound_event.SegmentBasedMetrics(EVENTS, time_resolution=1.0)
    for (_, reference), (_, estimated), length in zip(
        to_dicts(true), to_dicts(predicted), lengths, strict=True
    ):
        oracle.evaluate(reference, estimated, evaluated_length_seconds=length)
    micro = oracle.results_overall_metrics()["f_measure"]["f_measure"]
    each = oracle.results_class_wise_metrics()
    assert segment_f1(true, predicted, lengths, average="micro") == pytest.approx(micro)
    for event, score in segment_f1(true, predicted, lengths, average=None).items():
        assert score == pytest.approx(each[event]["f_measure"]["f_measure"])


def test_event_f1_is_that_of_sed_eval(recordings):
    sed_eval = pytest.importorskip("sed_eval")
    true, predicted, _ = recordings
    oracle = sed_eval.sound_event.EventBasedMetrics(
        EVENTS, t_collar=0.2, percentage_of_length=0.2, event_matching_type="optimal"
    )
    for (_, reference), (_, estimated) in zip(to_dicts(true), to_dicts(predicted), strict=True):
        oracle.evaluate(reference, estimated)
    micro = oracle.results_overall_metrics()["f_measure"]["f_measure"]
    each = oracle.results_class_wise_metrics()
    assert 0.2 < micro < 0.9
    assert event_f1(true, predicted, average="micro") == pytest.approx(micro)
    for event, score in event_f1(true, predicted, average=None).items():
        assert score == pytest.approx(each[event]["f_measure"]["f_measure"])


def test_scores_are_those_of_sed_scores_eval(recordings, tmp_path):
    oracle = pytest.importorskip("sed_scores_eval")
    from sktagger.recordings import write_events

    true, predicted, lengths = recordings
    files = {f"{i}.wav": length for i, length in enumerate(lengths)}
    named = [t.assign(file=file, score=1.0) for file, t in zip(files, predicted, strict=True)]
    write_events(pd.concat(named), tmp_path / "scores", "sed_scores", lengths=files, names=EVENTS)
    scores = oracle.io.read_sed_scores(tmp_path / "scores")
    truth = {
        str(i): list(t[["onset", "offset", "event"]].itertuples(index=False, name=None))
        for i, t in enumerate(true)
    }
    f1, *_ = oracle.segment_based.fscore(
        scores, truth, dict(zip(truth, lengths, strict=True)), 0.5, segment_length=1.0
    )
    for event, score in segment_f1(true, predicted, lengths, average=None).items():
        assert score == pytest.approx(f1[event])
    f1, *_ = oracle.collar_based.fscore(
        scores, truth, 0.5, onset_collar=0.2, offset_collar=0.2, offset_collar_rate=0.2
    )
    for event, score in event_f1(true, predicted, average=None).items():
        assert score == pytest.approx(f1[event])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: segment_f1(t, t, 1.0, 0), "segment=0"),
        (lambda t: segment_f1(t, t, 1.0, average="weighted"), "average='weighted'"),
        (lambda t: segment_f1([t], t, 1.0), "1 tables and one table"),
        (lambda t: segment_f1([t], [t, t], 1.0), "1 tables and 2 tables"),
        (lambda t: segment_f1([t, t], [t, t], [1.0]), "lengths has 1 numbers"),
        (lambda t: segment_f1(t.assign(file="x"), t.assign(file="x"), {}), "no length of 'x'"),
        (lambda t: segment_f1(t, t, np.nan), "lengths must be finite"),
        (lambda t: event_f1(t.drop(columns="event"), t), "true_events has no column 'event'"),
        (lambda t: event_f1([t], [3]), r"predicted_events\[0\] has no column"),
        (lambda t: event_f1(t.assign(onset=5.0), t), "onsets after their offsets"),
        (lambda t: event_f1(t, t, collar=0), "collar=0"),
        (lambda t: event_f1(t, t, offset_share=-1), "offset_share=-1"),
    ],
)
def test_wrong_argument_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(table((0.0, 1.0, "a")))
