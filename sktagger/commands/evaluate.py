"""Evaluate an experiment: tune thresholds on one data set and test on another."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from sktagger.reports.files import Evaluation

__all__ = ["add_arguments", "evaluate", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument("experiment", metavar="EXP_DIR", help="directory that `train` printed")
    parser.add_argument(
        "--database",
        metavar="DATABASE",
        help="database, .json or .parquet (default: the one trained on)",
    )
    parser.add_argument("--validation-set", metavar="NAME", default="validate")
    parser.add_argument("--test-set", metavar="NAME", default="eval")
    parser.add_argument(
        "--strategy",
        choices=["expected", "best"],
        help="how thresholds are tuned (default: best after --recipe reference, else expected)",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: auto)")
    parser.add_argument(
        "--on-error",
        choices=["raise", "warn", "skip"],
        help="what to do with clips that cannot be read (default: as in training)",
    )
    parser.add_argument(
        "--unknown-events",
        choices=["error", "ignore"],
        default="error",
        help="what to do if a data set has events that the tagger was not trained on; 'ignore' "
        "leaves these events out and counts them in unknown_events.json (default: error)",
    )
    parser.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="do not write report.html, the page of results and errors",
    )


def main(args: argparse.Namespace) -> None:
    """Evaluate, and print the results table and the directory of the results."""
    names = args.validation_set, args.test_set
    directory, validation, test = evaluate(
        args.experiment,
        database=args.database,
        validation_set=args.validation_set,
        test_set=args.test_set,
        strategy=args.strategy,
        device=args.device,
        on_error=args.on_error,
        unknown_events=args.unknown_events,
        report=args.report,
    )
    from sktagger.reports.files import results_table

    print(results_table(validation, test, names))
    for name, evaluation in zip(names, (validation, test), strict=True):
        if evaluation.unknown_events:
            print(f"Left out: {_describe_unknown(name, evaluation.unknown_events)}")
    if args.report and not (directory / "report.html").exists():
        print("No report.html: it needs packages. Install them: pip install sktagger[report]")
    print(directory)


def evaluate(
    experiment: str | os.PathLike[str],
    *,
    database: str | os.PathLike[str] | None = None,
    validation_set: str = "validate",
    test_set: str = "eval",
    strategy: Literal["expected", "best"] | None = None,
    device: str = "auto",
    on_error: str | None = None,
    unknown_events: str = "error",
    report: bool = True,
) -> tuple[Path, Evaluation, Evaluation]:
    """Tune thresholds on the validation set, evaluate both sets, and write the result files.

    Parameters
    ----------
    experiment : str or PathLike
        Directory of a training.
    database : str, PathLike or None, default=None
        Database, in JSON or Parquet. None: the one that the tagger was trained on.
    validation_set, test_set : str
        Names of data sets.
    strategy : {"expected", "best"} or None, default=None
        See :class:`sktagger.ThresholdTuner`. None: "best", as published, for experiments with the
        reference recipe, "expected" for all others.
    device : str, default="auto"
        See :class:`sktagger.WALNetTagger`.
    on_error : {"raise", "warn", "skip"} or None, default=None
        What to do with clips that cannot be read, see :class:`sktagger.WALNetTagger`. Clips that
        are left out do not count. None: as in training.
    unknown_events : {"error", "ignore"}, default="error"
        What to do if a data set has events that the tagger was not trained on. "ignore" leaves
        these events out: their clips count as clips without them.
    report : bool, default=True
        Whether to write ``report.html``, see :func:`sktagger.reports.write_report`, if the packages
        are installed that it needs (``pip install sktagger[report]``).

    Returns
    -------
    directory : Path
        ``<experiment>/eval/<timestamp>``. It contains ``overall.json``, ``event_wise.json``,
        ``fp.json``, ``fn.json``, ``report.html``, and ``tagger.safetensors``, the tagger with its
        thresholds, for :meth:`sktagger.TunedThresholdTagger.load`. If clips were left out,
        ``skipped.json`` lists their ids; if events were left out, ``unknown_events.json`` has their
        numbers of clips.
    validation, test : sktagger.reports.files.Evaluation

    Raises
    ------
    FileNotFoundError
        If `experiment` or `database` does not exist, or the experiment has no checkpoint yet.
    ValueError
        If a data set is missing, or has events that the tagger was not trained on and
        `unknown_events` is "error". The message names them.
    """
    from sktagger.commands import _experiment
    from sktagger.datasets.database import load_database

    experiment = _experiment.find_experiment(experiment)
    config = _experiment.read_config(experiment)
    db_path = config["database"] if database is None else database
    db = load_database(db_path)
    names = validation_set, test_set
    for name in names:
        db.events(name)  # raises an error if there is no such data set

    # importing PyTorch takes seconds, so everything that can fail without it was checked before
    from sktagger.reports.files import evaluate_scores, write_evaluation, write_json
    from sktagger.reports.page import can_write_report, write_report
    from sktagger.taggers import persistence
    from sktagger.thresholds.tuner import ThresholdTuner

    tagger = _experiment.load_tagger(experiment, device=device)
    if on_error is not None:
        tagger.set_params(on_error=on_error)
    unknown = [db.unknown_events(name, events=tagger.classes_) for name in names]
    try:
        sets = [db.to_xy(n, events=tagger.classes_, unknown_events=unknown_events) for n in names]
    except ValueError as error:
        if not any(unknown):
            raise
        found = [_describe_unknown(*pair) for pair in zip(names, unknown, strict=True) if pair[1]]
        raise ValueError(
            f"{error} Use --unknown-events ignore to leave such events out. {' '.join(found)}"
        ) from error
    _, scores_val, Y_val, skipped_val = _score(tagger, *sets[0])
    X_test, scores_test, Y_test, skipped_test = _score(tagger, *sets[1])
    if strategy is None:
        strategy = "best" if config["recipe"] == "reference" else "expected"
    thresholds = ThresholdTuner(strategy=strategy).fit(scores_val, Y_val).thresholds_
    validation = evaluate_scores(Y_val, scores_val, thresholds)
    validation = validation._replace(unknown_events=unknown[0])
    test = evaluate_scores(Y_test, scores_test, thresholds)
    test = test._replace(unknown_events=unknown[1])
    directory = _experiment.new_directory(experiment / "eval")
    write_evaluation(directory, validation, test)
    if any(unknown):
        left_out = {"validation": unknown[0], "test": unknown[1]}
        write_json(left_out, directory / "unknown_events.json")
    persistence.save(directory / "tagger.safetensors", tagger, thresholds=thresholds)
    if skipped_val or skipped_test:
        skipped = {"validation": skipped_val, "test": skipped_test}
        write_json(skipped, directory / "skipped.json")
    if report and can_write_report():
        write_report(
            directory / "report.html",
            Y_test,
            scores_test,
            thresholds,
            X=X_test,
            tagger=tagger,
            history=_experiment.read_history(experiment),
            validation=(Y_val, scores_val),
            names=names,
            title=f"{experiment.name}: clips {test_set!r}",
            about={"Experiment": experiment, "Database": db_path, "Thresholds": strategy},
        )
    return directory, validation, test


def _describe_unknown(name, unknown):
    """Name the events of a data set that the tagger was not trained on, most frequent first."""
    from sktagger._utils.text import quoted

    frequent = sorted(unknown, key=lambda event: -unknown[event])
    n_labels = sum(unknown.values())
    return (
        f"{name!r} has {len(unknown)} events ({n_labels} labels) that the tagger was not trained "
        f"on: {quoted(frequent)}."
    )


def _score(tagger, X, Y):
    """Return clips, scores and events of those that can be read, and the ids of the others."""
    from sklearn.utils import _safe_indexing

    from sktagger.metrics._scored import scored

    scores = tagger.predict_proba(X)
    kept = scored(scores)
    return _safe_indexing(X, kept.nonzero()[0]), scores[kept], Y[kept], list(Y.index[~kept])
