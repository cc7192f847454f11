"""Clips that are held out, and the share of each clip in the loss."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from sktagger import Augmentation, WALNetTagger
from sktagger.audio.clip_input import check_clips
from sktagger.targets import check_targets
from sktagger.training.setup import make_intervals, split_validation
from sktagger.training.weighting import label_weights

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "random_state": 0}
SEED = int(np.random.RandomState(0).randint(2**31 - 1))  # as fit draws it
ALIKE = Augmentation(stretch=0, mixup_prob=1, final_weak_fraction=0)


@pytest.fixture(scope="module")
def data():
    """Twenty clips and their events, of which the second is rare."""
    Y = np.zeros((20, 2), int)
    Y[:, 0] = 1
    Y[:6] = [[0, 1], [0, 1], [0, 1], [1, 1], [1, 1], [0, 0]]
    return np.random.default_rng(0).standard_normal((20, 800)), Y


def loss_by_clip(X, y, sample_weight=None, n_epochs=150, **settings):
    """Return the share of each clip in the loss of a training; the shares sum to 1."""
    tagger = WALNetTagger(**SETTINGS, augmentation=ALIKE, max_epochs=n_epochs, **settings)
    targets = check_targets(y, soft=True)
    clips = check_clips(tagger, X, reset=True)
    network = tagger._get_network()
    weights = tagger._clip_weights(sample_weight, targets)
    dataset = tagger._dataset(clips, network, targets.indicator, weights)
    label_weight = None
    if not targets.multilabel:
        arguments = tagger.class_weight, dataset.targets, targets.classes, dataset.weights
        label_weight = label_weights(*arguments)
    intervals = make_intervals(
        tagger,
        dataset,
        ALIKE,
        1,
        128,
        0,
        validated=False,
        n_epochs=None,
        earlier_net=None,
        label_weight=label_weight,
    )
    loss = np.zeros(len(X))
    for batch in intervals.plan.take(n_epochs=n_epochs):
        _, weights = dataset.targets_of(batch)
        for example, weight in zip(batch, weights.tolist(), strict=True):
            rows = [dataset.clips.positions[part.index] for part in example.parts]
            np.add.at(loss, rows, weight)
    return loss / loss.sum()


WEIGHTS = np.array([3, 1, 1, 2, 1, 1, *np.ones(10, int), 4, 0, 2, 0])


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("sampler", [None, "balanced"])
@pytest.mark.parametrize("class_weight", [None, "balanced", {1: 3.0}])
def test_weighted_clips_have_the_same_share_of_the_loss_as_repeated_ones(
    data, labels, sampler, class_weight
):
    X, y = data
    if labels:
        y = y[:, 1]
    settings = {"sampler": sampler, "class_weight": class_weight}
    weighted = loss_by_clip(X, y, WEIGHTS, **settings)
    assert (weighted[WEIGHTS == 0] == 0).all()
    rows = np.repeat(np.arange(20), WEIGHTS)
    repeated = np.bincount(rows, loss_by_clip(X[rows], y[rows], **settings), minlength=20)
    np.testing.assert_allclose(weighted, repeated, atol=0.015)


def test_share_of_the_loss_follows_the_weights_of_labels(data):
    X, Y = data
    shares = loss_by_clip(X, Y[:, 1], class_weight={1: 3.0})
    assert shares[Y[:, 1] == 1].sum() == pytest.approx(15 / 30, abs=0.015)
    shares = loss_by_clip(X, Y[:, 1], class_weight="balanced")
    assert shares[Y[:, 1] == 1].sum() == pytest.approx(0.5, abs=0.015)


def test_sampler_and_weights_of_labels_are_combined(data):
    X, Y = data
    shares = loss_by_clip(X, Y[:, 1], sampler="balanced", class_weight={1: 3.0})
    assert shares[Y[:, 1] == 1].sum() == pytest.approx(0.75, abs=0.02)


def test_soft_clips_are_drawn_by_their_targets(data):
    X, _ = data
    Y = np.zeros((20, 2))
    Y[:, 0] = 1
    Y[:4, 1] = [0.2, 0.4, 0.6, 0.8]
    shares = loss_by_clip(X, Y, sampler="balanced")
    expected = Y @ [1 / 20, 1 / 2] / 2
    np.testing.assert_allclose(shares, expected, atol=0.015)


def held_out(data, sample_weight=None, groups=None, **settings):
    X, Y = data
    tagger = WALNetTagger(**SETTINGS, **settings)
    targets = check_targets(Y)
    weights = tagger._clip_weights(sample_weight, targets)
    clips = check_clips(tagger, X, reset=True)
    kept, clips_val, events_val = split_validation(
        tagger, clips, targets, None, None, SEED, groups=groups, weights=weights
    )
    np.testing.assert_array_equal(events_val, Y[clips_val.positions])
    return set(kept), set(clips_val.positions)


@pytest.mark.parametrize("fraction", [0.5, 0.4, 0.3, 0.25, 0.05])
def test_fraction_of_the_clips_is_held_out(data, fraction):
    kept, validated = held_out(data, validation_fraction=fraction)
    assert len(validated) == 20 * fraction
    assert kept | validated == set(range(20))


def test_at_least_one_clip_is_held_out(data):
    with pytest.warns(UndefinedMetricWarning, match="of Y_val"):
        _, validated = held_out(data, validation_fraction=0.001)
    assert len(validated) == 1


def test_groups_are_not_split(data):
    groups = [f"recording {i % 7}" for i in range(20)]
    kept, validated = held_out(data, groups=groups, validation_fraction=0.3)
    assert not {groups[i] for i in kept} & {groups[i] for i in validated}
    assert 5 <= len(validated) <= 7


def test_groups_are_checked_without_a_split(data):
    X, Y = data
    with pytest.raises(ValueError, match="groups: got 3 entries for 20 clips"):
        WALNetTagger(**SETTINGS).fit(X, Y, groups=[1, 2, 3])


def test_clips_of_weight_zero_are_not_validated_on(data):
    kept, validated = held_out(data, validation_fraction=0.5)
    dropped = min(validated)
    weight = np.ones(20)
    weight[dropped] = 0
    assert held_out(data, weight, validation_fraction=0.5) == (kept, validated - {dropped})


@pytest.mark.parametrize("purpose", ["train on", "validate on"])
def test_part_without_weight_raises(data, purpose):
    kept, validated = held_out(data, validation_fraction=0.4)
    weight = np.ones(20)
    weight[list(kept if purpose == "train on" else validated)] = 0
    message = f"sample_weight is 0 for all .* clips that validation_fraction=0.4 .* {purpose}"
    with pytest.raises(ValueError, match=message):
        WALNetTagger(**SETTINGS, validation_fraction=0.4).fit(*data, sample_weight=weight)


def test_events_only_in_clips_of_weight_zero_cause_a_warning(data):
    X, Y = data
    Y = pd.DataFrame({"rain": Y[:, 0], "siren": np.arange(20) == 3})
    tagger = WALNetTagger(**SETTINGS, max_epochs=1)
    with pytest.warns(UndefinedMetricWarning, match="1 of 2 events occur in no clip of y .*siren"):
        tagger.fit(X, Y.astype(int), sample_weight=np.arange(20) != 3)
    assert tagger.classes_.tolist() == ["rain", "siren"]
