import os
import subprocess
import sys
from pathlib import Path

import pytest
from _promises import PAGE, broken_promises, main, read_outcomes, read_promises

PROMISES = read_promises(PAGE.read_text(encoding="utf-8"))
TESTS = Path(__file__).parent


def collect(files):
    """Give the tests that pytest finds in files, without parameters."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "--collect-only", "-m", "", *files],
        cwd=TESTS,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.split("[")[0].split("/")[-1] for line in done.stdout.splitlines() if "::" in line}


def test_page_is_read():
    assert len(PROMISES) > 40
    assert [promise for promise, names in PROMISES if not names] == []


def test_each_promise_names_tests_that_exist():
    named = {name for _, names in PROMISES for name in names}
    found = collect(sorted({name.split("::")[0] for name in named}))
    assert named <= found


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_good[1]" />
<testcase classname="tests.test_a" name="test_good[2]" />
<testcase classname="tests.test_a" name="test_part[1]" />
<testcase classname="tests.test_a" name="test_part[2]"><skipped message="no fork here" /></testcase>
<testcase classname="tests.test_a" name="test_bad"><failure message="assert 0" /></testcase>
<testcase classname="sktagger.audio.reading" name="sktagger.audio.reading.read_audio" />
</testsuite></testsuites>
"""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("`test_a.py::test_good`", []),
        ("`test_a.py::test_part`", ["test_a.py::test_part (passed, skipped): A promise."]),
        ("`test_a.py::test_good`, `test_a.py::test_bad`", ["test_a.py::test_bad (failure)"]),
        ("`test_a.py::test_gone`", ["test_a.py::test_gone (not run): A promise."]),
        ("the same", ["no test: A promise."]),
    ],
)
def test_promise_without_a_passed_test_is_broken(tmp_path, names, expected):
    (tmp_path / "junit.xml").write_text(JUNIT, encoding="utf-8")
    page = f"| what | result | test |\n| --- | --- | --- |\n| A promise. | It holds. | {names} |\n"
    lines = broken_promises(read_promises(page), read_outcomes(tmp_path / "junit.xml"))
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_command_fails_where_a_promise_is_broken(tmp_path, capsys):
    (tmp_path / "junit.xml").write_text(JUNIT, encoding="utf-8")
    assert main(tmp_path / "junit.xml") == 1
    assert f"{PROMISES[0][1][0]} (not run)" in capsys.readouterr().out
