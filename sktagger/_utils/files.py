"""Paths as users type them, and atomic file writes."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_MAX_WRITING_TIME = 24 * 3600  # seconds; an older partial file has no writer any more
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+:/"  # at least two letters, because C:/ is a drive


def expand_path(path: str | os.PathLike[str]) -> Path:
    """Replace ``~`` or ``~user`` at the beginning of a path by the home directory.

    Parameters
    ----------
    path : str or PathLike
        Any path.

    Returns
    -------
    Path
        Unchanged if it does not begin with ``~`` or there is no such user.

    Raises
    ------
    TypeError
        If `path` is not a path.
    """
    return Path(os.path.expanduser(path))


def path_hint(path: str, *, is_missing: bool = False) -> str:
    """Explain what is wrong with a path that comes from another program or system.

    Parameters
    ----------
    path : str
        The path as the user gave it.
    is_missing : bool, default=False
        Whether it is known that no file has this path. Then parts after a slash are checked, too,
        because a folder may have been joined to a path of another system, and quotation marks
        around the path are reported.

    Returns
    -------
    str
        A sentence without its final period, such as "It is a URI: ...". Empty if the path looks
        like one of this system.
    """
    begin = "(?:^|/)" if is_missing else "^"
    if re.search(begin + _SCHEME, path):
        return "It is a URI: download the file, or remove the scheme of a local file"
    if path != path.strip():
        return "It begins or ends with white space or a line break: remove it"
    if is_missing and path[:1] in ("'", '"') and path[-1] == path[0]:
        return "The quotation marks are part of the path: remove them"
    if re.search(begin + "~", path):
        return "The ~ is not expanded to the home directory: write out the directory"
    if os.sep == "/" and re.search(begin + r"[A-Za-z]:[/\\]", path):
        return "It begins with a Windows drive: give the path that the file has on this system"
    if os.sep == "/" and "\\" in path:
        return "A backslash does not separate folders on this system: use /"
    return ""


@contextmanager
def replacing(path: str | os.PathLike[str], *, flush: bool = True) -> Iterator[BinaryIO]:
    """Write a file atomically.

    The content is first written to a partial file, ``.<name>.<random>.part``. It gets its name
    when all of it is on the disk. If writing is interrupted, an earlier file of that name stays
    unchanged. If several processes write the same name, the last one to finish wins. A symbolic
    link of that name is replaced, not followed. Partial files of killed processes are deleted
    when a file of the same name is written a day or more later.

    Parameters
    ----------
    path : str or PathLike
        ``~`` is expanded.
    flush : bool, default=True
        Whether to wait until all of the file is on the disk, which takes milliseconds. Otherwise,
        its content can be lost if the power fails, although it has its name.

    Yields
    ------
    file : binary file
        Open for writing.

    Raises
    ------
    OSError
        If the file cannot be written, for example because the disk is full. The message names
        the file.
    """
    path = expand_path(path)
    delete_partial(path.parent, path.name, age=_MAX_WRITING_TIME)
    partial = path.parent / f"{_prefix(path.name)}{secrets.token_hex(8)}.part"
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        kept = " The file that was there is kept." if path.exists() else ""
        reason = error.strerror or error
        raise type(error)(f"{str(path)!r} cannot be written: {reason}.{kept}") from error
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def delete_partial(
    folder: str | os.PathLike[str], name: str | None = None, *, age: float = 0.0
) -> None:
    """Delete the partial files of killed processes.

    Parameters
    ----------
    folder : str or PathLike
        It may be missing.
    name : str or None, default=None
        Name of the file that was being written. None deletes the partial files of all names.
    age : float, default=0.0
        In seconds. Partial files that were changed more recently stay, because a process may
        still be writing them.
    """
    prefix = r"\..*\." if name is None else re.escape(_prefix(name))
    partial = re.compile(prefix + r"[0-9a-f]{16}\.part", re.DOTALL)
    oldest = time.time() - age
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if partial.fullmatch(entry.name):
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_mtime <= oldest:
                        os.unlink(entry.path)


def _prefix(name):
    """Return how the names of partial files begin; file systems limit the length of names."""
    return f".{name[:50]}."
