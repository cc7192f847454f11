from collections import Counter

import _reference as reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, truncexpon, truncnorm, uniform
from sklearn.base import clone

from sktagger.audio._waveforms import roll
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.draws import (
    draw_features,
    draw_mixup_onset,
    draw_waveform,
    truncated_normal,
)
from sktagger.audio.onsets import stretched_onsets
from sktagger.audio.spectral import STFT, STFTSizes, frame_onsets

N_DRAWS = 3000
AT_44K = STFT().sizes(44100)


def agrees(sample, distribution):
    """Say whether a Kolmogorov-Smirnov test accepts a sample. Seeds make this deterministic."""
    return kstest(sample, distribution.cdf).pvalue > 0.01


def waveform_draws(augmentation, n_samples=3000, n_draws=N_DRAWS):
    rng = np.random.default_rng(1)
    sizes = STFTSizes(64, 20, 40)
    return [draw_waveform(augmentation, rng, n_samples, sizes, 1000) for _ in range(n_draws)]


def feature_draws(augmentation, n_frames=200, n_mels=128):
    rng = np.random.default_rng(2)
    return [draw_features(augmentation, rng, n_frames, n_mels) for _ in range(N_DRAWS)]


@pytest.fixture(scope="module")
def waveforms():
    return waveform_draws(Augmentation())


@pytest.fixture(scope="module")
def features():
    return feature_draws(Augmentation())


def test_settings_clone_and_validate():
    settings = Augmentation(mixup_prob=0.25)
    settings.validate()
    assert clone(settings).get_params() == settings.get_params()


def test_default_differs_from_the_published_settings_in_three_values():
    published, default = Augmentation.reference().get_params(), Augmentation().get_params()
    differences = {key: published[key] for key in published if published[key] != default[key]}
    assert differences == {"gain_mean": 1.0, "mixup_delay": 80, "final_weak_fraction": 0.0}


def test_published_settings_of_the_fbcrnn():
    expected = {
        "roll_prob": 0,
        "gain_mean": 0,
        "gain_std": 1,
        "gain_limit": np.log(3),
        "stretch": 0,
        "time_warp": 0.1,
        "mixup_prob": 2 / 3,
        "mixup_domain": "waveform",
        "mixup_delay": 0,
        "warp_std": 0.08,
        "noise": 0.2,
        "time_mask": 0.2,
        "time_mask_frames": 70,
        "mel_mask": 20,
        "final_weak_fraction": 0,
    }
    settings = Augmentation.fbcrnn_reference()
    settings.validate()
    params = settings.get_params()
    assert {name: params[name] for name in expected} == pytest.approx(expected)
    assert params.keys() - expected.keys() == {"mixup_overlap", "mixup_max_length"}  # no effect


def test_weak_settings_are_never_stronger():
    strong, weak = Augmentation(mel_mask=7), Augmentation(stretch=0.1, gain_std=0, mixup_prob=0)
    light = {"mixup_prob": 0.0, "stretch": 0.2, "gain_std": 0.3}
    assert strong.weak().get_params() == strong.get_params() | light
    assert weak.weak().get_params() == weak.get_params()
    assert strong.mixup_prob == 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roll_prob", 1.5),
        ("roll_prob", -0.1),
        ("roll_prob", "often"),
        ("roll_prob", None),
        ("roll_prob", True),
        ("gain_mean", np.nan),
        ("gain_std", -1),
        ("gain_limit", -1),
        ("stretch", -0.1),
        ("stretch", 1.1),
        ("mixup_prob", 2),
        ("mixup_overlap", 1.1),
        ("mixup_overlap", 0),
        ("stretch", 1),
        ("time_warp", -0.1),
        ("time_warp", 0.31),
        ("time_warp", None),
        ("noise", -0.1),
        ("noise", 10.1),
        ("noise", np.nan),
        ("mixup_domain", "time"),
        ("mixup_domain", None),
        ("mixup_domain", 1),
        ("gain_std", np.inf),
        ("gain_mean", 1000),
        ("mixup_max_length", 0),
        ("mixup_max_length", np.inf),
        ("mixup_delay", 1.5),
        ("mel_mask", 2.5),
        ("mixup_max_length", -1),
        ("mixup_delay", -1),
        ("warp_std", -0.1),
        ("time_mask", 1.1),
        ("time_mask_frames", -1),
        ("mel_mask", 10_001),
        ("final_weak_fraction", 1.1),
        ("final_weak_fraction", -0.1),
    ],
)
def test_setting_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"Augmentation: {name}={value!r}, but it must be"):
        Augmentation(**{name: value}).validate()


def test_stretch_and_time_warp_exclude_each_other():
    with pytest.raises(ValueError, match=r"stretch=0\.5 and time_warp=0\.1 exclude each other"):
        Augmentation(time_warp=0.1).validate()
    Augmentation(time_warp=0.1, stretch=0).validate()


def test_distribution_of_the_truncated_normal(rng):
    sample = [truncated_normal(rng, 2.0, 1.5, 1.0) for _ in range(N_DRAWS)]
    assert agrees(sample, truncnorm(-1 / 1.5, 1 / 1.5, loc=2.0, scale=1.5))


@pytest.mark.parametrize(("std", "limit"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_truncated_normal_without_deviation_is_its_mean(rng, std, limit):
    assert truncated_normal(rng, 2.0, std, limit) == 2.0


@pytest.mark.parametrize(
    ("augmentation", "mean"), [(Augmentation(), 0.0), (Augmentation.reference(), 1.0)]
)
def test_log_gain_is_a_truncated_normal(augmentation, mean):
    log_gain = np.log([draw.gain for draw in waveform_draws(augmentation)])
    assert agrees(log_gain, truncnorm(-3, 3, loc=mean))
    assert np.median(np.exp(log_gain)) == pytest.approx(np.exp(mean), rel=0.05)
    assert np.all(np.abs(log_gain - mean) <= 3)


def test_roll_is_uniform_over_the_clip(waveforms):
    n_roll = np.array([draw.n_roll for draw in waveforms])
    assert n_roll.dtype.kind == "i"
    assert n_roll.min() >= 0
    assert n_roll.max() < 3000
    assert agrees(n_roll + 0.5, uniform(0, 3000))


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_roll_happens_with_its_probability(probability):
    draws = waveform_draws(Augmentation(roll_prob=probability))
    rolled = np.mean([draw.n_roll > 0 for draw in draws])
    assert rolled == pytest.approx(probability, abs=0.03)


def test_hop_comes_from_a_uniform_factor(rng):
    draws = [draw_waveform(Augmentation(), rng, 44100, AT_44K, 44100) for _ in range(N_DRAWS)]
    hops = np.array([np.diff(draw.onsets)[0] for draw in draws])
    assert hops.min() == int(882 / 1.5)
    assert 1750 < hops.max() <= int(882 / 0.5)
    # int(882 / f) <= h if f > 882 / (h + 1)
    for hop in (600, 700, 882, 1200, 1600):
        assert np.mean(hops <= hop) == pytest.approx(1.5 - 882 / (hop + 1), abs=0.03)


def test_each_second_has_its_own_stretch(waveforms):
    first = [draw.onsets[1] - draw.onsets[0] for draw in waveforms]
    last = [draw.onsets[-1] - draw.onsets[-2] for draw in waveforms if draw.n_frames > 1]
    assert abs(np.corrcoef(first, last)[0, 1]) < 0.05


def test_stretched_onsets_have_the_structure_of_their_factors(rng):
    """Some factors of the range give the onsets that were drawn."""
    draw = draw_waveform(Augmentation(), rng, 3000, STFTSizes(64, 20, 40), 1000)
    factors = []
    onset = 0
    while onset <= 2960:
        index = draw.onsets.tolist().index(onset)
        hop = draw.onsets[index + 1] - onset if index + 1 < draw.n_frames else 20
        factors.append(20 / (hop + 0.5))
        onset += 1000 // hop * hop
    expected = reference.stretched_onsets(3000, 20, 40, 1000, factors)
    assert draw.onsets.tolist() == expected


def test_without_stretch_onsets_are_equidistant(rng, sizes):
    draw = draw_waveform(Augmentation(stretch=0), rng, 3000, sizes, 1000)
    assert draw.onsets.tolist() == frame_onsets(3000, sizes).tolist()
    assert draw.n_frames == 149


def test_stretch_is_a_setting(rng, sizes):
    draws = [draw_waveform(Augmentation(stretch=0.1), rng, 500, sizes, 1000) for _ in range(300)]
    hops = {int(draw.onsets[1]) for draw in draws}
    assert hops == {int(20 / f) for f in (1.1, 1.03, 0.98, 0.94, 0.9)}


@pytest.mark.parametrize("n_samples", [1, 2, 39, 40, 41])
def test_distortions_of_a_very_short_clip(rng, sizes, n_samples):
    for _ in range(20):
        draw = draw_waveform(Augmentation(), rng, n_samples, sizes, 1000)
        assert 0 <= draw.n_roll < n_samples
        assert draw.n_frames >= 1


def test_warp_factor_is_a_truncated_log_normal(features):
    log_factor = np.log([draw.warp[0] for draw in features])
    limit = np.log(1.3)
    assert agrees(log_factor, truncnorm(-limit / 0.07, limit / 0.07, scale=0.07))


def test_warp_factor_stays_within_its_limits():
    factors = [draw.warp[0] for draw in feature_draws(Augmentation(warp_std=0.5))]
    assert 1 / 1.3 - 1e-9 <= min(factors) < 0.8
    assert 1.25 < max(factors) <= 1.3 + 1e-9


def test_warp_without_deviation_has_factor_1():
    assert {draw.warp[0] for draw in feature_draws(Augmentation(warp_std=0))} == {1.0}


def test_warp_position_is_exponential(features):
    positions = np.array([draw.warp[1] for draw in features])
    assert agrees(positions, truncexpon(10, scale=0.5))
    assert positions.max() <= 5


@pytest.mark.parametrize(
    ("n_frames", "widest"), [(1, 0), (4, 0), (5, 1), (35, 7), (200, 40), (350, 70), (1000, 70)]
)
def test_maximum_width_of_the_time_mask(n_frames, widest):
    widths = Counter(draw.time_mask[1] for draw in feature_draws(Augmentation(), n_frames))
    assert set(widths) == set(range(widest + 1))
    expected = N_DRAWS / (widest + 1)
    for count in widths.values():
        assert abs(count - expected) < 5 * np.sqrt(expected)


def test_mel_mask_width_is_uniform_up_to_20_bands(features):
    widths = Counter(draw.mel_mask[1] for draw in features)
    assert set(widths) == set(range(21))
    for count in widths.values():
        assert abs(count - N_DRAWS / 21) < 5 * np.sqrt(N_DRAWS / 21)


@pytest.mark.parametrize(("name", "length"), [("time_mask", 200), ("mel_mask", 128)])
def test_mask_onset_is_uniform_over_possible_positions(features, name, length):
    onset, width = np.array([getattr(draw, name) for draw in features]).T
    assert onset.min() == 0
    assert (onset + width).max() == length
    # noise makes a continuous uniform distribution of the discrete one
    spread = np.random.default_rng(3).random(N_DRAWS)
    assert agrees((onset + spread) / (length - width + 1), uniform(0, 1))


def test_masks_can_be_switched_off():
    settings = Augmentation(time_mask_frames=0, mel_mask=0)
    assert {(draw.time_mask[1], draw.mel_mask[1]) for draw in feature_draws(settings)} == {(0, 0)}


@settings(max_examples=60, deadline=None)
@given(
    n_first=st.integers(1, 40),
    n_second=st.integers(1, 40),
    max_frames=st.integers(1, 60),
    overlap=st.sampled_from([0.35, 0.5, 0.8, 0.9, 1.0]),
)
def test_mixup_onsets_are_those_of_brute_force(n_first, n_second, max_frames, overlap):
    rng = np.random.default_rng(0)
    augmentation = Augmentation(mixup_overlap=overlap)
    drawn = {
        draw_mixup_onset(augmentation, rng, n_first, n_second, max_frames) for _ in range(1000)
    }
    allowed = reference.mixup_onsets(n_first, n_second, max_frames, overlap)
    assert drawn == (set(allowed) or {None})


@pytest.mark.parametrize(
    ("n_first", "n_second", "low", "high"),
    [(499, 499, -99, 99), (249, 499, None, None), (499, 249, -49, 299), (700, 100, -20, 620)],
)
def test_mixup_onset_follows_the_published_limits(n_first, n_second, low, high):
    allowed = reference.mixup_onsets(n_first, n_second, 749)
    assert (min(allowed, default=None), max(allowed, default=None)) == (low, high)
    rng = np.random.default_rng(0)
    drawn = [draw_mixup_onset(Augmentation(), rng, n_first, n_second, 749) for _ in range(2000)]
    if low is None:
        assert set(drawn) == {None}
    else:
        assert agrees(np.array(drawn) + rng.random(2000), uniform(low, high - low + 1))


@pytest.mark.parametrize(("n_first", "n_second"), [(750, 100), (100, 750), (750, 750)])
def test_no_mixup_with_a_clip_longer_than_the_mixture(rng, n_first, n_second):
    assert draw_mixup_onset(Augmentation(), rng, n_first, n_second, 749) is None


@pytest.mark.parametrize("n_roll", [1, 17, 300, 999])
def test_roll_is_the_formula(rng, n_roll):
    waveform = rng.normal(size=(2, 1000)).astype(np.float32)
    rolled = roll(waveform, n_roll, 8000)
    assert rolled.dtype == np.float32
    np.testing.assert_allclose(rolled, reference.roll(waveform, n_roll, 8000), atol=1e-6)


def test_roll_shifts_to_the_right(rng):
    waveform = rng.normal(size=(1, 1000))
    rolled = roll(waveform, 200, 8000)
    np.testing.assert_array_equal(rolled[:, 280:], waveform[:, 80:800])
    np.testing.assert_array_equal(rolled[:, :120], waveform[:, 800:920])


def test_roll_fades_to_zero_at_the_junction():
    rolled = roll(np.ones((1, 1000)), 200, 8000)[0]
    assert rolled[200] == 0
    assert rolled[199] < 1e-3
    assert np.all(rolled[280:] == 1)


def test_roll_by_zero_does_not_fade(rng):
    waveform = rng.normal(size=(1, 100))
    np.testing.assert_array_equal(roll(waveform, 0, 8000), waveform)


@pytest.mark.parametrize("n_samples", [1, 5, 79, 80, 81])
def test_roll_of_a_clip_shorter_than_its_fades(n_samples):
    rolled = roll(np.ones((2, n_samples)), n_samples // 2, 8000)
    assert rolled.shape == (2, n_samples)
    assert np.all(np.abs(rolled) <= 1)


def test_roll_at_a_rate_too_low_for_a_fade():
    waveform = np.arange(6.0)[None]
    np.testing.assert_array_equal(roll(waveform, 2, 50), [[4, 5, 0, 1, 2, 3]])


def test_roll_does_not_change_its_input(rng):
    waveform = rng.normal(size=(2, 500))
    before = waveform.copy()
    roll(waveform, 3, 8000)
    np.testing.assert_array_equal(waveform, before)


def test_draws_depend_on_the_generator_only():
    first, second = (waveform_draws(Augmentation(), n_draws=20) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert (a.n_roll, a.gain) == (b.n_roll, b.gain)
        np.testing.assert_array_equal(a.onsets, b.onsets)


def test_number_of_frames_is_that_of_the_onsets(waveforms, sizes):
    assert waveforms[0].n_frames == len(waveforms[0].onsets)
    fast = len(stretched_onsets(3000, sizes, 1000, lambda: 1.5))
    slow = len(stretched_onsets(3000, sizes, 1000, lambda: 0.5))
    counts = [draw.n_frames for draw in waveforms]
    assert slow <= min(counts) < max(counts) <= fast
