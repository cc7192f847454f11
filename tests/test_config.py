"""sktagger train --config, and the layers of settings."""

import json
import time

import pytest
import torch

from sktagger import Augmentation, WALNetTagger
from sktagger.commands import main
from sktagger.commands._config import read_config_file
from sktagger.commands._experiment import load_tagger
from sktagger.commands._recipes import RECIPES
from sktagger.commands._settings import make_config
from sktagger.commands.evaluate import evaluate
from sktagger.commands.train import train
from sktagger.training.callbacks import load_checkpoint

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "max_epochs": 1}
OF_ANY_NETWORK = {"network__sample_rate": 8000, "network__stft__hop_length": 100}
OF_ANY_NETWORK |= {"network__pooling": "mean", "batch_size": 4, "max_epochs": 1}


@pytest.fixture(scope="module")
def experiment(scenes, tmp_path_factory):
    """A training with a drawn seed and with settings that are not the defaults."""
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
        if not isinstance(content, str | bytes):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def config_of(directory):
    return json.loads((directory / "config.json").read_text())


def weights(directory):
    return load_checkpoint(directory / "checkpoints" / "latest.safetensors")["model"]


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
@pytest.mark.parametrize("name", ["my.json", "my.toml", "my.TOML", "my.config"])
def test_partial_config_leaves_the_rest_at_its_defaults(scenes, write, tmp_path, name):
    content = {
        "database": str(scenes.path),
        "training_set": "validate",
        "tagger": {"sample_rate": 8000, "augmentation": {"mixup_prob": 0.9}, "lr": 0.01},
    }
    if name.lower() == "my.toml":
        content = (
            f"database = '{scenes.path}'\ntraining_set = 'validate'\n"
            "[tagger]\nsample_rate = 8_000\naugmentation.mixup_prob = 0.9\nlr = 1e-2\n"
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
    monkeypatch.setitem(RECIPES["reference"]["WALNet"], "min_length", 0.5)
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
        (
            {"databse": "x.json"},
            r"at the top level: got the unknown key 'databse'; nearest: 'database'",
        ),
        ({"lr": 1}, r"got the unknown key 'lr'.* belong under 'tagger'"),
        ({"tagger": {"max_epoch": 3}}, r"at tagger: .* no parameter 'max_epoch'; nearest: 'max_ep"),
        (
            {"tagger": {"augmentation": {"mixup_prop": 1}}},
            r"at tagger: .* 'augmentation\.mixup_prop'; nearest: 'augmentation\.mixup_prob'",
        ),
        ({"tagger": {"callbacks": []}}, r"at tagger: the tagger has no parameter 'callbacks'"),
        ({"training_set": 3}, r"at training_set: got 3; allowed: the name of a data set"),
        ({"min_length": "1"}, r"at min_length: got '1'; allowed: a number of seconds"),
        ({"min_length": -1}, r"at min_length: got -1"),
        ({"recipe": "best"}, r"at recipe: got 'best'; allowed: one of 'default', 'reference'"),
        ({"recipe": ["default"]}, r"at recipe: got \['default'\]; allowed: one of"),
        ({"unknown_events": []}, r"at unknown_events: got \[\]; allowed: 'error' or 'ignore'"),
        ({"tagger": [1]}, r"at tagger: got \[1\]; allowed: an object"),
        ({"tagger": [1] * 10**5}, r"at tagger: got \[1, [1, .]+\]; allowed: an object"),
        ({"tagger": {"lr": "fast"}}, r"my\.json, at tagger: The 'lr' parameter"),
        ({"tagger": {"stft": {"n_fft": "x"}}}, r"my\.json, at tagger: .*n_fft='x'"),
        ({"tagger": {"augmentation": {"warp_std": "x"}}}, r"at tagger: .*warp_std='x'"),
        ({"tagger": {"init_from": 3}}, r"at tagger: init_from has the type int"),
        ([1], "at the top level: got list; allowed: an object of the keys database"),
        ("{", r"my\.json cannot be read as JSON \(.*line 1"),
        ('{"tagger": ' * 101 + "1" + "}" * 101, "nested more than 100 levels deep"),
    ],
)
def test_errors_name_the_place(scenes, write, tmp_path, content, message):
    if isinstance(content, dict):
        content = {"database": str(scenes.path)} | content
    with pytest.raises(ValueError, match=message):
        train(config=write(content), storage_root=tmp_path)
    assert not (tmp_path / "audio_tagging").exists()


FILE, SET, RECIPE = "the file, at tagger", "--set", "--recipe"


def resolve(**layers):
    """Resolve settings of a file (`file`), `--recipe` (`recipe`) and `--set` (`given`)."""
    return make_config(
        "db.json",
        training_set="a",
        validation_set="b",
        recipe="default",
        min_length=0.0,
        unknown_events="error",
        tagger={
            "recipe": {},
            FILE: layers.get("file", {}),
            RECIPE: layers.get("recipe", {}),
            SET: layers.get("given", {}),
        },
    )["tagger"]


@pytest.mark.parametrize(
    ("file", "given", "place", "message"),
    [
        # one setting is wrong by itself
        ({"lr": "fast"}, {}, FILE, "'lr' parameter"),
        ({}, {"lr": "fast"}, SET, "'lr' parameter"),
        ({"lr": 0.1}, {"lr": "fast"}, SET, "'lr' parameter"),
        # the other layer sets a parameter that the error names
        ({"fmin": 30000}, {"lr": 0.1}, FILE, "fmin=30000 .* sample_rate of 44100"),
        ({"fmin": 30000}, {"sample_rate": 44100}, FILE, "fmin=30000 .* sample_rate of 44100"),
        ({"stft__n_fft": "x"}, {"sample_rate": 8000}, FILE, "n_fft='x'"),
        ({"device": "nowhere"}, {"init_from": "cpu"}, FILE, "device='nowhere'"),
        # settings are wrong only together
        ({"fmin": 6000}, {"sample_rate": 8000}, SET, "fmin=6000 .* sample_rate of 8000"),
        ({"sample_rate": 8000}, {"fmin": 6000}, SET, "fmin=6000 .* sample_rate of 8000"),
        ({"fmin": 6000, "sample_rate": 8000}, {"lr": 0.1}, FILE, "fmin=6000"),
        ({"fmin": 30000}, {"sample_rate": 48000}, SET, "fmin=30000 .* sample_rate of 48000"),
        ({"augmentation": None}, {"augmentation__warp_std": 0.1}, SET, "augmentation=None has no"),
        # a later layer corrects one fault, but not the other
        ({"lr": "fast", "fmin": 30000}, {"lr": 0.1}, FILE, "fmin=30000"),
        ({"fmin": 30000}, {"sample_rate": 96000, "lr": "fast"}, SET, "'lr' parameter"),
        # both are wrong: the layer belongs to the fault that is reported
        ({"lr": "fast"}, {"sample_rate": -1}, FILE, "'lr' parameter"),
        ({"sample_rate": -1}, {"lr": "fast"}, SET, "'lr' parameter"),
        ({"augmentation__warp_std": "x", "lr": -1}, {"augmentation": None}, FILE, "'lr' param"),
    ],
)
def test_error_names_the_layer_that_makes_settings_invalid(file, given, place, message):
    with pytest.raises(ValueError, match=f"^{place}: .*{message}"):
        resolve(file=file, given=given)


@pytest.mark.parametrize(
    ("file", "given"),
    [
        ({"fmin": 30000}, {"sample_rate": 96000}),
        ({"sample_rate": 8000, "fmin": 6000}, {"fmin": 3000}),
        ({"lr": "fast"}, {"lr": 0.1}),
        ({"augmentation__warp_std": "x"}, {"augmentation": "reference"}),
        ({"stft__n_fft": "x"}, {"stft": None}),
        ({"stft": "x"}, {"stft": None, "stft__n_fft": 512}),
        ({"init_from": 3}, {"init_from": None}),
    ],
)
def test_layers_may_be_valid_only_together(file, given):
    expected = resolve(given={name: value for name, value in (file | given).items()
                              if value != "x"} | {"random_state": 0})  # fmt: skip
    assert resolve(file=file, given=given | {"random_state": 0}) == expected


def test_recipe_of_the_command_line_can_be_to_blame():
    file = {"sample_rate": 8000}
    with pytest.raises(ValueError, match=r"^--recipe: fmin=6000"):
        resolve(file=file, recipe={"fmin": 6000}, given={"lr": 0.1})
    assert resolve(file=file, recipe={"fmin": 6000}, given={"fmin": 50.0})["fmin"] == 50.0


def test_error_of_the_command_line_is_not_blamed_on_the_file(experiment, tmp_path):
    with pytest.raises(ValueError, match=r"^--set: The 'lr' parameter"):
        train(config=experiment / "config.json", storage_root=tmp_path, settings={"lr": "fast"})


def test_missing_files_are_named(experiment, write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"my\.json, at database: the file '.*nowhere"):
        train(config=write({"database": "nowhere.json"}))
    with pytest.raises(ValueError, match="DATABASE is missing"):
        train(config=write({}))
    with pytest.raises(FileNotFoundError, match=r"--config: the file '.*nowhere\.json' does not"):
        train(config="nowhere.json")
    with pytest.raises(FileNotFoundError, match=r"does not exist\. Did you mean '.*config\.json'"):
        train(config=experiment)


@pytest.mark.parametrize("name", ["my.yaml", "my.YML"])
def test_yaml_is_refused(write, capsys, name):
    assert main(["train", f"--config={write('tagger: {}', name)}"]) == 1
    error = capsys.readouterr().err
    assert f"{name}: YAML is not supported. Write the settings in TOML" in error
    assert "Traceback" not in error


def test_toml_under_another_name_is_refused_with_a_hint(write):
    with pytest.raises(ValueError, match=r"as JSON \(.*TOML files must end in \.toml"):
        read_config_file(write("[tagger]\nlr = 0.1", "my.cfg"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tagger = x\n", r"my\.toml cannot be read as TOML \(.*line 1.*Correct the file"),
        ("[tagger]\nlr = 1\nlr = 2\n", "cannot be read as TOML .*overwrite.*line 3"),
        ("min_length = nan", "at min_length: got nan; numbers must be finite"),
        ("[tagger]\nlr = -inf", r"at tagger\['lr'\]: got -inf; numbers must be finite"),
        ("tagger.a = [1.0, 1e999]", r"at tagger\['a'\]\[1\]: got inf; numbers must be finite"),
        ("min_length = 9223372036854775808", "at min_length: got an integer beyond 64 bits"),
        ("min_length = 0x" + "f" * 10**4, "at min_length: got an integer beyond 64 bits"),
        ("min_length = " + "9" * 10**4, "cannot be read as TOML"),
        ("min_length = 2020-01-01", "at min_length: got '2020-01-01', a date or time; allowed"),
        ("tagger = " + "[" * 10**4, "nested"),
        ("tagger = " + "{a = " * 10**4, "nested"),
        ("tagger" + ".a" * 10**4 + " = 1", "at line 1: a key has more than 100 parts"),
        ("\n[tagger" + ' . "%"' * 10**4 + "]", "at line 2: a key has more than 100 parts"),
        ("tagger." + """'%'."\\"".""" * 7000 + "a = 1", "a key has more than 100 parts"),
        ("tagger = " + "[" * 100 + "1" + "]" * 100, "nested more than 100 levels deep"),
        ("# " * 2**15 + "#", "it has 65537 bytes; the limit for TOML is 65536"),
        (b"a = '\xff'", "at byte 5: got bytes that are not UTF-8"),
        ("lr = 0.1", "at the top level: got the unknown key 'lr'.* belong under 'tagger'"),
        ("[tagger]\nmemory = 'cache'", "--set memory=DIR"),
        ("[[tagger]]\nlr = 1", r"at tagger: got \[\{'lr': 1\}\]; allowed: an object"),
    ],
    ids=range(20),
)
def test_invalid_toml_is_refused_soon(write, content, message):
    path = write(content, "my.toml")
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=message) as error:
        read_config_file(path)
    assert str(path) in str(error.value)
    assert time.perf_counter() - begin < 10


def test_none_in_toml_is_a_string(scenes, write):
    content = (
        "\ufeff[tagger]\nlr = 9223372036854775807\npatience = 'None'\ninit_from = 'None'\n"
        "memory = 'None'\nclass_weight = {None = 2}\nstft = {n_fft = 'None', window = ['None']}"
    )
    assert read_config_file(write(content, "my.toml"))["tagger"] == {
        "lr": 2**63 - 1,
        "patience": None,
        "init_from": None,
        "class_weight": {"None": 2},
        "stft__n_fft": None,
        "stft__window": ["None"],
    }
    content = {"tagger": {"patience": "None"}}  # JSON has null
    assert read_config_file(write(content))["tagger"] == {"patience": "None"}


@pytest.mark.usefixtures("no_training")
def test_toml_and_json_are_the_same_config(experiment, write, tmp_path):
    """An experiment's config, written in TOML, gives the same config again."""

    def toml(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f'"{key}" = {toml(v)}' for key, v in value.items()) + "}"
        return json.dumps("None" if value is None else value)

    config = config_of(experiment)
    path = write("".join(f"{key} = {toml(value)}\n" for key, value in config.items()), "my.toml")
    assert config_of(train(config=path, storage_root=tmp_path)) == config


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
    config["tagger"]["memory"] = cache  # as an attacker could, who has put pickles there
    (directory / "config.json").write_text(json.dumps(config))
    train(resume=directory)
    assert memories == [cache, cache, None, None]
    with pytest.raises(ValueError, match=r"at tagger: memory names a folder of pickles"):
        train(config=directory / "config.json", storage_root=tmp_path)
    with pytest.raises(ValueError, match="--set cannot be used with --resume"):
        train(resume=directory, settings={"memory": cache, "lr": 1})


def test_config_cannot_be_used_with_resume(experiment):
    with pytest.raises(ValueError, match="--config cannot be used with --resume"):
        train(resume=experiment, config=experiment / "config.json")


def test_fine_tuning_is_in_the_config(experiment, scenes, tmp_path, monkeypatch):
    settings = SETTINGS | {"stft__hop_length": 100, "freeze": 11, "random_state": 0}
    monkeypatch.chdir(experiment)
    settings["init_from"] = "checkpoints/best.safetensors"
    first = train(scenes.path, storage_root=tmp_path, settings=settings)
    best = experiment / "checkpoints" / "best.safetensors"
    assert config_of(first)["tagger"]["init_from"] == str(best.resolve())
    monkeypatch.chdir(tmp_path)
    again = train(config=first / "config.json", storage_root=tmp_path)
    first, again, source = weights(first), weights(again), load_checkpoint(best)["model"]
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert torch.equal(source["cnn.convs.5.conv.weight"], first["cnn.convs.5.conv.weight"])


def test_tagger_in_memory_cannot_be_in_a_config(scenes, tmp_path):
    with pytest.raises(
        ValueError, match=r"init_from has the type WALNetTagger, .* Save the tagger"
    ):
        train(scenes.path, storage_root=tmp_path, settings={"init_from": WALNetTagger()})


def test_resumed_fine_tuning_does_not_need_its_source(experiment, scenes, tmp_path):
    source = tmp_path / "source.safetensors"
    source.write_bytes((experiment / "checkpoints" / "best.safetensors").read_bytes())
    settings = SETTINGS | {"stft__hop_length": 100, "freeze": "backbone", "init_from": str(source)}
    settings |= {
        "schedule": "constant",
        "augmentation__final_weak_fraction": 0,
    }  # so that max_epochs can change
    directory = train(scenes.path, storage_root=tmp_path, settings=settings)
    config = config_of(directory)
    config["tagger"]["max_epochs"] = 2
    (directory / "config.json").write_text(json.dumps(config))
    source.unlink()
    train(resume=directory)
    latest = load_checkpoint(directory / "checkpoints" / "latest.safetensors")
    assert latest["history"][-1]["n_epochs"] == 2
    assert load_tagger(directory).freeze == "backbone"  # evaluation does not need it, either


def test_config_of_the_first_format_is_read(scenes, tmp_path):
    """It held the parameters of a WALNetTagger under their names of then."""
    path = tmp_path / "config.json"
    params = {"augmentation": {"refine": 0.4}, "freeze": "features", "pooling": "mean"}
    path.write_text(json.dumps({"tagger": params}))
    assert read_config_file(path)["tagger"] == {
        "augmentation__final_weak_fraction": 0.4,
        "freeze": "backbone",
        "pooling": "mean",
    }
    path.write_text(json.dumps({"format": 2, "tagger": params}))
    with pytest.raises(ValueError, match=r"no parameter 'augmentation\.refine'"):
        train(scenes.path, config=path, storage_root=tmp_path)


def test_a_config_names_estimator_network_and_version(scenes, tmp_path):
    directory = train(scenes.path, storage_root=tmp_path, network="WALNet", settings=OF_ANY_NETWORK)
    config = config_of(directory)
    assert config["format"] == 2
    assert config["estimator"] == "AudioTagger"
    assert config["network"] == {"name": "WALNet", "version": 1}
    network = config["tagger"]["network"]
    assert network["settings"]["pooling"] == "mean"
    assert network["settings"]["stft"]["hop_length"] == 100
    evaluate(directory)
    again = train(config=directory / "config.json", storage_root=tmp_path, name="again")
    assert config_of(again) == config
    first, second = weights(directory), weights(again)
    assert all(torch.equal(first[key], second[key]) for key in first)
    config["network"]["version"] = 2
    (again / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="got version 2 of the network WALNet"):
        evaluate(again)


def test_network_of_a_training_must_be_known(scenes, tmp_path):
    with pytest.raises(
        ValueError, match=r"--network, at network: got the network 'Wal'; known are"
    ):
        train(scenes.path, storage_root=tmp_path, network="Wal")
    with pytest.raises(ValueError, match=r"--set: the tagger has no parameter 'pooling'"):
        train(scenes.path, storage_root=tmp_path, network="WALNet", settings={"pooling": "mean"})
