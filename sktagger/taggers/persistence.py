"""Saving taggers as tensors and JSON, in one file that can be loaded without running code.

The JSON names the estimator, the network and its version. Which estimators a file can hold is told
by the caller; networks are those of :mod:`sktagger.networks`, and further ones that it is given.
"""

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
from sktagger._utils.schema import Field, check_object, is_count
from sktagger.networks import find_state
from sktagger.targets._names import are_events
from sktagger.training._checkpoints import load_checkpoint, training_record
from sktagger.training._file_kinds import find_tagger, is_checkpoint
from sktagger.training._params import (
    LEFT_OUT,
    dtype_name,
    network_from_json,
    network_to_json,
    params_from_json,
    params_to_json,
    plain,
    split_network,
    upgrade_params,
)

__all__ = ["FORMAT", "load", "save", "warn_unless_savable"]

FORMAT = 2  # 1: the parameters of a WALNetTagger, without the names of estimator and network
_KEY = "sktagger"
_MAX_HEADER = 2**24  # bytes; names of events take most of it
_DTYPES = re.compile(r"object|[<>=|]?(U\d{1,3}|[iu][1248]|f[248]|b1)")
# what readers raise on damaged files
_FAULTS = (SafetensorError, struct.error, LookupError, TypeError, ValueError, ArithmeticError)


def save(path, tagger, *, thresholds=None) -> None:
    """Write a fitted tagger.

    Parameters
    ----------
    path : str or PathLike
    tagger : AudioTagger
        Fitted.
    thresholds : ndarray of shape (n_events,) or None, default=None

    Raises
    ------
    ValueError
        If the file could not be loaded, as with names of events of 1000 characters.
    """
    try:
        text = _header(
            tagger,
            _trained_network(tagger),
            tagger.classes_,
            tagger._multilabel,
            tagger.n_iter_,
            thresholds,
        )
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
    tagger : AudioTagger
        Its settings are checked; it need not be fitted.
    classes : ndarray of shape (n_events,)
    multilabel : bool
    """
    try:
        _header(tagger, tagger._get_network(), classes, multilabel, 0, None)
    except _FAULTS as error:
        warnings.warn(
            f"After training, this tagger cannot be saved by its method save ({error}); only "
            "joblib.dump will keep it. Correct that now to save it.",
            UserWarning,
            stacklevel=3,
        )


def _trained_network(tagger):
    """Give the settings that the network was trained with, whatever has been set since."""
    network, trained = tagger._get_network(), tagger.network_
    same = type(network) is type(trained) and plain(network.resolve()) == plain(trained)
    return network if same else trained


def _header(tagger, network, classes, multilabel, n_iter, thresholds):
    """Make the header of a file, and check that it could be read."""
    header = {
        "format": FORMAT,
        "version": __version__,
        "estimator": type(tagger).__name__,
        "network": network_to_json(network),
        "params": params_to_json(tagger, (*LEFT_OUT, *tagger._network_parameters)),
        "classes": [plain(event) for event in classes.tolist()],
        "classes_dtype": dtype_name(classes),
        "multilabel": multilabel,
        "n_iter": n_iter,
        # JSON has no infinity; its name has one
        "thresholds": None if thresholds is None else [repr(float(x)) for x in thresholds],
    }
    text = json.dumps(header)
    _read_header(
        parse_json(text), len(classes), {type(tagger).__name__: type(tagger)}, [type(network)]
    )
    return text


def load(
    path, estimators, *, base=BaseEstimator, device="auto", precision=None, tuned=False, networks=()
):
    """Read a tagger, and its thresholds if it is to have some; nothing in the file is executed.

    Time and memory are bounded by the size of the file, whatever it says.

    Parameters
    ----------
    path : str or PathLike
        File of :func:`save`; or, for the tagger alone, a checkpoint; or the directory of an
        experiment or of checkpoints: its best checkpoint is read, or for thresholds the tagger
        of the latest evaluation.
    estimators : dict of str to class
        Taggers that a file may name.
    base : class, default=BaseEstimator
        What the tagger must be an instance of.
    device : str, default="auto"
    precision : {"auto", "float32", "bfloat16"} or None, default=None
        None: as saved.
    tuned : bool or None, default=False
        Whether there must be thresholds; None: they may be there or not.
    networks : sequence of class, default=()
        Networks besides those of :mod:`sktagger.networks` that a file may name.

    Returns
    -------
    tagger : AudioTagger
        Fitted.
    thresholds : ndarray of shape (n_events,), float64, or None

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged, of a newer format, holds another estimator, or is read by
        another call, which the message names.
    """
    path = find_tagger(expand_path(path), tuned=tuned)
    read = _read_checkpoint if is_checkpoint(path) else _read_saved
    content, state = read(path, estimators, networks)
    if tuned is not None and tuned != (content.thresholds is not None):
        which = f"a tagger without thresholds: {type(content.tagger).__name__}.load reads it"
        if content.thresholds is not None:
            which = "a tagger with thresholds: TunedThresholdTagger.load reads it"
        raise ValueError(f"{str(path)!r} holds {which}.")
    if not isinstance(content.tagger, base):
        raise ValueError(
            f"{str(path)!r} holds an {type(content.tagger).__name__}, not a {base.__name__}: "
            f"{type(content.tagger).__name__}.load reads it."
        )
    tagger = content.tagger.set_params(device=device)
    if precision is not None:
        tagger.set_params(precision=precision)
    tagger._check_settings()
    tagger._restore(content.classes, state, multilabel=content.multilabel, source=repr(str(path)))
    tagger.n_iter_ = content.n_iter
    return tagger, content.thresholds


def _read_saved(path, estimators, networks):
    """Read what `save` wrote."""
    try:
        header, state = _read(path)
        version = header["format"]
        known = version <= FORMAT
        if version == 1:
            header = _upgrade(header)
        content = _read_header(header, state, estimators, networks) if known else None
    except _FAULTS as error:
        raise ValueError(
            f"{str(path)!r} is no saved tagger, or is damaged ({type(error).__name__}: {error}). "
            "Files are written by WALNetTagger.save and TunedThresholdTagger.save."
        ) from error
    if not known:
        raise ValueError(
            f"{str(path)!r} has the format {version!r:.20}, written by sktagger "
            f"{header.get('version')!s:.20}; this version, {__version__}, reads formats up to "
            f"{FORMAT}. Upgrade sktagger."
        )
    return content, state


def _upgrade(header):
    """Bring a header of format 1, which a WALNetTagger wrote, to that of today."""
    network, params = split_network(upgrade_params(header["params"]))
    return {**header, "estimator": "WALNetTagger", "network": network, "params": params}


def _read_checkpoint(path, estimators, networks):
    """Read a checkpoint, with the settings and events of the training that it belongs to."""
    source = repr(str(path))
    checkpoint = load_checkpoint(path)
    if "format" not in checkpoint:
        raise ValueError(
            f"{source} is a checkpoint of another program: WALNetTagger.from_padertorch reads "
            "those of padertorch's WALNet, and init_from takes their weights."
        )
    record = training_record(checkpoint, source)
    if record is None:
        raise ValueError(
            f"{source} is of an earlier version of sktagger, which noted no settings and events in "
            "checkpoints. `sktagger evaluate` reads its experiment, and writes a tagger."
        )
    params = {k: v for k, v in record["settings"].items() if k not in LEFT_OUT}
    header = {
        "format": FORMAT,
        "estimator": record["estimator"],
        "network": record["network"],
        "params": params | {"random_state": record["seed"]},
        "classes": record["events"],
        "classes_dtype": record["events_dtype"],
        "multilabel": record["multilabel"],
        "n_iter": checkpoint["n_iterations"],
        "thresholds": None,
    }
    try:
        network = network_from_json(record["network"], networks)
        state, _ = find_state(checkpoint, network, source)
        return _read_header(header, state, estimators, networks), state
    except _FAULTS as error:
        if str(error).startswith(source):
            raise
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


def _fault(place, got, allowed):
    return ValueError(f"at {place}: got {got}; allowed is {allowed}")


def _read_header(header, state, estimators, networks):
    """Check a header, and make what it describes.

    `state` holds the weights, or is the number of events.
    """
    check_object(
        header, {"network": Field("name and settings", lambda x: True)}, _fault, others=True
    )
    network = network_from_json(header["network"], networks)
    n_outputs = state if isinstance(state, int) else network.count_events(state)
    if not n_outputs:
        raise ValueError(f"the tensor '{network.head}.weight' is missing, or has no rows")
    numbers = "null, or one number per event, each in a string"
    fields = {
        "format": Field("an integer from 1 up", lambda x: is_count(x) and x > 0),
        "estimator": Field(
            f"one of {', '.join(estimators)}", lambda x: isinstance(x, str) and x in estimators
        ),
        "multilabel": Field("true or false", lambda x: type(x) is bool),
        "n_iter": Field("an integer from 0 up", is_count),
        # their number first, for dtypes like U999 take far more memory than the names do here
        "classes": Field(
            "distinct names or numbers, one per output of the network",
            lambda x: are_events(x) and len(x) == n_outputs,
        ),
        "classes_dtype": Field(
            "object, or a type of strings, numbers or booleans",
            lambda x: isinstance(x, str) and _DTYPES.fullmatch(x),
        ),
        "thresholds": Field(
            numbers,
            lambda x: (
                x is None
                or (
                    isinstance(x, list)
                    and len(x) == n_outputs
                    and all(isinstance(number, str) for number in x)
                )
            ),
        ),
    }
    check_object(header, fields, _fault, others=True)
    events, dtype, thresholds = (header[key] for key in ("classes", "classes_dtype", "thresholds"))
    classes = np.array(events, dtype=dtype)
    if classes.tolist() != events:
        raise _fault("classes", "others", f"what fits classes_dtype={dtype}")
    if thresholds is not None:
        thresholds = np.array([float(x) for x in thresholds])
        if np.isnan(thresholds).any():
            raise _fault("thresholds", "NaN", numbers)

    estimator = estimators[header["estimator"]]
    known = estimator().get_params(deep=False).keys()
    known -= {*LEFT_OUT, *estimator._network_parameters}
    params = params_from_json(header["params"], known)
    tagger = estimator._with_network(network, **params)
    tagger._check_settings()
    return _Content(tagger, classes, header["multilabel"], header["n_iter"], thresholds)
