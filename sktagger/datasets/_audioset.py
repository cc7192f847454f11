"""The classes of AudioSet, in the order of the outputs of networks trained on it."""

from __future__ import annotations

from importlib.resources import files

import pandas as pd

_FILE = "audioset_classes.csv"


def audioset_classes() -> pd.DataFrame:
    """Read the 527 classes of AudioSet, in the order of the outputs of networks trained on it.

    The file is a part of the package: ``class_labels_indices.csv`` of AudioSet [1]_, unchanged,
    by Google, licensed under CC BY 4.0 [2]_. PANNs and EfficientAT number their outputs in this
    order.

    Returns
    -------
    DataFrame of shape (527, 2)
        The index is the number of the output, 0 to 526. Columns: ``mid``, the machine identifier
        of the class in AudioSet's ontology, and ``name``, its display name. Both are unique.

    References
    ----------
    .. [1] J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset for audio
       events", ICASSP 2017. https://research.google.com/audioset/
    .. [2] https://creativecommons.org/licenses/by/4.0/

    Examples
    --------
    >>> from sktagger.datasets import audioset_classes
    >>> classes = audioset_classes()
    >>> classes.loc[0, "name"], classes.loc[0, "mid"]
    ('Speech', '/m/09x0r')
    >>> list(classes.index[classes["name"] == "Bark"])
    [75]
    """
    with (files("sktagger.datasets") / _FILE).open(encoding="utf-8") as file:
        table = pd.read_csv(file, index_col="index", keep_default_na=False)
    return table.rename(columns={"display_name": "name"})
