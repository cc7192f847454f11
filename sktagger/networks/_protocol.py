"""What every network offers: settings, and the torch module that they build.

The pipeline, training, persistence and commands ask this of a network, never its class.
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
    """What a network takes.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    stft : STFTSizes
        In samples.
    n_mels : int
        Number of mel bands, along which features are masked.
    scale : {"peak", "raw"}
        Of waveforms, after their channels are averaged. "peak": centered, with a peak just below 1.
        "raw": as they are.
    distortions : tuple of str
        Which of "warp", "time_mask" and "mel_mask" the front end can apply.
    """

    sample_rate: int
    stft: STFTSizes
    n_mels: int
    scale: str = "peak"
    distortions: tuple[str, ...] = ("warp", "time_mask", "mel_mask")


class ScoreGrid(NamedTuple):
    """Where the scores of a clip lie in time. All sizes are in frames of the STFT.

    Attributes
    ----------
    length : int
        Frames that a score spans.
    step : int
        Distance between the first frames of neighboring scores.
    context : int or None
        Frames on either side that a score depends on as well. None: the whole clip, which is then
        scored at once, however long it is.
    """

    length: int
    step: int
    context: int | None

    def n_scores(self, n_frames: int) -> int:
        """Count the scores of a clip, which has at least one.

        Parameters
        ----------
        n_frames : int

        Returns
        -------
        int

        Examples
        --------
        >>> [ScoreGrid(128, 64, 94).n_scores(n_frames) for n_frames in (1, 128, 129, 192, 193)]
        [1, 1, 2, 2, 3]
        """
        return max(1, 1 - (self.length - n_frames) // self.step)


class Network(BaseEstimator):
    """Settings of a network, from which it is built.

    A subclass has settings as parameters, stores them in its constructor as scikit-learn's
    estimators do, and defines :meth:`get_input`, :meth:`get_grid` and :meth:`_make`.

    Attributes
    ----------
    version : int
        Of the names and shapes of the weights.
    head : str
        Name of the layer whose output is the events; row k of its ``weight`` and its ``bias``
        belongs to event k.
    n_stages : int
        Number of stages, see :attr:`NetworkModule.stages`.
    adjustable : tuple of str
        Settings that can be changed after training, since the weights do not depend on them.
    criterion : class
        Loss of clip scores: a torch module that takes scores and events of shape
        (n_clips, n_events), and `reduction`.
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
            If one is not allowed.
        """
        check_params(self)
        self.get_input()

    def get_input(self) -> NetworkInput:
        """Say what the network takes.

        Returns
        -------
        NetworkInput
        """
        raise NotImplementedError

    def get_grid(self) -> ScoreGrid:
        """Say where the scores lie in time.

        Returns
        -------
        ScoreGrid
        """
        raise NotImplementedError

    def resolve(self) -> Network:
        """Copy the settings, with each default replaced by the value that it stands for.

        Returns
        -------
        Network
        """
        raise NotImplementedError

    def _make(self, n_events: int) -> NetworkModule:
        """Make the module, with weights that are not drawn yet."""
        raise NotImplementedError

    def build(
        self, n_events: int, *, random_state: int = 0, precision: str = "float32"
    ) -> NetworkModule:
        """Build the network.

        Parameters
        ----------
        n_events : int
            Number of events, which are its outputs.
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
        """Give the tensors of the network without their data.

        Parameters
        ----------
        n_events : int

        Returns
        -------
        dict of str to Tensor
            On the device "meta": they take no memory.
        """
        with torch.device("meta"):
            return self._make(n_events).state_dict()

    def count_events(self, state: Mapping[str, Any]) -> int | None:
        """Count the events of trained weights.

        Parameters
        ----------
        state : dict of str to Tensor
            May come from anywhere.

        Returns
        -------
        int or None
            None: these are no weights of this network, since its head is missing.
        """
        weight = state.get(f"{self.head}.weight")
        return len(weight) if isinstance(weight, Tensor) and weight.ndim else None

    def explain_mismatch(self, state: Mapping[str, Any]) -> str:
        """Say what weights of unknown settings tell to be other than these settings.

        Parameters
        ----------
        state : dict of str to Tensor
            May come from anywhere.

        Returns
        -------
        str
            Such as "was trained with n_fft=512, but ..."; empty if nothing is.
        """
        return ""

    def fixed_settings(self) -> dict[str, Any]:
        """Give the settings that trained weights depend on.

        Returns
        -------
        dict
            Resolved; those of groups under names such as ``stft__n_fft``.
        """
        params = self.resolve().get_params(deep=True)
        return {
            name: value
            for name, value in params.items()
            if name not in self.adjustable and not isinstance(value, BaseEstimator)
        }


class NetworkModule(nn.Module):
    """The torch module of a network: STFTs of a batch of clips in, scores of events out.

    Padding a clip, or the other clips of a batch, must not change its scores.

    Parameters
    ----------
    n_events : int

    Attributes
    ----------
    precision : {"float32", "bfloat16"}
    """

    def __init__(self, n_events: int):
        super().__init__()
        self.n_events = n_events
        self.precision = "float32"

    @property
    def front_end(self) -> list[nn.Module]:
        """Parts without a gradient whose statistics stay where any stage is frozen."""
        return []

    @property
    def stages(self) -> list[nn.Module]:
        """Parts before the head, from the input on, which can be frozen from the first one on."""
        raise NotImplementedError

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights.

        Parameters
        ----------
        random_state : int, default=0
            Seed; PyTorch's global generator is neither used nor changed.
        """
        raise NotImplementedError

    def set_precision(self, precision: str) -> None:
        """Set what hidden layers compute in.

        Parameters
        ----------
        precision : {"float32", "bfloat16"}
            Features, statistics, head, scores, weights and gradients are float32 in either case.
        """
        self.precision = precision

    def adjust(self, network: Network) -> None:
        """Take the `adjustable` settings of a network.

        Parameters
        ----------
        network : Network
            Its other settings are those that the module was built with.
        """
        for name in network.adjustable:
            setattr(self, name, getattr(network, name))

    def segment_embeddings(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give what the head takes, for each segment.

        Parameters
        ----------
        stft, n_frames, **distortions
            See :meth:`segment_scores`.

        Returns
        -------
        embeddings : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
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
            Valid frames of each clip.
        **distortions : Tensor of shape (n_clips, 2)
            Those of `NetworkInput.distortions`, see :meth:`sktagger.networks.LogMel.forward`.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            As the network's grid counts them.
        """
        raise NotImplementedError

    def pool(self, scores: Tensor, n_segments: Tensor) -> Tensor:
        """Compute the scores of clips from those of their segments.

        Parameters
        ----------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        raise NotImplementedError

    def forward(self, stft: Tensor, n_frames: Tensor, **distortions: Tensor) -> Tensor:
        """Score each clip.

        Parameters
        ----------
        stft, n_frames, **distortions
            See :meth:`segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        return self.pool(*self.segment_scores(stft, n_frames, **distortions))


def skip_init(layer: type[nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """Make a layer without drawing its weights, also on the device "meta" of the context.

    Parameters
    ----------
    layer : class
        Of :mod:`torch.nn`.
    *args, **kwargs
        Of the layer.

    Returns
    -------
    Module
    """
    return nn.utils.skip_init(layer, *args, device=torch.get_default_device(), **kwargs)
