"""WALNetTagger: validate, size, train through skorch, predict."""

import os
import warnings
from functools import partial
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from sktagger._utils.text import quoted, short
from sktagger._utils.validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_lengths,
    check_weights,
)
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.audio.spectral import STFT
from sktagger.audio.unreadable import no_clip_left, skipped_table
from sktagger.batching.plain import PlainBatches
from sktagger.model_selection import MultilabelStratifiedGroupKFold, check_groups
from sktagger.networks import N_LAYERS, OUTPUT_WEIGHT, find_state
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._settings import AUGMENTATIONS
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
from sktagger.training.callbacks import Checkpoint, load_checkpoint
from sktagger.training.fine_tuning import freeze_layers, start_from
from sktagger.training.net import TrainingData
from sktagger.training.setup import go_on, hold_out, make_net, make_rounds
from sktagger.training.weighting import check_class_weight, event_weights, label_weights


class WALNetTagger(BaseTagger):
    """Tag audio clips with the events that occur in them.

    Learns from weak labels: which events occur in a clip, not when. The network, WALNet [1]_,
    scores segments of a clip and pools their scores. Audio files are decoded batch by batch,
    so that the size of the training set is limited by the disk, not by memory.

    Parameters
    ----------
    sample_rate : int, default=44100
        Rate at which audio is processed, in Hz. Files of another rate are resampled; waveforms
        in memory must have it, or come with theirs.
    stft : STFT or None, default=None
        Settings of the short-time Fourier transform. None: windows of 40 ms every 20 ms.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz; the upper one is half the sample rate.
    augmentation : Augmentation, "default", "reference" or None, default="default"
        Distortions of the training clips. "default" is ``Augmentation()``, "reference" the
        published ``Augmentation.reference()``, None trains on the clips as they are.
    pooling : {"mean", "linear_softmax"}, default="linear_softmax"
        How the score of a clip comes from those of its segments: "mean" is as published;
        "linear_softmax", their mean weighted by themselves [2]_, asks less of events that fill a
        small part of a clip.
    loss : {"auto", "binary_cross_entropy"}, default="auto"
        "binary_cross_entropy": of each event, as published. "auto": the same, and for 1-D labels,
        of which each clip has one, the cross entropy of the label by `predict_proba` besides.
    lr : float, default=2e-3
        Learning rate of AdamW; the greatest, where a schedule changes it.
    schedule : {"one_cycle", "constant"}, default="one_cycle"
        "one_cycle": the learning rate rises to `lr` and falls to 0 at the end of training, see
        :class:`sktagger.training.callbacks.OneCycle`. "constant" is as published, and what
        `partial_fit` does, which does not know the end.
    weight_decay : float, default=0.01
        Of AdamW: part of the weights that is taken off in each step, times the learning rate.
    gradient_clip : float or None, default=60.0
        Greatest norm of the gradient. None: no limit.
    batch_size : int, default=12
        Number of clips in a batch. Where clips have more than 2048 frames on average, padding
        included (41 s at a hop of 20 ms), a batch has fewer. In prediction and validation, clips
        of more than 5120 frames (102 s) are scored in overlapping chunks instead, with the scores
        of the whole, so that memory does not grow with the length of a clip.
    max_epochs : int, default=20
        Number of times that each training clip is used.
    max_iterations : int or None, default=None
        Number of batches to train on, instead of `max_epochs`.
    validate_every : int or None, default=None
        Distance between validations, in iterations if `max_iterations` is given, else in
        epochs. None: 1 epoch, 1000 iterations.
    validation_fraction : float or None, default=None
        Part of the training clips, in (0, 0.5], that is set apart to validate on where `fit` is
        given no `X_val`, to within a clip, and at least one. Every event keeps its share, as far as
        that goes; clips of one group (`groups` of `fit`) are not split.
    patience : int or None, default=None
        Training ends after so many validations without a better mAP. None: it runs to its end.
    class_weight : dict, "balanced" or None, default=None
        Weights of events (dict from event to number > 0, 1 where left out): of their positive
        clips in the loss of the event, or, for 1-D labels, of their clips. "balanced": the
        clips with an event weigh as much as those without; for 1-D labels, the clips of each
        label as much as those of any other.
    sampler : "balanced" or None, default=None
        "balanced" draws clips with replacement, those of rare events more often: each event
        gives as much probability, shared by its clips. None: every clip once an epoch. What is
        mixed in by `augmentation` is drawn alike.
    warm_start : bool, default=False
        Whether `fit` goes on from the present weights and optimiser, instead of anew.
    init_from : WALNetTagger, FrozenEstimator, str, PathLike or None, default=None
        What a new training begins with: a fitted tagger, a file that `save` wrote, or a
        checkpoint (``best.pt`` of an experiment, or padertorch's). All its weights and
        statistics are taken; of the output layer those of events of the same name (numbers where
        events have no names), if an ``events.json`` beside a checkpoint tells them. It must have
        been trained with the same `sample_rate`, `fmin` and `stft`. It is only read. In the grid
        of a search, which clones, give a path or ``sklearn.frozen.FrozenEstimator(tagger)``.
        None: random weights.
    freeze : int, "features" or None, default=None
        Number of convolutional layers, in [0, 12], that stay as they began, with the statistics
        of their normalisation and of the input's. "features" freezes all 12, so that only the
        output layer learns. 0 or None: everything learns.
    cross_fit : int or None, default=None
        Number of folds, at least 2, by which `fit_transform` makes scores of clips that the
        network was not trained on, as a next step that is tuned on them needs. None:
        `fit_transform` gives scores of the training clips, which are too good, and warns.
    memory : str, PathLike, joblib.Memory or None, default=None
        Directory in which decoded and resampled audio files are cached, 4 bytes per sample. Its
        files are pickles: name one that only you write to. It is not saved with the tagger.
    on_error : {"raise", "warn", "skip"}, default="raise"
        What is done about clips that cannot be read: files that are missing, damaged, or change
        while they are used, samples that are not finite, and None, NaN or "" in place of a clip.
        "raise": the first is an error, before training starts if its header tells. "warn": each is
        left out, with a warning. "skip": they are left out, with one warning at the end. Those left
        out of a training are listed in `skipped_`; their scores are NaN.
    callbacks : list or None, default=None
        Further skorch callbacks, or (name, callback) pairs.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the network's convolutions. "bfloat16" halves the traffic of memory and changes scores
        by some thousandths; "auto" takes it where it is faster: on GPUs of compute capability 8,
        on CPUs with AMX. "float32" makes scores equal to 1e-5 on all machines.
    n_jobs : int or None, default=None
        Number of threads that read and transform audio ahead of the network. None means 1, -1 as
        many as there are processors. Results do not depend on it.
    verbose : int, default=1
        0: silent. 1: a progress bar on standard error, if that is a terminal.
    random_state : int, RandomState instance or None, default=None
        Fixes initial weights, the order of clips and their distortions: the same model to the last
        bit, in any process of a machine, given as many PyTorch threads, which share out sums.

    Attributes
    ----------
    classes_ : ndarray of shape (n_events,)
        Events, in the order of the columns of scores.
    net_ : skorch.NeuralNet
        The trained net.
    module_ : sktagger.networks.WALNet
        The network in it.
    sizes_ : STFTSizes
        The resolved sizes of the STFT in samples.
    history_ : DataFrame of shape (n_rounds, n_columns)
        One row per validation; `n_epochs`, `n_iterations`, `train_loss`, `valid_loss`,
        `valid_mAP`, `valid_mAP_best`, `dur` (s).
    n_iter_ : int
        Number of batches trained on.
    skipped_ : DataFrame of shape (n_skipped, 3)
        The clips that were left out of the last training: `container` ("X", "X_val"), `position` in
        it, and `cause`.
    n_features_in_ : int
        Number of samples of a clip; only if `X` was a 2-D array of waveforms.

    See Also
    --------
    ThresholdTuner : Decisions from scores by per-event thresholds.
    sktagger.load_database : Reads files and events from a JSON database.

    Notes
    -----
    `X` is an array-like of clips: a list, array or Series, or a DataFrame with a column of clips,
    also of polars or pyarrow. Clips are files or waveforms; they are mixed to mono, centred and
    scaled.

    A file is given as its path, as its bytes or an open binary file, or as a section
    ``(path, start, stop)`` in samples of the file; None means its beginning and its end. Sections
    may also be the rows of a DataFrame with columns `path`, `start` and `stop`.

    Waveforms are a 2-D array (n_clips, n_samples), or a list of arrays of any lengths:
    (n_samples,), (n_channels, n_samples) or (n_samples, n_channels), where channels are the axis of
    at most 32, beside one of more. They are at `sample_rate`, or resampled to it where they come
    with their rate: ``(array, rate)``, ``(rate, array)`` or ``{"array": ..., "sampling_rate":
    ...}``. Signed integers are scaled by their range; those of 64 bits by that of 16 bits if all of
    `X` fit into it, else by that of 32.

    `Y` is an indicator matrix (array, sparse matrix, or DataFrame whose columns name the events),
    a list of event lists, or 1-D labels: then each clip has one event, `predict` gives it, and the
    rows of `predict_proba` sum to 1. Tables and columns of polars and pyarrow are taken as those of
    pandas. Events of other clips are matched with those of training by name.

    References
    ----------
    .. [1] A. Shah, A. Kumar, A. G. Hauptmann, B. Raj, "A closer look at weak label learning for
       audio events", arXiv:1804.09288, 2018.
    .. [2] Y. Wang, J. Li, F. Metze, "A comparison of five multiple instance learning pooling
       functions for sound event detection with weak labeling", ICASSP 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sktagger import WALNetTagger
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((4, 8000))
    >>> Y = [["noise"], ["noise", "loud"], [], ["loud"]]
    >>> tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0).fit(X, Y)
    >>> tagger.classes_
    array(['loud', 'noise'], dtype='<U5')
    >>> tagger.predict_proba(X).shape
    (4, 2)
    """

    _parameter_constraints = {  # noqa: RUF012
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "stft": [STFT, None],
        "fmin": [Interval(Real, 0, None, closed="left")],
        "augmentation": [Augmentation, StrOptions(set(AUGMENTATIONS)), None],
        "pooling": [StrOptions({"mean", "linear_softmax"})],
        "loss": [StrOptions({"auto", "binary_cross_entropy"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"one_cycle", "constant"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "max_iterations": [Interval(Integral, 1, None, closed="left"), None],
        "validate_every": [Interval(Integral, 1, None, closed="left"), None],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right"), None],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "sampler": [StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        "init_from": [BaseTagger, FrozenEstimator, str, os.PathLike, None],
        "freeze": [
            Interval(Integral, 0, N_LAYERS, closed="both"),
            StrOptions({"features"}),
            None,
        ],
        "cross_fit": [Interval(Integral, 2, None, closed="left"), None],
        "memory": [str, HasMethods("cache"), os.PathLike, None],
        "on_error": [StrOptions({"raise", "warn", "skip"})],
        "callbacks": [list, tuple, None],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        sample_rate=44100,
        stft=None,
        fmin=50.0,
        augmentation="default",
        pooling="linear_softmax",
        loss="auto",
        lr=2e-3,
        schedule="one_cycle",
        weight_decay=0.01,
        gradient_clip=60.0,
        batch_size=12,
        max_epochs=20,
        max_iterations=None,
        validate_every=None,
        validation_fraction=None,
        patience=None,
        class_weight=None,
        sampler=None,
        warm_start=False,
        init_from=None,
        freeze=None,
        cross_fit=None,
        memory=None,
        on_error="raise",
        callbacks=None,
        device="auto",
        precision="auto",
        n_jobs=None,
        verbose=1,
        random_state=None,
    ):
        self.sample_rate = sample_rate
        self.stft = stft
        self.fmin = fmin
        self.augmentation = augmentation
        self.pooling = pooling
        self.loss = loss
        self.lr = lr
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.max_iterations = max_iterations
        self.validate_every = validate_every
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.class_weight = class_weight
        self.sampler = sampler
        self.warm_start = warm_start
        self.init_from = init_from
        self.freeze = freeze
        self.cross_fit = cross_fit
        self.memory = memory
        self.on_error = on_error
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

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
        the rounds that were finished, the last ones if there are no validation clips. If an error
        comes before the end of the first round, the tagger is as fitted as it was before.

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
        network = self._resolve_network()
        if going_on:
            self._check_same_events(targets)
            self._check_same_features(network)
            self._check_same_source()
        seed = self._draw_seed(going_on)
        kept, clips_val, events_val = hold_out(
            self, clips, targets, X_val, Y_val, seed, groups=groups, weights=weights
        )

        sizes = network.sizes
        net = self.net_ if going_on else self._begin_net(seed, targets.classes, network)
        train = clips.take(kept), targets.indicator[kept], weights[kept]
        train_set = self._dataset(train[0], sizes, *train[1:])
        validation = valid = None
        if clips_val is not None:
            container = "X" if X_val is None else "X_val"
            weights_val = np.ones(len(clips_val))
            valid = clips_val, events_val
            valid_set = self._dataset(
                clips_val, sizes, events_val, weights_val, container=container
            )
            validation = PlainBatches(valid_set, self.batch_size, self._n_threads())

        record = partial(describe_training, self, sizes, seed, targets, train, valid)
        self._train(net, network, targets, train_set, validation, seed, record)
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
        network = self._resolve_network()
        if going_on:
            self._check_same_features(network)
            self._check_same_source()
        net = self.net_ if going_on else self._begin_net(seed, targets.classes, network)
        train = clips, targets.indicator, weights
        train_set = self._dataset(clips, network.sizes, *train[1:])

        record = partial(describe_training, self, network.sizes, seed, targets, train, None)
        self._train(net, network, targets, train_set, None, seed, record, n_epochs=1)
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

    @classmethod
    def from_padertorch(cls, source, *, classes, sample_rate=44100, stft=None):
        """Make a tagger from a checkpoint of padertorch's WALNet.

        Parameters
        ----------
        source : str, PathLike or dict
            Checkpoint file, which is read without running code in it, or a state dict; either
            may hold the state dict under the key "model".
        classes : sequence of str
            The events in the order of the network's outputs (``events.json`` of the experiment).
        sample_rate : int, default=44100
            In Hz.
        stft : STFT or None, default=None
            Settings that the network was trained with. None: the defaults, which are padertorch's
            at 44.1 kHz.

        Returns
        -------
        WALNetTagger
            Fitted.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file cannot be read safely, or its tensors are not those of a WALNet with these
            events and this STFT, or not finite.
        """
        in_memory = isinstance(source, dict)
        name = "source" if in_memory else f"source: {str(source)!r}"
        checkpoint = source if in_memory else load_checkpoint(source)
        if "format" in checkpoint:
            raise ValueError(
                f"{name} is a checkpoint of sktagger, not of padertorch: WALNetTagger.load reads "
                "it, or its directory, with the settings and events of its training."
            )
        state = find_state(checkpoint, name)
        n_outputs = len(state[OUTPUT_WEIGHT])
        if len(classes) != n_outputs:
            raise ValueError(
                f"classes has {len(classes)} events, but the checkpoint has {n_outputs} outputs. "
                "Give one name for each output, in their order."
            )
        tagger = cls(sample_rate=sample_rate, stft=stft, pooling="mean")
        return tagger._restore(np.asarray(classes), state, source=name)

    def _check_same_events(self, targets):
        if targets.multilabel != self._multilabel or list(targets.classes) != list(self.classes_):
            raise ValueError(
                f"y has the events {quoted(targets.classes)}, but with warm_start=True they must "
                f"be those of the earlier training, {quoted(self.classes_)}, in the same order "
                "and form. Set warm_start=False to begin anew."
            )

    def _check_same_features(self, network):
        there, here = self._network.features(), network.features()
        changed = [name for name in here if here[name] != there[name]]
        if changed:
            raise ValueError(
                f"{', '.join(f'{name}={here[name]!r}' for name in changed)}: training goes on with "
                "a network that was trained with "
                f"{', '.join(f'{name}={there[name]!r}' for name in changed)}, and its weights fit "
                "these only. Set sample_rate, fmin and stft back, or set warm_start=False."
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

    def _begin_net(self, seed, classes, network):
        """Make a net with the weights that training begins with."""
        net = make_net(self, seed, len(classes), network)
        if self.init_from is not None:
            start_from(net.module_, self.init_from, classes, network.features())
        elif self.freeze:
            raise ValueError(
                f"freeze={self.freeze!r} with init_from=None would keep random weights. Set "
                "init_from to what training begins with, or freeze=None."
            )
        return net

    def _train(self, net, network, targets, train_set, validation, seed, record, *, n_epochs=None):
        """Train a new net, or the present one further."""
        for part in (train_set, None if validation is None else validation.dataset):
            if part is not None and not len(part):
                raise no_clip_left(part.unreadable)
        going_on = net is getattr(self, "net_", None)
        began = self.n_iter_ if going_on else 0
        if going_on:
            go_on(self, net)
        net.frozen = freeze_layers(net.module_, self.freeze)
        net.one_label = self.loss == "auto" and not targets.multilabel
        label_weight = None
        weighing = self.class_weight, train_set.targets, targets.classes, train_set.weights
        if targets.multilabel:
            net.event_weight = event_weights(*weighing)
        elif self.class_weight is not None:
            label_weight = label_weights(*weighing)
        rounds = make_rounds(
            self,
            train_set,
            self._resolve_augmentation(),
            self._n_threads(),
            seed,
            validated=validation is not None,
            n_epochs=n_epochs,
            after=net if going_on else None,
            label_weight=label_weight,
        )
        data = TrainingData(rounds, validation, partial(record, began=began))
        try:
            net.partial_fit(data)
        finally:
            # an error, as Ctrl-C, leaves what has been learned; a new net that has learned nothing
            # takes no one's place
            learned = going_on or _finished_iterations(net) > 0
            if learned:
                self._adopt(net, network, targets, data)
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
            left = "before its first round ended; the tagger is as it was before"
        elif validated:
            left = "the tagger has the best weights so far"
        else:
            left = "the tagger has the weights of the last round that ended"
        message = f"Training was interrupted{'; ' if learned else ' '}{left}."
        warnings.warn(message, UserWarning, stacklevel=4)

    def _adopt(self, net, network, targets, data):
        """Become fitted by a net."""
        if net is not getattr(self, "net_", None):
            self._began_with = self.init_from
        self.net_ = net
        self.classes_ = targets.classes
        self._network = network
        self._multilabel = targets.multilabel
        self.n_iter_ = _finished_iterations(net)
        self.skipped_ = skipped_table(data.unreadable)


def _finished_iterations(net):
    """Drop the round that was not finished, and count the batches of those that were."""
    while net.history and "n_iterations" not in net.history[-1]:
        net.history.pop()
    return net.history[-1]["n_iterations"] if net.history else 0
