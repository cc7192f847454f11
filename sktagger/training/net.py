"""The skorch net behind the tagger."""

import os
from contextlib import suppress

import numpy as np
import torch
from sklearn.utils import ClassifierTags
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, EpochTimer, PassthroughScoring
from skorch.callbacks.scoring import ScoringBase
from skorch.utils import to_tensor
from torch import nn

from sktagger.audio.unreadable import no_clip_left
from sktagger.batching.device_transfer import to_device
from sktagger.batching.smaller_batches import BatchSplitter, select_clips

_LEAST_SCORE = 1e-7  # whose logarithm is taken
_OF_HISTORY = (EpochTimer, PassthroughScoring)  # skorch's own, which write to the history

if hasattr(os, "register_at_fork"):
    # OpenMP's threads do not live on in a forked process, which would wait for them forever
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def label_cross_entropy(scores, events):
    """Compute the cross entropy of labels, of which each clip has one, and a mixture several.

    Parameters
    ----------
    scores : Tensor of shape (n_clips, n_events), in [0, 1]
        Divided by their sum, they are the probabilities of the labels.
    events : Tensor of shape (n_clips, n_events)
        1 at the label of a clip, or at both labels of a mixture of two clips, which then are
        equally probable: the case of equal loudness in [1]_.

    Returns
    -------
    Tensor of shape (n_clips,)

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
    logs = scores.clamp_min(_LEAST_SCORE).log() - total.clamp_min(_LEAST_SCORE).log()
    return -(events * logs).sum(1) / events.sum(1)


class EarlyStop(Exception):
    """Raised by a callback to end training as planned."""


class TaggerNet(NeuralNet):
    """skorch net over ready batches.

    Its ``fit`` takes :class:`sktagger.training.intervals.TrainingData`.

    The loss is the binary cross entropy of the clip scores, summed over events, plus, if asked for,
    :func:`label_cross_entropy`, averaged over the clips by their weights.

    Where memory runs out, batches go through the network in parts from then on. In training, the
    parts' gradients, weighted by their clips, add up to that of the whole batch; batch
    normalisation, though, normalises each part by the part's own statistics. (Running statistics
    that the failed attempt had moved stay moved: by a batch more, of the same clips.)

    Parameters
    ----------
    module : class
    event_weight : ndarray of shape (2, n_events), float32, or None, default=None
        Weights of the terms of clips without (first row) and with an event.
    single_label : bool, default=False
        Whether each clip has one event, so that the cross entropy of labels is part of the loss.
    frozen : sequence of Module, default=()
        Parts of the network that stay in evaluation mode in training, too.
    **kwargs
        See :class:`skorch.NeuralNet`.

    Attributes
    ----------
    completed_ : bool
        Whether the last training ran to its end, by plan or by early stopping.
    training_splitter_, validation_splitter_ : BatchSplitter
        How many clips go through the network at once.
    sizes_ : STFTSizes
        Of the clips.
    """

    before_training_ = False  # whether this is the validation before training

    def __init__(
        self,
        module,
        criterion=nn.BCELoss,
        *,
        event_weight=None,
        single_label=False,
        frozen=(),
        **kwargs,
    ):
        kwargs.setdefault("criterion__reduction", "none")
        kwargs.setdefault("predict_nonlinearity", None)  # the module gives scores
        super().__init__(module, criterion, **kwargs)
        self.event_weight = event_weight
        self.single_label = single_label
        self.frozen = frozen

    def initialize_callbacks(self):
        """Make the callbacks, and refuse those that ask for clips as arrays."""
        super().initialize_callbacks()
        for name, callback in self.callbacks_:
            if isinstance(callback, ScoringBase) and not callback.use_caching:
                raise ValueError(
                    f"callbacks: {name!r} has use_caching=False, which asks for all clips at once, "
                    "but they are read batch by batch. Set use_caching=True."
                )
        return self

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train; however it ends, callbacks let go of what they hold."""
        try:
            return super().partial_fit(X, y, classes, **fit_params)
        finally:
            for _, callback in self.callbacks_:
                if hasattr(callback, "release"):
                    callback.release()

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train or validate on the batches of a validation interval."""
        n_batches = n_empty = 0
        for batch in () if iterator is None else iterator:
            n_batches += 1
            n_clips = len(batch.rows)
            step = None
            if n_clips:
                shown = batch.inputs, batch.targets[0]  # inputs and targets, as skorch has them
                self.notify("on_batch_begin", batch=shown, training=training)
                step = step_fn(batch, **fit_params)
            if step is None:
                n_empty += 1
                continue
            self.history.record_batch(prefix + "_loss", step["loss"].item())
            self.history.record_batch(prefix + "_batch_size", n_clips)
            self.notify("on_batch_end", batch=shown, training=training, **step)
        if n_batches and n_empty == n_batches:
            raise no_clip_left(iterator.dataset.unreadable)

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        """Begin a validation interval, without the batches of the one before in the history."""
        self.before_training_ = not dataset_train.started
        if self.history:
            self.history[-1]["batches"] = []
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)

    def get_split_datasets(self, X, y=None, **fit_params):
        """Give the batches to train on and to validate on."""
        return X.intervals, X.validation

    def get_iterator(self, dataset, training=False):
        """Give the batches themselves."""
        return dataset

    @property
    def classes_(self):
        """Values of each event, by which scikit-learn tells multi-label classifiers."""
        return np.tile([0, 1], (self.module_.n_events, 1))

    def predict(self, X):
        """Predict an event where its score is above 0.5, for the scorers of skorch's callbacks."""
        return (self.predict_proba(X) > 0.5).astype(int)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        tags.classifier_tags = ClassifierTags(multi_label=True)
        return tags

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Compute the loss of a batch; NaN where a score is NaN."""
        events, weights = to_tensor(y_true, device=self.device)
        # the criterion refuses NaN, on a GPU in a way that nothing runs on it any more
        undefined = y_pred.isnan()
        loss = self.criterion_(y_pred.masked_fill(undefined, 0.5), events)
        loss = loss.masked_fill(undefined, torch.nan)
        if self.event_weight is not None:
            absent, present = torch.as_tensor(self.event_weight, device=self.device)
            loss = loss * torch.where(events > 0, present, absent)
        loss = loss.sum(1)
        if self.single_label:
            loss = loss + label_cross_entropy(y_pred, events)
        return (loss * weights).mean()

    def fit_loop(self, X, y=None, epochs=None, **kwargs):
        """Train for the validation intervals that are left."""
        self.completed_ = False
        self.sizes_ = X.intervals.dataset.sizes
        self.training_splitter_ = BatchSplitter(
            "gradients add up to those of the whole batch, while batch normalisation sees its parts"
        )
        self.validation_splitter_ = BatchSplitter("scores do not change")
        try:
            with suppress(EarlyStop):
                super().fit_loop(X, y, X.intervals.n_left if epochs is None else epochs, **kwargs)
        except KeyboardInterrupt:
            if not self._stopped_by_skorch():
                raise
        except BaseException:  # of which SystemExit is one, as handlers of SIGTERM raise it
            # callbacks finish as after Ctrl-C: the best weights are restored, files are closed
            self.notify("on_train_end", X=X, y=y)
            raise
        self.completed_ = True
        return self

    def _stopped_by_skorch(self):
        """Say whether a KeyboardInterrupt is skorch's way to stop early, and not that of a user."""
        stoppers = [cb for _, cb in self.callbacks_ if isinstance(cb, EarlyStopping)]
        return any(cb.misses_ >= cb.patience for cb in stoppers)

    def notify(self, method_name, **cb_kwargs):
        """Call callbacks; those of users know nothing of the validation before training."""
        if not self.before_training_ or method_name in ("on_train_begin", "on_train_end"):
            super().notify(method_name, **cb_kwargs)
            return
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            own = getattr(callback, "before_training", isinstance(callback, _OF_HISTORY))
            if own:
                getattr(callback, method_name)(self, **cb_kwargs)

    def train_step_single(self, batch, **fit_params):
        """Compute the loss and its gradient, in parts if memory asks for it."""

        def step(parts):
            self._zero_grad_optimizer()  # a failed attempt has left some
            return self._step(batch, parts, training=True)

        self._set_training(True)
        for part in self.frozen:
            part.eval()
        return self.training_splitter_.run(step, len(batch.rows), batch.longest)

    def validation_step(self, batch, **fit_params):
        """Compute scores and loss, in parts if memory asks for it; None if a clip is unreadable."""

        def step(parts):
            with torch.no_grad():
                return self._step(batch, parts, training=False)

        self._set_training(False)
        if "long_clip" in batch.inputs:
            return self._long_step(batch)
        return self.validation_splitter_.run(step, len(batch.rows), batch.longest)

    def _long_step(self, batch):
        """Compute scores and loss of a long clip, chunk by chunk."""
        long_clip = batch.inputs["long_clip"]
        segments = long_clip.segment_scores(self.module_, self.validation_splitter_)
        if segments is None:
            return None
        with torch.no_grad():
            y_pred = self.module_.pool(*segments)
            return {"loss": self.get_loss(y_pred, batch.targets), "y_pred": y_pred}

    def _step(self, batch, parts, *, training):
        inputs, targets = batch.inputs, batch.targets
        n_clips = len(batch.rows)
        losses, scores = [], []
        for part in parts:
            part_inputs = to_device(select_clips(inputs, part), self.device, self.sizes_)
            y_pred = self.infer(part_inputs)
            y_true = tuple(target[part] for target in targets)
            share = len(part_inputs["n_frames"]) / n_clips
            loss = self.get_loss(y_pred, y_true, X=part_inputs, training=training) * share
            if training:
                loss.backward()
            losses.append(loss.detach())
            scores.append(y_pred.detach())
        return {"loss": torch.stack(losses).sum(), "y_pred": torch.cat(scores)}
