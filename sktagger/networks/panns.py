"""PANNs: convolutional networks of 64 mel bands, known for their weights trained on AudioSet.

Source: Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, "PANNs: large-scale pretrained
audio neural networks for audio pattern recognition", IEEE/ACM TASLP 28, 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from sklearn.base import clone
from torch import Tensor

from sktagger._utils.validation import Options, StrOptions
from sktagger.audio.spectral import STFTSizes
from sktagger.networks._panns_layers import LAYOUTS, Layout
from sktagger.networks._panns_modules import DecisionLevelMaxModule, PANNsModule
from sktagger.networks._protocol import Network, NetworkInput, ScoreGrid
from sktagger.networks._slaney import slaney_filters
from sktagger.networks.efficientat import EfficientAT

__all__ = ["PANNs", "PANNsModule"]

_N_MELS = 64
_FMIN = 50.0  # Hz
_SEGMENTWISE = "cnn14_decision_level_max"
_FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")  # names of constants of the original


class _Rate(NamedTuple):
    """What depends on the sample rate: sizes in samples, and the upper end of the filters in Hz."""

    n_fft: int
    hop_length: int
    fmax: float


_RATES = {
    32000: _Rate(1024, 320, 14000.0),
    16000: _Rate(512, 160, 8000.0),
    8000: _Rate(256, 80, 4000.0),
}


class PANNs(Network):
    """Settings of PANNs [1]_, convolutional networks known for weights trained on AudioSet.

    The features are log-mel spectra of 64 bands every 10 ms, in dB. Waveforms are not scaled,
    because level matters to the trained weights. Waveforms that are too short for the poolings are
    repeated.

    Parameters
    ----------
    variant : {"cnn14", "cnn14_decision_level_max", "cnn10", "cnn6"}, default="cnn14"
        Which network. "cnn14" has six blocks of two 3x3 convolutions and 80 million weights;
        "cnn10" has four such blocks and "cnn6" four of one 5x5 convolution, both 5 million.
        They pool the features of a clip to one embedding, and score it.
        "cnn14_decision_level_max" has the layers of "cnn14", but scores segments of 32 frames
        (0.32 s); the score of a clip is the largest of them.
    sample_rate : {32000, 16000, 8000}, default=32000
        In Hz. Weights were published for 32000, and those of Cnn14 for all three.

    References
    ----------
    .. [1] Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, "PANNs: large-scale
       pretrained audio neural networks for audio pattern recognition", IEEE/ACM Transactions on
       Audio, Speech, and Language Processing 28, 2020.

    Examples
    --------
    >>> import torch
    >>> from sktagger.networks import PANNs
    >>> module = PANNs(variant="cnn6").build(10).eval()
    >>> scores = module(torch.randn(2, 1, 100, 513, 2), torch.tensor([100, 70]))
    >>> scores.shape
    torch.Size([2, 10])
    """

    version: ClassVar[int] = 1
    audioset_order: ClassVar[bool] = True
    head_name: str = "fc_audioset"
    _parameter_constraints: ClassVar[dict[str, list]] = {
        "variant": [StrOptions(set(LAYOUTS))],
        "sample_rate": [Options(Integral, set(_RATES))],
    }

    def __init__(
        self,
        *,
        variant: Literal["cnn14", "cnn14_decision_level_max", "cnn10", "cnn6"] = "cnn14",
        sample_rate: int = 32000,
    ):
        self.variant = variant
        self.sample_rate = sample_rate

    @property
    def n_stages(self) -> int:  # type: ignore[override]
        """Number of stages: the blocks, the first with the norm of the input, and ``fc1``."""
        return len(self._layout().channels) + 1

    @property
    def fine_tuning(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Defaults of a tagger's parameters for fine-tuning, as those of EfficientAT."""
        if self.variant == _SEGMENTWISE:  # a linear fit needs one embedding per clip
            return {**EfficientAT.fine_tuning, "head_init": "random"}
        return EfficientAT.fine_tuning

    def get_input(self) -> NetworkInput:
        """Return what the input must be: STFTs of waveforms that are not scaled.

        Returns
        -------
        NetworkInput
        """
        n_fft, hop_length, _ = _RATES[self.sample_rate]
        least = (self._layout().step - 1) * hop_length
        stft = STFTSizes(n_fft, hop_length, n_fft, "hann", edges="reflect", min_samples=least)
        return NetworkInput(self.sample_rate, stft, _N_MELS, "raw", ("time_mask", "mel_mask"))

    def get_grid(self) -> ScoreGrid:
        """Return the positions of segment scores in time.

        Returns
        -------
        ScoreGrid
            Segments do not overlap. Frames beyond the last whole segment belong to none.
        """
        layout = self._layout()
        context = layout.context if self.variant == _SEGMENTWISE else None
        return ScoreGrid(layout.step, layout.step, context, partial=False)

    def resolve(self) -> PANNs:
        """Copy the settings.

        Returns
        -------
        PANNs
        """
        return clone(self)

    @classmethod
    def identify(cls, state: Mapping[str, Any], file_name: str = "") -> PANNs | None:
        """Find the settings of weights that the original implementation trained.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.
        file_name : str, default=""
            Name of the file. It tells Cnn14 from Cnn14_DecisionLevelMax, such as
            "Cnn14_mAP=0.431.pth", whose names and shapes of weights are the same. It also tells
            the sample rate ("16k", "8k") if the constants of the front end are missing.

        Returns
        -------
        PANNs or None
            None if these are not weights of PANNs.

        Raises
        ------
        ValueError
            If they are weights of this network, but of unknown settings. The message lists the
            choices.
        """
        variants = _find_variants(state)
        if not variants:
            return None
        sizes = _other_sizes(state, LAYOUTS[variants[0]])
        if sizes:
            raise ValueError(
                f"{file_name!r} holds weights of PANNs, but this variant is not supported: it "
                f"{sizes}. Give weights of one of {', '.join(map(repr, LAYOUTS))}."
            )
        rates = _find_sample_rates(state, file_name)
        named = [variant for variant in variants if _fits_name(variant, file_name)]
        if len(variants) > 1 and named:
            variants = named
        if len(variants) == len(rates) == 1:
            return cls(variant=variants[0], sample_rate=rates[0])
        choices = [
            f"network=PANNs(variant={variant!r}, sample_rate={rate})"
            for variant in variants
            for rate in rates
        ]
        raise ValueError(
            f"{file_name!r} holds weights of PANNs, but neither they nor the file's name show its "
            f"settings. Give {' or '.join(choices)}."
        )

    def convert(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leave out the constants of the front end. Other weights have the same names here.

        Parameters
        ----------
        state : dict of str to Tensor
            Not trusted: it may come from any file.

        Returns
        -------
        dict of str to Tensor
            Not checked either.
        """
        return {k: x for k, x in state.items() if not str(k).startswith(_FRONT_END)}

    def explain_mismatch(self, state: Mapping[str, Any]) -> str:
        """Compare the layers, their sizes, and mel filters, which depend on the sample rate.

        Parameters
        ----------
        state : dict of str to Tensor
            Weights of unknown settings. Not trusted: they may come from any file.

        Returns
        -------
        str
            How these settings differ. Empty if no difference is known.
        """
        variants = _find_variants(state)
        if variants and self.variant not in variants:
            return (
                f"was trained with variant={variants[0]!r}, but this tagger has "
                f"variant={self.variant!r}"
            )
        sizes = _other_sizes(state, self._layout()) if variants else ""
        if sizes:
            return f"{sizes}, so that it is another network than variant={self.variant!r}"
        own = f"but this tagger has sample_rate={self.sample_rate}"
        filters = state.get("logmel_extractor.melW")
        if not isinstance(filters, Tensor) or filters.ndim != 2:
            return ""
        expected = self._mel_filters()
        for rate, (n_fft, *_) in _RATES.items():
            if len(filters) == n_fft // 2 + 1 and rate != self.sample_rate:
                return f"was trained with sample_rate={rate}, {own}"
        limit = 1e-3 * expected.max().item()
        if filters.shape == expected.shape and torch.allclose(
            filters.float().cpu(), expected, rtol=0, atol=limit
        ):
            return ""
        fmax = _RATES[self.sample_rate].fmax
        return (
            f"has other mel filters: {len(filters)} bins and {filters.shape[1]} bands of another "
            f"sample rate, n_fft, fmin or fmax, {own} ({len(expected)} bins, {_N_MELS} bands from "
            f"{_FMIN:g} to {fmax:g} Hz)"
        )

    def _layout(self) -> Layout:
        return LAYOUTS[self.variant]

    def _mel_filters(self) -> Tensor:
        n_fft, _, fmax = _RATES[self.sample_rate]
        return slaney_filters(self.sample_rate, n_fft, _N_MELS, _FMIN, fmax)

    def _make(self, n_events: int) -> PANNsModule:
        module = DecisionLevelMaxModule if self.variant == _SEGMENTWISE else PANNsModule
        return module(n_events, layout=self._layout(), filters=self._mel_filters())


def _find_variants(state):
    """Find the variants that the layers of a state dict can belong to."""
    weights = [state.get(f"conv_block{n}.conv1.weight") for n in range(1, 7)]
    n_blocks = sum(isinstance(x, Tensor) and x.ndim == 4 for x in weights)
    if not n_blocks or not {"bn0.weight", "fc_audioset.weight"} <= state.keys():
        return []
    sizes = n_blocks, weights[0].shape[-1] if isinstance(weights[0], Tensor) else 0
    return [
        name
        for name, layout in LAYOUTS.items()
        if (len(layout.channels), layout.kernel_size) == sizes
    ]


def _other_sizes(state, layout):
    """Say which size of a layer is not that of a layout, as in Cnn14_emb512; empty if none is."""
    sizes = [
        ("bn0.weight", "mel bands", _N_MELS),
        ("fc1.weight", "values in an embedding", layout.n_features),
    ]
    for name, unit, size in sizes:
        weight = state.get(name)
        if isinstance(weight, Tensor) and weight.ndim and len(weight) != size:
            return f"has {len(weight)} {unit} instead of {size}"
    return ""


def _fits_name(variant, file_name):
    """Say whether the name of a file, such as "Cnn14_16k_mAP=0.438.pth", is that of a variant."""
    name = re.sub("[^0-9a-z]", "", file_name.lower())
    if "decision" in name:  # others of this family pool segments in another way
        return variant == _SEGMENTWISE and "decisionlevelmax" in name
    return variant in name


def _find_sample_rates(state, file_name):
    """Find the sample rates that the length of the FFT, or else the name of the file, allows."""
    constant = state.get("spectrogram_extractor.stft.conv_real.weight")
    if isinstance(constant, Tensor) and constant.ndim == 3:
        found = [rate for rate, (n_fft, *_) in _RATES.items() if n_fft == constant.shape[-1]]
        return found or list(_RATES)
    name = file_name.lower()
    named = [rate for rate in _RATES if re.search(rf"(?<![0-9]){rate // 1000}k", name)]
    return named or [32000]
