"""List the pretrained models and which of them are on this machine, or fetch some."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_arguments", "main", "models"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="models (default: all)")
    parser.add_argument(
        "--fetch",
        action="store_true",
        help="fetch the files of these models that are not there yet, and print their paths",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def main(args: argparse.Namespace) -> None:
    """Print a table, JSON, or the paths of fetched files."""
    from sktagger.pretrained import cache_dir

    table = models(args.names, fetch=args.fetch)
    if args.json:
        records = table.reset_index().to_json(orient="records", double_precision=3)
        print(json.dumps(json.loads(records), indent=2))
    elif args.fetch:
        print("\n".join(table["path"]))
    else:
        print(_as_text(table))
        print(f"Cached files are in {cache_dir()}; SKTAGGER_CACHE names another folder.")


def models(names: Sequence[str] = (), *, fetch: bool = False) -> pd.DataFrame:
    """List pretrained models, and fetch their files if wanted.

    Parameters
    ----------
    names : sequence of str, default=()
        Names of models. Empty: all models.
    fetch : bool, default=False
        Whether to fetch the files of these models that are not there yet.

    Returns
    -------
    DataFrame
        The rows of :func:`sktagger.pretrained.list_models` for these models, in the given order.

    Raises
    ------
    ValueError
        If there is no model of a name, or `fetch` is True without names.
    ConnectionError
        If a file cannot be fetched.
    OSError
        If a file cannot be saved.
    """
    from sktagger import pretrained

    if fetch and not names:
        raise ValueError(
            "--fetch: no model is named, and all models together have gigabytes. Name those that "
            "you need, for example: sktagger models mn10_as --fetch"
        )
    names = [pretrained.find_model(name).name for name in dict.fromkeys(names)]
    if fetch:
        for name in names:
            pretrained.fetch(name)
    table = pretrained.list_models()
    return table.loc[names] if names else table


def _as_text(table):
    """Write the main columns for a terminal."""
    shown = table[["network", "parameters", "mAP", "size", "license", "cached"]].reset_index()
    shown["parameters"] = [f"{n / 1e6:.2f} M" for n in table["parameters"]]
    shown["mAP"] = [f"{100 * mAP:.1f}" for mAP in table["mAP"]]
    shown["size"] = [f"{n / 1e6:.1f} MB" if n > 0 else "?" for n in table["size"].fillna(0)]
    shown["cached"] = ["yes" if cached else "no" for cached in table["cached"]]
    widths = {name: max(len(name), *map(len, shown[name])) for name in shown}
    right = {"parameters", "mAP", "size"}
    rows = [dict(zip(shown, shown, strict=True)), *shown.to_dict("records")]
    return "\n".join(
        "  ".join(
            text.rjust(widths[name]) if name in right else text.ljust(widths[name])
            for name, text in row.items()
        ).rstrip()
        for row in rows
    )
