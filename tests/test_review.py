"""Which clips are proposed for labeling, and which labels are suspicious."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from sktagger.review import propose_clips, suspicious_labels


def unit(points, of):
    scaled = (points - of.mean(0)) / of.std(0)
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def test_uncertain_clips_come_first(rng):
    scores = rng.random((30, 4))
    expected = [sum(entropy([p, 1 - p]) for p in row) for row in scores]
    chosen = propose_clips(scores, 7)
    np.testing.assert_array_equal(chosen, np.argsort(expected)[::-1][:7])


def test_mixed_strategy_is_entropy_times_distance(rng):
    scores, points, labeled = rng.random((40, 3)), rng.normal(size=(40, 5)), rng.normal(size=(6, 5))
    worth = np.array([sum(entropy([p, 1 - p]) for p in row) for row in scores])
    x, known = unit(points, points), list(unit(labeled, points))
    expected = []
    for _ in range(8):
        value = [
            -1.0 if i in expected else worth[i] * min(((x[i] - y) ** 2).sum() for y in known)
            for i in range(40)
        ]
        expected.append(int(np.argmax(value)))
        known.append(x[expected[-1]])
    chosen = propose_clips(scores, 8, embeddings=points, labeled_embeddings=labeled)
    assert chosen.tolist() == expected
    first = propose_clips(scores, 3, embeddings=points)
    assert first[0] == worth.argmax()
    distances = ((x - x[first[0]]) ** 2).sum(1)
    assert first[1] == (worth * distances).argmax()


def test_diverse_clips_are_no_copies(rng):
    points = np.repeat(rng.normal(size=(5, 8)), 10, axis=0)
    scores = rng.random((50, 2))
    chosen = propose_clips(scores, 5, embeddings=points, strategy="diversity")
    assert sorted(chosen // 10) == [0, 1, 2, 3, 4]
    mixed = propose_clips(scores, 5, embeddings=points)
    assert sorted(mixed // 10) == [0, 1, 2, 3, 4]
    everything = propose_clips(scores, 99, embeddings=points)
    assert sorted(everything) == list(range(50))


def test_clips_like_labeled_ones_come_last(rng):
    points = rng.normal(size=(12, 6))
    chosen = propose_clips(
        np.full((12, 2), 0.5), 12, embeddings=points, labeled_embeddings=points[[3, 7]]
    )
    assert set(chosen[-2:]) == {3, 7}


def test_disagreement_of_taggers(rng):
    scores = rng.random((3, 20, 4))
    expected = np.argsort(-scores.std(axis=0).mean(axis=1))[:5]
    np.testing.assert_array_equal(propose_clips(scores, 5, strategy="disagreement"), expected)
    by_mean = propose_clips(scores, 5, strategy="uncertainty")
    np.testing.assert_array_equal(by_mean, propose_clips(scores.mean(axis=0), 5))


@pytest.mark.parametrize("strategy", ["uncertainty", "mixed", "diversity"])
def test_clips_without_scores_are_never_chosen(rng, strategy):
    scores = rng.random((10, 2))
    scores[[2, 5]] = np.nan
    points = None if strategy == "uncertainty" else rng.normal(size=(10, 3))
    chosen = propose_clips(scores, 10, embeddings=points, strategy=strategy)
    assert sorted(chosen) == [0, 1, 3, 4, 6, 7, 8, 9]


def test_certain_scores_and_constant_features_are_no_problem():
    points = np.c_[np.ones(4), [0.0, 1, 2, 3]]
    scores = np.array([[0.0, 1.0]] * 4)
    assert sorted(propose_clips(scores, 4, embeddings=points)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": [0.5]}, r"scores has shape \(1,\)"),
        ({"scores": [[1.5, 0]]}, r"values from 0 to 1\.5, but .* \[0, 1\]"),
        ({"n_clips": 0}, "n_clips=0, but it must be an integer of at least 1"),
        ({"n_clips": True}, "n_clips=True"),
        ({"strategy": "best"}, "strategy='best', but it must be one of"),
        ({"strategy": "mixed"}, "needs embeddings"),
        ({"strategy": "disagreement"}, "scores of at least 2 taggers"),
        ({"embeddings": [[1.0]]}, "embeddings"),
        ({"embeddings": [[1.0], [np.inf]]}, "NaN or infinite values in row 1"),
        (
            {"embeddings": [[1.0], [2.0]], "labeled_embeddings": [[1.0, 2]]},
            "labeled_embeddings has",
        ),
        ({"labeled_embeddings": [[1.0, 2]]}, "no embeddings. Give both"),
    ],
)
def test_wrong_arguments_of_propose_clips(arguments, message):
    given = {"scores": [[0.5, 0.5], [0.2, 0.1]], "n_clips": 1} | arguments
    with pytest.raises(ValueError, match=message):
        propose_clips(**given)


@pytest.fixture
def labels(rng):
    Y = pd.DataFrame((rng.random((60, 3)) < 0.4).astype(int), columns=["a", "b", "c"])
    Y.index = [f"clip {i}" for i in range(60)]
    logits = rng.normal(size=(60, 3)) + 5 * Y.to_numpy() + [-2.5, 0.0, -8.0]
    return Y, 1 / (1 + np.exp(-logits))


def test_wrong_labels_come_first(labels):
    Y, scores = labels
    wrong = Y.copy()
    flipped = [(3, "a"), (10, "b"), (20, "c"), (41, "c")]
    for row, event in flipped:
        wrong.loc[f"clip {row}", event] ^= 1
    found = suspicious_labels(wrong, scores)
    first = found.head(4)
    assert {(c, e) for c, e in zip(first["clip"], first["event"], strict=True)} == {
        (f"clip {row}", event) for row, event in flipped
    }
    assert (first["suspicion"] > 0).all()
    assert len(found) == 180
    assert found["suspicion"].is_monotonic_decreasing
    for row in found.head(30).itertuples():
        assert row.label == wrong.loc[row.clip, row.event]
        i, k = int(row.clip.split()[1]), "abc".index(row.event)
        assert row.score == scores[i, k]
        x = np.log(scores[:, k] / (1 - scores[:, k]))
        has = wrong[row.event].to_numpy() > 0
        middle = (x[has].mean() + x[~has].mean()) / 2
        assert row.suspicion == pytest.approx((middle - x[i]) * (1 if row.label else -1))


def test_labels_that_cannot_be_judged_are_left_out(labels):
    Y, scores = labels
    Y["b"], scores[7] = 1, np.nan
    found = suspicious_labels(Y, scores, n_labels=1000)
    assert set(found["event"]) == {"a", "c"}
    assert "clip 7" not in set(found["clip"])
    assert len(found) == 2 * 59
    assert len(suspicious_labels(Y[["b"]], scores[:, [1]])) == 0
    assert len(suspicious_labels(Y, scores, n_labels=3)) == 3


def test_certain_scores_have_a_finite_suspicion(labels):
    Y, _ = labels
    found = suspicious_labels(Y, 1.0 - Y.to_numpy())
    assert np.isfinite(found["suspicion"]).all()
    assert (found["suspicion"] > 0).all()


def test_wrong_arguments_of_suspicious_labels(labels):
    Y, scores = labels
    with pytest.raises(ValueError, match=r"shape \(60, 2\), but Y has \(60, 3\)"):
        suspicious_labels(Y, scores[:, :2])
    with pytest.raises(ValueError, match=r"Y has the value 0\.5, but labels must be 0 or 1"):
        suspicious_labels(Y * 0.5, scores)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        suspicious_labels(Y, scores + 1)
