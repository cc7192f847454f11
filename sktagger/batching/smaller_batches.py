"""Going on where memory runs out: fewer clips at once through the network."""

import warnings
from collections.abc import Callable

import torch

from sktagger.batching.device_transfer import padded_length


def is_out_of_memory(error: Exception) -> bool:
    """Say whether an error means that a GPU's or the machine's memory is used up.

    Parameters
    ----------
    error : Exception
        Of PyTorch, or of NumPy.

    Returns
    -------
    bool
    """
    kinds = MemoryError, torch.OutOfMemoryError
    return isinstance(error, kinds) or "DefaultCPUAllocator" in str(error)


class ClipLimit:
    """The greatest number of clips at once, halved whenever memory runs out.

    Parameters
    ----------
    consequence : str
        What follows from a lower limit, for the warning.
    """

    def __init__(self, consequence: str):
        self.consequence = consequence
        self.n_clips = None

    def call(self, function: Callable, n_clips: int, longest: str = ""):
        """Call a function that works on the parts of a batch.

        Parameters
        ----------
        function : callable
            Takes a list of slices, which cover the batch in order. Called again from its
            beginning, with smaller parts, when memory runs out in it; what the failed call had
            allocated is free by then.
        n_clips : int
            Number of clips of the batch.
        longest : str, default=""
            Name of its longest clip, for the error.

        Returns
        -------
        object
            What `function` returned.

        Raises
        ------
        MemoryError
            If memory does not suffice for a single clip.

        Warns
        -----
        UserWarning
            For each halving.
        """
        while True:
            size = min(n_clips, self.n_clips or n_clips)
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
            # here, and not in the except clause, where the error's traceback holds the tensors
            self._halve(size, reason)

    def _halve(self, size, reason):
        self.n_clips = (size + 1) // 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        warnings.warn(
            f"Out of memory with {size} clips at once ({reason}). It goes on with at most "
            f"{self.n_clips}; {self.consequence}. Set a lower batch_size to avoid this.",
            UserWarning,
            stacklevel=3,
        )


def first_line(error: Exception) -> str:
    """Give the first line of an error's message, or its type."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def take_clips(inputs: dict, part: slice) -> dict:
    """Take some clips of the inputs of a batch.

    Parameters
    ----------
    inputs : dict of Tensor
        See :class:`sktagger.batching.dataset.ClipDataset`. The first axis is the clip, but for
        waveforms that are laid end to end.
    part : slice

    Returns
    -------
    dict of Tensor
    """
    if part.start == 0 and part.stop >= len(inputs["n_frames"]):
        return inputs
    whole = ("samples", "onsets", "places")
    taken = {name: tensor[part] for name, tensor in inputs.items() if name not in whole}
    if "samples" in inputs:
        row_length = padded_length(int(inputs["n_frames"].max()))
        rows = inputs["places"] // row_length
        chosen = (rows >= part.start) & (rows < part.stop)
        places = inputs["places"][chosen] - part.start * row_length
        shorter = row_length - padded_length(int(taken["n_frames"].max()))
        taken["samples"] = inputs["samples"]
        taken["onsets"] = inputs["onsets"][chosen]
        taken["places"] = places - places // row_length * shorter
    return taken
