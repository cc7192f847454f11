import os
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "MPLBACKEND", "agg")
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
