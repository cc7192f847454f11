"""Measure the accuracy of taggers trained with the package's defaults.

There are two protocols. Their data is not part of the package. It is read from ``--data``, or from
$SKTAGGER_DATA, which contains the folders esc10 and scenes, each with a JSON database.

scenes
    Train on balanced_train, keep the epoch with the best validation mAP, tune thresholds on
    validate, and evaluate on eval. Report mean +- standard deviation over seeds.
esc10
    Use the five published folds. Each fold is the test fold once. The next fold is for validation,
    every fifth epoch, and the best epoch is kept. The other three folds are for training. Report
    the accuracy of the label with the best score, and the mAP, as mean +- standard deviation over
    test folds.

These systems are compared:

default, reference
    The default recipe, and the published recipe with its thresholds. Both train for the same number
    of epochs, which takes the same time.
forest
    A random forest on means and standard deviations of MFCCs and their differences.
the names in ABLATIONS
    The default recipe with one part replaced by the published one.

Nothing is chosen on eval or on test folds.

    python benchmarks/bench_accuracy.py scenes --epochs 15 --seeds 0 1 2
    python benchmarks/bench_accuracy.py esc10 --epochs 100
    python benchmarks/bench_accuracy.py scenes --quick    # does it run? seconds, no file

Each run is appended to results_accuracy.jsonl as soon as it ends. Runs in this file are not
repeated. The table of all runs is written to results_accuracy.md. In it, systems whose names begin
with "binary cross entropy, " are ablations that used this loss, which was the default then.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _data import mean_and_spread, read_esc10, read_scenes
from _quick_data import QUICK_PARAMS, write_quick_data
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from sktagger import STFT, Augmentation, ThresholdTuner, WALNetTagger
from sktagger.baselines import MFCCStatistics
from sktagger.commands._recipes import find_recipe
from sktagger.metrics import lwlrap, mean_average_precision, mean_f1, mean_roc_auc

HERE = Path(__file__).parent
SYSTEMS = ("default", "reference", "forest")
ABLATIONS = {
    "no refinement": {"augmentation": Augmentation(final_weak_fraction=0)},
    "mixup late": {"augmentation": Augmentation(mixup_delay=80)},
    "median gain e": {"augmentation": Augmentation(gain_mean=1)},
    "mean pooling": {"pooling": "mean"},
    "batches of 24": {"batch_size": 24},
    "binary cross entropy": {"loss": "binary_cross_entropy"},
    "constant rate": {"schedule": "constant", "lr": 3e-4},
    "no weight decay": {"weight_decay": 0.0},
}


class Forest:
    """A classical baseline with the interface of a tagger."""

    def __init__(self, seed):
        self.pipeline = make_pipeline(
            MFCCStatistics(statistics=("mean", "std"), verbose=0),
            RandomForestClassifier(500, n_jobs=1, random_state=seed),
        )

    def fit(self, X, Y, X_val=None, Y_val=None):
        """Train. The validation clips are ignored."""
        self.pipeline.fit(X, Y)
        return self

    def predict_proba(self, X):
        """Score clips."""
        scores = self.pipeline.predict_proba(X)
        return np.stack([p[:, -1] for p in scores], axis=1) if isinstance(scores, list) else scores


def make_system(name, seed, n_epochs, **params):
    if name == "forest":
        return Forest(seed)
    settings = dict(
        ABLATIONS[name] if name in ABLATIONS else find_recipe(name, "WALNet")["settings"]
    )
    settings.pop("max_iterations", None)
    settings.pop("validate_every", None)
    settings |= params
    return WALNetTagger(**settings, max_epochs=n_epochs, random_state=seed, n_jobs=1)


def scenes(data, system, seed, n_epochs, **params):
    """Train once, and evaluate on eval."""
    X, Y, X_val, Y_val, X_eval, Y_eval = read_scenes(data)
    start = time.perf_counter()
    tagger = make_system(system, seed, n_epochs, **params)
    tagger.fit(X, Y, X_val=X_val, Y_val=Y_val)
    seconds = time.perf_counter() - start
    S_val, S_eval = tagger.predict_proba(X_val), tagger.predict_proba(X_eval)
    strategy = "best" if system == "reference" else "expected"
    tuner = ThresholdTuner(strategy=strategy).fit(S_val, Y_val)
    rare = Y.sum().to_numpy() <= Y.sum().median()
    per_event = mean_average_precision(Y_eval, S_eval, average=None)
    return {
        "validation mAP": mean_average_precision(Y_val, S_val),
        "mAP": mean_average_precision(Y_eval, S_eval),
        "mAP of the rarer half": float(np.nanmean(per_event[rare])),
        "mAUC": mean_roc_auc(Y_eval, S_eval),
        "lwlrap": lwlrap(Y_eval, S_eval),
        "mF1": mean_f1(Y_eval, tuner.predict(S_eval)),
        "minutes": seconds / 60,
    }


def esc10(data, system, fold, n_epochs, **params):
    """Evaluate one fold: train on three folds, validate on one, test on one."""
    clips = read_esc10(data)
    paths, labels = clips.paths, clips.labels
    train, validation, test = clips.split(fold)
    events = np.unique(labels)
    with tempfile.TemporaryDirectory() as cache:  # decode each Vorbis file only once
        params |= {"validate_every": 5, "memory": cache}
        tagger = make_system(system, fold, n_epochs, **params)
        start = time.perf_counter()
        tagger.fit(paths[train], labels[train], X_val=paths[validation], Y_val=labels[validation])
        seconds = time.perf_counter() - start
        result = {}
        for name, chosen in {"validation ": validation, "": test}.items():
            scores, right = tagger.predict_proba(paths[chosen]), labels[chosen]
            result[f"{name}accuracy"] = float(np.mean(events[scores.argmax(axis=1)] == right))
            result[f"{name}mAP"] = mean_average_precision(right[:, np.newaxis] == events, scores)
    return {**result, "minutes": seconds / 60}


def write_table(runs, path):
    """Write means and standard deviations over runs, in percent."""
    lines = ["# Accuracy\n\nWritten by `bench_accuracy.py`, which explains the protocols."]
    for (protocol, n_epochs, hop_length), group in runs.groupby(["protocol", "epochs", "hop"]):
        values = 100 * pd.json_normalize(group["result"]).set_index(group["system"])
        minutes = values.pop("minutes") / 100
        lines += [f"\n## {protocol}, {n_epochs} epochs, frames every {hop_length} samples\n"]
        lines += ["| system | runs | " + " | ".join(values.columns) + " | minutes |"]
        lines += ["|" + " --- |" + " ---: |" * (len(values.columns) + 2)]
        for system, rows in values.groupby(level=0):
            cells = map(mean_and_spread, rows.mean(skipna=False), rows.std())
            lines += [
                f"| {system} | {len(rows)} | {' | '.join(cells)} | {minutes[system].mean():.1f} |"
            ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("protocol", choices=["scenes", "esc10"])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--systems", nargs="+", choices=[*SYSTEMS, *ABLATIONS], default=SYSTEMS)
    parser.add_argument("--epochs", type=int, help="needed without --quick")
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="seeds (scenes) or folds (esc10); default: 0 1 2, all"
    )
    parser.add_argument(
        "--hop-length", type=int, default=882, help="samples between frames; default: 882, 20 ms"
    )
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument(
        "--quick", action="store_true", help="one epoch on a few synthetic clips, no file"
    )
    args = parser.parse_args()
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            write_quick_data(folder)
            args.data = args.output = Path(folder)
            args.epochs, args.seeds, args.hop_length = 1, [0], 160
            run_all(args, QUICK_PARAMS)
            print((args.output / "results_accuracy.md").read_text(encoding="utf-8"))
        return
    if args.data is None:
        parser.error("--data DIR or $SKTAGGER_DATA is needed")
    if args.epochs is None:
        parser.error("--epochs is needed")
    run_all(args, {})


def run_all(args, params):
    """Make the runs that are missing, and write the table of all runs."""
    measure = {"scenes": scenes, "esc10": esc10}[args.protocol]
    seeds = args.seeds or range({"scenes": 3, "esc10": 5}[args.protocol])
    file = args.output / "results_accuracy.jsonl"
    keys = ["protocol", "system", "seed", "epochs", "hop"]
    for seed in seeds:
        for system in args.systems:
            values = (args.protocol, system, seed, args.epochs, args.hop_length)
            run = dict(zip(keys, values, strict=True))
            runs = pd.read_json(file, lines=True) if file.exists() else pd.DataFrame(columns=keys)
            if (runs[keys] == pd.Series(run)).all(axis=1).any():
                continue
            settings = {"stft": STFT(hop_length=args.hop_length), **params}
            if system == "forest":
                settings = {}
            run["result"] = measure(Path(args.data), system, seed, args.epochs, **settings)
            print(run, flush=True)
            with open(file, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(run) + "\n")
    write_table(pd.read_json(file, lines=True), args.output / "results_accuracy.md")


if __name__ == "__main__":
    main()
