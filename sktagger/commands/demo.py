"""Make synthetic sound scenes, train on them, evaluate, and find events in a recording."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from sktagger.reports.files import Evaluation

__all__ = ["SETTINGS", "Recording", "add_arguments", "demo", "main"]

_MAX_SECONDS = 600  # of the recording
_SHOWN = 20.0  # seconds

# takes less than three minutes on two cores
SETTINGS = {
    "sample_rate": 16000,
    "lr": 1e-3,
    "batch_size": 8,
    "max_epochs": 8,
    "random_state": 0,
}


class Recording(NamedTuple):
    """A recording, and its events.

    Attributes
    ----------
    path : Path
    duration : float
        In seconds.
    found, true : DataFrame
        Columns `onset`, `offset` (in seconds) and `event`; `found` also has `score`.
    segment_f1 : float
        See :func:`sktagger.metrics.segment_f1`.
    """

    path: Path
    duration: float
    found: pd.DataFrame
    true: pd.DataFrame
    segment_f1: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        "--directory",
        metavar="DIR",
        default="sktagger-demo",
        help="folder for scenes and results (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> None:
    """Run the demo, and print the results beside those of random scores."""
    from sktagger.reports.files import results_table

    directory, validation, test, chance, recording = demo(args.directory)
    print(results_table(validation, test))
    print(
        f"Random scores would reach an mAP of {100 * chance:.2f} on eval: the mean fraction of "
        "clips with an event."
    )
    print(f"\n{recording.path}, events until {_SHOWN:.0f} s:")
    print(_beside(recording.found, recording.true))
    print(
        f"F1 in segments of 1 s, mean over events, of {recording.duration / 60:.0f} minutes: "
        f"{100 * recording.segment_f1:.2f}"
    )
    print(directory)


def _beside(found, true):
    """Write the first events that were found beside the true ones, in the order of time."""
    import pandas as pd

    def lines(events):
        shown = events.loc[events["onset"] < _SHOWN]
        return [f"{row.onset:6.2f} - {row.offset:6.2f}  {row.event}" for row in shown.itertuples()]

    columns = pd.DataFrame({"found": pd.Series(lines(found)), "true": pd.Series(lines(true))})
    rows = columns.fillna("").itertuples(index=False)
    return "\n".join(f"  {left:32}{right}".rstrip() for left, right in [columns.columns, *rows])


def demo(
    directory: str | os.PathLike[str],
    *,
    sizes: tuple[int, int, int] = (200, 60, 80),
    settings: Mapping[str, Any] | None = None,
) -> tuple[Path, Evaluation, Evaluation, float, Recording]:
    """Make scenes, train, evaluate, and find the events of a recording.

    Parameters
    ----------
    directory : str or PathLike
        Folder for scenes, experiment and results.
    sizes : tuple of int, default=(200, 60, 80)
        Numbers of training, validation and test clips.
    settings : dict or None, default=None
        Parameters of :class:`sktagger.WALNetTagger` that differ from the demo's.

    Returns
    -------
    directory : Path
        Folder of the result files.
    validation, test : sktagger.reports.files.Evaluation
    chance : float
        The test mAP of random scores, on average.
    recording : Recording
        The test scenes one after the other, up to ten minutes.
    """
    from sktagger.commands.evaluate import evaluate
    from sktagger.commands.train import train
    from sktagger.datasets.scenes import make_scenes

    n_train, n_validate, n_eval = sizes
    db = make_scenes(
        directory, n_train=n_train, n_validate=n_validate, n_eval=n_eval, random_state=0
    )
    experiment = train(db.path, storage_root=directory, settings={**SETTINGS, **(settings or {})})
    results, validation, test = evaluate(experiment)
    _, Y = db.to_xy("eval")
    recording = _find_events(db, results)
    return results, validation, test, float(Y.to_numpy().mean()), recording


def _find_events(db, results):
    """Write the test scenes as one recording, and compare found with true events."""
    import numpy as np
    import pandas as pd
    import soundfile

    from sktagger import TunedThresholdTagger
    from sktagger.metrics import segment_f1
    from sktagger.recordings import detect_events

    scenes, rows, n_samples = [], [], 0
    for scene in db.table("eval").itertuples():
        samples, rate = soundfile.read(scene.audio_path, dtype="float32")
        start = n_samples / rate
        if start >= _MAX_SECONDS:
            break
        scenes.append(samples)
        n_samples += len(samples)
        for event, (onset, offset) in scene.event_times.items():
            rows.append((start + onset, start + offset, event))
    path = db.path.parent / "recording.wav"
    soundfile.write(path, np.concatenate(scenes), rate)
    true = pd.DataFrame(rows, columns=["onset", "offset", "event"])
    true = true.sort_values("onset", ignore_index=True)
    found = detect_events(TunedThresholdTagger.load(results), path, window=2, hop=0.5)
    duration = n_samples / rate
    return Recording(path, duration, found, true, float(segment_f1(true, found, duration)))
