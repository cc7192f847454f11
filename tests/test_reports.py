import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from sktagger.reports.files import evaluate_scores, results_table, write_evaluation, write_json

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")


@pytest.fixture
def truth(rng):
    names = ["Rain", "Bell", "Dog"]
    index = [f"clip_{i}" for i in range(30)]
    return pd.DataFrame((rng.random((30, 3)) < 0.4).astype(int), index=index, columns=names)


@pytest.fixture
def scores(truth, rng):
    return np.clip(truth.to_numpy() * 0.3 + rng.random(truth.shape), 0, 1)


def test_results_equal_scikit_learn(truth, scores):
    evaluation = evaluate_scores(truth, scores, np.full(3, 0.6))
    precision, recall, f1, _ = precision_recall_fscore_support(truth, scores > 0.6)
    expected = {
        "F1": f1,
        "P": precision,
        "R": recall,
        "AP": average_precision_score(truth, scores, average=None),
        "AUC": roc_auc_score(truth, scores, average=None),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(evaluation.events[name], values)
        assert evaluation.overall["m" + name] == pytest.approx(np.mean(values))
    weight = truth.sum(axis=1)
    has_events = weight > 0
    assert evaluation.overall["lwlrap"] == pytest.approx(
        label_ranking_average_precision_score(
            truth[has_events], scores[has_events], sample_weight=weight[has_events].to_numpy()
        )
    )


def test_errors_are_pairs_of_clip_and_event(truth, scores):
    evaluation = evaluate_scores(truth, scores, np.full(3, 0.6))
    predictions = pd.DataFrame(scores > 0.6, truth.index, truth.columns)
    for pairs, wrong in (
        (evaluation.false_positives, predictions & (truth == 0)),
        (evaluation.false_negatives, ~predictions & (truth == 1)),
    ):
        assert pairs == sorted((c, e) for c in truth.index for e in truth if wrong.loc[c, e])


def test_files(truth, scores, tmp_path):
    validation = evaluate_scores(truth, scores, np.full(3, 0.6))
    test = evaluate_scores(truth.assign(Bell=0), scores, np.full(3, 0.6))
    write_evaluation(tmp_path, validation, test)
    files = {path.name: json.loads(path.read_text()) for path in tmp_path.iterdir()}
    assert set(files) == {"overall.json", "event_wise.json", "fp.json", "fn.json"}
    assert files["overall.json"]["test"] == pytest.approx(test.overall)
    assert set(files["overall.json"]["validation"]) == {"mF1", "mP", "mR", "mAP", "mAUC", "lwlrap"}
    events = files["event_wise.json"]
    assert events["Bell"]["test"]["AP"] is None
    assert set(events["Rain"]["test"]) == {"support", "F1", "P", "R", "AP", "AUC", "lwlrap"}
    assert events["Rain"]["test"]["support"] == truth["Rain"].sum()
    assert [events[event]["threshold"] for event in ("Rain", "Bell")] == [0.6, 0.6]
    order = list(events)
    assert order[-1] == "Bell"
    assert events[order[0]]["test"]["AP"] >= events[order[1]]["test"]["AP"]
    assert files["fp.json"] == [list(pair) for pair in test.false_positives]


def test_float_reads_infinite_thresholds(truth, scores, tmp_path):
    evaluation = evaluate_scores(truth, scores, np.array([np.inf, -np.inf, 0.5]))
    write_evaluation(tmp_path, evaluation, evaluation)
    events = json.loads((tmp_path / "event_wise.json").read_text())
    thresholds = [float(events[event]["threshold"]) for event in truth.columns]
    assert thresholds == [np.inf, -np.inf, 0.5]


def test_table_shows_the_number_of_events(truth, scores):
    validation = evaluate_scores(truth, scores, np.full(3, 0.6))
    test = evaluate_scores(truth.assign(Bell=0), scores, np.full(3, 0.6))
    header, first, second = results_table(validation, test).splitlines()
    assert header.split() == ["mAP", "mAUC", "lwlrap", "mF1", "events"]
    assert first.split()[:2] == ["validate", f"{100 * validation.overall['mAP']:.2f}"]
    assert second.endswith("2 of 3")


def test_json_is_strictly_valid(tmp_path):
    write_json({"a": np.nan, "b": [float("inf"), 1.5]}, tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.5]}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_event_may_be_named_macro(truth, scores, tmp_path):
    evaluation = evaluate_scores(truth, scores, np.full(3, 0.6))
    renamed = evaluate_scores(truth.rename(columns={"Bell": "macro"}), scores, np.full(3, 0.6))
    assert renamed.overall == evaluation.overall
    write_evaluation(tmp_path, renamed, renamed)
    events = json.loads((tmp_path / "event_wise.json").read_text())
    assert set(events) == {"Rain", "macro", "Dog"}
    assert events["macro"]["test"] == pytest.approx(evaluation.events.loc["Bell"].to_dict())


def test_names_of_sets_are_escaped(truth, scores):
    evaluation = evaluate_scores(truth, scores, np.full(3, 0.6))
    table = results_table(evaluation, evaluation, ("a\x1b[2J\nb", "eval"))
    assert len(table.splitlines()) == 3
    assert "\x1b" not in table
