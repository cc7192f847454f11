"""Group examples into batches of similar length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sktagger.batching.device_transfer import padded_length
from sktagger.batching.examples import Example

__all__ = ["bucket_by_length", "longest_first", "split_into_batches"]

_MAX_PADDING = 0.05
_MAX_BUCKET_AGE = 1000  # batches


def bucket_by_length(
    examples: Iterable[Example],
    batch_size: int,
    *,
    max_frames: float = np.inf,
    max_padding: float = _MAX_PADDING,
    max_age: int = _MAX_BUCKET_AGE,
) -> Iterator[list[Example]]:
    """Group a stream of examples into batches of similar length.

    The first example of a bucket, of L frames, limits the lengths of others to the range from
    ``L * (1 - max_padding)`` to ``L / (1 - max_padding)``. Each further example narrows the range,
    so that no clip is padded by more than `max_padding`. A bucket becomes a batch when it is full
    or has been open for `max_age` batches. Examples that are left at the end are sorted by length
    before they are batched.

    Parameters
    ----------
    examples : iterable of Example
    batch_size : int
        Maximum number of examples in a batch.
    max_frames : int, default=inf
        Maximum number of frames in a batch, including padding. A single example may have more.
    max_padding : float, default=0.05
        Maximum fraction of padding in a clip, in [0, 1).
    max_age : int, default=1000
        Maximum age of a bucket, in batches.

    Yields
    ------
    list of Example
        A batch, longest example first. Every example is in one batch.
    """
    buckets: list[_Bucket] = []
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
            yield longest_first(bucket.examples)
        # the oldest bucket comes first
        if buckets and n_batches - buckets[0].opened >= max_age:
            n_batches += 1
            yield longest_first(buckets.pop(0).examples)
    left = [example for bucket in buckets for example in bucket.examples]
    yield from split_into_batches(longest_first(left), batch_size, max_frames)


class _Bucket:
    """Examples of similar length that are not a batch yet."""

    def __init__(self, opened: int) -> None:
        self.opened = opened
        self.examples: list[Example] = []
        self.longest = 0
        self.low, self.high = 0.0, float("inf")

    def admits(self, length: int, max_frames: float) -> bool:
        return self.low <= length <= self.high and self.frames_with(length) <= max_frames

    def frames_with(self, length: int) -> int:
        """Count the frames, including padding, with one more example."""
        return (len(self.examples) + 1) * padded_length(max(self.longest, length))

    def add(self, example: Example, low: float, high: float) -> None:
        self.examples.append(example)
        self.longest = max(self.longest, example.n_frames)
        self.low, self.high = max(self.low, low), min(self.high, high)


def longest_first(examples: Iterable[Example]) -> list[Example]:
    """Sort examples by length, longest first."""
    return sorted(examples, key=lambda example: -example.n_frames)


def split_into_batches(
    examples: list[Example], batch_size: int, max_frames: float = np.inf
) -> Iterator[list[Example]]:
    """Split a list of examples, longest first, into batches.

    Parameters
    ----------
    examples : list of Example
        Longest first.
    batch_size : int
        Maximum number of examples in a batch.
    max_frames : int, default=inf
        Maximum number of frames in a batch, including padding. A single example may have more.

    Yields
    ------
    list of Example
        A batch.
    """
    start = 0
    while start < len(examples):
        length = padded_length(examples[start].n_frames)
        size = max(1, int(min(batch_size * length, max_frames)) // length)
        yield examples[start : start + size]
        start += size
