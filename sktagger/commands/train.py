"""Train a tagger on a database, and keep the best checkpoint by validation mAP."""

import os
from pathlib import Path

from sktagger.commands._recipes import RECIPES

_DEFAULTS = {"training_set": "balanced_train", "validation_set": "validate", "recipe": "default"}


def add_arguments(parser):
    """Declare the arguments."""
    parser.add_argument(
        "database", metavar="DATABASE", nargs="?", help="JSON database (not with --resume)"
    )
    for name in ("training_set", "validation_set"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, metavar="NAME", help=f"default: {_DEFAULTS[name]}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings of a training: config.json of an experiment, or some of its keys, in JSON "
        "or YAML; what else is given here overrides them",
    )
    parser.add_argument(
        "--storage-root",
        metavar="DIR",
        help="experiments are written to DIR/audio_tagging (default: $STORAGE_ROOT or ./storage)",
    )
    parser.add_argument("--resume", metavar="EXP_DIR", help="continue an interrupted training")
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
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

    print(
        train(
            args.database,
            config=args.config,
            training_set=args.training_set,
            validation_set=args.validation_set,
            storage_root=args.storage_root,
            resume=args.resume,
            recipe=args.recipe,
            settings=parse_settings(args.settings),
        )
    )


def train(
    database=None,
    *,
    config=None,
    training_set=None,
    validation_set=None,
    storage_root=None,
    resume=None,
    recipe=None,
    settings=None,
) -> Path:
    """Train a tagger and write all that belongs to it into an experiment directory.

    Parameters
    ----------
    database : str, PathLike or None, default=None
        JSON database. Not needed with `resume`, or if `config` names it.
    config : str, PathLike or None, default=None
        File with settings of a training: the ``config.json`` of an experiment, which makes the
        same training once more, or some of its keys, in JSON or YAML. The other arguments
        override it.
    training_set, validation_set : str or None, default=None
        Names of data sets. None: those of `config`, else ``balanced_train`` and ``validate``.
    storage_root : str, PathLike or None, default=None
        The experiment is written to ``storage_root/audio_tagging/<timestamp>``. None:
        ``$STORAGE_ROOT``, else ``storage``.
    resume : str, PathLike or None, default=None
        Directory of an experiment to continue, with the settings that it was begun with.
    recipe : {"default", "reference"} or None, default=None
        Settings to start from. None: that of `config`, else "default".
    settings : dict or None, default=None
        Parameters of :class:`sktagger.WALNetTagger` that differ from recipe and `config`. With
        `resume`, only `memory`, the cache, which is not kept in the experiment.

    Returns
    -------
    Path
        The experiment's directory: ``config.json``, ``events.json``, ``checkpoints`` (latest and
        best), ``tensorboard``, ``log.txt``.

    Raises
    ------
    BlockingIOError
        If another process is training in the directory.
    KeyboardInterrupt
        If training was interrupted; the message says how it continues.
    """
    from sklearn.base import clone

    from sktagger.callbacks import Checkpoint, TensorBoard
    from sktagger.commands import _experiment
    from sktagger.database import load_database

    if resume is None:
        config = _resolve(
            config,
            settings or {},
            database=database,
            training_set=training_set,
            validation_set=validation_set,
            recipe=recipe,
        )
    else:
        _check_resumed_alone(config, settings)
        directory = _experiment.existing(resume)
        config = _experiment.read_config(directory)
    place = "config" if resume is None else directory / "config.json"
    tagger = _experiment.make_tagger(config, place)
    tagger.set_params(memory=(settings or {}).get("memory"))
    db = load_database(config["database"], training_set=config["training_set"])
    X, Y = db.to_xy(
        config["training_set"], min_length=config["min_length"], on_error=tagger.on_error
    )
    X_val, Y_val = db.to_xy(config["validation_set"], events=Y.columns)
    if resume is None:
        root = storage_root or os.environ.get("STORAGE_ROOT") or "storage"
        directory = _experiment.create(Path(root) / "audio_tagging", config, list(Y.columns))
    with _experiment.locked(directory), _experiment.logging_to(directory / "log.txt"):
        latest = directory / "checkpoints" / "latest.pt"
        if tagger.init_from is not None and latest.exists():
            # all there is to go on with; the source may be gone
            tagger.set_params(init_from=latest)
        tagger.set_params(
            callbacks=[
                ("checkpoint", Checkpoint(directory / "checkpoints", on_mismatch="raise")),
                ("tensorboard", TensorBoard(directory / "tensorboard")),
            ]
        )
        try:
            # a clone lets Ctrl-C through
            clone(tagger).fit(X, Y, X_val=X_val, Y_val=Y_val)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"Training was interrupted. It continues by: sktagger train --resume {directory}"
            ) from interrupt
    return directory


def _resolve(file, settings, **arguments):
    """Resolve the settings of a training: recipe, then file, then what was given besides."""
    from sktagger.commands import _experiment
    from sktagger.commands._config import read_config_file

    config = {} if file is None else read_config_file(file)
    given = {name: value for name, value in arguments.items() if value is not None}
    if "database" not in config and "database" not in given:
        raise ValueError(
            "DATABASE is missing: give a JSON database, a --config that names it, or --resume "
            "EXP_DIR."
        )
    if "database" not in given and not Path(config["database"]).is_file():
        raise FileNotFoundError(
            f"{file}, at database: no file {config['database']!r}. Correct the file, or give "
            "DATABASE besides."
        )
    merged = {**_DEFAULTS, **config, **given}
    recipe = RECIPES[merged["recipe"]]
    if "recipe" in given or "min_length" not in config:
        merged["min_length"] = recipe["min_length"]
    layers = {
        "recipe": recipe["settings"],
        f"{file}, at tagger": config.get("tagger", {}),
        "--recipe": recipe["settings"] if "recipe" in given else {},
        "--set": settings,
    }
    return _experiment.make_config(**{**merged, "tagger": layers})


def _check_resumed_alone(config, settings):
    changes = {name: value for name, value in (settings or {}).items() if name != "memory"}
    for option, value in (("--set", changes), ("--config", config)):
        if value:
            raise ValueError(
                f"{option} does not go with --resume: {value} would change a training that has "
                "begun. Start a new one, or leave it out."
            )
