"""The report against the metrics, and its intervals against a plain loop over resamples."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_random_state

from sktagger import metrics

RATES = ["AP", "AUC", "d_prime", "lwlrap", "F1", "precision", "recall"]


@pytest.fixture
def labels_and_scores(rng):
    y_true = pd.DataFrame(rng.random((80, 3)) < 0.4, columns=["Cat", "Dog", "Rain"])
    return y_true, (y_true + rng.normal(size=(80, 3))).round(1)


def values_of(y_true, y_score, thresholds, weight=None):
    """Compute all rates of each event with the public functions."""
    options = {"average": None, "sample_weight": weight}
    y_pred = y_score > thresholds
    return pd.DataFrame(
        {
            "AP": metrics.mean_average_precision(y_true, y_score, **options),
            "AUC": metrics.mean_roc_auc(y_true, y_score, **options),
            "d_prime": metrics.d_prime(y_true, y_score, **options),
            "lwlrap": metrics.lwlrap(y_true, y_score, **options),
            "F1": metrics.mean_f1(y_true, y_pred, **options),
            "precision": metrics.mean_precision(y_true, y_pred, **options),
            "recall": metrics.mean_recall(y_true, y_pred, **options),
        }
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_report_equals_the_metrics(weighted, labels_and_scores, rng):
    y_true, y_score = labels_and_scores
    weight = rng.random(80) if weighted else None
    thresholds = np.array([0.2, 0.5, 0.6])
    report = metrics.event_report(y_true, y_score, thresholds, sample_weight=weight)
    assert report.index.tolist() == ["Cat", "Dog", "Rain", "macro"]
    expected = values_of(y_true, y_score, thresholds, weight)
    assert_allclose(report.loc[y_true.columns, RATES], expected, rtol=1e-12)
    for name in RATES:
        mean = expected[name].mean()
        if name == "d_prime":
            mean = metrics.d_prime(y_true, y_score, sample_weight=weight)
        assert_allclose(report.loc["macro", name], mean, rtol=1e-12)
    assert_array_equal(report["threshold"], [*thresholds, np.nan])


def test_report_counts(labels_and_scores):
    y_true, y_score = labels_and_scores
    report = metrics.event_report(y_true, y_score, 0.5)
    predicted = y_score > 0.5
    assert report["TP"].tolist()[:3] == (y_true & predicted).sum().tolist()
    assert report["FP"].tolist()[:3] == (~y_true & predicted).sum().tolist()
    assert report["FN"].tolist()[:3] == (y_true & ~predicted).sum().tolist()
    assert report["support"].tolist() == [*y_true.sum(), y_true.sum().sum()]
    assert_allclose(report["prior"], [*y_true.mean(), y_true.mean().mean()])
    assert (report[["support", "TP", "FP", "FN"]].dtypes == np.int64).all()


def test_default_thresholds_are_the_best_ones(labels_and_scores):
    y_true, y_score = labels_and_scores
    report = metrics.event_report(y_true, y_score)
    best = metrics.RankedScores(y_true, y_score).best_thresholds()
    assert_array_equal(report["threshold"][:-1], best.thresholds)
    assert_array_equal(report["F1"][:-1], best.fscores)
    assert_allclose(report.loc["macro", "F1"], metrics.best_f1(y_true, y_score))


def test_series_of_thresholds_is_matched_by_name(labels_and_scores):
    y_true, y_score = labels_and_scores
    thresholds = pd.Series({"Rain": 0.6, "Cat": 0.2, "Dog": 0.5, "Bell": 0.1})
    report = metrics.event_report(y_true, y_score, thresholds)
    assert report["threshold"].tolist()[:3] == [0.2, 0.5, 0.6]


def test_report_follows_the_policy():
    y_true = pd.DataFrame({"never": [0, 0, 0], "Dog": [1, 0, 1], "always": [1, 1, 1]})
    y_score = [[0.4, 0.9, 0.3], [0.3, 0.2, 0.8], [0.2, 0.1, 0.9]]
    match = r"undefined for 2 of 3 events \(1 without positives, 1 without negatives\)"
    with pytest.warns(UndefinedMetricWarning, match=match) as caught:
        report = metrics.event_report(y_true, y_score, n_bootstraps=50, random_state=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert report.loc["never", RATES].isna().all()
    assert report.loc["never", ["threshold", "TP", "FP", "FN"]].tolist() == [np.inf, 0, 0, 0]
    assert report.loc["always", ["AUC", "d_prime", "AUC_low", "d_prime_high"]].isna().all()
    assert report.loc["macro", "AP"] == report.loc[["Dog", "always"], "AP"].mean()
    assert report.loc["macro", "AUC"] == report.loc["Dog", "AUC"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_equal_a_loop_over_resamples(weighted, rng):
    n_clips, n_bootstraps, thresholds = 12, 40, np.array([0.3, 0.5])
    y_true = rng.random((n_clips, 2)) < 0.3
    y_score = (y_true + rng.random((n_clips, 2))).round(1)
    weight = rng.random(n_clips) if weighted else np.ones(n_clips)
    report = metrics.event_report(
        y_true,
        y_score,
        thresholds,
        sample_weight=weight,
        n_bootstraps=n_bootstraps,
        confidence_level=0.5,
        random_state=0,
    )
    drawn = check_random_state(0).randint(n_clips, size=(n_bootstraps, n_clips), dtype=np.int64)
    resampled = np.stack(
        [values_of(y_true[d], y_score[d], thresholds, weight[d]).to_numpy() for d in drawn]
    )
    low, high = np.nanquantile(resampled, [0.25, 0.75], axis=0, method="nearest")
    for limit, expected in (("low", low), ("high", high)):
        values = report.loc[[0, 1], [f"{name}_{limit}" for name in RATES]].to_numpy()
        assert_allclose(values, expected, rtol=1e-9)


def test_intervals_are_the_same_in_batches_and_blocks(labels_and_scores, monkeypatch):
    options = {"n_bootstraps": 7, "random_state": 0}
    expected = metrics.event_report(*labels_and_scores, **options)
    monkeypatch.setattr("sktagger.metrics._bootstrap._BATCH_BYTES", 8 * 80 * 3)
    monkeypatch.setattr("sktagger.metrics._ranking._BLOCK_BYTES", 8 * 80)
    report = metrics.event_report(*labels_and_scores, **options)
    pd.testing.assert_frame_equal(report, expected)


def test_intervals_contain_the_values_and_grow_with_the_level(labels_and_scores):
    narrow, wide = (
        metrics.event_report(
            *labels_and_scores, n_bootstraps=200, confidence_level=level, random_state=0
        )
        for level in (0.5, 0.95)
    )
    for name in RATES:
        assert (wide[f"{name}_low"] <= wide[name]).all()
        assert (wide[name] <= wide[f"{name}_high"]).all()
        assert (wide[f"{name}_low"] <= narrow[f"{name}_low"]).all()
        assert (narrow[f"{name}_high"] <= wide[f"{name}_high"]).all()


def test_interval_of_auc_has_the_nominal_coverage(rng):
    """The 90 % interval contains the true AUC in about 90 % of the draws."""
    true_auc, covered = 0.76, 0
    y_true = np.repeat([False, True], 100)
    for seed in range(100):
        y_score = rng.normal(size=200) + y_true
        report = metrics.event_report(
            y_true, y_score, n_bootstraps=100, confidence_level=0.9, random_state=seed
        )
        covered += report.loc[0, "AUC_low"] <= true_auc <= report.loc[0, "AUC_high"]
    assert 82 <= covered <= 98


def test_event_names_replace_numbers(labels_and_scores):
    y_true, y_score = (frame.to_numpy() for frame in labels_and_scores)
    assert metrics.event_report(y_true, y_score).index.tolist() == [0, 1, 2, "macro"]
    report = metrics.event_report(y_true, y_score, event_names=["a", "b", "c"])
    assert report.index.tolist() == ["a", "b", "c", "macro"]


@pytest.mark.parametrize("names", [["macro", "b", "c"], ["macro", "(macro)", "c"]])
def test_row_of_means_has_a_unique_name(names, labels_and_scores):
    y_true, y_score = (frame.to_numpy() for frame in labels_and_scores)
    report = metrics.event_report(y_true, y_score, event_names=names)
    assert report.index.is_unique
    assert report.index.tolist()[:3] == names
    assert report.index[-1] == ("(macro)" if names[1] == "b" else "((macro))")
    expected = metrics.event_report(y_true, y_score)
    np.testing.assert_array_equal(report.to_numpy(), expected.to_numpy())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"event_names": ["a"]}, "event_names has 1 entries for 3 events"),
        ({"event_names": ["a", "b", "b"]}, "contain b more than once"),
        ({"thresholds": [0.5, 0.5]}, r"thresholds has shape \(2,\)"),
        ({"thresholds": np.nan}, "1 NaN"),
        ({"thresholds": pd.Series({"Cat": 0.5})}, "no entry for 2 events: Dog, Rain"),
        ({"n_bootstraps": -1}, "n_bootstraps=-1 is out of range"),
        ({"n_bootstraps": 0.5}, r"n_bootstraps=0\.5 is out of range"),
        ({"confidence_level": 1}, "confidence_level=1 is out of range"),
    ],
)
def test_options_are_checked(options, match, labels_and_scores):
    with pytest.raises(ValueError, match=match):
        metrics.event_report(*labels_and_scores, **options)
