"""Evaluate a trained experiment: tune thresholds on one set, measure on another."""

from pathlib import Path


def add_arguments(parser):
    """Declare the arguments."""
    parser.add_argument("experiment", metavar="EXP_DIR", help="directory that `train` printed")
    parser.add_argument(
        "--database", metavar="DATABASE", help="JSON database (default: the one trained on)"
    )
    parser.add_argument("--validation-set", metavar="NAME", default="validate")
    parser.add_argument("--test-set", metavar="NAME", default="eval")
    parser.add_argument(
        "--strategy",
        choices=["expected", "best"],
        help="how thresholds are tuned (default: best after --recipe reference, else expected)",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: auto)")


def main(args):
    """Evaluate and print the results table."""
    from sktagger.reports import results_table

    directory, validation, test = evaluate(
        args.experiment,
        database=args.database,
        validation_set=args.validation_set,
        test_set=args.test_set,
        strategy=args.strategy,
        device=args.device,
    )
    print(results_table(validation, test, (args.validation_set, args.test_set)))
    print(directory)


def evaluate(
    experiment,
    *,
    database=None,
    validation_set="validate",
    test_set="eval",
    strategy=None,
    device="auto",
):
    """Tune thresholds on the validation set, measure both sets, write the result files.

    Parameters
    ----------
    experiment : str or PathLike
        Directory of a training.
    database : str, PathLike or None, default=None
        JSON database. None: the one trained on.
    validation_set, test_set : str
        Names of data sets.
    strategy : {"expected", "best"} or None, default=None
        See :class:`sktagger.ThresholdTuner`. None: "best", as published, for experiments of the
        reference recipe, else "expected".
    device : str, default="auto"
        See :class:`sktagger.WALNetTagger`.

    Returns
    -------
    directory : Path
        ``<experiment>/eval/<timestamp>``: ``overall.json``, ``event_wise.json``, ``fp.json``,
        ``fn.json``.
    validation, test : sktagger.reports.Evaluation
    """
    from sktagger.commands import _experiment
    from sktagger.database import load_database
    from sktagger.reports import evaluate_scores, write_evaluation
    from sktagger.thresholds import ThresholdTuner

    experiment = _experiment.existing(experiment)
    config = _experiment.read_config(experiment)
    tagger = _experiment.load_tagger(experiment, device=device)
    db = load_database(config["database"] if database is None else database)
    X_val, Y_val = db.to_xy(validation_set, events=tagger.classes_)
    X_test, Y_test = db.to_xy(test_set, events=tagger.classes_)
    scores_val = tagger.predict_proba(X_val)
    if strategy is None:
        strategy = "best" if config["recipe"] == "reference" else "expected"
    thresholds = ThresholdTuner(strategy=strategy).fit(scores_val, Y_val).thresholds_
    validation = evaluate_scores(Y_val, scores_val, thresholds)
    test = evaluate_scores(Y_test, tagger.predict_proba(X_test), thresholds)
    directory = _experiment.new_directory(Path(experiment) / "eval")
    write_evaluation(directory, validation, test)
    return directory, validation, test
