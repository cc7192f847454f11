"""The callback that writes checkpoints, and continues the training that they belong to."""

import os
import warnings
from contextlib import suppress

from filelock import FileLock, Timeout
from skorch.callbacks import Callback
from skorch.history import History

from sktagger._utils.files import expand_path
from sktagger.networks import check_state
from sktagger.training._checkpoints import (
    CHECKPOINT_FORMAT,
    check_resumable,
    find_record,
    load_checkpoint,
    save_checkpoint,
)
from sktagger.training._params import plain
from sktagger.training._record import differences, name_source


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

    Of trainings that are under way at the same time, in other processes, one has the directory. For
    the others, that is another training: they keep no checkpoints, with a warning, or it is an
    error.
    """

    lock_ = None

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
        if not self._take(directory):
            return
        self.record_ = X.record()
        path = directory / "latest.pt"
        if not path.exists():
            return
        latest = load_checkpoint(path)
        validated = X.validation is not None
        there = find_record(latest, str(path))
        if self._continues(latest, there, path, X.intervals):
            check_resumable(latest, net, str(path), validated=validated)
            self._restore(latest, there, net, X, directory, validated)
        else:
            for name in ("latest", "best"):
                if (directory / f"{name}.pt").exists():
                    os.replace(directory / f"{name}.pt", directory / f"{name}.previous.pt")

    def _take(self, directory):
        """Keep others from writing checkpoints to the directory; a lock ends with its process."""
        lock = FileLock(directory / "lock", timeout=0)
        try:
            with suppress(NotImplementedError):  # of file systems that have no locks
                lock.acquire()
        except Timeout as error:
            what = f"Another training is writing checkpoints to {str(directory)!r}."
            if self.on_mismatch == "raise":
                raise BlockingIOError(
                    f"{what} Wait until it ends, or take another directory."
                ) from error
            warnings.warn(
                f"{what} This one is kept in none. Give each training a directory of its own.",
                UserWarning,
                stacklevel=3,
            )
            return False
        self.lock_, self.ended_ = lock, True  # nothing to note yet
        return True

    def unfinished_seed(self) -> int | None:
        """Give the seed of the training that its latest checkpoint continues; None if it ended."""
        path = expand_path(self.dirname) / "latest.pt"
        if not path.is_file():
            return None
        latest = load_checkpoint(path)
        plan = latest.get("plan")
        seed = plan.get("seed") if isinstance(plan, dict) else None
        return seed if type(seed) is int and not latest.get("ended") else None

    def _continues(self, latest, there, path, intervals):
        """Say whether this training continues from a checkpoint, and warn or raise if not."""
        here = self.record_
        if there is None:
            return self._continues_untold(path)
        # where the source is gone, the command continues from the checkpoint itself
        if here["settings"]["init_from"] == name_source(path):
            here["settings"]["init_from"] = there["settings"].get("init_from")
        others = differences(there, here) or _excess(latest, intervals)
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
            if not (directory / "best.pt").is_file():
                raise FileNotFoundError(
                    f"{source!r} is missing, which belongs to {str(directory / 'latest.pt')!r}. "
                    "Restore it, or take the other away to begin anew."
                )
            best = load_checkpoint(directory / "best.pt")
            find_record(best, source, of=there)
            check_state(best.get("model"), net.module_.state_dict(), source)
        try:
            X.intervals.plan.seek(**latest["plan"])
        except ValueError as error:
            raise ValueError(f"{str(directory / 'latest.pt')!r}, at plan: {error}.") from error
        net.module_.load_state_dict(dict(latest["model"]))
        net.optimizer_.load_state_dict(latest["optimizer"])
        net.history = History(latest["history"])
        X.intervals.started = True
        self.ended_ = latest.get("ended", False)
        n_clips, n_before = len(X.intervals.dataset), latest.get("n_clips")
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
        if self.lock_ is None or not row["n_iterations"]:
            return  # another training has the directory, or nothing has been learned
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
        self.ended_ = latest["ended"]

    def on_train_end(self, net, **kwargs):
        """Note that training has ended, also where it stopped early."""
        if self.lock_ is not None and net.completed_ and not self.ended_:
            path = expand_path(self.dirname) / "latest.pt"
            save_checkpoint(load_checkpoint(path) | {"ended": True}, path)

    def release(self):
        """Leave the directory to others, however training ended."""
        if self.lock_ is not None:
            self.lock_.release()
            self.lock_ = None


def _excess(latest, intervals):
    """Say how much longer than asked for the training of a checkpoint was already."""
    plan = latest.get("plan")
    done = plan.get(intervals.unit) if isinstance(plan, dict) else None
    if type(done) is not int or done <= intervals.total:
        return []
    return [f"trained for {done} {intervals.unit}s there, for {intervals.total} here"]


def _plain(row):
    """Bring a row of the history to Python's own numbers, without batches and other objects."""
    values = {key: plain(value) for key, value in row.items()}
    kept = {key: x for key, x in values.items() if isinstance(x, str | int | float | None)}
    return {**kept, "batches": []}
