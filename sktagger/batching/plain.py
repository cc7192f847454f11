"""Batches of a plan, loaded in threads ahead of the network."""

import torch

from sktagger._utils.threads import prefetch
from sktagger.batching.dataset import ClipDataset, n_frames_of
from sktagger.batching.long_clips import CHUNK_FRAMES, LongClip
from sktagger.batching.plans import FRAMES_PER_CLIP, plain_plan

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
    examples : list of Example
    batch : object
        What `load` made of them.
    """
    return prefetch(
        lambda examples: (examples, load(examples)),
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
        Greatest number of clips in a batch; fewer where they are long.
    n_threads : int
        Number of loader threads.

    Attributes
    ----------
    plan : list of list of Example
        Long clips, of more than `CHUNK_FRAMES` frames, are alone in theirs.
    examples : list of Example
        The batch that iteration gave last.
    """

    def __init__(self, dataset: ClipDataset, batch_size: int, n_threads: int):
        self.dataset = dataset
        self.batch_size = batch_size
        self.n_threads = n_threads
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
            long_frames=CHUNK_FRAMES,
        )

    def __iter__(self):
        """Yield what the dataset makes of each batch; None if none of its clips can be read.

        The inputs of a batch of a long clip are the :class:`LongClip` and `n_frames`.
        """
        for examples, batch in self.load(self.plan):
            self.examples = examples
            yield batch

    def load(self, plan):
        """Yield the batches of a plan, and what is made of each."""
        return load_ahead(self._load, plan, self.n_threads, self.batch_size)

    def _load(self, examples):
        if not is_long(examples):
            return self.dataset.load(examples)
        n_frames = torch.tensor([examples[0].n_frames])
        inputs = {"long_clip": LongClip(self.dataset, examples[0]), "n_frames": n_frames}
        return inputs, self.dataset.targets_of(examples)


def is_long(examples) -> bool:
    """Say whether a batch of undistorted clips is a long clip, which is scored in chunks."""
    return examples[0].n_frames > CHUNK_FRAMES
