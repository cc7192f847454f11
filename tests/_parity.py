"""Outputs of the original implementations of pretrained networks, and the weights they had."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "reference" / "parity.npz"


def load_parity(name):
    """Load a file that lies next to $SKTAGGER_PARITY, or next to the project."""
    path = Path(os.environ.get("SKTAGGER_PARITY", _DEFAULT)).with_name(name)
    if not path.is_file():
        pytest.skip(f"no {name}: set SKTAGGER_PARITY")
    with np.load(path) as file:
        return {key: file[key] for key in file}


def draw_weights(shapes, seed):
    """Draw the weights of a state dict, and compute the checksum of those that were drawn."""
    rng, checksum, state = np.random.default_rng(seed), hashlib.sha256(), {}
    for name in sorted(shapes):
        shape = tuple(shapes[name].shape)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(100000)
            continue
        x = rng.standard_normal(shape)
        if name == "bn0.running_mean":
            x = -30 + 5 * x
        elif name == "bn0.running_var":
            x = 300 + 30 * np.abs(x)
        elif name.endswith("running_mean"):
            x *= 0.1
        elif name.endswith("running_var"):
            x = 1 + 0.1 * np.abs(x)
        elif name.endswith("bias"):
            x *= 0.1
        elif len(shape) == 1:
            x = 1 + 0.1 * x
        else:
            is_output = name in ("classifier.0.weight", "classifier.2.weight")
            x *= np.sqrt((0.02 if is_output else 2) / np.prod(shape[1:]))
        x = x.astype(np.float32)
        checksum.update(x.tobytes())
        state[name] = torch.from_numpy(x)
    return state, checksum.hexdigest()
