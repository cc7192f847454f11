"""Train the module of a tagger, and set the fitted attributes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sktagger._utils.warnings import warn
from sktagger.audio.unreadable import no_clip_left, skipped_table
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.plain import PlainBatches
from sktagger.networks import Network, NetworkModule
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._head import fit_head
from sktagger.targets import Targets
from sktagger.training.intervals import TrainingData
from sktagger.training.net import TaggerNet
from sktagger.training.setup import make_intervals, make_net
from sktagger.training.weighting import event_weights, label_weights


class TrainingTagger(BaseTagger):
    """Tagger that trains a module on datasets.

    A subclass has the parameters of a :class:`sktagger.AudioTagger`.
    """

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
