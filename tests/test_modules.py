import math
from functools import partial

import _reference as reference
import librosa
import numpy as np
import pytest
import torch
from _networks import make_walnet
from torch.nn import functional as F

from sktagger.networks import (
    Frames,
    LogMel,
    MaskedBatchNorm,
    MaskedBatchNorm2d,
    NormPoolReLU,
    RunningNorm,
    WALNet,
    mel_filterbank,
    warp_mel,
)

assert_close = partial(np.testing.assert_allclose, rtol=0)


@pytest.fixture(scope="module", autouse=True)
def no_gradient_by_default():
    with torch.no_grad():
        yield


def padded(rng, n_frames, n_channels, n_mels):
    """Make random clips (n_clips, n_channels, n_mels, n_frames) with random padding."""
    return rng.normal(2.0, 3.0, (len(n_frames), n_channels, n_mels, max(n_frames)))


def frames_of(n_frames):
    return Frames.of(torch.tensor(n_frames), max(n_frames))


# the published system


def test_filters_of_the_published_system(parity):
    assert_close(mel_filterbank(16000, 512), parity["fbanks"], atol=1e-6)


def test_features_of_the_published_system(walnet, parity):
    stft, n_frames = torch.from_numpy(parity["stft"]), torch.from_numpy(parity["seq_len"])
    assert_close(walnet.features(stft, n_frames), parity["features"], atol=1e-4)


def test_segment_scores_of_the_published_system(walnet, parity):
    stft, n_frames = torch.from_numpy(parity["stft"]), torch.from_numpy(parity["seq_len"])
    scores, n_segments = walnet.segment_scores(stft, n_frames)
    assert n_segments.tolist() == parity["n_segments"].tolist()
    assert scores.shape == parity["segment_scores"].shape
    for clip, expected, n in zip(scores, parity["segment_scores"], n_segments, strict=True):
        assert_close(clip[:, :n], expected[:, :n], atol=1e-5)


def test_clip_scores_of_the_published_system(walnet, parity):
    stft, n_frames = torch.from_numpy(parity["stft"]), torch.from_numpy(parity["seq_len"])
    assert_close(walnet(stft, n_frames), parity["clip_scores"], atol=1e-5)


# frames


def test_fill_sets_padding():
    frames = Frames.of(torch.tensor([2, 4, 9]), 4)
    assert (frames.shortest, frames.length, frames.padded) == (2, 4, True)
    x = frames.fill_(torch.ones(3, 1, 2, 4), 5.0)
    assert x[:, 0, 1].int().tolist() == [[1, 1, 5, 5], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert not Frames.of(torch.tensor([4, 4]), 4).padded


def test_frames_of_the_next_layer():
    frames = Frames.of(torch.tensor([1, 4, 7]), 7)
    halved, shortened = frames.halved(), frames.unpadded_conv()
    assert (halved.n_frames.tolist(), halved.shortest, halved.length) == ([1, 2, 4], 1, 4)
    assert (shortened.n_frames.tolist(), shortened.shortest, shortened.length) == ([1, 3, 6], 1, 6)


def test_frames_are_split_and_joined():
    frames = Frames.of(torch.tensor([7, 6, 5]), 7)
    parts = frames.split(2)
    assert [part.shortest for part in parts] == [6, 5]
    joined = Frames.joined(parts)
    assert joined.n_frames.tolist() == [7, 6, 5]
    assert joined[1:] == frames[1:]


# mel filters


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mels", "fmin"),
    [(44100, 2048, 128, 50), (16000, 512, 128, 50), (8000, 256, 40, 0), (16000, 512, 20, 300)],
)
def test_filters_equal_the_reference(sample_rate, n_fft, n_mels, fmin):
    fbanks = mel_filterbank(sample_rate, n_fft, n_mels, fmin)
    expected = reference.mel_filterbank(sample_rate, n_fft, n_mels, fmin)
    assert fbanks.shape == (n_fft // 2 + 1, n_mels)
    assert fbanks.dtype == torch.float32
    assert_close(fbanks, expected, atol=1e-6)


def test_wide_filters_are_those_of_librosa():
    """If filters are wider than a bin on both sides, those of librosa differ in scale only."""
    expected = librosa.filters.mel(sr=16000, n_fft=4096, n_mels=40, fmin=50, htk=True, norm=None).T
    assert_close(mel_filterbank(16000, 4096, 40), expected / expected.sum(0), atol=1e-5)


@pytest.mark.parametrize(("sample_rate", "n_fft"), [(44100, 2048), (16000, 512), (8000, 128)])
def test_no_filter_is_empty(sample_rate, n_fft):
    """Narrow filters are at least one bin wide on both sides, so each holds a bin."""
    fbanks = mel_filterbank(sample_rate, n_fft)
    assert_close(fbanks.sum(0), np.ones(128), atol=1e-4)


def test_narrow_filter_is_one_bin_wide_on_both_sides():
    fbanks = mel_filterbank(8000, 64, 128)  # 128 filters for 33 bins
    assert ((fbanks > 0).sum(0) >= 1).all()
    assert ((fbanks[:, :100] > 0).sum(0) <= 2).all()
    assert_close(fbanks, reference.mel_filterbank(8000, 64), atol=1e-6)


WARPS = [
    (1.0, 0.0),
    (1.0, 0.5),
    (1.0, 3.0),
    (1.2, 0.0),
    (1.2, 0.4),
    (1.3, 0.99),
    (1.2, 1.0),
    (1.2, 1.01),  # w * b > H: a single line
    (1.2, 5.0),
    (0.8, 0.0),
    (0.8, 0.4),
    (0.8, 0.99),
    (0.8, 1.0),
    (0.8, 1.01),  # b > H: a single line
    (1 / 1.3, 5.0),
]


@pytest.mark.parametrize(("factor", "position"), WARPS)
def test_warp_is_the_formula(factor, position):
    points = torch.linspace(0, 2840.0, 101, dtype=torch.float64)
    warp = torch.tensor([[factor, position]], dtype=torch.float64)
    expected = [reference.warp(float(m), factor, position, 2840.0) for m in points]
    assert_close(warp_mel(points, warp, 2840.0)[0], expected, atol=1e-6)


@pytest.mark.parametrize(("factor", "position"), [w for w in WARPS if w[1] < 1])
def test_warp_keeps_the_ends_and_the_order(factor, position):
    points = torch.linspace(0, 2840.0, 101, dtype=torch.float64)
    warp = torch.tensor([[factor, position]], dtype=torch.float64)
    warped = warp_mel(points, warp, 2840.0)[0]
    assert warped[-1] == pytest.approx(2840)
    assert (warped.diff() > 0).all()


def test_warp_below_the_knee_is_the_factor():
    points = torch.tensor([100.0, 300.0, 1000.0])
    warped = warp_mel(points, torch.tensor([[1.25, 0.5], [0.8, 0.5]]), 1000.0)
    # b = 400 and 500: 100 and 300 lie below both
    np.testing.assert_allclose(warped, [[125.0, 375.0, 1000.0], [80.0, 240.0, 1000.0]], rtol=1e-6)


def test_warped_filters_equal_the_reference():
    fbanks = mel_filterbank(16000, 512, warp=torch.tensor(WARPS))
    assert fbanks.shape == (len(WARPS), 257, 128)
    for fbank, (factor, position) in zip(fbanks, WARPS, strict=True):
        expected = reference.mel_filterbank(16000, 512, factor=factor, position=position)
        # the warp is float32
        assert_close(fbank, expected, atol=1e-4)


# input norm


def test_input_norm_equals_the_reference(rng):
    norm, twin = RunningNorm(4), reference.InputNorm(4)
    for n_frames in ([7, 3], [5, 5], [1, 9, 4]):
        x = padded(rng, n_frames, 1, 4)
        y = norm.train()(torch.from_numpy(x).float(), frames_of(n_frames))
        twin.update(x, n_frames)
        assert_close(y, twin(x, n_frames), atol=1e-5)
        assert norm.num_tracked_values.flatten().tolist() == 4 * [twin.n_values]
        assert_close(norm.running_mean.flatten(), twin.mean, atol=1e-5)
        np.testing.assert_allclose(norm.running_power.flatten(), twin.power, rtol=1e-5)
    assert twin.n_values == 34


def test_input_norm_uses_the_statistics_of_the_batch():
    norm = RunningNorm(1)
    y = norm(torch.tensor([[[[10.0, 12.0]]]]), frames_of([2]))
    assert_close(y, [[[[-math.sqrt(0.5), math.sqrt(0.5)]]]], atol=1e-4)


def test_input_norm_does_not_change_in_evaluation(rng):
    norm = RunningNorm(4).eval()
    x = torch.from_numpy(padded(rng, [5], 1, 4)).float()
    y = norm(x.clone(), frames_of([5]))
    assert norm.num_tracked_values.flatten().tolist() == 4 * [0]
    # mean 0, mean square 1, and N / (N - 1) with N = 2
    assert_close(y, x / math.sqrt(2 + 2e-5), atol=1e-5)


def test_input_norm_starts_with_zero_mean_and_unit_power():
    state = RunningNorm(3).state_dict()
    assert {key: value.flatten().tolist() for key, value in state.items()} == {
        "num_tracked_values": [0, 0, 0],
        "running_mean": [0, 0, 0],
        "running_power": [1, 1, 1],
    }


# masked batch norm


def make_batch_norm(rng, n_channels=3):
    norm = NormPoolReLU(n_channels)
    gamma = rng.uniform(0.5, 1.5, norm.gamma.shape)
    gamma[:, 1] *= -1  # turns the largest values into the smallest
    norm.gamma.copy_(torch.from_numpy(gamma))
    norm.beta.copy_(torch.from_numpy(rng.normal(size=norm.beta.shape)))
    return norm.double()


def apply_norm(norm, x, n_frames, *, pool=False, chunk=None):
    """Normalize a batch, in one or more chunks."""
    sign = torch.where(norm.gamma.flatten() < 0, -1.0, 1.0).double() if pool else None
    x = x * 1 if sign is None else x * sign.view(1, -1, 1, 1)
    chunk = len(x) if chunk is None else chunk
    frames = Frames.of(torch.tensor(n_frames), x.shape[-1])
    return torch.cat(norm([part * 1 for part in x.split(chunk)], frames.split(chunk), sign))


def naive_norm(x, n_frames, gamma, beta, *, pool=False):
    """Differentiable reference: statistics over the valid frames by plain operations of torch."""
    valid = torch.cat(
        [clip[..., :n].flatten(1) for clip, n in zip(x, n_frames, strict=True)], dim=1
    )
    mean = valid.mean(1)[:, None, None]
    variance = valid.var(1, correction=0)[:, None, None]
    y = (x - mean) / (variance + 1e-5).sqrt() * gamma + beta
    mask = torch.zeros(len(x), 1, 1, x.shape[-1])
    for clip, n in zip(mask, n_frames, strict=True):
        clip[..., :n] = 1
    y = F.relu(y * mask)
    return F.max_pool2d(y, 2, ceil_mode=True) if pool else y


# frames of the clips, clips per chunk
BATCHES = [
    ([6, 6, 6], 3),
    ([6, 6, 6], 2),
    ([6, 3, 1], 3),
    ([6, 3, 1], 1),
    ([7, 7, 5, 4], 2),
    ([1, 5], 2),
    ([4], 1),
    ([1], 1),
]


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("n_frames", "chunk"), BATCHES)
def test_batch_norm_in_training_equals_the_reference(rng, n_frames, chunk, pool):
    norm = make_batch_norm(rng)
    x = padded(rng, n_frames, 3, 2)
    y = apply_norm(norm, torch.from_numpy(x), n_frames, chunk=chunk, pool=pool)
    gamma, beta = norm.gamma.flatten().tolist(), norm.beta.flatten().tolist()
    expected, mean, power, n_values = reference.batch_norm(x, n_frames, gamma, beta)
    expected = expected.clip(min=0)
    if pool:
        expected = F.max_pool2d(torch.from_numpy(expected), 2, ceil_mode=True)
    assert_close(y, expected, atol=1e-6)
    assert norm.num_tracked_values.flatten().tolist() == 3 * [n_values]
    assert_close(norm.running_mean.flatten(), 0.05 * mean, atol=1e-6)
    assert_close(norm.running_power.flatten(), 0.95 + 0.05 * power, atol=1e-6)


def test_batch_has_a_weight_of_0_05_in_the_running_statistics(rng):
    norm = make_batch_norm(rng)
    mean, power, n_values = np.zeros(3), np.ones(3), 0
    for n_frames in ([6, 6], [6, 3], [4, 5]):
        x = padded(rng, n_frames, 3, 2)
        apply_norm(norm, torch.from_numpy(x), n_frames)
        _, batch_mean, batch_power, n = reference.batch_norm(x, n_frames, np.ones(3), np.zeros(3))
        mean, power = 0.95 * mean + 0.05 * batch_mean, 0.95 * power + 0.05 * batch_power
        n_values += n
    assert_close(norm.running_mean.flatten(), mean, atol=1e-6)
    assert_close(norm.running_power.flatten(), power, atol=1e-6)
    assert norm.num_tracked_values.flatten().tolist() == 3 * [n_values] == 3 * [60]


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("n_frames", "chunk"), BATCHES)
def test_gradient_of_batch_norm_equals_the_reference(rng, n_frames, chunk, pool):
    norm = make_batch_norm(rng)
    x = torch.from_numpy(padded(rng, n_frames, 3, 2))
    gradients = []
    for twin in (False, True):
        leaf = x.clone().requires_grad_()
        with torch.enable_grad():
            if twin:
                y = naive_norm(leaf, n_frames, norm.gamma, norm.beta, pool=pool)
            else:
                y = apply_norm(norm, leaf, n_frames, chunk=chunk, pool=pool)
            weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view(y.shape)
            inputs = (leaf, norm.gamma, norm.beta)
            gradients.append(torch.autograd.grad((y * weights).sum(), inputs))
    for gradient, expected in zip(*gradients, strict=True):
        assert_close(gradient, expected, atol=1e-6)


def test_gradient_of_batch_norm_equals_numerical_differences(rng):
    norm = make_batch_norm(rng)
    x = torch.from_numpy(padded(rng, [4, 2], 3, 2)).requires_grad_()
    with torch.enable_grad():
        assert torch.autograd.gradcheck(
            lambda x: apply_norm(norm, x, [4, 2], chunk=1), (x,), atol=1e-5
        )


def test_batch_norm_ignores_padding(rng):
    x = torch.from_numpy(padded(rng, [6, 2], 3, 2))
    other = x.clone()
    other[1, :, :, 2:] = 1e4
    results = []
    for clips in (x, other):
        norm = make_batch_norm(np.random.default_rng(1))
        results.append([apply_norm(norm, clips, [6, 2], pool=True), norm.running_power])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("n_frames", [n_frames for n_frames, _ in BATCHES])
def test_plain_norm_equals_the_fused_one_without_pooling_and_relu(rng, n_frames):
    fused, plain = make_batch_norm(rng), MaskedBatchNorm(3).double()
    plain.load_state_dict(fused.state_dict())
    x = torch.from_numpy(padded(rng, n_frames, 3, 2))
    frames = Frames.of(torch.tensor(n_frames), x.shape[-1])
    gradients = []
    for norm in (fused, plain):
        leaf = x.clone().requires_grad_()
        with torch.enable_grad():
            y = apply_norm(fused, leaf, n_frames) if norm is fused else plain(leaf, frames).relu()
            weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view(y.shape)
            inputs = (leaf, norm.gamma, norm.beta)
            gradients.append([y, *torch.autograd.grad((y * weights).sum(), inputs)])
    for found, expected in zip(*gradients, strict=True):
        assert_close(found, expected, atol=1e-6)
    for name, expected in fused.state_dict().items():
        assert_close(plain.state_dict()[name], expected, atol=1e-6)


def test_plain_norm_in_evaluation_uses_the_running_statistics(rng):
    norm = MaskedBatchNorm(2).double().eval()
    norm.running_mean += 3
    norm.running_power.fill_(9 + 4)
    norm.num_tracked_values += 10**9
    x = torch.from_numpy(padded(rng, [4, 2], 2, 3))
    y = norm(x, Frames.of(torch.tensor([4, 2]), 4))
    assert_close(y[0], (x[0] - 3) / 2, atol=1e-4)
    assert not y[1, :, :, 2:].any()


def test_batch_norm_of_one_value_per_channel(rng):
    norm = make_batch_norm(rng)
    y = apply_norm(norm, torch.full((1, 3, 1, 1), 2.0).double(), [1])
    assert_close(y, norm.beta.clamp(min=0), atol=1e-6)
    assert norm.num_tracked_values.flatten().tolist() == [1, 1, 1]
    assert_close(norm.running_mean.flatten(), 3 * [0.1], atol=1e-6)
    assert_close(norm.running_power.flatten(), 3 * [0.95 + 0.05 * 4], atol=1e-6)


@pytest.mark.parametrize(("n_values", "n_used"), [(0, 2), (1, 2), (2, 2), (11, 11), (1e5, 1e5)])
def test_batch_norm_in_evaluation_is_the_formula(rng, n_values, n_used):
    norm = make_batch_norm(rng).eval()
    mean, excess = rng.normal(size=3), rng.uniform(0.01, 2, 3)
    norm.num_tracked_values.fill_(n_values)
    norm.running_mean.copy_(torch.from_numpy(mean).view(1, 3, 1, 1))
    norm.running_power.copy_(torch.from_numpy(mean**2 + excess).view(1, 3, 1, 1))
    x, weight, bias = (
        rng.normal(size=(2, 4, 2, 5)),
        rng.normal(size=(3, 4, 1, 1)),
        rng.normal(size=3),
    )
    x, weight, bias = map(torch.from_numpy, (x, weight, bias))
    y = F.conv2d(x, *norm.folded(weight, bias))
    deviation = np.sqrt(n_used / (n_used - 1) * excess + 1e-5 + 1e-5)[:, None, None]
    convolved = F.conv2d(x, weight, bias).numpy()
    expected = (convolved - mean[:, None, None]) / deviation * norm.gamma.numpy()
    assert_close(y, expected + norm.beta.numpy(), atol=1e-6)
    assert norm.num_tracked_values.unique().tolist() == [n_values]


def test_batch_norm_starts_as_the_identity():
    state = NormPoolReLU(2).state_dict()
    assert {key: value.flatten().tolist() for key, value in state.items()} == {
        "num_tracked_values": [0, 0],
        "running_mean": [0, 0],
        "running_power": [1, 1],
        "gamma": [1, 1],
        "beta": [0, 0],
    }


# log-mel features


@pytest.fixture
def log_mel(reference_state):
    features = LogMel(16000, 512)
    prefix = "feature_extractor."
    state = {k.removeprefix(prefix): v for k, v in reference_state.items() if k.startswith(prefix)}
    features.load_state_dict(state)
    return features.eval()


def test_features_equal_the_reference(log_mel, spectra):
    n_frames = [20, 7, 1]
    stft, lengths = spectra(n_frames)
    twin = reference.InputNorm(128)
    twin.n_values = 1e5
    twin.mean = log_mel.norm.running_mean.flatten().double().numpy()
    twin.power = log_mel.norm.running_power.flatten().double().numpy()
    logarithm = reference.log_mel(stft, reference.mel_filterbank(16000, 512))
    features = log_mel(stft, lengths)
    assert features.shape == (3, 1, 128, 20)
    assert_close(features, twin(logarithm, n_frames).clip(-6, 6), atol=1e-4)


def test_features_in_training_equal_the_reference(spectra):
    log_mel, twin = LogMel(16000, 512).train(), reference.InputNorm(128)
    for n_frames, warp in [([20, 7], (1.2, 0.5)), ([9, 9], (0.8, 0.7))]:
        stft, lengths = spectra(n_frames)
        features = log_mel(stft, lengths, warp=torch.tensor(2 * [warp]))
        fbanks = reference.mel_filterbank(16000, 512, factor=warp[0], position=warp[1])
        logarithm = reference.log_mel(stft, fbanks)
        twin.update(logarithm, n_frames)
        assert_close(features, twin(logarithm, n_frames).clip(-6, 6), atol=1e-3)


def test_logarithm_has_a_floor():
    log_mel = LogMel(16000, 512).train()
    log_mel(torch.zeros(1, 1, 3, 257, 2), torch.tensor([3]))
    assert_close(log_mel.norm.running_mean.flatten(), 128 * [math.log(1e-12)], atol=1e-4)


def test_features_are_clamped(log_mel):
    lengths = torch.tensor([3, 3])
    silent, loud = torch.zeros(1, 1, 3, 257, 2), torch.full((1, 1, 3, 257, 2), 1e6)
    features = log_mel(torch.cat([silent, loud]), lengths)
    assert features[0].unique().tolist() == [-6]
    assert features[1].unique().tolist() == [6]


def test_features_have_no_gradient(log_mel, spectra):
    stft, lengths = spectra([5])
    with torch.enable_grad():
        assert not log_mel(stft.requires_grad_(), lengths).requires_grad


def test_each_clip_has_its_own_warp(log_mel, spectra):
    stft, _ = spectra([10])
    lengths = torch.tensor([10, 10])
    warp = torch.tensor([[1.2, 0.5], [0.9, 0.5]])
    both = log_mel(stft.expand(2, -1, -1, -1, -1), lengths, warp=warp)
    for i in range(2):
        alone = log_mel(stft, lengths[:1], warp=warp[i : i + 1])
        assert_close(both[i], alone[0], atol=1e-5)
    assert (both[0] - both[1]).abs().max() > 0.1


def test_masks_set_features_to_zero(log_mel, spectra):
    stft, lengths = spectra([10, 8])
    plain = log_mel(stft, lengths)
    assert (plain[0] != 0).all()
    masked = log_mel(
        stft,
        lengths,
        time_mask=torch.tensor([[2, 3], [0, 0]]),
        mel_mask=torch.tensor([[100, 20], [0, 1]]),
    )
    expected = plain.clone()
    expected[0, :, :, 2:5] = 0
    expected[0, :, 100:120] = 0
    expected[1, :, 0] = 0
    assert torch.equal(masked, expected)


def test_masks_come_after_the_statistics(spectra):
    stft, lengths = spectra([10, 10])
    plain, masked = LogMel(16000, 512).train(), LogMel(16000, 512).train()
    plain(stft, lengths)
    masked(stft, lengths, time_mask=torch.tensor([[0, 10], [0, 10]]))
    assert torch.equal(plain.norm.running_mean, masked.norm.running_mean)
    assert torch.equal(plain.norm.running_power, masked.norm.running_power)


def test_statistics_ignore_padding(spectra):
    stft, lengths = spectra([10, 4])
    longer = torch.cat([stft, torch.zeros(2, 1, 30, 257, 2)], dim=2)
    plain, padded = LogMel(16000, 512).train(), LogMel(16000, 512).train()
    features = plain(stft, lengths)
    assert_close(padded(longer, lengths)[..., :10], features, atol=1e-5)
    assert_close(padded.norm.running_mean, plain.norm.running_mean, atol=1e-5)
    assert padded.norm.num_tracked_values.unique().tolist() == [14]


# WALNet


@pytest.mark.parametrize("n_events", [1, 10, 527])
def test_number_of_parameters(n_events):
    net = make_walnet(n_events)
    trainable = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert trainable == 4_461_872 + 1025 * n_events


def test_published_numbers_of_parameters():
    assert [4_461_872 + 1025 * k for k in (10, 527)] == [4_472_122, 5_002_047]


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_bins"), [(44100, 2048, 1025), (16000, 512, 257)]
)
def test_checkpoint_keys_and_shapes(sample_rate, n_fft, n_bins):
    state = make_walnet(7, sample_rate=sample_rate, n_fft=n_fft).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes == reference.padertorch_shapes(7, n_bins)


def test_sizes_of_the_architecture():
    network = WALNet()
    assert network.n_stages == 12
    assert network.get_input().n_mels == 128
    assert network.get_grid()[:3] == (128, 64, 94)


def test_initial_weights():
    for i, block in enumerate(make_walnet(50).cnn.convs):
        fan_out, fan_in = block.conv.weight[:, 0].numel(), block.conv.weight[0].numel()
        # Kaiming-uniform for ReLU, Xavier-uniform for the output layer
        limit = math.sqrt(6 / fan_in) if i < 12 else math.sqrt(6 / (fan_in + fan_out))
        assert block.conv.weight.abs().max() <= limit
        assert block.conv.weight.abs().max() > 0.95 * limit
        assert block.conv.weight.std() == pytest.approx(limit / math.sqrt(3), rel=0.1)
        assert not block.conv.bias.any()


def test_initial_weights_depend_on_the_seed_only():
    torch.manual_seed(0)
    first = make_walnet(3, random_state=4).state_dict()
    after = torch.rand(1)
    same, other = (make_walnet(3, random_state=seed).state_dict() for seed in (4, 5))
    key = "cnn.convs.3.conv.weight"
    assert torch.equal(first[key], same[key])
    assert not torch.equal(first[key], other[key])
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


LENGTHS = [1, 2, 3, 32, 63, 64, 65, 66, 127, 128, 129, 150, 192, 193, 200]


def test_scores_equal_the_reference(walnet, reference_state, spectra):
    stft, n_frames = spectra(LENGTHS)
    features = walnet.features(stft, n_frames)
    scores, n_segments = walnet.segment_scores(stft, n_frames)
    clip_scores = walnet(stft, n_frames)
    for i, n in enumerate(LENGTHS):
        expected = reference.walnet(reference_state, features[i, ..., :n])
        assert n_segments[i] == expected.shape[1]
        assert_close(scores[i, :, : n_segments[i]], expected, atol=1e-5)
        expected_score = expected.sum(1) / (expected.shape[1] + 1e-6)
        assert_close(clip_scores[i], expected_score, atol=1e-5)


def test_linear_softmax_weights_segments_by_their_scores(walnet, reference_state, spectra):
    net = make_walnet(5, sample_rate=16000, n_fft=512, pooling="linear_softmax").eval()
    net.load_state_dict(reference_state)
    stft, lengths = spectra([200, 65])
    segments, n_segments = walnet.segment_scores(stft, lengths)
    for clip, scores, n in zip(net(stft, lengths), segments, n_segments, strict=True):
        expected = [np.average(row[:n], weights=row[:n]) for row in scores.numpy()]
        assert_close(clip, expected, atol=1e-5)
    assert (net(stft, lengths)[0] > walnet(stft, lengths)[0]).all()


def test_number_of_segments(walnet, spectra):
    lengths = LENGTHS + [249, 257, 499]
    scores, n_segments = walnet.segment_scores(*spectra(lengths))
    assert n_segments.tolist() == [max(1, math.ceil(n / 64) - 1) for n in lengths]
    assert n_segments[-3:].tolist() == [3, 4, 7]
    assert scores.shape == (len(lengths), 5, 7)


def test_scores_beyond_the_segments_are_zero(walnet, spectra):
    scores, n_segments = walnet.segment_scores(*spectra([200, 65]))
    assert n_segments.tolist() == [3, 1]
    assert (scores[1, :, 0] > 0).all()
    assert not scores[1, :, 1:].any()


@pytest.mark.parametrize("padding", [1, 3, 64, 130])
def test_padding_a_clip_changes_nothing(walnet, spectra, padding):
    for n_frames in LENGTHS[::2]:
        stft, lengths = spectra([n_frames])
        longer = torch.cat([stft, torch.zeros(1, 1, padding, 257, 2)], dim=2)
        assert_close(walnet(longer, lengths), walnet(stft, lengths), atol=2e-6)


def test_content_of_the_padding_changes_nothing(walnet, spectra):
    stft, lengths = spectra([150, 70])
    garbage = stft.clone()
    garbage[1, :, 70:] = 5.0
    assert_close(walnet(garbage, lengths), walnet(stft, lengths), atol=2e-6)


def test_neighbors_change_nothing(walnet, spectra):
    stft, lengths = spectra(LENGTHS)
    together = walnet(stft, lengths)
    for i, n in enumerate(LENGTHS):
        alone = walnet(stft[i : i + 1, :, :n], lengths[i : i + 1])
        assert_close(together[i], alone[0], atol=2e-6)


def test_order_of_clips_changes_nothing(walnet, spectra):
    stft, lengths = spectra([100, 64, 130, 7])
    scores = walnet(stft, lengths)
    assert_close(walnet(stft.flip(0), lengths.flip(0)).flip(0), scores, atol=2e-6)


@pytest.mark.parametrize("first", [1, 41, 81, 121, 161])
def test_lengths_from_1_to_200_frames(walnet, spectra, first):
    scores = walnet(*spectra(list(range(first, first + 40, 3))))
    assert scores.shape == (14, 5)
    assert ((scores > 0) & (scores < 1)).all()


def test_silence_has_scores(walnet):
    scores = walnet(torch.zeros(2, 1, 100, 257, 2), torch.tensor([100, 30]))
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("n_frames", [[1], [3], [64], [1, 1], [65, 1], [200, 129, 64]])
def test_training_step_on_clips_of_any_length(spectra, n_frames):
    net = make_walnet(5, sample_rate=16000, n_fft=512).train()
    with torch.enable_grad():
        net(*spectra(n_frames)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    assert (net.cnn.convs[12].conv.bias.grad > 0).all()
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


@pytest.mark.parametrize("train", [False, True])
def test_chunks_change_nothing(reference_state, spectra, monkeypatch, train):
    stft, lengths = spectra([130, 128, 110, 70, 65])
    results = []
    for n_values in (1, 2**22):
        monkeypatch.setattr("sktagger.networks._chunks._CHUNK_VALUES", n_values)
        net = make_walnet(5, sample_rate=16000, n_fft=512)
        net.load_state_dict(reference_state)
        net.double().train(train)
        with torch.enable_grad():
            scores = net(stft.double(), lengths)
            scores.square().sum().backward()
        results.append([scores.detach(), net.cnn.convs[0].conv.weight.grad, *net.buffers()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_scores_in_bfloat16(walnet, reference_state, spectra):
    stft, lengths = spectra([130, 128, 110, 70])
    net = make_walnet(5, sample_rate=16000, n_fft=512, precision="bfloat16")
    net.load_state_dict(reference_state)
    scores = net.eval()(stft, lengths)
    assert scores.dtype == torch.float32
    difference = (scores - walnet(stft, lengths)).abs().max()
    # over 40 draws of weights and clips, the median is 3.0e-3 and the maximum 6.0e-3 on any CPU
    assert 0 < difference < 1e-2


def test_training_in_bfloat16_keeps_weights_and_statistics_in_float32(spectra):
    stft, lengths = spectra([260, 260, 260, 256, 256, 250])
    targets = torch.arange(30).view(6, 5) % 3 == 0
    gradients = []
    for precision in ("float32", "bfloat16"):
        net = make_walnet(5, sample_rate=16000, n_fft=512, precision=precision).train()
        with torch.enable_grad():
            F.binary_cross_entropy(net(stft, lengths), targets.float()).backward()
        assert {p.grad.dtype for p in net.parameters()} == {torch.float32}
        assert {buffer.dtype for buffer in net.buffers()} == {torch.float32}
        gradients.append([p.grad.flatten() for p in net.parameters()])
    # the gradient of an untrained network on noise is inexact
    assert F.cosine_similarity(*map(torch.cat, gradients), dim=0) > 0.7


def test_padding_changes_no_gradient(reference_state, spectra):
    """In training, padding changes neither statistics nor scores nor gradients."""
    stft, lengths = spectra([130, 70])
    longer = torch.cat([stft, torch.zeros(2, 1, 64, 257, 2)], dim=2)
    states, gradients = [], []
    for clips in (stft, longer):
        net = make_walnet(5, sample_rate=16000, n_fft=512).train()
        net.load_state_dict(reference_state)
        net.double()
        with torch.enable_grad():
            net(clips.double(), lengths).square().sum().backward()
        states.append(net.state_dict())
        gradients.append({name: p.grad for name, p in net.named_parameters()})
    for key, value in states[0].items():
        np.testing.assert_allclose(states[1][key], value, rtol=1e-6, atol=1e-6)
    for key, value in gradients[0].items():
        assert_close(gradients[1][key], value, atol=1e-6 * (1 + value.abs().max().item()))


@pytest.mark.parametrize(
    "shape", [(1, 1, 70, 256, 2), (1, 2, 70, 257, 2), (1, 70, 257, 2), (1, 1, 70, 257)]
)
def test_stft_of_a_wrong_shape(walnet, shape):
    with pytest.raises(ValueError, match=r"stft has shape .*, but WALNet takes .*257, 2\)"):
        walnet(torch.zeros(shape), torch.tensor([70]))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_frame_counts_can_have_any_integer_type(walnet, spectra, dtype):
    stft, lengths = spectra([100, 70])
    assert torch.equal(walnet(stft, lengths.to(dtype)), walnet(stft, lengths))


@pytest.mark.parametrize("n_frames", [(9, 9, 9), (9, 4, 1), (1, 1, 1)])
def test_batch_norm_of_pytorch_uses_valid_frames_only(n_frames):
    """The oracle is PyTorch's own layer on the valid frames, in a row."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 2, 9, generator=generator, requires_grad=True)
    frames = Frames.of(torch.tensor(n_frames), 9)
    norm, oracle = MaskedBatchNorm2d(4, eps=1e-3, momentum=0.2), torch.nn.BatchNorm2d(4, 1e-3, 0.2)
    for layer in (norm, oracle):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
            layer.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 0.5]))
    slope = torch.randn(x.shape, generator=generator)
    with torch.enable_grad():
        for training in (True, False):
            y = norm.train(training)(x, frames)
            parts = [clip[:, :, :n] for clip, n in zip(x, n_frames, strict=True)]
            expected = oracle.train(training)(torch.cat(parts, 2)[None])[0].split(n_frames, 2)
            for clip, wanted, n in zip(y, expected, n_frames, strict=True):
                torch.testing.assert_close(clip[:, :, :n], wanted)
                assert not clip[:, :, n:].any()
            slopes = [s[:, :, :n] for s, n in zip(slope, n_frames, strict=True)]
            (gradient,) = torch.autograd.grad((y * slope).sum(), x)
            loss = sum((e * s).sum() for e, s in zip(expected, slopes, strict=True))
            torch.testing.assert_close(
                gradient, torch.autograd.grad(loss, x)[0], atol=1e-5, rtol=1e-4
            )
            for name, tensor in oracle.state_dict().items():
                torch.testing.assert_close(norm.state_dict()[name], tensor)


def test_batch_norm_of_a_single_value():
    norm = MaskedBatchNorm2d(3).train()
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    y = norm(torch.randn(1, 3, 1, 5), Frames.of(torch.tensor([1]), 5))
    assert y[0, :, 0, 0].tolist() == [1.0, 2.0, 3.0]
    assert not y[..., 1:].any()
