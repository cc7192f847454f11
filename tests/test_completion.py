"""Completion by the shell, asked as bash asks: by environment variables, answered in a file."""

import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
import soundfile

from sktagger.commands import COMMANDS
from sktagger.commands._completion import NETWORKS

pytest.importorskip("argcomplete")


@pytest.fixture
def complete(tmp_path):
    """Return a function that completes a line in the folder of the test."""

    def ask(line, *options):
        answer = tmp_path / ".answer"
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line.encode())),
            "COMP_TYPE": "9",
        }
        done = subprocess.run(
            [sys.executable, *options, "-m", "sktagger"],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == ""
        words = answer.read_text().split("\n") if answer.read_text() else []
        answer.unlink()
        return [word.strip() for word in words], done.stderr

    return ask


@pytest.fixture
def files(tmp_path):
    soundfile.write(tmp_path / "night.wav", [0.0] * 100, 8000)
    soundfile.write(tmp_path / "my song.wav", [0.0] * 100, 8000)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "data.json").write_text("{}")
    (tmp_path / "nights").mkdir()
    (tmp_path / ".hidden").mkdir()


def test_commands(complete):
    words, _ = complete("sktagger ")
    assert set(words) - {"--help", "-h", "--version"} == set(COMMANDS)
    assert complete("sktagger ev")[0] == ["evaluate"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tag --json", ["--json-lines"]),
        ("tag --format kal", ["kaleidoscope"]),
        ("import esc", ["esc50"]),
        ("import table t.csv --on-error s", ["skip"]),
        ("train --recipe ", ["default", "reference"]),
        ("train --network P", ["PANNs"]),
        ("models mn10_as_hop_2", ["mn10_as_hop_20", "mn10_as_hop_25"]),
        ("tag mn01", ["mn01_as"]),
        ("tag -m mn01", ["mn01_as"]),
        ("train data.json --init mn01", ["mn01_as"]),
        ("evaluate --device cu", ["cuda"]),
        ("train --training-set ", []),
        ("tag mn10_as night.wav --top ", []),
    ],
)
def test_options_choices_and_names(complete, files, line, expected):
    words, _ = complete(f"sktagger {line}")
    assert [word for word in words if word in expected or not word.startswith("-")] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tag mn10_as ni", ["night.wav", "nights/"]),
        ("tag --model mn10_as m", [r"my\ song.wav"]),
        ("tag mn10_as night.wav -o not", ["notes.txt"]),
        ("train ", ["data.json", "nights/"]),
        ("evaluate n", ["nights/"]),
        ("demo --directory n", ["nights/"]),
        ("import folders .h", [".hidden/"]),
    ],
)
def test_files(complete, files, line, expected):
    words, _ = complete(f"sktagger {line}")
    assert sorted(word for word in words if not word.startswith("-")) == expected


def test_home_stays_as_it_is_written(complete, files, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert complete("sktagger evaluate ~/ni")[0] == ["~/nights/"]


def test_networks_are_all_networks():
    from sktagger.networks import NETWORKS as networks

    assert set(NETWORKS) == set(networks)


@pytest.mark.parametrize("line", ["tag mn", "train --network ", "import ta", "tag mn10_as ni"])
def test_nothing_slow_is_imported(complete, files, line):
    _, imported = complete(f"sktagger {line}", "-X", "importtime")
    modules = {row.rpartition("|")[2].strip().split(".")[0] for row in imported.splitlines()}
    assert "argcomplete" in modules
    assert not modules & {"torch", "pandas", "sklearn", "scipy", "librosa", "numba"}


_BASH = """
eval "$(register-python-argcomplete sktagger)"
COMP_LINE='sktagger tag --model mn10_as n' COMP_TYPE=9
COMP_POINT=${#COMP_LINE} COMP_WORDS=(sktagger tag --model mn10_as n) COMP_CWORD=4
_python_argcomplete sktagger n mn10_as
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_after_the_line_of_the_readme(files, tmp_path):
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "sktagger"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m sktagger "$@"\n')
    command.chmod(0o755)
    places = [str(command.parent), sysconfig.get_path("scripts"), os.environ["PATH"]]
    env = dict(os.environ, PATH=os.pathsep.join(places))
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        ["bash", "-c", _BASH], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert sorted(word.strip() for word in done.stdout.split("\n") if word) == [
        "night.wav",
        "nights/",
        "notes.txt",
    ]
