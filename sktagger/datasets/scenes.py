"""Synthetic sound scenes for trying and testing the package without a download.

Ten kinds of events are synthesized. Each event has a random pitch, rate and timbre. The kinds
overlap in frequency and rhythm (crickets, birds and alarms; footsteps and knocks; engines and
speech), so a classifier must learn more than the energy of a single band.
"""

from __future__ import annotations

import json
import os
from numbers import Integral, Real

import numpy as np
import soundfile
from numpy.random import Generator, RandomState
from sklearn.utils import check_random_state

from sktagger._utils.files import expand_path, replacing
from sktagger._utils.progress import TaskProgress
from sktagger.datasets._sounds import EVENTS, noise
from sktagger.datasets._strong_labels import write_strong_labels
from sktagger.datasets.database import Database, load_database

__all__ = ["make_scenes"]

# Numbers of events in ten scenes. The first six have ten events, one of each kind.
_EVENTS_PER_SCENE = (1, 2, 1, 3, 2, 1, 2, 1, 3, 0)


def make_scenes(
    directory: str | os.PathLike[str],
    *,
    n_train: int = 200,
    n_validate: int = 60,
    n_eval: int = 80,
    duration: float = 5.0,
    sample_rate: int = 16000,
    random_state: int | RandomState | None = None,
    verbose: bool = True,
) -> Database:
    """Write synthetic sound scenes with weak labels, as WAV files and a database in JSON.

    A scene has zero to three of these events: alarm, babble (speech-like), bell, bird, crickets,
    engine, footsteps, knocks, rain and siren. An event starts at a random onset and lasts 35 to
    90 % of the scene. Its level varies by up to 6 dB in each direction. The background is colored
    noise at a signal-to-noise ratio of 0 to 20 dB. All events of a set are equally frequent.

    The database is ``scenes.json`` in `directory`, with the sets ``balanced_train``, ``validate``
    and ``eval`` in folders of these names. It is written last and atomically, so an interrupted
    call leaves no database. The true onsets and offsets are in ``strong_labels.tsv``, which
    :func:`read_strong_labels` reads. Files of an earlier call are overwritten.

    Parameters
    ----------
    directory : str or PathLike
        Folder of the database. It is created if missing; ``~`` is expanded.
    n_train : int, default=200
        Number of scenes in ``balanced_train``. A set of 0 scenes is left out. A set of six or
        more scenes contains every event.
    n_validate : int, default=60
        Number of scenes in ``validate``.
    n_eval : int, default=80
        Number of scenes in ``eval``.
    duration : float, default=5.0
        Length of a scene in seconds, at least 0.1.
    sample_rate : int, default=16000
        Sample rate of the files in Hz, at least 8000.
    random_state : int, RandomState or None, default=None
        An int gives the same files in each call. None gives different scenes in each call. Each
        scene has its own random numbers, so its sound does not depend on earlier scenes.
    verbose : bool, default=True
        Whether to show progress: a bar in a terminal or a notebook, a line every half minute
        elsewhere.

    Returns
    -------
    Database
        The database. Its extra column ``event_times`` contains ``{event: [onset, offset]}`` in
        seconds, for comparison with predicted times.

    Raises
    ------
    ValueError
        If a number is outside its range, or all sets have 0 scenes.
    TypeError
        If a number has the wrong type.

    See Also
    --------
    load_database : Read the database again.
    read_strong_labels : Read the times of all events.

    Examples
    --------
    >>> import tempfile
    >>> from sktagger.datasets import make_scenes
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     db = make_scenes(
    ...         folder, n_train=6, n_validate=2, n_eval=2, duration=0.5, random_state=0
    ...     )
    >>> db
    <Database scenes.json, clips: 6 in balanced_train, 2 in validate, 2 in eval>
    >>> len(db.events("balanced_train"))
    10
    """
    sizes = {"balanced_train": n_train, "validate": n_validate, "eval": n_eval}
    for name, value in zip(("n_train", "n_validate", "n_eval"), sizes.values(), strict=True):
        _check_number(name, value, Integral, 0)
    if not any(sizes.values()):
        raise ValueError(
            "n_train, n_validate, n_eval: got 0 for each; at least one must be above 0. "
            "Give for example n_train=1."
        )
    _check_number("duration", duration, Real, 0.1)
    _check_number("sample_rate", sample_rate, Integral, 8000)
    entropy = check_random_state(random_state).randint(2**31, size=4)

    file = expand_path(directory) / "scenes.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    datasets = {}
    labels = []
    with TaskProgress("Making scenes", sum(sizes.values()), unit="scene", verbose=verbose) as bar:
        for set_number, (name, size) in enumerate(sizes.items()):
            if not size:
                continue
            (file.parent / name).mkdir(exist_ok=True)
            datasets[name] = {}
            events = _draw_events(np.random.default_rng([*entropy, set_number]), size)
            for number, scene_events in enumerate(events):
                rng = np.random.default_rng([*entropy, set_number, number])
                waveform, times = _make_scene(rng, scene_events, duration, sample_rate)
                example_id = f"{name}_{number:04d}"
                audio_path = f"{name}/{example_id}.wav"
                soundfile.write(file.parent / audio_path, waveform, sample_rate, subtype="PCM_16")
                datasets[name][example_id] = {
                    "audio_path": audio_path,
                    "audio_length": len(waveform) / sample_rate,
                    "events": sorted(times),
                    "event_times": times,
                }
                labels += [(audio_path, *times[event], event) for event in times]
                bar.update()
    write_strong_labels(file.with_name("strong_labels.tsv"), labels)
    with replacing(file) as stream:
        stream.write(json.dumps({"datasets": datasets}, indent=1).encode())
    return load_database(file)


def _check_number(name: str, value: object, kind: type, low: float) -> None:
    what = "an integer" if kind is Integral else "a finite number"
    allowed = f"allowed is {what} of at least {low}. Give for example {name}={max(low, 1)}."
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}; {allowed}")
    if not low <= value < np.inf:
        raise ValueError(f"{name}: got {value!r}; {allowed}")


def _draw_events(rng: Generator, n_scenes: int) -> list[list[str]]:
    """Return the events of each scene, so that all events are about equally frequent."""
    names = np.array(sorted(EVENTS))
    used = np.zeros(len(names), int)
    scenes = []
    for n_events in rng.permutation(np.resize(_EVENTS_PER_SCENE, n_scenes)):
        least_used = np.lexsort((rng.random(len(names)), used))
        chosen = least_used[:n_events]
        used[chosen] += 1
        scenes.append(sorted(names[chosen].tolist()))
    return scenes


def _make_scene(
    rng: Generator, events: list[str], duration: float, sample_rate: int
) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Return a waveform of shape (n_samples,) in [-1, 1], and the times of its events in s."""
    n_samples = round(duration * sample_rate)
    mixture = np.zeros(n_samples)
    times = {}
    for event in events:
        length = int(n_samples * rng.uniform(0.35, 0.9))
        onset = rng.integers(n_samples - length + 1)
        sound = EVENTS[event](rng, length, sample_rate)
        fade = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / length * 20)
        gain = 10 ** (rng.uniform(-6, 6) / 20)
        mixture[onset : onset + length] += gain * fade * sound / np.sqrt(np.mean(sound**2))
        times[event] = [onset / sample_rate, (onset + length) / sample_rate]
    background = noise(rng, n_samples, exponent=rng.uniform(0, 2))
    mixture += background * 10 ** (-rng.uniform(0, 20) / 20)
    return mixture / np.abs(mixture).max() * rng.uniform(0.1, 0.9), times
