"""Recordings of any length: events in time."""

from sktagger.recordings.detection import detect_events
from sktagger.recordings.events import Event, EventStream, find_events

__all__ = ["Event", "EventStream", "detect_events", "find_events"]
