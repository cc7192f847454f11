"""What a fitted tagger does: score clips and segments, decide, and be kept."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import torch
from joblib import effective_n_jobs
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from skorch.history import History

from sktagger._utils.validation import check_lengths
from sktagger.audio.clip_input import check_clips
from sktagger.audio.clips import warn_of_short_sections
from sktagger.audio.spectral import STFTSizes
from sktagger.audio.unreadable import Unreadable
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.devices import resolve_device
from sktagger.batching.plain import PlainBatches
from sktagger.metrics import mean_average_precision
from sktagger.metrics._scored import check_scored, scored
from sktagger.networks import Network, check_state
from sktagger.taggers._parameters import TaggerParameters
from sktagger.taggers._scoring import read_lengths, run, segment_table
from sktagger.targets import align_score_targets
from sktagger.training.callbacks import copy_state
from sktagger.training.setup import make_net, to_machine
from sktagger.training.weighting import mean_one

_HISTORY_COLUMNS = [
    "n_epochs",
    "n_iterations",
    "train_loss",
    "valid_loss",
    "valid_mAP",
    "valid_mAP_best",
    "dur",
]


class BaseTagger(ClassifierMixin, TransformerMixin, TaggerParameters):
    """Everything of a tagger but its parameters and its training.

    A subclass has the parameters of a :class:`sktagger.AudioTagger`. Its `fit` sets ``classes_``,
    ``net_``, ``_network`` (resolved settings of the network that was trained) and ``_multilabel``.
    """

    def predict_proba(self, X):
        """Score each event in each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
            Columns in the order of ``classes_``. NaN in the rows of clips that cannot be read,
            unless that is an error (`on_error`).

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip cannot be read; the message names it. The scores that were computed until
            then are in the attribute ``scores`` of the error, which has NaN in the other rows.
        FloatingPointError
            If the network's scores are not finite, for its training diverged.
        """
        check_is_fitted(self)
        clips = check_clips(self, X, reset=False)
        scores = np.full((len(clips), len(self.classes_)), np.nan, dtype=np.float32)
        dataset = self._dataset(clips, self._network)
        try:
            for rows, output in self._run(dataset, "have scores of NaN"):
                scores[rows] = self._of_labels(output.cpu().numpy())
        except (Exception, KeyboardInterrupt) as error:
            error.scores = scores
            raise
        return scores

    def _of_labels(self, scores):
        """Let the scores of a clip sum to 1 if it has one label."""
        if self._multilabel:
            return scores
        total = scores.sum(axis=1, keepdims=True)
        # all scores can be 0, of logits below -100: then they tell nothing
        shares = np.full_like(scores, 1 / scores.shape[1])
        return np.divide(scores, total, out=shares, where=total != 0)

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
            score. See :class:`ThresholdTuner` for better thresholds. Clips that were left out
            because they cannot be read (`on_error`) have no events; where each clip has a label,
            they are an error.
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
        check_scored(scores)
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
            One per clip, indexed by `onset` and `offset` in seconds, which the network's grid
            determines. WALNet's segments span 128 frames (2.56 s by default), and one begins every
            64 frames. The table of a clip that cannot be read (`on_error`) has no rows.
        """
        check_is_fitted(self)
        clips = check_clips(self, X, reset=False)
        dataset = self._dataset(clips, self._network)
        lengths = dict(zip(dataset.clips.positions, dataset.lengths, strict=True))
        table = partial(
            segment_table,
            input=self._network.get_input(),
            grid=self._network.get_grid(),
            events=self.classes_,
        )
        nothing = np.empty((0, len(self.classes_)), np.float32)
        segments = [table(nothing, 0) for _ in range(len(clips))]
        for rows, output in self._run(dataset, "have no segments", segments=True):
            for row, scores, n_segments in zip(rows, *output, strict=True):
                of_clip = scores[:, : int(n_segments)].cpu().numpy().T
                segments[row] = table(of_clip, lengths[row])
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
            Mean over the events that occur in `y`. A label that training had not counts with
            scores of 0. Clips that cannot be read (`on_error`) do not count.
        """
        check_is_fitted(self)
        events = align_score_targets(y, self.classes_, self._multilabel)
        scores = self.predict_proba(X)
        check_lengths(scores, events, ("X", "y"))
        kept = scored(scores)
        scores = np.pad(scores, ((0, 0), (0, events.shape[1] - scores.shape[1])))
        return mean_average_precision(events[kept], scores[kept])

    @property
    def module_(self):
        """The trained network."""
        return self.net_.module_

    @property
    def network_(self) -> Network:
        """The settings that the network was trained with, with defaults resolved."""
        return self._network

    @property
    def stft_(self) -> STFTSizes:
        """The sizes of the STFT, in samples, that the network was trained with."""
        return self._network.get_input().stft

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

    def __sklearn_is_fitted__(self):
        # a training that failed may have set `n_features_in_`
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = True  # on the few-sample "waveforms" of the checks
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _restore(self, classes, state, *, multilabel=True, source="The state"):
        """Become fitted by weights that were trained earlier, and come from anywhere."""
        network = self._get_network().resolve()
        # before a network is built, which may be larger than memory where they do not agree
        check_state(state, network.shapes(len(classes)), source)
        self.classes_ = classes
        self._network = network
        self._multilabel = multilabel
        self._began_with = self.init_from
        self.n_iter_ = 0
        self._load_state(state, source)
        return self

    def _load_state(self, state, source, *, finite=True):
        check_state(state, self._network.shapes(len(self.classes_)), source, finite=finite)
        module = self._network.build(len(self.classes_))
        module.load_state_dict(dict(state))
        self.net_ = make_net(self, self._network, module)

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_raises_interrupt", None)  # a clone is the same as what it was made from
        if "net_" in state:  # without optimiser, callbacks and batches
            rows = [{**row, "batches": []} for row in self.net_.history]
            # as arrays: the pickle of a tensor tells where it lay, so that no two are alike
            arrays = {key: tensor.numpy() for key, tensor in copy_state(self.module_).items()}
            state["net_"] = {"state": arrays, "history": rows}
        return state

    def __setstate__(self, state):
        net = state.get("net_")
        super().__setstate__(state)
        if net is not None:
            try:
                resolve_device(self.device)
            except ValueError:
                warnings.warn(
                    f"The tagger was trained with device={self.device!r}, which is not there; it "
                    'goes on with device="auto".',
                    UserWarning,
                    stacklevel=2,
                )
                self.device = "auto"
            # copies, for joblib's processes are given arrays that lie in read-only files
            tensors = {key: torch.tensor(array) for key, array in net["state"].items()}
            self._load_state(tensors, "The pickle", finite=False)
            self.net_.history = History(net["history"])

    def _n_threads(self):
        return effective_n_jobs(self.n_jobs)

    def _dataset(self, clips, network, indicator=None, weights=None, *, container="X"):
        """Make a dataset of the clips that can be read and count; it needs the length of each."""
        sample_rate, sizes, _, scale, distortions = network.get_input()
        if weights is not None and not weights.all():
            counting = np.flatnonzero(weights)
            if not len(counting):
                raise ValueError(
                    f"sample_weight is 0 for all {len(clips)} clips to train on. Give some of them "
                    "a weight above 0."
                )
            clips, weights = clips.take(counting), weights[counting]
            indicator = None if indicator is None else indicator[counting]
        if self.memory is not None:
            clips = clips.cached(self.memory)
        unreadable = Unreadable(self.on_error, container, len(clips))
        lengths = read_lengths(clips, sample_rate, unreadable, self._n_threads(), self.verbose)
        if unreadable.causes:
            kept = np.flatnonzero(lengths)
            clips, lengths = clips.take(kept), lengths[kept]
            indicator = None if indicator is None else indicator[kept]
            weights = None if weights is None else weights[kept]
        warn_of_short_sections(clips, lengths, sizes)
        if weights is not None and len(weights):
            weights = mean_one(weights)
        device = resolve_device(self.device)
        return ClipDataset(
            clips,
            lengths,
            sample_rate,
            sizes,
            indicator,
            weights,
            device=device,
            unreadable=unreadable,
            scale=scale,
            distortions=distortions,
        )

    def _run(self, dataset, consequence, *, segments=False):
        """Yield what the network makes of clips, and which they are."""
        to_machine(self, self.net_)
        grid = self._network.get_grid()
        batches = PlainBatches(dataset, self.batch_size, self._n_threads(), grid)
        for rows, output in run(self.module_, batches, self.verbose, segments=segments):
            if not (output[0] if segments else output).isfinite().all():
                raise FloatingPointError(
                    f"The network's scores of clip {min(rows)} are not finite: its training "
                    f"diverged. Train anew with a lower lr (it is {self.lr:g}), or set "
                    "gradient_clip."
                )
            yield rows, output
        dataset.unreadable.summarise(consequence)
