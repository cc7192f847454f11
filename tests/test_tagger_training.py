"""Training: continue, stop early, weight and hold out clips."""

import numpy as np
import pytest
import sklearn
import soundfile
import torch
from _networks import TinyNet
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback

from sktagger import AudioTagger, Augmentation, ThresholdTuner, WALNetTagger
from sktagger.audio import clips
from sktagger.audio.reading import read_audio
from sktagger.metrics import scorers
from sktagger.model_selection import MultilabelStratifiedGroupKFold, stratified_hold_out
from sktagger.training.callbacks import Checkpoint, load_checkpoint
from sktagger.training.net import label_cross_entropy

SETTINGS = {"batch_size": 4, "max_epochs": 1, "random_state": 0}
N_FRAMES = 4  # of a clip


def make_tagger(**settings):
    """Make a tagger with a tiny network at 1 kHz, which trains in milliseconds."""
    return AudioTagger(TinyNet(width=8), **SETTINGS | settings)


def make_walnet_tagger(**settings):
    return WALNetTagger(sample_rate=8000, **SETTINGS | settings)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((12, 500)), np.array([[1, 0], [0, 1], [1, 1]] * 4)


def weights(tagger):
    return torch.cat([p.detach().flatten() for p in tagger.module_.state_dict().values()])


def test_partial_fit_continues_training(data):
    X, Y = data
    tagger = make_tagger()
    first = weights(tagger.partial_fit(X, Y, classes=["a", "b"]))
    assert tagger.n_iter_ == 3
    second = weights(tagger.partial_fit(X, Y))
    assert tagger.n_iter_ == 6
    assert list(tagger.classes_) == ["a", "b"]
    assert not torch.equal(first, second)
    assert tagger.history_["n_epochs"].is_monotonic_increasing


def test_partial_fit_takes_batches_without_some_events():
    X = np.random.default_rng(0).standard_normal((2, 500))
    tagger = make_tagger().partial_fit(X, [["a"], ["b"]])
    assert tagger.partial_fit(X, [["b"], ["b"]]).predict_proba(X).shape == (2, 2)
    with pytest.raises(ValueError, match="'c', which is not among the 2 events"):
        tagger.partial_fit(X, [["c"], []])


def test_first_partial_fit_may_have_no_events():
    X = np.random.default_rng(0).standard_normal((2, 500))
    tagger = make_tagger().partial_fit(X, [[], []], classes=["b", "a"])
    assert tagger.classes_.tolist() == ["b", "a"]
    assert tagger.partial_fit(X, [["a"], ["b"]]).predict_proba(X).shape == (2, 2)
    with pytest.raises(ValueError, match="classes is 'a', 'a'"):
        make_tagger().partial_fit(X, [["a"], []], classes=["a", "a"])


def test_warm_start_continues_training(data):
    X, Y = data
    tagger = make_tagger(warm_start=True).fit(X, Y)
    once = weights(tagger)
    assert tagger.fit(X, Y).n_iter_ == 6
    assert not torch.equal(weights(tagger), once)
    cold = tagger.set_params(warm_start=False).fit(X, Y)
    assert cold.n_iter_ == 3
    assert torch.equal(weights(cold), once)


def test_warm_start_needs_the_same_events(data):
    X, Y = data
    tagger = make_tagger(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="must be those of the earlier training"):
        tagger.fit(X, np.hstack([Y, Y]))


def test_training_stops_when_validation_does_not_improve(data):
    X, Y = data
    settings = {"max_epochs": 50, "lr": 1e-9}
    tagger = make_tagger(**settings, patience=2).fit(X, Y, X_val=X, Y_val=Y)
    scores = tagger.history_["valid_mAP"].to_numpy()
    assert len(scores) < 20
    assert scores.argmax() == len(scores) - 3
    assert tagger.score(X, Y) == pytest.approx(scores.max())


def script_scores(monkeypatch, scores):
    """Set the validation mAPs of the intervals; the first one comes before training."""
    scores = iter(scores)
    monkeypatch.setattr(
        "sktagger.training.callbacks.mean_average_precision", lambda *_: next(scores)
    )


def validation_loss(tagger, X, Y):
    scores = tagger.predict_proba(X)
    return -np.log(np.where(Y, scores, 1 - scores)).sum(axis=1).mean()


def test_validation_loss_decides_between_intervals_of_the_same_map(data, monkeypatch):
    X, Y = data
    script_scores(monkeypatch, [0.1, 0.9, 0.9, 0.9, 0.9, 0.9])
    settings = {"max_epochs": 5, "lr": 0.01}
    tagger = make_tagger(**settings).fit(X, Y, X_val=X, Y_val=Y)
    tied = tagger.history_.iloc[1:]
    assert tied["valid_loss"].idxmin() in (2, 3, 4)  # neither the first nor the last
    assert tied.index[tied["valid_mAP_best"]][-1] == tied["valid_loss"].idxmin()
    assert validation_loss(tagger, X, Y) == pytest.approx(tied["valid_loss"].min(), rel=1e-4)


@pytest.mark.usefixtures("each_precision")
@pytest.mark.parametrize(("loss", "with_labels"), [("auto", True), ("binary_cross_entropy", False)])
def test_loss_of_labels(data, monkeypatch, loss, with_labels):
    X, labels = data[0], np.array(["a", "b", "c"] * 4)
    script_scores(monkeypatch, [0.1, 0.9])  # the last weights are kept
    tagger = make_walnet_tagger(loss=loss).fit(X, labels, X_val=X, Y_val=labels)
    scores = np.concatenate(tagger.predict_segments(X))  # clips of one segment
    right = labels[:, np.newaxis] == tagger.classes_
    expected = -np.log(np.where(right, scores, 1 - scores)).sum(axis=1)
    expected -= with_labels * np.log(tagger.predict_proba(X)[right])
    assert tagger.history_["valid_loss"][1] == pytest.approx(expected.mean(), rel=1e-4)


def test_cross_entropy_of_labels_equals_a_naive_sum(rng):
    scores = rng.random((5, 4))
    events = np.eye(4)[[0, 1, 2, 3, 0]]
    events[2, 0] = 1  # a mixture
    expected = [
        np.mean([-np.log(s / sum(row)) for s, e in zip(row, of_clip, strict=True) if e])
        for row, of_clip in zip(scores, events, strict=True)
    ]
    given = label_cross_entropy(torch.tensor(scores), torch.tensor(events))
    np.testing.assert_allclose(given, expected)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1.0])
def test_cross_entropy_of_labels_and_its_gradient_are_finite(value):
    scores = torch.full((1, 3), value, requires_grad=True)
    loss = label_cross_entropy(scores, torch.tensor([[0.0, 1.0, 0.0]]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert scores.grad.isfinite().all()


def test_patience_counts_intervals_without_a_better_map(data, monkeypatch):
    X, Y = data
    settings = {"max_epochs": 9, "patience": 3}
    script_scores(monkeypatch, [0.1, 0.9, 0.9, 0.9, 0.9, 0.95])
    tagger = make_tagger(**settings).fit(X, Y, X_val=X, Y_val=Y)
    assert tagger.history_["valid_mAP"].tolist() == [0.1, 0.9, 0.9, 0.9, 0.9]


def test_patience_counts_across_resumed_training(data, monkeypatch, tmp_path):
    X, Y = data
    settings = {"max_epochs": 9, "patience": 3, "callbacks": [Checkpoint(tmp_path)]}
    script_scores(monkeypatch, [0.1, 0.9])
    interrupted = settings | {"callbacks": [Checkpoint(tmp_path), CtrlC()]}
    with pytest.warns(UserWarning, match="interrupted"):
        make_tagger(**interrupted).fit(X, Y, X_val=X, Y_val=Y)
    script_scores(monkeypatch, [0.9, 0.9, 0.9, 0.95])
    tagger = make_tagger(**settings).fit(X, Y, X_val=X, Y_val=Y)
    assert tagger.history_["valid_mAP"].tolist() == [0.1, 0.9, 0.9, 0.9, 0.9]
    tied = tagger.history_.iloc[1:]
    assert tied.index[tied["valid_mAP_best"]][-1] == tied["valid_loss"].idxmin()
    assert validation_loss(tagger, X, Y) == pytest.approx(tied["valid_loss"].min(), rel=1e-4)


class CtrlC(Callback):
    """Interrupts training in its third validation interval."""

    def on_batch_begin(self, net, training, **kwargs):
        if training and len(net.history) == 3:
            raise KeyboardInterrupt


def test_interrupted_training_leaves_the_best_so_far(data):
    X, Y = data
    tagger = make_tagger(max_epochs=9, callbacks=[CtrlC()])
    with pytest.warns(UserWarning, match="interrupted; the tagger has the best weights so far"):
        tagger.fit(X, Y, X_val=X, Y_val=Y)
    trained = tagger.history_["valid_mAP"].iloc[1:]  # the first is that of random weights
    assert tagger.score(X, Y) == pytest.approx(trained.max())


class Spoil(Callback):
    """Sets a tensor of the network to NaN in a validation interval."""

    def __init__(self, interval, name="first.bias"):
        self.interval = interval
        self.name = name

    def on_batch_begin(self, net, training, **kwargs):
        if training and len(net.history) == self.interval:
            net.module_.state_dict()[self.name].fill_(torch.nan)


class SpoilGradient(Callback):
    """Sets a gradient to NaN in the last batch of the second interval, with a finite loss."""

    done = False

    def on_grad_computed(self, net, named_parameters, **kwargs):
        if len(net.history) == 2 and len(net.history[-1, "batches"]) == 3 and not self.done:
            self.done = True
            for _, parameter in named_parameters:
                parameter.grad.fill_(torch.nan)


@pytest.mark.parametrize(
    ("make", "name"),
    [(make_tagger, "first.bias"), (make_walnet_tagger, "feature_extractor.norm.running_mean")],
)
def test_divergence_is_an_error_that_says_where_and_leaves_the_best(data, tmp_path, make, name):
    X, Y = data
    tagger = make(max_epochs=9, callbacks=[Spoil(4, name), Checkpoint(tmp_path)])
    message = r"diverged at iteration 7: the loss is nan\. Set a lower lr \(it is 0\.002\)"
    with pytest.raises(FloatingPointError, match=message):
        tagger.fit(X, Y, X_val=X, Y_val=Y)
    assert tagger.n_iter_ == 6
    assert tagger.score(X, Y) == pytest.approx(tagger.history_["valid_mAP"][1:].max())
    for name in ("best.safetensors", "latest.safetensors"):
        checkpoint = load_checkpoint(tmp_path / name)
        assert all(value.isfinite().all() for value in checkpoint["model"].values())


def test_divergence_without_validation_leaves_the_last_interval(data):
    X, Y = data
    settings = {
        "schedule": "constant",
        "augmentation": Augmentation(final_weak_fraction=0),
    }
    once = make_tagger(**settings).fit(X, Y)
    tagger = make_tagger(**settings | {"max_epochs": 9}, callbacks=[Spoil(2)])
    with pytest.raises(FloatingPointError, match="diverged at iteration 4"):
        tagger.fit(X, Y)
    assert tagger.n_iter_ == 3
    assert torch.equal(weights(tagger), weights(once))


def test_weights_that_are_not_finite_reach_no_checkpoint(data, tmp_path):
    X, Y = data
    callbacks = [SpoilGradient(), Checkpoint(tmp_path)]
    tagger = make_tagger(max_epochs=9, gradient_clip=None)
    with pytest.raises(FloatingPointError, match="iteration 6: weights or running statistics"):
        tagger.set_params(callbacks=callbacks).fit(X, Y)
    assert load_checkpoint(tmp_path / "latest.safetensors")["n_iterations"] == 3
    assert weights(tagger).isfinite().all()


def test_training_continues_after_divergence(data):
    X, Y = data
    tagger = make_tagger(max_epochs=9, gradient_clip=None, warm_start=True)
    with pytest.raises(FloatingPointError, match="diverged"):
        tagger.set_params(callbacks=[SpoilGradient()]).fit(X, Y)
    before = weights(tagger)
    tagger.set_params(max_epochs=1).fit(X, Y)
    assert tagger.n_iter_ == 6
    assert weights(tagger).isfinite().all()
    assert not torch.equal(weights(tagger), before)


def test_divergence_after_resuming_leaves_what_was_resumed(data, tmp_path):
    X, Y = data
    settings = {"max_epochs": 3}
    once = make_tagger(**settings, callbacks=[Checkpoint(tmp_path), CtrlC()])
    with pytest.warns(UserWarning, match="interrupted"):
        once.fit(X, Y)
    tagger = make_tagger(**settings, callbacks=[Checkpoint(tmp_path), Spoil(3)])
    with pytest.raises(FloatingPointError, match="keeps the weights of earlier intervals"):
        tagger.fit(X, Y)
    assert torch.equal(weights(tagger), weights(once))


def test_initial_weights_that_are_not_finite_are_reported(data, tmp_path):
    X, Y = data
    source = make_tagger().fit(X, Y)
    source.module_.state_dict()["second.bias"].fill_(torch.nan)
    tagger = make_tagger(init_from=source)
    with pytest.raises(FloatingPointError, match=r"iteration 0: weights .* training started from"):
        tagger.fit(X, Y, X_val=X, Y_val=Y)


def test_divergence_in_the_first_interval_leaves_the_earlier_fit(data):
    X, Y = data
    tagger = make_tagger().fit(X, Y)
    before = weights(tagger)
    tagger.set_params(callbacks=[Spoil(1)])
    with pytest.raises(FloatingPointError, match="diverged at iteration 1"):
        tagger.fit(X, np.hstack([Y, Y]))
    assert torch.equal(weights(tagger), before)
    assert tagger.predict_proba(X).shape == Y.shape
    unfitted = make_tagger(callbacks=[Spoil(1)])
    with pytest.raises(FloatingPointError, match="diverged at iteration 1"):
        unfitted.fit(X, Y)
    with pytest.raises(NotFittedError):
        unfitted.predict(X)


class CountBatches(Callback):
    """Counts the training batches."""

    n_batches = 0

    def on_batch_begin(self, net, training, **kwargs):
        self.n_batches += training


@pytest.fixture
def damaged(scenes, tmp_path):
    """A file with a valid header and audio that cannot be decoded."""
    samples, rate = soundfile.read(scenes.to_xy("validate")[0][0])
    path = tmp_path / "damaged.flac"
    soundfile.write(path, samples, rate)
    content = bytearray(path.read_bytes())
    content[len(content) // 4 :] = bytes(len(content) - len(content) // 4)
    path.write_bytes(content)
    assert soundfile.info(path).frames == len(samples)
    return str(path)


def test_damaged_validation_file_is_noticed_before_training(scenes, damaged):
    X, Y = scenes.to_xy("balanced_train")
    X_val, Y_val = scenes.to_xy("validate")
    counter = CountBatches()
    tagger = make_tagger(callbacks=[counter])
    with pytest.raises(ValueError, match=r"damaged\.flac"):
        tagger.fit(X, Y, X_val=[*X_val[:-1], damaged], Y_val=Y_val)
    assert counter.n_batches == 0


@pytest.mark.parametrize("where", ["training", "validation"])
def test_file_without_audio_is_noticed_before_training(scenes, tmp_path, where):
    X, Y = scenes.to_xy("balanced_train")
    (tmp_path / "text.wav").write_text("no audio")
    bad = [*X[:-1], str(tmp_path / "text.wav")]
    train, valid = (bad, X) if where == "training" else (X, bad)
    counter = CountBatches()
    tagger = make_tagger(callbacks=[counter])
    with pytest.raises(ValueError, match=r"text\.wav"):
        tagger.fit(train, Y, X_val=valid, Y_val=Y)
    assert counter.n_batches == 0


def test_damaged_training_file_is_named_and_changes_nothing(scenes, damaged):
    X, Y = scenes.to_xy("balanced_train")
    tagger = make_tagger(warm_start=True).fit(X, Y)
    before = tagger.predict_proba(X)
    with pytest.raises(ValueError, match=r"damaged\.flac"):
        tagger.fit([damaged] * len(X), Y, X_val=X, Y_val=Y)
    np.testing.assert_array_equal(tagger.predict_proba(X), before)


def test_part_of_the_clips_is_held_out(data):
    X, Y = data
    tagger = make_tagger(validation_fraction=0.25).fit(X, Y)
    assert sum(tagger.net_.history[-1, "batches", :, "train_batch_size"]) == 9
    assert tagger.history_["valid_mAP"].notna().all()


@pytest.mark.parametrize(
    "settings", [{"class_weight": {1: 5.0}}, {"class_weight": "balanced"}, {"sampler": "balanced"}]
)
def test_weights_change_the_training(data, settings):
    X, Y = data
    Y = Y.copy()
    Y[3:, 1] = 0
    plain = make_tagger().fit(X, Y)
    weighted = make_tagger(**settings).fit(X, Y)
    assert not torch.equal(weights(plain), weights(weighted))


def test_labels_are_weighted_like_their_clips(data):
    X, _ = data
    y = np.array(["a", "b", "c"] * 4)
    settings = {"augmentation": None}
    by_label = make_tagger(**settings, class_weight={"b": 3.0}).fit(X, y)
    by_clip = make_tagger(**settings).fit(X, y, sample_weight=np.where(y == "b", 3.0, 1.0))
    torch.testing.assert_close(weights(by_label), weights(by_clip), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), "shape \\(3,\\), but there are 12 clips"),
        (-np.ones(12), "must not be negative"),
        (np.zeros(12), "not be zero for all"),
        (np.full(12, np.nan), "NaN"),
    ],
)
def test_bad_sample_weights(data, weight, message):
    with pytest.raises(ValueError, match=message):
        make_tagger().fit(*data, sample_weight=weight)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
@pytest.mark.filterwarnings("ignore:fit_transform scores")
def test_weights_are_routed_through_pipelines_and_cross_validation(data):
    X, Y = data
    seen = []

    class Spy(AudioTagger):
        def fit(self, X, y, *, sample_weight=None, X_val=None, Y_val=None):
            seen.append(sample_weight)
            return super().fit(X, y, sample_weight=sample_weight, X_val=X_val, Y_val=Y_val)

    tagger = Spy(TinyNet(width=8), **SETTINGS).set_fit_request(sample_weight=True)
    pipe = Pipeline([("tagger", tagger), ("tuner", ThresholdTuner())])
    weight = np.arange(1.0, 13.0)
    pipe.fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(seen.pop(), weight)
    cross_validate(tagger, X, Y, cv=2, params={"sample_weight": weight}, error_score="raise")
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), weight)


def test_cross_fit_gives_out_of_fold_scores(data):
    X, Y = data
    tagger = make_tagger(cross_fit=3)
    scores = tagger.fit_transform(X, Y)
    fold = make_tagger()
    for train, test in MultilabelStratifiedGroupKFold(3).split(X, Y):
        expected = fold.fit(X[train], Y[train]).predict_proba(X[test])
        np.testing.assert_array_equal(scores[test], expected)
    everything = make_tagger().fit(X, Y)
    np.testing.assert_array_equal(tagger.predict_proba(X), everything.predict_proba(X))


def test_fit_transform_warns_without_cross_fit(data):
    with pytest.warns(UserWarning, match="just trained on.*cross_fit=5") as caught:
        make_tagger().fit_transform(*data)
    assert len(caught) == 1


def test_one_prediction_pass_serves_all_scorers(data, monkeypatch):
    X, Y = data
    calls = []
    predict_proba = AudioTagger.predict_proba
    monkeypatch.setattr(
        AudioTagger, "predict_proba", lambda self, X: calls.append(1) or predict_proba(self, X)
    )
    cross_validate(make_tagger(), X, Y, cv=2, scoring=scorers, error_score="raise")
    assert len(calls) == 2


def test_cache_decodes_each_file_once(scenes, tmp_path, monkeypatch):
    X, Y = scenes.to_xy("balanced_train")
    plain = make_tagger(max_epochs=2).fit(X, Y)
    calls = []
    monkeypatch.setattr(clips, "read_audio", lambda *args: calls.append(args) or read_audio(*args))
    cached = make_tagger(max_epochs=2, memory=tmp_path).fit(X, Y)
    assert len({str(section) for section, _ in calls}) == len(X)
    assert len(calls) <= len(X) + 2  # two threads may decode one file at the same time
    assert torch.equal(weights(cached), weights(plain))


def test_failed_fit_leaves_the_earlier_one_usable(data):
    X, Y = data
    tagger = make_tagger().fit(X, Y)
    expected = tagger.predict_proba(list(X))
    with pytest.raises(FileNotFoundError):
        tagger.fit(["missing.wav"] * 3, [["a"], ["b"], ["c"]])
    np.testing.assert_array_equal(tagger.predict_proba(list(X)), expected)


class Rates(Callback):
    """Records the learning rate of each batch."""

    def __init__(self):
        self.rates = []

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.rates.append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize("length", [{"max_epochs": 4}, {"max_iterations": 12}])
def test_learning_rate_rises_then_falls_to_zero(data, length):
    seen = Rates()
    settings = {"lr": 0.01, **length}
    make_tagger(**settings, schedule="one_cycle", callbacks=[seen]).fit(*data)
    rates = np.array(seen.rates)
    assert len(rates) == 12
    top = rates.argmax()
    assert rates[0] == pytest.approx(0.01 / 25)
    assert 0.009 < rates[top] <= 0.01
    assert top in (2, 3)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert 0 < rates[-1] < 0.0005


@pytest.mark.parametrize("length", [{"max_epochs": 10}, {"max_iterations": 30}])
def test_learning_rate_steps_down_in_the_middle(data, length):
    seen = Rates()
    make_tagger(lr=0.01, **length, schedule="step", callbacks=[seen]).fit(*data)
    assert len(seen.rates) == 30
    # 30 batches: the first 5 % are one and a half
    expected = [0.0, 0.01 * (1 / 30) / 0.05, *[0.01] * 13, *[0.002] * 15]
    np.testing.assert_allclose(seen.rates, expected, rtol=0.04)


def test_learning_rate_of_resumed_training_is_that_of_an_uninterrupted_one(data, tmp_path):
    whole, parts = Rates(), Rates()
    settings = {"max_epochs": 3}
    make_tagger(**settings, callbacks=[whole]).fit(*data)

    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    callbacks = [Checkpoint(tmp_path), parts]
    with pytest.warns(UserWarning, match="interrupted"):
        make_tagger(**settings, callbacks=[*callbacks, Stop()]).fit(*data)
    assert len(parts.rates) == 3
    make_tagger(**settings, callbacks=callbacks).fit(*data)
    assert parts.rates == whole.rates


@pytest.mark.parametrize("length", [{"max_epochs": 2}, {"max_iterations": 6}])
def test_continued_training_has_its_own_learning_rate_cycle(data, length):
    seen = Rates()
    tagger = make_tagger(**length, warm_start=True, callbacks=[seen])
    tagger.fit(*data).fit(*data)
    assert len(seen.rates) == 12
    assert seen.rates[6:] == seen.rates[:6]


def test_learning_rate_is_constant_if_the_end_is_not_known(data):
    seen = Rates()
    tagger = make_tagger(lr=0.002, callbacks=[seen])
    tagger.partial_fit(*data, classes=[0, 1]).partial_fit(*data)
    assert seen.rates == 6 * [0.002]
    seen.rates.clear()
    tagger.set_params(schedule="constant").fit(*data)
    assert seen.rates == 3 * [0.002]


class Mixtures(Callback):
    """Counts the mixtures in each batch, which are longer than clips."""

    def __init__(self):
        self.counts = []

    def on_batch_end(self, net, batch, training, **kwargs):
        if training:
            self.counts.append(int((batch[0]["n_frames"] > N_FRAMES).sum()))


MIXED = Augmentation(stretch=0, mixup_prob=1, mixup_overlap=0.05, final_weak_fraction=0.5)


@pytest.mark.parametrize("length", [{"max_epochs": 2}, {"max_iterations": 6}])
def test_second_half_of_training_has_weak_augmentation(data, length):
    seen = Mixtures()
    settings = {**length, "augmentation": MIXED}
    tagger = make_tagger(**settings, warm_start=True, callbacks=[seen])
    tagger.fit(*data).fit(*data)
    assert len(seen.counts) == 12
    first, second, third, fourth = np.reshape(seen.counts, (4, 3)).sum(1)
    assert (second, fourth) == (0, 0)
    assert min(first, third) > 6


def test_no_weak_augmentation_if_the_end_is_not_known(data):
    seen = Mixtures()
    tagger = make_tagger(augmentation=MIXED, callbacks=[seen])
    tagger.partial_fit(*data, classes=[0, 1]).partial_fit(*data)
    assert sum(seen.counts[:3]) > 6
    assert sum(seen.counts[3:]) > 6


def test_weight_decay_shrinks_weights(data):
    norms = []
    for decay in (0.0, 0.9):
        tagger = make_tagger(schedule="constant", lr=0.1, weight_decay=decay)
        norms.append(tagger.fit(*data).module_.second.weight.norm())
    assert norms[1] < 0.95 * norms[0]


@pytest.mark.parametrize("settings", [{}, {"sampler": "balanced", "class_weight": "balanced"}])
def test_clips_of_weight_zero_have_no_effect(data, settings):
    X, Y = data
    weight = np.array([1.0, 0, 2, 1, 0, 1, 1, 1, 3, 1, 1, 1])
    tagger = make_tagger(max_epochs=2, **settings)
    with_them = weights(tagger.fit(X, Y, sample_weight=weight))
    assert tagger.n_iter_ == 6
    used = weight > 0
    assert torch.equal(weights(tagger.fit(X[used], Y[used], sample_weight=weight[used])), with_them)


def test_files_of_weight_zero_are_not_read(data, tmp_path):
    _, Y = data
    paths = [str(tmp_path / f"{i}.wav") for i in range(12)]
    for path in paths[:-1]:
        soundfile.write(path, np.zeros(500), 1000)
    tagger = make_tagger(on_error="skip")
    tagger.fit(paths, Y, sample_weight=np.arange(12) < 11)
    assert tagger.skipped_.empty


@pytest.mark.parametrize("weight", [np.arange(12) != 2, np.arange(12) == 2])
def test_partial_fit_leaves_clips_of_weight_zero_out(data, weight):
    X, Y = data
    tagger = make_tagger()
    partly = weights(tagger.partial_fit(X, Y, sample_weight=weight))
    alone = make_tagger().partial_fit(X[weight], Y[weight], classes=[0, 1])
    assert torch.equal(partly, weights(alone))


def test_groups_are_not_split_by_validation_fraction(data):
    X, Y = data
    groups = np.repeat(["a", "b", "c", "d"], 3)
    tagger = make_tagger(validation_fraction=0.4).fit(X, Y, groups=groups)
    seed = np.random.RandomState(0).randint(2**31 - 1)
    kept, held = stratified_hold_out(Y, 0.4, groups, random_state=seed)
    expected = make_tagger().fit(X[kept], Y[kept], X_val=X[held], Y_val=Y[held])
    assert torch.equal(weights(tagger), weights(expected))
    assert tagger.history_["valid_loss"].tolist() == expected.history_["valid_loss"].tolist()


def test_cross_fit_keeps_groups_together(data):
    X, Y = data
    groups = list("aabbccddeeff")
    settings = {"validation_fraction": 0.4}
    scores = make_tagger(**settings, cross_fit=2).fit_transform(X, Y, groups=groups)
    group_of = np.repeat(np.arange(6), 2)
    for train, test in MultilabelStratifiedGroupKFold(2).split(X, Y, groups):
        assert not set(group_of[train]) & set(group_of[test])
        fold = make_tagger(**settings).fit(X[train], Y[train], groups=group_of[train])
        np.testing.assert_array_equal(scores[test], fold.predict_proba(X[test]))


@pytest.mark.usefixtures("routing")
@pytest.mark.filterwarnings("ignore:fit_transform scores")
def test_groups_are_routed_without_a_request(data):
    X, Y = data
    seen = []

    class Spy(AudioTagger):
        def fit(self, X, y, *, groups=None):
            seen.append(groups)
            return super().fit(X, y, groups=groups)

    groups = np.repeat(np.arange(6), 2)
    params = {"params": {"groups": groups}, "error_score": "raise"}
    cross_validate(
        Spy(TinyNet(width=8), **SETTINGS), X, Y, cv=MultilabelStratifiedGroupKFold(2), **params
    )
    assert sorted(set(seen[0]) | set(seen[1])) == list(range(6))
    assert not set(seen[0]) & set(seen[1])
    Pipeline([("tagger", Spy(TinyNet(width=8), **SETTINGS)), ("tuner", ThresholdTuner())]).fit(
        X, Y, groups=groups
    )
    np.testing.assert_array_equal(seen[2], groups)


def test_groups_of_a_cross_validation_need_no_routing(data):
    X, Y = data
    cv = MultilabelStratifiedGroupKFold(2)
    groups = np.repeat(np.arange(6), 2)
    cross_validate(make_tagger(), X, Y, cv=cv, groups=groups, error_score="raise")


def test_partial_fit_keeps_the_events_of_the_first_call(data):
    X, Y = data
    tagger = make_tagger().partial_fit(X, Y, classes=["b", "a"])
    tagger.partial_fit(X, Y, classes=["a", "b"])
    assert tagger.classes_.tolist() == ["b", "a"]
    with pytest.raises(ValueError, match=r"classes is .*'c'.* first call of partial_fit had the 2"):
        tagger.partial_fit(X, Y, classes=["a", "b", "c"])
