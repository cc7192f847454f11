"""Check that a training survives repeated interruptions at random moments.

First, a small training runs without interruption. Then the same training is started, killed and
resumed, again and again, until it has been interrupted `--kills` times. It is resumed once more and
runs to its end. The kind of each interruption is random: SIGKILL, SIGTERM, SIGINT (Ctrl-C), or a
full disk (simulated by a limit on file sizes, so that writing the next checkpoint fails). It comes
at a random moment after the start. After each interruption:

* all checkpoints load, and none is older than before;
* there is at most one partial file per checkpoint.

In the end, the weights are those of the uninterrupted training, bit for bit.

    python benchmarks/stress_interruptions.py --kills 60
    python benchmarks/stress_interruptions.py --quick    # four interruptions, less than a minute
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from tqdm import tqdm

from sktagger.commands.train import train
from sktagger.datasets.scenes import make_scenes
from sktagger.training.callbacks import load_checkpoint

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "random_state": 0, "verbose": 0}
KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "full disk")


def run(arguments, full_disk, begun):
    """Train. This is the main function of a child process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & disables it
    log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 2)
    if full_disk:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    begun.set()
    try:
        train(**arguments)
    except OSError as error:
        sys.exit(3 if "cannot be written" in str(error) else 4)
    except KeyboardInterrupt:
        sys.exit(130)


def interrupt(context, arguments, kind, seconds):
    """Start a training, interrupt it after some seconds, and return how the process ended."""
    begun = context.Event()
    process = context.Process(target=run, args=(arguments, kind == "full disk", begun))
    process.start()
    begun.wait()
    if kind == "full disk":
        process.join(120)
    else:
        time.sleep(seconds)
        if process.is_alive():
            os.kill(process.pid, getattr(signal, kind))
        process.join(120)
    if process.is_alive():
        process.kill()
        return "hangs"
    return process.exitcode


def state(directory):
    """Return the epoch of the latest checkpoint, or 0. Fail if a checkpoint does not load."""
    checkpoints = directory / "checkpoints"
    partial = list(directory.rglob("*.part"))
    assert len(partial) <= 2, partial
    if not (checkpoints / "latest.safetensors").exists():
        return 0
    load_checkpoint(checkpoints / "best.safetensors")
    return load_checkpoint(checkpoints / "latest.safetensors")["plan"]["epoch"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument(
        "--longest", type=float, default=2.5, help="most epochs before an interruption"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--quick", action="store_true", help="one interruption of each kind, 12 epochs"
    )
    args = parser.parse_args()
    kinds = None
    if args.quick:
        kinds, args.kills, args.epochs = KINDS, len(KINDS), 12
    torch.set_num_threads(1)
    rng = random.Random(args.seed)
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sizes = {"n_train": 12, "n_validate": 8, "n_eval": 1}
        db = make_scenes(
            folder, **sizes, duration=1.0, sample_rate=8000, random_state=0, verbose=False
        )
        settings = SETTINGS | {"max_epochs": args.epochs}
        start = time.perf_counter()
        whole = train(db.path, storage_root=folder / "whole", settings=settings)
        arguments = {"database": db.path, "storage_root": folder / "part", "settings": settings}
        longest = args.longest * (time.perf_counter() - start) / args.epochs
        tries, ends, lost, before = Counter(), Counter(), 0, 0
        directory = None
        for number in tqdm(range(args.kills), unit="kill"):
            kind = kinds[number] if kinds else rng.choice(KINDS)
            end = interrupt(context, arguments, kind, rng.uniform(0, longest))
            tries[kind] += 1
            ends[f"{kind}: {end}"] += 1
            experiments = sorted((folder / "part" / "audio_tagging").glob("*/config.json"))
            if not experiments:
                continue
            directory = experiments[-1].parent
            arguments = {"resume": directory}
            now = state(directory)
            lost += now < before
            before = max(before, now)
        interrupted_at = before
        train(resume=directory)
        ended = [
            load_checkpoint(path / "checkpoints" / "latest.safetensors")
            for path in (whole, directory)
        ]
        same = all(torch.equal(ended[0]["model"][key], x) for key, x in ended[1]["model"].items())
        n_partial = len(list(directory.rglob("*.part")))
    report = {
        "tries": dict(tries),
        "ends (exit status; negative: by that signal)": dict(sorted(ends.items())),
        "epochs of all, at the last interruption": [args.epochs, interrupted_at],
        "checkpoints lost": lost,
        "partial files left": n_partial,
        "weights equal those of the uninterrupted training": same,
    }
    print(json.dumps(report, indent=1))
    sys.exit(not same or lost > 0 or n_partial > 0 or any("hangs" in end for end in ends))


if __name__ == "__main__":
    main()
