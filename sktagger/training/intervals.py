"""Training batches, grouped by validation interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sktagger.audio.unreadable import Unreadable
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.plain import PlainBatches, load_ahead
from sktagger.batching.plans import TrainingPlan

__all__ = ["TrainingData", "TrainingIntervals"]


class TrainingIntervals:
    """Training batches, grouped by validation interval. The net is validated after each interval.

    Parameters
    ----------
    dataset : ClipDataset
        Clips to train on.
    plan : TrainingPlan
        Plan of the batches. Training starts at its position.
    n_threads : int
        Number of loader threads.
    length : int
        Length of the training, in `unit`.
    every : int
        Length of a validation interval, in `unit`.
    unit : {"epoch", "iteration"}
        Unit of the lengths.
    validated : bool
        Whether the first interval is empty, so that the net is also validated before training.
        Errors in the validation set then show in seconds instead of hours.
    ends : bool, default=True
        Whether the end of the training is known.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        plan: TrainingPlan,
        n_threads: int,
        *,
        length: int,
        every: int,
        unit: str,
        validated: bool,
        ends: bool = True,
    ) -> None:
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
        """Length of the training that is done, in `unit`, including earlier trainings."""
        return getattr(self.plan, self.unit)

    @property
    def progress(self) -> float:
        """Fraction of this training that is done, without earlier trainings."""
        return (self.done - self.first) / (self.total - self.first)

    @property
    def n_left(self) -> int:
        """Number of intervals that are left."""
        left = self.total - self.done
        return -(-max(left, 0) // self.every) + (not self.started)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next interval."""
        if not self.started:
            self.started = True
            return iter(())
        length = min(self.every, self.total - self.done)
        batches = self.plan.take(**{f"n_{self.unit}s": length})
        return load_ahead(self.dataset.load, batches, self.n_threads, self.plan.batch_size)

    def __len__(self) -> int:
        """Return the number of clips in an interval; a mixture counts as one."""
        return self.every * self._n_clips_per_unit

    @property
    def n_clips(self) -> int:
        """Number of clips in the whole training; a mixture counts as one."""
        return self.total * self._n_clips_per_unit

    @property
    def _n_clips_per_unit(self):
        return len(self.dataset) if self.unit == "epoch" else self.plan.batch_size


class TrainingData(NamedTuple):
    """Data that :class:`sktagger.training.net.TaggerNet` is fitted on.

    Attributes
    ----------
    intervals : TrainingIntervals
        Batches to train on.
    validation : PlainBatches or None
        Batches to validate on.
    record : callable
        Returns the description of the training that checkpoints have: dict.
    """

    intervals: TrainingIntervals
    validation: PlainBatches | None
    record: Callable[[], dict]

    @property
    def unreadable(self) -> list[Unreadable]:
        """Clips that cannot be read, by container."""
        batches = (self.intervals, self.validation)
        return [part.dataset.unreadable for part in batches if part is not None]
