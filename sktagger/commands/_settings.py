"""Settings of a tagger from several layers: recipe, config file, and options of the command.

PyTorch is imported only inside functions, so that other errors appear without waiting for it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sktagger import __version__
from sktagger._utils.files import expand_path
from sktagger._utils.json import parse_json
from sktagger._utils.text import nearest
from sktagger.commands._config import CONFIG_FORMAT
from sktagger.commands._sources import check_source, find_source, network_of_source

if TYPE_CHECKING:
    from sktagger import AudioTagger

Layers = Mapping[str, Mapping[str, Any]]

RECIPE, RECIPE_OPTION = "recipe", "--recipe"  # layers of the settings of a recipe

# Python users write these instead of null, true and false
_CONSTANTS = {"None": None, "True": True, "False": False}
_PACKAGES = ("torch", "scikit-learn", "skorch", "numpy", "scipy", "pandas", "soundfile", "soxr")


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn ``NAME=VALUE`` strings into parameters.

    Parameters
    ----------
    assignments : iterable of str
        A value is strict JSON, or ``None``, ``True`` or ``False``; anything else is a string.

    Returns
    -------
    dict
        Such as ``augmentation__mixup_prob``, for ``augmentation.mixup_prob``.

    Raises
    ------
    ValueError
        If a string has no name or no ``=``.
    """
    settings = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise ValueError(f"--set {assignment!r} must have the form NAME=VALUE.")
        try:
            value = parse_json(text)
        except ValueError:
            value = _CONSTANTS.get(text.strip(), text)
        settings[name.strip().replace(".", "__")] = value
    return settings


def check_init_from(layers: Layers) -> None:
    """Raise FileNotFoundError if the file that training starts from does not exist.

    Parameters
    ----------
    layers : dict of str to dict
        Parameters by the place that they come from; later layers override earlier ones.
    """
    place = _place_of_source(layers)
    if place is not None:
        find_source(place, layers[place]["init_from"])


def make_config(
    database: str | os.PathLike[str],
    *,
    training_set: str,
    validation_set: str,
    recipe: str,
    min_length: float,
    unknown_events: str,
    tagger: Layers,
    estimator: str | None = None,
) -> dict[str, Any]:
    """Resolve the settings of a training to plain data that reproduces it.

    Parameters
    ----------
    database : str or PathLike
    training_set, validation_set, recipe, unknown_events : str
    min_length : float
        In seconds.
    tagger : dict of str to dict
        Parameters of the tagger by the place that they come from; later layers override earlier
        ones.
    estimator : {"WALNetTagger", "AudioTagger"} or None, default=None
        None: an AudioTagger if a layer sets `network`, or training starts from another network than
        WALNet; else a WALNetTagger.

    Returns
    -------
    dict
        The content of ``config.json``.

    Raises
    ------
    OSError
        If the source of the first weights cannot be read or fetched.
    ValueError
        If the parameters of the tagger are invalid, or the source is damaged or has weights of
        another network. The message names the layer.
    """
    from sktagger.training._params import network_to_json, params_to_json

    resolved = _resolve(estimator, tagger)
    network = resolved._get_network().resolve()
    params = resolved.get_params(deep=False) | {"augmentation": resolved._resolve_augmentation()}
    own = resolved._network_parameters
    resolved = resolved._with_network(network, **{k: v for k, v in params.items() if k not in own})
    if resolved.random_state is None:
        resolved.set_params(random_state=int(np.random.default_rng().integers(2**31)))
    described = network_to_json(network)
    return {
        "format": CONFIG_FORMAT,
        "database": str(expand_path(database).resolve()),
        "training_set": training_set,
        "validation_set": validation_set,
        "recipe": recipe,
        "min_length": min_length,
        "unknown_events": unknown_events,
        "estimator": type(resolved).__name__,
        "network": {key: described[key] for key in ("name", "version")},
        # a cache contains pickles, so a file, which anyone may have written, must not name it
        "tagger": params_to_json(resolved, left_out=("callbacks", "memory")),
        "versions": {
            "sktagger": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
    }


def make_tagger(
    config: Mapping[str, Any], place: str | Path, *, device: str | None = None
) -> AudioTagger:
    """Make the tagger of a config.

    Parameters
    ----------
    config : dict
        As :func:`make_config` returns it.
    place : str or Path
        Where it comes from, for error messages.
    device : str or None, default=None
        Replaces the device of the config. None: the config's.

    Returns
    -------
    AudioTagger
        Not fitted.

    Raises
    ------
    ValueError
        If a parameter is unknown or invalid.
    """
    from sktagger import taggers
    from sktagger.training._params import network_from_json, params_from_json, upgrade_params

    params = {name: value for name, value in config["tagger"].items() if name != "memory"}
    if device is not None:
        params["device"] = device
    try:
        if "network" in config:
            network_from_json(config["network"])  # its version must be known
        estimator = getattr(taggers, config.get("estimator", "WALNetTagger"))
        known = estimator().get_params(deep=False).keys() - {"callbacks"}
        tagger = estimator(**params_from_json(upgrade_params(params), known))
        tagger._check_settings()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}, at tagger: {error}") from error
    return tagger


def _resolve(estimator, layers):
    """Make the tagger of all layers; if it is invalid, say which layer makes it so."""
    layers = {place: dict(params) for place, params in layers.items()}
    init, found = _place_of_source(layers), None
    if init is not None:
        # if it is missing, `check_source` says so, after faults of the settings
        with suppress(FileNotFoundError):
            source = layers[init]["init_from"] = find_source(init, layers[init]["init_from"])
            found = network_of_source(init, source, stated=_states_network(estimator, layers))
    for place, params in layers.items():
        if "network" in params:
            params["network"] = _read_network(place, params["network"], found)
    base = _make_base(estimator, found, layers.values())
    _move_pooling(base, layers)
    known = _known_names(base, layers.values())
    for place, params in layers.items():
        _check_names(place, params, known)
    layers = _without_overridden(layers)
    try:
        tagger = _apply(base, layers.values())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_faulty_layer(base, layers, str(error))}: {error}") from error
    if init is not None:
        check_source(init, tagger, found)
    return tagger


def _place_of_source(layers):
    """Give the layer that says where the first weights come from; None if there are none."""
    for place, params in _without_overridden(layers).items():
        if params.get("init_from") is not None:
            return place
    return None


def _states_network(estimator, layers):
    return estimator == "WALNetTagger" or any("network" in params for params in layers.values())


def _read_network(place, content, found):
    """Read the network in a layer; if only its name is there, it is as in the source, `found`."""
    from sktagger.training._params import network_from_json

    if found is not None and content == type(found).__name__:
        return found
    try:
        return network_from_json({"name": content} if isinstance(content, str) else content)
    except ValueError as error:
        raise ValueError(f"{place}, at network: {error}.") from error


def _move_pooling(base, layers):
    """Name the pooling of a recipe as the tagger does, in place; refuse other networks."""
    from sktagger.networks import WALNet

    if "network" not in base.get_params(deep=False):
        return
    networks = [params["network"] for params in layers.values() if "network" in params]
    network = [base.network, *networks][-1]
    for place in (RECIPE_OPTION, RECIPE):
        if "pooling" not in layers.get(place, {}):
            continue
        if not isinstance(network, WALNet):
            raise ValueError(
                f"{place}: its settings are those of a training of WALNet, but the network is "
                f"{type(network).__name__}. Leave the recipe out, and --set what you need of it, "
                "or name the network by --network."
            )
        layers[place]["network__pooling"] = layers[place].pop("pooling")


def _without_overridden(layers):
    """Drop the settings that a later layer overrides: they have no effect, even if wrong."""
    kept, later = {}, set()
    for place, params in reversed(layers.items()):
        kept[place] = {
            name: value
            for name, value in params.items()
            if not later & {name, name.partition("__")[0]}
        }
        later |= params.keys()
    return dict(reversed(kept.items()))


def _faulty_layer(base, layers, fault):
    """Find the first layer from which on the settings have this fault.

    Settings can be wrong together, such as `fmin` of one layer with `sample_rate` of a later one.
    Without the later layer, there is no fault or another one, so the later layer is to blame.
    """
    places = list(layers)
    while len(places) > 1 and _fault(base, [layers[place] for place in places[:-1]]) == fault:
        places.pop()
    return places[-1]


def _fault(base, layers):
    try:
        _apply(base, layers)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _apply(base, layers):
    """Make a tagger with the settings of some layers, and check it."""
    from sklearn.base import clone

    from sktagger.taggers._continuing import check_beginning

    tagger = clone(base)
    for params in layers:
        # copies, because a later layer may change the settings of a network
        tagger.set_params(**clone(params, safe=False))
    tagger._check_settings()
    check_beginning(tagger, tagger._get_network().resolve())
    return tagger


def _make_base(estimator, found, layers):
    """Make a tagger with the defaults, where `found` is the network of the first weights.

    Its groups are objects, so that all their settings have names.
    """
    from sktagger import STFT, AudioTagger, Augmentation, WALNetTagger
    from sktagger.networks import WALNet
    from sktagger.taggers._parameters import AUGMENTATIONS

    if estimator is None:
        other = found is not None and not isinstance(found, WALNet)
        named = any("network" in params for params in layers)
        estimator = "AudioTagger" if other or named else "WALNetTagger"
    if estimator == "AudioTagger":
        network = WALNet(stft=STFT()) if found is None else found
        given = [params["network"] for params in layers if params.get("network") is not None]
        name = (given[-1] if given else network).default_augmentation
        return AudioTagger(network, augmentation=AUGMENTATIONS[name]())
    settings = found.get_params(deep=False) if isinstance(found, WALNet) else {"stft": STFT()}
    return WALNetTagger(**settings, augmentation=Augmentation())


def _known_names(base, layers):
    """List the parameters that layers can set, among them those of their networks."""
    from sklearn.base import clone

    known = set(base.get_params())
    for params in layers:
        if "network" in known and "network" in params:
            known |= set(clone(base).set_params(network=params["network"]).get_params())
    return known - {"callbacks"}


def _check_names(place, params, known):
    for name in params:
        if name not in known:
            dotted = sorted(key.replace("__", ".") for key in known)
            name = name.replace("__", ".")
            raise ValueError(
                f"{place}: the tagger has no parameter {name!r}{nearest(name, dotted)}. The "
                f"parameters are {', '.join(dotted)}."
            )
