"""Train a tagger on a database and keep the checkpoint with the best validation mAP."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sktagger._utils.files import expand_path
from sktagger._utils.progress import logger
from sktagger.commands._completion import NETWORKS
from sktagger.commands._recipes import RECIPES, find_recipe

__all__ = ["add_arguments", "main", "train"]

_DEFAULTS = {
    "training_set": "balanced_train",
    "validation_set": "validate",
    "unknown_events": "error",
    "recipe": "default",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        "database",
        metavar="DATABASE",
        nargs="?",
        help="database, .json or .parquet (not with --resume)",
    )
    for name in ("training_set", "validation_set"):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, metavar="NAME", help=f"default: {_DEFAULTS[name]}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="settings of a training, in TOML (.toml) or JSON: config.json of an experiment, or "
        'some of its keys; other arguments override them. TOML has no null: write "None" for a '
        "parameter of the tagger that is None, or leave it out",
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
        help="settings to start from; 'reference' is the published training of the network, which "
        "is that of WALNet unless --network is given",
    )
    parser.add_argument(
        "--network",
        metavar="NAME",
        help="train an AudioTagger with this network, such as WALNet, whose settings are then "
        "network.pooling=mean and the like (default: that of --init, else a WALNetTagger)",
    )
    parser.add_argument(
        "--init",
        metavar="SOURCE",
        help="start from trained weights: a checkpoint of an experiment, EfficientAT or PANNs, the "
        "directory of an experiment, a saved tagger, or a pretrained model by its name (`sktagger "
        "models` lists them), which is fetched once. Network and settings are those of SOURCE, "
        "unless they are given. With --set freeze=backbone, only the head is trained. In --config, "
        "it is init_from of the tagger, relative to that file",
    )
    parser.add_argument(
        "--unknown-events",
        choices=["error", "ignore"],
        help="what to do if the validation set has events that the training set lacks; 'ignore' "
        "leaves these events out (default: error)",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="set a parameter of the tagger, such as lr=1e-3 or augmentation.mixup_prob=0.8; it "
        "overrides all other options",
    )


def main(args: argparse.Namespace) -> None:
    """Train; the last line of standard output is the experiment's directory."""
    from sktagger.commands._settings import parse_settings

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
            network=args.network,
            init=args.init,
            unknown_events=args.unknown_events,
            settings=parse_settings(args.settings),
        )
    )


def train(
    database: str | os.PathLike[str] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    training_set: str | None = None,
    validation_set: str | None = None,
    storage_root: str | os.PathLike[str] | None = None,
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    recipe: str | None = None,
    network: str | None = None,
    init: str | os.PathLike[str] | None = None,
    unknown_events: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Train a tagger and write everything that belongs to it into an experiment directory.

    Parameters
    ----------
    database : str, PathLike or None, default=None
        Database, in JSON or Parquet. Not needed with `resume`, or if `config` names it.
    config : str, PathLike or None, default=None
        File with settings of a training, in TOML (``.toml``) or JSON: the ``config.json`` of an
        experiment, which repeats that training, or some of its keys. The other arguments override
        it. Paths in it, `database` and `init_from` of the tagger, are relative to its folder. TOML
        has no null: the string "None" as a parameter of the tagger is taken as None.
    training_set, validation_set : str or None, default=None
        Names of data sets. None: those of `config`, or else ``balanced_train`` and ``validate``.
    storage_root : str, PathLike or None, default=None
        The experiment is written to ``storage_root/audio_tagging/<name>``. None:
        ``$STORAGE_ROOT``, or else ``storage``.
    name : str or None, default=None
        Name of the experiment's directory, which must not exist yet. None: the time.
    resume : str, PathLike or None, default=None
        Directory of an experiment to continue, with the settings that it started with.
    recipe : {"default", "reference"} or None, default=None
        Settings to start from; "reference" is the published training of the network that `network`
        or `config` name, else that of WALNet. None: the recipe of `config`, or else "default".
    network : str or None, default=None
        Name of a network of :mod:`sktagger.networks`: an :class:`sktagger.AudioTagger` with it is
        trained. None: estimator and network of `config`, else the network of `init`, else a
        :class:`sktagger.WALNetTagger`.
    init : str, PathLike or None, default=None
        Source of the first weights, `init_from` of the tagger: a file, an experiment's directory,
        which stands for its best checkpoint, or the name of a pretrained model. If neither
        `network`, `config` nor `settings` state the network, it is that of the source, with an
        :class:`sktagger.AudioTagger` unless it is a WALNet. Its settings are those of the source,
        unless others are given. It overrides `init_from` of `config`, and `settings` override it.
        None: `init_from` of `settings` or `config`, else random weights.
    unknown_events : {"error", "ignore"} or None, default=None
        What to do if the validation set has events that the training set lacks. "ignore" leaves
        these events out. None: the value of `config`, or else "error".
    settings : dict or None, default=None
        Parameters of the tagger. They override all other arguments. With `resume`, only `memory` is
        allowed; this cache is not stored in the experiment.

    Returns
    -------
    Path
        The experiment's directory. It contains ``config.json``, ``events.json``, ``checkpoints``
        (latest and best), ``tensorboard`` and ``log.txt``.

    Raises
    ------
    FileNotFoundError
        If `database`, `config`, `resume` or the source of the first weights does not exist.
    FileExistsError
        If an experiment of that name exists.
    ConnectionError
        If a pretrained model cannot be fetched.
    ValueError, TypeError
        If a setting or the database is invalid, or the source of the first weights is damaged or
        does not fit. The message says which layer of settings (such as `config` or `settings`) is
        to blame.
    BlockingIOError
        If another process is training in the directory.
    KeyboardInterrupt
        If training was interrupted. The message says how to continue it.
    """
    from sktagger.commands import _experiment, _settings
    from sktagger.commands._logs import logging_to
    from sktagger.datasets.database import load_database

    root = expand_path(storage_root or os.environ.get("STORAGE_ROOT") or "storage")
    root /= "audio_tagging"
    if resume is None:
        if name is not None:
            _experiment.check_name(root, name)
        plan, layers = _merge(
            config,
            settings or {},
            database=database,
            training_set=training_set,
            validation_set=validation_set,
            recipe=recipe,
            network=network,
            init=init,
            unknown_events=unknown_events,
        )
        _settings.check_init_from(layers)
    else:
        changes = {
            "DATABASE": database,
            "--config": config,
            "--training-set": training_set,
            "--validation-set": validation_set,
            "--storage-root": storage_root,
            "--name": name,
            "--recipe": recipe,
            "--network": network,
            "--init": init,
            "--unknown-events": unknown_events,
        }
        _check_resumed_alone(settings, changes)
        directory = _experiment.find_experiment(resume)
        plan = _experiment.read_config(directory)
    db = load_database(plan["database"], training_set=plan["training_set"])
    db.events(plan["training_set"])  # raises an error if there is no such data set
    X_val, Y_val = db.to_xy(plan["validation_set"], unknown_events=plan["unknown_events"])

    # importing PyTorch takes seconds, so everything that can fail without it was checked before
    from sklearn.base import clone

    from sktagger.training._file_kinds import find_checkpoint
    from sktagger.training.callbacks import Checkpoint, TensorBoard

    if resume is None:
        plan = _settings.make_config(**plan, tagger=layers)
    place = "config" if resume is None else directory / "config.json"
    tagger = _settings.make_tagger(plan, place)
    learner = tagger._get_network()
    if learner.needs_onsets:
        raise ValueError(
            f"--network: {type(learner).__name__} learns from onsets and offsets, which databases "
            "do not have. Train an FBCRNN, and then, in Python, a StrongLabelTagger."
        )
    tagger.set_params(memory=(settings or {}).get("memory"))
    X, Y = db.to_xy(plan["training_set"], min_length=plan["min_length"], on_error=tagger.on_error)
    if resume is not None:
        _experiment.check_events(directory, list(Y.columns))
    else:
        directory = _experiment.create(root, plan, list(Y.columns), name)
    with (
        _experiment.resumable(directory),
        _experiment.locked(directory),
        logging_to(directory / "log.txt"),
    ):
        latest = find_checkpoint(directory / "checkpoints", "latest")
        _log_start(directory, plan, tagger, Y, Y_val, begins=latest is None)
        if tagger.init_from is not None and latest is not None:
            # the checkpoint is enough to continue; the original source may be gone
            tagger.set_params(init_from=latest)
        tagger.set_params(
            callbacks=[
                ("checkpoint", Checkpoint(directory / "checkpoints", on_mismatch="raise")),
                ("tensorboard", TensorBoard(directory / "tensorboard")),
            ]
        )
        # the fit of a clone raises KeyboardInterrupt on Ctrl-C
        clone(tagger).fit(X, Y, X_val=X_val, Y_val=Y_val)
    return directory


def _log_start(directory, config, tagger, Y, Y_val, *, begins):
    """Log the directory, the data, the device and, if training begins, its first weights."""
    from sktagger.batching.devices import resolve_device, resolve_precision

    device, network = resolve_device(tagger.device), tagger._get_network()
    precision = resolve_precision(tagger.precision, device, network)
    logger.info(f"experiment {directory}")
    logger.info(
        f"{len(Y)} training clips ({config['training_set']!r}), {len(Y_val)} validation clips "
        f"({config['validation_set']!r}), {Y.shape[1]} events"
    )
    logger.info(f"device {device}, precision {precision}")
    if tagger.init_from is not None and begins:
        settings = " ".join(repr(network.resolve()).split())
        lr = tagger._resolve("lr", network)
        logger.info(f"weights of {tagger.init_from}: {settings}, learning rate {lr:g}")


def _merge(file, settings, **arguments):
    """Merge the recipe, the config file and the arguments; later ones override earlier ones.

    Returns the settings of the training without those of the tagger, and the latter by the place
    that they come from.
    """
    from sktagger.commands._config import read_config_file
    from sktagger.commands._settings import RECIPE, RECIPE_OPTION
    from sktagger.commands._sources import INIT

    config = {} if file is None else read_config_file(file)
    config.pop("format", None)
    init = arguments.pop("init")
    given = {name: value for name, value in arguments.items() if value is not None}
    if "database" not in config and "database" not in given:
        raise ValueError(
            "DATABASE is missing. Give a database, a --config that names one, or --resume EXP_DIR."
        )
    if "database" not in given and not Path(config["database"]).is_file():
        raise FileNotFoundError(
            f"{file}, at database: the file {config['database']!r} does not exist. Correct the "
            "path, or give DATABASE as an argument."
        )
    merged = {**_DEFAULTS, **config, **given}
    described = merged.pop("network", None)
    named = described if isinstance(described, str) else None
    if named:
        merged["estimator"] = "AudioTagger"
        named = next((name for name in NETWORKS if name.lower() == named.lower()), named)
    recipe = find_recipe(merged["recipe"], named or (described or {}).get("name", "WALNet"))
    if "recipe" in given or "min_length" not in config:
        merged["min_length"] = recipe["min_length"]
    database = expand_path(merged["database"])
    if database.exists():  # without links, so that the training can be continued from anywhere
        merged["database"] = str(database.resolve())
    merged.pop("tagger", None)
    layers = {
        RECIPE: recipe["settings"],
        f"{file}, at tagger": config.get("tagger", {}),
        "--network": {"network": named} if named else {},
        RECIPE_OPTION: recipe["settings"] if "recipe" in given else {},
        INIT: {} if init is None else {"init_from": init},
        "--set": settings,
    }
    return merged, layers


def _check_resumed_alone(settings, changes):
    """Raise ValueError if an argument would change a training that has already started."""
    params = {name: value for name, value in (settings or {}).items() if name != "memory"}
    for option, value in {"--set": params or None, **changes}.items():
        if value is not None:
            raise ValueError(
                f"{option} cannot be used with --resume: {value} would change a training that has "
                "already started. Leave it out, or start a new training."
            )
