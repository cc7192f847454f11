"""Long clips go through the network in overlapping chunks, with the scores of the whole.

A chunk holds the frames of some segments, and on both sides as many more as their scores depend
on. The file is decoded twice, block by block: to centre and scale a clip as
:func:`sktagger.audio.reading.to_mono` does, its means and its peak must be known before its first
frame.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from sktagger.audio.augmentation import WaveformDraw
from sktagger.audio.reading import is_lost
from sktagger.batching.device_transfer import pin, to_device
from sktagger.batching.plans import Example, Part
from sktagger.batching.smaller_batches import ClipLimit
from sktagger.networks import NetworkModule, ScoreGrid

CHUNK_FRAMES = 5120  # 102 s at a hop of 20 ms
LEAST_CHUNK_FRAMES = 1024
_END = object()


class Chunk(NamedTuple):
    """Frames `start` to `stop` of a clip, and which of their segments count."""

    start: int
    stop: int
    segments: slice


def can_be_chunked(grid: ScoreGrid) -> bool:
    """Say whether clips can be scored chunk by chunk: if a score depends on few enough frames."""
    if grid.context is None:
        return False
    return 2 * (grid.length + 2 * (grid.context + grid.step)) <= LEAST_CHUNK_FRAMES


def plan_chunks(n_frames: int, grid: ScoreGrid, chunk_frames: int = CHUNK_FRAMES) -> list[Chunk]:
    """Cut a clip into overlapping chunks.

    Parameters
    ----------
    n_frames : int
        Of the clip.
    grid : ScoreGrid
        Of the network.
    chunk_frames : int, default=5120
        Greatest number of frames of a chunk, more than a segment and its context have.

    Returns
    -------
    list of Chunk
        The segments that count, end to end, are those of the clip.

    Examples
    --------
    >>> grid = ScoreGrid(length=128, step=64, context=94)
    >>> [(chunk.start, chunk.stop) for chunk in plan_chunks(1000, grid, 640)]
    [(0, 640), (320, 960), (640, 1000)]
    """
    n_segments = grid.n_scores(n_frames)
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


class LongClip:
    """A clip of a dataset that is scored chunk by chunk.

    Parameters
    ----------
    dataset : ClipDataset
    example : Example
        Of one clip, undistorted.
    grid : ScoreGrid
        Of the network.
    """

    def __init__(self, dataset, example: Example, grid: ScoreGrid):
        self.dataset = dataset
        self.example = example
        self.grid = grid
        self.index = example.parts[0].index

    def segment_scores(
        self, module: NetworkModule, limit: ClipLimit, chunk_frames: int = CHUNK_FRAMES
    ):
        """Score each segment.

        Parameters
        ----------
        module : NetworkModule
            In evaluation mode.
        limit : ClipLimit
            For the error if memory does not even suffice for a chunk.
        chunk_frames : int, default=5120
            Greatest number of frames of a chunk.

        Returns
        -------
        (scores, n_segments) or None
            What ``module.segment_scores`` gives for the whole clip: (1, n_events, n_segments) and
            (1,). None if the clip cannot be read.
        """
        device = next(module.parameters()).device
        dataset = self.dataset
        name = dataset.clips.name(self.index)

        def score(inputs, parts):
            (_,) = parts
            return module.segment_scores(**to_device(inputs, device, dataset.sizes))[0]

        scores, first = None, 0
        read = partial(dataset.unreadable.read, dataset.clips.positions[self.index])
        chunks = self._chunks(chunk_frames)
        while True:
            chunk = read(partial(next, chunks, _END))
            if chunk is None:
                return None
            if chunk is _END:
                break
            inputs, segments = chunk
            with torch.inference_mode():
                of_chunk = limit.call(partial(score, inputs), 1, name)[..., segments]
                if scores is None:
                    n_segments = self.grid.n_scores(self.example.n_frames)
                    scores = of_chunk.new_zeros((*of_chunk.shape[:2], n_segments))
                scores[..., first : first + of_chunk.shape[-1]] = of_chunk
                first += of_chunk.shape[-1]
            del chunk, inputs  # before the next ones are made
        return scores, torch.tensor([first], device=device)

    def _chunks(self, chunk_frames):
        """Yield inputs of the network, and the segments that count."""
        dataset, sizes = self.dataset, self.dataset.sizes
        scaling = self._scaling()
        chunks = plan_chunks(self.example.n_frames, self.grid, chunk_frames)
        bounds = [
            (chunk.start * sizes.hop_length, (chunk.stop - 1) * sizes.hop_length + sizes.win_length)
            for chunk in chunks
        ]
        for chunk, waveform in zip(chunks, _cut(self._mono(scaling), bounds), strict=True):
            onsets = np.arange(chunk.stop - chunk.start) * sizes.hop_length
            example = Example(len(onsets), (Part(self.index, WaveformDraw(0, 1.0, onsets)),))
            inputs, _ = pin(
                (dataset.inputs([example], [[waveform]]), torch.zeros(1)), dataset.device
            )
            yield inputs, chunk.segments

    def _blocks(self):
        return self.dataset.clips.blocks(self.index, self.dataset.sample_rate)

    def _scaling(self):
        """Give the means of the channels, and what the mono mix is divided by."""
        total, n_samples = 0.0, 0
        low, high = np.inf, -np.inf
        squares = squares_of_mono = 0.0
        for block in self._blocks():
            n_samples += block.shape[1]
            total = total + block.sum(axis=1, keepdims=True, dtype=np.float64)
            mono = block.mean(axis=0, dtype=np.float64)
            low, high = min(low, mono.min(initial=low)), max(high, mono.max(initial=high))
            if len(block) > 1:
                squares += np.mean(np.sum(block.astype(np.float64) ** 2, axis=1))
                squares_of_mono += np.vdot(mono, mono)
        self.dataset.check_length(self.index, n_samples)
        means = total / n_samples
        power = squares / n_samples - np.mean(means**2)
        if is_lost(power, squares_of_mono / n_samples - means.mean() ** 2):
            self.dataset.warn_of_cancelling(self.index)
        if self.dataset.scale == "raw":
            return np.float32(0), np.float32(1)
        peak = max(high - means.mean(), means.mean() - low)
        return means.astype(np.float32), np.float32(peak) + np.float32(1e-3)

    def _mono(self, scaling):
        """Yield the waveform, centred and scaled."""
        means, scale = scaling
        n_samples = 0
        for block in self._blocks():
            n_samples += block.shape[1]
            centred = block - means
            mono = centred[0] if len(centred) == 1 else centred.mean(axis=0)
            yield mono / scale
        self.dataset.check_length(self.index, n_samples)


def _cut(blocks, bounds):
    """Cut a waveform that comes in blocks at bounds (start, stop), each overlapping the next.

    What is yielded is overwritten by the next piece: all are in one buffer, for arrays that come
    and go in many sizes leave gaps in memory that nothing fits into.
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
