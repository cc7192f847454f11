"""An experiment's directory: settings, events, checkpoints, log.

PyTorch is imported only inside functions, so that other errors appear without waiting for it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from sktagger._utils.files import delete_partial, expand_path
from sktagger._utils.json import parse_json
from sktagger.commands._config import parse_config
from sktagger.commands._settings import make_tagger
from sktagger.targets import are_events

if TYPE_CHECKING:
    import pandas as pd

    from sktagger import AudioTagger


def find_experiment(directory: str | os.PathLike[str]) -> Path:
    """Return the path of an experiment's directory, ``~`` expanded.

    Raises
    ------
    FileNotFoundError
        If it has no ``config.json``.
    """
    directory = expand_path(directory)
    if not (directory / "config.json").is_file():
        raise FileNotFoundError(
            f"{str(directory)!r} is not an experiment: it has no config.json. Give the directory "
            "that `sktagger train` printed."
        )
    return directory


def read_config(directory: Path) -> dict[str, Any]:
    """Read an experiment's settings.

    Raises
    ------
    ValueError
        If ``config.json`` is invalid or lacks a key.
    """
    config = parse_config(directory / "config.json", complete=True)
    return {"unknown_events": "error", **config}  # older versions did not write it


def read_events(directory: Path) -> list[str]:
    """Read the events of an experiment.

    Raises
    ------
    ValueError
        If ``events.json`` is not a list of distinct names.
    """
    path = directory / "events.json"
    try:
        events = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}). Restore the file.") from error
    if not are_events(events):
        raise ValueError(f"{path} must contain a list of distinct names. Restore the file.")
    return events


def check_events(directory: Path, events: Sequence[str]) -> None:
    """Raise ValueError unless a database has the events of an experiment."""
    from sktagger.training._record import other_events

    others = other_events(read_events(directory), list(events))
    if others:
        raise ValueError(
            f"{str(directory)!r} belongs to another training: the database has changed since it "
            f"started ({others[0]}). Restore the database, or start a new training with "
            "--set init_from=CHECKPOINT."
        )


def read_history(directory: Path) -> pd.DataFrame | None:
    """Read the training history of an experiment, one row per validation interval.

    Parameters
    ----------
    directory : Path

    Returns
    -------
    DataFrame or None
        None if only the best checkpoint is left.

    Raises
    ------
    ValueError
        If the checkpoint is damaged.
    """
    from sktagger.taggers._base import history_table
    from sktagger.training._checkpoints import load_checkpoint
    from sktagger.training._file_kinds import find_checkpoint

    latest = find_checkpoint(directory / "checkpoints", "latest")
    return None if latest is None else history_table(load_checkpoint(latest)["history"])


def load_tagger(directory: Path, *, device: str = "auto") -> AudioTagger:
    """Load the best tagger of an experiment.

    Parameters
    ----------
    directory : Path
    device : str, default="auto"
        See :class:`sktagger.WALNetTagger`.

    Returns
    -------
    AudioTagger
        Fitted.

    Raises
    ------
    FileNotFoundError
        If there is no checkpoint yet.
    ValueError
        If a file of the experiment is invalid; the message names it.
    """
    from sktagger.networks import find_state
    from sktagger.training._checkpoints import load_checkpoint
    from sktagger.training._file_kinds import checkpoint_paths, find_checkpoint

    config = read_config(directory)
    tagger = make_tagger(config, directory / "config.json", device=device)
    events = read_events(directory)
    best = find_checkpoint(directory / "checkpoints", "best")
    if best is None:
        missing, *_ = checkpoint_paths(directory / "checkpoints", "best")
        raise FileNotFoundError(
            f"{str(missing)!r} does not exist: it is written after the first validation. Continue "
            f"the training with: sktagger train --resume {shlex.quote(str(directory))}"
        )
    state, _ = find_state(load_checkpoint(best), tagger._get_network(), str(best))
    return tagger._restore(np.array(events), state, source=str(best))


def check_name(root: Path, name: str) -> None:
    """Check the name of a new experiment.

    Raises
    ------
    ValueError
        If it is not a valid name of a folder.
    FileExistsError
        If it already exists.
    """
    if not name.strip() or name != name.strip() or name in (".", ".."):
        fault = "is empty, '.' or '..', or begins or ends with a blank"
    elif "/" in name or "\\" in name:
        fault = "contains a path separator"
    elif not name.isprintable():
        fault = "contains a character that cannot be printed"
    elif os.path.lexists(root / name):
        raise FileExistsError(
            f"--name: {str(root / name)!r} already exists. Give another name, or continue that "
            "training with --resume."
        )
    else:
        return
    raise ValueError(
        f"--name: got {name!r:.60}, which {fault}; it must be the name of a new folder in "
        f"{str(root)!r}. Give for example --name first-try, and choose the place with "
        "--storage-root."
    )


def create(
    root: Path, config: Mapping[str, Any], events: Sequence[str], name: str | None = None
) -> Path:
    """Make the directory of a new experiment.

    Parameters
    ----------
    root : Path
        The parent directory.
    config : dict
    events : list of str
    name : str or None, default=None
        Name of the directory. None: the time.

    Returns
    -------
    Path
    """
    from sktagger.reports.files import write_json

    if name is None:
        directory = new_directory(root)
    else:
        check_name(root, name)
        directory = root / name
        directory.mkdir(parents=True)
    write_json(events, directory / "events.json")
    # last, because a directory with a config.json counts as an experiment
    write_json(config, directory / "config.json")
    return directory


def new_directory(root: Path) -> Path:
    """Make a directory named after the time; if it exists already, a number is added."""
    name = datetime.now().strftime("%Y-%m-%d-%H-%M-%S")
    n_tries = 0
    while True:
        directory = root / (name + f"-{n_tries}" * (n_tries > 0))
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            n_tries += 1
        else:
            return directory


@contextmanager
def resumable(directory: Path) -> Iterator[None]:
    """Let KeyboardInterrupt say how to continue the training in a directory."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if interrupt.args:
            raise
        raise KeyboardInterrupt(
            "Training was interrupted. Continue it with: sktagger train --resume "
            + shlex.quote(str(directory))
        ) from interrupt


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other processes from training in a directory; the lock ends with the process.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    """
    try:
        with FileLock(directory / "lock", timeout=0):
            delete_partial(directory / "checkpoints")  # left by a process that was killed
            yield
    except Timeout as error:
        raise BlockingIOError(
            f"Another process is training in {str(directory)!r}. Wait until it ends, or start a "
            "new training."
        ) from error
