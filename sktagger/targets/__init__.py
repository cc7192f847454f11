"""Reading of targets in any form, for estimators, scorers, splitters and displays."""

from sktagger.targets._conversion import Targets, check_targets, event_columns, read_targets
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
    "Targets",
    "align_events",
    "align_score_targets",
    "are_events",
    "check_classes",
    "check_same_classes",
    "check_targets",
    "column_names",
    "event_columns",
    "match_columns",
    "match_events",
    "match_form",
    "matched_by_name",
    "plain_container",
    "plain_table",
    "read_form",
    "read_targets",
]
