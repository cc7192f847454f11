"""Checkpoints know which training they belong to."""

import os
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _networks import TinyNet
from filelock import FileLock
from safetensors import safe_open
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from skorch.callbacks import Callback

from sktagger import STFT, AudioTagger, Augmentation, TunedThresholdTagger, WALNetTagger
from sktagger._utils.json import parse_json
from sktagger.networks import WALNet
from sktagger.training.callbacks import Checkpoint, load_checkpoint, save_checkpoint

SETTINGS = {"batch_size": 4, "max_epochs": 2, "random_state": 0, "verbose": 0}
OTHER = "belongs to another training"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    Y = pd.DataFrame([[1, 0], [0, 1], [1, 1]] * 4, columns=["rain", "siren"])
    return rng.standard_normal((12, 4000)).astype(np.float32), Y


class CountBatches(Callback):
    n_batches = 0

    def on_batch_begin(self, net, training, **kwargs):
        self.n_batches += training


class Stop(Callback):
    """Interrupts training at the end of its first interval."""

    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def make_tagger(**settings):
    """Make a tagger of a tiny network, or of WALNet if its settings are given."""
    if settings.keys() & set(WALNet().get_params(deep=False)):
        return WALNetTagger(**SETTINGS | {"sample_rate": 8000} | settings)
    return AudioTagger(TinyNet(), **SETTINGS | settings)


def fit(data, directory=None, *, on_mismatch="restart", val=None, weight=None, **settings):
    X, Y = data
    callbacks = settings.pop("callbacks", [])
    if directory is not None:
        callbacks = [Checkpoint(directory, on_mismatch=on_mismatch), *callbacks]
    X_val, Y_val = val or (None, None)
    tagger = make_tagger(**settings, callbacks=callbacks)
    return tagger.fit(X, Y, X_val=X_val, Y_val=Y_val, sample_weight=weight)


def test_folds_of_a_cross_validation_are_trained_each_on_its_own_clips(data, tmp_path):
    X, Y = data
    tagger = make_tagger(callbacks=[("c", Checkpoint(tmp_path))])
    with pytest.warns(UserWarning, match=OTHER) as caught:
        folds = cross_validate(
            tagger, X, Y, cv=KFold(3), return_estimator=True, return_indices=True
        )
    assert len(caught) == 2
    for fold, train in zip(folds["estimator"], folds["indices"]["train"], strict=True):
        alone = fit((X[train], Y.iloc[train]))
        np.testing.assert_array_equal(fold.predict_proba(X), alone.predict_proba(X))
        assert fold.n_iter_ == alone.n_iter_


def test_settings_of_a_search_are_trained_each(data, tmp_path):
    X, Y = data
    tagger = make_tagger(callbacks=[Checkpoint(tmp_path)])
    grid = {"lr": [1e-5, 1e-2]}
    with pytest.warns(UserWarning, match=OTHER):
        search = GridSearchCV(tagger, grid, cv=KFold(2), refit=False).fit(X, Y)
    plain = GridSearchCV(make_tagger(), grid, cv=KFold(2), refit=False).fit(X, Y)
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], plain.cv_results_[name])


def test_thresholds_are_tuned_on_clips_that_the_network_does_not_know(data, tmp_path):
    tagger = make_tagger(callbacks=[Checkpoint(tmp_path)])
    with pytest.warns(UserWarning, match=OTHER):
        tuned = TunedThresholdTagger(tagger, cv=2, random_state=0).fit(*data)
    plain = TunedThresholdTagger(make_tagger(), cv=2, random_state=0).fit(*data)
    np.testing.assert_array_equal(tuned.thresholds_, plain.thresholds_)


CHANGES = {
    "setting": (lambda X, Y: ((X, Y), {"lr": 1e-3}), r"lr: 0\.002 there, 0\.001 here"),
    "group": (
        lambda X, Y: ((X, Y), {"augmentation": Augmentation(mel_mask=3)}),
        r"augmentation\.mel_mask: 20 there, 3 here",
    ),
    "seed": (lambda X, Y: ((X, Y), {"random_state": 1}), r"seed: \d+ there, \d+ here"),
    "no seed": (lambda X, Y: ((X, Y), {"random_state": None}), r"seed: \d+ there, None here"),
    "event": (
        lambda X, Y: ((X, Y.rename(columns={"rain": "snow"})), {}),
        "only there 'rain'; only here 'snow'",
    ),
    "order of events": (lambda X, Y: ((X, Y[["siren", "rain"]]), {}), "in another order"),
    "labels": (
        lambda X, Y: ((X, Y.iloc[[0, 2, 1, *range(3, 12)]]), {}),
        r"2 of 12 training clips' events or weights differ \(the first: 1\)",
    ),
    "clip": (
        lambda X, Y: ((np.concatenate([X[:-1], X[:1]]), Y), {}),
        r"1 of 12 training clips differ \(the first: 11\)",
    ),
    "order of clips": (lambda X, Y: ((X[::-1], Y), {}), "12 of 12 training clips differ"),
    "fewer clips": (lambda X, Y: ((X[:9], Y[:9]), {}), "training clips: 12 there, 9 here"),
    "weights": (
        lambda X, Y: ((X, Y), {"weight": np.arange(1, 13)}), "12 of 12 training clips' events or w"
    ),
    "validation": (lambda X, Y: ((X, Y), {"val": (X, Y)}), "validation clips: none there"),
    "form": (lambda X, Y: ((X, ["a", "b", "c"] * 4), {}), "one of them has 1-D labels"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_another_training_begins_anew(data, tmp_path, change):
    make, message = CHANGES[change]
    fit(data, tmp_path)
    before = (tmp_path / "latest.safetensors").read_bytes()
    other, settings = make(*data)
    counter = CountBatches()
    with pytest.warns(UserWarning, match=f"{OTHER}.*{message}"):
        tagger = fit(other, tmp_path, **settings, callbacks=[counter])
    assert counter.n_batches == tagger.n_iter_ > 0
    assert (tmp_path / "latest.previous.safetensors").read_bytes() == before
    if settings.get("random_state", 0) is not None:
        alone = fit(other, **settings)
        np.testing.assert_array_equal(tagger.predict_proba(data[0]), alone.predict_proba(data[0]))


@pytest.mark.parametrize("change", ["setting", "event", "labels"])
def test_another_training_is_refused_if_so_asked(data, tmp_path, change):
    make, message = CHANGES[change]
    fit(data, tmp_path)
    before = (tmp_path / "latest.safetensors").read_bytes()
    other, settings = make(*data)
    with pytest.raises(ValueError, match=f"{OTHER}.*{message}"):
        fit(other, tmp_path, **settings, on_mismatch="raise")
    assert (tmp_path / "latest.safetensors").read_bytes() == before


def test_files_are_told_by_their_paths(scenes, tmp_path):
    X, Y = scenes.to_xy("balanced_train")
    fit((X, Y), tmp_path)
    with pytest.warns(UserWarning, match="1 of 12 training clips differ"):
        fit(([*X[:-1], X[0]], Y), tmp_path)


def test_the_same_training_is_not_trained_twice(data, tmp_path):
    once = fit(data, tmp_path)
    counter = CountBatches()
    again = fit(data, tmp_path, callbacks=[counter], n_jobs=2)
    assert counter.n_batches == 0
    assert again.n_iter_ == once.n_iter_ == 6
    np.testing.assert_array_equal(again.predict_proba(data[0]), once.predict_proba(data[0]))


def test_without_a_seed_an_interrupted_training_continues_and_a_finished_one_does_not(
    data, tmp_path
):
    with pytest.warns(UserWarning, match="interrupted"):
        fit(data, tmp_path, random_state=None, callbacks=[Stop()])
    seed = load_checkpoint(tmp_path / "latest.safetensors")["plan"]["seed"]
    counter = CountBatches()
    fit(data, tmp_path, random_state=None, callbacks=[counter])
    latest = load_checkpoint(tmp_path / "latest.safetensors")
    assert (counter.n_batches, latest["plan"]["seed"]) == (3, seed)
    with pytest.warns(UserWarning, match="it has ended, and random_state=None"):
        fit(data, tmp_path, random_state=None, callbacks=[counter])
    assert counter.n_batches == 3 + 6


def test_training_that_goes_on_takes_no_step_back(data, tmp_path):
    tagger = fit(data, tmp_path, warm_start=True)
    plain = fit(data, warm_start=True)
    for n_iter in (12, 18):
        assert tagger.fit(*data).n_iter_ == n_iter
        expected = plain.fit(*data).predict_proba(data[0])
        np.testing.assert_array_equal(tagger.predict_proba(data[0]), expected)
    tagger.partial_fit(*data)
    assert tagger.n_iter_ == 21
    assert load_checkpoint(tmp_path / "latest.safetensors")["n_iterations"] == 21


def test_training_whose_length_changes_nothing_before_its_end_can_be_extended(data, tmp_path):
    settings = {"schedule": "constant", "augmentation": None}
    fit(data, tmp_path, **settings)
    counter = CountBatches()
    longer = fit(data, tmp_path, **settings, max_epochs=3, callbacks=[counter])
    assert counter.n_batches == 3
    expected = fit(data, **settings, max_epochs=3).predict_proba(data[0])
    np.testing.assert_array_equal(longer.predict_proba(data[0]), expected)


def test_best_checkpoint_of_another_training_is_refused(data, tmp_path):
    X, Y = data
    fit(data, tmp_path / "a", val=data)
    fit((X[::-1], Y), tmp_path / "b", val=data)
    (tmp_path / "a" / "best.safetensors").write_bytes(
        (tmp_path / "b" / "best.safetensors").read_bytes()
    )
    with pytest.raises(ValueError, match=r"best\.safetensors, at training: got another tr"):
        fit(data, tmp_path / "a", val=data)


def test_checkpoint_of_a_newer_format_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr("sktagger.training._checkpoint_format.CHECKPOINT_FORMAT", 4)
    monkeypatch.setattr("sktagger.training._checkpoint_format.__version__", "9.9")
    fit(data, tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"the format 4, written by sktagger 9\.9.* Upgrade"):
        fit(data, tmp_path)


def test_bad_on_mismatch(data, tmp_path):
    with pytest.raises(ValueError, match="on_mismatch='ignore'; allowed are 'restart' and 'raise'"):
        fit(data, tmp_path, on_mismatch="ignore")


def test_untrained_network_is_never_the_best(data, tmp_path, monkeypatch):
    scores = iter([0.9, 0.1, 0.2])
    monkeypatch.setattr(
        "sktagger.training.callbacks.mean_average_precision", lambda *_: next(scores)
    )
    tagger = fit(data, tmp_path, val=data)
    assert tagger.history_["valid_mAP_best"].tolist() == [False, True, True]
    assert load_checkpoint(tmp_path / "best.safetensors")["n_iterations"] == 6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.undo()
        np.testing.assert_array_equal(
            tagger.predict_proba(data[0]), fit(data).predict_proba(data[0])
        )


def test_patience_does_not_count_the_untrained_network(data, monkeypatch):
    scores = iter([0.9, 0.1, 0.2, 0.2, 0.2])
    monkeypatch.setattr(
        "sktagger.training.callbacks.mean_average_precision", lambda *_: next(scores)
    )
    tagger = fit(data, val=data, max_epochs=9, patience=2)
    assert tagger.history_["valid_mAP"].tolist() == [0.9, 0.1, 0.2, 0.2, 0.2]


class StopWhenTrained(Callback):
    """Interrupts training at the end of the first interval that has batches."""

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1]["n_iterations"]:
            raise KeyboardInterrupt


def test_training_that_stopped_early_has_ended(data, tmp_path):
    settings = {"random_state": None, "patience": 1, "max_epochs": 9, "lr": 1e-12}
    stopped = fit(data, tmp_path, val=data, **settings)
    assert stopped.n_iter_ < 27
    assert load_checkpoint(tmp_path / "latest.safetensors")["ended"]
    with pytest.warns(UserWarning, match="it has ended, and random_state=None asks for a new"):
        again = fit(data, tmp_path, val=data, **settings)
    assert (again.predict_proba(data[0]) != stopped.predict_proba(data[0])).any()


def test_clips_held_out_without_a_seed_are_those_of_the_training_that_continues(data, tmp_path):
    settings = {"random_state": None, "validation_fraction": 0.25}
    with pytest.warns(UserWarning, match="interrupted"):
        fit(data, tmp_path, callbacks=[StopWhenTrained()], **settings)
    there, count = load_checkpoint(tmp_path / "latest.safetensors"), CountBatches()
    assert fit(data, tmp_path, callbacks=[count], **settings).n_iter_ == 6
    assert count.n_batches == 3
    here = load_checkpoint(tmp_path / "latest.safetensors")
    assert here["plan"]["seed"] == there["plan"]["seed"]


def test_one_training_at_a_time_has_a_directory(data, tmp_path):
    with FileLock(tmp_path / "lock"):
        with pytest.warns(UserWarning, match="Another training is writing checkpoints to"):
            tagger = fit(data, tmp_path)
        with pytest.raises(BlockingIOError, match="Wait until it ends, or take another directory"):
            fit(data, tmp_path, on_mismatch="raise")
    assert not list(tmp_path.glob("*.safetensors"))
    np.testing.assert_array_equal(tagger.predict_proba(data[0]), fit(data).predict_proba(data[0]))
    fit(data, tmp_path)  # which leaves it to the next
    FileLock(tmp_path / "lock", timeout=0).acquire()


def test_training_that_failed_to_begin_leaves_the_directory(data, tmp_path):
    class Fail(Callback):
        def on_train_begin(self, net, **kwargs):
            raise RuntimeError("theirs")

    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(RuntimeError, match="theirs"):
        fit(data, callbacks=[checkpoint, Fail()])
    FileLock(tmp_path / "lock", timeout=0).acquire().lock.release()
    fit(data, tmp_path)
    refusing = Checkpoint(tmp_path, on_mismatch="raise")
    with pytest.raises(ValueError, match=OTHER):
        fit(data, callbacks=[refusing], lr=1e-5)
    FileLock(tmp_path / "lock", timeout=0).acquire().lock.release()


def test_shorter_training_is_another_one(data, tmp_path):
    settings = {"schedule": "constant", "augmentation": None}
    fit(data, tmp_path, **settings)
    with pytest.warns(UserWarning, match=r"trained for 2 epochs there, for 1 here"):
        short = fit(data, tmp_path, max_epochs=1, **settings)
    alone = fit(data, max_epochs=1, **settings)
    np.testing.assert_array_equal(short.predict_proba(data[0]), alone.predict_proba(data[0]))


@pytest.mark.parametrize(
    "settings",
    [
        {"stft": STFT(window=("kaiser", np.float32(8.5)), hop_length=np.int64(100))},
        {"augmentation": Augmentation(mixup_prob=np.float64(0.25))},
    ],
    ids=["stft", "augmentation"],
)
def test_numbers_of_numpy_come_back(data, tmp_path, settings):
    (X, Y), count = data, CountBatches()
    settings = {"sample_rate": 8000, **settings}
    events = np.array([np.str_("rain"), np.str_("siren")], dtype=object)
    Y = pd.DataFrame(Y.to_numpy(), columns=pd.Index(events))
    tagger = fit((X, Y), tmp_path, **settings)
    loaded = WALNetTagger.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X), tagger.predict_proba(X))
    assert loaded.stft_ == tagger.stft_
    assert loaded.augmentation.mixup_prob == tagger._resolve_augmentation().mixup_prob
    fit((X, Y), tmp_path, callbacks=[count], **settings)
    assert count.n_batches == 0


def test_history_of_other_callbacks_does_not_spoil_a_checkpoint(data, tmp_path):
    class Records(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("an_array", np.arange(3))
            net.history.record("number", np.float64(0.5))
            net.history.record("huge", 2**64)
            net.history.record("half", "half a character: \ud800")
            net.history.record("text", "Bälle")
            net.history.record("worst", -np.inf)

    fit(data, tmp_path, callbacks=[("theirs", Records())])
    row = load_checkpoint(tmp_path / "latest.safetensors")["history"][0]
    assert (row["number"], row["text"], row["worst"]) == (0.5, "Bälle", -np.inf)
    assert not {"an_array", "huge", "half"} & row.keys()
    again = fit(data, tmp_path)
    assert again.n_iter_ == 6


def test_what_training_begins_with_is_told_by_content(data, tmp_path):
    source = tmp_path / "source.safetensors"
    settings = {"init_from": source, "max_epochs": 1}
    fit(data, max_epochs=1).save(source)
    first = fit(data, tmp_path / "c", **settings)
    fit(data, max_epochs=1, random_state=1).save(source)
    with pytest.warns(UserWarning, match=f"{OTHER} .init_from"):
        second = fit(data, tmp_path / "c", **settings)
    assert (first.predict_proba(data[0]) != second.predict_proba(data[0])).any()


def test_missing_best_checkpoint(data, tmp_path):
    fit(data, tmp_path, val=data, max_epochs=1)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"best\.safetensors' is missing.* Restore it"):
        fit(data, tmp_path, val=data, max_epochs=1)


# --- files of the present format


class StopAfter(Callback):
    """Interrupts training after some epoch."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1]["n_epochs"] == self.n_epochs:
            raise KeyboardInterrupt


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("n_epochs", [1, 2])
def test_training_that_continues_ends_like_an_uninterrupted_one(
    data, tmp_path, validated, n_epochs
):
    settings = {"max_epochs": 3, "val": data if validated else None}
    whole = fit(data, tmp_path / "whole", **settings)
    with pytest.warns(UserWarning, match="interrupted"):
        fit(data, tmp_path / "part", **settings, callbacks=[StopAfter(n_epochs)])
    count = CountBatches()
    part = fit(data, tmp_path / "part", **settings, callbacks=[count])
    assert count.n_batches == 3 * (3 - n_epochs)
    for weight in part.module_.parameters():
        averages = part.net_.optimizer_.state[weight]
        assert averages["exp_avg"].stride() == weight.stride()
        assert averages["exp_avg_sq"].stride() == weight.stride()
    for name in ("latest", "best"):
        here, there = (
            load_checkpoint(tmp_path / folder / f"{name}.safetensors")
            for folder in ("part", "whole")
        )
        for row in (*here.get("history", []), *there.get("history", [])):
            for key in ("dur", "train_loss_best", "valid_loss_best"):  # skorch's own
                row.pop(key, None)
        assert_same(here, there)
    np.testing.assert_array_equal(part.predict_proba(data[0]), whole.predict_proba(data[0]))
    columns = whole.history_.columns.drop("dur")
    pd.testing.assert_frame_equal(part.history_[columns], whole.history_[columns])


def assert_same(here, there):
    """Compare plain data and tensors, types included."""
    assert type(here) is type(there)
    if isinstance(here, dict):
        assert here.keys() == there.keys()
        for key in here:
            assert_same(here[key], there[key])
    elif isinstance(here, list | tuple):
        assert len(here) == len(there)
        for pair in zip(here, there, strict=True):
            assert_same(*pair)
    elif isinstance(here, torch.Tensor):
        assert here.dtype == there.dtype
        assert torch.equal(here, there)
    else:
        assert here == there


@pytest.mark.filterwarnings("ignore:.*events occur in no clip of Y_val")
def test_checkpoints_are_safetensors_and_strict_json(data, tmp_path):
    X, Y = data
    fit(data, tmp_path, val=(X, Y * 0))  # without positives: the mAP is not defined
    assert {path.name for path in tmp_path.iterdir()} == {
        "latest.safetensors",
        "best.safetensors",
        "lock",
    }
    latest = load_checkpoint(tmp_path / "latest.safetensors")
    assert np.isnan([row["valid_mAP"] for row in latest["history"]]).all()
    assert [row["valid_mAP_best"] for row in latest["history"]] == [False, True, True]
    for name in ("latest", "best"):
        with safe_open(tmp_path / f"{name}.safetensors", framework="pt") as file:
            content = parse_json(file.metadata()["sktagger"])
            tensors = set(file.keys())
        assert (content["kind"], content["format"]) == ("checkpoint", 3)
        assert {"clips.training", "clips.validation", "model.first.bias"} <= tensors
        assert ("optimizer.0.exp_avg" in tensors) == (name == "latest")


@pytest.mark.filterwarnings("ignore:.*events occur in no clip of Y_val")
def test_history_with_nan_is_continued(data, tmp_path):
    X, Y = data
    settings = {"val": (X, Y * 0), "patience": 1}
    whole = fit(data, **settings)
    with pytest.warns(UserWarning, match="interrupted"):
        fit(data, tmp_path, **settings, callbacks=[StopAfter(1)])
    part = fit(data, tmp_path, **settings)
    assert np.isnan(part.net_.history[:, "valid_mAP"]).all()
    np.testing.assert_array_equal(part.predict_proba(X), whole.predict_proba(X))


def test_what_is_saved_is_what_was_loaded(data, tmp_path):
    fit(data, tmp_path, val=data)
    latest = load_checkpoint(tmp_path / "latest.safetensors")
    save_checkpoint(latest, tmp_path / "again.safetensors")
    assert_same(load_checkpoint(tmp_path / "again.safetensors"), latest)
    content = (tmp_path / "latest.safetensors").read_bytes()
    assert (tmp_path / "again.safetensors").read_bytes() == content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 1}, "unknown key 'epoch'"),
        ({"n_clips": float("nan")}, "NaN"),
        ({"plan": print}, "not JSON serializable"),
        ({"optimizer": {"param_groups": [], "state": {0: {"x": torch.ones(1)}}}}, "'optimizer.0.x"),
        ({"history": [{"text": "x" * 2**24}]}, f"bytes, of which {2**24} are allowed"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, change, message):
    path = tmp_path / "latest.safetensors"
    save_checkpoint({"model": {"x": torch.ones(3)}}, path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"cannot be written: .*{message}"):
        save_checkpoint({"model": {"x": torch.ones(3)}} | change, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "names", [[("a", 1), ("a", 2)], list(pd.to_datetime(["2020-01-01", "2020-01-02"]))], ids=str
)
@pytest.mark.filterwarnings("ignore:After training, this tagger cannot be saved")
def test_events_that_no_checkpoint_can_name_are_refused_before_training(data, tmp_path, names):
    X, Y = data
    Y = pd.DataFrame(Y.to_numpy(), columns=pd.Index(names, tupleize_cols=False, dtype=object))
    count = CountBatches()
    with pytest.raises(ValueError, match=r"this training cannot be written .*Name events"):
        fit((X, Y), tmp_path, callbacks=[count])
    assert count.n_batches == 0


def test_interruption_loses_no_checkpoint_of_another_training(data, tmp_path, monkeypatch):
    fit(data, tmp_path, val=data)
    before = {name: (tmp_path / f"{name}.safetensors").read_bytes() for name in ("best", "latest")}

    def interrupted(source, target):
        monkeypatch.undo()
        os.replace(source, target)
        raise RuntimeError("killed")

    monkeypatch.setattr("sktagger.training._checkpoint_callback.os.replace", interrupted)
    with pytest.warns(UserWarning, match=OTHER), pytest.raises(RuntimeError, match="killed"):
        fit(data, tmp_path, val=data, lr=1e-5)
    with pytest.warns(UserWarning, match=OTHER):
        fit(data, tmp_path, val=data, lr=1e-5)
    for name, content in before.items():
        assert (tmp_path / f"{name}.previous.safetensors").read_bytes() == content


def test_a_saved_tagger_is_no_checkpoint(data, tmp_path):
    tagger = fit(data, tmp_path, val=data)
    tagger.save(tmp_path / "latest.safetensors")
    message = (
        r"latest\.safetensors' is not a checkpoint; .* WALNetTagger\.load or TunedThresholdTag"
    )
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "latest.safetensors")
    with pytest.raises(ValueError, match=message):
        fit(data, tmp_path, val=data)


def test_each_call_that_reads_checkpoints_takes_the_present_format(data, tmp_path):
    tagger = fit(data, tmp_path, val=data, sample_rate=8000)
    expected = tagger.predict_proba(data[0])
    best = tmp_path / "best.safetensors"
    for source in (best, tmp_path):
        loaded = WALNetTagger.load(source).set_params(verbose=0)
        np.testing.assert_array_equal(loaded.predict_proba(data[0]), expected)
        assert loaded.n_iter_ == load_checkpoint(best)["n_iterations"]
    with pytest.raises(ValueError, match=r"has no thresholds: WALNetTagger\.load reads it"):
        TunedThresholdTagger.load(best)
    with pytest.raises(FileNotFoundError, match="has no thresholds yet"):
        TunedThresholdTagger.load(tmp_path)
    tuned = fit(data, init_from=best, freeze="backbone", max_epochs=1, sample_rate=8000)
    key = "cnn.convs.5.conv.weight"
    assert torch.equal(tuned.module_.state_dict()[key], load_checkpoint(best)["model"][key])
    with pytest.raises(FileNotFoundError, match=re.escape(f"Give {str(best)!r}")):
        fit(data, init_from=tmp_path, sample_rate=8000)
