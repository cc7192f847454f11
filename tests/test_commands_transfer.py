"""sktagger train --init: trainings that start from other weights."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from _pretrained import make_weights, serve_model

from sktagger import AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.commands import main
from sktagger.commands.evaluate import evaluate
from sktagger.commands.train import train
from sktagger.datasets.scenes import make_scenes
from sktagger.networks import EfficientAT, PANNs
from sktagger.networks._panns_layers import LAYOUTS, Layout
from sktagger.pretrained import find_model
from sktagger.training.callbacks import load_checkpoint

NETWORK = EfficientAT(width=0.1)
NAME = "mn01_as"  # a pretrained model with this network
HEAD = "classifier.5"
SETTINGS = {"max_epochs": 1, "batch_size": 6, "random_state": 0, "augmentation": None}
OF_WALNET = {"sample_rate": 8000, "stft__hop_length": 100, "pooling": "mean", "fmin": 60.0}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Fewer and shorter scenes than those of other modules; all events occur in each set."""
    sizes = {"n_train": 6, "n_validate": 6, "n_eval": 6, "duration": 0.5, "sample_rate": 8000}
    return make_scenes(tmp_path_factory.mktemp("scenes"), **sizes, random_state=0, verbose=False)


@pytest.fixture(scope="module")
def state():
    return make_weights(NETWORK)


@pytest.fixture(scope="module")
def source(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / find_model(NAME).file_name
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def experiment(scenes, source, tmp_path_factory):
    """Only the head was trained."""
    root = tmp_path_factory.mktemp("storage")
    return train(
        scenes.path, storage_root=root, init=source, settings=SETTINGS | {"freeze": "backbone"}
    )


@pytest.fixture(scope="module")
def walnet_experiment(scenes, tmp_path_factory):
    root = tmp_path_factory.mktemp("storage")
    return train(scenes.path, storage_root=root, settings=SETTINGS | OF_WALNET)


@pytest.fixture
def storage(tmp_path):
    """Where experiments are written. It does not exist yet."""
    return tmp_path / "storage"


@pytest.fixture
def fine_tune(scenes, storage):
    """Return a function that trains on the scenes."""

    def fine_tune(init=None, database=scenes.path, settings=(), **arguments):
        settings = SETTINGS | dict(settings)
        return train(database, storage_root=storage, init=init, settings=settings, **arguments)

    return fine_tune


@pytest.fixture
def served(server, source, tmp_path, monkeypatch):
    """The server of the pretrained model, with an empty cache."""
    monkeypatch.setenv("SKTAGGER_CACHE", str(tmp_path / "cache"))
    serve_model(server, NAME, source, monkeypatch)
    return server


def config_of(directory):
    return json.loads((directory / "config.json").read_text())


def source_of(directory):
    return config_of(directory)["tagger"]["init_from"]


def weights(directory, name="latest"):
    return load_checkpoint(directory / "checkpoints" / f"{name}.safetensors")["model"]


def is_head(name):
    return name.startswith(f"{HEAD}.")


# a checkpoint of EfficientAT


def test_config_has_network_and_source(scenes, source, fine_tune, monkeypatch, no_training):
    monkeypatch.chdir(source.parent)
    directory = fine_tune(source.name)
    config = config_of(directory)
    assert config["estimator"] == "AudioTagger"
    assert config["network"]["name"] == "EfficientAT"
    assert config["tagger"]["network"]["settings"]["width"] == 0.1
    assert config["tagger"]["init_from"] == str(source)
    assert json.loads((directory / "events.json").read_text()) == scenes.events("balanced_train")


def test_experiment_loads_as_a_tagger_of_the_events(experiment, scenes):
    X, Y = scenes.to_xy("eval")
    tagger = AudioTagger.load(experiment)
    assert tagger.classes_.tolist() == list(Y.columns)
    assert tagger.network_.get_params() == NETWORK.get_params()
    assert tagger.predict_proba(X).shape == Y.shape


def test_frozen_backbone_is_that_of_the_source(experiment, state):
    trained = weights(experiment)
    assert all(torch.equal(trained[key], state[key]) for key in state if not is_head(key))
    assert trained[f"{HEAD}.weight"].shape[0] == 10


def test_other_layers_are_trained_without_freeze(fine_tune, source, state):
    trained = weights(fine_tune(source))
    key = "features.3.block.0.0.weight"
    assert not torch.equal(trained[key], state[key])
    torch.testing.assert_close(trained[key], state[key], rtol=0, atol=0.01)


def test_clips_are_resampled_to_the_rate_of_the_source(experiment, scenes):
    """The scenes have 8 kHz; no setting says 32 kHz."""
    assert "sample_rate" not in json.dumps(config_of(experiment)["tagger"])
    assert AudioTagger.load(experiment).network_.get_input().sample_rate == 32000


def test_log_names_the_source_once(experiment, source, fine_tune):
    def logged(directory):
        lines = (directory / "log.txt").read_text().splitlines()
        return [line[10:] for line in lines if "weights of" in line]

    expected = [f"weights of {source}: EfficientAT(width=0.1), learning rate 0.0005"]
    assert logged(experiment) == expected
    train(resume=experiment)
    assert logged(experiment) == expected


def test_evaluation_of_a_fine_tuned_tagger(experiment, scenes, tmp_path):
    copy = tmp_path / "experiment"
    shutil.copytree(experiment, copy)
    directory, _, test = evaluate(copy)
    assert {path.name for path in directory.iterdir()} == {
        "overall.json", "event_wise.json", "fp.json", "fn.json", "report.html",
        "tagger.safetensors",
    }  # fmt: skip
    tuned = TunedThresholdTagger.load(copy)
    assert tuned.score(*scenes.to_xy("eval")) == pytest.approx(test.overall["mF1"])


def test_training_continues_without_its_source(source, fine_tune, tmp_path, interrupted):
    copy = tmp_path / source.name
    shutil.copy(source, copy)
    settings = {"max_epochs": 2}
    whole = fine_tune(copy, settings=settings, name="whole")
    with interrupted():
        fine_tune(copy, settings=settings, name="part")
    copy.unlink()
    part = whole.with_name("part")
    assert load_checkpoint(part / "checkpoints" / "latest.safetensors")["plan"]["epoch"] == 1
    assert train(resume=part) == part
    resumed, expected = weights(part), weights(whole)
    assert all(torch.equal(resumed[key], expected[key]) for key in expected)


def test_config_repeats_the_training(experiment, storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    again = train(config=experiment / "config.json", storage_root=storage)
    assert config_of(again) == config_of(experiment)
    first, second = weights(experiment), weights(again)
    assert all(torch.equal(first[key], second[key]) for key in first)


# other sources


def test_an_experiment_stands_for_its_best_checkpoint(experiment, fine_tune, no_training):
    best = str(experiment / "checkpoints" / "best.safetensors")
    for init in (experiment, experiment / "checkpoints", best):
        directory = fine_tune(init)
        assert source_of(directory) == best
        assert config_of(directory)["tagger"]["network"]["settings"]["width"] == 0.1


def test_known_events_keep_their_head(experiment, fine_tune):
    settings = {"lr": 1e-12, "weight_decay": 0}
    trained, best = weights(fine_tune(experiment, settings=settings)), weights(experiment, "best")
    for key in best:
        torch.testing.assert_close(trained[key], best[key], rtol=0, atol=1e-6)


def test_saved_taggers(experiment, fine_tune, tmp_path, no_training):
    AudioTagger.load(experiment).save(tmp_path / "tagger.safetensors")
    directory = fine_tune(tmp_path / "tagger.safetensors")
    assert config_of(directory)["estimator"] == "AudioTagger"
    assert config_of(directory)["tagger"]["network"]["settings"]["width"] == 0.1


@pytest.mark.parametrize("place", ["", "tagger.safetensors"])
def test_walnet_stays_a_walnet_tagger_with_its_settings(
    walnet_experiment, fine_tune, tmp_path, place, no_training
):
    init = walnet_experiment
    if place:
        init = tmp_path / place
        WALNetTagger.load(walnet_experiment).save(init)
    directory = fine_tune(init)
    config = config_of(directory)
    assert config["estimator"] == "WALNetTagger"
    assert (config["tagger"]["sample_rate"], config["tagger"]["fmin"]) == (8000, 60.0)
    assert config["tagger"]["stft"]["hop_length"] == 100
    assert config["tagger"]["pooling"] == "mean"


def test_walnet_may_have_another_pooling(walnet_experiment, fine_tune):
    directory = fine_tune(walnet_experiment, settings={"pooling": "linear_softmax"})
    tagger = WALNetTagger.load(directory)
    assert (tagger.pooling, tagger.sample_rate) == ("linear_softmax", 8000)


def test_walnet_as_an_audio_tagger(walnet_experiment, fine_tune, no_training):
    settings = config_of(fine_tune(walnet_experiment, network="WALNet"))["tagger"]["network"]
    assert (settings["name"], settings["settings"]["sample_rate"]) == ("WALNet", 8000)


def test_published_recipe_from_a_walnet(walnet_experiment, fine_tune, monkeypatch, no_training):
    monkeypatch.setitem(train.__globals__["RECIPES"]["reference"]["WALNet"], "min_length", 0.0)
    tagger = config_of(fine_tune(walnet_experiment, recipe="reference"))["tagger"]
    assert (tagger["lr"], tagger["sample_rate"]) == (3e-4, 8000)


# a pretrained model by its name


def test_pretrained_model_is_fetched_once(served, fine_tune, state, tmp_path, capsys):
    directory = fine_tune(NAME, settings={"freeze": "backbone"})
    assert served.paths == [f"/{find_model(NAME).file_name}"]
    assert source_of(directory) == NAME
    trained = weights(directory)
    assert all(torch.equal(trained[key], state[key]) for key in state if not is_head(key))
    shutil.rmtree(tmp_path / "cache")
    evaluate(directory)
    train(resume=directory)
    assert len(served.paths) == 1
    again = train(config=directory / "config.json", storage_root=tmp_path / "again")
    assert len(served.paths) == 2
    assert torch.equal(weights(again)[f"{HEAD}.weight"], trained[f"{HEAD}.weight"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"database": "nowhere.json"},
        {"training_set": "night"},
        {"validation_set": "night"},
        {"name": "a/b"},
        {"network": "WALNet"},
        {"network": "Wal"},
        {"recipe": "reference"},
        {"settings": {"lr": "fast"}},
        {"settings": {"sample_rate": 16000}},
        {"settings": {"network__width": 100}},
        {"settings": {"freeze": 100}},
    ],
)
def test_nothing_is_fetched_if_there_is_another_error(served, fine_tune, storage, arguments):
    with pytest.raises((ValueError, FileNotFoundError)):
        fine_tune(NAME, **arguments)
    assert served.paths == []
    assert not storage.exists()


def test_model_that_cannot_be_fetched(served, fine_tune, storage):
    served.missing = 1000
    with pytest.raises(ConnectionError, match=f"^--init: '{NAME}' cannot be fetched from http"):
        fine_tune(NAME)
    assert not storage.exists()


# where the source is named


def test_options_override_the_file(source, fine_tune, tmp_path, no_training):
    first, second, third = (tmp_path / f"{NAME}_{name}.pt" for name in "abc")
    for path in (first, second, third):
        shutil.copy(source, path)
    (tmp_path / "my.json").write_text(json.dumps({"tagger": {"init_from": first.name}}))
    config = tmp_path / "my.json"
    assert source_of(fine_tune(config=config)) == str(first)
    assert source_of(fine_tune(second, config=config)) == str(second)
    assert source_of(fine_tune(second, config=config, settings={"init_from": third})) == str(third)
    scratch = config_of(fine_tune(second, config=config, settings={"init_from": None}))
    assert (scratch["estimator"], scratch["tagger"]["init_from"]) == ("WALNetTagger", None)


def test_faulty_source_that_is_overridden_has_no_effect(source, fine_tune, tmp_path, no_training):
    (tmp_path / "my.json").write_text(json.dumps({"tagger": {"init_from": "nowhere.pt"}}))
    assert source_of(fine_tune(source, config=tmp_path / "my.json")) == str(source)


@pytest.mark.parametrize("name", ["my.json", "my.toml"])
def test_path_in_a_file_is_relative_to_the_file(
    source, fine_tune, tmp_path, monkeypatch, name, no_training
):
    (tmp_path / "weights").mkdir()
    (tmp_path / "settings").mkdir()
    copy = shutil.copy(source, tmp_path / "weights")
    config = tmp_path / "settings" / name
    path = f"../weights/{source.name}"
    toml = f'[tagger]\ninit_from = "{path}"\n'
    config.write_text(toml if name == "my.toml" else json.dumps({"tagger": {"init_from": path}}))
    monkeypatch.chdir(source.parent)
    assert source_of(fine_tune(config=config)) == str(copy)
    (tmp_path / "weights" / source.name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"^.*{name}, at tagger: init_from: the file '/"):
        fine_tune(config=config)


def test_experiment_in_a_file_is_relative_to_the_file(experiment, fine_tune, tmp_path, no_training):
    shutil.copytree(experiment, tmp_path / "earlier")
    (tmp_path / "my.json").write_text(json.dumps({"tagger": {"init_from": "earlier"}}))
    best = tmp_path / "earlier" / "checkpoints" / "best.safetensors"
    assert source_of(fine_tune(config=tmp_path / "my.json")) == str(best)


def test_name_in_a_file(served, source, fine_tune, tmp_path, no_training):
    (tmp_path / "my.json").write_text(json.dumps({"tagger": {"init_from": NAME}}))
    assert source_of(fine_tune(config=tmp_path / "my.json")) == NAME
    shutil.copy(source, tmp_path / NAME)  # a file of this name comes first
    assert source_of(fine_tune(config=tmp_path / "my.json")) == str(tmp_path / NAME)


def test_network_may_be_named_beside_its_source(source, fine_tune, no_training):
    network = config_of(fine_tune(source, network="EfficientAT"))["tagger"]["network"]
    assert network["settings"]["width"] == 0.1
    settings = {"network__hop_length": 480}
    network = config_of(fine_tune(source, settings=settings))["tagger"]["network"]
    assert (network["settings"]["width"], network["settings"]["hop_length"]) == (0.1, 480)


# errors


@pytest.fixture
def faulty(tmp_path, state, source, walnet_experiment):
    """Paths of faulty sources by name."""
    folder = tmp_path / "faulty"
    folder.mkdir()
    paths = {name: folder / name for name in ("cut.pt", "cut.safetensors", "text.pt", "other.pt")}
    best = walnet_experiment / "checkpoints" / "best.safetensors"
    paths["cut.pt"].write_bytes(source.read_bytes()[:5000])
    paths["cut.safetensors"].write_bytes(best.read_bytes()[:-1000])
    paths["text.pt"].write_text("no weights")
    torch.save({"conv.weight": torch.ones(3)}, paths["other.pt"])
    paths[f"{NAME}_nan.pt"] = folder / f"{NAME}_nan.pt"
    torch.save(state | {f"{HEAD}.bias": torch.full((527,), np.nan)}, paths[f"{NAME}_nan.pt"])
    paths["empty"] = folder / "empty"
    paths["empty"].mkdir()
    unfinished = folder / "unfinished"  # an experiment before its first validation
    shutil.copytree(walnet_experiment, unfinished)
    (unfinished / "checkpoints" / "best.safetensors").unlink()
    return {name: str(path) for name, path in paths.items()} | {"unfinished": str(unfinished)}


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("mn10_ass", r"the file 'mn10_ass' does not exist, .*nearest: 'mn10_as'.*sktagger models"),
        ("nowhere.pt", r"the file 'nowhere\.pt' does not exist, .* Give a checkpoint, a file that"),
        ("empty", "empty' is a directory without a best checkpoint. Give a checkpoint"),
        ("unfinished", "unfinished' is a directory without a best checkpoint. Give a checkpoint"),
        ("cut.pt", r"cut\.pt' cannot be read .*It is damaged"),
        ("cut.safetensors", r"cut\.safetensors' .*damaged"),
        ("text.pt", r"text\.pt' cannot be read"),
        ("other.pt", r"no known network\. They begin with \['conv\.weight'\].*by --network, one"),
        (f"{NAME}_nan.pt", rf"{HEAD}\.bias' .*(NaN|finite)"),
        (3, "has the type int, but it must be a path"),
        (AudioTagger(), r"has the type AudioTagger, but .* Save the tagger and give the file"),
    ],
)
def test_faulty_sources(faulty, fine_tune, storage, init, message):
    init = faulty.get(init, init) if isinstance(init, str) else init
    error = FileNotFoundError if "directory" in message or "not exist" in message else ValueError
    with pytest.raises(error, match=f"^--init[: ].*{message}"):
        fine_tune(init)
    with pytest.raises(error, match=f"^--set: init_from[: ].*{message}"):
        fine_tune(settings={"init_from": init})
    assert not storage.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"network": "WALNet"},
            "^--init: .* has weights of EfficientAT, but the tagger's network is WALNet. Do not "
            "state estimator and network",
        ),
        ({"recipe": "reference"}, "^--recipe: .*training of WALNet, .* network is EfficientAT"),
        ({"settings": {"sample_rate": 16000}}, "^--set: the tagger has no parameter 'sample_rate'"),
        ({"settings": {"network__width": 0.4}}, "^--init: .* the weights do not fit this network"),
        ({"settings": {"head_init": "lin"}}, "^--set: .*'head_init' parameter"),
    ],
)
def test_settings_that_contradict_the_source(source, fine_tune, storage, arguments, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(source, **arguments)
    assert not storage.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": "backbone", "init_from": None}, "^--set: freeze='backbone' with init_from="),
        ({"head_init": "linear"}, "^--set: head_init='linear', but the head of a WALNet scores"),
        ({"sample_rate": 16000}, "^--init: .* was trained with sample_rate=8000"),
    ],
)
def test_settings_that_a_walnet_cannot_begin_with(
    walnet_experiment, fine_tune, storage, settings, message
):
    with pytest.raises(ValueError, match=message):
        fine_tune(walnet_experiment, settings=settings)
    assert not storage.exists()


def test_init_cannot_be_used_with_resume(experiment, source):
    with pytest.raises(ValueError, match=r"^--init cannot be used with --resume: .* new train"):
        train(resume=experiment, init=source)


# weights whose network is not known


@pytest.fixture
def ambiguous(tmp_path, state, monkeypatch):
    """Return a function that writes weights whose names and shapes do not tell all settings."""

    def write(network):
        path = tmp_path / "best.pt"
        if network == "EfficientAT":
            torch.save(state, path)
            return path
        for name in ("cnn14", "cnn14_decision_level_max"):  # as they are, they have 80 M weights
            monkeypatch.setitem(LAYOUTS, name, Layout((2, 2, 2, 2, 2, 4), 3, 2, 5, 4))
        torch.save({"model": PANNs().build(527).state_dict()}, path)
        return path

    return write


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("EfficientAT", [NETWORK]),
        ("PANNs", [PANNs(), PANNs(variant="cnn14_decision_level_max")]),
    ],
)
def test_options_in_the_message_work(ambiguous, network, expected, scenes, storage, capsys):
    command = ["train", str(scenes.path), f"--storage-root={storage}"]
    command += [f"--init={ambiguous(network)}", "--set=max_epochs=1"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert not storage.exists()
    assert error.startswith("sktagger train: error: --init: ")
    choices = re.search(r"As options: (.*)\.\n$", error)[1].split(", or ")
    assert len(choices) == len(expected)
    for choice, settings in zip(choices, expected, strict=True):
        assert main([*command, *shlex.split(choice)]) == 0
        directory = Path(capsys.readouterr().out.splitlines()[-1])
        found = AudioTagger.load(directory).network_
        assert found.get_params() == settings.resolve().get_params()


def test_other_settings_can_be_added_to_the_options(ambiguous, fine_tune, no_training):
    settings = {"network__width": 0.1, "network__hop_length": 480}
    directory = fine_tune(ambiguous("EfficientAT"), network="EfficientAT", settings=settings)
    network = config_of(directory)["tagger"]["network"]["settings"]
    assert (network["width"], network["hop_length"], network["head"]) == (0.1, 480, "mlp")


def test_networks_of_padertorch_are_walnets(walnet_experiment, fine_tune, tmp_path, no_training):
    """Their checkpoints have weights only, so settings must be given."""
    torch.save({"model": weights(walnet_experiment)}, tmp_path / "ckpt_best.pth")
    settings = {"sample_rate": 8000, "stft__hop_length": 100, "fmin": 60.0}
    config = config_of(fine_tune(tmp_path / "ckpt_best.pth", settings=settings))
    assert config["estimator"] == "WALNetTagger"


def test_panns_of_other_sizes_are_refused(fine_tune, storage, tmp_path):
    """Such as Cnn14_emb128, whose weights have the names of those of Cnn14."""
    network = PANNs(variant="cnn6")
    state = network.build(5).state_dict()
    state["fc1.weight"], state["fc1.bias"] = torch.zeros(128, 512), torch.zeros(128)
    state["fc_audioset.weight"] = torch.zeros(5, 128)
    path = tmp_path / "Cnn6_emb128_mAP=0.3.pth"
    torch.save({"model": state}, path)
    message = "128 values in an embedding instead of 512"
    with pytest.raises(ValueError, match=f"^--init: .*not supported: it has {message}"):
        fine_tune(path)
    with pytest.raises(ValueError, match=f"^--init: .*has {message}, so that it is another net"):
        fine_tune(path, network="PANNs", settings={"network__variant": "cnn6"})
    with pytest.raises(ValueError, match=f"not supported: it has {message}"):
        AudioTagger.from_checkpoint(path)
    assert not storage.exists()
