"""Reports of databases, and the commands import and check."""

import json

import numpy as np
import pytest
import soundfile

from sktagger.commands import main
from sktagger.datasets import audioset_classes, check_database, load_database
from sktagger.datasets._twins import near_twins


@pytest.fixture
def write(tmp_path):
    """Write a database whose files are noise of 0.1 s at 1 kHz, another one for each name."""

    def write(sets, *, audio=True):
        content = {
            name: {
                example_id: {"audio_path": f"{example_id}.wav", "events": events}
                if isinstance(events, list)
                else events
                for example_id, events in clips.items()
            }
            for name, clips in sets.items()
        }
        rng = np.random.default_rng(0)
        for path in {clip["audio_path"] for clips in content.values() for clip in clips.values()}:
            if audio and not (tmp_path / path).exists():
                soundfile.write(tmp_path / path, rng.uniform(-0.5, 0.5, 100), 1000)
        file = tmp_path / "db.json"
        file.write_text(json.dumps({"datasets": content}))
        return file

    return write


def check(file):
    return check_database(load_database(file), verbose=0)


def test_clips_lengths_formats_and_events(write, tmp_path):
    soundfile.write(tmp_path / "c.wav", np.zeros((900, 2)), 3000)
    report = check(write({"balanced_train": {"a": ["Rain", "Dog"], "b": ["Rain"], "c": []}}))
    assert report.sets.loc["balanced_train"].to_dict() == pytest.approx(
        {
            "clips": 3,
            "without_events": 1,
            "min": 0.1,
            "median": 0.1,
            "max": 0.3,
            "total": 0.5,
            "recordings": 3,
        }
    )
    assert report.formats.to_numpy().tolist() == [[1000, 1, 2], [3000, 2, 1]]
    assert report.events["balanced_train"].to_dict() == {"Dog": 1, "Rain": 2}
    assert report.findings == ["1 events have fewer than 2 clips: 'Dog'"]
    assert repr(report) == (
        "<DatabaseReport, 3 clips, 2 events, 0 missing or unreadable, 1 findings>"
    )
    assert json.loads(json.dumps(report.to_dict()))["sets"]["balanced_train"]["clips"] == 3


def test_missing_and_unreadable_files(write, tmp_path):
    file = write({"eval": {"a": ["Rain"], "b": ["Rain"], "c": ["Rain"]}})
    (tmp_path / "a.wav").unlink()
    (tmp_path / "b.wav").write_text("no audio")
    report = check(file)
    assert report.faulty[["example_id", "kind"]].to_numpy().tolist() == [
        ["a", "missing"],
        ["b", "unreadable"],
    ]
    assert "1 missing, 1 unreadable:" in str(report)
    assert report.sets.loc["eval", "total"] == pytest.approx(0.1)


def test_sections(write):
    clip = {"audio_path": "a.wav", "events": ["Rain"]}
    report = check(
        write(
            {
                "eval": {
                    "samples": clip | {"audio_start_samples": 20, "audio_stop_samples": 60},
                    "seconds": clip | {"audio_start": 0.05},
                    "rounded": clip | {"audio_start": 0.02, "audio_stop": 0.105},
                    "beyond": clip | {"audio_stop": 0.2},
                }
            }
        )
    )
    assert report.sets.loc["eval", "total"] == pytest.approx(0.04 + 0.05 + 0.08)
    assert report.faulty["example_id"].tolist() == ["beyond"]
    assert "(samples 0 to 200): the section is not inside the file" in report.faulty["cause"][0]


def test_names_that_may_mean_the_same(write):
    clips = {"a": ["Dog bark"], "b": ["dog_bark"], "c": ["Dog  Bark"], "d": ["Rain"]}
    report = check(write({"balanced_train": clips}))
    assert report.findings[0] == (
        "the names 'Dog Bark', 'Dog bark', 'dog_bark' may mean the same event"
    )


@pytest.mark.parametrize(
    ("names", "twins"),
    [
        (["Helicopter", "Helicoptor", "helicopter"], True),
        (["Sirens", "Siren"], False),
        (["Sirens wail", "Siren wail"], True),
        (["Church bell", "Chruch bell"], True),
        (["Dog-bark", "Dogbark"], True),
        (["class 10", "class 11"], False),
        (["Gong", "Gang"], False),
        (["Harmonium", "Harmonica"], False),
    ],
)
def test_near_twins(names, twins):
    assert near_twins(names) == ([sorted(names)] if twins else [])


def test_few_classes_of_audioset_look_like_twins():
    assert near_twins(audioset_classes()["name"]) == [
        ["Chatter", "Clatter", "Shatter"],
        ["Gargling", "Gurgling"],
        ["Harmonic", "Harmonica"],
        ["Squeak", "Squeal"],
    ]


def test_events_that_sets_lack(write):
    clips = {"a": ["Rain"], "b": ["Rain"], "c": ["Dog"], "d": ["Dog"]}
    report = check(write({"balanced_train": clips, "eval": {"e": ["Cat"], "f": ["Cat", "Dog"]}}))
    assert report.findings == [
        "1 events of 'eval' have no clip in 'balanced_train': 'Cat'",
        "1 events have no clip in 'eval': 'Rain'",
    ]


def test_file_in_two_sets_and_copies(write, tmp_path):
    file = write({"balanced_train": {"a": ["Rain"], "b": ["Rain"]}, "eval": {"c": ["Rain"]}})
    (tmp_path / "c.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    content = json.loads(file.read_text())
    content["datasets"]["eval"]["again"] = content["datasets"]["balanced_train"]["b"]
    file.write_text(json.dumps(content))
    findings = check(file).findings
    a, b, c = (str(tmp_path / f"{name}.wav") for name in "abc")
    assert findings == [
        f"1 files are in more than one set, for example {b!r:.57}... in 'balanced_train', 'eval'"
        if len(repr(b)) > 60
        else f"1 files are in more than one set, for example {b!r} in 'balanced_train', 'eval'",
        f"1 files have the content of another one, for example {a} and {c}",
        f"1 groups of files with the same content lie in more than one set, for example {a}, {c}",
    ]


def test_links_to_a_file_are_no_copies(write, tmp_path):
    file = write({"eval": {"a": ["Rain"], "b": ["Rain"]}})
    (tmp_path / "b.wav").unlink()
    (tmp_path / "b.wav").symlink_to("a.wav")
    assert check(file).findings == []


def test_stated_length_that_is_wrong(write):
    clip = {"audio_path": "a.wav", "events": ["Rain"]}
    clips = {"a": clip | {"audio_length": 9.0}, "b": clip | {"audio_length": 0.11}}
    assert check(write({"eval": clips})).findings == [
        "1 clips have another length than their audio_length: 'a'. Correct it, or leave it out"
    ]


# commands


def test_check_prints_the_report(write, capsys):
    file = write({"eval": {"a": ["Rain"], "b": ["Rain"]}})
    assert main(["check", str(file)]) == 0
    out = capsys.readouterr().out
    assert "2 files: 1000 Hz, 1 channel\n" in out
    assert main(["check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == {"Rain": {"eval": 2}}


def test_check_fails_if_files_are_missing(write, capsys):
    file = write({"eval": {"a": ["Rain"]}}, audio=False)
    assert main(["check", str(file)]) == 1
    assert "1 of 1 clips are missing or cannot be read" in capsys.readouterr().err


@pytest.fixture
def folders(tmp_path):
    for event in ("dog", "rain"):
        (tmp_path / "sounds" / event).mkdir(parents=True)
        for i in range(10):
            noise = np.random.default_rng(i).uniform(-0.5, 0.5, 1600)
            soundfile.write(tmp_path / "sounds" / event / f"{i}.wav", noise, 16000)
    return tmp_path / "sounds"


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_import_folders_and_split(folders, capsys, suffix):
    file = folders / f"db.{suffix}"
    split = ["--split", "train=0.6", "validate=0.2", "eval=0.2"]
    assert main(["import", "folders", str(folders), "-o", str(file), *split]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(file)
    db = load_database(file)
    assert [len(db.examples(name)) for name in db.datasets] == [12, 4, 4]
    assert db.datasets == ("balanced_train", "validate", "eval")


def test_training_on_an_imported_database(folders, no_training, capsys, tmp_path):
    file = str(folders / "db.parquet")
    assert (
        main(["import", "folders", str(folders), "-o", file, "--split", "train=.8", "val=.2"]) == 0
    )
    assert main(["train", file, "--storage-root", str(tmp_path), "--name", "a"]) == 0


def test_import_table_with_options(folders, capsys):
    table = folders / "t.csv"
    table.write_text("sound,what,fold\ndog/1.wav,dog,1\nrain/1.wav,rain,2\nrain/3.wav,rain,2\n")
    file = folders / "db.json"
    arguments = ["import", "table", str(table), "--file", "sound", "--events", "what"]
    folds = ["--keys", "fold", "--folds", "train=2", "test=1"]
    assert main([*arguments, "-o", str(file), *folds, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"]["dog"] == {"balanced_train": 0, "eval": 1}
    assert load_database(file).events("eval") == ["dog"]


def test_import_lists_what_is_left_out(folders, capsys):
    (folders / "dog" / "bad.wav").write_text("no audio")
    file = folders / "db.json"
    assert main(["import", "folders", str(folders), "-o", str(file)]) == 0
    captured = capsys.readouterr()
    assert "1 unreadable:\n  Audio file" in captured.out
    assert captured.err == ""
    assert main(["import", "folders", str(folders), "-o", str(file), "--on-error", "raise"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "db.csv"], "--output: got 'db.csv'; allowed is"),
        (["-o", "/none/db.json"], "--output: there is no folder '/none'"),
        (["--split", "train"], "--split: got 'train'; allowed is SET=SHARE"),
        (["--folds", "train"], "--folds: got 'train'; allowed is SET=FOLD"),
        (["--folds", "a=1", "--split", "a=1"], "--split cannot be used with --folds"),
        (["--groups", "fold"], "--groups is used with --split only"),
        (["--layout", "rain"], "layout: got 'rain'"),
    ],
)
def test_faulty_options_of_import(folders, capsys, monkeypatch, options, message):
    monkeypatch.chdir(folders)
    assert main(["import", "folders", str(folders), *options]) == 1
    assert f"sktagger import: error: {message}" in capsys.readouterr().err
    assert not list(folders.glob("*.json"))
