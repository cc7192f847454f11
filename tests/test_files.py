import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sktagger._utils import files as _files
from sktagger._utils.files import delete_partial, expand_path, replacing


def write(path, content=b"new"):
    with replacing(path) as file:
        file.write(content)


def test_file_need_not_be_flushed(tmp_path, monkeypatch):
    def fails(descriptor):
        raise OSError("flushed")

    monkeypatch.setattr("sktagger._utils.files.os.fsync", fails)
    with replacing(tmp_path / "x", flush=False) as file:
        file.write(b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    with pytest.raises(OSError, match="flushed"), replacing(tmp_path / "x") as file:
        file.write(b"newer")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writers_of_one_file_do_not_mix(tmp_path):
    def write_slowly(letter):
        with replacing(tmp_path / "x") as file:
            for _ in range(20):
                file.write(letter * 5000)

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(write_slowly, [b"a", b"b", b"c", b"d"] * 10):
            pass
    content = (tmp_path / "x").read_bytes()
    assert len(content) == 100_000
    assert len(set(content)) == 1
    assert names(tmp_path) == ["x"]


def test_file_is_there_only_when_it_is_whole(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with replacing(tmp_path / "x") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "x").read_bytes() == b"old"
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError("full"), ValueError("bug"), KeyboardInterrupt()])
def test_error_keeps_the_file_and_leaves_no_other(tmp_path, error):
    def write_and_fail():
        with replacing(tmp_path / "x") as file:
            file.write(b"new")
            raise error

    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(type(error)):
        write_and_fail()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("place", ["nowhere/x", "a file/x", ""])
def test_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match=r"cannot be written: \w+"):
        write(tmp_path / place)
    assert names(tmp_path) == ["a file"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "x")
        (tmp_path / "y").touch()
    finally:
        os.umask(before)
    modes = {(tmp_path / name).stat().st_mode & 0o777 for name in "xy"}
    assert modes == {0o640}


def test_link_is_replaced(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / "link").symlink_to("x")
    write(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "x").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127])
def test_longest_name_of_a_file(tmp_path, name):
    write(tmp_path / name)
    assert names(tmp_path) == [name]


KILLED = """
import os, signal, sys
from sktagger._utils.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_is_deleted_after_a_day(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "x"], check=False)
    assert done.returncode == -signal.SIGKILL
    (partial,) = tmp_path.iterdir()
    for other in (".x.part", ".x.y.0123456789abcdef.part", "x.part"):
        (tmp_path / other).touch()
        os.utime(tmp_path / other, (0, 0))
    write(tmp_path / "x")
    assert partial.exists()  # another process may be writing it
    two_days_ago = partial.stat().st_mtime - 2 * _files._MAX_WRITING_TIME
    os.utime(partial, (two_days_ago, two_days_ago))
    write(tmp_path / "x")
    assert names(tmp_path) == [".x.part", ".x.y.0123456789abcdef.part", "x", "x.part"]


def test_partial_files_of_a_folder_are_deleted(tmp_path):
    (tmp_path / ".latest.pt.0123456789abcdef.part").touch()
    (tmp_path / "latest.pt").touch()
    delete_partial(tmp_path)
    assert names(tmp_path) == ["latest.pt"]
    delete_partial(tmp_path / "nowhere")


def test_home_directory_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert expand_path("~/a") == tmp_path / "a"
    assert expand_path(Path("~")) == tmp_path
    for path in ("a/~/b", "./~", "a~", "~nobody-of-this-name/a"):
        assert expand_path(path) == Path(path)
    write("~/a")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("path", [3, None, ["a"]])
def test_only_paths_are_expanded(path):
    with pytest.raises(TypeError):
        expand_path(path)
