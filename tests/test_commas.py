"""Events whose names have commas, as AudioSet's "Speech, child", wherever they are named."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from sktagger import ThresholdTuner, TunedThresholdTagger, WALNetTagger, load_database
from sktagger.commands import main
from sktagger.commands.import_ import import_
from sktagger.datasets import read_audacity, read_folders, read_raven, read_table
from sktagger.recordings import (
    EventDetector,
    detect_events,
    read_events,
    read_results,
    tag_files,
    write_events,
)

RATE = 8000
LOUD, QUIET = "Music, loud", 'Speech, "child", quiet'


@pytest.fixture(scope="module")
def tagger():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(2 * RATE), np.sin(np.arange(2 * RATE))] * 4
    tagger = WALNetTagger(
        sample_rate=RATE,
        max_epochs=4,
        augmentation=None,
        batch_size=4,
        precision="float32",
        random_state=0,
        verbose=0,
    )
    return tagger.fit(X, [[LOUD], [QUIET]] * 4)


@pytest.fixture
def files(tagger, tmp_path, monkeypatch):
    """A model, and two recordings."""
    monkeypatch.chdir(tmp_path)
    tagger.save("model.safetensors")
    rng = np.random.default_rng(1)
    noise, tone = rng.uniform(-0.3, 0.3, 4 * RATE), 0.3 * np.sin(np.arange(4 * RATE))
    for name, sound in (("loud.wav", noise), ("quiet, too.wav", tone)):
        soundfile.write(name, sound, RATE, subtype="FLOAT")
    return ["loud.wav", "quiet, too.wav"]


def run(*args):
    return main(["tag", "model.safetensors", *args])


def test_events_of_the_command(files, capsys):
    assert run(*files, "--events", LOUD) == 0
    assert {line.split("\t")[3] for line in capsys.readouterr().out.splitlines()} == {LOUD}
    assert run(*files, "--events", LOUD, QUIET, "--top", "1") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[3]) for row in rows] == [(files[0], LOUD), (files[1], QUIET)]
    assert run("loud.wav", "--events", "Music,", "loud") == 1
    error = capsys.readouterr().err
    assert "the model has no event 'Music,'; nearest: 'Music, loud'" in error
    assert "quote names with spaces or commas" in error


def test_help_states_how_names_are_quoted(capsys):
    with pytest.raises(SystemExit):
        main(["tag", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "quote names with spaces or commas, as in --events 'Speech, child' Music" in text


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_tables_of_the_command(files, suffix):
    assert run(*files, "--detect", "-o", f"out.{suffix}") == 0
    table = read_events(f"out.{suffix}", suffix)
    assert set(zip(table["file"], table["event"], strict=True)) == {
        (files[0], LOUD),
        (files[1], QUIET),
    }


def test_printed_csv_and_json(files, capsys):
    expected = [(files[0], LOUD), (files[1], QUIET)]
    assert run(*files, "--format", "csv", "--top", "1") == 0
    with open("printed.csv", "w") as file:
        file.write(capsys.readouterr().out)
    table = pd.read_csv("printed.csv")
    assert list(zip(table["file"], table["event"], strict=True)) == expected
    assert run(*files, "--json-lines", "--top", "1") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["file"], row["event"]) for row in rows] == expected


@pytest.mark.parametrize("format", ["csv", "json", "parquet", "audacity", "raven", "kaleidoscope"])
def test_formats_of_events(tmp_path, format):
    events = pd.DataFrame(
        {"onset": [0.0, 1.0], "offset": [1.0, 2.0], "event": [LOUD, QUIET], "score": [0.5, 0.75]}
    )
    if format == "kaleidoscope":
        events.insert(0, "file", "a, b.wav")
    write_events(events, tmp_path / "events", format)
    found = read_events(tmp_path / "events", format)
    assert found["event"].tolist() == [LOUD, QUIET]
    assert found["onset"].tolist() == [0, 1]


def test_import_of_what_the_command_has_written(files, capsys):
    assert run(*files, "--detect", "-o", "events.csv") == 0
    db = read_table("events.csv", window=4, verbose=0)
    expected = {"loud_0.000": [LOUD], "quiet, too_0.000": [QUIET]}
    assert db.table("balanced_train")["events"].to_dict() == expected
    # the same by the command, and through the file of the database
    for name in ("db.json", "db.parquet"):
        path, _ = import_("table", "events.csv", name, options={"window": 4.0}, verbose=0)
        assert load_database(path).table("balanced_train")["events"].to_dict() == expected
        assert load_database(path).events("balanced_train") == [LOUD, QUIET]
    # weak labels have a separator, which a comma may be
    frame = pd.DataFrame({"file": ["loud.wav"], "events": [f"{LOUD};{QUIET}"]})
    frame.to_csv("weak.csv", index=False)
    with pytest.raises(ValueError, match="separator: the column 'events' contains ';' and ','"):
        read_table("weak.csv", verbose=0)
    (found,) = read_table("weak.csv", separator=";", verbose=0).table("balanced_train")["events"]
    assert found == [LOUD, QUIET]


def test_columns_that_are_events(files, capsys):
    frame = pd.DataFrame({"file": files, LOUD: [1, 0], QUIET: [0, 1]})
    frame.to_csv("flags.csv", index=False)
    for columns in ([], ["--events", LOUD, QUIET]):
        assert main(["import", "table", "flags.csv", "-o", "db.json", "--quiet", *columns]) == 0
        found = load_database("db.json").table("balanced_train")["events"].tolist()
        assert found == [[LOUD], [QUIET]]


def test_annotations_and_folders(files, tmp_path, capsys):
    rows = pd.DataFrame({"onset": [0], "offset": [4], "event": [LOUD]})
    write_events(rows, "loud.txt", "audacity")
    db = read_audacity("loud.txt", window=4, verbose=0)
    assert db.events("balanced_train") == [LOUD]
    write_events(rows, "loud.txt", "raven")
    db = read_raven("loud.txt", window=4, verbose=0)
    assert db.events("balanced_train") == [LOUD]
    for folder in (LOUD, "none, at all"):
        (tmp_path / "sounds" / folder).mkdir(parents=True)
        sound = np.zeros(RATE)
        soundfile.write(tmp_path / "sounds" / folder / "1.wav", sound, RATE)
    db = read_folders(tmp_path / "sounds", no_event=["none, at all"], verbose=0)
    assert db.events("balanced_train") == [LOUD]
    args = ["--no-event", "none, at all", "-o", "db.json", "--quiet"]
    assert main(["import", "folders", "sounds", *args]) == 0
    assert load_database("db.json").events("balanced_train") == [LOUD]


def test_thresholds(tagger, files):
    levels = {LOUD: 0.5, QUIET: float("inf")}
    assert set(detect_events(tagger, files, threshold=levels)["event"]) == {LOUD}
    tag_files(tagger, files, "out", kind="events", threshold=levels, verbose=0)
    assert set(read_results("out")["event"]) == {LOUD}
    tag_files(tagger, files, "out", kind="events", threshold=levels, verbose=0, resume=True)
    tag_files(tagger, files, "scores", window=4.0, verbose=0)
    scores = read_results("scores", columns=["file", LOUD])
    assert scores[LOUD].idxmax() == scores.index[scores["file"] == files[0]][0]


def test_tuned_thresholds_are_saved_and_used(tagger, files, capsys):
    tuned = TunedThresholdTagger(tagger, cv="prefit").fit(files * 3, [[LOUD], [QUIET]] * 3)
    tuned.save("model.safetensors")
    loaded = TunedThresholdTagger.load("model.safetensors")
    assert list(loaded.classes_) == [LOUD, QUIET]
    assert loaded.thresholds_.tolist() == tuned.thresholds_.tolist()
    assert run(*files) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[3]) for row in rows] == [(files[0], LOUD), (files[1], QUIET)]
    detector = EventDetector(tagger).fit(files, [[LOUD], [QUIET]])
    assert set(detector.options_["threshold"]) == {LOUD, QUIET}
    scores = pd.DataFrame(tagger.predict_proba(files), columns=tagger.classes_)
    tuner = ThresholdTuner().fit(scores, [[LOUD], [QUIET]])
    assert list(tuner.classes_) == [LOUD, QUIET]
