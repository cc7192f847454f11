"""Helpers that are not specific to audio."""
