"""Read weights that the original implementation of a network trained."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.base import clone

from sktagger._utils.text import nearest, short
from sktagger.datasets import audioset_classes
from sktagger.networks import FBCRNN, NETWORKS, Network, WALNet, find_state
from sktagger.taggers._base import BaseTagger
from sktagger.targets import check_classes
from sktagger.training.callbacks import load_checkpoint
from sktagger.training.fine_tuning import Weights

_N_AUDIOSET = 527  # events
TaggerT = TypeVar("TaggerT", bound=BaseTagger)


class UnknownNetworkError(ValueError):
    """The network of weights, or one of its settings, is unknown; the message says what to give."""


def identify_network(checkpoint: Mapping[str, Any], path: Path) -> Network:
    """Find the settings of the network that weights belong to.

    Parameters
    ----------
    checkpoint : dict
        A state dict, or a dict with a state dict under "model". Not trusted.
    path : Path
        File of the checkpoint. Its name can tell settings that weights do not show.

    Returns
    -------
    Network

    Raises
    ------
    UnknownNetworkError
        If the network or some of its settings are unknown. The message lists the choices.
    """
    state = checkpoint.get("model", checkpoint)
    state = state if isinstance(state, Mapping) else {}
    for network in NETWORKS.values():
        try:
            found = network.identify(state, path.name)
        except ValueError as error:
            raise UnknownNetworkError(f"{str(path)!r}: {str(error).rstrip('.')}.") from error
        if found is not None:
            return found
    raise UnknownNetworkError(
        f"{str(path)!r}: its weights are those of no known network. They begin with "
        f"{short(sorted(map(str, state))[:5])}. Known are EfficientAT's 'mn*.pt', PANNs' "
        "'Cnn*.pth' and the FBCRNN of pb_sed. For others, give the settings by network=, one of "
        f"{', '.join(NETWORKS)}."
    )


def read_foreign(
    checkpoint: Mapping[str, Any],
    path: Path,
    network: Network | None,
    classes: Sequence[Any] | np.ndarray | None = None,
) -> Weights:
    """Read the weights of another implementation.

    Parameters
    ----------
    checkpoint : dict
        A state dict, or a dict with a state dict under "model". Not trusted.
    path : Path
        File of the checkpoint.
    network : Network or None
        Settings of the network. None: they are told by the weights and the file's name.
    classes : array-like of shape (n_events,) or None, default=None
        Events of the outputs. None: the classes of AudioSet if there are 527 outputs and the public
        weights of the network have this order, else the numbers from 0 up.

    Returns
    -------
    Weights
        Only the shape of the head has been checked.

    Raises
    ------
    ValueError
        If the network is unknown, the weights show that it has other settings, or `classes` has
        another number of events than the weights.
    """
    source = repr(str(path))
    network = identify_network(checkpoint, path) if network is None else network
    state, n_outputs = find_state(checkpoint, network, source)
    # of the weights as they are, because constants that are not converted can show the settings
    mismatch = network.explain_mismatch(checkpoint.get("model", checkpoint))
    if mismatch:
        raise ValueError(f"{source} {mismatch}. Give the settings of its training by network=.")
    if classes is None:
        known = n_outputs == _N_AUDIOSET and network.audioset_order
        classes = audioset_classes()["name"].tolist() if known else list(range(n_outputs))
    events = check_classes(classes).tolist()
    if len(events) != n_outputs:
        raise ValueError(
            f"classes has {len(events)} events, but the weights in {source} have {n_outputs} "
            "outputs. Give one event per output, in their order."
        )
    return Weights(source, state, events, network)


def is_public(checkpoint: Mapping[str, Any], path: Path) -> bool:
    """Say whether weights are of a kind that other projects publish.

    Parameters
    ----------
    checkpoint : dict
        A state dict, or a dict with a state dict under "model". Not trusted.
    path : Path
        File of the checkpoint.

    Returns
    -------
    bool
        Whether some network identifies them, even if not all of its settings.
    """
    state = checkpoint.get("model", checkpoint)
    if not isinstance(state, Mapping):
        return False
    for network in NETWORKS.values():
        try:
            if network.identify(state, path.name) is not None:
                return True
        except ValueError:
            return True
    return False


def restore_foreign(
    estimator: type[TaggerT],
    path: Path,
    network: Network | None,
    classes: Any,
    params: Mapping[str, Any],
) -> TaggerT:
    """Make a fitted tagger from the weights of another implementation.

    Parameters
    ----------
    estimator : class
        Class of the tagger.
    path : Path
        File of the checkpoint.
    network : Network or None
        Settings of the network. None: they are told by the weights and the file's name.
    classes : array-like of shape (n_events,) or None
        Events of the outputs.
    params : dict
        Parameters of the tagger.

    Returns
    -------
    BaseTagger

    Raises
    ------
    FileNotFoundError, ValueError
        See :meth:`sktagger.AudioTagger.from_checkpoint`.
    """
    weights = read_foreign(load_checkpoint(path), path, network, classes)
    assert weights.network is not None
    assert weights.classes is not None
    tagger = estimator._with_network(weights.network, **params)
    tagger._check_settings()
    events = np.array(weights.classes)
    return tagger._restore(events, weights.state, source=weights.source)


def restore_padertorch(
    estimator: type[TaggerT],
    source: str | os.PathLike[str] | Mapping[str, Any],
    classes: Sequence[Any],
    network: Network | None,
    params: Mapping[str, Any],
) -> TaggerT:
    """Make a fitted tagger from weights that were trained with padertorch.

    Parameters
    ----------
    estimator : class
        Class of the tagger.
    source : str, PathLike or dict
        Checkpoint file, or a state dict, which may be under the key "model".
    classes : sequence of str
        Events of the outputs.
    network : Network or None
        Settings of the network. None: they are told by the weights.
    params : dict
        Parameters of the tagger.

    Returns
    -------
    BaseTagger

    Raises
    ------
    FileNotFoundError, ValueError
        See :meth:`sktagger.AudioTagger.from_padertorch`.
    """
    if isinstance(source, Mapping):
        name, checkpoint = "source", source
    else:
        name, checkpoint = f"source: {str(source)!r}", load_checkpoint(source)
    if "format" in checkpoint:
        raise ValueError(
            f"{name} is a checkpoint of sktagger, not of padertorch: {estimator.__name__}.load "
            "reads it with the settings and events of its training."
        )
    state = checkpoint.get("model", checkpoint)
    if network is None and isinstance(state, Mapping):
        network = FBCRNN.identify(state, name)
    network = WALNet(pooling="mean") if network is None else network
    state, n_outputs = find_state(checkpoint, network, name)
    if len(classes) != n_outputs:
        raise ValueError(
            f"classes has {len(classes)} events, but the checkpoint has {n_outputs} outputs. "
            "Give one name for each output, in their order."
        )
    tagger = estimator._with_network(network, **params)
    tagger._check_settings()
    return tagger._restore(check_classes(classes), state, source=name)


def map_classes(tagger: TaggerT, mapping: Mapping[Any, Any], multilabel: bool | None) -> TaggerT:
    """Make a fitted tagger that has only some rows of the head of another one.

    Parameters
    ----------
    tagger : BaseTagger
        Fitted.
    mapping : dict
        From each event to that of `tagger`.
    multilabel : bool or None
        Whether a clip may have several events. None: as in `tagger`.

    Returns
    -------
    BaseTagger

    Raises
    ------
    ValueError
        See :meth:`sktagger.AudioTagger.map_classes`.
    """
    if not isinstance(mapping, Mapping) or not mapping:
        raise ValueError(
            f"mapping is {short(mapping)}, but it must be a dict from each own event to an event "
            "of this tagger."
        )
    if tagger.network_.needs_tags:
        raise ValueError(
            f"Tags of events are inputs of {short(tagger.network_)}, so it cannot have other "
            "events. Map those of its first stage, and train the second one again."
        )
    row = {event: k for k, event in enumerate(tagger.classes_.tolist())}
    for own, event in mapping.items():
        if not isinstance(event, Hashable) or event not in row:
            raise ValueError(
                f"mapping: {short(own)} stands for {short(event)}, which is no event of this "
                f"tagger{nearest(event, row)}. Its events are in classes_."
            )
    events = check_classes(list(mapping))
    rows = [row[event] for event in mapping.values()]
    network, head = tagger.network_, tagger.network_.head_name
    state = tagger.module_.state_dict()
    for name in (f"{head}.weight", f"{head}.bias"):
        if name in state:
            state[name] = state[name][rows].clone()
    params = clone(tagger).get_params(deep=False)
    for name in tagger._network_parameters:
        params.pop(name, None)
    mapped = type(tagger)._with_network(network, **params | {"init_from": None})
    own_multilabel = tagger._multilabel if multilabel is None else multilabel
    return mapped._restore(events, state, multilabel=own_multilabel, source="the tagger")
