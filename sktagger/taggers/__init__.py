"""The estimators: taggers, and taggers with tuned thresholds."""
