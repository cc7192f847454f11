"""Compute scores and embeddings of clips with a trained network, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from sktagger._utils.progress import TaskProgress
from sktagger._utils.threads import prefetch
from sktagger.batching.dataset import ClipDataset, count_frames
from sktagger.batching.device_transfer import to_device
from sktagger.batching.long_clips import CHUNK_FRAMES, MIN_CHUNK_FRAMES
from sktagger.batching.plain import PlainBatches
from sktagger.batching.plans import FRAMES_PER_CLIP
from sktagger.batching.smaller_batches import BatchSplitter, select_clips
from sktagger.networks import Frames, Network, NetworkInput, NetworkModule, ScoreGrid

# Maximum number of frames in all batches that are computed in parallel, unless one batch has more.
# They take about a gigabyte at 44.1 kHz in float32.
_LEAST_BUDGET = 2**15
_EMBEDDING = ("embeddings", "Embedding")  # names of results and task


class Computation(NamedTuple):
    """What to compute of clips.

    Attributes
    ----------
    batch : callable
        Computes the result for a batch from its inputs.
    segments : callable
        Computes values of segments, and the number of segments, from the inputs of a batch. It is
        called for each chunk of a long clip.
    pool : callable
        Computes the result from the values of all segments of a clip and their number.
    results : str, default="scores"
        Name of the results in messages.
    task : str, default="Scoring"
        Name of the task for the progress bar.
    """

    batch: Callable[..., Any]
    segments: Callable[..., tuple[Tensor, Tensor]]
    pool: Callable[[Tensor, Tensor], Any]
    results: str = "scores"
    task: str = "Scoring"


def scores_of_clips(module: NetworkModule) -> Computation:
    """Compute the scores of clips, a Tensor of shape (n_clips, n_events)."""
    features, pool = module.segment_features, module.pool_segments
    return Computation(module, partial(features, None), partial(pool, None))


def scores_and_embeddings_of_clips(module: NetworkModule) -> Computation:
    """Compute scores and embeddings of clips in one pass, two Tensors with one row per clip."""
    features, pool = partial(module.segment_features, "embedding"), module.scores_and_embeddings
    return Computation(lambda **inputs: pool(*features(**inputs)), features, pool)


def scores_and_embeddings_of_segments(module: NetworkModule) -> Computation:
    """Compute both for segments: a Tensor with scores, then embeddings, in its second axis."""

    def compute(**inputs):
        features = module.segment_features("embedding", **inputs)
        return torch.cat(module.segment_scores_and_embeddings(*features), 1), features[1]

    return Computation(compute, compute, _all_segments)


def scores_of_segments(module: NetworkModule) -> Computation:
    """Compute the result of ``module.segment_scores``."""
    return Computation(module.segment_scores, module.segment_scores, _all_segments)


def scores_of_settings(modules: Sequence[NetworkModule]) -> Computation:
    """Compute the scores of segments by modules that differ in settings of their last layers only.

    The result has the scores of the first module, then those of the second, and so on, in its
    second axis.
    """

    def compute(**inputs):
        features = modules[0].segment_features("embedding", **inputs)
        scores = [module.segment_scores_and_embeddings(*features)[0] for module in modules]
        return torch.cat(scores, 1), features[1]

    return Computation(compute, compute, _all_segments)


def outputs_of_clips(module: NetworkModule, layer: str, pooling: str) -> Computation:
    """Compute the outputs of a layer for clips, a Tensor of shape (n_clips, n_features).

    Parameters
    ----------
    module : NetworkModule
    layer : str
        One of the network's `layers`.
    pooling : {"auto", "mean", "max"}
        "auto": as the network pools. Others: over the outputs of the segments.

    Returns
    -------
    Computation
    """
    if pooling == "auto":
        return Computation(
            partial(module.clip_outputs, layer),
            partial(module.segment_features, layer),
            partial(module.pool_segments, layer),
            *_EMBEDDING,
        )
    outputs = partial(module.segment_outputs, layer)
    pool = {"mean": _mean, "max": _max}[pooling]
    return Computation(lambda **inputs: pool(*outputs(**inputs)), outputs, pool, *_EMBEDDING)


def outputs_of_segments(module: NetworkModule, layer: str) -> Computation:
    """Compute the result of ``module.segment_outputs`` for a layer."""
    outputs = partial(module.segment_outputs, layer)
    return Computation(outputs, outputs, _all_segments, *_EMBEDDING)


def _all_segments(values, n_segments):
    return values, n_segments


def _mean(values, n_segments):
    return values.sum(-1) / n_segments[:, None]


def _max(values, n_segments):
    return Frames.of(n_segments, values.shape[-1]).filled(values, -torch.inf).amax(-1)


def compute_batches(
    computation: Computation, batches: PlainBatches, verbose: int
) -> Iterator[tuple[np.ndarray, Any]]:
    """Compute scores or embeddings of clips. If memory runs out, a batch is computed in parts.

    On a CPU, several batches are computed in parallel, if there are enough of them. Their total
    number of frames is limited. Long clips come first, each in chunks.

    Parameters
    ----------
    computation : Computation
        Of a network in evaluation mode.
    batches : PlainBatches
    verbose : int
        0: no progress is shown.

    Yields
    ------
    rows : ndarray of int
        Positions in the container of the clips that could be read, for the batch or its part.
    result : Tensor or tuple of Tensor
        The result of the computation for these clips.
    """
    dataset = batches.dataset
    device = dataset.device
    splitter = BatchSplitter(f"{computation.results} do not change")

    @torch.inference_mode()
    def compute_parts(inputs, parts):
        selected = ((part, select_clips(inputs, part)) for part in parts)
        return [
            (part, computation.batch(**to_device(of_part, device, dataset.sizes)))
            for part, of_part in selected
        ]

    def compute(batch):
        if not len(batch.rows):
            return ()
        function = partial(compute_parts, batch.inputs)
        parts = splitter.run(function, len(batch.rows), batch.longest)
        return [(batch.rows[part], result) for part, result in parts]

    @torch.inference_mode()
    def compute_long(examples, chunk_frames=CHUNK_FRAMES):
        long_clip = batches.long_clip(examples)
        segments = long_clip.segments(computation.segments, splitter, chunk_frames)
        if segments is None:  # the clip cannot be read
            return ()
        return [(dataset.rows_of(examples), computation.pool(*segments))]

    def results():
        n_workers = torch.get_num_threads() if device.type == "cpu" else 1
        budget = max(_LEAST_BUDGET, batches.batch_size * FRAMES_PER_CLIP)
        share = budget // n_workers
        in_parallel = partial(
            prefetch, n_threads=n_workers, initializer=use_one_thread, max_size=budget
        )

        long_clips = [examples for examples in batches.plan if batches.is_long(examples)]
        if 1 < n_workers <= len(long_clips):
            chunk_frames = min(max(share, MIN_CHUNK_FRAMES), CHUNK_FRAMES)
            compute_chunks = partial(compute_long, chunk_frames=chunk_frames)
            computed = in_parallel(compute_chunks, long_clips, size=lambda _: chunk_frames)
        else:
            computed = map(compute_long, long_clips)
        yield from zip(map(len, long_clips), computed, strict=True)

        plan = [
            examples for examples in batches.plan_batches(share) if not batches.is_long(examples)
        ]
        if 1 < n_workers <= len(plan):
            # one thread reads and computes a batch, so that threads do not wait for each other
            load_and_compute = lambda examples: compute(dataset.load(examples))  # noqa: E731
            computed = in_parallel(load_and_compute, plan, size=count_frames)
        else:
            plan = [examples for examples in batches.plan if not batches.is_long(examples)]
            computed = map(compute, batches.load(plan))
        yield from zip(map(len, plan), computed, strict=True)

    task, n_clips = computation.task, len(dataset)
    with TaskProgress(task, n_clips, verbose=verbose, delay=2, leave=False) as bar:
        for n_clips, result in results():
            yield from result
            bar.update(n_clips)


def use_one_thread() -> None:
    """Let PyTorch's operations in the calling thread use this thread only."""
    # the first call in a thread resets the limit to that of the process, so it comes before
    torch.get_num_threads()
    threadpool_limits(1, user_api="openmp")


def segment_tables(
    results: Iterable[tuple[np.ndarray, tuple[Tensor, Tensor]]],
    dataset: ClipDataset,
    n_clips: int,
    network: Network,
    columns: np.ndarray,
) -> list[pd.DataFrame]:
    """Make a table of values of segments for each clip, indexed by time.

    Parameters
    ----------
    results : iterable of (rows, (values, n_segments))
        What :func:`compute_batches` yields for values of segments.
    dataset : ClipDataset
        Clips that could be read.
    n_clips : int
        Number of clips in the container.
    network : Network
        Settings of the network that computed the values.
    columns : ndarray of shape (n_values,)
        Names of the values.

    Returns
    -------
    list of DataFrame of shape (n_segments, n_values), float32
        Without rows for clips that could not be read.
    """
    lengths = dict(zip(dataset.clips.positions, dataset.lengths, strict=True))
    table = partial(
        _segment_table, input=network.get_input(), grid=network.get_grid(), columns=columns
    )
    nothing = np.empty((0, len(columns)), np.float32)
    tables = [table(nothing, 0) for _ in range(n_clips)]
    for rows, of_batch in results:
        for row, values, n_segments in zip(rows, *of_batch, strict=True):
            tables[row] = table(values[:, : int(n_segments)].cpu().numpy().T, lengths[row])
    return tables


def _segment_table(
    values: np.ndarray, n_samples: int, input: NetworkInput, grid: ScoreGrid, columns: np.ndarray
) -> pd.DataFrame:
    """Make a table of the values of a clip's segments, indexed by time.

    Parameters
    ----------
    values : ndarray of shape (n_segments, n_values)
    n_samples : int
        Length of the clip.
    input : NetworkInput
        Input of the network that computed the values.
    grid : ScoreGrid
        Grid of the same network.
    columns : ndarray of shape (n_values,)

    Returns
    -------
    DataFrame of shape (n_segments, n_values)
        Indexed by `onset` and `offset` in seconds.
    """
    times = segment_times(0, len(values), n_samples, input, grid)
    index = pd.MultiIndex.from_arrays(times, names=["onset", "offset"])
    return pd.DataFrame(values, index=index, columns=columns)


def segment_times(
    first: int, n_segments: int, n_samples: int, input: NetworkInput, grid: ScoreGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the times of consecutive segments.

    Parameters
    ----------
    first : int
        Position of the first one among the segments of the clip.
    n_segments : int
        Number of segments.
    n_samples : int
        Length of the clip.
    input : NetworkInput
        Input of the network.
    grid : ScoreGrid
        Grid of the network.

    Returns
    -------
    onsets, offsets : ndarray of shape (n_segments,)
        In seconds.
    """
    hop = input.stft.hop_length
    onsets = (first + np.arange(n_segments)) * grid.step * hop
    offsets = np.minimum(onsets + grid.length * hop, n_samples)
    return onsets / input.sample_rate, offsets / input.sample_rate


def check_finite_scores(scores: Tensor, clip: str, tagger: Any) -> None:
    """Raise FloatingPointError if scores are not finite; `clip` names the clip."""
    if not scores.isfinite().all():
        raise FloatingPointError(
            f"The network's scores of {clip} are not finite: its training diverged. Train again "
            f"with a lower lr (it is {tagger.net_.lr:g}), or set gradient_clip."
        )
