"""Events without positives or negatives, and wrong input."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

from sktagger import metrics

SCORE_METRICS = {
    name: getattr(metrics, name)
    for name in ("mean_average_precision", "mean_roc_auc", "d_prime", "best_f1", "lwlrap")
}
BINARY_METRICS = {
    name: getattr(metrics, name)
    for name in ("mean_f1", "mean_precision", "mean_recall", "error_rate")
}
ALL_METRICS = SCORE_METRICS | BINARY_METRICS


@pytest.fixture
def y_true():
    """Labels of four events: the second is in none of the clips, the last in all."""
    return np.array([[1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 1, 1]])


@pytest.fixture
def y_score():
    return np.array([[0.7, 0.3, 0.6, 0.1], [0.2, 0.9, 0.8, 0.3], [0.1, 0.6, 0.4, 0.2]])


@pytest.mark.parametrize("name", ALL_METRICS)
def test_undefined_events_are_nan_and_left_out_of_the_mean(name, y_true, y_score):
    metric = ALL_METRICS[name]
    y = y_score if name in SCORE_METRICS else y_score > 0.5
    needs_negatives = name in ("mean_roc_auc", "d_prime")
    n_undefined = 2 if needs_negatives else 1
    expected = rf"is undefined for {n_undefined} of 4 events \(1 without positives"
    with pytest.warns(UndefinedMetricWarning, match=expected) as caught:
        by_event = metric(y_true, y, average=None)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_array_equal(np.isnan(by_event), [False, True, False, needs_negatives])
    with pytest.warns(UndefinedMetricWarning, match=expected):
        mean = metric(y_true, y, average="macro")
    if name != "d_prime":  # d_prime averages the AUC
        assert_allclose(mean, np.nanmean(by_event))


@pytest.mark.parametrize("name", ALL_METRICS)
def test_macro_mean_is_over_the_defined_events(name, y_true, y_score):
    metric = ALL_METRICS[name]
    y = y_score if name in ("mean_average_precision", "mean_roc_auc", "best_f1") else y_score > 0.5
    if name in ("lwlrap", "d_prime"):  # other events change the ranking; d' may be infinite
        return
    defined = [0, 2] if name == "mean_roc_auc" else [0, 2, 3]
    with pytest.warns(UndefinedMetricWarning):
        mean = metric(y_true, y, average="macro")
    assert_allclose(mean, metric(y_true[:, defined], y[:, defined], average="macro"))


@pytest.mark.parametrize("name", ALL_METRICS)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_without_any_positive_the_mean_is_nan(name, average, y_score):
    metric = ALL_METRICS[name]
    y = y_score if name in SCORE_METRICS else y_score > 0.5
    with pytest.warns(UndefinedMetricWarning, match=r"without positives"):
        assert np.isnan(metric(np.zeros((3, 4)), y, average=average))


@pytest.mark.parametrize("name", sorted(set(ALL_METRICS) - {"mean_roc_auc", "d_prime"}))
@pytest.mark.parametrize("average", ["micro", "weighted"])
def test_no_warning_if_events_without_positives_cannot_change_the_mean(
    name, average, y_true, y_score
):
    y = y_score if name in SCORE_METRICS else y_score > 0.5
    assert np.isfinite(ALL_METRICS[name](y_true, y, average=average))


def test_weighted_auc_warns_only_about_events_without_negatives(y_true, y_score):
    with pytest.warns(
        UndefinedMetricWarning, match=r"1 of 3 events \(0 without positives, 1 without negatives"
    ):
        metrics.mean_roc_auc(y_true, y_score, average="weighted")


def test_positives_with_weight_zero_are_ignored(y_true, y_score):
    with pytest.warns(UndefinedMetricWarning, match=r"2 of 4 events \(2 without positives"):
        values = metrics.mean_average_precision(
            y_true, y_score, average=None, sample_weight=[1, 0, 0]
        )
    assert_array_equal(np.isnan(values), [False, True, True, False])


def test_ranked_scores_do_not_warn(y_true, y_score):
    ranked = metrics.RankedScores(y_true, y_score)
    assert_array_equal(np.isnan(ranked.average_precision()), [False, True, False, False])
    assert_array_equal(np.isnan(ranked.roc_auc()), [False, True, False, True])
    assert_array_equal(ranked.support_, [2, 0, 2, 3])
    assert_array_equal(ranked.n_negatives_, [1, 3, 1, 0])
    curve = ranked.curve(1)
    assert curve[["recall", "F1"]].isna().all(axis=None)
    assert_array_equal(curve["FP"], [0, 1, 2, 3])
    assert ranked.curve(3)["false_positive_rate"].isna().all()


def test_event_without_positives_is_never_predicted(y_true, y_score):
    best = metrics.RankedScores(y_true, y_score).best_thresholds()
    assert best.thresholds[1] == np.inf
    assert np.isnan([best.fscores[1], best.precision[1], best.recall[1]]).all()
    assert best.thresholds[3] == -np.inf


def test_event_never_predicted_has_precision_and_f1_of_zero():
    assert metrics.mean_precision([0, 1], [0, 0]) == 0
    assert metrics.mean_f1([0, 1], [0, 0]) == 0


@pytest.mark.parametrize("name", SCORE_METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_error_names_clips_with_bad_scores(name, bad, y_true, y_score):
    y_score[1, 2] = bad
    with pytest.raises(ValueError, match=r"NaN or infinite in 1 of 3 clips: 1\. Scores must be"):
        SCORE_METRICS[name](y_true, y_score)
    frame = pd.DataFrame(y_score, index=["a.wav", "b.wav", "c.wav"])
    with pytest.raises(ValueError, match=r"in 1 of 3 clips: b\.wav"):
        SCORE_METRICS[name](y_true, frame)


def test_huge_finite_scores_are_accepted():
    largest = np.finfo(np.float32).max
    y_score = np.full((4, 1), largest, dtype=np.float32)
    assert metrics.mean_roc_auc([0, 1, 0, 1], y_score) == 0.5


def test_list_of_bad_clips_is_shortened():
    with pytest.raises(ValueError, match=r"in 9 of 9 clips: 0, 1, 2, 3, 4, \.\.\."):
        metrics.mean_roc_auc(np.zeros((9, 1)), np.full((9, 1), np.nan))


@pytest.mark.parametrize("name", ALL_METRICS)
def test_shapes_must_agree(name, y_true, y_score):
    with pytest.raises(
        ValueError, match=r"y_true has shape \(3, 4\), but y_\w+ has shape \(3, 3\)"
    ):
        ALL_METRICS[name](y_true, y_true[:, :3])


@pytest.mark.parametrize("name", ALL_METRICS)
def test_average_must_be_known(name, y_true):
    with pytest.raises(ValueError, match="average='samples' is unknown"):
        ALL_METRICS[name](y_true, y_true, average="samples")


@pytest.mark.parametrize("bad", [2, -1, np.nan, 0.5])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_labels_must_be_zero_or_one(bad, form, y_true, y_score):
    y_true = y_true.astype(float)
    y_true[2, 0] = bad
    with pytest.raises(
        ValueError, match=r"y_true has the value .* \(clip 2, event 0\).*only 0 and 1"
    ):
        metrics.mean_average_precision(form(y_true), y_score)


def test_predictions_must_be_zero_or_one(y_true, y_score):
    with pytest.raises(ValueError, match=r"y_pred has the value 0\.7 \(clip 0, event 0\)"):
        metrics.mean_f1(y_true, y_score)


@pytest.mark.parametrize("labels", [["Dog", "Rain"], [["Dog"], ["Rain"]], [["Dog"], []]])
def test_names_are_not_an_indicator_matrix(labels):
    with pytest.raises(ValueError, match="MultiLabelBinarizer"):
        metrics.mean_average_precision(labels, [0.1, 0.2])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 2, 2), ()])
def test_input_must_be_a_matrix_with_clips_and_events(shape):
    with pytest.raises(ValueError, match="must be a matrix of at least one clip"):
        metrics.mean_roc_auc(np.zeros(shape), np.zeros(shape))


def test_event_names_must_agree(y_true, y_score):
    y_true = pd.DataFrame(y_true, columns=["a", "b", "c", "d"])
    y_score = pd.DataFrame(y_score, columns=["a", "c", "b", "d"])
    with pytest.raises(ValueError, match=r"columns of y_score are a, c, b, d, but those of y_true"):
        metrics.mean_roc_auc(y_true, y_score)


@pytest.mark.parametrize(
    ("y_score", "match"),
    [
        (sparse.eye_array(2), r"Pass y_score\.toarray\(\)"),
        ([["a", "b"], ["c", "d"]], "must be real numbers"),
        (np.array([["a", 1], [2, 3]], dtype=object), "entries that are not numbers"),
        (1j * np.ones((2, 2)), "must be real numbers"),
    ],
)
def test_scores_must_be_dense_numbers(y_score, match):
    with pytest.raises(TypeError, match=match):
        metrics.mean_roc_auc(np.eye(2), y_score)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        ([1, 1], "2 entries for 3 clips"),
        ([1, -1, 1], "at least 0"),
        ([0, 0, 0], "not all 0"),
        ([1, np.nan, 1], "finite"),
    ],
)
@pytest.mark.parametrize("name", ALL_METRICS)
def test_weights_are_checked(name, weight, match, y_true):
    with pytest.raises(ValueError, match=match):
        ALL_METRICS[name](y_true, y_true, sample_weight=weight)


@pytest.mark.parametrize("beta", [0, -1, np.inf, np.nan, "1"])
@pytest.mark.parametrize("metric", [metrics.mean_f1, metrics.best_f1])
def test_beta_must_be_positive(metric, beta, y_true):
    with pytest.raises(ValueError, match=r"beta=.* is out of range"):
        metric(y_true, y_true, beta=beta)
