"""WALNet: a fully convolutional network whose segment scores are averaged to clip scores."""

import torch
from torch import nn
from torch.nn import functional as F

from sktagger.modules._features import LogMel
from sktagger.modules._masking import MaskedBatchNorm, frame_mask

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
N_LAYERS = len(LAYERS)  # before the output layer
N_MELS = 2 * SEGMENT_FRAMES  # which are left on the mel axis for that kernel


class _ConvBlock(nn.Module):
    """conv -> masked batch norm -> ReLU -> max-pool; the output layer is the conv alone."""

    def __init__(self, n_in, n_out, kernel_size, same, pool, *, output=False):
        super().__init__()
        # weights are drawn by WALNet.reset_parameters, from its own generator
        self.conv = nn.utils.skip_init(
            nn.Conv2d, n_in, n_out, kernel_size, padding=kernel_size // 2 if same else 0
        )
        self.norm = None if output else MaskedBatchNorm(n_out)
        self.same = same
        self.pool = pool

    def forward(self, x, n_frames, mask):
        x = self.conv(x)
        if self.norm is None:
            return x, n_frames, mask
        if not self.same:
            n_frames, mask = _shorten(mask, (n_frames - 1).clamp(min=1), x.shape[-1])
        x = self.norm(x, n_frames, mask)
        if self.pool:  # before the ReLU, with which it commutes: a quarter of the values
            x = F.max_pool2d(x, 2, ceil_mode=True)
            n_frames, mask = _shorten(mask, (n_frames + 1) // 2, x.shape[-1])
        return F.relu(x, inplace=True), n_frames, mask


def _shorten(mask, n_frames, length):
    """Give the frame counts and the mask of a shortened frame axis."""
    return n_frames, None if mask is None else frame_mask(n_frames, length)


class _CNN(nn.Module):
    def __init__(self, n_events):
        super().__init__()
        self.convs = nn.ModuleList()
        n_in = 1
        for n_out, kernel_size, same, pool in LAYERS:
            self.convs.append(_ConvBlock(n_in, n_out, kernel_size, same, pool))
            n_in = n_out
        self.convs.append(_ConvBlock(n_in, n_events, 1, True, False, output=True))

    def forward(self, x, n_frames):
        padded = bool((n_frames < x.shape[-1]).any())
        mask = frame_mask(n_frames, x.shape[-1]) if padded else None
        for block in self.convs:
            x, n_frames, mask = block(x, n_frames, mask)
        return x, n_frames


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

    References
    ----------
    .. [1] A. Shah, A. Kumar, A. G. Hauptmann, B. Raj, "A closer look at weak label learning for
       audio events", arXiv:1804.09288, 2018.

    Examples
    --------
    >>> import torch
    >>> net = WALNet(10, sample_rate=16000, n_fft=512).eval()
    >>> scores = net(torch.randn(2, 1, 200, 257, 2), torch.tensor([200, 150]))
    >>> scores.shape
    torch.Size([2, 10])
    """

    def __init__(self, n_events, *, sample_rate=44100, n_fft=2048, fmin=50.0, random_state=0):
        super().__init__()
        self.n_events = n_events
        self.n_bins = n_fft // 2 + 1
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

        Parameters
        ----------
        stft, n_frames, **distortions
            See :meth:`features`.

        Returns
        -------
        scores : Tensor of shape (n_clips, n_events, n_segments), float32, in [0, 1]
            0 beyond a clip's segments.
        n_segments : Tensor of shape (n_clips,), integer
            ``ceil(n_frames / 64) - 1``, and at least 1.
        """
        if stft.ndim != 5 or stft.shape[1] != 1 or stft.shape[3:] != (self.n_bins, 2):
            raise ValueError(
                f"stft has shape {tuple(stft.shape)}, but WALNet takes "
                f"(n_clips, 1, n_frames, {self.n_bins}, 2). Check n_fft and the axes."
            )
        x = self.features(stft, n_frames, **distortions)
        x = F.pad(x, (0, max(0, MIN_FRAMES - x.shape[-1])))
        x = x.contiguous(memory_format=torch.channels_last)
        logits, n_segments = self.cnn(x, n_frames)
        scores = logits[:, :, 0].sigmoid()
        return scores * frame_mask(n_segments, scores.shape[-1])[:, 0], n_segments

    def forward(self, stft, n_frames, **distortions):
        """Score each clip: the mean of its segments' scores.

        Parameters
        ----------
        stft, n_frames, **distortions
            See :meth:`features`.

        Returns
        -------
        Tensor of shape (n_clips, n_events), float32, in [0, 1]
        """
        scores, n_segments = self.segment_scores(stft, n_frames, **distortions)
        return scores.sum(-1) / (n_segments[:, None] + 1e-6)
