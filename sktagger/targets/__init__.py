"""Reading of targets in any form, for estimators, scorers, splitters and displays."""

from sktagger.targets._conversion import Targets, check_targets, event_columns, read_targets
from sktagger.targets._event_times import (
    EventTimes,
    are_strong,
    check_known_events,
    clip_names,
    clips_of_rows,
    read_event_times,
    take_event_rows,
)
from sktagger.targets._forms import column_names, plain_container, plain_table, read_form
from sktagger.targets._matching import (
    align_events,
    align_score_targets,
    check_classes,
    check_same_classes,
    match_columns,
    match_events,
    match_form,
    matched_by_name,
)
from sktagger.targets._names import are_events

__all__ = [
    "EventTimes",
    "Targets",
    "align_events",
    "align_score_targets",
    "are_events",
    "are_strong",
    "check_classes",
    "check_known_events",
    "check_same_classes",
    "check_targets",
    "clip_names",
    "clips_of_rows",
    "column_names",
    "event_columns",
    "match_columns",
    "match_events",
    "match_form",
    "matched_by_name",
    "plain_container",
    "plain_table",
    "read_event_times",
    "read_form",
    "read_targets",
    "take_event_rows",
]
