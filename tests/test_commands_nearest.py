"""The command nearest."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from sktagger import WALNetTagger
from sktagger.commands import main
from sktagger.commands.nearest import nearest
from sktagger.recordings import nearest as search

RATE = 8000


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, three recordings, and the results of the first two."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    X = [rng.standard_normal(RATE), np.sin(np.arange(RATE))] * 4
    tagger = WALNetTagger(
        sample_rate=RATE, max_epochs=1, augmentation=None, random_state=0, verbose=0
    )
    tagger.fit(X, [["noise"], ["tone"]] * 4).save(folder / "model.safetensors")
    tone = 0.3 * np.sin(np.arange(6 * RATE))
    soundfile.write(folder / "noise.wav", 0.3 * rng.uniform(-1, 1, 6 * RATE), RATE)
    soundfile.write(folder / "tone.wav", tone, RATE)
    soundfile.write(folder / "new.wav", 0.9 * tone[: 2 * RATE], RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = "tag model.safetensors noise.wav tone.wav -o out --segments --window 2 -q"
        assert main([*command.split(), "--embeddings"]) == 0
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)

    def run(*args):
        status = main(["nearest", *args])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_table(run):
    status, out, _ = run("out", "tone.wav", "--section", "2", "4", "-k", "3", "--format", "table")
    lines = out.splitlines()
    assert status == 0
    assert len(lines) == 3
    assert all(line.endswith("  tone.wav") for line in lines[:2])
    assert lines[0].count("█") == 20
    assert {line.split("  ")[2] for line in lines[:2]} == {
        "0:00.00 - 0:02.00",
        "0:04.00 - 0:06.00",
    }


def test_formats(run):
    arguments = ("out", "tone.wav", "--metric", "euclidean")
    expected = search("out", "tone.wav", metric="euclidean")
    _, out, _ = run(*arguments, "--format", "csv")
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(out)), expected, check_dtype=False, rtol=1e-4
    )
    _, out, _ = run(*arguments, "--format", "json")
    assert [row["onset"] for row in json.loads(out)] == expected["onset"].tolist()
    _, out, _ = run(*arguments, "--json-lines")
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0].keys() == {"file", "onset", "offset", "distance"}
    assert [row["onset"] for row in rows] == expected["onset"].tolist()
    _, out, _ = run(*arguments, "--format", "table")
    assert "█" not in out
    _, out, _ = run(*arguments)  # not a terminal
    file, onset, offset, distance = expected.iloc[0]
    assert out.splitlines()[0] == f"{file}\t{onset:.3f}\t{offset:.3f}\t{distance:.4f}"


def test_new_file_needs_the_model(run):
    status, _, err = run("out", "new.wav")
    assert status == 1
    assert err.startswith("sktagger nearest: error: query: 'new.wav' is not in the archive")
    status, out, _ = run("out", "new.wav", "--model", "model.safetensors", "--per-file", "-q")
    assert status == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["tone.wav", "noise.wav"]


def test_worker_returns_the_rows(run):
    rows = nearest("out", "noise.wav", (0, 2), k=1, verbose=0)
    assert rows["file"].tolist() == ["noise.wav"]


def test_embeddings_need_a_folder_of_results(place, run, capsys):
    assert main(["tag", "model.safetensors", "tone.wav", "--embeddings"]) == 1
    assert "--embeddings are for archives: give a folder by -o" in capsys.readouterr().err
