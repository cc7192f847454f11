"""Recordings of any length, and archives of them: events in time, resumable runs, formats."""

from sktagger.recordings.archive import find_recordings, read_results, read_skipped, tag_files
from sktagger.recordings.detection import detect_events
from sktagger.recordings.detector import EventDetector
from sktagger.recordings.events import Event, EventStream, find_events
from sktagger.recordings.formats import read_events, write_events
from sktagger.recordings.search import nearest
from sktagger.recordings.strong_labels import StrongLabelTagger, pseudo_labels

__all__ = [
    "Event",
    "EventDetector",
    "EventStream",
    "StrongLabelTagger",
    "detect_events",
    "find_events",
    "find_recordings",
    "nearest",
    "pseudo_labels",
    "read_events",
    "read_results",
    "read_skipped",
    "tag_files",
    "write_events",
]
