"""Saving taggers as tensors and JSON, in one file that can be loaded without running code."""

import json
import os
import struct
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from sktagger import __version__
from sktagger._files import replacing
from sktagger.augmentation import Augmentation
from sktagger.spectral import STFT

FORMAT = 1
_KEY = "sktagger"
_GROUPS = {"stft": STFT, "augmentation": Augmentation}
# these belong to a training or a machine, not to the tagger
_LEFT_OUT = ("init_from", "freeze", "callbacks", "memory", "device", "n_jobs", "verbose")


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


def params_from_json(params) -> dict:
    """Turn plain data into a tagger's parameters."""
    return {
        name: _GROUPS[name](**value) if name in _GROUPS and isinstance(value, dict) else value
        for name, value in params.items()
    }


def save(path, tagger, *, thresholds=None) -> None:
    """Write a fitted tagger.

    Parameters
    ----------
    path : str or PathLike
    tagger : WALNetTagger
        Fitted.
    thresholds : ndarray of shape (n_events,) or None, default=None
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
    tensors = {key: x.detach().cpu().contiguous() for key, x in tagger.module_.state_dict().items()}
    with replacing(path) as file:
        file.write(to_bytes(tensors, metadata={_KEY: json.dumps(header)}))


def load(path, *, device="auto"):
    """Read a tagger, and its thresholds if there are any.

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
    from sktagger.tagger import WALNetTagger

    if not Path(path).is_file():
        raise FileNotFoundError(f"Saved tagger {str(path)!r} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, struct.error, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} is no saved tagger, or is damaged ({type(error).__name__}: {error}). "
            "Files are written by WALNetTagger.save and TunedThresholdTagger.save."
        ) from error
    if not isinstance(header.get("format"), int) or header["format"] > FORMAT:
        raise ValueError(
            f"{str(path)!r} has the format {header.get('format')!r}, written by sktagger "
            f"{header.get('version')}; this version, {__version__}, reads formats up to {FORMAT}. "
            "Upgrade sktagger."
        )
    classes = np.array(header["classes"], dtype=header["classes_dtype"])
    tagger = WALNetTagger(**params_from_json(header["params"]), device=device)
    tagger._restore(classes, state, multilabel=header["multilabel"])
    tagger.n_iter_ = header["n_iter"]
    thresholds = header["thresholds"]
    return tagger, None if thresholds is None else np.array([float(x) for x in thresholds])
