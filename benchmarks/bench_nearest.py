"""Measure the search for similar windows in an archive: time, memory, and what it finds.

Speed: results of an archive of 1,000,000 windows with random embeddings are written as `tag_files`
writes them, in parts of 50,000 rows, and searched by `nearest`. Each search is a process of its
own; beside its time is the CPU time of all threads, which other work on the machine hardly changes.
Memory is its peak above that after a search in a small archive, so it has no imports. Results of a
tenth of the windows show whether it grows.

What it finds: the clips of ESC-10 are tagged by WEIGHTS with embeddings, and each one is the query
once. Precision at 10 is the share of clips of its class among the ten nearest other clips. Clips of
a fold may come from the same recording, so it is also computed without clips of the fold of the
query. Chance is the share of clips of the class among those that could be found. "kept" is the
share of the ten nearest clips that embeddings in float32 have, too. CPU times are those of
`tag_files` without and with embeddings, for the same clips, one after the other.

    python benchmarks/bench_nearest.py                     # speed; minutes, 1 GB of disk
    python benchmarks/bench_nearest.py WEIGHTS --data DIR  # ESC-10, too
    python benchmarks/bench_nearest.py --quick             # does it run? no file

DIR is the folder with esc10/esc10.json, or $SKTAGGER_DATA. Results are written to
results_nearest.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _data import read_esc10
from _quick_data import write_quick_data, write_quick_weights

from sktagger import AudioEmbedding, AudioTagger
from sktagger.recordings import nearest, tag_files
from sktagger.recordings._results import Version, to_table, write_part

RESULTS = Path(__file__).with_name("results_nearest.md")
PART = 50_000  # rows
PER_FILE = 100  # rows
K = 10


def write_archive(folder, n_rows, n_features):
    """Write results with random embeddings, and return their size in bytes."""
    folder.mkdir()
    settings = {"format": 1, "model": "", "kind": "windows", "embeddings": True}
    (folder / "manifest.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    for first in range(0, n_rows, PART):
        rows = np.arange(first, min(first + PART, n_rows))
        onsets = 10.0 * (rows % PER_FILE)
        files = [f"archive/{number:06d}.flac" for number in rows // PER_FILE]
        table = pd.DataFrame({"file": files, "onset": onsets, "offset": onsets + 10})
        embeddings = rng.standard_normal((len(rows), n_features), np.float32)
        versions = dict.fromkeys(files, Version())
        write_part(folder, to_table(table, embeddings.astype(np.float16)), versions, {})
    return sum(path.stat().st_size for path in folder.iterdir())


def search(folder, small, n_features, n_queries, metric, per_file):
    """Search, and print time and memory as JSON."""
    queries = np.random.default_rng(1).standard_normal((n_queries, n_features))
    settings = {"k": K, "metric": metric, "per_file": per_file}
    nearest(small, queries, **settings)
    before, start, cpu = peak(), time.perf_counter(), time.process_time()
    found = nearest(folder, queries, **settings)
    assert len(found) == K * n_queries
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"s": seconds, "CPU": cpu, "MB": peak() - before, "all MB": peak()}))


def peak():
    """Return the peak of this process's memory in MB; that of Linux's getrusage may be older."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


def measure_speed(sizes, dimensions, place):
    """Return a table of time and memory."""
    lines = [
        "| windows | features | GB on the disk | queries | metric | per_file | s | CPU s "
        "| MB above | MB, all |\n"
        "| ---: | ---: | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |"
    ]
    for n_features in dimensions:
        small = place / f"small-{n_features}"
        write_archive(small, 20, n_features)
        for n_rows in sizes:
            folder = place / f"{n_rows}-{n_features}"
            size = write_archive(folder, n_rows, n_features)
            for n_queries, metric, per_file in (
                (1, "cosine", False),
                (1, "euclidean", False),
                (1, "cosine", True),
                (100, "cosine", False),
            ):
                if n_rows < max(sizes) and (n_queries, metric) != (1, "cosine"):
                    continue
                arguments = [folder, small, n_features, n_queries, metric, int(per_file)]
                out = subprocess.run(
                    [sys.executable, __file__, "--search", *map(str, arguments)],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                ).stdout
                r = json.loads(out.splitlines()[-1])
                lines.append(
                    f"| {n_rows:,} | {n_features} | {size / 1e9:.2f} | {n_queries} | {metric} "
                    f"| {'yes' if per_file else 'no'} | {r['s']:.1f} | {r['CPU']:.1f} "
                    f"| {r['MB']:.0f} | {r['all MB']:.0f} |"
                )
                print(lines[-1], flush=True)
            for path in folder.iterdir():
                path.unlink()
    return "\n".join(lines)


def measure_precision(weights, data, place):
    """Return a table of precisions for ESC-10."""
    clips = read_esc10(data)
    paths = [str(path) for path in clips.paths]
    labels = dict(zip(paths, clips.labels, strict=True))
    folds = dict(zip(paths, clips.folds, strict=True))
    tagger = AudioTagger.from_checkpoint(weights, precision="float32", verbose=0)
    seconds = []
    for embeddings in (False, True):
        out = place / f"esc10-{embeddings}"
        start = time.process_time()
        tag_files(tagger, paths, out, kind="clips", embeddings=embeddings, verbose=0)
        seconds.append(time.process_time() - start)
    vectors = AudioEmbedding(tagger, verbose=0).transform(paths).astype(np.float64)
    of_class = clips.labels[:, np.newaxis] == clips.labels
    others = ~np.eye(len(paths), dtype=bool)
    elsewhere = clips.folds[:, np.newaxis] != clips.folds
    lines = [
        f"| metric | among | precision at {K} | chance | kept |\n| --- | --- | ---: | ---: | ---: |"
    ]
    for metric in ("cosine", "euclidean"):
        expected = nearest_in_memory(vectors, metric)
        for what, allowed in (("all other clips", others), ("other folds", elsewhere)):
            chance = np.mean([row[ok].mean() for row, ok in zip(of_class, allowed, strict=True)])
            hits, kept = [], []
            for path, mine, ok in zip(paths, expected, allowed, strict=True):
                found = nearest(out, path, len(paths), metric=metric)["file"]
                if what == "other folds":
                    found = found[[folds[file] != folds[path] for file in found]]
                found = list(found)[:K]
                hits += [labels[file] == labels[path] for file in found]
                wanted = [paths[i] for i in mine if ok[i]][:K]
                kept.append(len(set(wanted) & set(found)) / len(wanted))
            lines.append(
                f"| {metric} | {what} | {np.mean(hits):.3f} | {chance:.3f} | {np.mean(kept):.4f} |"
            )
            print(lines[-1], flush=True)
    lines.append(
        f"\n`tag_files` of {len(paths)} clips: {seconds[0]:.1f} s of CPU without embeddings, "
        f"{seconds[1]:.1f} s with them."
    )
    return "\n".join(lines)


def nearest_in_memory(vectors, metric):
    """Return positions of clips for each clip, nearest first."""
    if metric == "cosine":
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        distances = -unit @ unit.T
    else:
        distances = np.square(vectors[:, np.newaxis] - vectors).sum(axis=2)
    return np.argsort(distances, axis=1, kind="stable")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", nargs="?", help="a checkpoint, such as mn04_as_mAP_432.pt")
    parser.add_argument("--data", default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="small sizes, no file")
    parser.add_argument("--search", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.search:
        folder, small, n_features, n_queries, metric, per_file = args.search
        search(folder, small, int(n_features), int(n_queries), metric, per_file == "1")
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if args.quick:
            write_quick_data(place)
            args.data, args.weights, args.rows = place, write_quick_weights(place), 20_000
        dimensions = (16,) if args.quick else (128, 512)
        speed = measure_speed([args.rows // 10, args.rows], dimensions, place)
        text = (
            "# Search in an archive\n\nWritten by `bench_nearest.py`, which explains the figures. "
            f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
            f"{os.cpu_count()} cores, {torch.get_num_threads()} thread(s), "
            f"{platform.system()}.\n\n## Speed and memory\n\n{speed}\n"
        )
        if args.weights:
            found = measure_precision(args.weights, args.data, place)
            text += f"\n## ESC-10, {Path(args.weights).name}\n\n{found}\n"
    if args.quick:
        print(text)
    else:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
