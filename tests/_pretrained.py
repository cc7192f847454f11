"""Reference numbers of networks of other projects, and the weights they were computed with."""

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sktagger import pretrained
from sktagger.audio.edges import prepare
from sktagger.audio.spectral import frame_onsets, stft
from sktagger.pretrained._models import MODELS

_SHARED = Path(__file__).parents[2] / "shared"


def load_reference(name):
    """Load reference numbers from beside the checkout; skip the test if there are none."""
    parity = os.environ.get("SKTAGGER_PARITY")
    folder = Path(parity).parent if parity else _SHARED / "reference"
    path = folder / name
    if not path.is_file():
        pytest.skip(f"needs {name}")
    return np.load(path)


def find_model(name):
    """Find public weights beside the checkout; skip the test if there are none."""
    parity = os.environ.get("SKTAGGER_PARITY")
    folder = Path(parity).parents[1] / "models" if parity else _SHARED / "models"
    if not (folder / name).is_file():
        pytest.skip(f"needs {name}")
    return folder / name


def draw_weights(shapes, seed):
    """Draw the weights of the reference; return them and their sha256.

    `shapes` has the shapes, or the tensors, of a checkpoint by name, without constants of the front
    end.
    """
    rng = np.random.default_rng(seed)
    digest, state = hashlib.sha256(), {}
    for name in sorted(shapes):
        shape = tuple(getattr(shapes[name], "shape", shapes[name]))
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(100_000)
            continue
        x = rng.standard_normal(shape)
        if name == "bn0.running_mean":
            x = -30 + 5 * x
        elif name == "bn0.running_var":
            x = 300 + 30 * np.abs(x)
        elif name.endswith("running_mean"):
            x = 0.1 * x
        elif name.endswith("running_var"):
            x = 1 + 0.1 * np.abs(x)
        elif name.endswith("bias"):
            x = 0.1 * x
        elif len(shape) == 1:
            x = 1 + 0.1 * x
        else:
            small = name in ("classifier.0.weight", "classifier.2.weight")
            x = x * math.sqrt((0.02 if small else 2) / math.prod(shape[1:]))
        x = x.astype(np.float32)
        digest.update(x.tobytes())
        state[name] = torch.from_numpy(x)
    return state, digest.hexdigest()


def make_weights(network, n_events=527):
    """Make weights of a network of EfficientAT whose features differ from clip to clip."""
    module = network.build(n_events, random_state=1).train()
    generator = torch.Generator().manual_seed(1)
    stft = torch.randn(4, 1, 60, 513, 2, generator=generator)
    stft *= torch.tensor([1.0, 3.0, 0.1, 10.0]).view(4, 1, 1, 1, 1)
    with torch.no_grad():
        for _ in range(50):
            module(stft, torch.tensor([60, 60, 60, 60]))
    return module.state_dict()


def serve_model(server, name, path, monkeypatch):
    """Let a server on loopback be the address of a pretrained model, with other weights."""
    server.content = path.read_bytes()
    model = pretrained.find_model(name)
    changes = {"url": server.address + model.file_name, "size": len(server.content)}
    monkeypatch.setitem(MODELS, name, model._replace(checksum=None, **changes))


def make_stft(network, waveforms):
    """Compute the STFTs of waveforms as the pipeline does, padded to the longest."""
    sizes = network.get_input().stft
    n_frames = [sizes.n_frames(len(waveform)) for waveform in waveforms]
    batch = np.zeros((len(waveforms), 1, max(n_frames), sizes.n_bins, 2), np.float32)
    for row, waveform, n in zip(batch, waveforms, n_frames, strict=True):
        stft(prepare(waveform, sizes), frame_onsets(len(waveform), sizes), sizes, out=row[0, :n])
    return torch.from_numpy(batch), torch.tensor(n_frames)
