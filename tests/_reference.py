"""Slow, obvious references for the numerical code, in loops instead of vectorized operations.

They follow the published formulas, and import nothing from the package.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F

# (output channels, kernel size, zero padding on each side, pool after)
WALNET_TABLE = [
    (16, 3, 1, False),
    (16, 3, 1, True),
    (32, 3, 1, False),
    (32, 3, 1, True),
    (64, 3, 1, False),
    (64, 3, 1, True),
    (128, 3, 1, False),
    (128, 3, 1, True),
    (256, 3, 1, False),
    (256, 3, 1, True),
    (512, 3, 1, True),
    (1024, 2, 0, False),
]


def to_mono(waveform):
    centered = [[float(x) - np.mean(channel, dtype=float) for x in channel] for channel in waveform]
    mono = np.mean(centered, axis=0)
    return mono / (max(abs(x) for x in mono) + 1e-3)


def roll(waveform, n_roll, sample_rate):
    """Fade both ends, then take each sample from n_roll earlier, modulo the length."""
    n_samples = waveform.shape[1]
    if n_roll == 0:
        return waveform
    faded = waveform.astype(float)
    length = sample_rate // 100
    for i in range(length):
        faded[:, i] *= 0.5 - 0.5 * math.cos(math.pi * i / length)
    for i in range(length):
        faded[:, n_samples - length + i] *= 0.5 + 0.5 * math.cos(math.pi * i / length)
    rolled = np.empty_like(faded)
    for i in range(n_samples):
        rolled[:, i] = faded[:, (i - n_roll) % n_samples]
    return rolled


def blackman(length):
    """Periodic Blackman window."""
    phase = 2 * np.pi * np.arange(length) / length
    return 0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase)


def stft(waveform, onsets, win_length, n_fft):
    """Complex STFT of frames at given onsets, in float64."""
    spectrum = []
    for onset in onsets:
        frame = np.zeros(max(n_fft, win_length))
        for i in range(win_length):
            if onset + i < len(waveform):
                frame[i] = waveform[onset + i]
        frame[:win_length] *= blackman(win_length)
        spectrum.append(np.fft.fft(frame[:n_fft])[: n_fft // 2 + 1])
    return np.array(spectrum)


def plain_onsets(n_samples, hop_length, win_length):
    onsets = [0]
    while onsets[-1] + hop_length + win_length <= n_samples:
        onsets.append(onsets[-1] + hop_length)
    return onsets


def stretched_onsets(n_samples, hop_length, win_length, sample_rate, factors):
    """Onsets of the frames of a stretched STFT, with one factor per segment."""
    if n_samples < win_length:
        return [0]
    factors = iter(factors)
    onsets = []
    onset = 0
    while onset <= n_samples - win_length:
        hop = int(hop_length / next(factors))
        segment = (sample_rate // hop) * hop
        if onset + segment > n_samples - win_length:
            n_frames = (n_samples - onset - win_length) // hop + 1
        else:
            n_frames = segment // hop
        onsets += [onset + i * hop for i in range(n_frames)]
        onset += segment
    return onsets


def mixup_onsets(n_first, n_second, max_frames, overlap=0.8):
    """All allowed onsets of the second clip, found by trying every one.

    On each side, at most a fraction 1 - overlap of the second clip is outside of the first one.
    """
    per_mille = round(1000 * (1 - overlap))  # an integer, because 0.8 is not exact
    allowed = []
    for onset in range(-n_second - n_first, n_second + n_first):
        before = -onset
        after = onset + n_second - n_first
        union = max(n_first, onset + n_second) - min(0, onset)
        if 1000 * max(before, after) <= per_mille * n_second and union <= max_frames:
            allowed.append(onset)
    return allowed


def buckets(lengths, batch_size, max_padding, max_frames=math.inf):
    """Batches of indices. A bucket accepts a clip if its length is similar to those of all others.

    A batch has at most `max_frames` frames, with clips padded to a multiple of 16 frames.
    """

    def fits(indices):
        longest = max(lengths[i] for i in indices)
        return len(indices) == 1 or len(indices) * math.ceil(longest / 16) * 16 <= max_frames

    batches, open_buckets = [], []
    for index, length in enumerate(lengths):
        for bucket in open_buckets:
            others = [lengths[i] for i in bucket]
            similar = all(m * (1 - max_padding) <= length <= m / (1 - max_padding) for m in others)
            if similar and fits([*bucket, index]):
                break
        else:
            bucket = []
            open_buckets.append(bucket)
        bucket.append(index)
        if len(bucket) == batch_size or not fits([*bucket, bucket[0]]):
            batches.append(sorted(bucket, key=lambda i: -lengths[i]))
            open_buckets = [b for b in open_buckets if b is not bucket]
    left = sorted((i for b in open_buckets for i in b), key=lambda i: -lengths[i])
    while left:
        size = max(n for n in range(1, batch_size + 1) if fits(left[:n]))
        batches.append(left[:size])
        left = left[size:]
    return batches


def mel(frequency):
    return 2595 * math.log10(1 + frequency / 700)


def warp(m, factor, position, top):
    """Warp one mel value: the minimum (or maximum) of two lines."""
    knee = position * top * min(factor, 1) / factor
    if knee > top or factor * knee > top:
        knee = top
    if knee == top:  # only the first line
        return factor * m
    line = top + (top - factor * knee) / (top - knee) * (m - top)
    return min(factor * m, line) if factor >= 1 else max(factor * m, line)


def mel_filterbank(sample_rate, n_fft, n_mels=128, fmin=50, factor=1.0, position=1.0):
    """(n_bins, n_mels) triangles, in float64."""
    low, top = mel(fmin), mel(sample_rate / 2)
    points = []
    for i in range(n_mels + 2):
        m = warp(low + (top - low) * i / (n_mels + 1), factor, position, top)
        points.append(700 * (10 ** (m / 2595) - 1) * n_fft / sample_rate)
    fbanks = np.zeros((n_fft // 2 + 1, n_mels))
    for j in range(n_mels):
        center = points[j + 1]
        left = min(points[j], center - 1)
        right = max(points[j + 2], center + 1)
        for k in range(n_fft // 2 + 1):
            if left < k <= center:
                fbanks[k, j] = (k - left) / (center - left)
            elif center < k < right:
                fbanks[k, j] = (right - k) / (right - center)
        fbanks[:, j] /= fbanks[:, j].sum() + 1e-6
    return fbanks


def log_mel(stft, fbanks):
    """(n_clips, 1, n_frames, n_bins, 2) -> (n_clips, 1, n_mels, n_frames), in float64."""
    stft = np.asarray(stft, dtype=float)
    power = stft[..., 0] ** 2 + stft[..., 1] ** 2
    return np.log(np.einsum("nctk,km->ncmt", power, fbanks) + 1e-12)


def valid_values(x, n_frames, channel_axis):
    """Collect the values of the valid frames, in one row per channel."""
    clips = [
        np.moveaxis(clip[..., :n], channel_axis, 0) for clip, n in zip(x, n_frames, strict=True)
    ]
    return np.concatenate([clip.reshape(len(clip), -1) for clip in clips], axis=1)


class InputNorm:
    """Running normalization per mel band by cumulative averages, in float64."""

    def __init__(self, n_mels):
        self.n_values = 0
        self.mean = np.zeros(n_mels)
        self.power = np.ones(n_mels)

    def update(self, x, n_frames):
        values = valid_values(x, n_frames, channel_axis=1)
        n = values.shape[1]
        total = self.n_values + n
        self.mean = (self.n_values * self.mean + n * values.mean(1)) / total
        self.power = (self.n_values * self.power + n * (values**2).mean(1)) / total
        self.n_values = total

    def __call__(self, x, n_frames):
        n = max(self.n_values, 2)
        variance = n / (n - 1) * (self.power - self.mean**2) + 1e-5
        y = (x - self.mean[:, None]) / np.sqrt(variance + 1e-5)[:, None]
        for clip, length in zip(y, n_frames, strict=True):
            clip[..., length:] = 0
        return y


def batch_norm(x, n_frames, gamma, beta):
    """Batch norm over valid frames in training: output, mean, mean square, number of values."""
    y = np.zeros(x.shape)
    values = valid_values(x, n_frames, channel_axis=0)
    mean, power = values.mean(1), (values**2).mean(1)
    variance = ((values - mean[:, None]) ** 2).mean(1)
    for n, length in enumerate(n_frames):
        for c in range(x.shape[1]):
            normalized = (x[n, c, :, :length] - mean[c]) / math.sqrt(variance[c] + 1e-5)
            y[n, c, :, :length] = gamma[c] * normalized + beta[c]
    return y, mean, power, values.shape[1]


def walnet(state, features):
    """Score the segments of one clip without padding, in float64: (n_events, n_segments).

    A clip that is too short for the 2x2 kernel gets a column of zeros.
    """
    state = {key: value.double() for key, value in state.items()}
    x = torch.as_tensor(features, dtype=torch.float64)[None]
    for i, (_, kernel_size, padding, pool) in enumerate(WALNET_TABLE):
        if kernel_size == 2 and x.shape[-1] == 1:
            x = torch.cat([x, torch.zeros_like(x)], dim=-1)
        conv, norm = f"cnn.convs.{i}.conv.", f"cnn.convs.{i}.norm."
        x = F.conv2d(x, state[conv + "weight"], state[conv + "bias"], padding=padding)
        n = state[norm + "num_tracked_values"].clamp(min=2)
        mean = state[norm + "running_mean"]
        variance = n / (n - 1) * (state[norm + "running_power"] - mean**2) + 1e-5
        x = (x - mean) / (variance + 1e-5).sqrt() * state[norm + "gamma"] + state[norm + "beta"]
        x = x.clamp(min=0)
        if pool:
            x = F.max_pool2d(x, kernel_size=2, stride=2, ceil_mode=True)
    x = F.conv2d(x, state["cnn.convs.12.conv.weight"], state["cnn.convs.12.conv.bias"])
    return (1 / (1 + (-x[0, :, 0]).exp())).numpy()


def padertorch_shapes(n_events, n_bins, n_mels=128):
    """Shapes of a padertorch checkpoint by key."""
    shapes = {"feature_extractor.mel_transform.fbanks": (n_bins, n_mels)}
    for name in ("num_tracked_values", "running_mean", "running_power"):
        shapes[f"feature_extractor.norm.{name}"] = (1, 1, n_mels, 1)
    n_in = 1
    for i, (n_out, kernel_size, *_) in enumerate([*WALNET_TABLE, (n_events, 1)]):
        shapes[f"cnn.convs.{i}.conv.weight"] = (n_out, n_in, kernel_size, kernel_size)
        shapes[f"cnn.convs.{i}.conv.bias"] = (n_out,)
        if i < len(WALNET_TABLE):
            for name in ("gamma", "beta", "num_tracked_values", "running_mean", "running_power"):
                shapes[f"cnn.convs.{i}.norm.{name}"] = (1, n_out, 1, 1)
        n_in = n_out
    return shapes


def padertorch_state(n_events=5, sample_rate=16000, n_fft=512):
    """Deterministic weights of a padertorch model, which parity.npz was made with."""
    rng = np.random.default_rng(7)
    shapes = padertorch_shapes(n_events, n_fft // 2 + 1)
    state = {}
    for key in sorted(shapes):
        x = rng.standard_normal(shapes[key])
        if key.endswith("fbanks"):
            x = mel_filterbank(sample_rate, n_fft)
        elif key.endswith("num_tracked_values"):
            x = np.full(x.shape, 1e5)
        elif key.endswith("running_power"):  # the mean's key sorts before it
            minimum = 4 if key.startswith("feature_extractor") else 1
            mean = state[key.replace("power", "mean")].numpy()
            x = mean**2 + minimum + 0.1 * np.abs(x)
        elif key == "feature_extractor.norm.running_mean":
            x = -4 + 0.5 * x
        elif key.endswith("conv.weight"):
            x = x * math.sqrt(2 / math.prod(x.shape[1:]))
        elif key.endswith("gamma"):
            x = 1 + 0.1 * x
        else:
            x = 0.1 * x
        state[key] = torch.from_numpy(x)
    return {key: value.float() for key, value in state.items()}
