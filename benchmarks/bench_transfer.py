"""Starting from a network that knows AudioSet: zero-shot, probe and fine-tuning.

Data as in bench_accuracy.py: $SKTAGGER_DATA, which contains the folders esc10 and scenes. The
weights are those of EfficientAT, for example mn04_as_mAP_432.pt.

    python benchmarks/bench_transfer.py WEIGHTS scenes                # 3 seeds
    python benchmarks/bench_transfer.py WEIGHTS esc10 --systems probe fine-tuned
    python benchmarks/bench_transfer.py - scenes --quick    # does it run? seconds, no file

scenes: 300 training, 100 validation and 150 evaluation clips of 10 s. Fine-tuning keeps the epoch
with the best validation mAP. Thresholds are tuned on validation clips. Evaluation clips are used
once.
esc10: five folds. The next fold is for validation, the other three for training. A seed is a fold.

Systems:
zero-shot: the scores of AudioSet's events (ESC-10 only).
probe: logistic regression on standardized embeddings; C is chosen by validation mAP on the scenes,
    and is 0.1 on ESC-10.
fine-tuned: AudioTagger(init_from=WEIGHTS). Others leave out a part of its defaults.
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
from _quick_data import write_quick_data, write_quick_weights
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktagger import AudioEmbedding, AudioTagger, ThresholdTuner
from sktagger.metrics import lwlrap, mean_average_precision, mean_f1, mean_roc_auc

HERE = Path(__file__).parent
# the events of ESC-10, in the words of AudioSet
AUDIOSET = {
    "Baby cry": "Baby cry, infant cry",
    "Chainsaw": "Chainsaw",
    "Clock tick": "Tick",
    "Dog bark": "Bark",
    "Fire crackling": "Crackle",
    "Helicopter": "Helicopter",
    "Person sneeze": "Sneeze",
    "Rain": "Rain",
    "Rooster": "Crowing, cock-a-doodle-doo",
    "Sea waves": "Waves, surf",
}
FINE_TUNED = {
    "fine-tuned": {},
    "random head": {"head_init": "random"},
    "norms learn": {"freeze_norms": False},
    "lr 2e-3": {"lr": 2e-3},
    "none of the three": {"head_init": "random", "freeze_norms": False, "lr": 2e-3},
    "head only": {"freeze": "backbone"},
}
SYSTEMS = ["zero-shot", "probe", *FINE_TUNED]


def make_tagger(weights, system, seed, args, cache):
    tagger = AudioTagger(
        init_from=weights,
        max_epochs=args.epochs,
        memory=cache,
        n_jobs=args.n_jobs,
        verbose=0,
        random_state=seed,
    )
    return tagger.set_params(**FINE_TUNED[system], **json.loads(args.params))


def scenes(data, weights, system, seed, args, cache):
    """Train on the training set, tune on the validation set, measure on the evaluation set."""
    d = read_scenes(data)
    start = time.perf_counter()
    if system == "probe":
        embedding = AudioEmbedding(weights, n_jobs=args.n_jobs, verbose=0)
        E, E_val, E_eval = (embedding.transform(X) for X in (d.X, d.X_val, d.X_eval))
        probes = [
            make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(C=c)))
            for c in (0.001, 0.01, 0.1, 1.0)
        ]
        scores = [probe.fit(E, d.Y).predict_proba(E_val) for probe in probes]
        best = int(np.argmax([mean_average_precision(d.Y_val, s) for s in scores]))
        S_val, S_eval = scores[best], probes[best].predict_proba(E_eval)
        seconds = time.perf_counter() - start
    else:
        tagger = make_tagger(weights, system, seed, args, cache)
        tagger.fit(d.X, d.Y, X_val=d.X_val, Y_val=d.Y_val)
        seconds = time.perf_counter() - start
        S_val = tagger.predict_proba(d.X_val)
        S_eval = S_val if args.validation_only else tagger.predict_proba(d.X_eval)
    result = {"validation mAP": mean_average_precision(d.Y_val, S_val)}
    if not args.validation_only:
        tuner = ThresholdTuner().fit(S_val, d.Y_val)
        result |= {
            "mAP": mean_average_precision(d.Y_eval, S_eval),
            "mAUC": mean_roc_auc(d.Y_eval, S_eval),
            "lwlrap": lwlrap(d.Y_eval, S_eval),
            "mF1": mean_f1(d.Y_eval, tuner.predict(S_eval)),
        }
    return {**result, "minutes": seconds / 60}


def esc10(data, weights, system, fold, args, cache):
    """Evaluate one fold."""
    d = read_esc10(data)
    train, validation, test = d.split(fold)
    events = np.unique(d.labels)
    start = time.perf_counter()
    if system == "zero-shot":
        tagger = AudioTagger.from_checkpoint(weights, n_jobs=args.n_jobs, verbose=0)
        tagger = tagger.map_classes({event: AUDIOSET[event] for event in events}, multilabel=False)
    elif system == "probe":
        embedding = AudioEmbedding(weights, n_jobs=args.n_jobs, verbose=0)
        tagger = make_pipeline(embedding, StandardScaler(), LogisticRegression(C=0.1))
        tagger.fit(d.paths[train], d.labels[train])
    else:
        tagger = make_tagger(weights, system, fold, args, cache)
        tagger.fit(
            d.paths[train],
            d.labels[train],
            X_val=d.paths[validation],
            Y_val=d.labels[validation],
        )
    seconds = time.perf_counter() - start
    result = {}
    parts = {"validation ": validation} | ({} if args.validation_only else {"": test})
    for name, chosen in parts.items():
        scores, right = tagger.predict_proba(d.paths[chosen]), d.labels[chosen]
        result[f"{name}accuracy"] = float(np.mean(events[scores.argmax(axis=1)] == right))
        result[f"{name}mAP"] = mean_average_precision(right[:, np.newaxis] == events, scores)
    return {**result, "minutes": seconds / 60}


def write_table(runs, path):
    """Write means and standard deviations over runs, in percent."""
    lines = ["# Transfer\n\nWritten by `bench_transfer.py`, which explains the protocols."]
    for (protocol, weights, n_epochs), group in runs.groupby(["protocol", "weights", "epochs"]):
        values = 100 * pd.json_normalize(group["result"]).set_index(group["system"])
        minutes = values.pop("minutes") / 100
        lines += [f"\n## {protocol}, {weights}, {n_epochs} epochs\n"]
        lines += ["| system | runs | " + " | ".join(values.columns) + " | minutes |"]
        lines += ["|" + " --- |" + " ---: |" * (len(values.columns) + 2)]
        for system, rows in values.groupby(level=0):
            cells = map(mean_and_spread, rows.mean(skipna=False), rows.std())
            lines += [
                f"| {system} | {len(rows)} | {' | '.join(cells)} | {minutes[system].mean():.1f} |"
            ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="file of EfficientAT's weights; ignored by --quick")
    parser.add_argument("protocol", choices=["scenes", "esc10"])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["probe", "fine-tuned"])
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds or folds; default: 0 1 2, all")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--params", default="{}", help="other parameters of the tagger, as JSON")
    parser.add_argument("--validation-only", action="store_true", help="spare evaluation clips")
    parser.add_argument("--cache", help="folder of decoded audio")
    parser.add_argument("--results", type=Path, default=HERE / "results_transfer.jsonl")
    parser.add_argument("--quick", action="store_true", help="synthetic clips, no file")
    args = parser.parse_args()
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            write_quick_data(folder)
            args.data, args.weights = folder, str(write_quick_weights(folder))
            args.seeds, args.epochs, args.results = [0], 1, Path(folder) / "results.jsonl"
            run_all(args)
        return
    run_all(args)


def run_all(args):
    """Run all systems, and write the table of these and earlier runs."""
    measure = {"scenes": scenes, "esc10": esc10}[args.protocol]
    for seed in args.seeds or range({"scenes": 3, "esc10": 5}[args.protocol]):
        for system in args.systems:
            result = measure(args.data, args.weights, system, seed, args, args.cache)
            run = {
                "protocol": args.protocol,
                "weights": Path(args.weights).name,
                "system": system,
                "epochs": args.epochs,
                "params": json.loads(args.params),
                "seed": seed,
                "result": result,
            }
            print(json.dumps(run), flush=True)
            with args.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(run) + "\n")
    runs = pd.read_json(args.results, lines=True)
    write_table(runs, args.results.with_suffix(".md"))


if __name__ == "__main__":
    main()
