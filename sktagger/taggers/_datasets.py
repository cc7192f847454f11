"""Make datasets of the clips that can be read."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from joblib import effective_n_jobs

from sktagger._utils.progress import TaskProgress
from sktagger._utils.threads import prefetch
from sktagger.audio.clips import ArrayClips, FileClips, warn_of_short_sections
from sktagger.audio.unreadable import Unreadable
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.devices import resolve_device
from sktagger.networks import Network
from sktagger.targets import EventTimes
from sktagger.training.weighting import mean_one


def make_dataset(
    estimator: Any,
    clips: FileClips | ArrayClips,
    network: Network,
    indicator: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    times: EventTimes | None = None,
    *,
    container: str = "X",
) -> ClipDataset:
    """Make a dataset of the clips that can be read and have a weight above 0.

    The header of each clip is read for its length.

    Parameters
    ----------
    estimator : estimator
        Its `on_error`, `device`, `n_jobs` and `verbose` are used.
    clips : FileClips or ArrayClips
    network : Network
        Settings of the network that gets the clips.
    indicator : ndarray of shape (n_clips, n_events), float32, or None, default=None
        Events of the clips.
    weights : ndarray of shape (n_clips,) or None, default=None
        Weights of the clips.
    times : EventTimes or None, default=None
        Onsets and offsets of the events of the clips.
    container : str, default="X"
        Name of the clips in messages.

    Returns
    -------
    ClipDataset

    Raises
    ------
    OSError, ValueError
        If `on_error` is "raise" and a header cannot be read, all weights are 0, or an event lies
        outside of its clip.
    """
    sample_rate, sizes, _, scale, distortions = network.get_input()
    if weights is not None and not weights.all():
        used = np.flatnonzero(weights)
        if not len(used):
            raise ValueError(
                f"sample_weight is 0 for all {len(clips)} clips to train on. Give some of them "
                "a weight above 0."
            )
        clips, weights = clips.take(used), weights[used]
        indicator = None if indicator is None else indicator[used]
        times = None if times is None else times.take(used)
    unreadable = Unreadable(estimator.on_error, container, len(clips))
    n_threads = effective_n_jobs(estimator.n_jobs)
    lengths = _read_lengths(clips, sample_rate, unreadable, n_threads, estimator.verbose)
    if unreadable.causes:
        kept = np.flatnonzero(lengths)
        clips, lengths = clips.take(kept), lengths[kept]
        indicator = None if indicator is None else indicator[kept]
        weights = None if weights is None else weights[kept]
        times = None if times is None else times.take(kept)
    warn_of_short_sections(clips, lengths, sizes)
    if weights is not None and len(weights):
        weights = mean_one(weights)
    if times is not None:
        times = times.within(lengths / sample_rate, clips.name)
    device = resolve_device(estimator.device)
    return ClipDataset(
        clips,
        lengths,
        sample_rate,
        sizes,
        indicator,
        weights,
        device=device,
        unreadable=unreadable,
        scale=scale,
        distortions=distortions,
        times=times,
    )


def _read_lengths(
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
