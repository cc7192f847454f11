"""Saving taggers as tensors and JSON, in one file that can be loaded without running code."""

import json
import os
import re
import struct
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from sklearn.base import BaseEstimator

from sktagger import __version__
from sktagger._files import expand_path, replacing
from sktagger._json import are_events, parse_json
from sktagger.augmentation import Augmentation
from sktagger.modules import OUTPUT_WEIGHT
from sktagger.spectral import STFT

FORMAT = 1
_KEY = "sktagger"
_GROUPS = {"stft": STFT, "augmentation": Augmentation}
# these belong to a training or a machine, not to the tagger
_LEFT_OUT = ("init_from", "freeze", "callbacks", "memory", "device", "n_jobs", "verbose")
_MAX_HEADER = 2**24  # bytes; names of events take most of it
_DTYPES = re.compile(r"object|[<>=|]?(U\d{1,3}|[iu][1248]|f[248]|b1)")
# how readers fail on what is damaged
_FAULTS = (SafetensorError, struct.error, LookupError, TypeError, ValueError, ArithmeticError)


def params_to_json(tagger, left_out=_LEFT_OUT) -> dict:
    """Turn a tagger's parameters into plain data."""
    params = {}
    for name, value in tagger.get_params(deep=False).items():
        if name in left_out:
            continue
        if isinstance(value, STFT | Augmentation):
            value = value.get_params()
        elif isinstance(value, np.generic):
            value = value.item()
        elif isinstance(value, np.random.RandomState):
            value = None
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        params[name] = value
    return params


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
    for name, group in _GROUPS.items():
        if isinstance(params.get(name), dict):
            try:
                result[name] = group(**params[name])
            except TypeError as error:
                raise ValueError(f"got unknown settings of {name} ({error})") from error
    return result


def save(path, tagger, *, thresholds=None) -> None:
    """Write a fitted tagger.

    Parameters
    ----------
    path : str or PathLike
    tagger : WALNetTagger
        Fitted.
    thresholds : ndarray of shape (n_events,) or None, default=None

    Raises
    ------
    ValueError
        If the file could not be loaded, as with names of events of 1000 characters.
    """
    header = {
        "format": FORMAT,
        "version": __version__,
        "params": params_to_json(tagger),
        "classes": tagger.classes_.tolist(),
        "classes_dtype": tagger.classes_.dtype.str if tagger.classes_.dtype != object else "object",
        "multilabel": tagger._multilabel,
        "n_iter": tagger.n_iter_,
        # JSON has no infinity; its name has one
        "thresholds": None if thresholds is None else [repr(float(x)) for x in thresholds],
    }
    text = json.dumps(header)
    try:
        _check_header(parse_json(text), len(tagger.classes_))
    except _FAULTS as error:
        raise ValueError(
            f"This tagger cannot be saved, for it could not be loaded ({error}). Correct it, or "
            "keep it by joblib.dump."
        ) from error
    tensors = {key: x.detach().cpu().contiguous() for key, x in tagger.module_.state_dict().items()}
    with replacing(path) as file:
        file.write(to_bytes(tensors, metadata={_KEY: text}))


def load(path, *, device="auto"):
    """Read a tagger, and its thresholds if there are any; nothing in the file is executed.

    Time and memory are bounded by the size of the file, whatever it says.

    Parameters
    ----------
    path : str or PathLike
    device : str, default="auto"

    Returns
    -------
    tagger : WALNetTagger
        Fitted.
    thresholds : ndarray of shape (n_events,), float64, or None

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged, no saved tagger, or of a newer format.
    """
    path = expand_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Saved tagger {str(path)!r} does not exist.")
    try:
        header, state = _read(path)
        known = header["format"] <= FORMAT
        content = _check_header(header, len(state[OUTPUT_WEIGHT])) if known else None
    except _FAULTS as error:
        raise ValueError(
            f"{str(path)!r} is no saved tagger, or is damaged ({type(error).__name__}: {error}). "
            "Files are written by WALNetTagger.save and TunedThresholdTagger.save."
        ) from error
    if not known:
        raise ValueError(
            f"{str(path)!r} has the format {header['format']!r:.20}, written by sktagger "
            f"{header.get('version')!s:.20}; this version, {__version__}, reads formats up to "
            f"{FORMAT}. Upgrade sktagger."
        )
    tagger = content.tagger.set_params(device=device)
    tagger._restore(content.classes, state, multilabel=content.multilabel, source=repr(str(path)))
    tagger.n_iter_ = content.n_iter
    return tagger, content.thresholds


class _Content(NamedTuple):
    """What the header of a saved tagger says; the tagger is not yet fitted."""

    tagger: BaseEstimator
    classes: np.ndarray
    multilabel: bool
    n_iter: int
    thresholds: np.ndarray | None


def _read(path):
    """Read header and tensors."""
    with open(path, "rb") as file:
        (n_bytes,) = struct.unpack("<Q", file.read(8))
    if n_bytes > _MAX_HEADER:
        raise ValueError(f"its header would have {n_bytes} bytes, more than {_MAX_HEADER}")
    with safe_open(path, framework="pt") as file:
        header = parse_json((file.metadata() or {})[_KEY])
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return header, state


def _check_header(header, n_outputs):
    """Check a header, and make of it what it says."""
    from sktagger.tagger import WALNetTagger

    def require(holds, key, allowed):
        if not holds:
            raise ValueError(f"at {key}: allowed is {allowed}")

    version, n_iter, thresholds = header["format"], header["n_iter"], header["thresholds"]
    require(type(version) is int and version > 0, "format", "an integer from 1 up")
    require(type(header["multilabel"]) is bool, "multilabel", "true or false")
    require(type(n_iter) is int and n_iter >= 0, "n_iter", "an integer from 0 up")

    # their number first, for dtypes like U999 take far more memory than the names do here
    events, dtype = header["classes"], header["classes_dtype"]
    distinct = "distinct names or numbers, one per output of the network"
    require(are_events(events) and len(events) == n_outputs > 0, "classes", distinct)
    require(
        isinstance(dtype, str) and _DTYPES.fullmatch(dtype),
        "classes_dtype",
        "object, or a type of strings, numbers or booleans",
    )
    classes = np.array(events, dtype=dtype)
    require(classes.tolist() == events, "classes", f"what fits classes_dtype={dtype}")

    if thresholds is not None:
        numbers = "null, or one number per event, each in a string"
        require(isinstance(thresholds, list), "thresholds", numbers)
        require(len(thresholds) == n_outputs, "thresholds", numbers)
        require(all(isinstance(x, str) for x in thresholds), "thresholds", numbers)
        thresholds = np.array([float(x) for x in thresholds])
        require(not np.isnan(thresholds).any(), "thresholds", numbers)

    known = WALNetTagger().get_params(deep=False).keys() - set(_LEFT_OUT)
    tagger = WALNetTagger(**params_from_json(header["params"], known))
    tagger._check_settings()
    return _Content(tagger, classes, header["multilabel"], n_iter, thresholds)
