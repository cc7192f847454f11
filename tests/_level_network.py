"""A network without training: scores are the amplitudes of tones, which a test can choose."""

import numpy as np
import pandas as pd
from sklearn.base import clone
from torch import nn

from sktagger import AudioTagger
from sktagger.audio.spectral import STFTSizes
from sktagger.networks import Frames, Network, NetworkInput, NetworkModule, ScoreGrid

RATE = 1000
HOP = 50  # a frame of 50 ms, without overlap
TONES = (100, 300)  # Hz, of the events in time
PILOTS = (200, 400)  # Hz, whose amplitude is the score of the clip
EVENTS = ("low", "high")


class LevelNet(Network):
    """Scores of segments are the mean amplitude of a tone in a window around them.

    Parameters
    ----------
    score_window : int, list of int or None, default=1
        None: as 1, but scores are said to depend on the whole clip.
    """

    head_name = "out"
    n_stages = 1
    adjustable = ("score_window",)

    def __init__(self, *, score_window=1):
        self.score_window = score_window

    def get_input(self):
        return NetworkInput(RATE, STFTSizes(HOP, HOP, HOP, edges="zeros"), 2, "raw", ())

    def get_grid(self):
        window = self.score_window
        return ScoreGrid(1, 1, None if window is None else int(np.max(window)) // 2)

    def resolve(self):
        return clone(self)

    def _make(self, n_events):
        return LevelModule(n_events, self.score_window)


class LevelModule(NetworkModule):
    n_passes = 0

    def __init__(self, n_events, score_window):
        super().__init__(n_events)
        self.score_window = score_window
        self.out = nn.Linear(1, n_events)

    @property
    def stages(self):
        return [nn.Identity()]

    def reset_parameters(self, random_state=0):
        nn.init.zeros_(self.out.weight)

    def segment_features(self, layer, stft, n_frames):
        LevelModule.n_passes += 1
        bins = [tone * HOP // RATE for tone in (*TONES, *PILOTS)]
        levels = stft[:, 0, :, bins].square().sum(-1).sqrt() / (0.42 * HOP / 2)  # of Blackman
        return Frames.of(n_frames, levels.shape[1]).fill_(levels.transpose(1, 2)), n_frames

    def segment_scores_and_embeddings(self, features, n_segments):
        windows = 1 if self.score_window is None else self.score_window
        scores = features[:, :2].clone()
        for event, width in enumerate(np.broadcast_to(windows, 2).tolist()):
            padded = nn.functional.pad(features[:, event], ((width - 1) // 2, width // 2))
            scores[:, event] = padded.unfold(1, width, 1).mean(-1)
        scores = scores.clamp(0, 1)
        return Frames.of(n_segments, scores.shape[-1]).fill_(scores), features

    def segment_scores(self, stft, n_frames):
        features, n_frames = self.segment_features(None, stft, n_frames)
        return self.segment_scores_and_embeddings(features, n_frames)[0], n_frames

    def pool_segments(self, layer, features, n_segments):
        return features[:, 2:].amax(-1).clamp(0, 1) + 0 * self.out.bias

    def forward(self, stft, n_frames):
        return self.pool_segments(None, *self.segment_features(None, stft, n_frames))


def sound(low=(), high=(), pilots=(0.0, 0.0)):
    """Make a clip of the amplitudes of each frame, and those of the pilot tones."""
    n_frames = max(len(low), len(high))
    levels = [np.resize(list(level) or [0.0], n_frames) for level in (low, high)]
    levels += [np.full(n_frames, pilot) for pilot in pilots]
    time = np.arange(n_frames * HOP) / RATE
    waves = [
        np.repeat(level, HOP) * np.cos(2 * np.pi * tone * time)
        for level, tone in zip(levels, (*TONES, *PILOTS), strict=True)
    ]
    return np.sum(waves, axis=0).astype(np.float32)


def make_tagger(**settings):
    """Return a fitted tagger whose scores are amplitudes."""
    tagger = AudioTagger(
        LevelNet(**settings), max_epochs=1, augmentation=None, random_state=0, verbose=0
    )
    return tagger.fit([sound([0.5] * 9)] * 2, pd.DataFrame([[1, 0], [0, 1]], columns=EVENTS))
