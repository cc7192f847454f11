"""The table of the pretrained models."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from sktagger._utils.files import expand_path
from sktagger._utils.text import nearest, quoted, short

_EFFICIENTAT = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/"
_EFFICIENTAT_PAPER = (
    "F. Schmid, K. Koutini and G. Widmer, 'Efficient Large-Scale Audio Tagging via "
    "Transformer-to-CNN Knowledge Distillation', ICASSP 2023, arXiv:2211.04772"
)
_PANNS = "https://zenodo.org/records/3987831/files/"
_PANNS_PAPER = (
    "Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang and M. D. Plumbley, 'PANNs: Large-Scale "
    "Pretrained Audio Neural Networks for Audio Pattern Recognition', IEEE/ACM Transactions on "
    "Audio, Speech, and Language Processing 28, 2020, arXiv:1912.10211"
)


class PretrainedModel(NamedTuple):
    """A network with published weights, trained on AudioSet.

    Attributes
    ----------
    name : str
        Short name, such as "mn10_as".
    network : {"EfficientAT", "PANNs"}
        Name of the network's settings in `sktagger.networks`.
    settings : dict
        Settings of the network; those that are not listed have their defaults.
    parameters : int
        Number of trainable parameters.
    mAP : float
        Mean average precision on AudioSet's evaluation set, as published, in [0, 1].
    size : int or None
        Size of the file in bytes. None: not known.
    checksum : str or None
        Algorithm and hexadecimal digest of the file, such as "md5:541141...". None: not known.
    license : str
        License of the weights.
    citation : str
        The paper to cite.
    url : str
        Official address of the file.
    """

    name: str
    network: str
    settings: dict[str, Any]
    parameters: int
    mAP: float
    size: int | None
    checksum: str | None
    license: str
    citation: str
    url: str

    @property
    def file_name(self) -> str:
        """Name of the file, as at its official address."""
        return unquote(PurePosixPath(urlsplit(self.url).path).name)


def _efficientat(name, file_name, parameters, size=None, checksum=None, **settings):
    # Each file is named after its mAP in thousandths, as in "mn10_as_mAP_471.pt".
    mAP = int(file_name.removesuffix(".pt")[-3:]) / 1000
    return PretrainedModel(
        name,
        "EfficientAT",
        settings,
        parameters,
        mAP,
        size,
        checksum,
        license="MIT",
        citation=_EFFICIENTAT_PAPER,
        url=_EFFICIENTAT + file_name,
    )


def _panns(name, file_name, parameters, size, checksum, **settings):
    mAP = float(file_name.removesuffix(".pth").split("=")[1])
    return PretrainedModel(
        name,
        "PANNs",
        settings,
        parameters,
        mAP,
        size,
        checksum,
        license="CC BY 4.0",
        citation=_PANNS_PAPER,
        url=f"{_PANNS}{file_name.replace('=', '%3D')}?download=1",
    )


_MN10 = 4_876_831
_MN10_FC = 3_478_638
_MN40 = 68_427_303
_CNN14 = 80_753_615
_FC = "fully_convolutional"

# Zenodo publishes the MD5 sums of PANNs. EfficientAT publishes none: the two sums below are those
# that several independent projects recorded for the files at the official addresses.
_TABLE = [
    _efficientat("mn01_as", "mn01_as_mAP_298.pt", 123_783, 612_421, width=0.1),
    _efficientat("mn02_as", "mn02_as_mAP_378.pt", 324_695, 1_432_101, width=0.2),
    _efficientat(
        "mn04_as",
        "mn04_as_mAP_432.pt",
        983_599,
        4_066_513,
        "sha256:899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
        width=0.4,
    ),
    _efficientat("mn05_as", "mn05_as_mAP_443.pt", 1_431_239, 5_878_097, width=0.5),
    _efficientat(
        "mn10_as",
        "mn10_as_mAP_471.pt",
        _MN10,
        19_708_753,
        "sha256:0bd7dc2443af498c289a2e739f02ebb515d6aa3fd3ab9db539c86123ae368a4e",
        width=1.0,
    ),
    _efficientat("mn20_as", "mn20_as_mAP_478.pt", 17_909_287, 71_938_961, width=2.0),
    _efficientat("mn30_as", "mn30_as_mAP_482.pt", 39_086_367, 156_742_353, width=3.0),
    _efficientat("mn40_as", "mn40_as_mAP_484.pt", _MN40, width=4.0),
    _efficientat("mn40_as_no_im_pre", "mn40_as_no_im_pre_mAP_483.pt", _MN40, width=4.0),
    _efficientat("mn40_as_ext", "mn40_as_ext_mAP_487.pt", _MN40, 274_206_417, width=4.0),
    # a number after "hop" is in milliseconds, at 32 kHz
    _efficientat("mn10_as_hop_5", "mn10_as_hop_5_mAP_475.pt", _MN10, width=1.0, hop_length=160),
    _efficientat("mn10_as_hop_15", "mn10_as_hop_15_mAP_463.pt", _MN10, width=1.0, hop_length=480),
    _efficientat("mn10_as_hop_20", "mn10_as_hop_20_mAP_456.pt", _MN10, width=1.0, hop_length=640),
    _efficientat("mn10_as_hop_25", "mn10_as_hop_25_mAP_447.pt", _MN10, width=1.0, hop_length=800),
    _efficientat(
        "mn10_as_mels_40", "mn10_as_mels_40_mAP_453.pt", _MN10, 19_696_465, width=1.0, n_mels=40
    ),
    _efficientat("mn10_as_mels_64", "mn10_as_mels_64_mAP_461.pt", _MN10, width=1.0, n_mels=64),
    _efficientat("mn10_as_mels_256", "mn10_as_mels_256_mAP_474.pt", _MN10, width=1.0, n_mels=256),
    _efficientat("mn10_as_fc", "mn10_as_fc_mAP_465.pt", _MN10_FC, width=1.0, head=_FC),
    _efficientat(
        "mn10_as_fc_s2221",
        "mn10_as_fc_s2221_mAP_466.pt",
        _MN10_FC,
        width=1.0,
        strides=(2, 2, 2, 1),
        head=_FC,
    ),
    _efficientat(
        "mn10_as_fc_s2211",
        "mn10_as_fc_s2211_mAP_466.pt",
        _MN10_FC,
        width=1.0,
        strides=(2, 2, 1, 1),
        head=_FC,
    ),
    _panns(
        "cnn14",
        "Cnn14_mAP=0.431.pth",
        _CNN14,
        327_428_481,
        "md5:541141fa2ee191a88f24a3219fff024e",
        variant="cnn14",
    ),
    _panns(
        "cnn14_16k",
        "Cnn14_16k_mAP=0.438.pth",
        _CNN14,
        358_668_570,
        "md5:362fc5ff18f1d6ad2f6d464b45893f2c",
        variant="cnn14",
        sample_rate=16000,
    ),
    _panns(
        "cnn14_decision_level_max",
        "Cnn14_DecisionLevelMax_mAP=0.385.pth",
        _CNN14,
        327_428_481,
        "md5:70539c43c18b6a289b3199c503a82c5a",
        variant="cnn14_decision_level_max",
    ),
    _panns(
        "cnn10",
        "Cnn10_mAP=0.380.pth",
        5_219_279,
        25_237_595,
        "md5:bfb1f1f9968938fa8ef4012b8471f5f6",
        variant="cnn10",
    ),
    _panns(
        "cnn6",
        "Cnn6_mAP=0.343.pth",
        4_837_455,
        None,
        "md5:e25e26b84585b14c7754c91e48efc9be",
        variant="cnn6",
    ),
]

MODELS = {model.name: model for model in _TABLE}


def find_model(name: str) -> PretrainedModel:
    """Find a pretrained model by its name.

    Parameters
    ----------
    name : str
        A name of :func:`list_models`.

    Returns
    -------
    PretrainedModel

    Raises
    ------
    TypeError
        If the name is not a string.
    ValueError
        If there is no model of this name. The message lists similar names.

    Examples
    --------
    >>> from sktagger.pretrained import find_model
    >>> model = find_model("mn10_as_hop_15")
    >>> model.network, model.settings, model.file_name
    ('EfficientAT', {'width': 1.0, 'hop_length': 480}, 'mn10_as_hop_15_mAP_463.pt')
    """
    if not isinstance(name, str):
        raise TypeError(
            f"name: got {short(name)}, but the name of a pretrained model must be a string. Pass, "
            "for example, 'mn10_as'."
        )
    if name not in MODELS:
        hint = nearest(name, MODELS) or f"; there are {quoted(MODELS, len(MODELS))}"
        raise ValueError(
            f"name: there is no pretrained model {short(name)}{hint}. Pass one of the names of "
            "sktagger.pretrained.list_models()."
        )
    return MODELS[name]


def names_model(source: str | os.PathLike[str]) -> bool:
    """Say whether a source of weights is the name of a pretrained model.

    Parameters
    ----------
    source : str or PathLike
        A file, or the name of a model. If both exist, it is the file.

    Returns
    -------
    bool
    """
    return isinstance(source, str) and source in MODELS and not expand_path(source).exists()
