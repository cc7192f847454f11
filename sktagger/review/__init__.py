"""Which clips are worth labeling, and which labels are likely to be wrong."""

from sktagger.review.proposals import propose_clips, suspicious_labels

__all__ = ["propose_clips", "suspicious_labels"]
