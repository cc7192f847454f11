"""What happens around training: validation, best weights, progress, checkpoints.

All are skorch callbacks for ``WALNetTagger(callbacks=[...])``; the tagger itself adds
:class:`Validation` and :class:`Progress`.
"""

import math
import time
import warnings

import numpy as np
import torch
from skorch.callbacks import Callback
from tensorboardX import SummaryWriter

from sktagger._utils.files import expand_path
from sktagger._utils.progress import TaskProgress, logger
from sktagger.metrics import mean_average_precision
from sktagger.training._checkpoint_callback import Checkpoint
from sktagger.training._checkpoints import load_checkpoint, save_checkpoint
from sktagger.training.net import EarlyStop

__all__ = [
    "Checkpoint",
    "OneCycle",
    "Progress",
    "TensorBoard",
    "Validation",
    "copy_state",
    "load_checkpoint",
    "logger",
    "save_checkpoint",
]


class Validation(Callback):
    """Measure the validation mAP after each round and keep the best weights.

    Adds to the net's history: `n_epochs` and `n_iterations` (trained so far), and, where there
    are validation clips, `valid_mAP` and `valid_mAP_best` (whether it is the best so far; among
    rounds of the same mAP, that with the lowest validation loss is the best, and a network that was
    not trained yet never is). When training ends, also by Ctrl-C or an error, the net gets the
    weights of the best round; without validation clips, those of the last finished round.

    It also notices when training diverges, before a checkpoint is written: FloatingPointError
    is raised where the loss, the weights after a round, or the validation scores are not finite.

    Parameters
    ----------
    patience : int or None, default=None
        Training ends after so many rounds without a better mAP. None: it runs to its end.
    """

    before_training = True  # it sees the round of validation before training, too

    def __init__(self, patience=None):
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        """Forget earlier trainings."""
        self._forget()

    def restore(self, rows, best_state):
        """Go on after the rounds of a history, the best of which ended with some weights."""
        best = [row for row in rows if row["valid_mAP_best"]][-1]
        self.best_, self.best_state_ = (best["valid_mAP"], -best["valid_loss"]), best_state
        scores = [row["valid_mAP"] for row in rows if row["n_iterations"]]
        self.n_worse_ = 0 if np.isnan(scores[-1]) else len(scores) - 1 - int(np.argmax(scores))

    def _forget(self):
        self.best_, self.best_state_, self.last_state_ = (-np.inf, -np.inf), None, None
        self.n_worse_ = 0

    def on_batch_end(self, net, batch, training, y_pred, **kwargs):
        """Look at the loss of a training batch; note the scores of a validation batch."""
        if training:
            self.iteration_ += 1
            loss = net.history[-1, "batches", -1, "train_loss"]
            if not np.isfinite(loss):
                raise self._divergence(net, f"the loss is {loss}")
        else:
            self.scores_.append(y_pred.float().cpu().numpy())
            self.events_.append(batch[1].cpu().numpy())

    def on_epoch_end(self, net, dataset_train, dataset_valid=None, **kwargs):
        """Measure, and keep the weights if they are the best."""
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
            # the tagger has warned of events without positives once, before training
            warnings.simplefilter("ignore")
            score = mean_average_precision(
                np.concatenate(self.events_), np.concatenate(self.scores_)
            )
        result = (score, -net.history[-1, "valid_loss"])
        undefined = bool(np.isnan(score))
        trained = dataset_train.plan.iteration > 0
        best = trained and (undefined or bool(result > self.best_))
        worse = trained and not undefined and score <= self.best_[0]
        self.n_worse_ = self.n_worse_ + 1 if worse else 0
        net.history.record("valid_mAP", float(score))
        net.history.record("valid_mAP_best", best)
        if best:
            self.best_, self.best_state_ = result, copy_state(net.module_)

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        """Begin a round, unless there were too many without a better mAP."""
        if self.patience is not None and self.n_worse_ >= self.patience:
            raise EarlyStop
        if self.best_state_ is None:
            self.last_state_ = copy_state(net.module_)
        self.iteration_ = dataset_train.plan.iteration
        self.scores_, self.events_ = [], []

    def on_train_end(self, net, **kwargs):
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
        kept = " The tagger keeps the weights of earlier rounds." if trained else ""
        return FloatingPointError(
            f"Training diverged at iteration {self.iteration_}: {what}. Set a lower lr (it is "
            f"{net.lr:g}), set gradient_clip, and look for huge values in the audio, in "
            f"sample_weight and class_weight, and in weights that training began with.{kept}"
        )


class OneCycle(Callback):
    """Let the learning rate rise to its greatest value, then fall to zero, along cosines [1]_.

    In training whose end is not known (`partial_fit`), it stays at its greatest value.

    Parameters
    ----------
    warm_up : float, default=0.2
        Part of the training, in (0, 1), in which it rises from a 25th of its greatest value.

    References
    ----------
    .. [1] L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using
       large learning rates", arXiv:1708.07120, 2018.
    """

    def __init__(self, warm_up=0.2):
        self.warm_up = warm_up

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        """Note how far the training is."""
        self.ends_ = dataset_train.ends
        self.by_clips_ = dataset_train.unit == "epoch"
        length = dataset_train.total - dataset_train.first
        self.n_all_ = length * (len(dataset_train.dataset) if self.by_clips_ else 1)
        self.n_done_ = round(dataset_train.progress * self.n_all_)

    def on_batch_begin(self, net, batch, training, **kwargs):
        """Set the learning rate of the batch."""
        if training:
            rate = net.lr * (self.factor(self.n_done_ / self.n_all_) if self.ends_ else 1)
            for group in net.optimizer_.param_groups:
                group["lr"] = rate
            self.n_done_ += len(batch[0]["n_frames"]) if self.by_clips_ else 1

    def factor(self, progress):
        """Give the part of the greatest rate at a point of training in [0, 1]."""
        if progress < self.warm_up:
            return 1 - 0.96 * (1 + math.cos(math.pi * progress / self.warm_up)) / 2
        left = (1 - progress) / (1 - self.warm_up)
        return (1 - math.cos(math.pi * left)) / 2


class Progress(Callback):
    """Show training as a progress bar, and each round as a line of the log.

    Parameters
    ----------
    verbose : int, default=1
        0: nothing is shown. 1: on standard error a bar, in a terminal or a notebook, or else a line
        per round. Either way, the logger "sktagger" gets a line per round, level INFO; where that
        is a log that is kept, the lines are not printed, too.
    """

    before_training = True  # it sees the round of validation before training, too

    def __init__(self, verbose=1):
        self.verbose = verbose

    def on_train_begin(self, net, X=None, **kwargs):
        """Open the bar."""
        self.bar_ = TaskProgress("Training", X.intervals.n_clips, verbose=self.verbose)
        self.shown_ = {}

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        """Begin a round."""
        done = dataset_train.done / dataset_train.total
        self.bar_.seek(round(done * dataset_train.n_clips))
        self.losses_, self.n_clips_, self.started_ = [], 0, time.perf_counter()

    def on_batch_end(self, net, batch, training, loss, **kwargs):
        """Move the bar."""
        if training:
            self.losses_.append(loss.item())
            self.n_clips_ += len(batch[0]["n_frames"])
            self.seconds_ = time.perf_counter() - self.started_
            self.shown_["loss"] = f"{np.mean(self.losses_[-20:]):.3f}"
            self.bar_.show(self.shown_)
            self.bar_.update(len(batch[0]["n_frames"]))

    def on_epoch_end(self, net, **kwargs):
        """Log the round."""
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

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.bar_.close()
        del self.bar_


class TensorBoard(Callback):
    """Write losses and validation mAP as TensorBoard events, by iteration.

    Parameters
    ----------
    dirname : str or PathLike
        Directory for the event files; made if missing.
    """

    before_training = True  # it sees the round of validation before training, too

    def __init__(self, dirname):
        self.dirname = dirname

    def on_train_begin(self, net, **kwargs):
        """Open the event file."""
        self.writer_ = SummaryWriter(str(expand_path(self.dirname)))

    def on_epoch_end(self, net, **kwargs):
        """Write the figures of the round."""
        row = net.history[-1]
        for name in ("train_loss", "valid_loss", "valid_mAP"):
            if name in row:
                tag = name.replace("_", "/")
                self.writer_.add_scalar(tag, row[name], global_step=row["n_iterations"])

    def on_train_end(self, net, **kwargs):
        """Close the event file."""
        self.writer_.close()
        del self.writer_


def _is_finite(module):
    """Say whether all weights and statistics of a module are finite."""
    finite = [tensor.isfinite().all() for tensor in module.state_dict().values()]
    return bool(torch.stack(finite).all())


def copy_state(module):
    """Copy a module's weights and statistics to the CPU."""
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
