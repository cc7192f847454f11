"""Make synthetic sound scenes, train on them, evaluate, and print the results."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from sktagger.reports.files import Evaluation

__all__ = ["SETTINGS", "add_arguments", "demo", "main"]

# takes less than three minutes on two cores
SETTINGS = {
    "sample_rate": 16000,
    "lr": 1e-3,
    "batch_size": 8,
    "max_epochs": 8,
    "random_state": 0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        "--directory",
        metavar="DIR",
        default="sktagger-demo",
        help="folder for scenes and results (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> None:
    """Run the demo, and print the results beside those of random scores."""
    from sktagger.reports.files import results_table

    directory, validation, test, chance = demo(args.directory)
    print(results_table(validation, test))
    print(
        f"Random scores would reach an mAP of {100 * chance:.2f} on eval: the mean fraction of "
        "clips with an event."
    )
    print(directory)


def demo(
    directory: str | os.PathLike[str],
    *,
    sizes: tuple[int, int, int] = (200, 60, 80),
    settings: Mapping[str, Any] | None = None,
) -> tuple[Path, Evaluation, Evaluation, float]:
    """Make scenes, train and evaluate.

    Parameters
    ----------
    directory : str or PathLike
        Folder for scenes, experiment and results.
    sizes : tuple of int, default=(200, 60, 80)
        Numbers of training, validation and test clips.
    settings : dict or None, default=None
        Parameters of :class:`sktagger.WALNetTagger` that differ from the demo's.

    Returns
    -------
    directory : Path
        Folder of the result files.
    validation, test : sktagger.reports.files.Evaluation
    chance : float
        The test mAP of random scores, on average.
    """
    from sktagger.commands.evaluate import evaluate
    from sktagger.commands.train import train
    from sktagger.datasets.scenes import make_scenes

    n_train, n_validate, n_eval = sizes
    db = make_scenes(
        directory, n_train=n_train, n_validate=n_validate, n_eval=n_eval, random_state=0
    )
    experiment = train(db.path, storage_root=directory, settings={**SETTINGS, **(settings or {})})
    results, validation, test = evaluate(experiment)
    _, Y = db.to_xy("eval")
    return results, validation, test, float(Y.to_numpy().mean())
