"""Training of a tagger: check arguments, build a network, train it, set the fitted attributes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from sktagger._utils.validation import check_lengths, check_weights
from sktagger._utils.warnings import warn
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.audio.unreadable import no_clip_left, skipped_table
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.plain import PlainBatches
from sktagger.model_selection import MultilabelStratifiedGroupKFold, check_groups
from sktagger.networks import Network, NetworkModule
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._continuing import (
    check_beginning,
    check_same_events,
    check_same_network,
    check_same_source,
    draw_seed,
)
from sktagger.taggers._head import fit_head
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
from sktagger.training.fine_tuning import Weights, start_from
from sktagger.training.intervals import TrainingData
from sktagger.training.net import TaggerNet
from sktagger.training.setup import make_intervals, make_net, split_validation
from sktagger.training.weighting import check_class_weight, event_weights, label_weights

if TYPE_CHECKING:
    from typing_extensions import Self


class FittingTagger(BaseTagger):
    """Tagger that can be trained.

    A subclass has the parameters of a :class:`sktagger.AudioTagger`, and defines `_read_init_from`.
    """

    # Metadata routing passes groups to `fit` without being asked. Without `validation_fraction`,
    # `fit` only checks them.
    __metadata_request__fit: ClassVar[dict[str, bool]] = {"groups": True}

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        X_val: Any = None,
        Y_val: Any = None,
    ) -> Self:
        """Train the tagger.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips, the `Y` in Notes of the class.
        sample_weight : array-like of shape (n_clips,) or None, default=None
            Weights of the clips in the loss, not negative. Only their ratios matter. A clip of
            weight 3 counts like three copies of weight 1, alone and in mixtures. Clips of weight 0
            are left out of training and of the clips that `validation_fraction` holds out. An event
            that occurs only in such clips keeps its column. All validation clips count equally.
        groups : array-like of shape (n_clips,) or None, default=None
            Group of each clip, a string or a number; for example, the recording that it is cut
            from. `validation_fraction`, and `cross_fit` in `fit_transform`, do not split groups.
        X_val : array-like of clips or None, default=None
            Clips to validate on, in the form of `X`. With validation, the tagger keeps the weights
            with the best validation mAP; if several have the same mAP, those with the lowest
            validation loss. Without validation, it keeps the last weights.
        Y_val : array-like or None, default=None
            Events of `X_val`, in the form of `y`; an indicator matrix of 0 and 1 only.

        Returns
        -------
        self
            The fitted tagger.

        Raises
        ------
        ValueError, TypeError
            If a parameter, the clips or the targets are not as described, the weights in
            `init_from` do not fit, or `sample_weight` is 0 for all clips to train on.
        FileNotFoundError, ValueError
            If a clip cannot be read; the message names it. Headers are read before training
            starts.
        FloatingPointError
            If training diverges: the loss, weights, or validation scores are not finite. The
            message names the iteration and says what to try.
        MemoryError
            If a single clip does not fit into memory. If a batch does not fit, `fit` warns and
            passes it through the network in parts. Gradients add up to those of the whole batch,
            but batch normalization uses the statistics of each part.

        Notes
        -----
        After an error or Ctrl-C during training, the tagger has the best weights of the validation
        intervals that were finished, or the last ones if there are no validation clips. If no
        interval was finished, the tagger is unchanged.

        Ctrl-C ends `fit` with a warning. In a clone, it raises KeyboardInterrupt, so that it also
        ends the cross-validation, the search or the `TunedThresholdTagger` that made the clone.
        """
        self._check_settings()
        clips = check_clips(self, X, reset=True)
        targets = check_targets(y, name="y", soft=True)
        check_lengths(clips, targets.indicator, ("X", "y"))
        weights = self._clip_weights(sample_weight, targets)
        warn_unless_savable(self, targets.classes, multilabel=targets.multilabel)
        continued = self.warm_start and hasattr(self, "net_")
        network = self._get_network().resolve()
        if continued:
            check_same_events(self, targets)
            check_same_network(self, network)
            check_same_source(self)
        seed = draw_seed(self, continued=continued)
        kept, clips_val, events_val = split_validation(
            self, clips, targets, X_val, Y_val, seed, groups=groups, weights=weights
        )

        module, fits_head = self._make_module(seed, targets.classes, network, continued=continued)
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
        self._train(module, network, targets, train_set, validation, seed, record, fits_head)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch, starting from the current weights and optimizer.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips.
        classes : array-like of shape (n_events,) or None, default=None
            All events, including those of later calls. None: the events of `y` in the first call.
        sample_weight : array-like of shape (n_clips,) or None, default=None
            Weights of the clips, see `fit`.

        Returns
        -------
        self
            The fitted tagger.

        Raises
        ------
        ValueError, TypeError, FileNotFoundError, FloatingPointError, MemoryError
            As in `fit`; also if `classes` or the network's settings are not those of earlier calls.
        """
        self._check_settings()
        continued = hasattr(self, "net_")
        clips = check_clips(self, X, reset=not continued)
        if continued:
            if classes is not None:
                check_same_classes(classes, self.classes_)
            classes, multilabel = self.classes_, self._multilabel
        elif classes is None:
            y = plain_container(y, "y")
            _, classes, multilabel = check_targets(y, name="y", soft=True)
        else:
            y, classes = plain_container(y, "y"), check_classes(classes)
            multilabel = match_events(y, classes, name="y", soft=True).multilabel
        indicator = align_events(y, classes, multilabel, name="y", soft=True)
        targets = Targets(indicator, classes, multilabel)
        check_lengths(clips, targets.indicator, ("X", "y"))
        weights = self._clip_weights(sample_weight, targets)
        seed = draw_seed(self, continued=continued)
        network = self._get_network().resolve()
        if continued:
            check_same_network(self, network)
            check_same_source(self)
        module, fits_head = self._make_module(seed, targets.classes, network, continued=continued)
        train = clips, targets.indicator, weights
        train_set = self._dataset(clips, network, *train[1:])

        record = partial(describe_training, self, network, seed, targets, train, None)
        self._train(module, network, targets, train_set, None, seed, record, fits_head, n_epochs=1)
        return self

    def fit_transform(self, X: Any, y: Any, **fit_params: Any) -> np.ndarray:
        """Train the tagger and score the training clips.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips.
        **fit_params : dict
            Further arguments of `fit`. With `cross_fit`, `sample_weight` and `groups` are split
            like the clips, groups stay in one fold, and all folds use the same validation clips.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
            With `cross_fit`, out-of-fold scores: those of a network that was not trained on the
            clip. Without it, the scores of `transform`.

        Raises
        ------
        ValueError, TypeError, FileNotFoundError, FloatingPointError, MemoryError
            As in `fit`; also if there are fewer clips or groups than folds.

        Warns
        -----
        UserWarning
            If `cross_fit` is None.
        """
        X = reusable(X)
        if self.cross_fit is None:
            warn(
                "fit_transform scores the clips that the network was just trained on. These scores "
                "are too good, and thresholds tuned on them are too high. Set cross_fit=5 to get "
                "out-of-fold scores, or use TunedThresholdTagger."
            )
            return self.fit(X, y, **fit_params).transform(X)
        self._check_settings()
        y = plain_container(y, "y")
        targets = read_targets(y, name="y", soft=True)
        check_lengths(check_clips(self, X, reset=True), targets.indicator, ("X", "y"))
        splitter = MultilabelStratifiedGroupKFold(self.cross_fit)
        if fit_params.get("groups") is not None:
            fit_params["groups"] = check_groups(fit_params["groups"], len(targets.indicator))
        splits = splitter.split(X, targets.indicator, fit_params.get("groups"))
        fold = clone(self).set_params(cross_fit=None)
        rows, scores = out_of_fold_scores(fold, X, targets, splits, **fit_params)
        self.fit(X, y, **fit_params)
        return scores[np.argsort(rows)]

    def _clip_weights(self, sample_weight, targets):
        check_class_weight(self.class_weight, targets.classes)
        return check_weights(sample_weight, len(targets.indicator))

    def _make_module(
        self, seed: int, classes: np.ndarray, network: Network, *, continued: bool
    ) -> tuple[NetworkModule, bool]:
        """Return the module with its initial weights, and whether its head is to be fitted."""
        if continued:
            return self.module_, False
        check_beginning(self, network)
        module = network.build(len(classes), random_state=seed)
        goes_on = False
        if self.init_from is not None:
            weights = self._read_init_from(network)
            start_from(module, network, classes, weights)
            goes_on = weights.classes is not None and set(weights.classes) == set(classes.tolist())
        if self._resolve("head_init", network) == "random":
            return module, False
        return module, not (goes_on and self.head_init == "auto")

    def _read_init_from(self, network: Network) -> Weights:
        """Read the weights that `init_from` names."""
        raise NotImplementedError

    def _train(
        self,
        module: NetworkModule,
        network: Network,
        targets: Targets,
        train_set: ClipDataset,
        validation: PlainBatches | None,
        seed: int,
        record: Callable[..., dict],
        fits_head: bool,
        *,
        n_epochs: int | None = None,
    ) -> None:
        """Train a module and set the fitted attributes."""
        for dataset in (train_set, None if validation is None else validation.dataset):
            if dataset is not None and not len(dataset):
                raise no_clip_left(dataset.unreadable)
        earlier_net = getattr(self, "net_", None)
        if earlier_net is not None and earlier_net.module_ is not module:
            earlier_net = None
        began = 0 if earlier_net is None else self.n_iter_
        event_weight = label_weight = None
        indicator: np.ndarray = train_set.targets
        weight_arguments = self.class_weight, indicator, targets.classes, train_set.weights
        if targets.multilabel:
            event_weight = event_weights(*weight_arguments)
        elif self.class_weight is not None:
            label_weight = label_weights(*weight_arguments)
        net = make_net(
            self,
            network,
            module,
            event_weight=event_weight,
            single_label=self.loss == "auto" and not targets.multilabel,
            earlier_net=earlier_net,
        )
        if fits_head:
            net.begins_trained = fit_head(self, network, module, train_set, event_weight)
        intervals = make_intervals(
            self,
            train_set,
            self._resolve_augmentation(),
            self._n_threads(),
            network.get_input().n_mels,
            seed,
            validated=validation is not None,
            n_epochs=n_epochs,
            earlier_net=earlier_net,
            label_weight=label_weight,
        )
        data = TrainingData(intervals, validation, partial(record, began=began))
        if earlier_net is not None:  # here, where all that comes in has been checked
            module.adjust(network)
        try:
            net.partial_fit(data)
        finally:
            # Finished validation intervals count, also after an error. A new network without any
            # does not replace an earlier one.
            learned = earlier_net is not None or _finished_iterations(net) > 0
            if learned:
                self._set_fitted(net, network, targets, data, new=earlier_net is None)
        if learned:
            for unreadable in data.unreadable:
                unreadable.summarize("were left out, see skipped_")
        if not net.completed_:
            self._report_interruption(learned, validated=validation is not None)

    def _report_interruption(self, learned, *, validated):
        """Warn that Ctrl-C ended the training; in a clone, raise KeyboardInterrupt."""
        if self._raises_interrupt:
            raise KeyboardInterrupt
        if not learned:
            result = "before the first validation interval ended; the tagger is unchanged"
        elif validated:
            result = "the tagger has the best weights so far"
        else:
            result = "the tagger has the weights of the last validation interval that ended"
        message = f"Training was interrupted{'; ' if learned else ' '}{result}."
        warn(message)

    def _set_fitted(
        self, net: TaggerNet, network: Network, targets: Targets, data: TrainingData, *, new: bool
    ) -> None:
        """Set the fitted attributes; `new`: training did not continue an earlier one."""
        if new:
            self._began_with = self.init_from
        self.net_ = net
        self.classes_ = targets.classes
        self._network = network
        self._multilabel = targets.multilabel
        self.n_iter_ = _finished_iterations(net)
        self.skipped_ = skipped_table(data.unreadable)


def _finished_iterations(net):
    """Drop an unfinished validation interval from the history; count the batches of the others."""
    while net.history and "n_iterations" not in net.history[-1]:
        net.history.pop()
    return net.history[-1]["n_iterations"] if net.history else 0
