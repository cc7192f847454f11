"""WALNet: a fully convolutional network that pools segment scores to clip scores.

Source: A. Shah, A. Kumar, A. G. Hauptmann, B. Raj, "A closer look at weak label learning for audio
events", arXiv:1804.09288, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import torch
from sklearn.base import clone
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger._utils.validation import Interval, StrOptions
from sktagger.audio.spectral import STFT, STFTSizes
from sktagger.networks._features import LogMel, mel_filterbank
from sktagger.networks._masking import Frames
from sktagger.networks._module import NetworkModule
from sktagger.networks._protocol import Network, NetworkInput, ScoreGrid
from sktagger.networks._walnet_layers import CNN, LAYERS

__all__ = ["WALNet", "WALNetModule"]

_STEP = 2 ** sum(pool for *_, pool in LAYERS)  # frames from one segment to the next
_MIN_FRAMES = _STEP + 1  # the last 2x2 kernel needs two positions


def _count_context():
    """Count the frames before and after a segment that its score depends on."""
    context, step = 0, 1
    for _, kernel_size, same, pool in LAYERS:
        context += step * (kernel_size // 2) if same else 0
        step *= 2 if pool else 1
    return context


_GRID = ScoreGrid(length=2 * _STEP, step=_STEP, context=_count_context())
_N_MELS = 2 * _STEP  # two bands are then left for that kernel


class WALNet(Network):
    """Settings of WALNet [1]_, a convolutional network that scores segments of a clip.

    The features are log-mel spectra of 128 bands. Eleven 3x3 convolutions, one 2x2 convolution and
    six poolings follow. A segment has 128 frames, and one begins every 64 frames (1.28 s at a hop
    of 20 ms).

    Parameters
    ----------
    sample_rate : int, default=44100
        In Hz.
    stft : STFT or None, default=None
        Settings of the short-time Fourier transform. None: a window of 40 ms every 20 ms.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz. The upper end is half the sample rate.
    pooling : {"mean", "linear_softmax"}, default="linear_softmax"
        How the score of a clip is computed from the scores of its segments. "mean" is the
        published setting. "linear_softmax", the mean of the scores weighted by themselves [2]_, is
        better for events that fill a small part of a clip.

    References
    ----------
    .. [1] A. Shah, A. Kumar, A. G. Hauptmann, B. Raj, "A closer look at weak label learning for
       audio events", arXiv:1804.09288, 2018.
    .. [2] Y. Wang, J. Li, F. Metze, "A comparison of five multiple instance learning pooling
       functions for sound event detection with weak labeling", ICASSP 2019.

    Examples
    --------
    >>> import torch
    >>> from sktagger.networks import WALNet
    >>> module = WALNet(sample_rate=16000).build(10).eval()
    >>> scores = module(torch.randn(2, 1, 200, 513, 2), torch.tensor([200, 150]))
    >>> scores.shape
    torch.Size([2, 10])
    """

    version: ClassVar[int] = 1
    head_name: str = f"cnn.convs.{len(LAYERS)}.conv"
    n_stages: int = len(LAYERS)
    adjustable: ClassVar[tuple[str, ...]] = ("pooling",)
    _parameter_constraints: ClassVar[dict[str, list]] = {
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "stft": [STFT, None],
        "fmin": [Interval(Real, 0, None, closed="left")],
        "pooling": [StrOptions({"mean", "linear_softmax"})],
    }

    def __init__(
        self,
        *,
        sample_rate: int = 44100,
        stft: STFT | None = None,
        fmin: float = 50.0,
        pooling: Literal["mean", "linear_softmax"] = "linear_softmax",
    ):
        self.sample_rate = sample_rate
        self.stft = stft
        self.fmin = fmin
        self.pooling = pooling

    def get_input(self) -> NetworkInput:
        """Return what the input must be: STFTs of waveforms with a peak just below 1.

        Returns
        -------
        NetworkInput
        """
        distortions = ("warp", "time_mask", "mel_mask", "noise")
        return NetworkInput(self.sample_rate, self._stft_sizes(), _N_MELS, distortions=distortions)

    def get_grid(self) -> ScoreGrid:
        """Return the positions of segment scores in time.

        Returns
        -------
        ScoreGrid
        """
        return _GRID

    def resolve(self) -> WALNet:
        """Copy the settings, and give those of the STFT in samples.

        Returns
        -------
        WALNet
        """
        n_fft, hop_length, win_length, window, *_ = self._stft_sizes()
        stft = STFT(n_fft=n_fft, hop_length=hop_length, win_length=win_length, window=window)
        return clone(self).set_params(stft=stft)

    def set_params(self, **params: Any) -> WALNet:
        """Set parameters, including those of ``stft``, such as ``stft__hop_length``.

        Parameters
        ----------
        **params : dict
            If ``stft`` is None and one of its parameters is set, it becomes ``STFT()`` first.

        Returns
        -------
        self : WALNet
        """
        nested = any(name.startswith("stft__") for name in params)
        if nested and params.get("stft", self.stft) is None:
            params = {**params, "stft": STFT()}
        return super().set_params(**params)

    def explain_mismatch(self, state: Mapping[str, Any]) -> str:
        """Compare the mel filters, which depend on the length of the FFT, sample rate and fmin.

        Parameters
        ----------
        state : dict of str to Tensor
            Weights of unknown settings. Not trusted: they may come from any file.

        Returns
        -------
        str
            How these settings differ. Empty if no difference is known.
        """
        name = "feature_extractor.mel_transform.fbanks"
        filters = state.get(name)
        n_fft = self._stft_sizes().n_fft
        if getattr(filters, "ndim", 0) != 2 or filters.dtype != torch.float32:
            return ""  # check_state tells what is wrong
        if len(filters) != n_fft // 2 + 1:
            trained = 2 * (len(filters) - 1)
            return f"was trained with n_fft={trained}, but this tagger has n_fft={n_fft}"
        expected = mel_filterbank(self.sample_rate, n_fft, _N_MELS, self.fmin)
        if filters.shape == expected.shape and torch.allclose(filters.cpu(), expected, atol=1e-3):
            return ""
        return (
            "has other mel filters than those of this tagger's "
            f"sample_rate={self.sample_rate} and fmin={self.fmin}"
        )

    def _stft_sizes(self) -> STFTSizes:
        sizes = (STFT() if self.stft is None else self.stft).sizes(self.sample_rate)
        if self.fmin >= self.sample_rate / 2:
            raise ValueError(
                f"fmin={self.fmin} Hz must lie below half the sample_rate of {self.sample_rate} Hz."
            )
        return sizes

    def _make(self, n_events: int) -> WALNetModule:
        return WALNetModule(
            n_events,
            sample_rate=self.sample_rate,
            n_fft=self._stft_sizes().n_fft,
            fmin=self.fmin,
            pooling=self.pooling,
        )


class WALNetModule(NetworkModule):
    """The torch module of :class:`WALNet`.

    Parameters
    ----------
    n_events : int
        Number of outputs.
    sample_rate : float, default=44100
        In Hz.
    n_fft : int, default=2048
        Length of the FFT in samples. The input has ``n_fft // 2 + 1`` bins.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz.
    pooling : {"mean", "linear_softmax"}, default="mean"
        See :class:`WALNet`.
    """

    def __init__(
        self,
        n_events: int,
        *,
        sample_rate: float = 44100,
        n_fft: int = 2048,
        fmin: float = 50.0,
        pooling: str = "mean",
    ):
        super().__init__(n_events)
        self.n_bins = n_fft // 2 + 1
        self.pooling = pooling
        self.feature_extractor = LogMel(sample_rate, n_fft, _N_MELS, fmin)
        self.cnn = CNN(n_events)
        self.to(memory_format=torch.channels_last)

    @property
    def front_end(self) -> list[nn.Module]:
        """The features. If a stage is frozen, their statistics are frozen, too."""
        return [self.feature_extractor]

    @property
    def stages(self) -> list[nn.Module]:
        """The twelve convolutional layers before the head."""
        return list(self.cnn.convs[:-1])

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights: Xavier-uniform for the head, Kaiming-uniform for other layers.

        Parameters
        ----------
        random_state : int, default=0
            Seed. The global generator of PyTorch is neither used nor changed.
        """
        generator = torch.Generator().manual_seed(random_state)
        for block in self.cnn.convs:
            # the memory layout of the weight must not change what is drawn
            drawn = torch.empty(block.conv.weight.shape)
            if block.norm is None:
                nn.init.xavier_uniform_(drawn, generator=generator)
            else:
                nn.init.kaiming_uniform_(drawn, nonlinearity="relu", generator=generator)
            with torch.no_grad():
                block.conv.weight.copy_(drawn)
                block.conv.bias.zero_()

    @property
    def mel_filters(self) -> Tensor:
        """Filters of the mel bands, (n_bins, n_mels), float32."""
        return self.feature_extractor.mel_transform.fbanks

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
        return self.features(stft, n_frames)[:, 0]

    def features(self, stft: Tensor, n_frames: Tensor, **distortions: Tensor) -> Tensor:
        """Compute the normalized log-mel features.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        Tensor of shape (n_clips, 1, n_mels, n_frames), float32
            In [-6, 6] without noise; 0 beyond the frames of a clip.
        """
        return self.feature_extractor(stft, n_frames, **distortions)

    def _hidden(self, stft, n_frames, distortions):
        if stft.ndim != 5 or stft.shape[1] != 1 or stft.shape[3:] != (self.n_bins, 2):
            raise ValueError(
                f"stft has shape {tuple(stft.shape)}, but WALNet takes "
                f"(n_clips, 1, n_frames, {self.n_bins}, 2). Check n_fft and the axes."
            )
        x = self.features(stft, n_frames, **distortions)
        x = F.pad(x, (0, max(0, _MIN_FRAMES - x.shape[-1])))
        x = x.contiguous(memory_format=torch.channels_last)
        frames = Frames.of(n_frames, x.shape[-1])
        return self.cnn.hidden(x, frames, bfloat16=self.precision == "bfloat16")

    def segment_embeddings(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the 1024 inputs of the head for each segment.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        embeddings : Tensor of shape (n_clips, 1024, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        hidden, segments = self._hidden(stft, n_frames, distortions)
        return hidden[:, :, 0], segments.n_frames

    def segment_scores(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score each segment.

        Segment i has the frames from ``64 * i`` up to, but not including, ``64 * i + 128``. Its
        score depends only on them and on the 94 frames before and after. Long clips can therefore
        be scored in overlapping chunks.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip: ``ceil(n_frames / 64) - 1``, and at least 1.
        """
        hidden, segments = self._hidden(stft, n_frames, distortions)
        logits = self.cnn.convs[-1].conv(hidden)
        return segments.fill_(logits[:, :, 0], -torch.inf).sigmoid(), segments.n_frames

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
        if self.pooling == "linear_softmax":
            return scores.square().sum(-1) / (scores.sum(-1) + 1e-6)
        return scores.sum(-1) / (n_segments[:, None] + 1e-6)
