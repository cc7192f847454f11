"""How well do taggers learn that are trained with the package's defaults?

Two protocols, on data that is not part of the package (``--data``, else $SKTAGGER_DATA: folders
esc10 and scenes, each with a JSON database):

scenes
    Trained on balanced_train, best epoch by validation mAP, thresholds tuned on validate, all
    measured on eval; mean +- standard deviation over seeds.
esc10
    The five published folds: for each fold to test on, the next one is for validation (every
    fifth epoch; the best one is kept), the other three for training. Accuracy of the label with
    the best score, mAP; mean +- standard deviation over test folds.

Systems: "default", "reference" (the published recipe with its thresholds), both for the same
number of epochs, which takes them the same time, and "forest", a random forest on means and
deviations of MFCCs and their differences; and, to see what parts of the default recipe are good
for, the default with one of them as published: see ABLATIONS. Nothing is chosen by looking at eval
or at test folds.

    python benchmarks/bench_accuracy.py scenes --epochs 15 --seeds 0 1 2
    python benchmarks/bench_accuracy.py esc10 --epochs 100

Each run is appended to results_accuracy.jsonl as soon as it ends, and those that are there are not
made again; the table of all is written to results_accuracy.md. Systems there that begin with
"binary cross entropy, " are ablations with that loss, the default when they were made.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktagger import STFT, Augmentation, ThresholdTuner, WALNetTagger, load_database
from sktagger.audio.reading import Section, read_audio
from sktagger.commands._recipes import RECIPES
from sktagger.metrics import lwlrap, mean_average_precision, mean_f1, mean_roc_auc

HERE = Path(__file__).parent
SYSTEMS = ("default", "reference", "forest")
ABLATIONS = {
    "no refinement": {"augmentation": Augmentation(refine=0)},
    "mixup late": {"augmentation": Augmentation(mixup_delay=80)},
    "median gain e": {"augmentation": Augmentation(gain_mean=1)},
    "mean pooling": {"pooling": "mean"},
    "batches of 24": {"batch_size": 24},
    "binary cross entropy": {"loss": "binary_cross_entropy"},
    "constant rate": {"schedule": "constant", "lr": 3e-4},
    "no weight decay": {"weight_decay": 0.0},
}


def mfcc_statistics(X):
    """Means and deviations of 20 MFCCs and their first differences: (n_clips, 80)."""
    rows = []
    for path in X:
        waveform = read_audio(Section(str(path)), 22050).mean(axis=0)
        mfcc = librosa.feature.mfcc(y=waveform, sr=22050, n_mfcc=20)
        values = np.concatenate([mfcc, librosa.feature.delta(mfcc)])
        rows.append(np.concatenate([values.mean(axis=1), values.std(axis=1)]))
    return np.array(rows)


class Forest:
    """The classical baseline, with the interface of a tagger."""

    def __init__(self, seed):
        self.pipeline = make_pipeline(
            FunctionTransformer(mfcc_statistics),
            RandomForestClassifier(500, n_jobs=1, random_state=seed),
        )

    def fit(self, X, Y, X_val=None, Y_val=None):
        """Learn; validation clips are not needed."""
        self.pipeline.fit(X, Y)
        return self

    def predict_proba(self, X):
        """Score clips."""
        scores = self.pipeline.predict_proba(X)
        return np.stack([p[:, -1] for p in scores], axis=1) if isinstance(scores, list) else scores


def make_system(name, seed, n_epochs, **params):
    if name == "forest":
        return Forest(seed)
    settings = dict(ABLATIONS[name] if name in ABLATIONS else RECIPES[name]["settings"])
    settings.pop("max_iterations", None)
    settings.pop("validate_every", None)
    return WALNetTagger(**settings, **params, max_epochs=n_epochs, random_state=seed, n_jobs=1)


def scenes(data, system, seed, n_epochs, **params):
    """One training, measured on eval."""
    db = load_database(data / "scenes" / "scenes.json")
    X, Y = db.to_xy("balanced_train")
    X_val, Y_val = db.to_xy("validate", events=Y.columns)
    X_eval, Y_eval = db.to_xy("eval", events=Y.columns)
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
    """One fold: train on three, validate on one, test on one."""
    db = load_database(data / "esc10" / "esc10.json")
    clips = pd.concat([db.table(name) for name in db.datasets])
    labels = clips["events"].map(lambda events: events[0]).to_numpy()
    paths, folds = clips["audio_path"].to_numpy(), clips["fold"].to_numpy()
    names = sorted(set(folds))
    test = folds == names[fold]
    validation = folds == names[(fold + 1) % len(names)]
    train = ~test & ~validation
    events = np.unique(labels)
    with tempfile.TemporaryDirectory() as cache:  # Vorbis is decoded once
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
    """Mean and standard deviation over runs, in per cent."""
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


def mean_and_spread(mean, spread):
    """Write them; nothing where not all runs have the measure, no spread of one run."""
    if np.isnan(mean):
        return ""
    return f"{mean:.1f}" if np.isnan(spread) else f"{mean:.1f} ± {spread:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("protocol", choices=["scenes", "esc10"])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--systems", nargs="+", choices=[*SYSTEMS, *ABLATIONS], default=SYSTEMS)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument(
        "--seeds", type=int, nargs="+", help="seeds (scenes) or folds (esc10); default: 0 1 2, all"
    )
    parser.add_argument(
        "--hop-length", type=int, default=882, help="samples between frames; default: 882, 20 ms"
    )
    parser.add_argument("--output", type=Path, default=HERE)
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data DIR or $SKTAGGER_DATA is needed")
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
            params = {} if system == "forest" else {"stft": STFT(hop_length=args.hop_length)}
            run["result"] = measure(Path(args.data), system, seed, args.epochs, **params)
            print(run, flush=True)
            with open(file, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(run) + "\n")
    write_table(pd.read_json(file, lines=True), args.output / "results_accuracy.md")


if __name__ == "__main__":
    main()
