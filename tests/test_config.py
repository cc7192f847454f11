"""sktagger train --config."""

import json
import sys

import pytest
import torch

from sktagger import Augmentation, WALNetTagger
from sktagger.commands import main
from sktagger.commands._config import read_config_file
from sktagger.commands._experiment import load_tagger
from sktagger.commands.train import train
from sktagger.training.callbacks import load_checkpoint

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "max_epochs": 1}


@pytest.fixture(scope="module")
def experiment(scenes, tmp_path_factory):
    """A training whose seed was drawn, and whose settings are not the defaults."""
    root = tmp_path_factory.mktemp("storage")
    settings = {
        "augmentation__mixup_prob": 0.8,
        "stft__hop_length": 100,
        "class_weight": "balanced",
    }
    return train(scenes.path, storage_root=root, settings=SETTINGS | settings)


@pytest.fixture
def write(tmp_path):
    """Give a function that writes a config."""

    def write(content, name="my.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def config_of(directory):
    return json.loads((directory / "config.json").read_text())


def weights(directory):
    return load_checkpoint(directory / "checkpoints" / "latest.pt")["model"]


def test_config_of_an_experiment_makes_the_same_training(experiment, tmp_path):
    again = train(config=experiment / "config.json", storage_root=tmp_path)
    assert config_of(again) == config_of(experiment)
    first, second = weights(experiment), weights(again)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.usefixtures("no_training")
def test_versions_of_a_config_are_ignored(experiment, write, tmp_path):
    path = write(config_of(experiment) | {"versions": {"torch": "0.1"}})
    assert config_of(train(config=path, storage_root=tmp_path)) == config_of(experiment)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", ["my.json", "my.yaml", "my.yml"])
def test_partial_config_leaves_the_rest_at_its_defaults(scenes, write, tmp_path, name):
    content = {
        "database": str(scenes.path),
        "training_set": "validate",
        "tagger": {"sample_rate": 8000, "augmentation": {"mixup_prob": 0.9}, "lr": 0.01},
    }
    if name != "my.json":
        content = (
            f"database: {scenes.path}\ntraining_set: validate\n"
            "tagger:\n  sample_rate: 8000\n  augmentation:\n    mixup_prob: 0.9\n  lr: 1e-2\n"
        )
    config = config_of(train(config=write(content, name), storage_root=tmp_path))
    assert config["training_set"] == "validate"
    assert config["validation_set"] == "validate"
    assert config["recipe"] == "default"
    tagger = config["tagger"]
    assert (tagger["sample_rate"], tagger["lr"], tagger["max_epochs"]) == (8000, 0.01, 20)
    assert tagger["augmentation"] == Augmentation(mixup_prob=0.9).get_params()
    assert isinstance(tagger["random_state"], int)


@pytest.mark.usefixtures("no_training")
def test_recipe_of_a_file_comes_before_its_parameters(scenes, write, tmp_path):
    content = {
        "database": str(scenes.path),
        "recipe": "reference",
        "min_length": 0,
        "tagger": {"augmentation": {"mixup_prob": 0.9}, "lr": 0.01},
    }
    config = config_of(train(config=write(content), storage_root=tmp_path))
    assert config["min_length"] == 0
    assert config["tagger"]["max_iterations"] == 50_000
    assert config["tagger"]["lr"] == 0.01
    assert config["tagger"]["augmentation"]["mixup_prob"] == 0.9
    assert config["tagger"]["augmentation"]["mixup_delay"] == 80


@pytest.mark.usefixtures("no_training")
def test_command_line_overrides_the_file(experiment, scenes, write, tmp_path, capsys):
    path = write(config_of(experiment) | {"database": "nowhere.json"})
    options = ["--validation-set=eval", "--set=lr=0.5", "--set=augmentation.mixup_prob=0.1"]
    storage = f"--storage-root={tmp_path}"
    assert main(["train", str(scenes.path), f"--config={path}", storage, *options]) == 0
    (directory,) = (tmp_path / "audio_tagging").iterdir()
    config, before = config_of(directory), config_of(experiment)
    assert config["database"] == str(scenes.path)
    assert (config["training_set"], config["validation_set"]) == ("balanced_train", "eval")
    expected = before["tagger"] | {"lr": 0.5}
    expected["augmentation"] = before["tagger"]["augmentation"] | {"mixup_prob": 0.1}
    assert config["tagger"] == expected


@pytest.mark.usefixtures("no_training")
def test_recipe_of_the_command_line_overrides_the_file(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(
        sys.modules["sktagger.commands.train"].RECIPES["reference"], "min_length", 0.5
    )
    directory = train(config=experiment / "config.json", recipe="reference", storage_root=tmp_path)
    config = config_of(directory)
    assert (config["recipe"], config["min_length"]) == ("reference", 0.5)
    assert config["tagger"]["batch_size"] == 24
    assert config["tagger"]["sample_rate"] == 8000


@pytest.mark.usefixtures("no_training")
def test_what_is_overridden_may_be_wrong_in_the_file(experiment, write, tmp_path):
    content = config_of(experiment)
    content["tagger"]["device"] = "cuda:99"
    with pytest.raises(ValueError, match=r"my\.json, at tagger: device='cuda:99' cannot be used"):
        train(config=write(content), storage_root=tmp_path)
    directory = train(config=write(content), storage_root=tmp_path, settings={"device": "cpu"})
    assert config_of(directory)["tagger"]["device"] == "cpu"


def test_paths_are_relative_to_the_file(scenes, write, tmp_path):
    (tmp_path / "db.json").write_text("{}")
    path = write({"database": "db.json", "tagger": {"init_from": "a/best.pt"}})
    config = read_config_file(path)
    assert config["database"] == str(tmp_path / "db.json")
    assert config["tagger"]["init_from"] == str(tmp_path / "a" / "best.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"databse": "x.json"}, r"the key 'databse' is not known; nearest: 'database'"),
        ({"lr": 1}, r"the key 'lr' is not known.* belong under 'tagger'"),
        ({"tagger": {"max_epoch": 3}}, r"at tagger: .* no parameter 'max_epoch'; nearest: 'max_ep"),
        (
            {"tagger": {"augmentation": {"mixup_prop": 1}}},
            r"at tagger: .* 'augmentation\.mixup_prop'; nearest: 'augmentation\.mixup_prob'",
        ),
        ({"tagger": {"callbacks": []}}, r"at tagger: the tagger has no parameter 'callbacks'"),
        ({"training_set": 3}, r"at training_set: got 3; allowed is the name of a data set"),
        ({"min_length": "1"}, r"at min_length: got '1'; allowed is a number of seconds"),
        ({"min_length": -1}, r"at min_length: got -1"),
        ({"recipe": "best"}, r"at recipe: got 'best'; allowed is one of 'default', 'reference'"),
        ({"tagger": [1]}, r"at tagger: got \[1\]; allowed is an object"),
        ({"tagger": {"lr": "fast"}}, r"my\.json, at tagger: The 'lr' parameter"),
        ({"tagger": {"stft": {"n_fft": "x"}}}, r"my\.json, at tagger: .*n_fft='x'"),
        ({"tagger": {"augmentation": {"warp_std": "x"}}}, r"at tagger: .*warp_std='x'"),
        ({"tagger": {"init_from": 3}}, r"at tagger: init_from is of type int"),
        ([1], "got list, but a config is an object of the keys database"),
        ("{", r"my\.json cannot be read \(.*line 1"),
    ],
)
def test_mistakes_are_told_with_their_place(scenes, write, tmp_path, content, message):
    if isinstance(content, dict):
        content = {"database": str(scenes.path)} | content
    with pytest.raises(ValueError, match=message):
        train(config=write(content), storage_root=tmp_path)
    assert not (tmp_path / "audio_tagging").exists()


def test_mistake_of_the_command_line_is_not_put_down_to_the_file(experiment, tmp_path):
    with pytest.raises(ValueError, match=r"^--set: The 'lr' parameter"):
        train(config=experiment / "config.json", storage_root=tmp_path, settings={"lr": "fast"})


def test_missing_files_are_named(experiment, write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"my\.json, at database: no file '.*nowhere"):
        train(config=write({"database": "nowhere.json"}))
    with pytest.raises(ValueError, match="DATABASE is missing"):
        train(config=write({}))
    with pytest.raises(FileNotFoundError, match=r"--config: '.*nowhere\.json' is no file"):
        train(config="nowhere.json")
    with pytest.raises(FileNotFoundError, match=r"is no file\. Give '.*config\.json'"):
        train(config=experiment)


def test_damaged_yaml_is_an_error_and_objects_are_not_made(write):
    with pytest.raises(ValueError, match=r"my\.yaml cannot be read \(.*line 1"):
        train(config=write("tagger: [1", "my.yaml"))
    with pytest.raises(ValueError, match="could not determine a constructor"):
        train(config=write("tagger: !!python/object/apply:os.getcwd []", "my.yaml"))


def test_none_in_yaml_is_that_of_python(write):
    config = read_config_file(write("tagger: {patience: None, lr: 1e-3, loss: Nones}", "my.yaml"))
    assert config["tagger"] == {"patience": None, "lr": 1e-3, "loss": "Nones"}


def test_yaml_needs_pyyaml(write, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["train", f"--config={write('tagger: {}', 'my.yaml')}"]) == 1
    assert 'pip install "sktagger[yaml]"' in capsys.readouterr().err


def test_only_the_user_names_a_cache(scenes, tmp_path, monkeypatch, no_training):
    memories = []
    end_at_once = WALNetTagger.fit

    def fit(self, *args, **kwargs):
        memories.append(self.memory)
        return end_at_once(self)

    monkeypatch.setattr(WALNetTagger, "fit", fit)
    cache = str(tmp_path / "cache")
    directory = train(scenes.path, storage_root=tmp_path, settings={"memory": cache})
    config = config_of(directory)
    assert "memory" not in config["tagger"]
    train(resume=directory, settings={"memory": cache})
    train(resume=directory)
    config["tagger"]["memory"] = cache  # of a stranger, who has put pickles there
    (directory / "config.json").write_text(json.dumps(config))
    train(resume=directory)
    assert memories == [cache, cache, None, None]
    with pytest.raises(ValueError, match=r"at tagger: memory names a folder of pickles"):
        train(config=directory / "config.json", storage_root=tmp_path)
    with pytest.raises(ValueError, match="--set does not go with --resume"):
        train(resume=directory, settings={"memory": cache, "lr": 1})


def test_config_does_not_go_with_resume(experiment):
    with pytest.raises(ValueError, match="--config does not go with --resume"):
        train(resume=experiment, config=experiment / "config.json")


def test_fine_tuning_is_in_the_config(experiment, scenes, tmp_path, monkeypatch):
    settings = SETTINGS | {"stft__hop_length": 100, "freeze": 11, "random_state": 0}
    monkeypatch.chdir(experiment)
    settings["init_from"] = "checkpoints/best.pt"
    first = train(scenes.path, storage_root=tmp_path, settings=settings)
    best = experiment / "checkpoints" / "best.pt"
    assert config_of(first)["tagger"]["init_from"] == str(best.resolve())
    monkeypatch.chdir(tmp_path)
    again = train(config=first / "config.json", storage_root=tmp_path)
    first, again, source = weights(first), weights(again), load_checkpoint(best)["model"]
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert torch.equal(source["cnn.convs.5.conv.weight"], first["cnn.convs.5.conv.weight"])


def test_tagger_in_memory_does_not_go_into_a_config(scenes, tmp_path):
    with pytest.raises(ValueError, match=r"init_from is of type WALNetTagger, .* Save a tagger"):
        train(scenes.path, storage_root=tmp_path, settings={"init_from": WALNetTagger()})


def test_resumed_fine_tuning_does_not_need_its_source(experiment, scenes, tmp_path):
    source = tmp_path / "source.pt"
    source.write_bytes((experiment / "checkpoints" / "best.pt").read_bytes())
    settings = SETTINGS | {"stft__hop_length": 100, "freeze": "features", "init_from": str(source)}
    settings |= {"schedule": "constant", "augmentation__refine": 0}  # which can be extended
    directory = train(scenes.path, storage_root=tmp_path, settings=settings)
    config = config_of(directory)
    config["tagger"]["max_epochs"] = 2
    (directory / "config.json").write_text(json.dumps(config))
    source.unlink()
    train(resume=directory)
    latest = load_checkpoint(directory / "checkpoints" / "latest.pt")
    assert latest["history"][-1]["n_epochs"] == 2
    assert load_tagger(directory).freeze == "features"  # nor does evaluation
