"""Paths as people type them, and files that are whole or not there."""

import os
import re
import secrets
import time
from contextlib import contextmanager, suppress
from pathlib import Path

_LEFT_BEHIND = 24 * 3600  # seconds after which nobody is still writing a file


def expand_path(path) -> Path:
    """Replace ``~`` and ``~user`` at the beginning of a path by the home directory.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    Path
        As it is where it does not begin with ``~``, or there is no such user.

    Raises
    ------
    TypeError
        If it is no path.
    """
    return Path(os.path.expanduser(path))


@contextmanager
def replacing(path):
    """Open a file whose content stands under its name only once all of it is on the disk.

    Whatever interrupts the writing, an earlier file of that name stays as it was. Of several
    writers at once, each writes a file of its own, and that of the last to finish stays. A link of
    that name is replaced, not followed.
    What killed processes leave, ``.<name>.<random>.part``, is deleted by a later writer of the
    same name, after a day.

    Parameters
    ----------
    path : str or PathLike
        ``~`` is expanded.

    Yields
    ------
    file
        To write bytes to.

    Raises
    ------
    OSError
        If it cannot be written, for lack of space for one; the message names the file.
    """
    path = expand_path(path)
    delete_partial(path.parent, path.name, age=_LEFT_BEHIND)
    partial = path.parent / f"{_prefix(path.name)}{secrets.token_hex(8)}.part"
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
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


def delete_partial(folder, name=None, *, age=0.0) -> None:
    """Delete what processes that were killed while they wrote have left in a folder.

    Parameters
    ----------
    folder : str or PathLike
        Need not exist.
    name : str or None, default=None
        Name of the file that they wrote; None: any.
    age : float, default=0.0
        In seconds; what was written to since is left, for a process may be writing it.
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
    """Begin the name of a partial file, which must not get longer than file systems allow."""
    return f".{name[:50]}."
