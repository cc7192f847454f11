"""Files of earlier versions load: the tests write each format by hand, as its first version did."""

import json
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from _old_formats import SETTINGS_2, WriteFormat2, as_format_1, format_2_training
from _reference import padertorch_state

from sktagger import STFT, TunedThresholdTagger, WALNetTagger
from sktagger.commands._config import read_config_file
from sktagger.commands._experiment import load_tagger
from sktagger.training.callbacks import Checkpoint, load_checkpoint

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
INTERVAL_1 = {
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
        "history": [INTERVAL_1],
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
    newer = {"final_weak_fraction": 0.2, "time_warp": 0.0, "mixup_domain": "stft", "noise": 0.0}
    assert tagger.augmentation.get_params() == AUGMENTATION_1 | newer
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
    assert tagger.history_["valid_mAP"][0] == INTERVAL_1["valid_mAP"]
    step = tagger.net_.optimizer_.state_dict()["state"][0]["step"]
    assert step == 4
    names = {path.name for path in (experiment / "checkpoints").iterdir()}
    assert names == {"latest.safetensors", "best.safetensors", "lock"}


def test_training_that_may_be_another_one_begins_anew(experiment, clip):
    settings = {"sample_rate": 16000, "batch_size": 2, "max_epochs": 1, "random_state": 3}
    checkpoint = Checkpoint(experiment / "checkpoints")
    tagger = WALNetTagger(**settings, stft=STFT(**STFT_1), callbacks=[checkpoint])
    with pytest.warns(UserWarning, match="earlier version .* starts from the beginning"):
        tagger.fit(clip * 4, [EVENTS, EVENTS[:1], EVENTS[1:], []])
    assert tagger.n_iter_ == 2
    assert tagger.history_["n_epochs"].tolist() == [1]
    names = {path.name for path in (experiment / "checkpoints").iterdir()}
    assert names == {f"{name}.safetensors" for name in ("latest", "best")} | {
        f"{name}.previous.pt" for name in ("latest", "best")
    } | {"lock"}


def test_weights_to_begin_with(saved, experiment, clip, state):
    for source in (saved, experiment / "checkpoints" / "best.pt"):
        tagger = WALNetTagger(
            sample_rate=16000,
            stft=STFT(**STFT_1),
            init_from=source,
            freeze="backbone",
            max_epochs=1,
            random_state=0,
        )
        tagger.fit(clip * 2, [EVENTS[:1], EVENTS[1:]])
        key = "cnn.convs.3.conv.weight"
        assert torch.equal(tagger.module_.state_dict()[key], state[key])


# --- a training that an earlier version began

OLD_FILES = {"latest.pt", "best.pt"}
NEW_FILES = {"latest.safetensors", "best.safetensors"}


@pytest.fixture(scope="module", params=[True, False], ids=["validated", "not validated"])
def begun(request, tmp_path_factory):
    """Directory of files of format 2, after two of three epochs; arguments of `fit`; scores."""
    directory, validated = tmp_path_factory.mktemp("begun"), request.param
    X, Y, X_val, Y_val = format_2_training()
    val = {"X_val": X_val, "Y_val": Y_val} if validated else {}
    scores = WALNetTagger(**SETTINGS_2, verbose=0).fit(X, Y, **val).predict_proba(X)
    writer = WriteFormat2(directory, last_epoch=2, validated=validated)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training was interrupted")
        WALNetTagger(**SETTINGS_2, verbose=0, callbacks=[writer]).fit(X, Y, **val)
    assert names_in(directory) == OLD_FILES
    return directory, {"X": X, "y": Y, **val}, scores


@pytest.fixture(params=[1, 2])
def old_directory(begun, tmp_path, request):
    """Copy of the directory, with files of either format."""
    for path in begun[0].iterdir():
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        if request.param == 1:
            as_format_1(copy)
    return tmp_path


def names_in(directory):
    return {path.name for path in directory.iterdir() if path.suffix != ".part"} - {"lock"}


def continue_training(directory):
    checkpoint = Checkpoint(directory, on_mismatch="raise")
    return WALNetTagger(**SETTINGS_2, verbose=0, callbacks=[checkpoint])


@pytest.mark.filterwarnings("ignore:.*earlier version of sktagger")
def test_training_of_an_earlier_version_continues_bit_for_bit(begun, old_directory):
    _, arguments, scores = begun
    tagger = continue_training(old_directory).fit(**arguments)
    assert tagger.history_["n_iterations"].tolist()[-2:] == [4, 6]
    np.testing.assert_array_equal(tagger.predict_proba(arguments["X"]), scores)
    assert names_in(old_directory) == NEW_FILES
    np.testing.assert_array_equal(
        WALNetTagger.load(old_directory).set_params(verbose=0).predict_proba(arguments["X"]), scores
    )
    again = continue_training(old_directory).fit(**arguments)  # it has ended
    np.testing.assert_array_equal(again.predict_proba(arguments["X"]), scores)


class Killed(BaseException):
    pass


@pytest.mark.filterwarnings("ignore:.*earlier version of sktagger")
@pytest.mark.parametrize("step", range(4))
def test_interruption_while_files_are_replaced_loses_none(begun, old_directory, monkeypatch, step):
    _, arguments, scores = begun
    n_done = 0

    def interrupting(function):
        def call(*args, **kwargs):
            nonlocal n_done
            if n_done == step:
                raise Killed
            n_done += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr("sktagger._utils.files.os.replace", interrupting(os.replace))
    monkeypatch.setattr(Path, "unlink", interrupting(Path.unlink))
    with pytest.raises(Killed):
        continue_training(old_directory).fit(**arguments)
    monkeypatch.undo()
    for name in ("latest", "best"):
        assert {f"{name}.pt", f"{name}.safetensors"} & names_in(old_directory)
    tagger = continue_training(old_directory).fit(**arguments)
    np.testing.assert_array_equal(tagger.predict_proba(arguments["X"]), scores)
    assert names_in(old_directory) - {"latest.previous.pt", "best.previous.pt"} == NEW_FILES


def test_checkpoints_of_format_2_are_read(begun, tmp_path):
    directory, arguments, _ = begun
    best = load_checkpoint(directory / "best.pt")
    for path in (directory, directory / "best.pt"):
        loaded = WALNetTagger.load(path)
        assert loaded.n_iter_ == best["n_iterations"]
        for key, weight in loaded.module_.state_dict().items():
            assert torch.equal(weight, best["model"][key])
    settings = SETTINGS_2 | {"max_epochs": 1, "verbose": 0}
    tagger = WALNetTagger(**settings, init_from=directory / "best.pt", freeze="backbone")
    tagger.fit(arguments["X"], arguments["y"])
    key = "cnn.convs.3.conv.weight"
    assert torch.equal(tagger.module_.state_dict()[key], best["model"][key])
    with pytest.raises(FileNotFoundError, match=r"is not a file.* Give .*best\.pt"):
        WALNetTagger(**settings, init_from=directory).fit(arguments["X"], arguments["y"])


def test_another_training_keeps_files_of_an_earlier_format(begun, tmp_path):
    directory, arguments, _ = begun
    before = {path.stem: path.read_bytes() for path in directory.glob("*.pt")}
    for name, content in before.items():
        (tmp_path / f"{name}.pt").write_bytes(content)
    tagger = WALNetTagger(**SETTINGS_2 | {"lr": 1e-4}, verbose=0, callbacks=[Checkpoint(tmp_path)])
    with pytest.warns(UserWarning, match=r"another training \(lr: .* becomes 'latest.previous.pt'"):
        tagger.fit(**arguments)
    assert names_in(tmp_path) == NEW_FILES | {"latest.previous.pt", "best.previous.pt"}
    for name, content in before.items():
        assert (tmp_path / f"{name}.previous.pt").read_bytes() == content


# --- format 3

NETWORK_3 = {name: PARAMS_1[name] for name in ("sample_rate", "stft", "fmin", "pooling")}
RECORD_3 = {
    "estimator": "WALNetTagger",
    "network": {"name": "WALNet", "version": 1, "settings": NETWORK_3},
    "settings": {
        **{
            name: value
            for name, value in PARAMS_1.items()
            if name not in NETWORK_3 and name != "random_state"
        },
        "freeze": None,
        "init_from": None,
        "loss": "auto",
    },
    "seed": 3,
    "began": 0,
    "events": EVENTS,
    "events_dtype": "<U5",
    "multilabel": True,
}
CHECKPOINT_3 = {
    "kind": "checkpoint",
    "format": 3,
    "version": "0.1.0",
    "n_iterations": 2,
    "training": RECORD_3,
    "plan": {"seed": 3, "epoch": 1, "step": 0, "iteration": 2},
    "history": [
        {key: value for key, value in INTERVAL_1.items() if key != "batches"}
        | {"valid_mAP": {"float": "nan"}}
    ],
    "n_clips": 4,
    "ended": False,
    "optimizer_groups": [{**OPTIMIZER_1, "betas": [0.9, 0.999]}],
}


def test_checkpoint_of_format_3(state, clip, tmp_path):
    tensors = {f"model.{name}": tensor.numpy().astype("<f4") for name, tensor in state.items()}
    tensors |= {f"optimizer.7.{name}": np.full(2, 0.5, "<f4") for name in ("exp_avg", "exp_avg_sq")}
    tensors |= {"optimizer.7.step": np.array(2.0, "<f4")}
    tensors |= {"clips.training": np.arange(8, dtype="<i8").reshape(4, 2)}
    header, end = {"__metadata__": {"sktagger": json.dumps(CHECKPOINT_3)}}, 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": {"<f4": "F32", "<i8": "I64"}[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    path = tmp_path / "best.safetensors"
    content = b"".join(array.tobytes() for array in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)

    tagger = WALNetTagger.load(path)
    assert (tagger.classes_.tolist(), tagger.n_iter_, tagger.random_state) == (EVENTS, 2, 3)
    np.testing.assert_allclose(tagger.predict_proba(clip)[0], SCORES, rtol=0, atol=1e-4)
    checkpoint = load_checkpoint(path)
    assert checkpoint["plan"] == CHECKPOINT_3["plan"]
    (row,) = checkpoint["history"]
    assert np.isnan(row.pop("valid_mAP"))
    assert row == {key: value for key, value in INTERVAL_1.items() if key != "valid_mAP"}
    assert checkpoint["optimizer"]["param_groups"] == [OPTIMIZER_1]
    assert checkpoint["optimizer"]["state"][7]["step"] == 2
    assert checkpoint["optimizer"]["state"][7]["exp_avg"].tolist() == [0.5, 0.5]
    digests = checkpoint["training"].pop("clips")["training"]
    assert digests.tolist() == np.arange(8).reshape(4, 2).tolist()
    assert checkpoint["training"] == RECORD_3
