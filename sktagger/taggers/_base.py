"""Methods of a fitted tagger: predict scores and events, evaluate, pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from skorch.history import History

from sktagger._utils.validation import check_lengths
from sktagger._utils.warnings import warn
from sktagger.audio.clip_input import check_clips
from sktagger.audio.spectral import STFTSizes
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.devices import resolve_device
from sktagger.batching.plain import PlainBatches
from sktagger.metrics import mean_average_precision
from sktagger.metrics._scored import check_scored, scored
from sktagger.networks import Network, NetworkModule, check_state
from sktagger.taggers._datasets import make_dataset
from sktagger.taggers._parameters import TaggerParameters
from sktagger.taggers._recordings import RecordingMixin
from sktagger.taggers._score_table import ScoreTableMixin
from sktagger.taggers._scoring import (
    Computation,
    check_finite_scores,
    compute_batches,
    scores_of_clips,
    scores_of_segments,
    segment_tables,
)
from sktagger.targets import align_score_targets
from sktagger.training.callbacks import copy_state
from sktagger.training.net import TaggerNet
from sktagger.training.setup import make_net, move_to_device

if TYPE_CHECKING:
    from typing_extensions import Self

_HISTORY_COLUMNS = [
    "n_epochs",
    "n_iterations",
    "train_loss",
    "valid_loss",
    "valid_mAP",
    "valid_mAP_best",
    "dur",
]


class BaseTagger(
    RecordingMixin, ScoreTableMixin, ClassifierMixin, TransformerMixin, TaggerParameters
):
    """Tagger without a constructor and without training.

    A subclass has the parameters of a :class:`sktagger.AudioTagger`. Its `fit` sets ``classes_``,
    ``net_``, ``_network`` (the resolved settings of the trained network) and ``_multilabel``.
    """

    classes_: np.ndarray
    net_: TaggerNet
    n_iter_: int
    _network: Network
    _multilabel: bool

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the score of each event in each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
            Columns in the order of ``classes_``. With ``on_error="warn"`` or "skip", the rows of
            clips that cannot be read are NaN.

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip cannot be read; the message names it. The attribute ``scores`` of the error
            has the scores that were computed before, and NaN in the other rows.
        FloatingPointError
            If the network's scores are not finite because its training diverged.
        """
        check_is_fitted(self)
        clips = check_clips(self, X, reset=False)
        scores = np.full((len(clips), len(self.classes_)), np.nan, dtype=np.float32)
        dataset = self._dataset(clips, self._network)
        try:
            for rows, output in self._score_dataset(dataset, "have scores of NaN"):
                scores[rows] = self._normalize_label_scores(output.cpu().numpy())
        except (Exception, KeyboardInterrupt) as error:
            error.scores = scores  # type: ignore[union-attr]
            raise
        return scores

    def _normalize_label_scores(self, scores):
        """Divide the scores of each clip by their sum, if each clip has one label."""
        if self._multilabel:
            return scores
        total = scores.sum(axis=1, keepdims=True)
        # logits below -100 have scores of 0; if all are 0, no label is preferred
        uniform = np.full_like(scores, 1 / scores.shape[1])
        return np.divide(scores, total, out=uniform, where=total != 0)

    def predict(self, X: Any) -> np.ndarray:
        """Predict which events occur in each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
            1 if the score is above 0.5. After training on 1-D labels, the label with the highest
            score. See :class:`ThresholdTuner` for better thresholds.

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip cannot be read. With ``on_error="warn"`` or "skip", such clips have no events
            instead; after training on 1-D labels, they are always an error.
        """
        return self.predict_from_scores(self.predict_proba(X))

    def predict_from_scores(self, scores: np.ndarray) -> np.ndarray:
        """Predict events as `predict` does, from given scores.

        Parameters
        ----------
        scores : ndarray of shape (n_clips, n_events), float
            Scores that `predict_proba` returned.

        Returns
        -------
        ndarray of shape (n_clips, n_events), int, or of shape (n_clips,)
            As `predict` returns it.
        """
        check_is_fitted(self)
        if self._multilabel:
            return (scores > 0.5).astype(int)
        check_scored(scores)
        return self.classes_[scores.argmax(axis=1)]

    def transform(self, X: Any) -> np.ndarray:
        """Predict the score of each event in each clip, as a step of a pipeline.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_events), float32, in [0, 1]
            As `predict_proba` returns it.
        """
        return self.predict_proba(X)

    def predict_segments(self, X: Any) -> list[pd.DataFrame]:
        """Predict the score of each event in each segment of each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        list of DataFrame of shape (n_segments, n_events), float32
            One table per clip, indexed by `onset` and `offset` in seconds. The network determines
            the segments: those of WALNet span 128 frames (2.56 s by default) and start every 64
            frames. Segments of EfficientAT and PANNs depend on the whole clip. If it has more than
            5120 frames (51 s), they are computed in windows of about 10 s that overlap by half, and
            the middle of each window is kept. With ``on_error="warn"`` or "skip", the table of a
            clip that cannot be read has no rows.

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip cannot be read; the message names it.
        FloatingPointError
            If the network's scores are not finite because its training diverged.
        """
        check_is_fitted(self)
        clips = check_clips(self, X, reset=False)
        dataset = self._dataset(clips, self._network)
        scored = self._score_dataset(dataset, "have no segments", segments=True)
        return segment_tables(scored, dataset, len(clips), self._network, self.classes_)

    def score(self, X: Any, y: Any) -> float:
        """Compute the mean average precision.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips, in the same form as in training.

        Returns
        -------
        float
            Mean over the events that occur in `y`. A label that did not occur in training has
            scores of 0. With ``on_error="warn"`` or "skip", clips that cannot be read are left out.

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip cannot be read, or `y` does not fit `X` and the events of training.
        """
        check_is_fitted(self)
        events = align_score_targets(y, self.classes_, self._multilabel)
        scores = self.predict_proba(X)
        check_lengths(scores, events, ("X", "y"))
        kept = scored(scores)
        scores = np.pad(scores, ((0, 0), (0, events.shape[1] - scores.shape[1])))
        return float(mean_average_precision(events[kept], scores[kept]))

    @property
    def module_(self) -> NetworkModule:
        """The trained network."""
        return self.net_.module_

    @property
    def network_(self) -> Network:
        """The settings of the trained network, with defaults resolved."""
        return self._network

    @property
    def stft_(self) -> STFTSizes:
        """The sizes of the trained network's STFT, in samples."""
        return self._network.get_input().stft

    @property
    def history_(self) -> pd.DataFrame:
        """One row per validation interval."""
        return history_table(self.net_.history)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like or None, default=None
            Ignored; present for compatibility with scikit-learn.

        Returns
        -------
        ndarray of shape (n_events,), object
            The events as strings.
        """
        check_is_fitted(self)
        return np.array([str(event) for event in self.classes_], dtype=object)

    def __sklearn_is_fitted__(self):
        # the default looks for any fitted attribute, and a failed training sets `n_features_in_`
        return hasattr(self, "net_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = True  # the checks' "waveforms" have a few samples only
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _restore(
        self,
        classes: np.ndarray,
        state: Mapping[str, torch.Tensor],
        *,
        multilabel: bool = True,
        source: str = "The state",
    ) -> Self:
        """Set the fitted attributes from untrusted weights; `source` names them in messages."""
        network = self._get_network().resolve()
        # shapes are compared before the network is built, because wrong ones may exceed the memory
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
        state.pop("_raises_interrupt", None)  # the pickle of a clone equals that of its original
        if "net_" in state:  # optimizer, callbacks and batches are left out
            rows = [{**row, "batches": []} for row in self.net_.history]
            # arrays, because the pickle of a tensor depends on its address in memory
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
                what = f"The tagger was trained with device={self.device!r}, which this machine"
                warn(f'{what} does not have. It now uses device="auto".')
                self.device = "auto"
            # copies, because joblib gives its processes arrays in read-only files
            tensors = {key: torch.tensor(array) for key, array in net["state"].items()}
            self._load_state(tensors, "The pickle", finite=False)
            self.net_.history = History(net["history"])

    def _n_threads(self):
        return effective_n_jobs(self.n_jobs)

    def _dataset(self, clips, network, indicator=None, weights=None, times=None, *, container="X"):
        """Make a dataset of the clips that can be read and have a weight above 0."""
        if self.memory is not None:
            clips = clips.cached(self.memory)
        labels = indicator, weights, times
        return make_dataset(self, clips, network, *labels, container=container)

    def _score_dataset(
        self,
        dataset: ClipDataset,
        consequence: str,
        *,
        segments: bool = False,
        computation: Computation | None = None,
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield the positions of clips and the network's output for them.

        `consequence` completes the warning about clips that cannot be read. `computation` replaces
        that of the scores.
        """
        move_to_device(self, self.net_)
        grid = self._network.get_grid()
        batches = PlainBatches(dataset, self.batch_size, self._n_threads(), grid, chunked=segments)
        module = self.module_.eval()
        if computation is None:
            computation = scores_of_segments(module) if segments else scores_of_clips(module)
        for rows, output in compute_batches(computation, batches, self.verbose):
            check_finite_scores(output[0] if segments else output, f"clip {min(rows)}", self)
            yield rows, output
        dataset.unreadable.summarize(consequence)


def history_table(history: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a table of the history of a net or of a checkpoint: one row per validation interval."""
    rows = [
        {key: value for key, value in row.items() if key in _HISTORY_COLUMNS} for row in history
    ]
    return pd.DataFrame(rows).reindex(columns=_HISTORY_COLUMNS).dropna(axis=1, how="all")


def kept_interval(history: pd.DataFrame) -> tuple[str, int | None]:
    """Return the column that tells intervals apart, and the place of the one that was kept.

    It is "n_epochs" or "n_iterations". None: there was no validation.
    """
    in_epochs = "n_epochs" in history and history["n_epochs"].is_unique
    column = "n_epochs" if in_epochs else "n_iterations"
    if "valid_mAP" not in history or not history["valid_mAP"].notna().any():
        return column, None
    if "valid_mAP_best" in history:  # of equal ones, not the first one
        kept = np.flatnonzero(history["valid_mAP_best"].fillna(False).astype(bool))
        if len(kept):
            return column, int(kept[-1])
    return column, int(np.nanargmax(history["valid_mAP"]))
