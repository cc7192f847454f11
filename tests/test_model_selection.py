import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.tree import DecisionTreeClassifier

from sktagger.model_selection import MultilabelStratifiedGroupKFold, stratified_hold_out


def fold_of_clips(splitter, Y, groups=None):
    n_clips = Y.shape[0] if hasattr(Y, "shape") else len(Y)
    fold_of = np.full(n_clips, -1)
    for fold, (train, test) in enumerate(splitter.split(np.zeros(n_clips), Y, groups)):
        assert np.array_equal(np.union1d(train, test), np.arange(n_clips))
        assert len(train) + len(test) == n_clips
        assert (fold_of[test] == -1).all()
        fold_of[test] = fold
    return fold_of


def deviation(fold_of, Y):
    """Mean absolute deviation of the events' shares in the folds from equal shares."""
    counts = np.array([Y[fold_of == fold].sum(axis=0) for fold in range(fold_of.max() + 1)])
    return np.abs(counts / Y.sum(axis=0) - 1 / len(counts)).mean()


@pytest.fixture(scope="module")
def long_tailed():
    """1,000 clips with 40 events, which occur in a third of the clips down to a few clips."""
    frequency = np.arange(1, 41) ** -1.2 / 3
    return (np.random.default_rng(0).random((1000, 40)) < frequency).astype(int)


@pytest.fixture(scope="module")
def grouped():
    """600 clips with 15 events in 120 groups of different sizes, similar within a group."""
    rng = np.random.default_rng(1)
    groups = np.searchsorted(np.sort(rng.random(119)) ** 2, rng.random(600))
    group_events = rng.random((120, 15)) < np.arange(1, 16) ** -0.8 / 2
    return (group_events[groups] & (rng.random((600, 15)) < 0.8)).astype(int), groups


def test_each_event_keeps_its_share(long_tailed):
    fold_of = fold_of_clips(MultilabelStratifiedGroupKFold(5), long_tailed)
    counts = np.array([long_tailed[fold_of == fold].sum(axis=0) for fold in range(5)])
    assert np.all(np.abs(counts - long_tailed.sum(axis=0) / 5) < 2)
    assert np.all(counts[:, long_tailed.sum(axis=0) >= 5] > 0)


def test_folds_have_equal_sizes(long_tailed):
    fold_of = fold_of_clips(MultilabelStratifiedGroupKFold(7), long_tailed)
    assert np.ptp(np.bincount(fold_of)) <= 1


def test_no_worse_than_iterative_stratification(long_tailed):
    ml_stratifiers = pytest.importorskip("iterstrat.ml_stratifiers")
    theirs = ml_stratifiers.MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
    ours = MultilabelStratifiedGroupKFold(5, shuffle=True, random_state=0)
    limit = deviation(fold_of_clips(theirs, long_tailed), long_tailed)
    assert deviation(fold_of_clips(ours, long_tailed), long_tailed) <= limit + 1e-9


def test_1d_labels_are_split_as_by_stratified_k_fold():
    labels = np.random.default_rng(0).choice(["a", "b", "c"], 100, p=[0.7, 0.2, 0.1])
    our_folds = fold_of_clips(MultilabelStratifiedGroupKFold(4), labels)
    their_folds = fold_of_clips(StratifiedKFold(4), labels)
    for fold_of in (our_folds, their_folds):
        counts = pd.crosstab(labels, fold_of)
        assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()


def test_groups_are_never_split(grouped):
    Y, groups = grouped
    fold_of = fold_of_clips(MultilabelStratifiedGroupKFold(5), Y, groups)
    assert (pd.Series(fold_of).groupby(groups).nunique() == 1).all()


def test_groups_are_better_stratified_than_by_group_k_fold(grouped):
    Y, groups = grouped
    our_folds = fold_of_clips(MultilabelStratifiedGroupKFold(5), Y, groups)
    their_folds = fold_of_clips(GroupKFold(5), Y, groups)
    assert deviation(our_folds, Y) < deviation(their_folds, Y) / 2
    assert np.ptp(np.bincount(our_folds)) < 0.1 * len(Y)


def unevenness(fold_of, Y):
    """Compute the sum that the splitter minimizes, term by term."""
    n_splits = fold_of.max() + 1
    total = 0
    for fold in range(n_splits):
        for event in Y.T:
            total += (event[fold_of == fold].sum() / event.sum() - 1 / n_splits) ** 2
        total += 3 * ((fold_of == fold).mean() - 1 / n_splits) ** 2
    return total


def test_no_move_of_a_group_makes_the_folds_more_even(grouped):
    Y, groups = grouped
    fold_of = fold_of_clips(MultilabelStratifiedGroupKFold(4), Y, groups)
    least = unevenness(fold_of, Y)
    for group, fold in itertools.product(np.unique(groups), range(4)):
        moved = np.where(groups == group, fold, fold_of)
        assert unevenness(moved, Y) >= least - 1e-9


def test_near_the_best_split_of_all():
    rng = np.random.default_rng(3)
    Y, groups = rng.integers(2, size=(24, 3)), np.arange(24) // 3

    def of_groups(folds):
        return deviation(np.array(folds)[groups], Y)

    every = [f for f in itertools.product(range(2), repeat=8) if 0 < sum(f) < 8]
    best = min(map(of_groups, every))
    median = np.median(list(map(of_groups, every)))
    found = deviation(fold_of_clips(MultilabelStratifiedGroupKFold(2), Y, groups), Y)
    assert best <= found < best + 0.1 * (median - best)


@pytest.mark.parametrize(
    "convert",
    [
        lambda Y: Y.tolist(),
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(float),
        lambda Y: pd.DataFrame(Y, index=[f"clip {i}" for i in range(len(Y))]),
        sparse.csr_matrix,
        sparse.csr_array,
        sparse.coo_array,
        lambda Y: [[f"{event:02d}" for event in np.flatnonzero(row)] for row in Y],
        lambda Y: pd.Series([tuple(f"{e:02d}" for e in np.flatnonzero(row)) for row in Y]),
    ],
)
def test_form_of_the_targets_does_not_matter(long_tailed, convert):
    splitter = MultilabelStratifiedGroupKFold(5)
    expected = fold_of_clips(splitter, long_tailed)
    np.testing.assert_array_equal(fold_of_clips(splitter, convert(long_tailed)), expected)


@pytest.mark.parametrize(
    "convert",
    [
        lambda groups: [f"take {group}" for group in groups],
        lambda groups: pd.Series(groups, index=np.arange(len(groups)) + 7).astype("category"),
        lambda groups: groups.astype(float),
        lambda groups: pd.Series(groups).map("take {}".format).to_numpy(object),
    ],
)
def test_names_of_groups_do_not_matter(grouped, convert):
    Y, groups = grouped
    splitter = MultilabelStratifiedGroupKFold(5)
    expected = fold_of_clips(splitter, Y, groups)
    np.testing.assert_array_equal(fold_of_clips(splitter, Y, convert(groups)), expected)


def test_groups_of_single_clips_change_nothing(long_tailed):
    splitter = MultilabelStratifiedGroupKFold(5)
    expected = fold_of_clips(splitter, long_tailed)
    groups = np.random.default_rng(0).permutation(len(long_tailed))
    np.testing.assert_array_equal(fold_of_clips(splitter, long_tailed, groups), expected)


def test_split_is_reproducible(long_tailed):
    splitter = MultilabelStratifiedGroupKFold(5, shuffle=True, random_state=3)
    first = fold_of_clips(splitter, long_tailed)
    np.testing.assert_array_equal(fold_of_clips(splitter, long_tailed), first)


def test_shuffled_splits_are_equally_good(long_tailed):
    first, second = (
        fold_of_clips(
            MultilabelStratifiedGroupKFold(5, shuffle=True, random_state=seed), long_tailed
        )
        for seed in (0, 1)
    )
    assert (first != second).mean() > 0.5
    assert deviation(first, long_tailed) == pytest.approx(deviation(second, long_tailed), abs=1e-3)


def test_generator_gives_another_split_in_each_call(long_tailed):
    generator = np.random.RandomState(0)
    splitter = MultilabelStratifiedGroupKFold(5, shuffle=True, random_state=generator)
    assert (fold_of_clips(splitter, long_tailed) != fold_of_clips(splitter, long_tailed)).any()


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_split_is_a_partition_without_empty_folds(data):
    n_clips = data.draw(st.integers(2, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    Y = rng.integers(2, size=(n_clips, data.draw(st.integers(2, 4))))
    groups = rng.integers(data.draw(st.integers(1, n_clips)), size=n_clips)
    groups[:2] = [0, 1]
    n_splits = data.draw(st.integers(2, len(np.unique(groups))))
    fold_of = fold_of_clips(MultilabelStratifiedGroupKFold(n_splits), Y, groups)
    assert set(fold_of) == set(range(n_splits))
    assert (pd.Series(fold_of).groupby(groups).nunique() == 1).all()


def test_soft_targets_count_as_fractions_of_a_clip(rng):
    Y = rng.random((200, 5)) ** 4
    fold_of = fold_of_clips(MultilabelStratifiedGroupKFold(5), Y)
    assert deviation(fold_of, Y) < 0.1 * deviation(np.arange(200) % 5, Y)


def test_clips_without_events_are_distributed():
    fold_of = fold_of_clips(MultilabelStratifiedGroupKFold(3), np.zeros((10, 2), int))
    assert sorted(np.bincount(fold_of)) == [3, 3, 4]


def test_arguments_are_not_changed(grouped):
    Y, groups = (array.copy() for array in grouped)
    Y.flags.writeable = groups.flags.writeable = False
    fold_of_clips(MultilabelStratifiedGroupKFold(3, shuffle=True, random_state=0), Y, groups)


@pytest.fixture
def features(grouped):
    return np.random.default_rng(0).normal(size=(len(grouped[0]), 3))


def test_cross_val_score_with_and_without_groups(grouped, features):
    Y, groups = grouped
    cv = MultilabelStratifiedGroupKFold(4)
    assert len(cross_val_score(DummyClassifier(), features, Y, cv=cv)) == 4
    assert len(cross_val_score(DummyClassifier(), features, Y, cv=cv, groups=groups)) == 4


def test_cross_val_predict_covers_every_clip(grouped, features):
    Y, groups = grouped
    cv = MultilabelStratifiedGroupKFold(4)
    predicted = cross_val_predict(DecisionTreeClassifier(), features, Y, cv=cv, groups=groups)
    assert predicted.shape == Y.shape


def test_grid_search_uses_the_splits(grouped, features):
    Y, groups = grouped
    cv = MultilabelStratifiedGroupKFold(4)
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=cv)
    assert search.fit(features, Y, groups=groups).n_splits_ == 4
    assert search.fit(features, Y).n_splits_ == 4


def test_routing_works_without_groups(grouped, features):
    Y, _ = grouped
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            DummyClassifier(), features, Y, cv=MultilabelStratifiedGroupKFold(4)
        )
    assert len(scores) == 4


def test_routed_groups_reach_the_splitter(grouped, features):
    Y, groups = grouped
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            DecisionTreeClassifier(random_state=0),
            features,
            Y,
            cv=MultilabelStratifiedGroupKFold(4),
            params={"groups": groups},
        )
    expected = cross_val_score(
        DecisionTreeClassifier(random_state=0),
        features,
        Y,
        cv=list(MultilabelStratifiedGroupKFold(4).split(features, Y, groups)),
    )
    np.testing.assert_array_equal(scores, expected)


def test_number_of_splits_and_repr():
    splitter = MultilabelStratifiedGroupKFold(4, shuffle=True)
    assert splitter.get_n_splits() == KFold(4).get_n_splits() == 4
    text = "MultilabelStratifiedGroupKFold(n_splits=4, random_state=None, shuffle=True)"
    assert repr(splitter) == text


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_splits": 1}, "n_splits: got 1, but it must be an integer of at least 2"),
        ({"n_splits": 2.0}, r"n_splits: got 2\.0, but it must be an integer"),
        ({"n_splits": True}, "n_splits: got True"),
        ({"shuffle": 1}, "shuffle: got 1, but it must be True or False"),
        ({"random_state": 0}, "random_state: got 0 with shuffle=False"),
    ],
)
def test_wrong_parameters(params, message):
    splitter = MultilabelStratifiedGroupKFold(**params)
    with pytest.raises(ValueError, match=message):
        splitter.get_n_splits()
    with pytest.raises(ValueError, match=message):
        next(splitter.split(np.zeros(10), np.eye(10, dtype=int)))


def first_split(y, groups=None, n_clips=4, n_splits=3):
    return next(MultilabelStratifiedGroupKFold(n_splits).split(np.zeros(n_clips), y, groups))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "target y is None"),
        ([[1, 1.5]] * 4, "from 0 to 1"),
        ([[1, np.nan]] * 4, "NaN"),
        (pd.DataFrame({"a": [1, 0, 1, np.nan], "b": 1}), "clip 3 .*'a'"),
        ([0.1, 0.2, 0.3, 0.4], "continuous"),
        ([["a"]] * 3, "inconsistent numbers of samples"),
    ],
)
def test_wrong_targets(y, message):
    with pytest.raises(ValueError, match=message):
        first_split(y)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a", "a", "b", "b"], "n_splits: got 3, but there are only 2 groups"),
        (["a", "b", None, "c"], "groups: got None for clip 2"),
        (["a", "b", "c", np.nan], "groups: got nan for clip 3"),
        (pd.Series(["a", "b", pd.NA, "c"], dtype="string"), "groups: got <NA> for clip 2"),
        (np.array([1, 2, np.nan, 3]), r"groups: got .*nan.* for clip 2"),
        (np.eye(4), r"groups: got an array of shape \(4, 4\)"),
        ([1, 2, 3], "inconsistent numbers of samples"),
    ],
)
def test_wrong_groups(groups, message):
    with pytest.raises(ValueError, match=message):
        first_split([["a"], ["b"], ["a"], ["b"]], groups)


def test_fewer_clips_than_folds():
    with pytest.raises(ValueError, match="n_splits: got 5, but there are only 4 clips"):
        first_split([["a"], ["b"], ["a"], ["b"]], n_splits=5)


def held_out_counts(Y, fraction, groups=None, seed=0):
    kept, held_out = stratified_hold_out(Y, fraction, groups, random_state=seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(len(Y)))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(held_out) > 0).all()
    return len(held_out), Y[held_out].sum(axis=0)


@pytest.mark.parametrize("fraction", [0.5, 0.45, 0.4, 0.35, 1 / 3, 0.3, 0.29, 0.2, 0.15, 0.02])
def test_held_out_part_has_the_right_size(long_tailed, fraction):
    n_held_out, by_event = held_out_counts(long_tailed, fraction)
    assert abs(n_held_out - fraction * len(long_tailed)) < 1
    assert np.abs(by_event - fraction * long_tailed.sum(axis=0)).max() < 3


@pytest.mark.parametrize("n_clips", [2, 3, 7, 10, 61])
@pytest.mark.parametrize("fraction", [0.5, 0.4, 0.25, 0.1, 0.001])
def test_size_of_few_clips(n_clips, fraction):
    Y = np.arange(n_clips)[:, None] % 2
    n_held_out, _ = held_out_counts(Y, fraction)
    assert abs(n_held_out - max(1, fraction * n_clips)) < 1


def test_rare_events_do_not_change_the_size():
    # One of three clips is closest to 0.4 of each event, and two of four or five to 0.45.
    for n_clips, fraction in ((3, 0.4), (4, 0.4), (5, 0.45), (3, 0.15)):
        Y = np.repeat(np.eye(100, dtype=int), n_clips, axis=0)
        n_held_out, by_event = held_out_counts(Y, fraction)
        assert n_held_out == round(fraction * len(Y))
        assert np.abs(by_event - fraction * n_clips).max() < 1


@pytest.mark.parametrize("fraction", [0.5, 0.4, 0.3, 0.2, 0.1])
def test_held_out_groups_are_not_split(grouped, fraction):
    Y, groups = grouped
    kept, held_out = stratified_hold_out(Y, fraction, groups, random_state=0)
    assert not set(np.asarray(groups)[kept]) & set(np.asarray(groups)[held_out])
    assert abs(len(held_out) - fraction * len(Y)) < 1  # some groups have a single clip


def test_size_with_large_groups_is_as_close_as_possible():
    groups = np.repeat(np.arange(6), 10)
    Y = np.arange(60)[:, None] % 2
    for fraction, n_expected in ((0.5, 30), (0.4, 20), (0.29, 20), (0.2, 10), (0.001, 10)):
        assert held_out_counts(Y, fraction, groups)[0] == n_expected


def test_small_group_is_held_out_for_a_small_fraction():
    groups = np.repeat([0, 1, 2], [50, 3, 7])
    assert held_out_counts(np.ones((60, 1), int), 0.001, groups)[0] == 3


@pytest.mark.parametrize("n_splits", [2, 3, 4, 5, 10])
def test_held_out_part_is_the_first_of_equal_folds(long_tailed, n_splits):
    splitter = MultilabelStratifiedGroupKFold(n_splits, shuffle=True, random_state=3)
    expected = next(splitter.split(long_tailed, long_tailed))
    parts = stratified_hold_out(long_tailed, 1 / n_splits, random_state=3)
    for part, expected_part in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, expected_part)


def test_seed_changes_the_held_out_clips(long_tailed):
    first, same, other = (
        stratified_hold_out(long_tailed, 0.3, random_state=seed)[1].tolist() for seed in (0, 0, 1)
    )
    assert first == same
    assert first != other


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a"] * 4, "cv=0.2 holds out a part of the groups, but groups has only 1 group"),
        ([1, 2, 3], "groups: got 3 entries for 4 clips"),
        (["a", "b", None, "c"], "groups: got None for clip 2"),
    ],
)
def test_wrong_groups_for_holding_out(groups, message):
    with pytest.raises(ValueError, match=message):
        stratified_hold_out(np.ones((4, 1)), 0.2, groups, random_state=0, name="cv")


def test_single_clip_cannot_be_held_out():
    with pytest.raises(ValueError, match=r"fraction=0\.2 .* X has only 1 clip"):
        stratified_hold_out(np.ones((1, 1)), 0.2, random_state=0)
