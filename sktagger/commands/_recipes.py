"""The settings of each `--recipe`."""

from typing import Any

# the published training leaves out clips shorter than 1.5 s
RECIPES: dict[str, dict[str, Any]] = {
    "default": {"settings": {}, "min_length": 0.0},
    "reference": {
        "settings": {
            "augmentation": "reference",
            "batch_size": 24,
            "pooling": "mean",
            "loss": "binary_cross_entropy",
            "lr": 3e-4,
            "schedule": "constant",
            "weight_decay": 0.0,
            "gradient_clip": 60.0,
            "max_iterations": 50_000,
            "validate_every": 1000,
        },
        "min_length": 1.5,
    },
}
