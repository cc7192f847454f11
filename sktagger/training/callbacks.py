"""Callbacks of a training: validation, learning rate, progress, checkpoints.

All are skorch callbacks for ``WALNetTagger(callbacks=[...])``. The tagger itself adds
:class:`Validation`, :class:`Progress` and, by its parameter `schedule`, :class:`OneCycle`
or :class:`Step`.
"""

import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from tensorboardX import SummaryWriter

from sktagger._utils.files import expand_path
from sktagger._utils.progress import TaskProgress, logger
from sktagger.metrics import mean_average_precision
from sktagger.training._checkpoint_callback import Checkpoint
from sktagger.training._checkpoints import load_checkpoint, save_checkpoint
from sktagger.training._schedules import OneCycle, Step
from sktagger.training.net import EarlyStop

__all__ = [
    "Checkpoint",
    "OneCycle",
    "Progress",
    "Step",
    "TensorBoard",
    "Validation",
    "copy_state",
    "load_checkpoint",
    "logger",
    "save_checkpoint",
]


class Validation(Callback):
    """Measure the validation mAP after each validation interval, and keep the best weights.

    It adds to the net's history: `n_epochs`, `n_steps` and `n_iterations` (trained so far); and, if
    there are validation clips, `valid_mAP` and `valid_mAP_best` (whether it is the best so far).
    Among intervals of the same mAP, the one with the lowest validation loss is the best. A network
    before training is the best only if its head has been fitted. When training ends, also by Ctrl-C
    or an error, the net gets the weights of the best interval; without validation clips, those of
    the last finished one.

    It also notices when training diverges, before a checkpoint is written: it raises
    FloatingPointError if the loss, the weights after an interval, or the validation scores are not
    finite.

    Parameters
    ----------
    patience : int or None, default=None
        Training stops after this number of validation intervals without a better mAP. None: it does
        not stop early.
    """

    before_training = True  # it also sees the validation before training
    best_: tuple[Any, Any]
    best_state_: dict[str, torch.Tensor] | None
    last_state_: dict[str, torch.Tensor] | None

    def __init__(self, patience: int | None = None) -> None:
        self.patience = patience

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Forget earlier trainings."""
        self._forget()

    def restore(self, rows: Sequence[dict[str, Any]], best_state: dict[str, torch.Tensor]) -> None:
        """Set best mAP and patience to those after some intervals.

        Parameters
        ----------
        rows : list of dict
            History of the intervals so far.
        best_state : dict of str to Tensor
            Weights after the best of them.
        """
        best = [row for row in rows if row["valid_mAP_best"]][-1]
        self.best_, self.best_state_ = (best["valid_mAP"], -best["valid_loss"]), best_state
        # before training, only a network with a fitted head is the best so far
        counted = [row for row in rows if row["n_iterations"] or row["valid_mAP_best"]]
        scores = [row["valid_mAP"] for row in counted]
        self.n_worse_ = 0 if np.isnan(scores[-1]) else len(scores) - 1 - int(np.argmax(scores))

    def _forget(self):
        self.best_, self.best_state_, self.last_state_ = (-np.inf, -np.inf), None, None
        self.n_worse_ = 0

    def on_batch_end(
        self, net: NeuralNet, batch: Any, training: bool, y_pred: torch.Tensor, **kwargs: Any
    ) -> None:
        """Check the loss of a training batch; keep the scores of a validation batch."""
        if training:
            self.iteration_ += 1
            loss = net.history[-1, "batches", -1, "train_loss"]
            if not np.isfinite(loss):
                raise self._divergence(net, f"the loss is {loss}")
        else:
            self.scores_.append(y_pred.float().cpu().numpy())
            self.events_.append(batch[1].cpu().numpy())

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Measure the mAP, and keep the weights if they are the best."""
        if not _is_finite(net.module_):
            raise self._divergence(net, "weights or running statistics are not finite")
        if not all(np.isfinite(scores).all() for scores in self.scores_):
            raise self._divergence(net, "scores of validation clips are not finite")
        net.history.record("n_epochs", dataset_train.plan.epoch)
        net.history.record("n_steps", dataset_train.plan.step)
        net.history.record("n_iterations", dataset_train.plan.iteration)
        if dataset_valid is None:
            return
        with warnings.catch_warnings():
            # the tagger has warned of events without positives before training
            warnings.simplefilter("ignore")
            score = mean_average_precision(
                np.concatenate(self.events_), np.concatenate(self.scores_)
            )
        result = (score, -net.history[-1, "valid_loss"])
        undefined = bool(np.isnan(score))
        trained = net.begins_trained or dataset_train.plan.iteration > 0
        best = trained and (undefined or bool(result > self.best_))
        worse = trained and not undefined and score <= self.best_[0]
        self.n_worse_ = self.n_worse_ + 1 if worse else 0
        net.history.record("valid_mAP", float(score))
        net.history.record("valid_mAP_best", best)
        if best:
            self.best_, self.best_state_ = result, copy_state(net.module_)

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any, **kwargs: Any) -> None:
        """Begin an interval, unless there were too many without a better mAP."""
        if self.patience is not None and self.n_worse_ >= self.patience:
            raise EarlyStop
        if self.best_state_ is None:
            self.last_state_ = copy_state(net.module_)
        self.iteration_ = dataset_train.plan.iteration
        self.scores_, self.events_ = [], []

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Give the net the best weights."""
        if not _is_finite(net.module_):
            net.optimizer_.state.clear()  # its running averages are not finite either
        finished = not net.history or "n_iterations" in net.history[-1]
        if self.best_state_ is not None:
            net.module_.load_state_dict(self.best_state_)
        elif not finished and self.last_state_ is not None:
            net.module_.load_state_dict(self.last_state_)
        self._forget()
        self.scores_, self.events_ = [], []

    def _divergence(self, net, what):
        trained = any(row.get("n_iterations") for row in net.history)
        kept = " The tagger keeps the weights of earlier intervals." if trained else ""
        return FloatingPointError(
            f"Training diverged at iteration {self.iteration_}: {what}. Set a lower lr (it is "
            f"{net.lr:g}), set gradient_clip, and look for huge values in the audio, in "
            f"sample_weight and class_weight, and in the weights that training started from.{kept}"
        )


class Progress(Callback):
    """Show training as a progress bar, and log each validation interval.

    Parameters
    ----------
    verbose : int, default=1
        0: show nothing. 1: show a bar on standard error in a terminal or a notebook, and a line
        per interval elsewhere. In both cases, the logger "sktagger" gets a line per interval with
        level INFO. If that log is kept, the lines are not printed as well.
    """

    before_training = True  # it also sees the validation before training

    def __init__(self, verbose: int = 1) -> None:
        self.verbose = verbose

    def on_train_begin(self, net: NeuralNet, X: Any = None, **kwargs: Any) -> None:
        """Open the bar."""
        self.bar_ = TaskProgress("Training", X.intervals.n_clips, verbose=self.verbose)
        self.shown_ = {}

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any, **kwargs: Any) -> None:
        """Move the bar to the beginning of the interval."""
        done = dataset_train.done / dataset_train.total
        self.bar_.seek(round(done * dataset_train.n_clips))
        self.losses_, self.n_clips_, self.started_ = [], 0, time.perf_counter()

    def on_batch_end(
        self, net: NeuralNet, batch: Any, training: bool, loss: torch.Tensor, **kwargs: Any
    ) -> None:
        """Move the bar."""
        if training:
            self.losses_.append(loss.item())
            self.n_clips_ += len(batch[0]["n_frames"])
            self.seconds_ = time.perf_counter() - self.started_
            self.shown_["loss"] = f"{np.mean(self.losses_[-20:]):.3f}"
            self.bar_.show(self.shown_)
            self.bar_.update(len(batch[0]["n_frames"]))

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Log the interval."""
        row = net.history[-1]
        line = f"epoch {row['n_epochs']}  iteration {row['n_iterations']}"
        if self.losses_:
            speed = self.n_clips_ / self.seconds_
            line += f"  train_loss {row['train_loss']:.4f}  {speed:.1f} clips/s"
        if "valid_mAP" in row:
            self.shown_["mAP"] = f"{row['valid_mAP']:.3f}"
            self.bar_.show(self.shown_)
            line += f"  valid_loss {row['valid_loss']:.4f}  valid_mAP {row['valid_mAP']:.4f}"
            line += "  (best so far)" * row["valid_mAP_best"]
        self.bar_.log(line)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar."""
        self.bar_.close()
        del self.bar_


class TensorBoard(Callback):
    """Write losses and validation mAP to TensorBoard, by iteration.

    Parameters
    ----------
    dirname : str or PathLike
        Directory for the event files; made if missing.
    """

    before_training = True  # it also sees the validation before training

    def __init__(self, dirname: str | os.PathLike[str]) -> None:
        self.dirname = dirname

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the event file."""
        self.writer_ = SummaryWriter(str(expand_path(self.dirname)))

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Write losses and mAP of the interval."""
        row = net.history[-1]
        for name in ("train_loss", "valid_loss", "valid_mAP"):
            if name in row:
                tag = name.replace("_", "/")
                self.writer_.add_scalar(tag, row[name], global_step=row["n_iterations"])

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the event file."""
        self.writer_.close()
        del self.writer_


def _is_finite(module):
    """Say whether all weights and running statistics of a module are finite."""
    finite = [tensor.isfinite().all() for tensor in module.state_dict().values()]
    return bool(torch.stack(finite).all())


def copy_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copy a module's weights and running statistics to the CPU."""
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
