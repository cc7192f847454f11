"""When events are active in the frames of training clips, distorted and mixed as their audio is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sktagger.audio.draws import WaveformDraw
from sktagger.audio.spectral import STFTSizes
from sktagger.batching.examples import Example

if TYPE_CHECKING:
    from sktagger.batching.dataset import ClipDataset

__all__ = ["activity_of_example", "frame_positions"]


def activity_of_example(example: Example, dataset: ClipDataset, *, out: np.ndarray) -> None:
    """Mark the frames in which events occur.

    A frame is active if its center lies inside of an event. If one clip of a mixture has an event,
    but not its times, the times of this event in the mixture are unknown.

    Parameters
    ----------
    example : Example
    dataset : ClipDataset
        With the times of the events of its clips.
    out : ndarray of shape (n_events, n_frames), float32
        Zeros, which become 1 in active frames.
    """
    times = dataset.times
    assert times is not None
    unknown = np.zeros(len(out), bool)
    for part in example.parts:
        events, onsets, offsets = times.of_clip(part.index)
        occurs = dataset.targets[part.index] > 0
        occurs[events] = False
        unknown |= occurs
        if not len(events):
            continue
        first = dataset.onsets_of(part)
        n_samples = int(dataset.lengths[part.index])
        seconds = frame_positions(first, n_samples, dataset.sizes, part.draw) / dataset.sample_rate
        frames = out[:, part.onset : part.onset + len(first)]
        for event, onset, offset in zip(events, onsets, offsets, strict=True):
            frames[event, (seconds >= onset) & (seconds < offset)] = 1
    out[unknown] = 0


def frame_positions(
    onsets: np.ndarray, n_samples: int, sizes: STFTSizes, draw: WaveformDraw | None
) -> np.ndarray:
    """Return the positions in a clip that the frames of its distorted waveform are centered on.

    Parameters
    ----------
    onsets : ndarray of shape (n_frames,), int
        First sample of each frame in the prepared waveform.
    n_samples : int
        Length of the clip.
    sizes : STFTSizes
        Sizes of the STFT.
    draw : WaveformDraw or None
        Distortions of the waveform.

    Returns
    -------
    ndarray of shape (n_frames,), float64
        In samples of the undistorted clip; -1 beside the clip in a mixture. A center outside of the
        waveform counts as its first or last sample.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger.audio.spectral import STFTSizes
    >>> sizes, onsets = STFTSizes(8, 4, 8, edges="zeros"), np.arange(5) * 4
    >>> frame_positions(onsets, 18, sizes, None)
    array([ 2.,  6., 10., 14., 17.])
    >>> frame_positions(onsets, 18, sizes, WaveformDraw(5, 1.0, onsets))
    array([15.,  1.,  5.,  9., 12.])
    >>> frame_positions(onsets, 9, sizes, WaveformDraw(0, 1.0, onsets, offset=5, n_total=18))
    array([-1.,  1.,  5., -1., -1.])
    """
    n_total = n_samples if draw is None or draw.n_total is None else draw.n_total
    centers = onsets + sizes.win_length / 2 - sizes.padding
    centers = np.clip(centers, 0, n_total - 1)
    if draw is None:
        return centers
    places = centers - draw.offset
    inside = (places >= 0) & (places < n_samples)
    return np.where(inside, (places - draw.n_roll) % n_samples, -1.0)
