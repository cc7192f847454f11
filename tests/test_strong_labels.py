"""Tables of events with their times."""

import numpy as np
import pandas as pd
import pytest

from sktagger.datasets import read_strong_labels
from sktagger.datasets._strong_labels import write_strong_labels


def test_scenes_have_the_times_of_their_events(scenes):
    folder = scenes.path.parent
    labels = read_strong_labels(folder / "strong_labels.tsv")
    expected = {
        (f"{name}/{example}.wav", event): times
        for name in scenes.datasets
        for example, clip in scenes.table(name)["event_times"].items()
        for event, times in clip.items()
    }
    found = {(row.file, row.event): [row.onset, row.offset] for row in labels.itertuples()}
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(
        [found[key] for key in expected], list(expected.values()), atol=1e-6, rtol=0
    )


def test_table_is_written_and_read(tmp_path):
    labels = [("a b.wav", 0.0, 1.25, "Größe"), ("c.wav", 1 / 3, 2.0, 'tab\t"quote"')]
    write_strong_labels(tmp_path / "labels.tsv", labels)
    text = (tmp_path / "labels.tsv").read_bytes().decode()
    assert text.startswith(
        "filename\tonset\toffset\tevent_label\na b.wav\t0.000000\t1.250000\tGröße\n"
    )
    read = read_strong_labels(tmp_path / "labels.tsv")
    expected = pd.DataFrame(labels, columns=["file", "onset", "offset", "event"])
    pd.testing.assert_frame_equal(read, expected, atol=1e-6, check_exact=False)


@pytest.mark.parametrize(
    "header", ["clip\tonset\toffset\tevent", "event_label\tfile\tonset\toffset"]
)
def test_columns_may_have_other_names_and_orders(tmp_path, header):
    row = {"clip": "a", "file": "a", "onset": "1", "offset": "2", "event": "x", "event_label": "x"}
    path = tmp_path / "labels.tsv"
    lines = [header, "\t".join(row[name] for name in header.split("\t"))]
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    assert read_strong_labels(path).values.tolist() == [["a", 1.0, 2.0, "x"]]


def test_file_without_events_gives_no_row(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text("filename\tonset\toffset\tevent_label\na.wav\t\t\t\nb.wav\n")
    labels = read_strong_labels(path)
    assert len(labels) == 0
    assert labels["onset"].dtype == float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none"),
        ("filename,onset,offset,event_label\n", "It must have 'filename' or"),
        ("filename\tonset\toffset\tevent\na\tx\t1\te\n", "line 2 of .* the onset 'x'"),
        ("filename\tonset\toffset\tevent\na\t2\t1\te\n", "onset 2 and the offset 1"),
        ("filename\tonset\toffset\tevent\na\t-1\t1\te\n", "not negative"),
    ],
)
def test_wrong_table_is_named(tmp_path, text, message):
    (tmp_path / "labels.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_strong_labels(tmp_path / "labels.tsv")


def test_labels_of_the_shared_scenes_are_read(shared_data):
    path = shared_data / "scenes" / "strong_labels.tsv"
    if not path.is_file():
        pytest.skip("no scenes")
    assert len(read_strong_labels(path)) == 999
