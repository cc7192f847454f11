"""Running a trained network over clips, batch by batch."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from sktagger._utils.progress import TaskProgress
from sktagger._utils.threads import prefetch
from sktagger.batching.dataset import count_frames
from sktagger.batching.device_transfer import to_device
from sktagger.batching.long_clips import CHUNK_FRAMES, MIN_CHUNK_FRAMES
from sktagger.batching.plain import PlainBatches
from sktagger.batching.plans import FRAMES_PER_CLIP
from sktagger.batching.smaller_batches import BatchSplitter, select_clips
from sktagger.networks import NetworkInput, NetworkModule, ScoreGrid

# Frames of all batches that go through the network side by side, or those of one batch if it has
# more: about a gigabyte at 44.1 kHz, in float32
_LEAST_BUDGET = 2**15


def read_lengths(clips, sample_rate: int, unreadable, n_threads: int, verbose: int) -> np.ndarray:
    """Read from headers how long clips are.

    Parameters
    ----------
    clips : FileClips or ArrayClips
    sample_rate : int
        In Hz.
    unreadable : Unreadable
        Gets those whose header cannot be read.
    n_threads, verbose : int
        See :class:`sktagger.AudioTagger`.

    Returns
    -------
    ndarray of shape (n_clips,), int
        In samples at `sample_rate`; 0 for clips that cannot be read.
    """

    def length(index):
        read = partial(clips.n_samples, index, sample_rate)
        return unreadable.read(clips.positions[index], read) or 0

    lengths = np.empty(len(clips), dtype=np.int64)
    with TaskProgress("Reading headers", len(clips), verbose=verbose, delay=2, leave=False) as bar:
        for index, n_samples in enumerate(prefetch(length, range(len(clips)), n_threads)):
            lengths[index] = n_samples
            bar.update()
    return lengths


def run(module: NetworkModule, batches: PlainBatches, verbose: int, *, segments: bool = False):
    """Apply a network to batches of clips, or parts of them where memory runs out.

    On a CPU, batches go through the network side by side where there are enough of them; their
    frames, together, are limited. Long clips go first, each in chunks.

    Parameters
    ----------
    module : NetworkModule
        Set to evaluation mode.
    batches : PlainBatches
    verbose : int
        0: no progress is shown.
    segments : bool, default=False
        Whether segments are scored, not clips.

    Yields
    ------
    rows : ndarray of int
        The clips of the batch, or of its part, that could be read, by their positions in the
        container that they come from.
    output : Tensor, or tuple of Tensor
        Scores of clips, or what ``module.segment_scores`` gives.
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
        side_by_side = partial(
            prefetch, n_threads=n_workers, initializer=_compute_alone, max_size=budget
        )

        long_clips = [examples for examples in batches.plan if batches.is_long(examples)]
        if 1 < n_workers <= len(long_clips):
            chunk_frames = min(max(share, MIN_CHUNK_FRAMES), CHUNK_FRAMES)
            work = partial(score_long, chunk_frames=chunk_frames)
            scored = side_by_side(work, long_clips, size=lambda _: chunk_frames)
        else:
            scored = map(score_long, long_clips)
        yield from zip(map(len, long_clips), scored, strict=True)

        plan = [
            examples for examples in batches.plan_batches(share) if not batches.is_long(examples)
        ]
        if 1 < n_workers <= len(plan):
            # each batch is read and scored by one thread, so that none waits for another
            work = lambda examples: score(dataset.load(examples))  # noqa: E731
            scored = side_by_side(work, plan, size=count_frames)
        else:
            plan = [examples for examples in batches.plan if not batches.is_long(examples)]
            scored = map(score, batches.load(plan))
        yield from zip(map(len, plan), scored, strict=True)

    module.eval()
    with TaskProgress("Scoring", len(dataset), verbose=verbose, delay=2, leave=False) as bar:
        for n_clips, result in results():
            yield from result
            bar.update(n_clips)


def _compute_alone():
    """Let the calling thread alone compute its operations, whatever other threads do."""
    torch.get_num_threads()  # a thread's first question sets its number to that of the process
    threadpool_limits(1, user_api="openmp")


def segment_table(scores, n_samples: int, input: NetworkInput, grid: ScoreGrid, events):
    """Lay out the scores of a clip's segments with their times.

    Parameters
    ----------
    scores : ndarray of shape (n_segments, n_events)
    n_samples : int
        Length of the clip.
    input : NetworkInput
        Of the network that scored.
    grid : ScoreGrid
        Of the network that scored.
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
