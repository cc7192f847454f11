"""What audio is read from: files on a disk and in memory, and errors that say why one is not."""

import io
import os
import re
import stat
from dataclasses import dataclass
from typing import NamedTuple

_URI = re.compile(r"(?:^|/)[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters: C:/ is a drive
_HOME = re.compile(r"(?:^|/)~")
_DRIVE = re.compile(r"(?:^|/)[A-Za-z]:[/\\]")


@dataclass(frozen=True, repr=False)
class MemoryFile:
    """An encoded audio file that is held in memory; takes the place of a path.

    Parameters
    ----------
    content : bytes
        What the file would hold.
    name : str, default="<bytes>"
        What messages call it.
    """

    content: bytes
    name: str = "<bytes>"

    def __repr__(self) -> str:
        return self.name


class FileVersion(NamedTuple):
    """What changes with a file's content.

    Attributes
    ----------
    n_bytes : int
    modified : int
        Time of modification in ns, which programs can set.
    inode : int
    changed : int
        Time of the last change in ns, be it of the file or of its time of modification.
    """

    n_bytes: int
    modified: int = 0
    inode: int = 0
    changed: int = 0


def file_version(path) -> FileVersion:
    """Give what changes with a file's content; refuse what is no file.

    Parameters
    ----------
    path : str or MemoryFile

    Returns
    -------
    FileVersion

    Raises
    ------
    FileNotFoundError, PermissionError, OSError, ValueError
        If there is no such file, or it cannot be opened.
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
        # opening a pipe would wait for ever
        raise ValueError(f"Audio file {path!r} is no regular file, but a pipe or a device.")
    return FileVersion(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def open_bytes(path) -> io.BufferedIOBase:
    """Open a file, be it on a disk or in memory, for its bytes.

    Parameters
    ----------
    path : str or MemoryFile

    Returns
    -------
    binary file
    """
    return io.BytesIO(path.content) if isinstance(path, MemoryFile) else open(path, "rb")


def why_unreadable(path, reason: str) -> Exception:
    """Turn libsndfile's "System error" into what is wrong with a file.

    Parameters
    ----------
    path : str or MemoryFile
    reason : str
        What libsndfile says.

    Returns
    -------
    FileNotFoundError, IsADirectoryError, PermissionError or ValueError
    """
    if not isinstance(path, MemoryFile):
        if not os.path.lexists(path):
            return FileNotFoundError(f"Audio file {path!r} does not exist. {_hint(path)}")
        if os.path.isdir(path):
            return IsADirectoryError(f"Audio file {path!r} is a directory. Give the files in it.")
    try:
        with open_bytes(path) as file:
            is_empty = not file.read(1)
    except OSError as error:
        return _cannot_be_opened(path, error)
    what = "is empty (0 bytes)" if is_empty else f"cannot be read as audio ({reason})"
    return ValueError(
        f"Audio file {path!r} {what}. Allowed are the formats of libsndfile, among them WAV, FLAC, "
        "OGG, MP3 and AIFF; convert the file or leave the clip out."
    )


def _hint(path):
    """Say what to do about a path at which there is no file."""
    if _URI.search(path):
        return "It is a URI, but must be a path: download the file, or cut the scheme off."
    if path != path.strip():
        return "It begins or ends with white space or a line end: strip it."
    if path[:1] in ("'", '"') and path[-1] == path[0]:
        return "Its quotation marks are part of it: cut them off."
    if _HOME.search(path):
        return "The ~ is not expanded to the home directory: use os.path.expanduser."
    if os.sep == "/" and _DRIVE.search(path):
        return "It begins with a drive of Windows: give the path that the file has on this system."
    if "\\" in path and os.sep == "/":
        return "A backslash separates no folders on this system: use /."
    return (
        "Check the path; relative paths in a database are resolved against the folder of its JSON "
        "file, others against the working directory."
    )


def _cannot_be_opened(path, error):
    return type(error)(f"Audio file {path!r} cannot be opened: {error.strerror}.")
