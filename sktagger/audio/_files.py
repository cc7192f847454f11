"""Audio files on a disk and in memory, and the errors of files that cannot be read."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from sktagger._utils.files import path_hint


@dataclass(frozen=True, repr=False)
class MemoryFile:
    """An encoded audio file in memory, which can be used in place of a path.

    Parameters
    ----------
    content : bytes
        The bytes of the file.
    name : str, default="<bytes>"
        Name of the file in messages.
    """

    content: bytes
    name: str = "<bytes>"

    def __repr__(self) -> str:
        return self.name


class FileVersion(NamedTuple):
    """Properties of a file that change when its content changes.

    Attributes
    ----------
    n_bytes : int
        Size of the file.
    modified : int
        Time of the last modification in ns. Programs can set it.
    inode : int
        Number of the file in its file system.
    changed : int
        Time of the last change of the content or the metadata in ns. Programs cannot set it.
    """

    n_bytes: int
    modified: int = 0
    inode: int = 0
    changed: int = 0


def file_version(path: str | MemoryFile) -> FileVersion:
    """Return the properties of a file that change with its content.

    Parameters
    ----------
    path : str or MemoryFile
        The file.

    Returns
    -------
    FileVersion

    Raises
    ------
    FileNotFoundError, PermissionError, OSError, ValueError
        If the file is missing or cannot be opened, or the path is a pipe or a device.
    """
    if isinstance(path, MemoryFile):
        return FileVersion(len(path.content))
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise why_unreadable(path, "") from error
    except OSError as error:
        raise _cannot_be_opened(path, error) from error
    except ValueError as error:
        raise ValueError(f"Audio file {path!r} cannot be opened: {error}.") from error
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        # Opening a pipe would block forever.
        raise ValueError(f"Audio file {path!r} is not a regular file, but a pipe or a device.")
    return FileVersion(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def open_bytes(path: str | MemoryFile) -> BinaryIO:
    """Open a file on a disk or in memory for reading its bytes.

    Parameters
    ----------
    path : str or MemoryFile
        The file.

    Returns
    -------
    binary file
    """
    return io.BytesIO(path.content) if isinstance(path, MemoryFile) else open(path, "rb")


def why_unreadable(path: str | MemoryFile, reason: str) -> Exception:
    """Return the error of a file that libsndfile cannot open.

    libsndfile says "System error" for most of them.

    Parameters
    ----------
    path : str or MemoryFile
        The file.
    reason : str
        The message of libsndfile.

    Returns
    -------
    FileNotFoundError, IsADirectoryError, PermissionError or ValueError
        The message names the file and what to do.
    """
    if not isinstance(path, MemoryFile):
        if not os.path.lexists(path):
            hint = path_hint(path, is_missing=True) or (
                "Check the path. Relative paths in a database start at the folder of its JSON "
                "file, others at the working directory"
            )
            return FileNotFoundError(f"Audio file {path!r} does not exist. {hint}.")
        if os.path.isdir(path):
            return IsADirectoryError(f"Audio file {path!r} is a directory. Give the files in it.")
    try:
        with open_bytes(path) as file:
            is_empty = not file.read(1)
    except OSError as error:
        return _cannot_be_opened(path, error)
    what = "is empty (0 bytes)" if is_empty else f"cannot be read as audio ({reason})"
    return ValueError(
        f"Audio file {path!r} {what}. The allowed formats are those of libsndfile, such as WAV, "
        "FLAC, OGG, MP3 and AIFF. Convert the file or leave the clip out."
    )


def _cannot_be_opened(path, error):
    return type(error)(f"Audio file {path!r} cannot be opened: {error.strerror}.")
