"""An experiment's directory: settings, events, checkpoints, log.

What needs PyTorch is imported where it is used: mistakes that show without it are told at once.
"""

import logging
import os
import platform
import re
import shlex
import sys
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from sktagger import __version__
from sktagger._utils.files import delete_partial, expand_path
from sktagger._utils.json import parse_json
from sktagger._utils.progress import logger
from sktagger._utils.text import nearest, printable
from sktagger.commands._config import parse_config
from sktagger.targets._names import are_events

# of Python, which people who set parameters there write instead of null, true and false
_CONSTANTS = {"None": None, "True": True, "False": False}
_PACKAGES = ("torch", "scikit-learn", "skorch", "numpy", "scipy", "pandas", "soundfile", "soxr")


def parse_settings(assignments):
    """Turn ``NAME=VALUE`` strings into parameters.

    Values are strict JSON, or ``None``, ``True``, ``False``, or else strings.
    """
    settings = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise ValueError(f"--set {assignment!r} must have the form NAME=VALUE.")
        try:
            value = parse_json(text)
        except ValueError:
            value = _CONSTANTS.get(text.strip(), text)
        settings[name.strip().replace(".", "__")] = value
    return settings


def make_config(
    database, *, training_set, validation_set, recipe, min_length, unknown_events, tagger
):
    """Resolve the settings of a training to plain data that reproduces it.

    `tagger` holds parameters by the place that they come from; later ones override earlier ones.
    """
    from sktagger import STFT, Augmentation, WALNetTagger
    from sktagger.training._params import params_to_json

    resolved = WALNetTagger(stft=STFT(), augmentation=Augmentation())
    for place, params in tagger.items():
        _set_params(resolved, place, params)
    try:
        resolved._check_settings()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{_place_of(str(error), tagger)}: {error}") from error
    resolved.set_params(
        stft=STFT(**resolved._resolve_stft()._asdict()),
        augmentation=resolved._resolve_augmentation(),
    )
    if resolved.random_state is None:
        resolved.set_params(random_state=int(np.random.default_rng().integers(2**31)))
    return {
        "database": str(expand_path(database).resolve()),
        "training_set": training_set,
        "validation_set": validation_set,
        "recipe": recipe,
        "min_length": min_length,
        "unknown_events": unknown_events,
        # a cache holds pickles: a file, which may be a stranger's, does not say where it is
        "tagger": params_to_json(resolved, left_out=("callbacks", "memory")),
        "versions": {
            "sktagger": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
    }


def _set_params(tagger, place, params):
    """Set a tagger's parameters, and say where they come from if they are wrong."""
    from sktagger import STFT, Augmentation, WALNetTagger

    known = set(WALNetTagger(stft=STFT(), augmentation=Augmentation()).get_params()) - {"callbacks"}
    for name in params:
        if name not in known:
            dotted = sorted(key.replace("__", ".") for key in known)
            name = name.replace("__", ".")
            raise ValueError(
                f"{place}: the tagger has no parameter {name!r}{nearest(name, dotted)}. Known are "
                f"{', '.join(dotted)}."
            )
    try:
        if params.get("init_from") is not None:
            params = {**params, "init_from": _absolute_path(params["init_from"])}
        tagger.set_params(**params)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _place_of(message, layers):
    """Find the place that was the last to set a parameter which an error names."""
    words = set(re.findall(r"\w+", message))
    places = [
        place
        for place, params in layers.items()
        if words & {name.rpartition("__")[2] for name in params}
    ]
    return (places or list(layers))[-1]


def _absolute_path(init_from):
    if not isinstance(init_from, str | os.PathLike):
        raise ValueError(
            f"init_from is of type {type(init_from).__name__}, but it must be a path, for "
            "config.json to reproduce the training. Save a tagger, and give the file."
        )
    return str(expand_path(init_from).resolve())


def make_tagger(config, place, *, device=None):
    """Make the tagger of a config; `place` is where it is from, for messages."""
    from sktagger import WALNetTagger
    from sktagger.training._params import params_from_json

    params = {name: value for name, value in config["tagger"].items() if name != "memory"}
    if device is not None:
        params["device"] = device
    try:
        known = WALNetTagger().get_params(deep=False).keys() - {"callbacks"}
        tagger = WALNetTagger(**params_from_json(params, known))
        tagger._check_settings()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place}, at tagger: {error}") from error
    return tagger


def load_tagger(directory, *, device="auto"):
    """Load the best tagger of an experiment."""
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
            f"the training by: sktagger train --resume {shlex.quote(str(directory))}"
        )
    return tagger._restore(
        np.array(events), find_state(load_checkpoint(best), str(best)), source=str(best)
    )


def check_events(directory, events):
    """Check that the events of a database are those that an experiment was begun with."""
    from sktagger.training._record import other_events

    others = other_events(read_events(directory), events)
    if others:
        raise ValueError(
            f"{str(directory)!r} belongs to another training than that on the database as it is "
            f"now ({others[0]}). Restore the database, or begin a training of its own with "
            "--set init_from=CHECKPOINT."
        )


def read_events(directory):
    """Read the events of an experiment."""
    path = directory / "events.json"
    try:
        events = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}). Restore it.") from error
    if not are_events(events):
        raise ValueError(f"{path}: allowed is a list of distinct names. Restore it.")
    return events


def existing(directory):
    """Check that an experiment's directory is one."""
    directory = expand_path(directory)
    if not (directory / "config.json").is_file():
        raise FileNotFoundError(
            f"{str(directory)!r} is no experiment: it has no config.json. Give the directory that "
            "`sktagger train` printed."
        )
    return directory


def read_config(directory):
    """Read an experiment's settings."""
    path = directory / "config.json"
    config = parse_config(path)
    needed = {"database", "training_set", "validation_set", "recipe", "min_length", "tagger"}
    if not needed <= config.keys():
        raise ValueError(
            f"{path}: the keys {', '.join(sorted(needed - config.keys()))} are missing. Restore it."
        )
    return {"unknown_events": "error", **config}  # which earlier versions did not have


def check_name(root, name):
    """Check that a new experiment can have a name."""
    if not name.strip() or name != name.strip() or name in (".", ".."):
        fault = "blank at an end, or . or .."
    elif "/" in name or "\\" in name:
        fault = "a separator of folders"
    elif not name.isprintable():
        fault = "a character that cannot be printed"
    elif os.path.lexists(Path(root) / name):
        raise FileExistsError(
            f"--name: {str(Path(root) / name)!r} is there already. Give another name, or continue "
            "that training by --resume."
        )
    else:
        return
    raise ValueError(
        f"--name: got {name!r:.60}, which has {fault}; allowed is the name of a new folder in "
        f"{str(root)!r}. Give for example --name first-try, and the place by --storage-root."
    )


def create(root, config, events, name=None):
    """Make the directory of a new experiment; None names it by the time."""
    from sktagger.reports.files import write_json

    if name is None:
        directory = new_directory(root)
    else:
        check_name(root, name)
        directory = Path(root) / name
        directory.mkdir(parents=True)
    write_json(events, directory / "events.json")
    write_json(config, directory / "config.json")  # last: what has one is an experiment
    return directory


@contextmanager
def resumable(directory):
    """Let Ctrl-C say how the training in a directory continues."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if interrupt.args:
            raise
        raise KeyboardInterrupt(
            "Training was interrupted. It continues by: sktagger train --resume "
            + shlex.quote(str(directory))
        ) from interrupt


@contextmanager
def locked(directory):
    """Keep other processes from training in the same directory; a lock ends with its process."""
    try:
        with FileLock(directory / "lock", timeout=0):
            delete_partial(directory / "checkpoints")  # of a process that was killed
            yield
    except Timeout as error:
        raise BlockingIOError(
            f"Another process is training in {str(directory)!r}. Wait until it ends, or start a "
            "training of its own."
        ) from error


def new_directory(root):
    """Make a directory named by the time; a second one of that second gets a number."""
    name = datetime.now().strftime("%Y-%m-%d-%H-%M-%S")
    n_tries = 0
    while True:
        directory = Path(root) / (name + f"-{n_tries}" * (n_tries > 0))
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            n_tries += 1
        else:
            return directory


class _Formatter(logging.Formatter):
    """Writes one line per message: it may have names from files of strangers."""

    def __init__(self):
        super().__init__("%(asctime)s  %(message)s", "%H:%M:%S")

    def format(self, record):
        return printable(super().format(record))


class _TqdmHandler(logging.Handler):
    """Writes above a progress bar, not into it."""

    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stderr)


@contextmanager
def logging_to(path):
    """Send the package's log to a file and to standard error."""
    handlers = [logging.FileHandler(path, encoding="utf-8"), _TqdmHandler()]
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(_Formatter())
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
