import itertools

import _reference as reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktagger.audio.augmentation import Augmentation
from sktagger.audio.spectral import STFTSizes
from sktagger.batching.plans import (
    Example,
    Part,
    TrainingPlan,
    bucket_by_length,
    plain_example,
    plain_plan,
)

SIZES = STFTSizes(n_fft=64, hop_length=20, win_length=40)
RATE = 1000


def examples_of(lengths):
    return [Example(length, (Part(i),)) for i, length in enumerate(lengths)]


def indices(batches):
    return [[example.parts[0].index for example in batch] for batch in batches]


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


def plan_of(lengths, augmentation=None, batch_size=4, seed=0, **kwargs):
    return TrainingPlan(
        np.asarray(lengths), SIZES, RATE, batch_size, augmentation, 128, seed, **kwargs
    )


def plain(value):
    """Turn arrays in tuples and lists into lists, which == can compare."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.fixture
def lengths(rng):
    return rng.integers(300, 3000, 60)


LENGTHS = st.lists(st.integers(1, 200), max_size=60)


MAX_FRAMES = st.sampled_from([1, 100, 333, 800, np.inf])


@settings(max_examples=100, deadline=None)
@given(LENGTHS, st.integers(1, 6), st.sampled_from([0.0, 0.05, 0.3]), MAX_FRAMES)
def test_buckets_equal_those_of_the_reference(lengths, batch_size, max_padding, max_frames):
    batches = bucket_by_length(
        examples_of(lengths), batch_size, max_padding=max_padding, max_frames=max_frames
    )
    assert indices(batches) == reference.buckets(lengths, batch_size, max_padding, max_frames)


def padded_frames(batch):
    return len(batch) * -(-max(e.n_frames for e in batch) // 16) * 16


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 6), MAX_FRAMES, st.integers(1, 5))
def test_no_batch_has_more_frames_than_allowed(lengths, batch_size, max_frames, max_age):
    batches = list(
        bucket_by_length(examples_of(lengths), batch_size, max_frames=max_frames, max_age=max_age)
    )
    assert sorted(flat(indices(batches))) == list(range(len(lengths)))
    assert all(len(b) == 1 or padded_frames(b) <= max_frames for b in batches)


def test_long_clips_are_trained_on_in_smaller_batches():
    """10 minutes have 30,000 frames, one clip per batch. 60 s have 3000, 8 clips instead of 12."""
    for seconds, size in ((600, 1), (60, 8), (40, 12)):
        plan = plan_of(np.full(16, seconds * RATE), batch_size=12)
        batches = list(plan.take(n_epochs=1))
        assert len(batches[0]) == size
        assert sorted(flat(indices(batches))) == list(range(16))


@pytest.mark.parametrize("batch_size", [1, 12, 24])
def test_limit_of_frames_does_not_change_batches_of_usual_clips(rng, batch_size):
    """Clips of up to 20 s, stretched by half, and mixtures of up to 15 s."""
    lengths = rng.integers(500, 20 * RATE, 120)
    for augmentation in (None, Augmentation(), Augmentation.reference()):
        limited = plan_of(lengths, augmentation, batch_size)
        free = plan_of(lengths, augmentation, batch_size)
        free.max_frames = np.inf
        ours, expected = (plain(list(plan.take(n_epochs=2))) for plan in (limited, free))
        assert ours == expected


def test_plan_of_long_clips_continues_from_its_position():
    lengths = np.random.default_rng(0).integers(5 * RATE, 300 * RATE, 40)
    plan = plan_of(lengths, Augmentation())
    done = list(plan.take(n_iterations=31))
    assert len({len(batch) for batch in done}) > 1
    other = plan_of(lengths, Augmentation())
    other.seek(plan.epoch, plan.step, plan.iteration)
    ours, expected = (plain(list(p.take(n_iterations=10))) for p in (other, plan))
    assert ours == expected


def test_mixup_of_long_clips_is_delayed_by_batches():
    settings = Augmentation(stretch=0, mixup_prob=1, mixup_max_length=600, mixup_delay=6)
    plan = plan_of(
        np.full(16, 100 * RATE), settings, batch_size=4
    )  # 4999 frames, one clip per batch
    batches = list(plan.take(n_epochs=1))
    mixed = [len(e.parts) == 2 for batch in batches for e in batch]
    assert 6 <= mixed.index(True) <= 11


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 6), st.integers(1, 10))
def test_every_clip_comes_once_longest_first(lengths, batch_size, max_age):
    batches = list(bucket_by_length(examples_of(lengths), batch_size, max_age=max_age))
    assert sorted(flat(indices(batches))) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        frames = [example.n_frames for example in batch]
        assert frames == sorted(frames, reverse=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(100, 200), max_size=80), st.integers(2, 6))
def test_full_buckets_hold_clips_of_similar_length(lengths, batch_size):
    running = True

    def stream():
        nonlocal running
        yield from examples_of(lengths)
        running = False

    for batch in bucket_by_length(stream(), batch_size):
        if running:
            frames = [example.n_frames for example in batch]
            assert len(batch) == batch_size
            assert min(frames) >= 0.95 * max(frames)


def test_bucket_bounds_tighten_with_each_clip():
    # 96 and 104 fit 100, but not each other
    batches = bucket_by_length(examples_of([100, 96, 104, 97]), 3)
    assert indices(batches) == [[0, 3, 1], [2]]


def test_clip_joins_the_oldest_bucket_that_admits_it():
    # 100 fits both the bucket of 95 and that of 105
    batches = bucket_by_length(examples_of([95, 105, 100]), 2)
    assert indices(batches) == [[2, 0], [1]]


@pytest.mark.parametrize("max_age", [2, 5])
def test_old_bucket_becomes_a_batch(max_age):
    batches = indices(bucket_by_length(examples_of([500] + 20 * [100]), 2, max_age=max_age))
    assert batches.index([0]) == max_age
    assert batches[-1] == [19, 20]


def test_each_old_bucket_becomes_a_batch_at_its_age():
    lengths = [500] + 4 * [100] + [800] + 6 * [100]  # 800 comes after two batches
    batches = indices(bucket_by_length(examples_of(lengths), 2, max_age=4))
    assert batches == [[1, 2], [3, 4], [6, 7], [8, 9], [0], [10, 11], [5]]


def test_old_bucket_keeps_all_its_clips():
    lengths = [500, 510, 490] + 20 * [100]
    batches = indices(bucket_by_length(examples_of(lengths), 4, max_age=2))
    assert [1, 0, 2] in batches
    assert sorted(flat(batches)) == list(range(23))


@pytest.mark.parametrize(("n_batches", "place"), [(900, -1), (1010, 1001)])
def test_bucket_becomes_a_batch_after_1000_batches(n_batches, place):
    batches = indices(bucket_by_length(examples_of([500] + 2 * n_batches * [100]), 2))
    assert len(batches) == n_batches + 1
    assert [0] in batches[place - 1 :][:2]


def test_clips_left_over_are_batched_by_length():
    batches = bucket_by_length(examples_of([10, 1000, 20, 500, 100]), 2)
    assert indices(batches) == [[1, 3], [4, 2], [0]]


def test_buckets_are_filled_lazily():
    endless = (Example(100, (Part(i),)) for i in itertools.count())
    assert indices(itertools.islice(bucket_by_length(endless, 2), 2)) == [[0, 1], [2, 3]]


def test_no_clips_give_no_batches():
    assert list(bucket_by_length([], 4)) == []


def test_plain_plan_holds_every_clip_once_longest_first(lengths):
    batches = plain_plan(lengths, SIZES, 7)
    assert sorted(flat(indices(batches))) == list(range(60))
    assert [len(batch) for batch in batches] == 8 * [7] + [4]
    frames = [example.n_frames for batch in batches for example in batch]
    assert frames == sorted(((n - 40) // 20 + 1 for n in lengths), reverse=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9000), max_size=40), st.integers(1, 6), MAX_FRAMES)
def test_plain_plan_limits_frames(lengths, batch_size, max_frames):
    batches = plain_plan(lengths, SIZES, batch_size, max_frames=max_frames, long_frames=200)
    assert sorted(flat(indices(batches))) == list(range(len(lengths)))
    for batch, following in itertools.pairwise(batches):
        assert batch[-1].n_frames >= following[0].n_frames
    for batch in batches:
        assert len(batch) == 1 or padded_frames(batch) <= max_frames
        assert len(batch) == 1 or batch[0].n_frames <= 200


def test_plain_example_is_the_undistorted_clip():
    assert plain_example(3, 100, SIZES) == Example(4, (Part(3, None, 0),), None)


@pytest.mark.parametrize("augmentation", [None, Augmentation(), Augmentation(mixup_prob=1)])
def test_every_epoch_holds_every_clip_once(lengths, augmentation):
    plan = plan_of(lengths, augmentation)
    for epoch in range(3):
        assert plan.epoch == epoch
        batches = list(plan.take(n_epochs=1))
        assert sorted(flat(indices(batches))) == list(range(60))


def test_epochs_differ(lengths):
    plan = plan_of(lengths, Augmentation())
    first, second = list(plan.take(n_epochs=1)), list(plan.take(n_epochs=1))
    assert flat(indices(first)) != flat(indices(second))
    gains = [
        {p.draw.gain for batch in epoch for e in batch for p in e.parts[:1]}
        for epoch in (first, second)
    ]
    assert not gains[0] & gains[1]


def test_every_epoch_has_another_order():
    plan = plan_of(np.full(20, 1000))
    first, second = (flat(indices(plan.take(n_epochs=1))) for _ in range(2))
    assert first != list(range(20))
    assert first != second


def test_same_seed_gives_the_same_batches(lengths):
    plans = [plan_of(lengths, Augmentation(), seed=seed) for seed in (5, 5, 6)]
    first, same, other = (plain(list(plan.take(n_epochs=2))) for plan in plans)
    assert first == same
    assert first != other


def test_batches_without_augmentation_are_plain(lengths):
    for batch in plan_of(lengths).take(n_epochs=1):
        for example in batch:
            assert example == plain_example(
                example.parts[0].index, lengths[example.parts[0].index], SIZES
            )


def test_plan_counts_epochs_steps_and_iterations(lengths):
    plan = plan_of(lengths)
    assert (plan.epoch, plan.step, plan.iteration) == (0, 0, 0)
    n_batches = len(list(plan.take(n_epochs=1)))
    assert (plan.epoch, plan.step, plan.iteration) == (1, 0, n_batches)
    assert len(list(plan.take(n_iterations=3))) == 3
    assert (plan.epoch, plan.step, plan.iteration) == (1, 3, n_batches + 3)


def test_iterations_continue_across_epochs(lengths):
    whole = plain(list(plan_of(lengths).take(n_epochs=3)))
    plan = plan_of(lengths)
    pieces = [plain(list(plan.take(n_iterations=7))) for _ in range(6)]
    assert all(len(piece) == 7 for piece in pieces)
    together = flat(pieces)
    n_common = min(len(whole), len(together))
    assert n_common > 40
    assert together[:n_common] == whole[:n_common]


@pytest.mark.parametrize("n_done", [0, 1, 5, 20, 43])
def test_seek_continues_from_the_position_of_another_plan(lengths, n_done):
    plan = plan_of(lengths, Augmentation())
    done = list(plan.take(n_iterations=n_done))
    assert len(done) == n_done
    other = plan_of(lengths, Augmentation())
    other.seek(plan.epoch, plan.step, plan.iteration)
    rest, rest_of_other = (plain(list(p.take(n_iterations=25))) for p in (plan, other))
    assert rest == rest_of_other
    assert (plan.epoch, plan.step, plan.iteration) == (other.epoch, other.step, other.iteration)


def mixtures(augmentation, lengths, **kwargs):
    """Return the examples of an epoch in the order of the batches."""
    return [e for batch in plan_of(lengths, augmentation, **kwargs).take(n_epochs=1) for e in batch]


def test_mixup_happens_with_its_probability():
    lengths = np.full(1000, 1000)
    for probability in (0.0, 0.5, 1.0):
        settings = Augmentation(stretch=0, mixup_prob=probability)
        mixed = np.mean([len(e.parts) == 2 for e in mixtures(settings, lengths)])
        assert mixed == pytest.approx(probability, abs=0.05)


def test_mixed_clips_keep_overlap_and_length(rng):
    lengths = rng.integers(300, 14000, 300)
    found = 0
    for example in mixtures(Augmentation(mixup_prob=1), lengths):
        if len(example.parts) == 1:
            assert example.parts[0].onset == 0
            assert example.n_frames == example.parts[0].draw.n_frames
            continue
        found += 1
        first, second = example.parts
        assert first.index != second.index
        assert min(first.onset, second.onset) == 0
        ends = [part.onset + part.draw.n_frames for part in example.parts]
        assert example.n_frames == max(ends) <= 749
        onset = second.onset - first.onset
        assert onset in reference.mixup_onsets(first.draw.n_frames, second.draw.n_frames, 749)
    assert found > 100


def test_any_other_clip_may_be_mixed_in():
    examples = mixtures(Augmentation(stretch=0, mixup_prob=1), np.full(1000, 1000))
    distances = {(e.parts[1].index - e.parts[0].index) % 1000 for e in examples}
    assert 0 not in distances
    assert len(distances) > 550  # expected are 1 - 1/e of 999
    partners = [e.parts[1].index for e in examples]
    assert np.mean(partners) == pytest.approx(499.5, abs=30)


def test_clips_of_a_mixture_have_different_distortions():
    for example in mixtures(Augmentation(mixup_prob=1), np.full(50, 2000)):
        first, second = (part.draw for part in example.parts[:1] + example.parts[-1:])
        if len(example.parts) == 2:
            assert first.gain != second.gain
            assert first.n_roll != second.n_roll


def test_single_clip_is_not_mixed():
    (example,) = mixtures(Augmentation(mixup_prob=1), [1000])
    assert len(example.parts) == 1


def test_mixup_is_delayed_by_batches():
    settings = Augmentation(stretch=0, mixup_prob=1, mixup_delay=8)
    plan = plan_of(np.full(20, 1000), settings, batch_size=4)
    batches = list(plan.take(n_epochs=3))
    mixed = [[len(e.parts) == 2 for e in batch] for batch in batches]
    assert mixed == 8 * [4 * [False]] + 7 * [4 * [True]]


def is_mixed(batches):
    return [len(example.parts) == 2 for example in flat(batches)]


@pytest.mark.parametrize(("unit", "start"), [("epoch", 2.5), ("iteration", 12.5)])
def test_distortions_are_weak_at_the_end(unit, start):
    settings = Augmentation(stretch=0, gain_std=2, mixup_prob=1)
    plan = plan_of(np.full(20, 1000), settings, batch_size=4)
    plan.set_weak_start(unit, start)
    batches = list(plan.take(n_epochs=4))
    mixed = is_mixed(batches)
    assert mixed[:40] == 40 * [True]
    assert sorted(mixed[40:60]) == 10 * [False] + 10 * [True]
    assert mixed[60:] == 20 * [False]
    log_gain = np.log([example.parts[0].draw.gain for example in flat(batches)])
    assert np.abs(log_gain[:40]).max() > 2
    assert 0.1 < np.abs(log_gain[60:]).max() < 1.2
    other = plan_of(np.full(20, 1000), settings, batch_size=4)
    other.set_weak_start(unit, start)
    other.seek(2, 3, 13)
    assert is_mixed(list(other.take(n_epochs=2))) == mixed[52:]


def test_distortions_are_not_weak_by_default():
    plan = plan_of(np.full(20, 1000), Augmentation(stretch=0, mixup_prob=1))
    assert all(is_mixed(list(plan.take(n_epochs=5))))


def test_masks_fit_the_mixture():
    for example in mixtures(Augmentation(mixup_prob=1, time_mask=1.0), np.full(100, 2000)):
        onset, width = example.features.time_mask
        assert onset + width <= example.n_frames
        onset, width = example.features.mel_mask
        assert onset + width <= 128


def test_plan_without_weights_leaves_them_to_the_dataset(lengths):
    assert {e.weight for e in flat(plan_of(lengths, Augmentation()).take(n_epochs=1))} == {None}


@pytest.mark.parametrize("augmentation", [None, Augmentation(mixup_prob=1)])
def test_an_example_has_the_weight_of_its_first_clip(lengths, augmentation):
    weights = np.linspace(0.5, 1.5, 60)
    for example in flat(plan_of(lengths, augmentation, weights=weights).take(n_epochs=1)):
        assert example.weight == weights[example.parts[0].index]


def test_equal_weights_and_probabilities_do_not_change_mixtures(lengths):
    augmentation = Augmentation(mixup_prob=1)
    plain_plans, equal_plans = (
        [[e._replace(weight=None) for e in batch] for batch in plan.take(n_epochs=2)]
        for plan in (
            plan_of(lengths, augmentation),
            plan_of(lengths, augmentation, weights=np.full(60, 0.3)),
        )
    )
    assert plain(equal_plans) == plain(plain_plans)


def appearances(plan, n_epochs):
    """Sum the loss that each clip has a part in, and that of mixtures of a clip with itself."""
    loss, with_itself = np.zeros(len(plan.lengths)), 0
    for example in flat(plan.take(n_epochs=n_epochs)):
        weight = 1 if example.weight is None else example.weight
        indices = [part.index for part in example.parts]
        np.add.at(loss, indices, weight)
        with_itself += weight * (len(indices) == 2 and indices[0] == indices[1])
    return loss, with_itself


@pytest.mark.parametrize("mixup_prob", [0.0, 0.5, 1.0])
def test_weighted_clips_count_like_repeated_ones(mixup_prob):
    # only ratios matter: these are 6, 1, 1 and 2 copies
    weights = np.array([3, 0.5, 0.5, 1])
    augmentation = Augmentation(stretch=0, mixup_prob=mixup_prob)
    plan = plan_of(np.full(4, 1000), augmentation, weights=weights)
    plan.set_weak_start("epoch", 400)
    loss, _ = appearances(plan, 500)
    # each of ten copies has the same part of the loss
    np.testing.assert_allclose(loss / loss.sum(), weights / 5, atol=0.02)


def test_a_clip_is_mixed_with_itself_as_if_it_were_repeated():
    plan = plan_of(np.full(3, 1000), Augmentation(stretch=0, mixup_prob=1), weights=[4, 1, 1])
    _, with_itself = appearances(plan, 600)
    # four of six copies are of the first clip, and three of the five others are, too
    assert with_itself / (600 * 6) == pytest.approx(4 / 6 * 3 / 5, abs=0.02)
    mixtures = [e.parts for e in flat(plan.take(n_epochs=100))]
    assert all(a.index != b.index for a, b in mixtures if a.index > 0)


def test_heavy_clips_are_mixed_in_by_their_weights():
    weights = np.linspace(1, 9, 50)
    plan = plan_of(np.full(50, 1000), Augmentation(stretch=0, mixup_prob=1), weights=weights)
    loss, _ = appearances(plan, 80)
    slope, intercept = np.polyfit(weights / weights.sum(), loss / loss.sum(), 1)
    # uniformly drawn partners would give a slope of 0.5
    assert slope == pytest.approx(1, abs=0.05)
    assert intercept == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("mixup_prob", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n_rare", [1, 5])
def test_events_drawn_equally_often_are_equally_frequent_in_mixtures(mixup_prob, n_rare):
    probabilities = np.repeat([0.5 / n_rare, 0.5 / (100 - n_rare)], [n_rare, 100 - n_rare])
    augmentation = Augmentation(stretch=0, mixup_prob=mixup_prob)
    plan = plan_of(np.full(100, 1000), augmentation, probabilities=probabilities)
    loss, _ = appearances(plan, 60)
    assert loss[:n_rare].sum() / loss[n_rare:].sum() == pytest.approx(1, abs=0.05)
