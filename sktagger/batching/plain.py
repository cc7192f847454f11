"""Batches of undistorted clips, loaded ahead in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch

from sktagger._utils.threads import prefetch
from sktagger.batching.dataset import Batch, ClipDataset, count_frames
from sktagger.batching.long_clips import CHUNK_FRAMES, LongClip, can_be_chunked
from sktagger.batching.plans import FRAMES_PER_CLIP, Example, plain_plan
from sktagger.networks import ScoreGrid

__all__ = ["PlainBatches", "load_ahead"]

_BATCHES_AHEAD = 4  # maximum, for batches of the maximum number of frames
_T = TypeVar("_T")


def load_ahead(
    load: Callable[[list[Example]], _T],
    plan: Iterable[list[Example]],
    n_threads: int,
    batch_size: int,
) -> Iterator[_T]:
    """Load the batches of a plan in threads, ahead of their use but within limited memory.

    Parameters
    ----------
    load : callable
        Makes a batch from a list of examples.
    plan : iterable of list of Example
        The examples of each batch.
    n_threads : int
        Number of loader threads.
    batch_size : int
        Maximum number of clips in a batch.

    Yields
    ------
    object
        What `load` returned for each batch, in order.
    """
    return prefetch(
        load,
        plan,
        n_threads,
        size=count_frames,
        max_size=_BATCHES_AHEAD * batch_size * FRAMES_PER_CLIP,
    )


class PlainBatches:
    """Batches of undistorted clips, for validation and prediction.

    Parameters
    ----------
    dataset : ClipDataset
        Makes the batches.
    batch_size : int
        Maximum number of clips in a batch.
    n_threads : int
        Number of loader threads.
    grid : ScoreGrid
        Positions of the scores of the network, for clips that are scored in chunks.
    chunked : bool, default=False
        Whether long clips are scored in chunks even if that changes the scores, see
        :func:`sktagger.batching.long_clips.can_be_chunked`.

    Attributes
    ----------
    plan : list of list of Example
        The examples of each batch.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batch_size: int,
        n_threads: int,
        grid: ScoreGrid,
        *,
        chunked: bool = False,
    ):
        self.dataset = dataset
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.grid = grid
        self._long_frames = CHUNK_FRAMES if chunked or can_be_chunked(grid) else np.inf
        self.plan = self.plan_batches(batch_size * FRAMES_PER_CLIP)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.dataset)

    def plan_batches(self, max_frames: int) -> list[list[Example]]:
        """Plan batches of limited size.

        Parameters
        ----------
        max_frames : int
            Maximum number of frames in a batch, including padding. It can only lower the limit of
            `plan`.

        Returns
        -------
        list of list of Example
            The examples of each batch.
        """
        return plain_plan(
            self.dataset.lengths,
            self.dataset.sizes,
            self.batch_size,
            max_frames=min(max_frames, self.batch_size * FRAMES_PER_CLIP),
            long_frames=self._long_frames,
        )

    def is_long(self, examples: list[Example]) -> bool:
        """Say whether a batch is a long clip, which is scored in chunks."""
        return examples[0].n_frames > self._long_frames

    def long_clip(self, examples: list[Example]) -> LongClip:
        """Return the long clip of a batch."""
        return LongClip(self.dataset, examples[0], self.grid)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of `plan`."""
        return self.load(self.plan)

    def load(self, plan: Iterable[list[Example]]) -> Iterator[Batch]:
        """Yield the batches of a plan, loaded ahead in threads.

        Parameters
        ----------
        plan : iterable of list of Example
            The examples of each batch.

        Yields
        ------
        Batch
            The inputs of a long clip are a :class:`LongClip`.
        """
        return load_ahead(self._load, plan, self.n_threads, self.batch_size)

    def _load(self, examples):
        if not self.is_long(examples):
            return self.dataset.load(examples)
        n_frames = torch.tensor([examples[0].n_frames])
        inputs = {"long_clip": self.long_clip(examples), "n_frames": n_frames}
        dataset = self.dataset
        inputs |= dataset.activity(examples)
        targets, rows = dataset.targets_of(examples), dataset.rows_of(examples)
        return Batch(inputs, targets, rows, dataset.longest(examples))
