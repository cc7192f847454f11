"""Read the trained network that embeddings are computed with."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktagger._utils.files import expand_path
from sktagger.audio._files import FileVersion, file_version
from sktagger.audio.spectral import frame_onsets
from sktagger.networks import Network, NetworkModule
from sktagger.taggers import persistence
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._embedding_store import weights_digest
from sktagger.taggers.audio_tagger import estimators
from sktagger.training._file_kinds import find_tagger


@dataclass(frozen=True, eq=False)
class Source:
    """A trained network.

    Attributes
    ----------
    network : Network
        Resolved settings.
    module : NetworkModule
        The network itself. It shares its weights with the tagger that it comes from.
    classes : ndarray of shape (n_events,)
        Events of the outputs.
    name : str
        Name of the source in messages.
    version : tuple or None, default=None
        Path and version of the file that it was read from. None: it is a tagger.
    """

    network: Network
    module: NetworkModule
    classes: np.ndarray
    name: str
    version: tuple[Path, FileVersion] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights and the settings of the network."""
        return weights_digest(self.network, self.module)

    def module_for(self, device: torch.device, precision: str) -> NetworkModule:
        """Make a module for a device and a precision. The module of the source does not change.

        Parameters
        ----------
        device : torch.device
        precision : {"float32", "bfloat16"}

        Returns
        -------
        NetworkModule
            In evaluation mode. On the device of the source, both share their weights.
        """
        # new parameters on the same memory, because `to` replaces the data of parameters in place
        memo: dict[int, Any] = {
            id(tensor): nn.Parameter(tensor.detach(), requires_grad=False)
            for tensor in self.module.parameters()
        }
        memo |= {id(tensor): tensor.detach() for tensor in self.module.buffers()}
        module = copy.deepcopy(self.module, memo).to(device).eval()
        module.set_precision(precision)
        return module

    def count_features(self, layer: str) -> int:
        """Count the outputs of a layer.

        Parameters
        ----------
        layer : str
            One of the network's `layers`.

        Returns
        -------
        int
        """
        if layer == "logits":
            return len(self.classes)
        if layer == self.network.layers[-2]:  # the input of the head
            return self.module.head.get_parameter("weight").flatten(1).shape[1]
        sizes = self.network.get_input().stft
        n_frames = len(frame_onsets(1, sizes))  # those of the shortest clip
        stft = torch.zeros(1, 1, n_frames, sizes.n_bins, 2)
        module = self.module_for(torch.device("cpu"), "float32")
        with torch.inference_mode():
            return module.clip_outputs(layer, stft, torch.tensor([n_frames])).shape[1]


def read_source(source: Any, earlier: Source | None = None) -> Source:
    """Read a trained network.

    Parameters
    ----------
    source : tagger, FrozenEstimator, str or PathLike
        Fitted tagger (frozen or not), or a file or directory that
        :meth:`sktagger.AudioTagger.load` reads. Nothing in a file is executed.
    earlier : Source or None, default=None
        What was read before. It is returned if the file is still the same.

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError, NotFittedError
        If there is no such file, or the tagger is not fitted.
    TypeError
        If a frozen estimator is not a tagger.
    ValueError
        If the file cannot be read safely, or holds no tagger.
    """
    if isinstance(source, str | os.PathLike):
        # names of pretrained models, and checkpoints of other programs, would be recognized here
        return _read_file(expand_path(source), earlier)
    tagger = source.estimator if isinstance(source, FrozenEstimator) else source
    if not isinstance(tagger, BaseTagger):
        raise TypeError(
            f"source: the frozen estimator is a {type(tagger).__name__}, but it must be a fitted "
            "tagger, for example a WALNetTagger."
        )
    check_is_fitted(
        tagger,
        msg="source: this %(name)s is not fitted, so it has no weights. Call its fit first. In the "
        "grid of a search, which clones estimators, give sklearn.frozen.FrozenEstimator(tagger) "
        "or a path.",
    )
    return _from_tagger(tagger, f"this {type(tagger).__name__}")


def _from_tagger(tagger, name, version=None):
    return Source(tagger.network_, tagger.module_, tagger.classes_, name, version)


def _read_file(path, earlier):
    if not path.exists():
        raise FileNotFoundError(
            f"source: {str(path)!r} does not exist. Give a file that the method save of a tagger "
            "wrote, a checkpoint or directory of a training, or a fitted tagger."
        )
    file = find_tagger(path, tuned=None).absolute()
    version = (file, file_version(str(file)))
    if earlier is not None and earlier.version == version:
        return earlier
    tagger, _ = persistence.load(file, estimators(), device="cpu", tuned=None)
    return _from_tagger(tagger, repr(str(path)), version)
