"""The settings of each `--recipe`."""

from __future__ import annotations

from typing import Any

_DEFAULT: dict[str, Any] = {"settings": {}, "min_length": 0.0}

# Published trainings by the network, which leave out clips below a length.
_REFERENCES: dict[str, dict[str, Any]] = {
    "WALNet": {
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
    "FBCRNN": {
        "settings": {
            "augmentation": "fbcrnn_reference",
            "batch_size": 32,
            "loss": "binary_cross_entropy",
            "lr": 5e-4,
            "schedule": "step",
            "weight_decay": 0.0,
            "gradient_clip": None,
            "max_iterations": 20_000,
            "validate_every": 1000,
        },
        "min_length": 1.0,
    },
}
RECIPES = {"default": {}, "reference": _REFERENCES}


def find_recipe(name: str, network: str) -> dict[str, Any]:
    """Find the settings of a recipe for a network.

    Parameters
    ----------
    name : {"default", "reference"}
    network : str
        Name of the network.

    Returns
    -------
    dict
        `settings` of the tagger, and the `min_length` of training clips in seconds.

    Raises
    ------
    ValueError
        If there is no published training of the network.
    """
    recipes = RECIPES[name]
    if recipes and network not in recipes:
        raise ValueError(
            f"--recipe: there is no {name} training of {network}; there are those of "
            f"{' and '.join(recipes)}. Leave the recipe out, and --set what you need."
        )
    return recipes.get(network, _DEFAULT)
