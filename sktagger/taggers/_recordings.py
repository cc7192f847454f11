"""Scores along a recording of any length."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sktagger._utils.threads import prefetch
from sktagger.audio._clip_items import is_missing
from sktagger.audio._streams import NamedClips, cut_windows, read_blocks
from sktagger.audio.clip_input import check_clips
from sktagger.audio.clips import ArrayClips, FileClips
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.devices import resolve_device
from sktagger.batching.plain import PlainBatches
from sktagger.batching.smaller_batches import BatchSplitter
from sktagger.taggers._scoring import (
    check_finite_scores,
    compute_batches,
    scores_and_embeddings_of_clips,
    scores_and_embeddings_of_segments,
    scores_of_clips,
    scores_of_segments,
    segment_times,
    use_one_thread,
)
from sktagger.training.setup import move_to_device

if TYPE_CHECKING:
    from sktagger.networks import Network, NetworkModule

_SECONDS_PER_BATCH = 60  # more would take more memory, and no less time
Scores = tuple[float, float, np.ndarray]


class _Recording(NamedTuple):
    """A recording.

    Attributes
    ----------
    name : str
        For messages.
    blocks : iterator of ndarray of shape (n_channels, n_samples), float32
        Its samples at the sample rate of the network.
    clips : FileClips, ArrayClips or None
        The recording as a single clip. None if it can be read only once.
    """

    name: str
    blocks: Iterator[np.ndarray]
    clips: FileClips | ArrayClips | None


class RecordingMixin:
    """Adds `iter_scores` to a tagger."""

    if TYPE_CHECKING:
        device: Any
        batch_size: int
        classes_: np.ndarray
        net_: Any
        _network: Network

        @property
        def module_(self) -> NetworkModule: ...
        def _normalize_label_scores(self, scores: np.ndarray) -> np.ndarray: ...

    def iter_scores(
        self,
        source: Any,
        window: float | None = None,
        hop: float | None = None,
        *,
        sample_rate: int | None = None,
    ) -> Iterator[Scores]:
        """Predict scores along a recording of any length, with a small part of it in memory.

        Parameters
        ----------
        source : str, PathLike, tuple, file, ndarray or iterator of ndarray
            A recording: a clip as in `X` (see Notes of the class), or an iterator of consecutive
            blocks of samples, shaped (n_samples,) or (n_channels, n_samples), for example from a
            microphone.
        window : float or None, default=None
            Length in seconds of the windows, each of which is scored as a clip of its own. None:
            scores are those of the segments that the network determines, as `predict_segments`
            computes them for the whole recording. An iterator needs a number.
        hop : float or None, default=None
            Time in seconds from the start of one window to the start of the next, at most `window`.
            None: `window`.
        sample_rate : int or None, default=None
            Sample rate of the blocks of an iterator in Hz. None: that of the network.

        Yields
        ------
        onset, offset : float
            In seconds. The last window is shifted back so that it ends with the recording. If the
            recording is shorter than `window`, there is one window.
        scores : ndarray of shape (n_events,), float32, in [0, 1]
            Columns as in `classes_`.

        Raises
        ------
        FileNotFoundError, ValueError
            If a parameter is wrong, or the recording cannot be read. In the second case, it is
            raised after the scores of what could be read.
        FloatingPointError
            If the network's scores are not finite because its training diverged.

        Examples
        --------
        Print what is heard in each ten seconds of a night::

            for onset, offset, scores in tagger.iter_scores("night.flac", window=10):
                print(onset, tagger.classes_[scores > 0.5])
        """
        outputs = self._iter_outputs(source, window, hop, sample_rate, embeddings=False)
        return ((onset, offset, scores) for onset, offset, (scores,) in outputs)

    def iter_embeddings(
        self,
        source: Any,
        window: float | None = None,
        hop: float | None = None,
        *,
        sample_rate: int | None = None,
    ) -> Iterator[tuple[float, float, np.ndarray, np.ndarray]]:
        """Compute scores and embeddings along a recording of any length, in one pass.

        Parameters
        ----------
        source : str, PathLike, tuple, file, ndarray or iterator of ndarray
            See :meth:`iter_scores`.
        window : float or None, default=None
            See :meth:`iter_scores`. The embedding of a window is that which
            :class:`sktagger.AudioEmbedding` computes of it as a clip. None: embeddings are those of
            the segments that the network determines, as its `transform_segments` computes them.
        hop : float or None, default=None
            See :meth:`iter_scores`.
        sample_rate : int or None, default=None
            See :meth:`iter_scores`.

        Yields
        ------
        onset, offset : float
            In seconds, as in :meth:`iter_scores`.
        scores : ndarray of shape (n_events,), float32, in [0, 1]
            As in :meth:`iter_scores`, apart from rounding.
        embedding : ndarray of shape (n_features,), float32
            Output of the layer "embedding" of the network.

        Raises
        ------
        FileNotFoundError, ValueError
            If a parameter is wrong, the network has no layer "embedding", or the recording cannot
            be read, see :meth:`iter_scores`.
        FloatingPointError
            If scores or embeddings are not finite because the network's training diverged.
        """
        outputs = self._iter_outputs(source, window, hop, sample_rate, embeddings=True)
        return ((onset, offset, *both) for onset, offset, both in outputs)

    def _iter_outputs(self, source, window, hop, sample_rate, *, embeddings):
        """Yield times, and a list of the scores and perhaps the embedding."""
        check_is_fitted(self)
        check_windows(window, hop)
        if embeddings:
            check_has_embeddings(self)
        recording = self._open(source, sample_rate)
        if window is None:
            if recording.clips is None:
                raise ValueError(
                    "window=None needs a recording that can be read twice, but source is a "
                    f"{type(source).__name__}. Give window, for example window=10, or a file."
                )
            return self._iter_segments(recording, embeddings)
        return self._iter_windows(recording, window, window if hop is None else hop, embeddings)

    def _open(self, source, block_rate):
        sample_rate = self._network.get_input().sample_rate
        if hasattr(source, "__next__") and not hasattr(source, "read"):
            block_rate = sample_rate if block_rate is None else block_rate
            if not isinstance(block_rate, Integral) or int(block_rate) < 1:
                raise ValueError(
                    f"sample_rate={block_rate!r}, but it must be an integer above 0, in Hz, or "
                    "None for the sample rate of the network."
                )
            blocks = read_blocks(source, int(block_rate), sample_rate)
            return _Recording("The recording", blocks, None)
        if block_rate is not None:
            raise ValueError(
                f"sample_rate={block_rate!r} is for an iterator of blocks, but source is a "
                f"{type(source).__name__}. Give an array as (samples, sample_rate); files state "
                "their rate."
            )
        if is_missing(source):
            raise ValueError(f"source is {source!r}, but it must be a recording.")
        clips = check_clips(self, [source], reset=False, name="source")
        name = clips.name(0) if isinstance(clips, FileClips) else "The recording"
        return _Recording(name, clips.blocks(0, sample_rate), clips)

    def _iter_windows(self, recording, window, hop, embeddings):
        """Score windows as clips of their own, in batches."""
        sample_rate = self._network.get_input().sample_rate
        length, step = (max(1, round(seconds * sample_rate)) for seconds in (window, hop))
        batch = max(1, min(self.batch_size, int(_SECONDS_PER_BATCH / window)))
        of_blocks = cut_windows(recording.blocks, length, step)
        move_to_device(self, self.net_)
        self.module_.eval()
        score = partial(self._score_windows, recording.name, embeddings)
        if recording.clips is None:  # as soon as possible, because it may be live
            results = map(score, filter(None, of_blocks))
        else:
            results = self._apply(score, _grouped(of_blocks, batch))
        for windows, outputs in results:
            for (start, n_samples), of_window in zip(windows, outputs, strict=True):
                yield start / sample_rate, (start + n_samples) / sample_rate, of_window

    def _score_windows(self, name, embeddings, windows):
        """Return the first samples and lengths of windows, and the outputs for each."""
        clips = NamedClips([samples for _, samples in windows], name)
        dataset = self._dataset_of(clips, [samples.shape[1] for _, samples in windows])
        outputs: list[Any] = [None] * len(windows)
        batches = PlainBatches(dataset, self.batch_size, 1, self._network.get_grid())
        computation = scores_and_embeddings_of_clips if embeddings else scores_of_clips
        for rows, output in compute_batches(computation(self.module_), batches, 0):
            values = output if embeddings else (output,)
            for of_batch in values:
                check_finite_scores(of_batch, name, self)
            scores, *others = (of_batch.cpu().numpy() for of_batch in values)
            scores = self._normalize_label_scores(scores)
            for row, *of_window in zip(rows.tolist(), scores, *others, strict=True):
                outputs[row] = of_window
        return [(start, samples.shape[1]) for start, samples in windows], outputs

    def _iter_segments(self, recording, embeddings):
        """Score the segments of the whole recording, in chunks."""
        input, grid = self._network.get_input(), self._network.get_grid()
        n_samples = recording.clips.n_samples(0, input.sample_rate)
        dataset = self._dataset_of(recording.clips, [n_samples])
        batches = PlainBatches(dataset, self.batch_size, 1, grid, chunked=True)
        move_to_device(self, self.net_)
        module, n_events = self.module_.eval(), len(self.classes_)
        computation = (
            scores_and_embeddings_of_segments(module) if embeddings else scores_of_segments(module)
        )
        (examples,) = batches.plan
        if batches.is_long(examples):
            clip, splitter = batches.long_clip(examples), BatchSplitter("scores do not change")
            results = clip.iter_segments(computation.segments, splitter, self._apply)
        else:
            computed = compute_batches(computation, batches, 0)
            results = (values[..., : int(n_segments)] for _, (values, n_segments) in computed)
        first = 0
        for values in results:
            check_finite_scores(values, recording.name, self)
            onsets, offsets = segment_times(first, values.shape[2], n_samples, input, grid)
            rows = values[0].T.cpu().numpy()
            outputs = np.split(rows, [n_events], axis=1) if embeddings else [rows]
            yield from zip(
                onsets.tolist(), offsets.tolist(), zip(*outputs, strict=True), strict=True
            )
            first += values.shape[2]

    def _dataset_of(self, clips, lengths):
        sample_rate, sizes, _, scale, _ = self._network.get_input()
        device = resolve_device(self.device)
        return ClipDataset(clips, np.array(lengths), sample_rate, sizes, device=device, scale=scale)

    def _apply(self, function, items):
        """Call a function on items, on a CPU in as many threads as PyTorch would use."""
        n_threads = torch.get_num_threads() if resolve_device(self.device).type == "cpu" else 1
        initializer = use_one_thread if n_threads > 1 else None
        return prefetch(function, items, n_threads, initializer=initializer)


def _grouped(lists, size):
    """Yield lists of `size` items, and one of the rest, also before an error."""
    group, failure = [], None
    try:
        for items in lists:
            for item in items:
                group.append(item)
                if len(group) == size:
                    yield group
                    group = []
    except (OSError, ValueError) as error:
        failure = error
    if group:
        yield group
    if failure is not None:
        raise failure


def check_windows(window: Any, hop: Any) -> None:
    """Raise ValueError unless these are parameters of `iter_scores`."""
    if window is None and hop is not None:
        raise ValueError(f"hop={hop!r} has no effect if window is None. Give window, too.")
    for name, value in {"window": window, "hop": hop}.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < np.inf:
            raise ValueError(f"{name}={value!r}, but it must be a number of seconds above 0.")
    if hop is not None and hop > window:
        raise ValueError(
            f"hop={hop!r} is above window={window!r}, so parts of the recording would not be "
            "scored. Give a hop of at most the window."
        )


def check_has_embeddings(tagger: Any) -> None:
    """Raise ValueError unless the network of a tagger has a layer "embedding"."""
    network = tagger.network_
    if "embedding" not in network.layers:
        raise ValueError(
            f"The network {type(network).__name__} has no embeddings: its layers are "
            f"{', '.join(map(repr, network.layers))}. Use embeddings=False, or another network."
        )
