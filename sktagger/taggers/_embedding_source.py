"""Read the trained network that embeddings are computed with."""

from __future__ import annotations

import copy
import os
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktagger._utils.files import expand_path
from sktagger._utils.text import nearest
from sktagger._utils.validation import check_params
from sktagger.audio._files import FileVersion, file_version
from sktagger.audio.spectral import frame_onsets
from sktagger.batching.devices import resolve_device
from sktagger.networks import Network, NetworkModule
from sktagger.pretrained import list_models
from sktagger.taggers import persistence
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._embedding_store import weights_digest
from sktagger.taggers._foreign import is_public
from sktagger.taggers._stored import estimators
from sktagger.taggers._weights import find_weights
from sktagger.taggers.audio_tagger import AudioTagger
from sktagger.training._file_kinds import find_tagger, is_checkpoint, is_safetensors
from sktagger.training.callbacks import load_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self

_reading = threading.Lock()


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


class SourceParameters(BaseEstimator):
    """Estimator with the parameters `source` and `layer`, which read a trained network."""

    source: Any
    layer: str
    device: str
    verbose: int

    _source: Source | None = None  # what was read from the file in `source`

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, without those of a tagger given as ``source``.

        Parameters
        ----------
        deep : bool, default=True
            Without effect.

        Returns
        -------
        dict
            Values of the parameters by name.
        """
        return super().get_params(deep=False)

    def set_params(self, **params: Any) -> Self:
        """Set parameters.

        Parameters
        ----------
        **params : dict
            For example ``pooling="max"``.

        Returns
        -------
        self
            The transformer with the new parameters.

        Raises
        ------
        ValueError
            If there is no such parameter, or it is one of a tagger in ``source``.
        """
        nested = sorted(name for name in params if name.startswith("source__"))
        if nested:
            raise ValueError(
                f"{nested} would change the tagger in source, which is only read. Call set_params "
                "of that tagger."
            )
        return super().set_params(**params)

    def _read_source(self) -> Source:
        """Check the parameters and read the source, unless it is known and has not changed."""
        check_params(self)
        resolve_device(self.device)
        with _reading:
            source = read_source(self.source, self._source, progress=bool(self.verbose))
            if source.version is not None:
                self._source = source
        layers = source.network.layers
        if self.layer not in layers:
            raise ValueError(
                f"layer={self.layer!r}, but {source.name} holds a {type(source.network).__name__}, "
                f"whose layers are {', '.join(map(repr, layers))}. Give one of them."
            )
        return source

    def __sklearn_clone__(self):
        # clones share the source, because a clone of a tagger would have no weights
        cloned = super().__sklearn_clone__()
        cloned.source = self.source
        if self._source is not None:
            cloned._source = self._source
        return cloned

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_source", None)  # it is read from the file again
        return state


def read_source(source: Any, earlier: Source | None = None, *, progress: bool = True) -> Source:
    """Read a trained network.

    Parameters
    ----------
    source : tagger, FrozenEstimator, str or PathLike
        Fitted tagger (frozen or not), a file or directory that :meth:`sktagger.AudioTagger.load` or
        :meth:`sktagger.AudioTagger.from_checkpoint` reads, or the name of a pretrained model.
        Nothing in a file is executed.
    earlier : Source or None, default=None
        What was read before. It is returned if the file is still the same.
    progress : bool, default=True
        Whether to show the progress of a download.

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError, NotFittedError
        If there is no such file, or the tagger is not fitted.
    OSError
        If a pretrained model cannot be fetched.
    TypeError
        If a frozen estimator is not a tagger.
    ValueError
        If the file cannot be read safely, or holds no tagger.
    """
    if isinstance(source, str | os.PathLike):
        return _read_file(source, earlier, progress)
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


def _read_file(source, earlier, progress):
    path = find_weights(source, progress=progress)
    if not path.exists():
        raise FileNotFoundError(
            f"source: {str(source)!r} does not exist, and is no name of a pretrained model"
            f"{nearest(source, list_models().index)}. Give a file that the method save of a tagger "
            "wrote, a checkpoint or directory of a training, or a fitted tagger."
        )
    file = find_tagger(path, tuned=None).absolute()
    version = (file, file_version(str(file)))
    if earlier is not None and earlier.version == version:
        return earlier
    return _from_tagger(_load(source, path, file), repr(str(source)), version)


def _load(source, path, file):
    """Load the tagger in a file; `path` is not what `source` says if that is a name."""
    if path != expand_path(source):
        return AudioTagger.from_pretrained(source, device="cpu")
    if is_checkpoint(file) and not is_safetensors(file) and is_public(load_checkpoint(file), file):
        try:
            return AudioTagger.from_checkpoint(file, device="cpu")
        except ValueError as error:
            raise ValueError(
                f"source: {error} Or give AudioTagger.from_checkpoint(...) with these settings as "
                "the source."
            ) from error
    tagger, _ = persistence.load(file, estimators(), device="cpu", tuned=None)
    return tagger
