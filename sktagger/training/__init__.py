"""Training: the skorch net, its callbacks and checkpoints, and initial weights."""

__all__: list[str] = []
