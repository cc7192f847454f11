"""Read recordings that come in blocks, and cut them into windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import soxr

from sktagger.audio._array_clips import ArrayClips
from sktagger.audio._clip_items import Waveform, read_item


def read_blocks(blocks: Iterable[Any], orig_sr: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Check consecutive blocks of a waveform, and change their sample rate.

    Parameters
    ----------
    blocks : iterable of array-like of shape (n_samples,) or (n_channels, n_samples)
        Floats, or signed integers, which are scaled from their range to [-1, 1]. Empty blocks have
        no effect.
    orig_sr, sample_rate : int
        Sample rates of the blocks and of the result, in Hz.

    Yields
    ------
    ndarray of shape (n_channels, n), float32
        A result as soon as there is one.

    Raises
    ------
    TypeError, ValueError
        If a block is not an array of samples, has another number of channels than the first one,
        or samples that are NaN or infinite. The message names the block.
    """
    stream, n_channels = None, 0
    for number, block in enumerate(blocks):
        if getattr(block, "size", 1) == 0:
            continue
        name = f"source: block {number}"
        item = read_item(block, name)
        if not isinstance(item, Waveform):
            raise TypeError(
                f"{name} is {block!r:.80}, but it must be an array of samples, of shape "
                "(n_samples,) or (n_channels, n_samples)."
            )
        samples = NamedClips([item.samples], name).load(0, orig_sr)
        n_channels = n_channels or len(samples)
        if len(samples) != n_channels:
            raise ValueError(
                f"{name} has {len(samples)} channels, but the first one has {n_channels}. Give all "
                "blocks the same channels."
            )
        if orig_sr == sample_rate:
            yield samples
            continue
        if stream is None:
            stream = soxr.ResampleStream(orig_sr, sample_rate, n_channels, "float32", "HQ")
        yield stream.resample_chunk(np.ascontiguousarray(samples.T)).T
    if stream is not None:
        yield stream.resample_chunk(np.empty((0, n_channels), np.float32), last=True).T


def cut_windows(
    blocks: Iterable[np.ndarray], length: int, step: int
) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Cut a recording into windows.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n_channels, n), float32
        Consecutive parts of the recording.
    length, step : int
        Length of a window, and from the start of one to the start of the next, in samples. `step`
        is not above `length`.

    Yields
    ------
    list of (start, window)
        The windows that a block completes, perhaps none: their first sample in the recording, and
        an array of shape (n_channels, length). The last window is shifted back so that it ends with
        the recording. If that is shorter, the only window is all of it.

    Examples
    --------
    >>> import numpy as np
    >>> blocks = np.arange(7.0).reshape(7, 1, 1)
    >>> for windows in cut_windows(blocks, 4, 4):
    ...     for start, window in windows:
    ...         print(start, window)
    0 [[0. 1. 2. 3.]]
    3 [[3. 4. 5. 6.]]
    """
    parts: list[np.ndarray] = []
    begin = end = start = 0  # `parts` have the samples from `begin` to `end`
    for block in blocks:
        parts.append(block)
        end += block.shape[1]
        windows = []
        if end - start >= length:
            kept = np.concatenate(parts, axis=1)
            while end - start >= length:
                window = kept[:, start - begin : start - begin + length]
                windows.append((start, window.copy()))
                start += step
            # the last window can begin earlier than the next regular one
            first = max(begin, min(start, end - length))
            parts, begin = [kept[:, first - begin :].copy()], first
        yield windows
    covered = start - step + length if start else 0
    if end > covered:
        kept = np.concatenate(parts, axis=1)
        start = max(0, end - length)
        yield [(start, kept[:, start - begin :])]


class NamedClips(ArrayClips):
    """Clips in memory that messages call by a given name.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (n_samples,) or (n_channels, n_samples)
    name : str
    """

    def __init__(self, arrays: list[np.ndarray], name: str) -> None:
        super().__init__(arrays)
        self._name = name

    def name(self, index: int) -> str:
        """Return the given name."""
        return self._name
