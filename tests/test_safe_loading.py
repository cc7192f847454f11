"""Files that were made to do harm are refused, by an error that names them, soon, in little memory.

All are made and loaded in one process of limited memory, which a test of each then looks at.
"""

import json
import os
import pickle
import re
import struct
import subprocess
import sys
import time
from copy import copy, deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from _crafted_torch import (
    CHECKPOINTS,
    CODE,
    GOOD,
    SENTINEL,
    Bomb,
    dumps,
    tensor,
    under_model,
    write_archive,
    write_legacy,
)
from _networks import make_walnet
from safetensors import safe_open
from safetensors.torch import save_file

from sktagger import STFT, WALNetTagger, load_database
from sktagger.batching.plans import TrainingPlan
from sktagger.commands._config import read_config_file
from sktagger.commands._experiment import load_tagger
from sktagger.commands._settings import make_config, parse_settings
from sktagger.training.callbacks import Checkpoint, load_checkpoint, save_checkpoint
from sktagger.training.setup import make_net

MEMORY = 2**30  # bytes beyond what the process has when all is imported
SECONDS = 60  # for one file; the slowest take a few
OUTPUT_WEIGHT = "cnn.convs.12.conv.weight"

# --- checkpoints whose content is wrong where it is used


@cache
def network():
    return make_walnet(2, sample_rate=8000, n_fft=512)


@cache
def net():  # which crafted files leave as it is
    tagger = WALNetTagger(sample_rate=8000, verbose=0)
    return make_net(tagger, tagger._get_network().resolve(), network())


RECORD = {
    "estimator": "WALNetTagger",
    "network": {"name": "WALNet", "version": 1, "settings": {"sample_rate": 8000}},
    "settings": {
        "lr": 1e-3,
        "init_from": None,
        "schedule": "one_cycle",
        "augmentation": None,
    },
    "seed": 0,
    "began": 0,
    "events": ["a", "b"],
    "events_dtype": "<U1",
    "multilabel": True,
    "clips": {name: torch.zeros((4, 2), dtype=torch.int64) for name in ("training", "validation")},
}
RECORD_2 = {name: RECORD[name] for name in RECORD if name not in ("estimator", "network")}
RECORD_2["settings"] = RECORD["settings"] | {"sample_rate": 8000}


@cache
def training_checkpoint():
    start = net()
    weights = list(start.module_.parameters())
    averages = [{"step": torch.tensor(1.0), "exp_avg": w, "exp_avg_sq": w} for w in weights]
    row = {"n_epochs": 1, "n_iterations": 2, "valid_loss": 1.0}
    row |= {"valid_mAP": 0.5, "valid_mAP_best": True}
    return {
        "format": 2,
        "n_iterations": 2,
        "n_clips": 4,
        "ended": False,
        "training": RECORD_2,
        "model": dict(start.module_.state_dict()),
        "optimizer": start.optimizer_.state_dict() | {"state": dict(enumerate(averages))},
        "plan": {"seed": 0, "epoch": 1, "step": 1, "iteration": 2},
        "history": [row | {"batches": []}],
    }


def resume(path):
    """Continue from a checkpoint; the best one is written here."""
    sizes = STFT().sizes(8000)
    plan = TrainingPlan(np.full(4, 8000), sizes, 8000, 2, None, 128, 0)
    intervals = SimpleNamespace(plan=plan, dataset=range(4), unit="epoch", total=2)
    checkpoint = Checkpoint(path.parent, on_mismatch="raise")
    os.replace(path, path.with_stem("latest"))
    best = path.with_stem("best")
    if not best.exists():
        present = path.suffix == ".safetensors"
        write, record = (save_checkpoint, RECORD) if present else (torch.save, RECORD_2)
        state = network().state_dict()
        write({"format": 2, "n_iterations": 2, "training": record, "model": state}, best)
    data = SimpleNamespace(intervals=intervals, validation=(), record=lambda: copy(RECORD))
    try:
        checkpoint.on_train_begin(net(), data)
    finally:
        checkpoint.release()


SHARED = ["x"] * 10
for _ in range(15):
    SHARED = [SHARED] * 10  # whose repr would be 10**16 characters long


def from_padertorch(path):
    stft = STFT(n_fft=512)
    return WALNetTagger.from_padertorch(path, classes=["a", "b"], sample_rate=8000, stft=stft)


def fine_tune(path):
    tagger = WALNetTagger(sample_rate=8000, init_from=path, verbose=0)
    tagger._make_module(0, np.array(["a"]), tagger._get_network().resolve(), continued=False)


def changed(*keys, to=None, drop=False):
    """Make a checkpoint with one change, at the end of some keys."""

    def make(path):
        inner = content = copy(training_checkpoint())
        for key in keys[:-1]:
            inner[key] = copy(inner[key])
            inner = inner[key]
        if drop:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = to(inner.get(keys[-1])) if callable(to) else to
        torch.save(content, path)

    return make


def foreign(make):
    """Make a checkpoint as another program does, which does not say that it is of sktagger."""

    def make_foreign(path):
        make(path)
        content = torch.load(path, weights_only=True)
        torch.save({key: value for key, value in content.items() if key != "format"}, path)

    return make_foreign


BIAS = "cnn.convs.3.conv.bias"
NAN = torch.full((32,), torch.nan)
WEIGHTS = {
    "no dict": (changed("model", to=[1]), "model|no WALNet|type list"),
    "numbers": (changed("model", to={"x": 3}), "is missing"),
    "missing": (changed("model", BIAS, drop=True), f"'{BIAS}' is missing"),
    "no tensor": (changed("model", BIAS, to="x"), f"'{BIAS}' is of type str"),
    "shape": (changed("model", BIAS, to=torch.zeros(31)), rf"'{BIAS}' .* of shape \(31,\)"),
    "type": (changed("model", BIAS, to=lambda x: x.long()), f"'{BIAS}' is torch.int64"),
    "NaN": (changed("model", BIAS, to=NAN), f"'{BIAS}' holds NaN"),
    "extra": (changed("model", "x", to=NAN), "It has no 'x'"),
    "no row": (changed("model", OUTPUT_WEIGHT, to=torch.tensor(1.0)), "conv.weight"),
}
STATES = {
    "format": (changed("format", to=99), "at format: got 99; allowed is 1 to 3"),
    "format, shared lists": (changed("format", to=SHARED), "at format: got .*\\.\\.\\."),
    "no format": (changed("format", drop=True), "at format"),
    "training": (changed("training", to=[1]), "at training: got list; allowed is an object"),
    "training, no": (changed("training", drop=True), "at training"),
    "training, settings": (changed("training", "settings", to=3), "at training, settings"),
    "training, names": (changed("training", "settings", to={1: 2}), "at training, settings"),
    "training, shared lists": (
        changed("training", "settings", "lr", to=SHARED), "another training .*lr: .*\\.\\.\\."
    ),
    "training, seed": (changed("training", "seed", to="x"), "at training, seed"),
    "training, events": (changed("training", "events", to=[[1]]), "at training, events"),
    "training, clips": (changed("training", "clips", to={"x": 1}), "at training, clips"),
    "training, digests": (
        changed("training", "clips", "training", to=torch.zeros(4, 2)), "at training, clips"
    ),
    "training, other": (
        changed("training", "events", to=["a", "c"]), "another training .*only there 'c'"
    ),
    "plan": (changed("plan", to=[1]), "at plan"),
    "plan, negative": (changed("plan", "epoch", to=-1), "at plan, epoch: got -1; allowed is an i"),
    "plan, bool": (changed("plan", "epoch", to=True), "at plan"),
    "plan, step": (changed("plan", "step", to=10**15), "at plan: step=10{15} lies beyond the 2 b"),
    "plan, seed": (changed("plan", "seed", to=-1), "at plan"),
    "plan, key": (changed("plan", "x", to=1), "at plan"),
    "clips": (changed("n_clips", to=torch.zeros(2)), "at n_clips: got .*; allowed is an integer"),
    "clips, negative": (changed("n_clips", to=-1), "at n_clips"),
    "history": (changed("history", to={"a": 1}), "at history"),
    "history, row": (changed("history", to=[1]), "at history"),
    "history, empty": (changed("history", to=[]), "at history: got none; allowed is an int"),
    "history, count": (changed("history", 0, to={"n_epochs": -1}), "at history"),
    "history, mAP": (
        changed("history", to=lambda rows: [rows[0] | {"valid_mAP": "high"}]), "at history"
    ),
    "history, lists": (
        changed("history", to=lambda rows: [rows[0] | {"x": [1]}]), "at history, interval 0: got l"
    ),
    "history, untrained": (
        changed("history", to=lambda rows: [rows[0] | {"n_iterations": 0}]), "with iterations"
    ),
    "ended": (changed("ended", to=1), "at ended"),
    "optimizer": (changed("optimizer", to=1), "at optimizer"),
    "optimizer, groups": (changed("optimizer", "param_groups", to=[]), "at optimizer"),
    "optimizer, lr": (
        changed("optimizer", "param_groups", to=lambda groups: [groups[0] | {"lr": "x"}]),
        "at optimizer",
    ),
    "optimizer, index": (changed("optimizer", "state", to={10**9: {}}), "at optimizer"),
    "optimizer, average": (
        changed("optimizer", "state", 0, "exp_avg", to=torch.zeros(3)),
        r"at optimizer, weight 0: .*'exp_avg' is torch.float32 of shape \(3,\)",
    ),
    "optimizer, missing": (
        changed("optimizer", "state", 0, "exp_avg", drop=True), "'exp_avg' is missing"
    ),
}  # fmt: skip

# --- saved taggers


@cache
def saved_header(path):
    """Save a tagger, and give what its header says."""
    tagger = WALNetTagger(sample_rate=8000, verbose=0)
    tagger._restore(np.array(["a", "b"]), network().state_dict()).save(path)
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["sktagger"])


def header(change=None, **changes):
    """Save a tagger, and change what its header says (text, if it is changed by a function)."""

    def make(path):
        tensors = {key: x.contiguous() for key, x in network().state_dict().items()}
        params = changes.get("params", {})
        content = saved_header(path) | changes
        if isinstance(params, dict):
            saved = saved_header(path)
            own = {key: params[key] for key in params if key in saved["network"]["settings"]}
            others = {key: params[key] for key in params if key not in own}
            content["params"] = saved["params"] | others
            if own:
                settings = saved["network"]["settings"] | own
                content["network"] = saved["network"] | {"settings": settings}
        content = change(tensors, json.dumps(content)) if change else json.dumps(content)
        save_file(tensors, path, metadata={"sktagger": content})

    return make


def tensors(**changes):
    def change(tensors, content):
        for name, value in changes.items():
            name = name.replace("__", ".")
            tensors.pop(name, None) if value is None else tensors.update({name: value})
        return content

    return header(change)


def raw(content, n_bytes=None):
    """Make a file of safetensors from the text of its own header."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    n_bytes = len(content) if n_bytes is None else n_bytes
    return lambda path: path.write_bytes(struct.pack("<Q", n_bytes) + content + b"\0" * 8)


def lying(dtype="F32", shape=(2,), offsets=(0, 8)):
    return raw({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})


def params(**values):
    return header(params=values)


TAGGERS = {
    "header beyond the file": (raw(b"{}", 10**6), "damaged"),
    "header of exabytes": (raw(b"{}", 2**63), "would have 9223372036854775808 bytes"),
    "header is no JSON": (raw(b"{{{{"), "damaged"),
    "header is deep": (raw(b'{"a":' * 10**5), "damaged"),
    "offsets beyond the file": (lying(shape=(2**40,), offsets=(0, 2**42)), "damaged"),
    "offsets and shape": (lying(shape=(2**62, 2**62)), "damaged"),
    "offsets reversed": (lying(offsets=(8, 0)), "damaged"),
    "unknown dtype": (lying(dtype="os.mkdir"), "damaged"),
    "metadata is deep": (header(lambda _, text: "[" * 10**5), "levels deep"),
    "metadata is NaN": (
        header(lambda _, text: text.replace('"n_iter": 0', '"n_iter": NaN')),
        "NaN",
    ),
    "metadata twice": (header(lambda _, text: '{"format": 1, "format": 1}'), "more than once"),
    "metadata is a list": (header(lambda _, text: "[]"), "damaged"),
    "newer format": (header(format=99, version="9.9"), r"format 99, written by sktagger 9\.9"),
    "format of digits": (header(format=2**62), "Upgrade"),
    "format, text": (header(format="1"), "damaged"),
    "format, bool": (header(format=True), "at format"),
    "format, negative": (header(format=-1), "at format"),
    "params, list": (header(params=[1]), "type list"),
    "params, unknown": (params(os_system="true"), "'os_system'"),
    "params, memory": (params(memory="."), "'memory'"),
    "params, init_from": (params(init_from="best.pt"), "'init_from'"),
    "params, callbacks": (params(callbacks=["os.mkdir"]), "'callbacks'"),
    "params, device": (params(device="cuda"), "'device'"),
    "params, type": (params(lr="fast"), "'lr' parameter"),
    "params, code": (params(augmentation="os.mkdir"), "'augmentation' parameter"),
    "params, group": (params(stft={"os": 1}), "unknown settings of stft"),
    "params, group of lists": (params(stft=[1]), "'stft' parameter"),
    "params, window": (params(stft={"window": ["kaiser", "x"]}), "window="),
    "params, huge window": (params(stft={"win_length": 10**15}), "win_length=10{15}"),
    "params, huge FFT": (params(stft={"n_fft": 2**20}), "needed is .*524289, 128"),
    "params, huge rate": (params(sample_rate=10**15), "win_length="),
    "estimator": (header(estimator="Popen"), "at estimator"),
    "estimator, list": (header(estimator=["WALNetTagger"]), "at estimator"),
    "network": (header(network=1), "got the network 1; known are WALNet"),
    "network, unknown": (header(network={"name": "os.mkdir"}), "network 'os.mkdir'; known are"),
    "network, list": (header(network={"name": ["WALNet"]}), "got the network .*; known are"),
    "network, version": (header(network={"name": "WALNet", "version": 10**9}), "got version"),
    "network, version, text": (header(network={"name": "WALNet", "version": "1"}), "got version"),
    "network, settings": (header(network={"name": "WALNet", "settings": [1]}), "not an object"),
    "network, setting": (
        header(network={"name": "WALNet", "settings": {"os": 1}}),
        "unknown settings of network",
    ),
    "network, pooling": (params(pooling=[1]), "'pooling' parameter"),
    "classes, count": (header(classes=["a"] * 10**6), "at classes"),
    "classes, equal": (header(classes=["a", "a"]), "at classes"),
    "classes, nested": (header(classes=[["a"], ["b"]]), "at classes"),
    "classes, none": (header(classes=[]), "at classes"),
    "classes, object": (header(classes={"a": 1, "b": 2}), "at classes"),
    "classes, long": (header(classes=["a" * 10**6, "b"]), "at classes"),
    "classes, cut": (header(classes=["aa", "ab"], classes_dtype="<U1"), "at classes"),
    "dtype, huge": (header(classes_dtype="<U999999999"), "at classes_dtype"),
    "dtype, array": (header(classes_dtype="(999999999,)f8"), "at classes_dtype"),
    "dtype, other": (header(classes_dtype="os.mkdir"), "at classes_dtype"),
    "multilabel": (header(multilabel=1), "at multilabel"),
    "n_iter": (header(n_iter=-1), "at n_iter"),
    "thresholds": (header(thresholds="0.5"), "at thresholds"),
    "thresholds, count": (header(thresholds=["0.5"]), "at thresholds"),
    "thresholds, number": (header(thresholds=["0.5", "x"]), "damaged"),
    "thresholds, NaN": (header(thresholds=["0.5", "nan"]), "at thresholds"),
    "tensor missing": (tensors(cnn__convs__3__conv__bias=None), f"'{BIAS}' is missing"),
    "tensor extra": (tensors(extra=torch.ones(3)), "It has no 'extra'"),
    "tensor, shape": (tensors(cnn__convs__3__conv__bias=torch.ones(3)), r"shape \(3,\)"),
    "tensor, type": (tensors(cnn__convs__3__conv__bias=torch.ones(32).double()), "torch.float64"),
    "tensor, NaN": (tensors(cnn__convs__3__conv__bias=NAN), "holds NaN"),
    "kind": (header(kind="network"), "of the kind 'network', which a newer version"),
}

# --- checkpoints of the present format: safetensors, with JSON in the metadata


@cache
def checkpoint_parts():
    """Give what a checkpoint says in JSON, and its tensors."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "x.safetensors")
        save_checkpoint(training_checkpoint() | {"training": RECORD}, path)
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["sktagger"])
            return header, {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118


def says(*keys, to=None, drop=False):
    """Make a checkpoint with one change of its JSON, at the end of some keys."""

    def make(path):
        header, content = checkpoint_parts()
        inner = header = deepcopy(header)
        for key in keys[:-1]:
            inner = inner[key]
        if drop:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = to(inner.get(keys[-1])) if callable(to) else to
        save_file(content, path, metadata={"sktagger": json.dumps(header)})

    return make


def says_text(change):
    """Make a checkpoint whose JSON is another text."""

    def make(path):
        header, content = checkpoint_parts()
        save_file(content, path, metadata={"sktagger": change(json.dumps(header))})

    return make


def has(name, tensor=None):
    """Make a checkpoint with another tensor; None: without it."""

    def make(path):
        header, content = checkpoint_parts()
        content = {key: x for key, x in content.items() if key != name}
        content |= {} if tensor is None else {name: tensor}
        save_file(content, path, metadata={"sktagger": json.dumps(header)})

    return make


def row_with(**values):
    return says("history", to=lambda rows: [rows[0] | values])


UNREADABLE = {
    **{name: (make, "cannot be read") for name, (make, _) in TAGGERS.items() if name.startswith(
        ("header", "offsets", "unknown dtype"))},
    "metadata of another program": (
        lambda path: save_file({"x": torch.ones(1)}, path, metadata={"x": "1"}), "no metadata"
    ),
    "no metadata": (lambda path: save_file({"x": torch.ones(1)}, path), "no metadata of sktagger"),
    "huge metadata": (says_text(lambda text: text + " " * 2**24), "bytes, more than 16777216"),
    "metadata is deep": (says_text(lambda _: "[" * 10**5), "levels deep"),
    "metadata is a deep object": (says_text(lambda _: '{"a":' * 10**5), "levels deep"),
    "metadata is NaN": (says("n_clips", to=np.nan), "at n_clips: got NaN"),
    "metadata is infinite": (says("history", 0, "valid_mAP", to=np.inf), "got Infinity"),
    "metadata twice": (says_text(lambda text: text[:-1] + ', "format": 3}'), "more than once"),
    "metadata is a list": (says_text(lambda _: "[]"), "no JSON object, but of type list"),
    "metadata is cut": (says_text(lambda text: text[:-1]), "not JSON"),
    "huge integer": (says("n_clips", to=10**30), "beyond 64 bits"),
    "half a character": (says("training", "events", 0, to="\ud800"), "half a character"),
    "tagger": (header(), "saved tagger: WALNetTagger.load or TunedThresholdTagger.load reads it"),
    "tagger that says so": (header(kind="tagger"), "WALNetTagger.load or TunedThresholdTagger.l"),
    "kind": (says("kind", to="network"), "of the kind 'network'"),
    "kind, list": (says("kind", to=["checkpoint"]), "of the kind"),
    "newer format": (says("format", to=99), "has the format 99, written by sktagger .* Upgrade"),
    "format of pickles": (says("format", to=2), "at format: got 2; allowed is an integer from 3"),
    "format, text": (says("format", to="3"), "at format"),
    "format, bool": (says("format", to=True), "at format"),
    "no format": (says("format", drop=True), "at format: got None"),
    "unknown key": (says("os.mkdir", to="x"), "unknown key 'os.mkdir'"),
    "model in JSON": (says("model", to={"x": 1}), "unknown key 'model'"),
    "tensor, name": (has("x", torch.ones(1)), "the tensor 'x'"),
    "tensor, no name": (has("model.", torch.ones(1)), "the tensor 'model.'"),
    "tensor, average": (has("optimizer.0.momentum", torch.ones(1)), "the tensor 'optimizer.0.mo"),
    "tensor, index": (has("optimizer.01.step", torch.ones(1)), "the tensor 'optimizer.01.step'"),
    "tensor, huge index": (has(f"optimizer.1{'0' * 30}.step", torch.ones(1)), "the tensor 'opti"),
    "tensor, clips": (has("clips.eval", torch.ones(1)), "the tensor 'clips.eval'"),
}  # fmt: skip
CONTINUED = {
    "no model": (
        lambda path: save_file(
            {k: x for k, x in checkpoint_parts()[1].items() if not k.startswith("model.")},
            path,
            metadata={"sktagger": json.dumps(checkpoint_parts()[0])},
        ),
        "is missing",
    ),
    "weight, missing": (has(f"model.{BIAS}"), f"'{BIAS}' is missing"),
    "weight, shape": (has(f"model.{BIAS}", torch.zeros(31)), rf"'{BIAS}' .* of shape \(31,\)"),
    "weight, type": (has(f"model.{BIAS}", torch.zeros(32).double()), f"'{BIAS}' is torch.float64"),
    "weight, NaN": (has(f"model.{BIAS}", NAN), f"'{BIAS}' holds NaN"),
    "weight, extra": (has("model.x", NAN), "It has no 'x'"),
    "many weights": (
        lambda path: save_file(
            checkpoint_parts()[1] | {f"model.{k}": torch.ones(0) for k in range(50_000)},
            path,
            metadata={"sktagger": json.dumps(checkpoint_parts()[0])},
        ),
        "It has no '",
    ),
    "training": (says("training", to=[1]), "at training: got list"),
    "training, no": (says("training", drop=True), "at training: got NoneType"),
    "training, settings": (says("training", "settings", to=3), "at training, settings: got 3"),
    "training, estimator": (says("training", "estimator", to=1), "at training, estimator"),
    "training, network": (says("training", "network", to="WALNet"), "at training, network"),
    "training, other network": (
        says("training", "network", "settings", "pooling", to="mean"), "another training .*network"
    ),
    "training, seed": (says("training", "seed", to="x"), "at training, seed"),
    "training, began": (says("training", "began", to=-1), "at training, began"),
    "training, events": (says("training", "events", to=[[1]]), "at training, events"),
    "training, dtype": (says("training", "events_dtype", to=1), "at training, events_dtype"),
    "training, multilabel": (says("training", "multilabel", to=1), "at training, multilabel"),
    "training, other": (says("training", "events", to=["a", "c"]), "only there 'c'"),
    "no clips": (has("clips.training"), "at training, clips"),
    "clips, type": (has("clips.training", torch.zeros(4, 2)), "at training, clips"),
    "clips, shape": (has("clips.training", torch.zeros(8).long()), "at training, clips"),
    "n_iterations": (says("n_iterations", to=-1), "at n_iterations: got -1"),
    "n_iterations, no": (says("n_iterations", drop=True), "at n_iterations: got nothing"),
    "plan": (says("plan", to=[1]), "at plan"),
    "plan, no": (says("plan", drop=True), "at plan: got nothing"),
    "plan, negative": (says("plan", "epoch", to=-1), "at plan, epoch: got -1"),
    "plan, bool": (says("plan", "epoch", to=True), "at plan, epoch: got True"),
    "plan, step": (says("plan", "step", to=10**15), "at plan: step=10{15} lies beyond the 2 b"),
    "plan, seed": (says("plan", "seed", to=2**32), "at plan, seed"),
    "plan, key": (says("plan", "x", to=1), "at plan: got the unknown key 'x'"),
    "clips": (says("n_clips", to=[4]), "at n_clips"),
    "ended": (says("ended", to=1), "at ended"),
    "history": (says("history", to={"a": 1}), "at history"),
    "history, no": (says("history", drop=True), "at history: got nothing"),
    "history, row": (says("history", to=[1]), "at history: got 1; allowed are objects"),
    "history, empty": (says("history", to=[]), "at history: got none"),
    "history, huge": (says("history", to=[[]] * 2**21), r"at history: got \[\]; allowed are"),
    "history, huge objects": (says("history", to=[{}] * 2**21), r"at history: got \{\}"),
    "optimizer, huge": (says("optimizer_groups", to=[{}] * 2**21), "at optimizer"),
    "history, many keys": (
        says("history", to=[{f"{k:x}": 0 for k in range(10**6)}]),
        "at history: got .*allowed are objects",
    ),
    "history, count": (row_with(n_epochs=-1), "at history, interval 0, n_epochs: got -1"),
    "history, mAP": (row_with(valid_mAP="high"), "at history, interval 0, valid_mAP"),
    "history, mAP, object": (row_with(valid_mAP={"float": "1"}), "at history, interval 0, valid_m"),
    "history, mAP, code": (row_with(valid_mAP={"float": ["nan"]}), "at history, interval 0, valid"),
    "history, object": (row_with(x={"float": "nan", "x": 1}), "at history, interval 0: got lists"),
    "history, best": (row_with(valid_mAP_best=1), "at history, interval 0, valid_mAP_best"),
    "history, no best": (row_with(valid_mAP_best=False), "at history: got none"),
    "optimizer, groups": (says("optimizer_groups", to=[]), "at optimizer"),
    "optimizer, no groups": (says("optimizer_groups", drop=True), "at optimizer: got None"),
    "optimizer, list": (says("optimizer_groups", to=[1]), "at optimizer"),
    "optimizer, lr": (says("optimizer_groups", 0, "lr", to="x"), "at optimizer"),
    "optimizer, lr, negative": (says("optimizer_groups", 0, "lr", to=-1.0), "at optimizer"),
    "optimizer, betas": (says("optimizer_groups", 0, "betas", to=[0.5, 0.5]), "at optimizer"),
    "optimizer, fused": (says("optimizer_groups", 0, "fused", to=True), "at optimizer"),
    "optimizer, weights": (says("optimizer_groups", 0, "params", to=[0]), "at optimizer"),
    "optimizer, index": (
        has("optimizer.999999999.step", torch.tensor(1.0)), "at optimizer: got 999999999"
    ),
    "optimizer, average": (
        has("optimizer.0.exp_avg", torch.zeros(3)),
        r"at optimizer, weight 0: .*'exp_avg' is torch.float32 of shape \(3,\)",
    ),
    "optimizer, type": (
        has("optimizer.0.step", torch.tensor(1)), "at optimizer, weight 0: .*'step' is torch.int64"
    ),
    "optimizer, NaN": (
        has("optimizer.0.step", torch.tensor(torch.nan)), "at optimizer, weight 0: .*'step' holds N"
    ),
    "optimizer, missing": (has("optimizer.0.exp_avg"), "'exp_avg' is missing"),
}  # fmt: skip
LOADED = {
    **{name: CONTINUED[name] for name in CONTINUED if name.startswith(("weight", "no model"))},
    "settings": (says("training", "settings", to=3), "at training, settings: got 3"),
    "settings, unknown": (says("training", "settings", "os", to=1), "the parameter 'os'"),
    "settings, type": (says("training", "settings", "lr", to="x"), "'lr' parameter"),
    "settings, code": (
        says("training", "settings", "augmentation", to="os.mkdir"), "'augmentation' parameter"
    ),
    "settings, group": (
        says("training", "network", "settings", "stft", to={"os": 1}), "unknown settings of stft"
    ),
    "settings, huge": (
        says("training", "network", "settings", "stft", to={"n_fft": 2**20}),
        "needed is .*524289, 128",
    ),
    "events, count": (says("training", "events", to=["a"] * 10**6), "at classes"),
    "events, equal": (says("training", "events", to=["a", "a"]), "at classes"),
    "events, nested": (says("training", "events", to=[["a"], ["b"]]), "at training, events"),
    "events, dtype": (says("training", "events_dtype", to="<U999999999"), "at classes_dtype"),
    "multilabel": (says("training", "multilabel", to=1), "at training, multilabel"),
    "iterations": (says("n_iterations", to=-1), "at n_iterations"),
}  # fmt: skip

# --- JSON and TOML


def written(content):
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def database(**clip):
    return written({"datasets": {"eval": {"c": {"audio_path": "a.wav", "events": []} | clip}}})


def events(count, **more):
    return database(events=[f"event {k}" for k in range(count)] + more.get("last", []))


DATABASES = {
    "deep lists": (written('{"datasets": ' + "[" * 10**6), "levels deep"),
    "deep objects": (written('{"datasets": ' * 10**5), "levels deep"),
    "NaN": (written('{"datasets": NaN}'), "got NaN"),
    "infinity": (written('{"datasets": -Infinity}'), "got -Infinity"),
    "many NaN": (written("[" + "NaN, " * 10**5 + "1]"), r"at \[0\]: got NaN"),
    "same key": (written('{"datasets": {}, "datasets": {}}'), "'datasets' more than once"),
    "many same keys": (written("{" + '"a": 1, ' * 10**5 + '"a": 1}'), "more than once"),
    "huge integer": (written('{"datasets": ' + "9" * 10**6 + "}"), "beyond 64 bits"),
    "half a character": (written('{"datasets": {"\\ud800": {}}}'), "half a character"),
    "UTF-16": (written("{}".encode("utf-16")), "not UTF-8"),
    "empty": (written(""), "an empty file"),
    "mark alone": (written(b"\xef\xbb\xbf"), "an empty file"),
    "pickle": (written(dumps(Bomb())), "not UTF-8"),
    "list": (written([]), "at the top level"),
    "sets": (written({"datasets": [1]}), "at datasets"),
    "set": (written({"datasets": {"eval": 1}}), r"at datasets\['eval'\]"),
    "clip": (written({"datasets": {"eval": {"c": 1}}}), r"\['c'\]: got 1"),
    "path": (database(audio_path=["a"]), r"\['audio_path'\]"),
    "null in path": (database(audio_path="a\0b"), "no null character"),
    "event": (database(events=[1]), r"\['events'\]\[0\]"),
    "event, long": (database(events=["a" * 10**6]), "fewer than 1000"),
    "100,000 events": (events(10**5, last=["event 7"]), "'event 7' again"),
    "length": (database(audio_length="1"), "audio_length"),
    "samples": (database(audio_stop_samples=1.5), "audio_stop_samples"),
}
TOML = {
    "deep lists": (written("tagger = " + "[" * 50_000), "nested"),
    "deep objects": (written("tagger = " + "{a = " * 10_000), "nested"),
    "long key": (written("tagger" + ".a" * 30_000 + " = 1"), "more than 100 parts"),
    "long quoted key": (written("tagger" + '."%"' * 15_000 + " = 1"), "more than 100 parts"),
    "long header": (written("[tagger" + ".a" * 30_000 + "]"), "more than 100 parts"),
    "same key": (written("tagger = {}\ntagger = {lr = 1}"), "cannot be read as TOML"),
    "NaN": (written("min_length = nan"), "at min_length: got nan"),
    "infinity": (written("min_length = 1e999"), "at min_length: got inf"),
    "huge integer": (written("min_length = 0x" + "f" * 60_000), "beyond 64 bits"),
    "date": (written("min_length = 2020-01-01"), "a date or time"),
    "huge": (written("# " * 2**16), "limit for TOML is 65536"),
    "long value": (written("tagger = [" + "1," * 30_000 + "1]"), r"got \[1, 1, [1, .]+\]; allowed"),
    "bytes": (written(b"\xff\xfe\x00"), "not UTF-8"),
    "memory": (written("tagger = {memory = 'cache'}"), "--set memory=DIR"),
    "YAML": (lambda path: path.write_text("tagger: {}"), "cannot be read as TOML"),
}
CONFIGS = {
    "deep": (written('{"tagger": ' + "[" * 10**5), "levels deep"),
    "NaN": (written('{"min_length": NaN}'), "got NaN"),
    "same key": (written('{"recipe": "default", "recipe": "default"}'), "more than once"),
    "bytes": (written(b'{"\xff": 1}'), "not UTF-8"),
    "empty": (written(""), "an empty file"),
    "huge": (written(b" " * 2**21), "limit for JSON is 1048576"),
    "memory": (written({"tagger": {"memory": "cache"}}), "--set memory=DIR"),
}

# --- the directory of an experiment


def experiment(path):
    """Evaluate an experiment of which one file was crafted; `path` names which."""
    return load_tagger(path.parent)


def experiment_files(directory):
    (directory / "checkpoints").mkdir(exist_ok=True)
    config = make_config(
        "a.json", training_set="a", validation_set="b", recipe="default", min_length=0,
        unknown_events="error",
        tagger={"here": {"sample_rate": 8000, "verbose": 0}},
    )  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "events.json").write_text('["a", "b"]')
    torch.save({"model": network().state_dict()}, directory / "checkpoints" / "best.pt")
    return config


def with_config(change):
    def make(path):
        config = experiment_files(path.parent)
        change(config)
        path.write_text(json.dumps(config))

    return make


def with_events(content):
    return lambda path: (experiment_files(path.parent), written(content)(path))


EXPERIMENTS = {
    "config.json": {
        "no database": (with_config(lambda c: c.pop("database")), "at database: got nothing"),
        "unknown": (with_config(lambda c: c["tagger"].update(x=1)), "at tagger: .*'x'"),
        "callbacks": (with_config(lambda c: c["tagger"].update(callbacks=["x"])), "'callbacks'"),
        "type": (with_config(lambda c: c["tagger"].update(lr="x")), "at tagger: .*'lr'"),
        "group": (with_config(lambda c: c["tagger"].update(stft={"x": 1})), "at tagger: .*stft"),
    },
    "events.json": {
        "deep": (with_events("[" * 10**5), "levels deep"),
        "object": (with_events({"a": 1}), "list of distinct names"),
        "nested": (with_events([["a"], ["b"]]), "list of distinct names"),
        "equal": (with_events(["a", "a"]), "list of distinct names"),
        "long": (with_events(["a" * 1000, "b"]), "list of distinct names"),
    },
}

# what loads a file, its name, the crafted ones
TABLES = {
    "checkpoint": (load_checkpoint, "x.pt", CHECKPOINTS),
    "padertorch": (
        from_padertorch,
        "x.pt",
        {name: (foreign(make), text) for name, (make, text) in WEIGHTS.items()},
    ),
    "fine-tuning": (fine_tune, "x.pt", WEIGHTS),
    "resuming": (
        resume,
        "earlier/x.pt",
        STATES | {name: WEIGHTS[name] for name in ("missing", "NaN")},
    ),
    "safetensors": (load_checkpoint, "x.safetensors", UNREADABLE),
    "continuing": (resume, "present/x.safetensors", CONTINUED),
    "loading": (WALNetTagger.load, "y.safetensors", LOADED),
    "beginning": (
        fine_tune,
        "y.safetensors",
        {name: LOADED[name] for name in LOADED if name.startswith("weight")},
    ),
    "tagger": (WALNetTagger.load, "x.safetensors", TAGGERS),
    "database": (load_database, "x.json", DATABASES),
    "TOML": (read_config_file, "x.toml", TOML),
    "config": (read_config_file, "x.json", CONFIGS),
    **{name: (experiment, name, cases) for name, cases in EXPERIMENTS.items()},
}
CASES = [(table, name) for table, (*_, cases) in TABLES.items() for name in cases]


def run_all(directory):
    """Load every crafted file, and print what came of it, one JSON object a line."""
    import resource  # there is none on Windows

    os.chdir(directory)
    with open("/proc/self/statm") as file:
        present = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (present + MEMORY, present + MEMORY))
    for table, name in CASES:
        load, file_name, cases = TABLES[table]
        path = Path(directory, file_name)
        path.parent.mkdir(exist_ok=True)
        cases[name][0](path)
        begin = time.perf_counter()
        try:
            load(path)
            error = None
        except Exception as e:
            error = e
        named = path.with_stem("latest") if load is resume else path
        outcome = {
            "case": [table, name],
            "error": type(error).__name__,
            "message": str(error),
            "named": str(named) in str(error),
            "seconds": round(time.perf_counter() - begin, 3),
            "code": os.path.exists(SENTINEL),
        }
        print(json.dumps(outcome), flush=True)
        if outcome["code"]:
            os.rmdir(SENTINEL)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    directory = tmp_path_factory.mktemp("crafted")
    done = subprocess.run(
        [sys.executable, __file__, directory],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{CASES[len(lines)]}: {done.stderr[-2000:]}"
    return {tuple(line["case"]): line for line in lines}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
@pytest.mark.parametrize("case", CASES, ids=": ".join)
def test_crafted_file_is_refused(outcomes, case):
    table, name = case
    outcome = outcomes[case]
    assert outcome["error"] == "ValueError", outcome["message"]
    assert outcome["named"], outcome["message"]
    assert re.search(TABLES[table][2][name][1], outcome["message"])
    assert not outcome["code"]
    assert outcome["seconds"] < SECONDS


@pytest.mark.parametrize("name", ["top", "value", "nested", "key", "protocol 4"])
def test_the_code_would_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(CODE[name])
    assert Path(SENTINEL).exists()


def test_files_that_were_made_in_the_same_ways_load(tmp_path):
    path = tmp_path / "x.pt"
    for write in (write_archive, write_legacy):
        write(path, under_model(tensor()))
        assert load_checkpoint(path)["model"].tolist() == [0.0]
        write(path, dumps(GOOD))
        assert load_checkpoint(path) == GOOD
    foreign(changed("plan", "step", to=0))(path)
    assert len(from_padertorch(path).classes_) == 2
    changed("plan", "step", to=0)(path)
    fine_tune(path)
    resume(path)
    assert not (tmp_path / "latest.pt").exists()  # it was replaced
    path = tmp_path / "x.safetensors"
    says("plan", "step", to=0)(path)
    assert load_checkpoint(path)["n_iterations"] == 2
    assert len(WALNetTagger.load(path).classes_) == 2
    fine_tune(path)
    resume(path)
    says("training", "clips", to={"training": 1})(path)  # tensors stand in their place
    assert load_checkpoint(path)["training"]["clips"].keys() == {"training", "validation"}
    row_with(valid_mAP={"float": "nan"}, x={"float": "-inf"})(path)
    assert load_checkpoint(path)["history"][0]["x"] == -np.inf
    resume(path)
    header()(path)
    assert WALNetTagger.load(path).n_iter_ == 0
    database()(path)
    assert len(load_database(path).table("eval")) == 1
    experiment_files(tmp_path)
    assert len(load_tagger(tmp_path).classes_) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("[" * 10**5, "[" * 10**5),
        ("9" * 10**4, "9" * 10**4),
        ("__import__('os').mkdir('x')", "__import__('os').mkdir('x')"),
    ],
    ids=["number", "deep", "huge", "code"],
)
def test_settings_of_the_command_line_are_data(text, value):
    assert parse_settings([f"lr={text}"]) == {"lr": value}


if __name__ == "__main__":
    run_all(Path(sys.argv[1]))
