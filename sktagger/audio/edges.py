"""Prepare waveforms for the STFT of a network: least length, pre-emphasis, edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sktagger.audio.spectral import STFTSizes

__all__ = ["prepare", "prepare_blocks"]


def prepare(waveform: np.ndarray, sizes: STFTSizes) -> np.ndarray:
    """Repeat a waveform that is too short, filter it, and reflect it at its edges.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,), float32
        At least 1 sample.
    sizes : STFTSizes
        Its `min_samples`, `preemphasis` and `center` tell what is done.

    Returns
    -------
    ndarray of shape (sizes.prepared_length(n_samples),), float32

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.audio.spectral import STFTSizes
    >>> sizes = STFTSizes(4, 2, 4, center=True, min_samples=5)
    >>> prepare(np.array([1, 2, 3], np.float32), sizes)
    array([3., 2., 1., 2., 3., 1., 2., 1., 3.], dtype=float32)
    """
    if len(waveform) < sizes.min_samples:
        waveform = np.resize(waveform, sizes.min_samples)
    if sizes.preemphasis:
        waveform = waveform[1:] - np.float32(sizes.preemphasis) * waveform[:-1]
    if sizes.padding:
        waveform = np.pad(waveform, sizes.padding, mode="reflect")
    return waveform


def prepare_blocks(blocks: Iterable[np.ndarray], sizes: STFTSizes) -> Iterator[np.ndarray]:
    """Prepare a waveform that comes in blocks, with the result of :func:`prepare`.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n_samples,), float32
        Consecutive parts of a waveform, which is not shorter than ``sizes.min_samples``, and
        longer than half a window.
    sizes : STFTSizes
        Its `preemphasis` and `center` tell what is done.

    Yields
    ------
    ndarray of shape (n_samples,), float32
        Consecutive parts of the prepared waveform.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.audio.spectral import STFTSizes
    >>> blocks = np.array([[1, 2], [3, 4]], np.float32)
    >>> np.concatenate(list(prepare_blocks(blocks, STFTSizes(4, 2, 4, center=True))))
    array([3., 2., 1., 2., 3., 4., 3., 2.], dtype=float32)
    """
    if sizes.preemphasis:
        blocks = _filtered(blocks, np.float32(sizes.preemphasis))
    return _reflected(blocks, sizes.padding) if sizes.padding else iter(blocks)


def _filtered(blocks, factor):
    last = np.empty(0, np.float32)
    for block in blocks:
        block = np.concatenate([last, block])
        last = block[-1:]
        yield block[1:] - factor * block[:-1]


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
