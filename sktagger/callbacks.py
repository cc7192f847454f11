"""What happens around training: validation, best weights, progress, checkpoints.

All are skorch callbacks for ``WALNetTagger(callbacks=[...])``; the tagger itself adds
:class:`Validation` and :class:`Progress`.
"""

import math
import os
import time
import warnings

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.history import History
from tensorboardX import SummaryWriter

from sktagger._checkpoints import (
    CHECKPOINT_FORMAT,
    check_resumable,
    find_record,
    load_checkpoint,
    save_checkpoint,
)
from sktagger._files import expand_path
from sktagger._progress import TaskProgress, logger
from sktagger._training_record import differences
from sktagger.metrics import mean_average_precision
from sktagger.modules import check_state
from sktagger.training import EarlyStop

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
        self.bar_ = TaskProgress("Training", X.rounds.n_clips, verbose=self.verbose)
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


class Checkpoint(Callback):
    """Write checkpoints after each round, and continue from the latest when training begins.

    ``latest.pt`` holds all that continuing needs: weights, optimizer, position in the plan of
    batches, history, and a record of the training that it belongs to: settings, seed, events,
    and which clips with which events. ``best.pt`` holds the weights with the best validation mAP so
    far (the latest weights where there are no validation clips), and the record. Both are written
    under another name first, so that an interruption leaves the previous file whole, and both hold
    tensors and plain data only (``torch.load(weights_only=True)``), the weights under "model".

    Parameters
    ----------
    dirname : str or PathLike
        Directory for the two files; made if missing. If it holds a ``latest.pt`` of the same
        training, the training continues there and ends with the same weights as an uninterrupted
        one.
    on_mismatch : {"restart", "raise"}, default="restart"
        What is done if ``latest.pt`` belongs to another training, as in the next fold of a
        cross-validation. "restart": training begins anew, with a warning that says in what they
        differ; the files of the other training become ``latest.previous.pt`` and
        ``best.previous.pt``. "raise": it is an error.

    Notes
    -----
    With ``random_state=None``, an interrupted training continues with the seed that it began with,
    and after a finished one a new one begins.
    """

    def __init__(self, dirname, *, on_mismatch="restart"):
        self.dirname = dirname
        self.on_mismatch = on_mismatch

    def on_train_begin(self, net, X=None, **kwargs):
        """Continue from the latest checkpoint, if there is one of this training."""
        if self.on_mismatch not in ("restart", "raise"):
            raise ValueError(
                f"Checkpoint: on_mismatch={self.on_mismatch!r}; allowed are 'restart' and 'raise'."
            )
        directory = expand_path(self.dirname)
        directory.mkdir(parents=True, exist_ok=True)
        self.record_ = X.record()
        path = directory / "latest.pt"
        if not path.exists():
            return
        latest = load_checkpoint(path)
        validated = X.validation is not None
        there = find_record(latest, str(path))
        if self._continues(latest, there, path):
            check_resumable(latest, net, str(path), validated=validated)
            self._restore(latest, there, net, X, directory, validated)
        else:
            for name in ("latest", "best"):
                if (directory / f"{name}.pt").exists():
                    os.replace(directory / f"{name}.pt", directory / f"{name}.previous.pt")

    def _continues(self, latest, there, path):
        """Say whether this training continues from a checkpoint, and warn or raise if not."""
        here = self.record_
        if there is None:
            return self._continues_untold(path)
        if here["settings"]["init_from"] == str(path):  # as it continues where the source is gone
            here["settings"]["init_from"] = there["settings"].get("init_from")
        others = differences(there, here)
        if not others and here["seed"] is None and latest.get("ended"):
            others = ["it has ended, and random_state=None asks for another one"]
        elif not others:
            return True
        if here["began"] and here["began"] == latest["n_iterations"]:
            return False  # this training goes on where that one ended
        listed = "; ".join(others[:5]) + "; ..." * (len(others) > 5)
        what = f"{str(path)!r} belongs to another training ({listed})."
        if self.on_mismatch == "raise":
            raise ValueError(
                f"{what} Restore what was changed, take another directory, or begin a training of "
                "its own with init_from."
            )
        warnings.warn(
            f"{what} Training begins anew. Give each training a directory of its own to keep all "
            "checkpoints; this one is now 'latest.previous.pt'.",
            UserWarning,
            stacklevel=2,
        )
        return False

    def _continues_untold(self, path):
        goes_on = self.on_mismatch == "raise"
        warnings.warn(
            f"{str(path)!r} is of an earlier version of sktagger, which did not note what training "
            "it belongs to. "
            + (
                "Make sure that settings, events, clips and labels are as they were."
                if goes_on
                else "Training begins anew; it is now 'latest.previous.pt'."
            ),
            UserWarning,
            stacklevel=3,
        )
        return goes_on

    def _restore(self, latest, there, net, X, directory, validated):
        if validated:
            source = str(directory / "best.pt")
            best = load_checkpoint(directory / "best.pt")
            find_record(best, source, of=there)
            check_state(best.get("model"), net.module_.state_dict(), source)
        try:
            X.rounds.plan.seek(**latest["plan"])
        except ValueError as error:
            raise ValueError(f"{str(directory / 'latest.pt')!r}, at plan: {error}.") from error
        net.module_.load_state_dict(dict(latest["model"]))
        net.optimizer_.load_state_dict(latest["optimizer"])
        net.history = History(latest["history"])
        X.rounds.started = True
        n_clips, n_before = len(X.rounds.dataset), latest.get("n_clips")
        if n_before not in (None, n_clips):
            warnings.warn(
                f"Training began with {n_before} clips and goes on with {n_clips}, those that can "
                "be read now. Its result will not be that of an uninterrupted one.",
                UserWarning,
                stacklevel=2,
            )
        if validated:
            validation = dict(net.callbacks_)["validation"]
            validation.restore(latest["history"], dict(best["model"]))

    def on_epoch_end(self, net, dataset_train, **kwargs):
        """Write the checkpoints."""
        row = net.history[-1]
        if not row["n_iterations"]:
            return  # nothing has been learned
        directory = expand_path(self.dirname)
        plan = dataset_train.plan
        latest = {
            "format": CHECKPOINT_FORMAT,
            "model": net.module_.state_dict(),
            "n_iterations": row["n_iterations"],
            "training": self.record_,
        }
        if row.get("valid_mAP_best", True):
            save_checkpoint(latest, directory / "best.pt")
        latest |= {
            "optimizer": net.optimizer_.state_dict(),
            "plan": {
                "seed": plan.seed,
                "epoch": plan.epoch,
                "step": plan.step,
                "iteration": plan.iteration,
            },
            "history": [_plain(row) for row in net.history],
            "n_clips": len(dataset_train.dataset),
            "ended": dataset_train.n_left == 0,
        }
        save_checkpoint(latest, directory / "latest.pt")


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


def _plain(row):
    """Bring a row of the history to Python's own numbers, without its batches."""
    plain = {key: x.item() if isinstance(x, np.generic) else x for key, x in row.items()}
    return {**plain, "batches": []}


def _is_finite(module):
    """Say whether all weights and statistics of a module are finite."""
    finite = [tensor.isfinite().all() for tensor in module.state_dict().values()]
    return bool(torch.stack(finite).all())


def copy_state(module):
    """Copy a module's weights and statistics to the CPU."""
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}
