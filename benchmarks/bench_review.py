"""How many labels a good choice of clips saves, and whether wrong labels are found.

Data are the scenes, in $SKTAGGER_DATA or `--data`. The tagger is a logistic regression per event
(C=0.01) on standardized embeddings of a network that knows AudioSet.

Choosing clips: the 300 training clips are without labels at first. 20 clips are drawn and labeled,
then a strategy chooses 20 more of the rest, again and again; scores and embeddings are those of the
tagger that was trained on what has labels so far. "random" draws them. For each strategy, the mAP
over the number of labels, mean over draws, and the number of labels at which it reaches the mAP
that random draws have at 100 and at 160 labels, interpolated, as a fraction of these. The strategy
was chosen on the validation clips; the evaluation clips were used once.

Wrong labels: of the training clips, `--wrong` labels that are 1 become 0, and as many that are 0
become 1. Scores are out-of-fold (5 folds). Precision at k: the share of planted ones among the k
most suspicious labels. "largest difference" orders labels by |label - score| instead.

    python benchmarks/bench_review.py WEIGHTS
    python benchmarks/bench_review.py --quick    # does it run? seconds, no file

Tables are written to results_review.md, in percent, mean +- standard deviation over draws.
"""

import argparse
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from _data import mean_and_spread, read_scenes
from _quick_data import write_quick_data, write_quick_weights
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from sktagger import AudioEmbedding
from sktagger.metrics import mean_average_precision
from sktagger.review import propose_clips, suspicious_labels

HERE = Path(__file__).parent
STRATEGIES = ("random", "uncertainty", "diversity", "mixed")
STEP = 20  # clips that are labeled at once
SIZES = (20, 40, 60, 80, 100, 120, 140, 160, 200, 240)
TARGETS = (100, 160)


def train(X, Y):
    """Train a classifier for each event; a number for an event that all clips have, or none."""
    return [
        float(y[0]) if y.min() == y.max() else LogisticRegression(C=0.01, max_iter=500).fit(X, y)
        for y in Y.T
    ]


def predict(classifiers, X):
    columns = [
        np.full(len(X), c) if isinstance(c, float) else c.predict_proba(X)[:, 1]
        for c in classifiers
    ]
    return np.column_stack(columns)


def learning_curve(strategy, X, Y, X_test, Y_test, seed, sizes, step):
    """Return the mAP on test clips for each number of labeled clips."""
    rng = np.random.default_rng(seed)
    labeled = rng.choice(len(X), sizes[0], replace=False).tolist()
    curve = []
    for size in sizes:
        while len(labeled) < size:
            rest = np.setdiff1d(np.arange(len(X)), labeled)
            n = min(step, size - len(labeled))
            if strategy == "random":
                chosen = rng.choice(len(rest), n, replace=False)
            else:
                given = {"strategy": strategy}
                if strategy != "uncertainty":
                    given |= {"embeddings": X[rest], "labeled_embeddings": X[labeled]}
                scores = predict(train(X[labeled], Y[labeled]), X[rest])
                chosen = propose_clips(scores, n, **given)
            labeled += rest[chosen].tolist()
        scores = predict(train(X[labeled], Y[labeled]), X_test)
        curve.append(100 * mean_average_precision(Y_test, scores))
    return curve


def labels_needed(sizes, curve, value):
    """Return the number of labels at which a curve first reaches a value; NaN: never."""
    above = np.flatnonzero(np.asarray(curve) >= value)
    if not len(above):
        return np.nan
    i = above[0]
    if i == 0:
        return float(sizes[0])
    share = (value - curve[i - 1]) / (curve[i] - curve[i - 1])
    return sizes[i - 1] + share * (sizes[i] - sizes[i - 1])


def plant(Y, n_wrong, seed):
    """Return labels of which some are wrong, and which ones."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(Y.shape, bool)
    for value in (0, 1):
        places = np.argwhere(value == Y)
        for clip, event in places[rng.choice(len(places), n_wrong, replace=False)]:
            wrong[clip, event] = True
    return np.where(wrong, 1 - Y, Y), wrong


def out_of_fold(X, Y):
    scores = np.zeros(Y.shape)
    for kept, left_out in KFold(5, shuffle=True, random_state=0).split(X):
        scores[left_out] = predict(train(X[kept], Y[kept]), X[left_out])
    return scores


def find_planted(X, Y, n_wrong, seed, sizes):
    """Return the precision at k of both orders."""
    given, wrong = plant(Y, n_wrong, seed)
    scores = out_of_fold(X, given)
    found = suspicious_labels(given, scores)
    orders = {
        "suspicious_labels": wrong[found["clip"].to_numpy(), found["event"].to_numpy()],
        "largest difference": wrong.ravel()[np.argsort(-np.abs(given - scores), axis=None)],
    }
    return {name: [100 * hit[:k].mean() for k in sizes] for name, hit in orders.items()}


def measure_choices(args, X, Y, tests, sizes, step):
    """Return the lines of the tables of learning curves."""
    lines = []
    for where, (X_test, Y_test) in tests.items():
        curves = {
            strategy: np.array(
                [
                    learning_curve(strategy, X, Y, X_test, Y_test, seed, sizes, step)
                    for seed in range(args.draws)
                ]
            )
            for strategy in STRATEGIES
        }
        targets = [t for t in TARGETS if t in sizes]
        lines += ["", f"## mAP on the {where} clips over labels, {args.draws} draws", ""]
        head = [f"{size}" for size in sizes] + [f"labels for random's {t}" for t in targets]
        lines += [f"| strategy | {' | '.join(head)} |", f"| --- |{' ---: |' * len(head)}"]
        random = curves["random"].mean(axis=0)
        for strategy, curve in curves.items():
            cells = [
                mean_and_spread(m, s) for m, s in zip(curve.mean(0), curve.std(0), strict=True)
            ]
            for target in targets:
                value = random[sizes.index(target)]
                cells.append(f"{labels_needed(sizes, curve.mean(axis=0), value) / target:.0%}")
            lines.append(f"| {strategy} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="?", help="checkpoint of EfficientAT or PANNs")
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--wrong", type=int, default=30, help="planted labels of each kind")
    parser.add_argument("--quick", action="store_true", help="a few made scenes")
    args = parser.parse_args()
    if args.weights is None and not args.quick:
        parser.error("WEIGHTS is missing")
    sizes, step = SIZES, STEP
    with tempfile.TemporaryDirectory() as folder:
        if args.quick:
            write_quick_data(folder)
            args.weights, args.data = write_quick_weights(folder), folder
            args.draws, args.wrong, sizes, step = 2, 2, (6, 10), 4
        scenes = read_scenes(args.data)
        embedding = AudioEmbedding(args.weights, verbose=0)
        X, X_val, X_eval = map(embedding.fit_transform, (scenes.X, scenes.X_val, scenes.X_eval))
    scaler = StandardScaler().fit(X)
    X, X_val, X_eval = map(scaler.transform, (X, X_val, X_eval))
    Y, Y_val, Y_eval = (t.to_numpy() for t in (scenes.Y, scenes.Y_val, scenes.Y_eval))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = {"validation": (X_val, Y_val), "evaluation": (X_eval, Y_eval)}
        lines = ["# Review", "", "Written by `bench_review.py`, which explains the protocols."]
        lines += measure_choices(args, X, Y, tests, sizes, step)
        at = (args.wrong, 2 * args.wrong)
        runs = [find_planted(X, Y, args.wrong, seed, at) for seed in range(args.draws)]
    lines += ["", f"## {2 * args.wrong} wrong labels of {Y.size}, {args.draws} draws", ""]
    lines += [f"| order | precision at {at[0]} | at {at[1]} |", "| --- | ---: | ---: |"]
    for name in runs[0]:
        values = np.array([run[name] for run in runs])
        cells = [mean_and_spread(m, s) for m, s in zip(values.mean(0), values.std(0), strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if not args.quick:
        (HERE / "results_review.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
