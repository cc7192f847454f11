"""Clips in memory, with the interface of clips in files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import soxr
from joblib import Memory

from sktagger.audio._blocks import BLOCK_SAMPLES, resample_blocks
from sktagger.audio._gaps import Gap, present
from sktagger.audio._waveforms import check_finite, resample, resampled_length


class ArrayClips:
    """Clips in memory.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (n_samples,) or (n_channels, n_samples), or of Gap
        Floats, or signed integers, which are scaled from their range to [-1, 1].
    positions : sequence of int or None, default=None
        Positions of the clips in the container that the user passed. None: 0, 1, 2 and so on.
    rates : sequence of int or None, or None, default=None
        Sample rates of the clips in Hz. None, for one clip or for all: the rate at which a clip
        is loaded.
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray | Gap] | np.ndarray,
        positions: Sequence[int] | None = None,
        rates: Sequence[int | None] | None = None,
    ) -> None:
        self.arrays = arrays
        self.positions = range(len(arrays)) if positions is None else positions
        self.rates = [None] * len(arrays) if rates is None else rates

    def __len__(self) -> int:
        return len(self.arrays)

    def take(self, indices: Sequence[int] | np.ndarray) -> ArrayClips:
        """Select clips.

        Parameters
        ----------
        indices : sequence of int
            Indices of the clips to select.

        Returns
        -------
        ArrayClips
        """
        arrays = [self.arrays[i] for i in indices]
        positions = [self.positions[i] for i in indices]
        return ArrayClips(arrays, positions, [self.rates[i] for i in indices])

    def cached(self, memory: str | os.PathLike[str] | Memory) -> ArrayClips:
        """Return the clips themselves, because clips in memory need no cache.

        Parameters
        ----------
        memory : str, PathLike or joblib.Memory
            Ignored.

        Returns
        -------
        ArrayClips
        """
        return self

    def name(self, index: int) -> str:
        """Return the name of a clip for messages.

        Parameters
        ----------
        index : int
            Index of the clip.

        Returns
        -------
        str
        """
        return f"Clip {self.positions[index]}"

    def n_samples(self, index: int, sample_rate: int) -> int:
        """Return the number of samples of a clip at a sample rate.

        Parameters
        ----------
        index : int
            Index of the clip.
        sample_rate : int
            In Hz.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If the clip is missing.
        """
        n_samples = present(self.arrays[index]).shape[-1]
        return resampled_length(n_samples, self.rates[index] or sample_rate, sample_rate)

    def identity(self, index: int) -> tuple[bytes, ...]:
        """Return bytes that identify a clip: its samples, their type and the sample rate.

        Parameters
        ----------
        index : int
            Index of the clip.

        Returns
        -------
        tuple of bytes
        """
        if isinstance(self.arrays[index], Gap):
            return (b"",)
        array = np.ascontiguousarray(self.arrays[index])
        return f"{array.dtype} {array.shape} {self.rates[index]}".encode(), array.tobytes()

    def version(self, index: int) -> tuple[int | str, ...]:
        """Return what changes if a clip is resampled differently.

        Parameters
        ----------
        index : int
            Index of the clip.

        Returns
        -------
        tuple of int and str

        Raises
        ------
        ValueError
            If the clip is missing.
        """
        present(self.arrays[index])
        return (soxr.__version__, soxr.__libsoxr_version__)

    def load(self, index: int, sample_rate: int) -> np.ndarray:
        """Convert a clip to float32 and resample it.

        Parameters
        ----------
        index : int
            Index of the clip.
        sample_rate : int
            Sample rate of the result in Hz.

        Returns
        -------
        ndarray of shape (n_channels, n_samples), float32

        Raises
        ------
        ValueError
            If the clip is missing, or a sample is NaN or infinite.
        """
        waveform = _as_float32(np.atleast_2d(present(self.arrays[index])))
        check_finite(waveform.T, self.name(index))
        return resample(waveform, self.rates[index] or sample_rate, sample_rate)

    def blocks(self, index: int, sample_rate: int) -> Iterator[np.ndarray]:
        """Convert and resample a clip in blocks.

        Parameters
        ----------
        index : int
            Index of the clip.
        sample_rate : int
            Sample rate of the result in Hz.

        Yields
        ------
        ndarray of shape (n_channels, n), float32
            The concatenated blocks are the result of :meth:`load`.

        Raises
        ------
        ValueError
            If the clip is missing, or a sample is NaN or infinite.
        """
        waveform = np.atleast_2d(present(self.arrays[index]))
        rate = self.rates[index] or sample_rate
        blocks = self._blocks(waveform, self.name(index))
        yield from resample_blocks(blocks, waveform.shape[1], rate, sample_rate)

    @staticmethod
    def _blocks(waveform, name):
        for start in range(0, waveform.shape[1], BLOCK_SAMPLES):
            block = _as_float32(waveform[:, start : start + BLOCK_SAMPLES])
            check_finite(block.T, name, first=start)
            yield block


def _as_float32(waveform):
    scale = -np.iinfo(waveform.dtype).min if waveform.dtype.kind == "i" else 1
    with np.errstate(over="ignore"):  # `check_finite` refuses samples that overflow
        # A fixed memory order, because it affects how sums are rounded.
        return waveform.astype(np.float32, order="C") / np.float32(scale)
