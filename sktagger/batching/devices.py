"""Devices and precisions that a network computes on and in."""

import torch


def resolve_device(device: str) -> torch.device:
    """Turn "auto" into the GPU where there is one, into the CPU elsewhere.

    Parameters
    ----------
    device : str
        "auto" or a device of PyTorch such as "cpu", "cuda", "cuda:1".

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If PyTorch does not know the device, or has none of that kind here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}). Take 'auto', "
            "'cpu', or 'cuda' where PyTorch sees a GPU."
        ) from error
    return torch.device(device)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn "auto" into what is faster on a device.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
    device : torch.device

    Returns
    -------
    {"float32", "bfloat16"}
        "auto" is "bfloat16" where there are units for products of such matrices: on GPUs that
        support it, and on CPUs with AMX. Other CPUs compute in it at half the speed of float32.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        faster = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # a private name, which may go
        faster = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return "bfloat16" if faster else "float32"
