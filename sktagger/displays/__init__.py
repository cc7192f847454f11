"""Plots of metrics, trainings and clips, in the style of scikit-learn's displays.

Plotting requires matplotlib.
"""

from sktagger.displays._curves import PrecisionRecallEventsDisplay, ThresholdCurveDisplay
from sktagger.displays._event_report import EventReportDisplay
from sktagger.displays._reliability import ReliabilityDisplay
from sktagger.displays._spectrogram import SpectrogramDisplay
from sktagger.displays._training_history import TrainingHistoryDisplay

__all__ = [
    "EventReportDisplay",
    "PrecisionRecallEventsDisplay",
    "ReliabilityDisplay",
    "SpectrogramDisplay",
    "ThresholdCurveDisplay",
    "TrainingHistoryDisplay",
]
