"""Files that are whole or not there."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Open a file whose content stands under its name only once all of it is on the disk.

    Whatever interrupts the writing, an earlier file of that name stays as it was. What is left by
    a process that is killed meanwhile, ``<name>.part``, is overwritten by the next one.

    Parameters
    ----------
    path : str or PathLike

    Yields
    ------
    file
        To write bytes to.

    Raises
    ------
    OSError
        If it cannot be written, for lack of space for one; the message names the file.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        kept = " The file that was there is kept." if path.exists() else ""
        reason = error.strerror or error
        raise type(error)(f"{str(path)!r} cannot be written: {reason}.{kept}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
