"""Measure memory and speed of scores along long recordings.

Makes a recording of HOURS at 48 kHz from noise, and scores it with `iter_scores`: by windows of
10 s, and by the segments of the network. Each run is a process of its own. Memory is its peak above
that after the imports and the first scores of a short recording. The last column compares some of
the windows with `predict_proba` of these sections of the recording.

    python benchmarks/bench_recordings.py WEIGHTS             # 12 hours, WALNet and WEIGHTS
    python benchmarks/bench_recordings.py - --hours 0.05      # WALNet only

WEIGHTS is a checkpoint of EfficientAT or PANNs. WALNet has random weights, which does not matter
here. The figures are printed as a table.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 48_000


def write_recording(path, hours):
    """Write noise whose level changes every minute."""
    rng = np.random.default_rng(0)
    minute = rng.uniform(-1, 1, 60 * RATE).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(round(60 * hours)):
            file.write(np.roll(minute, rng.integers(len(minute))) * rng.uniform(0.01, 0.9))


def make_tagger(weights, precision):
    from sktagger import AudioTagger, WALNetTagger

    if weights != "WALNet":
        return AudioTagger.from_checkpoint(weights, precision=precision, verbose=0)
    X = np.random.default_rng(0).standard_normal((4, 44_100))
    tagger = WALNetTagger(max_iterations=1, precision=precision, random_state=0, verbose=0)
    return tagger.fit(X, [["a"], ["b"], ["a", "b"], []])


def run(weights, precision, window, path):
    """Score the recording, and print the figures as JSON."""
    tagger = make_tagger(weights, precision)
    short = np.random.default_rng(0).uniform(-1, 1, 200 * RATE).astype(np.float32)
    for _ in tagger.iter_scores((short[: 30 * RATE], RATE), window):
        pass
    del short
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # noqa: E731
    before, start, cpu = peak(), time.perf_counter(), time.process_time()
    kept, n_scores = {}, 0
    for onset, offset, scores in tagger.iter_scores(path, window):
        n_scores += 1
        if n_scores % 500 == 3:
            kept[onset, offset] = scores
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = peak() - before
    difference = None
    if window is not None:
        sections = [
            (path, round(onset * RATE), round(offset * RATE)) for onset, offset in list(kept)[:20]
        ]
        again = tagger.predict_proba(sections)
        difference = float(np.abs(again - np.array(list(kept.values())[:20])).max())
    length = soundfile.info(path).duration
    print(
        json.dumps(
            {
                "MB": memory,
                "MB before": before,
                "seconds": seconds,
                "times real time": length / seconds,
                "times real time, CPU": length / cpu,
                "scores": n_scores,
                "difference": difference,
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="a checkpoint, or - for WALNet only")
    parser.add_argument("--hours", type=float, default=12)
    parser.add_argument("--format", default="wav")
    parser.add_argument("--precisions", nargs="+", default=["auto", "float32"])
    parser.add_argument("--windows", nargs="+", default=["10", "None"])
    parser.add_argument("--run", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        weights, precision, window, path = args.run
        run(weights, precision, None if window == "None" else float(window), path)
        return
    names = ["WALNet"] if args.weights == "-" else [args.weights, "WALNet"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"recording.{args.format}"
        write_recording(path, args.hours)
        print(
            f"{args.hours:g} h at 48 kHz, {args.format}\n\n"
            "| network | precision | window | MB above | MB before | s | times real time | per CPU "
            "| difference |\n| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
        )
        for name in names:
            for precision in args.precisions:
                for window in args.windows:
                    command = [sys.executable, __file__, "-", "--run", name, precision, window]
                    out = subprocess.run(
                        [*command, path], check=True, stdout=subprocess.PIPE, text=True
                    ).stdout
                    r = json.loads(out.splitlines()[-1])
                    unequal = "" if r["difference"] is None else f"{r['difference']:.1e}"
                    print(
                        f"| {Path(name).stem} | {precision} | {window} | {r['MB']:.0f} "
                        f"| {r['MB before']:.0f} | {r['seconds']:.0f} "
                        f"| {r['times real time']:.0f} | {r['times real time, CPU']:.0f} "
                        f"| {unequal} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
