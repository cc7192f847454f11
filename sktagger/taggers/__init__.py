"""Estimators: taggers, and a tagger with tuned thresholds."""

from sktagger.taggers.audio_tagger import AudioTagger
from sktagger.taggers.tuned import TunedThresholdTagger
from sktagger.taggers.walnet import WALNetTagger

__all__ = ["AudioTagger", "TunedThresholdTagger", "WALNetTagger"]
