"""The tagger that a command names: an experiment, a file or a pretrained model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sktagger._utils.files import expand_path
from sktagger._utils.text import nearest

if TYPE_CHECKING:
    from sktagger import AudioTagger, TunedThresholdTagger


def is_model(source: str) -> bool:
    """Say whether an argument names a model, and not a recording."""
    from sktagger.pretrained._models import names_model
    from sktagger.training._file_kinds import find_checkpoint

    path = expand_path(source)
    if path.is_dir():
        found = [find_checkpoint(folder, "best") for folder in (path / "checkpoints", path)]
        return any(found) or (path / "config.json").is_file()
    suffixes = (".safetensors", ".pt", ".pth")
    return path.suffix.lower() in suffixes or names_model(source)


def load_tagger(
    source: str | os.PathLike[str], **params: Any
) -> AudioTagger | TunedThresholdTagger:
    """Read a tagger, with its thresholds if it has any.

    Parameters
    ----------
    source : str or PathLike
        Directory of an experiment, a saved tagger, a checkpoint, or the name of a pretrained model.
    **params : dict
        `device` and `verbose` of the tagger.

    Returns
    -------
    AudioTagger or TunedThresholdTagger

    Raises
    ------
    FileNotFoundError
        If there is neither such a file nor such a model.
    OSError, ValueError
        If the model cannot be read or fetched.
    """
    from sktagger import AudioTagger, TunedThresholdTagger
    from sktagger.pretrained._models import MODELS, names_model
    from sktagger.taggers import persistence
    from sktagger.taggers._stored import estimators
    from sktagger.training._file_kinds import find_tagger, is_safetensors

    path = expand_path(source)
    if names_model(source):
        return AudioTagger.from_pretrained(os.fspath(source), **params)
    if not path.exists():
        raise FileNotFoundError(
            f"model: the file {str(source)!r} does not exist, and no pretrained model has this "
            f"name{nearest(path.name, MODELS)}. Give an experiment's directory, a file that `save` "
            "wrote, a checkpoint, or a name that `sktagger models` lists."
        )
    if path.is_file() and not is_safetensors(path):
        return AudioTagger.from_checkpoint(path, **params)
    verbose = params.pop("verbose", None)
    try:
        found = find_tagger(path, tuned=True if path.is_dir() else None)
    except FileNotFoundError:  # a training that has not been evaluated
        found = find_tagger(path, tuned=None)
    tagger, thresholds = persistence.load(found, estimators(), tuned=None, **params)
    if verbose is not None:
        tagger.set_params(verbose=verbose)
    if thresholds is None:
        return tagger
    tuned = TunedThresholdTagger.load(found, **params)
    tuned.estimator_ = tagger
    return tuned
