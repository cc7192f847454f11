"""Networks for the tests: a WALNet, an odd one, and a tiny one."""

import torch
from sklearn.base import clone
from torch import nn
from torch.nn import functional as F

from sktagger.audio.spectral import STFT
from sktagger.networks import (
    Frames,
    MaskedBatchNorm,
    Network,
    NetworkInput,
    NetworkModule,
    PANNs,
    ScoreGrid,
    WALNet,
    mel_filterbank,
    skip_init,
)
from sktagger.networks._panns_layers import LAYOUTS


def make_walnet(
    n_events, *, sample_rate=44100, n_fft=None, random_state=0, precision="float32", **settings
):
    """Build a WALNet with the windows of the default STFT."""
    settings.setdefault("pooling", "mean")
    network = WALNet(sample_rate=sample_rate, stft=STFT(n_fft=n_fft), **settings)
    return network.build(n_events, random_state=random_state, precision=precision)


class NarrowPANNs(PANNs):
    """PANNs with a few channels only, whose checks are quick."""

    def _layout(self):
        layout = LAYOUTS[self.variant]
        channels = (4, 8, 8, 16, 16, 32)[: len(layout.channels)]
        return layout._replace(channels=channels, n_features=24)


class OddNet(Network):
    """A network that differs from WALNet in all that the base class allows.

    It has another grid (10 frames every 5), unscaled waveforms, 40 mel bands that cannot be
    warped, features in dB, three stages, another head, and no bfloat16.

    Parameters
    ----------
    rate : int, default=8000
        Sample rate in Hz.
    width : int, default=6
        Number of channels.
    sharpness : float, default=2.0
        Exponent of the power mean that pools scores. It can be changed after training.
    """

    version = 3
    head_name = "out"
    n_stages = 3
    adjustable = ("sharpness",)

    def __init__(self, *, rate=8000, width=6, sharpness=2.0):
        self.rate = rate
        self.width = width
        self.sharpness = sharpness

    def get_input(self):
        stft = STFT(n_fft=256, hop_length=80, win_length=200, window="hann").sizes(self.rate)
        return NetworkInput(self.rate, stft, 40, "raw", ("time_mask", "mel_mask"))

    def get_grid(self):
        return ScoreGrid(length=10, step=5, context=2)

    def resolve(self):
        return clone(self)

    def _make(self, n_events):
        return OddModule(n_events, self.rate, self.width, self.sharpness)


class OddModule(NetworkModule):
    def __init__(self, n_events, rate, width, sharpness):
        super().__init__(n_events)
        self.sharpness = sharpness
        self.register_buffer("filters", mel_filterbank(rate, 256, 40, 20.0))
        self.first = skip_init(nn.Conv1d, 40, width, 5, padding=2)
        self.norm = MaskedBatchNorm(width)
        self.second = skip_init(nn.Conv1d, width, width, 10, stride=5)
        self.third = skip_init(nn.Conv1d, width, width, 1)
        self.out = skip_init(nn.Linear, width, n_events)

    @property
    def stages(self):
        return [nn.ModuleList([self.first, self.norm]), self.second, self.third]

    def reset_parameters(self, random_state=0):
        generator = torch.Generator().manual_seed(random_state)
        for layer in (self.first, self.second, self.third, self.out):
            nn.init.normal_(layer.weight, std=0.3, generator=generator)
            nn.init.zeros_(layer.bias)

    def segment_embeddings(self, stft, n_frames, time_mask=None, mel_mask=None):
        power = stft[:, 0].square().sum(-1) @ self.filters
        x = (10 * torch.log10(power + 1e-10)).transpose(1, 2) / 50
        for mask, axis in ((time_mask, 2), (mel_mask, 1)):
            if mask is not None:
                place = torch.arange(x.shape[axis], device=x.device)
                hidden = (place >= mask[:, :1]) & (place < mask.sum(1, keepdim=True))
                x = x.masked_fill(hidden[:, None] if axis == 2 else hidden[:, :, None], 0)
        grid = OddNet().get_grid()
        x = F.pad(x, (0, max(0, grid.length - x.shape[2])))
        x = F.pad(x, (0, -(x.shape[2] - grid.length) % grid.step))
        frames = Frames.of(n_frames, x.shape[2])
        x = frames.fill_(x)
        x = self.norm(self.first(x)[:, :, None], frames)[:, :, 0].relu()
        x = self.third(self.second(x).relu()).relu()
        n_segments = (1 + (n_frames - grid.length + grid.step - 1) // grid.step).clamp(min=1)
        return Frames.of(n_segments, x.shape[2]).fill_(x.clone()), n_segments

    def segment_scores(self, stft, n_frames, **distortions):
        x, n_segments = self.segment_embeddings(stft, n_frames, **distortions)
        logits = self.out(x.transpose(1, 2)).transpose(1, 2)
        segments = Frames.of(n_segments, logits.shape[2])
        return segments.fill_(logits, -torch.inf).sigmoid(), n_segments

    def pool(self, scores, n_segments):
        mean = (scores**self.sharpness).sum(-1) / n_segments[:, None]
        return (mean + 1e-12) ** (1 / self.sharpness)


class TinyNet(OddNet):
    """A network of a few hundred weights at 1 kHz, for tests that are not about networks."""

    version = 1

    def __init__(self, *, rate=1000, width=8, sharpness=1.0):
        super().__init__(rate=rate, width=width, sharpness=sharpness)
