"""PANNs: settings, files of the original implementation, and parity with it."""

import copy
from functools import cache, partial

import librosa
import numpy as np
import pytest
import torch
from _networks import NarrowPANNs
from _pretrained import draw_weights, load_reference
from torch.nn import functional as F

from sktagger import AudioTagger
from sktagger.audio.edges import prepare
from sktagger.audio.spectral import frame_onsets, stft
from sktagger.networks import PANNs
from sktagger.networks._slaney import LogMelPower, slaney_filters

assert_close = partial(np.testing.assert_allclose, rtol=0)

VARIANTS = ["cnn14", "cnn14_decision_level_max", "cnn10", "cnn6"]
MAX = "cnn14_decision_level_max"
LENGTHS = [1, 15, 16, 31, 32, 33, 47, 63, 64, 95, 150]


@pytest.fixture(autouse=True)
def no_gradient_by_default():
    with torch.no_grad():
        yield


@pytest.fixture
def spectra():
    """Return a function that makes random STFTs of a network, padded with zeros."""

    def make(network, lengths):
        n_bins = network.get_input().stft.n_bins
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(len(lengths), 1, max(lengths), n_bins, 2, generator=generator)
        for clip, n in zip(x, lengths, strict=True):
            clip[:, n:] = 0
        return x, torch.tensor(lengths)

    return make


def build(network, n_events=5):
    """Build a network with weights and statistics unlike those of a new one."""
    module = network.build(n_events).eval()
    state, _ = draw_weights(module.state_dict(), 1)
    module.load_state_dict(state)
    return module


def original_blocks(state, x):
    """Apply the blocks of the original to log-mel spectra (n_clips, n_frames, n_mels) in dB."""

    def norm(x, name):
        values = (state[f"{name}.{part}"] for part in ("running_mean", "running_var"))
        return F.batch_norm(x, *values, state[f"{name}.weight"], state[f"{name}.bias"])

    x = norm(x.transpose(1, 2)[..., None], "bn0").permute(0, 3, 2, 1)
    n_blocks = sum(name.endswith("conv1.weight") for name in state)
    for block in range(1, n_blocks + 1):
        for layer in (1, 2):
            weight = state.get(f"conv_block{block}.conv{layer}.weight")
            if weight is not None:
                x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
                x = norm(x, f"conv_block{block}.bn{layer}").relu()
        if block <= 5:
            x = F.avg_pool2d(x, 2)
    return x.mean(3)


def original_scores(state, x, decision_level):
    """Compute the scores of the original for each clip, or for each segment."""
    x = original_blocks(state, x)
    if decision_level:
        x = F.max_pool1d(x, 3, 1, 1) + F.avg_pool1d(x, 3, 1, 1)
    else:
        x = (x.amax(2) + x.mean(2))[..., None]
    x = x.transpose(1, 2)
    x = F.linear(x, state["fc1.weight"], state["fc1.bias"]).relu()
    return F.linear(x, state["fc_audioset.weight"], state["fc_audioset.bias"]).sigmoid()


# front end


@pytest.mark.parametrize(("rate", "n_fft", "fmax"), [(32, 1024, 14), (16, 512, 8), (8, 256, 4)])
def test_filters_are_those_of_librosa(rate, n_fft, fmax):
    expected = librosa.filters.mel(
        sr=rate * 1000, n_fft=n_fft, n_mels=64, fmin=50, fmax=fmax * 1000, dtype=np.float64
    )
    own = PANNs(sample_rate=rate * 1000)._mel_filters()
    assert own.dtype == torch.float32
    assert_close(own, expected.T, atol=1e-8)


def test_log_mel_is_in_decibels():
    filters = slaney_filters(16000, 512, 64, 50.0, 8000.0)
    spectrum = torch.zeros(1, 1, 2, 257, 2)
    spectrum[0, 0, 1, :, 0] = 3.0
    spectrum[0, 0, 1, :, 1] = 4.0
    silence, noise = LogMelPower(filters)(spectrum)[0]
    assert (silence == -100).all()
    assert_close(noise, 10 * np.log10(25 * filters.numpy().sum(0)), atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rate", [32000, 16000, 8000])
def test_input_and_grid(variant, rate):
    network = PANNs(variant=variant, sample_rate=rate)
    network.validate()
    clip_input, grid = network.get_input(), network.get_grid()
    sizes = clip_input.stft
    n_frames = 32 if "14" in variant else 16
    assert (clip_input.sample_rate, clip_input.scale, clip_input.n_mels) == (rate, "raw", 64)
    assert (sizes.n_fft, sizes.hop_length) == (rate * 1024 // 32000, rate // 100)
    assert sizes.min_samples == (n_frames - 1) * rate // 100
    assert [sizes.n_frames(n) for n in (1, sizes.min_samples)] == [n_frames, n_frames]
    assert sizes.n_frames(10 * rate) == 1001
    assert grid[:3] == (n_frames, n_frames, 158 if variant == MAX else None)
    assert [grid.n_scores(n) for n in (1, 32, 63, 1001)][-1] == 1001 // n_frames


@pytest.mark.parametrize("settings", [{"variant": "cnn15"}, {"sample_rate": 44100}])
def test_wrong_settings_are_named(settings):
    with pytest.raises(ValueError, match=f"The '{next(iter(settings))}' parameter of PANNs"):
        PANNs(**settings).validate()


def test_stft_of_a_wrong_shape():
    module = NarrowPANNs(variant="cnn6", sample_rate=8000).build(2)
    with pytest.raises(ValueError, match=r"stft has shape .*, but PANNs take .*129, 2\)"):
        module(torch.zeros(1, 1, 70, 128, 2), torch.tensor([70]))


# modules


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_plain_layers_on_single_clips(variant, spectra):
    network = NarrowPANNs(variant=variant, sample_rate=16000)
    module = build(network)
    x, n_frames = spectra(network, LENGTHS)
    clips, (segments, n_segments) = module(x, n_frames), module.segment_scores(x, n_frames)
    least = network.get_grid().length
    for i, n in enumerate(LENGTHS):
        if n < least:
            continue  # the original fails
        logmel = module.log_mel(x[i : i + 1, :, :n])
        state = module.state_dict()
        if variant == "cnn14_decision_level_max":
            expected = original_scores(state, logmel, True)[0]
            assert_close(clips[i], expected.amax(0), atol=1e-6)
        else:
            assert_close(clips[i], original_scores(state, logmel, False)[0, 0], atol=1e-6)
            expected = original_scores(state, logmel, True)[0]
        assert n_segments[i] == len(expected) == n // least
        assert_close(segments[i, :, : len(expected)], expected.T, atol=1e-6)


def test_a_clip_that_is_too_short_is_padded_after_the_first_norm(spectra):
    network = NarrowPANNs(sample_rate=16000)
    module = build(network)
    x, n_frames = spectra(network, [7])
    features = module.features(x, n_frames)
    assert features.shape == (1, 64, 7)
    maps, segments = module.feature_maps(x, n_frames)
    assert maps.shape == (1, 32, 1)
    assert segments.n_frames.tolist() == [1]


def test_masks_set_normalized_features_to_zero(spectra):
    network = NarrowPANNs(sample_rate=16000)
    module = build(network)
    x, n_frames = spectra(network, [40, 40])
    time_mask, mel_mask = torch.tensor([[5, 10], [0, 0]]), torch.tensor([[0, 0], [60, 4]])
    masked = module.features(x, n_frames, time_mask=time_mask, mel_mask=mel_mask)
    expected = module.features(x, n_frames)
    expected[0, :, 5:15] = 0
    expected[1, 60:] = 0
    assert torch.equal(masked, expected)


def test_frozen_norms_are_those_of_evaluation(spectra):
    network = NarrowPANNs(sample_rate=16000)
    module = build(network)
    inputs = spectra(network, [70, 50])
    expected = module(*inputs)
    module.train()
    for part in module.modules():
        if part in module.norms or isinstance(part, torch.nn.Dropout):
            part.eval()
    with torch.enable_grad():
        scores = module(*inputs)
        scores.sum().backward()
    assert_close(scores.detach(), expected, atol=1e-6)
    assert all(p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_norms_are_folded_or_not_with_the_same_result(variant, spectra, monkeypatch):
    network = NarrowPANNs(variant=variant, sample_rate=16000)
    module, inputs = build(network), spectra(network, LENGTHS)
    folded = module(*inputs)
    monkeypatch.setattr("sktagger.networks._panns_layers._MAX_FOLDED", 0)
    assert_close(module(*inputs), folded, atol=1e-6)


def test_chunks_change_nothing(spectra, monkeypatch):
    network = NarrowPANNs(sample_rate=16000)
    module, inputs = build(network), spectra(network, LENGTHS)
    together = module(*inputs)
    for n_values in (1, 3 * 4 * 64 * 150):
        monkeypatch.setattr("sktagger.networks._chunks._CHUNK_VALUES", n_values)
        assert_close(module(*inputs), together, atol=1e-6)


def test_initial_weights():
    module = PANNs(variant="cnn10").build(7)
    for block in module.conv_blocks:
        n_out, n_in = block.conv2.weight.shape[:2]
        limit = np.sqrt(6 / (9 * (n_in + n_out)))
        assert 0.95 * limit < block.conv2.weight.abs().max() <= limit
        assert (block.bn1.weight == 1).all()
    assert not module.fc1.bias.any()
    assert not module.fc_audioset.bias.any()
    assert 0 < module.fc_audioset.weight.abs().max() <= np.sqrt(6 / (512 + 7))


def test_weights_keep_a_layout_that_is_transposed_without_a_copy():
    module = NarrowPANNs(sample_rate=16000).build(3)
    loaded = copy.deepcopy(module)
    loaded.load_state_dict({k: x.contiguous() for k, x in module.state_dict().items()})
    for block in loaded.conv_blocks:
        assert block.conv2.weight.mT.is_contiguous(memory_format=torch.channels_last)


def test_dropout_depends_on_its_seed(spectra):
    network = NarrowPANNs(sample_rate=16000)
    module, inputs = build(network), spectra(network, [70, 70])
    module.train()
    for norm in module.norms:
        norm.eval()
    scores = []
    for seed in (1, 1, 2):
        module.seed_dropout(seed)
        scores.append(module(*inputs))
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])


def test_scores_in_bfloat16(spectra):
    network = NarrowPANNs(sample_rate=16000)
    module, inputs = build(network), spectra(network, [70, 50])
    expected = module(*inputs)
    module.set_precision("bfloat16")
    assert 0 < (module(*inputs) - expected).abs().max() < 0.05


def test_tagger_repeats_short_waveforms_and_keeps_their_scale(rng):
    X = [rng.standard_normal(n).astype(np.float32) for n in (500, 1500, 3000, 8000)]
    network = NarrowPANNs(sample_rate=8000)
    settings = {"max_epochs": 1, "batch_size": 2, "random_state": 0, "verbose": 0}
    with torch.enable_grad():
        tagger = AudioTagger(network, precision="float32", **settings).fit(X, [[0, 1], [1, 0]] * 2)
    tagger.module_.load_state_dict(build(network, 2).state_dict())
    scores = tagger.predict_proba(X)
    assert_close(tagger.predict_proba([np.tile(X[0], 5)[:2480]])[0], scores[0], atol=1e-6)
    sizes = network.get_input().stft
    for x, expected in zip(X, scores, strict=True):
        spectrum = torch.from_numpy(stft(prepare(x, sizes), frame_onsets(len(x), sizes), sizes))
        alone = tagger.module_(spectrum[None, None], torch.tensor([len(spectrum)]))
        assert_close(expected, alone[0], atol=1e-5)
    assert np.abs(tagger.predict_proba([x / 8 for x in X]) - scores).max() > 1e-4


# files of the original implementation


def original_state(variant, n_fft=1024, *, constants=True):
    """Make the state dict of a file of the original, without data except for the filters."""
    rate = n_fft * 125 // 4
    network = PANNs(variant=variant, sample_rate=rate)
    state = dict(network.shapes(527))
    if constants:
        for part in ("real", "imag"):
            name = f"spectrogram_extractor.stft.conv_{part}.weight"
            state[name] = torch.empty(n_fft // 2 + 1, 1, n_fft, device="meta")
        state["logmel_extractor.melW"] = network._mel_filters()
    return state


@pytest.mark.parametrize(
    ("variant", "n_fft", "name", "expected"),
    [
        ("cnn14", 1024, "Cnn14_mAP=0.431.pth", {}),
        ("cnn14", 512, "Cnn14_16k_mAP=0.438.pth", {"sample_rate": 16000}),
        ("cnn14", 256, "my cnn14.pt", {"sample_rate": 8000}),
        (MAX, 1024, "Cnn14_DecisionLevelMax_mAP=0.385.pth", {"variant": MAX}),
        (MAX, 1024, "cnn14_decision_level_max.pth", {"variant": MAX}),
        (MAX, 1024, "Cnn14.Decision-Level.Max.pth", {"variant": MAX}),
        ("cnn10", 1024, "Cnn10_mAP=0.380.pth", {"variant": "cnn10"}),
        ("cnn6", 1024, "", {"variant": "cnn6"}),
    ],
)
def test_identify(variant, n_fft, name, expected):
    state = original_state(variant, n_fft)
    found = PANNs.identify(state, name)
    assert found.get_params() == PANNs(**expected).get_params()
    converted = found.convert(state)
    assert converted.keys() == found.shapes(527).keys()
    assert found.explain_mismatch(state) == ""


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("Cnn14_16k.pth", 16000),
        ("Cnn14.16k.pth", 16000),
        ("Cnn14-8kHz.pth", 8000),
        ("Cnn14_16000_iterations.pth", 32000),
        ("Cnn14_116k_steps.pth", 32000),
        ("Cnn14.pth", 32000),
    ],
)
def test_the_name_tells_the_sample_rate_if_constants_are_missing(name, rate):
    assert PANNs.identify(original_state("cnn14", constants=False), name).sample_rate == rate


@pytest.mark.parametrize("name", ["", "model.pth", "Cnn14_DecisionLevelAvg_mAP=0.425.pth"])
def test_ambiguous_files_give_the_choices(name):
    choices = (
        r"Give network=PANNs\(variant='cnn14', sample_rate=16000\) or "
        rf"network=PANNs\(variant='{MAX}', sample_rate=16000\)\."
    )
    with pytest.raises(ValueError, match=f"holds weights of PANNs.*{choices}"):
        PANNs.identify(original_state("cnn14", 512), name)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"fc1.weight": (512, 2048)}, "has 512 values in an embedding instead of 2048"),
        ({"fc1.weight": (32, 2048)}, "has 32 values in an embedding instead of 2048"),
        ({"bn0.weight": (128,)}, "has 128 mel bands instead of 64"),
    ],
)
def test_variants_of_other_sizes_are_refused(sizes, message):
    """Cnn14_emb512, Cnn14_emb32 and Cnn14_mel128 have the names of weights of Cnn14."""
    state = original_state("cnn14") | {k: torch.empty(n) for k, n in sizes.items()}
    with pytest.raises(ValueError, match=f"not supported: it {message}.*weights of one of 'cnn14'"):
        PANNs.identify(state, "Cnn14_emb_mAP=0.42.pth")
    assert message in PANNs().explain_mismatch(state)


def test_an_unknown_length_of_the_fft_gives_the_choices():
    state = original_state("cnn6")
    name = "spectrogram_extractor.stft.conv_real.weight"
    state[name] = torch.empty(1025, 1, 2048, device="meta")
    with pytest.raises(ValueError, match=r"'x'.*'cnn6', sample_rate=32000\).*=16000\).*=8000\)"):
        PANNs.identify(state, "x")


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"bn0.weight": torch.ones(64), "fc_audioset.weight": "x"},
        {"conv_block1.conv1.weight": torch.ones(64, 1, 3, 3)},
        {
            "bn0.weight": 1,
            "fc_audioset.weight": 2,
            "conv_block1.conv1.weight": 3,
            "conv_block2.conv1.weight": torch.ones(64, 1, 3, 3),
        },
    ],
)
def test_other_weights_are_not_identified(state):
    assert PANNs.identify(state, "Cnn14_mAP=0.431.pth") is None
    assert PANNs().explain_mismatch(state) == ""


def test_differences_are_explained():
    explain = PANNs().explain_mismatch
    assert explain(original_state("cnn14")) == explain(original_state(MAX)) == ""
    assert "with variant='cnn10', but this tagger has variant='cnn14'" in explain(
        original_state("cnn10")
    )
    assert "with sample_rate=16000, but this tagger has sample_rate=32000" in explain(
        original_state("cnn14", 512)
    )
    state = original_state("cnn14")
    for fmin, fmax in ((0, 14000), (50, 16000), (50, 14100)):
        state["logmel_extractor.melW"] = slaney_filters(32000, 1024, 64, fmin, fmax)
        assert "has other mel filters: 513 bins and 64 bands" in explain(state)
    state["logmel_extractor.melW"] = torch.zeros(400, 64)
    assert "400 bins and 64 bands" in explain(state)
    state["logmel_extractor.melW"] = "x"
    assert explain(state) == ""


# parity with the original implementation

PARITY = {
    "cnn14": PANNs(),
    "cnn14_dlm": PANNs(variant=MAX),
    "cnn10": PANNs(variant="cnn10"),
    "cnn6": PANNs(variant="cnn6"),
    "cnn14_16k": PANNs(sample_rate=16000),
}


@pytest.fixture(scope="module")
def panns():
    return load_reference("panns_parity.npz")


@cache
def weights_of(variant, seed):
    return draw_weights(PANNs(variant=variant).shapes(5), seed)


@pytest.mark.parametrize("name", PARITY)
def test_parity(panns, name):
    network = PARITY[name]
    layers = "cnn14" if network.variant == MAX else network.variant
    state, checksum = weights_of(layers, int(panns["seed"]))
    assert checksum == panns[f"{name}_weights_sha256"]
    module = network.build(5).eval()
    module.load_state_dict(state)
    rate, sizes = f"{network.sample_rate // 1000}k", network.get_input().stft
    waveforms = [x for key, x in panns.items() if key.startswith(f"{rate}_waveform")]
    spectra = [stft(prepare(x, sizes), frame_onsets(len(x), sizes), sizes) for x in waveforms]
    clips = []
    for i, spectrum in enumerate(spectra):
        x, n = torch.from_numpy(spectrum)[None, None], torch.tensor([len(spectrum)])
        assert_close(module.log_mel(x)[0], panns[f"{rate}_logmel_{i}"], atol=0.02)
        clips.append(module(x, n)[0])
        assert_close(clips[i], panns[f"{name}_clip_{i}"], atol=1e-5)
        if network.variant == MAX:
            (scores,), _ = module.segment_scores(x, n)
            frames = scores.T.repeat_interleave(32, 0)
            frames = torch.cat([frames, frames[-1:].expand(len(spectrum) - len(frames), -1)])
            assert_close(frames, panns[f"{name}_frames_{i}"], atol=1e-5)
        else:
            embedding = module.clip_outputs("embedding", x, n)[0].numpy()
            expected = panns[f"{name}_embedding_{i}"]
            bar = 1e-4 * (np.sqrt(np.mean(expected**2)) + np.abs(expected))
            assert (np.abs(embedding - expected) <= bar).all()

    spectra, clips = spectra[-3:], clips[-3:]
    n_frames = torch.tensor([len(x) for x in spectra])
    batch = torch.zeros(len(spectra), 1, max(n_frames), sizes.n_bins, 2)
    for row, spectrum in zip(batch, spectra, strict=True):
        row[0, : len(spectrum)] = torch.from_numpy(spectrum)
    assert_close(module(batch, n_frames), torch.stack(clips), atol=1e-5)


def test_filters_of_the_original(panns):
    assert_close(PANNs()._mel_filters(), panns["melW"], atol=1e-8)
