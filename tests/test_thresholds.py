import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import InvalidParameterError

from sktagger import ThresholdTuner
from sktagger.metrics import mean_f1, mean_precision, mean_recall
from sktagger.thresholds._choice import _refine
from sktagger.thresholds._levels import _shrink, _smooth_tails, _widen_tails, shift_bins
from sktagger.thresholds._model import _own_curves, _weigh_priors
from sktagger.thresholds._scale import ScoreScale

STRATEGIES = ["expected", "best"]


@pytest.fixture
def scores_and_events(rng):
    Y = rng.random((200, 4)) < [0.5, 0.3, 0.1, 0.05]
    return rng.standard_normal(Y.shape) + Y, Y.astype(int)


def best_by_search(y, s):
    """Find the highest F1 of -inf, all midpoints and +inf with the formula of F1."""
    distinct = np.unique(s)
    best = (-1.0, None)
    for threshold in [-np.inf, *(distinct[1:] + distinct[:-1]) / 2, np.inf]:
        tp = np.sum(y & (s > threshold))
        precision, recall = tp / max(np.sum(s > threshold), 1), tp / max(y.sum(), 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-15)
        best = max(best, (f1, threshold))
    return best


def test_thresholds_have_the_best_f1(scores_and_events):
    S, Y = scores_and_events
    tuner = ThresholdTuner(strategy="best").fit(S, Y)
    expected = [best_by_search(Y[:, k], S[:, k]) for k in range(4)]
    np.testing.assert_allclose(tuner.thresholds_, [threshold for _, threshold in expected])
    assert tuner.score(S, Y) == pytest.approx(np.mean([f1 for f1, _ in expected]))


def test_events_with_scores_above_the_threshold_are_predicted(scores_and_events):
    S, Y = scores_and_events
    tuner = ThresholdTuner().fit(S, Y)
    np.testing.assert_array_equal(tuner.predict(S), tuner.thresholds_ < S)
    np.testing.assert_array_equal(tuner.transform(S), tuner.predict(S))
    assert tuner.score(S, Y) == mean_f1(Y, tuner.predict(S))


def test_predict_proba_returns_the_scores(scores_and_events):
    S, Y = scores_and_events
    np.testing.assert_array_equal(ThresholdTuner().fit(S, Y).predict_proba(S), S)


def test_event_without_positives_gets_the_best_common_threshold(scores_and_events):
    S, Y = scores_and_events
    Y[:, 3] = 0
    tuner = ThresholdTuner(strategy="best").fit(S, Y)
    assert tuner.thresholds_[3] == pytest.approx(best_by_search(Y.ravel(), S.ravel())[1])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_is_predicted_without_any_positives(scores_and_events, strategy):
    S, Y = scores_and_events
    tuner = ThresholdTuner(strategy=strategy).fit(S, 0 * Y)
    assert np.isfinite(tuner.thresholds_).all()
    assert not tuner.predict(S).any()


def test_events_keep_their_names(scores_and_events):
    S, Y = scores_and_events
    names = ["siren", "bell", "rain", "dog"]
    tuner = ThresholdTuner().set_output(transform="pandas").fit(S, pd.DataFrame(Y, columns=names))
    assert list(tuner.classes_) == names
    assert list(tuner.transform(S).columns) == names


def test_wrong_number_of_events_raises(scores_and_events):
    S, Y = scores_and_events
    with pytest.raises(ValueError, match="X has scores of 3 events, but y has 4"):
        ThresholdTuner().fit(S[:, :3], Y)
    with pytest.raises(ValueError, match="X has 3 features"):
        ThresholdTuner().fit(S, Y).predict(S[:, :3])


def test_unfitted_tuner_raises():
    with pytest.raises(NotFittedError):
        ThresholdTuner().predict(np.ones((2, 2)))


@pytest.fixture
def many_events(rng):
    """Scores, labels, separations and priors of 40 events with 1 to 50 positives."""
    prior, separation = np.geomspace(0.004, 0.16, 40), rng.normal(2, 0.5, 40)
    Y = rng.random((300, 40)) < prior
    return rng.standard_normal(Y.shape) + separation * Y, Y.astype(int), separation, prior


def f1_on_new_clips(thresholds, separation, prior):
    """F1 on infinitely many clips whose scores are normal."""
    tp, fp = prior * norm.sf(thresholds - separation), (1 - prior) * norm.sf(thresholds)
    return 2 * tp / (tp + fp + prior)


def regret(tuner, S, Y, separation, prior):
    best = f1_on_new_clips(np.linspace(-1, 6, 701)[:, None], separation, prior).max(axis=0)
    return np.mean(best - f1_on_new_clips(tuner.fit(S, Y).thresholds_, separation, prior))


def test_expected_thresholds_are_better_on_new_clips(many_events):
    expected, best = (regret(ThresholdTuner(strategy=s), *many_events) for s in STRATEGIES)
    assert expected < best / 3


def test_f1_drops_less_on_new_clips(many_events):
    present = many_events[1].any(axis=0)
    S, Y, separation, prior = (values[..., present] for values in many_events)
    drop = {}
    for strategy in STRATEGIES:
        tuner = ThresholdTuner(strategy=strategy).fit(S, Y)
        new = f1_on_new_clips(tuner.thresholds_, separation, prior)
        drop[strategy] = tuner.score(S, Y) - new.mean()
    assert abs(drop["expected"]) < drop["best"] / 2


def test_thresholds_of_many_clips_are_optimal(rng):
    prior, separation = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0])
    Y = rng.random((20_000, 3)) < prior
    S = rng.standard_normal(Y.shape) + separation * Y
    assert regret(ThresholdTuner(), S, Y, separation, prior) < 0.001


def increase(scores):
    return 1 / (1 + np.exp(-3 * scores + 2))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_scale_of_the_scores_matters_little(many_events, strategy):
    S, Y, *_ = many_events
    tuner = ThresholdTuner(strategy=strategy)
    predictions = tuner.fit(S, Y).predict(S)
    assert np.mean(tuner.fit(increase(S), Y).predict(increase(S)) != predictions) < 1e-3


def test_the_order_of_events_does_not_matter(many_events):
    S, Y, *_ = many_events
    thresholds = ThresholdTuner().fit(S, Y).thresholds_
    backwards = ThresholdTuner().fit(S[:, ::-1], Y[:, ::-1]).thresholds_[::-1]
    np.testing.assert_allclose(backwards, thresholds, atol=1e-6)


def test_the_order_of_clips_does_not_matter(many_events):
    S, Y, *_ = many_events
    thresholds = ThresholdTuner().fit(S, Y).thresholds_
    backwards = ThresholdTuner().fit(S[::-1], Y[::-1]).thresholds_
    np.testing.assert_allclose(backwards, thresholds, atol=1e-6)


def test_thresholds_are_the_same_every_time(many_events):
    S, Y, *_ = many_events
    first, second = (ThresholdTuner().fit(S, Y).thresholds_ for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_float32_scores_give_the_same_thresholds(many_events):
    S, Y, *_ = many_events
    single = ThresholdTuner().fit(S.astype(np.float32), Y).thresholds_
    np.testing.assert_allclose(single, ThresholdTuner().fit(S, Y).thresholds_, atol=1e-2)


def test_absent_event_is_predicted_rarely(many_events):
    S, Y, *_ = many_events
    Y[:, 7] = 0
    threshold = ThresholdTuner().fit(S, Y).thresholds_[7]
    assert 0 < norm.sf(threshold) < 0.05
    assert norm.sf(threshold - 2) > 0.02


def test_equal_scores_are_not_separated(rng):
    Y = rng.random((400, 6)) < 0.2
    S = np.clip(np.round(rng.normal(0.2 + 0.4 * Y, 0.2), 1), 0, 1)
    tuner = ThresholdTuner().fit(S, Y)
    best = ThresholdTuner(strategy="best").fit(S, Y)
    assert tuner.score(S, Y) > best.score(S, Y) - 0.03
    saturated = np.where(Y | (rng.random(Y.shape) < 0.02), 1.0, 0.0)
    assert ThresholdTuner().fit(saturated, Y).predict(saturated).sum() == saturated.sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1), (3, 2), (20, 1)])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_expected_thresholds_are_finite_on_few_clips(rng, shape, constant, share):
    S = np.zeros(shape) if constant else rng.random(shape)
    Y = rng.random(shape) < share
    assert np.isfinite(ThresholdTuner().fit(S, Y).thresholds_).all()


def test_event_of_every_clip_is_predicted(rng):
    S = rng.random((30, 2))
    tuner = ThresholdTuner().fit(S, np.ones((30, 2)))
    assert tuner.predict(S).all()
    np.testing.assert_array_equal(tuner.thresholds_, np.nextafter(S.min(axis=0), -np.inf))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_more_weight_of_recall_lowers_thresholds(many_events, strategy):
    S, Y, *_ = many_events
    low, middle, high = (
        ThresholdTuner(metric="fbeta", beta=beta, strategy=strategy).fit(S, Y).thresholds_
        for beta in (3, 1, 1 / 3)
    )
    assert (low <= middle).all()
    assert (middle <= high).all()
    f1 = ThresholdTuner(strategy=strategy).fit(S, Y).thresholds_
    np.testing.assert_array_equal(middle, f1)


def test_fewest_errors_on_the_tuning_clips(scores_and_events):
    S, Y = scores_and_events
    tuner = ThresholdTuner(metric="error_rate", strategy="best").fit(S, Y)
    for event in range(4):
        candidates = np.unique(S[:, event])
        errors = ((S[:, event] > candidates[:, None]) != Y[:, event]).sum(axis=1)
        assert (tuner.predict(S) != Y)[:, event].sum() == errors.min()


def test_fewest_expected_errors(rng):
    Y = rng.random((5000, 3)) < 0.3
    S = rng.standard_normal(Y.shape) + 2 * Y
    # At the optimum, both densities have equal values if weighted by the priors.
    optimum = 1 + np.log(0.7 / 0.3) / 2
    thresholds = ThresholdTuner(metric="error_rate").fit(S, Y).thresholds_
    np.testing.assert_allclose(thresholds, optimum, atol=0.15)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_metric_may_be_a_callable(many_events, strategy):
    S, Y, *_ = (values[..., 30:34] for values in many_events)
    by_name = ThresholdTuner(strategy=strategy).fit(S, Y).thresholds_
    by_call = ThresholdTuner(metric=checked_f1_score, strategy=strategy).fit(S, Y).thresholds_
    np.testing.assert_allclose(by_call, by_name, atol=0.25 if strategy == "expected" else 1e-12)


def checked_f1_score(y_true, y_pred):
    assert y_true.shape == y_pred.shape
    return f1_score(y_true, y_pred, zero_division=0)


def test_callable_gets_about_50_positives(rng):
    seen = set()

    def accuracy(y_true, y_pred):
        seen.add((len(y_true), y_true.sum()))
        return np.mean(y_true == y_pred)

    Y = np.arange(4000)[:, None] < [2, 40, 2000]
    ThresholdTuner(metric=accuracy).fit(rng.standard_normal(Y.shape) + Y, Y)
    assert len(seen) == 3  # the same clips at each level
    common, uncommon, rare = sorted(seen)
    assert common == pytest.approx((1000, 500), rel=0.02)
    assert uncommon == pytest.approx((5000, 50), rel=0.1)
    assert rare[0] == 20_000


def test_other_metric_gives_other_thresholds(many_events):
    S, Y, *_ = (values[..., 30:34] for values in many_events)
    balanced = ThresholdTuner(metric=balanced_accuracy_score).fit(S, Y).thresholds_
    assert (balanced < ThresholdTuner().fit(S, Y).thresholds_).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_minimum_precision_and_recall_are_kept(rng, strategy):
    Y = rng.random((4000, 3)) < [0.3, 0.2, 0.1]
    S = rng.standard_normal(Y.shape) + 3 * Y
    tuner = ThresholdTuner(min_precision=0.9, strategy=strategy).fit(S, Y)
    assert mean_precision(Y, tuner.predict(S), average=None).min() > 0.88
    tuner = ThresholdTuner(min_recall=0.95, strategy=strategy).fit(S, Y)
    assert mean_recall(Y, tuner.predict(S), average=None).min() > 0.93
    unconstrained = ThresholdTuner(min_recall=0.01, strategy=strategy).fit(S, Y)
    np.testing.assert_allclose(
        unconstrained.thresholds_,
        ThresholdTuner(strategy=strategy).fit(S, Y).thresholds_,
        atol=0.11,
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_warning_names_events_that_miss_the_minimum(rng, strategy):
    Y = pd.DataFrame(rng.random((500, 2)) < 0.2, columns=["easy", "hard"])
    S = rng.standard_normal(Y.shape) + Y.to_numpy() * [6, 1]
    tuner = ThresholdTuner(min_precision=0.8, min_recall=0.8, strategy=strategy)
    with pytest.warns(UserWarning, match=r"1 of 2 events has min_precision=0.8.*: hard\."):
        tuner.fit(S, Y.astype(int))
    assert tuner.predict(S)[:, 1].any()


@pytest.mark.parametrize(
    "parameters",
    [
        {"metric": "accuracy"},
        {"beta": 0},
        {"min_precision": 1.5},
        {"min_recall": 0},
        {"strategy": "bootstrap"},
    ],
)
def test_bad_parameters_raise_in_fit(scores_and_events, parameters):
    tuner = ThresholdTuner(**parameters)
    (name,) = parameters
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of ThresholdTuner"):
        tuner.fit(*scores_and_events)


def different_events(case):
    """Scores and labels of 8 events with different spreads, shapes, separations and priors."""
    rng = np.random.default_rng(7)
    Y = rng.random((400, 8)) < np.geomspace(0.01, 0.3, 8)
    S = rng.standard_normal(Y.shape) * np.linspace(0.5, 1.5, 8) + np.linspace(3, 0.5, 8) * Y
    S[:, 2] = S[:, 2] ** 3 / 9
    if case == "absent":
        Y[:, [1, 4]] = False
    n_clips = 12 if case == "few" else 400
    return (S.round() if case == "rounded" else S)[:n_clips], Y[:n_clips]


# These thresholds were better on new clips in benchmarks. The test guards against changes.
@pytest.mark.parametrize(
    ("case", "parameters", "thresholds"),
    [
        ("plain", {}, [1.543, 2.108, 0.705, 1.654, 1.571, 1.453, 0.503, -1.217]),
        ("absent", {}, [1.600, 3.834, 0.711, 1.661, 3.862, 1.410, 0.568, -1.203]),
        ("rounded", {}, [1.5, 2.0, 0.5, 1.5, 1.5, 1.0, 0.0, -2.5]),
        ("few", {}, [0.817, 0.925, 0.305, 2.928, 1.941, 1.605, 0.711, -0.128]),
        (
            "plain",
            {"metric": "error_rate"},
            [1.543, 2.110, 0.733, 2.149, 2.819, 3.180, 3.213, 2.812],
        ),
    ],
)
def test_expected_thresholds_do_not_change(case, parameters, thresholds):
    tuner = ThresholdTuner(**parameters).fit(*different_events(case))
    np.testing.assert_allclose(tuner.thresholds_, thresholds, rtol=0, atol=2e-3)


def test_negatives_are_normal_on_the_common_scale(rng):
    scores = rng.permutation(np.geomspace(1, 100, 200)).reshape(50, 4)
    scale = ScoreScale(scores, np.zeros((50, 4), dtype=bool))
    deviates = scale.deviates(scores)
    rank = scores.ravel().argsort().argsort().reshape(50, 4)
    expected = norm.ppf((rank + 0.5) / 201)
    np.testing.assert_allclose(deviates[rank > 0], expected[rank > 0], atol=1e-12)
    assert norm.ppf(0.25 / 201) < deviates[rank == 0] < norm.ppf(1 / 201)
    below = rank < 199
    np.testing.assert_allclose(scale.thresholds(deviates[below]), scores[below])
    assert scale.thresholds(np.array([9.0])) == (scores[rank == 198] + scores[rank == 199]) / 2


def test_scores_above_all_negatives_share_the_last_rank():
    scores, positive = np.arange(12.0)[:, None], np.arange(12)[:, None] >= 10
    deviates = ScoreScale(scores, positive).deviates(scores)[:, 0]
    assert (np.diff(deviates) > 0).all()
    assert deviates[9] < norm.ppf(10 / 11) < deviates[10]


def test_thresholds_among_equal_scores_are_found():
    scores = np.repeat([0.0, 1.0, 2.0], [10, 5, 1])[:, None]
    scale = ScoreScale(scores, np.zeros(scores.shape, dtype=bool))
    # deviates among the ten, among the five, and at the single highest score
    event, *ties = scale.ties(norm.ppf(np.array([5, 12, 15.5]) / 17))
    assert event.tolist() == [0, 1]
    low, high, below, at = ties
    np.testing.assert_allclose(norm.cdf(low) * 17, [0.25, 10])
    np.testing.assert_allclose(norm.cdf(high) * 17, [10, 15])
    assert below.tolist() == [-0.5, 0.5]
    assert at.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("gain", "position"),
    [
        (-((np.arange(8) - 3.3) ** 2), 3.3),
        (-(np.arange(8.0) ** 2), 0),
        (-((np.arange(8) - 7.0) ** 2), 7),
        (np.zeros(8), 1),
        (np.arange(8) ** 2, 6),
    ],
)
def test_best_position_is_the_maximum_of_a_parabola(gain, position):
    assert _refine(gain[None], gain[None].argmax(axis=1)) == pytest.approx(position)


@pytest.mark.parametrize("total", [1, 8, 125, 10**6])
def test_tails_are_smoothed_by_a_kernel_that_keeps_the_variance(total):
    bins, counts = np.arange(-6, 8, 0.025), np.zeros(560)
    peaks = [200, 280]
    counts[peaks] = total / 2
    width = max(total ** (-1 / 3), 0.03)
    shrinkage = 1 / np.sqrt(1 + width**2)
    centers = shrinkage * bins[peaks]
    expected = norm.sf(bins[:, None], centers, shrinkage * width).mean(axis=1)
    (tails,) = _smooth_tails(counts[None], np.array([total]))
    np.testing.assert_allclose(tails, expected, atol=1e-3)


@pytest.mark.parametrize("n_negatives", [0, 1, 10**6])
def test_rates_are_never_0_or_1(n_negatives):
    predicted = _widen_tails(np.repeat([[1.0, 0.0]], 280, axis=1), np.array([n_negatives]))
    assert 0 < predicted.min() < predicted.max() < 1


@pytest.mark.parametrize(
    ("error_variance", "expected"),
    [
        ([0, 0, 0], [0, 4, 3]),
        ([1, 1, 9], [0.6, 3.8, 3]),  # error is 1 of a variance of 5: shrink by a fifth
        ([99, 99, 9], [3, 3, 3]),
    ],
)
def test_uncertain_values_are_shrunk_to_the_mean(error_variance, expected):
    counts = np.array([10, 30, 1])
    shrunk = _shrink(np.array([0.0, 4, 77]), np.array(error_variance, dtype=float), counts)
    np.testing.assert_allclose(shrunk, expected, atol=1e-4)


def test_priors_are_weighted_by_the_observed_support():
    prior, weight = _weigh_priors(np.array([0, 1, 20, 500, 990]), 1000)
    assert (weight >= 0).all()
    np.testing.assert_allclose(weight.sum(axis=1), 1)
    expected = weight @ prior
    assert (np.diff(expected) > 0).all()
    np.testing.assert_allclose(expected[2:], [0.02, 0.5, 0.99], rtol=0.02)


def test_own_curve_is_the_kernel_estimate():
    levels = np.arange(-4, 9.01, 0.1)
    counts = np.zeros((3, len(levels)))
    counts[0, [60, 80]] = 16  # standard deviation 1, so the width is 32 ** -0.2 = 0.5
    counts[1, 50] = 1  # the minimum standard deviation
    curves = _own_curves(counts)
    expected = norm.sf(levels[:, None], [2, 4], 0.5).mean(axis=1)
    np.testing.assert_allclose(curves[0], expected, atol=1e-12)
    np.testing.assert_allclose(curves[1], norm.sf(levels, 1, 0.1), atol=1e-12)
    assert not curves[2].any()


def test_counts_move_to_the_nearest_bin():
    counts, values = np.array([[1.0, 2, 3, 4]]), np.array([[-9.0, 0.4, 0.6, 99]])
    assert shift_bins(counts, values, np.arange(3.0)).tolist() == [[3, 3, 4]]


@pytest.fixture
def tables(rng):
    """Tables of scores and labels, whose columns name three events."""
    Y = pd.DataFrame(rng.random((90, 3)) < [0.5, 0.3, 0.1], columns=["siren", "bell", "rain"])
    return (rng.standard_normal(Y.shape) + 2 * Y), Y.astype(int)


OTHER_ORDER = ["rain", "siren", "bell"]


def test_events_are_matched_by_name(tables):
    S, Y = tables
    expected = ThresholdTuner().fit(S.to_numpy(), Y.to_numpy()).thresholds_
    lists = [list(Y.columns[row]) for row in Y.to_numpy(bool)]
    for y in (Y, Y[OTHER_ORDER], lists, Y.to_numpy()):
        tuner = ThresholdTuner().fit(S, y)
        assert tuner.classes_.tolist() == list(S)
        np.testing.assert_array_equal(tuner.thresholds_, expected)
    assert tuner.score(S, Y) == tuner.score(S[OTHER_ORDER], Y[OTHER_ORDER])
    assert tuner.score(S, Y) == tuner.score(S, lists) == mean_f1(Y, expected < S)


def test_scores_are_matched_by_name(tables):
    S, Y = tables
    for tuner in (ThresholdTuner().fit(S, Y), ThresholdTuner().fit(S.to_numpy(), Y)):
        expected = tuner.predict(S)
        np.testing.assert_array_equal(tuner.predict(S[OTHER_ORDER]), expected)
        for wrong, message in (
            (S[["siren", "bell"]], "Missing events: 'rain'. Unknown events: none"),
            (S.rename(columns={"bell": "Bell"}), "Missing events: 'bell'. Unknown events: 'Bell'"),
        ):
            with pytest.raises(ValueError, match=message):
                tuner.predict(wrong)


def test_scores_in_tables_of_other_libraries(tables):
    S, Y = tables
    expected = ThresholdTuner().fit(S, Y)
    swapped = S[OTHER_ORDER].to_dict("list")
    makers = pytest.importorskip("polars").DataFrame, pytest.importorskip("pyarrow").table
    for make in makers:
        tuner = ThresholdTuner().fit(make(swapped), make(Y.to_dict("list")))
        assert tuner.classes_.tolist() == OTHER_ORDER
        # Rounding errors of sums depend on the order of the columns.
        np.testing.assert_allclose(tuner.thresholds_, expected.thresholds_[[2, 0, 1]], rtol=1e-12)
        np.testing.assert_array_equal(expected.predict(make(swapped)), expected.predict(S))


def test_error_names_events_without_scores(tables):
    S, Y = tables
    with pytest.raises(ValueError, match=r"the event 'Bell', .* nearest: 'bell'"):
        ThresholdTuner().fit(S, Y.rename(columns={"bell": "Bell"}))
    with pytest.raises(ValueError, match="y lacks the columns of 1 of 3 events: 'rain'"):
        ThresholdTuner().fit(S, Y[["siren", "bell"]])
    with pytest.raises(ValueError, match="3 events, but y has 2 events, 'bell', 'siren'"):
        ThresholdTuner().fit(S.to_numpy(), [["siren"], ["bell"], []] * 30)


def test_numeric_labels_match_column_names(rng):
    labels = rng.choice([3, 7, 12], 60)
    S = pd.DataFrame(rng.random((60, 3)), columns=["12", "3", "7"])
    tuner = ThresholdTuner().fit(S, labels)
    assert tuner.classes_.tolist() == [12, 3, 7]
    expected = ThresholdTuner().fit(S.to_numpy(), labels[:, None] == [12, 3, 7]).thresholds_
    np.testing.assert_array_equal(tuner.thresholds_, expected)


def test_scores_may_be_a_list_of_arrays(tables):
    S, Y = tables
    present = (S.to_numpy() > 0.5) * 0.8 + 0.1
    by_event = [np.column_stack([1 - score, score]) for score in present.T]
    tuner = ThresholdTuner().fit(by_event, Y)
    np.testing.assert_array_equal(tuner.thresholds_, ThresholdTuner().fit(present, Y).thresholds_)
    np.testing.assert_array_equal(tuner.predict(by_event), tuner.predict(present))


class Scores(TransformerMixin, BaseEstimator):
    """Transformer that returns its input, with column names for `set_output`."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X)

    def get_feature_names_out(self, input_features=None):
        return np.array(["siren", "bell", "rain"], dtype=object)


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_names_are_matched_at_the_end_of_a_pipeline(tables, output):
    pytest.importorskip("polars")
    S, Y = tables
    expected = ThresholdTuner().fit(S, Y).thresholds_
    pipe = make_pipeline(Scores(), ThresholdTuner()).set_output(transform=output)
    pipe.fit(S.to_numpy(), Y)
    np.testing.assert_array_equal(pipe[-1].thresholds_, expected)
    assert pipe.score(S.to_numpy(), Y[OTHER_ORDER]) == mean_f1(Y, expected < S)
    if output != "default":
        pipe.fit(S.to_numpy(), Y[OTHER_ORDER])
        np.testing.assert_array_equal(pipe[-1].thresholds_, expected)
