"""Files of earlier versions load: formats are written here by hand, as they were at the first."""

import json
import struct

import numpy as np
import pytest
import torch
from _reference import padertorch_state

from sktagger import STFT, TunedThresholdTagger, WALNetTagger
from sktagger.commands._config import read_config_file
from sktagger.commands._experiment import load_tagger
from sktagger.training.callbacks import Checkpoint

EVENTS = ["Siren", "Rain", "Bälle"]
# of a sine of 440 Hz, with the weights below
SCORES = np.array([0.028476, 0.188775, 0.917650])
STFT_1 = {"hop_length": 320, "n_fft": 1024, "win_length": 640, "window": "blackman"}
AUGMENTATION_1 = {
    "gain_limit": 3.0,
    "gain_mean": 0.0,
    "gain_std": 1.0,
    "mel_mask": 20,
    "mixup_delay": 0,
    "mixup_max_length": 15.0,
    "mixup_overlap": 0.8,
    "mixup_prob": 0.4,
    "roll_prob": 1.0,
    "stretch": 0.5,
    "time_mask": 0.2,
    "time_mask_frames": 70,
    "warp_std": 0.07,
}
PARAMS_1 = {
    "augmentation": AUGMENTATION_1,
    "batch_size": 12,
    "class_weight": None,
    "cross_fit": None,
    "fmin": 50.0,
    "gradient_clip": 60.0,
    "lr": 0.002,
    "max_epochs": 20,
    "max_iterations": None,
    "patience": None,
    "pooling": "mean",
    "precision": "float32",
    "random_state": 3,
    "sample_rate": 16000,
    "sampler": None,
    "schedule": "one_cycle",
    "stft": STFT_1,
    "validate_every": None,
    "validation_fraction": None,
    "warm_start": False,
    "weight_decay": 0.01,
}
SAVED_1 = {
    "format": 1,
    "version": "0.1.0",
    "params": PARAMS_1,
    "classes": EVENTS,
    "classes_dtype": "<U5",
    "multilabel": True,
    "n_iter": 7,
    "thresholds": ["0.25", "-inf", "0.5"],
}
CONFIG_1 = {
    "database": "/data/scenes.json",
    "training_set": "balanced_train",
    "validation_set": "validate",
    "recipe": "default",
    "min_length": 1.5,
    "tagger": PARAMS_1
    | {"device": "auto", "freeze": None, "init_from": None, "memory": None}
    | {"n_jobs": None, "verbose": 1},
    "versions": {"sktagger": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
}
OPTIMIZER_1 = {
    "lr": 0.002,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 0.01,
    "amsgrad": False,
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
    "decoupled_weight_decay": True,
    "params": list(range(50)),
}
ROUND_1 = {
    "batches": [],
    "epoch": 1,
    "dur": 0.5,
    "train_loss": 1.5,
    "train_loss_best": True,
    "valid_loss": 1.25,
    "valid_loss_best": True,
    "n_epochs": 1,
    "n_iterations": 2,
    "valid_mAP": 0.5,
    "valid_mAP_best": True,
}


@pytest.fixture(scope="module")
def state():
    """Weights by the names and shapes that a twin of the network lists."""
    return padertorch_state(n_events=len(EVENTS), sample_rate=16000, n_fft=1024)


@pytest.fixture
def clip(sine):
    return [sine()]


@pytest.fixture(params=[None, SAVED_1["thresholds"]], ids=["tagger", "tuned"])
def saved(state, tmp_path, request):
    """A saved tagger: length of the header, header, tensors."""
    content = SAVED_1 | {"thresholds": request.param}
    header, end = {"__metadata__": {"sktagger": json.dumps(content)}}, 0
    for name, tensor in state.items():
        begin, end = end, end + 4 * tensor.numel()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    tensors = b"".join(tensor.numpy().astype("<f4").tobytes() for tensor in state.values())
    path = tmp_path / "tagger.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    return path


@pytest.fixture
def experiment(state, tmp_path):
    """An experiment after the first of its two epochs."""
    (tmp_path / "checkpoints").mkdir()
    learnt = [
        f"cnn.convs.{layer}.{part}"
        for layer in range(13)
        for part in ("conv.weight", "conv.bias", "norm.gamma", "norm.beta")
    ]
    moments = [
        {"step": torch.tensor(2.0), "exp_avg": state[key] * 0, "exp_avg_sq": state[key] * 0 + 1}
        for key in learnt
        if key in state
    ]
    best = {"format": 1, "model": state, "n_iterations": 2}
    latest = best | {
        "optimizer": {"state": dict(enumerate(moments)), "param_groups": [OPTIMIZER_1]},
        "plan": {"epoch": 1, "step": 0, "iteration": 2},
        "history": [ROUND_1],
    }
    torch.save(best, tmp_path / "checkpoints" / "best.pt")
    torch.save(latest, tmp_path / "checkpoints" / "latest.pt")
    (tmp_path / "events.json").write_text(json.dumps(EVENTS), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG_1, indent=1), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("saved", [None], indirect=True)
def test_saved_tagger(saved, clip):
    tagger = WALNetTagger.load(saved)
    assert tagger.classes_.tolist() == EVENTS
    assert tagger.n_iter_ == 7
    assert tagger.stft.get_params() == STFT_1
    assert tagger.augmentation.get_params() == {**AUGMENTATION_1, "refine": 0.2}  # is newer
    assert {name: getattr(tagger, name) for name in PARAMS_1} == PARAMS_1 | {
        "stft": tagger.stft,
        "augmentation": tagger.augmentation,
    }
    np.testing.assert_allclose(tagger.predict_proba(clip)[0], SCORES, rtol=0, atol=1e-4)


@pytest.mark.parametrize("saved", [SAVED_1["thresholds"]], indirect=True)
def test_saved_thresholds(saved, clip):
    tagger = TunedThresholdTagger.load(saved)
    assert tagger.thresholds_.tolist() == [0.25, -np.inf, 0.5]
    np.testing.assert_array_equal(tagger.predict(clip)[0], tagger.thresholds_ < SCORES)


def test_experiment(experiment, clip):
    tagger = load_tagger(experiment)
    assert tagger.classes_.tolist() == EVENTS
    np.testing.assert_allclose(tagger.predict_proba(clip)[0], SCORES, rtol=0, atol=1e-4)
    config = read_config_file(experiment / "config.json")
    assert config["database"] == CONFIG_1["database"]
    assert config["tagger"]["augmentation__mixup_prob"] == AUGMENTATION_1["mixup_prob"]


def test_training_continues(experiment, clip, state):
    settings = {"sample_rate": 16000, "batch_size": 2, "max_epochs": 2, "random_state": 3}
    checkpoint = Checkpoint(experiment / "checkpoints", on_mismatch="raise")
    tagger = WALNetTagger(**settings, stft=STFT(**STFT_1), callbacks=[checkpoint])
    X, Y = clip * 4, [EVENTS, EVENTS[:1], EVENTS[1:], []]
    with pytest.warns(UserWarning, match="earlier version .* Make sure that settings, events, cl"):
        tagger.fit(X, Y, X_val=X, Y_val=Y)
    assert tagger.history_["n_epochs"].tolist() == [1, 2]
    assert tagger.n_iter_ == 4
    assert tagger.history_["valid_mAP"][0] == ROUND_1["valid_mAP"]
    step = tagger.net_.optimizer_.state_dict()["state"][0]["step"]
    assert step == 4


def test_training_that_may_be_another_one_begins_anew(experiment, clip):
    settings = {"sample_rate": 16000, "batch_size": 2, "max_epochs": 1, "random_state": 3}
    checkpoint = Checkpoint(experiment / "checkpoints")
    tagger = WALNetTagger(**settings, stft=STFT(**STFT_1), callbacks=[checkpoint])
    with pytest.warns(UserWarning, match="earlier version .* Training begins anew"):
        tagger.fit(clip * 4, [EVENTS, EVENTS[:1], EVENTS[1:], []])
    assert tagger.n_iter_ == 2
    assert tagger.history_["n_epochs"].tolist() == [1]


def test_weights_to_begin_with(saved, experiment, clip, state):
    for source in (saved, experiment / "checkpoints" / "best.pt"):
        tagger = WALNetTagger(
            sample_rate=16000,
            stft=STFT(**STFT_1),
            init_from=source,
            freeze="features",
            max_epochs=1,
            random_state=0,
        )
        tagger.fit(clip * 2, [EVENTS[:1], EVENTS[1:]])
        key = "cnn.convs.3.conv.weight"
        assert torch.equal(tagger.module_.state_dict()[key], state[key])
