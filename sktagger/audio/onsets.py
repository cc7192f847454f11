"""Onsets of the frames of an STFT that distort the time of a clip.

Window and FFT do not change, so frequencies stay the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sktagger.audio.spectral import STFTSizes

__all__ = ["stretched_onsets", "warped_onsets"]


def stretched_onsets(
    n_samples: int, sizes: STFTSizes, sample_rate: float, draw_factor: Callable[[], float]
) -> np.ndarray:
    """Return frame onsets whose spacing changes from second to second.

    Each section of about one second has a factor f and the hop ``int(hop_length / f)``. A larger
    factor gives more frames, so the clip becomes slower.

    Parameters
    ----------
    n_samples : int
        Length of the waveform.
    sizes : STFTSizes
        Sizes of the STFT.
    sample_rate : float
        In Hz.
    draw_factor : callable
        Called without arguments for the factor of the next section, above 0.

    Returns
    -------
    ndarray of shape (n_frames,), int
        In samples of the prepared waveform, see :func:`sktagger.audio.edges.prepare`.

    Examples
    --------
    >>> from sktagger.audio.spectral import STFT
    >>> stretched_onsets(5000, STFT().sizes(44100), 44100, lambda: 2.0)
    array([   0,  441,  882, 1323, 1764, 2205, 2646, 3087])
    """
    last = sizes.prepared_length(n_samples) - sizes.win_length
    if last < 0:
        return np.zeros(1, dtype=int)
    pieces = []
    onset = 0
    while onset <= last:
        hop = max(1, int(sizes.hop_length / draw_factor()))
        length = max(1, int(sample_rate) // hop) * hop
        stop = last + 1 if onset + length > last else onset + length
        pieces.append(np.arange(onset, stop, hop))
        onset += length
    return np.concatenate(pieces)


def warped_onsets(n_samples: int, sizes: STFTSizes, position: float, strength: float) -> np.ndarray:
    """Return frame onsets of which the first part is slower and the rest faster, or vice versa.

    What lies at the relative time `position` moves to ``position + strength``. Each of the two
    parts has its own constant hop. The number of frames stays about the same.

    Parameters
    ----------
    n_samples : int
        Length of the waveform.
    sizes : STFTSizes
        Sizes of the STFT.
    position : float
        Where the parts meet, in (0, 1), as a fraction of the length.
    strength : float
        How far this point moves, with ``position + strength`` in (0, 1). 0: not at all.

    Returns
    -------
    ndarray of shape (n_frames,), int
        In samples of the prepared waveform, see :func:`sktagger.audio.edges.prepare`. With
        ``edges="zeros"``, the last frame can end after it, because no sample is dropped.

    Examples
    --------
    >>> from sktagger.audio.spectral import STFTSizes
    >>> warped_onsets(1000, STFTSizes(256, 100, 200, edges="zeros"), 0.5, 0.1)
    array([  0,  83, 166, 249, 332, 498, 623, 748, 873, 998])
    """
    hop_length = sizes.hop_length
    first_hop = max(1, round(hop_length * position / (position + strength)))
    second_hop = max(1, round(hop_length * (1 - position) / (1 - position - strength)))
    # the samples that the hops of the plain STFT cover
    if sizes.edges == "zeros":
        length = max(n_samples, sizes.min_samples)
    else:
        length = sizes.prepared_length(n_samples) - sizes.win_length + hop_length
    meeting = round(length * position / first_hop) * first_hop
    first = np.arange(0, meeting - hop_length + 1, first_hop)
    rest = length - hop_length - meeting
    if sizes.edges == "zeros":
        n_second = max(1, 1 - (-rest // second_hop))
    else:
        n_second = max(0, 1 + rest // second_hop)
    onsets = np.concatenate([first, meeting + np.arange(n_second) * second_hop])
    return onsets if len(onsets) else np.zeros(1, dtype=int)
