"""Measure the speed and memory of training and prediction, stage by stage.

The clips are noise: 10 s PCM16 WAV files at 44.1 kHz in a temporary directory. The network has 48
events. Each row is measured in a separate process. The row gives the number of PyTorch threads; one
more thread reads ahead.

Stages, in ms per clip and percent of a training step:

* ``decode``: read the file;
* ``waveform``: roll, center and scale it;
* ``stft``;
* ``features``: log-mel and its normalization;
* ``forward``, ``backward``: the network alone;
* ``optimizer``.

The loader computes the first three stages for the next batches while the network works on this one.
Batches are padded as in training (5 %).

``GFLOP/s`` of the network counts 3 x its multiplications and additions for forward and backward.
The ``ceiling`` is the speed of a product of two 3072 x 3072 matrices with the same precision and
threads, in the same process. ``copy`` is the bandwidth of copying 256 MB.

``train`` and ``predict`` start from files and include everything, after the first two batches.
``waiting`` is the percentage of training time in which the network waits for the loader. ``first
score`` is the time to score one clip with a tagger that was just loaded.

Memory is the peak of the process. The last table compares 1,000 and 20,000 clips of half a second.

Run it on a machine without other work. It writes results_speed.md::

    python benchmarks/bench_speed.py            # ten minutes on two cores
    python benchmarks/bench_speed.py --quick    # does it run? seconds, small sizes, no file

notes_speed.md lists what was tried, with expected and measured times.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RESULTS = Path(__file__).with_name("results_speed.md")
RATE = 44100
N_EVENTS = 48
MATRIX_SIZE = 3072


def peak_memory():
    """Return the peak memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def clock(function, n_repeats):
    """Return the median time of a call in seconds, after one call to warm up."""
    function()
    times = []
    for _ in range(n_repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def measure_stages(files, precision, n_repeats, batch_size):
    import torch
    from torch.nn import functional as F

    from sktagger import STFT, Augmentation
    from sktagger.audio._waveforms import roll
    from sktagger.audio.draws import draw_waveform
    from sktagger.audio.reading import Section, read_audio, to_mono
    from sktagger.audio.spectral import stft
    from sktagger.networks import WALNet
    from sktagger.networks._masking import Frames
    from sktagger.networks._walnet_layers import LAYERS

    sizes, rng = STFT().sizes(RATE), np.random.default_rng(0)
    waveform = read_audio(Section(files[0]), RATE)
    draw = draw_waveform(Augmentation(), rng, waveform.shape[1], sizes, RATE)
    stages = {
        "decode": clock(lambda: read_audio(Section(files[0]), RATE), 3 * n_repeats),
        "waveform": clock(lambda: to_mono(roll(waveform, 10_000, RATE)), 3 * n_repeats),
    }
    mono = to_mono(waveform)
    stages["stft"] = clock(lambda: stft(mono, draw.onsets, sizes), 3 * n_repeats)

    net = WALNet().build(N_EVENTS, precision=precision).train()
    length = sizes.n_frames(waveform.shape[1])
    spectra = torch.randn(batch_size, 1, length, sizes.n_bins, 2)
    n_frames = length - torch.arange(batch_size) * length // (20 * batch_size)
    warp = torch.exp(0.05 * torch.randn(batch_size, 2))
    targets = (torch.rand(batch_size, N_EVENTS) < 0.1).float()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    batch = {name: [] for name in ("features", "forward", "backward", "optimizer")}
    for _ in range(n_repeats + 1):
        times = [time.perf_counter()]
        x = net.features(spectra, n_frames, warp=warp)
        times.append(time.perf_counter())
        x = x.contiguous(memory_format=torch.channels_last)
        frames = Frames.of(n_frames, length)
        hidden, _ = net.cnn.hidden(x, frames, bfloat16=precision == "bfloat16")
        logits = net.cnn.convs[-1].conv(hidden)
        loss = F.binary_cross_entropy_with_logits(logits.mean((2, 3)), targets)
        times.append(time.perf_counter())
        optimizer.zero_grad()
        loss.backward()
        times.append(time.perf_counter())
        optimizer.step()
        times.append(time.perf_counter())
        for name, seconds in zip(batch, np.diff(times), strict=True):
            batch[name].append(seconds / batch_size)
    stages |= {name: float(np.median(times[1:])) for name, times in batch.items()}

    height, width, n_in, flop = 128, length, 1, 0
    for n_out, kernel, same, pool in LAYERS:
        if not same:
            height, width = height - 1, width - 1
        flop += 2 * n_in * n_out * kernel**2 * height * width
        n_in = n_out
        if pool:
            height, width = -(-height // 2), -(-width // 2)
    a = torch.randn(MATRIX_SIZE, MATRIX_SIZE, dtype=getattr(torch, precision))
    big = torch.randn(2**26)
    return {
        "stages": {name: 1e3 * seconds for name, seconds in stages.items()},
        "achieved": 3e-9 * flop / (stages["forward"] + stages["backward"]),
        "ceiling": 2e-9 * MATRIX_SIZE**3 / clock(lambda: a @ a, n_repeats),
        "copy": 2 * 4e-9 * len(big) / clock(big.clone, n_repeats),
    }


def measure_training(files, precision, n_repeats, batch_size):
    from skorch.callbacks import Callback

    from sktagger import WALNetTagger

    class Clock(Callback):
        def on_train_begin(self, net, **kwargs):
            self.begins, self.ends = [], []

        def on_batch_begin(self, net, **kwargs):
            self.begins.append(time.perf_counter())

        def on_batch_end(self, net, **kwargs):
            self.ends.append(time.perf_counter())

    X = files * (batch_size * (n_repeats + 2) // len(files) + 1)
    Y = np.random.default_rng(0).random((len(X), N_EVENTS)) < 0.1
    Y[0] = True
    watch = Clock()
    WALNetTagger(
        augmentation="reference",
        batch_size=batch_size,
        max_iterations=n_repeats + 2,
        precision=precision,
        callbacks=[watch],
        verbose=0,
        random_state=0,
    ).fit(X, Y)
    begins, ends = np.array(watch.begins), np.array(watch.ends)
    seconds = np.diff(ends)[1:]
    return {
        "clips_per_s": batch_size / np.mean(seconds),
        "spread": [batch_size / q for q in np.quantile(seconds, [0.75, 0.25])],
        "waiting": float((begins[2:] - ends[1:-1]).sum() / seconds.sum()),
        "memory": peak_memory(),
    }


def measure_prediction(files, precision, n_repeats, batch_size):
    tagger = fitted_tagger(files, precision, batch_size)
    tagger.predict_proba(files[:batch_size])
    times = []
    for _ in range(max(3, n_repeats // 3)):
        start = time.perf_counter()
        tagger.predict_proba(files)
        times.append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as directory:
        tagger.save(Path(directory) / "tagger")
        loaded = type(tagger).load(Path(directory) / "tagger").set_params(verbose=0)
    start = time.perf_counter()
    loaded.predict_proba(files[:1])
    first = time.perf_counter() - start
    return {
        "clips_per_s": len(files) / np.median(times),
        "spread": [len(files) / max(times), len(files) / min(times)],
        "first_ms": 1e3 * first,
        "later_ms": 1e3 * clock(lambda: loaded.predict_proba(files[:1]), n_repeats),
        "memory": peak_memory(),
    }


def fitted_tagger(files, precision, batch_size):
    from sktagger import WALNetTagger

    X = [files[i % len(files)] for i in range(N_EVENTS)]
    tagger = WALNetTagger(
        precision=precision, batch_size=1, max_iterations=1, verbose=0, random_state=0
    )
    return tagger.fit(X, np.eye(N_EVENTS, dtype=int)).set_params(batch_size=batch_size)


def measure_memory(files, precision, n_iterations, batch_size, n_clips, training):
    from sktagger import WALNetTagger

    starts = 20 * (np.arange(n_clips) % 1000)
    sections = [
        (files[i % len(files)], int(start), int(start) + RATE // 2)
        for i, start in enumerate(starts)
    ]
    X = np.empty(n_clips, dtype=object)
    X[:] = sections
    if training:
        Y = np.eye(N_EVENTS, dtype=bool)[np.arange(n_clips) % N_EVENTS]
        WALNetTagger(
            max_iterations=n_iterations, precision=precision, verbose=0, random_state=0
        ).fit(X, Y)
    else:
        fitted_tagger(files, precision, batch_size).predict_proba(X)
    return {"memory": peak_memory()}


MEASUREMENTS = {
    "stages": measure_stages,
    "train": measure_training,
    "predict": measure_prediction,
    "memory": measure_memory,
}


def in_a_process(what, n_threads, *arguments):
    """Measure in a separate process with the given number of threads."""
    command = [sys.executable, __file__, "--worker", json.dumps([what, *arguments])]
    environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def import_times(n_repeats):
    """Return the median wall time of fresh processes in seconds."""
    commands = {
        "import sktagger": ["-c", "import sktagger"],
        "from sktagger import WALNetTagger": ["-c", "from sktagger import WALNetTagger"],
        "sktagger --help": ["-m", "sktagger", "--help"],
    }
    return {
        name: clock(
            lambda c=command: subprocess.run(
                [sys.executable, *c], stdout=subprocess.DEVNULL, check=True
            ),
            n_repeats,
        )
        for name, command in commands.items()
    }


def report(files, threads, precisions, n_repeats, batch_size, n_iterations, sizes):
    """Yield the lines of the results."""
    for precision in precisions:
        for n in threads:
            row = in_a_process("stages", n, files, precision, n_repeats, batch_size)
            total = sum(row["stages"].values())
            yield f"\n## Stages, {precision}, {n} thread{'s' * (n > 1)}\n"
            yield "| stage | ms per clip | share % |\n| --- | ---: | ---: |"
            for name, ms in row["stages"].items():
                yield f"| {name} | {ms:.2f} | {100 * ms / total:.1f} |"
            yield (
                f"\nNetwork: {row['achieved']:.0f} GFLOP/s, ceiling {row['ceiling']:.0f}: "
                f"{100 * row['achieved'] / row['ceiling']:.0f} %. Copy: {row['copy']:.1f} GB/s."
            )
    yield "\n## From files, clips per second (quartiles, or range)\n"
    yield (
        "| precision | threads | train | waiting % | GB | predict | GB | first score, ms | later |"
        "\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for precision in precisions:
        for n in threads:
            train = in_a_process("train", n, files, precision, n_repeats, batch_size)
            predict = in_a_process("predict", n, files, precision, n_repeats, batch_size)
            cells = [
                "{clips_per_s:.1f} ({spread[0]:.1f} to {spread[1]:.1f})".format(**row)
                for row in (train, predict)
            ]
            yield (
                f"| {precision} | {n} | {cells[0]} | {100 * train['waiting']:.1f} | "
                f"{train['memory']:.2f} | {cells[1]} | {predict['memory']:.2f} | "
                f"{predict['first_ms']:.0f} | {predict['later_ms']:.0f} |"
            )
    yield (
        f"\n## Peak memory and number of clips, GB ({n_iterations} batches of training; "
        "all clips predicted)\n"
    )
    yield "| clips | training | prediction |\n| ---: | ---: | ---: |"
    for n_clips in sizes:
        cells = [
            in_a_process(
                "memory", 1, files, precisions[0], n_iterations, batch_size, n_clips, training
            )["memory"]
            for training in (True, False)
        ]
        yield f"| {n_clips} | {cells[0]:.2f} | {cells[1]:.2f} |"
    yield "\n## Imports\n\n| what | s |\n| --- | ---: |"
    for name, seconds in import_times(min(3, n_repeats)).items():
        yield f"| `{name}` | {seconds:.2f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, no file")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        what, *arguments = json.loads(args.worker)
        print(json.dumps(MEASUREMENTS[what](*arguments)))
        return
    import torch

    n_files, duration, load = 48, 10, (12, 24, 40, [1000, 20_000])
    if args.quick:
        args.threads, args.precisions = [1], ["float32"]
        n_files, duration, load = 4, 2, (1, 4, 2, [N_EVENTS])
    with tempfile.TemporaryDirectory() as directory:
        files = [str(Path(directory) / f"{i}.wav") for i in range(n_files)]
        for seed, file in enumerate(files):
            noise = 0.1 * np.random.default_rng(seed).standard_normal(duration * RATE)
            soundfile.write(file, noise, RATE, subtype="PCM_16")
        lines = [
            "# Speed and memory\n\nWritten by `bench_speed.py`, which explains the figures. "
            f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
            f"{os.cpu_count()} cores, {platform.system()}."
        ]
        print(lines[0])
        for line in report(files, args.threads, args.precisions, *load):
            print(line, flush=True)
            lines.append(line)
    if not args.quick:
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
