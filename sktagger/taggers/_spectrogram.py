"""What the network of a tagger gets of a clip, for pictures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from sktagger.audio._streams import NamedClips
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.device_transfer import to_device
from sktagger.batching.devices import resolve_device
from sktagger.batching.plain import PlainBatches
from sktagger.training.setup import move_to_device


class Spectrogram(NamedTuple):
    """Features of a clip before the first layer of a network.

    Attributes
    ----------
    values : ndarray of shape (n_mels, n_frames), float32
        Log-mel features, as the network normalizes them.
    times : ndarray of shape (n_frames,), float64
        Centers of the frames in seconds, from the beginning of the clip.
    frequencies : ndarray of shape (n_mels,), float64
        Centers of the mel bands in Hz.
    """

    values: np.ndarray
    times: np.ndarray
    frequencies: np.ndarray


def compute_spectrogram(tagger: Any, waveform: np.ndarray, name: str = "The clip") -> Spectrogram:
    """Compute the features of a clip, as the network of a tagger gets them.

    Parameters
    ----------
    tagger : BaseTagger
        Fitted.
    waveform : ndarray of shape (n_samples,), float32
        At the sample rate of the network, and scaled as it takes waveforms.
    name : str, default="The clip"
        Name of the clip in messages.

    Returns
    -------
    Spectrogram

    Raises
    ------
    NotImplementedError
        If the network does not tell its features.
    """
    network = tagger.network_
    sample_rate, sizes, *_ = network.get_input()
    device = resolve_device(tagger.device)
    clips, lengths = NamedClips([waveform[np.newaxis]], name), np.array([len(waveform)])
    dataset = ClipDataset(clips, lengths, sample_rate, sizes, device=device, scale="raw")
    ((example,),) = PlainBatches(dataset, 1, 1, network.get_grid()).plan
    move_to_device(tagger, tagger.net_)
    module = tagger.module_.eval()
    with torch.inference_mode():
        inputs = to_device(dataset.load([example]).inputs, device, sizes)
        features = module.input_features(inputs["stft"], inputs["n_frames"])
    values = features[0, :, : example.n_frames].float().cpu().numpy()
    centers = np.arange(example.n_frames) * sizes.hop_length - sizes.padding + sizes.win_length / 2
    filters = module.mel_filters.double().cpu().numpy()
    bins = np.arange(len(filters)) * sample_rate / sizes.n_fft
    return Spectrogram(values, centers / sample_rate, bins @ filters / filters.sum(axis=0))


def frequency_ticks(frequencies: np.ndarray, least_gap: float) -> list[tuple[float, int]]:
    """Choose round frequencies for the axis of mel bands.

    Parameters
    ----------
    frequencies : ndarray of shape (n_mels,)
        Centers of the bands in Hz, in ascending order.
    least_gap : float
        Least distance between ticks, as a fraction of the axis.

    Returns
    -------
    list of (float, int)
        Place, in bands from the center of the first one, and frequency in Hz.
    """
    bands = np.flatnonzero(np.isfinite(frequencies))
    known = frequencies[bands]
    ticks: list[tuple[float, int]] = []
    for hz in (digit * 10**exponent for exponent in range(1, 6) for digit in (1, 2, 5)):
        if not known[0] <= hz <= known[-1]:
            continue
        place = float(np.interp(hz, known, bands))
        if not ticks or place - ticks[-1][0] > least_gap * len(frequencies):
            ticks.append((place, hz))
    return ticks
