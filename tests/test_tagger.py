"""Taggers: fit, predict, evaluate, and what scikit-learn's tools do with them."""

import threading
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from _networks import TinyNet, make_walnet
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback

from sktagger import STFT, AudioTagger, Augmentation, ThresholdTuner, WALNetTagger
from sktagger.batching.devices import resolve_precision
from sktagger.metrics import map_scorer, mean_average_precision
from sktagger.networks import EfficientAT, WALNet, WALNetModule
from sktagger.training.callbacks import Checkpoint, load_checkpoint

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "max_epochs": 1, "random_state": 0}


def tiny_tagger(**settings):
    """Make a tagger that trains in milliseconds, for tests that are not about WALNet."""
    defaults = {"batch_size": 4, "max_epochs": 1, "random_state": 0}
    return AudioTagger(TinyNet(rate=8000, width=8), **defaults | settings)


def weights(tagger):
    return torch.cat([p.detach().flatten() for p in tagger.module_.state_dict().values()])


@pytest.fixture(scope="module")
def fitted(scenes, each_precision):
    X, Y = scenes.to_xy("balanced_train")
    return WALNetTagger(**SETTINGS).fit(X, Y)


@pytest.fixture(scope="module")
def tiny(scenes):
    """A fitted tagger with a tiny network."""
    return tiny_tagger().fit(*scenes.to_xy("balanced_train"))


@pytest.mark.bfloat16
def test_scores_have_a_column_per_event(fitted, scenes):
    X, Y = scenes.to_xy("validate")
    scores = fitted.predict_proba(X)
    assert list(fitted.classes_) == list(Y.columns)
    assert scores.shape == Y.shape
    assert ((scores >= 0) & (scores <= 1)).all()


def test_order_of_clips_and_batch_size_change_nothing(fitted, scenes):
    X, _ = scenes.to_xy("balanced_train")
    expected = fitted.predict_proba(X)
    shuffled = clone(fitted)
    shuffled.__dict__.update(fitted.__dict__)
    order = np.random.default_rng(0).permutation(len(X))
    shuffled.batch_size = 3
    np.testing.assert_allclose(shuffled.predict_proba(X[order]), expected[order], atol=1e-6)


@pytest.mark.bfloat16
def test_segments_weighted_by_themselves_average_to_the_scores(fitted):
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(8000 * 5), rng.standard_normal(8000)]
    long, short = fitted.predict_segments(X)
    assert len(short) == 1
    assert list(long.columns) == list(fitted.classes_)
    expected = [(table**2).sum() / table.sum() for table in (long, short)]
    np.testing.assert_allclose(expected, fitted.predict_proba(X), rtol=0, atol=1e-5)


def test_segments_have_times_in_seconds(fitted):
    (table,) = fitted.predict_segments([np.random.default_rng(0).standard_normal(8000 * 5)])
    onset, offset = (table.index.get_level_values(name) for name in ("onset", "offset"))
    np.testing.assert_allclose(onset, [0.0, 1.28, 2.56])
    np.testing.assert_allclose(offset, [2.56, 3.84, 5.0])


def test_predicted_events_have_scores_above_a_half(fitted, scenes):
    X, _ = scenes.to_xy("validate")
    np.testing.assert_array_equal(fitted.predict(X), fitted.predict_proba(X) > 0.5)


def test_score_is_the_mean_average_precision(fitted, scenes):
    X, Y = scenes.to_xy("balanced_train")
    assert fitted.score(X, Y) == mean_average_precision(Y, fitted.predict_proba(X))


@pytest.mark.usefixtures("each_precision")
def test_learns_to_distinguish_noise_and_tones():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((20, 2000))
    tone = np.sin(2 * np.pi * rng.uniform(300, 1000, (20, 1)) * np.arange(2000) / 8000)
    X = np.concatenate([noise, tone, 0.3 * noise + tone])
    Y = np.repeat([[1, 0], [0, 1], [1, 1]], 20, axis=0)
    tagger = WALNetTagger(
        **SETTINGS | {"batch_size": 10, "max_epochs": 3}, augmentation=Augmentation(mixup_prob=0)
    )
    tagger.fit(X[::2], Y[::2], X_val=X[1::4], Y_val=Y[1::4])
    assert tagger.score(X[3::4], Y[3::4]) > 0.9


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_same_seed_gives_the_same_weights_whatever_the_number_of_threads(fitted, scenes, n_jobs):
    X, Y = scenes.to_xy("balanced_train")
    again = WALNetTagger(**SETTINGS, n_jobs=n_jobs).fit(X, Y)
    assert torch.equal(weights(again), weights(fitted))


def test_another_seed_gives_other_weights(tiny, scenes):
    X, Y = scenes.to_xy("balanced_train")
    other = tiny_tagger(random_state=1).fit(X, Y)
    assert not torch.equal(weights(other), weights(tiny))


def test_global_random_state_is_neither_used_nor_changed(scenes):
    X, Y = scenes.to_xy("balanced_train")
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    WALNetTagger(**SETTINGS).fit(X, Y)
    assert torch.equal(torch.random.get_rng_state(), expected[0])
    np.testing.assert_array_equal(np.random.get_state()[1], expected[1])  # noqa: NPY002


@pytest.mark.bfloat16
@pytest.mark.usefixtures("each_precision")
def test_best_weights_are_restored(scenes, tmp_path):
    X, Y = scenes.to_xy("balanced_train")
    X_val, Y_val = scenes.to_xy("validate")
    tagger = WALNetTagger(
        **SETTINGS | {"max_epochs": 3, "lr": 3e-3}, callbacks=[Checkpoint(tmp_path)]
    )
    tagger.fit(X, Y, X_val=X_val, Y_val=Y_val)
    best = tagger.history_["valid_mAP"].iloc[1:].max()  # the first is that of random weights
    assert tagger.score(X_val, Y_val) == pytest.approx(best, abs=1e-6)
    for key, value in load_checkpoint(tmp_path / "best.safetensors")["model"].items():
        assert torch.equal(value, tagger.module_.state_dict()[key])


def test_history_has_a_row_per_validation(scenes):
    X, Y = scenes.to_xy("balanced_train")
    tagger = tiny_tagger(max_iterations=3, validate_every=2)
    tagger.fit(X, Y, X_val=X, Y_val=Y)
    assert tagger.history_["n_iterations"].tolist() == [0, 2, 3]
    assert tagger.n_iter_ == 3
    assert np.isnan(tagger.history_["train_loss"][0])
    assert np.isfinite(tagger.history_["valid_mAP"]).all()


def test_every_clip_is_used_in_every_epoch(scenes):
    X, Y = scenes.to_xy("balanced_train")
    tagger = tiny_tagger(batch_size=5).fit(X, Y)
    assert sum(tagger.net_.history[-1, "batches", :, "train_batch_size"]) == len(X)


@pytest.mark.bfloat16
@pytest.mark.usefixtures("each_precision")
def test_interrupted_training_continues_to_the_same_weights(scenes, tmp_path):
    X, Y = scenes.to_xy("balanced_train")
    X_val, Y_val = scenes.to_xy("validate")
    settings = SETTINGS | {"max_iterations": 4, "validate_every": 2}

    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if net.history[-1, "n_iterations"] == 2:
                raise KeyboardInterrupt

    def train(directory, *callbacks):
        tagger = WALNetTagger(**settings, callbacks=[Checkpoint(directory), *callbacks])
        return tagger.fit(X, Y, X_val=X_val, Y_val=Y_val)

    whole = train(tmp_path / "whole")
    with pytest.warns(UserWarning, match="interrupted"):
        train(tmp_path / "parts", Stop())
    resumed = train(tmp_path / "parts")
    assert torch.equal(weights(resumed), weights(whole))
    pd.testing.assert_frame_equal(
        resumed.history_.drop(columns="dur"), whole.history_.drop(columns="dur")
    )


def test_events_of_clips_of_weight_zero_do_not_matter(scenes):
    X, Y = scenes.to_xy("balanced_train")
    flipped = Y.copy()
    flipped.iloc[0] = 1 - flipped.iloc[0]
    weight = np.ones(len(X))
    weight[0] = 0
    first, second = (
        tiny_tagger(augmentation=None).fit(X, y, sample_weight=weight) for y in (Y, flipped)
    )
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("form", ["array", "sparse", "lists", "frame"])
def test_forms_of_targets(scenes, form, tiny):
    X, Y = scenes.to_xy("balanced_train")
    lists = [[event for event in Y.columns if row[event]] for _, row in Y.iterrows()]
    y = {
        "array": Y.to_numpy(),
        "sparse": sparse.csr_array(Y.to_numpy()),
        "lists": lists,
        "frame": Y,
    }[form]
    tagger = tiny_tagger().fit(X, y)
    assert torch.equal(weights(tagger), weights(tiny))


@pytest.mark.usefixtures("each_precision")
def test_labels_give_a_classifier(scenes):
    X, _ = scenes.to_xy("balanced_train")
    labels = np.array(["b", "a", "c"] * (len(X) // 3))
    tagger = WALNetTagger(**SETTINGS).fit(X[: len(labels)], labels)
    scores = tagger.predict_proba(X)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(tagger.predict(X), tagger.classes_[scores.argmax(axis=1)])


def test_unknown_label_counts_with_scores_of_zero():
    X = np.random.default_rng(0).standard_normal((4, 4000))
    tagger = tiny_tagger().fit(X, ["a", "b"] * 2)
    scores = tagger.predict_proba(X)
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    expected = mean_average_precision(truth, np.column_stack([scores, np.zeros(4)]))
    assert tagger.score(X, ["a", "b", "a", "z"]) == expected


def test_score_names_unknown_events(tiny, scenes):
    X, Y = scenes.to_xy("validate")
    assert tiny.score(X, Y.iloc[:, ::-1]) == tiny.score(X, Y)
    with pytest.raises(ValueError, match="y: clip 0 has the event 'fog'"):
        tiny.score(X[:2], [["fog"], []])


def test_files_and_their_samples_have_the_same_scores(fitted, scenes):
    X, _ = scenes.to_xy("validate")
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in X]
    np.testing.assert_allclose(fitted.predict_proba(waveforms), fitted.predict_proba(X), atol=1e-6)


@pytest.mark.bfloat16
def test_a_section_is_scored_as_its_samples(fitted, scenes):
    path = scenes.to_xy("validate")[0][0]
    samples = soundfile.read(path, dtype="float32")[0][1000:7000]
    np.testing.assert_allclose(
        fitted.predict_proba([(path, 1000, 7000)]), fitted.predict_proba([samples]), atol=1e-6
    )


@pytest.mark.parametrize("n_samples", [1, 2, 100, 5000])
def test_any_length_is_scored(fitted, n_samples):
    rng = np.random.default_rng(0)
    assert np.isfinite(fitted.predict_proba([rng.standard_normal(n_samples)])).all()


@pytest.mark.usefixtures("each_precision")
def test_silence_is_scored_and_trained_on():
    X = np.zeros((4, 8000))
    tagger = WALNetTagger(**SETTINGS).fit(X, [["a"], [], ["a"], []])
    assert np.isfinite(tagger.predict_proba(X)).all()


@pytest.mark.bfloat16
def test_pickled_tagger_gives_the_same_scores(fitted, scenes, tmp_path):
    X, _ = scenes.to_xy("validate")
    joblib.dump(fitted, tmp_path / "tagger.joblib")
    loaded = joblib.load(tmp_path / "tagger.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_works_in_a_pipeline_and_cross_validation(scenes):
    X, Y = scenes.to_xy("balanced_train")
    pipe = Pipeline([("tagger", tiny_tagger()), ("tuner", ThresholdTuner())])
    with pytest.warns(UserWarning, match="cross_fit=5"):
        assert pipe.fit(X, Y).predict(X).shape == Y.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        scores = cross_val_score(tiny_tagger(), X, Y, scoring=map_scorer, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_nested_parameters_can_be_searched(scenes):
    X, Y = scenes.to_xy("balanced_train")
    grid = {"augmentation__mixup_prob": [0.0, 0.5], "network__sharpness": [1.0, 3.0]}
    search = GridSearchCV(tiny_tagger(), grid, scoring=map_scorer, cv=2, refit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        search.fit(X, Y)
    assert len(search.cv_results_["mean_test_score"]) == 4


def test_nested_parameters_do_not_change_other_taggers():
    tagger = WALNetTagger().set_params(augmentation__mixup_prob=0.1, stft__n_fft=4096)
    assert tagger.augmentation.mixup_prob == 0.1
    assert tagger.stft.n_fft == 4096
    assert WALNetTagger().augmentation == "default"
    assert Augmentation().mixup_prob == 0.5


def test_unfitted_tagger_raises():
    with pytest.raises(NotFittedError):
        WALNetTagger().predict([np.ones(100)])


def test_padertorch_checkpoint_file_loads(tmp_path):
    net = make_walnet(3, sample_rate=16000, n_fft=512, random_state=5)
    torch.save({"model": net.state_dict(), "iteration": 5}, tmp_path / "ckpt.pth")
    tagger = WALNetTagger.from_padertorch(
        tmp_path / "ckpt.pth", classes=["c", "a", "b"], sample_rate=16000, stft=STFT(n_fft=512)
    )
    assert list(tagger.classes_) == ["c", "a", "b"]
    assert torch.equal(weights(tagger), torch.cat([x.flatten() for x in net.state_dict().values()]))
    assert tagger.predict_proba([np.ones(20000)]).shape == (1, 3)


def test_checkpoint_with_code_raises(tmp_path):
    torch.save({"model": {"x": print}}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth.*refused"):
        WALNetTagger.from_padertorch(tmp_path / "evil.pth", classes=["a"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["a"]}, "classes has 1 events, but the checkpoint has 2 outputs"),
        ({"stft": STFT(n_fft=4096)}, "do not fit"),
    ],
)
def test_checkpoint_that_does_not_fit_raises(changes, message):
    state = make_walnet(2).state_dict()
    with pytest.raises(ValueError, match=message):
        WALNetTagger.from_padertorch(state, **{"classes": ["a", "b"], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0}, "'lr' parameter"),
        ({"augmentation": "strong"}, "'augmentation' parameter"),
        ({"augmentation": Augmentation(stretch=2)}, "stretch=2"),
        ({"stft": STFT(hop_length=0)}, "hop_length=0"),
        ({"stft": STFT(window="blackmann")}, "'blackmann'"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"fmin": 5000}, "fmin=5000"),
    ],
)
def test_bad_parameters(changes, message):
    with pytest.raises(ValueError, match=message):
        WALNetTagger(**SETTINGS | changes).fit(np.ones((2, 800)), [["a"], []])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, "empty"),
        ("clip.wav", ValueError, "single path 'clip.wav'"),
        (["missing.wav"], FileNotFoundError, "'missing.wav' does not exist"),
        ([np.ones(5), "a.wav"], ValueError, "mixes files and waveforms"),
        ([np.ones(5), {"a": 1}], TypeError, "clip 1 is {'a': 1}"),
        ([("a.wav", 3)], ValueError, "clip 0 .* must be \\(path, start, stop\\)"),
        ([np.array([1.0, np.nan])], ValueError, "Clip 0: sample 1 is NaN"),
        ([np.ones((2, 2, 2))], ValueError, "clip 0 is an array of shape"),
        (sparse.csr_array(np.ones((2, 3))), TypeError, "sparse"),
    ],
)
def test_bad_clips_are_named(tiny, X, error, message):
    with pytest.raises(error, match=message):
        tiny.predict(X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "target y is None"),
        ([["a"]], "X has 2 clips, but y has 1 rows"),
        (pd.DataFrame({"a": [1.5, 1], "b": [0, 1]}), "clip 0 has .*1.5.* for the event 'a'"),
        (pd.DataFrame([[1, 0], [0, 1]], columns=["a", "a"]), "more than one column for .*'a'"),
    ],
)
def test_bad_targets_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        WALNetTagger(**SETTINGS).fit(np.ones((2, 800)), y)


def test_unknown_event_of_validation_is_named():
    X = np.ones((2, 800))
    with pytest.raises(ValueError, match=r"'Brid', which is not among .* nearest: 'Bird'"):
        WALNetTagger(**SETTINGS).fit(X, [["Bird"], []], X_val=X, Y_val=[["Brid"], []])


def test_validation_events_come_in_any_order(scenes):
    X, Y = scenes.to_xy("balanced_train")
    one, other = (tiny_tagger().fit(X, Y, X_val=X, Y_val=Y_val) for Y_val in (Y, Y.iloc[:, ::-1]))
    assert one.history_["valid_mAP"].tolist() == other.history_["valid_mAP"].tolist()


def test_events_without_validation_clips_are_named_once(scenes):
    X, Y = scenes.to_xy("balanced_train")
    Y_val = Y.assign(**{Y.columns[0]: 0})
    with pytest.warns(UndefinedMetricWarning, match=f"1 of .* events .*{Y.columns[0]}") as caught:
        tiny_tagger(max_epochs=2).fit(X, Y, X_val=X, Y_val=Y_val)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("device", "precision", "units", "expected"),
    [
        ("cpu", "auto", True, "bfloat16"),
        ("cpu", "auto", False, "float32"),
        ("cpu", "float32", True, "float32"),
        ("cpu", "bfloat16", False, "bfloat16"),
        ("cuda", "auto", True, "bfloat16"),
        ("cuda", "auto", False, "float32"),
    ],
)
def test_auto_precision_depends_on_the_device(monkeypatch, device, precision, units, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units, raising=False)
    capability = (9, 0) if units else (7, 5)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision(precision, torch.device(device), WALNet()) == expected


def test_auto_precision_depends_on_the_network(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    network = EfficientAT()
    assert resolve_precision("auto", torch.device("cpu"), network) == "float32"
    assert resolve_precision("bfloat16", torch.device("cpu"), network) == "bfloat16"


def test_auto_precision_of_an_unknown_cpu_is_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert resolve_precision("auto", torch.device("cpu"), WALNet()) == "float32"


def test_bfloat16_learns_what_float32_learns(scenes):
    X, Y = scenes.to_xy("balanced_train")
    settings = {**SETTINGS, "max_epochs": 3, "augmentation": None}
    scores = [
        WALNetTagger(**settings, precision=precision).fit(X, Y).predict_proba(X)
        for precision in ("float32", "bfloat16")
    ]
    assert not np.array_equal(*scores)
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.7


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_batches_in_parallel_give_the_same_scores(fitted, scenes, monkeypatch):
    X, _ = scenes.to_xy("balanced_train")
    threads, forward = set(), WALNetModule.forward

    def spy(*args, **kwargs):
        threads.add((threading.current_thread().name, torch.get_num_threads()))
        return forward(*args, **kwargs)

    monkeypatch.setattr(WALNetModule, "forward", spy)
    scores = fitted.predict_proba(X)
    segments = fitted.predict_segments(X)
    assert threads <= {("sktagger-loader_0", 1), ("sktagger-loader_1", 1)}
    assert threads
    assert torch.get_num_threads() == 2
    threads.clear()
    fitted.predict_proba(X[:1])  # all threads share a single batch
    assert threads == {("MainThread", 2)}
    torch.set_num_threads(1)
    np.testing.assert_allclose(fitted.predict_proba(X), scores, rtol=0, atol=1e-6)
    for table, expected in zip(fitted.predict_segments(X), segments, strict=True):
        pd.testing.assert_frame_equal(table, expected, atol=1e-6)


@pytest.mark.usefixtures("two_threads")
def test_unreadable_clip_is_named_by_batches_in_parallel(fitted, scenes, tmp_path):
    X = list(scenes.to_xy("balanced_train")[0])
    soundfile.write(tmp_path / "bad.wav", np.full(8000, np.nan, np.float32), 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"bad\.wav"):
        fitted.predict_proba([*X, str(tmp_path / "bad.wav")])
