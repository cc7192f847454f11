"""Audio tagging with the scikit-learn API.

From audio files and weak labels (which events occur in a clip, not when) to decisions::

    from sktagger import WALNetTagger, ThresholdTuner, load_database

    db = load_database("scenes.json")
    X, Y = db.to_xy("balanced_train")
    X_val, Y_val = db.to_xy("validate", events=Y.columns)
    tagger = WALNetTagger(max_epochs=20, random_state=0).fit(X, Y, X_val=X_val, Y_val=Y_val)
    tuner = ThresholdTuner().fit(tagger.predict_proba(X_val), Y_val)
    X_new, _ = db.to_xy("eval", events=Y.columns)
    tuner.predict(tagger.predict_proba(X_new))
"""

import os
import sys
from importlib import import_module

# Threads of OpenMP that wait by spinning slow each other down as soon as a core is busy otherwise,
# with reading audio for one. OpenMP reads the variable when PyTorch is first imported, and never
# again. It holds for the whole process and those that it starts; a value that is set stays.
if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0.dev0"

# PyTorch takes seconds to import; names are looked up where they are first used, so that
# `sktagger --help` answers at once
_HOME = {
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
    "AudioTagger",
    "Augmentation",
    "ThresholdTuner",
    "TunedThresholdTagger",
    "WALNetTagger",
    "load_database",
]


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
