"""Batch normalization, max-pooling and ReLU of padded clips, in few passes over memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sktagger.networks._masking import Frames, PowerBatchNorm

LOWEST = -1e30  # never the maximum; unlike -inf, it gives 0 if multiplied by 0


class NormPoolReLU(PowerBatchNorm):
    """Batch normalization over the valid frames of padded clips, then max-pooling and ReLU.

    The output is 0 beyond the frames of a clip, so that the next convolution does not depend on
    padding. In training, a batch comes in chunks, and statistics are computed over all of them.
    In evaluation, the norm is folded into the convolution before it, see :meth:`folded`.

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
        scale = (self.gamma * torch.rsqrt(self.running_variance() + self.eps)).flatten()
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
            gamma, beta, statistics, frames, sign is not None, self.eps, *chunks
        )


@torch.no_grad()
def _valid_statistics(chunks, frames):
    """Compute mean and biased variance of each channel over valid frames, and their number."""
    parts = []
    for x, valid in zip(chunks, frames, strict=True):
        x = valid.fill_(x.detach())
        # float32 for bfloat16
        dtype = torch.promote_types(x.dtype, torch.float32)
        n_values = valid.n_frames.sum().to(dtype) * x.shape[2]
        rows = x.permute(0, 2, 3, 1)
        if x.device.type == "cpu" and x.dtype == dtype and rows.is_contiguous():
            # the kernel below adds up the rows of this layout one by one, with large errors
            rows = rows.flatten(0, 2)
            n_rows = len(rows)
            mean = rows.mean(0) * (n_rows / n_values)  # padding is zero
            power = (rows - mean).square_().mean(0) * (n_rows / n_values)
            variance = (power - (n_rows / n_values - 1) * mean**2).clamp(min=0)
            parts.append((mean, variance, n_values))
            continue
        # these running statistics are not used, but make the kernel return float32
        unused = torch.zeros(2, x.shape[1], device=x.device, dtype=dtype)
        mean, variance = torch.batch_norm_update_stats(x, *unused, 0.0)
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
    def forward(ctx, gamma, beta, statistics, frames, pool, eps, *chunks):
        ctx.statistics, ctx.frames, ctx.pool, ctx.eps = statistics, frames, pool, eps
        mean, variance, _ = statistics
        saved, outputs = [gamma], []
        for x, valid in zip(chunks, frames, strict=True):
            pooled = (x,)
            if pool:  # a pair of frames can have one of padding, which must not be the maximum
                valid.fill_(x, LOWEST)
                pooled = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            y = F.batch_norm(pooled[0], mean, variance, gamma, beta, training=False, eps=eps)
            y = (valid.halved() if pool else valid).fill_(y).relu_()
            saved += [x, y, *(pooled if pool else ())]
            outputs.append(y)
        ctx.save_for_backward(*saved)
        return tuple(outputs)

    @staticmethod
    def backward(ctx, *grads):
        gamma, *saved = ctx.saved_tensors
        eps = ctx.eps
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
                    *tensors, None, None, False, eps, [True, True, True]
                )
            )
        dgamma, dbeta = (sum(part[i] for part in of_norm) for i in (1, 2))
        # the gradient by way of mean and variance is an affine function of x
        deviation = torch.rsqrt(variance + eps)
        scale = gamma * deviation / n_values
        slope = scale * deviation * dgamma
        offset = scale * dbeta - slope * mean
        unit = torch.zeros_like(mean), torch.full_like(variance, 1 - eps)
        gradients = []
        for valid, (direct, *_), (x, _, *pooled) in zip(ctx.frames, of_norm, saved, strict=True):
            dx = F.batch_norm(x, *unit, -slope, -offset, training=False, eps=eps)
            if pooled:
                direct = torch.ops.aten.max_pool2d_with_indices_backward(
                    direct, x, [2, 2], [2, 2], [0, 0], [1, 1], True, pooled[1]
                )
            gradients.append(valid.fill_(dx.add_(direct)))
        return dgamma, dbeta, None, None, None, None, *gradients
