"""Recordings of any length: events in time, and their tables for other tools."""

from sktagger.recordings.detection import detect_events
from sktagger.recordings.detector import EventDetector
from sktagger.recordings.events import Event, EventStream, find_events
from sktagger.recordings.formats import read_events, write_events

__all__ = [
    "Event",
    "EventDetector",
    "EventStream",
    "detect_events",
    "find_events",
    "read_events",
    "write_events",
]
