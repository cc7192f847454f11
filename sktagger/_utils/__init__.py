"""Helpers that know nothing of audio: JSON, files, texts, checks of parameters, threads."""
