"""Clips that are worth labeling, labels that are likely to be wrong, and a page to correct them."""

from sktagger.review.page import write_review_page
from sktagger.review.proposals import propose_clips, suspicious_labels

__all__ = ["propose_clips", "suspicious_labels", "write_review_page"]
