"""Recordings of any length: events in time."""

from sktagger.recordings.events import Event, EventStream, find_events

__all__ = ["Event", "EventStream", "find_events"]
