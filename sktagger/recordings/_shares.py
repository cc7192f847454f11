"""Shares of an archive that several processes tag into the same folder."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_LOCK = re.compile(r"\.lock-(\d+)-of-(\d+)")
_MAX_WAIT = 600.0  # seconds; others hold the folder for the time of reading which files are done


def check_part(part: Any) -> tuple[int, int]:
    """Return the share and the number of shares, checked."""
    try:
        share, n_shares = map(int, part)
    except (TypeError, ValueError):
        share, n_shares = 0, 0
    if not 1 <= share <= n_shares:
        raise ValueError(f"part={part!r}, but it must be (i, n) with 1 <= i <= n.")
    return share, n_shares


def share_of(path: str, n_shares: int) -> int:
    """Return the share that a file belongs to, from 1 to `n_shares`."""
    digest = hashlib.sha256(os.fsencode(os.path.abspath(path))).digest()
    return int.from_bytes(digest[:8], "big") % n_shares + 1


def overlap(share: int, n_shares: int, other: int, n_others: int) -> bool:
    """Say whether two shares may have files in common, also of different numbers of shares."""
    return (share - other) % math.gcd(n_shares, n_others) == 0


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Keep other processes from reading which files are done, and from starting.

    Raises
    ------
    BlockingIOError
        If others hold the folder for a long time.
    """
    with _lock(
        folder / ".lock",
        f"Another process holds {str(folder)!r} for {_MAX_WAIT:.0f} s. Stop it, or wait until it "
        "ends.",
        timeout=_MAX_WAIT,
    ):
        yield


@contextmanager
def share_locked(folder: Path, share: int, n_shares: int) -> Iterator[None]:
    """Keep other processes from tagging files of a share; a lock ends with its process.

    Raises
    ------
    BlockingIOError
        If another process is tagging this share, or one that overlaps with it.
    """
    mine = share, n_shares
    own = ExitStack()
    with folder_locked(folder):
        for path in folder.glob(".lock-*"):
            if (match := _LOCK.fullmatch(path.name)) is None:
                continue
            other = int(match[1]), int(match[2])
            if other != mine and overlap(*mine, *other):
                with _lock(path, _message(folder, other, mine)):
                    pass
        own.enter_context(
            _lock(folder / f".lock-{share}-of-{n_shares}", _message(folder, mine, mine))
        )
    with own:
        yield


def _message(folder, other, mine):
    files = "" if other == mine else f", which has files of part={mine}"
    return (
        f"Another process is tagging part={other} into {str(folder)!r}{files}. Wait until it ends, "
        "or give each process another part of the same number of parts."
    )


@contextmanager
def _lock(path, message, timeout=0.0):
    lock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except NotImplementedError:  # a file system that has no locks
        yield
        return
    except Timeout as error:
        raise BlockingIOError(message) from error
    try:
        yield
    finally:
        lock.release()
