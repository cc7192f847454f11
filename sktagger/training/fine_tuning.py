"""Fine-tuning: initial weights from another training, and frozen stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor, nn

from sktagger._utils.text import quoted
from sktagger.networks import Network, NetworkModule, check_state

__all__ = ["Weights", "check_weights", "compare_settings", "freeze_stages", "start_from"]


class Weights(NamedTuple):
    """Weights of another training. Only the shape of the head has been checked.

    Attributes
    ----------
    source : str
        Name of the source, for messages.
    state : dict of str to Tensor
        The weights and statistics by name.
    classes : list or None
        Events of the outputs, in their order. None: unknown.
    network : Network or None
        Settings of the trained network. None: unknown, but its head has the same name.
    trusted : bool, default=False
        Whether the weights come from this process. Then NaN and infinity are allowed.
    """

    source: str
    state: Mapping[str, Tensor]
    classes: list | None
    network: Network | None
    trusted: bool = False


def start_from(
    module: NetworkModule, network: Network, classes: np.ndarray, weights: Weights
) -> None:
    """Copy the weights and statistics of a trained network to a new one.

    Parameters
    ----------
    module : NetworkModule
        New network. The rows of its head stay for events that the trained network does not have.
    network : Network
        Settings of `module`.
    classes : ndarray of shape (n_events,)
        Events of `module`.
    weights : Weights
        Weights of the trained network.

    Raises
    ------
    ValueError
        If the weights are those of another network or of other settings, or are not finite.
    """
    check_weights(network, weights)
    if network.needs_tags and weights.classes != classes.tolist():
        raise ValueError(
            f"init_from: {weights.source} was trained with {_describe(weights.classes)}, but this "
            f"tagger has {_describe(classes.tolist())}. Tags of events are inputs of its network, "
            "so both must have the same events in the same order."
        )
    fresh = module.state_dict()
    module.load_state_dict({**weights.state, **_match_head(fresh, network, weights, classes)})


def check_weights(network: Network, weights: Weights) -> None:
    """Check that weights are those of a network.

    Parameters
    ----------
    network : Network
        Settings of the network to be trained.
    weights : Weights
        Weights of a trained network.

    Raises
    ------
    ValueError
        If the weights are those of another network or of other settings, or are not finite.
    """
    _check_settings(weights, network)
    n_outputs = network.count_events(weights.state)
    assert n_outputs is not None  # the head has been checked
    expected = network.shapes(n_outputs)
    check_state(weights.state, expected, f"init_from: {weights.source}", finite=not weights.trusted)


def freeze_stages(
    module: NetworkModule, freeze: int | Literal["backbone"] | None
) -> list[nn.Module]:
    """Exclude the first stages of a network from training, and include the others.

    Parameters
    ----------
    module : NetworkModule
        Network to be trained.
    freeze : int, "backbone" or None
        Number of stages without gradient. "backbone": all stages, so that only the head is
        trained. 0 or None: no stage.

    Returns
    -------
    list of Module
        Modules that must stay in evaluation mode, so that their statistics do not change: the
        frozen stages and, if there are any, the front end.
    """
    stages = module.stages
    n_frozen = len(stages) if freeze == "backbone" else freeze
    frozen = [*module.front_end, *stages[:n_frozen]] if n_frozen else []
    module.requires_grad_(True)
    for part in frozen:
        part.requires_grad_(False)
    return frozen


def compare_settings(network: Network, other: Network) -> tuple[list[str], str, str]:
    """Compare the settings of two networks of one class that their weights depend on.

    Parameters
    ----------
    network, other : Network

    Returns
    -------
    different : list of str
        Names of the settings that differ, such as ``stft__n_fft``.
    own, others : str
        Their values in `network` and in `other`, for messages.
    """
    own, others = network.fixed_settings(), other.fixed_settings()
    different = [name for name in own if others[name] != own[name]]
    texts = [
        ", ".join(f"{name.rpartition('__')[2]}={values[name]!r}" for name in different)
        for values in (own, others)
    ]
    return different, texts[0], texts[1]


def _check_settings(weights, network):
    """Raise ValueError if the weights are those of another network or of other settings."""
    if weights.network is None:
        mismatch = network.explain_mismatch(weights.state)
        if mismatch:
            raise ValueError(
                f"init_from: {weights.source} {mismatch}. Set "
                f"{', '.join(network.get_params(False))} to the values of its training."
            )
        return
    name, trained_name = type(network).__name__, type(weights.network).__name__
    if name != trained_name:
        raise ValueError(
            f"init_from: {weights.source} holds a {trained_name}, but this tagger has a {name}. "
            f"Give weights of a {name}."
        )
    different, own, trained = compare_settings(network, weights.network)
    if different:
        raise ValueError(
            f"init_from: {weights.source} was trained with {trained}, but this tagger has {own}. "
            "The weights fit the settings of their training only: set these to the values of the "
            "source."
        )


def _describe(classes):
    return "unknown events" if classes is None else f"the events {quoted(classes)}"


def _match_head(fresh, network, weights, classes):
    """Make a head with the trained rows of known events and the fresh rows of the others."""
    row = {event: k for k, event in enumerate(weights.classes or [])}
    shared = [(k, row[event]) for k, event in enumerate(classes.tolist()) if event in row]
    head = {}
    for name in (f"{network.head_name}.weight", f"{network.head_name}.bias"):
        if name in fresh:
            head[name] = fresh[name].detach().clone()
            for new_row, trained_row in shared:
                head[name][new_row] = weights.state[name][trained_row]
    return head
