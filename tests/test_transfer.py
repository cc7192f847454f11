import numpy as np
import pytest
import torch

from sktagger import Augmentation
from sktagger.audio.clips import ArrayClips
from sktagger.audio.spectral import STFT
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.device_transfer import pin, to_device
from sktagger.batching.plans import TrainingPlan, plain_plan

RATE = 8000
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def datasets(rng):
    """Return a function that makes a dataset of the same clips for a device."""
    lengths = np.array([8000, 7900, 3000, 100, 5000, 1])
    clips = ArrayClips([rng.normal(size=n).astype(np.float32) for n in lengths])
    targets, weights = np.ones((6, 2), np.float32), np.ones(6, np.float32)

    def make(device, sizes):
        return ClipDataset(clips, lengths, RATE, sizes, targets, weights, device=device)

    return make


SIZES = [STFT(), STFT(n_fft=200), STFT(hop_length=300, win_length=100)]


@pytest.mark.parametrize("stft", SIZES)
@pytest.mark.parametrize(
    "augmentation",
    [
        None,
        Augmentation(mixup_prob=1.0),
        Augmentation.fbcrnn_reference().set_params(mixup_prob=1.0),
    ],
)
def test_stft_of_the_device_equals_that_of_the_loader(datasets, stft, augmentation):
    sizes = stft.sizes(RATE)
    for_cpu, for_gpu = datasets(CPU, sizes), datasets(GPU, sizes)
    if augmentation is None:
        batches = plain_plan(for_cpu.lengths, sizes, 3)
    else:
        batches = TrainingPlan(for_cpu.lengths, sizes, RATE, 3, augmentation, 128, 0).take(2)
    for examples in batches:
        expected, targets, *_ = for_cpu[examples]
        inputs, same_targets, *_ = for_gpu[examples]
        assert "stft" not in inputs
        inputs = to_device(inputs, CPU, sizes)
        assert inputs.keys() == expected.keys()
        for name, value in expected.items():
            assert inputs[name].dtype == value.dtype
            np.testing.assert_allclose(inputs[name], value, rtol=0, atol=2e-4)
        assert all(torch.equal(a, b) for a, b in zip(targets, same_targets, strict=True))


def test_waveforms_are_smaller_than_spectra(datasets):
    sizes = STFT().sizes(RATE)
    examples = plain_plan(np.array([8000]), sizes, 1)[0]
    spectra, waveforms = (datasets(device, sizes)[examples][0] for device in (CPU, GPU))
    n_bytes = [sum(x.nbytes for x in inputs.values()) for inputs in (spectra, waveforms)]
    assert n_bytes[1] < n_bytes[0] / 2


def test_nothing_is_copied_on_the_cpu(datasets):
    sizes = STFT().sizes(RATE)
    dataset = datasets(CPU, sizes)
    batch = dataset[plain_plan(dataset.lengths, sizes, 3)[0]]
    pair = batch.inputs, batch.targets
    assert pin(pair, CPU) is pair
    loaded = dataset.load(plain_plan(dataset.lengths, sizes, 3)[0])
    assert torch.equal(loaded[0]["stft"], batch[0]["stft"])
    assert to_device(batch[0], CPU, sizes)["stft"] is batch[0]["stft"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_gives_the_scores_of_the_cpu(precision):
    from sktagger import WALNetTagger

    rng = np.random.default_rng(0)
    X = [rng.normal(size=n) for n in (16000, 12000, 9000, 16000, 8000, 12000)]
    Y = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]])
    tagger = WALNetTagger(
        sample_rate=RATE, max_epochs=2, device="cuda", precision=precision, random_state=0
    ).fit(X, Y)
    scores = tagger.predict_proba(X)
    state = {name: value.cpu() for name, value in tagger.module_.state_dict().items()}
    twin = WALNetTagger(sample_rate=RATE, device="cpu", precision="float32")
    twin = twin._restore(tagger.classes_, state)
    np.testing.assert_allclose(twin.predict_proba(X), scores, rtol=0, atol=5e-3)
