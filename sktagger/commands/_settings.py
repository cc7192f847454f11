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

if TYPE_CHECKING:
    from sktagger import WALNetTagger

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

    Returns
    -------
    dict
        The content of ``config.json``.

    Raises
    ------
    ValueError
        If the parameters of the tagger are invalid. The message names the layer.
    """
    from sktagger import STFT
    from sktagger.training._params import params_to_json

    resolved = _resolve(tagger)
    resolved.set_params(
        stft=STFT(**resolved._resolve_stft()._asdict()),
        augmentation=resolved._resolve_augmentation(),
    )
    if resolved.random_state is None:
        resolved.set_params(random_state=int(np.random.default_rng().integers(2**31)))
    return {
        "database": str(expand_path(database).resolve()),
        "training_set": training_set,
        "validation_set": validation_set,
        "recipe": recipe,
        "min_length": min_length,
        "unknown_events": unknown_events,
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
) -> WALNetTagger:
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
    WALNetTagger
        Not fitted.

    Raises
    ------
    ValueError
        If a parameter is unknown or invalid.
    """
    from sktagger import WALNetTagger
    from sktagger.training._params import params_from_json

    params = {name: value for name, value in config["tagger"].items() if name != "memory"}
    if device is not None:
        params["device"] = device
    try:
        known = WALNetTagger().get_params(deep=False).keys() - {"callbacks"}
        tagger = WALNetTagger(**params_from_json(params, known))
        tagger._check_settings()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}, at tagger: {error}") from error
    return tagger


def _resolve(layers):
    """Make the tagger of all layers; if it is invalid, say which layer makes it so."""
    for place, params in layers.items():
        _check_names(place, params)
    layers = _without_overridden(layers)
    for place, params in layers.items():
        if params.get("init_from") is not None:
            params["init_from"] = _absolute_path(place, params["init_from"])
    try:
        return _apply(layers.values())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_faulty_layer(layers, str(error))}: {error}") from error


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


def _faulty_layer(layers, fault):
    """Find the first layer from which on the settings have this fault.

    Settings can be wrong together, such as `fmin` of one layer with `sample_rate` of a later one.
    Without the later layer, there is no fault or another one, so the later layer is to blame.
    """
    places = list(layers)
    while len(places) > 1 and _fault(layers[place] for place in places[:-1]) == fault:
        places.pop()
    return places[-1]


def _fault(layers):
    try:
        _apply(layers)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _apply(layers):
    """Make a tagger with the settings of some layers, and check it."""
    from sktagger import STFT, Augmentation, WALNetTagger

    tagger = WALNetTagger(stft=STFT(), augmentation=Augmentation())
    for params in layers:
        tagger.set_params(**params)
    tagger._check_settings()
    return tagger


def _check_names(place, params):
    from sktagger import STFT, Augmentation, WALNetTagger

    known = set(WALNetTagger(stft=STFT(), augmentation=Augmentation()).get_params()) - {"callbacks"}
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
