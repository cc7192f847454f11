"""Fetch the file of a pretrained model, once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from sktagger import __version__
from sktagger._utils.files import replacing
from sktagger._utils.progress import TaskProgress
from sktagger.pretrained._cache import CACHE_VARIABLE, cached_path, is_cached
from sktagger.pretrained._models import PretrainedModel, find_model

_TIMEOUT = 30  # seconds without a byte from the server
_CHUNK = 2**18  # bytes
_MEGABYTE = 10**6
# A checkpoint of PyTorch is a zip archive or, before version 1.6, begins with a pickle.
_STARTS = (b"PK\x03\x04", b"\x80\x02")


def fetch(name: str, *, progress: bool = True) -> Path:
    """Return the file of a pretrained model; the first time, fetch it.

    The file is fetched from its official address into the cache folder. Size and checksum are
    checked if they are known (see :func:`find_model`), and it gets its name only when it is whole.
    A file that is already there is used as it is, unless it has another size: then it is fetched
    again. Several threads or processes that need the same file fetch it once.

    Parameters
    ----------
    name : str
        A name of :func:`list_models`.
    progress : bool, default=True
        Whether to show progress on standard error: a bar in a terminal or a notebook, a line every
        half minute elsewhere.

    Returns
    -------
    Path
        The file in :func:`cache_dir`.

    Raises
    ------
    ValueError
        If there is no model of this name.
    ConnectionError
        If the file cannot be fetched: there is no connection, the server does not have it, the
        connection was cut off, or what came is not the file. The message says which file to
        download by hand, and where to put it.
    OSError
        If the cache folder cannot be written.

    Examples
    --------
    >>> from sktagger.pretrained import fetch
    >>> fetch("mn10_as")  # doctest: +SKIP
    PosixPath('/home/me/.cache/sktagger/mn10_as_mAP_471.pt')
    """
    model = find_model(name)
    path = cached_path(model)
    if is_cached(model):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(path, progress):
            if not is_cached(model):  # another process may have fetched it meanwhile
                with replacing(path) as file:
                    _download(model, file, progress)
    except _Failure as error:
        raise ConnectionError(
            f"{model.name!r} cannot be fetched from {model.url}: {error}. Check the connection and "
            f"try again, or download this address by hand and save it as {str(path)!r}; "
            f"{CACHE_VARIABLE} names another folder."
        ) from error.__cause__
    except OSError as error:
        reason = str(error.strerror or error).rstrip(".")
        raise type(error)(
            f"{model.name!r} cannot be saved in the cache folder {str(path.parent)!r}: {reason}. "
            f"Check this folder, or set {CACHE_VARIABLE} to another one."
        ) from error
    return path


class _Failure(Exception):
    """A download that failed. It is no OSError, because those mean that saving failed."""


@contextmanager
def _one_at_a_time(path: Path, progress: bool) -> Iterator[None]:
    """Wait for other threads and processes that fetch the same file."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress and sys.stderr is not None:
            print(f"Waiting for another process that fetches {path.name}.", file=sys.stderr)
        lock.acquire()
    except (OSError, NotImplementedError):
        # Some network folders have no locks. Files are written whole there, too.
        pass
    try:
        yield
    finally:
        lock.release()


def _download(model: PretrainedModel, file: BinaryIO, progress: bool) -> None:
    """Write the content of the address to a file, and check it."""
    import pooch

    bar = _Bar(f"Fetching {model.name}", progress)
    download = pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=_CHUNK,
        timeout=_TIMEOUT,
        # Without compression, the length that the server states is that of the file.
        headers={"User-Agent": f"sktagger/{__version__}", "Accept-Encoding": "identity"},
    )
    outer = sys.exc_info()[1]
    try:
        download(model.url, file, None)
    except OSError as error:
        # Those of the disk have a number, those of the connection have none.
        if error.errno is not None:
            raise
        raise _Failure(_cause(error, outer)) from error
    finally:
        bar.close()
    file.flush()
    _check(model, Path(file.name), bar.total)


def _check(model: PretrainedModel, path: Path, stated: int) -> None:
    """Compare what came with what is known of the file.

    `stated` is the size that the server stated, or 0.
    """
    import pooch

    size = path.stat().st_size
    if size < stated:
        raise _Failure(f"the connection was cut off after {size} of {stated} bytes")
    with open(path, "rb") as file:
        start = file.read(16)
    if not start.startswith(_STARTS):
        raise _Failure(f"what came is not a checkpoint; it begins with {start!r}")
    if model.size not in (None, size):
        raise _Failure(f"what came has {size} bytes, but the file has {model.size}")
    if model.checksum is not None:
        algorithm, digest = model.checksum.split(":")
        found = pooch.file_hash(str(path), alg=algorithm)
        if found != digest:
            raise _Failure(f"what came has the {algorithm} sum {found}, but the file has {digest}")


def _cause(error: BaseException, outer: BaseException | None) -> str:
    """Say in a few words why a server did not send the file.

    `outer` is an error that was being handled before, which is no cause of this one.
    """
    response = getattr(error, "response", None)
    if response is not None:
        response.close()  # nobody reads the rest of the answer
        return f"the server answered {response.status_code} {response.reason}"
    deeper: BaseException | None = error
    while deeper is not None and deeper is not outer:
        error, deeper = deeper, deeper.__cause__ or deeper.__context__
    return f"the connection failed: {getattr(error, 'strerror', None) or error}"


class _Bar:
    """Show the progress of a download of Pooch, which sets `total` and counts bytes."""

    def __init__(self, what: str, progress: bool) -> None:
        self.total = 0
        self._what, self._progress = what, progress
        self._n = 0
        self._task: TaskProgress | None = None

    def update(self, n: int) -> None:
        """Count `n` more bytes; Pooch counts the last chunk as a whole one."""
        if self._task is None:
            self._task = TaskProgress(
                self._what,
                _megabytes(self.total),
                unit="megabyte",
                verbose=self._progress and self.total > 0,
            )
        self._n = min(self._n + n, self.total)
        self._task.update(_megabytes(self._n) - self._task.n)

    def reset(self) -> None:
        """Do nothing: Pooch then counts all bytes once more, and `update` stops at the total."""

    def close(self) -> None:
        if self._task is not None:
            self._task.close()


def _megabytes(n_bytes):
    return -(-n_bytes // _MEGABYTE)
