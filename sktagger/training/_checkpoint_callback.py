"""The callback that writes checkpoints, and continues the training that they belong to."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.history import History

from sktagger._utils.files import expand_path
from sktagger._utils.schema import is_count
from sktagger._utils.warnings import warn
from sktagger.networks import check_state
from sktagger.training._checkpoints import (
    check_resumable,
    check_storable,
    load_checkpoint,
    load_optimizer,
    save_checkpoint,
    training_record,
)
from sktagger.training._file_kinds import checkpoint_paths, find_checkpoint
from sktagger.training._params import plain
from sktagger.training._record import differences, name_source

_BEST_KEYS = ("model", "n_iterations", "training")
_LATEST_KEYS = (*_BEST_KEYS, "optimizer", "plan", "history", "n_clips", "ended")


class Checkpoint(Callback):
    """Write checkpoints after each validation interval, and continue from the latest one.

    ``latest.safetensors`` holds everything that continuing needs: weights, optimizer, position in
    the plan of batches, history, and a record of the training that it belongs to: settings, seed,
    events, and which clips have which events. ``best.safetensors`` holds the record and the weights
    with the best validation mAP so far (the latest weights if there are no validation clips). Both
    hold tensors and JSON only; reading them runs no code. Each is written under another name first,
    so that an interruption leaves the previous file whole.

    Parameters
    ----------
    dirname : str or PathLike
        Directory for the two files; made if missing. If it holds the latest checkpoint of the same
        training, the training continues from there and ends with the same weights as an
        uninterrupted one.
    on_mismatch : {"restart", "raise"}, default="restart"
        What to do if the latest checkpoint belongs to another training, as in the next fold of a
        cross-validation. "restart": start training from the beginning, with a warning that lists
        the differences; the files of the other training become ``latest.previous.safetensors`` and
        ``best.previous.safetensors``. "raise": raise an error.

    Notes
    -----
    With ``random_state=None``, an interrupted training continues with its own seed. If the training
    of the latest checkpoint has ended, a new one begins.

    If several processes train with the same directory at the same time, only the first writes
    checkpoints. The others warn and write none, or raise an error with ``on_mismatch="raise"``.

    Checkpoints that earlier versions wrote, ``latest.pt`` and ``best.pt``, are continued too. They
    are then replaced by files of the present format.
    """

    lock_ = None

    def __init__(
        self,
        dirname: str | os.PathLike[str],
        *,
        on_mismatch: Literal["restart", "raise"] = "restart",
    ) -> None:
        self.dirname = dirname
        self.on_mismatch = on_mismatch

    def on_train_begin(self, net: NeuralNet, X: Any = None, **kwargs: Any) -> None:
        """Continue from the latest checkpoint if it belongs to this training."""
        if self.on_mismatch not in ("restart", "raise"):
            raise ValueError(
                f"Checkpoint: on_mismatch={self.on_mismatch!r}; allowed are 'restart' and 'raise'."
            )
        directory = expand_path(self.dirname)
        directory.mkdir(parents=True, exist_ok=True)
        if not self._lock(directory):
            return
        self.record_ = X.record()
        check_storable(self.record_)
        path = find_checkpoint(directory, "latest")
        if path is None:
            return
        latest = load_checkpoint(path)
        there = training_record(latest, str(path))
        if self._continues(latest, there, path, X.intervals):
            self._resume(latest, there, path, net, X)
        else:
            _set_aside(directory)

    def _lock(self, directory):
        """Keep other processes from writing checkpoints; a lock ends with its process."""
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
            warn(f"{what} This training writes none. Give each training a directory of its own.")
            return False
        self.lock_, self.ended_ = lock, True  # there is no checkpoint yet to be marked as ended
        return True

    def unfinished_seed(self) -> int | None:
        """Return the seed of the training that the latest checkpoint belongs to.

        Returns
        -------
        int or None
            None if that training has ended, or there is no checkpoint.
        """
        path = find_checkpoint(expand_path(self.dirname), "latest")
        if path is None:
            return None
        latest = load_checkpoint(path)
        plan = latest.get("plan")
        seed = plan.get("seed") if isinstance(plan, dict) else None
        return seed if is_count(seed) and seed < 2**32 and not latest.get("ended") else None

    def _continues(self, latest, there, path, intervals):
        """Say whether this training continues from a checkpoint; if not, warn or raise."""
        here = self.record_
        if there is None:
            return self._continues_without_record(path)
        # if the first source of the weights is gone, the command continues from the checkpoint
        if here["settings"]["init_from"] == name_source(path):
            here["settings"]["init_from"] = there["settings"].get("init_from")
        others = differences(there, here) or _trained_longer(latest, intervals)
        if not others and here["seed"] is None and latest.get("ended"):
            others = ["it has ended, and random_state=None asks for a new one"]
        elif not others:
            return True
        if here["began"] and here["began"] == latest["n_iterations"]:
            return False  # this training continues the tagger that the checkpoint's training made
        listed = "; ".join(others[:5]) + "; ..." * (len(others) > 5)
        what = f"{str(path)!r} belongs to another training ({listed})."
        if self.on_mismatch == "raise":
            raise ValueError(
                f"{what} Restore what has changed, take another directory, or start a new training "
                "with init_from."
            )
        warn(
            f"{what} Training starts from the beginning, and that file becomes "
            f"{_previous(path).name!r}. To keep the checkpoints of every training, give each a "
            "directory of its own."
        )
        return False

    def _continues_without_record(self, path):
        continues = self.on_mismatch == "raise"
        warn(
            f"{str(path)!r} was written by an earlier version of sktagger, which did not note the "
            "training that it belongs to. "
            + (
                "Make sure that settings, events, clips and labels have not changed."
                if continues
                else "Training starts from the beginning, and that file becomes "
                f"{_previous(path).name!r}."
            )
        )
        return continues

    def _resume(self, latest, there, path, net, X):
        """Set net, optimizer, history and plan of batches to those of the latest checkpoint."""
        validated = X.validation is not None
        check_resumable(latest, net, str(path), validated=validated)
        best = self._load_best(path, there, net) if validated else latest
        plan = X.intervals.plan
        try:
            plan.seek(**latest["plan"])
        except ValueError as error:
            raise ValueError(f"{str(path)!r}, at plan: {error}.") from error
        net.module_.load_state_dict(dict(latest["model"]))
        load_optimizer(net.optimizer_, latest["optimizer"])
        net.history = History(latest["history"])
        X.intervals.started = True
        self.ended_ = latest.get("ended", False)
        n_clips, n_before = len(X.intervals.dataset), latest.get("n_clips")
        if n_before not in (None, n_clips):
            warn(
                f"Training began with {n_before} clips, and {n_clips} can be read now: it "
                "continues with these. The result will not be that of an uninterrupted training."
            )
        if validated:
            validation = dict(net.callbacks_)["validation"]
            validation.restore(latest["history"], dict(best["model"]))
        if path.suffix == ".pt":
            # the first format lacks record and seed
            record = {"training": there or self.record_}
            latest = latest | record | {"plan": latest["plan"] | {"seed": plan.seed}}
            _replace_earlier_files(path.parent, latest, best | record)
        else:
            _set_aside_leftovers(path.parent)

    def _load_best(self, latest_path, record, net):
        """Read and check the best checkpoint that belongs to the latest one."""
        path = find_checkpoint(latest_path.parent, "best")
        if path is None:
            missing = latest_path.with_stem("best")
            raise FileNotFoundError(
                f"{str(missing)!r} is missing; it belongs to {str(latest_path)!r}. Restore it, or "
                "move the other away to start training from the beginning."
            )
        best = load_checkpoint(path)
        training_record(best, str(path), of=record)
        check_state(best.get("model"), net.module_.state_dict(), str(path))
        return best

    def on_epoch_end(self, net: NeuralNet, dataset_train: Any, **kwargs: Any) -> None:
        """Write the checkpoints."""
        row = net.history[-1]
        if self.lock_ is None:
            return  # another training has the directory
        directory = expand_path(self.dirname)
        plan = dataset_train.plan
        best = {
            "model": net.module_.state_dict(),
            "n_iterations": row["n_iterations"],
            "training": self.record_,
        }
        if row.get("valid_mAP_best", row["n_iterations"] > 0):
            save_checkpoint(best, checkpoint_paths(directory, "best")[0])
        if not row["n_iterations"]:
            return  # nothing to continue from yet; only a fitted head makes this the best so far
        latest = best | {
            "optimizer": net.optimizer_.state_dict(),
            "plan": {
                "seed": plan.seed,
                "epoch": plan.epoch,
                "step": plan.step,
                "iteration": plan.iteration,
            },
            "history": [_plain_row(row) for row in net.history],
            "n_clips": len(dataset_train.dataset),
            "ended": dataset_train.n_left == 0,
        }
        save_checkpoint(latest, checkpoint_paths(directory, "latest")[0])
        self.ended_ = latest["ended"]

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Note in the latest checkpoint that training has ended, also if it stopped early."""
        if self.lock_ is not None and net.completed_ and not self.ended_:
            path = checkpoint_paths(expand_path(self.dirname), "latest")[0]
            save_checkpoint(load_checkpoint(path) | {"ended": True}, path)

    def release(self) -> None:
        """Let other trainings write to the directory, however this one ended."""
        if self.lock_ is not None:
            self.lock_.release()
            self.lock_ = None


def _trained_longer(latest, intervals):
    """Say by how much the training of a checkpoint is already longer than this one will be."""
    plan = latest.get("plan")
    done = plan.get(intervals.unit) if isinstance(plan, dict) else None
    if type(done) is not int or done <= intervals.total:
        return []
    return [f"trained for {done} {intervals.unit}s there, for {intervals.total} here"]


def _previous(path: Path) -> Path:
    """Give the name that a checkpoint of another training gets."""
    return path.with_stem(f"{path.stem}.previous")


def _set_aside(directory):
    """Rename the checkpoints of another training.

    The latest comes last: as long as it is there, an interruption does not let a new training
    overwrite the best one.
    """
    for name in ("best", "latest"):
        for path in reversed(checkpoint_paths(directory, name)):
            if path.exists():
                os.replace(path, _previous(path))


def _replace_earlier_files(directory, latest, best):
    """Write checkpoints of an earlier format in the present one, then delete the earlier files.

    Whenever this is interrupted, each checkpoint is there in at least one format.
    """
    latest = latest | {"history": [_plain_row(row) for row in latest["history"]]}
    for name, content, keys in (("best", best, _BEST_KEYS), ("latest", latest, _LATEST_KEYS)):
        known = {key: content[key] for key in keys if key in content}
        save_checkpoint(known, checkpoint_paths(directory, name)[0])
    for name in ("latest", "best"):
        _, *earlier = checkpoint_paths(directory, name)
        for path in earlier:
            path.unlink(missing_ok=True)


def _set_aside_leftovers(directory):
    """Rename files of an earlier format that an interruption left beside those of the present."""
    for name in ("best", "latest"):
        present, *earlier = checkpoint_paths(directory, name)
        for path in earlier:
            if present.is_file() and path.is_file():
                os.replace(path, _previous(path))


def _plain_row(row):
    """Reduce a row of the history to numbers and strings that JSON can hold."""
    values = {key: plain(value) for key, value in row.items() if isinstance(key, str)}
    return {**{key: x for key, x in values.items() if _fits_json(key, x)}, "batches": []}


def _fits_json(key, value):
    if not isinstance(value, str | int | float | None):
        return False
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return False
    try:
        f"{key}{value}".encode()
    except UnicodeEncodeError:  # half a character
        return False
    return True
