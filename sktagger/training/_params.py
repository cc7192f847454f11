"""Convert the parameters of a tagger to plain data, for files, and back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sktagger.audio.augmentation import Augmentation
from sktagger.audio.spectral import STFT
from sktagger.networks import NETWORKS, Network

# parameters of a training or a machine, not of the trained tagger
LEFT_OUT = ("init_from", "freeze", "callbacks", "memory", "device", "n_jobs", "verbose")
_GROUPS = {"stft": STFT, "augmentation": Augmentation}


def params_to_json(tagger: BaseEstimator, left_out: Iterable[str] = LEFT_OUT) -> dict[str, Any]:
    """Convert a tagger's parameters to plain data.

    Parameters
    ----------
    tagger : BaseTagger
    left_out : iterable of str
        Parameters to leave out.

    Returns
    -------
    dict
        From it, :func:`params_from_json` makes the same parameters, including the types of numbers
        and of the events in `class_weight`.
    """
    params = tagger.get_params(deep=False)
    return {name: plain(value) for name, value in params.items() if name not in left_out}


def plain(value: Any) -> Any:
    """Convert a parameter to plain data.

    Parameters
    ----------
    value : object

    Returns
    -------
    dict, list, str, int, float, bool or None
        Values that are not groups, paths or numbers, and not plain data either, are returned
        unchanged.
    """
    if isinstance(value, Network):
        return network_to_json(value)
    if isinstance(value, BaseEstimator):  # a group of settings
        params = value.get_params(deep=False)
        return {name: plain(setting) for name, setting in params.items()}
    if isinstance(value, dict):  # class_weight; JSON allows only strings as keys
        pairs = [[plain(key), plain(weight)] for key, weight in value.items()]
        named = all(type(key) is str for key, _ in pairs)
        return dict(pairs) if named else pairs
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Real) and not isinstance(value, int | float):
        return float(value)  # for example a Fraction
    return value


def params_from_json(
    params: object, known: Iterable[str], networks: Sequence[type[Network]] = ()
) -> dict[str, Any]:
    """Convert plain data to a tagger's parameters.

    Parameters
    ----------
    params : dict
        Plain data from a file.
    known : iterable of str
        Names of parameters that are allowed.
    networks : sequence of class, default=()
        Networks that are allowed, in addition to those of :mod:`sktagger.networks`.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a parameter or a setting of a group is unknown. The tagger checks their values.
    """
    if not isinstance(params, dict):
        raise ValueError(f"got parameters of type {type(params).__name__}; allowed is an object")
    unknown = [name for name in params if name not in known]
    if unknown:
        raise ValueError(
            f"got the parameter {unknown[0]!r:.200}; allowed are {', '.join(sorted(known))}"
        )
    result = dict(params)
    weights = params.get("class_weight")
    if isinstance(weights, list):
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in weights):
            raise ValueError("got a class_weight that is not a list of pairs [event, weight]")
        result["class_weight"] = dict(weights)
    if isinstance(params.get("network"), dict):
        result["network"] = network_from_json(params["network"], networks)
    _make_groups(result)
    return result


def network_to_json(network: Network) -> dict[str, Any]:
    """Convert the settings of a network to plain data that names the network.

    Parameters
    ----------
    network : Network

    Returns
    -------
    dict
        `name`, `version` and `settings`.
    """
    params = network.get_params(deep=False)
    return {
        "name": type(network).__name__,
        "version": network.version,
        "settings": {name: plain(value) for name, value in params.items()},
    }


def network_from_json(content: Any, networks: Sequence[type[Network]] = ()) -> Network:
    """Convert plain data to the settings of a network.

    Parameters
    ----------
    content : object
        Untrusted data in the form of :func:`network_to_json`. If the version is missing, the latest
        one is meant.
    networks : sequence of class, default=()
        Networks that are allowed, in addition to those of :mod:`sktagger.networks`.

    Returns
    -------
    Network
        The values of its settings are not checked.

    Raises
    ------
    ValueError
        If the network or a setting is unknown, or the version is newer than this one.
    """
    known: dict[str, type[Network]] = {
        **NETWORKS,
        **{network.__name__: network for network in networks},
    }
    name = content.get("name") if isinstance(content, dict) else content
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"got the network {name!r:.80}; known are {', '.join(known)}. Pass networks of other "
            "packages as networks=[...] to the method load of a tagger."
        )
    network = known[name]
    version = content.get("version", network.version)
    if type(version) is not int or not 0 < version <= network.version:
        raise ValueError(
            f"got version {version!r:.20} of the network {name}; this version of sktagger reads "
            f"up to {network.version}. Upgrade sktagger"
        )
    settings = content.get("settings", {})
    if not isinstance(settings, dict):
        raise ValueError(f"got settings of {name} that are not an object")
    settings = dict(settings)
    _make_groups(settings)
    return _make("network", network, settings)


def _make_groups(params):
    """Replace the plain data of groups of settings by the groups."""
    for name, group in _GROUPS.items():
        if isinstance(params.get(name), dict):
            settings = dict(params[name])
            if isinstance(settings.get("window"), list):  # JSON has no tuples
                settings["window"] = tuple(settings["window"])
            params[name] = _make(name, group, settings)


def _make(name, group, settings):
    try:
        return group(**settings)
    except TypeError as error:
        raise ValueError(f"got unknown settings of {name} ({error})") from error


def upgrade_params(params: dict) -> dict:
    """Convert parameters in a file of an earlier format to the current names and values.

    Parameters
    ----------
    params : dict
        Parameters of a `WALNetTagger`, from a file that does not name the network.

    Returns
    -------
    dict
    """
    params = dict(params)
    augmentation = params.get("augmentation")
    if isinstance(augmentation, dict) and "refine" in augmentation:
        augmentation = dict(augmentation)
        augmentation["final_weak_fraction"] = augmentation.pop("refine")
        params["augmentation"] = augmentation
    if params.get("freeze") == "features":
        params["freeze"] = "backbone"
    return params


def split_network(params: dict) -> tuple[dict, dict]:
    """Separate the settings of WALNet from the other parameters of a `WALNetTagger`.

    Parameters
    ----------
    params : dict
        Plain data.

    Returns
    -------
    network : dict
        Settings in the form of :func:`network_to_json`.
    params : dict
        The other parameters.
    """
    names = ("sample_rate", "stft", "fmin", "pooling")
    settings = {name: params[name] for name in names if name in params}
    others = {name: value for name, value in params.items() if name not in names}
    return {"name": "WALNet", "version": 1, "settings": settings}, others


def dtype_name(events: np.ndarray) -> str:
    """Return the name of the dtype of an array of events, as `numpy.dtype` reads it."""
    return "object" if events.dtype == object else events.dtype.str
