"""Estimators: taggers, a tagger with tuned thresholds, and features from trained networks."""

from sktagger.taggers.audio_tagger import AudioTagger
from sktagger.taggers.embedding import AudioEmbedding
from sktagger.taggers.tuned import TunedThresholdTagger
from sktagger.taggers.walnet import WALNetTagger

__all__ = ["AudioEmbedding", "AudioTagger", "TunedThresholdTagger", "WALNetTagger"]
