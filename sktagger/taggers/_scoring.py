"""Score clips with a trained network, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from sktagger._utils.progress import TaskProgress
from sktagger._utils.threads import prefetch
from sktagger.audio.clips import ArrayClips, FileClips
from sktagger.audio.unreadable import Unreadable
from sktagger.batching.dataset import count_frames
from sktagger.batching.device_transfer import to_device
from sktagger.batching.long_clips import CHUNK_FRAMES, MIN_CHUNK_FRAMES
from sktagger.batching.plain import PlainBatches
from sktagger.batching.plans import FRAMES_PER_CLIP
from sktagger.batching.smaller_batches import BatchSplitter, select_clips
from sktagger.networks import NetworkInput, NetworkModule, ScoreGrid

# Maximum number of frames in all batches that are scored in parallel, unless one batch has more.
# They take about a gigabyte at 44.1 kHz in float32.
_LEAST_BUDGET = 2**15


def read_lengths(
    clips: FileClips | ArrayClips,
    sample_rate: int,
    unreadable: Unreadable,
    n_threads: int,
    verbose: int,
) -> np.ndarray:
    """Read the lengths of clips from their headers.

    Parameters
    ----------
    clips : FileClips or ArrayClips
    sample_rate : int
        In Hz.
    unreadable : Unreadable
        Collects the clips whose header cannot be read.
    n_threads, verbose : int
        See :class:`sktagger.AudioTagger`.

    Returns
    -------
    ndarray of shape (n_clips,), int
        In samples at `sample_rate`; 0 for clips that cannot be read.
    """

    def read_length(index):
        read = partial(clips.n_samples, index, sample_rate)
        return unreadable.read(clips.positions[index], read) or 0

    lengths = np.empty(len(clips), dtype=np.int64)
    with TaskProgress("Reading headers", len(clips), verbose=verbose, delay=2, leave=False) as bar:
        for index, n_samples in enumerate(prefetch(read_length, range(len(clips)), n_threads)):
            lengths[index] = n_samples
            bar.update()
    return lengths


def score_batches(
    module: NetworkModule, batches: PlainBatches, verbose: int, *, segments: bool = False
) -> Iterator[tuple[np.ndarray, Any]]:
    """Score batches of clips. If memory runs out, a batch is scored in parts.

    On a CPU, several batches are scored in parallel, if there are enough of them. Their total
    number of frames is limited. Long clips come first, each in chunks.

    Parameters
    ----------
    module : NetworkModule
        Set to evaluation mode.
    batches : PlainBatches
    verbose : int
        0: no progress is shown.
    segments : bool, default=False
        Whether to score segments instead of clips.

    Yields
    ------
    rows : ndarray of int
        Positions in the container of the clips that could be read, for the batch or its part.
    output : Tensor or tuple of Tensor
        Scores of the clips, or the result of ``module.segment_scores``.
    """
    device = next(module.parameters()).device
    dataset = batches.dataset
    splitter = BatchSplitter("scores do not change")
    function = module.segment_scores if segments else module

    @torch.inference_mode()
    def score_parts(inputs, parts):
        return [
            (part, function(**to_device(select_clips(inputs, part), device, dataset.sizes)))
            for part in parts
        ]

    def score(batch):
        if not len(batch.rows):
            return ()
        function = partial(score_parts, batch.inputs)
        scored = splitter.run(function, len(batch.rows), batch.longest)
        return [(batch.rows[part], output) for part, output in scored]

    @torch.inference_mode()
    def score_long(examples, chunk_frames=CHUNK_FRAMES):
        output = batches.long_clip(examples).segment_scores(module, splitter, chunk_frames)
        if output is None:  # the clip cannot be read
            return ()
        return [(dataset.rows_of(examples), output if segments else module.pool(*output))]

    def results():
        n_workers = torch.get_num_threads() if device.type == "cpu" else 1
        budget = max(_LEAST_BUDGET, batches.batch_size * FRAMES_PER_CLIP)
        share = budget // n_workers
        in_parallel = partial(
            prefetch, n_threads=n_workers, initializer=_use_one_thread, max_size=budget
        )

        long_clips = [examples for examples in batches.plan if batches.is_long(examples)]
        if 1 < n_workers <= len(long_clips):
            chunk_frames = min(max(share, MIN_CHUNK_FRAMES), CHUNK_FRAMES)
            score_chunks = partial(score_long, chunk_frames=chunk_frames)
            scored = in_parallel(score_chunks, long_clips, size=lambda _: chunk_frames)
        else:
            scored = map(score_long, long_clips)
        yield from zip(map(len, long_clips), scored, strict=True)

        plan = [
            examples for examples in batches.plan_batches(share) if not batches.is_long(examples)
        ]
        if 1 < n_workers <= len(plan):
            # one thread reads and scores a batch, so that threads do not wait for each other
            load_and_score = lambda examples: score(dataset.load(examples))  # noqa: E731
            scored = in_parallel(load_and_score, plan, size=count_frames)
        else:
            plan = [examples for examples in batches.plan if not batches.is_long(examples)]
            scored = map(score, batches.load(plan))
        yield from zip(map(len, plan), scored, strict=True)

    module.eval()
    with TaskProgress("Scoring", len(dataset), verbose=verbose, delay=2, leave=False) as bar:
        for n_clips, result in results():
            yield from result
            bar.update(n_clips)


def _use_one_thread():
    """Let PyTorch's operations in the calling thread use this thread only."""
    # the first call in a thread resets the limit to that of the process, so it comes before
    torch.get_num_threads()
    threadpool_limits(1, user_api="openmp")


def segment_table(
    scores: np.ndarray, n_samples: int, input: NetworkInput, grid: ScoreGrid, events: np.ndarray
) -> pd.DataFrame:
    """Make a table of the scores of a clip's segments, indexed by time.

    Parameters
    ----------
    scores : ndarray of shape (n_segments, n_events)
    n_samples : int
        Length of the clip.
    input : NetworkInput
        Input of the network that made the scores.
    grid : ScoreGrid
        Grid of the same network.
    events : ndarray of shape (n_events,)

    Returns
    -------
    DataFrame of shape (n_segments, n_events)
        Indexed by `onset` and `offset` in seconds.
    """
    hop = input.stft.hop_length
    onset = np.arange(len(scores)) * grid.step * hop
    offset = np.minimum(onset + grid.length * hop, n_samples)
    index = pd.MultiIndex.from_arrays(
        [onset / input.sample_rate, offset / input.sample_rate], names=["onset", "offset"]
    )
    return pd.DataFrame(scores, index=index, columns=events)
