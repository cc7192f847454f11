"""The source of the first weights of a training: ``--init``, or ``init_from`` of another layer.

PyTorch is imported only inside functions, so that other errors appear without waiting for it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktagger._utils.files import expand_path
from sktagger._utils.text import nearest

if TYPE_CHECKING:
    from sktagger import AudioTagger
    from sktagger.networks import Network

INIT = "--init"  # the layer of this option
_CALL = re.compile(r"network=(?P<name>\w+)\((?P<settings>[^()]*)\)")


def find_source(place: str, source: Any) -> str:
    """Find the source of the first weights of a training.

    Parameters
    ----------
    place : str
        Layer of settings that names it.
    source : object
        A file, an experiment's directory, which stands for its best checkpoint, or the name of a
        pretrained model.

    Returns
    -------
    str
        Absolute path of a file, or name of a pretrained model.

    Raises
    ------
    FileNotFoundError
        If there is neither a file nor a model.
    ValueError
        If it is no text or path, such as a tagger.
    """
    from sktagger.pretrained._models import MODELS, names_model
    from sktagger.training._file_kinds import find_checkpoint

    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            f"{_label(place)} has the type {type(source).__name__}, but it must be a path, "
            "so that config.json can reproduce the training. Save the tagger and give the file."
        )
    if names_model(source):
        return str(source)
    path = expand_path(source).resolve()
    if path.is_dir():
        best = [find_checkpoint(folder, "best") for folder in (path / "checkpoints", path)]
        path = next(filter(None, best), path)
    if path.is_file():
        return str(path)
    if path.is_dir():
        fault = f"{str(source)!r} is a directory without a best checkpoint"
    else:
        near = nearest(Path(source).name, MODELS)
        fault = f"the file {str(source)!r} does not exist, and no pretrained model has this name"
        fault += near
    raise FileNotFoundError(
        f"{_label(place)}: {fault}. Give a checkpoint, a file that `save` wrote, an experiment's "
        "directory, or a name that `sktagger models` lists."
    )


def network_of_source(place: str, source: str, *, stated: bool) -> Network | None:
    """Read the network of a source. Nothing is fetched: a table has those of pretrained models.

    Parameters
    ----------
    place : str
        Layer of settings that names the source.
    source : str
        As :func:`find_source` returns it.
    stated : bool
        Whether the settings state the network.

    Returns
    -------
    Network or None
        None if the source does not tell it, and it is stated or can only be a WALNet.

    Raises
    ------
    OSError
        If the source cannot be read.
    ValueError
        If the source is damaged, or its network is unknown and not stated.
    """
    from sktagger.networks import WALNet
    from sktagger.taggers._foreign import UnknownNetworkError
    from sktagger.taggers._stored import estimators
    from sktagger.taggers._weights import network_of, read_weights

    try:
        return network_of(source, estimators()).resolve()
    except UnknownNetworkError as error:
        if stated:
            return None
        try:
            read_weights(source, WALNet(), estimators())
        except ValueError:
            raise ValueError(_describe(place, error)) from error
        return None  # padertorch's checkpoints have weights only
    except ValueError as error:
        raise ValueError(_describe(place, error)) from error
    except OSError as error:
        raise type(error)(_describe(place, error)) from error


def check_source(place: str, tagger: AudioTagger, found: Network | None) -> None:
    """Check that a training can start from its source, which is fetched if it is a model.

    Parameters
    ----------
    place : str
        Layer of settings that names the source.
    tagger : AudioTagger
        Not fitted. Its `init_from` is the source, and its network is stated.
    found : Network or None
        Network of the source, if it tells it.

    Raises
    ------
    OSError, ValueError
        If the source cannot be read or fetched, or has weights of another network or of other
        settings.
    """
    from sktagger.training.fine_tuning import check_weights

    network = tagger._get_network().resolve()
    name, name_there = type(network).__name__, type(found).__name__
    if found is not None and name_there != name:
        raise ValueError(
            f"{_label(place)}: {tagger.init_from!r} has weights of {name_there}, but the tagger's "
            f"network is {name}. Do not state estimator and network, then they are those of the "
            "source; or give another source."
        )
    try:
        check_weights(network, tagger._read_init_from(network))
    except (OSError, ValueError) as error:
        kind = type(error) if isinstance(error, OSError) else ValueError
        raise kind(_describe(place, error)) from error


def _label(place):
    return place if place == INIT else f"{place}: init_from"


def _describe(place, error):
    """Turn a message that is meant for users of Python into one for users of the command."""
    text = str(error).removeprefix("init_from: ").replace("by network=", "by --network")
    options = [_as_options(call) for call in _CALL.finditer(text)]
    hint = f" As options: {', or '.join(dict.fromkeys(options))}." if options else ""
    return f"{_label(place)}: {text}{hint}"


def _as_options(call):
    """Turn ``network=PANNs(variant='cnn14')`` into options of the command."""
    settings = filter(None, call["settings"].split(", "))
    names = [f"--set network.{setting}".replace("'", "") for setting in settings]
    return " ".join([f"--network {call['name']}", *names])
