"""Events in time from tables of scores, and the same from streams."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from sktagger.recordings import EventStream, find_events
from sktagger.recordings._options import Options
from sktagger.recordings._segments import Median
from sktagger.recordings.events import events_table

SMOOTHINGS = (None, "median", "change")


def table(step=1.0, length=None, start=0.0, **scores):
    n = len(next(iter(scores.values())))
    onset = start + np.arange(n) * step
    index = pd.MultiIndex.from_arrays([onset, onset + (length or step)], names=["onset", "offset"])
    return pd.DataFrame(scores, index, dtype=np.float32)


def rows(events):
    return [(row.onset, row.offset, row.event) for row in events.itertuples()]


def test_event_is_a_run_of_scores_above_its_threshold():
    events = find_events(table(a=[0, 0.6, 0.8, 0.5, 0, 0.9], b=[0.2, 0, 0, 0, 0.6, 0.4]))
    assert rows(events) == [(1, 3, "a"), (4, 5, "b"), (5, 6, "a")]
    np.testing.assert_allclose(events["score"], [0.7, 0.6, 0.9], rtol=1e-6)


def test_score_of_event_can_be_its_maximum():
    scores = table(a=[0, 0.6, 0.8, 0])
    assert find_events(scores, score="max")["score"].item() == pytest.approx(0.8)


def test_each_event_has_its_own_threshold():
    scores = table(a=[0.3, 0, 0], b=[0, 0.3, 0.8])
    events = find_events(scores, threshold={"b": 0.5, "a": 0.2})
    assert rows(events) == [(0, 1, "a"), (2, 3, "b")]
    assert rows(find_events(scores, threshold=pd.Series({"a": np.inf, "b": 0.5}))) == [(2, 3, "b")]


def test_infinite_threshold_finds_everything_or_nothing():
    events = find_events(table(a=[0.0, 0.1], b=[1.0, 1.0]), threshold=[-np.inf, np.inf])
    assert rows(events) == [(0, 2, "a")]


def test_low_threshold_extends_events_but_begins_none():
    scores = table(a=[0.3, 0.3, 0.8, 0.3, 0, 0.3])
    assert rows(find_events(scores, low=0.2)) == [(0, 4, "a")]
    assert rows(find_events(scores, low=0.7)) == [(2, 3, "a")]  # as the threshold


def test_overlapping_segments_are_averaged():
    # cells of 1 s: 0.8, (0.8 + 0.4) / 2, (0.4 + 0) / 2, 0
    events = find_events(table(length=2.0, a=[0.8, 0.4, 0]), threshold=0.5)
    assert rows(events) == [(0, 2, "a")]
    assert events["score"].item() == pytest.approx(0.7)


def test_scores_can_be_resampled():
    scores = table(step=1.0, a=[0.9, 0, 0.9])
    assert rows(find_events(scores, step=0.5)) == [(0, 1, "a"), (2, 3, "a")]
    coarse = table(step=0.5, a=[0.9, 0.9, 0.1, 0.1])
    events = find_events(coarse, step=1.0)
    assert rows(events) == [(0, 1, "a")]


def test_time_without_segments_has_no_events():
    scores = pd.concat([table(a=[0.9, 0.9]), table(start=5000.0, a=[0.9])])
    assert rows(find_events(scores)) == [(0, 2, "a"), (5000, 5001, "a")]


def test_last_segment_may_be_shorter():
    index = pd.MultiIndex.from_tuples([(0, 2.56), (1.28, 3.5)], names=["onset", "offset"])
    events = find_events(pd.DataFrame({"a": [0.9, 0.9]}, index))
    assert rows(events) == [(0, 3.5, "a")]


def test_single_segment_is_one_cell():
    assert rows(find_events(table(length=2.5, start=1.0, a=[0.9]))) == [(1, 3.5, "a")]


def test_times_are_not_blurred_by_floating_point():
    events = find_events(table(step=0.1, a=[0, 0, 0, 0.9, 0.9, 0.9, 0]))
    assert rows(events) == [(0.3, 0.6, "a")]


def test_close_events_are_merged_before_short_ones_are_dropped():
    scores = table(a=[0.9, 0.9, 0.1, 0.8, 0, 0, 0.9], b=[0, 0.9, 0, 0, 0, 0, 0])
    events = find_events(scores, merge_gap=1.0, min_length=2.0)
    assert rows(events) == [(0, 4, "a")]
    assert events["score"].item() == pytest.approx(2.7 / 4)  # with the gap
    assert find_events(scores, merge_gap=1.0, score="max")["score"][0] == pytest.approx(0.9)


def test_median_removes_short_gaps_and_peaks():
    scores = table(a=[0.9, 0.9, 0, 0.9, 0.9, 0, 0, 0.9, 0, 0])
    assert rows(find_events(scores, smoothing="median", filter_length=3)) == [(0, 5, "a")]


@pytest.mark.parametrize("half", [0, 1, 3, 12])
@pytest.mark.parametrize("n_cells", [1, 2, 5, 40])
def test_median_is_that_of_scipy(rng, half, n_cells):
    cells = rng.random((n_cells, 2))
    smoother = Median(half)
    smoothed = [smoother.push(part) for part in np.array_split(cells, min(n_cells, 3))]
    smoothed = np.concatenate([*smoothed, smoother.finish()])
    expected = median_filter(cells, (2 * half + 1, 1), mode="nearest")
    np.testing.assert_array_equal(smoothed, expected)


@pytest.mark.parametrize(
    ("smoothing", "length", "step", "half"),
    [
        ("median", None, 0.02, 12),  # 0.48 s are 24 cells: 25
        ("median", None, 1.28, 1),
        ("median", 0.5, 1.28, 0),
        ("median", 5, 1, 2),
        ("change", None, 0.32, 1),
        ("change", None, 1.28, 1),
        ("change", None, 0.02, 16),
        ("change", 0, 1, 1),
    ],
)
def test_filter_length_is_rounded_to_cells(smoothing, length, step, half):
    options = Options.check(["a"], smoothing=smoothing, filter_length=length)
    assert options.half_filter(step) == half


def test_change_detection_finds_the_edges_whatever_the_threshold():
    scores = table(a=[0.05, 0.05, 0.3, 0.9, 0.9, 0.9, 0.2, 0.05, 0.05])
    for threshold in (0.3, 0.5, 0.8):
        events = find_events(scores, smoothing="change", threshold=threshold)
        assert rows(events) == [(3, 6, "a")]
        assert events["score"].item() == pytest.approx(0.9)


def test_change_detection_splits_at_deep_gaps_only():
    scores = table(a=[0, 0.9, 0.9, 0.7, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9, 0])
    events = find_events(scores, smoothing="change")
    assert rows(events) == [(1, 6, "a"), (8, 10, "a")]
    np.testing.assert_allclose(events["score"], [4.3 / 5, 0.9], rtol=1e-6)
    assert len(find_events(scores, smoothing="change", merge_absolute=0.1)) == 3
    assert len(find_events(scores, smoothing="change", merge_relative=1.2)) == 3
    assert len(find_events(scores, smoothing="change", merge_absolute=1, merge_relative=20)) == 1


def test_faint_event_is_not_merged_with_silence():
    scores = table(a=[0.05, 0.06, 0.02, 0.02, 0.19, 0.18, 0.02, 0.05])
    assert rows(find_events(scores, smoothing="change", threshold=0.1)) == [(4, 6, "a")]


def test_quiet_neighbor_does_not_stretch_an_event():
    scores = table(a=[0, 0.05, 0.02, 0.02, 0.9, 0.9, 0, 0])
    assert rows(find_events(scores, smoothing="change")) == [(4, 6, "a")]


@pytest.mark.parametrize("n_cells", [1, 2, 3, 7])
def test_event_that_fills_the_recording_has_its_length(n_cells):
    scores = table(a=[0.9] * n_cells)
    for smoothing in SMOOTHINGS:
        assert rows(find_events(scores, smoothing=smoothing)) == [(0, n_cells, "a")]


def test_short_event_has_its_own_length_under_a_long_filter():
    scores = table(a=[0, 0, 0, 0, 0.9, 0, 0, 0, 0])
    assert rows(find_events(scores, smoothing="change", filter_length=6)) == [(4, 5, "a")]


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_no_segments_no_events(smoothing):
    events = find_events(table(a=[]), smoothing=smoothing)
    assert list(events.columns) == ["onset", "offset", "event", "score"]
    assert len(events) == 0
    assert events["onset"].dtype == float


@st.composite
def streams(draw):
    n, n_events = draw(st.integers(1, 60)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    scores = rng.random((n, n_events)) ** draw(st.sampled_from([1, 3]))
    if draw(st.booleans()):
        scores = np.round(scores, 1)  # with ties
    if draw(st.booleans()):
        scores = np.repeat(scores, 3, axis=0)[:n]
    step = draw(st.sampled_from([0.02, 0.32, 1.28]))
    onset = np.cumsum(draw(st.sampled_from([[1], [1, 1, 4]])) * n)[:n] * step
    offset = onset + step * draw(st.sampled_from([0.7, 1, 2, 3.4]))
    options = {
        "threshold": draw(st.sampled_from([0.0, 0.3, 0.7])),
        "low": draw(st.sampled_from([None, 0.2])),
        "smoothing": draw(st.sampled_from(SMOOTHINGS)),
        "filter_length": draw(st.sampled_from([None, 3 * step, 8 * step])),
        "min_length": draw(st.sampled_from([0, 2 * step])),
        "merge_gap": draw(st.sampled_from([0, step, 3 * step])),
        "score": draw(st.sampled_from(["mean", "max"])),
        "step": draw(st.sampled_from([None, step / 2, 2 * step])),
    }
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=8)))
    return onset, offset, scores, options, cuts


@given(streams())
@settings(max_examples=300)
def test_stream_finds_the_events_of_the_table(stream):
    onset, offset, scores, options, cuts = stream
    names = [f"event {i}" for i in range(scores.shape[1])]
    index = pd.MultiIndex.from_arrays([onset, offset], names=["onset", "offset"])
    expected = find_events(pd.DataFrame(scores, index, columns=names), **options)

    one_by_one, in_parts = EventStream(names, **options), EventStream(names, **options)
    found = [
        event for row in zip(onset, offset, scores, strict=True) for event in one_by_one.push(*row)
    ]
    pd.testing.assert_frame_equal(
        events_table(found + one_by_one.finish(), names), expected, check_exact=True
    )
    found = []
    for part in np.split(np.arange(len(onset)), cuts):
        found += in_parts.push(onset[part], offset[part], scores[part]) if len(part) else []
    pd.testing.assert_frame_equal(
        events_table(found + in_parts.finish(), names), expected, check_exact=True
    )


@given(streams())
def test_events_of_a_kind_do_not_overlap_and_lie_in_the_recording(stream):
    onset, offset, scores, options, _ = stream
    index = pd.MultiIndex.from_arrays([onset, offset], names=["onset", "offset"])
    events = find_events(pd.DataFrame(scores, index), **options)
    assert (events["onset"] < events["offset"]).all()
    assert events["onset"].is_monotonic_increasing
    for _, same in events.groupby("event"):
        assert (same["onset"].to_numpy()[1:] >= same["offset"].to_numpy()[:-1]).all()
    assert ((events["score"] >= 0) & (events["score"] <= 1 + 1e-9)).all()


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_memory_of_a_stream_does_not_grow(rng, smoothing):
    stream = EventStream(["a"], smoothing=smoothing, merge_gap=1.0)

    def size(n_cells, start):
        for i in range(start, start + n_cells):
            stream.push(i * 0.1, i * 0.1 + 0.1, [rng.random()])
        parts = [stream._grid, stream._finder, stream._smoother]
        values = [value for part in parts if part for value in vars(part).values()]
        sizes = [
            v.size if isinstance(v, np.ndarray) else len(v) for v in values if hasattr(v, "__len__")
        ]
        return sum(sizes) + len(stream._kept)

    assert size(1000, 0) == size(1000, 1000)


def test_event_is_given_as_soon_as_it_is_over():
    stream = EventStream(["a"])
    given = [len(stream.push(i, i + 1, [score])) for i, score in enumerate([0, 0.9, 0, 0])]
    assert given == [0, 0, 0, 1]  # the cell that ends it is complete when the next one begins


def test_stream_ends_at_finish():
    stream = EventStream(["a"])
    assert stream.finish() == []
    with pytest.raises(ValueError, match="after finish"):
        stream.push(0, 1, [0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": {"a": 0.5}}, "lacks 1 of 2 events: 'b'"),
        ({"threshold": {"a": 0.5, "b": 0.5, "bb": 1}}, "'bb', which has no scores; nearest: 'b'"),
        ({"threshold": [0.5]}, "one number for each of the 2 events"),
        ({"threshold": np.nan}, "no NaN"),
        ({"smoothing": "mean"}, "smoothing='mean' is unknown"),
        ({"score": "sum"}, "score='sum' is unknown"),
        ({"filter_length": -1}, "filter_length=-1 is out of range"),
        ({"merge_relative": 0.5}, "at least 1"),
        ({"min_length": np.inf}, "min_length=inf"),
        ({"merge_gap": True}, "merge_gap=True"),
        ({"step": 0}, "step=0"),
    ],
)
def test_wrong_parameter_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        find_events(table(a=[0.5], b=[0.5]), **options)


def test_threshold_must_be_numbers():
    with pytest.raises(TypeError, match="threshold is 'high'"):
        find_events(table(a=[0.5]), threshold="high")


def test_wrong_scores_are_named():
    with pytest.raises(ValueError, match="'a' at 1 s is NaN"):
        find_events(table(a=[0.5, np.nan]))
    with pytest.raises(ValueError, match="at 0 s comes after the one at 1 s"):
        find_events(table(a=[0.5, 0.5])[::-1])
    with pytest.raises(ValueError, match="offset 0"):
        EventStream(["a"]).push(0, 0, [0.5])
    with pytest.raises(ValueError, match="has 2 scores, but there are 1 events"):
        EventStream(["a"]).push(0, 1, [0.5, 0.5])
    with pytest.raises(ValueError, match="table with the index None"):
        find_events(pd.DataFrame({"a": [0.5]}))
    with pytest.raises(ValueError, match="scores is a list"):
        find_events([[0.5]])
