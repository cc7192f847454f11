"""Normalization by the valid frames of padded clips only."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5
_LOWEST = -1e30  # never the maximum; unlike -inf, it gives 0 if multiplied by 0


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


class _Statistics(nn.Module):
    """Running mean and mean square along an axis, and the number of values they come from.

    As in the published system, the mean *square* is tracked instead of the variance. Its
    checkpoints can therefore be loaded.
    """

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("num_tracked_values", torch.zeros(shape))
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_power", torch.ones(shape))

    def running_variance(self) -> Tensor:
        """Compute the unbiased variance of the tracked values, plus ``EPS``."""
        n = self.num_tracked_values.clamp(min=2)
        # for a constant input, rounding can make the difference negative
        return n / (n - 1) * (self.running_power - self.running_mean**2).clamp(min=0) + EPS

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
    """

    def __init__(self, n_mels: int):
        super().__init__((1, 1, n_mels, 1))

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
        scale = torch.rsqrt(self.running_variance() + EPS)
        return frames.fill_(x.sub_(self.running_mean).mul_(scale))


class _BatchNorm(_Statistics):
    """Weights and running statistics of a batch normalization."""

    update_weight = 0.05  # of the newest batch in the running statistics

    def __init__(self, n_channels: int):
        super().__init__((1, n_channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, n_channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, n_channels, 1, 1))


class MaskedBatchNorm(_BatchNorm):
    """Batch normalization over the valid frames of padded clips.

    Parameters
    ----------
    n_channels : int
        Number of channels.
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
        scale = self.gamma * torch.rsqrt(variance + EPS)
        return frames.fill_((x - mean) * scale + self.beta)


class NormPoolReLU(_BatchNorm):
    """Batch normalization over the valid frames of padded clips, then max-pooling and ReLU.

    The output is 0 beyond the frames of a clip, so that the next convolution does not depend on
    padding. In training, a batch comes in chunks, and statistics are computed over all of them.
    In evaluation, the norm is folded into the convolution before it, see :meth:`folded`.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    """

    def folded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Fold the norm, as it is in evaluation, into the convolution before it.

        Parameters
        ----------
        weight : Tensor of shape (n_channels, n_in, height, width)
            Of the convolution.
        bias : Tensor of shape (n_channels,)
            Of the convolution.

        Returns
        -------
        weight : Tensor of shape (n_channels, n_in, height, width)
            Of the convolution that replaces both.
        bias : Tensor of shape (n_channels,)
            Of the convolution that replaces both.
        """
        scale = (self.gamma * torch.rsqrt(self.running_variance() + EPS)).flatten()
        bias = (bias - self.running_mean.flatten()) * scale + self.beta.flatten()
        return weight * scale[:, None, None, None], bias

    def forward(
        self, chunks: list[Tensor], frames: list[Frames], sign: Tensor | None = None
    ) -> list[Tensor]:
        """Normalize by the statistics of the batch, pool, and apply the ReLU.

        Parameters
        ----------
        chunks : list of Tensor of shape (n_clips, n_channels, n_mels, n_frames), float
            The batch. Overwritten: set to 0 beyond the frames of the clips.
        frames : list of Frames
            Valid frames of the chunks.
        sign : Tensor of shape (n_channels,) or None, default=None
            None: the output is not pooled. Otherwise, it is max-pooled by two in both axes, and
            `chunks` have been multiplied by `sign`, the sign of `gamma`. The largest inputs then
            give the largest outputs, so that pooling comes first and the norm has less to do.

        Returns
        -------
        list of Tensor of shape (n_clips, n_channels, n_mels, n_frames)
            The last two axes are halved, rounded up, if pooled.
        """
        mean, variance, n_values = _valid_statistics(chunks, frames)
        gamma, beta = self.gamma.flatten(), self.beta.flatten()
        own_mean = mean
        if sign is not None:
            own_mean, gamma = sign * mean, sign * gamma
        self._track(own_mean, variance + mean**2, n_values, self.update_weight)
        statistics = (mean, variance, n_values)
        return _NormPoolReLUFunction.apply(
            gamma, beta, statistics, frames, sign is not None, *chunks
        )


@torch.no_grad()
def _valid_statistics(chunks, frames):
    """Compute mean and biased variance of each channel over valid frames, and their number."""
    parts = []
    for x, valid in zip(chunks, frames, strict=True):
        x = valid.fill_(x.detach())
        # these running statistics are not used, but make the kernel return float32
        dtype = torch.promote_types(x.dtype, torch.float32)
        unused = torch.zeros(2, x.shape[1], device=x.device, dtype=dtype)
        mean, variance = torch.batch_norm_update_stats(x, *unused, 0.0)
        n_values = valid.n_frames.sum().to(dtype) * x.shape[2]
        if valid.padded:
            # padding is zero, so that sums over all frames are sums over the valid ones
            excess = x.numel() / x.shape[1] / n_values
            power = (variance + mean**2) * excess
            mean = mean * excess
            variance = (power - mean**2).clamp(min=0)
        parts.append((mean, variance, n_values))
    if len(parts) == 1:
        return parts[0]
    mean, variance, n_values = map(torch.stack, zip(*parts, strict=True))
    share = (n_values / n_values.sum())[:, None]
    total = (share * mean).sum(0)
    return total, (share * (variance + (mean - total) ** 2)).sum(0), n_values.sum()


class _NormPoolReLUFunction(torch.autograd.Function):
    """[Max-pooling,] batch norm, zeros beyond the frames of the clips, ReLU; for chunks of a batch.

    The gradient includes that of the statistics, which are those of the whole batch.
    """

    @staticmethod
    def forward(ctx, gamma, beta, statistics, frames, pool, *chunks):
        ctx.statistics, ctx.frames, ctx.pool = statistics, frames, pool
        mean, variance, _ = statistics
        saved, outputs = [gamma], []
        for x, valid in zip(chunks, frames, strict=True):
            pooled = (x,)
            if pool:  # a pair of frames can have one of padding, which must not be the maximum
                valid.fill_(x, _LOWEST)
                pooled = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            y = F.batch_norm(pooled[0], mean, variance, gamma, beta, training=False, eps=EPS)
            y = (valid.halved() if pool else valid).fill_(y).relu_()
            saved += [x, y, *(pooled if pool else ())]
            outputs.append(y)
        ctx.save_for_backward(*saved)
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *grads):
        gamma, *saved = ctx.saved_tensors
        mean, variance, n_values = ctx.statistics
        n_saved = 4 if ctx.pool else 2
        saved = [saved[i : i + n_saved] for i in range(0, len(saved), n_saved)]
        of_norm = []
        for dy, (x, y, *pooled) in zip(grads, saved, strict=True):
            # 0 beyond the frames of the clips, because y is 0 there
            dy = torch.ops.aten.threshold_backward(dy, y, 0)
            tensors = dy, pooled[0] if pooled else x, gamma, mean, variance
            of_norm.append(
                torch.ops.aten.native_batch_norm_backward(
                    *tensors, None, None, False, EPS, [True, True, True]
                )
            )
        dgamma, dbeta = (sum(part[i] for part in of_norm) for i in (1, 2))
        # the gradient by way of mean and variance is an affine function of x
        deviation = torch.rsqrt(variance + EPS)
        scale = gamma * deviation / n_values
        slope = scale * deviation * dgamma
        offset = scale * dbeta - slope * mean
        unit = torch.zeros_like(mean), torch.full_like(variance, 1 - EPS)
        gradients = []
        for valid, (direct, *_), (x, _, *pooled) in zip(ctx.frames, of_norm, saved, strict=True):
            dx = F.batch_norm(x, *unit, -slope, -offset, training=False, eps=EPS)
            if pooled:
                direct = torch.ops.aten.max_pool2d_with_indices_backward(
                    direct, x, [2, 2], [2, 2], [0, 0], [1, 1], True, pooled[1]
                )
            gradients.append(valid.fill_(dx.add_(direct)))
        return dgamma, dbeta, None, None, None, *gradients
