"""Reading the settings of a training from a file, JSON or YAML."""

import json
import re
import reprlib
from numbers import Real
from pathlib import Path

from sktagger._utils.files import expand_path
from sktagger._utils.json import parse_json
from sktagger._utils.text import nearest
from sktagger.commands._recipes import RECIPES

# key -> (what it must be, test of it)
_KEYS = {
    "database": ("the path of a JSON database", lambda value: isinstance(value, str)),
    "training_set": ("the name of a data set", lambda value: isinstance(value, str)),
    "validation_set": ("the name of a data set", lambda value: isinstance(value, str)),
    "recipe": (
        f"one of {', '.join(map(repr, RECIPES))}",
        lambda value: isinstance(value, str) and value in RECIPES,
    ),
    "min_length": (
        "a number of seconds, at least 0",
        lambda value: isinstance(value, Real) and not isinstance(value, bool) and value >= 0,
    ),
    "unknown_events": ("'error' or 'ignore'", lambda value: value in ("error", "ignore")),
    "tagger": ("an object of parameters", lambda value: isinstance(value, dict)),
    "versions": ("anything; it is not used", lambda value: True),
}
_GROUPS = ("stft", "augmentation")
_MAX_BYTES = {"JSON": 2**20, "YAML": 2**16}  # a YAML reader in Python needs seconds for that


def read_config_file(path) -> dict:
    """Read the settings of a training, and check all but the tagger's parameters.

    Parameters
    ----------
    path : str or PathLike
        The ``config.json`` of an experiment, or a file with some of its keys, in JSON or, if it
        ends in ``.yaml`` or ``.yml``, YAML. Paths in it (of the database, and `init_from`) are
        absolute or relative to its folder; ``~`` is expanded.

    Returns
    -------
    dict
        With absolute paths, and with settings of `stft` and `augmentation` as
        ``augmentation__mixup_prob`` among the parameters. `versions` is left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it cannot be read, a key is not known, or a value is of a wrong type; the message says
        where.
    ImportError
        If it is YAML, and PyYAML is not installed.
    """
    path = expand_path(path).absolute()
    config = parse_config(path)
    config.pop("versions", None)
    if "database" in config:
        config["database"] = str(path.parent / expand_path(config["database"]))
    if "tagger" in config:
        config["tagger"] = _flatten(config["tagger"])
        if config["tagger"].pop("memory", None) is not None:
            raise ValueError(
                f"{path}, at tagger: memory names a folder of pickles, which could run code, so a "
                "file cannot set it. Give --set memory=DIR for a folder that only you write to."
            )
        if isinstance(config["tagger"].get("init_from"), str):
            source = expand_path(config["tagger"]["init_from"])
            config["tagger"]["init_from"] = str(path.parent / source)
    return config


def parse_config(path: Path) -> dict:
    """Read the settings of a training as they are in a file.

    Parameters
    ----------
    path : Path
        As in :func:`read_config_file`, which lists the errors.

    Returns
    -------
    dict
        With known keys only, and values of the right types; parameters of the tagger as they are.
    """
    config = _parse(path)
    if not isinstance(config, dict):
        raise ValueError(
            f"{path}: got {type(config).__name__}, but a config is an object of the keys "
            f"{', '.join(_KEYS)}. Take the config.json of an experiment as an example."
        )
    for key, value in config.items():
        if key not in _KEYS:
            raise ValueError(
                f"{path}: the key {key!r} is not known{nearest(key, _KEYS)}. Known are "
                f"{', '.join(_KEYS)}; parameters of the tagger belong under 'tagger'."
            )
        allowed, is_valid = _KEYS[key]
        if not is_valid(value):
            raise ValueError(
                f"{path}, at {key}: got {reprlib.repr(value)}; allowed is {allowed}. "
                "Correct the file."
            )
    return config


def _parse(path):
    if not path.is_file():
        inner = path / "config.json"
        hint = f" Give {str(inner)!r}." if inner.is_file() else ""
        raise FileNotFoundError(f"--config: {str(path)!r} is no file.{hint}")
    try:
        kind = "YAML" if path.suffix in (".yaml", ".yml") else "JSON"
        if (n_bytes := path.stat().st_size) > _MAX_BYTES[kind]:
            raise ValueError(f"it has {n_bytes} bytes; allowed in {kind} are {_MAX_BYTES[kind]}")
        return (_parse_yaml if kind == "YAML" else parse_json)(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}). Correct the file.") from error


def _parse_yaml(content):
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            'A config in YAML needs PyYAML: pip install "sktagger[yaml]", or write JSON.'
        ) from error

    class Loader(yaml.SafeLoader):
        """Makes plain data only, as ``yaml.safe_load``; reads 1e-3 as a number, None as null.

        Without aliases, by which a few lines stand for gigabytes.
        """

        def compose_node(self, parent, index):
            event = self.peek_event()
            if event.anchor is not None:
                raise _error("anchors and aliases are not allowed", event)
            node = super().compose_node(parent, index)
            if isinstance(node, yaml.MappingNode):
                names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
                if len(set(names)) < len(names):
                    raise _error("a key occurs more than once", node)
            return node

    def _error(what, place):
        return yaml.composer.ComposerError(None, None, what, place.start_mark)

    number = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("None$"), ["N"])
    try:
        plain = yaml.load(content.decode("utf-8-sig"), Loader=Loader)
        return parse_json(json.dumps(plain))  # what JSON could not say is refused alike
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _flatten(params):
    """Name the settings of groups as `set_params` does, so that the others keep their values."""
    flat = {}
    for name, value in params.items():
        if name in _GROUPS and isinstance(value, dict):
            flat |= {f"{name}__{key}": setting for key, setting in value.items()}
        else:
            flat[str(name).replace(".", "__")] = value
    return flat
