"""Base classes of all networks: settings, and the torch module that is built from them.

The rest of the package uses networks through these classes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from sktagger._utils.validation import check_params
from sktagger.audio.spectral import STFTSizes


class NetworkInput(NamedTuple):
    """Input of a network.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    stft : STFTSizes
        Sizes of the short-time Fourier transform, in samples.
    n_mels : int
        Number of mel bands of the features.
    scale : {"peak", "raw"}
        How waveforms are scaled after their channels are averaged. "peak": centered, with a peak
        just below 1. "raw": not at all.
    distortions : tuple of str
        Distortions that the front end can apply: any of "warp", "time_mask" and "mel_mask".
    """

    sample_rate: int
    stft: STFTSizes
    n_mels: int
    scale: str = "peak"
    distortions: tuple[str, ...] = ("warp", "time_mask", "mel_mask")


class ScoreGrid(NamedTuple):
    """Positions of segment scores in time, in frames of the STFT.

    Attributes
    ----------
    length : int
        Number of frames of a segment.
    step : int
        Number of frames from the start of one segment to the start of the next.
    context : int or None
        Number of frames before and after a segment that its score also depends on. None: scores
        depend on the whole clip. Long clips are then not scored in chunks.
    """

    length: int
    step: int
    context: int | None

    def n_scores(self, n_frames: int) -> int:
        """Count the segments of a clip.

        Parameters
        ----------
        n_frames : int
            Number of frames of the clip, at least 1.

        Returns
        -------
        int
            At least 1.

        Examples
        --------
        >>> [ScoreGrid(128, 64, 94).n_scores(n_frames) for n_frames in (1, 128, 129, 192, 193)]
        [1, 1, 2, 2, 3]
        """
        return max(1, 1 - (self.length - n_frames) // self.step)


class Network(BaseEstimator):
    """Settings of a network.

    A subclass takes its settings as keyword parameters and stores them, as estimators of
    scikit-learn do. It defines :meth:`get_input`, :meth:`get_grid`, :meth:`resolve` and ``_make``,
    which makes the module.

    Attributes
    ----------
    version : int
        Version of the names and shapes of the weights.
    head : str
        Name of the last layer. Row k of its ``weight`` and ``bias`` belongs to event k.
    n_stages : int
        Number of stages, see :attr:`NetworkModule.stages`.
    adjustable : tuple of str
        Settings that can be changed after training, because the weights do not depend on them.
    criterion : class
        Loss of clip scores: a torch module whose constructor takes `reduction`, and which takes
        scores and targets in [0, 1], both of shape (n_clips, n_events).
    """

    version: ClassVar[int] = 1
    head: ClassVar[str]
    n_stages: ClassVar[int]
    adjustable: ClassVar[tuple[str, ...]] = ()
    criterion: ClassVar[type[nn.Module]] = nn.BCELoss
    _parameter_constraints: ClassVar[dict[str, list]] = {}

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError, TypeError
            If a setting is not allowed.
        """
        check_params(self)
        self.get_input()

    def get_input(self) -> NetworkInput:
        """Return what the input must be.

        Returns
        -------
        NetworkInput
        """
        raise NotImplementedError

    def get_grid(self) -> ScoreGrid:
        """Return the positions of segment scores in time.

        Returns
        -------
        ScoreGrid
        """
        raise NotImplementedError

    def resolve(self) -> Network:
        """Copy the settings, and replace defaults such as None by the values they stand for.

        Returns
        -------
        Network
        """
        raise NotImplementedError

    def _make(self, n_events: int) -> NetworkModule:
        """Make the module without drawing its weights."""
        raise NotImplementedError

    def build(
        self, n_events: int, *, random_state: int = 0, precision: str = "float32"
    ) -> NetworkModule:
        """Build the network.

        Parameters
        ----------
        n_events : int
            Number of outputs.
        random_state : int, default=0
            Seed of the initial weights.
        precision : {"float32", "bfloat16"}, default="float32"
            See :meth:`NetworkModule.set_precision`.

        Returns
        -------
        NetworkModule
        """
        module = self._make(n_events)
        module.reset_parameters(random_state)
        module.set_precision(precision)
        return module

    def shapes(self, n_events: int) -> dict[str, Tensor]:
        """Return the names, shapes and types of the weights without their data.

        Parameters
        ----------
        n_events : int
            Number of outputs.

        Returns
        -------
        dict of str to Tensor
            A state dict on the device "meta", whose tensors take no memory.
        """
        with torch.device("meta"):
            return self._make(n_events).state_dict()

    def count_events(self, state: Mapping[str, Any]) -> int | None:
        """Count the events of trained weights.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.

        Returns
        -------
        int or None
            None if the head is missing, so that these cannot be weights of this network.
        """
        weight = state.get(f"{self.head}.weight")
        return len(weight) if isinstance(weight, Tensor) and weight.ndim else None

    def explain_mismatch(self, state: Mapping[str, Any]) -> str:
        """Tell which settings weights were trained with, if their shapes or values show it.

        Parameters
        ----------
        state : dict of str to Tensor
            Weights of unknown settings. Not trusted: they may come from any file.

        Returns
        -------
        str
            How these settings differ, such as "was trained with n_fft=512, but ...". Empty if no
            difference is known.
        """
        return ""

    def fixed_settings(self) -> dict[str, Any]:
        """Return the settings that trained weights depend on.

        Returns
        -------
        dict
            Resolved settings. Those of nested objects have names such as ``stft__n_fft``.
        """
        params = self.resolve().get_params(deep=True)
        return {
            name: value
            for name, value in params.items()
            if name not in self.adjustable and not isinstance(value, BaseEstimator)
        }


class NetworkModule(nn.Module):
    """The torch module of a network. It takes STFTs of clips and returns scores of events.

    Neither padding nor the other clips of a batch may change the scores of a clip.

    Parameters
    ----------
    n_events : int
        Number of outputs.

    Attributes
    ----------
    precision : {"float32", "bfloat16"}
        See :meth:`set_precision`.
    """

    def __init__(self, n_events: int):
        super().__init__()
        self.n_events = n_events
        self.precision = "float32"

    @property
    def front_end(self) -> list[nn.Module]:
        """Parts without gradient. If a stage is frozen, their statistics are frozen, too."""
        return []

    @property
    def stages(self) -> list[nn.Module]:
        """Parts before the head, in order. The first n of them can be frozen."""
        raise NotImplementedError

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights.

        Parameters
        ----------
        random_state : int, default=0
            Seed. The global generator of PyTorch is neither used nor changed.
        """
        raise NotImplementedError

    def set_precision(self, precision: str) -> None:
        """Set the number format that hidden layers compute in.

        Parameters
        ----------
        precision : {"float32", "bfloat16"}
            Features, statistics, head, scores, weights and gradients are always float32.
        """
        self.precision = precision

    def adjust(self, network: Network) -> None:
        """Set the settings in `adjustable` to those of a network.

        Parameters
        ----------
        network : Network
            Its other settings must be those that the module was built with.
        """
        for name in network.adjustable:
            setattr(self, name, getattr(network, name))

    def segment_embeddings(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the input of the head for each segment.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        raise NotImplementedError

    def segment_scores(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score each segment.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2), float32
            Real and imaginary part, 0 beyond the frames of a clip.
        n_frames : Tensor of shape (n_clips,), integer
            Number of valid frames of each clip.
        **distortions : Tensor of shape (n_clips, 2)
            Any of those in `NetworkInput.distortions`, see
            :meth:`sktagger.networks.LogMel.forward`.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip, as in :meth:`ScoreGrid.n_scores`.
        """
        raise NotImplementedError

    def pool(self, scores: Tensor, n_segments: Tensor) -> Tensor:
        """Compute the scores of clips from the scores of their segments.

        Parameters
        ----------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        raise NotImplementedError

    def forward(self, stft: Tensor, n_frames: Tensor, **distortions: Tensor) -> Tensor:
        """Score each clip.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`segment_scores`.
        **distortions : Tensor
            See :meth:`segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        return self.pool(*self.segment_scores(stft, n_frames, **distortions))


def skip_init(layer: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """Make a layer without drawing its weights.

    Unlike :func:`torch.nn.utils.skip_init`, it respects ``with torch.device(...)``.

    Parameters
    ----------
    layer : class
        A layer of :mod:`torch.nn`.
    *args, **kwargs
        Arguments of the layer.

    Returns
    -------
    Module
        Its weights are not initialized.
    """
    return nn.utils.skip_init(layer, *args, device=torch.get_default_device(), **kwargs)
