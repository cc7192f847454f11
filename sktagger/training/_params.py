"""Parameters of a tagger as plain data, for files, and back."""

import os
from numbers import Real

import numpy as np

from sktagger.audio.augmentation import Augmentation
from sktagger.audio.spectral import STFT

# these belong to a training or a machine, not to the tagger
LEFT_OUT = ("init_from", "freeze", "callbacks", "memory", "device", "n_jobs", "verbose")
_GROUPS = {"stft": STFT, "augmentation": Augmentation}


def params_to_json(tagger, left_out=LEFT_OUT) -> dict:
    """Turn a tagger's parameters into plain data.

    Parameters
    ----------
    tagger : BaseTagger
    left_out : iterable of str
        Parameters that are not to be in it.

    Returns
    -------
    dict
        What :func:`params_from_json` makes the same parameters of, types of numbers and of the
        events in `class_weight` included.
    """
    params = tagger.get_params(deep=False)
    return {name: plain(value) for name, value in params.items() if name not in left_out}


def plain(value):
    """Turn a parameter into plain data.

    Parameters
    ----------
    value : object

    Returns
    -------
    dict, list, str, int, float, bool or None
        What is none of these, and no group, path or number, as it is.
    """
    if isinstance(value, STFT | Augmentation):
        return {name: plain(setting) for name, setting in value.get_params().items()}
    if isinstance(value, dict):  # class_weight; keys of JSON's objects are strings
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
        return float(value)  # such as a fraction
    return value


def params_from_json(params, known) -> dict:
    """Turn plain data into a tagger's parameters.

    Parameters
    ----------
    params : dict
        Plain data from a file.
    known : iterable of str
        Parameters that it may set.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a parameter is not known, or the settings of a group are not its own. Their values are
        left to the tagger to check.
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
            raise ValueError("got a class_weight that is no list of pairs [event, weight]")
        result["class_weight"] = dict(weights)
    for name, group in _GROUPS.items():
        if isinstance(params.get(name), dict):
            settings = dict(params[name])
            if isinstance(settings.get("window"), list):  # JSON has no tuples
                settings["window"] = tuple(settings["window"])
            try:
                result[name] = group(**settings)
            except TypeError as error:
                raise ValueError(f"got unknown settings of {name} ({error})") from error
    return result


def dtype_name(events: np.ndarray) -> str:
    """Name the type of an array of events, from which NumPy makes the same again."""
    return "object" if events.dtype == object else events.dtype.str
