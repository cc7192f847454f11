"""Per-event thresholds, and the model of scores by which they are chosen."""

from sktagger.thresholds.tuner import ThresholdTuner

__all__ = ["ThresholdTuner"]
