"""Mixtures of waveforms, clips that are warped in time, and noise of features."""

import itertools

import numpy as np
import pytest
import torch
from _networks import OddNet
from scipy.stats import kstest, truncnorm, uniform

from sktagger import AudioTagger, Augmentation, WALNetTagger
from sktagger._utils.threads import prefetch
from sktagger.audio import draws as draws_module
from sktagger.audio._waveforms import place
from sktagger.audio.clips import ArrayClips
from sktagger.audio.draws import FeatureDraw, draw_features, draw_waveform
from sktagger.audio.edges import prepare
from sktagger.audio.onsets import warped_onsets
from sktagger.audio.reading import to_mono
from sktagger.audio.spectral import STFTSizes, frame_onsets, stft
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.device_transfer import to_device
from sktagger.batching.plans import Example, Part, TrainingPlan, plain_example
from sktagger.networks import WALNet
from sktagger.networks._features import LogMel

RATE = 1000
SIZES = STFTSizes(64, 20, 60, edges="zeros")
PUBLISHED = Augmentation.fbcrnn_reference()
MIXED = Augmentation.fbcrnn_reference().set_params(mixup_prob=1.0)
# of the first batch of a plan: frames; clip, roll and onset of each part; masks; noise
GOLDEN = [
    (65, [(7, 466, 0)], ((33, 3), (108, 1)), (0.0, 0.0)),
    (64, [(9, 435, 0)], ((20, 6), (78, 17)), (0.0, 0.0)),
    (63, [(6, 31, 9), (8, 558, 0)], ((58, 2), (0, 9)), (0.0, 0.0)),
    (62, [(11, 574, 0), (1, 46, 30)], ((28, 7), (25, 19)), (0.0, 0.0)),
]


def agrees(sample, distribution):
    """Say whether a Kolmogorov-Smirnov test accepts a sample. Seeds make this deterministic."""
    return kstest(sample, distribution.cdf).pvalue > 0.01


def plan_of(lengths, augmentation=MIXED, sizes=SIZES):
    return TrainingPlan(np.asarray(lengths), sizes, RATE, 4, augmentation, 128, 0)


def examples_of(lengths, augmentation=MIXED, n_epochs=1):
    return list(itertools.chain(*plan_of(lengths, augmentation).take(n_epochs=n_epochs)))


def dataset_of(lengths, device="cpu", sizes=SIZES, **kwargs):
    rng = np.random.default_rng(7)
    clips = ArrayClips([rng.normal(size=(2, n)).astype(np.float32) for n in lengths])
    targets = np.eye(len(lengths), dtype=np.float32)
    return ClipDataset(
        clips, np.asarray(lengths), RATE, sizes, targets, device=torch.device(device), **kwargs
    )


@pytest.fixture(scope="module")
def mixtures():
    """Mixtures of clips of 400 and 1000 samples."""
    examples = examples_of([400, 1000], n_epochs=1500)
    assert all(len(example.parts) == 2 for example in examples)
    return examples


@pytest.fixture
def lengths(rng):
    return rng.integers(300, 3000, 60)


# --- mixtures in the plan


def test_two_thirds_of_the_clips_are_mixed():
    examples = examples_of(np.full(100, 200), PUBLISHED, n_epochs=40)
    mixed = np.mean([len(example.parts) == 2 for example in examples])
    assert mixed == pytest.approx(2 / 3, abs=0.02)


def test_shorter_clip_lies_inside_the_longer_one(lengths):
    plan = plan_of(lengths)
    for example in itertools.chain(*plan.take(n_epochs=3)):
        n_samples = [lengths[part.index] for part in example.parts]
        draws = [part.draw for part in example.parts]
        assert {draw.n_total for draw in draws} == {max(n_samples)}
        assert draws[int(np.argmax(n_samples))].offset == 0
        for draw, n in zip(draws, n_samples, strict=True):
            assert 0 <= draw.offset <= max(n_samples) - n
            np.testing.assert_array_equal(draw.onsets, draws[0].onsets)
        assert [part.onset for part in example.parts] == [0, 0]
        assert example.n_frames == len(draws[0].onsets)
        assert abs(example.n_frames - SIZES.n_frames(max(n_samples))) <= 0.1 * example.n_frames


def test_onset_is_uniform_over_the_allowed_range(mixtures):
    offsets = [sum(part.draw.offset for part in e.parts) for e in mixtures]
    assert (min(offsets), max(offsets)) == (0, 600)
    spread = np.random.default_rng(3).random(len(offsets))
    assert agrees(offsets + spread, uniform(0, 601))


def test_either_clip_can_be_the_first(mixtures):
    assert np.mean([e.parts[0].index for e in mixtures]) == 0.5
    assert all({part.index for part in e.parts} == {0, 1} for e in mixtures)


def test_each_clip_has_its_own_gain(mixtures):
    gains = np.log([[part.draw.gain for part in e.parts] for e in mixtures])
    limit = np.log(3)
    for of_part in gains.T:
        assert agrees(of_part, truncnorm(-limit, limit))
    assert abs(np.corrcoef(gains.T)[0, 1]) < 0.05


def test_clips_of_equal_length_lie_on_each_other():
    for example in examples_of([500, 500]):
        assert [(part.draw.offset, part.draw.n_total) for part in example.parts] == [(0, 500)] * 2


def test_mixtures_have_no_limit_of_length():
    settings = {"mixup_max_length": 0.1, "mixup_overlap": 1.0}
    limited = examples_of([60_000, 100], Augmentation(**MIXED.get_params() | settings))
    free = examples_of([60_000, 100])
    assert [len(example.parts) for example in limited] == [2, 2]
    assert [e.parts[1].draw.offset for e in limited] == [e.parts[1].draw.offset for e in free]


def test_stretched_clips_can_be_mixed_as_waveforms():
    (example, *_) = examples_of([900, 1000], Augmentation(mixup_prob=1, mixup_domain="waveform"))
    first, second = (part.draw.onsets for part in example.parts)
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(np.diff(first))) > 1 or np.diff(first)[0] != 20


def test_plans_with_the_defaults_are_those_of_earlier_versions():
    plan = TrainingPlan(
        np.arange(300, 1500, 100), STFTSizes(64, 20, 40), RATE, 4, Augmentation(), 128, 3
    )
    found = [
        (
            e.n_frames,
            [(part.index, part.draw.n_roll, part.onset) for part in e.parts],
            (e.features.time_mask, e.features.mel_mask),
            e.features.noise,
        )
        for e in next(plan.take(n_epochs=1))
    ]
    assert found == GOLDEN


# --- mixtures of samples


def fading(n_samples, begins, ends):
    """Give the factors of samples, in a loop."""
    factors = np.ones(n_samples)
    for i in range(min(60, n_samples)):
        rising = (1 - np.cos(np.pi * i / min(60, n_samples))) / 2
        factors[i] *= rising if begins else 1
        factors[n_samples - 1 - i] *= rising if ends else 1
    return factors


@pytest.mark.parametrize("n_samples", [1, 2, 59, 60, 61, 100, 200])
@pytest.mark.parametrize("where", ["beginning", "middle", "end"])
def test_only_inner_edges_fade(rng, n_samples, where):
    offset = {"beginning": 0, "middle": 37, "end": 400 - n_samples}[where]
    waveform = rng.normal(size=n_samples).astype(np.float32)
    placed = place(waveform, offset, 400, 60)
    factors = fading(n_samples, where != "beginning", where != "end")
    assert placed.dtype == np.float32
    np.testing.assert_allclose(placed[offset:][:n_samples], waveform * factors, atol=1e-6)
    assert not placed[:offset].any()
    assert not placed[offset + n_samples :].any()


def test_waveform_that_fills_the_mixture_does_not_fade(rng):
    waveform = rng.normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(place(waveform, 0, 100, 60), waveform)


@pytest.mark.parametrize(
    "sizes", [SIZES, STFTSizes(64, 20, 40), SIZES._replace(preemphasis=0.9, edges="reflect")]
)
def test_mixture_is_the_sum_of_the_placed_waveforms(sizes):
    lengths = [400, 1000, 1000, 90]
    dataset, for_gpu = dataset_of(lengths, sizes=sizes), dataset_of(lengths, "cuda", sizes)
    for batch in plan_of(lengths, sizes=sizes).take(n_epochs=5):
        inputs, (events, _), *_ = dataset[batch]
        on_gpu = to_device(for_gpu[batch].inputs, torch.device("cpu"), sizes)
        torch.testing.assert_close(on_gpu["stft"], inputs["stft"], rtol=0, atol=2e-4)
        for example, spectrum, found in zip(batch, inputs["stft"], events, strict=True):
            mixture = np.zeros(example.parts[0].draw.n_total, np.float32)
            for part in example.parts:
                waveform = to_mono(dataset.clips.arrays[part.index]) * np.float32(part.draw.gain)
                mixture += place(waveform, part.draw.offset, len(mixture), sizes.win_length)
            expected = stft(prepare(mixture, sizes), example.parts[0].draw.onsets, sizes)
            np.testing.assert_allclose(spectrum[0, : len(expected)], expected, atol=1e-5)
            assert not spectrum[0, len(expected) :].any()
            assert np.flatnonzero(found).tolist() == sorted(part.index for part in example.parts)


def test_a_mixture_that_is_not_distorted_otherwise():
    """Without warp and gain, it is the plain STFT of a sum."""
    dataset, settings = dataset_of([300, 500]), MIXED.get_params()
    plain = Augmentation(**settings | {"time_warp": 0.0, "gain_std": 0.0})
    example, *_ = examples_of([300, 500], plain)
    waveforms = [to_mono(x) for x in dataset.clips.arrays]
    offset = max(part.draw.offset for part in example.parts)
    assert 0 < offset < 200
    waveforms[1][offset : offset + 300] += waveforms[0] * fading(300, True, True)
    expected = stft(prepare(waveforms[1], SIZES), frame_onsets(500, SIZES), SIZES)
    spectrum = dataset[[example]].inputs["stft"][0, 0, :25]
    np.testing.assert_allclose(spectrum, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_threads", [2, 5])
def test_mixtures_do_not_depend_on_the_number_of_threads(lengths, n_threads):
    dataset = dataset_of(lengths, distortions=FeatureDraw._fields)
    runs = [
        list(prefetch(dataset.__getitem__, plan_of(lengths).take(n_epochs=1), n))
        for n in (1, n_threads)
    ]
    for (inputs, *_), (other, *_) in zip(*runs, strict=True):
        assert inputs.keys() == {"stft", "n_frames", *FeatureDraw._fields}
        assert all(torch.equal(inputs[name], other[name]) for name in inputs)


# --- time warp


def test_position_and_strength_of_the_time_warp(monkeypatch, rng):
    seen = []

    def noting(n_samples, sizes, position, strength):
        seen.append((position, strength))
        return warped_onsets(n_samples, sizes, position, strength)

    monkeypatch.setattr(draws_module, "warped_onsets", noting)
    n_frames = [draw_waveform(PUBLISHED, rng, 10_000, SIZES, RATE).n_frames for _ in range(3000)]
    position, strength = np.array(seen).T
    assert agrees(position, uniform(0.4, 0.2))
    assert agrees(strength, uniform(-0.1, 0.2))
    assert abs(np.corrcoef(position, strength)[0, 1]) < 0.05
    assert np.ptp(n_frames) <= 40
    assert np.mean(n_frames) == pytest.approx(500, abs=2)


def test_no_warp_in_time_by_default(rng):
    draw = draw_waveform(Augmentation(stretch=0), rng, 1000, SIZES, RATE)
    np.testing.assert_array_equal(draw.onsets, frame_onsets(1000, SIZES))


@pytest.mark.parametrize("n_samples", [1, 2, 19, 20, 21, 59, 60, 61])
def test_very_short_clips(n_samples):
    lengths = [n_samples, 1, 700]
    dataset = dataset_of(lengths)
    for batch in plan_of(lengths).take(n_epochs=3):
        inputs = dataset[batch].inputs
        assert inputs["n_frames"].tolist() == [example.n_frames for example in batch]
        assert inputs["stft"].isfinite().all()


# --- noise


def feature_draws(augmentation, n_draws=3000):
    rng = np.random.default_rng(2)
    return [draw_features(augmentation, rng, 200, 128) for _ in range(n_draws)]


def test_level_of_the_noise_is_uniform():
    levels, seeds = np.array([draw.noise for draw in feature_draws(PUBLISHED)]).T
    assert agrees(levels, uniform(0, 0.2))
    np.testing.assert_array_equal(seeds, np.float32(seeds).astype(int))
    assert len(np.unique(seeds)) > 2990
    assert agrees(seeds / 2**24, uniform(0, 1))


def test_noise_does_not_change_what_else_is_drawn():
    (noisy,), (plain,) = (feature_draws(Augmentation(noise=u), 1) for u in (0.5, 0.0))
    assert plain.noise == (0.0, 0.0)
    assert noisy[:3] == plain[:3]
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    draw_features(Augmentation(), first, 200, 128)
    draw_features(Augmentation(noise=0.5), second, 200, 128)
    second_again = np.random.default_rng(0)
    draw_features(Augmentation(noise=0.0), second_again, 200, 128)
    assert first.bit_generator.state == second_again.bit_generator.state
    assert first.bit_generator.state != second.bit_generator.state


@pytest.fixture
def log_mel(rng):
    """Front end with the statistics of some noise, for evaluation."""
    front_end = LogMel(16000, 512).train()
    spectra = torch.from_numpy(rng.normal(0, 1, (4, 1, 50, 257, 2)).astype(np.float32))
    front_end(spectra, torch.tensor([50, 50, 50, 50]))
    return front_end.eval()


@pytest.fixture
def spectra(rng):
    return torch.from_numpy(rng.normal(0, 1, (3, 1, 60, 257, 2)).astype(np.float32))


def test_noise_is_white_and_has_its_level(log_mel, spectra):
    n_frames = torch.tensor([60, 60, 60])
    noise = torch.tensor([[0.2, 1.0], [0.05, 2.0], [0.0, 3.0]])
    difference = log_mel(spectra, n_frames, noise=noise) - log_mel(spectra, n_frames)
    for found, level in zip(difference[:2, 0], (0.2, 0.05), strict=True):
        assert kstest(found.flatten().numpy() / level, "norm").pvalue > 0.01
        assert abs(np.corrcoef(found[:, 1:].flatten(), found[:, :-1].flatten())[0, 1]) < 0.05
        assert abs(np.corrcoef(found[1:].flatten(), found[:-1].flatten())[0, 1]) < 0.05
    assert abs(np.corrcoef(difference[:2].flatten(1))[0, 1]) < 0.05
    assert not difference[2].any()


def test_padding_and_neighbors_do_not_change_the_noise(log_mel, spectra):
    n_frames = torch.tensor([60, 33, 20])
    noise = torch.tensor([[0.5, 5.0], [0.5, 2.0**24 - 1], [0.5, 5.0]])
    together = log_mel(spectra, n_frames, noise=noise)
    for k, n in enumerate(n_frames.tolist()):
        alone = log_mel(spectra[k : k + 1, :, :n], n_frames[k : k + 1], noise=noise[k : k + 1])
        torch.testing.assert_close(together[k, ..., :n], alone[0], rtol=0, atol=1e-5)
        assert not together[k, ..., n:].any()


def test_masks_cover_noise_and_statistics_do_not_see_it(log_mel, spectra):
    n_frames = torch.tensor([60, 60, 60])
    noise = torch.tensor([[0.5, 5.0], [0.5, 6.0], [0.5, 7.0]])
    masks = {
        "time_mask": torch.tensor([[3, 4], [0, 0], [0, 0]]),
        "mel_mask": torch.tensor([[0, 0], [10, 20], [0, 0]]),
    }
    masked = log_mel(spectra, n_frames, noise=noise, **masks)
    noisy = log_mel(spectra, n_frames, noise=noise)
    assert not masked[0, :, :, 3:7].any()
    assert not masked[1, :, 10:30].any()
    noisy[0, :, :, 3:7] = 0
    noisy[1, :, 10:30] = 0
    assert torch.equal(masked, noisy)
    quiet, loud = LogMel(16000, 512).train(), LogMel(16000, 512).train()
    quiet(spectra, n_frames)
    loud(spectra, n_frames, noise=noise)
    assert torch.equal(quiet.norm.running_power, loud.norm.running_power)


def test_noise_lies_on_top_of_clamped_features(log_mel):
    spectra = torch.full((1, 1, 40, 257, 2), 1e6)
    features = log_mel(spectra, torch.tensor([40]), noise=torch.tensor([[1.0, 4.0]]))
    assert features.max() > 7
    assert float(features.mean()) == pytest.approx(6, abs=0.1)


def test_noise_is_given_where_a_clip_has_some():
    assert "noise" in WALNet().get_input().distortions
    dataset = dataset_of([500, 400], distortions=WALNet().get_input().distortions)
    draws = [FeatureDraw((1.0, 1.0), (0, 0), (0, 0), noise) for noise in ((0.0, 0.0), (0.5, 9.0))]
    batch = [
        Example(plain_example(k, n, SIZES).n_frames, (Part(k),), draw)
        for k, (n, draw) in enumerate(zip((500, 400), draws, strict=True))
    ]
    assert dataset[batch].inputs["noise"].tolist() == [[0.0, 0.0], [0.5, 9.0]]
    assert dataset[batch].inputs["noise"].dtype == torch.float32
    assert "noise" not in dataset[batch[:1]].inputs
    assert "noise" not in dataset_of([500, 400])[batch].inputs


@pytest.mark.parametrize("make", [WALNetTagger, AudioTagger], ids=["takes noise", "does not"])
def test_training_with_the_published_settings(rng, make):
    X = [rng.normal(size=n).astype(np.float32) for n in (9000, 7000, 8000, 3000)]
    settings = {"max_epochs": 2, "batch_size": 2, "random_state": 0, "precision": "float32"}
    network = {"sample_rate": 8000} if make is WALNetTagger else {"network": OddNet()}
    augmentation = Augmentation.fbcrnn_reference().set_params(mel_mask=10)
    taggers = [
        make(**network, **settings, augmentation=augmentation).fit(X, [["a"], ["b"], [], ["a"]])
        for _ in range(2)
    ]
    scores = [tagger.predict_proba(X) for tagger in taggers]
    np.testing.assert_array_equal(*scores)
    assert np.isfinite(scores[0]).all()
