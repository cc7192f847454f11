"""Rows of batches: which clips they contain, and how the clips are distorted."""

from __future__ import annotations

from typing import NamedTuple

from sktagger.audio.draws import FeatureDraw, WaveformDraw
from sktagger.audio.spectral import STFTSizes

__all__ = ["Example", "Part", "plain_example"]


class Part(NamedTuple):
    """A clip in an example.

    Attributes
    ----------
    index : int
        Which clip of the dataset.
    draw : WaveformDraw or None
        Distortions of its waveform. None: it is not distorted.
    onset : int
        Its first frame in the example.
    """

    index: int  # type: ignore[assignment]  # takes the place of the method tuple.index
    draw: WaveformDraw | None = None
    onset: int = 0


class Example(NamedTuple):
    """A row of a batch: one clip, or two clips that are mixed.

    Attributes
    ----------
    n_frames : int
        Number of frames of the STFT.
    parts : tuple of Part
        The clips.
    features : FeatureDraw or None
        Distortions of the features. None: they are not distorted.
    weight : float or None
        Weight in the loss. None: the dataset gives the weight.
    """

    n_frames: int
    parts: tuple[Part, ...]
    features: FeatureDraw | None = None
    weight: float | None = None


def plain_example(index: int, n_samples: int, sizes: STFTSizes) -> Example:
    """Plan a clip without distortions.

    Parameters
    ----------
    index : int
        Which clip of the dataset.
    n_samples : int
        Its length in samples.
    sizes : STFTSizes
        Sizes of the STFT.

    Returns
    -------
    Example
    """
    return Example(sizes.n_frames(int(n_samples)), (Part(int(index)),))
