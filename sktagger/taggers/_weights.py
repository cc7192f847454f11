"""Reading what `init_from` names: the weights that a training begins with."""

from __future__ import annotations

import os
from pathlib import Path

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sktagger._utils.files import expand_path
from sktagger._utils.json import parse_json
from sktagger.networks import Network, find_state
from sktagger.taggers import persistence
from sktagger.taggers._base import BaseTagger
from sktagger.targets._names import are_events
from sktagger.training._checkpoints import training_record
from sktagger.training._file_kinds import find_checkpoint, is_checkpoint, is_safetensors
from sktagger.training._params import network_from_json, split_network, upgrade_params
from sktagger.training.callbacks import load_checkpoint
from sktagger.training.fine_tuning import Weights


def read_weights(init_from, network: Network, estimators: dict) -> Weights:
    """Read the weights that a training begins with.

    Parameters
    ----------
    init_from : tagger, FrozenEstimator, str or PathLike
        Fitted tagger (as it is, or frozen), file of :meth:`sktagger.AudioTagger.save`, or
        checkpoint. The events of a checkpoint that does not hold them are read from an
        ``events.json`` in its directory or the one above, and its settings from a ``config.json``
        there, if there are any. Nothing in a file is executed.
    network : Network
        Of the training.
    estimators : dict of str to class
        Taggers that a file may name.

    Returns
    -------
    Weights

    Raises
    ------
    FileNotFoundError, NotFittedError
        If there is no such file, or the tagger is not fitted.
    TypeError
        If an estimator is frozen that is no tagger.
    ValueError
        If the file cannot be read safely, or holds no weights of this network.
    """
    if isinstance(init_from, FrozenEstimator):
        init_from = init_from.estimator
    if isinstance(init_from, BaseTagger):
        check_is_fitted(
            init_from,
            msg="init_from: this %(name)s is not fitted, but only a fitted one has weights to "
            "begin with. Call its fit first; in the grid of a search, which clones, give "
            "sklearn.frozen.FrozenEstimator(tagger) or a path.",
        )
        return _from_tagger(init_from, "the tagger")._replace(trusted=True)
    if not isinstance(init_from, str | os.PathLike):
        raise TypeError(
            f"init_from: the frozen estimator is a {type(init_from).__name__}, but it must be a "
            "fitted tagger, such as a WALNetTagger."
        )
    path = expand_path(init_from)
    if not path.is_file():
        best = [find_checkpoint(folder, "best") for folder in (path / "checkpoints", path)]
        hint = "".join(f" Give {str(file)!r}." for file in best if file is not None)
        raise FileNotFoundError(
            f"init_from: {str(path)!r} is no file. Give one that the method save of a tagger "
            f"wrote, or a checkpoint of a training.{hint}"
        )
    networks = () if type(network).__module__.startswith("sktagger.") else (type(network),)
    if is_safetensors(path) and not is_checkpoint(path):
        tagger, _ = persistence.load(path, estimators, device="cpu", tuned=None, networks=networks)
        return _from_tagger(tagger, repr(str(path)))
    return _from_checkpoint(path, network, networks)


def _from_tagger(tagger, name):
    return Weights(name, tagger.module_.state_dict(), tagger.classes_.tolist(), tagger.network_)


def _from_checkpoint(path, network, networks):
    checkpoint = load_checkpoint(path)
    name = repr(str(path))
    state, n_outputs = find_state(checkpoint, network, f"init_from: {name}")
    ours = type(checkpoint.get("format")) is int and "training" in checkpoint
    record = training_record(checkpoint, name) if ours else None
    if record is not None and len(record["events"]) == n_outputs:
        trained = network_from_json(record["network"], networks)
        return Weights(name, state, record["events"], trained)
    classes = _read_beside(path, "events.json")
    if classes is not None and not are_events(classes):
        raise ValueError(
            f"init_from: the events.json beside {name} is no list of distinct names. Correct it, "
            "or remove it: then only the layers before the head are used."
        )
    if classes is not None and len(classes) != n_outputs:
        raise ValueError(
            f"init_from: {name} has {n_outputs} outputs, but the events.json beside it names "
            f"{len(classes)} events. Correct events.json, or remove it: then only the layers "
            "before the head are used."
        )
    config = _read_beside(path, "config.json")
    try:
        ours = isinstance(config, dict) and isinstance(config.get("tagger"), dict)
        trained = _network_of(config["tagger"]) if ours else None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"init_from: the config.json beside {name} does not describe the network "
            f"({type(error).__name__}: {error}). Restore it, or remove it."
        ) from error
    return Weights(name, state, classes, trained)


def _read_beside(path, name):
    """Read a JSON file of the checkpoint's experiment; None if there is none."""
    files = [directory / name for directory in list(path.absolute().parents)[:2]]
    file = next(filter(Path.is_file, files), None)
    if file is None:
        return None
    try:
        return parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"init_from: {str(file)!r}, which belongs to the checkpoint {path.name!r}, cannot be "
            f"read as JSON ({error}). Restore it, or remove it."
        ) from error


def _network_of(params):
    """Give the network of an experiment's settings."""
    if "network" in params:
        network = network_from_json(params["network"])
    else:
        settings, _ = split_network(upgrade_params(params))
        if {"sample_rate", "stft", "fmin"} - settings["settings"].keys():
            raise ValueError("sample_rate, stft or fmin is missing")
        network = network_from_json(settings)
    network.validate()
    return network
