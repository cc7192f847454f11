"""What the report page tells about a tagger: model card, settings, training history."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pandas as pd

from sktagger import __version__
from sktagger._utils.text import printable
from sktagger.reports._page_data import round_number
from sktagger.taggers._base import kept_interval

_PACKAGES = ("torch", "scikit-learn", "skorch", "numpy", "librosa", "soundfile")
_LONGEST = 300  # characters of a value


def make_card(tagger: Any, about: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Make the lines of the model card.

    Parameters
    ----------
    tagger : AudioTagger or None
    about : dict or None
        Further lines, which come first.

    Returns
    -------
    list of (str, str)
    """
    card = [(printable(name), printable(value)) for name, value in (about or {}).items()]
    if tagger is not None:
        network = tagger.network_
        n_weights = sum(weight.numel() for weight in tagger.module_.parameters())
        clip_input, grid = network.get_input(), network.get_grid()
        step = grid.step * clip_input.stft.hop_length / clip_input.sample_rate
        length = grid.length * clip_input.stft.hop_length / clip_input.sample_rate
        began = getattr(tagger, "_began_with", None)
        card += [
            ("Network", f"{network!r}, {n_weights:,} weights"),
            ("Input", f"{clip_input.sample_rate:,} Hz, {clip_input.n_mels} mel bands"),
            ("Scores in time", f"segments of {length:.3g} s every {step:.3g} s"),
            ("Training", _describe_training(tagger)),
            ("Initial weights", "random" if began is None else printable(_shortened(began))),
        ]
    versions = [f"sktagger {__version__}", f"Python {platform.python_version()}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return [*card, ("Page written", now), ("Versions", ", ".join(versions))]


def _describe_training(tagger):
    history = tagger.history_
    text = f"{tagger.n_iter_:,} batches"
    if "n_epochs" in history:
        text += f", {history['n_epochs'].max()} epochs"
    if "valid_mAP" in history and history["valid_mAP"].notna().any():
        text += f", best validation mAP {100 * history['valid_mAP'].max():.1f} %"
    return text


def _shortened(value):
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def describe_settings(tagger: Any) -> list[tuple[str, str]]:
    """List the parameters of a tagger.

    Parameters
    ----------
    tagger : AudioTagger or None

    Returns
    -------
    list of (str, str)
    """
    if tagger is None:
        return []
    params = tagger.get_params(deep=False)
    params["network"] = tagger.network_
    left_out = ("init_from", "verbose", "on_error")
    return [
        (name, printable(_shortened(value)))
        for name, value in sorted(params.items())
        if name not in left_out
    ]


def describe_history(history: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return the training history as curves.

    Parameters
    ----------
    history : DataFrame or None
        One row per validation interval.

    Returns
    -------
    dict or None
        `x` and `xlabel`; `loss`, a list of curves; `metric`, a curve or None; `best`, the `x` of
        the validation interval that was kept, or None. None: there is no history.
    """
    if history is None or not len(history):
        return None
    column, kept = kept_interval(history)
    x = history[column].tolist()

    def curve(name, label):
        return {"name": label, "y": [round_number(y) for y in history[name].astype(float)]}

    losses = {"train_loss": "training", "valid_loss": "validation"}
    metric = curve("valid_mAP", "mAP") if "valid_mAP" in history else None
    return {
        "x": x,
        "xlabel": "epoch" if column == "n_epochs" else "iteration",
        "loss": [curve(name, label) for name, label in losses.items() if name in history],
        "metric": metric,
        "best": None if kept is None else x[kept],
    }
