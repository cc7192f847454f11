"""Imports follow the layers of pyproject.toml, and the check of that notices a circle."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
LINT = "import sys; from importlinter.cli import lint_imports_command as main; sys.exit(main())"


def lint_imports(folder):
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def copy(tmp_path):
    """Copy the package and its configuration."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "sktagger", tmp_path / "sktagger", ignore=ignored)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_point_downward(copy):
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        # inside a function, too
        ("batching/devices.py", "def f():\n    import sktagger.taggers.tuned\n", "batching -> "),
        ("reports/files.py", "import sktagger.displays\n", "reports.files -> sktagger.displays"),
        ("audio/reading.py", "import sktagger.audio.clip_input\n", "No cycles"),
        ("networks/_stft.py", "import sktagger.audio.clips\n", "spectral module only"),
        ("metrics/_counts.py", "import torch\n", "without PyTorch"),
        ("newcomer.py", "", "newcomer"),
    ],
)
def test_import_that_breaks_a_rule_is_noticed(copy, module, line, message):
    with open(copy / "sktagger" / module, "a", encoding="utf-8") as file:
        file.write(line)
    done = lint_imports(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert message in done.stdout
