"""Prepare waveforms for the STFT of a network: least length, pre-emphasis, edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sktagger.audio.spectral import STFTSizes

__all__ = ["prepare", "prepare_blocks"]


def prepare(waveform: np.ndarray, sizes: STFTSizes) -> np.ndarray:
    """Repeat a waveform that is too short, filter it, and extend it at its edges.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,), float32
        At least 1 sample.
    sizes : STFTSizes
        Its `min_samples`, `preemphasis` and `edges` tell what is done.

    Returns
    -------
    ndarray of shape (sizes.prepared_length(n_samples),), float32

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.audio.spectral import STFTSizes
    >>> sizes = STFTSizes(4, 2, 4, edges="reflect", min_samples=5)
    >>> prepare(np.array([1, 2, 3], np.float32), sizes)
    array([3., 2., 1., 2., 3., 1., 2., 1., 3.], dtype=float32)
    >>> prepare(np.array([1, 2, 3], np.float32), STFTSizes(4, 2, 4, edges="zeros"))
    array([0., 1., 2., 3., 0., 0.], dtype=float32)
    """
    length = sizes.prepared_length(len(waveform))
    if len(waveform) < sizes.min_samples:
        waveform = np.resize(waveform, sizes.min_samples)
    if sizes.preemphasis:
        waveform = waveform[1:] - np.float32(sizes.preemphasis) * waveform[:-1]
    if sizes.edges == "reflect":
        waveform = np.pad(waveform, sizes.padding, mode="reflect")
    if sizes.edges == "zeros":
        waveform = np.pad(waveform, (sizes.padding, length - sizes.padding - len(waveform)))
    return waveform


def prepare_blocks(blocks: Iterable[np.ndarray], sizes: STFTSizes) -> Iterator[np.ndarray]:
    """Prepare a waveform that comes in blocks, with the result of :func:`prepare`.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n_samples,), float32
        Consecutive parts of a waveform, which is not shorter than ``sizes.min_samples``, and, if
        it is reflected, longer than half a window.
    sizes : STFTSizes
        Its `preemphasis` and `edges` tell what is done.

    Yields
    ------
    ndarray of shape (n_samples,), float32
        Consecutive parts of the prepared waveform.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.audio.spectral import STFTSizes
    >>> blocks = np.array([[1, 2], [3, 4]], np.float32)
    >>> np.concatenate(list(prepare_blocks(blocks, STFTSizes(4, 2, 4, edges="reflect"))))
    array([3., 2., 1., 2., 3., 4., 3., 2.], dtype=float32)
    """
    if sizes.edges == "zeros":
        return _surrounded(blocks, sizes)
    blocks = _filtered(blocks, sizes)
    return _reflected(blocks, sizes.padding) if sizes.padding else iter(blocks)


def _filtered(blocks, sizes):
    if not sizes.preemphasis:
        yield from blocks
        return
    factor = np.float32(sizes.preemphasis)
    last = np.empty(0, np.float32)
    for block in blocks:
        block = np.concatenate([last, block])
        last = block[-1:]
        yield block[1:] - factor * block[:-1]


def _surrounded(blocks, sizes):
    """Yield zeros, the filtered waveform, and as many zeros as the last frame needs."""
    yield np.zeros(sizes.padding, np.float32)
    n_samples = sizes.padding
    for block in _filtered(blocks, sizes):
        yield block
        n_samples += len(block)
    whole = n_samples - sizes.padding + (sizes.preemphasis != 0)
    yield np.zeros(sizes.prepared_length(whole) - n_samples, np.float32)


def _reflected(blocks, padding):
    """Yield the reflected beginning, the waveform, and its reflected end."""
    blocks = iter(blocks)
    # the last `padding + 1` samples that were read; at first, all samples
    recent = np.empty(0, np.float32)
    while len(recent) <= padding:
        recent = np.concatenate([recent, next(blocks)])
    yield recent[padding:0:-1]
    yield recent
    for block in blocks:
        yield block
        recent = np.concatenate([recent[-padding - 1 :], block])
    yield recent[-2 : -padding - 2 : -1]
