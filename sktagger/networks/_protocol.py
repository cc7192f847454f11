"""Base class of the settings of networks, and what they say about input and scores.

The rest of the package uses networks through this class and :class:`NetworkModule` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from sktagger._utils.validation import check_params
from sktagger.audio.spectral import STFTSizes
from sktagger.networks._module import NetworkModule


class NetworkInput(NamedTuple):
    """Input of a network.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    stft : STFTSizes
        Sizes of the short-time Fourier transform in samples, and what is done at the edges.
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
    partial : bool, default=True
        Whether frames beyond the last whole segment make one more segment.
    """

    length: int
    step: int
    context: int | None
    partial: bool = True

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
        >>> [ScoreGrid(32, 32, 0, False).n_scores(n_frames) for n_frames in (1, 32, 63, 64)]
        [1, 1, 1, 2]
        """
        if self.partial:
            return max(1, 1 - (self.length - n_frames) // self.step)
        return max(1, 1 + (n_frames - self.length) // self.step)


class Network(BaseEstimator):
    """Settings of a network.

    A subclass takes its settings as keyword parameters and stores them, as estimators of
    scikit-learn do. It defines :meth:`get_input`, :meth:`get_grid`, :meth:`resolve` and ``_make``,
    which makes the module.

    Attributes
    ----------
    version : int
        Version of the names and shapes of the weights.
    head_name : str
        Name of the last layer. Row k of its ``weight`` and ``bias`` belongs to event k.
    n_stages : int
        Number of stages, see :attr:`NetworkModule.stages`.
    adjustable : tuple of str
        Settings that can be changed after training, because the weights do not depend on them.
    criterion : class
        Loss: a torch module whose constructor takes `reduction`. It takes the second output of
        :meth:`NetworkModule.pool_for_loss` (the scores, unless a network says otherwise) and
        targets in [0, 1] of shape (n_clips, n_events).
    uses_onsets : bool
        Whether the loss can use onsets and offsets of events.
    needs_onsets : bool
        Whether it cannot do without them: an event in a clip without known times has no part in it.
    needs_tags : bool
        Whether the module takes tags as an input: `tags` of shape (n_clips, n_events). Training
        gives those of the labels. Without them, the module predicts them itself, by a first stage
        that :meth:`NetworkModule.set_first_stage` sets. Its weights depend on the events, so that
        they fit taggers of the same events in the same order only.
    audioset_order : bool
        Whether public weights with 527 outputs have the classes of AudioSet in its own order.
    layers : tuple of str
        Names of the layers whose outputs :meth:`NetworkModule.clip_outputs` gives, from the input
        to the output. The last one is "logits"; the one before it is the input of the head.
    prefers_bfloat16 : bool
        Whether bfloat16 is faster than float32 on CPUs with AMX.
    default_augmentation : str
        Name of what "default" stands for in a tagger's parameter `augmentation`.
    from_scratch : dict
        What "auto" stands for in a tagger's parameters `lr`, `freeze_norms` and `head_init`.
        Missing ones are as for WALNet.
    fine_tuning : dict
        The same, if `init_from` is given. Missing ones are as in a training from scratch.
    """

    version: ClassVar[int] = 1
    head_name: str
    n_stages: int
    adjustable: ClassVar[tuple[str, ...]] = ()
    criterion: ClassVar[type[nn.Module]] = nn.BCELoss
    uses_onsets: ClassVar[bool] = False
    needs_onsets: ClassVar[bool] = False
    needs_tags: bool = False
    audioset_order: ClassVar[bool] = False
    layers: tuple[str, ...] = ("embedding", "logits")
    prefers_bfloat16: ClassVar[bool] = True
    default_augmentation: ClassVar[str] = "default"
    from_scratch: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    fine_tuning: Mapping[str, Any] = MappingProxyType({})
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
        module.head_name = self.head_name
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
        weight = state.get(f"{self.head_name}.weight")
        return len(weight) if isinstance(weight, Tensor) and weight.ndim else None

    @classmethod
    def identify(cls, state: Mapping[str, Any], file_name: str = "") -> Network | None:
        """Find the settings of weights that the original implementation trained.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.
        file_name : str, default=""
            Name of the file. It can tell settings that names and shapes do not show.

        Returns
        -------
        Network or None
            None if these are not weights of this network.

        Raises
        ------
        ValueError
            If they are weights of this network, but of unknown settings. The message lists the
            choices.
        """
        return None

    def convert(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Convert weights of the original implementation to the names of this one.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.

        Returns
        -------
        dict of str to Tensor
            Not checked either. Weights of this implementation are returned as they are.
        """
        return state

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
