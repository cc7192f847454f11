import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from _file_server import FileServer
from _networks import make_walnet
from _reference import padertorch_state
from hypothesis import settings

from sktagger.audio.spectral import STFTSizes
from sktagger.datasets.scenes import make_scenes
from sktagger.training.callbacks import Checkpoint

torch.set_num_threads(1)

# the same examples in each run; `--hypothesis-profile=long` tries other ones
settings.register_profile("short", deadline=None, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=5000)
settings.load_profile("short")

# With AMX, precision="auto" is bfloat16. On other CPUs it is slow, so fewer tests use it.
FAST_BFLOAT16 = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()

PROJECT = Path(__file__).resolve().parents[1]


def pytest_generate_tests(metafunc):
    """Run the tests that use the fixture `each_precision` once in each precision."""
    if "each_precision" in metafunc.fixturenames:
        quick = metafunc.definition.get_closest_marker("bfloat16") is not None
        precisions = ["float32"] + ["bfloat16"] * (FAST_BFLOAT16 or quick)
        metafunc.parametrize("each_precision", precisions, indirect=True, scope="module")


@pytest.fixture(scope="module")
def each_precision(request):
    """Let the precision "auto" be float32, then bfloat16."""
    fast = request.param == "bfloat16"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: fast, raising=False)
        yield request.param


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real recordings, not in the repository: $SKTAGGER_DATA or next to the project."""
    folder = Path(os.environ.get("SKTAGGER_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no data folder: set SKTAGGER_DATA")
    return folder


@pytest.fixture(scope="session")
def parity():
    """Inputs and outputs of the published system: $SKTAGGER_PARITY or next to the project."""
    default = PROJECT.parent / "shared" / "reference" / "parity.npz"
    path = Path(os.environ.get("SKTAGGER_PARITY", default))
    if not path.is_file():
        pytest.skip("no parity.npz: set SKTAGGER_PARITY")
    with np.load(path) as file:
        return {name: file[name] for name in file}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Database of a few short synthetic scenes; every event occurs in every set."""
    folder = tmp_path_factory.mktemp("scenes")
    sizes = {"n_train": 12, "n_validate": 8, "n_eval": 8}
    return make_scenes(folder, **sizes, duration=1.0, sample_rate=8000, random_state=0)


@pytest.fixture
def run_python():
    """Return a function that runs code in a new process and returns its output."""

    def run(code, *arguments, **variables):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=Path(__file__).parent,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture
def no_training(monkeypatch):
    """Let `fit` return at once, as if it had trained."""

    def fit(self, *args, **kwargs):
        self.net_ = SimpleNamespace(completed_=True)
        return self

    monkeypatch.setattr("sktagger.taggers._fitting.FittingTagger.fit", fit)


@pytest.fixture
def interrupted(monkeypatch):
    """Return a context in which trainings end as by Ctrl-C after the checkpoint of epoch 1."""
    write = Checkpoint.on_epoch_end

    def write_and_interrupt(self, net, **kwargs):
        write(self, net, **kwargs)
        if net.history[-1]["n_epochs"] == 1:
            raise KeyboardInterrupt

    @contextmanager
    def interrupted():
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "on_epoch_end", write_and_interrupt)
            with pytest.raises(KeyboardInterrupt, match="sktagger train --resume"):
                yield

    return interrupted


@pytest.fixture
def server(monkeypatch):
    """A server on loopback. Tests set its content."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = FileServer(b"")
    yield server
    server.stop()


@pytest.fixture
def write_audio(tmp_path):
    """Return a function that writes (n_samples,) or (n_samples, n_channels) to a file."""

    def write(name, samples, sample_rate=16000, **kwargs):
        path = tmp_path / name
        soundfile.write(path, samples, sample_rate, **kwargs)
        return str(path)

    return write


@pytest.fixture
def sine():
    """Return a function that makes a sine of 440 Hz with amplitude 0.5."""

    def make(seconds=1.0, sample_rate=16000, frequency=440.0):
        time = np.arange(int(seconds * sample_rate)) / sample_rate
        return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)

    return make


@pytest.fixture
def sizes():
    """Sizes of a small STFT for clips at 1 kHz: 20 ms hop, 40 ms window."""
    return STFTSizes(n_fft=64, hop_length=20, win_length=40)


@pytest.fixture(scope="session")
def reference_state():
    """Deterministic weights with 5 events at 16 kHz; copy before changing."""
    return padertorch_state()


@pytest.fixture
def walnet(reference_state):
    """WALNet with the deterministic weights, for prediction."""
    net = make_walnet(5, sample_rate=16000, n_fft=512)
    net.load_state_dict(reference_state)
    return net.eval()


@pytest.fixture
def spectra(rng):
    """Return a function that makes random STFTs (n_clips, 1, n_frames, 257, 2), zero-padded."""

    def make(n_frames):
        shape = (len(n_frames), 1, max(n_frames), 257, 2)
        stft = rng.normal(0.0, 0.3, shape).astype(np.float32)
        for clip, n in zip(stft, n_frames, strict=True):
            clip[:, n:] = 0
        return torch.from_numpy(stft), torch.tensor(n_frames)

    return make
