"""EfficientAT: MobileNets for audio tagging, of which weights trained on AudioSet are public.

Source: F. Schmid, K. Koutini, G. Widmer, "Efficient large-scale audio tagging via
transformer-to-CNN knowledge distillation", ICASSP 2023, https://github.com/fschmid56/EfficientAT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from sklearn.base import clone
from torch import Tensor

from sktagger._utils.validation import Interval, StrOptions
from sktagger.audio.spectral import STFTSizes
from sktagger.networks._efficientat_layers import BLOCKS
from sktagger.networks._efficientat_module import N_FFT, SAMPLE_RATE, EfficientATModule
from sktagger.networks._protocol import Network, NetworkInput, ScoreGrid

__all__ = ["EfficientAT", "EfficientATModule"]

_WIN_LENGTH = 800
_MIN_SAMPLES = 514  # the original reflects 512 samples of the filtered waveform
_HEADS = {"mlp": "classifier.5", "fully_convolutional": "classifier.0"}
_NAME = re.compile(
    r"mn(?P<width>\d\d)_as(_hop_(?P<hop>\d+))?(_mels_(?P<mels>\d+))?(_fc)?(_s(?P<strides>[12]{4}))?"
)
_BATCH_NORM_EPS = 1e-5  # of the head "fully_convolutional"


class EfficientAT(Network):
    """Settings of EfficientAT [1]_, MobileNets of many sizes, trained on AudioSet.

    The features are log-mel spectra. Fifteen inverted residual blocks follow. Their output is
    averaged over frequency and time, which gives the embedding of a clip.
    :meth:`sktagger.AudioTagger.from_checkpoint` reads the public weights.

    Parameters
    ----------
    width : float, default=1.0
        Factor of the numbers of channels. Public weights: 0.4, 0.5, 1, 2, 3, 4.
    n_mels : int, default=128
        Number of mel bands from 0 to 15 kHz. Public weights: 40, 64, 128, 256.
    hop_length : int, default=320
        Distance between frames in samples, at 32 kHz. Public weights: 160, 320, 480, 640, 800.
    strides : tuple of 4 int, default=(2, 2, 2, 2)
        Strides of blocks 2, 4, 7 and 13, each 1 or 2. Public weights: (2, 2, 2, 2), and for
        ``head="fully_convolutional"`` also (2, 2, 2, 1) and (2, 2, 1, 1). Segments of scores span
        twice as many frames as the product of the strides.
    head : {"mlp", "fully_convolutional"}, default="mlp"
        "mlp": a hidden layer and a linear one. "fully_convolutional": a linear layer only.

    References
    ----------
    .. [1] F. Schmid, K. Koutini, G. Widmer, "Efficient large-scale audio tagging via
       transformer-to-CNN knowledge distillation", ICASSP 2023.

    Examples
    --------
    >>> import torch
    >>> from sktagger.networks import EfficientAT
    >>> module = EfficientAT(width=0.4).build(10).eval()
    >>> scores = module(torch.randn(2, 1, 100, 513, 2), torch.tensor([100, 50]))
    >>> scores.shape
    torch.Size([2, 10])
    """

    version: ClassVar[int] = 1
    audioset_order: ClassVar[bool] = True
    prefers_bfloat16: ClassVar[bool] = False
    fine_tuning: Mapping[str, Any] = MappingProxyType(
        {"lr": 5e-4, "freeze_norms": True, "head_init": "linear"}
    )
    _parameter_constraints: ClassVar[dict[str, list]] = {
        "width": [Interval(Real, 0, 16, closed="right")],
        "n_mels": [Interval(Integral, 1, 1024, closed="both")],
        "hop_length": [Interval(Integral, 1, SAMPLE_RATE, closed="both")],
        "strides": [tuple, list],
        "head": [StrOptions(set(_HEADS))],
    }

    def __init__(
        self,
        *,
        width: float = 1.0,
        n_mels: int = 128,
        hop_length: int = 320,
        strides: tuple[int, ...] | list[int] = (2, 2, 2, 2),
        head: Literal["mlp", "fully_convolutional"] = "mlp",
    ):
        self.width = width
        self.n_mels = n_mels
        self.hop_length = hop_length
        self.strides = strides
        self.head = head

    @property
    def head_name(self) -> str:  # type: ignore[override]
        """Name of the last layer."""
        return _HEADS[self.head]

    @property
    def n_stages(self) -> int:  # type: ignore[override]
        """Number of stages: the first layer, blocks, last layer and hidden layer."""
        return len(BLOCKS) + 2 + (self.head == "mlp")

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the layers with outputs: "embedding", "hidden" (if there is one), "logits"."""
        return ("embedding", "hidden", "logits")[:: 1 if self.head == "mlp" else 2]

    def validate(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError, TypeError
            If a setting is not allowed.
        """
        super().validate()
        strides = self.strides
        if len(strides) != 4 or any(s not in (1, 2) or isinstance(s, bool) for s in strides):
            raise ValueError(
                f"EfficientAT: strides={strides!r:.80}, but it must have four values, each 1 or 2, "
                "such as (2, 2, 2, 2)."
            )

    def get_input(self) -> NetworkInput:
        """Return what the input must be: STFTs of filtered waveforms of the original scale.

        Returns
        -------
        NetworkInput
        """
        stft = STFTSizes(
            N_FFT,
            int(self.hop_length),
            _WIN_LENGTH,
            "hann",
            periodic=False,
            edges="reflect",
            preemphasis=0.97,
            min_samples=_MIN_SAMPLES,
        )
        return NetworkInput(SAMPLE_RATE, stft, self.n_mels, "raw", ("time_mask", "mel_mask"))

    def get_grid(self) -> ScoreGrid:
        """Return the positions of segment scores in time, which depend on the whole clip.

        Returns
        -------
        ScoreGrid
        """
        step = 2 * int(torch.tensor(self.strides).prod())
        return ScoreGrid(step, step, None)

    def resolve(self) -> EfficientAT:
        """Copy the settings.

        Returns
        -------
        EfficientAT
        """
        return clone(self).set_params(strides=tuple(int(stride) for stride in self.strides))

    @classmethod
    def identify(cls, state: Mapping[str, Any], file_name: str = "") -> EfficientAT | None:
        """Find the settings of public weights, by shapes and by the name of the file.

        Shapes show `width` and `head`. The name, such as "mn10_as_hop_15_mAP_463.pt", tells the
        other settings.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.
        file_name : str, default=""
            Name of the file.

        Returns
        -------
        EfficientAT or None
            None if these are not weights of EfficientAT.

        Raises
        ------
        ValueError
            If the name does not tell the other settings. The message lists the choices.
        """
        last = f"features.{len(BLOCKS) + 1}.0.weight"
        if not isinstance(state.get(last), Tensor) or state[last].ndim != 4:
            return None
        head = "mlp" if f"{_HEADS['mlp']}.weight" in state else "fully_convolutional"
        name = _NAME.search(re.sub("[^0-9a-z]+", "_", file_name.lower()))
        # rounded numbers of channels have several widths
        widths = [0.1 * k for k in range(1, 41)] if name is None else [int(name["width"]) / 10]
        found = cls(width=state[last].shape[1] / 160, head=head)
        for width in [*widths, found.width]:
            network = cls(width=round(width, 1), head=head)
            if network._fits(state):
                found = network
                break
        else:
            if name is None:
                return None
        if name is None:
            raise ValueError(
                f"its weights are those of EfficientAT(width={found.width:g}, head={head!r}), but "
                "they do not show hop_length, n_mels and strides, nor does its name, as "
                "'mn10_as_mAP_471.pt' or 'mn10_as_hop_15_mAP_463.pt' would. Give "
                f"network=EfficientAT(width={found.width:g}, head={head!r}) for the defaults "
                "(hop_length=320, n_mels=128, strides=(2, 2, 2, 2)), or with other values of these"
            )
        return found.set_params(
            hop_length=SAMPLE_RATE // 1000 * int(name["hop"] or 10),
            n_mels=int(name["mels"] or 128),
            strides=tuple(map(int, name["strides"] or "2222")),
        )

    def _fits(self, state):
        """Say whether weights have the shapes of this network, except for those of the head."""
        shapes = self.shapes(1)
        return all(
            isinstance(state.get(name), Tensor) and state[name].shape == tensor.shape
            for name, tensor in shapes.items()
            if not name.startswith(f"{self.head_name}.")
        )

    def convert(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fold the batch norm of the original head "fully_convolutional" into the layer before it.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.

        Returns
        -------
        dict of str to Tensor
            Weights of other networks are returned as they are.
        """
        names = [f"classifier.1.{part}" for part in ("weight", "bias", "running_mean")]
        names += ["classifier.1.running_var", "classifier.0.weight"]
        tensors = [state.get(name) for name in names]
        if self.head == "mlp" or not all(isinstance(x, Tensor) for x in tensors):
            return state
        gamma, beta, mean, variance, weight = tensors
        vectors = all(x.shape == weight.shape[:1] for x in (gamma, beta, mean, variance))
        if not vectors or weight.shape[2:] != (1, 1):
            return state
        scale = gamma / (variance + _BATCH_NORM_EPS).sqrt()
        converted = {k: v for k, v in state.items() if not k.startswith("classifier.1.")}
        converted["classifier.0.weight"] = weight.flatten(1) * scale[:, None]
        converted["classifier.0.bias"] = beta - mean * scale
        return converted

    def _make(self, n_events: int) -> EfficientATModule:
        return EfficientATModule(
            n_events,
            width=self.width,
            n_mels=self.n_mels,
            strides=tuple(self.strides),
            head=self.head,
        )
