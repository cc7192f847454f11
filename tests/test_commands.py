import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sktagger.callbacks import Checkpoint, load_checkpoint, save_checkpoint
from sktagger.commands import main
from sktagger.commands._experiment import locked, parse_settings
from sktagger.commands.demo import demo
from sktagger.commands.evaluate import evaluate
from sktagger.commands.train import train

SETTINGS = {"sample_rate": 8000, "batch_size": 4, "max_epochs": 2, "random_state": 0}


def run(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def experiment(scenes, tmp_path_factory):
    root = tmp_path_factory.mktemp("storage")
    return train(scenes.path, storage_root=root, settings=SETTINGS)


@pytest.fixture
def content(scenes):
    """What the database holds, with absolute paths."""
    content = json.loads(Path(scenes.path).read_text())
    for clips in content["datasets"].values():
        for clip in clips.values():
            clip["audio_path"] = str(Path(scenes.path).parent / clip["audio_path"])
    return content


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


def test_evaluate_writes_the_four_files(experiment):
    directory, validation, test = evaluate(experiment)
    assert directory.parent == experiment / "eval"
    assert {path.name for path in directory.iterdir()} == {
        "overall.json", "event_wise.json", "fp.json", "fn.json",
    }  # fmt: skip
    best = load_checkpoint(experiment / "checkpoints" / "latest.pt")["history"]
    assert validation.overall["mAP"] == pytest.approx(
        max(row["valid_mAP"] for row in best), abs=1e-6
    )
    assert 0 <= test.overall["mF1"] <= 1


def test_resumed_training_ends_like_an_uninterrupted_one(experiment, scenes, tmp_path, monkeypatch):
    write = Checkpoint.on_epoch_end

    def write_and_interrupt(self, net, **kwargs):
        write(self, net, **kwargs)
        if net.history[-1]["n_epochs"] == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_end", write_and_interrupt)
        with pytest.raises(KeyboardInterrupt, match="sktagger train --resume"):
            train(scenes.path, storage_root=tmp_path, settings=SETTINGS)
    (part,) = (tmp_path / "audio_tagging").iterdir()
    assert load_checkpoint(part / "checkpoints" / "latest.pt")["plan"]["epoch"] == 1
    assert train(None, resume=part) == part
    resumed, whole = (
        load_checkpoint(path / "checkpoints" / "latest.pt")["model"] for path in (part, experiment)
    )
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


def test_resuming_with_other_clips_warns(experiment, content, tmp_path):
    content["datasets"]["balanced_train"].popitem()
    (tmp_path / "db.json").write_text(json.dumps(content))
    other = tmp_path / "experiment"
    shutil.copytree(experiment, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"database": str(tmp_path / "db.json")}))
    with pytest.warns(UserWarning, match="began with 12 clips and goes on with 11"):
        train(None, resume=other)


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
    save_checkpoint({"model": 1}, tmp_path / "latest.pt")

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sktagger._files.os.fsync", fail)
    with pytest.raises(OSError, match=r"latest\.pt' cannot be written: No space left .* is kept"):
        save_checkpoint({"model": 2}, tmp_path / "latest.pt")
    assert load_checkpoint(tmp_path / "latest.pt") == {"model": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["latest.pt"]


def test_ctrl_c_has_its_exit_status(monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt("It continues by: ...")

    monkeypatch.setattr("sktagger.commands.train.main", interrupt)
    assert main(["train", "db.json"]) == 130
    assert capsys.readouterr().err == "It continues by: ...\n"


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


def test_settings_do_not_go_with_resume(experiment):
    with pytest.raises(ValueError, match="--set does not go with --resume"):
        train(None, resume=experiment, settings={"lr": 1.0})


def test_reference_recipe_is_the_published_one(scenes, tmp_path, monkeypatch, no_training):
    with pytest.raises(ValueError, match=r"none is at least min_length=1\.5"):
        train(scenes.path, storage_root=tmp_path, recipe="reference")
    monkeypatch.setitem(
        sys.modules["sktagger.commands.train"].RECIPES["reference"], "min_length", 0.0
    )
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
    _, _, test, chance = demo(tmp_path, sizes=(60, 12, 24), settings=settings)
    assert 0.1 < chance < 0.3
    assert test.overall["mAP"] > chance + 0.05


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
        (["evaluate", "nowhere"], "'nowhere' is no experiment"),
        (["evaluate", "EXP", "--test-set", "test"], "no data set 'test'; there are"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments, message, scenes, experiment, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    places = {"DB": str(scenes.path), "EXP": str(experiment)}
    assert main([places.get(argument, argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"sktagger {arguments[0]}: error: ")
    assert message in error
    assert "Traceback" not in error


def test_settings_are_json_or_strings():
    assert parse_settings(["lr=1e-3", "augmentation.mixup_prob=0", "device=cpu", "stft=null"]) == {
        "lr": 1e-3,
        "augmentation__mixup_prob": 0,
        "device": "cpu",
        "stft": None,
    }


@pytest.mark.parametrize("command", ["demo", "train", "evaluate"])
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
    assert "'eval' has 1 events that training had not, 2 times in all" in error
    assert main([*command, "--unknown-events", "ignore"]) == 0
    output = capsys.readouterr().out
    assert r"Left out of the truth: 'eval' has 1 events that training had not, 2 times" in output
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
