"""Per-event thresholds, and the model of scores that chooses them."""

from sktagger.thresholds.tuner import ThresholdTuner

__all__ = ["ThresholdTuner"]
