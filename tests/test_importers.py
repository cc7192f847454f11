"""Importers, each on a small copy of its layout with silent files of 0.1 s."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import soundfile

from sktagger.datasets import (
    load_database,
    read_audacity,
    read_audioset,
    read_esc50,
    read_folders,
    read_fsd50k,
    read_raven,
    read_table,
    read_urbansound8k,
    split_by_fold,
    split_database,
)

RATE = 1000


@pytest.fixture
def audio(tmp_path):
    """Return a function that writes silent files, relative to the folder of the test."""

    def write(*names, seconds=0.1):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.zeros(round(seconds * RATE)), RATE, format="WAV")

    return write


@pytest.fixture
def text(tmp_path):
    """Return a function that writes a text file and returns its path."""

    def write(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def events_of(db, name="balanced_train"):
    return db.table(name)["events"].to_dict()


# folders


def test_folders_are_events(audio, tmp_path):
    audio("rain/1.wav", "rain/2.WAV", "dog bark/1.wav")
    db = read_folders(tmp_path, verbose=0)
    assert events_of(db) == {"dog bark/1": ["dog bark"], "rain/1": ["rain"], "rain/2": ["rain"]}
    assert db.table("balanced_train")["audio_length"].tolist() == [0.1] * 3


def test_hidden_and_other_files_are_left_out_and_counted(audio, text, tmp_path):
    audio("rain/1.wav", "rain/._1.wav", ".cache/2.wav")
    text("rain/notes.txt", "-")
    text("rain/photo.JPG", "-")
    db = read_folders(tmp_path, verbose=0)
    assert len(db.table("balanced_train")) == 1
    notes = "\n".join(db.report.notes)
    assert "1 hidden files are left out: 'rain/._1.wav'" in notes
    assert "2 files are not audio and are left out: 1 .txt, 1 .jpg" in notes


def test_folders_of_sets_get_the_names_that_commands_expect(audio, tmp_path):
    audio("train/rain/1.wav", "Val/rain/2.wav", "test/dog/3.wav")
    db = read_folders(tmp_path, verbose=0)
    assert set(db.datasets) == {"balanced_train", "validate", "eval"}
    assert db.events("eval") == ["dog"]
    assert "layout set/event/<file>, found by the names of folders" in db.report.notes


@pytest.mark.parametrize(
    "names",
    [
        ["animals/dog/1.wav", "weather/rain/2.wav"],
        ["train/rain/1.wav", "weather/rain/2.wav"],
        ["rain/1.wav", "train/2.wav"],
        ["1.wav", "2.wav"],
    ],
)
def test_unclear_folders_are_an_error_that_asks_for_the_layout(audio, tmp_path, names):
    audio(*names)
    with pytest.raises(ValueError, match=r"layout: the folders .* not clear what the folders mean"):
        read_folders(tmp_path, verbose=0)


def test_layout_of_events_groups_and_others(audio, tmp_path):
    audio("a/rain/site 1/1.wav", "b/rain/site 2/2.wav", "a/none/site 1/3.wav", "odd.wav")
    db = read_folders(tmp_path, layout="*/event/group", no_event=["none"], verbose=0)
    table = db.table("balanced_train")
    assert table["group"].tolist() == ["site 1", "site 1", "site 2"]
    assert table["events"].tolist() == [[], ["rain"], ["rain"]]
    assert "1 files are at another depth than the layout and are left out: 'odd.wav'" in str(
        db.report
    )


@pytest.mark.parametrize("layout", ["", "rain", "set", "event/set/set", 3])
def test_layout_that_is_none(audio, tmp_path, layout):
    audio("rain/1.wav")
    with pytest.raises(ValueError, match=r"layout: got .*; allowed are levels"):
        read_folders(tmp_path, layout=layout, verbose=0)


def test_folder_without_audio_names_the_suffixes(text, tmp_path):
    text("rain/1.m4a", "-")
    with pytest.raises(ValueError, match=r"no audio file .* suffixes there are \.m4a"):
        read_folders(tmp_path, verbose=0)


def test_unreadable_files_are_left_out_and_listed(audio, text, tmp_path):
    audio("rain/1.wav")
    text("rain/2.wav", "not audio")
    text("rain/3.wav", "")
    with pytest.warns(
        UserWarning, match="2 files .* left out, 1 clips are kept. The first: .*2.wa"
    ):
        db = read_folders(tmp_path, verbose=0)
    assert list(events_of(db)) == ["1"]
    assert db.report.faulty["kind"].tolist() == ["unreadable", "unreadable"]
    assert "is empty (0 bytes)" in db.report.faulty["cause"][1]
    with pytest.raises(ValueError, match=r"2\.wav' cannot be read as audio"):
        read_folders(tmp_path, on_error="raise", verbose=0)


def test_no_clip_left_gives_the_first_cause(text, tmp_path):
    text("rain/2.wav", "not audio")
    with pytest.raises(ValueError, match=r"not one clip is left of 1.*2\.wav' cannot be read"):
        read_folders(tmp_path, verbose=0)


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_written_database_reads_back_with_relative_paths(audio, tmp_path, suffix):
    audio("data/rain/1.wav", "data/dog/2.wav")
    db = read_folders(tmp_path / "data", layout="event", verbose=0)
    path = db.save(tmp_path / f"data/db{suffix}")
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = load_database(tmp_path / "moved" / path.name)
    assert moved.datasets == db.datasets
    table = moved.table("balanced_train")
    drop = {"columns": "audio_path"}
    pd.testing.assert_frame_equal(table.drop(**drop), db.table("balanced_train").drop(**drop))
    assert table["audio_path"].tolist() == [
        str(tmp_path / "moved/dog/2.wav"),
        str(tmp_path / "moved/rain/1.wav"),
    ]


# tables


@pytest.mark.parametrize(
    "content",
    [
        b"filename,labels\na.wav,rain;dog\nb.wav,\n",
        b"\xef\xbb\xbffilename , labels \na.wav,rain;dog\nb.wav,NaN\n",
        b"filename;labels\r\na.wav;rain,dog\r\nb.wav;\r\n",
        b'File Name\tEvent Labels\na.wav\t"rain|dog"\nb.wav\t\n',
        "filename,labels\na.wav,rain;dog\nb.wav,\n".encode("utf-16"),
        b"filename,labels\na.wav,\"['rain', 'dog']\"\nb.wav,[]\n",
        b"filename,labels\na.wav,rain\nb.wav,\na.wav,dog\n",
        b"filename,rain,dog\na.wav,1,1.0\nb.wav,0,\n",
        b"path,labels,,\n.\\a.wav,rain;dog,,\nB.WAV,,,\n",
    ],
)
def test_forms_of_tables(audio, text, content):
    audio("a.wav", "b.wav")
    db = read_table(text("labels.csv", content), verbose=0)
    assert {i: sorted(e) for i, e in events_of(db).items()} == {"a": ["dog", "rain"], "b": []}


def test_latin_1_is_read_and_noted(audio, text):
    audio("a.wav")
    db = read_table(text("t.csv", "file,event\na.wav,Glöckchen\n", "latin-1"), verbose=0)
    assert events_of(db) == {"a": ["Glöckchen"]}
    assert "t.csv is not UTF-8 and is read as cp1252" in db.report.notes


def test_quoted_labels_with_commas_need_a_separator_that_is_given(audio, text):
    audio("1.wav")
    path = text("t.csv", 'fname,labels\n1,"Male speech, man speaking;Dog"\n')
    with pytest.raises(ValueError, match="separator: the column 'labels' contains ';' and ','"):
        read_table(path, verbose=0)
    db = read_table(path, separator=";", verbose=0)
    assert events_of(db) == {"1": ["Dog", "Male speech, man speaking"]}
    assert "1 files are found in another spelling: '1'" in db.report.notes
    whole = read_table(path, separator="", verbose=0)
    assert events_of(whole) == {"1": ["Male speech, man speaking;Dog"]}


def test_parquet_table_with_lists(audio, tmp_path):
    audio("7.wav")
    frame = pd.DataFrame({"file": [7], "events": [["rain", "dog"]], "fold": [3]})
    frame.to_parquet(tmp_path / "t.parquet")
    db = read_table(tmp_path / "t.parquet", keys=["fold"], verbose=0)
    assert db.table("balanced_train")[["events", "fold"]].to_dict("records") == [
        {"events": ["dog", "rain"], "fold": "3"}
    ]


def test_sets_and_root(audio, text, tmp_path):
    audio("sounds/a.wav", "sounds/b.wav")
    path = text("meta/t.csv", "file,event,split\na.wav,rain,train\nb.wav,dog,test\n")
    db = read_table(path, root=tmp_path / "sounds", verbose=0)
    assert {name: db.events(name) for name in db.datasets} == {
        "balanced_train": ["rain"],
        "eval": ["dog"],
    }
    with pytest.raises(ValueError, match=rf"give root='{tmp_path}/sounds'"):
        read_table(path, verbose=0)


def test_missing_files_name_near_ones(audio, text):
    # in a folder of its own, because the folder beside it is searched, too
    audio("sounds/rain_01.wav")
    path = text("sounds/t.csv", "file,event\nrain_01.wav,rain\nrain_1.wav,rain\n")
    with pytest.warns(UserWarning, match=r"Nearest: 'rain_01\.wav'"):
        db = read_table(path, verbose=0)
    assert db.report.faulty[["audio_path", "kind"]].to_numpy().tolist() == [
        ["rain_1.wav", "missing"]
    ]


def test_search_for_hints_is_not_stopped_by_other_files(audio, text, tmp_path, monkeypatch):
    audio("sounds/rain_01.wav", "z/rain_1.wav")
    (tmp_path / "locked").mkdir()
    try:
        (tmp_path / "a\udcff.wav").write_bytes(b"")
    except OSError:
        pytest.skip("the file system refuses such names")
    scandir = os.scandir

    def refuse(folder):
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr("sktagger.datasets._finding.os.scandir", refuse)
    path = text("sounds/t.csv", "file,event\nrain_01.wav,rain\nrain_1.wav,rain\n")
    with pytest.warns(UserWarning, match=rf"A file of that name is '{tmp_path}/z/rain_1\.wav'"):
        assert len(read_table(path, verbose=0).table("balanced_train")) == 1


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("file,event\n,rain\n", {}, "line 2: the column 'file' is empty"),
        ("sound,event\na.wav,rain\n", {}, "file: no column of t.csv has a usual name"),
        ("file,path,event\na.wav,a,rain\n", {}, "file: any of the columns 'file', 'path'"),
        ("file,notes\na.wav,loud\n", {}, "events: no column of t.csv has a usual name"),
        ("file,event\na.wav,rain\n", {"events": "evnt"}, "has no column 'evnt'; nearest: 'event'"),
        ("file,rain\na.wav,2\n", {"events": ["rain"]}, "line 2, rain: got '2'; allowed is 0 or 1"),
        ("file,event\na.wav,rain,dog\n", {}, "line 2: got 3 cells; allowed are 2"),
        ("file,file\na.wav,rain\n", {}, "the column 'file' occurs more than once"),
        ("file,event\na.wav,rain\n", {"window": 1}, "window: t.csv has no columns 'onset'"),
        ("file,event,onset,offset\na.wav,rain,x,2\n", {"window": 1}, "line 2, onset: got 'x'"),
        ("file,event,onset,offset\na.wav,rain,3,2\n", {"window": 1}, "ends at 2.0 s, before"),
        ("", {}, "the table is empty"),
        (b"PK\x03\x04 xl/", {}, "looks like an Excel workbook.*Save it as CSV"),
    ],
)
def test_faulty_tables_say_where(audio, text, content, options, message):
    audio("a.wav")
    with pytest.raises(ValueError, match=message):
        read_table(text("t.csv", content), verbose=0, **options)


def test_times_in_a_table_cut_recordings(audio, text):
    audio("night.wav", seconds=5.0)
    rows = "filename,onset,offset,event_label\nnight.wav,0.5,1.5,owl\nnight.wav,4.2,4.9,fox\n"
    path = text("t.csv", rows)
    db = read_table(path, window=2, verbose=0)
    table = db.table("balanced_train")
    assert table["audio_start_samples"].tolist() == [0, 2000, 3000]
    assert table["audio_stop_samples"].tolist() == [2000, 4000, 5000]
    assert table["events"].tolist() == [["owl"], [], ["fox"]]
    assert set(table["group"]) == {"night"}
    weak = read_table(path, verbose=0)
    assert events_of(weak) == {"night": ["fox", "owl"]}
    assert "not used, since no window is given" in str(weak.report)


# annotations in time


def raven(*rows, columns="Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tSpecies"):
    return "\n".join([columns, *("\t".join(map(str, row)) for row in rows)]) + "\n"


def test_raven_tables(audio, text, tmp_path):
    audio("audio/night.wav", "audio/quiet.wav", "audio/new.wav", seconds=4.0)
    rows = [(1, "Waveform 1", 1, 0.5, 1.0, "owl"), (1, "Spectrogram 1", 1, 0.5, 1.0, "owl")]
    text("tables/night.Table.1.selections.txt", raven(*rows, (2, "", 1, 2.5, 3.5, "fox")))
    text("tables/quiet.selections.txt", raven())
    db = read_raven(tmp_path / "tables", audio=tmp_path / "audio", window=2, verbose=0)
    assert events_of(db) == {
        "night_0.000": ["owl"],
        "night_2.000": ["fox"],
        "quiet_0.000": [],
        "quiet_2.000": [],
    }
    assert "1 recordings have no table and are left out: 'new.wav'" in db.report.notes


def test_raven_table_of_several_files(audio, text):
    audio("a.wav", "b.wav", seconds=2.0)
    columns = "Begin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\tCall"
    rows = [(0.5, 1.0, "C:\\rec\\a.wav", 0.5, "owl"), (3.0, 3.5, "C:\\rec\\b.wav", 1.0, "fox")]
    path = text("all.txt", raven(*rows, columns=columns))
    db = read_raven(path, window=1, keep_empty=False, verbose=0)
    assert events_of(db) == {"a_0.000": ["owl"], "b_1.000": ["fox"]}


def test_audacity_labels_with_frequencies_and_points(audio, text):
    audio("night.wav", seconds=4.0)
    path = text("night.txt", "0,5\t1,0\towl\n\\\t100.0\t900.0\n2.5\t2.5\tclick\n")
    db = read_audacity(path, window=2, verbose=0)
    assert events_of(db) == {"night_0.000": ["owl"], "night_2.000": ["click"]}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [["long"], ["long", "short"], ["long"]]),
        ({"overlap": 1}, [["long"], *[["long", "short"]] * 3, ["long"]]),
        ({"min_overlap": 1.5, "min_share": None}, [["long"], ["long"], ["long"]]),
        ({"min_overlap": None, "min_share": 0.5}, [["short"]]),
        ({"min_overlap": None, "min_share": 0.2}, [["long"], ["long", "short"], ["long"]]),
    ],
)
def test_least_part_of_an_event_in_a_clip(audio, text, settings, expected):
    audio("night.wav", seconds=6.0)
    path = text("night.txt", "0.0\t6.0\tlong\n2.9\t3.1\tshort\n")
    db = read_audacity(path, window=2, verbose=0, **settings)
    assert db.table("balanced_train")["events"].tolist() == expected


@pytest.mark.parametrize("onset", np.arange(0, 4.6, 0.3))
@pytest.mark.parametrize("duration", [0.0, 0.1, 0.7, 3.0])
def test_each_event_is_in_a_clip(audio, text, onset, duration):
    audio("night.wav", seconds=7.7)
    path = text("night.txt", f"{onset}\t{onset + duration}\towl\n")
    assert read_audacity(path, window=2, verbose=0).events("balanced_train") == ["owl"]


@pytest.mark.parametrize(
    "settings",
    [{"window": 0}, {"window": "1"}, {"overlap": 10}, {"min_overlap": 0}, {"min_share": 2}],
)
def test_cutting_out_of_range(audio, text, settings):
    audio("night.wav")
    with pytest.raises(ValueError, match=f"{next(iter(settings))}: got .*; allowed is"):
        read_audacity(text("night.txt", ""), verbose=0, **settings)


# public sets


@pytest.fixture
def esc50(audio, text, tmp_path):
    header = "filename,fold,target,category,esc10,src_file,take"
    rows = ["1-100-A-0.wav,1,0,dog,True,100,A", "1-101-B-1.wav,2,36,vacuum_cleaner,False,101,B"]
    text("meta/esc50.csv", "\n".join([header, *rows]))
    audio("audio/1-100-A-0.wav", "audio/1-101-B-1.wav")
    return tmp_path


def test_esc50(esc50):
    db = read_esc50(esc50, verbose=0)
    assert events_of(db) == {"1-100-A-0": ["dog"], "1-101-B-1": ["vacuum_cleaner"]}
    table = db.table("balanced_train")[["fold", "group", "take"]]
    assert table.to_numpy().tolist() == [[1, "100", "A"], [2, "101", "B"]]
    assert read_esc50(esc50, esc10=True, verbose=0).events("balanced_train") == ["dog"]


def test_urbansound8k(audio, text, tmp_path):
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    row = "100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark"
    text("metadata/UrbanSound8K.csv", f"{header}\n{row}\n")
    audio("audio/fold5/100032-3-0-0.wav")
    db = read_urbansound8k(tmp_path, verbose=0)
    (example,) = db.examples("balanced_train").values()
    assert {key: example[key] for key in ("events", "fold", "group", "salience")} == {
        "events": ["dog_bark"],
        "fold": 5,
        "group": "100032",
        "salience": 1,
    }


def test_fsd50k(audio, text, tmp_path):
    rows = [
        '1,"Acoustic_guitar,Music","/m/042v_gx,/m/04rlf",train',
        '2,"Human_group_actions","/t/dd00012_none",val',
    ]
    text("FSD50K.ground_truth/dev.csv", "\n".join(["fname,labels,mids,split", *rows]))
    text("FSD50K.ground_truth/eval.csv", 'fname,labels,mids\n3,"Music","/m/04rlf"\n')
    clips = {"1": {"uploader": "anna"}, "2": {"uploader": "ben"}}
    text("FSD50K.metadata/dev_clips_info_FSD50K.json", json.dumps(clips))
    audio("FSD50K.dev_audio/1.wav", "FSD50K.dev_audio/2.wav", "FSD50K.eval_audio/3.wav")
    db = read_fsd50k(tmp_path, verbose=0)
    assert db.datasets == ("balanced_train", "validate", "eval")
    assert events_of(db) == {"1": ["Acoustic_guitar", "Music"]}
    assert db.table("balanced_train")["group"].tolist() == ["anna"]
    named = read_fsd50k(tmp_path, audioset_names=True, verbose=0)
    assert events_of(named) == {"1": ["Acoustic guitar", "Music"]}
    assert events_of(named, "validate") == {"2": ["Human_group_actions"]}


@pytest.mark.parametrize(
    "name",
    [
        *("--PJHxphWEs.wav", "Y--PJHxphWEs.flac", "--PJHxphWEs_30.wav", "--PJHxphWEs_30000.wav"),
        *(
            "--PJHxphWEs_30_40.wav",
            "--PJHxphWEs_30.000_40.000.wav",
            "sub/--PJHxphWEs_30000_40000.ogg",
        ),
    ],
)
def test_audioset_finds_the_usual_names(audio, text, tmp_path, name):
    comment = "# YTID, start_seconds, end_seconds, positive_labels"
    row = '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"'
    text("eval_segments.csv", f"# Segments csv created Sun Mar  5 2017\n{comment}\n{row}\n")
    audio(f"audio/{name}")
    db = read_audioset(tmp_path, audio=tmp_path / "audio", verbose=0)
    (example,) = db.examples("eval").values()
    assert example["events"] == ["Gush", "Speech"]
    assert example["group"] == "--PJHxphWEs"


def test_audioset_leaves_out_what_disappeared(audio, text, tmp_path):
    rows = ['aaa, 0.000, 10.000, "/m/09x0r"', 'bbb, 0.000, 10.000, "/m/04rlf"']
    path = text("balanced_train_segments.csv", "\n".join(rows))
    audio("Yaaa.wav", "other.wav")
    with pytest.warns(UserWarning, match="1 files are missing .* 1 clips are kept"):
        db = read_audioset(path, verbose=0)
    assert events_of(db) == {"Yaaa": ["Speech"]}
    assert "1 audio files are in no table and are left out: 'other.wav'" in db.report.notes


def test_audioset_with_a_class_that_is_not_known(audio, text):
    audio("aaa.wav")
    path = text("eval_segments.csv", 'aaa, 0.000, 10.000, "/m/09x0"\n')
    with pytest.raises(ValueError, match="line 1: the class '/m/09x0' is not known; nearest: '/m/"):
        read_audioset(path, verbose=0)


# splits


@pytest.fixture
def split_me(audio, tmp_path):
    for event in ("rain", "dog"):
        audio(*(f"{event}/site {i // 2}/{i}.wav" for i in range(20)))
    return read_folders(tmp_path, layout="event/group", verbose=0)


def test_split_keeps_shares_and_repeats(split_me):
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    db = split_database(split_me, shares)
    assert db.report.events.to_numpy().tolist() == [[16, 2, 2], [16, 2, 2]]
    assert list(db.report.events.columns) == ["balanced_train", "validate", "eval"]
    again = split_database(split_me, shares)
    assert [list(again.examples(name)) for name in again.datasets] == [
        list(db.examples(name)) for name in db.datasets
    ]
    other = split_database(split_me, shares, random_state=1)
    assert list(other.examples("eval")) != list(db.examples("eval"))


def test_split_keeps_groups_together(split_me):
    db = split_database(split_me, {"train": 0.6, "val": 0.2, "test": 0.2}, groups="group")
    sites = [set(db.table(name)["group"]) for name in db.datasets]
    assert sum(map(len, sites)) == len(set.union(*sites)) == 10


def test_sections_of_a_recording_stay_together(audio, text, tmp_path):
    audio(*(f"{i}.wav" for i in range(4)), seconds=4.0)
    for i in range(4):
        text(f"{i}.txt", "0\t4\train\n")
    db = split_database(read_audacity(tmp_path, window=1, verbose=0), {"train": 0.5, "val": 0.5})
    paths = [set(db.table(name)["audio_path"]) for name in db.datasets]
    assert [len(part) for part in paths] == [2, 2]
    assert not set.intersection(*paths)


def test_split_by_fold(esc50):
    db = split_by_fold(read_esc50(esc50, verbose=0), {"train": [1], "test": ["2"]})
    assert [(name, db.events(name)) for name in db.datasets] == [
        ("balanced_train", ["dog"]),
        ("eval", ["vacuum_cleaner"]),
    ]


@pytest.mark.parametrize(
    ("shares", "options", "message"),
    [
        ({"train": 0.8, "val": 0.1}, {}, "whose sum is 1"),
        ({"train": 1.0}, {}, "two or more sets"),
        ({"train": 1.5, "val": -0.5}, {}, "shares above 0"),
        ({"train": 0.5, "balanced_train": 0.5}, {}, "two or more sets"),
        ({"train": 0.5, "val": 0.5}, {"groups": "grup"}, "has no 'grup'; nearest: 'group'"),
        ({"train": 0.5, "val": 0.5}, {"name": "eval"}, "no data set 'eval'"),
    ],
)
def test_faulty_splits(split_me, shares, options, message):
    with pytest.raises(ValueError, match=message):
        split_database(split_me, shares, **options)


@pytest.mark.parametrize(
    ("folds", "message"),
    [({"train": [1], "val": [1]}, "'1' is in two parts"), ({"train": [9]}, "'9' has no clip")],
)
def test_faulty_folds(esc50, folds, message):
    with pytest.raises(ValueError, match=message):
        split_by_fold(read_esc50(esc50, verbose=0), folds)


def test_database_with_sets_is_not_split_unasked(audio, tmp_path):
    audio("train/rain/1.wav", "test/rain/2.wav")
    with pytest.raises(ValueError, match="already has the sets"):
        split_database(read_folders(tmp_path, verbose=0), {"train": 0.5, "val": 0.5})


def test_real_recordings_in_folders(shared_data):
    db = read_folders(shared_data / "esc10", verbose=0)
    assert db.report.sets.loc["balanced_train", "clips"] == 400
    assert (db.report.events["balanced_train"] == 40).all()
