"""Fine-tuning: initial weights from another training, and frozen stages."""

import json
import warnings

import joblib
import numpy as np
import pytest
import torch
from _networks import TinyNet, make_walnet
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import (
    check_dict_unchanged,
    check_estimators_overwrite_params,
    check_estimators_pickle,
    check_fit_idempotent,
    check_get_params_invariance,
    check_set_params,
)

from sktagger import STFT, AudioTagger, Augmentation, WALNetTagger
from sktagger.commands.train import train
from sktagger.metrics import map_scorer
from sktagger.networks import WALNet
from sktagger.taggers._stored import estimators
from sktagger.taggers._weights import read_weights
from sktagger.training.callbacks import Checkpoint, load_checkpoint
from sktagger.training.fine_tuning import freeze_stages, start_from

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "max_epochs": 1, "random_state": 0}
TINY_SETTINGS = {"batch_size": 4, "max_epochs": 1, "random_state": 0}
NETWORK = WALNet(sample_rate=8000).resolve()
OUTPUT = f"cnn.convs.{WALNet.n_stages}."


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return list(rng.standard_normal((8, 4000))), [["rain"], ["siren"], ["rain", "siren"], []] * 2


@pytest.fixture(scope="module")
def source(data):
    """A fitted tagger of the events rain and siren."""
    return WALNetTagger(**SETTINGS | {"random_state": 7}).fit(*data)


def tiny_tagger(**settings):
    """Make a tagger that trains in milliseconds, for tests that are not about WALNet."""
    return AudioTagger(TinyNet(rate=8000, width=8), **TINY_SETTINGS | settings)


@pytest.fixture(scope="module")
def tiny_source(data):
    """A fitted tagger of the events rain and siren with a tiny network."""
    return tiny_tagger(random_state=7).fit(*data)


@pytest.fixture(scope="module")
def experiment(scenes, tmp_path_factory):
    """The directory of a training on the events of the scenes."""
    root = tmp_path_factory.mktemp("storage")
    return train(scenes.path, storage_root=root, settings=SETTINGS)


@pytest.fixture
def fresh():
    return make_walnet(3, sample_rate=8000, n_fft=512, random_state=1)


def state_of(tagger):
    return {key: value.clone() for key, value in tagger.module_.state_dict().items()}


def start(module, init_from, *events):
    """Give a new module of these events the weights of a source."""
    start_from(module, NETWORK, np.array(events), read_weights(init_from, NETWORK, estimators()))


def changed(before, after):
    return {key for key in before if not torch.equal(before[key], after[key])}


def write_checkpoint(path, tagger):
    torch.save({"model": tagger.module_.state_dict()}, path)
    return path


@pytest.mark.parametrize("kind", ["tagger", "saved", "checkpoint"])
def test_all_weights_but_those_of_new_events_come_from_the_source(source, fresh, tmp_path, kind):
    expected = state_of(source)
    drawn = {key: value.clone() for key, value in fresh.state_dict().items()}
    init_from = source
    if kind == "saved":
        init_from = tmp_path / "tagger"
        source.save(init_from)
    elif kind == "checkpoint":
        init_from = str(write_checkpoint(tmp_path / "best.pt", source))
        (tmp_path / "events.json").write_text(json.dumps(["rain", "siren"]))
    start(fresh, init_from, "siren", "dog", "rain")
    state = fresh.state_dict()
    for key, value in expected.items():
        if key.startswith(OUTPUT):
            assert torch.equal(state[key][[2, 0]], value)
            assert torch.equal(state[key][1], drawn[key][1])
        else:
            assert torch.equal(state[key], value)
    assert not changed(expected, source.module_.state_dict())


def test_events_of_an_experiment_are_read_from_its_directory(experiment, scenes, fresh):
    events = scenes.events("balanced_train")
    best = experiment / "checkpoints" / "best.safetensors"
    start(fresh, best, "new", events[1], "other")
    weight = load_checkpoint(best)["model"][OUTPUT + "conv.weight"]
    assert torch.equal(fresh.state_dict()[OUTPUT + "conv.weight"][1], weight[1])


def test_checkpoint_without_names_gives_no_output_weights(source, fresh, tmp_path):
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = write_checkpoint(tmp_path / "a" / "b" / "ckpt.pth", source)
    start(fresh, path, "siren", "dog", "rain")
    moved = changed(before, fresh.state_dict())
    assert not any(key.startswith(OUTPUT) for key in moved)
    assert "cnn.convs.11.norm.running_mean" in moved
    assert "feature_extractor.norm.running_mean" in moved


@pytest.mark.parametrize("kind", ["tagger", "saved"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fmin": 60}, r"was trained with fmin=50\.0, but this tagger has fmin=60\. "),
        ({"stft": STFT(hop_length=80)}, "with hop_length=160, but this tagger has hop_length=80"),
        (
            {"sample_rate": 16000},
            "with sample_rate=8000, hop_length=160, n_fft=512, win_length=320",
        ),
        ({"stft": STFT(window="hann")}, "window='blackman', but this tagger has window='hann'"),
    ],
)
def test_other_settings_of_the_network_raise_before_training(
    source, data, tmp_path, kind, changes, message
):
    init_from = source
    if kind == "saved":
        init_from = tmp_path / "tagger"
        source.save(init_from)
    with pytest.raises(ValueError, match=f"init_from: .* {message}"):
        WALNetTagger(**SETTINGS | changes, init_from=init_from).fit(*data)


def test_other_settings_than_those_of_an_experiment_raise(experiment, data):
    best = experiment / "checkpoints" / "best.safetensors"
    with pytest.raises(ValueError, match=r"best\.safetensors' was trained with hop_length=160"):
        WALNetTagger(**SETTINGS, stft=STFT(hop_length=80), init_from=best).fit(*data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stft": STFT(n_fft=1024)}, "trained with n_fft=512, but this tagger has n_fft=1024"),
        ({"fmin": 500.0}, "has other mel filters than .* sample_rate=8000 and fmin=500"),
    ],
)
def test_other_settings_than_those_of_a_bare_checkpoint_raise(
    source, data, tmp_path, changes, message
):
    path = write_checkpoint(tmp_path / "ckpt.pth", source)
    with pytest.raises(ValueError, match=message):
        WALNetTagger(**SETTINGS | changes, init_from=path).fit(*data)


def test_number_of_events_must_be_that_of_outputs(source, data, tmp_path):
    path = write_checkpoint(tmp_path / "ckpt.pth", source)
    (tmp_path / "events.json").write_text('["rain"]')
    with pytest.raises(ValueError, match=r"2 outputs, but its events\.json names 1 events"):
        WALNetTagger(**SETTINGS, init_from=path).fit(*data)
    (tmp_path / "events.json").write_text('["rain"')
    with pytest.raises(ValueError, match=r"events\.json', which belongs .* is not valid JSON"):
        WALNetTagger(**SETTINGS, init_from=path).fit(*data)


def test_invalid_sources_raise(data, experiment, tmp_path):
    torch.save({"model": {"x": torch.ones(3)}}, tmp_path / "other.pt")
    torch.save({"model": {"x": print}}, tmp_path / "evil.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "cut").write_bytes(b"\xff" * 8 + b"{")
    cases = {
        tmp_path / "other.pt": "holds no WALNet: the tensor 'cnn.convs.12.conv.weight' is missing",
        tmp_path / "evil.pt": "refused",
        tmp_path / "text.pt": "cannot be read as tensors",
        tmp_path / "cut": "is not a saved tagger",
    }
    for path, message in cases.items():
        with pytest.raises(ValueError, match=message):
            WALNetTagger(**SETTINGS, init_from=path).fit(*data)
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.pt' is not a file"):
        WALNetTagger(**SETTINGS, init_from="nowhere.pt").fit(*data)
    with pytest.raises(FileNotFoundError, match=r"is not a file\. .* Give '.*best\.safetensors'"):
        WALNetTagger(**SETTINGS, init_from=experiment).fit(*data)
    with pytest.raises(NotFittedError, match="init_from: this WALNetTagger is not fitted"):
        WALNetTagger(**SETTINGS, init_from=WALNetTagger()).fit(*data)
    with pytest.raises(TypeError, match="the frozen estimator is a LogisticRegression"):
        WALNetTagger(**SETTINGS, init_from=FrozenEstimator(LogisticRegression())).fit(*data)
    with pytest.raises(ValueError, match="'init_from' parameter"):
        WALNetTagger(**SETTINGS, init_from=3).fit(*data)


def test_missing_tensor_of_a_source_is_named(source, fresh, tmp_path):
    state = state_of(source)
    del state["cnn.convs.3.conv.bias"]
    torch.save(state, tmp_path / "ckpt.pth")
    with pytest.raises(ValueError, match=r"do not fit .*convs\.3\.conv\.bias' is missing"):
        start(fresh, tmp_path / "ckpt.pth", "a", "b", "c")


@pytest.mark.parametrize("freeze", [None, 0, 3, 12, "backbone"])
def test_frozen_stages_and_their_statistics_do_not_change(source, data, freeze):
    before = state_of(source)
    tagger = WALNetTagger(**SETTINGS, init_from=source, freeze=freeze).fit(*data)
    n_frozen = {None: 0, "backbone": 12}.get(freeze, freeze)
    trained = [f"cnn.convs.{k}." for k in range(n_frozen, WALNet.n_stages + 1)]
    trained += ["feature_extractor.norm."] * (not n_frozen)
    expected = {key for key in before if key.startswith(tuple(trained))}
    assert changed(before, tagger.module_.state_dict()) == expected
    assert not changed(before, source.module_.state_dict())


def test_frozen_stages_have_no_gradient():
    net = make_walnet(2, sample_rate=8000, n_fft=512)
    assert len(freeze_stages(net, 2)) == 3
    frozen = {key for key, p in net.named_parameters() if not p.requires_grad}
    assert {key.split(".")[2] for key in frozen} == {"0", "1"}
    assert freeze_stages(net, None) == []
    assert all(p.requires_grad for p in net.parameters())


def test_continued_training_can_freeze_fewer_stages(source, data):
    tagger = WALNetTagger(**SETTINGS, init_from=source, freeze="backbone", warm_start=True)
    before = state_of(tagger.fit(*data))
    after = state_of(tagger.set_params(freeze=11).fit(*data))
    moved = changed(before, after)
    assert any(key.startswith("cnn.convs.11.") for key in moved)
    assert not any(key.startswith("cnn.convs.10.") for key in moved)


def test_source_is_used_by_new_trainings_only(source, data):
    tagger = WALNetTagger(**SETTINGS, warm_start=True).fit(*data)
    before = state_of(tagger)
    with pytest.raises(ValueError, match="only a new training starts from it"):
        tagger.set_params(init_from=source).fit(*data)
    assert not changed(before, state_of(tagger))
    tagger.set_params(warm_start=False, freeze="backbone").fit(*data)
    assert changed(state_of(source), state_of(tagger)) == {
        OUTPUT + "conv.weight",
        OUTPUT + "conv.bias",
    }


def test_partial_fit_starts_from_the_source(source, data):
    tagger = WALNetTagger(**SETTINGS, init_from=source, freeze="backbone").partial_fit(*data)
    moved = changed(state_of(source), state_of(tagger))
    assert moved == {OUTPUT + "conv.weight", OUTPUT + "conv.bias"}


def test_random_weights_cannot_be_frozen(data):
    with pytest.raises(
        ValueError, match=r"freeze='backbone' with init_from=None .* random weights"
    ):
        WALNetTagger(**SETTINGS, freeze="backbone").fit(*data)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (-1, "'freeze' parameter"),
        ("all", "'freeze' parameter"),
        (2.5, "'freeze' parameter"),
        (13, "freeze=13, but a WALNet has 12 stages"),
    ],
)
def test_freeze_is_checked(data, source, freeze, message):
    with pytest.raises(ValueError, match=message):
        WALNetTagger(**SETTINGS, init_from=source, freeze=freeze).fit(*data)


def test_clones_keep_a_fitted_source(source, data):
    tagger = WALNetTagger(**SETTINGS, init_from=source, freeze="backbone")
    copy = clone(Pipeline([("tagger", tagger)])).named_steps["tagger"]
    assert copy.init_from is source
    assert copy is not tagger
    assert joblib.hash(copy.get_params()) == joblib.hash(tagger.get_params())
    assert not changed(state_of(copy.fit(*data)), state_of(tagger.fit(*data)))


def test_parameters_of_a_source_are_not_those_of_the_tagger(source):
    tagger = WALNetTagger(init_from=source)
    assert not any(name.startswith("init_from__") for name in tagger.get_params())
    with pytest.raises(ValueError, match=r"\['init_from__lr'\] would change the tagger"):
        tagger.set_params(init_from__lr=1.0)
    assert source.lr == WALNetTagger().lr


def test_initial_weights_can_be_searched(tiny_source, data):
    X, Y = data
    Y = np.array([["rain" in events, "siren" in events] for events in Y], dtype=int)
    frozen = FrozenEstimator(tiny_source)
    search = GridSearchCV(
        tiny_tagger(),
        [{"init_from": [frozen], "freeze": [0, "backbone"]}, {"init_from": [None]}],
        scoring=map_scorer,
        cv=2,
        refit=False,
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        search.fit(X, Y)
    assert len(search.cv_results_["mean_test_score"]) == 3


def test_fine_tuned_tagger_is_pickled_and_saved(source, data, tmp_path):
    X, Y = data
    tagger = WALNetTagger(**SETTINGS, init_from=source, freeze=11).fit(X, Y)
    joblib.dump(tagger, tmp_path / "tagger.joblib")
    loaded = joblib.load(tmp_path / "tagger.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), tagger.predict_proba(X))
    assert not changed(state_of(loaded.fit(X, Y)), state_of(tagger))
    tagger.save(tmp_path / "tagger")
    saved = WALNetTagger.load(tmp_path / "tagger")
    assert (saved.init_from, saved.freeze) == (None, None)
    np.testing.assert_array_equal(saved.predict_proba(X), tagger.predict_proba(X))


@pytest.mark.parametrize(
    "check",
    [
        check_dict_unchanged,
        check_estimators_overwrite_params,
        check_estimators_pickle,
        check_fit_idempotent,
        check_get_params_invariance,
        check_set_params,
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(tiny_source, check):
    check("AudioTagger", tiny_tagger(init_from=tiny_source, freeze="backbone"))


def test_interrupted_fine_tuning_continues_to_the_same_weights(tiny_source, scenes, tmp_path):
    X, Y = scenes.to_xy("balanced_train")

    def fine_tune(directory, max_epochs):
        tagger = tiny_tagger(
            max_epochs=max_epochs,
            schedule="constant",
            augmentation=Augmentation(final_weak_fraction=0),
            init_from=tiny_source,
            freeze=2,
            callbacks=[Checkpoint(directory)],
        )
        return state_of(tagger.fit(X, Y, X_val=X, Y_val=Y))

    whole = fine_tune(tmp_path / "whole", 2)
    fine_tune(tmp_path / "parts", 1)
    assert not changed(whole, fine_tune(tmp_path / "parts", 2))
