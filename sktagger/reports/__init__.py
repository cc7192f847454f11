"""Results of an evaluation, as tables, files, and a page to look at and to listen to."""

from sktagger.reports.files import (
    Evaluation,
    evaluate_scores,
    results_table,
    write_evaluation,
    write_json,
)
from sktagger.reports.page import write_report

__all__ = [
    "Evaluation",
    "evaluate_scores",
    "results_table",
    "write_evaluation",
    "write_json",
    "write_report",
]
