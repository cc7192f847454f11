"""Does a training survive being interrupted again and again, at random moments?

A small training runs once without interruption. The same training is then begun, killed, resumed,
killed, ... until it was interrupted `--kills` times, and then left to end. Each interruption is
drawn from SIGKILL, SIGTERM, SIGINT (Ctrl-C) and a full disk (a limit on the size of files, which
makes the next checkpoint fail), at a random moment after the start. After each one:

* the checkpoints that are there load, and stand no further back than before;
* no more than one partial file lies about for each checkpoint.

In the end the weights must be those of the uninterrupted training, bit for bit.

    python benchmarks/stress_interruptions.py --kills 60
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
    """Train in a process of its own."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's & turns off
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
    """Start, interrupt after some seconds, and say how the process ended."""
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
    """Epochs of the latest checkpoint; 0 if there is none. Fails if one does not load."""
    checkpoints = directory / "checkpoints"
    partial = list(directory.rglob("*.part"))
    assert len(partial) <= 2, partial
    if not (checkpoints / "latest.pt").exists():
        return 0
    load_checkpoint(checkpoints / "best.pt")
    return load_checkpoint(checkpoints / "latest.pt")["plan"]["epoch"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--longest", type=float, default=2.5, help="epochs until a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(args.seed)
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sizes = {"n_train": 12, "n_validate": 8, "n_eval": 1}
        db = make_scenes(folder, **sizes, duration=1.0, sample_rate=8000, random_state=0)
        settings = SETTINGS | {"max_epochs": args.epochs}
        start = time.perf_counter()
        whole = train(db.path, storage_root=folder / "whole", settings=settings)
        arguments = {"database": db.path, "storage_root": folder / "part", "settings": settings}
        longest = args.longest * (time.perf_counter() - start) / args.epochs
        tries, ends, lost, before = Counter(), Counter(), 0, 0
        directory = None
        for _ in tqdm(range(args.kills), unit="kill"):
            kind = rng.choice(KINDS)
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
        ended = [load_checkpoint(path / "checkpoints" / "latest.pt") for path in (whole, directory)]
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
