"""Write checkpoints whole or not at all; read them without running code; check them before use."""

import json
import math
import os
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from skorch import NeuralNet

from sktagger._utils.files import expand_path, replacing
from sktagger._utils.json import parse_json
from sktagger._utils.schema import Field, check_object, is_count
from sktagger.networks import check_state
from sktagger.training._checkpoint_format import (
    CHECKPOINT_FORMAT,
    OtherKindError,
    checkpoint_to_bytes,
    read_checkpoint,
)
from sktagger.training._file_kinds import is_safetensors
from sktagger.training._record import check_record, differences, upgrade_record
from sktagger.training._torch_files import describe, read_torch_weights

_FORMAT_WITHOUT_RECORD = 1
_FORMAT_WITH_NETWORK = 3
_COUNT = Field("an integer from 0 up", is_count)
_POSITION = {
    "seed": Field(
        "an integer from 0 to 2**32 - 1",
        lambda seed: is_count(seed) and seed < 2**32,
        required=False,  # format 1 lacks it
    ),
    "epoch": _COUNT,
    "step": _COUNT,
    "iteration": _COUNT,
}
_FLOAT = Field("a number", lambda x: type(x) is float)
_ROW = {
    "batches": Field("an empty list", lambda x: type(x) is list and not x),
    "n_epochs": _COUNT,
    "n_iterations": _COUNT,
}
_VALIDATED_ROW = {
    "valid_mAP": _FLOAT,
    "valid_loss": _FLOAT,
    "valid_mAP_best": Field("true or false", lambda x: type(x) is bool),
}


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a checkpoint; if that is interrupted, an earlier file stays whole.

    Parameters
    ----------
    checkpoint : dict
        As :func:`load_checkpoint` gives those of sktagger. "format" and "version" are replaced.
    path : str or PathLike

    Raises
    ------
    ValueError
        If the file could not be read again.
    OSError
        If it cannot be written.
    """
    try:
        content = checkpoint_to_bytes(checkpoint)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Checkpoint {str(path)!r} cannot be written: {error}.") from error
    with replacing(path) as file:
        file.write(content)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Time and memory are bounded by the size of the file, whatever it says.

    Parameters
    ----------
    path : str or PathLike
        A checkpoint of sktagger, of any format, or a file of ``torch.save`` of any version.

    Returns
    -------
    dict
        Tensors, on the CPU, and plain data. The weights of sktagger's checkpoints are under
        "model"; entries beside it that hold NumPy objects are left out. The content is not checked
        further.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, holds anything but tensors and plain data, or is of another kind: then
        the message names the call that reads it.
    """
    path = expand_path(path)
    if path.is_dir():
        raise ValueError(
            f"Checkpoint {str(path)!r} is a directory. WALNetTagger.load reads the directory of an "
            "experiment; give one of its files here."
        )
    if not path.is_file():
        raise FileNotFoundError(f"Checkpoint {str(path)!r} does not exist.")
    return _load_safetensors(path) if is_safetensors(path) else read_torch_weights(path)


def _load_safetensors(path):
    try:
        return read_checkpoint(path)
    except OtherKindError as error:
        raise ValueError(f"{str(path)!r} {error}.") from error
    except Exception as error:
        raise ValueError(
            f"Checkpoint {str(path)!r} cannot be read ({describe(error)}). It is damaged, or "
            "sktagger did not write it."
        ) from error


def training_record(
    checkpoint: Mapping[str, Any], source: str, *, of: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Give the record of the training that wrote a checkpoint, checked.

    Parameters
    ----------
    checkpoint : dict
        From :func:`load_checkpoint`.
    source : str
        The file, for messages.
    of : dict or None, default=None
        Record of a training. If the checkpoint has a record, it must be the same.

    Returns
    -------
    dict or None
        None: the checkpoint is of the first format, which had no record.

    Raises
    ------
    ValueError
        If the checkpoint is of another format, lacks a record, or has that of another training.
    """
    fault = _fault_in(source)
    fields = {
        "format": Field(
            f"1 to {CHECKPOINT_FORMAT}, the formats that this version of sktagger reads",
            lambda version: is_count(version) and 0 < version <= CHECKPOINT_FORMAT,
        ),
        "n_iterations": _COUNT,
    }
    check_object(checkpoint, fields, fault, others=True)
    if checkpoint["format"] == _FORMAT_WITHOUT_RECORD:
        return None
    record = checkpoint.get("training")
    if checkpoint["format"] < _FORMAT_WITH_NETWORK:
        record = upgrade_record(record)
    check_record(record, fault)
    others = [] if of is None else differences(of, record)
    if others:
        got = f"another training ({'; '.join(others)})"
        raise fault("training", got, "the training of the latest checkpoint")
    return record


def check_storable(record: Mapping[str, Any]) -> None:
    """Check, before training, that checkpoints can hold a record of the training.

    Parameters
    ----------
    record : dict
        From :func:`sktagger.training._record.describe_training`.

    Raises
    ------
    ValueError
        If they cannot hold it, or not without change; so with events named by tuples or dates.
    """

    def fault(place, got, allowed):
        return ValueError(f"at {place}: got {got}; allowed is {allowed}")

    plain = {key: value for key, value in record.items() if key != "clips"}
    try:
        check_record(record, fault)
        if parse_json(json.dumps(plain)) != plain:
            raise ValueError("JSON would change it")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Checkpoint: the record of this training cannot be written ({error}). Name events by "
            "strings or finite numbers, or train without checkpoints."
        ) from error


def check_resumable(
    checkpoint: Mapping[str, Any], net: NeuralNet, source: str, *, validated: bool
) -> None:
    """Check everything in a checkpoint that continuing a training takes from it.

    Parameters
    ----------
    checkpoint : dict
        From :func:`load_checkpoint`; :func:`training_record` has checked its record.
    net : skorch.NeuralNet
        Initialized; it is not changed.
    source : str
        The file, for messages.
    validated : bool
        Whether the training has validation clips.

    Raises
    ------
    ValueError
        If something is missing, of a wrong type or out of range, or if a tensor does not fit or
        holds NaN or infinity. The message names the file and the place in it.
    """
    fault = _fault_in(source)
    fields = {
        "plan": Field("an object of seed, epoch, step and iteration", _is_object),
        "history": Field("a list of validation intervals", lambda x: type(x) is list),
        "optimizer": Field("the state of AdamW for these weights", _is_object),
        # format 1 lacks these
        "n_clips": _COUNT._replace(required=False),
        "ended": Field("true or false", lambda x: type(x) is bool, required=False),
    }
    check_object(checkpoint, fields, fault, others=True)
    check_object(checkpoint["plan"], _POSITION, fault, place="plan")
    _check_history(checkpoint["history"], fault, validated)
    check_state(checkpoint.get("model"), net.module_.state_dict(), source)
    _check_optimizer(checkpoint["optimizer"], net.optimizer_, source, fault)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Set an optimizer to the state of a checkpoint.

    The running averages get the memory layout of their weights, as in a training that was not
    interrupted; files hold no layout. With another one, steps would be slower.

    Parameters
    ----------
    optimizer : torch.optim.AdamW
    state : dict
        "state" and "param_groups", checked by :func:`check_resumable`.
    """
    weights = _weights(optimizer)
    averages = {
        index: {
            name: x.clone() if name == "step" else torch.empty_like(weights[index]).copy_(x)
            for name, x in tensors.items()
        }
        for index, tensors in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": averages})


def _fault_in(source: str) -> Callable[[str, str, str], Exception]:
    """Give the function that makes the error about a place in a checkpoint."""

    def fault(place, got, allowed):
        return ValueError(
            f"{source}, at {place}: got {got}; allowed is {allowed}. The file is damaged, or "
            "belongs to another training. Move it away to start training from the beginning."
        )

    return fault


def _check_history(rows, fault, validated):
    fields = _ROW | (_VALIDATED_ROW if validated else {})
    for index, row in enumerate(rows):
        place = f"history, interval {index}"
        check_object(row, fields, fault, place=place, others=True)
        values = (value for key, value in row.items() if key != "batches")
        if not all(isinstance(value, str | int | float | None) for value in values):
            raise fault(place, "lists or objects", "numbers and strings")
    if validated and not any(row["valid_mAP_best"] for row in rows):
        raise fault("history", "none", "an interval with the best valid_mAP")
    if validated and not any(row["n_iterations"] for row in rows):
        raise fault("history", "none", "an interval with iterations")


def _check_optimizer(given, optimizer, source, fault):
    groups, state = given.get("param_groups"), given.get("state")
    own = optimizer.state_dict()["param_groups"]
    if not (
        isinstance(groups, list)
        and len(groups) == len(own)
        and all(map(_is_like_group, groups, own))
    ):
        raise fault("optimizer", reprlib.repr(groups), "the settings of AdamW for these weights")
    if not isinstance(state, dict):
        raise fault("optimizer", type(state).__name__, "running averages by the weights' numbers")
    weights = _weights(optimizer)
    for index, averages in state.items():
        if not (is_count(index) and index < len(weights)):
            raise fault("optimizer", f"{index!r:.40}", f"numbers of weights, 0 to {len(weights)}")
        weight = weights[index]
        expected = {"step": torch.tensor(0.0), "exp_avg": weight, "exp_avg_sq": weight}
        check_state(averages, expected, f"{source}, at optimizer, weight {index}")


def _weights(optimizer):
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _is_like_group(group, own):
    """Say whether an optimizer's settings are its own, except for the values of numbers."""
    if not isinstance(group, dict) or not own.keys() <= group.keys():
        return False
    for name, value in group.items():
        if type(own.get(name, 0)) in (int, float):
            if not (type(value) in (int, float) and 0 <= value < math.inf):
                return False
        elif type(value) is not type(own[name]) or value != own[name]:
            return False
    return True


def _is_object(value):
    return isinstance(value, dict)
