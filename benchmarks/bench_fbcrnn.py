"""Measure the CPU time of FBCRNN beside that of the same network in plain PyTorch, and of WALNet.

The plain network is written as one reads it in the paper: `conv2d`, masked normalization in tensor
operations, `nn.GRU` on each direction, frames of a loss one by one in binary cross entropy. Weights
are random, and the same for both. The benchmark fails if their outputs differ.

Each figure is the CPU time per clip of 10 s in ms with one thread, from the STFT on: the minimum
over rounds, in which all take turns. Clips have equal lengths. "training" is forward and backward,
with the loss. Windows score every frame from the frames around it. The ratio is that of the plain
network's time to ours. Above 1, ours is faster.

    python benchmarks/bench_fbcrnn.py
    python benchmarks/bench_fbcrnn.py --quick    # does it run? seconds, no file

Results are written to results_fbcrnn.md.
"""

import argparse
import platform
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from sktagger.networks import FBCRNN, WALNet
from sktagger.networks._fbcrnn_layers import LAYOUTS

RESULTS = Path(__file__).with_name("results_fbcrnn.md")
N_EVENTS = 10


class MaskedNorm(nn.Module):
    """Normalize by the statistics of the valid frames, or by the running ones."""

    def __init__(self, shape, eps):
        super().__init__()
        self.eps = eps
        self.gamma, self.beta = (nn.Parameter(torch.empty(shape)) for _ in range(2))
        for name in ("num_tracked_values", "running_mean", "running_power"):
            self.register_buffer(name, torch.empty(shape))

    def forward(self, x, mask):
        """Normalize and apply the ReLU."""
        if self.training:
            axes = [axis for axis in range(x.ndim) if axis != 1]
            n = mask.expand_as(x[:, :1]).sum()
            mean = (x * mask).sum(axes, keepdim=True) / n
            power = (x**2 * mask).sum(axes, keepdim=True) / n
            variance = (power - mean**2).clamp(min=0)
            with torch.no_grad():
                self.num_tracked_values += n
                self.running_mean += 0.05 * (mean - self.running_mean)
                self.running_power += 0.05 * (power - self.running_power)
        else:
            n, mean = self.num_tracked_values, self.running_mean
            variance = (n / (n - 1) * self.running_power - mean**2).clamp(min=0) + self.eps
        x = (x - mean) / torch.sqrt(variance + self.eps)
        return torch.relu((x * self.gamma + self.beta) * mask)


class Layer(nn.Module):
    """Normalization, ReLU and convolution; the first layer of a stack has the latter only."""

    def __init__(self, n_in, n_out, kernel, n_axes, first):
        super().__init__()
        conv = nn.Conv2d if n_axes == 2 else nn.Conv1d
        self.conv = conv(n_in, n_out, kernel, padding=kernel // 2)
        self.norm = None if first else MaskedNorm((1, n_in, *[1] * n_axes), 1e-3)

    def forward(self, x, mask):
        """Compute the output of the layer."""
        return self.conv(x if self.norm is None else self.norm(x, mask))


class Skip(nn.Module):
    """The convolution of a residual connection."""

    def __init__(self, n_in, n_out, n_axes):
        super().__init__()
        self.conv = (nn.Conv2d if n_axes == 2 else nn.Conv1d)(n_in, n_out, 1)


class Stack(nn.Module):
    """Convolutions, poolings of mel bands and residual connections."""

    def __init__(self, n_in, channels, kernels, residuals, pools, n_axes):
        super().__init__()
        inputs = [n_in, *channels[:-1]]
        layers = zip(inputs, channels, kernels, strict=True)
        self.convs = nn.ModuleList(Layer(*sizes, n_axes, i == 0) for i, sizes in enumerate(layers))
        self.output_norm = MaskedNorm((1, channels[-1], *[1] * n_axes), 1e-3)
        self.residuals, self.pools = residuals, pools
        self.residual_skip_convs = nn.ModuleDict(
            {
                f"{start}->{end + 1}": Skip(inputs[start], channels[end], n_axes)
                for end, start in residuals.items()
                if inputs[start] != channels[end]
            }
        )

    def forward(self, x, mask):
        """Compute the output of the stack."""
        inputs = {}
        for i, layer in enumerate(self.convs):
            inputs[i] = x
            x = layer(x, mask)
            if i in self.residuals:
                start = self.residuals[i]
                name, skipped = f"{start}->{i + 1}", inputs[start]
                if name in self.residual_skip_convs:
                    skipped = self.residual_skip_convs[name].conv(skipped)
                x = x + skipped
            if i in self.pools:
                x = F.max_pool2d(x, (2, 1))
        return self.output_norm(x, mask)


class PlainDirection(nn.Module):
    """A GRU and its head."""

    def __init__(self, n_hidden):
        super().__init__()
        self.rnn = nn.GRU(n_hidden, n_hidden, 2, batch_first=True)
        self.output_net = nn.Module()
        layer = nn.Module()
        layer.conv = nn.Conv1d(n_hidden, n_hidden, 1)
        layer.norm = MaskedNorm((1, n_hidden, 1), 1e-3)
        self.output_net.convs = nn.ModuleList([layer])
        self.head = nn.Conv1d(n_hidden, N_EVENTS, 1)

    def forward(self, x, mask, backward):
        """Score each frame of clips of equal lengths."""
        x = x.transpose(1, 2)
        x = self.rnn(x.flip(1))[0].flip(1) if backward else self.rnn(x)[0]
        layer = self.output_net.convs[0]
        x = layer.norm(layer.conv(x.transpose(1, 2)), mask)
        return 1e-5 + (1 - 2e-5) * self.head(x).sigmoid()


class PlainFBCRNN(nn.Module):
    """The network in plain PyTorch, with the features of ours."""

    def __init__(self, depth, width, features):
        super().__init__()
        layout = LAYOUTS[depth]
        self.features = features
        channels = layout.widths(width)
        hidden = 256 * width
        self.cnn = nn.Module()
        self.cnn.cnn_2d = Stack(
            1, channels, layout.kernels_2d, layout.residuals_2d, layout.pools, 2
        )
        of_1d = [hidden] * len(layout.kernels_1d)
        self.cnn.cnn_1d = Stack(
            8 * channels[-1], of_1d, layout.kernels_1d, layout.residuals_1d, (), 1
        )
        self.rnn_fwd, self.rnn_bwd = PlainDirection(hidden), PlainDirection(hidden)

    def load(self, module):
        """Take the weights of our module."""
        state = dict(module.state_dict())
        parts = state.pop("classifier.weight").chunk(2, 1), state.pop("classifier.bias").unbind(1)
        for name, weight, bias in zip(("rnn_fwd", "rnn_bwd"), *parts, strict=True):
            state[f"{name}.head.weight"], state[f"{name}.head.bias"] = weight[..., None], bias
        own = {k: x for k, x in state.items() if not k.startswith("feature_extractor")}
        self.load_state_dict(own)
        return self

    def hidden(self, stft, n_frames):
        """Compute the features of frames."""
        x = self.features(stft, n_frames)
        mask = (torch.arange(x.shape[-1]) < n_frames[:, None]).float()[:, None]
        return self.cnn.cnn_1d(self.cnn.cnn_2d(x, mask[:, None]).flatten(1, 2), mask), mask

    def frame_scores(self, stft, n_frames):
        """Score frames in both directions."""
        x, mask = self.hidden(stft, n_frames)
        return self.rnn_fwd(x, mask, False), self.rnn_bwd(x, mask, True)

    def forward(self, stft, n_frames):
        """Score clips."""
        forward, backward = self.frame_scores(stft, n_frames)
        return (forward[..., -1] + backward[..., 0]) / 2

    def loss(self, stft, n_frames, targets):
        """Compute the loss of weak labels."""
        y = torch.maximum(*self.frame_scores(stft, n_frames))
        return F.binary_cross_entropy(y, targets[..., None].expand_as(y))

    def window_scores(self, x, width):
        """Score the window around each frame of features."""
        n_clips, _, n_frames = x.shape
        before = (width - 1) // 2
        windows = F.pad(x, (before, width - 1 - before)).unfold(2, width, 1)
        windows = windows.permute(0, 2, 1, 3).flatten(0, 1)
        mask = torch.ones(len(windows), 1, width)
        scores = (
            self.rnn_fwd(windows, mask, False)[..., -1] + self.rnn_bwd(windows, mask, True)[..., 0]
        )
        return (scores / 2).view(n_clips, n_frames, -1).transpose(1, 2)


def make_pair(n_frames, batch_size, **settings):
    """Make both networks with the same random weights and plausible statistics, and a batch."""
    generator = torch.Generator().manual_seed(0)
    network = FBCRNN(**settings)
    stft = torch.randn(batch_size, 1, n_frames, 513, 2, generator=generator)
    batch = stft, torch.full((batch_size,), n_frames)
    module = network.build(N_EVENTS)
    for part in module.norms:
        part.update_weight = 1.0
    module.train()(*batch)
    for part in module.norms:
        part.update_weight = 0.05
    plain = None
    if network.time_pooling == 1:
        plain = PlainFBCRNN(network.depth, network.width, module.features).load(module)
    return module, plain, batch


def check_equality(module, plain, batch, targets):
    """Fail if scores, losses or gradients of the networks differ."""
    for part in (module, plain):
        part.eval()
    with torch.no_grad():
        difference = (module(*batch) - plain(*batch)).abs().max().item()
    assert difference < 1e-4, f"scores differ by {difference:.2g}"
    losses = []
    for part, compute in ((module, our_loss), (plain, plain_loss)):
        part.train()
        module.feature_extractor.eval()  # else the second one gets other features
        losses.append(compute(part, batch, targets).item())
    assert abs(losses[0] - losses[1]) < 1e-4, f"losses are {losses}"
    return difference


def our_loss(module, batch, targets):
    _, likelihoods = module.training_outputs(*batch)
    return FBCRNN.criterion()(likelihoods, targets)


def plain_loss(plain, batch, targets):
    return plain.loss(*batch, targets)


def least_times(tasks, n_rounds):
    """Return the least CPU time of each task in seconds; they take turns."""
    times = {name: [] for name in tasks}
    for _ in range(n_rounds + 1):  # the first one warms up
        for name, task in tasks.items():
            start = time.process_time()
            task()
            times[name].append(time.process_time() - start)
    return {name: min(own[1:]) for name, own in times.items()}


def forward_task(module, batch):
    def task():
        module.eval()
        with torch.inference_mode():
            module(*batch)

    return task


def training_task(module, batch, compute, targets=None):
    def task():
        module.train()
        module.zero_grad()
        compute(module, batch, targets).backward()

    return task


def windows_task(module, features, *arguments):
    def task():
        module.eval()
        with torch.inference_mode():
            module.window_scores(features, *arguments)

    return task


def measure(n_frames, batch_size, n_rounds, deep):
    """Return the rows of the table, and the largest difference of a score."""
    targets = (
        torch.rand(batch_size, N_EVENTS, generator=torch.Generator().manual_seed(1)) < 0.2
    ).float()
    variants = {"shallow": {}, "shallow, a score every 40 ms": {"time_pooling": 2}}
    if deep:
        variants["deep, width 2"] = {"depth": "deep", "width": 2}
    tasks, worst = {}, 0.0
    walnet = WALNet().build(N_EVENTS)
    bins = walnet.n_bins
    of_walnet = torch.randn(batch_size, 1, n_frames, bins, 2), torch.full((batch_size,), n_frames)
    tasks["WALNet, forward", "ours"] = forward_task(walnet, of_walnet)
    tasks["WALNet, training", "ours"] = training_task(
        walnet, of_walnet, lambda module, batch, _: F.binary_cross_entropy(module(*batch), targets)
    )
    for name, settings in variants.items():
        module, plain, batch = make_pair(n_frames, batch_size, **settings)
        tasks[f"{name}, forward", "ours"] = forward_task(module, batch)
        tasks[f"{name}, training", "ours"] = training_task(module, batch, our_loss, targets)
        if plain is None:
            continue
        worst = max(worst, check_equality(module, plain, batch, targets))
        tasks[f"{name}, forward", "plain"] = forward_task(plain, batch)
        tasks[f"{name}, training", "plain"] = training_task(plain, batch, plain_loss, targets)
        if name != "shallow":
            continue
        module.eval()
        with torch.inference_mode():
            features, n_segments = module.segment_features(None, *batch)
        for width in (11, 51):
            row = f"shallow, windows of {width} frames without the convolutions"
            tasks[row, "ours"] = windows_task(module, features, n_segments, width)
            tasks[row, "plain"] = windows_task(plain, features, width)
    return least_times(tasks, n_rounds), worst


def write(times, worst, batch_size):
    """Make the table."""
    rows = dict.fromkeys(name for name, _ in times)
    lines = [
        "# FBCRNN",
        "",
        "Written by `bench_fbcrnn.py`, which explains what is measured.",
        "",
        f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"PyTorch {torch.__version__}, "
        f"batches of {batch_size}. Largest difference of a score: {worst:.1e}.",
        "",
        "| | ours (ms) | plain PyTorch (ms) | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        ours, plain = (
            None if own is None else 1000 * own / batch_size
            for own in (times.get((row, who)) for who in ("ours", "plain"))
        )
        cells = ("", "") if plain is None else (f"{plain:.0f}", f"{plain / ours:.2f}")
        lines.append(f"| {row} | {ours:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-deep", action="store_true", help="leave out the deep network")
    parser.add_argument("--quick", action="store_true", help="short clips, no file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.quick:
        print(write(*measure(40, 2, 1, deep=True), 2))
        return
    table = write(*measure(500, args.batch_size, args.rounds, not args.no_deep), args.batch_size)
    print(table)
    RESULTS.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
