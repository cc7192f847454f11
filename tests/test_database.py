import gzip
import io
import json
import os
import pickle
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.utils.multiclass import type_of_target

from sktagger.datasets.database import load_database


@pytest.fixture
def write(tmp_path):
    """Write content (or text) as a database file and return its path."""

    def write(content, name="scenes.json"):
        file = tmp_path / name
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            file.write_text(text, encoding="utf-8")
        return file

    return write


def clip(**changes):
    return {"audio_path": "a.wav", "audio_length": 2.0, "events": ["Rain"]} | changes


@pytest.fixture
def content():
    return {
        "datasets": {
            "balanced_train": {
                "t0": clip(events=["Siren", "Rain"], fold=1),
                "t1": clip(audio_path="sub/b.wav", audio_length=1.0, events=[], fold=2),
                "t2": clip(audio_path="/abs/c.wav", events=["Glocke ä"], fold=3),
            },
            "eval": {"e0": clip(events=["Sirene"])},
        }
    }


@pytest.fixture
def db(write, content):
    return load_database(write(content))


@pytest.fixture
def recording(tmp_path):
    """A file of 3 s at 8 kHz, named a.wav like the clips' default."""
    soundfile.write(tmp_path / "a.wav", np.zeros(24000), 8000)


def test_names_of_sets_and_events(db):
    assert db.datasets == ("balanced_train", "eval")
    assert db.events("balanced_train") == ["Glocke ä", "Rain", "Siren"]


def test_repr_says_what_is_there(db):
    assert repr(db) == "<Database scenes.json, clips: 3 in balanced_train, 1 in eval>"


def test_paths_are_relative_to_the_file(db, tmp_path, monkeypatch):
    X, _ = db.to_xy("balanced_train")
    assert list(X) == [str(tmp_path / "a.wav"), str(tmp_path / "sub/b.wav"), "/abs/c.wav"]
    monkeypatch.chdir(tmp_path)
    assert list(load_database("scenes.json").to_xy("balanced_train")[0]) == list(X)


def test_to_xy_gives_clips_and_indicator(db):
    X, Y = db.to_xy("balanced_train")
    assert X.dtype == object
    assert X.shape == (3,)
    expected = pd.DataFrame(
        [[0, 1, 1], [0, 0, 0], [1, 0, 0]],
        index=pd.Index(["t0", "t1", "t2"], name="example_id"),
        columns=["Glocke ä", "Rain", "Siren"],
        dtype=np.int8,
    )
    pd.testing.assert_frame_equal(Y, expected)
    assert type_of_target(Y) == "multilabel-indicator"


def test_given_events_set_columns_and_order(db):
    _, Y = db.to_xy("eval", events=np.array(["Sirene", "Rain", "Bell"]))
    assert list(Y.columns) == ["Sirene", "Rain", "Bell"]
    assert Y.to_numpy().tolist() == [[1, 0, 0]]


def test_events_are_those_of_the_training_set(write):
    train, test = {"a": clip(events=["Rain", "Siren"])}, {"b": clip(events=["Rain"])}
    content = {"datasets": {"balanced_train": train, "eval": test, "mine": test}}
    assert list(load_database(write(content)).to_xy("eval")[1].columns) == ["Rain", "Siren"]
    db = load_database(write(content), training_set="mine")
    assert list(db.to_xy("eval")[1].columns) == ["Rain"]
    with pytest.raises(ValueError, match="clip 'a' of 'balanced_train' has the event 'Siren'"):
        db.to_xy("balanced_train")
    assert list(load_database(write({"datasets": {"eval": test}})).to_xy("eval")[1]) == ["Rain"]


def test_event_outside_the_given_ones_names_clip_event_and_nearest(db):
    message = "clip 'e0' of 'eval' has the event 'Sirene'.*nearest: 'Siren'"
    with pytest.raises(ValueError, match=message):
        db.to_xy("eval", events=db.events("balanced_train"))


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ("Rain", "'Rain'; allowed is a list"),
        (3, "3; allowed is a list"),
        (["Rain", "Rain"], "the name 'Rain' more than once"),
        (["Rain", ""], "the name ''"),
        (["Rain", 3], "the name 3"),
    ],
)
def test_given_events_must_be_distinct_names(db, events, message):
    with pytest.raises(ValueError, match=f"events: got {message}"):
        db.to_xy("balanced_train", events=events)


@pytest.mark.parametrize("method", ["events", "table", "to_xy"])
def test_unknown_set_lists_what_there_is(db, method):
    message = "no data set 'evla'; there are 'balanced_train', 'eval'; nearest: 'eval'"
    with pytest.raises(ValueError, match=message):
        getattr(db, method)("evla")


def test_table_keeps_extra_keys(db):
    table = db.table("balanced_train")
    assert list(table.columns) == ["audio_path", "audio_length", "events", "fold"]
    assert table["fold"].tolist() == [1, 2, 3]
    assert table.index.name == "example_id"
    assert table.loc["t0", "events"] == ["Siren", "Rain"]


def test_editing_the_table_leaves_the_database_alone(db):
    db.table("eval").loc["e0", "events"].append("Bell")
    assert db.events("eval") == ["Sirene"]


def test_database_pickles(db):
    copy = pickle.loads(pickle.dumps(db))
    pd.testing.assert_frame_equal(copy.table("eval"), db.table("eval"))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({}, None),
        ({"audio_start_samples": None, "audio_stop_samples": None}, None),
        ({"audio_start_samples": 4000, "audio_stop_samples": 8000}, (4000, 8000)),
        ({"audio_start_samples": 4000}, (4000, None)),
        ({"audio_stop_samples": 8000}, (0, 8000)),
    ],
)
def test_sections_become_tuples(write, tmp_path, section, expected):
    db = load_database(write({"datasets": {"eval": {"e0": clip(**section), "e1": clip()}}}))
    X, _ = db.to_xy("eval")
    path = str(tmp_path / "a.wav")
    assert list(X) == [(path, *expected) if expected else path, path]


def test_table_shows_sections_as_integers(write):
    examples = {"e0": clip(audio_start_samples=4000), "e1": clip()}
    table = load_database(write({"datasets": {"eval": examples}})).table("eval")
    assert table["audio_start_samples"].tolist() == [4000, pd.NA]
    assert "audio_stop_samples" not in table


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 3.0),
        ({"audio_start_samples": 4000, "audio_stop_samples": 8000}, 0.5),
        ({"audio_start_samples": 4000}, 2.5),
        ({"audio_stop_samples": 8000}, 1.0),
        ({"audio_start_samples": 8000, "audio_stop_samples": 24000}, 2.0),
        ({"audio_length": 7.5}, 7.5),
    ],
)
def test_length_is_stated_or_read_from_the_header(write, recording, changes, length):
    example = clip(audio_length=None) | changes
    table = load_database(write({"datasets": {"eval": {"e0": example}}})).table(
        "eval", read_lengths=True
    )
    assert table["audio_length"].tolist() == [length]


def test_lengths_are_not_read_unasked(write):
    db = load_database(write({"datasets": {"eval": {"e0": clip(audio_length=None)}}}))
    assert db.table("eval")["audio_length"].isna().all()
    assert len(db.to_xy("eval")[0]) == 1


def test_min_length_leaves_out_shorter_clips(db):
    X, Y = db.to_xy("balanced_train", min_length=1.5)
    assert list(Y.index) == ["t0", "t2"]
    assert len(X) == 2
    assert list(db.to_xy("balanced_train", min_length=1.0)[1].index) == ["t0", "t1", "t2"]


def test_min_length_reads_headers_of_sections(write, recording):
    examples = {
        "short": clip(audio_length=None, audio_stop_samples=8000),
        "long": clip(audio_length=None, audio_start_samples=8000),
    }
    _, Y = load_database(write({"datasets": {"eval": examples}})).to_xy("eval", min_length=1.5)
    assert list(Y.index) == ["long"]


def test_min_length_that_leaves_nothing(db):
    with pytest.raises(ValueError, match="3 clips, and none is at least min_length=60 s"):
        db.to_xy("balanced_train", min_length=60)


@pytest.mark.parametrize("min_length", [-1, float("nan")])
def test_min_length_must_be_a_length(db, min_length):
    with pytest.raises(ValueError, match="min_length: got"):
        db.to_xy("eval", min_length=min_length)


def test_empty_set_is_an_error_where_it_is_used(write):
    db = load_database(write({"datasets": {"eval": {}}}))
    assert len(db.table("eval")) == 0
    with pytest.raises(ValueError, match="'eval' is empty: it has 0 clips"):
        db.to_xy("eval")


def test_missing_audio_file_for_a_length(write):
    db = load_database(write({"datasets": {"eval": {"e0": clip(audio_length=None)}}}))
    with pytest.raises(FileNotFoundError, match=r"clip 'e0' of 'eval': Audio file .*a\.wav"):
        db.to_xy("eval", min_length=1)


def test_audio_file_without_readable_header(write, tmp_path):
    (tmp_path / "a.wav").write_text("not audio")
    db = load_database(write({"datasets": {"eval": {"e0": clip(audio_length=None)}}}))
    with pytest.raises(ValueError, match=r"clip 'e0' of 'eval': .*a\.wav' cannot be read"):
        db.to_xy("eval", min_length=1)


def test_clip_without_readable_header_can_stay(write, recording, tmp_path):
    (tmp_path / "bad.wav").write_text("not audio")
    examples = {"e0": clip(audio_length=None), "e1": clip(audio_path="bad.wav", audio_length=None)}
    db = load_database(write({"datasets": {"eval": examples}}))
    assert list(db.to_xy("eval", min_length=1, on_error="skip")[1].index) == ["e0", "e1"]
    assert len(db.to_xy("eval", min_length=4, on_error="skip")[0]) == 1


def test_section_beyond_its_file(write, recording):
    example = clip(audio_length=None, audio_start_samples=24000)
    db = load_database(write({"datasets": {"eval": {"e0": example}}}))
    with pytest.raises(ValueError, match=r"clip 'e0' of 'eval': .*a\.wav' .* has 24000 samples"):
        db.to_xy("eval", min_length=1)


def test_missing_database_names_near_files(db, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"scene\.json'; nearest: 'scenes\.json'"):
        load_database(tmp_path / "scene.json")


def test_folder_instead_of_database(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        load_database(tmp_path)


def test_content_instead_of_path(content):
    with pytest.raises(TypeError, match="path: got dict"):
        load_database(content)


CLIP = "datasets['eval']['clip_7']"


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([], f"at {CLIP}: got []; allowed is an object"),
        ({"audio_pth": "a"}, f"at {CLIP}: got only the keys 'audio_pth'; nearest: 'audio_pth'"),
        ({"audio_path": "a"}, f"at {CLIP}: got only the keys 'audio_path'; allowed is an object w"),
        (clip(audio_path=3), f"at {CLIP}['audio_path']: got 3; allowed is a non-empty string"),
        (clip(audio_path=""), f"at {CLIP}['audio_path']: got ''"),
        (clip(audio_path="a\0"), f"at {CLIP}['audio_path']: got 'a\\x00'; allowed is a path"),
        (clip(audio_length="2 s"), f"at {CLIP}['audio_length']: got '2 s'"),
        (clip(audio_length=0), f"at {CLIP}['audio_length']: got 0; allowed is a number of seconds"),
        (clip(audio_length=True), f"at {CLIP}['audio_length']: got True"),
        (clip(audio_start_samples=-1), f"at {CLIP}['audio_start_samples']: got -1"),
        (clip(audio_start_samples=1.0), f"at {CLIP}['audio_start_samples']: got 1.0"),
        (clip(audio_stop_samples=False), f"at {CLIP}['audio_stop_samples']: got False"),
        (clip(audio_stop_samples=0), f"at {CLIP}['audio_stop_samples']: got 0; allowed is more"),
        (
            clip(audio_start_samples=9, audio_stop_samples=9),
            f"at {CLIP}['audio_stop_samples']: got 9; allowed is more than audio_start_samples, 9",
        ),
        (clip(events="Rain"), f"at {CLIP}['events']: got 'Rain'; allowed is a list of strings"),
        (clip(events=None), f"at {CLIP}['events']: got None"),
        (clip(events=["Rain", "Bell", 3]), f"at {CLIP}['events'][2]: got 3; allowed is a non-empt"),
        (clip(events=["Rain", ""]), f"at {CLIP}['events'][1]: got ''"),
        (clip(events=["Rain", "Rain"]), f"at {CLIP}['events'][1]: got 'Rain' again; allowed is ea"),
        (clip(events=["a" * 1000]), f"at {CLIP}['events'][0]: got 'aaaaaaaaaaaa...aaaaaaaaaaaaa'"),
    ],
)
def test_malformed_example_says_where(write, example, message):
    file = write({"datasets": {"eval": {"clip_7": example}}})
    with pytest.raises(ValueError, match=re.escape(f"{file}, {message}")):
        load_database(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at line 1, column 1: got an empty file"),
        ('{"datasets": {', "at line 1, column 15: got text that is not JSON"),
        ("[]", "at the top level: got []; allowed is an object"),
        ('{"dataset": {}}', "got only the keys 'dataset'; nearest: 'dataset'; allowed is an obj"),
        ('{"datasets": []}', "at datasets: got []"),
        ('{"datasets": {}}', "at datasets: got an empty object; allowed is at least one data set"),
        ('{"datasets": {"eval": []}}', "at datasets['eval']: got []"),
        (b'{"datasets": "\xff"}', "at byte 14: got bytes that are not UTF-8"),
        ('{"a": 1, "a": 2}', "at the top level: got the key 'a' more than once"),
        ('{"datasets": {"eval": {"x": 1, "x": 2}}}', "at datasets['eval']: got the key 'x' more t"),
        ('{"datasets": {"eval": {"x": {"y": [1, {"z": 1, "z": {"a": 1, "a": 2}}]}}}}',
         "at datasets['eval']['x']['y'][1]: got the key 'z' more than once"),
        ('{"datasets": {"eval": {"x": NaN}}}', "at datasets['eval']['x']: got NaN"),
        ('{"datasets": {"eval": {"x": -Infinity}}}', "at datasets['eval']['x']: got -Infinity"),
        ('{"datasets": {"eval": {"x": 1e999}}}', "at datasets['eval']['x']: got the number 1e999"),
        ('{"datasets": {"eval": {"x": 9223372036854775808}}}', "got an integer beyond 64 bits"),
        ('{"datasets": ' + "9" * 5000 + "}", "at datasets: got an integer beyond 64 bits"),
        ('{"datasets": {"eval": {"\\ud800": 1}}}', "got half a character (the unpaired su"),
        ('{"datasets": ' + "[" * 100_000, "nested hundreds of levels deep"),
        ('{"a": 1, "a": 2, "b": ' + "[" * 900 + "]" * 900 + "}", "more than once"),
    ],
    ids=range(19),
)  # fmt: skip
def test_malformed_file_says_where(write, text, message):
    file = write(text)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_database(file)
    assert str(file) in str(error.value)


def test_events_of_999_characters_are_kept(write):
    db = load_database(write({"datasets": {"eval": {"e0": clip(events=["a" * 999])}}}))
    assert db.events("eval") == ["a" * 999]


def test_integers_of_64_bits_are_kept(write):
    example = clip(id=2**63 - 1, low=-(2**63))
    table = load_database(write({"datasets": {"eval": {"e0": example}}})).table("eval")
    assert table[["id", "low"]].to_numpy().tolist() == [[2**63 - 1, -(2**63)]]


def test_byte_order_mark_is_no_fault(write, content):
    file = write(b"\xef\xbb\xbf" + json.dumps(content).encode())
    assert load_database(file).datasets == ("balanced_train", "eval")


@pytest.fixture
def folders(tmp_path):
    """A root, and links in it that lead into it and out of it."""
    for name in ("sounds/sub", "sounds2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sounds" / "inner").symlink_to("sub")
    (tmp_path / "sounds" / "outer").symlink_to(tmp_path / "sounds2")
    (tmp_path / "sounds" / "out.wav").symlink_to("../a.wav")
    (tmp_path / "sounds" / "in.wav").symlink_to("sub/b.wav")
    (tmp_path / "link").symlink_to("sounds")
    return tmp_path


@pytest.mark.parametrize(
    "audio_path",
    [
        "sounds/a.wav",
        "sounds/sub/a.wav",
        "sounds/sub/../a.wav",
        "sounds/inner/a.wav",
        "sounds/in.wav",
        "link/a.wav",
        "sounds2/../sounds/a.wav",
    ],
)
def test_audio_files_inside_the_root(write, folders, audio_path, monkeypatch):
    file = write({"datasets": {"eval": {"e0": clip(audio_path=audio_path)}}})
    expected = list(load_database(file).to_xy("eval")[0])
    monkeypatch.chdir(folders)
    for root in ("sounds", folders / "sounds", folders / "link", "/"):
        assert list(load_database(file, root=root).to_xy("eval")[0]) == expected


@pytest.mark.parametrize(
    ("audio_path", "real"),
    [
        ("a.wav", "a.wav"),
        ("sounds/../a.wav", "a.wav"),
        ("sounds2/a.wav", "sounds2/a.wav"),
        ("sounds/outer/a.wav", "sounds2/a.wav"),
        ("sounds/out.wav", "a.wav"),
        ("/etc/passwd", "/etc/passwd"),
    ],
)
def test_audio_file_outside_the_root_is_named(write, folders, audio_path, real):
    examples = {"fine": clip(audio_path="sounds/a.wav"), "e0": clip(audio_path=audio_path)}
    file = write({"datasets": {"eval": examples}})
    message = f"audio file .* of clip 'e0' of 'eval' is {str(folders / real)!r}, which lies outside"
    with pytest.raises(ValueError, match=message):
        load_database(file, root=folders / "sounds")


def test_root_must_be_a_folder(write, content, tmp_path):
    file = write(content)
    with pytest.raises(FileNotFoundError, match=r"root: no folder .*nowhere"):
        load_database(file, root=tmp_path / "nowhere")
    with pytest.raises(TypeError, match="root: got int"):
        load_database(file, root=3)


@pytest.fixture
def behind_a_link(tmp_path):
    """A folder with a link to another one, beside which lies another file of the same name."""
    (tmp_path / "near").mkdir()
    (tmp_path / "far" / "sub").mkdir(parents=True)
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "sub")
    for name, n_samples in (("near", 100), ("far", 200)):
        soundfile.write(tmp_path / name / "x.wav", np.zeros(n_samples), 8000)
    return tmp_path


@pytest.mark.parametrize("absolute", [False, True])
def test_parent_of_a_link_is_that_of_what_it_links_to(write, behind_a_link, absolute):
    near = behind_a_link / "near"
    path = "link/../x.wav"
    examples = {"e0": clip(audio_path=str(near / path) if absolute else path, audio_length=None)}
    db = load_database(write({"datasets": {"eval": examples}}, "near/scenes.json"))
    assert list(db.to_xy("eval")[0]) == [str(behind_a_link.resolve() / "far" / "x.wav")]
    assert db.table("eval", read_lengths=True)["audio_length"].tolist() == [200 / 8000]


def test_database_in_a_linked_folder(write, behind_a_link, monkeypatch):
    examples = {"e0": clip(audio_path="../x.wav")}
    write({"datasets": {"eval": examples}}, "far/sub/scenes.json")
    expected = [str(behind_a_link.resolve() / "far" / "x.wav")]
    assert list(load_database(behind_a_link / "near/link/scenes.json").to_xy("eval")[0]) == expected
    monkeypatch.chdir(behind_a_link / "near")
    for path in ("link/scenes.json", "link/../sub/scenes.json"):
        assert list(load_database(path).to_xy("eval")[0]) == expected


def test_parent_of_a_folder_that_is_not_there(write, tmp_path):
    examples = {"e0": clip(audio_path="nowhere/../x.wav")}
    db = load_database(write({"datasets": {"eval": examples}}))
    assert list(db.to_xy("eval")[0]) == [str(tmp_path.resolve() / "x.wav")]


def test_root_judges_the_file_behind_the_link(write, behind_a_link):
    examples = {"e0": clip(audio_path="link/../x.wav")}
    file = write({"datasets": {"eval": examples}}, "near/scenes.json")
    load_database(file, root=behind_a_link / "far")
    with pytest.raises(ValueError, match="lies outside of root"):
        load_database(file, root=behind_a_link / "near")


FOREIGN = [
    ("~/x.wav", "The ~ is not expanded"),
    ("~anna/x.wav", "write out the directory"),
    ("file:///data/x.wav", "a local file. It is a URI"),
    ("https://host/x.wav", "a local file. It is a URI"),
    (" x.wav", "begins or ends with white space"),
    ("x.wav\n", "white space or a line break"),
]
WINDOWS = [("wav\\x.wav", "backslash does not"), ("C:/wav/x.wav", "Windows drive")]
on_posix = pytest.mark.skipif(os.sep == "\\", reason="a path of this system")


@pytest.mark.parametrize(
    ("audio_path", "allowed"),
    [*FOREIGN, *(pytest.param(*paths, marks=on_posix) for paths in WINDOWS)],
)
def test_path_of_another_system_is_named(write, audio_path, allowed):
    file = write({"datasets": {"eval": {"clip_7": clip(audio_path=audio_path)}}})
    message = f"{file}, at {CLIP}['audio_path']: got {audio_path!r}; allowed is"
    with pytest.raises(ValueError, match=re.escape(message) + ".*" + allowed):
        load_database(file)


@on_posix
@pytest.mark.parametrize("audio_path", ["~/x.wav", "a\\x.wav", " x.wav", "~x.wav", "a b~c.wav"])
def test_odd_name_of_a_file_that_is_there(write, tmp_path, audio_path):
    (tmp_path / "~").mkdir()
    (tmp_path / audio_path).touch()
    db = load_database(write({"datasets": {"eval": {"e0": clip(audio_path=audio_path)}}}))
    assert list(db.to_xy("eval")[0]) == [str(tmp_path / audio_path)]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("file:///data/scenes.json", "It is a URI: download the file"),
        ("~nobody-of-this-name/scenes.json", "The ~ is not expanded"),
        pytest.param("data\\scenes.json", "backslash does not", marks=on_posix),
    ],
)
def test_database_path_of_another_system_is_named(path, hint):
    with pytest.raises(FileNotFoundError, match=f"path: no file .*{hint}"):
        load_database(path)


def test_database_in_the_home_directory(write, content, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    file = write(content)
    db = load_database("~/scenes.json", root="/")
    assert db.path == file
    with pytest.raises(ValueError, match=re.escape(f"lies outside of root='{tmp_path}")):
        load_database("~/scenes.json", root="~")
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.json'.* Give the path"):
        load_database("~/none.json")


def test_a_training_set_without_events_is_named(write, content):
    for example in content["datasets"]["balanced_train"].values():
        example["events"] = []
    db = load_database(write(content))
    with pytest.raises(ValueError, match="no clip of the training set 'balanced_train' has an ev"):
        db.to_xy("eval")
    assert db.to_xy("balanced_train")[1].shape == (3, 0)  # clips alone, as for prediction
    assert db.to_xy("balanced_train", events=["Rain"])[1].shape == (3, 1)


def test_an_event_of_blanks_is_refused(write, content):
    content["datasets"]["eval"]["e0"]["events"] = [" "]
    with pytest.raises(ValueError, match=r"\['events'\]\[0\]: got ' '; allowed is a non-empty"):
        load_database(write(content))


def test_missing_database_in_the_home_directory(tmp_path, monkeypatch):
    """Where ~ is expanded, it is not what is wrong."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    missing = str(tmp_path / "gone.json")
    with pytest.raises(FileNotFoundError, match=re.escape(missing)) as caught:
        load_database("~/gone.json")
    assert "without ~" not in str(caught.value)


TABLE = pd.DataFrame({"audio_path": ["a.wav", "b.wav"], "events": ["Rain", "Siren"]})


def excel():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


LINES = '{"audio_path": "a.wav", "events": []}\n{"audio_path": "b.wav", "events": []}\n'
DATASETS = {"datasets": {"eval": {"e0": clip()}}}


@pytest.mark.parametrize(
    ("name", "text", "looks_like"),
    [
        ("a.jsonl", LINES, "JSON Lines"),
        ("a.json", LINES, "JSON Lines"),
        ("a.json", "\ufeff\n" + LINES, "JSON Lines"),
        ("a.ndjson", LINES.splitlines()[0], "JSON Lines"),
        ("a.json", LINES * 2000, "JSON Lines"),
        ("a.json", TABLE.to_csv(index=False), "CSV"),
        ("a.csv", TABLE.to_csv(sep=";"), "CSV"),
        ("a.json", TABLE.to_csv(sep="\t"), "TSV"),
        ("a.csv", "audio_path\na.wav\n", "CSV"),
        ("a.csv", "audio_path,events\nä.wav,Rain\n".encode("latin-1"), "CSV"),
        ("a.xlsx", excel(), "an Excel workbook"),
        ("a.json", excel(), "an Excel workbook"),
        ("a.xls", b"\xd0\xcf\x11\xe0...", "an Excel workbook"),
        ("a.json", b"PAR1...", "Parquet"),
        ("a.feather", b"ARROW1..", "Arrow or Feather"),
        ("a.yaml", "datasets:\n  eval:\n    e0: {audio_path: a.wav, events: []}\n", "YAML"),
        ("a.json", "---\ndatasets:\n  eval: {}\n", "YAML"),
        ("a.json", repr(DATASETS), "a Python dict"),
        ("a.pkl", pickle.dumps(DATASETS), "a pickle"),
        ("a.json.gz", gzip.compress(json.dumps(DATASETS).encode()), "a file compressed by gzip"),
        ("a.json", json.dumps(DATASETS).encode("utf-16"), "text in UTF-16"),
        ("a.json", "<!DOCTYPE html><html>Please log in</html>", "XML or HTML"),
        (
            "a.json",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a pointer of Git",
        ),
        ("a.wav", b"RIFF....WAVEfmt ", "an audio file"),
    ],
    ids=range(24),
)
def test_other_format_is_told_by_its_content(write, name, text, looks_like):
    file = write(text, name)
    with pytest.raises(ValueError, match=f"looks like {looks_like}.*; allowed is JSON, {{") as e:
        load_database(file)
    assert str(file) in str(e.value)


@pytest.mark.parametrize(
    "text",
    ['{"datasets": {,}}', '{\n "datasets": {"a": 1,\n}', '"datasets": {"a": {}, "b": {}}', "[1, 2"],
)
def test_json_with_a_fault_is_no_other_format(write, text):
    with pytest.raises(ValueError, match="text that is not JSON"):
        load_database(write(text))


def test_json_lines_suffix_of_a_database(write, content):
    assert load_database(write(content, "a.jsonl")).datasets == ("balanced_train", "eval")


def test_empty_set_names_those_with_clips(write, content):
    content["datasets"]["validate"] = {}
    db = load_database(write(content))
    with pytest.raises(ValueError, match=r"is empty.* set that has some: 'balanced_train', 'eval'"):
        db.to_xy("validate")


def test_many_events_of_a_clip_take_no_quadratic_time(write):
    events = [f"event {k}" for k in range(100_000)]  # by comparing each with each, minutes
    file = write({"datasets": {"eval": {"e0": clip(events=[*events, events[0]])}}})
    with pytest.raises(ValueError, match=r"\['events'\]\[100000\]: got 'event 0' again"):
        load_database(file)


names = st.text(min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    ["audio_path", "audio_length", "audio_start_samples", "audio_stop_samples", "events", "fold"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(example=st.dictionaries(keys, json_values) | json_values)
def test_any_json_loads_or_gets_a_value_error(write, example):
    file = write({"datasets": {"eval": {"clip": example}}})
    try:
        db = load_database(file)
    except ValueError as error:
        message = str(error)
    else:
        message = None
        X, Y = db.to_xy("eval")
        assert len(X) == len(Y) == len(db.table("eval")) == 1
    assert message is None or message.startswith(str(file))


def test_unknown_events_can_be_left_out(db):
    X, Y = db.to_xy("eval", unknown_events="ignore")
    assert len(X) == 1
    assert Y.loc["e0"].to_dict() == {"Glocke ä": 0, "Rain": 0, "Siren": 0}
    _, Y = db.to_xy("balanced_train", events=["Rain"], unknown_events="ignore")
    assert Y["Rain"].tolist() == [1, 0, 0]
    assert db.unknown_events("eval") == {"Sirene": 1}
    assert db.unknown_events("balanced_train") == {}
    assert db.unknown_events("balanced_train", events=["Rain"]) == {"Glocke ä": 1, "Siren": 1}
    with pytest.raises(ValueError, match="unknown_events='ignore'"):
        db.to_xy("eval")
    with pytest.raises(ValueError, match="unknown_events: got 'drop'; allowed is 'error' or"):
        db.to_xy("eval", unknown_events="drop")


# sections in seconds


@pytest.mark.parametrize(
    ("section", "expected", "length"),
    [
        ({"audio_start": 0.5, "audio_stop": 1}, (4000, 8000), 0.5),
        ({"audio_start": 0.5}, (4000, None), 2.5),
        ({"audio_stop": 1.00004}, (0, 8000), 1.0),
        ({"audio_stop": 3.009}, (0, 24000), 3.0),
        ({"audio_start": None, "audio_stop": None}, None, 3.0),
    ],
)
def test_sections_in_seconds_become_samples(write, recording, tmp_path, section, expected, length):
    db = load_database(write({"datasets": {"eval": {"e0": clip(audio_length=None, **section)}}}))
    path = str(tmp_path / "a.wav")
    assert list(db.to_xy("eval")[0]) == [(path, *expected) if expected else path]
    assert db.table("eval", read_lengths=True)["audio_length"].tolist() == [length]


def test_table_shows_sections_in_seconds(write):
    examples = {"e0": clip(audio_start=1), "e1": clip()}
    table = load_database(write({"datasets": {"eval": examples}})).table("eval")
    assert table["audio_start"].tolist() == [1.0, pytest.approx(np.nan, nan_ok=True)]
    assert table["audio_start"].dtype == float


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"audio_start": -1}, "['audio_start']: got -1; allowed is a non-negative number of sec"),
        ({"audio_stop": "1"}, "['audio_stop']: got '1'; allowed is a non-negative number"),
        ({"audio_start": True}, "['audio_start']: got True"),
        ({"audio_start": 2, "audio_stop": 2}, "got 2; allowed is more than audio_start, 2"),
        ({"audio_start": 2, "audio_stop_samples": 9}, "either in seconds or in samples"),
    ],
)
def test_malformed_sections_in_seconds(write, section, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_database(write({"datasets": {"eval": {"clip_7": clip(**section)}}}))


def test_section_in_seconds_of_a_missing_file(write, tmp_path):
    db = load_database(write({"datasets": {"eval": {"e0": clip(audio_start=1)}}}))
    with pytest.raises(FileNotFoundError, match=r"clip 'e0' of 'eval': Audio file .*a\.wav"):
        db.to_xy("eval")
    assert list(db.to_xy("eval", on_error="skip")[0]) == [str(tmp_path / "a.wav")]


# writing, and Parquet


@pytest.fixture
def rich(content):
    """A database with all kinds of values, and keys that are named like columns."""
    odd = {"dataset": "x", "example_id": 3, "example_id_": "y", "none": None, "deep": [{"a": [1]}]}
    content["datasets"]["eval"] |= {
        "e1": clip(**odd, big=2**63 - 1, share=0.1, flag=True, mixed=1),
        "e2": clip(mixed="1", share=1e300, flag=False, audio_length=3),
        "e3": clip(audio_start_samples=5, audio_stop_samples=2**40),
        "e4": clip(audio_start=0.25, audio_stop=1),
        "ü ❄": {"audio_path": "a.wav", "events": []},
    }
    content["datasets"]["empty"] = {}
    return content


@pytest.mark.parametrize("name", ["b.json", "b.parquet", "b.PQ"])
def test_written_database_is_the_same(write, rich, tmp_path, name):
    db = load_database(write(rich))
    assert db.save(tmp_path / name) == tmp_path / name
    copy = load_database(tmp_path / name)
    assert copy.datasets == db.datasets
    for dataset in db.datasets:
        assert list(copy.examples(dataset)) == list(db.examples(dataset))
        assert copy.examples(dataset) == db.examples(dataset)


@pytest.mark.parametrize("name", ["b.json", "b.parquet"])
def test_paths_in_the_folder_are_written_relative(write, content, tmp_path, name):
    db = load_database(write(content))
    (tmp_path / "sub").mkdir()
    db.save(tmp_path / name)
    db.save(tmp_path / "sub" / name)
    moved = tmp_path.with_name(tmp_path.name + "_moved")
    tmp_path.rename(moved)
    paths = load_database(moved / name).table("balanced_train")["audio_path"]
    assert list(paths) == [str(moved / "a.wav"), str(moved / "sub/b.wav"), "/abs/c.wav"]
    paths = load_database(moved / "sub" / name).table("balanced_train")["audio_path"]
    assert list(paths) == [str(tmp_path / "a.wav"), str(moved / "sub/b.wav"), "/abs/c.wav"]
    moved.rename(tmp_path)


def test_parquet_has_columns_that_others_read(db, tmp_path):
    table = pd.read_parquet(db.save(tmp_path / "b.parquet"))
    assert table["dataset"].tolist() == ["balanced_train"] * 3 + ["eval"]
    assert table["events"].map(list).tolist()[0] == ["Siren", "Rain"]
    assert table["fold"].tolist()[:3] == [1, 2, 3]


def test_parquet_of_another_program(tmp_path):
    rows = [("eval", "x", "a.wav", ["Rain"], 2.0), ("train", "x", "b.wav", [], None)]
    columns = ["dataset", "example_id", "audio_path", "events", "audio_length"]
    pd.DataFrame(rows, columns=columns).to_parquet(tmp_path / "b.parquet")
    db = load_database(tmp_path / "b.parquet")
    assert db.datasets == ("eval", "train")
    assert db.events("eval") == ["Rain"]
    assert db.table("train")["audio_length"].isna().all()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"file": ["a.wav"]}, "got the columns file; allowed is a table with the columns dataset"),
        (
            {"dataset": "a", "example_id": ["x", "x"], "audio_path": "a", "events": [[], []]},
            "got the clip 'x' of 'a' again in row 1",
        ),
        ({"dataset": [None], "example_id": "x", "audio_path": "a", "events": [[]]}, "dataset None"),
        ({"dataset": ["a"], "example_id": "x", "audio_path": 3, "events": [[]]}, "['audio_path']"),
    ],
)
def test_malformed_parquet(tmp_path, rows, message):
    pd.DataFrame(rows).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=re.escape(message)):
        load_database(tmp_path / "b.parquet")


def test_damaged_parquet(db, tmp_path):
    path = db.save(tmp_path / "b.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"b\.parquet: got no Parquet file"):
        load_database(path)


def test_parquet_with_damaged_bytes_is_read_or_named(db, tmp_path):
    path = db.save(tmp_path / "b.parquet")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    messages = []
    for place, value in zip(rng.integers(len(whole), size=600), rng.bytes(600), strict=True):
        path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        try:
            load_database(path)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(str(path) in message for message in messages)


def test_parquet_without_pyarrow(db, tmp_path, monkeypatch):
    path = db.save(tmp_path / "b.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install sktagger\[parquet\]"):
        load_database(path)
    with pytest.raises(ImportError, match=r"pip install sktagger\[parquet\]"):
        db.save(path)


def test_name_of_a_written_database(db, tmp_path):
    with pytest.raises(ValueError, match=r"path: got 'b.csv'; allowed is .*\.json or \.parquet"):
        db.save("b.csv")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        db.save(tmp_path / "none" / "b.json")
