"""Saving taggers as tensors and JSON, in one file that can be loaded without running code."""

import json
import re
import struct
import warnings
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from sklearn.base import BaseEstimator

from sktagger import __version__
from sktagger._utils.files import expand_path, replacing
from sktagger._utils.json import parse_json
from sktagger.audio.spectral import STFT
from sktagger.networks import OUTPUT_WEIGHT, find_state
from sktagger.targets._names import are_events
from sktagger.training._checkpoints import load_checkpoint, training_record
from sktagger.training._file_kinds import find_tagger, is_checkpoint
from sktagger.training._params import LEFT_OUT, dtype_name, params_from_json, params_to_json, plain

FORMAT = 1
_KEY = "sktagger"
_MAX_HEADER = 2**24  # bytes; names of events take most of it
_DTYPES = re.compile(r"object|[<>=|]?(U\d{1,3}|[iu][1248]|f[248]|b1)")
# how readers fail on what is damaged
_FAULTS = (SafetensorError, struct.error, LookupError, TypeError, ValueError, ArithmeticError)


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
    params = {**params_to_json(tagger), **_network_params(tagger)}
    try:
        text = _header(params, tagger.classes_, tagger._multilabel, tagger.n_iter_, thresholds)
    except _FAULTS as error:
        raise ValueError(
            f"This tagger cannot be saved, for it could not be loaded ({error}). Correct it, or "
            "keep it by joblib.dump."
        ) from error
    tensors = {key: x.detach().cpu().contiguous() for key, x in tagger.module_.state_dict().items()}
    with replacing(path) as file:
        file.write(to_bytes(tensors, metadata={_KEY: text}))


def warn_unless_savable(tagger, classes, *, multilabel) -> None:
    """Warn, before a tagger is trained, if :func:`save` would refuse it.

    Parameters
    ----------
    tagger : WALNetTagger
        Its settings are checked; it need not be fitted.
    classes : ndarray of shape (n_events,)
    multilabel : bool
    """
    try:
        _header(params_to_json(tagger), classes, multilabel, 0, None)
    except _FAULTS as error:
        warnings.warn(
            f"After training, this tagger cannot be saved by its method save ({error}); only "
            "joblib.dump will keep it. Correct that now to save it.",
            UserWarning,
            stacklevel=3,
        )


def _header(params, classes, multilabel, n_iter, thresholds):
    """Make the header of a file, and check that it could be read."""
    header = {
        "format": FORMAT,
        "version": __version__,
        "params": params,
        "classes": [plain(event) for event in classes.tolist()],
        "classes_dtype": dtype_name(classes),
        "multilabel": multilabel,
        "n_iter": n_iter,
        # JSON has no infinity; its name has one
        "thresholds": None if thresholds is None else [repr(float(x)) for x in thresholds],
    }
    text = json.dumps(header)
    _check_header(parse_json(text), len(classes))
    return text


def _network_params(tagger):
    """Give the parameters that the network was trained with, whatever has been set since."""
    network = tagger._network
    params = {name: plain(getattr(network, name)) for name in ("sample_rate", "fmin", "pooling")}
    if (STFT() if tagger.stft is None else tagger.stft).sizes(network.sample_rate) != network.sizes:
        params["stft"] = plain(STFT(**network.sizes._asdict()))
    return params


def load(path, *, device="auto", precision=None, tuned=False):
    """Read a tagger, and its thresholds if it is to have some; nothing in the file is executed.

    Time and memory are bounded by the size of the file, whatever it says.

    Parameters
    ----------
    path : str or PathLike
        File of :func:`save`; or, for the tagger alone, a checkpoint; or the directory of an
        experiment or of checkpoints: its best checkpoint is read, or for thresholds the tagger
        of the latest evaluation.
    device : str, default="auto"
    precision : {"auto", "float32", "bfloat16"} or None, default=None
        None: as saved.
    tuned : bool or None, default=False
        Whether there must be thresholds; None: either will do.

    Returns
    -------
    tagger : WALNetTagger
        Fitted.
    thresholds : ndarray of shape (n_events,), float64, or None

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged, of a newer format, or another call reads it, which the
        message names.
    """
    path = find_tagger(expand_path(path), tuned=tuned)
    if is_checkpoint(path):
        content, state = _read_checkpoint(path)
    else:
        content, state = _read_saved(path)
    if tuned is not None and tuned != (content.thresholds is not None):
        which = "a tagger without thresholds: WALNetTagger.load reads it"
        if content.thresholds is not None:
            which = "a tagger with thresholds: TunedThresholdTagger.load reads it"
        raise ValueError(f"{str(path)!r} holds {which}.")
    tagger = content.tagger.set_params(device=device)
    if precision is not None:
        tagger.set_params(precision=precision)
    tagger._check_settings()
    tagger._restore(content.classes, state, multilabel=content.multilabel, source=repr(str(path)))
    tagger.n_iter_ = content.n_iter
    return tagger, content.thresholds


def _read_saved(path):
    """Read what `save` wrote."""
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
    return content, state


def _read_checkpoint(path):
    """Read a checkpoint, with the settings and events of the training that it belongs to."""
    source = repr(str(path))
    checkpoint = load_checkpoint(path)
    if "format" not in checkpoint:
        raise ValueError(
            f"{source} is a checkpoint of another program: WALNetTagger.from_padertorch reads "
            "those of padertorch's WALNet, and init_from takes their weights."
        )
    record, state = training_record(checkpoint, source), find_state(checkpoint, source)
    if record is None:
        raise ValueError(
            f"{source} is of an earlier version of sktagger, which noted no settings and events in "
            "checkpoints. `sktagger evaluate` reads its experiment, and writes a tagger."
        )
    params = {k: v for k, v in record["settings"].items() if k not in LEFT_OUT}
    header = {
        "format": FORMAT,
        "params": params | {"random_state": record["seed"]},
        "classes": record["events"],
        "classes_dtype": record["events_dtype"],
        "multilabel": record["multilabel"],
        "n_iter": checkpoint["n_iterations"],
        "thresholds": None,
    }
    try:
        return _check_header(header, len(state[OUTPUT_WEIGHT])), state
    except _FAULTS as error:
        raise ValueError(f"{source} is damaged ({type(error).__name__}: {error}).") from error


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
    from sktagger.taggers.walnet import WALNetTagger

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

    known = WALNetTagger().get_params(deep=False).keys() - set(LEFT_OUT)
    tagger = WALNetTagger(**params_from_json(header["params"], known))
    tagger._check_settings()
    return _Content(tagger, classes, header["multilabel"], n_iter, thresholds)
