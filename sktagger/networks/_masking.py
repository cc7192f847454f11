"""Normalization by the valid frames of padded clips only."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

EPS = 1e-5


class Frames(NamedTuple):
    """Which frames of a batch of padded clips are valid.

    Parameters
    ----------
    n_frames : Tensor of shape (n_clips,), integer
        Number of valid frames of each clip.
    shortest : int
        Their minimum. No clip has padding before this frame.
    length : int
        Number of frames of the padded clips.

    Examples
    --------
    >>> import torch
    >>> Frames.of(torch.tensor([1, 3]), 3).fill_(torch.ones(2, 1, 1, 3))[:, 0, 0]
    tensor([[1., 0., 0.],
            [1., 1., 1.]])
    """

    n_frames: Tensor
    shortest: int
    length: int

    @classmethod
    def of(cls, n_frames: Tensor, length: int) -> Frames:
        """Make the frames of clips that are padded to `length`."""
        return cls(n_frames, min(int(n_frames.min()), length), length)

    @classmethod
    def joined(cls, parts: list[Frames]) -> Frames:
        """Join the frames of the parts of a batch."""
        n_frames = torch.cat([part.n_frames for part in parts])
        return cls(n_frames, min(part.shortest for part in parts), parts[0].length)

    def split(self, size: int) -> list[Frames]:
        """Split the batch into parts of `size` clips."""
        return [Frames.of(n_frames, self.length) for n_frames in self.n_frames.split(size)]

    @property
    def padded(self) -> bool:
        """Whether some clip is padded."""
        return self.shortest < self.length

    def unpadded_conv(self) -> Frames:
        """Return the frames after a convolution over two frames without padding."""
        return Frames((self.n_frames - 1).clamp(min=1), max(self.shortest - 1, 1), self.length - 1)

    def halved(self) -> Frames:
        """Return the frames after pooling by two in ceil mode."""
        return Frames((self.n_frames + 1) // 2, (self.shortest + 1) // 2, (self.length + 1) // 2)

    def pooled(self, size: int) -> Frames:
        """Return the frames after pooling by `size` in floor mode. At least one is kept."""
        n_frames = (self.n_frames // size).clamp(min=1)
        return Frames(n_frames, max(self.shortest // size, 1), self.length // size)

    def fill_(self, x: Tensor, value: float = 0.0) -> Tensor:
        """Set a tensor to a value beyond the frames of the clips, in place.

        Only frames from `shortest` on are touched, which are few if clips have similar lengths.

        Parameters
        ----------
        x : Tensor of shape (n_clips, ..., length)
            Overwritten.
        value : float, default=0.0

        Returns
        -------
        x : Tensor
        """
        if self.padded:
            position = torch.arange(self.shortest, self.length, device=self.n_frames.device)
            padding = position >= self.n_frames[:, None]
            shape = (len(padding), *[1] * (x.ndim - 2), -1)
            x[..., self.shortest :].masked_fill_(padding.view(shape), value)
        return x

    def filled(self, x: Tensor, value: float = 0.0) -> Tensor:
        """Copy a tensor, and set it to a value beyond the frames of the clips.

        Parameters
        ----------
        x : Tensor of shape (n_clips, ..., length)
            Returned itself if no clip is padded.
        value : float, default=0.0

        Returns
        -------
        Tensor of the shape of `x`
        """
        return self.fill_(x.clone(), value) if self.padded else x


class _Statistics(nn.Module):
    """Running mean and mean square along an axis, and the number of values they come from.

    As in the published systems, the mean *square* is tracked instead of the variance. Their
    checkpoints can therefore be loaded.

    Parameters
    ----------
    shape : tuple of int
        Shape of the statistics.
    eps : float, default=EPS
        Added to the variance.
    corrected : {"variance", "power"}, default="variance"
        What is multiplied by N / (N - 1), if N values were tracked: the variance, which is then
        unbiased, or, as in the published FBCRNN, the mean square alone, which adds about
        mean**2 / N to it.
    """

    def __init__(self, shape, eps=EPS, corrected="variance"):
        super().__init__()
        self.eps = eps
        self.corrected = corrected
        self.register_buffer("num_tracked_values", torch.zeros(shape))
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_power", torch.ones(shape))

    def running_variance(self) -> Tensor:
        """Compute the variance of the tracked values, plus `eps`."""
        n = self.num_tracked_values.clamp(min=2)
        # for a constant input, rounding can make the difference negative
        if self.corrected == "power":
            return (n / (n - 1) * self.running_power - self.running_mean**2).clamp(min=0) + self.eps
        return n / (n - 1) * (self.running_power - self.running_mean**2).clamp(min=0) + self.eps

    @torch.no_grad()
    def _track(self, mean, power, n_values, weight):
        """Move the running values toward `mean` and `power` by `weight`."""
        self.num_tracked_values += n_values
        if weight is None:  # cumulative average
            weight = n_values / self.num_tracked_values
        self.running_mean += weight * (mean.reshape(self.running_mean.shape) - self.running_mean)
        self.running_power += weight * (
            power.reshape(self.running_power.shape) - self.running_power
        )


class RunningNorm(_Statistics):
    """Normalize each mel band by its mean and standard deviation over all frames seen so far.

    In training, the statistics are updated before they are used.

    Parameters
    ----------
    n_mels : int
        Number of mel bands.
    corrected : {"variance", "power"}, default="variance"
        What is multiplied by N / (N - 1): "power" in the published FBCRNN.
    """

    def __init__(self, n_mels: int, corrected: str = "variance"):
        super().__init__((1, 1, n_mels, 1), EPS, corrected)

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """Normalize.

        Parameters
        ----------
        x : Tensor of shape (n_clips, 1, n_mels, n_frames), float
            Overwritten.
        frames : Frames
            Valid frames of the clips.

        Returns
        -------
        Tensor of the shape of `x`
            0 beyond the frames of a clip.
        """
        if self.training:
            frames.fill_(x)
            n_values = frames.n_frames.sum().to(x.dtype)
            axes = (0, 1, 3)
            self._track(x.sum(axes) / n_values, x.square().sum(axes) / n_values, n_values, None)
        scale = torch.rsqrt(self.running_variance() + self.eps)
        return frames.fill_(x.sub_(self.running_mean).mul_(scale))


class PowerBatchNorm(_Statistics):
    """Weights and running statistics of a batch normalization.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    eps : float, default=EPS
        Added to the variance.
    corrected : {"variance", "power"}, default="variance"
        What is multiplied by N / (N - 1) in evaluation: "power" in the published FBCRNN.
    ndim : int, default=4
        Number of axes that the weights have. The second is that of channels.
    """

    update_weight = 0.05  # of the newest batch in the running statistics

    def __init__(
        self, n_channels: int, eps: float = EPS, corrected: str = "variance", ndim: int = 4
    ):
        shape = (1, n_channels, *[1] * (ndim - 2))
        super().__init__(shape, eps, corrected)
        self.gamma = nn.Parameter(torch.ones(shape))
        self.beta = nn.Parameter(torch.zeros(shape))


class MaskedBatchNorm(PowerBatchNorm):
    """Batch normalization over the valid frames of padded clips.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    eps : float, default=1e-5
        Added to the variance.
    corrected : {"variance", "power"}, default="variance"
        What is multiplied by N / (N - 1) in evaluation: "power" in the published FBCRNN.
    ndim : int, default=4
        Number of axes that the weights have. The second is that of channels.
    """

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """Normalize by the statistics of the batch in training, by the running ones in evaluation.

        Parameters
        ----------
        x : Tensor of shape (n_clips, n_channels, n_mels, n_frames), float
        frames : Frames
            Valid frames of the clips.

        Returns
        -------
        Tensor of the shape of `x`
            0 beyond the frames of a clip.
        """
        if self.training:
            valid = frames.fill_(torch.ones_like(x[:, :1]))
            n_values = valid.sum()
            x = x * valid
            axes = (0, 2, 3)
            mean = x.sum(axes, keepdim=True) / n_values
            variance = ((x - mean) * valid).square().sum(axes, keepdim=True) / n_values
            power = variance.detach() + mean.detach() ** 2
            self._track(mean.detach(), power, n_values, self.update_weight)
        else:
            mean, variance = self.running_mean, self.running_variance()
        scale = self.gamma * torch.rsqrt(variance + self.eps)
        return frames.fill_((x - mean) * scale + self.beta)


class MaskedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization of PyTorch over the valid frames of padded clips.

    Its weights and statistics have the names of PyTorch.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    eps : float, default=1e-5
        Added to the variance.
    momentum : float, default=0.1
        Weight of the newest batch in the running statistics.
    """

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, n_channels: int, *, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(n_channels, eps, momentum, device=torch.get_default_device())

    def folded(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Fold the norm, as it is in evaluation, into the convolution before it.

        Parameters
        ----------
        weight : Tensor of shape (n_channels, n_in, height, width)
            Of the convolution, which has no bias.

        Returns
        -------
        weight : Tensor of shape (n_channels, n_in, height, width)
            Of the convolution that replaces both.
        bias : Tensor of shape (n_channels,)
            Of the convolution that replaces both.
        """
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return weight * scale[:, None, None, None], self.bias - self.running_mean * scale

    def forward(self, x: Tensor, frames: Frames) -> Tensor:  # type: ignore[override]
        """Normalize by the statistics of the batch in training, by the running ones in evaluation.

        Parameters
        ----------
        x : Tensor of shape (n_clips, n_channels, height, n_frames), float
            The last axis is that of frames.
        frames : Frames
            Valid frames of the clips.

        Returns
        -------
        Tensor of the shape of `x`
            0 beyond the frames of a clip.
        """
        several = x.numel() > x.shape[1]  # PyTorch refuses single values in training
        if not self.training or (several and not frames.padded):
            return frames.fill_(super().forward(x))
        n_clips, n_channels, height, n_frames = x.shape
        valid = torch.arange(n_frames, device=x.device) < frames.n_frames[:, None]
        places = valid[:, None].expand(-1, height, -1).flatten().nonzero()[:, 0]
        rows = x.permute(0, 2, 3, 1).reshape(-1, n_channels)  # no copy if channels are last
        values = rows.index_select(0, places)
        if len(values) > 1:
            normalized = super().forward(values[..., None, None])[..., 0, 0]
        else:  # its variance is 0
            normalized = (values * 0 + self.bias).to(x.dtype)
        y = torch.zeros_like(rows).index_copy_(0, places, normalized)
        return y.view(n_clips, height, n_frames, n_channels).permute(0, 3, 1, 2)


def normalizes(part: nn.Module) -> bool:
    """Say whether a module has running statistics of its input."""
    return isinstance(part, _Statistics | nn.modules.batchnorm._BatchNorm)
