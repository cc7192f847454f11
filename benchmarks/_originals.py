"""The computation of the originals of EfficientAT and PANNs, in plain PyTorch, to compare with.

They are written from the published descriptions, without anything of the package. Weights have the
names of the originals, and axes their order: (clip, channel, mel, frame) in EfficientAT, and (clip,
channel, frame, mel) in PANNs. Scores are logits. Norms are not folded into convolutions.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SAMPLE_RATE = 32_000
N_FFT, HOP_LENGTH = 1024, 320


class KaldiFrontEnd(nn.Module):
    """The front end of EfficientAT. Mel filters are computed in each call, as in the original."""

    def __init__(self, n_mels=128, fmin=0.0, fmax=15_000.0):
        super().__init__()
        self.n_mels, self.fmin, self.fmax = n_mels, fmin, fmax
        window = torch.hann_window(800, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filter", torch.tensor([[[-0.97, 1.0]]]), persistent=False)

    def mel_filters(self):
        """Compute filters of shape (n_mels, n_bins)."""
        low, high = (1127.0 * math.log(1 + f / 700.0) for f in (self.fmin, self.fmax))
        step = (high - low) / (self.n_mels + 1)
        left = low + step * torch.arange(self.n_mels)[:, None]
        center, right = left + step, left + 2 * step
        mel = 1127.0 * torch.log(1 + torch.arange(N_FFT // 2) * (SAMPLE_RATE / N_FFT) / 700.0)
        rising, falling = (mel - left) / (center - left), (right - mel) / (right - center)
        return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 1))

    def forward(self, waveforms):
        """Compute features of shape (n_clips, 1, n_mels, n_frames)."""
        x = F.conv1d(waveforms[:, None], self.filter)[:, 0]
        x = torch.stft(
            x, N_FFT, HOP_LENGTH, 800, window=self.window, center=True, return_complex=True
        )
        power = torch.view_as_real(x).square().sum(-1)
        x = torch.log(torch.matmul(self.mel_filters(), power) + 1e-5)
        return ((x + 4.5) / 5.0)[:, None]


def _channels(n):
    rounded = max(8, int(n + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * n else rounded + 8


def _conv_norm(n_in, n_out, kernel=1, stride=1, groups=1, activation=None):
    conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    parts = [conv, nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.01)]
    return nn.Sequential(*parts, *([activation(inplace=True)] if activation else []))


class _SqueezeExcitation(nn.Module):
    def __init__(self, n):
        super().__init__()
        layers = nn.Module()
        layers.fc1, layers.fc2 = nn.Linear(n, _channels(n // 4)), nn.Linear(_channels(n // 4), n)
        self.conc_se_layers = nn.ModuleList([layers])

    def forward(self, x):
        layers = self.conc_se_layers[0]
        scale = torch.sigmoid(layers.fc2(F.relu(layers.fc1(x.mean((2, 3))))))
        return scale[:, :, None, None] * x


class _InvertedResidual(nn.Module):
    def __init__(self, n_in, kernel, n_expanded, n_out, squeezes, activation, stride):
        super().__init__()
        self.residual = stride == 1 and n_in == n_out
        parts = []
        if n_expanded != n_in:
            parts.append(_conv_norm(n_in, n_expanded, activation=activation))
        parts.append(_conv_norm(n_expanded, n_expanded, kernel, stride, n_expanded, activation))
        if squeezes:
            parts.append(_SqueezeExcitation(n_expanded))
        self.block = nn.Sequential(*parts, _conv_norm(n_expanded, n_out))

    def forward(self, x):
        y = self.block(x)
        return x + y if self.residual else y


R, H = nn.ReLU, nn.Hardswish
# kernel, expanded channels, channels, squeeze-excitation, activation, stride
BLOCKS = [
    (3, 16, 16, False, R, 1),
    (3, 64, 24, False, R, 2),
    (3, 72, 24, False, R, 1),
    (5, 72, 40, True, R, 2),
    (5, 120, 40, True, R, 1),
    (5, 120, 40, True, R, 1),
    (3, 240, 80, False, H, 2),
    (3, 200, 80, False, H, 1),
    (3, 184, 80, False, H, 1),
    (3, 184, 80, False, H, 1),
    (3, 480, 112, True, H, 1),
    (3, 672, 112, True, H, 1),
    (5, 672, 160, True, H, 2),
    (5, 960, 160, True, H, 1),
    (5, 960, 160, True, H, 1),
]


class MobileNet(nn.Module):
    """The network of EfficientAT, with its classifier "mlp"."""

    def __init__(self, width, n_events=527):
        super().__init__()
        n_in = _channels(16 * width)
        parts = [_conv_norm(1, n_in, 3, 2, activation=H)]
        for kernel, n_expanded, n_out, squeezes, activation, stride in BLOCKS:
            sizes = _channels(width * n_expanded), _channels(width * n_out)
            parts.append(_InvertedResidual(n_in, kernel, *sizes, squeezes, activation, stride))
            n_in = sizes[1]
        self.features = nn.Sequential(*parts, _conv_norm(n_in, 6 * n_in, activation=H))
        n_hidden = _channels(1280 * width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6 * n_in, n_hidden),
            nn.Hardswish(inplace=True),
            nn.Dropout(0.2),
            nn.Linear(n_hidden, n_events),
        )

    def forward(self, x):
        """Compute logits of shape (n_clips, n_events)."""
        return self.classifier(self.features(x))


class SlaneyFrontEnd(nn.Module):
    """The front end of PANNs: a Fourier transform by convolution with constant sines."""

    def __init__(self, mel_filters):
        super().__init__()
        window = np.hanning(N_FFT + 1)[:-1]
        angles = 2 * np.pi / N_FFT * np.outer(np.arange(N_FFT // 2 + 1), np.arange(N_FFT))
        for name, values in {"real": np.cos(angles), "imag": -np.sin(angles)}.items():
            kernel = torch.from_numpy((values * window).astype(np.float32))[:, None]
            self.register_buffer(name, kernel, persistent=False)
        self.register_buffer("filters", mel_filters, persistent=False)

    def forward(self, waveforms):
        """Compute features of shape (n_clips, 1, n_frames, n_mels)."""
        x = F.pad(waveforms[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")
        real, imag = (F.conv1d(x, k, stride=HOP_LENGTH) for k in (self.real, self.imag))
        power = (real**2 + imag**2).transpose(1, 2)[:, None]
        return 10.0 * torch.log10(torch.clamp(torch.matmul(power, self.filters), min=1e-10))


class _ConvBlock(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)

    def forward(self, x):
        return F.relu_(self.bn2(self.conv2(F.relu_(self.bn1(self.conv1(x))))))


class Cnn14(nn.Module):
    """The network of PANNs with 14 layers."""

    def __init__(self, n_events=527):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(64)
        channels = 1, 64, 128, 256, 512, 1024, 2048
        for number, sizes in enumerate(pairwise(channels), 1):
            self.add_module(f"conv_block{number}", _ConvBlock(*sizes))
        self.fc1, self.fc_audioset = nn.Linear(2048, 2048), nn.Linear(2048, n_events)

    def forward(self, x):
        """Compute logits of shape (n_clips, n_events)."""
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for number in range(1, 7):
            x = self.get_submodule(f"conv_block{number}")(x)
            x = F.avg_pool2d(x, 2) if number < 6 else x
            x = F.dropout(x, 0.2, self.training)
        x = x.mean(3)
        x = x.max(2).values + x.mean(2)
        x = F.relu_(self.fc1(F.dropout(x, 0.5, self.training)))
        return self.fc_audioset(x)
