"""Exact nearest neighbors of embeddings that come in blocks.

Products of matrices in float32 are fast, but their last bits depend on the place of a row in its
block. Therefore they only choose candidates: rows whose similarity could be among the highest, if
the error of rounding were as large as it can be. Similarities of candidates are then computed in
float64, row by row. So the result depends neither on blocks nor on threads, and equal embeddings
have equal similarities.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sktagger.recordings._results import Block

__all__ = ["METRICS", "Neighbors", "Queries"]

METRICS = ("cosine", "euclidean")
_QUERIES_AT_ONCE = 64  # a matrix of their similarities with a block has 8 MB


class Queries:
    """Embeddings to find similar ones of.

    Parameters
    ----------
    vectors : ndarray of shape (n_queries, n_features), float64
    metric : {"cosine", "euclidean"}

    Notes
    -----
    The similarity is the cosine, or minus the squared distance. The cosine with a vector of zeros
    is 0.
    """

    def __init__(self, vectors: np.ndarray, metric: str) -> None:
        self.metric = metric
        self.vectors = vectors
        self.norms = np.linalg.norm(vectors, axis=1)
        used = vectors if metric == "euclidean" else vectors * _inverse(self.norms)[:, np.newaxis]
        self._factors = np.asarray(used.T, np.float32)
        # The sum of n products has an error of up to n units of rounding, of 2**-24 each [1]_;
        # this is more than twice as much, and includes all other operations.
        # .. [1] N. J. Higham, "Accuracy and stability of numerical algorithms", SIAM 2002, sec. 3.1
        self._error = 2.0**-22 * (vectors.shape[1] + 16)

    def bounds(self, embeddings: np.ndarray, queries: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return lower and upper bounds of similarities.

        Parameters
        ----------
        embeddings : ndarray of shape (n_rows, n_features), float32
        queries : slice

        Returns
        -------
        low, high : ndarray of shape (n_queries, n_rows), float64
        """
        products = (embeddings @ self._factors[:, queries]).T.astype(np.float64)
        squares = np.einsum("ij,ij->i", embeddings, embeddings).astype(np.float64)
        norms = np.sqrt(squares)
        if self.metric == "cosine":
            return _around(products * _inverse(norms), self._error)
        own = self.norms[queries, np.newaxis]
        distances = squares - 2 * products + own**2
        return _around(-distances, self._error * (norms + own) ** 2)

    def similarities(self, embeddings: np.ndarray, query: int) -> np.ndarray:
        """Compute similarities in float64.

        Parameters
        ----------
        embeddings : ndarray of shape (n_rows, n_features), float32
        query : int

        Returns
        -------
        ndarray of shape (n_rows,), float64
            Each depends on its row only.
        """
        rows, vector = embeddings.astype(np.float64), self.vectors[query]
        if self.metric == "euclidean":
            return -np.square(rows - vector).sum(axis=1)
        norms = np.sqrt(np.square(rows).sum(axis=1)) * self.norms[query]
        return np.clip((rows * vector).sum(axis=1) * _inverse(norms), -1, 1)


class _Found(NamedTuple):
    """Nearest rows so far, best first; equal ones in the order of file and onset."""

    similarity: np.ndarray
    file: np.ndarray
    onset: np.ndarray
    offset: np.ndarray


class Neighbors:
    """The nearest rows of each query, of all blocks that were added.

    Parameters
    ----------
    queries : Queries
    k : int
        Number of rows to keep for each query.
    per_file : bool
        Whether to keep only the best row of each file. Rows of a file must follow each other.

    Attributes
    ----------
    found : list of tuple (similarity, files, onsets, offsets)
        For each query, arrays of shape (n_rows,), best first.
    """

    def __init__(self, queries: Queries, k: int, *, per_file: bool = False) -> None:
        self._queries, self._k, self._per_file = queries, k, per_file
        nothing = np.empty(0)
        empty = _Found(nothing, np.empty(0, object), nothing, nothing)
        self.found = [empty] * len(queries.vectors)

    def add(self, block: Block) -> None:
        """Add a block of rows."""
        runs = _runs(block.files) if self._per_file else np.arange(len(block.onsets))
        for first in range(0, len(self.found), _QUERIES_AT_ONCE):
            queries = slice(first, first + _QUERIES_AT_ONCE)
            low, high = self._queries.bounds(block.embeddings, queries)
            for number, of_query in enumerate(zip(low, high, strict=True), first):
                rows = self._candidates(*of_query, runs, number)
                if len(rows):
                    self._merge(block.take(rows), number)

    def _candidates(self, low, high, runs, number):
        """Return the rows that could be among the nearest."""
        known = self.found[number].similarity
        rows = np.flatnonzero(high >= (known[-1] if len(known) == self._k else -np.inf))
        if len(rows) > self._k:
            best = np.maximum.reduceat(low[rows], np.flatnonzero(_changes(runs[rows])))
            if len(best) >= self._k:
                rows = rows[high[rows] >= np.partition(best, -self._k)[-self._k]]
        return rows

    def _merge(self, block, number):
        similarity = self._queries.similarities(block.embeddings, number)
        files = block.files.to_numpy(zero_copy_only=False).astype(object)
        new = (similarity, files, block.onsets, block.offsets)
        joined = [np.concatenate(pair) for pair in zip(self.found[number], new, strict=True)]
        similarity, files, onsets, offsets = joined
        order = np.lexsort((offsets, onsets, files, -similarity))
        if self._per_file:
            _, first = np.unique(files[order], return_index=True)
            order = order[np.sort(first)]
        self.found[number] = _Found(*(values[order[: self._k]] for values in joined))


def _runs(files):
    """Number the runs of rows of the same file."""
    return np.cumsum(_changes(files.to_numpy(zero_copy_only=False)))


def _changes(values):
    """Say where a value differs from the one before; the first one does."""
    return np.concatenate([[True], values[1:] != values[:-1]])


def _around(values, error):
    return values - error, values + error


def _inverse(norms):
    return np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
