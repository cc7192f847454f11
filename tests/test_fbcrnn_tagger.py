"""Taggers with an FBCRNN: training, times of scores, and files."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from _fbcrnn_reference import pb_sed_state

from sktagger import AudioTagger, Augmentation, WALNetTagger
from sktagger.networks import CRNN, FBCRNN, EfficientAT, WALNet
from sktagger.training.callbacks import Checkpoint

NETWORK = FBCRNN(sample_rate=8000, score_window=7)
SETTINGS = {"max_epochs": 2, "batch_size": 4, "random_state": 0, "verbose": 0}
CLASSES = ["b", "a", "e", "d", "c"]


@pytest.fixture
def data(rng):
    X = [rng.standard_normal(n).astype(np.float32) for n in rng.integers(2000, 9000, 8)]
    Y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 2)
    return X, Y


@pytest.fixture
def tagger(data):
    return AudioTagger(NETWORK, **SETTINGS).fit(*data)


@pytest.mark.parametrize("way", ["save", "joblib", "pickle"])
def test_a_tagger_survives_storage(tagger, data, tmp_path, way):
    if way == "save":
        tagger.save(tmp_path / "x.safetensors")
        again = AudioTagger.load(tmp_path / "x.safetensors")
    elif way == "joblib":
        joblib.dump(tagger, tmp_path / "x.joblib")
        again = joblib.load(tmp_path / "x.joblib")
    else:
        again = pickle.loads(pickle.dumps(tagger))
    np.testing.assert_array_equal(again.predict_proba(data[0]), tagger.predict_proba(data[0]))
    for own, other in zip(
        again.predict_segments(data[0]), tagger.predict_segments(data[0]), strict=True
    ):
        np.testing.assert_array_equal(own, other)
    assert again.network_.get_params() == NETWORK.get_params()


def test_segments_follow_each_other_from_0_to_the_end(tagger, data):
    for waveform, table in zip(data[0], tagger.predict_segments(data[0]), strict=True):
        onset, offset = (table.index.get_level_values(k).to_numpy() for k in (0, 1))
        n_frames = -(-len(waveform) // 160)
        assert len(table) == n_frames
        np.testing.assert_allclose(onset, 0.02 * np.arange(n_frames), atol=1e-9)
        np.testing.assert_allclose(offset[:-1], onset[1:], atol=1e-9)
        assert offset[-1] == pytest.approx(len(waveform) / 8000, abs=0.02)


def test_a_sound_changes_scores_where_it_is(tagger):
    """A change between 1 and 1.1 s reaches the window and the convolutions around it only."""
    rng = np.random.default_rng(0)
    before = rng.standard_normal(16000).astype(np.float32)
    before[0] = 8  # the peak stays, as does the mean
    before[8000:8800] -= before[8000:8800].mean()
    after = before.copy()
    after[8000:8800] *= 0.1
    scores = [tagger.predict_segments([x])[0] for x in (before, after)]
    differs = np.abs(scores[0].to_numpy() - scores[1].to_numpy()).max(axis=1) > 1e-5
    onsets = scores[0].index.get_level_values(0).to_numpy()[differs]
    reach = 0.02 * (12 + 3 + 1)
    assert 1 - reach - 0.02 < onsets.min() < 1
    assert 1.1 - 0.03 < onsets.max() < 1.1 + reach


def test_training_that_continues_ends_like_an_uninterrupted_one(data, tmp_path):
    class Stop(Checkpoint):
        """Interrupt after the first epoch."""

        def on_epoch_end(self, net, **kwargs):
            super().on_epoch_end(net, **kwargs)
            if len(net.history) == self.last:
                raise KeyboardInterrupt

    settings = SETTINGS | {"augmentation": Augmentation.fbcrnn_reference()}
    whole = AudioTagger(NETWORK, **settings).fit(*data, X_val=data[0], Y_val=data[1])
    stop = Stop(tmp_path)
    stop.last = 1
    with pytest.warns(UserWarning, match="interrupted"):
        AudioTagger(NETWORK, **settings, callbacks=[stop]).fit(*data, X_val=data[0], Y_val=data[1])
    part = AudioTagger(NETWORK, **settings, callbacks=[Checkpoint(tmp_path)])
    part.fit(*data, X_val=data[0], Y_val=data[1])
    assert part.history_["n_epochs"].tolist() == whole.history_["n_epochs"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(part.predict_proba(data[0]), whole.predict_proba(data[0]))


def test_scores_do_not_depend_on_the_batch(tagger, data):
    alone = np.concatenate([tagger.predict_proba([x]) for x in data[0]])
    np.testing.assert_allclose(tagger.predict_proba(data[0]), alone, atol=1e-5)


def test_head_cannot_be_fitted_in_closed_form(data):
    with pytest.raises(ValueError, match="head_init='linear'"):
        AudioTagger(NETWORK, head_init="linear", **SETTINGS).fit(*data)


# Checkpoints of pb_sed


@pytest.mark.parametrize("under_model", [True, False])
@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_checkpoints_of_pb_sed_load(tmp_path, depth, under_model, rng):
    state = pb_sed_state(3, depth)
    torch.save({"model": state, "iteration": 7} if under_model else state, tmp_path / "x.pth")
    waveform = rng.standard_normal(20000).astype(np.float32)
    from_file = AudioTagger.from_padertorch(tmp_path / "x.pth", classes=CLASSES)
    assert from_file.classes_.tolist() == CLASSES
    assert from_file.network_.depth == depth
    module = FBCRNN(depth=depth).build(5)
    module.load_state_dict(FBCRNN().convert(state))
    assert all(
        torch.equal(own, other)
        for own, other in zip(
            from_file.module_.state_dict().values(), module.state_dict().values(), strict=True
        )
    )
    others = [
        AudioTagger.from_padertorch(state, classes=CLASSES),
        AudioTagger.from_checkpoint(tmp_path / "x.pth", classes=CLASSES),
        AudioTagger.from_padertorch(state, classes=CLASSES, network=FBCRNN(depth=depth)),
    ]
    expected = from_file.predict_proba([waveform])
    for other in others:
        np.testing.assert_array_equal(other.predict_proba([waveform]), expected)


def test_events_of_audioset_are_not_guessed():
    """The order of the outputs of a checkpoint of pb_sed is that of its own experiment."""
    state = pb_sed_state(0, n_events=527)
    tagger = AudioTagger.from_padertorch(state, classes=range(527))
    assert tagger.classes_.tolist() == list(range(527))
    with pytest.raises(TypeError, match="classes"):
        AudioTagger.from_padertorch(state)


def test_weights_of_walnet_still_load(rng):
    own = WALNetTagger().set_params(**SETTINGS | {"max_epochs": 1, "batch_size": 2})
    X = [rng.standard_normal(20000).astype(np.float32) for _ in range(2)]
    own.fit(X, [["a"], ["b"]])
    state = own.module_.state_dict()
    for tagger in (
        AudioTagger.from_padertorch(state, classes=["a", "b"]),
        WALNetTagger.from_padertorch(state, classes=["a", "b"]),
    ):
        assert tagger.network_.pooling == "mean"
        assert isinstance(tagger.network_, type(own.network_))


def crafted(key, change):
    """Change one tensor of a checkpoint; None: leave it out."""
    state = pb_sed_state(0)
    if change is None:
        del state[key]
    else:
        state[key] = change(state[key])
    return state


HEAD = "rnn_bwd.output_net.convs.1.conv"


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        (f"{HEAD}.weight", None, "holds no FBCRNN"),
        (f"{HEAD}.bias", None, "holds no FBCRNN"),
        (f"{HEAD}.weight", lambda x: x[:4], "holds no FBCRNN"),
        (f"{HEAD}.weight", lambda x: x.double(), "holds no FBCRNN"),
        (f"{HEAD}.weight", lambda x: "text", "holds no FBCRNN"),
        (f"{HEAD}.weight", lambda x: x[..., 0], "holds no FBCRNN"),
        (f"{HEAD}.weight", lambda x: x * torch.nan, "not finite|finite"),
        ("rnn_fwd.rnn.weight_hh_l1", None, "rnn_fwd.rnn.weight_hh_l1"),
        ("rnn_fwd.rnn.weight_hh_l1", lambda x: x[:5], "rnn_fwd.rnn.weight_hh_l1"),
        ("cnn.cnn_1d.output_norm.running_power", lambda x: x - torch.inf, "finite"),
        ("cnn.cnn_2d.convs.0.conv.weight", lambda x: torch.zeros(48, 1, 3, 3), "not supported"),
        ("cnn.cnn_2d.convs.3.conv.weight", None, "not supported"),
        ("feature_extractor.mel_transform.fbanks", lambda x: x[:200], "fbanks"),
    ],
)
def test_crafted_checkpoints_are_refused(tmp_path, key, change, message):
    torch.save(crafted(key, change), tmp_path / "x.pth")
    with pytest.raises(ValueError, match=message) as error:
        AudioTagger.from_padertorch(tmp_path / "x.pth", classes=CLASSES)
    assert "x.pth" in str(error.value)


def test_further_tensors_are_refused():
    state = pb_sed_state(0)
    state["rnn_fwd.more"] = torch.zeros(10**6)
    with pytest.raises(ValueError, match=r"rnn_fwd\.more"):
        AudioTagger.from_padertorch(state, classes=CLASSES)


def test_default_training_depends_on_the_network(data, tmp_path):
    rates = {WALNet: 2e-3, FBCRNN: 1e-3, CRNN: 1e-3, EfficientAT: 2e-3}
    for network, rate in rates.items():
        tagger = AudioTagger(network())
        assert tagger._resolve("lr", network()) == rate
        expected = Augmentation.fbcrnn_reference() if rate < 2e-3 else Augmentation()
        assert tagger._resolve_augmentation().get_params() == expected.get_params()
    trained = AudioTagger(NETWORK, **SETTINGS).fit(*data)
    assert trained.net_.lr == 1e-3
    same = AudioTagger(NETWORK, lr=1e-3, augmentation="fbcrnn_reference", **SETTINGS).fit(*data)
    np.testing.assert_array_equal(same.predict_proba(data[0]), trained.predict_proba(data[0]))
    trained.save(tmp_path / "t.sktagger")
    going_on = AudioTagger(init_from=tmp_path / "t.sktagger")  # the network is that of the file
    assert going_on._resolve_augmentation().mixup_domain == "waveform"


def test_settings_of_the_default_augmentation_are_those_of_the_network():
    tagger = AudioTagger(NETWORK).set_params(augmentation__noise=0.5)
    assert (tagger.augmentation.noise, tagger.augmentation.mixup_domain) == (0.5, "waveform")
    tagger = AudioTagger().set_params(network=NETWORK, augmentation__noise=0.5)
    assert tagger.augmentation.mixup_domain == "waveform"
    tagger = AudioTagger(NETWORK).set_params(network=None, augmentation__noise=0.5)
    assert tagger.augmentation.mixup_domain == "stft"
    tagger = AudioTagger(NETWORK, augmentation=None).set_params(
        augmentation="reference", augmentation__noise=0.5
    )
    assert tagger.augmentation.mixup_domain == "stft"
