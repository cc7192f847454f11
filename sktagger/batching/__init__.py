"""Batches of clips: plan them, read them ahead in threads, and move them to the device."""

__all__: list[str] = []
