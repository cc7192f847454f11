"""Parts of the torch modules of networks: stages, norms and head, and what is set in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._masking import normalizes

if TYPE_CHECKING:
    from sktagger.networks._protocol import Network


class ModuleParts(nn.Module):
    """The parts of a :class:`NetworkModule`.

    Parameters
    ----------
    n_events : int
        Number of outputs.
    """

    def __init__(self, n_events: int):
        super().__init__()
        self.n_events = n_events
        self.precision = "float32"
        self.head_name = ""

    @property
    def head(self) -> nn.Module:
        """The last layer."""
        return self.get_submodule(self.head_name)

    @property
    def norms(self) -> list[nn.Module]:
        """Parts with running statistics, which are frozen where they are in evaluation mode."""
        return [part for part in self.modules() if normalizes(part)]

    @property
    def front_end(self) -> list[nn.Module]:
        """Parts without gradient. If a stage is frozen, their statistics are frozen, too."""
        return []

    @property
    def stages(self) -> list[nn.Module]:
        """Parts before the head, in order. The first n of them can be frozen."""
        raise NotImplementedError

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights.

        Parameters
        ----------
        random_state : int, default=0
            Seed. The global generator of PyTorch is neither used nor changed.
        """
        raise NotImplementedError

    def set_first_stage(self, state: Mapping[str, Tensor], thresholds: Tensor) -> None:
        """Set the trained network that predicts tags, if :attr:`Network.needs_tags`.

        Parameters
        ----------
        state : dict of str to Tensor
            Its weights and statistics.
        thresholds : Tensor of shape (n_events,), float32
            An event is in a clip if its score is above its threshold.
        """
        raise NotImplementedError

    def seed_dropout(self, *seed: int) -> None:
        """Set what dropout draws for the next batch.

        Parameters
        ----------
        *seed : int
            Any number of integers of at least 0.
        """
        parts = [part for part in self.modules() if isinstance(part, nn.Dropout)]
        seeds = np.random.SeedSequence(seed).generate_state(len(parts))
        for part, own in zip(parts, seeds.tolist(), strict=True):
            part.seed = own

    def set_precision(self, precision: str) -> None:
        """Set the number format that hidden layers compute in.

        Parameters
        ----------
        precision : {"float32", "bfloat16"}
            Features, statistics, head, scores, weights and gradients are always float32.
        """
        self.precision = precision

    def adjust(self, network: Network) -> None:
        """Set the settings in `adjustable` to those of a network.

        Parameters
        ----------
        network : Network
            Its other settings must be those that the module was built with.
        """
        for name in network.adjustable:
            setattr(self, name, getattr(network, name))

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Set the weights of the head.

        Parameters
        ----------
        weight : Tensor of shape (n_events, n_features), float32
        bias : Tensor of shape (n_events,), float32
        """
        state = self.head.state_dict()
        values = {"weight": weight.view_as(state["weight"]), "bias": bias}
        self.head.load_state_dict(values)

    def apply_head(self, embeddings: Tensor) -> Tensor:
        """Compute the logits of embeddings.

        Parameters
        ----------
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32

        Returns
        -------
        Tensor of shape (n_clips, n_events, n_segments), float32
        """
        weight = self.head.weight.flatten(1)
        return F.linear(embeddings.transpose(1, 2), weight, self.head.bias).transpose(1, 2)
