"""Cache of embeddings on the disk: one small file per clip, without Python objects in it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from joblib import Memory

from sktagger import __version__
from sktagger._utils.files import expand_path, replacing
from sktagger.audio.clips import ArrayClips, FileClips
from sktagger.networks import Network, NetworkModule
from sktagger.training._params import network_to_json
from sktagger.training.callbacks import copy_state

_FOLDER = "sktagger-embeddings"
_DTYPE = np.dtype("<f4")


def weights_digest(network: Network, module: NetworkModule) -> str:
    """Compute a hash of all that the outputs of a network depend on.

    Parameters
    ----------
    network : Network
        Resolved settings.
    module : NetworkModule

    Returns
    -------
    str
        SHA-256 of the version of sktagger, the settings and the weights, in hexadecimal digits.
    """
    settings = json.dumps(network_to_json(network), sort_keys=True, default=repr)
    digest = hashlib.sha256(f"{__version__} {settings}".encode())
    for name, tensor in sorted(copy_state(module).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class EmbeddingStore:
    """Embeddings of clips in a folder.

    Each embedding is a file, which begins with a hash of its content, so that a damaged file is
    noticed and computed again. Files are written atomically, so that several processes can share
    a folder.

    Parameters
    ----------
    memory : str, PathLike or Memory
        Parent folder; ``~`` is expanded. Of a Memory, its location.
    settings : sequence of str
        What embeddings depend on, apart from the clip: weights, layer, pooling, precision.
    """

    def __init__(self, memory: str | os.PathLike[str] | Memory, settings: Sequence[str]) -> None:
        location = memory.location if isinstance(memory, Memory) else memory
        name = hashlib.sha256(json.dumps(list(settings)).encode()).hexdigest()[:32]
        self.folder = expand_path(location) / _FOLDER / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(
                f"memory={memory!r}: no embeddings can be cached there ({error.strerror}). Give a "
                "folder that can be written to, or None."
            ) from error

    def key(self, clips: FileClips | ArrayClips, index: int) -> bytes | None:
        """Return the hash that an embedding is stored under.

        Parameters
        ----------
        clips : FileClips or ArrayClips
        index : int
            Index of the clip.

        Returns
        -------
        bytes or None
            It depends on the path, the bounds and the version of a file, and on the samples of an
            array. None if the clip cannot be read.
        """
        try:
            version = clips.version(index)
        except (OSError, ValueError):
            return None
        digest = hashlib.sha256(repr(version).encode())
        for part in clips.identity(index):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.digest()

    def look_up(
        self, clips: FileClips | ArrayClips
    ) -> tuple[dict[int, np.ndarray], dict[int, bytes]]:
        """Read the embeddings of clips that are stored.

        Parameters
        ----------
        clips : FileClips or ArrayClips

        Returns
        -------
        known : dict of int to ndarray of shape (n_features,), float32
            Embeddings by the index of the clip.
        keys : dict of int to bytes
            Keys of the other clips, without those that cannot be read.
        """
        known, keys = {}, {}
        for index in range(len(clips)):
            key = self.key(clips, index)
            embedding = None if key is None else self.read(key)
            if embedding is not None:
                known[index] = embedding
            elif key is not None:
                keys[index] = key
        return known, keys

    def read(self, key: bytes) -> np.ndarray | None:
        """Read an embedding.

        Parameters
        ----------
        key : bytes
            What :meth:`key` returned.

        Returns
        -------
        ndarray of shape (n_features,), float32, or None
            None if it is not stored, or its file is damaged.
        """
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        values = content[len(key) :]
        if content[: len(key)] != _checksum(key, values):
            return None
        return np.frombuffer(values, _DTYPE).astype(np.float32)

    def write(self, key: bytes, values: np.ndarray) -> None:
        """Write an embedding.

        Parameters
        ----------
        key : bytes
            What :meth:`key` returned before the clip was read. If the file changed since then, no
            later version of it has this key.
        values : ndarray of shape (n_features,), float32
        """
        path = self._path(key)
        path.parent.mkdir(exist_ok=True)
        content = values.astype(_DTYPE).tobytes()
        with replacing(path, flush=False) as file:
            file.write(_checksum(key, content) + content)

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / name[2:]


def _checksum(key, content):
    return hashlib.sha256(key + content).digest()
