"""Training of a tagger: check arguments, build a network, train it, set the fitted attributes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone

from sktagger._utils.validation import check_lengths, check_weights
from sktagger._utils.warnings import warn
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.batching.plain import PlainBatches
from sktagger.model_selection import MultilabelStratifiedGroupKFold, check_groups
from sktagger.networks import Network, NetworkModule
from sktagger.taggers._continuing import (
    check_beginning,
    check_same_events,
    check_same_network,
    check_same_source,
    draw_seed,
)
from sktagger.taggers._onsets import read_times
from sktagger.taggers._training import TrainingTagger
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
from sktagger.training.setup import split_validation
from sktagger.training.weighting import check_class_weight

if TYPE_CHECKING:
    from typing_extensions import Self


class FittingTagger(TrainingTagger):
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
        events: pd.DataFrame | Sequence[pd.DataFrame] | None = None,
        events_val: pd.DataFrame | Sequence[pd.DataFrame] | None = None,
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
        events : DataFrame, list of DataFrame of length n_clips, or None, default=None
            Onsets and offsets of events, for networks that can use them, such as FBCRNN. Columns
            `onset` and `offset` (in seconds from the beginning of the clip, which may be a section
            of a file), `event`, and `file` or `clip`: `file` is the path of a clip as in `X`, or
            its end, such as the name of the file; `clip` is the position of a clip in `X`. A list
            has a table for each clip, as `EventDetector.predict` returns it, and is split like the
            clips in cross-validation. An event with onsets in a clip must occur in its `y`. Events
            in `y` without onsets there have weak labels only. Offsets up to 0.5 s after the end of
            a clip count as its end.
        events_val : DataFrame, list of DataFrame of length n_clips_val, or None, default=None
            Onsets and offsets in `X_val`, for the validation loss. Those of clips that
            `validation_fraction` holds out come from `events`.

        Returns
        -------
        self
            The fitted tagger.

        Raises
        ------
        ValueError, TypeError
            If a parameter, the clips, the targets or `events` are not as described, the weights in
            `init_from` do not fit, `sample_weight` is 0 for all clips to train on, or the network
            cannot use `events`.
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
        times = read_times(events, clips, targets, network)
        seed = draw_seed(self, continued=continued)
        kept, clips_val, indicator_val = split_validation(
            self, clips, targets, X_val, Y_val, seed, groups=groups, weights=weights
        )
        given = None if X_val is None else clips_val
        targets_val = (
            targets if indicator_val is None else targets._replace(indicator=indicator_val)
        )
        times_val = read_times(events_val, given, targets_val, network, "events_val")
        if times is not None and X_val is None and clips_val is not None:
            times_val = times.take(clips_val.positions)
        times = None if times is None else times.take(kept)

        module, fits_head = self._make_module(seed, targets.classes, network, continued=continued)
        train = clips.take(kept), targets.indicator[kept], weights[kept], times
        train_set = self._dataset(train[0], network, *train[1:])
        validation = valid = None
        if clips_val is not None:
            container = "X" if X_val is None else "X_val"
            valid = clips_val, indicator_val, np.ones(len(clips_val)), times_val
            valid_set = self._dataset(clips_val, network, *valid[1:], container=container)
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
        events: pd.DataFrame | Sequence[pd.DataFrame] | None = None,
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
        events : DataFrame, list of DataFrame of length n_clips, or None, default=None
            Onsets and offsets of events, see `fit`.

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
        times = read_times(events, clips, targets, network)
        module, fits_head = self._make_module(seed, targets.classes, network, continued=continued)
        train = clips, targets.indicator, weights, times
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
            Further arguments of `fit`. With `cross_fit`, `sample_weight`, `groups` and `events`
            are split like the clips, groups stay in one fold, and all folds use the same validation
            clips.

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
        if self._first_stage is not None:
            module.set_first_stage(*self._first_stage)
        if self._resolve("head_init", network) == "random":
            return module, False
        return module, not (goes_on and self.head_init == "auto")

    def _read_init_from(self, network: Network) -> Weights:
        """Read the weights that `init_from` names."""
        raise NotImplementedError
