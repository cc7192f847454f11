"""Training continues with the present settings; interruptions lose nothing that was learned."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    ProgressBar,
)

from sktagger import STFT, TunedThresholdTagger, WALNetTagger

pytestmark = pytest.mark.usefixtures("each_precision")

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "max_epochs": 1, "random_state": 0, "verbose": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 16000)).astype(np.float32)  # clips of several segments
    return X, np.array([[1, 0], [0, 1], [1, 1]] * 4)


def go_on(tagger, data, how):
    if how == "warm_start":
        return tagger.set_params(warm_start=True).fit(*data)
    return tagger.partial_fit(*data)


HOW = pytest.mark.parametrize("how", ["warm_start", "partial_fit"])


class Seen(Callback):
    """Notes what the training works with."""

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.rate = net.optimizer_.param_groups[0]["lr"]
            self.decay = net.optimizer_.param_groups[0]["weight_decay"]
            self.names = {name for name, _ in net.callbacks_}
            self.clip = dict(net.callbacks_)["gradient_clip"].gradient_clip_value
            self.patience = dict(net.callbacks_)["validation"].patience
            self.pooling, self.precision = net.module_.pooling, net.module_.precision


@HOW
def test_settings_of_now_hold_where_training_goes_on(data, how):
    seen = Seen()
    tagger = WALNetTagger(**SETTINGS, precision="float32").fit(*data)
    settings = {"weight_decay": 0.9, "schedule": "constant", "gradient_clip": 1e-9, "patience": 7}
    settings |= {"pooling": "mean", "precision": "bfloat16", "lr": 1e-5}
    go_on(tagger.set_params(**settings, callbacks=[seen]), data, how)
    assert (seen.rate, seen.decay, seen.clip, seen.patience) == (1e-5, 0.9, 1e-9, 7)
    assert (seen.pooling, seen.precision) == ("mean", "bfloat16")
    assert "schedule" not in seen.names


@HOW
def test_learning_rate_of_now_holds_with_a_schedule_too(data, how):
    seen = Seen()
    tagger = WALNetTagger(**SETTINGS, lr=2e-3).fit(*data)
    go_on(tagger.set_params(lr=1e-5, callbacks=[seen]), data, how)
    assert 0 < seen.rate <= 1e-5


@HOW
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_rate": 8100}, "sample_rate=8100.* trained with sample_rate=8000"),
        ({"fmin": 1000.0}, r"fmin=1000\.0.* trained with fmin=50\.0"),
        ({"stft": STFT(hop_length=100)}, "hop_length=100.* trained with hop_length=160"),
    ],
)
def test_settings_of_the_features_must_stay(data, how, change, message):
    tagger = WALNetTagger(**SETTINGS).fit(*data)
    before = tagger.predict_proba(data[0])
    with pytest.raises(ValueError, match=message):
        go_on(tagger.set_params(**change), data, how)
    np.testing.assert_array_equal(tagger.predict_proba(data[0]), before)


@pytest.mark.parametrize(
    "change",
    [{"pooling": "mean"}, {"fmin": 1e3}, {"sample_rate": 8100}, {"stft": STFT(hop_length=100)}],
)
def test_scores_are_of_the_settings_of_training_also_when_kept(data, tmp_path, change):
    tagger = WALNetTagger(**SETTINGS).fit(*data)
    before, sizes = tagger.predict_proba(data[0]), tagger.stft_
    tagger.set_params(**change)
    tagger.save(tmp_path / "t.safetensors")
    loaded = WALNetTagger.load(tmp_path / "t.safetensors")
    for kept in (tagger, pickle.loads(pickle.dumps(tagger)), loaded):
        np.testing.assert_array_equal(kept.predict_proba(data[0]), before)
        assert kept.stft_ == sizes
    assert (loaded.sample_rate, loaded.fmin, loaded.pooling) == (8000, 50.0, "linear_softmax")
    assert loaded.set_params(verbose=0).fit(*data).stft_ == sizes


def test_pooling_of_training_that_went_on_is_saved(data, tmp_path):
    tagger = WALNetTagger(**SETTINGS, warm_start=True).fit(*data)
    tagger.set_params(pooling="mean").fit(*data)
    tagger.save(tmp_path / "t.safetensors")
    loaded = WALNetTagger.load(tmp_path / "t.safetensors")
    assert loaded.pooling == "mean"
    np.testing.assert_array_equal(loaded.predict_proba(data[0]), tagger.predict_proba(data[0]))


@pytest.mark.bfloat16
def test_precision_and_device_of_now_hold_in_prediction(data, tmp_path):
    tagger = WALNetTagger(**SETTINGS, precision="float32").fit(*data)
    single = tagger.predict_proba(data[0])
    tagger.save(tmp_path / "t.safetensors")
    loaded = WALNetTagger.load(tmp_path / "t.safetensors", precision="bfloat16")
    half = loaded.predict_proba(data[0])
    assert 0 < np.abs(half - single).max() < 0.05
    assert loaded.precision == "bfloat16"
    np.testing.assert_array_equal(
        loaded.set_params(precision="float32", device="cpu").predict_proba(data[0]), single
    )
    with pytest.raises(ValueError, match="device='cuda:99' cannot be used"):
        loaded.set_params(device="cuda:99").predict_proba(data[0])


def test_epochs_are_counted_without_gaps(data):
    tagger = WALNetTagger(**SETTINGS)
    for _ in range(3):
        tagger.partial_fit(*data)
    assert tagger.history_["n_epochs"].tolist() == [1, 2, 3]
    assert tagger.set_params(warm_start=True).fit(*data).history_["n_epochs"].tolist()[-1] == 4


def test_an_epoch_that_was_not_finished_is_not_begun_again(data):
    settings = SETTINGS | {"max_iterations": 2, "warm_start": True}
    tagger = WALNetTagger(**settings).fit(*data)  # of three batches
    assert tagger.fit(*data).history_["n_epochs"].tolist() == [0, 1]


class CtrlC(Callback):
    """Interrupts training in the first batch of some validation interval."""

    def __init__(self, n_intervals=1):
        self.n_intervals = n_intervals

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == self.n_intervals:
            raise KeyboardInterrupt


def test_ctrl_c_before_anything_was_learned_leaves_the_tagger_as_it_was(data):
    message = "interrupted before the first validation interval ended; the tagger is unchanged"
    tagger = WALNetTagger(**SETTINGS, callbacks=[CtrlC()])
    with pytest.warns(UserWarning, match=message):
        tagger.fit(*data)
    with pytest.raises(NotFittedError):
        tagger.predict(data[0])
    tagger.set_params(callbacks=None).fit(*data)
    before = tagger.predict_proba(data[0])
    tagger.set_params(callbacks=[CtrlC(2)])  # after the validation before training
    with pytest.warns(UserWarning, match=message):
        tagger.fit(*data, X_val=data[0], Y_val=data[1])
    np.testing.assert_array_equal(tagger.predict_proba(data[0]), before)
    assert tagger.n_iter_ == 3


def test_ctrl_c_in_training_that_goes_on_leaves_the_weights_of_the_last_round(data):
    tagger = WALNetTagger(**SETTINGS, warm_start=True).fit(*data)
    before = tagger.predict_proba(data[0])
    with pytest.warns(
        UserWarning, match="has the weights of the last validation interval that ended"
    ):
        tagger.set_params(callbacks=[CtrlC(2)]).fit(*data)
    np.testing.assert_array_equal(tagger.predict_proba(data[0]), before)
    assert tagger.n_iter_ == 3


def test_ctrl_c_ends_what_the_tagger_is_a_part_of(data):
    tagger = WALNetTagger(**SETTINGS, callbacks=[CtrlC()])
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(tagger, *data, cv=2)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(tagger, {"lr": [1e-3, 1e-4]}, cv=2).fit(*data)
    with pytest.raises(KeyboardInterrupt):
        TunedThresholdTagger(tagger, cv=2).fit(*data)
    with pytest.raises(KeyboardInterrupt):
        tagger.set_params(cross_fit=2).fit_transform(*data)


def test_scores_that_were_computed_are_in_the_error(scenes, write_audio):
    X, Y = scenes.to_xy("balanced_train")
    tagger = WALNetTagger(**SETTINGS | {"batch_size": 2}).fit(X, Y)
    expected = tagger.predict_proba(X)
    # the shortest comes last; its header can be read
    path = write_audio("bad.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 4000), 8000)
    with open(path, "r+b") as file:
        file.seek(600)
        file.write(bytes(3000))
    with pytest.raises(ValueError, match=r"bad\.flac") as caught:
        tagger.predict_proba([*X, path])
    scores = caught.value.scores
    assert np.isnan(scores[-1]).all()
    computed = ~np.isnan(scores).any(axis=1)
    assert computed.sum() >= len(X) - 4  # except for batches that were being computed
    np.testing.assert_array_equal(scores[:-1][computed[:-1]], expected[computed[:-1]])


def test_scores_that_are_all_0_are_shared_by_the_labels(data):
    tagger = WALNetTagger(**SETTINGS).fit(data[0], ["a", "b", "c"] * 4)
    with torch.no_grad():
        tagger.module_.cnn.convs[-1].conv.bias.fill_(-200.0)
    np.testing.assert_array_equal(
        tagger.predict_proba(data[0]), np.full((12, 3), np.float32(1 / 3))
    )


@pytest.mark.parametrize(
    "callback",
    [
        ProgressBar(),
        EpochScoring("accuracy"),
        EpochScoring("average_precision", lower_is_better=False),
        EpochScoring("accuracy", on_train=True, name="train_accuracy"),
        LRScheduler("StepLR", step_size=1),
        EarlyStopping(patience=1),
        EarlyStopping("train_loss", patience=1),
    ],
    ids=lambda callback: f"{type(callback).__name__} {getattr(callback, 'monitor', '')}",
)
@pytest.mark.parametrize("validated", [True, False])
def test_callbacks_of_skorch_work(data, callback, validated):
    X, Y = data
    val = {"X_val": X, "Y_val": Y} if validated else {}
    needs = isinstance(callback, EarlyStopping) and callback.monitor == "valid_loss"
    if needs and not validated:
        callback = EarlyStopping("train_loss", patience=2)
    tagger = WALNetTagger(**SETTINGS | {"max_epochs": 2}, callbacks=[("theirs", callback)])
    tagger.fit(X, Y, **val)
    assert tagger.n_iter_ in (3, 6)
    if isinstance(callback, EpochScoring) and (validated or callback.on_train):
        rows = tagger.net_.history[int(validated) :]
        assert all(0 <= row[callback.name_] <= 1 for row in rows)


def test_accuracy_by_skorch_is_that_of_predictions(data):
    X, Y = data
    tagger = WALNetTagger(**SETTINGS, callbacks=[EpochScoring("accuracy")])
    tagger.fit(X, Y, X_val=X, Y_val=Y)
    expected = (tagger.predict(X) == Y).all(axis=1).mean()
    assert tagger.net_.history[-1, "accuracy"] == pytest.approx(expected)


def test_early_stop_by_skorch_is_no_interruption(data):
    X, Y = data
    settings = SETTINGS | {"max_epochs": 6, "lr": 1e-12, "precision": "float32"}
    tagger = WALNetTagger(**settings, callbacks=[EarlyStopping("valid_loss", patience=1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tagger.fit(X, Y, X_val=X, Y_val=Y)
    assert tagger.n_iter_ < 18
    assert tagger.net_.completed_


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("on_train", [True, False])
def test_callbacks_that_ask_for_all_clips_at_once_are_refused(data, validated, on_train):
    X, Y = data
    scoring = EpochScoring("accuracy", use_caching=False, on_train=on_train)
    tagger = WALNetTagger(**SETTINGS, callbacks=[("theirs", scoring)])
    val = {"X_val": X, "Y_val": Y} if validated else {}
    with pytest.raises(ValueError, match="'theirs' has use_caching=False"):
        tagger.fit(X, Y, **val)


@HOW
def test_source_of_weights_is_refused_where_training_goes_on(data, how):
    source = WALNetTagger(**SETTINGS).fit(*data)
    tagger = WALNetTagger(**SETTINGS, init_from=source).fit(*data)
    assert go_on(tagger, data, how).n_iter_ == 6
    copy = pickle.loads(pickle.dumps(tagger))
    assert go_on(copy, data, how).n_iter_ == 9
    tagger.set_params(init_from="other.safetensors")
    with pytest.raises(ValueError, match=r"init_from='other\.safetensors': only a new training"):
        go_on(tagger, data, how)
    assert go_on(tagger.set_params(init_from=None), data, how).n_iter_ == 9


def test_exit_in_the_midst_of_training_leaves_the_weights_of_the_last_round(data):
    class Exit(CtrlC):
        def on_batch_end(self, net, training, **kwargs):
            if training and len(net.history) == self.n_intervals:
                raise SystemExit(1)

    once = WALNetTagger(**SETTINGS, schedule="constant", augmentation=None).fit(*data)
    tagger = WALNetTagger(**SETTINGS | {"max_epochs": 3}, schedule="constant", augmentation=None)
    with pytest.raises(SystemExit):
        tagger.set_params(callbacks=[Exit(2)]).fit(*data)
    np.testing.assert_array_equal(tagger.predict_proba(data[0]), once.predict_proba(data[0]))
    assert tagger.n_iter_ == once.n_iter_ == 3


@pytest.mark.parametrize("method", ["predict_proba", "predict", "predict_segments", "score"])
def test_scores_of_a_training_that_diverged_are_an_error(data, method):
    tagger = WALNetTagger(**SETTINGS).fit(*data)
    with torch.no_grad():
        tagger.module_.cnn.convs[-1].conv.weight.fill_(torch.nan)
    arguments = data if method == "score" else data[:1]
    with pytest.raises(FloatingPointError, match="of clip 0 are not finite: its training diverged"):
        getattr(tagger, method)(*arguments)


@pytest.mark.parametrize(
    ("callback", "error", "message"),
    [
        (5, TypeError, "callbacks: got 5; allowed are skorch callbacks, and pairs"),
        (("mine", CtrlC(), 1), TypeError, r"callbacks: got \('mine', "),
        (("mine", print), TypeError, "allowed are skorch callbacks"),
        (("schedule", LRScheduler()), ValueError, "has a callback 'schedule' of its own"),
    ],
)
def test_what_is_no_callback(data, callback, error, message):
    with pytest.raises(error, match=message):
        WALNetTagger(**SETTINGS, callbacks=[callback]).fit(*data)
