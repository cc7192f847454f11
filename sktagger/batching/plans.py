"""Plan batches: which clips they contain, and how the clips are distorted.

A plan depends only on a seed and on the lengths of clips. Loader threads then turn it into tensors.
Batches therefore do not depend on the number of threads, and training can continue from any batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
from sklearn.base import clone

from sktagger.audio.augmentation import Augmentation
from sktagger.audio.draws import (
    draw_features,
    draw_mixup_onset,
    draw_superposition,
    draw_waveform,
)
from sktagger.audio.spectral import STFTSizes
from sktagger.batching.buckets import bucket_by_length, longest_first, split_into_batches
from sktagger.batching.examples import Example, Part, plain_example

__all__ = [
    "FRAMES_PER_CLIP",
    "Example",
    "Part",
    "TrainingPlan",
    "bucket_by_length",
    "plain_example",
    "plain_plan",
]

# If the clips of a batch, including padding, have more frames than this on average, the batch gets
# fewer clips: 41 s at a hop of 20 ms
FRAMES_PER_CLIP = 2048


class TrainingPlan:
    """An endless plan of training batches, drawn epoch by epoch from a seed.

    Parameters
    ----------
    lengths : ndarray of shape (n_clips,), int
        Lengths of the clips in samples.
    sizes : STFTSizes
        Sizes of the STFT.
    sample_rate : int
        In Hz.
    batch_size : int
        Number of clips in a batch. The last batches of an epoch may have fewer, and so may those
        of clips with more than `FRAMES_PER_CLIP` frames.
    augmentation : Augmentation or None
        How clips are distorted. None: not at all.
    n_mels : int
        Number of mel bands, for masks.
    seed : int
        The same seed gives the same batches.
    probabilities : ndarray of shape (n_clips,), float, or None, default=None
        Probabilities by which the clips of an epoch are drawn, with replacement. None: every clip
        is in an epoch once.
    weights : ndarray of shape (n_clips,), float, or None, default=None
        Weights of the clips in the loss, above 0. None: the dataset gives the weights.

    Attributes
    ----------
    epoch : int
        Epoch of the next batch.
    step : int
        Number of the next batch in its epoch.
    iteration : int
        Number of the next batch in the whole training.

    Notes
    -----
    The share of a clip in the loss is its probability times its weight. A mixture has the weight
    of its first clip. The second clip is drawn as if clips were repeated in proportion to their
    shares, with one copy of the clips of the smallest share. It can be another copy of the first
    clip, but not the same copy. If all shares are equal, it is therefore always another clip.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        sizes: STFTSizes,
        sample_rate: int,
        batch_size: int,
        augmentation: Augmentation | None,
        n_mels: int,
        seed: int,
        probabilities: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ):
        self.lengths = lengths
        self.sizes = sizes
        self.sample_rate = sample_rate
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.n_mels = n_mels
        self.seed = seed
        self.probabilities = probabilities
        self.weights = weights
        self._partners = _Partners(len(lengths), probabilities, weights)
        self.max_frames = batch_size * FRAMES_PER_CLIP
        self.set_weak_start("epoch", np.inf)
        self.seek(0, 0, 0)

    def set_weak_start(self, unit: str, position: float) -> None:
        """Set when weak distortions begin, see :meth:`sktagger.Augmentation.weak`.

        Parameters
        ----------
        unit : {"epoch", "iteration"}
            Unit of `position`.
        position : float
            Number of epochs or batches before. Infinity: distortions are never weak.
        """
        self._weak_start = unit, position

    def seek(self, epoch: int, step: int, iteration: int, seed: int | None = None) -> None:
        """Move to the position of another plan.

        Parameters
        ----------
        epoch, step, iteration : int
            Position of the next batch.
        seed : int or None, default=None
            Seed of the other plan. None: that of this plan.

        Raises
        ------
        ValueError
            If the epoch has fewer batches.
        """
        self.seed = self.seed if seed is None else seed
        self.epoch, self.step, self.iteration = epoch, step, iteration
        self._batches = self._epoch_batches()
        for done in range(step):
            if next(self._batches, None) is None:
                raise ValueError(f"step={step} lies beyond the {done} batches of epoch {epoch}")

    def take(
        self, n_epochs: int | None = None, n_iterations: int | None = None
    ) -> Iterator[list[Example]]:
        """Yield the batches of some epochs, or a number of batches.

        Parameters
        ----------
        n_epochs : int or None, default=None
            Number of epochs. The batches before `step` are not repeated.
        n_iterations : int or None, default=None
            Number of batches. Give one of both.

        Yields
        ------
        list of Example
            A batch.
        """
        last_epoch = None if n_epochs is None else self.epoch + n_epochs
        last_iteration = None if n_iterations is None else self.iteration + n_iterations
        while self.epoch != last_epoch and self.iteration != last_iteration:
            batch = next(self._batches, None)
            if batch is None:
                self.epoch, self.step = self.epoch + 1, 0
                self._batches = self._epoch_batches()
            else:
                self.step, self.iteration = self.step + 1, self.iteration + 1
                yield batch

    def _epoch_batches(self):
        n_clips = len(self.lengths)
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.probabilities is None:
            order = rng.permutation(n_clips)
        else:
            order = rng.choice(n_clips, n_clips, p=self.probabilities)
        examples = (
            self._draw(index, np.random.default_rng([self.seed, self.epoch, 1 + position]), a)
            for position, (index, a) in enumerate(zip(order, self._augmentations(), strict=True))
        )
        return bucket_by_length(examples, self.batch_size, max_frames=self.max_frames)

    def _augmentations(self):
        """Yield the settings of the distortions of each clip of this epoch."""
        full = self.augmentation
        if full is None:
            yield from repeat(None, len(self.lengths))
            return
        n_clips = len(self.lengths)
        unmixed, weak = clone(full).set_params(mixup_prob=0.0), full.weak()
        unit, weak_start = self._weak_start
        per_batch = self._clips_per_batch()
        begun, n_together = {
            "epoch": (self.epoch, n_clips),
            "iteration": (self.iteration - self.step, per_batch),
        }[unit]
        for position in range(n_clips):
            if begun + position / n_together >= weak_start:
                yield weak
            elif self.epoch * n_clips + position < full.mixup_delay * per_batch:
                yield unmixed
            else:
                yield full

    def _clips_per_batch(self):
        """Estimate the mean number of clips in a batch, which is lower if clips are long."""
        n_frames = sum(self.sizes.n_frames(int(n)) for n in self.lengths)
        return max(1, min(self.batch_size, self.max_frames * len(self.lengths) / max(1, n_frames)))

    def _draw(self, index, rng, a):
        weight = None if self.weights is None else float(self.weights[index])
        if a is None:
            example = plain_example(index, self.lengths[index], self.sizes)
            return example._replace(weight=weight)
        parts = [Part(index, self._draw_waveform(index, rng, a))]
        if len(self.lengths) > 1 and rng.random() < a.mixup_prob:
            other = self._partners.draw(index, rng)
            parts = self._mix(parts[0], Part(other, self._draw_waveform(other, rng, a)), rng, a)
        n_frames = max(part.onset + part.draw.n_frames for part in parts)
        features = draw_features(a, rng, n_frames, self.n_mels)
        return Example(n_frames, tuple(parts), features, weight)

    def _mix(self, first, second, rng, a):
        """Draw where two parts lie in a mixture; only the first one is left if they do not fit."""
        if a.mixup_domain == "waveform":
            lengths = int(self.lengths[first.index]), int(self.lengths[second.index])
            draws = draw_superposition(rng, (first.draw, second.draw), lengths)
            return [p._replace(draw=draw) for p, draw in zip((first, second), draws, strict=True)]
        max_frames = self.sizes.max_frames(a.mixup_max_length, self.sample_rate)
        n_first, n_second = first.draw.n_frames, second.draw.n_frames
        onset = draw_mixup_onset(a, rng, n_first, n_second, max_frames)
        if onset is None:
            return [first]
        begin = min(0, onset)
        return [first._replace(onset=-begin), second._replace(onset=onset - begin)]

    def _draw_waveform(self, index, rng, a):
        n_samples = int(self.lengths[index])
        return draw_waveform(a, rng, n_samples, self.sizes, self.sample_rate)


class _Partners:
    """Draws the second clips of mixtures, see the notes of :class:`TrainingPlan`."""

    def __init__(self, n_clips, probabilities, weights):
        given = [np.asarray(x, float) for x in (probabilities, weights) if x is not None]
        shares = np.prod(given, axis=0) if given else np.ones(n_clips)
        self.n_clips = n_clips
        self.alike = not n_clips or np.ptp(shares) == 0
        if not self.alike:
            self.one_copy = shares[shares > 0].min()
            self.ends = np.cumsum(shares)

    def draw(self, index, rng):
        if self.alike:
            other = int(rng.integers(self.n_clips - 1))
            return other + (other >= index)
        # the copies of all clips are in a row, without the last copy of the first clip
        place = rng.random() * (self.ends[-1] - self.one_copy)
        if place >= self.ends[index] - self.one_copy:
            place += self.one_copy
        return min(int(np.searchsorted(self.ends, place, side="right")), self.n_clips - 1)


def plain_plan(
    lengths: np.ndarray,
    sizes: STFTSizes,
    batch_size: int,
    *,
    max_frames: float = np.inf,
    long_frames: float = np.inf,
) -> list[list[Example]]:
    """Plan batches of undistorted clips, for validation and prediction.

    Parameters
    ----------
    lengths : ndarray of shape (n_clips,), int
        Lengths of the clips in samples.
    sizes : STFTSizes
        Sizes of the STFT.
    batch_size : int
        Maximum number of clips in a batch.
    max_frames : int, default=inf
        Maximum number of frames in a batch, including padding. A single clip may have more.
    long_frames : int, default=inf
        A clip with more frames is a batch of its own.

    Returns
    -------
    list of list of Example
        The batches, longest clips first. Every clip is in one batch.
    """
    examples = longest_first(plain_example(i, n, sizes) for i, n in enumerate(lengths))
    n_long = sum(example.n_frames > long_frames for example in examples)
    batches = [[example] for example in examples[:n_long]]
    return batches + list(split_into_batches(examples[n_long:], batch_size, max_frames))
