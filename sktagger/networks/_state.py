"""Comparing a state dict, which may come from anywhere, with what a network needs."""

from collections.abc import Mapping

import torch

from sktagger.networks.walnet import OUTPUT_WEIGHT


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
    expected : dict of str to Tensor
        Of the network that `state` is for; their values do not matter, and they may be on the
        device "meta", which has none.
    source : str
        Where `state` comes from, for messages.
    finite : bool, default=True
        Whether NaN and infinity are refused.
    others : bool, default=False
        Whether `state` may have further tensors.

    Raises
    ------
    ValueError
        If a tensor is missing, is one too many, has another shape or type of numbers, or holds
        NaN or infinity; the message names it.
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
            f"{source}: the weights do not fit this network, for {name!r} {got}; needed is "
            f"{needed}. Give those of a WALNet with these events, this sample rate and this STFT."
        )
    unknown = [str(name) for name in state if name not in expected]
    if unknown and not others:
        raise ValueError(
            f"{source}: the weights do not fit this network, for it has no {unknown[0]!r:.200}. "
            "Give those of a WALNet, and nothing else."
        )


def find_state(checkpoint: Mapping, source: str) -> Mapping[str, torch.Tensor]:
    """Find the weights of a WALNet in a checkpoint.

    Parameters
    ----------
    checkpoint : dict
        A state dict, or a dict that has one under "model".
    source : str
        Where it comes from, for messages.

    Returns
    -------
    dict of str to Tensor
        With a weight of the output layer, one row per event; the rest is not checked.

    Raises
    ------
    ValueError
        If there is no such dict.
    """
    state = checkpoint.get("model", checkpoint)
    output = state.get(OUTPUT_WEIGHT) if isinstance(state, Mapping) else None
    if not isinstance(output, torch.Tensor) or output.ndim == 0:
        found = state if isinstance(state, Mapping) else [type(state).__name__]
        raise ValueError(
            f"{source} holds no WALNet: the tensor {OUTPUT_WEIGHT!r} is missing. Found are "
            f"{sorted(map(str, found))[:5]}. Give a checkpoint of WALNet."
        )
    return state
