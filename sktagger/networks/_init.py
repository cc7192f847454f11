"""Layers whose initial weights a network draws itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def skip_init(layer: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """Make a layer without drawing its weights.

    Unlike :func:`torch.nn.utils.skip_init`, it respects ``with torch.device(...)``.

    Parameters
    ----------
    layer : class
        A layer of :mod:`torch.nn`.
    *args, **kwargs
        Arguments of the layer.

    Returns
    -------
    Module
        Its weights are not initialized.
    """
    return nn.utils.skip_init(layer, *args, device=torch.get_default_device(), **kwargs)
