"""Start the head of a network from a linear fit to embeddings of the training clips."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch

from sktagger.batching.dataset import ClipDataset
from sktagger.batching.plain import PlainBatches
from sktagger.networks import Network, NetworkModule
from sktagger.taggers._scoring import compute_batches, outputs_of_clips
from sktagger.training.linear_head import fit_linear_head


def check_can_fit_head(network: Network) -> None:
    """Raise ValueError if the head is not a linear function of one embedding per clip."""
    with torch.device("meta"):  # which takes no memory
        module = network._make(1)
    if not (module.pools_embeddings and module.linear_head):
        raise ValueError(
            f"head_init='linear', but the head of a {type(network).__name__} scores segments. Set "
            "head_init='random', or choose a network that scores one embedding per clip, such as "
            "EfficientAT."
        )


def fit_head(
    tagger: Any,
    network: Network,
    module: NetworkModule,
    train_set: ClipDataset,
    event_weight: np.ndarray | None,
) -> bool:
    """Set the head to a linear fit.

    Parameters
    ----------
    tagger : BaseTagger
        Its `batch_size`, `n_jobs` and `verbose` are used.
    network : Network
        Settings of `module`.
    module : NetworkModule
        On its device. Its head is changed.
    train_set : ClipDataset
        Clips to train on. They are not distorted.
    event_weight : ndarray of shape (2, n_events) or None
        See :func:`sktagger.training.linear_head.fit_linear_head`.

    Returns
    -------
    bool
        False if no clip could be read, so that nothing has changed.
    """
    dataset = copy(train_set)
    dataset.times = None  # they are inputs of the loss only
    batches = PlainBatches(dataset, tagger.batch_size, tagger._n_threads(), network.get_grid())
    place = np.full(max(train_set.clips.positions) + 1, -1)
    place[train_set.clips.positions] = np.arange(len(train_set))
    found, embeddings = [], []
    computation = outputs_of_clips(module.eval(), network.layers[-2], "auto")
    for rows, output in compute_batches(computation, batches, tagger.verbose):
        found.append(place[rows])
        embeddings.append(output.cpu().numpy())
    if not found:
        return False
    # in the order of the clips, because batches are computed in parallel
    clips = np.concatenate(found)
    order = np.argsort(clips)
    clips = clips[order]
    assert train_set.weights is not None
    weight, bias = fit_linear_head(
        np.concatenate(embeddings)[order],
        train_set.targets[clips],
        train_set.weights[clips],
        event_weight,
        verbose=tagger.verbose,
    )
    module.set_head(torch.from_numpy(weight), torch.from_numpy(bias))
    return True
