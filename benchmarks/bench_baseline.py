"""Measure the accuracy of classical baselines: MFCCStatistics, and a classifier of scikit-learn.

The protocols and the data are those of `bench_accuracy.py`:

scenes
    Train on balanced_train, tune thresholds on validate, and evaluate on eval. Report the mean +-
    standard deviation over seeds of the forest.
esc10
    Use the five published folds. Each fold is the test fold once, three folds are for training. The
    next fold, which networks use for validation, is only scored. Report the mean +- standard
    deviation over test folds. A fold's figure is the mean over seeds of the forest.

Features are computed once for all clips, because MFCCStatistics learns nothing. All parameters of
classifiers are scikit-learn's defaults, except for 500 trees.

The default statistics of MFCCStatistics were chosen among the rows of this table, by validation
figures; the other defaults were not tuned. On scenes, validation clips are separate from eval. On
ESC-10 they are not: over the five folds, every clip is a validation clip once and a test clip once.
The ESC-10 figures of the default are therefore slightly optimistic.

    python benchmarks/bench_baseline.py --data DIR
    python benchmarks/bench_baseline.py --quick    # does it run? seconds, no file

The tables are written to results_baseline.md. "fit" is the CPU time of one training in s, without
that of features. "features" is the CPU time per clip in ms, with decoding and resampling.
"""

import argparse
import os
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from _data import mean_and_spread, read_esc10, read_scenes
from _quick_data import write_quick_data
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktagger import ThresholdTuner
from sktagger.baselines import MFCCStatistics
from sktagger.metrics import lwlrap_scorer, map_scorer, mauc_scorer, mean_f1

HERE = Path(__file__).parent
FEATURES = {
    "default": {},
    "no derivatives": {"deltas": 0},
    "second derivatives": {"deltas": 2},
    "13 MFCCs": {"n_mfcc": 13},
    "40 MFCCs": {"n_mfcc": 40},
    "mean and std": {"statistics": ("mean", "std")},
    "44.1 kHz": {"sample_rate": 44100},
}
CLASSIFIERS = {
    "random forest": lambda seed: RandomForestClassifier(500, random_state=seed),
    "logistic regression": lambda _: LogisticRegression(max_iter=1000),
    "support vector machine": lambda _: SVC(),
}


def make_classifier(name, seed, *, multilabel=False):
    """Make a classifier. The forest needs no scaling, and learns several events at once."""
    classifier = CLASSIFIERS[name](seed)
    if name == "random forest":
        return classifier
    return make_pipeline(
        StandardScaler(), OneVsRestClassifier(classifier) if multilabel else classifier
    )


@cache
def compute_features(clips, name):
    """Return the features of clips, and the CPU time in ms per clip."""
    start = time.process_time()
    features = MFCCStatistics(**FEATURES[name], verbose=0).transform(clips)
    return features, 1000 * (time.process_time() - start) / len(clips)


def fit(classifier, X, y):
    """Train a classifier, and return the CPU time in seconds."""
    start = time.process_time()
    classifier.fit(X, y)
    return time.process_time() - start


def esc10(clips, features, classifier, seeds):
    """Yield the figures of each fold."""
    X, milliseconds = compute_features(tuple(clips.paths), features)
    for fold in range(5):
        train, validation, test = clips.split(fold)
        runs = []
        for seed in seeds:
            model = make_classifier(classifier, seed)
            seconds = fit(model, X[train], clips.labels[train])
            run = {"fit": seconds, "features": milliseconds}
            for name, part in {"validation ": validation, "": test}.items():
                run[f"{name}accuracy"] = 100 * model.score(X[part], clips.labels[part])
                run[f"{name}mAP"] = 100 * map_scorer(model, X[part], clips.labels[part])
            runs.append(run)
        yield pd.DataFrame(runs).mean()


def scenes(clips, features, classifier, seeds):
    """Yield the figures of each seed."""
    sets = [compute_features(tuple(X), features) for X in (clips.X, clips.X_val, clips.X_eval)]
    (X, milliseconds), (X_val, _), (X_eval, _) = sets
    for seed in seeds:
        model = make_classifier(classifier, seed, multilabel=True)
        seconds = fit(model, X, clips.Y)
        score = model.predict_proba if hasattr(model, "predict_proba") else model.decision_function
        tuner = ThresholdTuner().fit(score(X_val), clips.Y_val)
        yield {
            "fit": seconds,
            "features": milliseconds,
            "validation mAP": 100 * map_scorer(model, X_val, clips.Y_val),
            "mAP": 100 * map_scorer(model, X_eval, clips.Y_eval),
            "mAUC": 100 * mauc_scorer(model, X_eval, clips.Y_eval),
            "lwlrap": 100 * lwlrap_scorer(model, X_eval, clips.Y_eval),
            "mF1": 100 * mean_f1(clips.Y_eval, tuner.predict(score(X_eval))),
        }


def table(protocol, clips, systems, seeds):
    """Measure systems, and return the lines of their table."""
    lines = [f"\n## {protocol.__name__}\n"]
    for features, classifier in systems:
        used = seeds if classifier == "random forest" else seeds[:1]  # the others are deterministic
        runs = pd.DataFrame(protocol(clips, features, classifier, used))
        times = {"fit": runs.pop("fit"), "features": runs.pop("features")}
        if len(lines) == 1:
            names = ["features", "classifier", *runs.columns, "fit (s)", "features (ms)"]
            lines += ["| " + " | ".join(names) + " |"]
            lines += ["| --- | --- |" + " ---: |" * (len(names) - 2)]
        cells = map(mean_and_spread, runs.mean(), runs.std())
        cells = [features, classifier, *cells, f"{times['fit'].mean():.2f}"]
        lines += ["| " + " | ".join([*cells, f"{times['features'].mean():.0f}"]) + " |"]
        print(lines[-1], flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the forest")
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--quick", action="store_true", help="a few synthetic clips, no file")
    args = parser.parse_args()
    systems = [("default", classifier) for classifier in CLASSIFIERS]
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            write_quick_data(folder)
            print("\n".join(measure(folder, systems, [0])))
        return
    if args.data is None:
        parser.error("--data DIR or $SKTAGGER_DATA is needed")
    systems += [(name, "random forest") for name in FEATURES if name != "default"]
    text = "\n".join(measure(args.data, systems, args.seeds))
    (args.output / "results_baseline.md").write_text(text + "\n", encoding="utf-8")


def measure(data, systems, seeds):
    """Return the lines of the file of results."""
    MFCCStatistics(verbose=0).transform([np.zeros(1000)])  # imports librosa, which takes a second
    lines = ["# Classical baselines\n"]
    lines += ["Written by `bench_baseline.py`, which explains the protocols."]
    lines += table(esc10, read_esc10(data), systems, seeds)
    return lines + table(scenes, read_scenes(data), systems, seeds)


if __name__ == "__main__":
    main()
