"""WALNetTagger: validate, size, train through skorch, predict."""

import warnings
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import GradientNormClipping
from tqdm import tqdm

from sktagger._validation import (
    Interval,
    StrOptions,
    align_events,
    check_clips,
    check_lengths,
    check_params,
    check_targets,
    check_weights,
)
from sktagger.augmentation import Augmentation
from sktagger.batching import ClipDataset, TrainingPlan, prefetch
from sktagger.callbacks import Progress, Validation, load_checkpoint
from sktagger.metrics import mean_average_precision
from sktagger.modules import N_LAYERS, N_MELS, SEGMENT_FRAMES, WALNet
from sktagger.spectral import STFT
from sktagger.training import (
    PlainBatches,
    TaggerNet,
    TrainingData,
    TrainingRounds,
    resolve_device,
)

_HISTORY_COLUMNS = [
    "n_epochs",
    "n_iterations",
    "train_loss",
    "valid_loss",
    "valid_mAP",
    "valid_mAP_best",
    "dur",
]
_AUGMENTATIONS = {"default": Augmentation, "reference": Augmentation.reference}


class WALNetTagger(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Tag audio clips with the events that occur in them.

    Learns from weak labels: which events occur in a clip, not when. The network, WALNet [1]_,
    scores segments of a clip and averages their scores. Audio files are decoded batch by batch,
    so that the size of the training set is limited by the disk, not by memory.

    Parameters
    ----------
    sample_rate : int, default=44100
        Rate at which audio is processed, in Hz. Files of another rate are resampled; waveforms
        in memory must have it.
    stft : STFT or None, default=None
        Settings of the short-time Fourier transform. None: windows of 40 ms every 20 ms.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz; the upper one is half the sample rate.
    augmentation : Augmentation, "default", "reference" or None, default="default"
        Distortions of the training clips. "default" is ``Augmentation()``, "reference" the
        published ``Augmentation.reference()``, None trains on the clips as they are.
    lr : float, default=3e-4
        Learning rate of Adam.
    gradient_clip : float or None, default=60.0
        Greatest norm of the gradient. None: no limit.
    batch_size : int, default=24
        Number of clips in a batch.
    max_epochs : int, default=20
        Number of times that each training clip is used.
    max_iterations : int or None, default=None
        Number of batches to train on, instead of `max_epochs`.
    validate_every : int or None, default=None
        Distance between validations, in iterations if `max_iterations` is given, else in
        epochs. None: 1 epoch, 1000 iterations.
    callbacks : list or None, default=None
        Further skorch callbacks, or (name, callback) pairs.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU where there is one.
    n_jobs : int or None, default=None
        Number of threads that read and transform audio ahead of the network. None means 1, -1 as
        many as there are processors. Results do not depend on it.
    verbose : int, default=1
        0: silent. 1: a progress bar on standard error, if that is a terminal.
    random_state : int, RandomState instance or None, default=None
        Fixes initial weights, the order of clips and their distortions.

    Attributes
    ----------
    classes_ : ndarray of shape (n_events,)
        Events, in the order of the columns of scores.
    net_ : skorch.NeuralNet
        The trained net.
    module_ : sktagger.modules.WALNet
        The network in it.
    sizes_ : STFTSizes
        The resolved sizes of the STFT in samples.
    history_ : DataFrame of shape (n_rounds, n_columns)
        One row per validation; `n_epochs`, `n_iterations`, `train_loss`, `valid_loss`,
        `valid_mAP`, `valid_mAP_best`, `dur` (s).
    n_iter_ : int
        Number of batches trained on.
    n_features_in_ : int
        Number of samples of a clip; only if `X` was a 2-D array of waveforms.

    See Also
    --------
    ThresholdTuner : Decisions from scores by per-event thresholds.
    sktagger.load_database : Reads files and events from a JSON database.

    Notes
    -----
    `X` is an array-like of clips: paths, sections ``(path, start, stop)`` in samples of the file,
    or waveforms at `sample_rate`: a 2-D array (n_clips, n_samples), or a list of 1-D or
    (n_channels, n_samples) arrays of any lengths. Clips are mixed to mono, centred and scaled.

    `Y` is an indicator matrix (array, sparse matrix, or DataFrame whose columns name the events),
    a list of event lists, or 1-D labels: then each clip has one event, `predict` gives it, and the
    rows of `predict_proba` sum to 1.

    References
    ----------
    .. [1] A. Shah, A. Kumar, A. G. Hauptmann, B. Raj, "A closer look at weak label learning for
       audio events", arXiv:1804.09288, 2018.

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
        "augmentation": [Augmentation, StrOptions(set(_AUGMENTATIONS)), None],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "gradient_clip": [Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "max_iterations": [Interval(Integral, 1, None, closed="left"), None],
        "validate_every": [Interval(Integral, 1, None, closed="left"), None],
        "callbacks": [list, tuple, None],
        "device": [str],
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
        lr=3e-4,
        gradient_clip=60.0,
        batch_size=24,
        max_epochs=20,
        max_iterations=None,
        validate_every=None,
        callbacks=None,
        device="auto",
        n_jobs=None,
        verbose=1,
        random_state=None,
    ):
        self.sample_rate = sample_rate
        self.stft = stft
        self.fmin = fmin
        self.augmentation = augmentation
        self.lr = lr
        self.gradient_clip = gradient_clip
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.max_iterations = max_iterations
        self.validate_every = validate_every
        self.callbacks = callbacks
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def set_params(self, **params):
        """Set parameters, also those of ``stft`` and ``augmentation``.

        Parameters
        ----------
        **params : dict
            Such as ``lr=1e-3`` or ``augmentation__mixup_prob=0.8``. Where the group of a nested
            parameter is a default or a name, it is replaced by the settings it stands for first.

        Returns
        -------
        self
        """
        prefixes = {name.partition("__")[0] for name in params if "__" in name}
        if "stft" in prefixes and params.get("stft", self.stft) is None:
            params = {**params, "stft": STFT()}
        name = params.get("augmentation", self.augmentation)
        if "augmentation" in prefixes and (name is None or isinstance(name, str)):
            if name not in _AUGMENTATIONS:
                raise ValueError(
                    f"augmentation={name!r} has no settings of its own; it must be one of "
                    f"{sorted(_AUGMENTATIONS)} or an Augmentation before they can be set."
                )
            params = {**params, "augmentation": _AUGMENTATIONS[name]()}
        return super().set_params(**params)

    def fit(self, X, y, *, sample_weight=None, X_val=None, Y_val=None):
        """Learn to tag.

        Parameters
        ----------
        X : array-like of clips
            See Notes.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips, the `Y` of the Notes.
        sample_weight : array-like of shape (n_clips,) or None, default=None
            Weights of the clips in the loss, not negative; only their ratios matter.
        X_val, Y_val : as `X` and `y`, or None
            Clips to validate on. With them, the weights with the best validation mAP are kept;
            without, the last ones.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter, a container or the targets are not as described.
        FileNotFoundError, ValueError
            If a clip cannot be read; the message names it. Headers are read before training
            starts.
        """
        check_params(self)
        augmentation = self._resolve_augmentation()
        sizes = self._resolve_stft()
        clips = check_clips(self, X, reset=True)
        targets = check_targets(y)
        check_lengths(clips, targets.indicator)
        weights = check_weights(sample_weight, len(clips))
        if (X_val is None) != (Y_val is None):
            raise ValueError("X_val and Y_val go together: give both or neither.")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))

        self.sizes_ = sizes
        self.classes_ = targets.classes
        self._multilabel = targets.multilabel
        train_set = self._dataset(clips, targets.indicator, weights)
        validation = None
        if X_val is not None:
            clips_val = check_clips(self, X_val, reset=False)
            events_val = align_events(Y_val, self.classes_, self._multilabel)
            check_lengths(clips_val, events_val, ("X_val", "Y_val"))
            _warn_of_absent_events(events_val, self.classes_)
            valid_set = self._dataset(clips_val, events_val, np.ones(len(clips_val), np.float32))
            validation = PlainBatches(valid_set, self.batch_size, self._n_threads())

        plan = TrainingPlan(
            train_set.lengths,
            sizes,
            self.sample_rate,
            self.batch_size,
            augmentation,
            N_MELS,
            seed,
        )
        unit, total, default = (
            ("epoch", self.max_epochs, 1)
            if self.max_iterations is None
            else ("iteration", self.max_iterations, 1000)
        )
        every = default if self.validate_every is None else self.validate_every
        rounds = TrainingRounds(
            train_set, plan, self._n_threads(), total=total, every=every, unit=unit
        )
        self.net_ = self._make_net(seed).fit(TrainingData(rounds, validation), None)
        self.n_iter_ = plan.iteration
        return self

    def predict_proba(self, X):
        """Score each event in each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        batches = self._plain_batches(X)
        scores = np.empty((len(batches.dataset), len(self.classes_)), dtype=np.float32)
        for rows, output in self._run(batches, self.module_):
            scores[rows] = output.cpu().numpy()
        if not self._multilabel:
            scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def predict(self, X):
        """Decide which events occur in each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
            1 where the score exceeds 0.5; after training on 1-D labels the label with the best
            score. See :class:`ThresholdTuner` for better thresholds.
        """
        return self.predict_from_scores(self.predict_proba(X))

    def predict_from_scores(self, scores):
        """Decide as `predict` does, from scores that `predict_proba` gave.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
        """
        check_is_fitted(self)
        if self._multilabel:
            return (scores > 0.5).astype(int)
        return self.classes_[scores.argmax(axis=1)]

    def transform(self, X):
        """Score each event in each clip; `predict_proba` as a step of a pipeline.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
        """
        return self.predict_proba(X)

    def predict_segments(self, X):
        """Score each event in each segment of each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        list of DataFrame of shape (n_segments, n_events), float32
            One per clip, indexed by `onset` and `offset` in seconds. A segment spans 128 frames
            (2.56 s by default) and begins 64 frames after the one before; the mean over a clip's
            segments is the score of the clip.
        """
        check_is_fitted(self)
        batches = self._plain_batches(X)
        lengths = batches.dataset.lengths
        segments = [None] * len(lengths)
        for rows, (scores, n_segments) in self._run(batches, self.module_.segment_scores):
            for row, clip, n in zip(rows, scores.cpu().numpy(), n_segments, strict=True):
                segments[row] = self._segment_table(clip[:, : int(n)].T, lengths[row])
        return segments

    def score(self, X, y):
        """Give the mean average precision.

        Parameters
        ----------
        X : array-like of clips
        y : array-like
            Events of the clips, in the form of training.

        Returns
        -------
        float
            Mean over the events that occur in `y`.
        """
        scores = self.predict_proba(X)
        return mean_average_precision(align_events(y, self.classes_, self._multilabel), scores)

    @property
    def module_(self):
        """The trained network."""
        return self.net_.module_

    @property
    def history_(self):
        """One row per validation."""
        rows = [
            {key: value for key, value in row.items() if key in _HISTORY_COLUMNS}
            for row in self.net_.history
        ]
        return pd.DataFrame(rows).reindex(columns=_HISTORY_COLUMNS).dropna(axis=1, how="all")

    def get_feature_names_out(self, input_features=None):
        """Give the names of the columns of `transform`.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of shape (n_events,), object
        """
        check_is_fitted(self)
        return np.array([str(event) for event in self.classes_], dtype=object)

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
            events and this STFT.
        """
        state = source if isinstance(source, dict) else load_checkpoint(source)
        state = state.get("model", state)
        output = state.get(f"cnn.convs.{N_LAYERS}.conv.weight")
        if output is None:
            raise ValueError(
                "source holds no padertorch WALNet: the tensor "
                f"'cnn.convs.{N_LAYERS}.conv.weight' is missing. Found are {sorted(state)[:5]}."
            )
        if len(classes) != len(output):
            raise ValueError(
                f"classes has {len(classes)} events, but the checkpoint has {len(output)} outputs. "
                "Give one name for each output, in their order."
            )
        return cls(sample_rate=sample_rate, stft=stft)._restore(np.asarray(classes), state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = True  # on the few-sample "waveforms" of the checks
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _resolve_augmentation(self):
        augmentation = self.augmentation
        if isinstance(augmentation, str):
            augmentation = _AUGMENTATIONS[augmentation]()
        if augmentation is not None:
            augmentation.validate()
        return augmentation

    def _resolve_stft(self):
        sizes = (STFT() if self.stft is None else self.stft).sizes(self.sample_rate)
        if self.fmin >= self.sample_rate / 2:
            raise ValueError(
                f"fmin={self.fmin} Hz must lie below half the sample_rate of {self.sample_rate} Hz."
            )
        return sizes

    def _restore(self, classes, state, *, multilabel=True):
        """Become fitted by weights that were trained earlier."""
        self.classes_ = classes
        self.sizes_ = self._resolve_stft()
        self._multilabel = multilabel
        self.net_ = self._make_net(seed=0).initialize()
        self.n_iter_ = 0
        try:
            self.module_.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(
                f"The weights do not fit a WALNet with {len(classes)} events, this sample rate and "
                f"this STFT: {error}"
            ) from error
        return self

    def _n_threads(self):
        return effective_n_jobs(self.n_jobs)

    def _make_net(self, seed):
        callbacks = [("validation", Validation()), ("progress", Progress(self.verbose))]
        if self.gradient_clip is not None:
            callbacks.append(("gradient_clip", GradientNormClipping(self.gradient_clip)))
        return TaggerNet(
            WALNet,
            module__n_events=len(self.classes_),
            module__sample_rate=self.sample_rate,
            module__n_fft=self.sizes_.n_fft,
            module__fmin=self.fmin,
            module__random_state=seed,
            optimizer=torch.optim.Adam,
            lr=self.lr,
            device=resolve_device(self.device),
            callbacks=callbacks + list(self.callbacks or []),
            callbacks__print_log=None,
            train_split=None,
            verbose=0,
        )

    def _dataset(self, clips, targets=None, weights=None):
        """Make a dataset, which needs the length of each clip."""
        lengths = prefetch(
            lambda index: clips.n_samples(index, self.sample_rate),
            range(len(clips)),
            self._n_threads(),
        )
        lengths = np.fromiter(self._bar(lengths, "Reading headers", len(clips)), dtype=np.int64)
        return ClipDataset(clips, lengths, self.sample_rate, self.sizes_, targets, weights)

    def _plain_batches(self, X):
        dataset = self._dataset(check_clips(self, X, reset=False))
        return PlainBatches(dataset, self.batch_size, self._n_threads())

    def _run(self, batches, function):
        """Yield, batch by batch, the indices of the clips and the function's output."""
        device = next(self.module_.parameters()).device
        self.module_.eval()
        rows = batches.indices()
        done = 0
        with self._bar(None, "Scoring", len(rows)) as bar:
            for inputs, _ in batches:
                n_clips = len(inputs["n_frames"])
                with torch.inference_mode():
                    output = function(**{key: x.to(device) for key, x in inputs.items()})
                yield rows[done : done + n_clips], output
                done += n_clips
                bar.update(n_clips)

    def _bar(self, iterable, what, total):
        return tqdm(
            iterable,
            desc=what,
            total=total,
            unit="clip",
            disable=None if self.verbose else True,
            delay=2,
            leave=False,
            dynamic_ncols=True,
        )

    def _segment_table(self, scores, n_samples):
        hop = SEGMENT_FRAMES * self.sizes_.hop_length
        onset = np.arange(len(scores)) * hop
        offset = np.minimum(onset + 2 * hop, n_samples)
        index = pd.MultiIndex.from_arrays(
            [onset / self.sample_rate, offset / self.sample_rate], names=["onset", "offset"]
        )
        return pd.DataFrame(scores, index=index, columns=self.classes_)


def _warn_of_absent_events(indicator, classes):
    absent = classes[~indicator.any(axis=0)]
    if len(absent):
        warnings.warn(
            f"{len(absent)} of {len(classes)} events occur in no clip of Y_val and are left out of "
            f"the validation mAP: {', '.join(map(str, absent[:5]))}{', ...' * (len(absent) > 5)}.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
