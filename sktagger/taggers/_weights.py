"""Read the initial weights of a training from a tagger or a file (`init_from`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sktagger._utils.files import expand_path
from sktagger._utils.json import parse_json
from sktagger.networks import NETWORKS, Network, find_state
from sktagger.pretrained import fetch, find_model
from sktagger.pretrained._models import names_model
from sktagger.taggers import persistence
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._foreign import UnknownNetworkError, is_public, read_foreign
from sktagger.targets import are_events
from sktagger.training._checkpoints import training_record
from sktagger.training._file_kinds import find_checkpoint, is_checkpoint, is_safetensors
from sktagger.training._params import network_from_json, split_network, upgrade_params
from sktagger.training.callbacks import load_checkpoint
from sktagger.training.fine_tuning import Weights


def read_weights(
    init_from: Any,
    network: Network | None,
    estimators: Mapping[str, type[BaseTagger]],
    *,
    progress: bool = True,
) -> Weights:
    """Read the initial weights of a training.

    Parameters
    ----------
    init_from : tagger, FrozenEstimator, str or PathLike
        Fitted tagger (frozen or not), file of :meth:`sktagger.AudioTagger.save`, checkpoint, or
        name of a pretrained model, see :func:`sktagger.pretrained.list_models`. If a checkpoint has
        no events, they are read from ``events.json`` in its directory or the one above, and the
        settings from ``config.json`` there, if these files exist. Nothing in a file is executed.
    network : Network or None
        Settings of the network to be trained. None: those of the source.
    estimators : dict of str to class
        Classes of taggers that a file may name.
    progress : bool, default=True
        Whether to show the progress of a download.

    Returns
    -------
    Weights

    Raises
    ------
    FileNotFoundError, NotFittedError
        If there is no such file, or the tagger is not fitted.
    OSError
        If a pretrained model cannot be fetched.
    TypeError
        If a frozen estimator is not a tagger.
    UnknownNetworkError
        If `network` is None and the source does not tell it.
    ValueError
        If the file cannot be read safely, or has no weights of such a network.
    """
    if isinstance(init_from, FrozenEstimator):
        init_from = init_from.estimator
    if isinstance(init_from, BaseTagger):
        check_is_fitted(
            init_from,
            msg="init_from: this %(name)s is not fitted, so it has no weights. Call its fit first. "
            "In the grid of a search, which clones estimators, give "
            "sklearn.frozen.FrozenEstimator(tagger) or a path.",
        )
        return _from_tagger(init_from, "the tagger")._replace(trusted=True)
    if not isinstance(init_from, str | os.PathLike):
        raise TypeError(
            f"init_from: the frozen estimator is a {type(init_from).__name__}, but it must be a "
            "fitted tagger, for example a WALNetTagger."
        )
    path = find_weights(init_from, progress=progress)
    if not path.is_file():
        best = [find_checkpoint(folder, "best") for folder in (path / "checkpoints", path)]
        hint = "".join(f" Give {str(file)!r}." for file in best if file is not None)
        raise FileNotFoundError(
            f"init_from: {str(path)!r} is not a file. Give a file that the method save of a tagger "
            f"wrote, or a checkpoint of a training.{hint}"
        )
    networks: tuple[type[Network], ...] = ()
    if network is not None and not type(network).__module__.startswith("sktagger."):
        networks = (type(network),)
    if is_safetensors(path) and not is_checkpoint(path):
        tagger, _ = persistence.load(path, estimators, device="cpu", tuned=None, networks=networks)
        return _from_tagger(tagger, repr(str(path)))
    return _from_checkpoint(path, network, networks)


def network_of(init_from: Any, estimators: Mapping[str, type[BaseTagger]]) -> Network:
    """Read the settings of the network that a training starts from. Nothing is fetched.

    Parameters
    ----------
    init_from : tagger, FrozenEstimator, str or PathLike
        See :func:`read_weights`.
    estimators : dict of str to class
        Classes of taggers that a file may name.

    Returns
    -------
    Network

    Raises
    ------
    Exception
        As in :func:`read_weights`.
    """
    if not isinstance(init_from, str | os.PathLike):
        network = read_weights(init_from, None, estimators).network
    elif names_model(init_from):
        return network_of_model(os.fspath(init_from))
    else:
        path = expand_path(init_from)
        status = path.stat() if path.is_file() else None
        version = None if status is None else (status.st_size, status.st_mtime_ns)
        network = _network_of_file(path, version, tuple(estimators.items()))
    return clone(network)


@lru_cache(maxsize=16)
def _network_of_file(path, version, estimators):
    """Read the settings in a file; `version` tells versions of the file apart."""
    return read_weights(path, None, dict(estimators)).network


def network_of_model(name: str) -> Network:
    """Make the settings of the network of a pretrained model.

    Parameters
    ----------
    name : str
        Name of the model.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If there is no such model.
    """
    model = find_model(name)
    return NETWORKS[model.network](**model.settings)


def find_weights(source: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """Find a file of weights, and fetch it if it is a pretrained model.

    Parameters
    ----------
    source : str or PathLike
        A file, or the name of a pretrained model. If both exist, it is the file.
    progress : bool, default=True
        Whether to show the progress of a download.

    Returns
    -------
    Path
        It may not exist.

    Raises
    ------
    OSError
        If a pretrained model cannot be fetched.
    """
    if names_model(source):
        return fetch(os.fspath(source), progress=progress)
    return expand_path(source)


def _from_tagger(tagger, name):
    return Weights(name, tagger.module_.state_dict(), tagger.classes_.tolist(), tagger.network_)


def _from_checkpoint(path, network, networks):
    checkpoint = load_checkpoint(path)
    name = repr(str(path))
    ours = type(checkpoint.get("format")) is int and "training" in checkpoint
    record = training_record(checkpoint, name) if ours else None
    trained = None if record is None else network_from_json(record["network"], networks)
    network = trained if network is None else network
    public = not ours and is_public(checkpoint, path)
    if network is None and not public:
        network = _network_beside(path)
    if network is None or public:
        try:
            return read_foreign(checkpoint, path, network)
        except ValueError as error:
            kind = UnknownNetworkError if isinstance(error, UnknownNetworkError) else ValueError
            raise kind(f"init_from: {error}") from error
    state, n_outputs = find_state(checkpoint, network, f"init_from: {name}")
    if record is not None and len(record["events"]) == n_outputs:
        return Weights(name, state, record["events"], trained)
    classes = _read_beside(path, "events.json")
    if classes is not None and not are_events(classes):
        raise ValueError(
            f"init_from: the events.json of {name} is not a list of distinct names. Correct it, "
            "or remove it: then only the layers before the head are used."
        )
    if classes is not None and len(classes) != n_outputs:
        raise ValueError(
            f"init_from: {name} has {n_outputs} outputs, but its events.json names "
            f"{len(classes)} events. Correct events.json, or remove it: then only the layers "
            "before the head are used."
        )
    described = _network_beside(path) if trained is None else trained
    return Weights(name, state, classes, described)


def _network_beside(path):
    """Read the network's settings in the config.json of a checkpoint; None if there is none."""
    config = _read_beside(path, "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("tagger"), dict):
        return None
    try:
        return _network_from_params(config["tagger"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"init_from: the config.json of {str(path)!r} does not describe the network "
            f"({type(error).__name__}: {error}). Restore it, or remove it."
        ) from error


def _read_beside(path, name):
    """Read a JSON file next to the checkpoint or one directory above; None if there is none."""
    files = [directory / name for directory in list(path.absolute().parents)[:2]]
    file = next(filter(Path.is_file, files), None)
    if file is None:
        return None
    try:
        return parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"init_from: {str(file)!r}, which belongs to the checkpoint {path.name!r}, is not "
            f"valid JSON ({error}). Restore it, or remove it."
        ) from error


def _network_from_params(params):
    """Make the network's settings from the parameters in an experiment's configuration."""
    if "network" in params:
        network = network_from_json(params["network"])
    else:
        settings, _ = split_network(upgrade_params(params))
        if {"sample_rate", "stft", "fmin"} - settings["settings"].keys():
            raise ValueError("sample_rate, stft or fmin is missing")
        network = network_from_json(settings)
    network.validate()
    return network
