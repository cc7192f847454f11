"""Settings of a tagger from several layers: recipe, config file, ``--recipe``, ``--set``.

PyTorch is imported only inside functions, so that other errors appear without waiting for it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sktagger import __version__
from sktagger._utils.files import expand_path
from sktagger._utils.json import parse_json
from sktagger._utils.text import nearest
from sktagger.commands._config import CONFIG_FORMAT

if TYPE_CHECKING:
    from sktagger import AudioTagger

Layers = Mapping[str, Mapping[str, Any]]

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
    for place, params in _without_overridden(layers).items():
        source = params.get("init_from")
        if isinstance(source, str | os.PathLike) and not expand_path(source).is_file():
            raise FileNotFoundError(
                f"{place}: init_from: the file {str(source)!r} does not exist. Give a checkpoint "
                "or a file that `save` wrote."
            )


def make_config(
    database: str | os.PathLike[str],
    *,
    training_set: str,
    validation_set: str,
    recipe: str,
    min_length: float,
    unknown_events: str,
    tagger: Layers,
    estimator: str = "WALNetTagger",
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
    estimator : {"WALNetTagger", "AudioTagger"}, default="WALNetTagger"

    Returns
    -------
    dict
        The content of ``config.json``.

    Raises
    ------
    ValueError
        If the parameters of the tagger are invalid. The message names the layer.
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
        "estimator": estimator,
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
    for place, params in layers.items():
        if "network" in params:
            params["network"] = _read_network(place, params["network"])
    known = _known_names(estimator, layers.values())
    for place, params in layers.items():
        _check_names(place, params, known)
    layers = _without_overridden(layers)
    for place, params in layers.items():
        if params.get("init_from") is not None:
            params["init_from"] = _absolute_path(place, params["init_from"])
    try:
        return _apply(estimator, layers.values())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_faulty_layer(estimator, layers, str(error))}: {error}") from error


def _read_network(place, content):
    from sktagger.training._params import network_from_json

    try:
        return network_from_json({"name": content} if isinstance(content, str) else content)
    except ValueError as error:
        raise ValueError(f"{place}, at network: {error}.") from error


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


def _faulty_layer(estimator, layers, fault):
    """Find the first layer from which on the settings have this fault.

    Settings can be wrong together, such as `fmin` of one layer with `sample_rate` of a later one.
    Without the later layer, there is no fault or another one, so the later layer is to blame.
    """
    places = list(layers)
    while len(places) > 1 and _fault(estimator, [layers[place] for place in places[:-1]]) == fault:
        places.pop()
    return places[-1]


def _fault(estimator, layers):
    try:
        _apply(estimator, layers)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _apply(estimator, layers):
    """Make a tagger with the settings of some layers, and check it."""
    tagger = _make_default(estimator)
    for params in layers:
        tagger.set_params(**params)
    tagger._check_settings()
    return tagger


def _make_default(estimator):
    """Make a tagger whose groups are objects, so that all their settings have names."""
    from sktagger import STFT, AudioTagger, Augmentation, WALNetTagger
    from sktagger.networks import WALNet

    if estimator == "AudioTagger":
        return AudioTagger(WALNet(stft=STFT()), augmentation=Augmentation())
    return WALNetTagger(stft=STFT(), augmentation=Augmentation())


def _known_names(estimator, layers):
    """List the parameters that layers can set, among them those of their networks."""
    tagger = _make_default(estimator)
    known = set(tagger.get_params())
    for params in layers:
        if estimator == "AudioTagger" and "network" in params:
            known |= set(tagger.set_params(network=params["network"]).get_params())
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


def _absolute_path(place, init_from):
    if not isinstance(init_from, str | os.PathLike):
        raise ValueError(
            f"{place}: init_from has the type {type(init_from).__name__}, but it must be a path, "
            "so that config.json can reproduce the training. Save the tagger and give the file."
        )
    return str(expand_path(init_from).resolve())
