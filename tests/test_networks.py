"""Checks of all networks, and the whole pipeline with networks unlike WALNet."""

import warnings

import joblib
import numpy as np
import pytest
import torch
from _faulty_networks import FAULTS
from _networks import NarrowPANNs, OddNet, TinyNet
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sktagger import AudioTagger, Augmentation, TunedThresholdTagger, WALNetTagger
from sktagger.metrics import map_scorer
from sktagger.networks import (
    CRNN,
    FBCRNN,
    NETWORKS,
    EfficientAT,
    Network,
    PANNs,
    ScoreGrid,
    WALNet,
)
from sktagger.networks.checks import check_network, network_checks
from sktagger.training.callbacks import Checkpoint

SMALL = [
    WALNet(sample_rate=2000),
    WALNet(sample_rate=2000, fmin=0, pooling="mean"),
    EfficientAT(width=0.1, n_mels=32),
    EfficientAT(width=0.1, n_mels=40, strides=(2, 2, 1, 1), head="fully_convolutional"),
    PANNs(variant="cnn6", sample_rate=8000),
    NarrowPANNs(sample_rate=8000),
    NarrowPANNs(variant="cnn14_decision_level_max", sample_rate=8000),
    NarrowPANNs(variant="cnn10", sample_rate=8000),
    FBCRNN(sample_rate=8000, score_window=5),
    FBCRNN(sample_rate=8000, time_pooling=2, score_window=None),
    FBCRNN(sample_rate=8000, depth="deep", score_window=6),
    CRNN(sample_rate=8000),
    CRNN(sample_rate=8000, depth="deep", time_pooling=2),
    CRNN(sample_rate=8000, tag_conditioned=True),
    OddNet(),
    TinyNet(),
]
SETTINGS = {"max_epochs": 2, "batch_size": 4, "random_state": 0, "verbose": 0}


@pytest.mark.parametrize("check", network_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("network", SMALL, ids=str)
def test_checks(network, check):
    check(network)


def test_every_network_of_the_package_is_checked():
    assert {type(network).__name__ for network in SMALL} >= NETWORKS.keys()


@pytest.mark.parametrize(
    ("check", "network", "message"),
    [pytest.param(*fault, id=f"{fault[0]}-{fault[2]}") for fault in FAULTS],
)
def test_checks_find_faults(check, network, message):
    (found,) = [function for function in network_checks() if function.__name__ == check]
    with pytest.raises(AssertionError, match=message):
        found(network)
    with pytest.raises(AssertionError):
        check_network(network)


def test_every_check_finds_a_fault():
    assert {check for check, *_ in FAULTS} == {check.__name__ for check in network_checks()}


@pytest.fixture
def data(rng):
    X = [rng.standard_normal(n).astype(np.float32) for n in rng.integers(2000, 9000, 12)]
    Y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 3)
    return X, Y


@pytest.fixture(params=[OddNet(), TinyNet()], ids=["odd", "tiny"])
def network(request):
    return clone(request.param)


@pytest.fixture
def tagger(network, data):
    return AudioTagger(network, **SETTINGS).fit(*data)


def test_the_pipeline_takes_the_input_and_the_grid_of_the_network(tagger, data):
    table = tagger.predict_segments(data[0][:1])[0]
    rate, sizes, *_ = tagger.network_.get_input()
    hop = sizes.hop_length / rate
    n_frames = sizes.n_frames(len(data[0][0]))
    assert len(table) == tagger.network_.get_grid().n_scores(n_frames)
    onset, offset = table.index[1]
    assert onset == pytest.approx(5 * hop)
    assert offset == pytest.approx(15 * hop)


def test_waveforms_keep_their_scale(tagger, data):
    X = data[0]
    louder = [8 * x + 1 for x in X]
    assert np.abs(tagger.predict_proba(louder) - tagger.predict_proba(X)).max() > 1e-3
    walnet = WALNetTagger(sample_rate=2000, **SETTINGS).fit(*data)
    np.testing.assert_allclose(walnet.predict_proba(louder), walnet.predict_proba(X), atol=0.02)


def test_long_clips_are_scored_as_a_whole(tagger):
    n_samples = 5600 * tagger.stft_.hop_length
    clip = np.random.default_rng(3).standard_normal(n_samples).astype(np.float32)
    (table,) = tagger.predict_segments([clip])
    frames = np.lib.stride_tricks.sliding_window_view(clip, tagger.stft_.win_length)
    from sktagger.audio.spectral import frame_onsets, stft

    assert len(frames) > tagger.stft_.hop_length
    spectrum = stft(clip, frame_onsets(n_samples, tagger.stft_), tagger.stft_)
    inputs = torch.from_numpy(spectrum)[None, None], torch.tensor([len(spectrum)])
    with torch.no_grad():
        scores, _ = tagger.module_.segment_scores(*inputs)
    np.testing.assert_allclose(table.to_numpy(), scores[0].T.numpy(), atol=2e-3)


def test_networks_whose_scores_depend_on_the_whole_clip_score_it_at_once(data):
    seen = []

    class Whole(TinyNet):
        def get_grid(self):
            return super().get_grid()._replace(context=None)

    tagger = AudioTagger(Whole(), **SETTINGS).fit(*data)
    tagger.module_.register_forward_pre_hook(lambda module, args: None)
    segment_scores = tagger.module_.segment_scores

    def noting(stft, n_frames, **distortions):
        seen.append(int(n_frames.max()))
        return segment_scores(stft, n_frames, **distortions)

    tagger.module_.segment_scores = noting
    clip = np.zeros(5600 * tagger.stft_.hop_length, np.float32)
    tagger.predict_proba([clip])
    assert seen == [tagger.stft_.n_frames(len(clip))]


def test_save_and_load(tagger, data, tmp_path):
    expected = tagger.predict_proba(data[0])
    path = tmp_path / "tagger.safetensors"
    tagger.save(path)
    loaded = AudioTagger.load(path, networks=[type(tagger.network)])
    np.testing.assert_array_equal(loaded.predict_proba(data[0]), expected)
    assert loaded.network.get_params() == tagger.network.get_params()
    joblib.dump(tagger, tmp_path / "tagger.joblib")
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "tagger.joblib").predict_proba(data[0]), expected
    )


def test_a_file_of_an_unknown_network_says_what_to_do(tagger, tmp_path):
    tagger.save(tmp_path / "tagger.safetensors")
    with pytest.raises(ValueError, match=r"network '(Odd|Tiny)Net'; known are WALNet.*networks="):
        AudioTagger.load(tmp_path / "tagger.safetensors")


def test_a_newer_version_of_a_network_is_refused(tagger, tmp_path):
    newer = type(tagger.network)
    tagger.save(tmp_path / "tagger.safetensors")
    older = type(newer.__name__, (newer,), {"version": newer.version - 1, "__module__": "other"})
    with pytest.raises(ValueError, match=r"got version . of the network"):
        AudioTagger.load(tmp_path / "tagger.safetensors", networks=[older])


def test_another_estimator_is_refused(tagger, data, tmp_path):
    tagger.save(tmp_path / "any.safetensors")
    with pytest.raises(ValueError, match=r"holds an AudioTagger.*AudioTagger\.load reads it"):
        WALNetTagger.load(tmp_path / "any.safetensors", networks=[type(tagger.network)])
    walnet = WALNetTagger(sample_rate=2000, **SETTINGS).fit(*data)
    walnet.save(tmp_path / "walnet.safetensors")
    assert type(AudioTagger.load(tmp_path / "walnet.safetensors")) is WALNetTagger


def test_thresholds(network, data, tmp_path):
    tuned = TunedThresholdTagger(AudioTagger(network, **SETTINGS), cv=2, random_state=0).fit(*data)
    tuned.save(tmp_path / "tuned.safetensors")
    loaded = TunedThresholdTagger.load(tmp_path / "tuned.safetensors", networks=[type(network)])
    np.testing.assert_array_equal(loaded.predict(data[0]), tuned.predict(data[0]))


def test_grid_search(data):
    search = GridSearchCV(
        AudioTagger(OddNet(), **SETTINGS),
        {"network__width": [2, 4], "network__sharpness": [1.0, 3.0]},
        scoring=map_scorer,
        cv=2,
    ).fit(*data)
    assert set(search.best_params_) == {"network__width", "network__sharpness"}
    assert search.best_estimator_.module_.first.out_channels in (2, 4)


def test_parameters_of_the_default_network():
    tagger = AudioTagger().set_params(network__pooling="mean", network__stft__hop_length=100)
    assert tagger.network.pooling == "mean"
    assert tagger.network.stft.hop_length == 100
    assert "pooling='mean'" in repr(tagger)
    assert "WALNet" in tagger._repr_html_()
    with pytest.raises(ValueError, match="width"):
        tagger.set_params(network__width=2)


def test_wrong_settings_of_a_network_are_named(data):
    with pytest.raises(ValueError, match="pooling"):
        AudioTagger(WALNet(pooling="max"), **SETTINGS).fit(*data)
    with pytest.raises(ValueError, match="The 'network' parameter of AudioTagger"):
        AudioTagger("WALNet", **SETTINGS).fit(*data)


@pytest.mark.parametrize("frozen", [0, 2, 3, "backbone"])
def test_freezing(tagger, data, frozen):
    start = FrozenEstimator(tagger)
    tuned = clone(tagger).set_params(init_from=start, freeze=frozen, lr=0.1).fit(*data)
    n_frozen = 3 if frozen == "backbone" else frozen
    pairs = zip(tagger.module_.stages, tuned.module_.stages, strict=True)
    for stage, (before, after) in enumerate(pairs):
        states = before.state_dict().values(), after.state_dict().values()
        same = [torch.equal(x, y) for x, y in zip(*states, strict=True)]
        assert all(same) == (stage < n_frozen)


def test_more_frozen_stages_than_there_are(network, data):
    with pytest.raises(ValueError, match=r"freeze=4, but a (Odd|Tiny)Net has 3 stages"):
        AudioTagger(network, freeze=4, init_from="x", **SETTINGS).fit(*data)


def test_fine_tuning_matches_the_rows_of_the_head_by_name(tagger, data):
    X, _ = data
    named = [["1"] if i % 2 else ["new"] for i in range(len(X))]
    tagger = clone(tagger).fit(X, [["1", "2"], ["2"], []] * 4)
    tuned = clone(tagger).set_params(init_from=tagger, freeze="backbone", lr=1e-12).fit(X, named)
    row = tagger.module_.out.weight[list(tagger.classes_).index("1")]
    torch.testing.assert_close(tuned.module_.out.weight[list(tuned.classes_).index("1")], row)


def test_weights_of_another_network_or_settings_are_refused(data):
    odd = AudioTagger(OddNet(), **SETTINGS).fit(*data)
    other = AudioTagger(OddNet(width=4), init_from=odd, **SETTINGS)
    with pytest.raises(ValueError, match="trained with width=6, but this tagger has width=4"):
        other.fit(*data)
    with pytest.raises(ValueError, match="holds a OddNet, but this tagger has a WALNet"):
        WALNetTagger(sample_rate=2000, init_from=odd, **SETTINGS).fit(*data)


def test_adjustable_settings_take_effect_when_training_continues(tagger, data):
    tagger.set_params(warm_start=True, network__sharpness=5.0, lr=1e-12).fit(*data)
    assert tagger.module_.sharpness == 5.0
    assert tagger.network_.sharpness == 5.0
    with pytest.raises(ValueError, match="width=1: training continues"):
        tagger.set_params(network__width=1).fit(*data)
    with pytest.raises(ValueError, match=r"network=.*continues with a"):
        tagger.set_params(network=WALNet()).fit(*data)


def test_a_training_that_cannot_continue_adjusts_nothing(tagger, data, tmp_path):
    expected = tagger.predict_proba(data[0])
    tagger.set_params(warm_start=True, network__sharpness=5.0)
    with pytest.raises(FileNotFoundError):
        tagger.fit([tmp_path / "missing.wav"] * 12, data[1])
    with pytest.raises(ValueError, match="'validation' of its own"):
        tagger.set_params(callbacks=[("validation", Checkpoint(tmp_path))]).fit(*data)
    np.testing.assert_array_equal(tagger.predict_proba(data[0]), expected)


def test_checkpoints_name_their_network(network, data, tmp_path):
    settings = {**SETTINGS, "callbacks": [Checkpoint(tmp_path, on_mismatch="raise")]}
    AudioTagger(network, **settings).fit(*data)
    with pytest.raises(ValueError, match=r"network\.settings\.width: . there, 3 here"):
        AudioTagger(clone(network).set_params(width=3), **settings).fit(*data)
    with pytest.raises(ValueError, match=r"network: '(Odd|Tiny)Net' there, 'WALNet' here"):
        AudioTagger(WALNet(sample_rate=2000), **settings).fit(*data)
    loaded = AudioTagger.load(tmp_path, networks=[type(network)])
    assert type(loaded.network) is type(network)


def test_masks_of_augmentation_fit_the_mel_bands(data):
    strong = Augmentation(mel_mask=41)
    with pytest.raises(ValueError, match=r"mel_mask=41.*from 0 to 40"):
        AudioTagger(OddNet(), augmentation=strong, **SETTINGS).fit(*data)
    AudioTagger(OddNet(), augmentation=Augmentation(mel_mask=40), **SETTINGS).fit(*data)


def test_walnet_tagger_is_the_tagger_of_walnet(data):
    settings = {"sample_rate": 2000, "fmin": 10.0, "pooling": "mean"}
    first = AudioTagger(WALNet(**settings), **SETTINGS).fit(*data)
    second = WALNetTagger(**settings, **SETTINGS).fit(*data)
    np.testing.assert_array_equal(first.predict_proba(data[0]), second.predict_proba(data[0]))
    assert isinstance(second, AudioTagger)
    assert not hasattr(second, "network")
    own = WALNetTagger().get_params(deep=False)
    shared = AudioTagger().get_params(deep=False)
    assert own.keys() - shared.keys() == set(WALNet().get_params(deep=False))
    assert shared.keys() - own.keys() == {"network"}
    assert all(own[name] == shared[name] for name in own.keys() & shared.keys())


def test_both_taggers_document_the_same_parameters_alike():
    def shared(tagger):
        text = tagger.__doc__
        return text[text.index("    max_epochs :") : text.index("    See Also")]

    assert shared(AudioTagger) == shared(WALNetTagger)


def test_a_network_must_define_its_methods():
    for method in ("get_input", "get_grid", "resolve"):
        with pytest.raises(NotImplementedError):
            getattr(Network(), method)()


@pytest.mark.parametrize(
    ("grid", "n_frames", "expected"),
    [((128, 64, 94), 65, 1), ((1, 1, None), 7, 7), ((10, 5, 2), 11, 2), ((10, 5, 2), 1, 1)],
)
def test_number_of_scores(grid, n_frames, expected):
    assert ScoreGrid(*grid).n_scores(n_frames) == expected


def test_nothing_warns(network, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AudioTagger(network, **SETTINGS).fit(*data)
