"""The skorch net that a tagger trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils import ClassifierTags
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, EpochTimer, PassthroughScoring
from skorch.callbacks.scoring import ScoringBase
from skorch.utils import to_tensor
from torch import Tensor, nn

from sktagger.audio.unreadable import no_clip_left
from sktagger.batching.device_transfer import to_device
from sktagger.batching.smaller_batches import BatchSplitter, select_clips

if TYPE_CHECKING:
    from typing_extensions import Self

    from sktagger.batching.dataset import Batch
    from sktagger.batching.plain import PlainBatches
    from sktagger.training.intervals import TrainingData, TrainingIntervals

__all__ = ["EarlyStop", "TaggerNet", "label_cross_entropy"]

_MIN_SCORE = 1e-7  # lower scores are raised to it before taking their logarithm
_HISTORY_CALLBACKS = (EpochTimer, PassthroughScoring)  # skorch's own, which write to the history

if hasattr(os, "register_at_fork"):
    # a forked process does not have OpenMP's threads, and would wait for them forever
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def label_cross_entropy(scores: Tensor, events: Tensor) -> Tensor:
    """Compute the cross entropy of labels, if each clip has one label.

    Parameters
    ----------
    scores : Tensor of shape (n_clips, n_events), in [0, 1]
        The probabilities of the labels are the scores divided by their sum.
    events : Tensor of shape (n_clips, n_events)
        1 for the label of a clip, or for both labels of a mixture of two clips. Both are then
        equally probable, as in [1]_ for equal loudness.

    Returns
    -------
    Tensor of shape (n_clips,)
        Cross entropy of each clip.

    References
    ----------
    .. [1] Y. Tokozume, Y. Ushiku, T. Harada, "Learning from between-class examples for deep sound
       recognition", ICLR 2018.

    Examples
    --------
    >>> scores = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    >>> label_cross_entropy(scores, torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    tensor([0.2877, 0.6931])
    """
    total = scores.sum(1, keepdim=True)
    logs = scores.clamp_min(_MIN_SCORE).log() - total.clamp_min(_MIN_SCORE).log()
    return -(events * logs).sum(1) / events.sum(1)


class EarlyStop(Exception):
    """A callback raises this exception to end training as planned."""


class TaggerNet(NeuralNet):
    """Net of skorch that trains on given batches.

    Its ``fit`` takes :class:`sktagger.training.intervals.TrainingData`.

    The loss of a clip is the binary cross entropy of its scores, summed over events. If each clip
    has one label, :func:`label_cross_entropy` is added. The loss of a batch is the mean over clips,
    multiplied by their weights.

    If memory runs out, batches go through the network in parts from then on. In training, the
    gradients of the parts, weighted by their numbers of clips, add up to that of the whole batch.
    Batch normalization, however, uses the statistics of each part. (If the failed attempt updated
    running statistics, this is not undone: they have seen the same clips twice.)

    Parameters
    ----------
    module : Module or class
        The network.
    criterion : class, default=BCELoss
        Loss of each event.
    event_weight : ndarray of shape (2, n_events), float32, or None, default=None
        Weights in the loss of clips without (first row) and with an event. A target between 0 and
        1 is a mean of both: 0.3 weighs the loss of the target 1 by 0.3, and that of 0 by 0.7.
    single_label : bool, default=False
        Whether each clip has one event. Then the cross entropy of labels is added to the loss.
    frozen : sequence of Module, default=()
        Parts of the network that stay in evaluation mode during training.
    needs_tags : bool, default=False
        Whether the network gets the events of the clips as an input in training.
    **kwargs
        See :class:`skorch.NeuralNet`.

    Attributes
    ----------
    completed_ : bool
        Whether the last training ran to its planned end or was stopped early by a callback.
    training_splitter_, validation_splitter_ : BatchSplitter
        Maximum number of clips that go through the network at once.
    sizes_ : STFTSizes
        Sizes of the clips' STFT.
    """

    before_training_ = False  # whether the net is being validated before training
    begins_trained = False  # whether its weights before training can be the best

    def __init__(
        self,
        module: nn.Module | type[nn.Module],
        criterion: type[nn.Module] = nn.BCELoss,
        *,
        event_weight: np.ndarray | None = None,
        single_label: bool = False,
        frozen: Sequence[nn.Module] = (),
        needs_tags: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("criterion__reduction", "none")
        kwargs.setdefault("predict_nonlinearity", None)  # the module's output are scores
        super().__init__(module, criterion, **kwargs)
        self.event_weight = event_weight
        self.single_label = single_label
        self.frozen = frozen
        self.needs_tags = needs_tags

    def initialize_callbacks(self) -> Self:
        """Initialize the callbacks; raise ValueError if one needs all clips as arrays."""
        super().initialize_callbacks()
        for name, callback in self.callbacks_:
            if isinstance(callback, ScoringBase) and not callback.use_caching:
                raise ValueError(
                    f"callbacks: {name!r} has use_caching=False, which needs all clips at once, "
                    "but they are read batch by batch. Set use_caching=True."
                )
        return self

    def partial_fit(
        self, X: TrainingData, y: None = None, classes: None = None, **fit_params: Any
    ) -> Self:
        """Train, and call the `release` of callbacks at the end, also after an error."""
        try:
            return super().partial_fit(X, y, classes, **fit_params)
        finally:
            for _, callback in self.callbacks_:
                if hasattr(callback, "release"):
                    callback.release()

    def run_single_epoch(
        self,
        iterator: TrainingIntervals | PlainBatches | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor] | None],
        **fit_params: Any,
    ) -> None:
        """Train or validate on the batches of a validation interval."""
        n_batches = n_empty = 0
        plan: Any = iterator.plan if training and iterator is not None else None
        # read here, because the plan moves on when batches are loaded ahead
        position = None if plan is None else (plan.seed, plan.iteration)
        for batch in () if iterator is None else iterator:
            if position is not None:
                self.module_.seed_dropout(*position, n_batches)
            n_batches += 1
            n_clips = len(batch.rows)
            step = None
            if n_clips:
                skorch_batch = batch.inputs, batch.targets[0]  # in skorch's form
                self.notify("on_batch_begin", batch=skorch_batch, training=training)
                step = step_fn(batch, **fit_params)
            if step is None:
                n_empty += 1
                continue
            self.history.record_batch(prefix + "_loss", step["loss"].item())
            self.history.record_batch(prefix + "_batch_size", n_clips)
            self.notify("on_batch_end", batch=skorch_batch, training=training, **step)
        if iterator is not None and n_batches and n_empty == n_batches:
            raise no_clip_left(iterator.dataset.unreadable)

    def on_epoch_begin(
        self, net: TaggerNet, dataset_train: TrainingIntervals, **kwargs: Any
    ) -> None:
        """Start a validation interval; remove the batches of the previous one from the history."""
        self.before_training_ = not dataset_train.started
        if self.history:
            self.history[-1]["batches"] = []
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)

    def get_split_datasets(
        self, X: TrainingData, y: None = None, **fit_params: Any
    ) -> tuple[TrainingIntervals, PlainBatches | None]:
        """Return the batches to train on and to validate on."""
        return X.intervals, X.validation

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return the batches unchanged."""
        return dataset

    @property
    def classes_(self) -> np.ndarray:
        """Values of each event; scikit-learn recognizes multi-label classifiers by their shape."""
        return np.tile([0, 1], (self.module_.n_events, 1))

    def predict(self, X: Any) -> np.ndarray:
        """Predict the events whose score is above 0.5, for the scorers of skorch's callbacks."""
        return (self.predict_proba(X) > 0.5).astype(int)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags(multi_label=True)
        return tags

    def _loss(self, scores, outputs, y_true):
        """Compute the loss of a batch; NaN if a score is NaN."""
        events, weights = to_tensor(y_true, device=self.device)
        # the criterion fails for NaN, on a GPU with an error that makes the GPU unusable
        undefined = outputs.isnan()
        loss = self._event_loss(outputs.masked_fill(undefined, 0.5), events)
        undefined = undefined.reshape(*events.shape, -1).any(-1)
        loss = loss.masked_fill(undefined, torch.nan).sum(1)
        if self.single_label:
            loss = loss + label_cross_entropy(scores, events)
        return (loss * weights).mean()

    def _event_loss(self, outputs, events):
        """Compute the weighted loss of each event in each clip."""
        if self.event_weight is None:
            return self.criterion_(outputs, events)
        absent, present = torch.as_tensor(self.event_weight, device=self.device)
        if not events.frac().any():
            return self.criterion_(outputs, events) * torch.where(events > 0, present, absent)
        if_present = self.criterion_(outputs, torch.ones_like(events))
        if_absent = self.criterion_(outputs, torch.zeros_like(events))
        return present * events * if_present + absent * (1 - events) * if_absent

    def fit_loop(
        self, X: TrainingData, y: None = None, epochs: int | None = None, **kwargs: Any
    ) -> Self:
        """Train for the remaining validation intervals."""
        self.completed_ = False
        self.sizes_ = X.intervals.dataset.sizes
        self.training_splitter_ = BatchSplitter(
            "gradients add up to those of the whole batch, but batch normalization uses the "
            "statistics of each part"
        )
        self.validation_splitter_ = BatchSplitter("scores do not change")
        try:
            with suppress(EarlyStop):
                super().fit_loop(X, y, X.intervals.n_left if epochs is None else epochs, **kwargs)
        except KeyboardInterrupt:
            if not self._stopped_by_skorch():
                raise
        except BaseException:  # also SystemExit, which handlers of SIGTERM raise
            # callbacks finish as after Ctrl-C: they restore the best weights and close files
            self.notify("on_train_end", X=X, y=y)
            raise
        self.completed_ = True
        return self

    def _stopped_by_skorch(self):
        """Return whether skorch's early stopping raised KeyboardInterrupt, and not the user."""
        stoppers = [cb for _, cb in self.callbacks_ if isinstance(cb, EarlyStopping)]
        return any(cb.misses_ >= cb.patience for cb in stoppers)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a method of all callbacks; skip those of users in the validation before training."""
        if not self.before_training_ or method_name in ("on_train_begin", "on_train_end"):
            super().notify(method_name, **cb_kwargs)
            return
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            default = isinstance(callback, _HISTORY_CALLBACKS)
            if getattr(callback, "before_training", default):
                getattr(callback, method_name)(self, **cb_kwargs)

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Compute the loss and its gradient; in parts, if memory is too small."""

        def step(parts):
            self._zero_grad_optimizer()  # discards the gradient of a failed attempt
            return self._step(batch, parts, training=True)

        self._set_training(True)
        for part in self.frozen:
            part.eval()
        return self.training_splitter_.run(step, len(batch.rows), batch.longest)

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor] | None:
        """Compute scores and loss; in parts, if memory is too small.

        Returns None if the batch is a long clip that cannot be read.
        """

        def step(parts):
            with torch.no_grad():
                return self._step(batch, parts, training=False)

        self._set_training(False)
        if "long_clip" in batch.inputs:
            return self._long_step(batch)
        return self.validation_splitter_.run(step, len(batch.rows), batch.longest)

    def _long_step(self, batch):
        """Compute scores and loss of a long clip, chunk by chunk; None if it cannot be read."""
        long_clip = batch.inputs["long_clip"]
        features = partial(self.module_.segment_features, None)
        segments = long_clip.segments(features, self.validation_splitter_)
        if segments is None:
            return None
        with torch.no_grad():
            activity = batch.inputs.get("activity")
            if activity is not None:
                activity = activity.to(self.device)
            y_pred, outputs = self.module_.pool_for_loss(*segments, activity)
            return {"loss": self._loss(y_pred, outputs, batch.targets), "y_pred": y_pred}

    def _step(self, batch, parts, *, training):
        inputs, targets = batch.inputs, batch.targets
        n_clips = len(batch.rows)
        losses, scores = [], []
        for part in parts:
            part_inputs = to_device(select_clips(inputs, part), self.device, self.sizes_)
            y_true = tuple(target[part] for target in targets)
            if training and self.needs_tags:
                part_inputs["tags"] = (y_true[0] > 0.5).to(self.device, torch.float32)
            y_pred, outputs = self.module_.training_outputs(**part_inputs)
            share = len(part_inputs["n_frames"]) / n_clips
            loss = self._loss(y_pred, outputs, y_true) * share
            if training:
                loss.backward()
            losses.append(loss.detach())
            scores.append(y_pred.detach())
        return {"loss": torch.stack(losses).sum(), "y_pred": torch.cat(scores)}
