"""The data of the benchmarks of accuracy, how it is split, and how figures are written."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktagger import load_database


class Scenes(NamedTuple):
    """Clips and events of the three sets of scenes."""

    X: np.ndarray
    Y: pd.DataFrame
    X_val: np.ndarray
    Y_val: pd.DataFrame
    X_eval: np.ndarray
    Y_eval: pd.DataFrame


class Recordings(NamedTuple):
    """Clips, labels and published folds of ESC-10."""

    paths: np.ndarray
    labels: np.ndarray
    folds: np.ndarray

    def split(self, fold):
        """Return which clips are for training, validation and test; `fold` counts from 0."""
        names = sorted(set(self.folds))
        test = self.folds == names[fold]
        validation = self.folds == names[(fold + 1) % len(names)]
        return ~test & ~validation, validation, test


def read_scenes(data):
    """Read the database of scenes in the folder of all data."""
    db = load_database(Path(data) / "scenes" / "scenes.json")
    X, Y = db.to_xy("balanced_train")
    others = [db.to_xy(name, events=Y.columns) for name in ("validate", "eval")]
    return Scenes(X, Y, *others[0], *others[1])


def read_esc10(data):
    """Read the database of ESC-10 in the folder of all data."""
    db = load_database(Path(data) / "esc10" / "esc10.json")
    clips = pd.concat([db.table(name) for name in db.datasets])
    labels = clips["events"].map(lambda events: events[0]).to_numpy()
    return Recordings(clips["audio_path"].to_numpy(), labels, clips["fold"].to_numpy())


def mean_and_spread(mean, spread):
    """Format a cell: empty if a run lacks the measure, without spread if there is one run."""
    if np.isnan(mean):
        return ""
    return f"{mean:.1f}" if np.isnan(spread) else f"{mean:.1f} ± {spread:.1f}"
