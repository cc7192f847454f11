"""Checkpoints as safetensors: tensors by name, everything else as JSON in the metadata.

In memory, a checkpoint is a dict as ``torch.save`` wrote it up to format 2; so all formats are
checked and used alike.
"""

import json
import math
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as to_safetensors

from sktagger import __version__
from sktagger._utils.json import parse_json
from sktagger.training._file_kinds import MAX_HEADER, METADATA_KEY, read_header

CHECKPOINT_FORMAT = 3
_FIRST_FORMAT = 3  # as safetensors; earlier ones are pickles
_KIND = "checkpoint"
# keys of the JSON that are the same in memory
_PLAIN_KEYS = ("n_iterations", "plan", "n_clips", "ended")
_OWN_KEYS = ("kind", "format", "version", "training", "history", "optimizer_groups")
_TENSOR_NAME = re.compile(
    r"model\.(?P<weight>.+)"
    r"|optimizer\.(?P<index>0|[1-9][0-9]{0,8})\.(?P<average>exp_avg|exp_avg_sq|step)"
    r"|clips\.(?P<clips>training|validation)",
    re.DOTALL,
)
_NOT_FINITE = ("nan", "inf", "-inf")


class OtherKindError(ValueError):
    """The file is not damaged, but of another kind or of a newer format; the message says which."""


def checkpoint_to_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    """Turn a checkpoint into the content of its file.

    Parameters
    ----------
    checkpoint : dict
        As :func:`read_checkpoint` gives it. "format" and "version" are replaced.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError, TypeError
        If it could not be read again.
    """
    model, optimizer = checkpoint.get("model", {}), checkpoint.get("optimizer")
    tensors = {f"model.{name}": tensor for name, tensor in model.items()}
    header = {"kind": _KIND, "format": CHECKPOINT_FORMAT, "version": __version__}
    header |= {key: checkpoint[key] for key in _PLAIN_KEYS if key in checkpoint}
    if "training" in checkpoint:
        training = dict(checkpoint["training"])
        for name, digests in training.pop("clips", {}).items():
            tensors[f"clips.{name}"] = digests
        header["training"] = training
    if "history" in checkpoint:
        header["history"] = [_row_to_json(row) for row in checkpoint["history"]]
    if optimizer is not None:
        header["optimizer_groups"] = optimizer["param_groups"]
        for index, averages in optimizer["state"].items():
            for name, tensor in averages.items():
                tensors[f"optimizer.{index}.{name}"] = tensor
    unknown = checkpoint.keys() - {"format", "version", "model", "optimizer", "training", "history"}
    unknown -= set(_PLAIN_KEYS)
    if unknown:
        raise ValueError(f"it has the unknown key {min(map(str, unknown))!r}")
    _check_names(tensors)
    text = json.dumps(header, separators=(",", ":"))
    parse_json(text)
    # copies: safetensors takes contiguous tensors that share no memory
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content = to_safetensors(copies, metadata={METADATA_KEY: text})
    n_bytes = int.from_bytes(content[:8], "little")
    if n_bytes > MAX_HEADER:
        raise ValueError(
            f"its header has {n_bytes} bytes, of which {MAX_HEADER} are allowed; names of events "
            "and the history of the training take most of them"
        )
    return content


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Parameters
    ----------
    path : Path
        File of safetensors.

    Returns
    -------
    dict
        "model": tensors by name; "optimizer": "state" and "param_groups", as PyTorch's optimizers
        take them; "training": record of the training; and plain data. Only the names of the keys
        and tensors are checked.

    Raises
    ------
    OtherKindError
        If it is of another kind, or of a newer format.
    SafetensorError, struct.error, LookupError, TypeError, ValueError
        If it is damaged.
    """
    header = read_header(path)
    _check_header(header)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        _check_names(names)
        # copies: the tensors of an open file lie in the file itself, which may be replaced
        tensors = {name: file.get_tensor(name).clone() for name in names}
    checkpoint = {"format": header["format"], "version": header.get("version"), "model": {}}
    checkpoint |= {key: header[key] for key in _PLAIN_KEYS if key in header}
    clips, state = {}, {}
    for name, tensor in tensors.items():
        part = _TENSOR_NAME.fullmatch(name)
        if part is None:  # _check_names has refused it
            continue
        if part["weight"] is not None:
            checkpoint["model"][part["weight"]] = tensor
        elif part["clips"] is not None:
            clips[part["clips"]] = tensor
        else:
            state.setdefault(int(part["index"]), {})[part["average"]] = tensor
    if "training" in header:
        training = header["training"]
        checkpoint["training"] = (
            {**training, "clips": clips} if isinstance(training, dict) else training
        )
    if "optimizer_groups" in header or state:
        checkpoint["optimizer"] = {
            "state": dict(sorted(state.items())),
            "param_groups": _change_items(_group_from_json, header.get("optimizer_groups")),
        }
    if "history" in header:
        checkpoint["history"] = _change_items(_row_from_json, header["history"])
    return checkpoint


def _check_header(header):
    kind, version = header.get("kind"), header.get("format")
    if kind in (None, "tagger"):
        raise OtherKindError(
            "is not a checkpoint; it looks like a saved tagger: WALNetTagger.load or "
            "TunedThresholdTagger.load reads it"
        )
    if kind != _KIND:
        raise OtherKindError(f"is not a checkpoint; it is of the kind {kind!r:.40}")
    if type(version) is not int or version < _FIRST_FORMAT:
        raise ValueError(
            f"at format: got {version!r:.40}; allowed is an integer from {_FIRST_FORMAT} up"
        )
    if version > CHECKPOINT_FORMAT:
        raise OtherKindError(
            f"has the format {version}, written by sktagger {header.get('version')!s:.20}; this "
            f"version, {__version__}, reads formats up to {CHECKPOINT_FORMAT}. Upgrade sktagger"
        )
    unknown = [key for key in header if key not in _PLAIN_KEYS + _OWN_KEYS]
    if unknown:
        raise ValueError(f"it has the unknown key {unknown[0]!r:.40}")


def _check_names(names):
    for name in names:
        if not _TENSOR_NAME.fullmatch(name):
            raise ValueError(
                f"it has the tensor {name!r:.80}; names begin with 'model.', 'optimizer.' or "
                "'clips.'"
            )


def _row_to_json(row):
    return {key: _to_json(value) for key, value in row.items() if key != "batches"}


def _to_json(value):
    # JSON has no NaN and no infinity; no other value of a row is an object
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _row_from_json(row):
    # first, because other rows, such as {}, could grow to many times their size in the file
    if not isinstance(row, dict) or "n_iterations" not in row:
        got = f"{reprlib.repr(row):.60}"
        raise ValueError(f"at history: got {got}; allowed are objects with n_iterations")
    for key, value in row.items():
        row[key] = _from_json(value)
    row["batches"] = []


def _from_json(value):
    if isinstance(value, dict) and value.keys() == {"float"} and value["float"] in _NOT_FINITE:
        return float(value["float"])
    return value


def _group_from_json(group):
    """Restore the tuples of an optimizer's settings, such as "betas"."""
    for key, value in group.items() if isinstance(group, dict) else ():
        if isinstance(value, list) and key != "params":
            group[key] = tuple(value)


def _change_items(function, items):
    """Change the items of a list; anything else stays, and is refused when it is used."""
    for item in items if isinstance(items, list) else ():
        function(item)
    return items
