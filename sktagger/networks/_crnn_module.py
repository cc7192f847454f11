"""Base class of the torch modules of convolutional recurrent networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._fbcrnn_layers import CNN, EPS, LAYOUTS, N_MELS, norm_relu
from sktagger.networks._features import LogMel
from sktagger.networks._gru import N_LAYERS
from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames
from sktagger.networks._module import NetworkModule
from sktagger.networks._norm_pool import NormPoolReLU


class CRNNModule(NetworkModule):
    """Log-mel features and convolutions, before the recurrent layers of a subclass.

    The features of each frame depend on few frames around it, so that long clips can be cut into
    chunks before them. Recurrent layers then run over the features of the whole clip.

    Parameters
    ----------
    n_events : int
        Number of outputs.
    depth : {"shallow", "deep"}
        Layers of the convolutions.
    width : int
        Factor of the numbers of channels.
    sample_rate : float
        In Hz.
    n_fft : int
        Length of the FFT in samples. The input has ``n_fft // 2 + 1`` bins.
    fmin : float
        Lower end of the mel axis in Hz.
    time_pooling : {1, 2}
        Number of frames of a segment.
    n_tags : int, default=0
        Number of events whose tags are further inputs of the convolutions.
    """

    pools_embeddings = True
    linear_head = False

    def __init__(
        self,
        n_events: int,
        depth: str,
        width: int,
        sample_rate: float,
        n_fft: int,
        fmin: float,
        time_pooling: int,
        n_tags: int = 0,
    ):
        super().__init__(n_events)
        self.n_bins = n_fft // 2 + 1
        self.time_pooling = time_pooling
        self.feature_extractor = LogMel(sample_rate, n_fft, N_MELS, fmin)
        self.feature_extractor.norm.corrected = "power"
        cnn = CNN(LAYOUTS[depth], width, time_pooling, n_tags)
        self.cnn = cnn.to(memory_format=torch.channels_last)

    @property
    def front_end(self) -> list[nn.Module]:
        """The features. If a stage is frozen, their statistics are frozen, too."""
        return [self.feature_extractor]

    @property
    def stages(self) -> list[nn.Module]:
        """The 2-d convolutions, the 1-d convolutions, and all layers after them but the head."""
        first, *others = self.cnn.cnn_1d.stages()
        stages = [
            *self.cnn.cnn_2d.stages(),
            [self.cnn.cnn_2d.output_norm, *first],
            *others,
            [self.cnn.cnn_1d.output_norm, *self.recurrent],
        ]
        return [nn.ModuleList(parts) for parts in stages]

    @property
    def recurrent(self) -> list[nn.Module]:
        """The layers between convolutions and head."""
        raise NotImplementedError

    def reset_parameters(self, random_state: int = 0) -> None:
        """Draw initial weights.

        They are Kaiming-uniform for convolutions, Xavier-uniform for the head and the convolutions
        of residual connections, and uniform for recurrent layers.

        Parameters
        ----------
        random_state : int, default=0
            Seed. The global generator of PyTorch is neither used nor changed.
        """
        generator = torch.Generator().manual_seed(random_state)
        for name, part in self.named_modules():
            if isinstance(part, nn.GRU):
                bound = part.hidden_size**-0.5
                for weight in part.parameters():
                    nn.init.uniform_(weight, -bound, bound, generator=generator)
            elif isinstance(part, nn.Conv1d | nn.Conv2d):
                # the memory layout of the weight must not change what is drawn
                drawn = torch.empty(part.weight.shape)
                if "residual" in name:
                    nn.init.xavier_uniform_(drawn, generator=generator)
                else:
                    nn.init.kaiming_uniform_(drawn, nonlinearity="relu", generator=generator)
                with torch.no_grad():
                    part.weight.copy_(drawn)
                    part.bias.zero_()
        self._reset_head(generator)

    def _reset_head(self, generator):
        weight = self.classifier.weight.data
        # for each part, which has a direction of its own
        for part in weight.split(self.cnn.n_features, 1):
            part.copy_(nn.init.xavier_uniform_(torch.empty(part.shape), generator=generator))
        nn.init.zeros_(self.classifier.bias)

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
        Tensor of shape (n_clips, 1, 128, n_frames), float32
            0 beyond the frames of a clip.
        """
        if stft.ndim != 5 or stft.shape[1] != 1 or stft.shape[3:] != (self.n_bins, 2):
            raise ValueError(
                f"stft has shape {tuple(stft.shape)}, but this network takes "
                f"(n_clips, 1, n_frames, {self.n_bins}, 2). Check n_fft and the axes."
            )
        return self.feature_extractor(stft, n_frames, **distortions)

    def segment_features(
        self,
        layer: str | None,
        stft: Tensor,
        n_frames: Tensor,
        tags: Tensor | None = None,
        **distortions: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Compute the features of each frame, on which the recurrent layers work.

        Parameters
        ----------
        layer : str or None
            Any layer: all are computed from the same features.
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        tags : Tensor of shape (n_clips, n_tags), float32, or None, default=None
            Further inputs of the convolutions, in modules that have them.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        features : Tensor of shape (n_clips, n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        x = self.features(stft, n_frames, **distortions)
        bfloat16 = self.precision == "bfloat16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            features, frames = self.cnn(x, Frames.of(n_frames, x.shape[-1]), tags)
        return features.to(self.classifier.weight.dtype), frames.n_frames

    def segment_scores(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score each frame.

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
            Number of segments of each clip: one per frame, or per two frames if time is pooled.
        """
        features, n_segments = self.segment_features(None, stft, n_frames, **distortions)
        return self.segment_scores_and_embeddings(features, n_segments)[0], n_segments

    def segment_embeddings(
        self, stft: Tensor, n_frames: Tensor, **distortions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the inputs of the head of both directions for each segment.

        Parameters
        ----------
        stft, n_frames : Tensor
            See :meth:`NetworkModule.segment_scores`.
        **distortions : Tensor
            See :meth:`NetworkModule.segment_scores`.

        Returns
        -------
        embeddings : Tensor of shape (n_clips, 2 * n_features, n_segments), float32
            0 beyond the segments of a clip.
        n_segments : Tensor of shape (n_clips,), integer
            Number of segments of each clip.
        """
        features, n_segments = self.segment_features(None, stft, n_frames, **distortions)
        return self.segment_scores_and_embeddings(features, n_segments)[1], n_segments

    def pool_activity(self, activity: Tensor, length: int) -> Tensor:
        """Compute which segments are active from the frames that are.

        Parameters
        ----------
        activity : Tensor of shape (n_clips, n_events, n_frames), in {0, 1}
        length : int
            Number of segments of the padded clips.

        Returns
        -------
        Tensor of shape (n_clips, n_events, length), in {0, 1}
            1 if any frame of a segment is active.
        """
        if self.time_pooling > 1:
            activity = F.max_pool1d(activity, self.time_pooling, ceil_mode=True)
        return F.pad(activity, (0, length - activity.shape[-1]))


class HiddenLayer(nn.Module):
    """Convolution over single frames, normalization and ReLU.

    Parameters
    ----------
    n_in, n_out : int
        Numbers of channels.
    """

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv = skip_init(nn.Conv1d, n_in, n_out, 1)
        self.norm = NormPoolReLU(n_out, EPS, "power", 3)

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """Compute (n_clips, n_out, n_frames) from (n_clips, n_in, n_frames)."""
        x = F.conv1d(x, self.conv.weight, self.conv.bias)[:, :, None]
        return norm_relu(self.norm, [x], [frames])[0][:, :, 0]


def make_gru(n_in: int, n_hidden: int, *, bidirectional: bool = False) -> nn.GRU:
    """Make the recurrent layers without drawing their weights."""
    gru = nn.GRU(n_in, n_hidden, N_LAYERS, bidirectional=bidirectional, device="meta")
    return gru.to_empty(device=torch.get_default_device())
