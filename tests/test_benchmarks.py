"""Each benchmark runs, on small sizes; its figures are not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark  # .ci/run runs these; plain pytest does not

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

# the options that make each one quick, and a word that it prints
QUICK = {
    "bench_accuracy.py scenes": ("--quick", "mAP of the rarer half"),
    "bench_accuracy.py esc10": ("--quick", "validation accuracy"),
    "bench_baseline.py": ("--quick", "logistic regression"),
    "bench_cost.py": ("--quick", "largest difference of a score"),
    "bench_cross_validation.py": ("--quick", "published"),
    "bench_distillation.py": ("--quick", "labels + decisions"),
    "bench_events.py walnet": ("--quick", "onsets (event_f1), change"),
    "bench_events.py fbcrnn": ("--quick", "onsets (event_f1), boundaries, masked"),
    "bench_events.py fbcrnn --second-stage crnn-tags": ("--quick", "(event_f1), medians, masked"),
    "bench_fbcrnn.py": ("--quick", "windows of 51 frames"),
    "bench_few_labels.py": ("--quick", "from scratch"),
    "bench_metrics.py": ("--clips 200 --events 20 --repeats 1", "scikit-learn"),
    "bench_nearest.py": ("--quick", "precision at 10"),
    "bench_recordings.py -": ("--hours 0.02 --windows 10 --precisions float32", "times real time"),
    "bench_review.py": ("--quick", "suspicious_labels"),
    "bench_robustness.py": ("--quick", "loudest 1 s"),
    "bench_speed.py": ("--quick", "sktagger --help"),
    "bench_splitter.py": ("--clips 500 --events 20", "GroupKFold"),
    "bench_thresholds.py": ("--quick --families binormal rounded", "regret"),
    "bench_transfer.py - scenes": ("--quick", "validation mAP"),
    "bench_transfer.py - esc10": ("--quick", "fine-tuned"),
    "import_graph.py": ("", "circles"),
}


def run(arguments, timeout=300):
    script, *options = arguments.split()
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def results_are_kept():
    """No quick run touches the results that are in the repository."""
    before = {path: path.read_bytes() for path in BENCHMARKS.glob("results_*")}
    yield
    assert {path: path.read_bytes() for path in BENCHMARKS.glob("results_*")} == before


@pytest.mark.parametrize("name", QUICK)
def test_benchmark_runs(name):
    options, word = QUICK[name]
    assert word in run(f"{name} {options}")


def test_each_benchmark_is_run():
    scripts = {path.name for path in BENCHMARKS.glob("[!_]*.py")}
    scripts = {name for name in scripts if not name.startswith("stress_")}
    assert scripts == {name.split()[0] for name in QUICK}


def test_trainings_survive_interruptions_at_random_moments():
    report = json.loads(run("stress_interruptions.py --quick"))
    assert report["tries"] == dict.fromkeys(["SIGKILL", "SIGTERM", "SIGINT", "full disk"], 1)
    assert report["weights equal those of the uninterrupted training"]


def test_archives_survive_kills_at_random_moments():
    report = json.loads(run("stress_archive.py --quick"))
    assert report["files"] == 12
    assert report["touched"] == 0
    assert report["rows equal those of the uninterrupted run"]
