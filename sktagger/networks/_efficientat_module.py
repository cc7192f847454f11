"""The torch module of EfficientAT."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktagger.networks._efficientat_layers import (
    BLOCKS,
    N_HIDDEN,
    N_STEM,
    ConvNorm,
    InvertedResidual,
    round_channels,
)
from sktagger.networks._init import skip_init
from sktagger.networks._kaldi_mel import KaldiLogMel
from sktagger.networks._masking import Frames
from sktagger.networks._pooling import Dropout, PoolingModule

__all__ = ["N_FFT", "SAMPLE_RATE", "EfficientATModule"]

SAMPLE_RATE = 32_000
N_FFT = 1024
_FMIN, _FMAX = 0.0, 15_000.0  # Hz


class EfficientATModule(PoolingModule):
    """The torch module of :class:`EfficientAT`.

    Parameters
    ----------
    n_events : int
        Number of outputs.
    width : float, default=1.0
        See :class:`EfficientAT`.
    n_mels : int, default=128
        See :class:`EfficientAT`.
    strides : tuple of 4 int, default=(2, 2, 2, 2)
        See :class:`EfficientAT`.
    head : {"mlp", "fully_convolutional"}, default="mlp"
        See :class:`EfficientAT`.
    """

    def __init__(
        self,
        n_events: int,
        *,
        width: float = 1.0,
        n_mels: int = 128,
        strides: tuple[int, ...] = (2, 2, 2, 2),
        head: str = "mlp",
    ):
        super().__init__(n_events)
        self.front = KaldiLogMel(SAMPLE_RATE, N_FFT, n_mels, _FMIN, _FMAX)
        n_channels = round_channels(width * N_STEM)
        parts: list[nn.Module] = [ConvNorm(1, n_channels, 3, 2, activation="hardswish")]
        free = iter(strides)
        for block in BLOCKS:
            stride = next(free) if block.strided else 1
            parts.append(InvertedResidual(n_channels, block, width, stride))
            n_channels = round_channels(width * block.n_out)
        parts.append(ConvNorm(n_channels, 6 * n_channels, activation="hardswish"))
        self.features = nn.ModuleList(parts)
        n_features = 6 * n_channels
        n_hidden = round_channels(width * N_HIDDEN)
        # with the keys of the original, whose layers in between have no weights
        self.classifier = nn.ModuleDict(
            {
                "2": skip_init(nn.Linear, n_features, n_hidden),
                "4": Dropout(0.2),
                "5": skip_init(nn.Linear, n_hidden, n_events),
            }
            if head == "mlp"
            else {"0": skip_init(nn.Linear, n_features, n_events)}
        )
        self.head_input_name = "hidden" if head == "mlp" else "embedding"
        self.to(memory_format=torch.channels_last)

    @property
    def front_end(self) -> list[nn.Module]:
        """The features, which have no statistics."""
        return [self.front]

    @property
    def stages(self) -> list[nn.Module]:
        """The first layer, the blocks, the last layer, and the hidden one if there is one."""
        return [*self.features, *[self.classifier[k] for k in ("2",) if k in self.classifier]]

    @property
    def head_input(self) -> str:
        """Name of the layer whose output is the input of the head."""
        return self.head_input_name

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights: Kaiming-normal for convolutions, Xavier-uniform for other layers.

        Parameters
        ----------
        random_state : int, default=0
            Seed. The global generator of PyTorch is neither used nor changed.
        """
        generator = torch.Generator().manual_seed(random_state)
        for part in self.modules():
            if not isinstance(part, nn.Conv2d | nn.Linear):
                continue
            # the memory layout of the weight must not change what is drawn
            drawn = torch.empty(part.weight.shape)
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(drawn, mode="fan_out", generator=generator)
            else:
                nn.init.xavier_uniform_(drawn, generator=generator)
            with torch.no_grad():
                part.weight.copy_(drawn)
                if part.bias is not None:
                    part.bias.zero_()

    @property
    def mel_filters(self) -> Tensor:
        """Filters of the mel bands, (n_bins, n_mels), float32."""
        return self.front.filters

    def input_features(self, stft: Tensor, n_frames: Tensor) -> Tensor:
        """Compute the features that the first layer gets, see :class:`NetworkModule`.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, n_mels, n_frames), float32
        """
        return self.front(stft, n_frames)[:, 0]

    def feature_maps(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Frames]:
        """Compute the features of each segment: the output of the blocks, averaged over mel.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        features : Tensor of shape (n_clips, n_channels, n_segments), float32
            0 beyond the segments of a clip.
        segments : Frames
            Valid segments of the clips.
        """
        if stft.ndim != 5 or stft.shape[1] != 1 or stft.shape[3:] != (N_FFT // 2 + 1, 2):
            raise ValueError(
                f"stft has shape {tuple(stft.shape)}, but EfficientAT takes "
                f"(n_clips, 1, n_frames, {N_FFT // 2 + 1}, 2). Check n_fft and the axes."
            )
        x = self.front(stft, n_frames, **distortions)
        x = x.contiguous(memory_format=torch.channels_last)
        frames = Frames.of(n_frames, x.shape[-1])
        bfloat16 = self.precision == "bfloat16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            for part in self.features:
                x, frames = part(x, frames)
        return x.float().mean(2), frames

    def outputs(self, layer: str, features: Tensor) -> Tensor:
        """Compute the output of a layer from pooled features.

        Parameters
        ----------
        layer : {"embedding", "hidden"}
        features : Tensor of shape (..., n_channels), float32

        Returns
        -------
        Tensor of shape (..., n_features), float32
        """
        if layer == "embedding":
            return features
        hidden = nn.functional.hardswish(self.classifier["2"](features))
        return self.classifier["4"](hidden)
