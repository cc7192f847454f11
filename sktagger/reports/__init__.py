"""Results of an evaluation, as tables and files."""

from sktagger.reports.files import (
    Evaluation,
    evaluate_scores,
    results_table,
    write_evaluation,
    write_json,
)

__all__ = ["Evaluation", "evaluate_scores", "results_table", "write_evaluation", "write_json"]
