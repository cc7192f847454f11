"""Headers of many audio files, and files with the same content."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from sktagger._utils.progress import TaskProgress
from sktagger._utils.threads import prefetch
from sktagger.audio.reading import Section, open_audio

_N_THREADS = 4  # they hide the latency of disks and networks
_PROBE = 4096  # bytes read at each of three places of a file


class Header(NamedTuple):
    """What the header of an audio file states.

    Attributes
    ----------
    n_samples : int
        Length, at the sample rate of the file.
    sample_rate : int
        In Hz.
    n_channels : int
    """

    n_samples: int
    sample_rate: int
    n_channels: int


def read_headers(paths: Iterable[str], *, verbose: int | bool = 1) -> dict[str, Header | Exception]:
    """Read the headers of audio files, in threads and with a progress bar.

    Parameters
    ----------
    paths : iterable of str
        Repeated paths are read once.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    dict of str to Header or Exception
        The error for a file that cannot be read: an OSError or ValueError that names it.
    """
    distinct = list(dict.fromkeys(paths))
    headers = {}
    with TaskProgress("headers", len(distinct), unit="file", verbose=verbose, delay=1.0) as bar:
        found = prefetch(_read_header, distinct, _N_THREADS)
        for path, header in zip(distinct, found, strict=True):
            headers[path] = header
            bar.update()
    return headers


def _read_header(path):
    try:
        with open_audio(Section(path)) as file:
            return Header(file.frames, file.samplerate, file.channels)
    except (OSError, ValueError) as error:
        return error


def find_copies(paths: Iterable[str], *, verbose: int | bool = 1) -> list[list[str]]:
    """Find files with the same content.

    Files of equal size are compared by a few bytes, and read as a whole only if these agree.

    Parameters
    ----------
    paths : iterable of str
        Files; those that cannot be read are left out. Links to the same file count once.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    list of list of str
        Groups of at least two files, in the order of `paths`.
    """
    by_size = defaultdict(list)
    known = set()
    for path in dict.fromkeys(paths):
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue
        if (place := (status.st_dev, status.st_ino)) not in known:
            known.add(place)
            by_size[status.st_size].append(path)
    same_size = [files for files in by_size.values() if len(files) > 1]
    total = sum(map(len, same_size))
    with TaskProgress("copies", total, unit="file", verbose=verbose, delay=1.0) as bar:
        alike = [g for files in same_size for g in _group(files, _probe, bar)]
    return [group for files in alike for group in _group(files, _digest)]


def _group(files, key, bar=None):
    groups = defaultdict(list)
    for path, value in zip(files, prefetch(key, files, _N_THREADS), strict=True):
        if bar is not None:
            bar.update()
        if value is not None:
            groups[value].append(path)
    return [group for group in groups.values() if len(group) > 1]


def _probe(path):
    """Return bytes from the middle half of a file, where audio files differ."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            found = []
            for quarter in (1, 2, 3):
                file.seek(quarter * size // 4)
                found.append(file.read(_PROBE))
        return hashlib.sha256(b"".join(found)).digest()
    except OSError:
        return None


def _digest(path):
    try:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
            return digest.digest()
    except OSError:
        return None
