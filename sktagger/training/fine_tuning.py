"""Fine-tuning: weights that training begins with, and stages that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from sktagger.networks import Network, NetworkModule, check_state

__all__ = ["Weights", "freeze_stages", "start_from"]


class Weights(NamedTuple):
    """Trained weights from elsewhere, of which only the head is checked.

    Attributes
    ----------
    source : str
        Where they come from, for messages.
    state : dict of str to Tensor
    classes : list or None
        Events of the outputs, in their order. None: not known.
    network : Network or None
        What was trained. None: not known, but it has the head of the network that begins.
    trusted : bool, default=False
        Whether they come from this process, so that they may be NaN or infinite.
    """

    source: str
    state: Mapping[str, Tensor]
    classes: list | None
    network: Network | None
    trusted: bool = False


def start_from(
    module: NetworkModule, network: Network, classes: np.ndarray, weights: Weights
) -> None:
    """Give a fresh network the weights and statistics of a trained one.

    Parameters
    ----------
    module : NetworkModule
        Its head keeps the rows of events that the weights do not know.
    network : Network
        Settings of `module`.
    classes : ndarray of shape (n_events,)
        Events of `module`.
    weights : Weights

    Raises
    ------
    ValueError
        If the weights are those of another network, of one with other settings, or are NaN or
        infinite.
    """
    _check_settings(weights, network)
    own = module.state_dict()
    n_outputs = network.count_events(weights.state)
    expected = network.shapes(n_outputs)
    check_state(weights.state, expected, f"init_from: {weights.source}", finite=not weights.trusted)
    module.load_state_dict({**weights.state, **_match_head(own, network, weights, classes)})


def freeze_stages(module: NetworkModule, freeze: int | str | None) -> list[nn.Module]:
    """Exclude the first stages of a network from training, and include the others.

    Parameters
    ----------
    module : NetworkModule
    freeze : int, "backbone" or None
        Number of stages that get no gradient; "backbone": all of them, so that only the head
        learns. 0 or None: none.

    Returns
    -------
    list of Module
        Those that have to stay in evaluation mode, so that their statistics do not move: the
        frozen stages and, if there are any, the front end.
    """
    stages = module.stages
    n_frozen = {None: 0, "backbone": len(stages)}.get(freeze, freeze)
    frozen = [*module.front_end, *stages[:n_frozen]] if n_frozen else []
    module.requires_grad_(True)
    for part in frozen:
        part.requires_grad_(False)
    return frozen


def _check_settings(weights, network):
    """Raise ValueError if other settings of the network were trained."""
    if weights.network is None:
        mismatch = network.explain_mismatch(weights.state)
        if mismatch:
            raise ValueError(
                f"init_from: {weights.source} {mismatch}. Set "
                f"{', '.join(network.get_params(False))} to the values that it was trained with."
            )
        return
    here, there = type(network).__name__, type(weights.network).__name__
    if here != there:
        raise ValueError(
            f"init_from: {weights.source} holds a {there}, but this tagger has a {here}. Give "
            f"weights of a {here}."
        )
    own, trained = network.fixed_settings(), weights.network.fixed_settings()
    others = [name for name in own if trained[name] != own[name]]
    if others:
        raise ValueError(
            f"init_from: {weights.source} was trained with {_list(others, trained)}, but this "
            f"tagger has {_list(others, own)}. Weights fit the settings that they were trained "
            "with: set these to the source's values."
        )


def _list(names, values):
    return ", ".join(f"{name.rpartition('__')[2]}={values[name]!r}" for name in names)


def _match_head(fresh, network, weights, classes):
    """Take the rows of the events that the weights know, and the fresh ones of the others."""
    row = {event: k for k, event in enumerate(weights.classes or [])}
    shared = [(k, row[event]) for k, event in enumerate(classes.tolist()) if event in row]
    head = {}
    for name in (f"{network.head}.weight", f"{network.head}.bias"):
        if name in fresh:
            head[name] = fresh[name].detach().clone()
            for here, there in shared:
                head[name][here] = weights.state[name][there]
    return head
