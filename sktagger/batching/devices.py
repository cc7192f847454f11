"""Choose the device and the precision that a network computes with."""

import torch

from sktagger.networks import Network

__all__ = ["resolve_device", "resolve_precision"]


def resolve_device(device: str) -> torch.device:
    """Make a device, and choose the GPU for "auto" if there is one, else the CPU.

    Parameters
    ----------
    device : str
        "auto", or a device of PyTorch such as "cpu", "cuda" or "cuda:1".

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If PyTorch does not know the device, or this machine does not have it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}). Use 'auto', "
            "'cpu', or 'cuda' if PyTorch sees a GPU."
        ) from error
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device, network: Network) -> str:
    """Choose the faster precision of a device for "auto".

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
    device : torch.device
    network : Network
        Some networks are faster in float32 on a CPU.

    Returns
    -------
    {"float32", "bfloat16"}
        "auto" is "bfloat16" on hardware with matrix units for it: GPUs of compute capability 8.0
        or higher, and CPUs with AMX. Other CPUs take twice as long for it as for float32.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        faster = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # a private name, which a later version of PyTorch may not have
        has_units = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
        faster = has_units and network.prefers_bfloat16
    return "bfloat16" if faster else "float32"
