"""Check whether a state dict fits a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sktagger.networks._protocol import Network


def check_state(
    state: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Tensor],
    source: str,
    *,
    finite: bool = True,
    others: bool = False,
) -> None:
    """Check that a state dict has the tensors of another, in name, shape and type.

    Parameters
    ----------
    state : dict of str to Tensor
        Not trusted: it may come from any file.
    expected : dict of str to Tensor
        Tensors of the network. Only their shapes and types count. They may be on the device
        "meta", see :meth:`Network.shapes`.
    source : str
        Where `state` comes from, for messages.
    finite : bool, default=True
        Whether NaN and infinity are errors.
    others : bool, default=False
        Whether `state` may have further tensors.

    Raises
    ------
    ValueError
        If a tensor is missing or unknown, has another shape or type of numbers, or holds NaN or
        infinity. The message names the tensor.
    """
    if not isinstance(state, Mapping):
        raise ValueError(
            f"{source} holds weights of type {type(state).__name__}; allowed is a dict of tensors."
        )
    for name, own in expected.items():
        tensor = state.get(name)
        needed = f"{own.dtype} of shape {tuple(own.shape)}"
        if not isinstance(tensor, torch.Tensor):
            got = "is missing" if tensor is None else f"is of type {type(tensor).__name__}"
        elif tensor.shape != own.shape or tensor.dtype != own.dtype:
            got = f"is {tensor.dtype} of shape {tuple(tensor.shape)}"
        elif finite and not tensor.isfinite().all():
            got, needed = "holds NaN or infinity", "finite numbers"
        else:
            continue
        raise ValueError(
            f"{source}: the weights do not fit this network. {name!r} {got}; needed is "
            f"{needed}. Give weights of the same network, events, sample rate and STFT."
        )
    unknown = [str(name) for name in state if name not in expected]
    if unknown and not others:
        raise ValueError(
            f"{source}: the weights do not fit this network. It has no {unknown[0]!r:.200}. "
            "Give only the weights of this network."
        )


def find_state(
    checkpoint: Mapping, network: Network, source: str
) -> tuple[Mapping[str, torch.Tensor], int]:
    """Find the weights of a network in a checkpoint.

    Parameters
    ----------
    checkpoint : dict
        A state dict, or a dict with a state dict under "model".
    network : Network
        Network that the weights should belong to.
    source : str
        Where the checkpoint comes from, for messages.

    Returns
    -------
    state : dict of str to Tensor
        Converted, see :meth:`Network.convert`. Only the head of the network is checked.
    n_events : int
        Number of outputs of the head.

    Raises
    ------
    ValueError
        If the head of the network is missing.
    """
    state = checkpoint.get("model", checkpoint)
    state = network.convert(state) if isinstance(state, Mapping) else state
    n_events = network.count_events(state) if isinstance(state, Mapping) else None
    if n_events is None:
        name = type(network).__name__
        found = state if isinstance(state, Mapping) else [type(state).__name__]
        raise ValueError(
            f"{source} holds no {name}: the tensor '{network.head_name}.weight' is missing. It has "
            f"{sorted(map(str, found))[:5]}. Give a checkpoint of {name}."
        )
    return state, n_events
