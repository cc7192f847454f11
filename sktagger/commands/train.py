"""Train a tagger on a database, and keep the best checkpoint by validation mAP."""

import os
from pathlib import Path

from sktagger._utils.files import expand_path
from sktagger._utils.progress import logger
from sktagger.commands._recipes import RECIPES

_DEFAULTS = {
    "training_set": "balanced_train",
    "validation_set": "validate",
    "unknown_events": "error",
    "recipe": "default",
}


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
    parser.add_argument(
        "--name", help="name of the experiment's directory, which must be new (default: the time)"
    )
    parser.add_argument("--resume", metavar="EXP_DIR", help="continue an interrupted training")
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        help="settings to start from; 'reference' is the published training",
    )
    parser.add_argument(
        "--unknown-events",
        choices=["error", "ignore"],
        help="what is done about events of the validation set that training lacks; 'ignore' leaves "
        "them out (default: error)",
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
            name=args.name,
            resume=args.resume,
            recipe=args.recipe,
            unknown_events=args.unknown_events,
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
    name=None,
    resume=None,
    recipe=None,
    unknown_events=None,
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
        The experiment is written to ``storage_root/audio_tagging/<name>``. None:
        ``$STORAGE_ROOT``, else ``storage``.
    name : str or None, default=None
        Name of the experiment's directory, which must not be there yet. None: the time.
    resume : str, PathLike or None, default=None
        Directory of an experiment to continue, with the settings that it was begun with.
    recipe : {"default", "reference"} or None, default=None
        Settings to start from. None: that of `config`, else "default".
    unknown_events : {"error", "ignore"} or None, default=None
        What is done about events of the validation set that the training set lacks; "ignore" leaves
        them out. None: that of `config`, else "error".
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
    FileNotFoundError
        If the database, `config`, `resume`, or `init_from` is missing.
    FileExistsError
        If there is an experiment of that name.
    ValueError, TypeError
        If a setting or the database is not as it must be; the message says where.
    BlockingIOError
        If another process is training in the directory.
    KeyboardInterrupt
        If training was interrupted; the message says how it continues.
    """
    from sktagger.commands import _experiment
    from sktagger.datasets.database import load_database

    root = expand_path(storage_root or os.environ.get("STORAGE_ROOT") or "storage")
    root /= "audio_tagging"
    if resume is None:
        if name is not None:
            _experiment.check_name(root, name)
        config, layers = _merge(
            config,
            settings or {},
            database=database,
            training_set=training_set,
            validation_set=validation_set,
            recipe=recipe,
            unknown_events=unknown_events,
        )
    else:
        changes = {
            "DATABASE": database,
            "--config": config,
            "--training-set": training_set,
            "--validation-set": validation_set,
            "--storage-root": storage_root,
            "--name": name,
            "--recipe": recipe,
            "--unknown-events": unknown_events,
        }
        _check_resumed_alone(settings, changes)
        directory = _experiment.existing(resume)
        config = _experiment.read_config(directory)
    db = load_database(config["database"], training_set=config["training_set"])
    db.events(config["training_set"])  # which must be there
    X_val, Y_val = db.to_xy(config["validation_set"], unknown_events=config["unknown_events"])

    # PyTorch takes seconds to import: what can be wrong before has been found
    from sklearn.base import clone

    from sktagger.training._file_kinds import find_checkpoint
    from sktagger.training.callbacks import Checkpoint, TensorBoard

    if resume is None:
        config = _experiment.make_config(**config, tagger=layers)
    place = "config" if resume is None else directory / "config.json"
    tagger = _experiment.make_tagger(config, place)
    tagger.set_params(memory=(settings or {}).get("memory"))
    X, Y = db.to_xy(
        config["training_set"], min_length=config["min_length"], on_error=tagger.on_error
    )
    if resume is not None:
        _experiment.check_events(directory, list(Y.columns))
    else:
        directory = _experiment.create(root, config, list(Y.columns), name)
    with (
        _experiment.resumable(directory),
        _experiment.locked(directory),
        _experiment.logging_to(directory / "log.txt"),
    ):
        _log_start(directory, config, tagger, Y, Y_val)
        latest = find_checkpoint(directory / "checkpoints", "latest")
        if tagger.init_from is not None and latest is not None:
            # all there is to go on with; the source may be gone
            tagger.set_params(init_from=latest)
        tagger.set_params(
            callbacks=[
                ("checkpoint", Checkpoint(directory / "checkpoints", on_mismatch="raise")),
                ("tensorboard", TensorBoard(directory / "tensorboard")),
            ]
        )
        # Ctrl-C ends the training of a clone with KeyboardInterrupt
        clone(tagger).fit(X, Y, X_val=X_val, Y_val=Y_val)
    return directory


def _log_start(directory, config, tagger, Y, Y_val):
    """Log what is trained, on what, and where to."""
    from sktagger.batching.devices import resolve_device, resolve_precision

    device = resolve_device(tagger.device)
    logger.info(f"experiment {directory}")
    logger.info(
        f"{len(Y)} clips of {config['training_set']!r} to train on, {len(Y_val)} of "
        f"{config['validation_set']!r} to validate on, {Y.shape[1]} events"
    )
    logger.info(f"device {device}, precision {resolve_precision(tagger.precision, device)}")


def _merge(file, settings, **arguments):
    """Merge recipe, then file, then what was given besides.

    Returns the settings of the training but for the tagger's, and those by the place that they
    come from.
    """
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
    database = expand_path(merged["database"])
    if database.exists():  # where it is now, also for those who continue the training
        merged["database"] = str(database.resolve())
    merged.pop("tagger", None)
    layers = {
        "recipe": recipe["settings"],
        f"{file}, at tagger": config.get("tagger", {}),
        "--recipe": recipe["settings"] if "recipe" in given else {},
        "--set": settings,
    }
    _check_init_from(layers)
    return merged, layers


def _check_init_from(layers):
    """Raise FileNotFoundError if there is nothing where training is to begin from."""
    given = [(place, layer["init_from"]) for place, layer in layers.items() if "init_from" in layer]
    if not given:
        return
    place, source = given[-1]
    if isinstance(source, str | os.PathLike) and not expand_path(source).is_file():
        raise FileNotFoundError(
            f"{place}: init_from: no file {str(source)!r}. Give a file of `save` or a checkpoint."
        )


def _check_resumed_alone(settings, changes):
    """Raise ValueError if something was given that a training which has begun cannot take."""
    params = {name: value for name, value in (settings or {}).items() if name != "memory"}
    for option, value in {"--set": params or None, **changes}.items():
        if value is not None:
            raise ValueError(
                f"{option} does not go with --resume: {value} would change a training that has "
                "begun. Start a new one, or leave it out."
            )
