"""Score long clips in overlapping chunks.

A chunk has the frames of some segments, and the frames before and after that their scores depend
on, so the scores are those of the whole clip. If they depend on all frames, a chunk has about 1000
frames, and the segments in its middle are kept. The file is decoded block by block. If clips are
scaled, it is decoded twice: the first time for the means and the peak, by which the clip is
centered and scaled as in :func:`sktagger.audio.reading.to_mono`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sktagger.audio.draws import WaveformDraw
from sktagger.audio.edges import prepare_blocks
from sktagger.audio.reading import is_lost
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.device_transfer import pin, to_device
from sktagger.batching.plans import Example, Part
from sktagger.batching.smaller_batches import BatchSplitter
from sktagger.networks import ScoreGrid

__all__ = [
    "CHUNK_FRAMES",
    "MIN_CHUNK_FRAMES",
    "Chunk",
    "LongClip",
    "can_be_chunked",
    "plan_chunks",
]

CHUNK_FRAMES = 5120  # 102 s at a hop of 20 ms
MIN_CHUNK_FRAMES = 1024  # of chunks that are scored in parallel
_END = object()


class Chunk(NamedTuple):
    """A part of a clip.

    Attributes
    ----------
    start, stop : int
        Its frames in the clip, from `start` up to, but not including, `stop`.
    segments : slice
        Which of its segments have the scores of the whole clip.
    """

    start: int
    stop: int
    segments: slice


def can_be_chunked(grid: ScoreGrid) -> bool:
    """Say whether long clips can be scored in chunks.

    Parameters
    ----------
    grid : ScoreGrid
        Positions of the scores of the network.

    Returns
    -------
    bool
        Whether the scores are those of the whole clip. False if they depend on too many frames.
    """
    if grid.context is None:
        return False
    return 2 * (grid.length + 2 * (grid.context + grid.step)) <= MIN_CHUNK_FRAMES


def plan_chunks(n_frames: int, grid: ScoreGrid, chunk_frames: int = CHUNK_FRAMES) -> list[Chunk]:
    """Cut a clip into overlapping chunks.

    Parameters
    ----------
    n_frames : int
        Number of frames of the clip.
    grid : ScoreGrid
        Positions of the scores of the network.
    chunk_frames : int, default=5120
        Maximum number of frames in a chunk. It must exceed those of a segment with its context. If
        the scores depend on too many frames, it has no effect: chunks have up to 1024 frames.

    Returns
    -------
    list of Chunk
        Their segments, concatenated, are those of the clip.

    Examples
    --------
    >>> grid = ScoreGrid(length=128, step=64, context=94)
    >>> [(chunk.start, chunk.stop) for chunk in plan_chunks(1000, grid, 640)]
    [(0, 640), (320, 960), (640, 1000)]
    """
    n_segments = grid.n_scores(n_frames)
    if not can_be_chunked(grid):
        return _plan_middles(n_frames, n_segments, grid)
    context = -(-grid.context // grid.step)  # in segments
    chunks, first = [], 0
    while first < n_segments:
        begin = max(0, first - context)
        stop = min(n_frames, (begin + chunk_frames // grid.step) * grid.step)
        n_whole = (stop - grid.length) // grid.step + 1  # segments that end before `stop`
        last = n_segments if stop == n_frames else n_whole - context
        chunks.append(Chunk(begin * grid.step, stop, slice(first - begin, last - begin)))
        first = last
    return chunks


def _plan_middles(n_frames, n_segments, grid):
    """Cut a clip into chunks that overlap by half, and keep their middles."""
    quarter = max(1, MIN_CHUNK_FRAMES // (4 * grid.step))  # in segments
    chunks, start = [], 0
    while True:
        is_last = start + 4 * quarter >= n_segments
        stop = min(n_frames, (start + 4 * quarter - 1) * grid.step + grid.length)
        kept = slice(quarter if start else 0, n_segments - start if is_last else 3 * quarter)
        chunks.append(Chunk(start * grid.step, n_frames if is_last else stop, kept))
        if is_last:
            return chunks
        start += 2 * quarter


class LongClip:
    """A clip of a dataset that is scored chunk by chunk.

    Parameters
    ----------
    dataset : ClipDataset
        Has the clip.
    example : Example
        The clip, undistorted.
    grid : ScoreGrid
        Positions of the scores of the network.
    """

    def __init__(self, dataset: ClipDataset, example: Example, grid: ScoreGrid):
        self.dataset = dataset
        self.example = example
        self.grid = grid
        self.index = example.parts[0].index

    def segments(
        self,
        function: Callable[..., tuple[Tensor, Tensor]],
        splitter: BatchSplitter,
        chunk_frames: int = CHUNK_FRAMES,
    ) -> tuple[Tensor, Tensor] | None:
        """Compute something for each segment, such as its scores.

        Parameters
        ----------
        function : callable
            A method of the network in evaluation mode, such as
            :meth:`sktagger.networks.NetworkModule.segment_scores`. It takes the inputs of a batch.
        splitter : BatchSplitter
            Raises the error if a chunk does not fit into memory.
        chunk_frames : int, default=5120
            Maximum number of frames in a chunk.

        Returns
        -------
        (values, n_segments) or None
            What `function` returns for the whole clip: tensors of shape (1, n_values, n_segments)
            and (1,). None if the clip cannot be read.
        """
        dataset, device = self.dataset, self.dataset.device
        compute = partial(self._compute, function, splitter)
        values, first = None, 0
        read = partial(dataset.unreadable.read, dataset.clips.positions[self.index])
        chunks = self._chunks(chunk_frames)
        while True:
            chunk = read(partial(next, chunks, _END))
            if chunk is None:
                return None
            if chunk is _END:
                break
            of_chunk = compute(chunk)
            with torch.inference_mode():
                if values is None:
                    n_segments = self.grid.n_scores(self.example.n_frames)
                    values = of_chunk.new_zeros((*of_chunk.shape[:2], n_segments))
                values[..., first : first + of_chunk.shape[-1]] = of_chunk
                first += of_chunk.shape[-1]
            del chunk  # frees memory for the next ones
        return values, torch.tensor([first], device=device)

    def iter_segments(
        self,
        function: Callable[..., tuple[Tensor, Tensor]],
        splitter: BatchSplitter,
        apply: Callable[[Callable, Iterable], Iterator] = map,
        chunk_frames: int = CHUNK_FRAMES,
    ) -> Iterator[Tensor]:
        """Compute something for each segment, with few of them in memory.

        Parameters
        ----------
        function : callable
            See :meth:`segments`.
        splitter : BatchSplitter
            See :meth:`segments`.
        apply : callable, default=map
            Calls a function on each chunk, perhaps in threads. The order stays.
        chunk_frames : int, default=5120
            Maximum number of frames in a chunk.

        Yields
        ------
        Tensor of shape (1, n_values, n_segments)
            Values of consecutive segments.
        """
        yield from apply(partial(self._compute, function, splitter), self._chunks(chunk_frames))

    @torch.inference_mode()
    def _compute(self, function, splitter, chunk):
        """Return the values of the segments of a chunk that are kept."""
        dataset = self.dataset
        inputs, segments = chunk

        def compute(parts):
            (_,) = parts
            return function(**to_device(inputs, dataset.device, dataset.sizes))[0]

        return splitter.run(compute, 1, dataset.clips.name(self.index))[..., segments]

    def _chunks(self, chunk_frames):
        """Yield the inputs of each chunk, and which of its segments to keep."""
        dataset, sizes = self.dataset, self.dataset.sizes
        raw = dataset.scale == "raw"
        scaling = (np.float32(0), np.float32(1)) if raw else self._scaling(self._blocks())
        chunks = plan_chunks(self.example.n_frames, self.grid, chunk_frames)
        bounds = [
            (chunk.start * sizes.hop_length, (chunk.stop - 1) * sizes.hop_length + sizes.win_length)
            for chunk in chunks
        ]
        waveform = prepare_blocks(self._mono(scaling), sizes)
        for chunk, piece in zip(chunks, _cut(waveform, bounds), strict=True):
            onsets = np.arange(chunk.stop - chunk.start) * sizes.hop_length
            example = Example(len(onsets), (Part(self.index, WaveformDraw(0, 1.0, onsets)),))
            inputs = dataset.inputs([example], [[piece]])
            inputs, _ = pin((inputs, torch.zeros(1)), dataset.device)
            yield inputs, chunk.segments

    def _blocks(self):
        return self.dataset.clips.blocks(self.index, self.dataset.sample_rate)

    def _scaling(self, blocks):
        """Compute the means of the channels, and the divisor of their average."""
        statistics = _Statistics()
        for block in blocks:
            statistics.add(block)
        self._check(statistics)
        return statistics.means.astype(np.float32), np.float32(statistics.peak) + np.float32(1e-3)

    def _check(self, statistics):
        self.dataset.check_length(self.index, statistics.n_samples)
        if statistics.channels_cancel:
            self.dataset.warn_channels_cancel(self.index)

    def _mono(self, scaling):
        """Yield the blocks of the waveform, centered and scaled."""
        means, scale = scaling
        statistics = _Statistics()
        for block in self._blocks():
            statistics.add(block)
            centered = block - means
            mono = centered[0] if len(centered) == 1 else centered.mean(axis=0)
            yield mono / scale
        self._check(statistics)


class _Statistics:
    """Statistics of a waveform that comes in blocks of shape (n_channels, n_samples)."""

    def __init__(self):
        self.n_samples = 0
        self._total = 0.0
        self._low, self._high = np.inf, -np.inf
        self._squares = self._squares_of_mono = 0.0

    def add(self, block):
        self.n_samples += block.shape[1]
        self._total = self._total + block.sum(axis=1, keepdims=True, dtype=np.float64)
        mono = block.mean(axis=0, dtype=np.float64)
        self._low = min(self._low, mono.min(initial=self._low))
        self._high = max(self._high, mono.max(initial=self._high))
        if len(block) > 1:
            self._squares += np.mean(np.sum(block.astype(np.float64) ** 2, axis=1))
            self._squares_of_mono += np.vdot(mono, mono)

    @property
    def means(self):
        return self._total / self.n_samples

    @property
    def peak(self):
        """The largest absolute value of the centered average of the channels."""
        mean = self.means.mean()
        return max(self._high - mean, mean - self._low)

    @property
    def channels_cancel(self):
        power = self._squares / self.n_samples - np.mean(self.means**2)
        power_of_mono = self._squares_of_mono / self.n_samples - self.means.mean() ** 2
        return is_lost(power, power_of_mono)


def _cut(blocks, bounds):
    """Cut a waveform that comes in blocks into overlapping pieces, from `start` to `stop` each.

    Each piece overwrites the one before: they share a buffer, because allocating arrays of many
    sizes would fragment memory.
    """
    blocks = iter(blocks)
    buffer = np.empty(max(stop - start for start, stop in bounds), np.float32)
    block, begin, end = buffer[:0], 0, 0
    for start, stop in bounds:
        buffer[: end - start] = buffer[start - begin : end - begin]
        begin = start
        while end < stop:
            block = block if len(block) else next(blocks)
            size = min(len(block), stop - end)
            buffer[end - begin : end - begin + size] = block[:size]
            block, end = block[size:], end + size
        yield buffer[: stop - start]
