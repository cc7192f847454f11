"""Make a database of folders, tables, annotations or a public data set, and report on it."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktagger._utils.progress import logger
from sktagger._utils.text import nearest, quoted, short

if TYPE_CHECKING:
    from sktagger.datasets.report import DatabaseReport

__all__ = ["KINDS", "add_arguments", "import_", "main"]

# kinds of sources, and what they are
KINDS = {
    "folders": "folders named by events, also in train/, validate/ and test/",
    "table": "a CSV, TSV or Parquet table of files and events",
    "raven": "selection tables of Raven",
    "audacity": "label files of Audacity",
    "audioset": "AudioSet: tables of segments, and audio files",
    "fsd50k": "FSD50K",
    "esc50": "ESC-50 or ESC-10",
    "urbansound8k": "UrbanSound8K",
    "corrections": "corrections of labels that a page of `sktagger review` saved",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, meaning in KINDS.items():
        sub = kinds.add_parser(kind, help=meaning, description=f"Import {meaning}.")
        sub.add_argument("source", metavar="SOURCE", help="the file or folder to import")
        options = sub.add_argument_group("source")
        for name, settings in _OPTIONS[kind].items():
            # What is not given is left to the default of the importer.
            settings = {"default": argparse.SUPPRESS, "dest": f"option_{name}", **settings}
            option = settings.pop("option", f"--{name.replace('_', '-')}")
            options.add_argument(option, **settings)
        options.add_argument(
            "--on-error",
            choices=["skip", "raise"],
            default="skip",
            help="files that are missing or cannot be read: leave them out and list them, or stop "
            "at the first one (default: skip)",
        )
        _add_output(sub)


def _add_output(parser):
    group = parser.add_argument_group("database")
    group.add_argument(
        "-o", "--output", metavar="FILE", default="database.json",
        help="file to write, .json or .parquet (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--split", metavar="SET=SHARE", nargs="+",
        help="split the clips at random, for example: train=0.8 validate=0.1 eval=0.1",
    )  # fmt: skip
    group.add_argument(
        "--groups", metavar="KEY",
        help="with --split: clips with the same value of this key stay together, for example group",
    )  # fmt: skip
    group.add_argument(
        "--folds", metavar="SET=FOLDS", nargs="+",
        help="split the clips by their folds, for example: train=1,2,3 validate=4 eval=5",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="of --split (default: 0)")
    group.add_argument("--json", action="store_true", help="print the report as JSON")
    group.add_argument("--quiet", action="store_true", help="show no progress")


_AUDIO = {"metavar": "DIR", "help": "folder of the audio files (default: that of the source)"}
_TIMES: dict[str, dict[str, Any]] = {
    "window": {"type": float, "metavar": "S", "help": "cut recordings into clips of S seconds"},
    "overlap": {"type": float, "metavar": "S", "help": "overlap of clips in seconds (default: 0)"},
    "min_overlap": {
        "type": float,
        "metavar": "S",
        "help": "an event is in a clip if this many seconds of it are (default: 0.5)",
    },
    "min_share": {
        "type": float,
        "metavar": "SHARE",
        "help": "or if this share of it is (default: 0.5)",
    },
    "keep_empty": {
        "option": "--no-background",
        "action": "store_false",
        "help": "leave out clips without events",
    },
}
_TABLE: dict[str, dict[str, Any]] = {
    "file": {"metavar": "COLUMN", "help": "column of the files (default: found by its name)"},
    "events": {
        "metavar": "COLUMN",
        "nargs": "+",
        "help": "column of the events, or several columns of 0 and 1 (default: found)",
    },
    "separator": {
        "metavar": "TEXT",
        "help": "between the events in a cell, '' if each cell is one event (default: found, or '' "
        "if events have times)",
    },
    "root": {"metavar": "DIR", "help": "where paths start (default: the folder of the table)"},
    "dataset": {"metavar": "COLUMN", "help": "column of the data sets (default: found)"},
    "onset": {"metavar": "COLUMN", "help": "column of the onsets in seconds"},
    "offset": {"metavar": "COLUMN", "help": "column of the offsets in seconds"},
    "keys": {"metavar": "COLUMN", "nargs": "+", "help": "columns to keep, such as fold"},
}
_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "folders": {
        "layout": {
            "metavar": "LEVELS",
            "help": "what the folders are named by: event, set/event, event/group, ... "
            "(default: found)",
        },
        "no_event": {
            "metavar": "NAME",
            "nargs": "+",
            "help": "folders of clips without events, such as background; quote names with spaces",
        },
    },
    "table": {**_TABLE, **_TIMES},
    "raven": {
        "audio": _AUDIO,
        "events": {"metavar": "COLUMN", "help": "column of the events (default: found)"},
        **_TIMES,
    },
    "audacity": {"audio": _AUDIO, **_TIMES},
    "audioset": {
        "audio": _AUDIO,
        "classes": {"metavar": "FILE", "help": "class_labels_indices.csv (default: the 527)"},
    },
    "fsd50k": {
        "audioset_names": {"action": "store_true", "help": "name events as in AudioSet"},
    },
    "esc50": {"esc10": {"action": "store_true", "help": "only the 10 events of ESC-10"}},
    "urbansound8k": {},
    "corrections": {
        "database": {
            "metavar": "FILE",
            "help": "database of the clips, which does not change (default: none)",
        },
        "dataset": {
            "metavar": "NAME",
            "help": "data set of clips that are in no database (default: reviewed)",
        },
    },
}


def main(args: argparse.Namespace) -> None:
    """Import; print the report and, in the last line, the path of the database."""
    prefix = "option_"
    options = {
        name.removeprefix(prefix): value
        for name, value in vars(args).items()
        if name.startswith(prefix)
    }
    if args.kind == "table" and len(options.get("events", ())) == 1:
        (options["events"],) = options["events"]
    path, report = import_(
        args.kind,
        args.source,
        args.output,
        split=_parse_shares(args.split),
        groups=args.groups,
        folds=_parse_folds(args.folds),
        seed=args.seed,
        on_error=args.on_error,
        verbose=not args.quiet,
        options=options,
    )
    if args.json:
        print(json.dumps({"database": str(path), **report.to_dict()}, indent=1))
    else:
        print(report, path, sep="\n\n")


def import_(
    kind: str,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str] = "database.json",
    *,
    split: Mapping[str, float] | None = None,
    groups: str | None = None,
    folds: Mapping[str, Iterable[Any]] | None = None,
    seed: int = 0,
    on_error: str = "skip",
    verbose: int | bool = 1,
    options: Mapping[str, Any] | None = None,
) -> tuple[Path, DatabaseReport]:
    """Import a source and write a database.

    Parameters
    ----------
    kind : str
        A key of `KINDS`: the importer ``read_<kind>`` of :mod:`sktagger.datasets`.
    source : str or PathLike
        The file or folder to import.
    output : str or PathLike, default="database.json"
        The file to write, which ends with ``.json`` or ``.parquet``.
    split : dict of str to float or None, default=None
        Shares for :func:`sktagger.datasets.split_database`.
    groups : str or None, default=None
        Key of clips that stay together, with `split`.
    folds : dict of str to list or None, default=None
        Folds for :func:`sktagger.datasets.split_by_fold`, instead of `split`.
    seed : int, default=0
        Of `split`.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read.
    verbose : int or bool, default=1
        0 shows no progress.
    options : dict or None, default=None
        Other parameters of the importer.

    Returns
    -------
    path : Path
        The absolute path of the database.
    report : DatabaseReport
        What is in it, and what was left out.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        If an option is not allowed, the source cannot be imported, or the file cannot be written.
    """
    from sktagger import datasets
    from sktagger.datasets._writing import check_suffix

    if kind not in KINDS:
        raise ValueError(
            f"kind: got {short(kind)}{nearest(kind, KINDS)}; allowed is {quoted(KINDS, 8)}. Give "
            "one of these."
        )
    if split and folds:
        raise ValueError("--split cannot be used with --folds. Give one of them.")
    if groups and not split:
        raise ValueError("--groups is used with --split only. Add --split, or leave it out.")
    check_suffix(output, "--output")  # before the headers of thousands of files are read
    reader = getattr(datasets, f"read_{kind}")
    with warnings.catch_warnings():
        # The report lists what is left out.
        warnings.filterwarnings("ignore", message=".* are left out, .* clips are kept")
        db = reader(source, on_error=on_error, verbose=verbose, **(options or {}))
    if split:
        db = datasets.split_database(db, split, groups=groups, random_state=seed)
    elif folds:
        db = datasets.split_by_fold(db, folds)
    path = db.save(output)
    logger.info(f"{db!r} written to {path}")
    return path, db.report


def _parse_shares(texts):
    """Parse SET=SHARE."""
    if texts is None:
        return None
    shares = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            shares[name] = float(share)
        except ValueError as error:
            raise ValueError(
                f"--split: got {text!r}; allowed is SET=SHARE. Give for example train=0.8 "
                "validate=0.1 eval=0.1."
            ) from error
    return shares


def _parse_folds(texts):
    """Parse SET=FOLD,FOLD,..."""
    if texts is None:
        return None
    folds = {}
    for text in texts:
        name, _, values = text.partition("=")
        if not values:
            raise ValueError(
                f"--folds: got {text!r}; allowed is SET=FOLD,FOLD,... Give for example "
                "train=1,2,3 validate=4 eval=5."
            )
        folds[name] = values.split(",")
    return folds
