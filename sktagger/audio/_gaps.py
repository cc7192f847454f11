"""Missing clips, which raise an error when they are loaded."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

Clip = TypeVar("Clip")


class Gap(NamedTuple):
    """A missing clip, such as None in a list of paths.

    Parameters
    ----------
    cause : str
        Message of the error that is raised when the clip is loaded.
    error : type of Exception, default=ValueError
        Type of the error if missing clips are not allowed at all.
    """

    cause: str
    error: type[Exception] = ValueError


def present(clip: Clip | Gap) -> Clip:
    """Return a clip, or raise a ValueError if it is missing.

    Parameters
    ----------
    clip : object
        The clip or a Gap.

    Returns
    -------
    object
        The clip itself.
    """
    if isinstance(clip, Gap):
        raise ValueError(clip.cause)
    return clip
