"""Reading the settings of a training from a TOML or JSON file."""

import os
from numbers import Real
from pathlib import Path
from typing import Any

from sktagger._utils.files import expand_path
from sktagger._utils.schema import Field, check_object
from sktagger.commands._formats import file_format, read_plain
from sktagger.commands._recipes import RECIPES
from sktagger.pretrained._models import MODELS

CONFIG_FORMAT = 2
ESTIMATORS = ("WALNetTagger", "AudioTagger")


def _is_text(value):
    return isinstance(value, str)


def _is_duration(value):
    return isinstance(value, Real) and not isinstance(value, bool) and value >= 0


_FIELDS = {
    "database": Field("the path of a database", _is_text),
    "training_set": Field("the name of a data set", _is_text),
    "validation_set": Field("the name of a data set", _is_text),
    "recipe": Field(
        f"one of {', '.join(map(repr, RECIPES))}",
        lambda value: _is_text(value) and value in RECIPES,
    ),
    "min_length": Field("a number of seconds, at least 0", _is_duration),
    # older versions did not write it
    "unknown_events": Field(
        "'error' or 'ignore'", lambda value: value in ("error", "ignore"), required=False
    ),
    # formats before 2 held the parameters of a WALNetTagger, without these three keys
    "format": Field(
        f"an integer from 1 to {CONFIG_FORMAT}",
        lambda value: type(value) is int and 0 < value <= CONFIG_FORMAT,
        required=False,
    ),
    "estimator": Field(
        f"one of {', '.join(map(repr, ESTIMATORS))}",
        lambda value: _is_text(value) and value in ESTIMATORS,
        required=False,
    ),
    "network": Field(
        "an object with the name and version of a network",
        lambda value: isinstance(value, dict) and value.keys() <= {"name", "version"},
        required=False,
    ),
    "tagger": Field("an object of parameters", lambda value: isinstance(value, dict)),
    "versions": Field("anything (it is ignored)", lambda value: True, required=False),
}
_PARTIAL = {key: field._replace(required=False) for key, field in _FIELDS.items()}
_GROUPS = ("stft", "augmentation")


def read_config_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the settings of a training, and check all except the tagger's parameters.

    Parameters
    ----------
    path : str or PathLike
        The ``config.json`` of an experiment, or a file with some of its keys. A file that ends in
        ``.toml`` is read as TOML, any other as JSON. Paths in it (`database` and `init_from`) are
        absolute or relative to its folder; ``~`` is expanded. `init_from` may also be the name of a
        pretrained model.

    Returns
    -------
    dict
        Paths are absolute. Settings of `stft` and `augmentation` are parameters such as
        ``augmentation__mixup_prob``. In TOML, which has no null, the string "None" as a parameter
        of the tagger becomes None. `versions` is left out.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is invalid or in YAML, or has an unknown key or a value of the wrong type. The
        message names the file and the place in it.
    """
    path = expand_path(path).absolute()
    config = parse_config(path)
    config.pop("versions", None)
    if "database" in config:
        config["database"] = str(path.parent / expand_path(config["database"]))
    if "tagger" in config:
        params = _flatten(config["tagger"])
        if config.get("format", 1) == 1:
            _rename_old(params)
        if file_format(path) == "TOML":
            params = {name: None if value == "None" else value for name, value in params.items()}
        if params.pop("memory", None) is not None:
            raise ValueError(
                f"{path}, at tagger: memory names a folder of pickles, which can run code, so a "
                "file cannot set it. Use --set memory=DIR with a folder that only you can write to."
            )
        source = params.get("init_from")
        if isinstance(source, str):
            file = path.parent / expand_path(source)
            if source not in MODELS or file.exists():
                params["init_from"] = str(file)
        config["tagger"] = params
    return config


def parse_config(path: Path, *, complete: bool = False) -> dict[str, Any]:
    """Read the settings of a training without changing them.

    Parameters
    ----------
    path : Path
        See :func:`read_config_file`, which also lists the errors.
    complete : bool, default=False
        Whether all keys of an experiment's ``config.json`` are required.

    Returns
    -------
    dict
        All keys are known, and their values have the right types. Parameters of the tagger are
        not checked.
    """
    if not path.is_file():
        inner = path / "config.json"
        hint = f" Did you mean {str(inner)!r}?" if inner.is_file() else ""
        raise FileNotFoundError(f"--config: the file {str(path)!r} does not exist.{hint}")
    config = read_plain(path)
    check_object(config, _FIELDS if complete else _PARTIAL, lambda *what: _fault(path, *what))
    return config


def _rename_old(params):
    """Bring names and values of the first format to those of today, in place."""
    if "augmentation__refine" in params:
        params["augmentation__final_weak_fraction"] = params.pop("augmentation__refine")
    if params.get("freeze") == "features":
        params["freeze"] = "backbone"


def _fault(path, place, got, allowed):
    top = place not in _FIELDS
    hint = " Parameters of the tagger belong under 'tagger'." if top else ""
    return ValueError(f"{path}, at {place}: got {got}; allowed: {allowed}. Correct the file.{hint}")


def _flatten(params):
    """Name the settings of groups as `set_params` does, so that their other settings are kept."""
    flat = {}
    for name, value in params.items():
        if name in _GROUPS and isinstance(value, dict):
            flat |= {f"{name}__{key}": setting for key, setting in value.items()}
        else:
            flat[name.replace(".", "__")] = value
    return flat
