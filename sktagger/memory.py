"""Going on where memory runs out: fewer clips at once through the network."""

import warnings
from collections.abc import Callable

import torch


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether an error of PyTorch means that a GPU's or the machine's memory is used up.

    Parameters
    ----------
    error : RuntimeError

    Returns
    -------
    bool
    """
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


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

    def call(self, function: Callable, n_clips: int):
        """Call a function that works on the parts of a batch.

        Parameters
        ----------
        function : callable
            Takes a list of slices, which cover the batch in order. Called again from its
            beginning, with smaller parts, when memory runs out in it; what the failed call had
            allocated is free by then.
        n_clips : int
            Number of clips of the batch.

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
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise MemoryError(
                        f"Out of memory with a single clip ({_first_line(error)}). Split long "
                        "clips into sections (path, start, stop), free memory that other programs "
                        "hold, or set device to one with more."
                    ) from error
                reason = _first_line(error)
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


def _first_line(error):
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def take_clips(inputs: dict, part: slice) -> dict:
    """Take some clips of the inputs of a batch; the first axis of each tensor is the clip."""
    return {name: tensor[part] for name, tensor in inputs.items()}
