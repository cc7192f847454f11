"""EfficientAT: the numbers of the original implementation, and settings told from files."""

import hashlib

import numpy as np
import pytest
import torch
from _pretrained import draw_weights, find_model, load_reference, make_stft

from sktagger.networks import EfficientAT
from sktagger.networks._efficientat_layers import BLOCKS

NETWORKS = {
    "mn04": EfficientAT(width=0.4),
    "mn10": EfficientAT(width=1.0),
    "mn04_fc": EfficientAT(width=0.4, head="fully_convolutional"),
    "mn04_s2211": EfficientAT(width=0.4, strides=(2, 2, 1, 1)),
}
OFFICIAL = "mn04_as_mAP_432.pt"


def original_shapes(network, n_events):
    """Names and shapes of the original checkpoint."""
    shapes = {name: tensor.shape for name, tensor in network.shapes(n_events).items()}
    if network.head == "fully_convolutional":
        shapes["classifier.0.weight"] = (*shapes["classifier.0.weight"], 1, 1)
        del shapes["classifier.0.bias"]
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"classifier.1.{part}"] = (n_events,)
        shapes["classifier.1.num_batches_tracked"] = ()
    return shapes


def assert_embeddings_are_close(got, expected):
    bar = 1e-4 * (np.sqrt(np.mean(expected**2)) + np.abs(expected))
    assert (np.abs(got - expected) <= bar).all()


def assert_logits_are_close(got, expected):
    assert (np.abs(got - expected) <= 1e-4 * np.maximum(1, np.abs(expected))).all()


def outputs(network, module, waveforms):
    with torch.inference_mode():
        inputs = make_stft(network, waveforms)
        return {layer: module.clip_outputs(layer, *inputs).numpy() for layer in network.layers}


@pytest.fixture(scope="module")
def reference():
    return load_reference("efficientat_parity.npz")


@pytest.fixture(scope="module")
def waveforms(reference):
    return [reference[f"waveform_{k}"] for k in range(4)]


def test_mel_filters(reference):
    filters = EfficientAT().build(1).front.filters
    np.testing.assert_allclose(filters.T, reference["mel_filters"], rtol=0, atol=2e-4)


def test_features(reference, waveforms):
    network = EfficientAT()
    module = network.build(1)
    for k, waveform in enumerate(waveforms):
        got = module.front(*make_stft(network, [waveform]))[0, 0]
        np.testing.assert_allclose(got, reference[f"features_{k}"], rtol=0, atol=5e-4)


def test_features_of_silence():
    network = EfficientAT()
    features = network.build(1).front(*make_stft(network, [np.zeros(3200, np.float32)]))
    np.testing.assert_allclose(features, -1.4026, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_the_original(reference, waveforms, name):
    network = NETWORKS[name]
    state, digest = draw_weights(original_shapes(network, 5), int(reference["seed"]))
    assert digest == reference[f"{name}_weights_sha256"]
    module = network.build(5)
    module.load_state_dict(network.convert(state))
    module.eval()
    together = outputs(network, module, waveforms)
    for k, waveform in enumerate(waveforms):
        alone = outputs(network, module, [waveform])
        for layer in network.layers:
            expected = reference[f"{name}_{layer}_{k}"]
            check = assert_logits_are_close if layer == "logits" else assert_embeddings_are_close
            check(alone[layer][0], expected)
            check(together[layer][k], expected)


def test_public_weights(reference, waveforms):
    path = find_model(OFFICIAL)
    expected = load_reference("efficientat_real_mn04.npz")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected["checkpoint_sha256"]
    state = torch.load(path, weights_only=True)
    network = EfficientAT.identify(state, path.name)
    assert network.get_params() == EfficientAT(width=0.4).get_params()
    module = network.build(527)
    module.load_state_dict(network.convert(state))
    module.eval()
    for k, waveform in enumerate(waveforms):
        alone = outputs(network, module, [waveform])
        assert_logits_are_close(alone["logits"][0], expected[f"logits_{k}"])
        assert_embeddings_are_close(alone["embedding"][0], expected[f"embedding_{k}"])
        assert_embeddings_are_close(alone["hidden"][0], expected[f"hidden_{k}"])


@pytest.mark.parametrize(
    ("width", "embedding", "n_weights"),
    [(0.4, 384, 983_599), (0.5, 480, None), (1.0, 960, None), (2.0, 1920, None)],
)
def test_sizes(width, embedding, n_weights):
    shapes = EfficientAT(width=width).shapes(527)
    assert shapes["classifier.2.weight"].shape[1] == embedding
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    n = sum(x.numel() for name, x in shapes.items() if not name.endswith(statistics))
    assert n == (n_weights or n)


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("mn04_as_mAP_432.pt", {}),
        ("copy of mn04_as (1).pt", {}),
        ("mn04_as_hop_15_mAP_463.pt", {"hop_length": 480}),
        ("mn04_as_hop_5_mAP_475.pt", {"hop_length": 160}),
        ("mn04_as_mels_40_mAP_453.pt", {"n_mels": 40}),
        ("MN04-as.hop-15.pt", {"hop_length": 480}),
        ("mn04_as_s2024.pt", {}),
        ("mn04_as_fc_mAP_465.pt", {"head": "fully_convolutional"}),
        ("mn04_as_fc_s2211_mAP_466.pt", {"head": "fully_convolutional", "strides": (2, 2, 1, 1)}),
    ],
)
def test_settings_are_told_by_shapes_and_name(file_name, expected):
    network = EfficientAT(width=0.4).set_params(**expected)
    state = {k: torch.zeros(shape) for k, shape in original_shapes(network, 3).items()}
    assert EfficientAT.identify(state, file_name).get_params() == network.get_params()


@pytest.mark.parametrize("width", [0.4, 0.5, 1.0, 1.3])
def test_unknown_names_list_the_choices(width):
    state = {k: torch.zeros(x.shape) for k, x in EfficientAT(width=width).shapes(3).items()}
    with pytest.raises(ValueError, match=r"do not show hop_length.*network=EfficientAT\(width="):
        EfficientAT.identify(state, "best.pt")


def test_name_and_shapes_must_agree():
    state = {k: torch.zeros(x.shape) for k, x in EfficientAT(width=0.5).shapes(3).items()}
    network = EfficientAT.identify(state, "mn04_as_mAP_432.pt")
    assert network.width == 0.5


@pytest.mark.parametrize(
    "state", [{}, {"features.16.0.weight": 1}, {"conv1.weight": torch.ones(1)}]
)
def test_other_weights_are_not_recognized(state):
    assert EfficientAT.identify(state, "mn04_as_mAP_432.pt") is None


@pytest.mark.parametrize("strides", [(2, 2, 2), (2, 2, 2, 3), (2, 2, 2, True), "2222"])
def test_strides_are_checked(strides):
    with pytest.raises((ValueError, TypeError), match="strides"):
        EfficientAT(strides=strides).validate()


@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (2, 2, 2, 1), (1, 2, 1, 1)])
def test_segments_follow_from_the_strides(strides):
    network = EfficientAT(width=0.1, strides=strides)
    module = network.build(2).eval()
    for n in (1, 31, 32, 33, 100):
        scores, n_segments = module.segment_scores(torch.randn(1, 1, n, 513, 2), torch.tensor([n]))
        assert scores.shape[-1] == n_segments == network.get_grid().n_scores(n)


def test_table_has_the_blocks_of_mobilenet_v3_large():
    assert len(BLOCKS) == 15
    assert sum(block.squeezes for block in BLOCKS) == 8
    assert sum(block.strided for block in BLOCKS) == 4
