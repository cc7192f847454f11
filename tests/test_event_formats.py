"""Tables of events in files, byte by byte, and back."""

import pandas as pd
import pytest

from sktagger.recordings import read_events, write_events
from sktagger.recordings.formats import FORMATS

ROWS = [
    ("/data/site 1/a.wav", 0.5, 2.0, "bird", 0.87654),
    ("/data/site 1/a.wav", 3.25, 4.0, 'Möwe, "laut"', 0.5),
    ("/data/b.wav", 0.0, 10.0, "=cmd|' /C calc'!A0", 1.0),
]
NASTY = ["=1+1", "'quoted", "-x", "@a", "a\tb", "a\nb", "a, b", '"c"', "", "ключ", "''"]


@pytest.fixture
def events():
    return pd.DataFrame(ROWS, columns=["file", "onset", "offset", "event", "score"])


def one_file(events):
    return events[:2].drop(columns="file")


def written(tmp_path, events, format, **options):
    path = tmp_path / "events"
    write_events(events, path, format, **options)
    return path.read_bytes().decode("utf-8")


def test_csv(tmp_path, events):
    assert written(tmp_path, events, "csv") == (
        "file,onset,offset,event,score\n"
        "/data/site 1/a.wav,0.500000,2.000000,bird,0.8765\n"
        '/data/site 1/a.wav,3.250000,4.000000,"Möwe, ""laut""",0.5000\n'
        "/data/b.wav,0.000000,10.000000,'=cmd|' /C calc'!A0,1.0000\n"
    )


def test_json(tmp_path, events):
    assert written(tmp_path, events[:2].assign(score=[0.87654, float("nan")]), "json") == (
        "[\n"
        ' {"file": "/data/site 1/a.wav", "onset": 0.5, "offset": 2.0, "event": "bird", '
        '"score": 0.8765},\n'
        ' {"file": "/data/site 1/a.wav", "onset": 3.25, "offset": 4.0, '
        '"event": "Möwe, \\"laut\\"", "score": null}\n'
        "]\n"
    )
    assert written(tmp_path, events[:0], "json") == "[\n]\n"


def test_audacity(tmp_path, events):
    assert written(tmp_path, one_file(events), "audacity") == (
        '0.500000\t2.000000\tbird\n3.250000\t4.000000\tMöwe, "laut"\n'
    )


def test_raven_of_one_recording(tmp_path, events):
    text = written(tmp_path, one_file(events), "raven", frequencies=(100, 4000))
    assert text == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Annotation\tScore\n"
        "1\tSpectrogram 1\t1\t0.500000\t2.000000\t100.0\t4000.0\tbird\t0.8765\n"
        '2\tSpectrogram 1\t1\t3.250000\t4.000000\t100.0\t4000.0\tMöwe, "laut"\t0.5000\n'
    )


def test_raven_of_several_recordings_counts_from_the_first_one(tmp_path, events):
    lengths = {"/data/site 1/a.wav": 60.0, "/data/b.wav": 10.0}
    header, first, _, last = written(tmp_path, events, "raven", lengths=lengths).splitlines()
    assert header.split("\t")[7:] == ["Begin Path", "File Offset (s)", "Annotation", "Score"]
    assert first.split("\t")[3:5] == ["0.500000", "2.000000"]
    assert first.split("\t")[7:9] == ["/data/site 1/a.wav", "0.500000"]
    assert last.split("\t")[3:5] == ["60.000000", "70.000000"]
    assert last.split("\t")[7:9] == ["/data/b.wav", "0.000000"]
    read = read_events(tmp_path / "events", "raven")
    assert read[["onset", "offset"]].values.tolist() == events[["onset", "offset"]].values.tolist()


def test_kaleidoscope(tmp_path, events):
    assert written(tmp_path, events, "kaleidoscope") == (
        "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,AUTO ID,SCORE,MANUAL ID\n"
        "/data,site 1,a.wav,0,0.500000,1.500000,bird,0.8765,\n"
        '/data,site 1,a.wav,0,3.250000,0.750000,"Möwe, ""laut""",0.5000,\n'
        "/,data,b.wav,0,0.000000,10.000000,'=cmd|' /C calc'!A0,1.0000,\n"
    )


def test_sed_scores_of_one_recording(tmp_path, events):
    text = written(tmp_path, one_file(events), "sed_scores", lengths=5.0, names=["rain", *NAMES])
    assert text == (
        'onset\toffset\train\tbird\tMöwe, "laut"\n'
        "0.000000\t0.500000\t0.000000\t0.000000\t0.000000\n"
        "0.500000\t2.000000\t0.000000\t0.876540\t0.000000\n"
        "2.000000\t3.250000\t0.000000\t0.000000\t0.000000\n"
        "3.250000\t4.000000\t0.000000\t0.000000\t0.500000\n"
        "4.000000\t5.000000\t0.000000\t0.000000\t0.000000\n"
    )


def test_sed_scores_have_no_rows_of_length_0(tmp_path):
    """Times that are equal as they are written are one time."""
    onset, offset = [0.0, 0.3, 0.9], [0.1 + 0.2, 0.9000000001, 1.0000004]
    events = pd.DataFrame({"onset": onset, "offset": offset, "event": "bird", "score": 0.5})
    text = written(tmp_path, events, "sed_scores", lengths=1.0000001)
    assert text == (
        "onset\toffset\tbird\n"
        "0.000000\t0.300000\t0.500000\n"
        "0.300000\t0.900000\t0.500000\n"
        "0.900000\t1.000000\t0.500000\n"
    )


NAMES = ["bird", 'Möwe, "laut"']


def test_sed_scores_are_read_by_sed_scores_eval(tmp_path, events):
    io = pytest.importorskip("sed_scores_eval").io
    lengths = {"/data/site 1/a.wav": 60.0, "/data/b.wav": 10.0, "/data/empty.wav": 3.0}
    write_events(events, tmp_path / "scores", "sed_scores", lengths=lengths)
    scores = io.read_sed_scores(tmp_path / "scores")
    assert sorted(scores) == ["a", "b", "empty"]
    assert scores["a"]["offset"].iloc[-1] == 60.0
    assert scores["a"]["bird"].max() == pytest.approx(0.87654)
    assert len(scores["empty"]) == 1


@pytest.mark.parametrize("format", ["csv", "json", "parquet", "raven", "kaleidoscope"])
def test_table_is_read_again(tmp_path, events, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    write_events(events, tmp_path / "events", format)
    read = read_events(tmp_path / "events", format)
    pd.testing.assert_frame_equal(read, events, atol=1e-4, check_exact=False, check_dtype=False)
    write_events(events[:0], tmp_path / "events", format)
    assert len(read_events(tmp_path / "events", format)) == 0


@pytest.mark.parametrize("format", ["csv", "json"])
def test_any_name_is_read_again(tmp_path, format):
    events = pd.DataFrame({"onset": 0.0, "offset": 1.0, "event": NASTY, "score": 0.5})
    write_events(events, tmp_path / "events", format)
    assert read_events(tmp_path / "events", format)["event"].tolist() == NASTY


@pytest.mark.parametrize("format", ["audacity", "raven", "kaleidoscope"])
def test_name_does_not_begin_a_field_or_line(tmp_path, format):
    names = ["a\tb\nc\r\x85d", "=1"]
    events = pd.DataFrame({"file": "x.wav", "onset": 0.0, "offset": 1.0, "event": names})
    write_events(events, tmp_path / "events", format)
    assert read_events(tmp_path / "events", format)["event"].tolist() == ["a b c d", "=1"]


def test_labels_of_audacity_may_have_frequencies(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("1.5\t2\tbird\tloud\r\n\\\t500.0\t4000.0\r\n\r\n3\t3\t\r\n", newline="")
    read = read_events(path, "audacity")
    assert read[["onset", "offset", "event"]].values.tolist() == [
        [1.5, 2, "bird\tloud"],
        [3, 3, ""],
    ]


def test_table_of_raven_may_have_several_views_and_other_columns(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text(
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tSpecies\tBegin File\n"
        "1\tWaveform 1\t1\t1.0\t2.0\trobin\ta.wav\n"
        "1\tWaveform 1\t1\t1.0\t2.0\trobin\ta.wav\n"
        "2\tSpectrogram 1\t1\t3.0\t4.0\twren\tb.wav\n"
    )
    read = read_events(path, "raven")
    assert read["event"].tolist() == ["robin", "wren"]
    assert read["file"].tolist() == ["a.wav", "b.wav"]


def test_tables_of_birdnet_are_read(tmp_path):
    path = tmp_path / "table"
    path.write_text(
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence\n"
        "/data,site,a.wav,3.0,3.0,Parus major,Great Tit,0.8\n"
    )
    (row,) = read_events(path, "kaleidoscope").values.tolist()
    assert row == ["/data/site/a.wav", 3.0, 6.0, "Great Tit", 0.8]
    path.write_text(
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Common Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
        "1\tSpectrogram 1\t1\t63.0\t66.0\t0\t15000\tGreat Tit\tgretit1\t0.8\t/data/a.wav\t3.0\n"
    )
    (row,) = read_events(path, "raven").values.tolist()
    assert row == ["/data/a.wav", 3.0, 6.0, "Great Tit", 0.8]


def test_name_that_a_person_gave_goes_first_in_kaleidoscope(tmp_path):
    path = tmp_path / "id.csv"
    path.write_text(
        "\ufeffINDIR,FOLDER,IN FILE,OFFSET,DURATION,AUTO ID*,MANUAL ID*\n"
        "/data,,a.wav,0,1,EPTFUS,\n/data,,a.wav,1,1,EPTFUS,Noise\n",
        encoding="utf-8",
    )
    assert read_events(path, "kaleidoscope")["event"].tolist() == ["EPTFUS", "Noise"]


def test_file_is_kept_if_the_new_table_is_refused(tmp_path, events):
    path = tmp_path / "labels.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="2 files"):
        write_events(events, path, "audacity")
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("format", "change", "options", "message"),
    [
        ("xls", {}, {}, "format='xls' is unknown"),
        ("csv", {"columns": "event"}, {}, "no column 'event'"),
        ("kaleidoscope", {"columns": "file"}, {}, "no column 'file'"),
        ("raven", {}, {"lengths": {"/data/b.wav": 1.0}}, "no length of '/data/site 1/a.wav'"),
        ("raven", {}, {"lengths": 3.0}, "not a mapping"),
        ("sed_scores", {}, {}, "needs the length"),
        ("sed_scores", {}, {"lengths": {"/data/b.wav": 1.0}}, "no length of"),
        (
            "sed_scores",
            {},
            {"lengths": {"a/x.wav": 1.0, "b/x.wav": 1.0}},
            "several files named 'x'",
        ),
        ("sed_scores", {}, {"names": ["bird"], "lengths": 1.0}, "names lacks"),
        ("sed_scores", {"columns": "score"}, {"lengths": 1.0}, "no score of some"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, events, format, change, options, message):
    with pytest.raises(ValueError, match=message):
        write_events(events.drop(**change) if change else events, tmp_path / "x", format, **options)


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        ("csv", "onset,offset\n", "not 'event'"),
        ("csv", "onset,offset,event\n1,x,a\n", "Line 2 .* must be numbers"),
        ("csv", "onset,offset,event\n2,1,a\n", "onset 2 and the offset 1"),
        ("json", "{", "is not JSON"),
        ("json", "[1]", "list of objects"),
        ("audacity", "1\t2\n", "Line 1"),
        ("raven", "a\tb\n", "not 'Begin Time"),
        ("kaleidoscope", "INDIR\n", "not 'IN FILE'"),
        ("kaleidoscope", "IN FILE,OFFSET,DURATION\na,0,x\n", "Line 2"),
        ("sed_scores", "", "not events"),
        ("xml", "", "format='xml' is unknown"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, format, text, message):
    path = tmp_path / "events"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_events(path, format)


def test_all_formats_are_written(tmp_path, events):
    pytest.importorskip("pyarrow")
    for format in FORMATS:
        write_events(
            one_file(events).assign(file="a.wav"), tmp_path / format, format, lengths={"a.wav": 9}
        )
        assert (tmp_path / format).exists()
