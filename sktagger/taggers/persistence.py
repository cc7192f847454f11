"""Save taggers as tensors and JSON in one file, which can be loaded without running code.

The JSON names the estimator, the network and its version. The caller passes the estimators that a
file may name. Networks are those of :mod:`sktagger.networks` and others that the caller passes.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from sklearn.base import BaseEstimator

from sktagger import __version__
from sktagger._utils.files import expand_path, replacing
from sktagger._utils.json import parse_json
from sktagger._utils.schema import Field, check_object, is_count
from sktagger._utils.warnings import warn
from sktagger.networks import Network, find_state
from sktagger.targets import are_events
from sktagger.training._checkpoints import load_checkpoint, training_record
from sktagger.training._file_kinds import METADATA_KEY, find_tagger, is_checkpoint, read_header
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

if TYPE_CHECKING:
    from sktagger.taggers._base import BaseTagger

__all__ = ["FORMAT", "load", "save", "warn_unless_savable"]

# Version of the file format. Format 1 had the parameters of a WALNetTagger, and did not name the
# estimator and the network.
FORMAT = 2
_DTYPES = re.compile(r"object|[<>=|]?(U\d{1,3}|[iu][1248]|f[248]|b1)")
# errors that damaged files cause
_FAULTS = (SafetensorError, struct.error, LookupError, TypeError, ValueError, ArithmeticError)


def save(
    path: str | os.PathLike[str], tagger: BaseTagger, *, thresholds: np.ndarray | None = None
) -> None:
    """Write a fitted tagger to a file.

    Parameters
    ----------
    path : str or PathLike
        An existing file is replaced in one step.
    tagger : AudioTagger
        Fitted tagger.
    thresholds : ndarray of shape (n_events,) or None, default=None
        Thresholds of the events, if they were tuned.

    Raises
    ------
    ValueError
        If the file could not be loaded again; for example, if the name of an event has 1000
        characters.
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
            f"This tagger cannot be saved because the file could not be loaded ({error}). Correct "
            "this, or save the tagger with joblib.dump."
        ) from error
    tensors = {key: x.detach().cpu().contiguous() for key, x in tagger.module_.state_dict().items()}
    with replacing(path) as file:
        file.write(to_bytes(tensors, metadata={METADATA_KEY: text}))


def warn_unless_savable(tagger: BaseTagger, classes: np.ndarray, *, multilabel: bool) -> None:
    """Warn before training if :func:`save` would raise an error.

    Parameters
    ----------
    tagger : AudioTagger
        Fitted or not; only its settings are checked.
    classes : ndarray of shape (n_events,)
        Events of the training.
    multilabel : bool
        Whether a clip may have several events.
    """
    try:
        _header(tagger, tagger._get_network(), classes, multilabel, 0, None)
    except _FAULTS as error:
        warn(
            f"After training, this tagger cannot be saved by its method save ({error}), but only "
            "by joblib.dump. To use save, correct this now."
        )


def _trained_network(tagger):
    """Return the settings that the network was trained with, even if others were set later."""
    network, trained = tagger._get_network(), tagger.network_
    same = type(network) is type(trained) and plain(network.resolve()) == plain(trained)
    return network if same else trained


def _header(
    tagger: BaseTagger,
    network: Network,
    classes: np.ndarray,
    multilabel: bool,
    n_iter: int,
    thresholds: np.ndarray | None,
) -> str:
    """Make the header of a file, and check that it can be read."""
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
        # strings, because JSON has no infinity
        "thresholds": None if thresholds is None else [repr(float(x)) for x in thresholds],
    }
    text = json.dumps(header)
    _read_header(
        parse_json(text), len(classes), {type(tagger).__name__: type(tagger)}, [type(network)]
    )
    return text


def load(
    path: str | os.PathLike[str],
    estimators: Mapping[str, type[BaseTagger]],
    *,
    base: type[Any] = BaseEstimator,
    device: str = "auto",
    precision: str | None = None,
    tuned: bool | None = False,
    networks: Sequence[type[Network]] = (),
) -> tuple[Any, np.ndarray | None]:
    """Read a tagger and its thresholds, if it has any. Nothing in the file is executed.

    The size of the file limits time and memory, also for a malicious file.

    Parameters
    ----------
    path : str or PathLike
        File of :func:`save`, or, without thresholds, a checkpoint. For a directory of an experiment
        or of checkpoints, the best checkpoint is read; with thresholds, the tagger of the latest
        evaluation.
    estimators : dict of str to class
        Classes of taggers that a file may name.
    base : class, default=BaseEstimator
        Class that the tagger must be an instance of.
    device : str, default="auto"
        Parameter of the tagger.
    precision : {"auto", "float32", "bfloat16"} or None, default=None
        Parameter of the tagger. None: as saved.
    tuned : bool or None, default=False
        Whether the file must have thresholds. None: both are allowed.
    networks : sequence of class, default=()
        Networks that the file may name, in addition to those of :mod:`sktagger.networks`.

    Returns
    -------
    tagger : AudioTagger
        Fitted tagger.
    thresholds : ndarray of shape (n_events,), float64, or None
        Thresholds of the events, if the file has them.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged, has a newer format, holds another estimator, or another
        method reads it, which the message names.
    """
    path = find_tagger(expand_path(path), tuned=tuned)
    read = _read_checkpoint if is_checkpoint(path) else _read_saved
    content, state = read(path, estimators, networks)
    if tuned is not None and tuned != (content.thresholds is not None):
        kind = f"a tagger without thresholds: {type(content.tagger).__name__}.load reads it"
        if content.thresholds is not None:
            kind = "a tagger with thresholds: TunedThresholdTagger.load reads it"
        raise ValueError(f"{str(path)!r} holds {kind}.")
    if not isinstance(content.tagger, base):
        raise ValueError(
            f"{str(path)!r} holds an {type(content.tagger).__name__}, not a {base.__name__}: "
            f"{type(content.tagger).__name__}.load reads it."
        )
    tagger: Any = content.tagger.set_params(device=device)
    if precision is not None:
        tagger.set_params(precision=precision)
    tagger._check_settings()
    tagger._restore(content.classes, state, multilabel=content.multilabel, source=repr(str(path)))
    tagger.n_iter_ = content.n_iter
    return tagger, content.thresholds


def _read_saved(path, estimators, networks):
    """Read a file that `save` wrote."""
    try:
        header, state = _read(path)
        version = header["format"]
        known = version <= FORMAT
        if version == 1:
            header = _upgrade(header)
        content = _read_header(header, state, estimators, networks) if known else None
    except _FAULTS as error:
        raise ValueError(
            f"{str(path)!r} is not a saved tagger, or is damaged ({type(error).__name__}: "
            f"{error}). AudioTagger.save and TunedThresholdTagger.save write such files."
        ) from error
    if not known:
        raise ValueError(
            f"{str(path)!r} has the format {version!r:.20}, written by sktagger "
            f"{header.get('version')!s:.20}; this version, {__version__}, reads formats up to "
            f"{FORMAT}. Upgrade sktagger."
        )
    return content, state


def _upgrade(header):
    """Convert a header of format 1, which a WALNetTagger wrote, to the current format."""
    network, params = split_network(upgrade_params(header["params"]))
    return {**header, "estimator": "WALNetTagger", "network": network, "params": params}


def _read_checkpoint(path, estimators, networks):
    """Read a checkpoint and the settings and events of its training."""
    source = repr(str(path))
    checkpoint = load_checkpoint(path)
    if "format" not in checkpoint:
        raise ValueError(
            f"{source} is a checkpoint of another program. If it is a WALNet of padertorch or an "
            "FBCRNN of pb_sed, read it with AudioTagger.from_padertorch, or fine-tune it with "
            "init_from."
        )
    record = training_record(checkpoint, source)
    if record is None:
        raise ValueError(
            f"{source} is of an earlier version of sktagger, whose checkpoints have no settings "
            "and events. Run `sktagger evaluate` on its experiment, which writes a tagger."
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
    """Content of the header of a saved tagger; the tagger is not yet fitted."""

    tagger: BaseEstimator
    classes: np.ndarray
    multilabel: bool
    n_iter: int
    thresholds: np.ndarray | None


def _read(path):
    """Read the header and the tensors of a file."""
    header = read_header(path)
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return header, state


def _fault(place: str, got: str, allowed: str) -> ValueError:
    return ValueError(f"at {place}: got {got}; allowed is {allowed}")


def _read_header(header, state, estimators, networks):
    """Check a header and make the tagger that it describes.

    `state` is the weights or the number of events.
    """
    check_object(
        header, {"network": Field("name and settings", lambda x: True)}, _fault, others=True
    )
    network = network_from_json(header["network"], networks)
    n_outputs = state if isinstance(state, int) else network.count_events(state)
    if not n_outputs:
        raise ValueError(f"the tensor '{network.head_name}.weight' is missing, or has no rows")
    numbers = "null, or one number per event, each in a string"
    fields = {
        "format": Field("an integer from 1 up", lambda x: is_count(x) and x > 0),
        "estimator": Field(
            f"one of {', '.join(estimators)}", lambda x: isinstance(x, str) and x in estimators
        ),
        "multilabel": Field("true or false", lambda x: type(x) is bool),
        "n_iter": Field("an integer from 0 up", is_count),
        # the number of names is checked before the array is made, because U999 takes much memory
        "classes": Field(
            "distinct names or numbers, one per output of the network",
            lambda x: are_events(x) and len(x) == n_outputs,
        ),
        "classes_dtype": Field(
            "object, or a type of strings, numbers or booleans",
            lambda x: isinstance(x, str) and _DTYPES.fullmatch(x) is not None,
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
        raise _fault("classes", "other types", f"what fits classes_dtype={dtype}")
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
