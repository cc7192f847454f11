"""Archives: every file has its results once, however a run ends."""

import errno
import os
import signal
import subprocess
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from _networks import TinyNet

from sktagger import AudioTagger
from sktagger.recordings import archive as module
from sktagger.recordings import (
    detect_events,
    find_recordings,
    read_results,
    read_skipped,
    tag_files,
)
from sktagger.recordings._shares import overlap, share_of

RATE = 8000


@pytest.fixture(scope="module")
def tagger():
    X = list(np.random.default_rng(0).standard_normal((6, RATE)))
    tagger = AudioTagger(TinyNet(rate=RATE, width=8), max_epochs=1, random_state=0, verbose=0)
    return tagger.fit(X, [["a"], ["b"], ["a", "b"], [], ["a"], ["b"]])


@pytest.fixture
def archive(tmp_path):
    """A folder of seven recordings of 1 to 7 s."""
    folder = tmp_path / "archive"
    (folder / "night").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(7):
        place = folder / "night" if k % 2 else folder
        noise = rng.uniform(-0.5, 0.5, (k + 1) * RATE)
        soundfile.write(place / f"r{k}.wav", noise, RATE, subtype="PCM_16")
    (folder / "notes.txt").write_text("no audio")
    return folder


def by_file(rows):
    return rows.sort_values("file", kind="stable", ignore_index=True)


def tag(tagger, archive, out, **settings):
    settings = {"window": 1.0, "files_per_part": 2, "verbose": 0} | settings
    return tag_files(tagger, archive, out, **settings)


def test_rows_of_windows(tagger, archive, tmp_path):
    skipped = tag(tagger, archive, tmp_path / "out")
    assert skipped.empty
    assert list(skipped.columns) == ["file", "cause"]
    rows = read_results(tmp_path / "out")
    assert list(rows.columns) == ["file", "onset", "offset", "a", "b"]
    files = find_recordings(archive)
    assert len(files) == 7
    assert rows["file"].value_counts().to_dict() == {
        file: int(os.path.basename(file)[1]) + 1 for file in files
    }
    for file, of_file in rows.groupby("file"):
        expected = list(tagger.iter_scores(file, 1.0))
        np.testing.assert_array_equal(of_file["onset"], [onset for onset, *_ in expected])
        np.testing.assert_array_equal(of_file[["a", "b"]], [scores for *_, scores in expected])
    assert rows["a"].dtype == np.float32


def test_rows_of_clips_have_the_highest_scores(tagger, archive, tmp_path):
    tag(tagger, archive, tmp_path / "windows")
    tag(tagger, archive, tmp_path / "clips", kind="clips")
    rows = by_file(read_results(tmp_path / "clips"))
    windows = read_results(tmp_path / "windows").groupby("file")
    assert list(rows.columns) == ["file", "duration", "a", "b"]
    np.testing.assert_array_equal(rows["duration"], windows["offset"].max())
    np.testing.assert_array_equal(rows[["a", "b"]], windows[["a", "b"]].max())


def test_rows_of_events_are_those_of_detect_events(tagger, archive, tmp_path):
    tag(
        tagger,
        archive,
        tmp_path / "out",
        kind="events",
        threshold={"a": 0.5, "b": 0.45},
        window=None,
    )
    rows = by_file(read_results(tmp_path / "out"))
    files = sorted(find_recordings(archive))
    expected = detect_events(tagger, files, threshold={"a": 0.5, "b": 0.45})
    assert len(expected) > 0
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False, atol=1e-6)


def test_files_without_events_are_done(tagger, archive, tmp_path):
    tag(tagger, archive, tmp_path / "out", kind="events", threshold=2.0)
    rows = read_results(tmp_path / "out")
    assert rows.empty
    assert list(rows.columns) == ["file", "onset", "offset", "event", "score"]


def test_unreadable_files_are_listed_with_their_causes(tagger, archive, tmp_path):
    (archive / "empty.wav").write_bytes(b"")
    (archive / "text.flac").write_text("no audio")
    skipped = tag(tagger, archive, tmp_path / "out")
    assert [os.path.basename(file) for file in skipped["file"]] == ["empty.wav", "text.flac"]
    assert all(file in cause for file, cause in skipped.itertuples(index=False))
    assert read_results(tmp_path / "out")["file"].nunique() == 7
    pd.testing.assert_frame_equal(read_skipped(tmp_path / "out"), skipped)


def test_all_files_unreadable(tagger, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    assert len(tag(tagger, tmp_path / "empty.wav", tmp_path / "out")) == 1
    rows = read_results(tmp_path / "out")
    assert rows.empty
    assert list(rows.columns) == ["file", "onset", "offset", "a", "b"]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_processes_change_nothing(tagger, archive, tmp_path, n_jobs):
    tag(tagger, archive, tmp_path / "one")
    with joblib.parallel_config(backend="loky"):
        tag(tagger, archive, tmp_path / "out", n_jobs=n_jobs)
    pd.testing.assert_frame_equal(
        by_file(read_results(tmp_path / "out")), by_file(read_results(tmp_path / "one"))
    )


def test_shares_make_up_the_whole(tagger, archive, tmp_path):
    tag(tagger, archive, tmp_path / "one")
    for share in (1, 2, 3):
        tag(tagger, archive, tmp_path / "out", part=(share, 3), resume=True)
    pd.testing.assert_frame_equal(
        by_file(read_results(tmp_path / "out")), by_file(read_results(tmp_path / "one"))
    )


def test_other_shares_do_the_rest(tagger, archive, tmp_path):
    tag(tagger, archive, tmp_path / "one")
    out = tmp_path / "out"
    for part in [(1, 2), (2, 3), (1, 3)]:
        tag(tagger, archive, out, part=part, resume=True, files_per_part=7)
    changed = min(read_results(out)["file"])
    os.utime(changed, ns=(1, 1))
    with pytest.warns(UserWarning, match="1 files have changed"):
        tag(tagger, archive, out, resume=True)
    pd.testing.assert_frame_equal(
        by_file(read_results(out)), by_file(read_results(tmp_path / "one"))
    )


def shares_with_files(n_shares, files):
    return [{file for file in files if share_of(file, n_shares) == i + 1} for i in range(n_shares)]


def test_shares_overlap_if_they_have_files_in_common():
    files = [f"/archive/{k}.wav" for k in range(2000)]
    for n, m in [(1, 1), (1, 3), (2, 2), (2, 3), (2, 4), (4, 6), (5, 10)]:
        for i, mine in enumerate(shares_with_files(n, files), start=1):
            for k, others in enumerate(shares_with_files(m, files), start=1):
                assert overlap(i, n, k, m) == bool(mine & others)


@pytest.fixture
def hold(tmp_path):
    """Return a function that lets another process tag a share until the test ends."""
    processes = []
    code = """
import sys, time, pathlib
from sktagger.recordings._shares import share_locked
with share_locked(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])):
    print("tagging", flush=True)
    time.sleep(600)
"""

    def start(folder, share, n_shares):
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
        command = [sys.executable, "-c", code, folder, str(share), str(n_shares)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "tagging\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_shares_that_overlap_are_refused_at_the_same_time(tagger, archive, tmp_path, hold):
    out = tmp_path / "out"
    tag(tagger, archive, out, part=(2, 4))
    running = hold(out, 1, 2)
    for part in [(1, 1), (1, 2), (2, 3), (3, 4)]:
        with pytest.raises(BlockingIOError, match=r"is tagging part=\(1, 2\) into '.*out'"):
            tag(tagger, archive, out, part=part, resume=True)
    for part in [(2, 2), (4, 4)]:
        tag(tagger, archive, out, part=part, resume=True)
    running.kill()
    running.wait()
    tag(tagger, archive, out, part=(1, 3), resume=True)


def test_results_that_are_not_removed_whole_are_kept(tagger, archive, tmp_path, monkeypatch):
    out = tmp_path / "out"
    tag(tagger, archive, out, files_per_part=7)
    before = by_file(read_results(out))
    os.utime(archive / "r0.wav", ns=(1, 1))

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("sktagger.recordings._results.replacing", stop)
    with pytest.raises(KeyboardInterrupt):
        tag(tagger, archive, out, resume=True)
    pd.testing.assert_frame_equal(by_file(read_results(out)), before)


def times_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}


def test_resumed_run_does_the_rest_only(tagger, archive, tmp_path, monkeypatch):
    tag(tagger, archive, tmp_path / "one")
    out = tmp_path / "out"
    written = []
    original = module.write_part

    def write_two(*args):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(original(*args))
        return written[-1]

    monkeypatch.setattr(module, "write_part", write_two)
    with pytest.raises(OSError, match="No space left"):
        tag(tagger, archive, out)
    before = times_of(out)
    assert len(before) == 2
    assert read_results(out)["file"].nunique() == 4
    monkeypatch.undo()
    tag(tagger, archive, out, resume=True)
    assert before.items() < times_of(out).items()
    pd.testing.assert_frame_equal(
        by_file(read_results(out)), by_file(read_results(tmp_path / "one"))
    )
    after = times_of(out)
    tag(tagger, archive, out, resume=True)
    assert times_of(out) == after


def test_new_files_are_added(tagger, archive, tmp_path):
    out = tmp_path / "out"
    tag(tagger, archive, out)
    before = times_of(out)
    soundfile.write(archive / "new.wav", np.full(RATE, 0.1), RATE)
    tag(tagger, archive, out, resume=True)
    assert before.items() < times_of(out).items()
    rows = read_results(out)
    assert len(rows) == 28 + 1
    assert rows["file"].nunique() == 8


def test_changed_file_is_tagged_again(tagger, archive, tmp_path):
    out = tmp_path / "out"
    tag(tagger, archive, out, files_per_part=7)
    soundfile.write(archive / "r2.wav", np.full(5 * RATE, 0.1), RATE)
    with pytest.warns(UserWarning, match=r"1 files have changed .*r2\.wav'"):
        tag(tagger, archive, out, files_per_part=7, resume=True)
    rows = read_results(out)
    assert len(rows) == 28 - 3 + 5
    assert not rows.duplicated(["file", "onset"]).any()


def test_missing_file_is_looked_for_again(tagger, archive, tmp_path, monkeypatch):
    out = tmp_path / "out"
    path = archive / "r0.wav"
    content = path.read_bytes()
    files = find_recordings(archive)
    path.unlink()
    monkeypatch.setattr("sktagger.recordings.archive.find_recordings", lambda files: files)
    assert tag(tagger, files, out)["file"].tolist() == [str(path)]
    path.write_bytes(content)
    assert tag(tagger, files, out, resume=True).empty
    assert read_results(out)["file"].nunique() == 7
    assert read_skipped(out).empty


def test_results_of_another_model_or_settings_are_refused(tagger, archive, tmp_path):
    out = tmp_path / "out"
    tag(tagger, archive, out)
    with pytest.raises(FileExistsError, match=r"has results\. Set resume=True to continue"):
        tag(tagger, archive, out)
    with pytest.raises(ValueError, match=r"window is 1.0 there and 2.0 now"):
        tag(tagger, archive, out, window=2, resume=True)
    X = list(np.random.default_rng(1).standard_normal((2, RATE)))
    other = AudioTagger(TinyNet(rate=RATE, width=8), max_epochs=1, random_state=1, verbose=0)
    with pytest.raises(ValueError, match="results of other settings: model is"):
        tag(other.fit(X, [["a"], ["b"]]), archive, out, resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "frames"}, "kind='frames', but it must be one of 'clips', 'windows', 'events'"),
        ({"part": (3, 2)}, r"part=\(3, 2\), but it must be \(i, n\)"),
        ({"files_per_part": 0}, "files_per_part=0"),
        ({"window": -1}, "window=-1, but it must be a number of seconds above 0"),
        ({"window": None, "hop": 1}, "hop=1 has no effect if window is None"),
        ({"threshold": "high"}, "threshold='high' is unknown"),
        ({"detection": {"min_length": 1}}, "has an effect only for kind='events'"),
    ],
)
def test_wrong_settings_write_nothing(tagger, archive, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        tag(tagger, archive, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_files_folders_and_patterns(archive, monkeypatch):
    monkeypatch.chdir(archive)
    assert find_recordings("night") == [f"night/r{k}.wav" for k in (1, 3, 5)]
    assert find_recordings(["night/*.wav", "r0.wav", "r0.wav"]) == [
        *(f"night/r{k}.wav" for k in (1, 3, 5)),
        "r0.wav",
    ]
    for missing, message in [
        ("day", "there is no file or folder 'day'"),
        ("*.flac", r"no audio file matches the pattern '\*\.flac'"),
    ]:
        with pytest.raises(FileNotFoundError, match=message):
            find_recordings(missing)


def test_names_that_are_not_text_are_refused(archive):
    name = os.fsencode(archive) + b"/\xff.wav"
    try:
        with open(name, "wb") as file:
            file.write(b"")
    except OSError:
        pytest.skip("the file system refuses such names")
    for files in (archive, os.fsdecode(name)):
        with pytest.raises(ValueError, match=r"udcff\.wav' is not valid UTF-8.* Rename the file"):
            find_recordings(files)


def test_links_to_folders_above_are_not_followed(archive):
    before = find_recordings(archive)
    (archive / "night" / "all").symlink_to(archive, target_is_directory=True)
    assert find_recordings(archive) == before


def test_damaged_part_is_named(tagger, archive, tmp_path):
    out = tmp_path / "out"
    tag(tagger, archive, out)
    part = min(out.glob("part-*"))
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"{part.name}.* is not a part of results"):
        read_results(out)


_RUN = """
import sys, joblib
from sktagger.recordings import tag_files
tagger, archive, out = sys.argv[1:]
tag_files(joblib.load(tagger), archive, out, window=1.0, files_per_part=1, resume=True, verbose=0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs SIGKILL")
def test_killed_run_is_resumed(tagger, archive, tmp_path):
    """Each run is killed as soon as it has written another part."""
    tag(tagger, archive, tmp_path / "one")
    joblib.dump(tagger, tmp_path / "tagger.joblib")
    out = tmp_path / "out"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    command = [sys.executable, "-c", _RUN, tmp_path / "tagger.joblib", archive, out]
    for _ in range(2):
        before = len(times_of(out))
        process = subprocess.Popen(command, env=env)
        while len(times_of(out)) == before and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(times_of(out)) > before
    kept = times_of(out)
    tag(tagger, archive, out, resume=True)
    assert kept.items() <= times_of(out).items()
    pd.testing.assert_frame_equal(
        by_file(read_results(out)), by_file(read_results(tmp_path / "one"))
    )
