"""Measure the CPU time of pretrained networks beside that of their originals.

The originals are EfficientAT and PANNs. `_originals.py` has their computation in plain PyTorch.
Weights are random, and the same for both. The benchmark fails if their outputs differ.

Clips are noise of 10 s in memory. Each figure is the CPU time per clip in ms with one thread: the
minimum over repeats, in which both take turns. "front end" is all from the waveform to log-mel
features: here with NumPy and SciPy to the STFT, and PyTorch from there. "network" is the rest. The
ratio is that of the original's time to ours. Above 1, ours is faster.

With `--weights`, whole files are measured, too: `predict_proba` of a tagger on all clips of the
scenes, whose folder is in ``--data`` or $SKTAGGER_DATA. Decoding and resampling are included.
PyTorch and the loader use as many threads as the table says, each. Wall time depends on other work
on the machine, CPU time hardly does.

    python benchmarks/bench_cost.py --weights mn04_as_mAP_432.pt
    python benchmarks/bench_cost.py --quick    # does it run? seconds, no file

Results are written to results_cost.md.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from _data import read_scenes
from _originals import SAMPLE_RATE, Cnn14, KaldiFrontEnd, MobileNet, SlaneyFrontEnd
from torch import nn

from sktagger import AudioTagger
from sktagger.audio.edges import prepare
from sktagger.audio.spectral import frame_onsets, stft
from sktagger.networks import EfficientAT, PANNs

RESULTS = Path(__file__).with_name("results_cost.md")


def make_waveforms(n_clips, seconds):
    """Make noise with a different spectrum and level in each clip."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((n_clips, int(seconds * SAMPLE_RATE)))
    spectra = (
        np.fft.rfft(noise)
        * rng.uniform(0, 1, (n_clips, 16)).repeat(noise.shape[1] // 32 + 1, axis=1)[
            :, : noise.shape[1] // 2 + 1
        ]
    )
    return (np.fft.irfft(spectra) * np.logspace(-2, -1, n_clips)[:, None]).astype(np.float32)


class Constant(nn.Module):
    """A front end that takes no time."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, *args, **kwargs):
        """Return the features."""
        return self.features


class Ours:
    """Front end and network of the package."""

    def __init__(self, network, state):
        self.sizes = network.get_input().stft
        self.module = network.build(527)
        self.module.load_state_dict(network.convert(state))
        self.module.eval()
        self.front_name = "front" if isinstance(network, EfficientAT) else "log_mel"
        self.front = getattr(self.module, self.front_name)

    def transform(self, waveforms):
        """Compute STFTs."""
        sizes, n_samples = self.sizes, waveforms.shape[1]
        shape = len(waveforms), 1, sizes.n_frames(n_samples), sizes.n_bins, 2
        batch = np.zeros(shape, np.float32)
        for row, waveform in zip(batch, waveforms, strict=True):
            stft(prepare(waveform, sizes), frame_onsets(n_samples, sizes), sizes, out=row[0])
        return torch.from_numpy(batch)

    def front_end(self, waveforms):
        """Compute features."""
        x = self.transform(waveforms)
        arguments = (torch.full((len(x),), x.shape[2]),) if self.front_name == "front" else ()
        return self.front(x, *arguments)

    def logits(self, waveforms):
        """Compute logits from waveforms."""
        x = self.transform(waveforms)
        return self.module.clip_outputs("logits", x, torch.full((len(x),), x.shape[2]))

    def make_network(self, waveforms, precision):
        """Return a function that computes logits from features that are ready."""
        x = self.transform(waveforms)
        n_frames = torch.full((len(x),), x.shape[2])
        features = self.front_end(waveforms)

        def network():
            # measurements of several batch sizes and precisions share the module
            self.module.set_precision(precision)
            setattr(self.module, self.front_name, Constant(features))
            try:
                return self.module.clip_outputs("logits", x, n_frames)
            finally:
                setattr(self.module, self.front_name, self.front)
                self.module.set_precision("float32")

        return network


def make_pair(network, waveforms):
    """Make an original with random weights, and ours with the same ones."""
    torch.manual_seed(0)
    if isinstance(network, EfficientAT):
        front_end, original = KaldiFrontEnd(), MobileNet(network.width)
    else:
        front_end, original = SlaneyFrontEnd(network.build(1).log_mel.filters), Cnn14()
    # statistics of norms that fit the clips: outputs then depend on the clips
    norms = [part for part in original.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    original.train()(front_end(torch.from_numpy(waveforms)))
    return front_end, original.eval(), Ours(network, original.state_dict())


def check_equality(front_end, original, ours, waveforms):
    """Check that both compute the same, and return the largest difference of a score."""
    expected = original(front_end(torch.from_numpy(waveforms)))
    got = ours.logits(waveforms)
    spread = expected.std(0).mean()
    difference = (got - expected).abs().max()
    assert difference <= 1e-3 * spread, f"logits differ by {difference:.2g}, spread {spread:.2g}"
    return float((got.sigmoid() - expected.sigmoid()).abs().max())


def clock(functions, n_repeats):
    """Return the least CPU time of each function in seconds. The functions take turns."""
    times = np.empty((n_repeats, len(functions)))
    for function in functions:
        function()
    for row in times:
        for k, function in enumerate(functions):
            start = time.process_time()
            function()
            row[k] = time.process_time() - start
    return times.min(axis=0)


def networks_table(networks, batch_sizes, seconds, n_repeats):
    """Yield the lines of the table of networks."""
    yield "\n## Networks, ms of CPU per clip of 10 s, one thread\n"
    yield (
        "| network | batch | front end, original | ours | ratio | network, original | ours | ratio "
        "| ours in bfloat16 | all, ratio | largest difference of a score |"
    )
    yield "| --- |" + " ---: |" * 10
    for name, network in networks.items():
        everything = make_waveforms(max(2, *batch_sizes), seconds)
        front_end, original, ours = make_pair(network, everything)
        difference = check_equality(front_end, original, ours, everything)
        for size in batch_sizes:
            waveforms = everything[:size]
            tensor = torch.from_numpy(waveforms)
            features = front_end(tensor)
            functions = [
                lambda f=front_end, x=tensor: f(x),
                lambda o=ours, x=waveforms: o.front_end(x),
                lambda n=original, x=features: n(x),
                ours.make_network(waveforms, "float32"),
                ours.make_network(waveforms, "bfloat16"),
            ]
            times = 1000 * clock(functions, n_repeats) / size
            front, our_front, net, our_net, bfloat16 = times
            ratio = (front + net) / (our_front + our_net)
            yield (
                f"| {name} | {size} | {front:.1f} | {our_front:.1f} | {front / our_front:.2f} "
                f"| {net:.1f} | {our_net:.1f} | {net / our_net:.2f} | {bfloat16:.1f} "
                f"| {ratio:.2f} | {difference:.1g} |"
            )


def files_table(weights, X, threads):
    """Yield the lines of the table of whole files."""
    yield f"\n## Files: `predict_proba` of {Path(weights).name} on {len(X)} clips\n"
    yield "| threads | clips per s | ms of CPU per clip |\n| ---: | ---: | ---: |"
    for n in threads:
        torch.set_num_threads(n)
        tagger = AudioTagger.from_checkpoint(weights, n_jobs=n, verbose=0)
        tagger.predict_proba(X[:24])
        start, cpu = time.perf_counter(), time.process_time()
        tagger.predict_proba(X)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        yield f"| {n} | {len(X) / seconds:.1f} | {1000 * cpu / len(X):.1f} |"


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--weights", help="file of public weights, for the table of files")
    parser.add_argument("--data", type=Path, default=os.environ.get("SKTAGGER_DATA"))
    parser.add_argument("--networks", nargs="+", default=["mn04", "mn10", "cnn14"])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 12])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a small network, no file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    networks = {"mn04": EfficientAT(width=0.4), "mn10": EfficientAT(), "cnn14": PANNs()}
    networks = {name: networks[name] for name in args.networks}
    seconds = 10.0
    if args.quick:
        networks, seconds = {"mn01": EfficientAT(width=0.1)}, 1.0
        args.batch_sizes, args.repeats = [1, 2], 1
    lines = [
        "# Cost\n\nWritten by `bench_cost.py`, which explains the figures. "
        f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{os.cpu_count()} cores, {platform.system()}."
    ]
    print(lines[0])
    for line in networks_table(networks, args.batch_sizes, seconds, args.repeats):
        print(line, flush=True)
        lines.append(line)
    if args.weights and not args.quick:
        d = read_scenes(args.data)
        for line in files_table(args.weights, [*d.X, *d.X_val, *d.X_eval], [1, 2]):
            print(line, flush=True)
            lines.append(line)
    if not args.quick:
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
