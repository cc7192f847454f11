"""Callbacks that change the learning rate in the course of training."""

import math
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

__all__ = ["OneCycle", "Step"]


class Schedule(Callback):
    """Base class of callbacks that change the learning rate from batch to batch.

    The maximum is the net's `lr`. If the end of training is not known (`partial_fit`), the rate
    stays at the maximum.
    """

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any, **kwargs: Any) -> None:
        """Note how far training has come."""
        self.ends_ = dataset_train.ends
        self.by_clips_ = dataset_train.unit == "epoch"
        length = dataset_train.total - dataset_train.first
        self.n_all_ = length * (len(dataset_train.dataset) if self.by_clips_ else 1)
        self.n_done_ = round(dataset_train.progress * self.n_all_)

    def on_batch_begin(self, net: NeuralNet, batch: Any, training: bool, **kwargs: Any) -> None:
        """Set the learning rate of the batch."""
        if training:
            rate = net.lr * (self.factor(self.n_done_ / self.n_all_) if self.ends_ else 1)
            for group in net.optimizer_.param_groups:
                group["lr"] = rate
            self.n_done_ += len(batch[0]["n_frames"]) if self.by_clips_ else 1

    def factor(self, progress: float) -> float:
        """Return the learning rate relative to its maximum.

        Parameters
        ----------
        progress : float
            Fraction of the training that is done, in [0, 1].

        Returns
        -------
        float in [0, 1]
        """
        raise NotImplementedError


class OneCycle(Schedule):
    """Raise the learning rate to its maximum, then lower it to zero, along cosines [1]_.

    Parameters
    ----------
    warm_up : float, default=0.2
        Fraction of the training, in (0, 1), in which the rate rises from 1/25 of its maximum.

    References
    ----------
    .. [1] L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using
       large learning rates", arXiv:1708.07120, 2018.
    """

    def __init__(self, warm_up: float = 0.2) -> None:
        self.warm_up = warm_up

    def factor(self, progress: float) -> float:
        """Return the learning rate relative to its maximum.

        Parameters
        ----------
        progress : float
            Fraction of the training that is done, in [0, 1].

        Returns
        -------
        float in [0, 1]
        """
        if progress < self.warm_up:
            return 1 - 0.96 * (1 + math.cos(math.pi * progress / self.warm_up)) / 2
        left = (1 - progress) / (1 - self.warm_up)
        return (1 - math.cos(math.pi * left)) / 2


class Step(Schedule):
    """Raise the learning rate from zero to its maximum, keep it, and lower it once.

    The defaults are those of the published training of FBCRNN on DESED: 1,000 iterations to its
    maximum, and a fifth of it from iteration 10,000 on, of 20,000 [1]_.

    Parameters
    ----------
    warm_up : float, default=0.05
        Fraction of the training, in (0, 1), in which the rate rises.
    lower : float, default=0.5
        Fraction of the training, in [0, 1], after which the rate is lower.
    low : float, default=0.2
        The lower rate relative to the maximum, in [0, 1].

    References
    ----------
    .. [1] https://github.com/fgnt/pb_sed
    """

    def __init__(self, warm_up: float = 0.05, lower: float = 0.5, low: float = 0.2) -> None:
        self.warm_up = warm_up
        self.lower = lower
        self.low = low

    def factor(self, progress: float) -> float:
        """Return the learning rate relative to its maximum.

        Parameters
        ----------
        progress : float
            Fraction of the training that is done, in [0, 1].

        Returns
        -------
        float in [0, 1]
        """
        factor = min(progress / self.warm_up, 1.0)
        return factor * self.low if progress >= self.lower else factor
