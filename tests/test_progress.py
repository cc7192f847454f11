import io
import json
import logging
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest

from sktagger import WALNetTagger
from sktagger._utils import progress as _progress
from sktagger._utils.progress import TaskProgress, in_notebook
from sktagger.datasets.scenes import make_scenes

SETTINGS = {"sample_rate": 8000, "batch_size": 2, "max_epochs": 2, "random_state": 0}
EVENTS = [["siren"], ["rain"], ["rain", "siren"], []]


@pytest.fixture
def pipe(capsys):
    """Return a function that returns the text printed on standard error, which is a pipe."""
    return lambda: capsys.readouterr().err


@pytest.fixture
def now(monkeypatch):
    """Time of a fake clock in seconds."""
    clock = [0.0]
    monkeypatch.setattr("sktagger._utils.progress.time.monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def clips(rng):
    return list(rng.standard_normal((4, 4000)).astype(np.float32))


def fake_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def fake_notebook(monkeypatch, shell="ZMQInteractiveShell", **config):
    ipython = types.ModuleType("IPython")
    instance = type(shell, (), {"config": config})()
    ipython.get_ipython = lambda: instance
    monkeypatch.setitem(sys.modules, "IPython", ipython)


def test_pipe_gets_a_line_every_half_minute(pipe, now):
    with TaskProgress("Scoring", 400) as progress:
        for _ in range(4):
            now[0] += 20
            progress.update(100)
    assert pipe().splitlines() == [
        "Scoring: 200 of 400 clips, 00:40 so far, about 00:40 left",
        "Scoring: 400 of 400 clips, 01:20 so far, about 00:00 left",
    ]


def test_short_task_prints_nothing_into_a_pipe(pipe, now):
    with TaskProgress("Scoring", 4) as progress:
        now[0] += 29
        progress.update(4)
    assert pipe() == ""


def test_time_left_does_not_count_what_was_done_earlier(pipe, now):
    progress = TaskProgress("Training", 100)
    progress.seek(80)
    now[0] += 30
    progress.show({"loss": "0.5"})
    progress.update(10)
    expected = "Training: 90 of 100 clips, 00:30 so far, about 00:30 left, loss 0.5\n"
    assert pipe() == expected


def test_lines_begin_half_a_minute_after_the_last_event(pipe, now):
    progress = TaskProgress("Training", 100)
    now[0] += 25
    progress.log("epoch 1")
    now[0] += 25
    progress.update()
    assert pipe() == "epoch 1\n"


def test_terminal_gets_a_bar(pipe, monkeypatch):
    fake_terminal(monkeypatch)
    with TaskProgress("Scoring", 4) as progress:
        progress.update(4)
        progress.log("epoch 1")
    printed = pipe()
    assert "Scoring: 100%" in printed
    assert "epoch 1" not in printed


@pytest.mark.parametrize(
    ("shell", "config"),
    [("ZMQInteractiveShell", {"IPKernelApp": {}}), ("Shell", {"IPKernelApp": {}}), ("XPython", {})],
)
def test_notebook_gets_a_bar(pipe, monkeypatch, shell, config):
    fake_notebook(monkeypatch, shell, **config)
    assert in_notebook()
    with TaskProgress("Scoring", 4) as progress:
        progress.update(4)
    assert "Scoring: 100%" in pipe()


def test_notebook_gets_widgets_where_there_are_some(pipe, monkeypatch):
    fake_notebook(monkeypatch, IPKernelApp={})
    made = []

    class Widgets:
        def __init__(self, **settings):
            made.append(settings)

        def close(self):
            made.append("closed")

    monkeypatch.setattr("tqdm.auto.tqdm", Widgets)
    TaskProgress("Scoring", 4, delay=2, leave=False).close()
    expected = {"desc": "Scoring", "total": 4, "unit": "clip", "delay": 2, "leave": False}
    assert made == [expected, "closed"]
    assert pipe() == ""


def test_notebook_whose_widgets_fail_gets_a_bar_of_text(pipe, monkeypatch):
    fake_notebook(monkeypatch, IPKernelApp={})

    def fail(**settings):
        raise ImportError("IProgress not found")

    monkeypatch.setattr("tqdm.auto.tqdm", fail)
    TaskProgress("Scoring", 4).close()
    assert "Scoring" in pipe()


NOTEBOOK = """
import sys, types, warnings
warnings.simplefilter("error")
ipython = types.ModuleType("IPython")
shell = type("ZMQInteractiveShell", (), {"config": {"IPKernelApp": {}}})()
ipython.get_ipython = lambda: shell
sys.modules["IPython"] = ipython
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
sys.modules["ipywidgets"] = None
sys.stderr = sys.stdout
from sktagger._utils.progress import TaskProgress
with TaskProgress("Scoring", 4) as progress:
    progress.update(4)
"""


def test_notebook_without_widgets_gets_no_warning(run_python):
    output = run_python(NOTEBOOK)
    assert "Scoring: 100%" in output
    assert "Warning" not in output


@pytest.mark.parametrize("shell", ["TerminalInteractiveShell", "InteractiveShell"])
def test_ipython_in_a_pipe_is_no_notebook(monkeypatch, shell):
    fake_notebook(monkeypatch, shell)
    assert not in_notebook()


def test_imported_ipython_is_no_notebook(monkeypatch):
    ipython = types.ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not in_notebook()
    ipython.get_ipython = lambda: None
    assert not in_notebook()


@pytest.mark.parametrize("place", ["pipe", "terminal", "notebook"])
def test_silence_everywhere(pipe, monkeypatch, now, place):
    if place == "terminal":
        fake_terminal(monkeypatch)
    elif place == "notebook":
        fake_notebook(monkeypatch, IPKernelApp={})
    with TaskProgress("Scoring", 4, verbose=0) as progress:
        now[0] += 60
        progress.update(4)
        progress.log("epoch 1")
    assert pipe() == ""


@pytest.mark.parametrize("kind", ["none", "closed", "broken"])
def test_standard_error_that_nobody_reads_is_no_error(monkeypatch, now, kind, capsys):
    closed = io.StringIO()
    closed.close()
    broken = types.SimpleNamespace(isatty=lambda: False, write=_broken)
    streams = {"none": None, "closed": closed, "broken": broken}
    monkeypatch.setattr(sys, "stderr", streams[kind])
    progress = TaskProgress("Scoring", 4)
    for _ in range(2):
        now[0] += 60
        progress.update(2)
        progress.log("epoch 1")
    progress.close()
    assert capsys.readouterr().out == ""


def _broken(text):
    raise BrokenPipeError


def test_event_of_a_log_that_is_kept_is_not_printed(pipe, monkeypatch):
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    monkeypatch.setattr(_progress.logger, "handlers", [handler])
    monkeypatch.setattr(_progress.logger, "level", logging.INFO)
    _progress.logger._cache.clear()
    TaskProgress("Training", 4).log("epoch 1")
    monkeypatch.undo()
    _progress.logger._cache.clear()
    assert kept.getvalue() == "epoch 1\n"
    assert pipe() == ""


def test_training_prints_a_line_per_validation(pipe, clips):
    WALNetTagger(**SETTINGS).fit(clips, EVENTS, X_val=clips, Y_val=EVENTS)
    lines = pipe().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 0", "epoch 1", "epoch 2"]
    assert all("valid_mAP 0." in line or "valid_mAP 1." in line for line in lines)


def test_training_without_validation_prints_a_line_per_epoch(pipe, clips):
    WALNetTagger(**SETTINGS).fit(clips, EVENTS)
    lines = pipe().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2"]


def test_silent_training(pipe, clips):
    tagger = WALNetTagger(**SETTINGS, verbose=0).fit(clips, EVENTS, X_val=clips, Y_val=EVENTS)
    tagger.predict_proba(clips)
    assert pipe() == ""


def test_all_tasks_tell_how_far_they_are(pipe, tmp_path, monkeypatch):
    monkeypatch.setattr("sktagger._utils.progress.INTERVAL", 0.0)
    db = make_scenes(tmp_path, n_train=4, n_validate=0, n_eval=0, duration=0.5, sample_rate=8000)
    X, Y = db.to_xy("balanced_train")
    WALNetTagger(**SETTINGS).fit(X, Y).predict_proba(X)
    printed = pipe()
    for line in ("Making scenes: 4 of 4 scenes", "Training: 2 of 8 clips", "Scoring: 4 of 4 clips"):
        assert line in printed
    assert printed.count("Reading headers: 4 of 4 clips") == 2


FIT = """
import sys, json
import numpy as np
from sktagger import WALNetTagger
X = list(np.random.default_rng(0).standard_normal((4, 4000)).astype(np.float32))
settings, Y = json.loads(sys.argv[1])
WALNetTagger(**settings).fit(X, Y, X_val=X, Y_val=Y)
"""


def test_training_in_a_process_with_a_pipe():
    arguments = json.dumps([SETTINGS, EVENTS])
    done = subprocess.run(
        [sys.executable, "-c", FIT, arguments], capture_output=True, text=True, check=True
    )
    assert [line[:7] for line in done.stderr.splitlines()] == ["epoch 0", "epoch 1", "epoch 2"]
    assert done.stdout == ""


def test_warnings_are_as_they_were(pipe, monkeypatch):
    fake_notebook(monkeypatch, IPKernelApp={})
    before = list(warnings.filters)
    TaskProgress("Scoring", 4).close()
    assert warnings.filters == before
