"""Find the parts of an archive that sound most like a clip: nearest neighbors of embeddings."""

from __future__ import annotations

import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sktagger._utils.files import expand_path
from sktagger._utils.text import short
from sktagger.audio.reading import Section as Samples
from sktagger.audio.reading import audio_info
from sktagger.recordings._manifest import fingerprint, read_manifest
from sktagger.recordings._neighbors import METRICS, Neighbors, Queries
from sktagger.recordings._recording import Embeddings
from sktagger.recordings._results import Block, Part, Version, read_blocks, read_parts
from sktagger.recordings.detection import tagger_and_thresholds

__all__ = ["nearest"]

_SAME_TIME = 1e-3  # seconds; printed times are rounded
_LARGEST = 1e30  # numbers of embeddings; products of larger ones might be infinite in float32


def nearest(
    results: str | os.PathLike[str],
    query: str | os.PathLike[str] | tuple[str | os.PathLike[str], float, float] | ArrayLike,
    k: int = 10,
    *,
    tagger: Any = None,
    metric: Literal["cosine", "euclidean"] = "cosine",
    per_file: bool = False,
    include_query: bool = False,
) -> pd.DataFrame:
    """Find the clips or windows of an archive whose embeddings are nearest to that of a clip.

    All rows are compared, block by block, so the result is exact, and memory does not grow with
    the archive.

    Parameters
    ----------
    results : str or PathLike
        Folder that :func:`tag_files` wrote with ``embeddings=True``.
    query : path, tuple (path, onset, offset), or array-like
        What to find more of. A path: a whole file; its embedding is the mean of those of its
        windows. A tuple: the section of a file from `onset` to `offset` in seconds. The embedding
        is that of the archive, if it has the file, or a window with these times, and the file has
        not changed since; otherwise `tagger` computes it, by windows as in the archive. An array of
        shape (n_features,) or (n_queries, n_features): embeddings, for example of
        :class:`sktagger.AudioEmbedding`.
    k : int, default=10
        Number of rows to find for each query. If there are fewer, all are returned.
    tagger : estimator or None, default=None
        The tagger that the archive was tagged with, see :func:`tag_files`. None: the query must be
        in the archive, or an array.
    metric : {"cosine", "euclidean"}, default="cosine"
        "cosine": the highest cosine of the angle between embeddings. It does not depend on their
        lengths. "euclidean": the lowest Euclidean distance.
    per_file : bool, default=False
        Whether to return only the best window of each file.
    include_query : bool, default=False
        Whether to return rows of the query itself: of the file, or windows that overlap the
        section. Arrays leave out nothing.

    Returns
    -------
    DataFrame of shape (n_rows, 4), or (n_rows, 5) if `query` is a 2-D array
        Best first. Columns `file`, `onset` and `offset` (in seconds) and `similarity`, the cosine
        in [-1, 1], or, for "euclidean", `distance`. Rows with the same similarity are in the order
        of file and onset. For a 2-D array, the first column is `query`, its position, and the rows
        of a query follow each other.

    Raises
    ------
    FileNotFoundError
        If there are no results, or no file `query`.
    ValueError
        If the archive has no embeddings, or was tagged by another model than `tagger`; if `query`
        is not in the archive, and there is no tagger, or has another number of features than the
        archive; or if a parameter is wrong.

    Examples
    --------
    Find more like the ten seconds after the first minute of a night::

        tag_files(tagger, "archive", "results", embeddings=True)
        nearest("results", ("archive/night.flac", 60, 70))
    """
    folder = expand_path(results)
    manifest = read_manifest(folder)
    if not manifest["embeddings"]:
        raise ValueError(
            f"results={str(folder)!r} has no embeddings. Call tag_files with embeddings=True and "
            "another folder."
        )
    if isinstance(k, bool) or not isinstance(k, Integral) or int(k) < 1:
        raise ValueError(f"k={k!r}, but it must be an integer above 0.")
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r}, but it must be 'cosine' or 'euclidean'.")
    source = _read_query(query)
    left_out = None
    if isinstance(source, _Source):
        known = _find(folder, source)
        if not include_query:
            left_out = known
        vectors = _embed(folder, manifest, source, known, tagger)[np.newaxis]
    else:
        vectors = np.atleast_2d(source)
    neighbors = Neighbors(Queries(vectors, metric), int(k), per_file=per_file)
    part = None
    for part in read_parts(folder):
        for block in read_blocks(part.path, manifest["kind"]):
            if block.embeddings.shape[1] != vectors.shape[1]:
                raise ValueError(
                    f"query has {vectors.shape[1]} features, but the embeddings of the archive "
                    f"have {block.embeddings.shape[1]}. Compute it with the same network."
                )
            if left_out is not None and part.path == left_out.part.path:
                block = block.take(np.flatnonzero(~left_out.rows_of(block)))
            if len(block.onsets):
                neighbors.add(block)
    if part is None:
        raise FileNotFoundError(
            f"There are no results in {str(folder)!r} yet. Call tag_files with resume=True."
        )
    many = not isinstance(source, _Source) and source.ndim == 2
    return _to_table(neighbors, metric, many)


class _Source(NamedTuple):
    """A file, or a section of it."""

    path: str
    onset: float | None = None
    offset: float | None = None

    def __str__(self) -> str:
        times = "" if self.onset is None else f" from {self.onset:g} to {self.offset:g} s"
        return f"{self.path!r}{times}"


class _Known(NamedTuple):
    """A file of the archive, and the times of a query in it."""

    part: Part
    file: str
    source: _Source

    def rows_of(self, block: Block) -> np.ndarray:
        """Say which rows of a block are of the file, and overlap the section."""
        rows = block.files.to_numpy(zero_copy_only=False) == self.file
        _, onset, offset = self.source
        if onset is not None and offset is not None:
            rows &= (block.onsets < offset - _SAME_TIME) & (block.offsets > onset + _SAME_TIME)
        return rows

    def is_unchanged(self) -> bool:
        """Say whether the file is as it was, or does not exist any more."""
        now = Version.of(self.source.path)
        return now in (Version(), self.part.files[self.file])

    def embedding(self, kind: str) -> np.ndarray | None:
        """Return the embedding in the archive, if there is one of the file or section."""
        mean = Embeddings(mean=True)
        n_rows = 0
        for block in read_blocks(self.part.path, kind):
            rows = self.rows_of(block)
            _, onset, offset = self.source
            if onset is not None:
                rows &= np.abs(block.onsets - onset) < _SAME_TIME
                rows &= np.abs(block.offsets - offset) < _SAME_TIME
            for vector in block.embeddings[rows]:
                mean.add(vector)
                n_rows += 1
        return mean.mean() if n_rows else None


def _read_query(query: Any) -> _Source | np.ndarray:
    """Return a source, or embeddings as an array of float64."""
    if isinstance(query, str | os.PathLike):
        return _Source(str(expand_path(query)))
    if isinstance(query, tuple) and query and isinstance(query[0], str | os.PathLike):
        path, *times = query
        numbers = [float(time) for time in times if isinstance(time, Real)]
        if len(times) != 2 or len(numbers) != 2 or not 0 <= numbers[0] < numbers[1] < np.inf:
            raise ValueError(
                f"query={short(query)}, but a section must be (path, onset, offset), in seconds, "
                "with 0 <= onset < offset."
            )
        return _Source(str(expand_path(path)), *numbers)
    try:
        vectors = np.asarray(query, np.float64)
    except (TypeError, ValueError):
        vectors = np.empty(())
    if vectors.ndim not in (1, 2) or not vectors.size or not (np.abs(vectors) < _LARGEST).all():
        raise ValueError(
            f"query={short(query)}, but it must be a path, a tuple (path, onset, offset), or an "
            "array of numbers of shape (n_features,) or (n_queries, n_features)."
        )
    return vectors


def _find(folder: Path, source: _Source) -> _Known | None:
    """Find the file of a query in the archive."""
    path, name = os.path.abspath(source.path), os.path.basename(source.path)
    for part in read_parts(folder):
        for file in part.files:
            if file.endswith(name) and os.path.abspath(file) == path:
                return _Known(part, file, source)
    return None


def _embed(folder, manifest, source, known, tagger):
    """Return the embedding of a query, of shape (n_features,)."""
    unchanged = known is not None and known.is_unchanged()
    stored = known.embedding(manifest["kind"]) if unchanged else None
    if stored is not None:
        return stored.astype(np.float64)
    if not os.path.exists(source.path):
        raise FileNotFoundError(
            f"query: there is no file {source.path!r}, neither on the disk nor in the archive."
        )
    if tagger is None:
        why = "is not in the archive" if known is None or unchanged else "has changed since"
        raise ValueError(
            f"query: {source} {why}, so its embedding must be computed. Give the tagger that the "
            "archive was tagged with, or the times of a window of the archive."
        )
    inner, _ = tagger_and_thresholds(tagger)
    if fingerprint(inner) != manifest["model"]:
        raise ValueError(
            f"tagger: results={str(folder)!r} has embeddings of another model, which cannot be "
            "compared. Give the tagger that the archive was tagged with."
        )
    clip: Any = source.path
    if source.onset is not None:
        n_samples, rate = audio_info(Samples(source.path))
        start, stop = (round(time * rate) for time in source[1:])
        if start >= n_samples:
            raise ValueError(f"query: {source} begins after its end, at {n_samples / rate:g} s.")
        clip = (source.path, start, min(max(stop, start + 1), n_samples))
    embeddings = Embeddings(mean=True)
    for *_, vector in inner.iter_embeddings(clip, manifest["window"], manifest["hop"]):
        embeddings.add(vector)
    return embeddings.mean().astype(np.float64)


def _to_table(neighbors, metric, many):
    found = neighbors.found
    similarity, files, onsets, offsets = map(np.concatenate, zip(*found, strict=True))
    table = pd.DataFrame({"file": pd.Series(files, dtype=str), "onset": onsets, "offset": offsets})
    if metric == "cosine":
        table["similarity"] = similarity
    else:
        table["distance"] = np.sqrt(-similarity)
    if many:
        numbers = np.repeat(np.arange(len(found)), [len(of_query.file) for of_query in found])
        table.insert(0, "query", numbers)
    return table
