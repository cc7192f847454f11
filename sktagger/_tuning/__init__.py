"""How `ThresholdTuner` finds thresholds: a model of all events, and the choice it allows."""

from sktagger._tuning._choice import Criterion, pick_best, pick_expected

__all__ = ["Criterion", "pick_best", "pick_expected"]
