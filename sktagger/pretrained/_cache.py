"""The folder of fetched files, and a table of the models and their files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sktagger._utils.files import expand_path
from sktagger.pretrained._models import MODELS, PretrainedModel

if TYPE_CHECKING:
    import pandas as pd

CACHE_VARIABLE = "SKTAGGER_CACHE"


def cache_dir() -> Path:
    """Return the folder of fetched files.

    Returns
    -------
    Path
        The absolute path of the folder that the environment variable ``SKTAGGER_CACHE`` names,
        ``~`` expanded. If it is empty or not set, the user's cache folder for this package, on
        Linux ``~/.cache/sktagger``. The folder may not exist yet.

    Examples
    --------
    >>> from sktagger.pretrained import cache_dir
    >>> cache_dir().is_absolute()
    True
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return expand_path(folder).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("sktagger", appauthor=False))


def cached_path(model: PretrainedModel) -> Path:
    """Return the path of a model's file in the cache folder, whether it is there or not."""
    return cache_dir() / model.file_name


def is_cached(model: PretrainedModel) -> bool:
    """Return whether the file is there, with the right size if it is known."""
    path = cached_path(model)
    try:
        return path.is_file() and model.size in (None, path.stat().st_size)
    except OSError:  # a folder that cannot be read
        return False


def list_models() -> pd.DataFrame:
    """List the pretrained models, and which of their files are in the cache folder.

    Returns
    -------
    DataFrame of shape (n_models, 8)
        The index, ``name``, is what :func:`fetch` takes. Columns: ``network`` with its settings;
        ``parameters``, their number; ``mAP``, the published mean average precision on AudioSet,
        in [0, 1]; ``size`` of the file in bytes, missing if not known; ``license`` of the weights;
        ``cached``, whether the file is there; ``path`` where it is or will be; ``url``, its
        official address.

    Examples
    --------
    >>> from sktagger.pretrained import list_models
    >>> models = list_models()
    >>> models.loc[["mn04_as", "cnn14_16k"], ["network", "mAP", "license"]]
                                                 network    mAP    license
    name
    mn04_as                       EfficientAT(width=0.4)  0.432        MIT
    cnn14_16k  PANNs(variant='cnn14', sample_rate=16000)  0.438  CC BY 4.0
    """
    import pandas as pd

    rows = [
        {
            "name": model.name,
            "network": _describe(model),
            "parameters": model.parameters,
            "mAP": model.mAP,
            "size": model.size,
            "license": model.license,
            "cached": is_cached(model),
            "path": str(cached_path(model)),
            "url": model.url,
        }
        for model in MODELS.values()
    ]
    return pd.DataFrame(rows).set_index("name").astype({"size": "Int64"})


def _describe(model):
    """Write the network as the call that makes its settings."""
    settings = ", ".join(f"{name}={value!r}" for name, value in model.settings.items())
    return f"{model.network}({settings})"
