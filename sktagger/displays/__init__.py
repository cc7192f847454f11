"""Plots of metrics, in the style of scikit-learn's displays. Plotting requires matplotlib."""

from sktagger.displays._curves import PrecisionRecallEventsDisplay, ThresholdCurveDisplay
from sktagger.displays._event_report import EventReportDisplay

__all__ = ["EventReportDisplay", "PrecisionRecallEventsDisplay", "ThresholdCurveDisplay"]
