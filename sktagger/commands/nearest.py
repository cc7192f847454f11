"""Find more like a clip in an archive that was tagged with --embeddings.

PyTorch is imported only inside functions, so that help and errors appear without waiting for it.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Literal

from sktagger._utils.text import printable
from sktagger.commands._tag_output import bar, clock, print_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_arguments", "main", "nearest"]

FORMATS = ("table", "text", "json-lines", "csv", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        "results", metavar="DIR", help="folder that `sktagger tag -o DIR --embeddings` wrote"
    )
    parser.add_argument("query", metavar="QUERY", help="audio file, of the archive or another one")
    parser.add_argument(
        "--section",
        type=float,
        nargs=2,
        metavar=("ONSET", "OFFSET"),
        help="section of the file in seconds (default: the whole file)",
    )
    parser.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help="the model that the archive was tagged with. It is needed for a file or section that "
        "is not in the archive",
    )
    parser.add_argument(
        "-k", type=int, default=10, metavar="K", help="number of rows (default: 10)"
    )
    parser.add_argument(
        "--metric", choices=("cosine", "euclidean"), default="cosine", help="default: cosine"
    )
    parser.add_argument(
        "--per-file", action="store_true", help="list only the best window of each file"
    )
    format = parser.add_mutually_exclusive_group()
    format.add_argument(
        "--format",
        choices=FORMATS,
        help="default: table, with bars, in a terminal; elsewhere text, a line per row with file, "
        "onset, offset and similarity, separated by tabs",
    )
    format.add_argument(
        "--json-lines",
        action="store_const",
        const="json-lines",
        dest="format",
        help="print a JSON object per row",
    )
    parser.add_argument("--device", default="auto", help="default: auto")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def main(args: argparse.Namespace) -> None:
    """Print the nearest rows."""
    rows = nearest(
        args.results,
        args.query,
        args.section,
        model=args.model,
        k=args.k,
        metric=args.metric,
        per_file=args.per_file,
        device=args.device,
        verbose=0 if args.quiet else 1,
    )
    format = args.format or ("table" if sys.stdout.isatty() else "text")
    if format != "table":
        print_rows(rows, format)
        return
    for file, onset, offset, value in rows.itertuples(index=False):
        picture = f"{bar(value)}  " if args.metric == "cosine" else ""
        print(f"{picture}{value:.4g}  {clock(onset)} - {clock(offset)}  {printable(file)}")


def nearest(
    results: str,
    query: str,
    section: tuple[float, float] | None = None,
    *,
    model: str | None = None,
    k: int = 10,
    metric: Literal["cosine", "euclidean"] = "cosine",
    per_file: bool = False,
    device: str = "auto",
    verbose: int = 1,
) -> pd.DataFrame:
    """Find the rows of an archive that are most like a clip.

    Parameters
    ----------
    results : str
        Folder of the results of the archive.
    query : str
        Audio file.
    section : tuple (onset, offset) or None, default=None
        Section of the file in seconds. None: all of it.
    model : str or None, default=None
        Model for a query that is not in the archive, see :func:`sktagger.commands.tag.tag`.
    k : int, default=10
        Number of rows.
    metric : {"cosine", "euclidean"}, default="cosine"
        See :func:`sktagger.recordings.nearest`.
    per_file : bool, default=False
        Whether to return only the best window of each file.
    device : str, default="auto"
        Device of the model.
    verbose : int, default=1
        0: no progress is shown.

    Returns
    -------
    DataFrame of shape (k, 4)
        See :func:`sktagger.recordings.nearest`.

    Raises
    ------
    FileNotFoundError
        If there are no results, no file or no model.
    ValueError
        If a parameter is wrong, or embeddings cannot be compared.
    """
    from sktagger import recordings
    from sktagger.commands._taggers import load_tagger

    tagger = None if model is None else load_tagger(model, device=device, verbose=verbose)
    clip = query if section is None else (query, *section)
    return recordings.nearest(results, clip, k, tagger=tagger, metric=metric, per_file=per_file)
