"""Batches of a plan, loaded in threads ahead of the network."""

import numpy as np
import torch

from sktagger._utils.threads import prefetch
from sktagger.batching.dataset import Batch, ClipDataset, n_frames_of
from sktagger.batching.long_clips import CHUNK_FRAMES, LongClip, can_be_chunked
from sktagger.batching.plans import FRAMES_PER_CLIP, plain_plan
from sktagger.networks import ScoreGrid

_BATCHES_AHEAD = 4  # at most, of as many frames as a batch can have


def load_ahead(load, plan, n_threads: int, batch_size: int):
    """Load the batches of a plan in threads, as far ahead as memory should go.

    Parameters
    ----------
    load : callable
        Makes a batch of a list of examples.
    plan : iterable of list of Example
    n_threads : int
    batch_size : int
        Greatest number of clips of a batch.

    Yields
    ------
    object
        What `load` made of each.
    """
    return prefetch(
        load,
        plan,
        n_threads,
        size=n_frames_of,
        max_size=_BATCHES_AHEAD * batch_size * FRAMES_PER_CLIP,
    )


class PlainBatches:
    """Batches of undistorted clips, for validation and prediction.

    Parameters
    ----------
    dataset : ClipDataset
    batch_size : int
        Greatest number of clips in a batch.
    n_threads : int
        Number of loader threads.
    grid : ScoreGrid
        Of the network, for clips that are scored in chunks.
    """

    def __init__(self, dataset: ClipDataset, batch_size: int, n_threads: int, grid: ScoreGrid):
        self.dataset = dataset
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.grid = grid
        self._long_frames = CHUNK_FRAMES if can_be_chunked(grid) else np.inf
        self.plan = self.limited(batch_size * FRAMES_PER_CLIP)

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.dataset)

    def limited(self, max_frames: int) -> list:
        """Plan the same batches, or smaller ones of `max_frames` frames at most."""
        return plain_plan(
            self.dataset.lengths,
            self.dataset.sizes,
            self.batch_size,
            max_frames=min(max_frames, self.batch_size * FRAMES_PER_CLIP),
            long_frames=self._long_frames,
        )

    def is_long(self, examples) -> bool:
        """Say whether a batch is a long clip, which is scored in chunks."""
        return examples[0].n_frames > self._long_frames

    def long_clip(self, examples) -> LongClip:
        """Give the long clip of a batch."""
        return LongClip(self.dataset, examples[0], self.grid)

    def __iter__(self):
        """Yield each :class:`Batch`; one of a long clip holds the :class:`LongClip`."""
        return self.load(self.plan)

    def load(self, plan):
        """Yield the batches of a plan."""
        return load_ahead(self._load, plan, self.n_threads, self.batch_size)

    def _load(self, examples):
        if not self.is_long(examples):
            return self.dataset.load(examples)
        n_frames = torch.tensor([examples[0].n_frames])
        inputs = {"long_clip": self.long_clip(examples), "n_frames": n_frames}
        dataset = self.dataset
        targets, rows = dataset.targets_of(examples), dataset.rows_of(examples)
        return Batch(inputs, targets, rows, dataset.longest(examples))
