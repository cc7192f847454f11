"""Data sets: JSON databases of clips and their events, and synthetic scenes."""

from sktagger.datasets.database import Database, load_database
from sktagger.datasets.scenes import make_scenes

__all__ = ["Database", "load_database", "make_scenes"]
