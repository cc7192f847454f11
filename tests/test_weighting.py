"""Weights of classes, events and samples."""

import numpy as np
import pytest
from sklearn.utils import compute_class_weight

from sktagger.training.weighting import (
    check_class_weight,
    draw_probabilities,
    event_weights,
    label_weights,
    mean_one,
)

INDICATOR = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
EVENTS = np.array(["rain", "siren", "never"])


def test_balanced_weights_of_positives_and_negatives_have_the_same_sum():
    absent, present = event_weights("balanced", INDICATOR, EVENTS)
    n_present = INDICATOR.sum(axis=0)
    np.testing.assert_allclose((present * n_present)[:2], ((4 - n_present) * absent)[:2])
    np.testing.assert_allclose((present * n_present + absent * (4 - n_present)), 4)
    assert (absent[2], present[2]) == (1, 1)


def test_weights_of_events_apply_to_positive_clips():
    absent, present = event_weights({"siren": 3.0}, INDICATOR, EVENTS)
    assert absent.tolist() == [1, 1, 1]
    assert present.tolist() == [1, 3, 1]
    assert event_weights(None, INDICATOR, EVENTS) is None


def test_balanced_labels_have_the_weights_of_scikit_learn():
    y = np.array([0, 0, 0, 1, 2, 2])
    weights = label_weights("balanced", np.eye(3)[y], np.arange(3))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)[y]
    np.testing.assert_allclose(weights / weights.mean(), expected / expected.mean())
    np.testing.assert_allclose(
        label_weights({1: 5.0}, np.eye(3)[y], np.arange(3)), np.where(y == 1, 5.0, 1.0)
    )


def test_every_event_is_drawn_equally_often():
    indicator = np.array([[1, 0]] * 8 + [[0, 1]] * 2 + [[0, 0]] * 5)
    p = draw_probabilities(indicator)
    assert p.sum() == pytest.approx(1)
    np.testing.assert_allclose([p[:8].sum(), p[8:10].sum(), p[10:].sum()], 1 / 3)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"sirn": 2.0}, "'sirn', which is not among .* nearest: 'siren'"),
        ({"siren": 0}, "'siren' is 0, but a weight must be a number above 0"),
        ({"siren": np.inf}, "'siren' is inf"),
    ],
)
def test_bad_weights_are_named(class_weight, message):
    with pytest.raises(ValueError, match=message):
        check_class_weight(class_weight, EVENTS)


COPIES = np.array([3, 1, 2, 1])
REPEATED = np.repeat(INDICATOR, COPIES, axis=0)


def test_weighted_clips_are_balanced_like_repeated_ones():
    weights = event_weights("balanced", INDICATOR, EVENTS, COPIES)
    np.testing.assert_allclose(weights, event_weights("balanced", REPEATED, EVENTS))


@pytest.mark.parametrize("scale", [1, 0.01])
def test_balance_depends_on_ratios_of_weights_only(scale):
    weights = event_weights("balanced", INDICATOR, EVENTS, scale * COPIES)
    np.testing.assert_allclose(weights, event_weights("balanced", REPEATED, EVENTS), rtol=1e-6)


def test_weighted_labels_are_balanced_like_repeated_ones():
    indicator = np.eye(2)[[0, 0, 0, 1]]
    weights = label_weights("balanced", indicator, np.arange(2), COPIES)
    repeated = label_weights("balanced", np.repeat(indicator, COPIES, axis=0), np.arange(2))
    np.testing.assert_allclose(np.repeat(weights, COPIES), repeated)


def test_weighted_clips_are_drawn_like_repeated_ones():
    p = draw_probabilities(INDICATOR, COPIES)
    repeated = draw_probabilities(REPEATED)
    first = np.cumsum(COPIES) - COPIES
    np.testing.assert_allclose(p, np.add.reduceat(repeated, first))


def test_weights_are_scaled_to_a_mean_of_one():
    scaled = mean_one(np.array([0.0, 1.0, 5.0]))
    assert scaled.tolist() == [0.0, 0.5, 2.5]
    assert scaled.dtype == np.float32


SOFT = np.array([[0.75, 0.25], [0.5, 0.0], [0.75, 0.75], [0.0, 0.0], [1.0, 1.0]])


def test_balanced_weights_of_soft_targets_have_the_same_sum():
    absent, present = event_weights("balanced", SOFT, np.array(["rain", "siren"]))
    np.testing.assert_allclose((present * SOFT).sum(axis=0), 2.5)
    np.testing.assert_allclose((absent * (1 - SOFT)).sum(axis=0), 2.5)


def test_clips_share_the_probability_of_an_event_by_their_targets():
    p = draw_probabilities(SOFT)
    without = np.array([0.25 * 0.75, 0.5, 0.25 * 0.25, 1.0, 0.0])  # no event occurs
    expected = (SOFT / [3, 2]).sum(axis=1) + without / without.sum()
    np.testing.assert_allclose(p, expected / 3)


def test_weighted_soft_clips_are_treated_like_repeated_ones():
    copies = np.array([3, 1, 2, 1, 2])
    repeated = np.repeat(SOFT, copies, axis=0)
    p = draw_probabilities(repeated)
    first = np.cumsum(copies) - copies
    np.testing.assert_allclose(draw_probabilities(SOFT, copies), np.add.reduceat(p, first))
    np.testing.assert_allclose(
        event_weights("balanced", SOFT, EVENTS[:2], copies),
        event_weights("balanced", repeated, EVENTS[:2]),
    )


def test_event_expected_in_less_than_one_clip_counts_less():
    indicator = np.array([[1, 0.0], [1, 0.1], [1, 0.3], [1, 0.0]])
    p = draw_probabilities(indicator)
    np.testing.assert_allclose(p, (indicator[:, 0] / 4 + indicator[:, 1]) / 1.4)
    _, present = event_weights("balanced", indicator, EVENTS[:2])
    # of the loss, its positives get 0.4 of the half that those of a frequent event get
    assert present @ [1, 0.4] == pytest.approx(1 + 0.4 * 2)
