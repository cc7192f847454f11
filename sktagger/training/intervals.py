"""The batches of a training, from one validation to the next."""

from collections.abc import Callable
from typing import NamedTuple

from sktagger.audio.unreadable import Unreadable
from sktagger.batching.plain import PlainBatches, load_ahead
from sktagger.batching.plans import TrainingPlan


class TrainingIntervals:
    """Training batches by validation interval; after each interval the net is validated.

    Parameters
    ----------
    dataset : ClipDataset
    plan : TrainingPlan
        Its position is where training begins.
    n_threads : int
        Number of loader threads.
    length, every : int
        Length of the training and of a validation interval, in `unit`.
    unit : "epoch" or "iteration"
    validated : bool
        Whether the first interval is empty, so that validation also comes before training. A fault
        of the validation set then shows in seconds, not hours.
    ends : bool, default=True
        Whether the end of the training is known.
    """

    def __init__(
        self, dataset, plan: TrainingPlan, n_threads, *, length, every, unit, validated, ends=True
    ):
        self.dataset = dataset
        self.plan = plan
        self.n_threads = n_threads
        self.every = every
        self.unit = unit
        self.first = self.done
        self.total = self.first + length
        self.started = not validated
        self.ends = ends
        if ends and plan.augmentation is not None:
            plan.set_weak_start(unit, self.total - plan.augmentation.final_weak_fraction * length)

    @property
    def done(self) -> int:
        """Length of what has been trained, in `unit`."""
        return getattr(self.plan, self.unit)

    @property
    def progress(self) -> float:
        """Fraction of this training that is done, without earlier ones that it continues."""
        return (self.done - self.first) / (self.total - self.first)

    @property
    def n_left(self) -> int:
        """Number of intervals that are left."""
        left = self.total - self.done
        return -(-max(left, 0) // self.every) + (not self.started)

    def __iter__(self):
        """Yield the batches of the next interval."""
        if not self.started:
            self.started = True
            return iter(())
        length = min(self.every, self.total - self.done)
        batches = self.plan.take(**{f"n_{self.unit}s": length})
        return load_ahead(self.dataset.load, batches, self.n_threads, self.plan.batch_size)

    def __len__(self) -> int:
        """Count the clips of an interval, mixtures once."""
        return self.every * self._n_together

    @property
    def n_clips(self) -> int:
        """Number of clips of the whole training, mixtures counted once."""
        return self.total * self._n_together

    @property
    def _n_together(self):
        return len(self.dataset) if self.unit == "epoch" else self.plan.batch_size


class TrainingData(NamedTuple):
    """What :class:`sktagger.training.net.TaggerNet` is fitted on.

    Attributes
    ----------
    intervals : TrainingIntervals
        Batches to train on.
    validation : PlainBatches or None
        Batches to validate on.
    record : callable
        Gives the record of the training, as a checkpoint holds it: dict.
    """

    intervals: TrainingIntervals
    validation: PlainBatches | None
    record: Callable[[], dict]

    @property
    def unreadable(self) -> list[Unreadable]:
        """The clips that cannot be read."""
        batches = (self.intervals, self.validation)
        return [part.dataset.unreadable for part in batches if part is not None]
