"""Normalisation that sees only the valid frames of padded clips."""

import torch
from torch import nn
from torch.nn import functional as F

EPS = 1e-5


def frame_mask(n_frames, length):
    """Say which frames of padded clips are valid.

    Parameters
    ----------
    n_frames : Tensor of shape (n_clips,), integer
        Number of valid frames of each clip.
    length : int
        Number of frames of the padded clips.

    Returns
    -------
    mask : Tensor of shape (n_clips, 1, 1, length), bool

    Examples
    --------
    >>> import torch
    >>> frame_mask(torch.tensor([1, 3]), 3)[:, 0, 0]
    tensor([[ True, False, False],
            [ True,  True,  True]])
    """
    frames = torch.arange(length, device=n_frames.device)
    return (frames < n_frames[:, None])[:, None, None, :]


class _Statistics(nn.Module):
    """Running mean and mean square of some axis, with the number of values behind them.

    The mean *square* is tracked, not the variance, as in the published system, so that its
    checkpoints load.
    """

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("num_tracked_values", torch.zeros(shape))
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_power", torch.ones(shape))

    def running_variance(self):
        """Give the unbiased variance of the tracked values, plus ``EPS``."""
        n = self.num_tracked_values.clamp(min=2)
        # of a constant input, the difference can round to less than zero
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
    """Normalise each mel band by its mean and deviation over all frames seen so far.

    In training the statistics are updated first, then used.

    Parameters
    ----------
    n_mels : int
        Number of mel bands.
    """

    def __init__(self, n_mels):
        super().__init__((1, 1, n_mels, 1))

    def forward(self, x, n_frames, mask=None):
        """Normalise.

        Parameters
        ----------
        x : Tensor of shape (n_clips, 1, n_mels, n_frames)
        n_frames : Tensor of shape (n_clips,)
        mask : Tensor of shape (n_clips, 1, 1, n_frames) or None
            Valid frames; None if all are.

        Returns
        -------
        Tensor of the shape of `x`, 0 beyond a clip's frames.
        """
        if self.training:
            valid = x if mask is None else x * mask
            n_values = n_frames.sum().to(x.dtype)
            axes = (0, 1, 3)
            self._track(
                valid.sum(axes) / n_values, valid.square().sum(axes) / n_values, n_values, None
            )
        y = (x - self.running_mean) * torch.rsqrt(self.running_variance() + EPS)
        return y if mask is None else y * mask


class MaskedBatchNorm(_Statistics):
    """Batch normalisation over the valid frames of a batch of padded clips.

    The output is 0 beyond a clip's frames, so that neither padding nor neighbours reach the
    clip's scores through the next convolution.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    """

    update_weight = 0.05  # of a batch in the running statistics

    def __init__(self, n_channels):
        super().__init__((1, n_channels, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, n_channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, n_channels, 1, 1))

    def forward(self, x, n_frames, mask=None):
        """Normalise.

        Parameters
        ----------
        x : Tensor of shape (n_clips, n_channels, n_mels, n_frames)
        n_frames : Tensor of shape (n_clips,)
        mask : Tensor of shape (n_clips, 1, 1, n_frames) or None
            Valid frames; None if all are, which takes the fused kernels.

        Returns
        -------
        Tensor of the shape of `x`, 0 beyond a clip's frames.
        """
        gamma, beta = self.gamma.flatten(), self.beta.flatten()
        if not self.training:
            mean, variance = self.running_mean.flatten(), self.running_variance().flatten()
            y = F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=EPS)
            return y if mask is None else y * mask
        n_values = n_frames.sum().to(x.dtype) * x.shape[2]
        if mask is None:
            mean, variance = torch.zeros_like(gamma), torch.ones_like(gamma)
            if x.numel() == x.shape[1]:  # one value a channel has no unbiased variance
                y = (x - x) * self.gamma + self.beta
                mean, power = x.flatten(), x.flatten().square()
            else:
                # with momentum 1 the "running" values are those of this batch
                y = F.batch_norm(
                    x, mean, variance, gamma, beta, training=True, momentum=1.0, eps=EPS
                )
                power = variance * (n_values - 1) / n_values + mean**2
            self._track(mean, power, n_values, self.update_weight)
            return y
        # zeros add nothing to sums over all frames: those are the sums over the valid ones
        x = x.mul_(mask)
        n_all = x.numel() // x.shape[1]
        mean, variance = torch.batch_norm_update_stats(x.detach(), None, None, 0.0)
        power = (variance + mean**2) * (n_all / n_values)
        mean = mean * (n_all / n_values)
        variance = (power - mean**2).clamp(min=0)
        self._track(mean, power, n_values, self.update_weight)
        return _Normalise.apply(x, gamma, beta, mean, variance, n_values).mul_(mask)


class _Normalise(torch.autograd.Function):
    """Batch norm by the kernels for given statistics, which were taken over `n_values` values.

    The gradient passes through the statistics; that of the input holds at valid frames only.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, mean, variance, n_values):
        ctx.save_for_backward(x, gamma, mean, variance, n_values)
        return F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=EPS)

    @staticmethod
    def backward(ctx, dy):
        x, gamma, mean, variance, n_values = ctx.saved_tensors
        dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(
            dy, x, gamma, mean, variance, None, None, False, EPS, [True, True, True]
        )
        # what changes through the mean and the variance
        deviation = torch.rsqrt(variance + EPS)
        scale = gamma * deviation / n_values
        slope = scale * deviation * dgamma
        offset = scale * dbeta - slope * mean
        channels = (1, -1, 1, 1)
        dx = dx.addcmul_(x, -slope.view(channels)).sub_(offset.view(channels))
        return dx, dgamma, dbeta, None, None, None
