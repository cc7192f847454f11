"""Kill runs of `tag_files` over an archive at random moments, and compare the results.

Each run is a process of its own, which is killed at a random moment after it has read the tagger:
four times by SIGKILL, then by SIGTERM. The next run resumes. At last, a run ends by itself. The
results must be those of a run that was never interrupted: each file once, and parts that were
finished must not have been touched.

    python benchmarks/stress_archive.py              # 50 kills, a few minutes
    python benchmarks/stress_archive.py --quick
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import soundfile

from sktagger import WALNetTagger
from sktagger.recordings import read_results, tag_files

RATE = 8000
SETTINGS = {"kind": "windows", "window": 1.0, "files_per_part": 2, "verbose": 0}
RUN = """
import sys, joblib
from sktagger.recordings import tag_files
folder, n_jobs = sys.argv[1:]
tagger = joblib.load(folder + "/tagger.joblib")
print("begins", flush=True)
tag_files(
    tagger, folder + "/archive", folder + "/out", kind="windows",
    window=1.0, files_per_part=2, verbose=0, resume=True, n_jobs=int(n_jobs),
)
"""


def make_archive(folder, n_files):
    (folder / "archive").mkdir()
    rng = np.random.default_rng(0)
    for k in range(n_files):
        noise = rng.uniform(-0.5, 0.5, rng.integers(2, 20) * RATE)
        soundfile.write(folder / "archive" / f"r{k:03d}.wav", noise, RATE)
    (folder / "archive" / "empty.wav").write_bytes(b"")
    X = list(rng.standard_normal((4, RATE)))
    tagger = WALNetTagger(sample_rate=RATE, max_iterations=1, random_state=0, verbose=0)
    tagger.fit(X, [["a"], ["b"], ["a", "b"], []])
    joblib.dump(tagger, folder / "tagger.joblib")
    return tagger


def parts(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("out/part-*")}


def read(out):
    return read_results(out).sort_values(["file", "onset"], ignore_index=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.kills, args.files = 2, 12
    rng = random.Random(args.seed)
    report = {"kills": {"SIGKILL": 0, "SIGTERM": 0}, "ended by themselves": 0, "touched": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tagger = make_archive(folder, args.files)
        tag_files(tagger, folder / "archive", folder / "whole", **SETTINGS)
        command = [sys.executable, "-c", RUN, name, str(args.n_jobs)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        grown = 0
        for number in range(args.kills):
            before = parts(folder)
            with subprocess.Popen(
                command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as process:  # fmt: skip
                process.stdout.readline()
                time.sleep(rng.uniform(0, 1.5))
                word = "SIGTERM" if number % 5 == 4 else "SIGKILL"
                if process.poll() is None:
                    os.killpg(process.pid, getattr(signal, word))
                    report["kills"][word] += 1
                else:
                    report["ended by themselves"] += 1
                process.wait()
            after = parts(folder)
            grown += len(after) > len(before)
            report["touched"] += sum(after.get(part) != time_ for part, time_ in before.items())
        report["runs that finished parts"] = grown
        report["parts after the kills"] = len(parts(folder))
        kept = parts(folder)
        skipped = tag_files(tagger, folder / "archive", folder / "out", resume=True, **SETTINGS)
        report["touched"] += sum(parts(folder).get(part) != time_ for part, time_ in kept.items())
        report["parts at the end"] = len(parts(folder))
        pd.testing.assert_frame_equal(read(folder / "out"), read(folder / "whole"), atol=1e-6)
        report["files"] = int(read(folder / "out")["file"].nunique())
        report["rows equal those of the uninterrupted run"] = True
        report["unreadable files"] = len(skipped)
        report["files left over"] = sorted(
            path.name for path in (folder / "out").glob("*") if path.suffix == ".part"
        )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
