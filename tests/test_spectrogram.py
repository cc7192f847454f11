"""What networks get of a clip: frequencies and times are where they are heard."""

import base64
import io

import numpy as np
import pytest
import torch
from _networks import NarrowPANNs
from PIL import Image
from sklearn.base import clone

from sktagger import AudioTagger
from sktagger.networks import CRNN, FBCRNN, EfficientAT, NetworkModule, WALNet
from sktagger.networks._check_tools import make_trained
from sktagger.reports._page_media import draw_spectrogram
from sktagger.taggers._spectrogram import Spectrogram, compute_spectrogram

NETWORKS = [
    WALNet(sample_rate=16000),
    FBCRNN(sample_rate=16000),
    FBCRNN(sample_rate=16000, time_pooling=2),
    CRNN(sample_rate=16000),
    CRNN(sample_rate=16000, tag_conditioned=True),
    EfficientAT(width=0.1),
    NarrowPANNs(variant="cnn6"),
]


@pytest.fixture(params=NETWORKS, ids=str)
def tagger(request):
    """A tagger that has heard noise."""
    network = clone(request.param)
    fitted = AudioTagger(network, device="cpu")
    state = make_trained(network).state_dict()
    return fitted._restore(np.array(["a", "b", "c"]), state)


def make_clip(tagger, pitch=1500.0, onset=0.6, duration=2.0):
    """Weak noise with a tone from its onset on."""
    rate = tagger.network_.get_input().sample_rate
    time = np.arange(round(duration * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 1e-3, len(time))
    return (noise + 0.5 * np.sin(2 * np.pi * pitch * time) * (time >= onset)).astype(np.float32)


def test_tone_is_at_its_frequency_and_time(tagger):
    for pitch, onset in ((1500.0, 0.6), (4000.0, 1.1)):
        values, times, frequencies = compute_spectrogram(tagger, make_clip(tagger, pitch, onset))
        assert values.shape == (len(frequencies), len(times))
        before, after = times < onset - 0.06, times > onset + 0.06
        change = values[:, after].mean(axis=1) - values[:, before].mean(axis=1)
        assert frequencies[change.argmax()] == pytest.approx(pitch, rel=0.06)
        loudness = values[change.argmax()]
        middle = (loudness[before].mean() + loudness[after].mean()) / 2
        hop = times[1] - times[0]
        assert times[np.argmax(loudness > middle)] == pytest.approx(onset, abs=0.02 + hop)


def test_values_are_the_features_of_the_module(tagger):
    clip = make_clip(tagger)
    values, times, _ = compute_spectrogram(tagger, clip)
    given = []
    features = type(tagger.module_).input_features
    tagger.module_.input_features = lambda *inputs: (
        given.append(inputs) or features(tagger.module_, *inputs)
    )
    compute_spectrogram(tagger, clip)
    del tagger.module_.input_features
    ((stft, n_frames),) = given
    assert n_frames.tolist() == [len(times)]
    with torch.no_grad():
        expected = tagger.module_.input_features(stft, n_frames)[0, :, : len(times)]
    np.testing.assert_array_equal(values, expected)


def test_module_that_does_not_tell_its_features():
    module = NetworkModule(2)
    with pytest.raises(NotImplementedError, match="NetworkModule does not tell its features"):
        module.input_features(torch.zeros(1, 1, 2, 3, 2), torch.tensor([2]))
    with pytest.raises(NotImplementedError, match="NetworkModule does not tell its mel filters"):
        _ = module.mel_filters


def test_picture_has_the_time_from_left_to_right_and_high_bands_above():
    values = np.zeros((64, 100), np.float32)
    values[5, 30:33] = 1.0
    times = 0.01 * np.arange(100) + 0.02  # the first frame is centered at 20 ms
    frequencies = np.linspace(50, 8000, 64)
    drawn = draw_spectrogram(Spectrogram(values, times, frequencies), 1.03)
    picture = Image.open(io.BytesIO(base64.b64decode(drawn["image"])))
    pixels = np.asarray(picture.convert("L")).astype(int)
    assert pixels.shape == (64, 103)
    bright = np.argwhere(pixels > 150)
    rows, columns = bright.mean(axis=0)
    assert rows == pytest.approx(63 - 5, abs=0.6)
    assert (columns + 0.5) / 103 * 1.03 == pytest.approx(times[31], abs=0.01)
    places = [place for place, _ in drawn["hz"]]
    assert places == sorted(places)
    labels = dict(map(reversed, drawn["hz"]))
    assert labels["5 kHz"] == pytest.approx(
        (np.interp(5000, frequencies, range(64)) + 0.5) / 64, abs=1e-3
    )
    assert "10 kHz" not in labels
