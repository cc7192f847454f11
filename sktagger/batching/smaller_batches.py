"""Retry a batch in smaller parts when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from sktagger._utils.warnings import warn
from sktagger.batching.device_transfer import padded_length

__all__ = ["BatchSplitter", "first_line", "is_out_of_memory", "select_clips"]

_T = TypeVar("_T")


def is_out_of_memory(error: Exception) -> bool:
    """Say whether an error means that the memory of the GPU or the CPU is used up.

    Parameters
    ----------
    error : Exception
        An error of PyTorch or NumPy.

    Returns
    -------
    bool
    """
    kinds = MemoryError, torch.OutOfMemoryError
    return isinstance(error, kinds) or "DefaultCPUAllocator" in str(error)


class BatchSplitter:
    """Splits batches into parts that fit into memory.

    The parts have a maximum size, which is halved whenever memory runs out.

    Parameters
    ----------
    consequence : str
        What smaller parts change, for the warning.

    Attributes
    ----------
    max_clips : int or None
        Maximum number of clips in a part. None: no batch has been split.
    """

    def __init__(self, consequence: str):
        self.consequence = consequence
        self.max_clips: int | None = None

    def run(self, function: Callable[[list[slice]], _T], n_clips: int, longest: str = "") -> _T:
        """Call a function on the parts of a batch.

        Parameters
        ----------
        function : callable
            Takes a list of slices that cover the batch in order. If memory runs out, it is called
            again with smaller parts, after the memory of the failed call has been freed.
        n_clips : int
            Number of clips in the batch.
        longest : str, default=""
            Name of the longest clip of the batch, for the error.

        Returns
        -------
        object
            What `function` returned.

        Raises
        ------
        MemoryError
            If a single clip does not fit into memory.

        Warns
        -----
        UserWarning
            Each time that the size of parts is halved.
        """
        while True:
            size = min(n_clips, self.max_clips or n_clips)
            try:
                return function([slice(i, i + size) for i in range(0, n_clips, size)])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    named = f" The longest of the batch: {longest}." if longest else ""
                    raise MemoryError(
                        f"Out of memory with a single clip ({first_line(error)}).{named} Split "
                        "long clips into sections (path, start, stop), free memory that other "
                        "programs hold, or set device to one with more."
                    ) from error
                reason = first_line(error)
            # not in the except clause: the traceback of the error would keep the tensors alive
            self._halve(size, reason)

    def _halve(self, size, reason):
        self.max_clips = (size + 1) // 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        warn(
            f"Out of memory with {size} clips at once ({reason}). It continues with at most "
            f"{self.max_clips}; {self.consequence}. Set a lower batch_size to avoid this."
        )


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error.

    Parameters
    ----------
    error : Exception

    Returns
    -------
    str
        The name of its type if it has no message.

    Examples
    --------
    >>> first_line(MemoryError())
    'MemoryError'
    """
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def select_clips(inputs: dict[str, Tensor], part: slice) -> dict[str, Tensor]:
    """Select some clips of the inputs of a batch.

    Parameters
    ----------
    inputs : dict of Tensor
        See :meth:`sktagger.batching.dataset.ClipDataset.inputs`.
    part : slice
        Which clips.

    Returns
    -------
    dict of Tensor
        Inputs of a smaller batch.
    """
    if part.start == 0 and part.stop >= len(inputs["n_frames"]):
        return inputs
    of_frames = ("samples", "onsets", "places")  # their first axis is not the clip
    selected = {name: tensor[part] for name, tensor in inputs.items() if name not in of_frames}
    if "samples" in inputs:
        row_length = padded_length(int(inputs["n_frames"].max()))
        rows = inputs["places"] // row_length
        kept = (rows >= part.start) & (rows < part.stop)
        places = inputs["places"][kept] - part.start * row_length
        shorter = row_length - padded_length(int(selected["n_frames"].max()))
        selected["samples"] = inputs["samples"]
        selected["onsets"] = inputs["onsets"][kept]
        selected["places"] = places - places // row_length * shorter
        if "activity" in inputs:
            selected["activity"] = selected["activity"][..., : row_length - shorter]
    return selected
