"""Events in time from weak training: thresholds, medians and change detection.

Taggers that are trained on the weak labels of the scenes find events in the evaluation clips.
Everything is tuned on the validation clips, once with their onsets and once with their weak labels,
and the evaluation clips are used once. PSDS needs the package sed_scores_eval.

python benchmarks/bench_events.py --data DIR [--tagger FILE] [--quick]
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from sktagger import AudioTagger, ThresholdTuner, WALNetTagger, load_database
from sktagger.datasets import make_scenes, read_strong_labels
from sktagger.metrics import event_f1, segment_f1
from sktagger.recordings import EventDetector, find_events, write_events

METRICS = ("segment_f1", "event_f1")


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


def segments_as_events(table):
    """Return each segment as an event, whose scores PSDS needs without change detection."""
    scores = table.stack().rename("score").rename_axis(["onset", "offset", "event"])
    return scores.reset_index()


def measure(name, options, tables, truth, lengths):
    """Return a row of results on evaluation clips."""
    found = [find_events(table, **options) for table in tables]
    joined = pd.concat([t.assign(clip=i) for i, t in enumerate(found)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = {
            "events from": name,
            "segment F1": 100 * segment_f1(truth, joined, lengths),
            "event F1": 100 * event_f1(truth, joined),
        }
    names = list(tables[0].columns)
    if options.get("smoothing") == "change":
        candidates = [find_events(t, **{**options, "threshold": -np.inf}) for t in tables]
        row["PSDS1"], row["PSDS2"] = psds(candidates, truth, lengths, names)
    elif options.get("smoothing") is None:
        plain = [segments_as_events(table) for table in tables]
        row["PSDS1"], row["PSDS2"] = psds(plain, truth, lengths, names)
    return row


def run(name, tagger, folder):
    """Print a table of results for a tagger."""
    events = [str(event) for event in tagger.classes_]
    X_val, Y_val, strong_val, _ = read(folder, "validate", events)
    X, _, truth, lengths = read(folder, "eval", events)
    tables = tagger.predict_segments(X)
    tuner = ThresholdTuner().fit(tagger.predict_proba(X_val), Y_val)
    clip_thresholds = dict(zip(events, tuner.thresholds_, strict=True))
    rows = [
        measure("threshold 0.5", {}, tables, truth, lengths),
        measure("0.5, change", {"smoothing": "change"}, tables, truth, lengths),
        measure("clip thresholds", {"threshold": clip_thresholds}, tables, truth, lengths),
    ]
    for smoothing in (None, "median", "change"):
        weak = EventDetector(tagger, smoothing=smoothing).fit(X_val, Y_val)
        what = smoothing or "no smoothing"
        rows.append(measure(f"weak labels, {what}", weak.options_, tables, truth, lengths))
        for metric in METRICS:
            start = time.perf_counter()
            strong = EventDetector(tagger, smoothing=smoothing, metric=metric)
            strong.fit(X_val, strong_val)
            seconds = time.perf_counter() - start
            row = measure(f"onsets ({metric}), {what}", strong.options_, tables, truth, lengths)
            rows.append({**row, "filter (s)": strong.filter_length_, "tuning (s)": seconds})
    print(f"\n{name}: {len(X)} evaluation clips, tuned on {len(X_val)} validation clips\n")
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format, na_rep=""))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", metavar="DIR", help="folder with scenes/scenes.json")
    parser.add_argument("--tagger", help="saved tagger or experiment that knows the events")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a few made scenes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if options.quick:
            sizes = {"n_train": 12, "n_validate": 8, "n_eval": 8, "duration": 3.0}
            make_scenes(made, **sizes, sample_rate=8000, random_state=0, verbose=False)
            folder, epochs = Path(made), 1
        else:
            folder, epochs = Path(options.data) / "scenes", options.epochs
        if options.tagger:
            run(options.tagger, AudioTagger.load(options.tagger), folder)
            return
        db = load_database(folder / "scenes.json")
        X, Y = db.to_xy("balanced_train")
        X_val, Y_val = db.to_xy("validate", events=Y.columns)
        tagger = WALNetTagger(max_epochs=epochs, random_state=0, verbose=0)
        run("WALNet", tagger.fit(X, Y, X_val=X_val, Y_val=Y_val), folder)


if __name__ == "__main__":
    main()
