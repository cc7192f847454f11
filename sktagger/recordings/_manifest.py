"""The manifest of the results of an archive: its settings, and a fingerprint of the model."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sktagger._utils.files import replacing
from sktagger._utils.json import JSONError, parse_json
from sktagger._utils.text import short
from sktagger.recordings._recording import Task
from sktagger.recordings._results import read_parts

MANIFEST = "manifest.json"
_FORMAT = 1


def check_manifest(folder: Path, tagger: Any, task: Task, *, resume: bool) -> None:
    """Write the manifest, or compare it with the one that is there.

    Parameters
    ----------
    folder : Path
        Folder of the results.
    tagger : AudioTagger
    task : Task
    resume : bool
        Whether there may be results.

    Raises
    ------
    FileExistsError
        If there are results, and `resume` is False.
    ValueError
        If they are of another model or other settings.
    """
    settings = {"model": fingerprint(tagger), **_plain(task._asdict())}
    path = folder / MANIFEST
    if not path.exists():
        if next(read_parts(folder), None) is not None:
            raise ValueError(
                f"out_dir={str(folder)!r} has results without {MANIFEST}, so their settings are "
                "unknown. Give another folder."
            )
        with replacing(path) as file:
            file.write(json.dumps({"format": _FORMAT, **settings}, indent=1).encode())
        return
    if not resume:
        raise FileExistsError(
            f"out_dir={str(folder)!r} has results. Set resume=True to continue, or give another "
            "folder."
        )
    there = read_manifest(folder)
    others = [name for name in settings if there.get(name) != settings[name]]
    if others or there.get("format") != _FORMAT:
        what = ", ".join(
            f"{name} is {short(there.get(name))} there and {short(settings[name])} now"
            for name in others
        )
        raise ValueError(
            f"out_dir={str(folder)!r} has results of other settings: {what or 'another format'}. "
            "Use the same settings, or give another folder."
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the settings of results.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict
        "format", "model" (its fingerprint), and the fields of a `Task`.

    Raises
    ------
    FileNotFoundError
        If there is no manifest.
    ValueError
        If it is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(
            f"There are no results in {str(folder)!r}. Give the folder that tag_files wrote."
        )
    try:
        found = parse_json(path.read_bytes())
        # results from before there were embeddings and masks do not say that they have none
        return {"embeddings": False, "mask": None, **found}
    except (JSONError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}. Give another folder.") from error


def fingerprint(tagger: Any) -> str:
    """Return a text that depends on weights, events and network.

    Parameters
    ----------
    tagger : AudioTagger

    Returns
    -------
    str
        Hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tagger.module_.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    digest.update(json.dumps([str(event) for event in tagger.classes_.tolist()]).encode())
    network = tagger.network_
    digest.update(" ".join(repr(network).split()).encode())
    for name in network.adjustable:  # of which repr leaves out a part if they are long lists
        value = getattr(network, name)
        if np.ndim(value):
            digest.update(json.dumps(_plain(value)).encode())
    return digest.hexdigest()


def _plain(value):
    """Turn a setting into what strict JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):  # leaves out an event
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)
