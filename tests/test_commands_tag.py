"""The command tag."""

import io
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from _pretrained import make_weights

from sktagger import AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.commands import _tag_output, main
from sktagger.commands._taggers import load_tagger
from sktagger.commands.evaluate import evaluate
from sktagger.commands.tag import tag
from sktagger.commands.train import train
from sktagger.networks import EfficientAT
from sktagger.recordings import detect_events, read_events, read_results
from sktagger.recordings._recording import recording_length

RATE = 8000


@pytest.fixture(scope="module")
def tagger():
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(RATE), np.sin(np.arange(RATE))] * 4
    tagger = WALNetTagger(
        sample_rate=RATE, max_epochs=5, augmentation=None, random_state=0, verbose=0, batch_size=4
    )
    return tagger.fit(X, [["noise"], ["tone"]] * 4)


@pytest.fixture(scope="module")
def model(tagger, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tagger.safetensors"
    tagger.save(path)
    return str(path)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three files in the working directory: noise, a tone, and no audio."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    soundfile.write("noise.wav", 0.3 * rng.uniform(-1, 1, 4 * RATE), RATE, subtype="FLOAT")
    soundfile.write("tone.wav", 0.3 * np.sin(np.arange(12 * RATE)), RATE, subtype="FLOAT")
    Path("text.wav").write_text("no audio")
    return ["noise.wav", "tone.wav"]


def run(*args):
    return main(["tag", *map(str, args)])


def test_clips_have_the_highest_scores_of_windows(tagger, files):
    noise, tone = tag(tagger, files, window=2)
    assert (noise.file, noise.duration) == ("noise.wav", 4)
    assert (tone.file, tone.duration) == ("tone.wav", 12)
    for result in (noise, tone):
        highest = np.max([scores for *_, scores in tagger.iter_scores(result.file, 2)], axis=0)
        assert list(result.rows.columns) == ["file", "onset", "offset", "event", "score"]
        assert dict(zip(result.rows["event"], result.rows["score"], strict=True)) == dict(
            zip(tagger.classes_, highest, strict=True)
        )
        assert result.rows["score"].is_monotonic_decreasing
        assert set(result.rows["onset"]) == {0}
        assert set(result.rows["offset"]) == {result.duration}
    assert noise.rows["event"][0] == "noise"
    assert tone.rows["event"][0] == "tone"


def test_segments_are_windows(tagger, files):
    (result,) = tag(tagger, ["tone.wav"], kind="segments", window=5, top=1)
    assert result.rows[["onset", "offset"]].to_numpy().tolist() == [[0, 5], [5, 10], [7, 12]]
    assert set(result.rows["event"]) == {"tone"}


def test_events_are_those_of_detect_events(tagger, files):
    (result,) = tag(tagger, ["noise.wav"], kind="detect", threshold=0.4)
    expected = detect_events(tagger, "noise.wav", threshold=0.4)
    pd.testing.assert_frame_equal(result.rows.drop(columns="file"), expected, check_dtype=False)


@pytest.mark.parametrize(("threshold", "n_rows"), [(0.0, 2), (1.1, 0)])
def test_threshold_of_scores(tagger, files, threshold, n_rows):
    (result,) = tag(tagger, ["noise.wav"], threshold=threshold)
    assert len(result.rows) == n_rows


def test_thresholds_of_the_model_are_used(tagger, files, tmp_path):
    tuned = TunedThresholdTagger(tagger, cv="prefit").fit(
        ["noise.wav", "tone.wav"] * 3, [["noise"], ["tone"]] * 3
    )
    tuned.save("tuned.safetensors")
    loaded = load_tagger("tuned.safetensors")
    assert isinstance(loaded, TunedThresholdTagger)
    (result,) = tag(loaded, ["noise.wav"])
    (every,) = tag(tagger, ["noise.wav"])
    (score,) = every.rows.loc[every.rows["event"] == "noise", "score"]
    above = tuned.thresholds_[list(tuned.classes_).index("noise")] < score
    assert ("noise" in set(result.rows["event"])) == above


def test_table(model, files, capsys):
    assert run(model, *files, "--format", "table") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "noise.wav  (0:04.00)"
    assert lines[1].split()[0] == "noise"
    assert lines[3] == "tone.wav  (0:12.00)"
    score = float(lines[1].split()[-1])
    assert lines[1].count("█") == round(20 * score)
    assert 0.5 < score < 1


def test_nothing_above_the_threshold(model, files, capsys):
    assert run(model, "noise.wav", "--threshold", 1.5, "--format", "table") == 0
    assert "nothing above the threshold" in capsys.readouterr().out
    assert run(model, "noise.wav", "--threshold", 1.5) == 0
    assert capsys.readouterr().out == ""


def test_pipe_gets_a_line_for_each_row(model, files, capsys):
    assert run(model, *files, "--segments", "--window", 2, "--top", 1) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:4] for row in rows] == [
        ["noise.wav", f"{onset}.000", f"{onset + 2}.000", "noise"] for onset in (0, 2)
    ] + [["tone.wav", f"{onset}.000", f"{onset + 2}.000", "tone"] for onset in range(0, 12, 2)]
    assert all(0.5 < float(row[4]) <= 1 for row in rows)


def test_text_is_of_the_same_rows_as_the_table(files, capsys):
    torch.save(make_weights(EfficientAT(width=0.1)), "mn01_as_mAP_298.pt")
    assert run("mn01_as_mAP_298.pt", "noise.wav") == 0
    text = [line.split("\t")[3] for line in capsys.readouterr().out.splitlines()]
    assert run("mn01_as_mAP_298.pt", "noise.wav", "--format", "table") == 0
    table = [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(text) == 5
    assert [name.strip() for name in table] == text


def test_bars_of_terminals_without_blocks(model, files, capsys, monkeypatch):
    monkeypatch.setattr(_tag_output.sys, "stdout", SimpleNamespace(encoding="latin-1"))
    assert _tag_output._blocks() == ("#", ".")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudoterminal")
@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_terminal_gets_a_table(model, files, options):
    pty = pytest.importorskip("pty")
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "sktagger", "tag", model, *files, *options]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, env=env
    )
    os.close(terminal)
    printed = b""
    with suppress(OSError):  # that there is no writer any more
        while block := os.read(controller, 4096):
            printed += block
    os.close(controller)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert error == b""
    lines = printed.decode().splitlines()
    assert [lines[0], lines[3]] == ["noise.wav  (0:04.00)", "tone.wav  (0:12.00)"]
    assert "█" in lines[1]


@pytest.fixture
def slow(monkeypatch):
    """Let each window take 40 s of a clock, which is returned."""
    clock = [0.0]
    monkeypatch.setattr("sktagger._utils.progress.time.monotonic", lambda: clock[0])
    original = WALNetTagger.iter_scores

    def iter_scores(self, *args):
        for scores in original(self, *args):
            clock[0] += 40
            yield scores

    monkeypatch.setattr(WALNetTagger, "iter_scores", iter_scores)
    return clock


def test_progress_in_a_long_recording(model, files, capsys, slow):
    assert run(model, "tone.wav", "--window", 5) == 0
    assert capsys.readouterr().err.splitlines() == [
        "Tagging: 5 of 12 seconds, 00:40 so far, about 00:56 left",
        "Tagging: 10 of 12 seconds, 01:20 so far, about 00:16 left",
        "Tagging: 12 of 12 seconds, 02:00 so far, about 00:00 left",
    ]
    assert run(model, "tone.wav", "--window", 5, "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_progress_of_several_recordings(model, files, capsys, slow):
    assert run(model, *files, "--window", 5) == 0
    assert capsys.readouterr().err.splitlines() == [
        "Tagging: 1 of 2 files, 00:40 so far, about 00:40 left",
        "Tagging: 2 of 2 files, 02:40 so far, about 00:00 left",
    ]


def test_bar_of_a_long_recording_in_a_terminal(model, files, capsys, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, **settings):
            self.settings, self.n = settings, []
            bars.append(self)

        def update(self, n):
            self.n.append(n)

        def close(self):
            self.n.append("closed")

    monkeypatch.setattr("sktagger._utils.progress.TextBar", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(model, "tone.wav", "--window", 5) == 0
    (bar,) = bars
    assert (bar.settings["total"], bar.settings["unit"]) == (12, "second")
    assert bar.n == [5, 5, 2, "closed"]


def test_headers_are_read_once(tagger, files, monkeypatch):
    read = []

    def count(path):
        read.append(path)
        return recording_length(path)

    monkeypatch.setattr("sktagger.recordings._recording.recording_length", count)
    for kind in ("clips", "segments", "detect"):
        list(tag(tagger, ["tone.wav"], kind=kind, verbose=0))
        assert read == ["tone.wav"]
        read.clear()
        list(tag(tagger, files, kind=kind, verbose=0))
        assert read == files
        read.clear()


def test_unreadable_files_are_listed_at_the_end_and_the_rest_is_done(model, files, capsys):
    assert run(model, "text.wav", "tone.wav") == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("tone.wav\t0.000\t12.000\t")
    assert "Skipped text.wav: Audio file 'text.wav' cannot be read as audio" in captured.err
    assert captured.err.splitlines()[-1].startswith(
        "sktagger tag: error: 1 files could not be read"
    )


@pytest.mark.parametrize("order", ["files first", "options first", "between"])
def test_options_may_be_anywhere(model, files, capsys, order):
    options = ["--top", "1", "--window", "2"]
    args = {
        "files first": [model, *files, *options],
        "options first": [*options, model, *files],
        "between": [model, files[0], *options, files[1]],
    }[order]
    assert run(*args) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_csv_and_json(model, files, capsys):
    assert run(model, "noise.wav", "--format", "csv") == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(table.columns) == ["file", "onset", "offset", "event", "score"]
    assert run(model, "noise.wav", "--format", "json") == 0
    assert [row["event"] for row in json.loads(capsys.readouterr().out)] == table["event"].tolist()
    assert run(model, "noise.wav", "--json-lines") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["event"] for row in rows] == table["event"].tolist()


@pytest.mark.parametrize("name", ["out.csv", "out.json", "out.parquet"])
def test_suffix_of_a_file_gives_the_format(model, files, name):
    assert run(model, *files, "-o", name, "--detect", "--threshold", "0.1") == 0
    table = read_events(name, name.rpartition(".")[2])
    assert set(table["file"]) == set(files)


@pytest.mark.parametrize(("format", "suffix"), [("raven", ".txt"), ("audacity", ".txt")])
def test_folder_gets_a_file_for_each_recording(model, files, format, suffix):
    assert run(model, *files, "-o", "tables", "--format", format, "--threshold", "0.1") == 0
    assert sorted(os.listdir("tables")) == [f"noise{suffix}", f"tone{suffix}"]
    table = read_events(f"tables/tone{suffix}", format)
    assert "tone" in set(table["event"])


def test_folder_without_a_format_is_an_archive(model, tagger, files, capsys):
    assert run(model, *files, "-o", "results", "--segments", "--window", 2, "-q") == 0
    assert capsys.readouterr().out == "results\n"
    rows = read_results("results")
    assert len(rows) == 2 + 6
    assert run(model, *files, "-o", "results", "--segments", "--window", 2) == 1
    assert "Set resume=True" in capsys.readouterr().err
    assert run(model, *files, "-o", "results", "--segments", "--window", 2, "--resume") == 0
    assert len(read_results("results")) == 2 + 6


def test_standard_input(model, files, capsys, monkeypatch):
    content = Path("tone.wav").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert run(model, "-") == 0
    assert capsys.readouterr().out.startswith("-\t0.000\t12.000\t")


def test_events_can_be_chosen(model, files, capsys):
    assert run(model, "noise.wav", "--events", "tone") == 0
    assert [line.split("\t")[3] for line in capsys.readouterr().out.splitlines()] == ["tone"]
    assert run(model, "noise.wav", "--events", "Tone") == 1
    assert "the model has no event 'Tone'; nearest: 'tone'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["noise.wav"], "no model is given, because 'noise.wav' is a recording"),
        (["mn4_as", "noise.wav"], "no pretrained model has this name; nearest: "),
        (["MODEL"], "is the model, but no recording is given"),
        (["MODEL", "none.wav"], "there is no file or folder 'none.wav'"),
        (["MODEL", "noise.wav", "--threshold", "high"], "--threshold 'high': give a number"),
        (["MODEL", "noise.wav", "--format", "raven"], "--format raven needs a file or a folder"),
        (["MODEL", "noise.wav", "-o", "out.csv", "--json-lines"], "json-lines is printed only"),
        (["MODEL", "noise.wav", "-o", "out", "--format", "table"], "table is printed only"),
        (["MODEL", "noise.wav", "-o", "out.xls"], "the suffix gives no format"),
        (["MODEL", "noise.wav", "--resume"], "are for archives: give a folder by -o"),
        (["MODEL", "noise.wav", "-o", "out", "--top", "3"], "--top is not for a folder"),
        (["MODEL", "noise.wav", "-o", "out", "--part", "3"], "--part '3': give I/N"),
        (["MODEL", "noise.wav", "--top", "0"], "top=0, but it must be an integer above 0"),
        (["MODEL", "noise.wav", "--window", "-1"], "window=-1.0, but it must be a number"),
    ],
)
def test_user_errors(model, files, capsys, args, message):
    assert run(*(model if arg == "MODEL" else arg for arg in args)) == 1
    error = capsys.readouterr().err
    assert error.startswith("sktagger tag: error: ")
    assert message in error
    assert not Path("out").exists()


def test_unknown_options_are_refused(model, files, capsys):
    with pytest.raises(SystemExit) as ended:
        run(model, "noise.wav", "--frob")
    assert ended.value.code == 2
    assert "unrecognized arguments: --frob" in capsys.readouterr().err


def test_checkpoint_of_audioset(files, capsys):
    weights = make_weights(EfficientAT(width=0.1))
    torch.save(weights, "mn01_as_mAP_298.pt")
    assert run("mn01_as_mAP_298.pt", "noise.wav", "--top", "3") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_experiment(scenes, tmp_path, files, capsys):
    experiment = train(
        scenes.path,
        storage_root=tmp_path,
        settings={"sample_rate": RATE, "max_epochs": 1, "batch_size": 4, "verbose": 0},
    )
    assert isinstance(load_tagger(experiment), AudioTagger)
    assert run(experiment, "noise.wav", "--top", "2") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    evaluate(experiment)
    assert isinstance(load_tagger(experiment), TunedThresholdTagger)


def test_reader_that_ends_early_is_no_error(model, files):
    command = [sys.executable, "-m", "sktagger", "tag", model, *files * 200, "--threshold", "0"]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
