"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings
from itertools import takewhile
from types import FrameType

_PACKAGES = frozenset(
    {"sktagger", "skorch", "sklearn", "joblib", "torch", "threading", "contextlib"}
)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points at the line that called sktagger.

    Frames of sktagger and of the libraries that call it, such as scikit-learn in a pipeline or
    joblib in a cross-validation, are skipped. In a worker thread, which has no frame of the user,
    the warning points at the outermost frame.

    Parameters
    ----------
    message : str
        Text of the warning.
    category : type of Warning, default=UserWarning
        Class of the warning.
    """
    frame = sys._getframe(1)
    n_skipped = sum(1 for _ in takewhile(_is_skipped, _outward(frame)))
    n_frames = sum(1 for _ in _outward(frame))
    # A stacklevel of 1 is this function, 2 its caller.
    warnings.warn(message, category, stacklevel=2 + min(n_skipped, n_frames - 1))


def _outward(frame: FrameType | None):
    """Yield a frame, its caller, the caller of that one and so on."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_skipped(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    if name == "__main__":
        # "python -m sktagger" runs a module of the package under this name.
        name = getattr(frame.f_globals.get("__spec__"), "name", None) or name
    return name.split(".")[0] in _PACKAGES or name.startswith("concurrent.futures")
