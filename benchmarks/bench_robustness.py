"""Measure what levels, lengths and padding of clips do to a network that knows AudioSet.

Data are those of ESC-10, in $SKTAGGER_DATA or `--data`: 400 clips of 5 s. Each row of the table is
a treatment of the waveforms at 32 kHz.

zero-shot
    The scores of AudioSet's events, as `map_classes` gives them. All clips are tested.
probe
    Logistic regression with C=0.1 on standardized embeddings. Each of the five published folds is
    the test fold once, the fold after it is not used, and the other three are for training. "same":
    trained on clips of the same treatment. "as is": trained on clips as they are.
mean, max
    Of the absolute change of the 527 scores.

    python benchmarks/bench_robustness.py WEIGHTS
    python benchmarks/bench_robustness.py --quick    # does it run? seconds, no file

Figures are in percent, and those of probes are the mean +- standard deviation over folds. They are
written to results_robustness.md and results_robustness.jsonl.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from _data import mean_and_spread, read_esc10
from _quick_data import write_quick_data, write_quick_weights
from bench_transfer import AUDIOSET
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktagger import AudioEmbedding, AudioTagger
from sktagger.audio import Section, read_audio
from sktagger.audio.reading import to_mono
from sktagger.metrics import mean_average_precision

RESULTS = Path(__file__).with_name("results_robustness.md")
RATE = 32_000
QUICK_EVENTS = {"dog": "Bark", "rain": "Rain"}


def zeros(x, seconds):
    """Append zeros."""
    return np.pad(x, (0, max(0, seconds * RATE - len(x))))


def repeated(x, seconds):
    """Repeat a waveform up to a length."""
    return np.resize(x, seconds * RATE)


def loudest(x):
    """Cut out the second with the highest energy."""
    energy = np.cumsum(np.concatenate([[0.0], np.square(x, dtype=float)]))
    onset = int(np.argmax(energy[RATE:] - energy[:-RATE])) if len(x) > RATE else 0
    return x[onset : onset + RATE]


TREATMENTS = {
    "as is": lambda x: x,
    "zeros to 10 s": lambda x: zeros(x, 10),
    "repeated to 10 s": lambda x: repeated(x, 10),
    "peak normalized": lambda x: to_mono(x[np.newaxis]),
    "-20 dB": lambda x: np.float32(0.1) * x,
    "loudest 1 s": loudest,
    "loudest 1 s, zeros to 10 s": lambda x: zeros(loudest(x), 10),
    "loudest 1 s, repeated to 5 s": lambda x: repeated(loudest(x), 5),
    "loudest 1 s, repeated to 10 s": lambda x: repeated(loudest(x), 10),
}


def measure(weights, data, treatments, mapping):
    """Yield the figures of each treatment."""
    d = read_esc10(data)
    events = np.unique(d.labels)
    right = d.labels[:, np.newaxis] == events
    waveforms = [to_mono(read_audio(Section(str(path)), RATE), "raw") for path in d.paths]
    tagger = AudioTagger.from_checkpoint(weights, verbose=0)
    mapped = tagger.map_classes({event: mapping[event] for event in events})
    embedding = AudioEmbedding(tagger, verbose=0)
    columns = [tagger.classes_.tolist().index(mapping[event]) for event in events]
    plain = None
    for name in treatments:
        clips = [TREATMENTS[name](waveform) for waveform in waveforms]
        scores, E = tagger.predict_proba(clips), embedding.transform(clips)
        if plain is None:
            plain = scores, E
            np.testing.assert_allclose(mapped.predict_proba(clips[:8]), scores[:8, columns], 1e-5)
        change = np.abs(scores - plain[0])
        run = {
            "input": name,
            "zero-shot accuracy": float(np.mean(scores[:, columns].argmax(1) == right.argmax(1))),
            "zero-shot mAP": mean_average_precision(right, scores[:, columns]),
            "mean change": float(change.mean()),
            "max change": float(change.max()),
        }
        for source, features in {"same": E, "as is": plain[1]}.items():
            accuracies = []
            for fold in range(5):
                train, _, test = d.split(fold)
                probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
                probe.fit(features[train], d.labels[train])
                accuracies.append(float(probe.score(E[test], d.labels[test])))
            run[f"probe, {source}"] = accuracies
        yield run


def row(run):
    """Format a row of the table."""
    zero_shot = [f"{100 * run[f'zero-shot {name}']:.1f}" for name in ("accuracy", "mAP")]
    probes = [100 * np.array(run[f"probe, {source}"]) for source in ("same", "as is")]
    probes = [mean_and_spread(p.mean(), p.std(ddof=1)) for p in probes]
    change = [f"{run['mean change']:.4f}", f"{run['max change']:.2f}"]
    return "| " + " | ".join([run["input"], *zero_shot, *probes, *change]) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("weights", nargs="?", help="file of EfficientAT's weights")
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--quick", action="store_true", help="synthetic clips, no file")
    args = parser.parse_args()
    treatments, mapping = list(TREATMENTS), AUDIOSET
    with tempfile.TemporaryDirectory() as folder:
        if args.quick:
            write_quick_data(folder)
            args.data, args.weights = folder, write_quick_weights(folder)
            treatments, mapping = ["as is", "-20 dB", "loudest 1 s"], QUICK_EVENTS
        elif args.weights is None or args.data is None:
            parser.error("WEIGHTS, and --data or $SKTAGGER_DATA are needed")
        names = ["zero-shot accuracy", "mAP", "probe, same", "probe, as is", "mean", "max"]
        lines = [
            "# Robustness\n\nWritten by `bench_robustness.py`, which explains the protocol.\n",
            f"## ESC-10, {Path(args.weights).name}\n",
            "| input | " + " | ".join(names) + " |",
            "| --- |" + " ---: |" * len(names),
        ]
        print("\n".join(lines))
        runs = []
        for run in measure(args.weights, args.data, treatments, mapping):
            runs.append(run)
            lines.append(row(run))
            print(lines[-1], flush=True)
    if not args.quick:
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
        text = "".join(json.dumps(run) + "\n" for run in runs)
        RESULTS.with_suffix(".jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
