"""The record of a training in its checkpoints: settings, seed, events, and digests of clips.

It tells whether a checkpoint belongs to the training that is about to begin.
"""

import hashlib
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from sktagger._utils.files import expand_path
from sktagger._utils.schema import Field, check_object, is_count
from sktagger.pretrained._models import names_model
from sktagger.training._params import (
    dtype_name,
    network_to_json,
    params_to_json,
    plain,
    split_network,
    upgrade_params,
)
from sktagger.training.weighting import mean_one

# These change neither the batches nor what is learned from them, or are recorded separately.
_LEFT_OUT = ("callbacks", "memory", "device", "n_jobs", "verbose", "on_error", "cross_fit")
_LEFT_OUT += ("warm_start", "random_state", "augmentation", "init_from")


def _are_digests(clips):
    return (
        isinstance(clips, Mapping)
        and "training" in clips
        and clips.keys() <= {"training", "validation"}
        and all(map(_is_digest_table, clips.values()))
    )


def _is_digest_table(digests):
    return (
        isinstance(digests, torch.Tensor)
        and digests.dtype == torch.int64
        and digests.ndim == 2
        and digests.shape[1] == 2
    )


_FIELDS = {
    "settings": Field(
        "an object of settings by name",
        lambda x: isinstance(x, Mapping) and all(type(name) is str for name in x),
    ),
    "estimator": Field("the name of a class", lambda x: isinstance(x, str)),
    "network": Field(
        "an object of name, version and settings",
        lambda x: isinstance(x, Mapping) and isinstance(x.get("settings"), Mapping),
    ),
    "seed": Field("null or an integer from 0 up", lambda x: x is None or is_count(x)),
    "began": Field("an integer from 0 up", is_count),
    "events": Field(
        "a list of names or numbers",
        lambda x: isinstance(x, list) and all(isinstance(event, str | int | float) for event in x),
    ),
    "events_dtype": Field("the name of a NumPy type", lambda x: isinstance(x, str)),
    "multilabel": Field("true or false", lambda x: type(x) is bool),
    "clips": Field(
        "two 64-bit digests for each clip, under 'training' and, if any, 'validation'",
        _are_digests,
    ),
}


# settings that records of earlier versions do not have, and their values then
_ADDED = {"freeze_norms": False, "head_init": "random"}
_ADDED_TO_AUGMENTATION = {"time_warp": 0.0, "mixup_domain": "stft", "noise": 0.0}


def describe_training(
    tagger, network, seed, targets, train, validation, *, began
) -> dict[str, Any]:
    """Record what a training is made of.

    Parameters
    ----------
    tagger : BaseTagger
    network : Network
        Resolved.
    seed : int
        Seed of the training.
    targets : Targets
        Those of all clips given to `fit`; the record takes the events from them.
    train : tuple
        Clips, indicator (n_clips, n_events), weights (n_clips,), and EventTimes or None to train
        on.
    validation : tuple or None
        The same to validate on.
    began : int
        Number of batches that the network was trained on before this training.

    Returns
    -------
    dict
        Plain data, and tensors under "clips", as a checkpoint holds them. "seed" is None if the
        tagger has `random_state=None`: then a checkpoint with any seed will do.
    """
    settings = params_to_json(tagger, left_out=(*_LEFT_OUT, *tagger._network_parameters))
    settings["augmentation"] = plain(tagger._resolve_augmentation())
    for name in ("lr", *_ADDED):
        settings[name] = plain(tagger._resolve(name, network))
    settings["init_from"] = name_source(tagger.init_from)
    if tagger._first_stage is not None:
        state, thresholds = tagger._first_stage
        settings["first_stage"] = f"{_digest_state({**state, 'thresholds': thresholds}):x}"
    fixed = isinstance(tagger.random_state, int | np.integer)
    clips = {"training": _digests(*train)}
    if validation is not None:
        clips["validation"] = _digests(*validation)
    return {
        "estimator": type(tagger).__name__,
        "network": network_to_json(network),
        "settings": settings,
        "seed": seed if fixed else None,
        "began": began,
        "events": [plain(event) for event in targets.classes.tolist()],
        "events_dtype": dtype_name(targets.classes),
        "multilabel": targets.multilabel,
        "clips": clips,
    }


def check_record(record: Any, fault: Callable[[str, str, str], Exception]) -> None:
    """Check that a record, which may come from anywhere, has the form of one.

    Parameters
    ----------
    record : object
    fault : callable
        Makes an error from the place, what is there, and what is allowed.
    """
    check_object(record, _FIELDS, fault, place="training", others=True)


def upgrade_record(record: Any) -> Any:
    """Bring a record of a format that did not name the network to that of today.

    Parameters
    ----------
    record : object
        May come from anywhere; it is checked afterwards.

    Returns
    -------
    object
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("settings"), Mapping):
        return record
    network, settings = split_network(upgrade_params(record["settings"]))
    return {**record, "estimator": "WALNetTagger", "network": network, "settings": settings}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Say how two trainings differ.

    Parameters
    ----------
    there, here : dict
        Records: `there` is that of a checkpoint, `here` that of the present training.

    Returns
    -------
    list of str
        Empty if they are the same training.
    """
    found = []
    names = here["settings"].keys() | there["settings"].keys()
    if _can_be_extended(here["settings"]):
        names -= {"max_epochs", "max_iterations"}
    for name in sorted(names):
        found += _unequal(name, *(_setting(record["settings"], name) for record in (there, here)))
    for part in ("name", "version", "settings"):
        label = "network" if part == "name" else f"network.{part}"
        found += _unequal(label, there["network"].get(part), here["network"].get(part))
    found += _unequal("seed", there["seed"], here["seed"])
    found += _unequal("number of batches trained on before", there["began"], here["began"])
    if there["multilabel"] != here["multilabel"]:
        found.append("one of them has 1-D labels, the other does not")
    found += other_events(there["events"], here["events"])
    for name in ("training", "validation"):
        found += _other_clips(name, there["clips"].get(name), here["clips"].get(name))
    return found


def _setting(settings, name):
    """Return a setting as the version that wrote the record used it."""
    value = settings.get(name, _ADDED.get(name))
    if name == "augmentation" and isinstance(value, Mapping):
        return {**_ADDED_TO_AUGMENTATION, **value}
    return value


def _can_be_extended(settings):
    """Say whether a longer training begins with the same batches and learning rates."""
    augmentation = settings["augmentation"]
    return (
        settings["schedule"] == "constant"
        and (augmentation or {}).get("final_weak_fraction", 0) == 0
    )


def _unequal(name, there, here):
    if isinstance(there, dict) and isinstance(here, dict):
        found = []
        for key in sorted(there.keys() | here.keys(), key=str):
            found += _unequal(f"{name}.{key}", there.get(key), here.get(key))
        return found
    # 1 and 1.0 are the same setting; 1 and True are not
    same = there == here and isinstance(there, bool) == isinstance(here, bool)
    # the repr of lists that share lists, as files may hold them, may be far larger than they are
    shown = [f"{reprlib.repr(value):.60}" for value in (there, here)]
    return [] if same else [f"{name}: {shown[0]} there, {shown[1]} here"]


def other_events(there: list, here: list) -> list[str]:
    """Say how the events of two trainings differ; an empty list if they are the same."""
    if there == here:
        return []
    only_there = [event for event in there if event not in here]
    only_here = [event for event in here if event not in there]
    if not only_there and not only_here:
        return ["the events are in another order"]
    parts = [
        f"{where} {', '.join(ascii(event) for event in events[:3])}" + ", ..." * (len(events) > 3)
        for where, events in (("only there", only_there), ("only here", only_here))
        if events
    ]
    return [f"events: {'; '.join(parts)}"]


def _other_clips(name, there, here):
    if there is None and here is None:
        return []
    if there is None or here is None:
        return [f"{name} clips: {'none there' if there is None else 'none here'}"]
    if len(there) != len(here):
        return [f"{name} clips: {len(there)} there, {len(here)} here"]
    found = []
    for what, changed in zip(("clips", "clips' events or weights"), (there != here).T, strict=True):
        if changed.any():
            first = int(changed.nonzero()[0])
            found.append(
                f"{int(changed.sum())} of {len(here)} {name} {what} differ (the first: {first})"
            )
    return found


def _digests(clips, indicator, weights, times):
    """Compute digests of each clip, and of its events and weight: int64 Tensor (n_clips, 2)."""
    digests = np.empty((len(clips), 2), np.int64)
    columns = np.column_stack([indicator, mean_one(weights)]).astype(np.float32)
    for index in range(len(clips)):
        of_clip = () if times is None else (x.tobytes() for x in times.of_clip(index))
        digests[index] = (
            _digest(*clips.identity(index)),
            _digest(columns[index].tobytes(), *of_clip),
        )
    return torch.from_numpy(digests)


def _digest(*parts):
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little", signed=True)


def name_source(init_from) -> str | None:
    """Name the source of the first weights: a file by path and content, a tagger by weights.

    A pretrained model has its own name, whatever the working directory.
    """
    if init_from is None:
        return None
    if isinstance(init_from, FrozenEstimator):
        init_from = init_from.estimator
    if names_model(init_from):
        return init_from
    if not hasattr(init_from, "module_"):
        path = expand_path(init_from).absolute()
        # JSON cannot hold a name that is not UTF-8
        name = str(path).encode("utf-8", "backslashreplace").decode()
        # a training that continues does not need the file, which may be gone
        return f"{name} ({_digest(path.read_bytes()):x})" if path.is_file() else name
    return f"a tagger ({_digest_state(init_from.module_.state_dict()):x})"


def _digest_state(state):
    return _digest(*(x.cpu().numpy().tobytes() for x in state.values()))
