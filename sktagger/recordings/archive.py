"""Tag archives: many files, in jobs that can be stopped and resumed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs

from sktagger._utils.files import delete_partial, expand_path
from sktagger._utils.progress import TaskProgress
from sktagger._utils.warnings import warn
from sktagger.datasets._finding import check_name, is_audio, walk
from sktagger.recordings._manifest import check_manifest
from sktagger.recordings._recording import Kind, plan, tag_recording
from sktagger.recordings._results import (
    Version,
    read_parts,
    read_results,
    read_skipped,
    remove_from_part,
    to_table,
    write_part,
)
from sktagger.recordings._shares import check_part, folder_locked, share_locked, share_of
from sktagger.taggers._embedding_source import read_source

__all__ = ["find_recordings", "read_results", "read_skipped", "tag_files"]

_MAX_WRITING_TIME = 3600.0  # seconds; another process may be writing a younger file


def tag_files(
    tagger: Any,
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    *,
    kind: Kind = "windows",
    window: float | Literal["auto"] | None = "auto",
    hop: float | None = None,
    threshold: float | Mapping[str, float] | Literal["tuned"] = "tuned",
    detection: Mapping[str, Any] | None = None,
    embeddings: bool = False,
    files_per_part: int = 32,
    part: tuple[int, int] = (1, 1),
    resume: bool = False,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> pd.DataFrame:
    """Tag many files, and write the results into a folder.

    Results are written in parts, each of them whole or not at all. If the run is stopped or killed,
    or the disk is full, the same call with ``resume=True`` does the rest: each file has its results
    once. Files that cannot be read are left out and listed.

    Parameters
    ----------
    tagger : estimator
        Fitted :class:`sktagger.AudioTagger`, :class:`sktagger.TunedThresholdTagger` around one,
        pipeline of one and a :class:`sktagger.ThresholdTuner`, or :class:`EventDetector`, whose
        thresholds and smoothing are for kind "events".
    files : path, or iterable of paths
        Audio files, folders, which are searched with all folders below, and patterns such as
        ``"2024-*/*.flac"``.
    out_dir : str or PathLike
        Folder of the results.
    kind : {"clips", "windows", "events"}, default="windows"
        Results of each file. "clips": one row with the highest score of each event in all windows.
        "windows": one row per window with the score of each event. "events": one row per event
        that is found, see :func:`sktagger.recordings.detect_events`.
    window : float, "auto" or None, default="auto"
        Length of the windows in seconds, see :meth:`sktagger.AudioTagger.iter_scores`. None: the
        segments of the network. "auto": 10 s; for events, as in
        :func:`sktagger.recordings.detect_events`.
    hop : float or None, default=None
        Step of the windows in seconds. None: `window`.
    threshold : "tuned", float, or dict of event to float, default="tuned"
        For events, see :func:`sktagger.recordings.detect_events`.
    detection : dict or None, default=None
        Other parameters of :class:`sktagger.recordings.EventStream`, such as
        ``{"min_length": 0.5}``. None: none.
    embeddings : bool, default=False
        Whether results also have the embedding of each window, for
        :func:`sktagger.recordings.nearest`. The network computes it with the scores, in one pass.
        For kind "clips", it is the mean of those of all windows. Not for kind "events".
    files_per_part : int, default=32
        Number of files in a part. A run that is killed loses the results of one part per process.
    part : tuple (i, n), default=(1, 1)
        Tag only the i-th of n shares of the files, for several machines or jobs that write into the
        same folder at the same time, with ``resume=True``. Another n may be used later: each file
        has its results once. At the same time, shares with files in common are refused.
    resume : bool, default=False
        Whether to continue in a folder that has results. Model and settings must be the same. A
        file that has changed since is tagged again.
    n_jobs : int or None, default=None
        Number of processes. None: 1, or that of a :func:`joblib.parallel_config`.
    verbose : int, default=1
        0: no progress is shown.

    Returns
    -------
    DataFrame of shape (n_files, 2)
        Files that could not be read, with columns `file` and `cause`.
        :func:`sktagger.recordings.read_results` reads the results. Their columns are `file`, then
        `duration`, or `onset` and `offset`, all in seconds, and one per event with its scores
        (float32), and perhaps `embedding`; or, for kind "events", `file`, `onset`, `offset`,
        `event` and `score`.

    Raises
    ------
    BlockingIOError
        If another process is tagging the same part, or one with files in common, into the folder.
    FileExistsError
        If the folder has results, and `resume` is False.
    FileNotFoundError
        If a file, folder or pattern matches nothing.
    ImportError
        If pyarrow is not installed.
    OSError
        If results cannot be written. Those that were written before are kept.
    ValueError
        If a parameter is wrong, or the folder has results of another model or other settings.

    Notes
    -----
    Results are Parquet files, whose metadata list the audio files, their sizes and times.
    ``manifest.json`` has the settings and a fingerprint of the model. Files beginning with
    ``.lock`` keep processes apart; they may stay.

    Embeddings are stored as float16, half of the size of float32. With EfficientAT mn04 on the 400
    clips of ESC-10, the ten nearest clips of each clip, by cosine, are those of float32.

    Examples
    --------
    A night per machine, then a table of all::

        tag_files(tagger, "archive", "results", part=(3, 10), resume=True, n_jobs=-1)
        read_results("results", columns=["file", "onset", "Rain"])
    """
    inner, task, _ = plan(
        tagger,
        kind,
        window=window,
        hop=hop,
        threshold=threshold,
        detection=detection,
        embeddings=embeddings,
    )
    share, n_shares = check_part(part)
    if not isinstance(files_per_part, int) or files_per_part < 1:
        raise ValueError(f"files_per_part={files_per_part!r}, but it must be an integer above 0.")
    folder = expand_path(out_dir)
    found = [path for path in find_recordings(files) if share_of(path, n_shares) == share]
    folder.mkdir(parents=True, exist_ok=True)
    with folder_locked(folder):
        check_manifest(folder, inner, task, resume=resume)
    with share_locked(folder, share, n_shares):
        _tag_pending(inner, found, folder, task, files_per_part, n_jobs, verbose)
    skipped = read_skipped(folder)
    return skipped.loc[skipped["file"].isin(found)].reset_index(drop=True)


def _tag_pending(tagger, paths, folder, task, files_per_part, n_jobs, verbose):
    delete_partial(folder, age=_MAX_WRITING_TIME)  # of runs that were killed
    versions = {path: Version.of(path) for path in paths}
    with folder_locked(folder):
        todo = _pending(folder, versions)
    groups = [
        {path: versions[path] for path in todo[i : i + files_per_part]}
        for i in range(0, len(todo), files_per_part)
    ]
    run = partial(_tag_part, task=task, folder=folder)
    with TaskProgress("Tagging", len(paths), unit="file", verbose=verbose, delay=2) as bar:
        bar.seek(len(paths) - len(todo))
        if min(effective_n_jobs(n_jobs), len(groups)) < 2:
            for group in groups:
                run(tagger, group, tick=bar.update)
            return
        with tempfile.TemporaryDirectory() as place:
            model = os.path.join(place, "tagger.joblib")
            joblib.dump(tagger, model)
            calls = (delayed(run)(model, group) for group in groups)
            for n_files in Parallel(n_jobs, return_as="generator")(calls):
                bar.update(n_files)


def find_recordings(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> list[str]:
    """Find the audio files that paths, folders and patterns mean.

    Parameters
    ----------
    files : path, or iterable of paths
        See :func:`tag_files`.

    Returns
    -------
    list of str
        Distinct paths, in the given order; those of a folder or pattern are sorted.

    Raises
    ------
    FileNotFoundError
        If a folder or pattern has no audio file, or there is no such file.
    ValueError
        If the name of a file is not valid UTF-8.
    """
    if isinstance(files, str | os.PathLike):
        files = [files]
    found: dict[str, None] = {}
    for item in files:
        path = expand_path(item)
        text = str(path)
        if path.is_dir():
            paths = [os.path.join(text, *parts) for parts in walk(text) if is_audio(parts[-1])]
            what = f"files: the folder {os.fspath(item)!r} has no audio file"
        elif path.exists():
            paths, what = [text], ""
        elif any(sign in text for sign in "*?["):
            anchor = Path(path.anchor)
            pattern = str(path.relative_to(anchor)) if path.anchor else text
            paths = sorted(str(p) for p in anchor.glob(pattern) if p.is_file() and is_audio(p.name))
            what = f"files: no audio file matches the pattern {os.fspath(item)!r}"
        else:
            paths, what = [], f"files: there is no file or folder {os.fspath(item)!r}"
        for name in paths:
            check_name(name)
        if not paths:
            raise FileNotFoundError(f"{what}. Relative paths start at the working directory.")
        found.update(dict.fromkeys(paths))
    return list(found)


def _pending(folder, versions):
    """Return the files without results, after results of changed files have been removed."""
    done, changed = set(), []
    for part in read_parts(folder):
        there = {**part.files, **{path: version for path, (version, _) in part.skipped.items()}}
        mine = [path for path in there if path in versions]
        stale = {path for path in mine if versions[path] != there[path]}
        changed += [path for path in stale if there[path] != Version()]
        # a file that was missing is looked for again
        stale.update(path for path in mine if there[path] == Version())
        done.update(path for path in mine if path not in stale)
        if stale:
            remove_from_part(part, stale)
    if changed:
        warn(
            f"{len(changed)} files have changed since they were tagged, such as "
            f"{min(changed)!r}. They are tagged again."
        )
    return [path for path in versions if path not in done]


def _tag_part(tagger, versions, *, task, folder, tick=lambda n: None):
    """Tag files, and write their results; return their number."""
    if isinstance(tagger, str):
        tagger = _load(tagger)
    tables, vectors, files, skipped = [], [], {}, {}
    for path, version in versions.items():
        try:
            rows, of_rows = tag_recording(tagger, path, task)
            tables.append(rows)
            vectors.append(of_rows)
            files[path] = version
        except (OSError, ValueError) as error:
            if isinstance(error, BlockingIOError):
                raise
            skipped[path] = (version, str(error))
        tick(1)
    rows = pd.concat(tables, ignore_index=True) if tables else _no_rows(tagger, task)
    write_part(folder, to_table(rows, _joined(vectors, tagger, task)), files, skipped)
    return len(versions)


def _joined(vectors, tagger, task):
    """Return the embeddings of a part, or None."""
    if not task.embeddings:
        return None
    if vectors:
        return np.concatenate(vectors)
    n_features = read_source(tagger).count_features("embedding")
    return np.empty((0, n_features), np.float16)


@lru_cache(maxsize=1)
def _load(path):
    return joblib.load(path)  # written by this process's parent


def _no_rows(tagger, task):
    """Return a table without rows, but with the columns of the others."""
    text, number = pd.Series([], dtype=str), pd.Series([], dtype=float)
    if task.kind == "events":
        return pd.DataFrame(
            {"file": text, "onset": number, "offset": number, "event": text, "score": number}
        )
    times = ["duration"] if task.kind == "clips" else ["onset", "offset"]
    scores = {str(event): number.astype(np.float32) for event in tagger.classes_}
    return pd.DataFrame({"file": text, **dict.fromkeys(times, number), **scores})
