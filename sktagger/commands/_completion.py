"""Completion of the command line by the shell, with the optional package argcomplete.

A shell waits for this at each press of Tab, so PyTorch, pandas and scikit-learn are not imported.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator

Completer = Callable[..., list[str]]

# as in sktagger.networks, which imports PyTorch
NETWORKS = ("CRNN", "EfficientAT", "FBCRNN", "PANNs", "WALNet")


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and exit, if it asks for completions; otherwise do nothing.

    Parameters
    ----------
    parser : ArgumentParser
        With all commands.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:  # the shell asks all the same if another environment has argcomplete
        return
    for action in _actions(parser):
        completer = _BY_NAME.get(action.dest) or _BY_METAVAR.get(str(action.metavar))
        if completer is not None and action.choices is None:
            action.completer = completer  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, default_completer=_nothing)  # type: ignore[arg-type]


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)
        else:
            yield action


def _paths(prefix: str, *suffixes: str, files: bool = True) -> list[str]:
    """Return the folders that begin with a prefix, and the files, perhaps of some suffixes only."""
    folder, name = os.path.split(prefix)
    found = []
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            for entry in entries:
                is_hidden = entry.name.startswith(".") and not name.startswith(".")
                if is_hidden or not entry.name.startswith(name):
                    continue
                if entry.is_dir():
                    found.append(os.path.join(folder, entry.name, ""))
                elif files and (not suffixes or entry.name.lower().endswith(suffixes)):
                    found.append(os.path.join(folder, entry.name))
    except (OSError, ValueError):
        return []
    return sorted(found)


def _files(prefix: str, **_) -> list[str]:
    return _paths(prefix)


def _folders(prefix: str, **_) -> list[str]:
    return _paths(prefix, files=False)


def _databases(prefix: str, **_) -> list[str]:
    return _paths(prefix, ".json", ".parquet")


def _settings(prefix: str, **_) -> list[str]:
    return _paths(prefix, ".json", ".toml")


def _models(**_) -> list[str]:
    from sktagger.pretrained._models import MODELS

    return list(MODELS)


def _models_and_files(prefix: str, **_) -> list[str]:
    return [*_models(), *_paths(prefix)]


def _model_or_recordings(prefix: str, parsed_args: argparse.Namespace, **_) -> list[str]:
    """Complete the files of `tag`: without --model, the first one is the model."""
    has_model = parsed_args.model or parsed_args.files
    return _paths(prefix) if has_model else _models_and_files(prefix)


def _networks(**_) -> list[str]:
    return list(NETWORKS)


def _devices(**_) -> list[str]:
    return ["auto", "cpu", "cuda"]


def _nothing(**_) -> list[str]:
    return []


_BY_METAVAR: dict[str, Completer] = {
    "DATABASE": _databases,
    "DIR": _folders,
    "EXP_DIR": _folders,
    "FILE": _files,
    "OUT": _files,
    "QUERY": _files,
    "SOURCE": _files,
}
# these go first
_BY_NAME: dict[str, Completer] = {
    "config": _settings,
    "device": _devices,
    "files": _model_or_recordings,
    "init": _models_and_files,
    "model": _models_and_files,
    "names": _models,
    "network": _networks,
}
