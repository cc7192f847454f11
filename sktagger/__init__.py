"""Audio tagging with the scikit-learn API.

Audio files and weak labels go in (which events occur in a clip, not when); predictions come out::

    from sktagger import WALNetTagger, ThresholdTuner, load_database

    db = load_database("scenes.json")
    X, Y = db.to_xy("balanced_train")
    X_val, Y_val = db.to_xy("validate", events=Y.columns)
    tagger = WALNetTagger(max_epochs=20, random_state=0).fit(X, Y, X_val=X_val, Y_val=Y_val)
    tuner = ThresholdTuner().fit(tagger.predict_proba(X_val), Y_val)
    X_new, _ = db.to_xy("eval", events=Y.columns)
    tuner.predict(tagger.predict_proba(X_new))
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sktagger.audio.augmentation import Augmentation
    from sktagger.audio.spectral import STFT
    from sktagger.datasets.database import load_database
    from sktagger.taggers import (
        AudioEmbedding,
        AudioTagger,
        TunedThresholdTagger,
        WALNetTagger,
    )
    from sktagger.thresholds.tuner import ThresholdTuner

# By default, waiting OpenMP threads spin. They then take CPU time from the threads that read audio.
# OpenMP reads this variable once, when PyTorch is imported. A value that the user has set is kept.
if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0.dev0"

# Importing PyTorch takes seconds. Each name is imported when it is first used, so that
# `sktagger --help` answers at once. Type checkers read the imports above.
_HOME = {
    "AudioEmbedding": "sktagger.taggers",
    "AudioTagger": "sktagger.taggers",
    "Augmentation": "sktagger.audio.augmentation",
    "STFT": "sktagger.audio.spectral",
    "ThresholdTuner": "sktagger.thresholds.tuner",
    "TunedThresholdTagger": "sktagger.taggers",
    "WALNetTagger": "sktagger.taggers",
    "load_database": "sktagger.datasets.database",
}

__all__ = [
    "STFT",
    "AudioEmbedding",
    "AudioTagger",
    "Augmentation",
    "ThresholdTuner",
    "TunedThresholdTagger",
    "WALNetTagger",
    "load_database",
]


if not TYPE_CHECKING:  # a type checker would accept any name

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(import_module(_HOME[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
