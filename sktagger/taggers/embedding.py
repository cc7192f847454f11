"""AudioEmbedding: features of clips from a trained network, for any other estimator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from joblib import Memory, effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.frozen import FrozenEstimator

from sktagger._utils.validation import Interval, StrOptions
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.devices import resolve_device, resolve_precision
from sktagger.batching.plain import PlainBatches
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._datasets import make_dataset
from sktagger.taggers._embedding_source import Source, SourceParameters
from sktagger.taggers._embedding_store import EmbeddingStore
from sktagger.taggers._scoring import (
    Computation,
    compute_batches,
    outputs_of_clips,
    outputs_of_segments,
    segment_tables,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AudioEmbedding"]


class AudioEmbedding(TransformerMixin, SourceParameters):
    """Compute features of audio clips with a trained network.

    The features of a clip are the outputs of a layer of the network. A simple classifier on such
    features needs few labels and seconds of training. The transformer has no fitted state: clips
    can be transformed without a call of `fit`, which only checks the parameters.

    Parameters
    ----------
    source : tagger, FrozenEstimator, str or PathLike
        The trained network: a fitted tagger, a file that the method `save` of a tagger wrote, a
        checkpoint, also of EfficientAT and PANNs (see :meth:`AudioTagger.from_checkpoint`), or the
        name of a pretrained model (see :func:`sktagger.pretrained.list_models`), which is fetched
        once. In a directory of an experiment or of checkpoints, the best checkpoint is read.
        Nothing in a file is executed. Clones share a tagger, which is not changed. In the grid of a
        search, which clones estimators, give paths or ``sklearn.frozen.FrozenEstimator(tagger)``.
    layer : str, default="embedding"
        Layer of the network whose outputs are the features. All networks have "embedding" and
        "logits" (one output per event, before the sigmoid). Some have others in between, such as
        "hidden".
    pooling : {"auto", "mean", "max"}, default="auto"
        How the segments of a clip are pooled. "auto": as the network pools its features; the mean
        of the outputs of the segments, if the network pools scores. "mean", "max": mean or maximum
        of each output over the segments.
    memory : str, PathLike, joblib.Memory or None, default=None
        Directory of a cache of embeddings. A clip is computed again if its file was changed or
        replaced, and for other weights, settings of the network, layers, poolings or precisions.
        Several processes can share the directory. Its files have no Python objects in them.
        Embeddings of segments are not cached. None: no cache.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1" and so on. "auto": a GPU if there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the network's hidden layers, see :class:`AudioTagger`.
    batch_size : int, default=12
        Maximum number of clips in a batch. Results do not depend on it. Long clips are computed in
        overlapping chunks where the network allows it, see :class:`AudioTagger`.
    on_error : {"raise", "warn", "skip"}, default="raise"
        What to do with clips that cannot be read. "raise": raise an error at the first one. "warn":
        leave each out with a warning. "skip": leave them out with one warning at the end. Their
        embeddings are NaN.
    n_jobs : int or None, default=None
        Number of threads that read and transform audio ahead of the network. None: 1. -1: one per
        processor. Results do not depend on it.
    verbose : int, default=1
        0: no progress is shown.

    Attributes
    ----------
    n_features_in_ : int
        Number of samples per clip; only if `fit` got a 2-D array of waveforms.

    See Also
    --------
    AudioTagger : Trains a network. Its `init_from` and `freeze` are for fine-tuning.

    Notes
    -----
    `X` is any container of clips that a tagger takes, see :class:`AudioTagger`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sktagger import AudioEmbedding, WALNetTagger
    >>> X = np.random.default_rng(0).standard_normal((8, 8000))
    >>> tagger = WALNetTagger(sample_rate=8000, max_epochs=1, random_state=0)
    >>> tagger = tagger.fit(X, [["noise"], []] * 4)
    >>> embedding = AudioEmbedding(tagger)
    >>> embedding.transform(X).shape
    (8, 1024)
    >>> probe = make_pipeline(embedding, StandardScaler(), LogisticRegression())
    >>> probe.fit(X, ["rain", "wind"] * 4).predict(X).shape
    (8,)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "source": [BaseTagger, FrozenEstimator, str, os.PathLike],
        "layer": [str],
        "pooling": [StrOptions({"auto", "mean", "max"})],
        "memory": [str, os.PathLike, Memory, None],
        "device": [str],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "on_error": [StrOptions({"raise", "warn", "skip"})],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        source: BaseTagger | FrozenEstimator | str | os.PathLike[str],
        *,
        layer: str = "embedding",
        pooling: Literal["auto", "mean", "max"] = "auto",
        memory: str | os.PathLike[str] | Memory | None = None,
        device: str = "auto",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        batch_size: int = 12,
        on_error: Literal["raise", "warn", "skip"] = "raise",
        n_jobs: int | None = None,
        verbose: int = 1,
    ) -> None:
        self.source = source
        self.layer = layer
        self.pooling = pooling
        self.memory = memory
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, the source and the form of the clips.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class. Files are not read.
        y : object, default=None
            Ignored.

        Returns
        -------
        self
            The same transformer.

        Raises
        ------
        FileNotFoundError, NotFittedError, TypeError, ValueError
            If a parameter is not allowed, the source cannot be read, or `X` is not a container of
            clips.
        """
        self._read_source()
        check_clips(self, X, reset=True)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Compute the embeddings of clips, as `transform` does.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.
        y : object, default=None
            Ignored.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float32
            See :meth:`transform`.
        """
        X = reusable(X)
        return self.fit(X, y).transform(X)

    def transform(self, X: Any) -> np.ndarray:
        """Compute the embedding of each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        ndarray of shape (n_clips, n_features), float32
            With ``on_error="warn"`` or "skip", the rows of clips that cannot be read are NaN.

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip or the source cannot be read; the message names it.
        FloatingPointError
            If the outputs of the network are not finite.
        """
        source = self._read_source()
        clips = check_clips(self, X, reset=False)
        n_clips = len(clips)
        store = self._open_store(source)
        known: dict[int, np.ndarray] = {}
        keys: dict[int, bytes] = {}
        if store is not None:
            known, keys = store.look_up(clips)
            clips = clips.take([k for k in range(n_clips) if k not in known])
        if len(clips):
            module = source.module_for(*self._resolve(source))
            computation = outputs_of_clips(module, self.layer, self.pooling)
            dataset = make_dataset(self, clips, source.network)
            dataset.unreadable.n_clips = n_clips
            for rows, outputs in self._compute(computation, dataset, source):
                for row, embedding in zip(rows.tolist(), outputs.cpu().numpy(), strict=True):
                    known[row] = embedding
                    if store is not None and row in keys:
                        store.write(keys[row], embedding)
            dataset.unreadable.summarize("have embeddings of NaN")
        # if no clip can be read, the network tells the number
        n_features = len(next(iter(known.values()), ())) or source.count_features(self.layer)
        embeddings = np.full((n_clips, n_features), np.nan, dtype=np.float32)
        for row, embedding in known.items():
            embeddings[row] = embedding
        return embeddings

    def transform_segments(self, X: Any) -> list[pd.DataFrame]:
        """Compute the embedding of each segment of each clip.

        Parameters
        ----------
        X : array-like of clips
            See Notes of the class.

        Returns
        -------
        list of DataFrame of shape (n_segments, n_features), float32
            One table per clip, indexed by `onset` and `offset` in seconds, as
            :meth:`AudioTagger.predict_segments` returns it. `pooling` has no effect. With
            ``on_error="warn"`` or "skip", the table of a clip that cannot be read has no rows.

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip or the source cannot be read; the message names it.
        FloatingPointError
            If the outputs of the network are not finite.
        """
        source = self._read_source()
        clips = check_clips(self, X, reset=False)
        computation = outputs_of_segments(source.module_for(*self._resolve(source)), self.layer)
        dataset = make_dataset(self, clips, source.network)
        tables = segment_tables(
            self._compute(computation, dataset, source),
            dataset,
            len(clips),
            source.network,
            self._names(source),
        )
        dataset.unreadable.summarize("have no segments")
        return tables

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like or None, default=None
            Ignored; present for compatibility with scikit-learn.

        Returns
        -------
        ndarray of shape (n_features,), object
            "embedding0", "embedding1" and so on. For the layer "logits", the events of the source.
        """
        return self._names(self._read_source())

    def _names(self, source):
        if self.layer == "logits":
            names = [str(event) for event in source.classes]
        else:
            names = [f"{self.layer}{k}" for k in range(source.count_features(self.layer))]
        return np.array(names, dtype=object)

    def _resolve(self, source):
        device = resolve_device(self.device)
        return device, resolve_precision(self.precision, device, source.network)

    def _open_store(self, source: Source) -> EmbeddingStore | None:
        memory = self.memory
        if memory is None or (isinstance(memory, Memory) and memory.location is None):
            return None
        _, precision = self._resolve(source)
        return EmbeddingStore(memory, (source.fingerprint, self.layer, self.pooling, precision))

    def _compute(
        self, computation: Computation, dataset: ClipDataset, source: Source
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield the positions of clips and the result of the computation for them."""
        n_threads = effective_n_jobs(self.n_jobs)
        batches = PlainBatches(dataset, self.batch_size, n_threads, source.network.get_grid())
        for rows, outputs in compute_batches(computation, batches, self.verbose):
            values = outputs[0] if isinstance(outputs, tuple) else outputs
            if not values.isfinite().all():
                raise FloatingPointError(
                    f"The outputs of layer {self.layer!r} for clip {min(rows)} are not finite: "
                    f"the training of {source.name} diverged. Give another source."
                )
            yield rows, outputs

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
