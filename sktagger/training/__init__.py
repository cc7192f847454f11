"""Training: the skorch net, its callbacks and checkpoints, and weights to begin with."""
