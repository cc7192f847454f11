"""Check a database before training: files, lengths, events and sets."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sktagger.datasets.report import DatabaseReport

__all__ = ["add_arguments", "check", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument("database", metavar="DATABASE", help="database, .json or .parquet")
    parser.add_argument(
        "--training-set",
        metavar="NAME",
        default="balanced_train",
        help="set that a tagger is trained on (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def main(args: argparse.Namespace) -> None:
    """Print the report; clips that are missing or cannot be read are an error."""
    report = check(args.database, training_set=args.training_set, verbose=not args.quiet)
    print(json.dumps(report.to_dict(), indent=1) if args.json else report)
    if n_faulty := len(report.faulty):
        raise ValueError(
            f"{n_faulty} of {int(report.sets['clips'].sum())} clips are missing or cannot be read. "
            "Correct the database, or train with --set on_error=skip."
        )


def check(
    database: str | os.PathLike[str],
    *,
    training_set: str = "balanced_train",
    verbose: int | bool = 1,
) -> DatabaseReport:
    """Check a database.

    Parameters
    ----------
    database : str or PathLike
        The file, in JSON or Parquet.
    training_set : str, default="balanced_train"
        Name of the data set that a tagger is trained on.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    DatabaseReport
        See :func:`sktagger.datasets.check_database`.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or not a database.
    """
    from sktagger.datasets.database import load_database
    from sktagger.datasets.report import check_database

    return check_database(load_database(database, training_set=training_set), verbose=verbose)
