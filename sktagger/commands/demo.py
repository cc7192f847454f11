"""Make synthetic sound scenes, train on them, evaluate, and print the results."""

# small enough for two cores in under three minutes
SETTINGS = {
    "sample_rate": 16000,
    "lr": 1e-3,
    "batch_size": 8,
    "max_epochs": 8,
    "random_state": 0,
}


def add_arguments(parser):
    """Declare the arguments."""
    parser.add_argument(
        "--directory",
        metavar="DIR",
        default="sktagger-demo",
        help="where scenes and results are written (default: %(default)s)",
    )


def main(args):
    """Run the demo and say what its figures mean."""
    from sktagger.reports.files import results_table

    directory, validation, test, chance = demo(args.directory)
    print(results_table(validation, test))
    print(f"Chance: an mAP of {100 * chance:.2f} on eval, the mean share of clips with an event.")
    print(directory)


def demo(directory, *, sizes=(200, 60, 80), settings=None):
    """Run the whole flow on synthetic scenes.

    Parameters
    ----------
    directory : str or PathLike
        Where scenes, experiment and results are written.
    sizes : tuple of int, default=(200, 60, 80)
        Numbers of clips to train, validate and evaluate on.
    settings : dict or None, default=None
        Parameters of :class:`sktagger.WALNetTagger` that differ from the demo's.

    Returns
    -------
    directory : Path
        The result files.
    validation, test : sktagger.reports.files.Evaluation
    chance : float
        The eval mAP that random scores have on average.
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
