"""Importers of public data sets, on small copies of their layouts."""

import numpy as np
import pytest
import soundfile

from sktagger.datasets import (
    load_database,
    read_audioset,
    read_esc50,
    read_fsd50k,
    read_urbansound8k,
)

ESC50 = """\
filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
1-100032-B-0.wav,1,0,dog,True,100032,B
5-9032-A-47.wav,5,47,airplane,False,9032,A
"""
URBANSOUND8K = """\
slice_file_name,fsID,start,end,salience,fold,classID,class
100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark
100263-2-0-117.wav,100263,58.5,62.5,2,10,2,children_playing
"""
FSD50K_DEV = """\
fname,labels,mids,split
64760,"Electric_guitar,Guitar,Music","/m/02sgy,/m/0342h,/m/04rlf",train
16399,"Bark,Domestic_animals_and_pets","/m/05tny_,/m/068hy",val
"""
FSD50K_EVAL = """\
fname,labels,mids
37199,Bark,/m/05tny_
"""
BALANCED = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
-0RWZT-miFs, 420.000, 430.000, "/m/05tny_"
gone0000000, 0.000, 10.000, "/m/09x0r"
"""
EVAL = """\
# YTID, start_seconds, end_seconds, positive_labels
Y0000000001, 5.500, 15.500, "/m/09x0r"
"""


def lay_out(root, tables, audio):
    """Write a data set: its tables, and silence of 0.1 s as audio."""
    for name, text in tables.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in audio:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, np.zeros(800), 8000)
    return root


@pytest.fixture
def esc50(tmp_path):
    names = ("1-100032-A-0.wav", "1-100032-B-0.wav", "5-9032-A-47.wav")
    return lay_out(tmp_path, {"meta/esc50.csv": ESC50}, [f"audio/{name}" for name in names])


@pytest.fixture
def urbansound8k(tmp_path):
    audio = ["audio/fold5/100032-3-0-0.wav", "audio/fold10/100263-2-0-117.wav"]
    return lay_out(tmp_path, {"metadata/UrbanSound8K.csv": URBANSOUND8K}, audio)


@pytest.fixture
def fsd50k(tmp_path):
    truth = "FSD50K.ground_truth/{}.csv".format
    audio = ["dev_audio/64760.wav", "dev_audio/16399.wav", "eval_audio/37199.wav"]
    tables = {truth("dev"): FSD50K_DEV, truth("eval"): FSD50K_EVAL}
    return lay_out(tmp_path, tables, [f"FSD50K.{name}" for name in audio])


def columns(db, *names, dataset="balanced_train"):
    return {name: list(values) for name, *values in db.table(dataset)[list(names)].itertuples()}


# ESC-50


def test_esc50(esc50):
    db = read_esc50(esc50, verbose=0)
    assert db.datasets == ("balanced_train",)
    assert columns(db, "events", "fold", "group", "take") == {
        "1-100032-A-0": [["dog"], 1, "100032", "A"],
        "1-100032-B-0": [["dog"], 1, "100032", "B"],
        "5-9032-A-47": [["airplane"], 5, "9032", "A"],
    }
    table = db.table("balanced_train")
    assert table["audio_path"].iloc[0] == str(esc50 / "audio" / "1-100032-A-0.wav")
    assert table["audio_length"].tolist() == [0.1] * 3


def test_esc10_is_a_part_of_esc50(esc50):
    assert list(columns(read_esc50(esc50, esc10=True, verbose=0), "events")) == [
        "1-100032-A-0",
        "1-100032-B-0",
    ]


def test_folds_become_sets(esc50):
    from sktagger.datasets.splitting import split_by_fold

    db = split_by_fold(read_esc50(esc50, verbose=0), {"train": [1], "test": [5]})
    assert {name: list(db.table(name).index) for name in db.datasets} == {
        "balanced_train": ["1-100032-A-0", "1-100032-B-0"],
        "eval": ["5-9032-A-47"],
    }


def test_missing_clips_are_left_out_and_listed(esc50):
    (esc50 / "audio" / "5-9032-A-47.wav").unlink()
    (esc50 / "audio" / "1-100032-B-0.wav").write_bytes(b"no audio")
    with pytest.warns(UserWarning, match="2 files are missing or cannot be read"):
        db = read_esc50(esc50, verbose=0)
    assert list(columns(db, "events")) == ["1-100032-A-0"]
    assert db.report.faulty.set_index("example_id")["kind"].to_dict() == {
        "5-9032-A-47": "missing",
        "1-100032-B-0": "unreadable",
    }
    with pytest.raises(FileNotFoundError, match=r"5-9032-A-47\.wav' does not exist"):
        read_esc50(esc50, on_error="raise", verbose=0)


# UrbanSound8K


def test_urbansound8k(urbansound8k):
    db = read_urbansound8k(urbansound8k, verbose=0)
    assert db.datasets == ("balanced_train",)
    assert columns(db, "events", "fold", "group", "salience") == {
        "100032-3-0-0": [["dog_bark"], 5, "100032", 1],
        "100263-2-0-117": [["children_playing"], 10, "100263", 2],
    }
    paths = db.table("balanced_train")["audio_path"]
    assert paths.iloc[1] == str(urbansound8k / "audio" / "fold10" / "100263-2-0-117.wav")


# FSD50K


def test_fsd50k(fsd50k):
    db = read_fsd50k(fsd50k, verbose=0)
    assert {name: columns(db, "events", dataset=name) for name in db.datasets} == {
        "balanced_train": {"64760": [["Electric_guitar", "Guitar", "Music"]]},
        "validate": {"16399": [["Bark", "Domestic_animals_and_pets"]]},
        "eval": {"37199": [["Bark"]]},
    }
    assert db.table("eval")["audio_path"].tolist() == [
        str(fsd50k / "FSD50K.eval_audio" / "37199.wav")
    ]


def test_fsd50k_with_the_names_of_audioset(fsd50k):
    db = read_fsd50k(fsd50k, audioset_names=True, verbose=0)
    assert db.events("validate") == ["Bark", "Domestic animals, pets"]
    assert db.events("balanced_train") == ["Electric guitar", "Guitar", "Music"]


def test_uploaders_of_fsd50k_are_groups(fsd50k):
    info = fsd50k / "FSD50K.metadata" / "dev_clips_info_FSD50K.json"
    lay_out(fsd50k, {info: '{"64760": {"title": "a", "uploader": "anna"}}'}, [])
    db = read_fsd50k(fsd50k, verbose=0)
    assert columns(db, "group") == {"64760": ["anna"]}
    assert "group" not in db.table("eval")
    info.write_text('{"64760": {}}')
    with pytest.raises(ValueError, match=r"dev_clips_info_FSD50K\.json: it is not the JSON file"):
        read_fsd50k(fsd50k, verbose=0)


@pytest.mark.parametrize(
    ("absent", "kept", "sets"),
    [("dev", "eval", ("eval",)), ("eval", "dev", ("balanced_train", "validate"))],
)
def test_half_of_fsd50k_is_enough_and_noted(fsd50k, absent, kept, sets):
    (fsd50k / "FSD50K.ground_truth" / f"{absent}.csv").unlink()
    db = read_fsd50k(fsd50k, verbose=0)
    assert db.datasets == sets
    assert f"only the half {kept!r} of the set is there" in db.report.notes


def test_other_split_of_fsd50k_is_named(fsd50k):
    table = fsd50k / "FSD50K.ground_truth" / "dev.csv"
    table.write_text(FSD50K_DEV.replace(",val", ",test"))
    with pytest.raises(ValueError, match=r"dev\.csv, line 3: got the split 'test'; allowed is"):
        read_fsd50k(fsd50k, verbose=0)


# AudioSet


def audioset(root, *names):
    tables = {"balanced_train_segments.csv": BALANCED, "eval_segments.csv": EVAL}
    return lay_out(root, tables, [f"audio/{name}" for name in names])


def test_audioset(tmp_path):
    root = audioset(tmp_path, "Y--PJHxphWEs.wav", "-0RWZT-miFs.flac", "YY0000000001.wav")
    with pytest.warns(UserWarning, match="1 files are missing .* 3 clips are kept"):
        db = read_audioset(root, verbose=0)
    assert columns(db, "events", "group") == {
        "Y--PJHxphWEs": [["Gush", "Speech"], "--PJHxphWEs"],
        "-0RWZT-miFs": [["Bark"], "-0RWZT-miFs"],
    }
    assert columns(db, "events", dataset="eval") == {"YY0000000001": [["Speech"]]}
    faulty = db.report.faulty
    assert faulty[["dataset", "example_id", "kind"]].values.tolist() == [
        ["balanced_train", "gone0000000", "missing"]
    ]


@pytest.mark.parametrize(
    "name",
    [
        "Y0000000001.wav",
        "YY0000000001.wav",
        "Y0000000001_5.5.wav",
        "Y0000000001_5500.wav",
        "YY0000000001_5500.wav",
        "Y0000000001_5.500_15.500.flac",
        "Y0000000001_5.5_15.5.wav",
        "Y0000000001_5500_15500.wav",
        "00/Y0000000001.ogg",
    ],
)
def test_audio_of_audioset_has_one_of_the_usual_names(tmp_path, name):
    root = audioset(tmp_path, name)
    db = read_audioset(root / "eval_segments.csv", root / "audio", verbose=0)
    assert db.datasets == ("eval",)
    assert db.table("eval")["audio_path"].tolist() == [str(root / "audio" / name)]


def test_segment_goes_before_another_segment_and_the_whole_video(tmp_path):
    names = ["Y0000000001.wav", "Y0000000001_5500.wav", "Y0000000001_70000.wav"]
    root = audioset(tmp_path, *names)
    db = read_audioset(root / "eval_segments.csv", verbose=0)
    assert list(db.table("eval").index) == ["Y0000000001_5500"]
    assert any(note.startswith("2 audio files are in no table") for note in db.report.notes)


def write_video(root, name, seconds):
    path = root / "audio" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * 1000)), 1000)


def segments(root, *rows):
    text = "# YTID\n" + "".join(f'{row}, "{mid}"\n' for row, mid in rows)
    return lay_out(root, {"eval_segments.csv": text}, [])


SPEECH, BARK = "/m/09x0r", "/m/05tny_"


@pytest.mark.parametrize(
    ("name", "seconds", "section"),
    [
        ("v.wav", 10.0, None),
        ("Yv.wav", 10.9, None),
        ("v.wav", 4.0, None),
        ("v.wav", 60.0, (30, 40)),
        ("Yv.flac", 60.0, (30, 40)),
        ("v.wav", 35.5, (30, 35.5)),
        ("v_30.wav", 60.0, None),  # named as a clip
    ],
)
def test_whole_videos_of_audioset_are_cut(tmp_path, name, seconds, section):
    root = segments(tmp_path, ("v, 30.000, 40.000", SPEECH))
    write_video(root, name, seconds)
    db = read_audioset(root, verbose=0)
    (example,) = db.table("eval").to_dict("records")
    assert example["events"] == ["Speech"]
    assert example["group"] == "v"
    if section is None:
        assert example["audio_length"] == pytest.approx(seconds)
        assert "audio_start_samples" not in example
    else:
        assert example["audio_length"] == pytest.approx(section[1] - section[0])
        bounds = example["audio_start_samples"], example["audio_stop_samples"]
        assert bounds == (section[0] * 1000, section[1] * 1000)
        assert list(db.table("eval").index) == [f"{name.split('.')[0]}_30.000"]
        assert "1 clips are sections of longer files" in db.report.notes


def test_segments_of_the_same_video_have_their_own_events(tmp_path):
    rows = [("v, 0.000, 10.000", SPEECH), ("v, 30.000, 40.000", BARK), ("w, 0, 10", SPEECH)]
    root = segments(tmp_path, *rows)
    write_video(root, "v.wav", 60)
    write_video(root, "w.wav", 10)
    db = read_audioset(root, verbose=0)
    assert db.table("eval")["events"].to_dict() == {
        "v_0.000": ["Speech"],
        "v_30.000": ["Bark"],
        "w": ["Speech"],
    }
    path = db.save(tmp_path / "db.json")
    X, Y = load_database(path, training_set="eval").to_xy("eval")
    assert [clip[1:] for clip in X[:2]] == [(0, 10_000), (30_000, 40_000)]
    assert Y["Bark"].tolist() == [0, 1, 0]
    # a file of 10 s is a clip, and it is not known which one
    write_video(root, "v.wav", 10)
    db = read_audioset(root, verbose=0)
    assert db.table("eval")["events"].to_dict() == {"v": ["Bark", "Speech"], "w": ["Speech"]}
    assert "1 rows name a file again: their events are joined" in db.report.notes


def test_video_that_ends_before_its_segment_is_left_out(tmp_path):
    root = segments(tmp_path, ("v, 30.000, 40.000", SPEECH), ("w, 0, 10", SPEECH))
    write_video(root, "v.wav", 20)
    write_video(root, "w.wav", 10)
    with pytest.warns(UserWarning, match="has 20.0 s. It is neither the section from 30 s to 40 s"):
        db = read_audioset(root, verbose=0)
    assert list(db.table("eval").index) == ["w"]
    with pytest.raises(ValueError, match="neither the section"):
        read_audioset(root, on_error="raise", verbose=0)


def test_classes_of_audioset_may_be_given(tmp_path):
    root = audioset(tmp_path, "Y0000000001.wav")
    classes = tmp_path / "classes.csv"
    classes.write_text('index,mid,display_name\n0,/m/09x0r,"Talk, any"\n')
    db = read_audioset(root / "eval_segments.csv", classes=classes, verbose=0)
    assert db.events("eval") == ["Talk, any"]
    classes.write_text("a,b\n")
    with pytest.raises(ValueError, match=r"classes: .* allowed is a table with the columns mid"):
        read_audioset(root, classes=classes, verbose=0)
    with pytest.raises(FileNotFoundError, match="classes: there is no file"):
        read_audioset(root, classes=tmp_path / "none.csv", verbose=0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Y0000000001, 0, 10", "line 2: got 3 cells; allowed are YTID"),
        ('Y0000000001, 0, x, "/m/09x0r"', "line 2: got 'x'; allowed is a time"),
        ('Y0000000001, 0, 10, "/m/09x0"', "line 2: the class '/m/09x0' is not known; nearest"),
        ('Y0000000001, 0, 10, ""', "line 2: there is no class"),
    ],
)
def test_malformed_segment_is_named(tmp_path, line, message):
    root = lay_out(tmp_path, {"eval_segments.csv": f"# YTID\n{line}\n"}, ["Y0000000001.wav"])
    with pytest.raises(ValueError, match=rf"eval_segments\.csv, {message}"):
        read_audioset(root, verbose=0)


def test_folder_without_segments_of_audioset_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"source: the folder .* has no table \*_segments\.csv"):
        read_audioset(tmp_path, verbose=0)


# All sets with one layout


READERS = [
    (read_esc50, "meta/esc50.csv", ESC50, "fold"),
    (read_urbansound8k, "metadata/UrbanSound8K.csv", URBANSOUND8K, "fsID"),
    (read_fsd50k, "FSD50K.ground_truth/dev.csv", FSD50K_DEV, "split"),
]


@pytest.mark.parametrize(("read", "table", "text", "column"), READERS)
def test_other_folder_or_table_is_named(tmp_path, read, table, text, column):
    with pytest.raises(FileNotFoundError, match="source: there is no"):
        read(tmp_path / "none", verbose=0)
    (tmp_path / "something").mkdir()
    with pytest.raises(FileNotFoundError, match=f"has no file '{table}'; it has 'something'"):
        read(tmp_path, verbose=0)
    lay_out(tmp_path, {table: text.replace(column, "other")}, [])
    with pytest.raises(ValueError, match=f"lacks the column '{column}'; its columns are .*'other'"):
        read(tmp_path, verbose=0)


@pytest.mark.parametrize(("read", "table", "text", "column"), READERS)
def test_set_without_audio_is_an_error(tmp_path, read, table, text, column):
    lay_out(tmp_path, {table: text}, [])
    with pytest.raises(ValueError, match=r"not one clip is left of [23].* does not exist"):
        read(tmp_path, verbose=0)


@pytest.mark.parametrize(
    ("read", "table", "text"),
    [
        (read_esc50, "meta/esc50.csv", ESC50.replace("wav,5", "wav,five")),
        (read_urbansound8k, "metadata/UrbanSound8K.csv", URBANSOUND8K.replace(",5,3", ",five,3")),
    ],
)
def test_fold_that_is_no_number_is_named(tmp_path, read, table, text):
    lay_out(tmp_path, {table: text}, [])
    with pytest.raises(ValueError, match=rf"{table}, line \d, fold: got 'five'; allowed is an int"):
        read(tmp_path, verbose=0)


@pytest.mark.parametrize(
    ("read", "table", "text"),
    [
        (read_esc50, "meta/esc50.csv", ESC50.replace("airplane", "")),
        (read_urbansound8k, "metadata/UrbanSound8K.csv", URBANSOUND8K.replace("dog_bark", "")),
        (read_fsd50k, "FSD50K.ground_truth/eval.csv", FSD50K_EVAL.replace("Bark", "")),
    ],
)
def test_clip_without_event_is_named(tmp_path, read, table, text):
    lay_out(tmp_path, {table: text}, [])
    with pytest.raises(ValueError, match=rf"{table}, line \d: there is no event"):
        read(tmp_path, verbose=0)
