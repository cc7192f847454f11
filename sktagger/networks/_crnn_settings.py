"""Settings that convolutional recurrent networks have in common."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from sklearn.base import clone
from torch import Tensor

from sktagger._utils.validation import Interval, Options, StrOptions
from sktagger.audio.spectral import STFTSizes
from sktagger.networks._fbcrnn_layers import LAYOUTS, N_MELS
from sktagger.networks._features import mel_filterbank
from sktagger.networks._protocol import Network, NetworkInput

if TYPE_CHECKING:
    from typing_extensions import Self

_FIRST = "cnn.cnn_2d.convs.0.conv.weight"
_FILTERS = "feature_extractor.mel_transform.fbanks"


class CRNNSettings(Network):
    """Settings of a network of convolutions and recurrent layers.

    A subclass has the settings `depth`, `width`, `time_pooling`, `sample_rate` and `fmin`. It
    states a tensor by which its weights differ from those of others.
    """

    depth: Literal["shallow", "deep"]
    width: int
    time_pooling: int
    sample_rate: int
    fmin: float
    _own_tensor: ClassVar[str]

    uses_onsets: ClassVar[bool] = True
    # better than the defaults of WALNet in docs/recipe.md
    default_augmentation: ClassVar[str] = "fbcrnn_reference"
    from_scratch: ClassVar[Mapping[str, Any]] = MappingProxyType({"lr": 1e-3})
    _parameter_constraints: ClassVar[dict[str, list]] = {
        "depth": [StrOptions(set(LAYOUTS))],
        "width": [Options(Integral, {1, 2})],
        "time_pooling": [Options(Integral, {1, 2})],
        "sample_rate": [Interval(Integral, 200, None, closed="left")],
        "fmin": [Interval(Real, 0, None, closed="left")],
    }

    @property
    def n_stages(self) -> int:  # type: ignore[override]
        """Number of stages: all convolutional layers, and the recurrent layers as one."""
        layout = LAYOUTS[self.depth]
        return len(layout.kernels_2d) + len(layout.kernels_1d) + 1

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError, TypeError
            If a setting is not allowed.
        """
        super().validate()
        if self.fmin >= self.sample_rate / 2:
            raise ValueError(
                f"fmin={self.fmin} Hz must lie below half the sample_rate of {self.sample_rate} Hz."
            )

    def get_input(self) -> NetworkInput:
        """Return what the input must be: STFTs of waveforms with a peak just below 1.

        Returns
        -------
        NetworkInput
            Frame i is centered on the samples of segment i, so that segments begin at 0.
        """
        hop_length = round(0.02 * self.sample_rate)
        win_length = 3 * hop_length
        n_fft = 1 << (win_length - 1).bit_length()
        stft = STFTSizes(n_fft, hop_length, win_length, edges="zeros")
        distortions = ("warp", "noise", "time_mask", "mel_mask")
        return NetworkInput(self.sample_rate, stft, N_MELS, distortions=distortions)

    def resolve(self) -> Network:
        """Copy the settings.

        Returns
        -------
        Network
        """
        return clone(self)

    @classmethod
    def identify(cls, state: Mapping[str, Any], file_name: str = "") -> Self | None:
        """Find the settings of weights that pb_sed trained.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.
        file_name : str, default=""
            Name of the file, for messages.

        Returns
        -------
        Network or None
            None if these are not weights of this network.

        Raises
        ------
        ValueError
            If they are weights of this network, but of unknown settings.
        """
        first = state.get(_FIRST)
        if not isinstance(first, Tensor) or first.ndim != 4 or cls._own_tensor not in state:
            return None
        n_layers = _count_layers(state)
        depths = {len(layout.kernels_2d): depth for depth, layout in LAYOUTS.items()}
        width = len(first) // 16
        if n_layers not in depths or width not in (1, 2) or first.shape[1] != 1:
            raise ValueError(
                f"{file_name!r} holds weights of the network {cls.__name__}, but this variant is "
                f"not supported: it has {n_layers} 2-d convolutions, the first with {len(first)} "
                f"output and {first.shape[1]} input channels. Known are "
                f"{' and '.join(map(str, depths))} convolutions, with 16 or 32 output channels and "
                "1 input channel."
            )
        return cls(depth=depths[n_layers], width=width)

    def explain_mismatch(self, state: Mapping[str, Any]) -> str:
        """Compare depth, width and mel filters, which depend on the sample rate and fmin.

        Parameters
        ----------
        state : dict of str to Tensor
            Weights of unknown settings. Not trusted: they may come from any file.

        Returns
        -------
        str
            How these settings differ. Empty if no difference is known.
        """
        first = state.get(_FIRST)
        if isinstance(first, Tensor) and first.ndim == 4:
            n_layers = _count_layers(state)
            for depth, layout in LAYOUTS.items():
                if n_layers == len(layout.kernels_2d) and depth != self.depth:
                    return f"was trained with depth={depth!r}, but this tagger has {self.depth!r}"
            if len(first) in (16, 32) and len(first) != 16 * self.width:
                return (
                    f"was trained with width={len(first) // 16}, but this tagger has "
                    f"width={self.width}"
                )
        filters = state.get(_FILTERS)
        if getattr(filters, "ndim", 0) != 2 or filters.dtype != torch.float32:
            return ""  # check_state tells what is wrong
        expected = mel_filterbank(self.sample_rate, self.get_input().stft.n_fft, N_MELS, self.fmin)
        if filters.shape == expected.shape and torch.allclose(filters.cpu(), expected, atol=1e-3):
            return ""
        return (
            "has other mel filters than those of this tagger's "
            f"sample_rate={self.sample_rate} and fmin={self.fmin}"
        )

    def _module_settings(self) -> dict[str, Any]:
        """Return the arguments that the torch modules of subclasses have in common."""
        return {
            "depth": self.depth,
            "width": self.width,
            "sample_rate": self.sample_rate,
            "n_fft": self.get_input().stft.n_fft,
            "fmin": self.fmin,
            "time_pooling": self.time_pooling,
        }


def _count_layers(state):
    """Count the 2-d convolutions of trained weights, which tell the depth."""
    names = map(str, state)
    return sum(
        name.startswith("cnn.cnn_2d.convs.") and name.endswith(".conv.weight") for name in names
    )
