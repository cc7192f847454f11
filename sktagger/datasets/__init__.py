"""Data sets: databases of clips and their events, importers, synthetic scenes."""

from sktagger.datasets._audioset import audioset_classes
from sktagger.datasets._strong_labels import read_strong_labels
from sktagger.datasets.annotations import read_audacity, read_raven
from sktagger.datasets.audioset import read_audioset
from sktagger.datasets.corrections import read_corrections
from sktagger.datasets.database import Database, load_database
from sktagger.datasets.folders import read_folders
from sktagger.datasets.public_sets import read_esc50, read_fsd50k, read_urbansound8k
from sktagger.datasets.report import DatabaseReport, check_database
from sktagger.datasets.scenes import make_scenes
from sktagger.datasets.splitting import split_by_fold, split_database
from sktagger.datasets.tables import read_table

__all__ = [
    "Database",
    "DatabaseReport",
    "audioset_classes",
    "check_database",
    "load_database",
    "make_scenes",
    "read_audacity",
    "read_audioset",
    "read_corrections",
    "read_esc50",
    "read_folders",
    "read_fsd50k",
    "read_raven",
    "read_strong_labels",
    "read_table",
    "read_urbansound8k",
    "split_by_fold",
    "split_database",
]
