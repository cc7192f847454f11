"""Train a tagger on a database, and keep the best checkpoint by validation mAP."""

import os
from pathlib import Path

# what `--recipe` stands for; the published schedule leaves out clips shorter than 1.5 s
RECIPES = {
    "default": {"settings": {}, "min_length": 0.0},
    "reference": {
        "settings": {
            "augmentation": "reference",
            "batch_size": 24,
            "lr": 3e-4,
            "gradient_clip": 60.0,
            "max_iterations": 50_000,
            "validate_every": 1000,
        },
        "min_length": 1.5,
    },
}


def add_arguments(parser):
    """Declare the arguments."""
    parser.add_argument(
        "database", metavar="DATABASE", nargs="?", help="JSON database (not with --resume)"
    )
    parser.add_argument("--training-set", metavar="NAME", default="balanced_train")
    parser.add_argument("--validation-set", metavar="NAME", default="validate")
    parser.add_argument(
        "--storage-root",
        metavar="DIR",
        help="experiments are written to DIR/audio_tagging (default: $STORAGE_ROOT or ./storage)",
    )
    parser.add_argument("--resume", metavar="EXP_DIR", help="continue an interrupted training")
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="default",
        help="settings to start from; 'reference' is the published training",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="set a parameter of the tagger, such as lr=1e-3 or augmentation.mixup_prob=0.8",
    )


def main(args):
    """Train; the last line of standard output is the experiment's directory."""
    from sktagger.commands._experiment import parse_settings

    if args.resume is None and args.database is None:
        raise ValueError("DATABASE is missing: give a JSON database, or --resume EXP_DIR.")
    print(
        train(
            args.database,
            training_set=args.training_set,
            validation_set=args.validation_set,
            storage_root=args.storage_root,
            resume=args.resume,
            recipe=args.recipe,
            settings=parse_settings(args.settings),
        )
    )


def train(
    database,
    *,
    training_set="balanced_train",
    validation_set="validate",
    storage_root=None,
    resume=None,
    recipe="default",
    settings=None,
) -> Path:
    """Train a tagger and write all that belongs to it into an experiment directory.

    Parameters
    ----------
    database : str, PathLike or None
        JSON database. Not needed with `resume`.
    training_set, validation_set : str
        Names of data sets.
    storage_root : str, PathLike or None, default=None
        The experiment is written to ``storage_root/audio_tagging/<timestamp>``. None:
        ``$STORAGE_ROOT``, else ``storage``.
    resume : str, PathLike or None, default=None
        Directory of an experiment to continue, with the settings that it was begun with.
    recipe : {"default", "reference"}, default="default"
        Settings to start from.
    settings : dict or None, default=None
        Parameters of :class:`sktagger.WALNetTagger` that differ from the recipe.

    Returns
    -------
    Path
        The experiment's directory: ``config.json``, ``events.json``, ``checkpoints`` (latest and
        best), ``tensorboard``, ``log.txt``.
    """
    from sktagger.callbacks import Checkpoint, TensorBoard
    from sktagger.commands import _experiment
    from sktagger.database import load_database

    if resume is not None:
        if settings:
            raise ValueError(
                f"--set does not go with --resume: {sorted(settings)} would change a training that "
                "has begun. Start a new one, or leave the settings out."
            )
        directory = _experiment.existing(resume)
        config = _experiment.read_config(directory)
    else:
        config = _experiment.make_config(
            database,
            training_set=training_set,
            validation_set=validation_set,
            recipe=recipe,
            min_length=RECIPES[recipe]["min_length"],
            settings={**RECIPES[recipe]["settings"], **(settings or {})},
        )
    tagger = _experiment.make_tagger(config["tagger"])
    db = load_database(config["database"], training_set=config["training_set"])
    X, Y = db.to_xy(config["training_set"], min_length=config["min_length"])
    X_val, Y_val = db.to_xy(config["validation_set"], events=Y.columns)
    if resume is None:
        root = storage_root or os.environ.get("STORAGE_ROOT") or "storage"
        directory = _experiment.create(Path(root) / "audio_tagging", config, list(Y.columns))
    tagger.set_params(
        callbacks=[
            ("checkpoint", Checkpoint(directory / "checkpoints")),
            ("tensorboard", TensorBoard(directory / "tensorboard")),
        ]
    )
    with _experiment.logging_to(directory / "log.txt"):
        tagger.fit(X, Y, X_val=X_val, Y_val=Y_val)
    return directory
