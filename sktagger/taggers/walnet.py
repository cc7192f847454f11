"""WALNetTagger: the tagger with the settings of WALNet as its own parameters."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from joblib import Memory
from sklearn.frozen import FrozenEstimator

from sktagger.audio.augmentation import Augmentation
from sktagger.audio.spectral import STFT
from sktagger.networks import Network, WALNet
from sktagger.taggers._foreign import restore_padertorch
from sktagger.taggers._parameters import TaggerParameters
from sktagger.taggers.audio_tagger import AudioTagger

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WALNetTagger"]


class WALNetTagger(AudioTagger):
    """Tag audio clips with the events that occur in them.

    The tagger learns from weak labels: which events occur in a clip, not when. The network, WALNet
    [1]_, scores segments of a clip and pools their scores. Audio files are decoded batch by batch,
    so the disk limits the size of the training set, not memory.

    Parameters
    ----------
    sample_rate : int, default=44100
        Rate at which audio is processed, in Hz. Files of another rate are resampled. Waveforms in
        memory must have it, or come with their rate.
    stft : STFT or None, default=None
        Settings of the short-time Fourier transform. None: windows of 40 ms every 20 ms.
    fmin : float, default=50.0
        Lower end of the mel axis in Hz; the upper end is half the sample rate.
    pooling : {"mean", "linear_softmax"}, default="linear_softmax"
        How the score of a clip is computed from those of its segments. "mean": as published.
        "linear_softmax": their mean weighted by themselves [2]_; it suits events that fill a small
        part of a clip.
    max_epochs : int, default=20
        Number of times that each training clip is used.
    max_iterations : int or None, default=None
        Number of batches to train on. If given, it replaces `max_epochs`.
    batch_size : int, default=12
        Number of clips in a batch. If clips have more than 2048 frames on average, including
        padding (41 s at a hop of 20 ms), a batch has fewer clips. In prediction and validation,
        clips of more than 5120 frames (102 s) are scored in overlapping chunks. The scores are the
        same, but memory does not grow with the length of a clip. If a network's scores depend on
        the whole clip, it is scored at once.
    lr : float or "auto", default="auto"
        Learning rate of AdamW; its maximum, if a schedule changes it. "auto": 5e-4 if an
        EfficientAT or PANNs is fine-tuned, 1e-3 for FBCRNN and CRNN, else 2e-3.
    schedule : {"one_cycle", "step", "constant"}, default="one_cycle"
        "one_cycle": the learning rate rises to `lr` and falls to 0 at the end of training, see
        :class:`sktagger.training.callbacks.OneCycle`. "step": it rises to `lr` from 0, and is
        divided by 5 in the middle of training, as published for FBCRNN, see
        :class:`sktagger.training.callbacks.Step`. "constant": as published for WALNet; also what
        `partial_fit` uses, since it does not know the end of training.
    augmentation : Augmentation, str or None, default="default"
        Distortions of the training clips. "default" is ``Augmentation()``, for FBCRNN and CRNN
        "fbcrnn_reference". "reference" and "fbcrnn_reference" are the published
        ``Augmentation.reference()`` and ``Augmentation.fbcrnn_reference()``. None: training clips
        are not distorted.
    loss : {"auto", "binary_cross_entropy"}, default="auto"
        "binary_cross_entropy": the loss of each event, as published. "auto": the same; for 1-D
        labels, plus the cross entropy of the normalized scores.
    weight_decay : float, default=0.01
        Weight decay of AdamW: each step multiplies the weights by 1 - `lr` * `weight_decay`.
    gradient_clip : float or None, default=60.0
        Maximum norm of the gradient. None: no limit.
    validate_every : int or None, default=None
        Length of a validation interval, in iterations if `max_iterations` is given, else in
        epochs. None: 1 epoch, 1000 iterations.
    validation_fraction : float or None, default=None
        Fraction of the training clips, in (0, 0.5], that is held out for validation if `fit` gets
        no `X_val`: at least one clip. The split is stratified by event, and groups (`groups` of
        `fit`) are not split. `Y` must be 0 and 1 only. None: no clips are held out.
    patience : int or None, default=None
        Training ends after this many validations without a better mAP. None: no early stopping.
    class_weight : dict, "balanced" or None, default=None
        Weights of events. A dict maps events to numbers > 0; missing events have a weight of 1. The
        weight multiplies the loss of the event's positive clips or, for 1-D labels, of all its
        clips. "balanced": positives and negatives of each event get equal total weight; for 1-D
        labels, each label gets equal total weight.
    sampler : "balanced" or None, default=None
        "balanced" draws clips with replacement. Every event is drawn equally often; its clips
        share that probability. Clips that `augmentation` mixes in are drawn in the same way. None:
        every clip is drawn once per epoch.
    init_from : tagger, FrozenEstimator, str, PathLike or None, default=None
        Initial weights of a new training: a fitted tagger, a file that `save` wrote, a checkpoint
        (of an experiment, of EfficientAT or PANNs, or of padertorch), or the name of a pretrained
        model, see :func:`sktagger.pretrained.list_models`. All weights and statistics are used, but
        in the head only the rows of events with the same name. (A checkpoint of padertorch needs an
        ``events.json`` in its directory for the names.) The network and its settings must be the
        same. The source is not changed. In the grid of a search, which clones estimators, give a
        path or ``sklearn.frozen.FrozenEstimator(tagger)``. None: random weights.
    freeze : int, "backbone" or None, default=None
        Number of stages of the network, counted from its input, that are not trained. Their
        normalization statistics and those of the input do not change either. "backbone": all
        stages, so that only the head is trained. 0 or None: everything is trained.
    freeze_norms : bool or "auto", default="auto"
        Whether the running statistics of normalization do not change in training, and are used
        instead of those of each batch. "auto": if an EfficientAT or PANNs is fine-tuned.
    head_init : {"auto", "random", "linear"}, default="auto"
        Initial weights of the head. "random": random, except for events that `init_from` has by the
        same name. "linear": those of a logistic regression per event, with an L2 penalty, on the
        embeddings of the training clips. It needs a network that scores one embedding per clip,
        such as EfficientAT. "auto": "linear" if an EfficientAT or PANNs (except for
        "cnn14_decision_level_max") is fine-tuned to events other than those of `init_from`, else
        "random".
    warm_start : bool, default=False
        Whether `fit` continues from the current weights and optimizer instead of starting a new
        training.
    cross_fit : int or None, default=None
        Number of folds, at least 2, for the out-of-fold scores that `fit_transform` returns. A next
        step that is tuned on scores needs them. None: `fit_transform` scores the training clips.
        These scores are too good, so it warns.
    on_error : {"raise", "warn", "skip"}, default="raise"
        What to do with clips that cannot be read: files that are missing, damaged, or change during
        use, samples that are not finite, and None, NaN or "" instead of a clip. "raise": raise an
        error at the first one, before training starts if its header shows it. "warn": leave each
        out with a warning. "skip": leave them out with one warning at the end. Their scores are
        NaN. `skipped_` lists the clips that were left out of training.
    memory : str, PathLike, joblib.Memory or None, default=None
        Directory of a cache of decoded and resampled audio files, 4 bytes per sample. Its files are
        pickles, so choose a directory that only you can write to. It is not saved with the tagger.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1" and so on. "auto": a GPU if there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the network's hidden layers. "bfloat16" halves memory traffic and changes
        scores by a few thousandths. "auto" uses it if it is faster: on GPUs of compute capability 8
        or higher, and on CPUs with AMX. With "float32", scores agree to 1e-5 on all machines.
    n_jobs : int or None, default=None
        Number of threads that read and transform audio ahead of the network. None: 1. -1: one per
        processor. Results do not depend on it.
    verbose : int, default=1
        0: no output. 1: a progress bar on standard error if it is a terminal or a notebook, else
        one line per validation interval.
    callbacks : list or None, default=None
        Additional skorch callbacks, or pairs (name, callback).
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, the order of clips, and their distortions. With an int,
        training on the same machine with the same number of PyTorch threads gives bit-identical
        weights. The number of threads changes the order of sums.

    Attributes
    ----------
    classes_ : ndarray of shape (n_events,)
        Events in the order of the columns of scores.
    net_ : skorch.NeuralNet
        The trained skorch net.
    module_ : NetworkModule
        The trained network.
    network_ : Network
        The settings of the trained network, with defaults resolved.
    stft_ : STFTSizes
        The sizes of the STFT in samples.
    history_ : DataFrame of shape (n_validation_intervals, n_columns)
        One row per validation interval: `n_epochs`, `n_iterations`, `train_loss`, `valid_loss`,
        `valid_mAP`, `valid_mAP_best`, `dur` (s).
    n_iter_ : int
        Number of batches trained on.
    skipped_ : DataFrame of shape (n_skipped, 3)
        Clips that were left out of the last training: `container` ("X" or "X_val"), `position` in
        it, and `cause`.
    n_features_in_ : int
        Number of samples per clip; only if `X` was a 2-D array of waveforms.

    See Also
    --------
    AudioTagger : The same for any network.
    ThresholdTuner : Binary predictions from scores, by per-event thresholds.
    sktagger.load_database : Reads files and events from a database.

    Notes
    -----
    `X` is an array-like of clips: a list, array or Series, or a DataFrame with a column of clips,
    also of polars or pyarrow. Clips are files or waveforms. Their channels are averaged.

    A file is given as its path, as its bytes or an open binary file, or as a section
    ``(path, start, stop)`` in samples of the file; None means the start or the end of the file.
    Sections may also be the rows of a DataFrame with columns `path`, `start` and `stop`.

    Waveforms are a 2-D array (n_clips, n_samples), or a list of arrays of any lengths:
    (n_samples,), (n_channels, n_samples) or (n_samples, n_channels). Of two axes, the one of length
    32 or less is the channel axis; the other one is longer. Waveforms have the network's sample
    rate, or are given with their own rate and resampled: ``(array, rate)``, ``(rate, array)`` or
    ``{"array": ..., "sampling_rate": ...}``. Signed integers are divided by their range. 64-bit
    integers are divided by the range of 16 bits if all of `X` fits into it, else by the range of 32
    bits.

    `Y` is an indicator matrix (array, sparse matrix, or DataFrame whose columns name the events), a
    list of event lists, or 1-D labels. With 1-D labels, each clip has one event, `predict` returns
    it, and the rows of `predict_proba` sum to 1. Tables and columns of polars and pyarrow are
    accepted like those of pandas. In `Y_val` and `score`, events are matched by name.

    The indicator matrix to train on may have values between 0 and 1: probabilities of the events,
    such as scores of another network (distillation). `class_weight` and `sampler` count a clip with
    a value of 0.3 as 0.3 clips with the event and 0.7 clips without it. If the values of an event
    sum to less than 1, it counts accordingly less than other events. A mixture of clips has the
    greater of their values. `Y_val`, `score` and the tuning of thresholds need 0 and 1.

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

    _network_parameters: ClassVar[tuple[str, ...]] = tuple(WALNet().get_params(deep=False))
    _parameter_constraints: ClassVar[dict[str, list]] = {
        **WALNet._parameter_constraints,
        **{k: v for k, v in AudioTagger._parameter_constraints.items() if k != "network"},
    }

    def __init__(
        self,
        *,
        sample_rate: int = 44100,
        stft: STFT | None = None,
        fmin: float = 50.0,
        pooling: Literal["mean", "linear_softmax"] = "linear_softmax",
        max_epochs: int = 20,
        max_iterations: int | None = None,
        batch_size: int = 12,
        lr: float | Literal["auto"] = "auto",
        schedule: Literal["one_cycle", "step", "constant"] = "one_cycle",
        augmentation: Augmentation
        | Literal["default", "reference", "fbcrnn_reference"]
        | None = "default",
        loss: Literal["auto", "binary_cross_entropy"] = "auto",
        weight_decay: float = 0.01,
        gradient_clip: float | None = 60.0,
        validate_every: int | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        sampler: Literal["balanced"] | None = None,
        init_from: TaggerParameters | FrozenEstimator | str | os.PathLike[str] | None = None,
        freeze: int | Literal["backbone"] | None = None,
        freeze_norms: bool | Literal["auto"] = "auto",
        head_init: Literal["auto", "random", "linear"] = "auto",
        warm_start: bool = False,
        cross_fit: int | None = None,
        on_error: Literal["raise", "warn", "skip"] = "raise",
        memory: str | os.PathLike[str] | Memory | None = None,
        device: str = "auto",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        n_jobs: int | None = None,
        verbose: int = 1,
        callbacks: Sequence[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            max_epochs=max_epochs,
            max_iterations=max_iterations,
            batch_size=batch_size,
            lr=lr,
            schedule=schedule,
            augmentation=augmentation,
            loss=loss,
            weight_decay=weight_decay,
            gradient_clip=gradient_clip,
            validate_every=validate_every,
            validation_fraction=validation_fraction,
            patience=patience,
            class_weight=class_weight,
            sampler=sampler,
            init_from=init_from,
            freeze=freeze,
            freeze_norms=freeze_norms,
            head_init=head_init,
            warm_start=warm_start,
            cross_fit=cross_fit,
            on_error=on_error,
            memory=memory,
            device=device,
            precision=precision,
            n_jobs=n_jobs,
            verbose=verbose,
            callbacks=callbacks,
            random_state=random_state,
        )
        del self.network  # its settings are parameters of this class
        self.sample_rate = sample_rate
        self.stft = stft
        self.fmin = fmin
        self.pooling = pooling

    def _get_network(self) -> WALNet:
        return WALNet(**{name: getattr(self, name) for name in self._network_parameters})

    @classmethod
    def _with_network(cls, network: Network, **params: Any) -> Self:
        return cls(**network.get_params(deep=False), **params)

    @classmethod
    def from_padertorch(  # type: ignore[override]
        cls,
        source: str | os.PathLike[str] | dict[str, Any],
        *,
        classes: Sequence[str],
        sample_rate: int = 44100,
        stft: STFT | None = None,
    ) -> Self:
        """Make a tagger from a checkpoint of padertorch's WALNet.

        Parameters
        ----------
        source : str, PathLike or dict
            Checkpoint file, or a state dict. In both, the state dict may be under the key "model".
            No code in the file is executed.
        classes : sequence of str
            Events in the order of the network's outputs (``events.json`` of the experiment).
        sample_rate : int, default=44100
            Sample rate that the network was trained with, in Hz.
        stft : STFT or None, default=None
            Settings of the STFT that the network was trained with. None: the defaults, which are
            those of padertorch at 44.1 kHz.

        Returns
        -------
        WALNetTagger
            Fitted tagger.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file cannot be read safely, or its tensors are not finite or do not fit a WALNet
            with these events and this STFT.
        """
        network = WALNet(sample_rate=sample_rate, stft=stft, pooling="mean")
        return restore_padertorch(cls, source, classes, network, {})
