"""Running a trained network over clips, batch by batch."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from sktagger._progress import TaskProgress
from sktagger.batching import prefetch
from sktagger.memory import ClipLimit, take_clips
from sktagger.modules import SEGMENT_FRAMES
from sktagger.spectral import STFTSizes
from sktagger.training import PlainBatches
from sktagger.transfer import to_device


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
        See :class:`sktagger.WALNetTagger`.

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


def run(module, function, batches: PlainBatches, verbose: int):
    """Apply a method of a network to batches of clips, or parts of them where memory runs out.

    Parameters
    ----------
    module : torch.nn.Module
        Set to evaluation mode.
    function : callable
        Method of `module` that takes the inputs of a batch.
    batches : PlainBatches
    verbose : int
        0: no progress is shown.

    Yields
    ------
    rows : ndarray of int
        The clips of the batch, or of its part, that could be read, by their positions in the
        container that they come from.
    output : object
        What `function` returned.
    """
    device = next(module.parameters()).device
    dataset = batches.dataset
    limit = ClipLimit("scores do not change")

    @torch.inference_mode()
    def score_parts(inputs, parts):
        return [(part, function(**take_clips(inputs, part))) for part in parts]

    def score(batch):
        if batch is None:
            return ()
        inputs = to_device(batch[0], device, dataset.sizes)
        return limit.call(partial(score_parts, inputs), len(inputs["n_frames"]))

    module.eval()
    n_workers = torch.get_num_threads() if device.type == "cpu" else 1
    if 1 < n_workers <= len(batches.plan):
        # batches side by side, each read and scored by one thread: none waits for another
        results = prefetch(
            lambda examples: score(dataset.load(examples)),
            batches.plan,
            n_workers,
            initializer=_compute_alone,
        )
    else:
        results = map(score, batches)
    with TaskProgress("Scoring", len(dataset), verbose=verbose, delay=2, leave=False) as bar:
        for examples, result in zip(batches.plan, results, strict=True):
            rows = np.array([dataset.position(example) for example in dataset.readable(examples)])
            for part, output in result:
                yield rows[part], output
            bar.update(len(examples))


def _compute_alone():
    """Let the calling thread alone compute its operations, whatever other threads do."""
    torch.get_num_threads()  # a thread's first question sets its number to that of the process
    threadpool_limits(1, user_api="openmp")


def segment_table(scores, n_samples: int, sizes: STFTSizes, sample_rate: int, events):
    """Lay the scores of a clip's segments out with their times.

    Parameters
    ----------
    scores : ndarray of shape (n_segments, n_events)
    n_samples : int
        Length of the clip.
    sizes : STFTSizes
    sample_rate : int
        In Hz.
    events : ndarray of shape (n_events,)

    Returns
    -------
    DataFrame of shape (n_segments, n_events)
        Indexed by `onset` and `offset` in seconds.
    """
    hop = SEGMENT_FRAMES * sizes.hop_length
    onset = np.arange(len(scores)) * hop
    offset = np.minimum(onset + 2 * hop, n_samples)
    index = pd.MultiIndex.from_arrays(
        [onset / sample_rate, offset / sample_rate], names=["onset", "offset"]
    )
    return pd.DataFrame(scores, index=index, columns=events)
