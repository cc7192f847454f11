"""The training of a tagger: check, begin a network, train it, set the fitted attributes."""

import warnings
from functools import partial
from typing import ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from sktagger._utils.text import quoted, short
from sktagger._utils.validation import (
    check_lengths,
    check_weights,
)
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.audio.unreadable import no_clip_left, skipped_table
from sktagger.batching.plain import PlainBatches
from sktagger.model_selection import MultilabelStratifiedGroupKFold, check_groups
from sktagger.taggers._base import BaseTagger
from sktagger.taggers.out_of_fold import out_of_fold_scores
from sktagger.taggers.persistence import warn_unless_savable
from sktagger.targets import (
    Targets,
    align_events,
    check_classes,
    check_same_classes,
    check_targets,
    match_events,
    plain_container,
    read_targets,
)
from sktagger.training._record import describe_training
from sktagger.training.callbacks import Checkpoint
from sktagger.training.fine_tuning import start_from
from sktagger.training.intervals import TrainingData
from sktagger.training.setup import make_intervals, make_net, split_validation
from sktagger.training.weighting import check_class_weight, event_weights, label_weights


class FittingTagger(BaseTagger):
    """A tagger that can be trained.

    A subclass has the parameters of a :class:`sktagger.AudioTagger`, and defines `_read_init_from`.
    """

    # Wherever groups of clips are routed to, this is where they belong. A fit without
    # `validation_fraction` does not need them, and does not mind.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def fit(self, X, y, *, sample_weight=None, groups=None, X_val=None, Y_val=None):
        """Learn to tag.

        Parameters
        ----------
        X : array-like of clips
            See Notes.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips, the `Y` of the Notes.
        sample_weight : array-like of shape (n_clips,) or None, default=None
            Weights of the clips in the loss, not negative; only their ratios matter. A clip of
            weight 3 counts as three such clips of weight 1 would, alone and in mixtures. One of
            weight 0 is left out of training and of what `validation_fraction` sets apart; an event
            that has no other clips keeps its column. Validation counts its clips alike.
        groups : array-like of shape (n_clips,) or None, default=None
            Group of each clip, strings or numbers: clips of one recording, say. Those of one group
            are not split by `validation_fraction`, nor by `cross_fit` in `fit_transform`.
        X_val, Y_val : as `X` and `y`, or None
            Clips to validate on. With them, the weights with the best validation mAP are kept,
            among equals those with the lowest validation loss; without, the last ones.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter, a container or the targets are not as described, `init_from` holds no
            weights that fit, or `sample_weight` is 0 for all clips that are left to train on.
        FileNotFoundError, ValueError
            If a clip cannot be read; the message names it. Headers are read before training
            starts.
        FloatingPointError
            If training diverges: the loss, weights, or validation scores are not finite. The
            message says at which iteration, and what to try.
        MemoryError
            If memory does not suffice for a single clip. Where it does not suffice for a batch,
            a warning is given, and batches go through the network in parts: gradients add up to
            those of the whole batch, and batch normalisation sees the parts.

        Notes
        -----
        After an error (or Ctrl-C) in the midst of training, the tagger has the best weights of
        the validation intervals that were finished, or the last ones if there are no validation
        clips. If an error comes before the end of the first interval, the tagger is as it was
        before.

        Ctrl-C ends `fit` with a warning. In a clone, as cross-validation, searches and
        `TunedThresholdTagger` make them, KeyboardInterrupt goes on, so that it ends all of it.
        """
        self._check_settings()
        clips = check_clips(self, X, reset=True)
        targets = check_targets(y, name="y")
        check_lengths(clips, targets.indicator, ("X", "y"))
        weights = self._clip_weights(sample_weight, targets)
        warn_unless_savable(self, targets.classes, multilabel=targets.multilabel)
        going_on = self.warm_start and hasattr(self, "net_")
        network = self._get_network().resolve()
        if going_on:
            self._check_same_events(targets)
            self._check_same_network(network)
            self._check_same_source()
        seed = self._draw_seed(going_on)
        kept, clips_val, events_val = split_validation(
            self, clips, targets, X_val, Y_val, seed, groups=groups, weights=weights
        )

        module = self._begin_module(seed, targets.classes, network, going_on=going_on)
        train = clips.take(kept), targets.indicator[kept], weights[kept]
        train_set = self._dataset(train[0], network, *train[1:])
        validation = valid = None
        if clips_val is not None:
            container = "X" if X_val is None else "X_val"
            weights_val = np.ones(len(clips_val))
            valid = clips_val, events_val
            valid_set = self._dataset(
                clips_val, network, events_val, weights_val, container=container
            )
            grid = network.get_grid()
            validation = PlainBatches(valid_set, self.batch_size, self._n_threads(), grid)

        record = partial(describe_training, self, network, seed, targets, train, valid)
        self._train(module, network, targets, train_set, validation, seed, record)
        return self

    def partial_fit(self, X, y, classes=None, *, sample_weight=None):
        """Train for one epoch, going on from the present weights and optimiser.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips.
        classes : array-like of shape (n_events,) or None, default=None
            All events that will ever come. None: those of `y` in the first call.
        sample_weight : array-like of shape (n_clips,) or None, default=None
            Weights of the clips, see `fit`.

        Returns
        -------
        self
        """
        self._check_settings()
        going_on = hasattr(self, "net_")
        clips = check_clips(self, X, reset=not going_on)
        if going_on:
            if classes is not None:
                check_same_classes(classes, self.classes_)
            classes, multilabel = self.classes_, self._multilabel
        elif classes is None:
            y = plain_container(y, "y")
            _, classes, multilabel = check_targets(y, name="y")
        else:
            y, classes = plain_container(y, "y"), check_classes(classes)
            multilabel = match_events(y, classes, name="y").multilabel
        indicator = align_events(y, classes, multilabel, name="y")
        targets = Targets(indicator, classes, multilabel)
        check_lengths(clips, targets.indicator, ("X", "y"))
        weights = self._clip_weights(sample_weight, targets)
        seed = self._draw_seed(going_on)
        network = self._get_network().resolve()
        if going_on:
            self._check_same_network(network)
            self._check_same_source()
        module = self._begin_module(seed, targets.classes, network, going_on=going_on)
        train = clips, targets.indicator, weights
        train_set = self._dataset(clips, network, *train[1:])

        record = partial(describe_training, self, network, seed, targets, train, None)
        self._train(module, network, targets, train_set, None, seed, record, n_epochs=1)
        return self

    def fit_transform(self, X, y, **fit_params):
        """Learn to tag, and score the training clips.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : array-like
            See `fit`.
        **fit_params : dict
            Further arguments of `fit`. With `cross_fit`, weights and groups go with their clips,
            clips of one group are in one fold, and the validation clips serve each fold.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
            With `cross_fit`, the scores of each clip come from a network that was not trained
            on it. Without, they are those of `transform`.

        Warns
        -----
        UserWarning
            Without `cross_fit`.
        """
        X = reusable(X)
        if self.cross_fit is None:
            warnings.warn(
                "fit_transform scores the clips that the network was just trained on. Such scores "
                "are too good, and thresholds tuned on them too high. Set cross_fit=5 for scores "
                "of networks not trained on the clip, or use TunedThresholdTagger.",
                UserWarning,
                stacklevel=2,
            )
            return self.fit(X, y, **fit_params).transform(X)
        self._check_settings()
        y = plain_container(y, "y")
        targets = read_targets(y, name="y")
        check_lengths(check_clips(self, X, reset=True), targets.indicator, ("X", "y"))
        splitter = MultilabelStratifiedGroupKFold(self.cross_fit)
        if fit_params.get("groups") is not None:
            fit_params["groups"] = check_groups(fit_params["groups"], len(targets.indicator))
        splits = splitter.split(X, targets.indicator, fit_params.get("groups"))
        fold = clone(self).set_params(cross_fit=None)
        rows, scores = out_of_fold_scores(fold, X, targets, splits, **fit_params)
        self.fit(X, y, **fit_params)
        return scores[np.argsort(rows)]

    def _check_same_events(self, targets):
        if targets.multilabel != self._multilabel or list(targets.classes) != list(self.classes_):
            raise ValueError(
                f"y has the events {quoted(targets.classes)}, but with warm_start=True they must "
                f"be those of the earlier training, {quoted(self.classes_)}, in the same order "
                "and form. Set warm_start=False to begin anew."
            )

    def _check_same_network(self, network):
        if type(network) is not type(self._network):
            raise ValueError(
                f"network={short(network)}: training continues with a "
                f"{type(self._network).__name__}. Set network back, or set warm_start=False."
            )
        there, here = self._network.fixed_settings(), network.fixed_settings()
        changed = [name for name in here if here[name] != there[name]]
        if changed:
            raise ValueError(
                f"{_list_settings(changed, here)}: training continues with a network that was "
                f"trained with {_list_settings(changed, there)}, and its weights fit these only. "
                f"Set {', '.join(sorted({name.partition('__')[0] for name in changed}))} back, or "
                "set warm_start=False."
            )

    def _check_same_source(self):
        # taggers that were pickled before it was noted are taken at their word
        if self.init_from not in (None, getattr(self, "_began_with", self.init_from)):
            raise ValueError(
                f"init_from={short(self.init_from)}: only a new training begins with it, but this "
                "one goes on from the tagger's own weights. Set init_from back, or "
                "warm_start=False; instead of partial_fit, begin with a clone."
            )

    def _draw_seed(self, going_on):
        """Draw the seed of a training, which one that a checkpoint continues has already."""
        if self.random_state is None and not going_on:
            for callback in self.callbacks or ():
                callback = callback[-1] if isinstance(callback, tuple) else callback
                if isinstance(callback, Checkpoint):
                    seed = callback.unfinished_seed()
                    if seed is not None:
                        return seed
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _clip_weights(self, sample_weight, targets):
        check_class_weight(self.class_weight, targets.classes)
        return check_weights(sample_weight, len(targets.indicator))

    def _begin_module(self, seed, classes, network, *, going_on):
        """Give the module with the weights that training begins with."""
        if going_on:
            self.module_.adjust(network)
            return self.module_
        if self.init_from is None and self.freeze:
            raise ValueError(
                f"freeze={self.freeze!r} with init_from=None would keep random weights. Set "
                "init_from to what training begins with, or freeze=None."
            )
        module = network.build(len(classes), random_state=seed)
        if self.init_from is not None:
            start_from(module, network, classes, self._read_init_from(network))
        return module

    def _read_init_from(self, network):
        """Read the weights that training begins with."""
        raise NotImplementedError

    def _train(
        self, module, network, targets, train_set, validation, seed, record, *, n_epochs=None
    ):
        """Train a new network, or the present one further."""
        for part in (train_set, None if validation is None else validation.dataset):
            if part is not None and not len(part):
                raise no_clip_left(part.unreadable)
        after = getattr(self, "net_", None)
        if after is not None and after.module_ is not module:
            after = None
        began = 0 if after is None else self.n_iter_
        event_weight = label_weight = None
        weighing = self.class_weight, train_set.targets, targets.classes, train_set.weights
        if targets.multilabel:
            event_weight = event_weights(*weighing)
        elif self.class_weight is not None:
            label_weight = label_weights(*weighing)
        net = make_net(
            self,
            network,
            module,
            event_weight=event_weight,
            single_label=self.loss == "auto" and not targets.multilabel,
            after=after,
        )
        intervals = make_intervals(
            self,
            train_set,
            self._resolve_augmentation(),
            self._n_threads(),
            network.get_input().n_mels,
            seed,
            validated=validation is not None,
            n_epochs=n_epochs,
            after=after,
            label_weight=label_weight,
        )
        data = TrainingData(intervals, validation, partial(record, began=began))
        try:
            net.partial_fit(data)
        finally:
            # after an error, as after Ctrl-C, what has been learned is kept; a new network that has
            # learned nothing replaces none
            learned = after is not None or _finished_iterations(net) > 0
            if learned:
                self._set_fitted(net, network, targets, data, new=after is None)
        if learned:
            for unreadable in data.unreadable:
                unreadable.summarise("were left out, see skipped_")
        if not net.completed_:
            self._tell_interruption(learned, validated=validation is not None)

    def _tell_interruption(self, learned, *, validated):
        """Warn of an interruption, or let it end what fits the tagger as a part."""
        if self._raises_interrupt:
            raise KeyboardInterrupt
        if not learned:
            left = "before the first validation interval ended; the tagger is as it was before"
        elif validated:
            left = "the tagger has the best weights so far"
        else:
            left = "the tagger has the weights of the last validation interval that ended"
        message = f"Training was interrupted{'; ' if learned else ' '}{left}."
        warnings.warn(message, UserWarning, stacklevel=4)

    def _set_fitted(self, net, network, targets, data, *, new):
        """Set the fitted attributes."""
        if new:
            self._began_with = self.init_from
        self.net_ = net
        self.classes_ = targets.classes
        self._network = network
        self._multilabel = targets.multilabel
        self.n_iter_ = _finished_iterations(net)
        self.skipped_ = skipped_table(data.unreadable)


def _list_settings(names, values):
    return ", ".join(f"{name.rpartition('__')[2]}={values[name]!r}" for name in names)


def _finished_iterations(net):
    """Drop the interval that was not finished, and count the batches of those that were."""
    while net.history and "n_iterations" not in net.history[-1]:
        net.history.pop()
    return net.history[-1]["n_iterations"] if net.history else 0
