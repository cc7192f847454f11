"""What a training is made of, so that a checkpoint knows which one it belongs to."""

import hashlib

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from sktagger._utils.files import expand_path
from sktagger.training._params import (
    dtype_name,
    network_to_json,
    params_to_json,
    plain,
    split_network,
    upgrade_params,
)
from sktagger.training.weighting import mean_one

# these change neither the plan of batches nor what is learned from them, or are recorded otherwise
_LEFT_OUT = ("callbacks", "memory", "device", "n_jobs", "verbose", "on_error", "cross_fit")
_LEFT_OUT += ("warm_start", "random_state", "augmentation", "init_from")


def describe_training(tagger, network, seed, targets, train, validation, *, began) -> dict:
    """Record what a training is made of.

    Parameters
    ----------
    tagger : BaseTagger
    network : Network
        Resolved.
    seed : int
        Seed of the training.
    targets : Targets
        Of all clips given to `fit`, for the events.
    train : tuple
        Clips, indicator (n_clips, n_events), and weights (n_clips,) to train on.
    validation : tuple or None
        Clips and indicator to validate on.
    began : int
        Number of batches that the network had been trained on before.

    Returns
    -------
    dict
        Plain data and tensors, as a checkpoint holds them. "seed" is None where the tagger has no
        seed of its own, so that any will do.
    """
    settings = params_to_json(tagger, left_out=(*_LEFT_OUT, *tagger._network_parameters))
    settings["augmentation"] = plain(tagger._resolve_augmentation())
    settings["init_from"] = name_source(tagger.init_from)
    fixed = isinstance(tagger.random_state, int | np.integer)
    clips = {"training": _digests(*train)}
    if validation is not None:
        clips["validation"] = _digests(*validation, np.ones(len(validation[1])))
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


def check_record(record, require) -> None:
    """Check that a record, which may come from anywhere, has the form of one.

    Parameters
    ----------
    record : object
    require : callable
        Takes whether something holds, the place, and what is allowed there.
    """
    require(isinstance(record, dict), "training", "a record of what the training is made of")
    counts = {"began": (int,), "seed": (int, type(None)), "multilabel": (bool,)}
    for name, types in counts.items():
        require(type(record.get(name)) in types, f"training, {name}", "what sktagger writes")
    settings, events, clips = (record.get(name) for name in ("settings", "events", "clips"))
    require(isinstance(settings, dict), "training, settings", "a dict of settings")
    require(isinstance(record.get("estimator"), str), "training, estimator", "the name of a class")
    require(isinstance(record.get("network"), dict), "training, network", "name and settings")
    require(isinstance(record.get("events_dtype"), str), "training, events_dtype", "a type's name")
    names = isinstance(events, list) and all(isinstance(e, str | int | float) for e in events)
    require(names, "training, events", "a list of names or numbers")
    known = isinstance(clips, dict) and clips.keys() <= {"training", "validation"}
    require(known and "training" in clips, "training, clips", "digests of the training clips")
    for digests in clips.values():
        require(
            isinstance(digests, torch.Tensor)
            and digests.dtype == torch.int64
            and digests.ndim == 2
            and digests.shape[1] == 2,
            "training, clips",
            "a digest of each clip and one of its events",
        )


def upgrade_record(record):
    """Bring a record of a format that did not name the network to today's form."""
    if not isinstance(record, dict) or not isinstance(record.get("settings"), dict):
        return record  # checked afterwards
    network, settings = split_network(upgrade_params(record["settings"]))
    return {**record, "estimator": "WALNetTagger", "network": network, "settings": settings}


def differences(there: dict, here: dict) -> list[str]:
    """Say in what two trainings differ.

    Parameters
    ----------
    there, here : dict
        Records, `there` of a checkpoint, `here` of the present training.

    Returns
    -------
    list of str
        Empty if they are the same.
    """
    found = []
    names = here["settings"].keys() | there["settings"].keys()
    if _can_be_extended(here["settings"]):
        names -= {"max_epochs", "max_iterations"}
    for name in sorted(names):
        found += _unequal(name, there["settings"].get(name), here["settings"].get(name))
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


def _can_be_extended(settings):
    """Say whether the length of a training changes nothing of what comes before its end."""
    augmentation = settings["augmentation"]
    return (
        settings["schedule"] == "constant"
        and (augmentation or {}).get("final_weak_fraction", 0) == 0
    )


def _unequal(name, there, here):
    if isinstance(there, dict) and isinstance(here, dict):
        found = []
        for key in sorted(there.keys() | here.keys()):
            found += _unequal(f"{name}.{key}", there.get(key), here.get(key))
        return found
    # numbers of equal value are equal settings, 1 and True are not
    same = there == here and isinstance(there, bool) == isinstance(here, bool)
    return [] if same else [f"{name}: {there!r:.60} there, {here!r:.60} here"]


def other_events(there: list, here: list) -> list[str]:
    """Say in what the events of two trainings differ; an empty list if they do not."""
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
                f"{int(changed.sum())} of {len(here)} {name} {what} are others (the first: {first})"
            )
    return found


def _digests(clips, indicator, weights):
    """Digest each clip, and its events and weight: Tensor of shape (n_clips, 2), int64."""
    digests = np.empty((len(clips), 2), np.int64)
    columns = np.column_stack([indicator, mean_one(weights)]).astype(np.float32)
    for index in range(len(clips)):
        digests[index] = _digest(*clips.identity(index)), _digest(columns[index].tobytes())
    return torch.from_numpy(digests)


def _digest(*parts):
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little", signed=True)


def name_source(init_from) -> str | None:
    """Name what a training begins with: a file by path and content, a tagger by its weights."""
    if init_from is None:
        return None
    if isinstance(init_from, FrozenEstimator):
        init_from = init_from.estimator
    if not hasattr(init_from, "module_"):
        path = expand_path(init_from).absolute()
        # training that goes on does not need it any more
        return f"{path} ({_digest(path.read_bytes()):x})" if path.is_file() else str(path)
    state = init_from.module_.state_dict()
    return f"a tagger ({_digest(*(x.cpu().numpy().tobytes() for x in state.values())):x})"
