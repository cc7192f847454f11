"""Small data for `--quick`: the benchmarks run on it in seconds, their figures mean nothing."""

import json
from pathlib import Path

import torch

from sktagger.datasets.scenes import make_scenes
from sktagger.networks import EfficientAT

# Parameters of WALNetTagger that fit the data.
QUICK_PARAMS = {"sample_rate": 8000, "batch_size": 4, "verbose": 0}


def write_quick_data(folder):
    """Write a few scenes, and a database that looks like ESC-10 but has two clips per fold.

    Parameters
    ----------
    folder : PathLike
        The folder gets the subfolders ``scenes`` and ``esc10``, each with a JSON database.

    Returns
    -------
    Path
        The database that looks like ESC-10.
    """
    sizes = {"n_train": 20, "n_validate": 10, "n_eval": 10}
    db = make_scenes(
        Path(folder) / "scenes",
        **sizes,
        duration=1.0,
        sample_rate=8000,
        random_state=0,
        verbose=False,
    )
    clips = db.table("balanced_train")
    examples = {}
    for number, path in enumerate(clips["audio_path"]):
        fold, event = number % 5 + 1, ("dog", "rain")[number // 5 % 2]
        name = f"{event}_{fold}-{100_000 + number // 2}-A"
        examples[name] = {"audio_path": path, "events": [event], "fold": fold}
    database = Path(folder) / "esc10" / "esc10.json"
    database.parent.mkdir()
    database.write_text(json.dumps({"datasets": {"all": examples}}), encoding="utf-8")
    return database


def write_quick_weights(folder):
    """Write random weights of a small EfficientAT with the outputs of AudioSet.

    Parameters
    ----------
    folder : PathLike

    Returns
    -------
    Path
        The file. Its name tells the settings, as those of public weights do.
    """
    path = Path(folder) / "mn01_as_mAP_000.pt"
    torch.save(EfficientAT(width=0.1).build(527, random_state=0).state_dict(), path)
    return path
