"""Fine-tuning: a network that begins with another's weights, and layers that stay as they are."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktagger._utils.files import expand_path
from sktagger._utils.json import parse_json
from sktagger.audio.spectral import STFT
from sktagger.networks import (
    MEL_FILTERS,
    N_LAYERS,
    OUTPUT_BIAS,
    OUTPUT_WEIGHT,
    WALNet,
    check_state,
    find_state,
)
from sktagger.taggers import persistence
from sktagger.taggers._base import BaseTagger
from sktagger.targets._names import are_events
from sktagger.training._file_kinds import find_checkpoint, is_safetensors
from sktagger.training.callbacks import load_checkpoint

_OUTPUT = (OUTPUT_WEIGHT, OUTPUT_BIAS)


class _Source(NamedTuple):
    """Trained weights, of which only the output layer is checked, and what is known of them.

    None: not known.
    """

    name: str
    state: dict[str, torch.Tensor]
    classes: list | None
    settings: dict[str, Any] | None


def start_from(module: WALNet, init_from, classes: np.ndarray, settings: dict[str, Any]) -> None:
    """Give a fresh network the weights and statistics of a trained one.

    Parameters
    ----------
    module : WALNet
        Its output layer keeps the rows of events that the source does not know.
    init_from : WALNetTagger, FrozenEstimator, str or PathLike
        Fitted tagger (as it is, or frozen), file of :meth:`sktagger.WALNetTagger.save`, or
        checkpoint, whose events are read from an ``events.json`` in its directory or the one
        above, and whose settings from a ``config.json`` there, if there are any. It is not
        changed, and nothing in a file is executed.
    classes : ndarray of shape (n_events,)
        Events of `module`.
    settings : dict
        Settings of the features of `module`: `sample_rate`, `fmin` and those of the STFT.

    Raises
    ------
    FileNotFoundError, NotFittedError
        If there is no such file, or the tagger is not fitted.
    TypeError
        If an estimator is frozen that is no WALNetTagger.
    ValueError
        If the file cannot be read safely, holds no WALNet, one with other features, or NaN or
        infinity among its weights.
    """
    source = _read(init_from)
    _check_features(source, module, settings)
    own = module.state_dict()
    # of as many events as the source has
    expected = own | WALNet.sizing_state(len(source.state[OUTPUT_WEIGHT]), settings["n_fft"])
    finite = isinstance(init_from, str | os.PathLike)
    check_state(source.state, expected, f"init_from: {source.name}", finite=finite)
    module.load_state_dict({**source.state, **_output_layer(own, source, classes)})


def freeze_layers(module: WALNet, freeze) -> list[nn.Module]:
    """Take the first layers of a network out of training, and the others in.

    Parameters
    ----------
    module : WALNet
    freeze : int in [0, 12], "features" or None
        Number of convolutional layers that get no gradient; "features": all before the output
        layer. 0 or None: none.

    Returns
    -------
    list of Module
        Those that have to stay in evaluation mode, so that their statistics do not move: the
        frozen layers and, if there are any, the input's normalisation.
    """
    n_layers = {None: 0, "features": N_LAYERS}.get(freeze, freeze)
    frozen = [module.feature_extractor, *module.cnn.convs[:n_layers]] if n_layers else []
    module.requires_grad_(True)
    for layer in frozen:
        layer.requires_grad_(False)
    return frozen


def _read(init_from):
    if isinstance(init_from, FrozenEstimator):
        init_from = init_from.estimator
    if isinstance(init_from, BaseTagger):
        check_is_fitted(
            init_from,
            msg="init_from: this %(name)s is not fitted, but only a fitted one has weights to "
            "begin with. Call its fit first; in the grid of a search, which clones, give "
            "sklearn.frozen.FrozenEstimator(tagger) or a path.",
        )
        return _from_tagger(init_from, "the tagger")
    if not isinstance(init_from, str | os.PathLike):
        raise TypeError(
            f"init_from: the frozen estimator is a {type(init_from).__name__}, but it must be a "
            "fitted WALNetTagger."
        )
    path = expand_path(init_from)
    if not path.is_file():
        best = [find_checkpoint(folder, "best") for folder in (path / "checkpoints", path)]
        hint = "".join(f" Give {str(file)!r}." for file in best if file is not None)
        raise FileNotFoundError(
            f"init_from: {str(path)!r} is no file. It must be one that WALNetTagger.save wrote, "
            f"or a checkpoint of a training.{hint}"
        )
    if is_safetensors(path):
        return _from_tagger(persistence.load(path, device="cpu", tuned=None)[0], repr(str(path)))
    return _from_checkpoint(path)


def _from_tagger(tagger, name):
    settings = tagger._network.features()
    return _Source(name, tagger.module_.state_dict(), tagger.classes_.tolist(), settings)


def _from_checkpoint(path):
    checkpoint = load_checkpoint(path)
    name = repr(str(path))
    state = find_state(checkpoint, f"init_from: {name}")
    n_outputs = len(state[OUTPUT_WEIGHT])
    classes = _read_beside(path, "events.json")
    if classes is not None and not are_events(classes):
        raise ValueError(
            f"init_from: the events.json beside {name} is no list of distinct names. Correct it, "
            "or take it away: then only the layers before the output are taken."
        )
    if classes is not None and len(classes) != n_outputs:
        raise ValueError(
            f"init_from: {name} has {n_outputs} outputs, but the events.json beside "
            f"it names {len(classes)} events. Correct events.json, or take it away: then only the "
            "layers before the output are taken."
        )
    config = _read_beside(path, "config.json")
    ours = isinstance(config, dict) and isinstance(config.get("tagger"), dict)
    try:
        settings = _feature_settings(config["tagger"]) if ours else None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"init_from: the config.json beside {name} does not tell the features "
            f"({type(error).__name__}: {error}). Restore it, or take it away."
        ) from error
    return _Source(name, state, classes, settings)


def _read_beside(path, name):
    """Read a JSON file of the checkpoint's experiment; None if there is none."""
    files = [directory / name for directory in list(path.absolute().parents)[:2]]
    file = next(filter(Path.is_file, files), None)
    if file is None:
        return None
    try:
        return parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"init_from: {str(file)!r}, which belongs to the checkpoint {path.name!r}, cannot be "
            f"read as JSON ({error}). Restore it, or take it away."
        ) from error


def _feature_settings(params):
    """Resolve the settings of an experiment's features."""
    sizes = STFT(**params["stft"]).sizes(params["sample_rate"])
    return {"sample_rate": params["sample_rate"], "fmin": params["fmin"], **sizes._asdict()}


def _check_features(source, module, settings):
    """Raise ValueError if the source was trained on other features."""
    if source.settings is None:
        _check_filters(source, module, settings)
        return
    others = {name for name, value in settings.items() if source.settings[name] != value}
    if others:
        there, here = (
            ", ".join(f"{name}={values[name]!r}" for name in settings if name in others)
            for values in (source.settings, settings)
        )
        raise ValueError(
            f"init_from: {source.name} was trained with {there}, but this tagger has {here}. "
            "Weights fit the features that they were trained on: set sample_rate, fmin and stft "
            "to the source's values."
        )


def _check_filters(source, module, settings):
    """Compare the mel filters, which tell the FFT's length, and roughly sample rate and fmin."""
    filters = source.state.get(MEL_FILTERS)
    expected = module.state_dict()[MEL_FILTERS].cpu()
    if getattr(filters, "ndim", 0) != 2 or filters.dtype != expected.dtype:
        return  # what is wrong is told when all tensors are compared
    if len(filters) != len(expected):
        raise ValueError(
            f"init_from: {source.name} was trained with n_fft={2 * (len(filters) - 1)}, but this "
            f"tagger has n_fft={settings['n_fft']}. Set sample_rate, fmin and stft to the values "
            "that it was trained with."
        )
    if filters.shape != expected.shape or not torch.allclose(filters.cpu(), expected, atol=1e-3):
        raise ValueError(
            f"init_from: {source.name} has other mel filters than those of this tagger's "
            f"sample_rate={settings['sample_rate']} and fmin={settings['fmin']}. Set sample_rate, "
            "fmin and stft to the values that it was trained with."
        )


def _output_layer(fresh, source, classes):
    """Take the rows of the events that the source knows, and the fresh ones of the others."""
    row = {event: k for k, event in enumerate(source.classes or [])}
    shared = [(k, row[event]) for k, event in enumerate(classes.tolist()) if event in row]
    layer = {}
    for key in _OUTPUT:
        layer[key] = fresh[key].detach().clone()
        for here, there in shared:
            layer[key][here] = source.state[key][there]
    return layer
