"""Measure what taggers learn from few clips: starting from AudioSet, from scratch, classical.

Data are those of ESC-10, in $SKTAGGER_DATA or `--data`. Each of the five published folds is the
test fold once. The fold after it is not used. Training clips are drawn from the other three folds,
which have 24 clips per class. Draws are nested: the first clips of a draw of 10 are those of the
draws of 5, 2 and 1. All systems get the same clips, and no validation clips. Nothing is chosen on
test folds.

probe
    Logistic regression with C=0.1 on standardized embeddings.
fine-tuned
    AudioTagger(init_from=WEIGHTS), with `--epochs` epochs.
from scratch
    WALNetTagger(), 20 epochs, but at least 100 batches.
random forest
    500 trees on MFCCStatistics().

    python benchmarks/bench_few_labels.py WEIGHTS
    python benchmarks/bench_few_labels.py WEIGHTS --systems fine-tuned --draws 1
    python benchmarks/bench_few_labels.py --quick    # does it run? seconds, no file

Each run is appended to results_few_labels.jsonl when it ends. Runs in this file are not repeated.
The table in results_few_labels.md has the mean +- standard deviation over runs, in percent. A run
is a draw and a fold. Where a system has several draws, a second row has the first draw alone, to
compare with systems that have only this one.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _data import mean_and_spread, read_esc10
from _quick_data import QUICK_PARAMS, write_quick_data, write_quick_weights
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktagger import AudioEmbedding, AudioTagger, WALNetTagger
from sktagger.baselines import MFCCStatistics
from sktagger.metrics import mean_average_precision

HERE = Path(__file__).parent
SYSTEMS = ["probe", "fine-tuned", "from scratch", "random forest"]
KEYS = ["weights", "system", "clips", "fold", "draw", "epochs"]
MIN_BATCHES = 100  # of a training from scratch


def draw_clips(labels, train, n_clips, fold, draw):
    """Draw training clips of each class."""
    rng = np.random.default_rng([fold, draw])
    chosen = []
    for label in np.unique(labels):
        chosen.extend(rng.permutation(np.flatnonzero(train & (labels == label)))[:n_clips])
    return np.array(chosen)


def make_transformer(system, args):
    """Make the features of a system; None if it takes clips."""
    if system == "probe":
        return AudioEmbedding(args.weights, verbose=0)
    return MFCCStatistics(verbose=0) if system == "random forest" else None


def make_system(system, n_clips, seed, args):
    """Make an estimator of clips or of their features."""
    if system == "probe":
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    if system == "random forest":
        return RandomForestClassifier(500, random_state=seed)
    params = {"verbose": 0, "random_state": seed, "memory": args.cache}
    if system == "fine-tuned":
        return AudioTagger(init_from=args.weights, max_epochs=args.epochs, **params)
    params |= args.params
    n_batches = -(-n_clips // WALNetTagger(**params).batch_size)
    n_epochs = 1 if args.quick else max(20, -(-MIN_BATCHES // n_batches))
    return WALNetTagger(max_epochs=n_epochs, **params)


def run_all(args):
    """Make the runs that are missing."""
    d = read_esc10(args.data)
    events = np.unique(d.labels)
    runs = pd.read_json(args.results, lines=True) if args.results.exists() else pd.DataFrame()
    done = set(runs[KEYS].itertuples(index=False, name=None)) if len(runs) else set()
    for system in args.systems:
        transformer = make_transformer(system, args)
        X = d.paths if transformer is None else transformer.transform(d.paths)
        for fold in args.folds:
            train, _, test = d.split(fold)
            for n_clips in args.clips:
                for draw in range(args.draws):
                    n_epochs = args.epochs if system == "fine-tuned" else 0
                    weights = Path(args.weights).name
                    values = (weights, system, n_clips, fold, draw, n_epochs)
                    if values in done:
                        continue
                    chosen = draw_clips(d.labels, train, n_clips, fold, draw)
                    estimator = make_system(system, len(chosen), draw, args)
                    start = time.process_time()
                    estimator.fit(X[chosen], d.labels[chosen])
                    seconds = time.process_time() - start
                    scores, right = estimator.predict_proba(X[test]), d.labels[test]
                    run = dict(zip(KEYS, values, strict=True)) | {
                        "accuracy": float(np.mean(events[scores.argmax(axis=1)] == right)),
                        "mAP": mean_average_precision(right[:, np.newaxis] == events, scores),
                        "seconds": seconds,
                    }
                    with args.results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(run) + "\n")
                    if transformer is None:
                        print(json.dumps(run), flush=True)


def table_row(name, rows, measure, sizes):
    """Format the row of a system."""
    groups = [rows.loc[rows["clips"] == size] for size in sizes]
    n_runs = " / ".join(dict.fromkeys(str(len(group)) for group in groups))
    cells = [
        mean_and_spread(100 * group[measure].mean(), 100 * group[measure].std()) for group in groups
    ]
    seconds = " / ".join(f"{group['seconds'].mean():.1f}" for group in groups)
    return f"| {name} | {n_runs} | {' | '.join(cells)} | {seconds} |"


def write_table(runs, path):
    """Write means and standard deviations over runs, in percent."""
    lines = ["# Few labels\n\nWritten by `bench_few_labels.py`, which explains the protocol."]
    for measure in ("accuracy", "mAP"):
        sizes = sorted(set(runs["clips"]))
        lines += [f"\n## ESC-10, {measure}, by number of clips per class\n"]
        heads = ["system", "runs", *map(str, sizes), "s of CPU per training"]
        lines += ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
        for (weights, system, n_epochs), rows in runs.groupby(["weights", "system", "epochs"]):
            name = {
                "probe": f"probe, {weights}",
                "fine-tuned": f"fine-tuned, {weights}, {n_epochs} epochs",
            }.get(system, system)
            lines += [table_row(name, rows, measure, sizes)]
            if rows["draw"].any():
                first = rows.loc[rows["draw"] == 0]
                lines += [table_row(f"{name}, first draw", first, measure, sizes)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="?", help="file of EfficientAT's weights")
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 2, 5, 10], help="per class")
    parser.add_argument("--folds", type=int, nargs="+", default=range(5))
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8, help="of fine-tuning")
    parser.add_argument("--cache", help="folder of decoded audio")
    parser.add_argument("--results", type=Path, default=HERE / "results_few_labels.jsonl")
    parser.add_argument("--quick", action="store_true", help="synthetic clips, no file")
    args = parser.parse_args()
    args.params = {}
    with tempfile.TemporaryDirectory() as folder:
        if args.quick:
            write_quick_data(folder)
            args.data, args.weights = folder, str(write_quick_weights(folder))
            args.results, args.params = Path(folder) / "results.jsonl", QUICK_PARAMS
            args.clips, args.folds, args.draws, args.epochs = [1, 2], [0], 1, 1
        elif args.weights is None or args.data is None:
            parser.error("WEIGHTS, and --data or $SKTAGGER_DATA are needed")
        run_all(args)
        table = args.results.with_suffix(".md")
        write_table(pd.read_json(args.results, lines=True), table)
        print(table.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
