import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sktagger import TunedThresholdTagger, WALNetTagger, load_database
from sktagger.commands import main
from sktagger.commands._experiment import locked
from sktagger.commands._recipes import RECIPES
from sktagger.commands._settings import parse_settings
from sktagger.commands.demo import demo
from sktagger.commands.evaluate import evaluate
from sktagger.commands.train import train
from sktagger.metrics import segment_f1
from sktagger.reports import page
from sktagger.training.callbacks import Checkpoint, load_checkpoint, save_checkpoint

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "max_epochs": 2, "random_state": 0}


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def experiment(scenes, tmp_path_factory):
    root = tmp_path_factory.mktemp("storage")
    return train(scenes.path, storage_root=root, settings=SETTINGS)


@pytest.fixture
def content(scenes):
    """The content of the database, with absolute paths."""
    content = json.loads(Path(scenes.path).read_text())
    for clips in content["datasets"].values():
        for clip in clips.values():
            clip["audio_path"] = str(Path(scenes.path).parent / clip["audio_path"])
    return content


def test_databases_in_parquet_are_trained_on_and_evaluated(scenes, tmp_path):
    path = load_database(scenes.path).save(tmp_path / "scenes.parquet")
    settings = {**SETTINGS, "max_epochs": 1, "verbose": 0}
    experiment = train(path, storage_root=tmp_path, settings=settings)
    assert json.loads((experiment / "config.json").read_text())["database"] == str(path)
    _, _, test = evaluate(experiment)
    _, _, same = evaluate(experiment, database=scenes.path)
    assert test.false_positives == same.false_positives
    assert test.events["support"].tolist() == same.events["support"].tolist()


def test_train_writes_an_experiment(experiment, scenes):
    assert experiment.parent.name == "audio_tagging"
    names = {path.name for path in experiment.iterdir()}
    assert {"config.json", "events.json", "checkpoints", "tensorboard", "log.txt"} <= names
    config = json.loads((experiment / "config.json").read_text())
    assert config["database"] == str(scenes.path)
    assert config["tagger"]["stft"] == {
        "n_fft": 512, "hop_length": 160, "win_length": 320, "window": "blackman",
    }  # fmt: skip
    assert config["tagger"]["augmentation"]["mixup_prob"] == 0.5
    assert "torch" in config["versions"]
    assert json.loads((experiment / "events.json").read_text()) == scenes.events("balanced_train")
    assert "epoch 2" in (experiment / "log.txt").read_text()
    assert list((experiment / "tensorboard").iterdir())
    assert not list(experiment.rglob("*.part"))


def test_evaluate_writes_the_four_files_and_the_tagger(experiment, scenes):
    directory, validation, test = evaluate(experiment)
    assert directory.parent == experiment / "eval"
    assert {path.name for path in directory.iterdir()} == {
        "overall.json", "event_wise.json", "fp.json", "fn.json", "report.html",
        "tagger.safetensors",
    }  # fmt: skip
    best = load_checkpoint(experiment / "checkpoints" / "latest.safetensors")["history"]
    assert validation.overall["mAP"] == pytest.approx(
        max(row["valid_mAP"] for row in best), abs=1e-6
    )
    assert 0 <= test.overall["mF1"] <= 1
    X, Y = scenes.to_xy("eval")
    tuned = TunedThresholdTagger.load(experiment)
    assert tuned.score(X, Y) == pytest.approx(test.overall["mF1"])
    events = json.loads((directory / "event_wise.json").read_text())
    assert [events[event]["threshold"] for event in Y] == tuned.thresholds_.tolist()
    assert [events[event]["test"]["support"] for event in Y] == Y.sum().tolist()


def test_evaluate_without_packages_of_the_report(experiment, monkeypatch, capsys):
    monkeypatch.setattr(page, "_PACKAGES", ("no_such_package",))
    main(["evaluate", str(experiment)])
    printed = capsys.readouterr().out
    assert (
        "No report.html: it needs packages. Install them: pip install sktagger[report]" in printed
    )
    directory = Path(printed.splitlines()[-1])
    assert (directory / "fp.json").exists()
    assert not (directory / "report.html").exists()
    monkeypatch.undo()
    main(["evaluate", str(experiment), "--no-report"])
    printed = capsys.readouterr().out
    assert "report" not in printed
    assert not (Path(printed.splitlines()[-1]) / "report.html").exists()


def test_report_is_about_the_experiment(experiment, scenes):
    directory, _, test = evaluate(experiment)
    text = (directory / "report.html").read_text(encoding="utf-8")
    assert f"<title>{experiment.name}: clips &#39;eval&#39;</title>" in text
    assert f"{len(test.false_positives)} events found that are not labeled" in text
    assert "Thresholds were tuned on &#39;validate&#39;" in text
    assert 'id="training"' in text
    media = json.loads(re.search(r'id="media">(.*?)</script>', text)[1])
    assert len(media) == len({clip for clip, _ in test.false_positives + test.false_negatives})
    assert all(part["image"] and part["lanes"] for part in media.values())


def test_experiment_loads_as_a_tagger(experiment, scenes):
    X, Y = scenes.to_xy("validate")
    best = load_checkpoint(experiment / "checkpoints" / "latest.safetensors")["history"]
    tagger = WALNetTagger.load(experiment)
    assert tagger.score(X, Y) == pytest.approx(max(row["valid_mAP"] for row in best[1:]), abs=1e-6)
    assert tagger.random_state is not None
    assert tagger.pooling == "linear_softmax"


def test_resumed_training_ends_like_an_uninterrupted_one(experiment, scenes, tmp_path, interrupted):
    with interrupted():
        train(scenes.path, storage_root=tmp_path, settings=SETTINGS)
    (part,) = (tmp_path / "audio_tagging").iterdir()
    assert load_checkpoint(part / "checkpoints" / "latest.safetensors")["plan"]["epoch"] == 1
    assert train(None, resume=part) == part
    resumed, whole = (
        load_checkpoint(path / "checkpoints" / "latest.safetensors")["model"]
        for path in (part, experiment)
    )
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def _rename(content):
    for clips in content["datasets"].values():
        for clip in clips.values():
            clip["events"] = ["zebra" if event == "alarm" else event for event in clip["events"]]


def _relabel(content):
    first, second, *_ = content["datasets"]["balanced_train"].values()
    first["events"], second["events"] = second["events"], first["events"]


def _reorder(content):
    clips = content["datasets"]["balanced_train"]
    content["datasets"]["balanced_train"] = dict(reversed(clips.items()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["datasets"]["balanced_train"].popitem(), "12 there, 11 here"),
        (lambda content: content["datasets"]["validate"].popitem(), "8 there, 7 here"),
        (_rename, "events: only there 'alarm'; only here 'zebra'"),
        (_relabel, r"2 of 12 training clips' events or weights differ \(the first: 0\)"),
        (_reorder, "12 of 12 training clips differ"),
    ],
)
def test_resuming_with_another_database_is_refused(experiment, content, tmp_path, change, message):
    change(content)
    (tmp_path / "db.json").write_text(json.dumps(content))
    other = tmp_path / "experiment"
    shutil.copytree(experiment, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"database": str(tmp_path / "db.json")}))
    before = (other / "checkpoints" / "latest.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"belongs to another training.*{message}"):
        train(None, resume=other)
    assert (other / "checkpoints" / "latest.safetensors").read_bytes() == before


def test_a_second_process_cannot_train_in_the_same_directory(experiment):
    with (
        locked(experiment),
        pytest.raises(BlockingIOError, match="Another process is training in"),
    ):
        train(None, resume=experiment)
    train(None, resume=experiment)  # nothing is left to train


def test_lock_ends_with_its_process(experiment):
    holder = multiprocessing.get_context("fork").Process(target=_lock_and_die, args=(experiment,))
    holder.start()
    holder.join()
    assert holder.exitcode == -signal.SIGKILL
    with locked(experiment):
        pass


def _lock_and_die(directory):
    with locked(directory):
        os.kill(os.getpid(), signal.SIGKILL)


def test_full_disk_keeps_the_checkpoint_of_before(tmp_path, monkeypatch):
    save_checkpoint({"n_iterations": 1}, tmp_path / "latest.safetensors")

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sktagger._utils.files.os.fsync", fail)
    with pytest.raises(
        OSError, match=r"latest\.safetensors' cannot be written: No space left .* is kept"
    ):
        save_checkpoint({"n_iterations": 2}, tmp_path / "latest.safetensors")
    assert load_checkpoint(tmp_path / "latest.safetensors")["n_iterations"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["latest.safetensors"]


def test_ctrl_c_has_its_exit_status(monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt("Continue it with: ...")

    monkeypatch.setattr("sktagger.commands.train.main", interrupt)
    assert main(["train", "db.json"]) == 130
    assert capsys.readouterr().err == "Continue it with: ...\n"


def test_sigterm_has_its_exit_status(monkeypatch, capsys):
    def terminate(args):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # from an impatient scheduler

    monkeypatch.setattr("sktagger.commands.train.main", terminate)
    assert main(["train", "db.json"]) == 143
    assert capsys.readouterr().err == "Terminated.\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *args: None])
def test_sigterm_handler_of_someone_else_stays(monkeypatch, handler):
    before = signal.signal(signal.SIGTERM, handler)
    try:
        monkeypatch.setattr(
            "sktagger.commands.train.main", lambda args: os.kill(os.getpid(), signal.SIGTERM)
        )
        assert main(["train", "db.json"]) == 0
        assert signal.getsignal(signal.SIGTERM) == handler
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("moment", ["experiment", "epoch 1"])
def test_terminated_training_says_how_it_continues(scenes, tmp_path, moment):
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    command = [
        *(sys.executable, "-m", "sktagger", "train", str(scenes.path)),
        *(*settings, "--set=max_epochs=1000", f"--storage-root={tmp_path}", "--name=my run"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while moment not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        *_, last = process.stderr.read().splitlines()
    assert process.returncode == 143
    directory = tmp_path / "audio_tagging" / "my run"
    assert last == (
        f"Training was interrupted. Continue it with: sktagger train --resume '{directory}'"
    )
    config = json.loads((directory / "config.json").read_text())
    config["tagger"]["max_epochs"] = 1
    if moment == "experiment":  # nothing was trained yet, so settings may change
        (directory / "config.json").write_text(json.dumps(config))
        assert train(resume=directory) == directory


@pytest.mark.filterwarnings("ignore:.* cannot be read", "ignore:part of the metrics is undefined")
def test_clips_that_cannot_be_read_are_left_out_and_listed(content, tmp_path):
    for clips in content["datasets"].values():
        (clips_id, first), *_ = clips.items()
        first["audio_path"] = str(tmp_path / f"{clips_id}.wav")
    (tmp_path / "db.json").write_text(json.dumps(content))
    directory = train(
        tmp_path / "db.json", storage_root=tmp_path, settings=SETTINGS | {"on_error": "skip"}
    )
    results, _, test = evaluate(directory)
    skipped = json.loads((results / "skipped.json").read_text())
    assert skipped == {"validation": ["validate_0000"], "test": ["eval_0000"]}
    assert not any(clip == "eval_0000" for clip, _ in test.false_negatives)
    with pytest.raises(FileNotFoundError, match=r"validate_0000\.wav"):
        evaluate(directory, on_error="raise")


@pytest.mark.parametrize(
    ("option", "arguments"),
    [
        ("--set", {"settings": {"lr": 1.0}}),
        ("--name", {"name": "a"}),
        ("DATABASE", {"database": "other.json"}),
        ("--training-set", {"training_set": "a"}),
        ("--validation-set", {"validation_set": "a"}),
        ("--storage-root", {"storage_root": "a"}),
        ("--recipe", {"recipe": "reference"}),
        ("--unknown-events", {"unknown_events": "ignore"}),
    ],
)
def test_options_that_cannot_be_used_with_resume(experiment, option, arguments):
    with pytest.raises(ValueError, match=f"{option} cannot be used with --resume"):
        train(resume=experiment, **arguments)


def test_unknown_events_of_the_validation_set_may_be_ignored(scenes, content, tmp_path):
    for clip in content["datasets"]["validate"].values():
        clip["events"].append("never heard")
    (tmp_path / "db.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="'never heard', which is not among the 10 events"):
        train(tmp_path / "db.json", storage_root=tmp_path, settings=SETTINGS)
    plain, ignoring = (
        train(path, storage_root=tmp_path, settings=SETTINGS, unknown_events="ignore")
        for path in (scenes.path, tmp_path / "db.json")
    )
    ends = [
        load_checkpoint(path / "checkpoints" / "latest.safetensors") for path in (plain, ignoring)
    ]
    assert ends[0]["history"][-1]["valid_mAP"] == ends[1]["history"][-1]["valid_mAP"]
    assert train(resume=ignoring) == ignoring


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", ["my-run", "zwölf Clips", "-v2", "x.y"])
def test_name_of_an_experiment(scenes, tmp_path, name):
    directory = train(scenes.path, storage_root=tmp_path, settings=SETTINGS, name=name)
    assert directory == tmp_path / "audio_tagging" / name
    assert (directory / "config.json").is_file()
    with pytest.raises(FileExistsError, match=r"--name: .* already exists"):
        train(scenes.path, storage_root=tmp_path, settings=SETTINGS, name=name)


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "a/b", "/a", "a\\b", "a\nb", "a\x1b[31m", "a\0", "a ", "\udcff"],
)
def test_invalid_name_of_an_experiment(scenes, tmp_path, name):
    with pytest.raises(ValueError, match=r"--name: got .* it must be the name of a new folder"):
        train(scenes.path, storage_root=tmp_path, settings=SETTINGS, name=name)
    assert not list(tmp_path.iterdir())


def test_database_that_is_a_link(content, tmp_path, monkeypatch):
    files = []

    def fit(self, X, y, **kwargs):
        files.extend(X)
        self.net_ = SimpleNamespace(completed_=True)

    monkeypatch.setattr("sktagger.taggers.walnet.WALNetTagger.fit", fit)
    for folder in ("data", "work"):
        (tmp_path / folder).mkdir()
    for clip in content["datasets"]["balanced_train"].values():
        clip["audio_path"] = "a.wav"
    (tmp_path / "data" / "db.json").write_text(json.dumps(content))
    (tmp_path / "work" / "db.json").symlink_to(tmp_path / "data" / "db.json")
    directory = train(tmp_path / "work" / "db.json", storage_root=tmp_path)
    train(resume=directory)
    assert set(files) == {str((tmp_path / "data" / "a.wav").resolve())}


def test_log_begins_with_data_and_device(experiment):
    lines = [line[10:] for line in (experiment / "log.txt").read_text().splitlines()]
    assert lines[0] == f"experiment {experiment}"
    assert lines[1] == (
        "12 training clips ('balanced_train'), 8 validation clips ('validate'), 10 events"
    )
    assert lines[2] in ("device cpu, precision float32", "device cpu, precision bfloat16")
    assert lines[3].startswith("epoch 0")


def test_each_validation_is_logged_once(scenes, tmp_path, capsys):
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    assert main(["train", str(scenes.path), f"--storage-root={tmp_path}", *settings]) == 0
    printed = capsys.readouterr().err
    assert [printed.count(f"epoch {number} ") for number in range(4)] == [1, 1, 1, 0]


def test_partial_files_of_killed_processes_are_deleted(experiment):
    partial = experiment / "checkpoints" / ".latest.safetensors.0123456789abcdef.part"
    partial.touch()
    train(None, resume=experiment)
    assert not partial.exists()


def test_places_in_the_home_directory(content, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "db.json").write_text(json.dumps(content))
    config = {"database": "~/db.json", "tagger": SETTINGS | {"max_epochs": 1}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    directory = train(
        config="~/config.json", storage_root="~/storage", name="a", settings={"memory": "~/cache"}
    )
    assert directory == tmp_path / "storage" / "audio_tagging" / "a"
    assert (directory / "checkpoints" / "best.safetensors").is_file()
    assert (tmp_path / "cache").is_dir()
    evaluate("~/storage/audio_tagging/a", database="~/db.json")
    source = "~/storage/audio_tagging/a/checkpoints/best.safetensors"
    fitted = WALNetTagger(**config["tagger"], init_from=source, callbacks=[Checkpoint("~/c")])
    fitted.fit(*load_database("~/db.json").to_xy("balanced_train"))
    assert (tmp_path / "c" / "best.safetensors").is_file()
    fitted.save("~/tagger.safetensors")
    assert list(WALNetTagger.load("~/tagger.safetensors").classes_) == list(fitted.classes_)


def test_reference_recipe_is_the_published_one(scenes, tmp_path, monkeypatch, no_training):
    with pytest.raises(ValueError, match=r"none is at least min_length=1\.5"):
        train(scenes.path, storage_root=tmp_path, recipe="reference")
    monkeypatch.setitem(RECIPES["reference"]["WALNet"], "min_length", 0.0)
    directory = train(scenes.path, storage_root=tmp_path, recipe="reference")
    tagger = json.loads((directory / "config.json").read_text())["tagger"]
    assert tagger["sample_rate"] == 44100
    assert tagger["stft"]["hop_length"] == 882
    assert (tagger["max_iterations"], tagger["validate_every"]) == (50_000, 1000)
    assert (tagger["batch_size"], tagger["lr"], tagger["gradient_clip"]) == (24, 3e-4, 60.0)
    assert (tagger["pooling"], tagger["loss"]) == ("mean", "binary_cross_entropy")
    assert (tagger["schedule"], tagger["weight_decay"]) == ("constant", 0.0)
    assert tagger["augmentation"]["gain_mean"] == 1.0
    assert tagger["augmentation"]["mixup_delay"] == 80


@pytest.mark.parametrize("name", ["FBCRNN", "fbcrnn"])
def test_reference_recipe_of_fbcrnn_is_the_published_one(scenes, tmp_path, no_training, name):
    directory = train(scenes.path, storage_root=tmp_path, recipe="reference", network=name)
    config = json.loads((directory / "config.json").read_text())
    assert config["min_length"] == 1.0
    tagger, network = config["tagger"], config["tagger"]["network"]
    assert (config["estimator"], config["network"]["name"]) == ("AudioTagger", "FBCRNN")
    assert (network["settings"]["depth"], network["settings"]["width"]) == ("shallow", 1)
    assert (tagger["max_iterations"], tagger["validate_every"]) == (20_000, 1000)
    assert (tagger["batch_size"], tagger["lr"], tagger["gradient_clip"]) == (32, 5e-4, None)
    assert (tagger["schedule"], tagger["weight_decay"]) == ("step", 0.0)
    augmentation = tagger["augmentation"]
    assert (augmentation["time_warp"], augmentation["noise"], augmentation["warp_std"]) == (
        0.1,
        0.2,
        0.08,
    )
    assert augmentation["mixup_domain"] == "waveform"


def test_default_training_is_that_of_the_network(scenes, tmp_path, no_training):
    settings = {"augmentation__noise": 0.1}
    for name, kind in (("fbcrnn", "waveform"), ("panns", "stft")):
        given = {"network": name, "settings": settings, "name": name}
        directory = train(scenes.path, storage_root=tmp_path, **given)
        tagger = json.loads((directory / "config.json").read_text())["tagger"]
        assert tagger["augmentation"]["mixup_domain"] == kind
        assert tagger["augmentation"]["noise"] == 0.1


def test_networks_without_a_published_training_have_no_reference_recipe(scenes, tmp_path):
    with pytest.raises(ValueError, match=r"no reference training of PANNs; .* WALNet and FBCRNN"):
        train(scenes.path, storage_root=tmp_path, recipe="reference", network="panns")


def test_networks_that_need_onsets_are_refused_before_anything_is_written(scenes, tmp_path):
    with pytest.raises(ValueError, match=r"^--network: CRNN learns from onsets"):
        train(scenes.path, storage_root=tmp_path / "new", network="CRNN")
    assert not (tmp_path / "new").exists()


def test_train_command_prints_the_directory_last(scenes, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STORAGE_ROOT", str(tmp_path / "from_environment"))
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    assert main(["train", str(scenes.path), *settings, "--set=max_epochs=1"]) == 0
    directory = Path(capsys.readouterr().out.splitlines()[-1])
    assert directory.parents[1] == tmp_path / "from_environment"
    assert main(["evaluate", str(directory)]) == 0
    output = capsys.readouterr().out
    assert output.split()[:5] == ["mAP", "mAUC", "lwlrap", "mF1", "events"]
    assert "validate" in output
    assert "eval" in output


def test_demo_beats_chance(tmp_path):
    settings = {"sample_rate": 8000, "max_epochs": 4}
    _, _, test, chance, recording = demo(tmp_path, sizes=(60, 12, 24), settings=settings)
    assert 0.1 < chance < 0.3
    assert test.overall["mAP"] > chance + 0.05
    assert recording.duration == 24 * 5
    assert recording.true["onset"].between(0, 120).all()
    assert recording.true["onset"].max() > 110
    nothing = recording.found.iloc[:0]
    assert recording.segment_f1 > segment_f1(recording.true, nothing, 120)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "DATABASE is missing"),
        (["train", "DB", "--training-set", "balanced"], "no data set 'balanced'; there are"),
        (["train", "DB", "--validation-set", "valid"], "no data set 'valid'; there are"),
        (["train", "DB", "--set", "mixup"], "'mixup' must have the form NAME=VALUE"),
        (["train", "DB", "--set", "augmentation.mixup_prop=1"], "'augmentation.mixup_prob'"),
        (["train", "DB", "--set", "lr=fast"], "'lr' parameter"),
        (["train", "nowhere.json"], "nowhere.json"),
        (["evaluate", "nowhere"], "'nowhere' is not an experiment"),
        (["evaluate", "EXP", "--test-set", "test"], "no data set 'test'; there are"),
    ],
)
def test_errors_are_reported_in_one_line(
    arguments, message, scenes, experiment, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    places = {"DB": str(scenes.path), "EXP": str(experiment)}
    assert main([places.get(argument, argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"sktagger {arguments[0]}: error: ")
    assert message in error
    assert "Traceback" not in error


def test_settings_can_be_python_constants():
    settings = ["patience=None", "warm_start= True ", "freeze=False", "loss=none"]
    assert parse_settings(settings) == {
        "patience": None,
        "warm_start": True,
        "freeze": False,
        "loss": "none",
    }


def test_settings_are_json_or_strings():
    assert parse_settings(["lr=1e-3", "augmentation.mixup_prob=0", "device=cpu", "stft=null"]) == {
        "lr": 1e-3,
        "augmentation__mixup_prob": 0,
        "device": "cpu",
        "stft": None,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.json"], "no file"),
        (["train", "--config", "nowhere.json"], "does not exist"),
        (["train", "--config", "my.toml"], "unknown key 'lr'"),
        (["train", "--config", "my.yaml"], "YAML is not supported"),
        (["train", "--resume", "nowhere"], "is not an experiment"),
        (["train", "table.csv"], "looks like CSV"),
        (["train", "DB", "--set=init_from=nowhere.pt"], "--set: init_from: the file 'nowhere.pt'"),
        (["train", "DB", "--set=init_from=."], "--set: init_from: '.' is a directory without"),
        (["train", "DB", "--name=a/b"], "contains a path separator"),
        (["evaluate", "nowhere"], "is not an experiment"),
        (["train", "DB", "--training-set=night"], "no data set 'night'"),
        (["train", "DB", "--validation-set=night"], "no data set 'night'"),
        (["evaluate", "EXP", "--database=nowhere.json"], "no file"),
        (["evaluate", "EXP", "--test-set=night"], "no data set 'night'"),
    ],
)
def test_missing_files_and_names_are_errors_before_torch_is_imported(
    arguments, message, scenes, experiment, run_python, tmp_path
):
    (tmp_path / "table.csv").write_text("audio_path,events\na.wav,Rain\n")
    (tmp_path / "my.toml").write_text("lr = 0.1\n")
    (tmp_path / "my.yaml").touch()
    places = {"DB": str(scenes.path), "EXP": str(experiment)}
    code = (
        "import os, sys\n"
        "from sktagger.commands import main\n"
        "os.chdir(sys.argv[1])\n"
        "sys.stderr = sys.stdout\n"
        "print(main(sys.argv[2:]), 'torch' in sys.modules)"
    )
    arguments = [places.get(argument, argument) for argument in arguments]
    output = run_python(code, str(tmp_path), *arguments)
    assert message in output
    assert output.splitlines()[-1] == "1 False"


@pytest.mark.parametrize("command", ["demo", "train", "evaluate", "tag", "models"])
def test_help_does_not_import_torch(command):
    code = (
        "import sys; from sktagger.commands import build_parser\n"
        f"try: build_parser().parse_args(['{command}', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert f"sktagger {command}" in output.stdout
    assert output.stdout.splitlines()[-1] == "False"


def test_runs_as_a_module():
    assert "sktagger" in run([sys.executable, "-m", "sktagger", "--version"])


def test_evaluation_before_the_first_validation_says_what_to_do(experiment, tmp_path):
    for name in ("config.json", "events.json"):
        (tmp_path / name).write_bytes((experiment / name).read_bytes())
    with pytest.raises(
        FileNotFoundError, match=r"best\.safetensors.* Continue .*with: sktagger train --resume"
    ):
        evaluate(tmp_path)


def test_events_out_of_training_are_named(experiment, content, tmp_path):
    clip, example = next(iter(content["datasets"]["eval"].items()))
    example["events"].append("Brid")
    (tmp_path / "other.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"clip '{clip}' of 'eval' has the event 'Brid'.*'bird'"):
        evaluate(experiment, database=tmp_path / "other.json")


def test_events_out_of_training_can_be_left_out(experiment, content, tmp_path, capsys):
    for clip in list(content["datasets"]["eval"].values())[:2]:
        clip["events"].append("x\x1b[2J\n12:00  done")
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))
    command = ["evaluate", str(experiment), "--database", str(path)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "--unknown-events ignore" in error
    assert "'eval' has 1 events (2 labels) that the tagger was not trained on" in error
    assert main([*command, "--unknown-events", "ignore"]) == 0
    output = capsys.readouterr().out
    assert r"Left out: 'eval' has 1 events (2 labels) that the tagger was not" in output
    assert "\x1b" not in output + error
    directory = Path(output.splitlines()[-1])
    unknown = json.loads((directory / "unknown_events.json").read_text())
    assert unknown == {"validation": {}, "test": {"x\x1b[2J\n12:00  done": 2}}
    _, validation, test = evaluate(experiment)
    overall = json.loads((directory / "overall.json").read_text())
    assert overall["test"] == pytest.approx(test.overall)
    assert overall["validation"] == pytest.approx(validation.overall)


def test_names_cannot_forge_the_log(content, tmp_path):
    evil = "x\x1b[2J\n12:00:00  epoch 99"
    next(iter(content["datasets"]["balanced_train"].values()))["events"].append(evil)
    (tmp_path / "db.json").write_text(json.dumps(content))
    command = [sys.executable, "-m", "sktagger", "train", str(tmp_path / "db.json")]
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    done = subprocess.run(
        [*command, "--storage-root", str(tmp_path), *settings, "--set=max_epochs=1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert r"x\x1b[2J\n12:00:00  epoch 99" in done.stderr
    log = Path(done.stdout.splitlines()[-1], "log.txt").read_text()
    for text in (done.stderr, done.stdout, log):
        assert "\x1b" not in text
        assert not any(line.startswith("12:00:00") for line in text.splitlines())


def test_random_state_of_a_run_is_recorded(scenes, tmp_path, no_training):
    seeds = {
        json.loads((train(scenes.path, storage_root=tmp_path) / "config.json").read_text())[
            "tagger"
        ]["random_state"]
        for _ in range(3)
    }
    assert len(seeds) == 3
    assert all(isinstance(seed, int) for seed in seeds)
    assert np.all(np.array(list(seeds)) >= 0)
