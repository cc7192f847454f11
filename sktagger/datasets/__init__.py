"""Data sets: JSON databases of clips and their events, synthetic scenes, AudioSet's classes."""

from sktagger.datasets._audioset import audioset_classes
from sktagger.datasets._strong_labels import read_strong_labels
from sktagger.datasets.database import Database, load_database
from sktagger.datasets.scenes import make_scenes

__all__ = ["Database", "audioset_classes", "load_database", "make_scenes", "read_strong_labels"]
