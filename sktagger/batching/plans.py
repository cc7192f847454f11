"""Clips -> plans of batches: which clips, distorted how, in which order.

A plan is drawn from seeds and clip lengths alone; loader threads then turn its items into tensors.
So the batches do not depend on the number of threads, and training can go on at any batch of any
epoch.
"""

from itertools import repeat
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from sktagger.audio.augmentation import (
    FeatureDraw,
    WaveformDraw,
    draw_features,
    draw_mixup_onset,
    draw_waveform,
)
from sktagger.audio.spectral import STFTSizes
from sktagger.batching.device_transfer import padded_length

MAX_PADDING = 0.05
MAX_BUCKET_AGE = 1000  # batches
# Mean number of frames of a batch's clips, padding included, beyond which it gets fewer clips:
# 41 s at a hop of 20 ms
FRAMES_PER_CLIP = 2048


class Part(NamedTuple):
    """A clip in an example: its index, its distortion (None: as it is), its first frame."""

    index: int
    draw: WaveformDraw | None = None
    onset: int = 0


class Example(NamedTuple):
    """What goes into one row of a batch: one clip, or two that are mixed.

    Its weight in the loss is None where the plan does not weigh clips.
    """

    n_frames: int
    parts: tuple[Part, ...]
    features: FeatureDraw | None = None
    weight: float | None = None


def bucket_by_length(
    examples, batch_size, *, max_frames=np.inf, max_padding=MAX_PADDING, max_age=MAX_BUCKET_AGE
):
    """Gather a stream of examples into batches of similar length.

    A bucket opens with one example of L frames and admits lengths from ``L * (1 - max_padding)``
    to ``L / (1 - max_padding)``; each further example tightens these bounds, so that no clip of
    a batch is padded by more than that. A full bucket is a batch, as is one that has been open
    for `max_age` batches. The examples left at the end are batched in the order of their length.
    No batch has more frames than `max_frames`, but for a single example that is longer.

    Parameters
    ----------
    examples : iterable of Example
    batch_size : int
        Greatest number of examples in a batch.
    max_frames : int, default=inf
        Greatest number of frames of a batch, padding included.
    max_padding : float, default=0.05
        In [0, 1).
    max_age : int, default=1000
        In batches.

    Yields
    ------
    list of Example
        Longest first. Every example comes once.
    """
    buckets = []
    n_batches = 0
    for example in examples:
        length = example.n_frames
        bucket = next((b for b in buckets if b.admits(length, max_frames)), None)
        if bucket is None:
            bucket = _Bucket(n_batches)
            buckets.append(bucket)
        bucket.add(example, length * (1 - max_padding), length / (1 - max_padding))
        if len(bucket.examples) == batch_size or bucket.frames_with(1) > max_frames:
            n_batches += 1
            buckets.remove(bucket)
            yield _longest_first(bucket.examples)
        # the oldest bucket comes first
        if buckets and n_batches - buckets[0].opened >= max_age:
            n_batches += 1
            yield _longest_first(buckets.pop(0).examples)
    left = [example for bucket in buckets for example in bucket.examples]
    yield from _chunks(_longest_first(left), batch_size, max_frames)


class _Bucket:
    def __init__(self, opened):
        self.opened = opened
        self.examples = []
        self.longest = 0
        self.low, self.high = 0.0, float("inf")

    def admits(self, length, max_frames):
        return self.low <= length <= self.high and self.frames_with(length) <= max_frames

    def frames_with(self, length):
        """Count the frames, padding included, that a batch with one more example has."""
        return (len(self.examples) + 1) * padded_length(max(self.longest, length))

    def add(self, example, low, high):
        self.examples.append(example)
        self.longest = max(self.longest, example.n_frames)
        self.low, self.high = max(self.low, low), min(self.high, high)


def _longest_first(examples):
    return sorted(examples, key=lambda example: -example.n_frames)


class TrainingPlan:
    """An endless plan of training batches, drawn epoch by epoch from a seed.

    Parameters
    ----------
    lengths : ndarray of shape (n_clips,), int
        Lengths of the clips in samples.
    sizes : STFTSizes
    sample_rate : int
        In Hz.
    batch_size : int
        Number of clips in a batch; the last ones of an epoch may be smaller, as are those of
        clips of more than `FRAMES_PER_CLIP` frames.
    augmentation : Augmentation or None
    n_mels : int
        Number of mel bands, for masks.
    seed : int
        The same seed gives the same batches.
    probabilities : ndarray of shape (n_clips,) or None, default=None
        By which the clips of an epoch are drawn, with replacement. None: every clip once.
    weights : ndarray of shape (n_clips,) or None, default=None
        Weights of the clips in the loss, above 0. None: the plan does not weigh clips.

    Notes
    -----
    A clip takes part in the loss as often as if it were repeated by its share, which is its
    probability times its weight. A mixture has the weight of its first clip. The second one is
    drawn by the shares of the clips, each of which stands for so many copies, the least share for
    one copy. It may be another copy of the first clip, but never the same copy: among clips of
    equal shares, it is another clip.

    Attributes
    ----------
    epoch, step, iteration : int
        Position of the next batch: epoch, batch of that epoch, batch of all.
    """

    def __init__(
        self,
        lengths,
        sizes,
        sample_rate,
        batch_size,
        augmentation,
        n_mels,
        seed,
        probabilities=None,
        weights=None,
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
        self.weaken_from("epoch", np.inf)
        self.seek(0, 0, 0)

    def weaken_from(self, unit: str, position: float):
        """Say from which position, counted in "epoch" or "iteration", on distortions are weak."""
        self._weakening = unit, position

    def seek(self, epoch: int, step: int, iteration: int, seed: int | None = None):
        """Go to a position that an earlier plan had reached; ValueError if there is none such."""
        self.seed = self.seed if seed is None else seed
        self.epoch, self.step, self.iteration = epoch, step, iteration
        self._batches = self._epoch_batches()
        for done in range(step):
            if next(self._batches, None) is None:
                raise ValueError(f"step={step} lies beyond the {done} batches of epoch {epoch}")

    def take(self, n_epochs=None, n_iterations=None):
        """Yield the batches of some epochs, or some number of batches.

        Parameters
        ----------
        n_epochs, n_iterations : int or None
            One of them is given.

        Yields
        ------
        list of Example
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
        """Yield what distorts each clip of this epoch."""
        full = self.augmentation
        if full is None:
            yield from repeat(None, len(self.lengths))
            return
        n_clips = len(self.lengths)
        unmixed, weak = clone(full).set_params(mixup_prob=0.0), full.weak()
        unit, weak_from = self._weakening
        per_batch = self._clips_per_batch()
        begun, n_together = {
            "epoch": (self.epoch, n_clips),
            "iteration": (self.iteration - self.step, per_batch),
        }[unit]
        for position in range(n_clips):
            if begun + position / n_together >= weak_from:
                yield weak
            elif self.epoch * n_clips + position < full.mixup_delay * per_batch:
                yield unmixed
            else:
                yield full

    def _clips_per_batch(self):
        """Estimate the mean number of clips of a batch, which is lower where clips are long."""
        n_frames = sum(self.sizes.n_frames(int(n)) for n in self.lengths)
        return max(1, min(self.batch_size, self.max_frames * len(self.lengths) / max(1, n_frames)))

    def _draw(self, index, rng, a):
        weight = None if self.weights is None else float(self.weights[index])
        if a is None:
            example = plain_example(index, self.lengths[index], self.sizes)
            return example._replace(weight=weight)
        parts = [Part(index, self._draw_waveform(index, rng, a))]
        n_frames = parts[0].draw.n_frames
        if len(self.lengths) > 1 and rng.random() < a.mixup_prob:
            other = self._partners.draw(index, rng)
            draw = self._draw_waveform(other, rng, a)
            max_frames = self.sizes.max_frames(a.mixup_max_length, self.sample_rate)
            onset = draw_mixup_onset(a, rng, n_frames, draw.n_frames, max_frames)
            if onset is not None:
                begin = min(0, onset)
                n_frames = max(n_frames, onset + draw.n_frames) - begin
                parts = [parts[0]._replace(onset=-begin), Part(other, draw, onset - begin)]
        features = draw_features(a, rng, n_frames, self.n_mels)
        return Example(n_frames, tuple(parts), features, weight)

    def _draw_waveform(self, index, rng, a):
        n_samples = int(self.lengths[index])
        return draw_waveform(a, rng, n_samples, self.sizes, self.sample_rate)


class _Partners:
    """Draws the second clips of mixtures, as the notes of :class:`TrainingPlan` say."""

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
        # the clips' copies lie end to end; the last one of the first clip is passed over
        place = rng.random() * (self.ends[-1] - self.one_copy)
        if place >= self.ends[index] - self.one_copy:
            place += self.one_copy
        return min(int(np.searchsorted(self.ends, place, side="right")), self.n_clips - 1)


def plain_example(index: int, n_samples: int, sizes: STFTSizes) -> Example:
    """Plan a clip as it is."""
    return Example(sizes.n_frames(int(n_samples)), (Part(int(index)),))


def plain_plan(
    lengths, sizes: STFTSizes, batch_size: int, *, max_frames=np.inf, long_frames=np.inf
) -> list[list[Example]]:
    """Plan batches of undistorted clips for validation and prediction, longest first.

    Parameters
    ----------
    lengths : ndarray of shape (n_clips,), int
        In samples.
    sizes : STFTSizes
    batch_size : int
        Greatest number of clips in a batch.
    max_frames : int, default=inf
        Greatest number of frames of a batch, padding included; a single clip may be longer.
    long_frames : int, default=inf
        Clips of more frames make a batch each.

    Returns
    -------
    list of list of Example
        Every clip once.
    """
    examples = _longest_first(plain_example(i, n, sizes) for i, n in enumerate(lengths))
    n_long = sum(example.n_frames > long_frames for example in examples)
    batches = [[example] for example in examples[:n_long]]
    return batches + list(_chunks(examples[n_long:], batch_size, max_frames))


def _chunks(examples, batch_size, max_frames):
    """Cut a list of examples, longest first, into batches."""
    start = 0
    while start < len(examples):
        length = padded_length(examples[start].n_frames)
        size = max(1, int(min(batch_size * length, max_frames)) // length)
        yield examples[start : start + size]
        start += size
