"""Importers of Raven's selection tables and Audacity's label files."""

import numpy as np
import pytest
import soundfile

from sktagger.datasets import read_audacity, read_raven

RATE = 1000


def record(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * RATE)), RATE)
    return path


def write(path, *lines, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode(encoding))
    return path


def raven(path, columns, *rows):
    header = ["Selection", "View", "Begin Time (s)", "End Time (s)", *columns]
    numbered = ([str(n), "Spectrogram 1", *row] for n, row in enumerate(rows, start=1))
    return write(path, *("\t".join(map(str, cells)) for cells in (header, *numbered)))


def clips(db):
    """The events of each clip, by the id of the clip."""
    return db.table("balanced_train")["events"].to_dict()


def notes(db):
    return "\n".join(db.report.notes)


# Audacity


def test_tables_in_hidden_folders_and_links_upward_are_left_out(tmp_path):
    record(tmp_path / "b" / "night.wav", 2)
    record(tmp_path / "a.wav", 2)
    for name in ("b/night.TXT", "a.txt", ".trash/a.txt", "._a.txt"):
        write(tmp_path / name, "0.5\t1.5\towl")
    (tmp_path / "b" / "all").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "linked").symlink_to(tmp_path / "b", target_is_directory=True)
    db = read_audacity(tmp_path / "linked", window=None, verbose=0)
    assert clips(db) == {"night": ["owl"]}
    (tmp_path / "linked").unlink()
    db = read_audacity(tmp_path, window=None, verbose=0)
    assert clips(db) == {"a": ["owl"], "night": ["owl"]}
    assert "2 tables" in db.report.notes


def test_labels_are_cut_to_sections_with_the_times_of_their_events(tmp_path):
    record(tmp_path / "night.wav", 7)
    write(tmp_path / "night.txt", "0.5\t1.5\towl", "\\\t500.0\t900.0", "4.6\t5.9\tfox")
    db = read_audacity(tmp_path, window=2, verbose=0)
    # the clip from 4 s to 6 s has all of the fox, and the last one, from 5 s, has 0.9 s of it
    assert clips(db) == {
        "night_0.000": ["owl"],
        "night_2.000": [],
        "night_4.000": ["fox"],
        "night_5.000": ["fox"],
    }
    table = db.table("balanced_train")
    assert table["audio_start_samples"].tolist() == [0, 2000, 4000, 5000]
    assert table["audio_stop_samples"].tolist() == [2000, 4000, 6000, 7000]
    assert set(table["group"]) == {"night"}


def test_clip_with_a_short_piece_of_an_event_is_no_background(tmp_path):
    record(tmp_path / "night.wav", 6)
    write(tmp_path / "night.txt", "1.0\t2.2\towl")
    db = read_audacity(tmp_path, window=2, verbose=0)
    assert clips(db) == {"night_0.000": ["owl"], "night_4.000": []}
    assert "1 sections are left out" in notes(db)
    db = read_audacity(tmp_path, window=2, min_overlap=0.2, min_share=None, verbose=0)
    assert clips(db) == {"night_0.000": ["owl"], "night_2.000": ["owl"], "night_4.000": []}
    db = read_audacity(tmp_path, window=2, min_overlap=None, min_share=0.9, verbose=0)
    assert clips(db) == {"night_4.000": []}


def test_sections_may_overlap_and_background_may_be_left_out(tmp_path):
    record(tmp_path / "night.wav", 4)
    write(tmp_path / "night.txt", "2.0\t3.0\towl")
    db = read_audacity(tmp_path, window=2, overlap=1, keep_empty=False, verbose=0)
    assert clips(db) == {"night_1.000": ["owl"], "night_2.000": ["owl"]}


def test_point_label_is_in_the_clip_around_it(tmp_path):
    record(tmp_path / "night.wav", 4)
    write(tmp_path / "night.txt", "2.0\t2.0\tclick")
    assert clips(read_audacity(tmp_path, window=2, verbose=0)) == {
        "night_0.000": [],
        "night_2.000": ["click"],
    }


def test_without_window_each_recording_is_a_clip(tmp_path):
    record(tmp_path / "a.wav", 1)
    record(tmp_path / "b.wav", 1)
    write(tmp_path / "a.txt", "0.1\t0.2\twren", "0.5\t0.6\towl")
    write(tmp_path / "b.txt")  # no label: a recording without events
    assert clips(read_audacity(tmp_path, window=None, verbose=0)) == {"a": ["owl", "wren"], "b": []}


def test_recordings_may_lie_in_another_folder_and_format(tmp_path):
    record(tmp_path / "audio" / "2026" / "night.flac", 1)
    labels = write(tmp_path / "labels" / "night.txt", "0\t1\towl")
    for source in (labels, labels.parent):
        db = read_audacity(source, tmp_path / "audio", verbose=0)
        assert clips(db) == {"night_0.000": ["owl"]}


def test_recording_without_labels_is_no_background_but_counted(tmp_path):
    for name in ("a", "b"):
        record(tmp_path / f"{name}.wav", 1)
    write(tmp_path / "a.txt", "0\t1\towl")
    db = read_audacity(tmp_path, verbose=0)
    assert list(clips(db)) == ["a_0.000"]
    assert "1 recordings have no table and are left out: 'b.wav'" in notes(db)


def test_same_name_in_several_folders_is_told_apart_by_the_folder(tmp_path):
    for site in ("north", "south"):
        record(tmp_path / "audio" / site / "0500.wav", 1)
        write(tmp_path / "labels" / site / "0500.txt", f"0\t1\t{site} bird")
    db = read_audacity(tmp_path / "labels", tmp_path / "audio", window=None, verbose=0)
    table = db.table("balanced_train")
    assert [
        (p.split("/")[-2], e) for p, e in zip(table["audio_path"], table["events"], strict=True)
    ] == [
        ("north", ["north bird"]),
        ("south", ["south bird"]),
    ]
    write(tmp_path / "labels" / "0500.txt", "0\t1\tbird")
    with pytest.raises(ValueError, match=r"'0500': .* has 2 files of this name, such as .*north"):
        read_audacity(
            tmp_path / "labels" / "0500.txt", tmp_path / "audio", on_error="raise", verbose=0
        )


def test_labels_may_have_another_encoding_and_decimal_commas(tmp_path):
    record(tmp_path / "night.wav", 1)
    write(tmp_path / "night.txt", "0,25\t0,75\tMöwe", encoding="cp1252")
    db = read_audacity(tmp_path, verbose=0)
    assert clips(db) == {"night_0.000": ["Möwe"]}
    assert "night.txt is not UTF-8 and is read as cp1252" in notes(db)


def test_files_that_are_missing_or_malformed_are_left_out_and_listed(tmp_path):
    for name in ("good", "bad"):
        record(tmp_path / f"{name}.wav", 1)
    write(tmp_path / "good.txt", "0\t1\towl")
    write(tmp_path / "bad.txt", "0\t1\towl", "readme")
    write(tmp_path / "gone.txt", "0\t1\towl")
    with pytest.warns(UserWarning, match="2 files are missing or cannot be read"):
        db = read_audacity(tmp_path, verbose=0)
    assert list(clips(db)) == ["good_0.000"]
    faulty = db.report.faulty.set_index("example_id")
    assert faulty["kind"].to_dict() == {"bad": "unreadable", "gone": "missing"}
    assert "Line 2" in faulty["cause"]["bad"]
    with pytest.raises(ValueError, match=r"Line 2 of .*bad\.txt.* onset, an offset and a name"):
        read_audacity(tmp_path, on_error="raise", verbose=0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2\t1\towl", "onset 2 and the offset 1"),
        ("x\t1\towl", "must be numbers"),
        ("0\tinf\towl", "must be finite"),
        ("0\t1\t ", "has no event"),
        ("0 1 owl", "separated by tabs"),
    ],
)
def test_malformed_label_is_named(tmp_path, line, message):
    record(tmp_path / "night.wav", 1)
    write(tmp_path / "night.txt", "0\t0.5\tfox", line)
    with pytest.raises(ValueError, match=rf"Line 2 of .*night\.txt.*{message}"):
        read_audacity(tmp_path, on_error="raise", verbose=0)


def test_wrong_source_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="source: there is no"):
        read_audacity(tmp_path / "labels", verbose=0)
    with pytest.raises(ValueError, match=r"no file with the suffix \.txt"):
        read_audacity(tmp_path, verbose=0)
    write(tmp_path / "night.txt", "0\t1\towl")
    with pytest.raises(FileNotFoundError, match="audio: there is no folder"):
        read_audacity(tmp_path, tmp_path / "audio", verbose=0)
    record(tmp_path / "nigth.wav", 1)
    with pytest.raises(FileNotFoundError, match=r"'night' is not in .*nearest: 'nigth'"):
        read_audacity(tmp_path, on_error="raise", verbose=0)
    with pytest.raises(ValueError, match="window: got 0; allowed is seconds above 0"):
        read_audacity(tmp_path, window=0, verbose=0)


# Raven


@pytest.mark.parametrize(
    "name",
    [
        "night.txt",
        "night.Table.1.selections.txt",
        "night.selections.txt",
        "night.BirdNET.selection.table.txt",
        "night.wav.Table.12.selections.txt",
    ],
)
def test_table_belongs_to_the_recording_of_its_name(tmp_path, name):
    record(tmp_path / "night.wav", 4)
    raven(tmp_path / name, ["Annotation"], [2.5, 3.5, "owl"])
    assert clips(read_raven(tmp_path, window=2, verbose=0)) == {
        "night_0.000": [],
        "night_2.000": ["owl"],
    }


def test_tables_of_one_recording_are_joined(tmp_path):
    record(tmp_path / "night.wav", 2)
    for number, event in enumerate(("owl", "fox")):
        raven(tmp_path / f"night.Table.{number}.selections.txt", ["Species"], [0, 1, event])
    assert clips(read_raven(tmp_path, verbose=0)) == {"night_0.000": ["fox", "owl"]}


def test_rows_name_their_recordings_and_times_in_them(tmp_path):
    record(tmp_path / "audio" / "north" / "a.wav", 3)
    record(tmp_path / "audio" / "south" / "a.wav", 3)
    table = raven(
        tmp_path / "all.txt",
        ["Begin Path", "File Offset (s)", "Species"],
        [0.5, 1.0, r"D:\field\north\a.wav", 0.5, "owl"],
        [5.0, 6.0, r"D:\field\south\a.wav", 2.0, "fox"],
    )
    db = read_raven(table, tmp_path / "audio", window=1, verbose=0)
    assert {name: events for name, events in clips(db).items() if events} == {
        "north/a_0.000": ["owl"],
        "south/a_2.000": ["fox"],
    }
    assert len(clips(db)) == 6


def test_begin_file_counts_without_begin_path_and_needs_file_offsets(tmp_path):
    for name in ("a", "b"):
        record(tmp_path / f"{name}.flac", 1)
    rows = [[0, 0.5, "a.wav", "owl"], [0, 0.5, "b.wav", "fox"]]
    raven(tmp_path / "all.txt", ["Begin File", "Species"], *rows)
    db = read_raven(tmp_path, verbose=0)
    assert clips(db) == {"a_0.000": ["owl"], "b_0.000": ["fox"]}
    assert "1 tables name several files without 'File Offset (s)'" in notes(db)


def test_existing_begin_path_is_taken_unless_a_folder_is_given(tmp_path):
    path = record(tmp_path / "there" / "a.wav", 1)
    record(tmp_path / "copy" / "a.wav", 1)
    table = raven(tmp_path / "t" / "t.txt", ["Begin Path", "Species"], [0, 1, path, "owl"])
    for audio, folder in ((None, "there"), (tmp_path / "copy", "copy")):
        db = read_raven(table, audio, verbose=0)
        paths = db.table("balanced_train")["audio_path"].tolist()
        assert paths == [str(tmp_path / folder / "a.wav")]


def test_views_of_a_selection_count_once_but_joined_tables_keep_their_rows(tmp_path):
    record(tmp_path / "a.wav", 4)
    header = "Selection\t{}Begin Time (s)\tEnd Time (s)\tSpecies"
    write(tmp_path / "a.txt", header.format(""), "1\t0\t1\towl", "1\t2\t3\tfox")
    assert clips(read_raven(tmp_path, window=2, verbose=0)) == {
        "a_0.000": ["owl"],
        "a_2.000": ["fox"],
    }
    write(
        tmp_path / "a.txt",
        header.format("View\t"),
        "1\tSpectrogram 1\t0\t1\towl",
        "1\tWaveform 1\t2\t3\towl",
    )
    assert clips(read_raven(tmp_path, window=2, verbose=0)) == {"a_0.000": ["owl"], "a_2.000": []}


@pytest.mark.parametrize(
    ("columns", "row", "event", "column"),
    [
        (["Species", "Annotation"], ["owl", "clear"], "clear", "Annotation"),
        (["Species", "Annotation"], ["owl", ""], "owl", "Species"),
        (["Low Freq (Hz)", "label", "Score"], ["10", "owl", "0.5"], "owl", "label"),
        (
            ["File Offset (s)", "Peak Freq (Hz)", "Vocalization"],
            ["0", "10", "hoot"],
            "hoot",
            "Vocalization",
        ),
    ],
)
def test_column_of_events_is_found(tmp_path, columns, row, event, column):
    record(tmp_path / "night.wav", 1)
    raven(tmp_path / "night.txt", columns, [0, 1, *row])
    db = read_raven(tmp_path, verbose=0)
    assert clips(db) == {"night_0.000": [event]}
    assert f"events from the column {column!r}" in notes(db)


def test_column_of_events_may_be_given(tmp_path):
    record(tmp_path / "night.wav", 1)
    raven(tmp_path / "night.txt", ["Species", "Sex"], [0, 1, "owl", "female"])
    assert clips(read_raven(tmp_path, events="Sex", verbose=0)) == {"night_0.000": ["female"]}
    with pytest.raises(
        ValueError, match=r"events: night\.txt has no column 'Sexx'; nearest: 'Sex'"
    ):
        read_raven(tmp_path, events="Sexx", on_error="raise", verbose=0)


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        (["Sex", "Age"], ["f", "2"], "not clear which column .*'Sex', 'Age' of .*Give the column"),
        ([], [], "not clear which column .*: none of 'Selection'"),
    ],
)
def test_unclear_column_of_events_is_named(tmp_path, columns, row, message):
    record(tmp_path / "night.wav", 1)
    raven(tmp_path / "night.txt", columns, [0, 1, *row])
    with pytest.raises(ValueError, match=message):
        read_raven(tmp_path, on_error="raise", verbose=0)


def test_other_table_is_named_with_the_columns_that_it_lacks(tmp_path):
    record(tmp_path / "night.wav", 1)
    write(tmp_path / "night.txt", "Begin Time (s)\tSpecies", "1\towl")
    with pytest.raises(ValueError, match=r"night\.txt.* not 'End Time \(s\)'.*separated by tabs"):
        read_raven(tmp_path, on_error="raise", verbose=0)


def test_table_without_rows_is_a_recording_without_events(tmp_path):
    record(tmp_path / "night.wav", 1)
    raven(tmp_path / "night.Table.1.selections.txt", ["Annotation"])
    assert clips(read_raven(tmp_path, verbose=0)) == {"night_0.000": []}


def test_missing_recording_is_listed(tmp_path):
    record(tmp_path / "a.wav", 1)
    raven(tmp_path / "a.txt", ["Species"], [0, 1, "owl"])
    raven(tmp_path / "b.txt", ["Species", "Begin File"], [0, 1, "owl", "gone.wav"])
    with pytest.warns(UserWarning, match="1 files are missing"):
        db = read_raven(tmp_path, verbose=0)
    assert list(clips(db)) == ["a_0.000"]
    assert "'gone.wav' is not in the folder" in db.report.faulty["cause"][0]


def test_tables_that_the_package_writes_are_imported(tmp_path):
    from sktagger.recordings import read_events, write_events

    record(tmp_path / "a.wav", 4)
    raven(tmp_path / "a.txt", ["Species"], [0, 1, "owl"], [2.5, 3, "fox"])
    events = read_events(tmp_path / "a.txt", "raven")
    events.insert(0, "file", str(tmp_path / "a.wav"))
    write_events(events, tmp_path / "all.txt", "raven")
    db = read_raven(tmp_path / "all.txt", window=2, verbose=0)
    assert clips(db) == {"a_0.000": ["owl"], "a_2.000": ["fox"]}


def test_hidden_files_are_no_tables_and_no_recordings(tmp_path):
    record(tmp_path / "a.wav", 1)
    write(tmp_path / "a.txt", "0\t1\towl")
    for name in ("._a.wav", "._a.txt"):  # as macOS writes them on other file systems
        write(tmp_path / name, "Mac OS X")
    db = read_audacity(tmp_path, verbose=0)
    assert clips(db) == {"a_0.000": ["owl"]}
    assert db.report.faulty.empty
    assert notes(db) == "1 table"


def test_cells_at_the_end_of_a_row_may_be_missing(tmp_path):
    record(tmp_path / "a.wav", 2)
    header = "Begin Time (s)\tEnd Time (s)\tSpecies\tNotes\tFile Offset (s)"
    write(tmp_path / "a.txt", header, "0\t1\towl", "1\t2\tfox\tfar\t1")
    assert clips(read_raven(tmp_path, window=1, verbose=0)) == {
        "a_0.000": ["owl"],
        "a_1.000": ["fox"],
    }
    with pytest.raises(ValueError, match=r"Line 2 of .*a\.txt.* has no event"):
        read_raven(tmp_path, events="Notes", on_error="raise", verbose=0)
