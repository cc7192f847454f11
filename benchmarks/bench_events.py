"""Events in time from weak training: thresholds, medians and change detection.

Taggers that are trained on the weak labels of the scenes find events in the evaluation clips.
Everything is tuned on the validation clips, once with their onsets and once with their weak labels,
and the evaluation clips are used once. PSDS needs sed_scores_eval: pip install sktagger[oracles].

    python benchmarks/bench_events.py walnet                      # 3 seeds
    python benchmarks/bench_events.py fine-tuned --weights FILE   # of EfficientAT or PANNs
    python benchmarks/bench_events.py fbcrnn --work DIR           # hours, which DIR keeps
    python benchmarks/bench_events.py fbcrnn --work DIR --second-stage crnn
    python benchmarks/bench_events.py walnet --quick              # seconds, no file

Data as in bench_accuracy.py: $SKTAGGER_DATA, which contains the folder scenes. `--data made` makes
scenes of synthetic sounds instead: the defaults of make_scenes.

FBCRNN has more ways: windows and medians of each event, tuned on onsets as published, with
decisions about clips or without, and the boundaries of each event. `--set` changes parameters of
the tagger.

With `--second-stage`, the FBCRNN finds onsets and offsets in the training clips, as its windows and
medians find them that are tuned on the onsets of the validation clips, with decisions about clips.
From these and the weak labels, another tagger learns: a CRNN, one that gets tags, too, or an FBCRNN
(self-training). It has the size, learning rate and augmentation of the first stage.

With `--work DIR`, a training that was interrupted continues from its checkpoint when the same
command runs again, and one that has ended is not repeated. Neither are rows that are in the
results.

Columns: F1 in segments of 1 s; F1 of events, with onsets within 0.2 s and offsets within 0.2 s or
20 % of the length; PSDS1 and PSDS2, the published metrics of DCASE task 4. PSDS has thresholds of
its own, so rows that differ in thresholds only have the same PSDS. Each run is appended to
results_events.jsonl when it ends. The table in results_events.md has the mean +- standard deviation
over seeds, in percent.
"""

import argparse
import json
import os
import re
import tempfile
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from _data import mean_and_spread
from sklearn.base import clone

from sktagger import AudioTagger, ThresholdTuner, WALNetTagger, load_database
from sktagger.datasets import make_scenes, read_strong_labels
from sktagger.metrics import event_f1, segment_f1
from sktagger.networks import CRNN, FBCRNN
from sktagger.recordings import EventDetector, StrongLabelTagger, find_events, write_events
from sktagger.recordings._score_source import detection_windows, scores_in_time
from sktagger.recordings._tuning import smoothed_cells
from sktagger.training.callbacks import Checkpoint

HERE = Path(__file__).parent
METRICS = ("segment_f1", "event_f1")
WINDOWS = (51, 41, 31, 21, 11)  # frames, as published for FBCRNN
MEDIANS = tuple(0.02 * n for n in (101, 81, 61, 51, 41, 31, 21, 11))  # seconds
STEPS = (2.0, 1.6, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0)  # seconds, of boundaries
SIZES = ("depth", "width", "time_pooling", "sample_rate", "fmin")  # of both stages
MEASURES = ("segment F1", "event F1", "PSDS1", "PSDS2")


def read(folder, name, events=None):
    """Read clips, weak labels, and events in time by position of the clip."""
    db = load_database(folder / "scenes.json")
    X, Y = db.to_xy(name, events=events)
    labels = read_strong_labels(folder / "strong_labels.tsv")
    keys = [Path(file).stem for file in labels["file"]]
    places = {Path(path).stem: place for place, path in enumerate(X)}
    places.update({str(key): place for place, key in enumerate(db.table(name).index)})
    labels = labels.assign(clip=[places.get(key, -1) for key in keys])
    lengths = db.table(name, read_lengths=True)["audio_length"].to_numpy()
    return X, Y, labels[labels["clip"] >= 0].drop(columns="file"), lengths


def psds(found, truth, lengths, names):
    """Return PSDS1 and PSDS2 of candidates with scores; NaN without sed_scores_eval."""
    try:
        from sed_scores_eval import intersection_based, io
        from sed_scores_eval.base_modules import statistics
    except ImportError:
        return np.nan, np.nan
    if not hasattr(statistics, "copied"):
        # Its compiled part refuses the read-only arrays of pandas 3.
        statistics.copied = statistics.onset_offset_curves
        statistics.onset_offset_curves = lambda *args: statistics.copied(
            *(np.array(arg) if isinstance(arg, np.ndarray) else arg for arg in args)
        )
    files = {f"{place}.wav": length for place, length in enumerate(lengths)}
    of_clips = [table.assign(file=file) for file, table in zip(files, found, strict=True)]
    events = {
        str(place): [(row.onset, row.offset, row.event) for row in rows.itertuples()]
        for place, rows in ((place, truth[truth["clip"] == place]) for place in range(len(files)))
    }
    with tempfile.TemporaryDirectory() as folder:
        write_events(pd.concat(of_clips), folder, "sed_scores", lengths=files, names=names)
        scores = dict(io.read_sed_scores(folder).items())
    durations = dict(zip(events, lengths, strict=True))
    shared = {"unit_of_time": "hour", "max_efpr": 100.0}
    strict = {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_ct": 0.0, "alpha_st": 1.0}
    loose = {"dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3}
    loose |= {"alpha_ct": 0.5, "alpha_st": 1.0}
    return tuple(
        intersection_based.psds(scores, events, durations, **options, **shared)[0]
        for options in (strict, loose)
    )


def cells_as_events(table, options):
    """Return each cell of time as an event, whose scores PSDS needs without change detection."""
    cells, step = smoothed_cells(table, options)
    start = table.index.get_level_values("onset")[0]
    onsets = start + step * np.arange(len(cells))
    times = pd.MultiIndex.from_arrays([onsets, onsets + step], names=["onset", "offset"])
    scores = pd.DataFrame(cells, times, table.columns).stack().rename("score")
    return scores.rename_axis(["onset", "offset", "event"]).reset_index()


def measure(options, tables, truth, lengths):
    """Return the metrics of events found by `options`."""
    found = [find_events(table, **options) for table in tables]
    joined = pd.concat([t.assign(clip=i) for i, t in enumerate(found)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = {
            "segment F1": 100 * segment_f1(truth, joined, lengths),
            "event F1": 100 * event_f1(truth, joined),
        }
    smoothing = options.get("smoothing")
    if smoothing == "change":
        candidates = [find_events(t, **{**options, "threshold": -np.inf}) for t in tables]
    else:
        options = {"smoothing": smoothing, "filter_length": options.get("filter_length")}
        candidates = [cells_as_events(table, options) for table in tables]
    values = psds(candidates, truth, lengths, list(tables[0].columns))
    return row | dict(
        zip(("PSDS1", "PSDS2"), (100 * float(value) for value in values), strict=True)
    )


def ways(tagger, n_candidates=None):
    """Return the ways to find events.

    Each is a name, parameters of EventDetector, and whether labels with onsets are used.
    `n_candidates` limits the windows and lengths that are tried.
    """
    found = []
    for smoothing in (None, "median", "change"):
        what = smoothing or "no smoothing"
        options = {"smoothing": smoothing}
        found.append((f"weak labels, {what}", options, False))
        found += [
            (f"onsets ({metric}), {what}", {**options, "metric": metric}, True)
            for metric in METRICS
        ]
    if not tagger.network_.uses_onsets:
        return found
    of_events = {"medians": medians_of_events(n_candidates)}
    if isinstance(tagger.network_, FBCRNN):
        steps = STEPS[:n_candidates]
        boundary = {"smoothing": "boundary", "filter_length": steps, "per_event": True}
        windows = windows_and_medians(tagger.network_, n_candidates)
        of_events = {"windows and medians": windows, "boundaries": boundary}
    for masking in (False, True):
        what = ", masked" if masking else ""
        own = {"tag_masking": masking}
        if masking:
            found.append((f"weak labels, no smoothing{what}", own, False))
        for name, options in of_events.items():
            found += [
                (f"onsets ({metric}), {name}{what}", {**options, **own, "metric": metric}, True)
                for metric in METRICS
            ]
    return found


def medians_of_events(n_candidates=None):
    """Return the parameters of an EventDetector that chooses the median filter of each event."""
    return {"smoothing": "median", "filter_length": MEDIANS[:n_candidates], "per_event": True}


def windows_and_medians(network, n_candidates=None):
    """Return the parameters of one that also chooses the windows of each event."""
    # windows have an odd number of segments
    windows = [n // network.time_pooling | 1 for n in WINDOWS[:n_candidates]]
    return {**medians_of_events(n_candidates), "score_windows": windows}


def run(tagger, folder, done=(), n_candidates=None):
    """Yield a dict of results for each way to find events that is not done."""
    events = [str(event) for event in tagger.classes_]
    X_val, Y_val, strong_val, _ = read(folder, "validate", events)
    X, _, truth, lengths = read(folder, "eval", events)
    names = ("threshold 0.5", "thresholds of clips")
    if not set(names) <= set(done):
        tables = scores_in_time(tagger, X, *detection_windows(tagger, "auto", None))
        tuner = ThresholdTuner().fit(tagger.predict_proba(X_val), Y_val)
        clip_thresholds = dict(zip(events, tuner.thresholds_, strict=True))
        for name, options in zip(names, ({}, {"threshold": clip_thresholds}), strict=True):
            if name not in done:
                yield {"events from": name} | measure(options, tables, truth, lengths)
    for name, options, is_strong in ways(tagger, n_candidates):
        if name in done:
            continue
        start = time.perf_counter()
        detector = EventDetector(tagger, **options).fit(X_val, strong_val if is_strong else Y_val)
        row = {"events from": name}
        if is_strong:
            row["tuning (s)"] = time.perf_counter() - start
        yield row | measure(detector.options_, detector.predict_scores(X), truth, lengths)


def make_tagger(system, weights, epochs, seed, params):
    """Make a tagger that is not trained."""
    settings = {"max_epochs": epochs, "random_state": seed, "verbose": 0}
    if system == "walnet":
        tagger = WALNetTagger(**settings)
    elif system == "fbcrnn":
        tagger = AudioTagger(FBCRNN(), **settings)
    else:
        tagger = AudioTagger(init_from=weights, **settings)
    return tagger.set_params(**params)


def fit(tagger, folder, work=None):
    """Train a tagger on weak labels; in the folder `work`, it has checkpoints and is kept."""
    # of a clone, Ctrl-C ends the benchmark, too
    return keep(
        work, lambda callbacks: train(clone(tagger.set_params(callbacks=callbacks)), folder)
    )


def fit_second(stage, first, folder, epochs, work=None, n_candidates=None):
    """Train a second stage on what the first one finds; `work` as for :func:`fit`."""
    network, events = first.network_, [str(event) for event in first.classes_]
    X_val, _, onsets, _ = read(folder, "validate", events)
    options = {**windows_and_medians(network, n_candidates), "metric": "event_f1"}

    def fit(callbacks):
        detector = EventDetector(first, tag_masking=True, **options).fit(X_val, onsets)
        second = clone(first).set_params(max_epochs=epochs, callbacks=callbacks)
        if stage != "fbcrnn":
            sizes = {name: getattr(network, name) for name in SIZES}
            second.set_params(network=CRNN(**sizes, tag_conditioned=stage == "crnn-tags"))
        return train(StrongLabelTagger(detector, second), folder).estimator_

    return keep(work, fit)


def train(tagger, folder):
    """Train on the training clips; the epoch with the best validation mAP is kept."""
    db = load_database(folder / "scenes.json")
    X, Y = db.to_xy("balanced_train")
    X_val, Y_val = db.to_xy("validate", events=Y.columns)
    return tagger.fit(X, Y, X_val=X_val, Y_val=Y_val)


def keep(work, fit):
    """Call a function that trains a tagger with callbacks, unless the folder has its result."""
    if work is None:
        return fit(None)
    kept = work / "tagger.joblib"
    if kept.exists():
        return joblib.load(kept)
    tagger = fit([("checkpoint", Checkpoint(work, on_mismatch="raise"))]).set_params(callbacks=None)
    joblib.dump(tagger, kept.with_suffix(".part"))
    kept.with_suffix(".part").replace(kept)
    return tagger


def rows_done(path, about):
    """Return the ways to find events that have a row in the results."""
    if not path.exists():
        return set()
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {row["events from"] for row in rows if about.items() <= row.items()}


def work_folder(work, about):
    """Return the folder of a training in `work`; None: nothing is kept."""
    name = "{data}, {system}, {epochs} epochs, seed {seed}".format(**about)
    return None if work is None else work / re.sub(r"[^\w.=-]+", "_", name)


def read_setting(text):
    """Read a parameter of the tagger, such as ``lr=5e-4``."""
    name, _, value = text.partition("=")
    return name, json.loads(value)


def write_table(runs, path):
    """Write mean and spread over seeds."""
    lines = ["# Events in time", "", "Written by `bench_events.py`, which explains the protocol."]
    for (data, system, epochs), group in runs.groupby(["data", "system", "epochs"], sort=False):
        seeds = group["seed"].nunique()
        lines += ["", f"## {data}, {system}, {epochs} epochs, {seeds} seeds", ""]
        lines += [
            f"| events from | {' | '.join(MEASURES)} |",
            f"| --- |{' ---: |' * len(MEASURES)}",
        ]
        for name, rows in group.groupby("events from", sort=False):
            cells = [mean_and_spread(rows[key].mean(), rows[key].std()) for key in MEASURES]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=["walnet", "fine-tuned", "fbcrnn"])
    parser.add_argument("--weights", help="checkpoint that fine-tuning starts from")
    parser.add_argument("--data", default="scenes", choices=["scenes", "made"])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--set",
        nargs="+",
        type=read_setting,
        default=[],
        metavar="NAME=JSON",
        help="parameters of the tagger, such as network__time_pooling=2",
    )
    parser.add_argument(
        "--second-stage",
        choices=["crnn", "crnn-tags", "fbcrnn"],
        help="network of a second tagger, which learns from the events that the first one finds",
    )
    parser.add_argument("--second-epochs", type=int, default=15)
    parser.add_argument("--work", type=Path, help="folder that keeps checkpoints and taggers")
    parser.add_argument("--results", type=Path, default=HERE / "results_events.jsonl")
    parser.add_argument("--quick", action="store_true", help="a few made scenes")
    args = parser.parse_args()
    if args.system == "fine-tuned" and not args.weights:
        parser.error("fine-tuned needs --weights")
    if args.second_stage and args.system != "fbcrnn":
        parser.error("--second-stage is for fbcrnn")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if args.quick:
            args.data, args.epochs, args.second_epochs, args.seeds = "made", 1, 1, [0]
            args.results = folder / "results.jsonl"
            sizes = {"n_train": 12, "n_validate": 8, "n_eval": 8, "duration": 3.0}
            make_scenes(made, **sizes, sample_rate=8000, random_state=0, verbose=False)
        elif args.data == "made":
            if args.work is not None:  # checkpoints go on with the same files only
                folder = args.work / "made"
            if not (folder / "scenes.json").exists():
                make_scenes(folder, random_state=0, verbose=False)
        else:
            folder = Path(os.environ["SKTAGGER_DATA"]) / "scenes"
        system = (
            args.system if args.weights is None else f"{args.system}: {Path(args.weights).stem}"
        )
        if args.set:
            changed = " ".join(f"{name}={json.dumps(value)}" for name, value in args.set)
            system += f", {changed}"
        for seed in args.seeds:
            about = {"data": args.data, "system": system, "epochs": args.epochs, "seed": seed}
            tagger = make_tagger(args.system, args.weights, args.epochs, seed, dict(args.set))
            tagger = fit(tagger, folder, work_folder(args.work, about))
            n_candidates = 2 if args.quick else None
            if args.second_stage:
                second = f"second stage {args.second_stage}, {args.second_epochs} epochs"
                about["system"] += f", {second}"
                work = work_folder(args.work, about)
                given = args.second_stage, tagger, folder, args.second_epochs
                tagger = fit_second(*given, work, n_candidates)
            done = rows_done(args.results, about)
            with args.results.open("a", encoding="utf-8") as file:
                for row in run(tagger, folder, done, n_candidates):
                    print(json.dumps(about | row), flush=True)
                    file.write(json.dumps(about | row) + "\n")
                    file.flush()
        table = args.results.with_suffix(".md")
        write_table(pd.read_json(args.results, lines=True), table)
        print(table.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
