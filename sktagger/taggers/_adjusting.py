"""Views of a fitted tagger: the same weights, with other settings that do not change them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktagger.audio.clip_input import check_clips
from sktagger.taggers._scoring import scores_of_settings, segment_tables
from sktagger.training.setup import move_to_device

__all__ = ["adjust_network", "segments_of_settings"]


def adjust_network(tagger: Any, **settings: Any) -> Any:
    """Return a tagger that has the weights of another one, but other settings of the network.

    Parameters
    ----------
    tagger : AudioTagger
        Fitted. It does not change. Its weights are shared, not copied.
    **settings : dict
        Settings that the network allows to change after training, see `Network.adjustable`.

    Returns
    -------
    AudioTagger
        For predictions. Its parameters are those of `tagger`.

    Raises
    ------
    ValueError
        If a setting is out of range, or does not fit the number of events.
    """
    network = clone(tagger.network_).set_params(**settings)
    network.validate()
    network.shapes(len(tagger.classes_))  # compares settings with the number of events
    module = copy.copy(tagger.module_)
    module.adjust(network)
    view, net = _shallow_copy(tagger), _shallow_copy(tagger.net_)
    vars(net)["module_"] = module
    vars(view).update(_network=network, net_=net)
    return view


def segments_of_settings(
    tagger: Any, X: Any, settings: Sequence[Mapping[str, Any]]
) -> list[list[pd.DataFrame]]:
    """Score segments under several settings, with one pass through the backbone.

    Parameters
    ----------
    tagger : AudioTagger
        Fitted. It does not change.
    X : array-like of clips
        See Notes of :class:`sktagger.AudioTagger`.
    settings : sequence of dict
        Settings for :func:`adjust_network`, at least one. With all of them, scores must depend on
        a limited context.

    Returns
    -------
    list of list of DataFrame
        For each of the settings, what `predict_segments` of the adjusted tagger returns.
    """
    views = [adjust_network(tagger, **own) for own in settings]
    widest = max(views, key=lambda view: view.network_.get_grid().context)
    clips = check_clips(widest, X, reset=False)
    dataset = widest._dataset(clips, widest.network_)
    for view in views:
        move_to_device(view, view.net_)
    computation = scores_of_settings([view.module_.eval() for view in views])
    scored = widest._score_dataset(
        dataset, "have no segments", segments=True, computation=computation
    )
    n_events = len(tagger.classes_)
    columns = np.tile(tagger.classes_, len(views))
    tables = segment_tables(scored, dataset, len(clips), widest.network_, columns)
    starts = range(0, len(columns), n_events)
    return [[table.iloc[:, first : first + n_events] for table in tables] for first in starts]


def _shallow_copy(estimator):
    """Copy without the pickling that `copy.copy` does."""
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator))
    return twin
