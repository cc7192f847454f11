"""Onsets and offsets of the events of training clips, as `fit` gets them."""

from __future__ import annotations

from typing import Any

from sktagger.audio.clips import ArrayClips, FileClips, Gap
from sktagger.networks import NETWORKS, Network
from sktagger.targets import EventTimes, Targets, read_event_times


def read_times(
    events: Any,
    clips: FileClips | ArrayClips | None,
    targets: Targets,
    network: Network,
    name: str = "events",
) -> EventTimes | None:
    """Read the onsets and offsets of the events of clips.

    Parameters
    ----------
    events : DataFrame, list of DataFrame, or None
        See :meth:`sktagger.AudioTagger.fit`.
    clips : FileClips, ArrayClips or None
        None: they were not given.
    targets : Targets
        Events of the clips.
    network : Network
        Settings of the network that is trained.
    name : {"events", "events_val"}, default="events"
        Name of the argument.

    Returns
    -------
    EventTimes or None
        None if `events` is None.

    Raises
    ------
    ValueError, TypeError
        If the network cannot use onsets, or cannot do without, there are no clips, or `events` is
        not as described.
    """
    times = None
    if events is not None:
        _check_uses_onsets(network, name)
        if clips is None:
            raise ValueError(f"{name} is given, but no X_val. Give the clips, too, or {name}=None.")
        times = read_event_times(events, _paths(clips), targets, name)
    if network.needs_onsets and name == "events" and (times is None or not len(times.event)):
        raise ValueError(
            f"{type(network).__name__} learns from onsets and offsets, but events has none. Give "
            "onsets to fit, or find them with sktagger.recordings.StrongLabelTagger, or choose a "
            "network that learns from weak labels, such as FBCRNN."
        )
    return times


def _check_uses_onsets(network: Network, name: str) -> None:
    """Raise ValueError if the loss of a network has no use for onsets."""
    if not network.uses_onsets:
        able = [other for other, known in NETWORKS.items() if known.uses_onsets]
        raise ValueError(
            f"{name} is given, but {type(network).__name__} learns from weak labels only. Set "
            f"{name}=None, or choose a network that uses onsets: {', '.join(able)}."
        )


def _paths(clips: FileClips | ArrayClips) -> list[Any]:
    """Return the paths of clips; something else for those that are not whole files."""
    if isinstance(clips, ArrayClips):
        return list(range(len(clips)))
    return [
        "" if isinstance(clip, Gap) else clip.path if clip[1:] == (None, None) else clip
        for clip in clips.sections
    ]
