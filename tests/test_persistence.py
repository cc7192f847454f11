"""Pickles and saved files of taggers."""

import json
import pickle
from fractions import Fraction

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import compute_class_weight

from sktagger import STFT, Augmentation, ThresholdTuner, TunedThresholdTagger, WALNetTagger
from sktagger.training.callbacks import Checkpoint, load_checkpoint

SETTINGS = {"sample_rate": 8000, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(scenes):
    X, Y = scenes.to_xy("balanced_train")
    tagger = WALNetTagger(
        sample_rate=8000,
        stft=STFT(hop_length=100),
        augmentation=Augmentation(mixup_prob=0.2),
        batch_size=6,
        max_epochs=1,
        random_state=0,
    )
    return tagger.fit(X, Y)


@pytest.fixture
def saved(fitted, tmp_path):
    fitted.save(tmp_path / "tagger.safetensors")
    return tmp_path / "tagger.safetensors"


@pytest.fixture
def waveforms(rng):
    return list(rng.standard_normal((3, 6000)))


def test_loaded_tagger_is_the_saved_one(fitted, saved, waveforms):
    loaded = WALNetTagger.load(saved)
    np.testing.assert_array_equal(loaded.predict_proba(waveforms), fitted.predict_proba(waveforms))
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    assert loaded.n_iter_ == fitted.n_iter_
    assert repr(loaded.set_params(device="auto")) == repr(clone(fitted))


@pytest.mark.parametrize("labels", [["b", "a", "b"], [3, 5, 3], [True, False, True]])
def test_labels_keep_their_type(labels, waveforms, tmp_path):
    y = np.array(labels)
    tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(waveforms, y)
    tagger.save(tmp_path / "x")
    loaded = WALNetTagger.load(tmp_path / "x")
    assert loaded.classes_.dtype == tagger.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(waveforms), tagger.predict(waveforms))


def test_events_may_be_numpy_numbers_in_an_object_array(waveforms, tmp_path):
    events = pd.Index(np.array([np.int64(1), np.int64(3)], dtype=object))
    Y = pd.DataFrame(np.ones((3, 2), int), columns=events)
    tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(waveforms, Y)
    tagger.save(tmp_path / "x")
    assert WALNetTagger.load(tmp_path / "x").classes_.tolist() == [1, 3]


def test_tuned_tagger_keeps_its_thresholds(fitted, scenes, tmp_path):
    X, Y = scenes.to_xy("validate")
    tuned = TunedThresholdTagger(fitted, cv="prefit").fit(X, Y)
    tuned.save(tmp_path / "tuned")
    loaded = TunedThresholdTagger.load(tmp_path / "tuned")
    np.testing.assert_array_equal(loaded.thresholds_, tuned.thresholds_)
    np.testing.assert_array_equal(loaded.predict(X), tuned.predict(X))


def test_tuned_tagger_needs_thresholds(saved):
    with pytest.raises(ValueError, match="without thresholds"):
        TunedThresholdTagger.load(saved)


def rewrite(path, change):
    """Change the header of a saved tagger."""
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["sktagger"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(header, tensors)
    save_file(tensors, path, metadata={"sktagger": json.dumps(header)})


def test_newer_format_raises(saved):
    rewrite(saved, lambda header, tensors: header.update(format=99, version="9.9"))
    with pytest.raises(ValueError, match=r"format 99, written by sktagger 9\.9.*Upgrade"):
        WALNetTagger.load(saved)


def test_missing_tensor_raises(saved):
    rewrite(saved, lambda header, tensors: tensors.pop("cnn.convs.3.conv.bias"))
    with pytest.raises(ValueError, match="do not fit"):
        WALNetTagger.load(saved)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "no header"])
def test_damaged_file_raises(saved, damage):
    content = saved.read_bytes()
    if damage == "no header":
        save_file({"x": np.ones(3)}, saved)
    else:
        saved.write_bytes(
            {"cut": content[: len(content) // 2], "garbage": b"\xff" * 1000, "empty": b""}[damage]
        )
    with pytest.raises(ValueError, match="is not a saved tagger, or is damaged"):
        WALNetTagger.load(saved)


def test_tagger_that_could_not_be_loaded_is_not_saved(fitted, saved):
    before = saved.read_bytes()
    twin = pickle.loads(pickle.dumps(fitted))
    twin.classes_ = np.array(["a" * 1000, *fitted.classes_[1:]])
    with pytest.raises(ValueError, match="cannot be saved because the file could not be loaded"):
        twin.save(saved)
    assert saved.read_bytes() == before


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="'nowhere' does not exist"):
        WALNetTagger.load("nowhere")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_tagger_of_a_machine_with_a_gpu_loads_without_one(fitted, waveforms):
    trained_there = WALNetTagger.__new__(WALNetTagger)
    trained_there.__dict__.update(fitted.__dict__, device="cuda")
    content = pickle.dumps(trained_there)
    with pytest.warns(UserWarning, match="device='cuda', which this machine does not have"):
        loaded = pickle.loads(content)
    np.testing.assert_array_equal(loaded.predict_proba(waveforms), fitted.predict_proba(waveforms))


def test_interrupted_saving_leaves_the_old_file(fitted, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr("os.replace", lambda *args: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        fitted.save(saved)
    assert saved.read_bytes() == before


def test_taggers_of_the_same_weights_have_the_same_hash(fitted):
    assert joblib.hash(fitted) == joblib.hash(pickle.loads(pickle.dumps(fitted)))


def test_files_are_hardly_larger_than_the_weights(fitted, saved, tmp_path):
    n_bytes = sum(x.numel() * x.element_size() for x in fitted.module_.state_dict().values())
    joblib.dump(fitted, tmp_path / "x.joblib")
    assert saved.stat().st_size < 1.01 * n_bytes
    assert (tmp_path / "x.joblib").stat().st_size < 1.01 * n_bytes


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_pickled_pipeline_gives_the_same_predictions(scenes, tmp_path):
    X, Y = scenes.to_xy("balanced_train")
    tagger = WALNetTagger(sample_rate=8000, batch_size=6, max_epochs=1, cross_fit=2, random_state=0)
    pipe = Pipeline([("tagger", tagger), ("tuner", ThresholdTuner())]).fit(X, Y)
    joblib.dump(pipe, tmp_path / "pipe.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "pipe.joblib").predict(X), pipe.predict(X))


def test_weights_of_events_keep_the_types_of_their_keys(waveforms, saved):
    y = np.array([0, 1, 2])
    classes = np.unique(y)
    weights = dict(
        zip(classes, compute_class_weight("balanced", classes=classes, y=y), strict=True)
    )
    tagger = WALNetTagger(**SETTINGS, class_weight=weights).fit(waveforms, y)
    tagger.save(saved)
    loaded = WALNetTagger.load(saved)
    assert loaded.class_weight == weights
    assert all(type(key) is int for key in loaded.class_weight)
    loaded.set_params(verbose=0).fit(waveforms, y)  # checks that the keys are events


@pytest.mark.parametrize(
    "params",
    [
        {"lr": np.float32(1e-3), "batch_size": np.int64(4), "gradient_clip": np.float16(2)},
        {"augmentation": Augmentation(gain_std=Fraction(1, 2))},
        {"stft": STFT(n_fft=np.int64(512), hop_length=np.int32(160))},
        {"stft": STFT(window=("kaiser", np.float32(8.5)))},
        {"stft": STFT(window=np.str_("hann"))},
        {"augmentation": Augmentation(gain_std=np.float32(0.5), mel_mask=np.int16(3))},
        {"class_weight": {"a": np.float32(2), np.str_("b"): np.int8(3)}},
        {"class_weight": {}},
    ],
    ids=str,
)
def test_settings_of_any_type_of_number_are_saved(waveforms, saved, params):
    tagger = WALNetTagger(**SETTINGS | params).fit(waveforms, [["a"], ["b"], []])
    tagger.save(saved)
    loaded = WALNetTagger.load(saved)
    for name, value in params.items():
        kept = getattr(loaded, name)
        if hasattr(value, "get_params"):
            kept, value = kept.get_params(), value.get_params()
        assert kept == value
    np.testing.assert_array_equal(
        loaded.set_params(verbose=0).predict_proba(waveforms), tagger.predict_proba(waveforms)
    )


@pytest.mark.parametrize("weight", ["2", None, True, np.nan, np.inf, np.array([1.0, 2.0])], ids=str)
def test_weights_of_events_must_be_numbers(waveforms, weight):
    tagger = WALNetTagger(**SETTINGS, class_weight={"a": weight})
    with pytest.raises(ValueError, match=r"class_weight of 'a' is .* must be a number above 0"):
        tagger.fit(waveforms, [["a"], ["b"], []])


@pytest.mark.parametrize(
    ("names", "message"),
    [([("a", 1), ("a", 2)], "at classes"), (["a" * 1000, "b"], "at classes")],
)
def test_names_that_cannot_be_saved_cause_a_warning_before_training(waveforms, names, message):
    Y = pd.DataFrame([[0, 1], [1, 0], [1, 1]], columns=pd.Index(names, tupleize_cols=False))
    with pytest.warns(UserWarning, match=f"cannot be saved by its method save .*{message}"):
        WALNetTagger(**SETTINGS).fit(waveforms, Y)


def test_error_names_the_method_that_reads_the_file(fitted, saved, tmp_path, waveforms):
    tuned = TunedThresholdTagger(fitted, cv="prefit")
    tuned.fit(waveforms, np.tile([[0], [1], [1]], len(fitted.classes_))).save(
        tmp_path / "tuned.safetensors"
    )
    with pytest.raises(ValueError, match=r"with thresholds: TunedThresholdTagger\.load reads it"):
        WALNetTagger.load(tmp_path / "tuned.safetensors")
    with pytest.raises(ValueError, match=r"without thresholds: WALNetTagger\.load reads it"):
        TunedThresholdTagger.load(saved)
    with pytest.raises(ValueError, match=r"looks like a saved tagger: WALNetTagger\.load or Tuned"):
        WALNetTagger.from_padertorch(saved, classes=fitted.classes_)
    joblib.dump(fitted, tmp_path / "x.joblib")
    (tmp_path / "db.json").write_text('{"datasets": {}}')
    for load in (WALNetTagger.load, TunedThresholdTagger.load):
        with pytest.raises(ValueError, match=r"looks like a pickle, which joblib\.load reads"):
            load(tmp_path / "x.joblib")
        with pytest.raises(
            ValueError, match="looks like JSON; a database is read by load_database"
        ):
            load(tmp_path / "db.json")


def test_checkpoints_load_with_the_settings_and_events_of_their_training(waveforms, tmp_path):
    labels = np.array(["a", "b", "a"])
    settings = {"fmin": 60.0, "stft": STFT(hop_length=100), "class_weight": {"a": 2.0}}
    settings |= {"pooling": "mean", "schedule": "constant", "max_epochs": 2}
    tagger = WALNetTagger(**SETTINGS | settings, callbacks=[Checkpoint(tmp_path)])
    tagger.fit(waveforms, labels)
    for path in (tmp_path, tmp_path / "best.safetensors", tmp_path / "latest.safetensors"):
        loaded = WALNetTagger.load(path).set_params(verbose=0)
        np.testing.assert_array_equal(
            loaded.predict_proba(waveforms), tagger.predict_proba(waveforms)
        )
        assert loaded.predict(waveforms).dtype == labels.dtype
        assert (loaded.max_epochs, loaded.n_iter_) == (2, tagger.n_iter_)
    with pytest.raises(
        ValueError, match=r"checkpoint of sktagger, not of padertorch: WALNetTagger\.l"
    ):
        WALNetTagger.from_padertorch(tmp_path / "best.safetensors", classes=["a", "b"])
    with pytest.raises(ValueError, match=r"which has no thresholds: WALNetTagger\.load reads it"):
        TunedThresholdTagger.load(tmp_path / "best.safetensors")
    with pytest.raises(FileNotFoundError, match="has no thresholds yet: `sktagger evaluate`"):
        TunedThresholdTagger.load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no tagger"):
        WALNetTagger.load(tmp_path / "empty")
    state = load_checkpoint(tmp_path / "best.safetensors")["model"]
    torch.save({"model": state}, tmp_path / "theirs.pt")
    with pytest.raises(ValueError, match=r"of another program.* with AudioTagger\.from_padertorch"):
        WALNetTagger.load(tmp_path / "theirs.pt")
