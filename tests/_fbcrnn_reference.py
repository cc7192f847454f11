"""Names, shapes and weights of checkpoints of pb_sed's FBCRNN, and its published numbers.

It follows the published settings, and imports nothing from the package.
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from _reference import mel_filterbank

# (channels, kernel sizes, kernel sizes of the 1-d stack, residual connections of both stacks)
SHALLOW = ([16, 16, 32, 32, 64, 64, 128, 128, 256], [3] * 9, [1, 3, 3, 3, 1], [], [])
DEEP = (
    [16] * 4 + [32] * 4 + [64] * 4 + [128] * 4 + [256, 256],
    [3, 1] * 9,
    [1, 3, 1, 3, 1, 3, 1, 1],
    [(2, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14), (14, 16)],
    [(1, 3), (3, 5), (5, 7)],
)
STATISTICS = ("num_tracked_values", "running_mean", "running_power")


def norm_shapes(name, shape):
    return {f"{name}.{part}": shape for part in ("gamma", "beta", *STATISTICS)}


def stack_shapes(name, n_in, channels, kernels, residuals, n_axes):
    shapes = {}
    inputs = [n_in, *channels[:-1]]
    for i, (own, n_out, kernel) in enumerate(zip(inputs, channels, kernels, strict=True)):
        shapes[f"{name}.convs.{i}.conv.weight"] = (n_out, own, *[kernel] * n_axes)
        shapes[f"{name}.convs.{i}.conv.bias"] = (n_out,)
        if i:
            shapes |= norm_shapes(f"{name}.convs.{i}.norm", (1, own, *[1] * n_axes))
    shapes |= norm_shapes(f"{name}.output_norm", (1, channels[-1], *[1] * n_axes))
    for start, end in residuals:
        if inputs[start] != channels[end - 1]:
            skip = f"{name}.residual_skip_convs.{start}->{end}.conv"
            shapes[f"{skip}.weight"] = (channels[end - 1], inputs[start], *[1] * n_axes)
            shapes[f"{skip}.bias"] = (channels[end - 1],)
    return shapes


def pb_sed_shapes(n_events, depth="shallow", width=1):
    """Shapes of a checkpoint of pb_sed by key."""
    channels, kernels, kernels_1d, residuals, residuals_1d = SHALLOW if depth == "shallow" else DEEP
    channels = [min(512, width * n) if n == 256 else width * n for n in channels]
    hidden = 256 * width
    shapes = {"feature_extractor.mel_transform.fbanks": (513, 128)}
    shapes |= {f"feature_extractor.norm.{name}": (1, 1, 128, 1) for name in STATISTICS}
    shapes |= stack_shapes("cnn.cnn_2d", 1, channels, kernels, residuals, 2)
    n_flat = channels[-1] * 8
    of_1d = [hidden] * len(kernels_1d)
    shapes |= stack_shapes("cnn.cnn_1d", n_flat, of_1d, kernels_1d, residuals_1d, 1)
    for rnn in ("rnn_fwd", "rnn_bwd"):
        for layer in (0, 1):
            for part in ("ih", "hh"):
                shapes[f"{rnn}.rnn.weight_{part}_l{layer}"] = (3 * hidden, hidden)
                shapes[f"{rnn}.rnn.bias_{part}_l{layer}"] = (3 * hidden,)
        shapes[f"{rnn}.output_net.convs.0.conv.weight"] = (hidden, hidden, 1)
        shapes[f"{rnn}.output_net.convs.0.conv.bias"] = (hidden,)
        shapes |= norm_shapes(f"{rnn}.output_net.convs.0.norm", (1, hidden, 1))
        shapes[f"{rnn}.output_net.convs.1.conv.weight"] = (n_events, hidden, 1)
        shapes[f"{rnn}.output_net.convs.1.conv.bias"] = (n_events,)
    return shapes


def pb_sed_state(seed=11, depth="shallow", width=1, n_events=5):
    """Deterministic weights, which the published numbers were made with."""
    rng = np.random.default_rng(seed)
    shapes = pb_sed_shapes(n_events, depth, width)
    state = {}
    for key in sorted(shapes):
        x = rng.standard_normal(shapes[key])
        front = key.startswith("feature_extractor")
        if key.endswith("fbanks"):
            x = mel_filterbank(16000, 1024)
        elif key.endswith("num_tracked_values"):
            x = np.full(x.shape, 1e5)
        elif key.endswith("running_power"):  # the mean's key sorts before it
            mean = state[key.replace("power", "mean")].double().numpy()
            x = mean**2 + (4 if front else 1) + 0.1 * np.abs(x)
        elif key.endswith("running_mean"):
            x = -4 + 0.5 * x if front else 0.1 * x
        elif key.endswith("conv.weight"):
            x = x * math.sqrt(2 / math.prod(x.shape[1:]))
        elif ".rnn.weight" in key:
            x = x / math.sqrt(x.shape[1])
        elif key.endswith("gamma"):
            x = 1 + 0.1 * x
        else:
            x = 0.1 * x
        state[key] = torch.from_numpy(x).float()
    return state


@pytest.fixture(scope="module")
def published():
    """The published numbers; the test is skipped without them."""
    path = os.environ.get("SKTAGGER_PARITY")
    file = None if path is None else Path(path).with_name("fbcrnn_parity.npz")
    if file is None or not file.exists():
        pytest.skip("SKTAGGER_PARITY does not name a file beside fbcrnn_parity.npz")
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def plain_norm_relu(x, state, name):
    """Norm and ReLU in evaluation, for x of shape (n_channels, ...)."""
    shape = (-1, *[1] * (x.ndim - 1))
    count, mean, power = (state[f"{name}.{part}"].double().view(shape) for part in STATISTICS)
    variance = torch.clamp(count / (count - 1) * power - mean**2, min=0) + 1e-3
    scale = state[f"{name}.gamma"].double().view(shape) / torch.sqrt(variance + 1e-3)
    return torch.relu((x - mean) * scale + state[f"{name}.beta"].double().view(shape))


def plain_stack(x, state, name, settings):
    """A stack of convolutions for one clip (n_channels, ...), with poolings of mel."""
    kernels, residuals, pools = settings
    inputs = []
    for i, kernel in enumerate(kernels):
        inputs.append(x)
        if i:
            x = plain_norm_relu(x, state, f"{name}.convs.{i}.norm")
        conv = torch.conv2d if x.ndim == 3 else torch.conv1d
        parts = [state[f"{name}.convs.{i}.conv.{part}"].double() for part in ("weight", "bias")]
        x = conv(x[None], *parts, padding=kernel // 2)[0]
        for start, end in residuals:
            if end == i + 1:
                skipped, skip = inputs[start], f"{name}.residual_skip_convs.{start}->{end}.conv"
                if f"{skip}.weight" in state:
                    parts = [state[f"{skip}.{part}"].double() for part in ("weight", "bias")]
                    skipped = conv(skipped[None], *parts)[0]
                x = x + skipped
        if i in pools:
            x = torch.maximum(x[:, ::2], x[:, 1::2])
    return plain_norm_relu(x, state, f"{name}.output_norm")


def plain_gru(x, state, name):
    """Two layers of gated recurrent units over x of shape (n_frames, n_features)."""
    for layer in (0, 1):
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_x, w_h, b_x, b_h = (state[f"{name}.{part}_l{layer}"].double() for part in parts)
        h = torch.zeros(w_h.shape[1], dtype=torch.double)
        outputs = []
        for frame in x:
            r_x, z_x, n_x = (w_x @ frame + b_x).chunk(3)
            r_h, z_h, n_h = (w_h @ h + b_h).chunk(3)
            z = torch.sigmoid(z_x + z_h)
            h = (1 - z) * torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h) + z * h
            outputs.append(h)
        x = torch.stack(outputs)
    return x


def plain_head(states, state, name):
    """Scores (n_frames, n_events) from states (n_frames, n_hidden)."""
    first, second = f"{name}.output_net.convs.0", f"{name}.output_net.convs.1.conv"
    x = states @ state[f"{first}.conv.weight"].double()[..., 0].T + state[f"{first}.conv.bias"]
    x = plain_norm_relu(x.T, state, f"{first}.norm").T
    logits = x @ state[f"{second}.weight"].double()[..., 0].T + state[f"{second}.bias"]
    return 1e-5 + (1 - 2e-5) * torch.sigmoid(logits)


def plain_scores(features, state, depth="shallow"):
    """Forward and backward scores (n_frames, n_events) of a clip's features (128, n_frames)."""
    _, kernels, kernels_1d, residuals, residuals_1d = SHALLOW if depth == "shallow" else DEEP
    pools = (1, 3, 5, 7) if depth == "shallow" else (3, 7, 11, 15)
    x = features.double()[None]
    x = plain_stack(x, state, "cnn.cnn_2d", (kernels, residuals, pools)).flatten(0, 1)
    x = plain_stack(x, state, "cnn.cnn_1d", (kernels_1d, residuals_1d, ())).T
    forward = plain_head(plain_gru(x, state, "rnn_fwd.rnn"), state, "rnn_fwd")
    backward = plain_head(plain_gru(x.flip(0), state, "rnn_bwd.rnn"), state, "rnn_bwd")
    return forward, backward.flip(0)
