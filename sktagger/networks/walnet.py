"""WALNet: a fully convolutional network whose segment scores are averaged to clip scores."""

import torch
from torch import nn
from torch.nn import functional as F

from sktagger.networks._features import LogMel
from sktagger.networks._masking import Frames, MaskedBatchNorm

# (output channels, kernel size, same padding, pool after); the output layer follows
LAYERS = (
    (16, 3, True, False),
    (16, 3, True, True),
    (32, 3, True, False),
    (32, 3, True, True),
    (64, 3, True, False),
    (64, 3, True, True),
    (128, 3, True, False),
    (128, 3, True, True),
    (256, 3, True, False),
    (256, 3, True, True),
    (512, 3, True, True),
    (1024, 2, False, False),
)
SEGMENT_FRAMES = 2 ** sum(pool for *_, pool in LAYERS)  # one segment per so many frames
MIN_FRAMES = SEGMENT_FRAMES + 1  # the last 2x2 kernel needs two positions


def _context_frames():
    """Count the frames on each side of a segment's own ones that its score depends on."""
    context, step = 0, 1
    for _, kernel_size, same, pool in LAYERS:
        context += step * (kernel_size // 2) if same else 0
        step *= 2 if pool else 1
    return context


CONTEXT_FRAMES = _context_frames()


def count_segments(n_frames: int) -> int:
    """Count the segments of a clip.

    Parameters
    ----------
    n_frames : int

    Returns
    -------
    int
        ``ceil(n_frames / 64) - 1``, and at least 1.
    """
    return max(1, -(-n_frames // SEGMENT_FRAMES) - 1)


N_LAYERS = len(LAYERS)  # before the output layer
OUTPUT_WEIGHT = f"cnn.convs.{N_LAYERS}.conv.weight"
OUTPUT_BIAS = f"cnn.convs.{N_LAYERS}.conv.bias"
MEL_FILTERS = "feature_extractor.mel_transform.fbanks"
N_MELS = 2 * SEGMENT_FRAMES  # which are left on the mel axis for that kernel


# Where layers are large, a batch passes them in chunks of so many values: the tensors then stay
# below the size from which the allocator of the CPU asks the system for fresh memory each time,
# which takes longer than the arithmetic
_CHUNK_VALUES = 2**22
_N_CHUNKED = 4  # layers


class _ConvBlock(nn.Module):
    """conv -> masked batch norm -> max-pool -> ReLU; the output layer is the conv alone."""

    def __init__(self, n_in, n_out, kernel_size, same, pool, *, output=False):
        super().__init__()
        # weights are drawn by WALNet.reset_parameters, from its own generator
        self.conv = nn.utils.skip_init(
            nn.Conv2d, n_in, n_out, kernel_size, padding=kernel_size // 2 if same else 0
        )
        self.norm = None if output else MaskedBatchNorm(n_out)
        self.same = same
        self.pool = pool

    def forward(self, chunks, frames):
        """Turn chunks of a batch, and the valid frames of each, into the next ones.

        Pooling comes before the ReLU, with which it commutes: a quarter of the values.
        """
        sign = None
        weight, bias = self.conv.weight, self.conv.bias
        if not self.training:
            weight, bias = self.norm.folded(weight, bias)
        elif self.pool:
            sign = torch.where(self.norm.gamma.detach().flatten() < 0, -1.0, 1.0)
            weight, bias = weight * sign[:, None, None, None], bias * sign
        chunks = [F.conv2d(x, weight, bias, padding=self.conv.padding) for x in chunks]
        if not self.same:
            frames = [valid.unpadded_conv() for valid in frames]
        pooled = [valid.halved() for valid in frames] if self.pool else frames
        if self.training:
            return self.norm(chunks, frames, sign), pooled
        chunks = [valid.fill_(x) for x, valid in zip(chunks, frames, strict=True)]
        if self.pool:
            chunks = [F.max_pool2d(x, 2, ceil_mode=True) for x in chunks]
        return [x.relu_() for x in chunks], pooled


class _CNN(nn.Module):
    def __init__(self, n_events):
        super().__init__()
        self.convs = nn.ModuleList()
        n_in = 1
        for n_out, kernel_size, same, pool in LAYERS:
            self.convs.append(_ConvBlock(n_in, n_out, kernel_size, same, pool))
            n_in = n_out
        self.convs.append(_ConvBlock(n_in, n_events, 1, True, False, output=True))

    def forward(self, x, frames, bfloat16=False):
        """Give the logits of segments, and the valid ones, of clips and their valid frames."""
        n_values = LAYERS[0][0] * x[0].numel()
        size = max(1, _CHUNK_VALUES // n_values) if x.device.type == "cpu" else len(x)
        chunks, frames = x.split(size), frames.split(size)
        *hidden, output = self.convs
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
            for place, block in enumerate(hidden):
                if place == _N_CHUNKED:
                    chunks, frames = [torch.cat(chunks)], [Frames.joined(frames)]
                chunks, frames = block(chunks, frames)
        return output.conv(chunks[0].to(output.conv.weight.dtype)), frames[0]


class WALNet(nn.Module):
    """Weakly supervised audio tagging network: STFT in, event scores out.

    Log-mel features of 128 bands pass eleven 3x3 convolutions and six poolings, so that each
    output position sees a segment of 128 frames, one every 64 frames (1.28 s at a hop of 20 ms).
    The scores of a clip are the means of its segments' scores [1]_. Padding a clip, or the other
    clips of a batch, does not change its scores.

    Parameters
    ----------
    n_events : int
        Number of events, that is outputs.
    sample_rate : float, default=44100
        Of the audio, in Hz.
    n_fft : int, default=2048
        Length of the FFT behind the STFT, in samples; n_bins is ``n_fft // 2 + 1``.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz.
    random_state : int, default=0
        Seed of the initial weights: Kaiming-uniform, the output layer Xavier-uniform.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the convolutions and what passes between them. Features, statistics, the output layer,
        scores, weights and gradients of weights are float32 in either case.
    pooling : {"mean", "linear_softmax"}, default="mean"
        Of the scores of segments: their mean, or their mean weighted by themselves [2]_.

    References
    ----------
    .. [1] A. Shah, A. Kumar, A. G. Hauptmann, B. Raj, "A closer look at weak label learning for
       audio events", arXiv:1804.09288, 2018.
    .. [2] Y. Wang, J. Li, F. Metze, "A comparison of five multiple instance learning pooling
       functions for sound event detection with weak labeling", ICASSP 2019.

    Examples
    --------
    >>> import torch
    >>> net = WALNet(10, sample_rate=16000, n_fft=512).eval()
    >>> scores = net(torch.randn(2, 1, 200, 257, 2), torch.tensor([200, 150]))
    >>> scores.shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        n_events,
        *,
        sample_rate=44100,
        n_fft=2048,
        fmin=50.0,
        random_state=0,
        precision="float32",
        pooling="mean",
    ):
        super().__init__()
        self.n_events = n_events
        self.n_bins = n_fft // 2 + 1
        self.precision = precision
        self.pooling = pooling
        self.feature_extractor = LogMel(sample_rate, n_fft, N_MELS, fmin)
        self.cnn = _CNN(n_events)
        self.reset_parameters(random_state)
        self.to(memory_format=torch.channels_last)

    def reset_parameters(self, random_state=0):
        """Draw initial weights.

        Parameters
        ----------
        random_state : int, default=0
            Seed; PyTorch's global generator is neither used nor changed.
        """
        generator = torch.Generator().manual_seed(random_state)
        for block in self.cnn.convs:
            weight = block.conv.weight
            if block.norm is None:
                nn.init.xavier_uniform_(weight, generator=generator)
            else:
                nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(block.conv.bias)

    @staticmethod
    def sizing_state(n_events, n_fft):
        """Give the tensors, without data, whose shapes tell the sizes of a network.

        Parameters
        ----------
        n_events, n_fft : int

        Returns
        -------
        dict of str to Tensor
            On the device "meta".
        """
        n_inputs = LAYERS[-1][0]
        shapes = {
            OUTPUT_WEIGHT: (n_events, n_inputs, 1, 1),
            OUTPUT_BIAS: (n_events,),
            MEL_FILTERS: (n_fft // 2 + 1, N_MELS),
        }
        return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}

    def features(self, stft, n_frames, **distortions):
        """Compute the normalised log-mel features.

        Parameters
        ----------
        stft : Tensor of shape (n_clips, 1, n_frames, n_bins, 2), float32
            Real and imaginary part, zero beyond a clip's frames.
        n_frames : Tensor of shape (n_clips,), integer
            Valid frames of each clip.
        **distortions : Tensor
            `warp`, `time_mask` and `mel_mask`, see :meth:`LogMel.forward`.

        Returns
        -------
        Tensor of shape (n_clips, 1, n_mels, n_frames), float32, in [-6, 6]
        """
        return self.feature_extractor(stft, n_frames, **distortions)

    def segment_scores(self, stft, n_frames, **distortions):
        """Score each segment.

        Segment i spans frames ``64 * i`` to ``64 * i + 128``. Besides them, its score depends on
        `CONTEXT_FRAMES` frames on either side, and on nothing else: so a long clip can be scored
        in chunks that overlap.

        Parameters
        ----------
        stft, n_frames, **distortions
            See :meth:`features`.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond a clip's segments.
        n_segments : Tensor of shape (n_clips,), integer
            See :func:`count_segments`.
        """
        if stft.ndim != 5 or stft.shape[1] != 1 or stft.shape[3:] != (self.n_bins, 2):
            raise ValueError(
                f"stft has shape {tuple(stft.shape)}, but WALNet takes "
                f"(n_clips, 1, n_frames, {self.n_bins}, 2). Check n_fft and the axes."
            )
        x = self.features(stft, n_frames, **distortions)
        x = F.pad(x, (0, max(0, MIN_FRAMES - x.shape[-1])))
        x = x.contiguous(memory_format=torch.channels_last)
        logits, segments = self.cnn(
            x, Frames.of(n_frames, x.shape[-1]), bfloat16=self.precision == "bfloat16"
        )
        return segments.fill_(logits[:, :, 0], -torch.inf).sigmoid(), segments.n_frames

    def forward(self, stft, n_frames, **distortions):
        """Score each clip: the mean of its segments' scores, weighted if so asked.

        Parameters
        ----------
        stft, n_frames, **distortions
            See :meth:`features`.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        return self.pool(*self.segment_scores(stft, n_frames, **distortions))

    def pool(self, scores, n_segments):
        """Give the scores of clips from those of their segments.

        Parameters
        ----------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32
            0 beyond a clip's segments.
        n_segments : Tensor of shape (n_clips,), integer

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        if self.pooling == "linear_softmax":
            return scores.square().sum(-1) / (scores.sum(-1) + 1e-6)
        return scores.sum(-1) / (n_segments[:, None] + 1e-6)
