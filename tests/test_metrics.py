"""Every metric against scikit-learn and slow reference implementations, with many ties."""

import tracemalloc

import _reference_metrics as reference
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn import metrics as sklearn_metrics

from sktagger import metrics

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.UndefinedMetricWarning"  # tested in test_metrics_policy.py
)
EXACT = {"rtol": 0, "atol": 1e-12}
examples = settings(max_examples=50, deadline=None)


@st.composite
def label_score_pairs(draw, min_events=1):
    """Labels and scores of a few clips and events. Few distinct scores make many ties."""
    n_clips = draw(st.integers(1, 30))
    n_events = draw(st.integers(min_events, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    prior = draw(st.sampled_from([0.0, 0.05, 0.3, 0.7, 1.0]))
    n_distinct = draw(st.sampled_from([1, 2, 5, 1000]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    y_true = rng.random((n_clips, n_events)) < prior
    y_score = (rng.integers(-n_distinct // 2, n_distinct, (n_clips, n_events)) / 7).astype(dtype)
    # 0.0 and -0.0 are the same score.
    negated = (y_score == 0) & (rng.random(y_score.shape) < 0.5)
    return y_true, np.where(negated, -y_score, y_score)


@st.composite
def weighted_pairs(draw):
    y_true, y_score = draw(label_score_pairs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = rng.integers(0, 4, len(y_true)) * rng.choice([1.0, 0.3])
    weight[rng.integers(len(weight))] = 1.0
    return y_true, y_score, weight


def per_event(function, y_true, y_score):
    return [function(t, s) for t, s in zip(y_true.T, y_score.T, strict=True)]


@examples
@given(label_score_pairs())
def test_average_precision_equals_reference_and_sklearn(pair):
    y_true, y_score = pair
    values = metrics.mean_average_precision(y_true, y_score, average=None)
    assert_allclose(values, per_event(reference.average_precision, y_true, y_score), **EXACT)
    for event in np.flatnonzero(y_true.any(axis=0)):
        expected = sklearn_metrics.average_precision_score(y_true[:, event], y_score[:, event])
        assert_allclose(values[event], expected, **EXACT)


@examples
@given(label_score_pairs())
def test_roc_auc_equals_reference_and_sklearn(pair):
    y_true, y_score = pair
    values = metrics.mean_roc_auc(y_true, y_score, average=None)
    assert_allclose(values, per_event(reference.roc_auc, y_true, y_score), **EXACT)
    for event in np.flatnonzero(y_true.any(axis=0) & ~y_true.all(axis=0)):
        expected = sklearn_metrics.roc_auc_score(y_true[:, event], y_score[:, event])
        assert_allclose(values[event], expected, **EXACT)


@examples
@given(weighted_pairs())
def test_weighted_average_precision_and_auc_equal_reference(triple):
    y_true, y_score, weight = triple
    ranked = metrics.RankedScores(y_true, y_score, weight)
    for event, (labels, scores) in enumerate(zip(y_true.T, y_score.T, strict=True)):
        expected = reference.average_precision(labels, scores, weight)
        assert_allclose(ranked.average_precision()[event], expected, **EXACT)
        assert_allclose(ranked.roc_auc()[event], reference.roc_auc(labels, scores, weight), **EXACT)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("weighted", [False, True])
def test_averages_equal_sklearn(average, weighted, rng):
    y_true = rng.random((200, 7)) < 0.3
    y_score = rng.integers(0, 40, y_true.shape) / 7
    y_pred = y_score > 3
    options = {"average": average, "sample_weight": rng.random(200) if weighted else None}
    for ours, theirs, y in [
        (metrics.mean_average_precision, sklearn_metrics.average_precision_score, y_score),
        (metrics.mean_roc_auc, sklearn_metrics.roc_auc_score, y_score),
        (metrics.mean_f1, sklearn_metrics.f1_score, y_pred),
        (metrics.mean_precision, sklearn_metrics.precision_score, y_pred),
        (metrics.mean_recall, sklearn_metrics.recall_score, y_pred),
    ]:
        assert_allclose(ours(y_true, y, **options), theirs(y_true, y, **options), **EXACT)


@examples
@given(label_score_pairs())
def test_lwlrap_equals_reference(pair):
    y_true, y_score = pair
    by_event, overall = reference.lwlrap(y_true, y_score)
    assert_allclose(metrics.lwlrap(y_true, y_score, average=None), by_event, **EXACT)
    assert_allclose(metrics.lwlrap(y_true, y_score), overall, **EXACT)


@examples
@given(weighted_pairs())
def test_lwlrap_is_sklearns_weighted_by_events_per_clip(triple):
    y_true, y_score, weight = triple
    events_per_clip = y_true.sum(axis=1) * weight
    if y_true.shape[1] == 1 or not events_per_clip.any():
        return
    expected = sklearn_metrics.label_ranking_average_precision_score(
        y_true, y_score, sample_weight=events_per_clip
    )
    assert_allclose(metrics.lwlrap(y_true, y_score, sample_weight=weight), expected, **EXACT)


def test_lwlrap_is_mean_over_events_weighted_by_support(rng):
    y_true, y_score = rng.random((50, 6)) < 0.3, rng.random((50, 6))
    by_event = metrics.lwlrap(y_true, y_score, average=None)
    expected = np.average(by_event, weights=metrics.event_support(y_true))
    assert_allclose(metrics.lwlrap(y_true, y_score), expected, **EXACT)


@examples
@given(label_score_pairs(), st.sampled_from([0.5, 1.0, 2.0]))
def test_best_thresholds_equal_reference(pair, beta):
    y_true, y_score = pair
    best = metrics.RankedScores(y_true, y_score).best_thresholds(beta)
    for event, (labels, scores) in enumerate(zip(y_true.T, y_score.T, strict=True)):
        threshold = reference.best_threshold(labels, scores, beta)
        assert_allclose(best.thresholds[event], threshold, rtol=1e-12)
        expected = reference.rates(labels, scores.astype(float) > threshold, beta)
        values = best.fscores[event], best.precision[event], best.recall[event]
        assert_allclose(values, expected, **EXACT)


@examples
@given(label_score_pairs())
def test_best_thresholds_reach_the_returned_fscore(pair):
    y_true, y_score = pair
    best = metrics.RankedScores(y_true, y_score).best_thresholds()
    applied = metrics.mean_f1(y_true, y_score > best.thresholds, average=None)
    assert_array_equal(applied, best.fscores)
    assert_array_equal(metrics.best_f1(y_true, y_score, average=None), best.fscores)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_best_threshold_separates_adjacent_floats(dtype):
    low = dtype(0.7)
    y_score = np.array([low, np.nextafter(low, dtype(1))])
    best = metrics.RankedScores([0, 1], y_score).best_thresholds()
    assert best.thresholds.dtype == np.float64
    assert_array_equal(y_score > best.thresholds, [False, True])
    assert best.fscores == 1


def test_best_thresholds_of_extreme_scores():
    largest = np.finfo(np.float64).max
    best = metrics.RankedScores([0, 1], [-largest, largest]).best_thresholds()
    assert best.thresholds == 0


def test_highest_of_equally_good_thresholds_is_returned():
    y_true = [1, 0, 0, 1]
    y_score = [1.0, 0.75, 0.5, 0.25]
    # F1: 2/3 for the first clip alone, 4/6 for all of them.
    assert metrics.RankedScores(y_true, y_score).best_thresholds().thresholds == 0.875


def test_close_float64_scores_are_not_tied():
    y_score = np.array([0.5, 0.5 + 1e-12])
    assert metrics.mean_roc_auc([1, 0], y_score) == 0
    assert metrics.mean_roc_auc([1, 0], y_score.astype(np.float32)) == 0.5


def test_large_integers_are_not_tied():
    scores = [2**24, 2**24 + 1]
    assert metrics.mean_roc_auc([0, 1], scores) == 1
    assert metrics.mean_roc_auc([1, 0], scores) == 0


def test_zeros_of_both_signs_are_tied():
    assert metrics.mean_roc_auc([1, 0], [0.0, -0.0]) == 0.5
    assert metrics.mean_average_precision([1, 0], [0.0, -0.0]) == 0.5
    assert metrics.lwlrap([[1, 0]], [[0.0, -0.0]]) == 0.5


@examples
@given(label_score_pairs())
def test_order_of_clips_changes_nothing(pair):
    y_true, y_score = pair
    for metric in (metrics.mean_average_precision, metrics.mean_roc_auc, metrics.lwlrap):
        assert_allclose(metric(y_true[::-1], y_score[::-1]), metric(y_true, y_score), **EXACT)


@examples
@given(label_score_pairs())
def test_integer_weights_equal_repeated_clips(pair):
    y_true, y_score = pair
    repeats = 1 + np.arange(len(y_true)) % 3
    for metric in (
        metrics.mean_average_precision,
        metrics.mean_roc_auc,
        metrics.lwlrap,
        metrics.best_f1,
    ):
        repeated = metric(np.repeat(y_true, repeats, axis=0), np.repeat(y_score, repeats, axis=0))
        assert_allclose(metric(y_true, y_score, sample_weight=repeats), repeated, **EXACT)


def test_clips_with_weight_zero_are_ignored(rng):
    y_true, y_score = rng.random((40, 3)) < 0.4, rng.random((40, 3))
    weight = (np.arange(40) < 30).astype(float)
    for metric in (metrics.mean_average_precision, metrics.mean_roc_auc, metrics.lwlrap):
        expected = metric(y_true[:30], y_score[:30])
        assert_allclose(metric(y_true, y_score, sample_weight=weight), expected, **EXACT)


def test_more_clips_than_fit_into_16_bits(rng):
    y_true = np.eye(3, dtype=bool)[rng.integers(3, size=2**16 + 1)]
    y_score = rng.random(y_true.shape, dtype=np.float32)
    rank = (y_score >= y_score[y_true][:, np.newaxis]).sum(axis=1)
    assert_allclose(metrics.lwlrap(y_true, y_score), (1 / rank).mean(), **EXACT)


def test_blocks_and_threads_change_nothing(rng, monkeypatch):
    y_true, y_score = rng.random((300, 20)) < 0.1, rng.random((300, 20), dtype=np.float32)
    expected = metrics.RankedScores(y_true, y_score)
    expected_lwlrap = metrics.lwlrap(y_true, y_score)
    monkeypatch.setattr("sktagger.metrics._ranking._BLOCK_BYTES", 3000)
    monkeypatch.setattr("sktagger.metrics._ranking._MIN_SIZE_FOR_THREADS", 0)
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    ranked = metrics.RankedScores(y_true, y_score)
    assert_array_equal(ranked.average_precision(), expected.average_precision())
    assert_array_equal(ranked.roc_auc(), expected.roc_auc())
    assert_array_equal(ranked.best_thresholds(), expected.best_thresholds())
    assert_allclose(metrics.lwlrap(y_true, y_score), expected_lwlrap, **EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_beyond_the_input_is_less_than_the_input(dtype, rng):
    y_score = rng.random((4000, 500)).astype(dtype)
    y_true = rng.random(y_score.shape, dtype=np.float32) < 0.005
    tracemalloc.start()
    try:
        metrics.RankedScores(y_true, y_score)
        metrics.lwlrap(y_true, y_score)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < y_score.nbytes


def test_d_prime_is_the_distance_of_two_normal_distributions(rng):
    y_true = np.arange(100_000) < 50_000
    y_score = rng.normal(size=100_000) + 1.5 * y_true
    assert_allclose(metrics.d_prime(y_true, y_score), 1.5, atol=0.02)


def test_d_prime_averages_auc_first(rng):
    y_true, y_score = rng.random((30, 2)) < 0.5, rng.random((30, 2))
    y_score[:, 0] = y_true[:, 0]
    auc = metrics.mean_roc_auc(y_true, y_score)
    assert_allclose(metrics.d_prime(y_true, y_score), np.sqrt(2) * stats.norm.ppf(auc), **EXACT)
    assert metrics.d_prime(y_true, y_score, average=None)[0] == np.inf


@examples
@given(label_score_pairs(), st.sampled_from([0.5, 1.0, 2.0]))
def test_rates_of_predictions_equal_reference(pair, beta):
    y_true, y_score = pair
    y_pred = y_score > 0
    values = [
        metrics.mean_f1(y_true, y_pred, beta=beta, average=None),
        metrics.mean_precision(y_true, y_pred, average=None),
        metrics.mean_recall(y_true, y_pred, average=None),
    ]
    expected = [reference.rates(t, d, beta) for t, d in zip(y_true.T, y_pred.T, strict=True)]
    assert_allclose(values, np.transpose(expected), **EXACT)


@examples
@given(label_score_pairs())
def test_clip_errors_and_error_rate_equal_reference(pair):
    y_true, y_score = pair
    y_pred = y_score > 0
    expected = [reference.clip_errors(t, d) for t, d in zip(y_true, y_pred, strict=True)]
    assert_array_equal(np.transpose(metrics.clip_errors(y_true, y_pred)), expected)
    if y_true.any():
        rate = metrics.error_rate(y_true, y_pred)
        assert_allclose(rate, np.sum(expected) / y_true.sum(), **EXACT)


def test_error_rate_of_events(rng):
    y_true, y_pred = rng.random((2, 40, 3)) < 0.4
    wrong, support = (y_true != y_pred).sum(axis=0), y_true.sum(axis=0)
    by_event = metrics.error_rate(y_true, y_pred, average=None)
    assert_allclose(by_event, wrong / support, **EXACT)
    macro = metrics.error_rate(y_true, y_pred, average="macro")
    assert_allclose(macro, by_event.mean(), **EXACT)


@examples
@given(label_score_pairs())
def test_curve_equals_reference_at_every_threshold(pair):
    y_true, y_score = pair
    curve = metrics.RankedScores(y_true, y_score).curve(0)
    labels, scores = y_true[:, 0], y_score[:, 0].astype(float)
    assert curve["threshold"].is_monotonic_decreasing
    assert len(curve) == len(np.unique(scores)) + 1
    for row in curve.itertuples():
        predicted = scores > row.threshold
        assert (labels & predicted).sum() == row.TP
        assert (~labels & predicted).sum() == row.FP
        fscore, precision, recall = reference.rates(labels, predicted)
        assert_allclose([row.F1, row.recall], [fscore, recall], **EXACT)
        if predicted.any() and labels.any():
            assert_allclose(row.precision, precision, **EXACT)


def test_curve_equals_sklearns_roc_curve(rng):
    y_true, y_score = rng.random(60) < 0.3, rng.integers(0, 20, 60) / 3
    weight = rng.random(60)
    curve = metrics.RankedScores(y_true, y_score, weight).curve(0)
    fpr, tpr, _ = sklearn_metrics.roc_curve(
        y_true, y_score, sample_weight=weight, drop_intermediate=False
    )
    assert_allclose(curve["false_positive_rate"], fpr, **EXACT)
    assert_allclose(curve["recall"], tpr, **EXACT)


def test_curve_by_event_name():
    y_true = pd.DataFrame({"Dog": [1, 0], "Rain": [0, 1]})
    ranked = metrics.RankedScores(y_true, [[0.9, 0.8], [0.2, 0.1]])
    assert ranked.curve("Rain")["FP"].tolist() == [0, 1, 1]
    assert ranked.curve(1).equals(ranked.curve("Rain"))
    with pytest.raises(KeyError, match="event='Cat' is unknown"):
        ranked.curve("Cat")


FORMS = {
    "bool": lambda y: y,
    "int": lambda y: y.astype(int),
    "uint8": lambda y: y.astype(np.uint8),
    "float": lambda y: y.astype(float),
    "list": lambda y: y.astype(int).tolist(),
    "fortran": np.asfortranarray,
    "strided": lambda y: np.repeat(y, 2, axis=0)[::2],
    "frame": lambda y: pd.DataFrame(y),
    "nullable frame": lambda y: pd.DataFrame(y).astype("Int64"),
    "csr": lambda y: sparse.csr_array(y.astype(int)),
    "csc": lambda y: sparse.csc_matrix(y.astype(int)),
    "coo": lambda y: sparse.coo_array(y.astype(int)),
    "explicit zeros": lambda y: sparse.csr_array(
        (y.astype(int).ravel(), np.indices(y.shape).reshape(2, -1)), shape=y.shape
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_of_the_labels_does_not_matter(form, rng):
    y_true, y_score = rng.random((50, 4)) < 0.3, rng.random((50, 4))
    y_pred = y_score > 0.5
    labels = FORMS[form](y_true)
    for metric, y in [
        (metrics.mean_average_precision, y_score),
        (metrics.mean_roc_auc, y_score),
        (metrics.lwlrap, y_score),
        (metrics.mean_f1, y_pred),
        (metrics.error_rate, y_pred),
    ]:
        assert metric(labels, y) == metric(y_true, y)
    assert metrics.mean_f1(y_true, FORMS[form](y_pred)) == metrics.mean_f1(y_true, y_pred)
    report = metrics.event_report(labels, y_score)
    pd.testing.assert_frame_equal(report, metrics.event_report(y_true, y_score))


@pytest.mark.parametrize(
    "form",
    [
        lambda s: s.tolist(),
        np.asfortranarray,
        pd.DataFrame,
        lambda s: s.astype(np.float16),
        lambda s: (64 * s).astype(int),
        lambda s: s.astype(np.longdouble),
        lambda s: s.astype(object),
        lambda s: pd.DataFrame(s).astype("Float64"),
    ],
)
def test_form_of_the_scores_does_not_matter(form, rng):
    y_true, y_score = rng.random((50, 4)) < 0.3, rng.integers(0, 64, (50, 4)) / 64
    for metric in (metrics.mean_average_precision, metrics.mean_roc_auc, metrics.lwlrap):
        assert metric(y_true, form(y_score)) == metric(y_true, y_score)


def test_input_is_not_changed(rng):
    y_true, y_score = rng.random((50, 4)) < 0.3, np.asfortranarray(rng.random((50, 4)))
    before = y_true.copy(), y_score.copy()
    metrics.event_report(y_true, y_score, n_bootstraps=2, random_state=0)
    assert_array_equal(y_true, before[0])
    assert_array_equal(y_score, before[1])


def test_input_of_one_event_may_be_one_dimensional():
    assert metrics.mean_average_precision([0, 1, 1], [0.1, 0.9, 0.8]) == 1
    assert metrics.mean_f1([0, 1, 1], [0, 1, 0]) == metrics.mean_f1([[0], [1], [1]], [0, 1, 0])


def test_values_of_events_have_their_names():
    y_true = pd.DataFrame({"Dog": [1, 0], "Rain": [0, 1]})
    y_score = np.array([[0.9, 0.1], [0.2, 0.3]])
    for metric in (metrics.mean_average_precision, metrics.d_prime, metrics.lwlrap):
        values = metric(y_true, y_score, average=None)
        assert isinstance(values, pd.Series)
        assert values.index.tolist() == ["Dog", "Rain"]
    by_score_names = metrics.mean_roc_auc(
        y_true.to_numpy(), pd.DataFrame(y_score, columns=y_true.columns), average=None
    )
    assert by_score_names.index.tolist() == ["Dog", "Rain"]
    assert metrics.event_support(y_true).to_dict() == {"Dog": 1, "Rain": 1}
