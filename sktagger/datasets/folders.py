"""Import folders that are named by events."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sktagger._utils.text import listed, quoted, short
from sktagger.datasets._database import Database
from sktagger.datasets._finding import is_audio, walk
from sktagger.datasets._importing import TRAINING_SET, Importer, is_set_name, standard_set_name

__all__ = ["read_folders"]

_LEVELS = ("event", "set", "group", "*")


def read_folders(
    root: str | os.PathLike[str],
    *,
    layout: str | None = None,
    no_event: Iterable[str] = (),
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    """Import audio files from folders that are named by events.

    The layout is ``<event>/<file>``, or ``<set>/<event>/<file>`` with sets such as ``train``,
    ``validate`` and ``test``. Hidden files, and files whose suffix is not one of audio, are left
    out and counted.

    Parameters
    ----------
    root : str or PathLike
        The folder that contains the folders; ``~`` is expanded.
    layout : str or None, default=None
        What the folders on the way to a file are named by, from top to bottom, separated by
        slashes: "event", "set", "group" (kept as a key, for example a site), or "*" for anything
        else. "event" may occur more than once. Files at other depths are left out and counted.
        None: "set/event" if all folders in `root` have names of sets, "event" if none has;
        otherwise, and if files are at another depth, an error asks for the layout.
    no_event : iterable of str, default=()
        Names of folders whose clips have no event, such as "background".
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that cannot be read. "skip" leaves them out with a warning, and the
        report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        Names of folders are the events. "train" becomes "balanced_train", "val" "validate", and
        "test" "eval", as the commands expect. Without sets, all clips are in "balanced_train", see
        :func:`sktagger.datasets.split_database`. The attribute ``report`` tells what was found.

    Raises
    ------
    FileNotFoundError
        If there is no folder `root`.
    ValueError
        If the layout is not clear, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for event in ("rain", "siren"):
    ...         pathlib.Path(folder, event).mkdir()
    ...         soundfile.write(f"{folder}/{event}/1.wav", np.zeros(800), 8000)
    ...     db = read_folders(folder)
    >>> db.events("balanced_train")
    ['rain', 'siren']
    """
    importer = Importer(root, on_error=on_error, verbose=verbose)
    if not importer.source.is_dir():
        raise FileNotFoundError(
            f"root: {str(importer.source)!r} is not a folder. Give the folder that contains those "
            "of the events."
        )
    files, hidden, others = [], [], Counter()
    for parts in walk(importer.source):
        if any(part.startswith(".") for part in parts):
            hidden.append(os.sep.join(parts))
        elif is_audio(parts[-1]):
            files.append(parts)
        else:
            others[os.path.splitext(parts[-1])[1].lower() or "no suffix"] += 1
    if not files:
        kinds = f" The suffixes there are {listed(others)}." if others else ""
        raise ValueError(
            f"root: {str(importer.source)!r} has no audio file in it or in its folders.{kinds} "
            "Give another folder, or convert the files to WAV or FLAC."
        )
    found = layout is None
    layout = _find_layout(importer.source, files) if layout is None else layout
    levels = _check_layout(layout)
    importer.notes.append(f"layout {layout}/<file>" + ", found by the names of folders" * found)
    importer.count("hidden files are left out", hidden)
    if others:
        kinds = listed((f"{n} {suffix}" for suffix, n in others.most_common()), 6)
        importer.notes.append(f"{others.total()} files are not audio and are left out: {kinds}")
    unused = set(no_event)
    elsewhere = []
    for parts in files:
        *folders, _ = parts
        if len(folders) != len(levels):
            elsewhere.append(os.sep.join(parts))
            continue
        events, group, dataset = [], None, TRAINING_SET
        for level, folder in zip(levels, folders, strict=True):
            if level == "event" and folder in no_event:
                unused.discard(folder)
            elif level == "event":
                events.append(folder.strip())
            elif level == "set":
                dataset = standard_set_name(folder)
            elif level == "group":
                group = folder
        importer.add(dataset, str(importer.source.joinpath(*parts)), events, keys={"group": group})
    importer.count("files are at another depth than the layout and are left out", elsewhere)
    if unused:
        raise ValueError(f"no_event: no folder of events is named {quoted(sorted(unused))}.")
    return importer.finish()


def _check_layout(layout: object) -> list[str]:
    levels = layout.split("/") if isinstance(layout, str) else []
    once = levels.count("set") <= 1 and levels.count("group") <= 1
    if "event" not in levels or not set(levels) <= set(_LEVELS) or not once:
        raise ValueError(
            f"layout: got {short(layout)}; allowed are levels separated by slashes, at least one "
            "'event', at most one 'set' and one 'group', and '*' for others. Give for example "
            "'event', 'set/event' or 'event/group'."
        )
    return levels


def _find_layout(root: Path, files: list[tuple[str, ...]]) -> str:
    tops = sorted({parts[0] for parts in files if len(parts) > 1})
    depths = Counter(len(parts) - 1 for parts in files)
    sets = [name for name in tops if is_set_name(name)]
    if not sets and depths.keys() <= {0, 1} and tops:
        return "event"
    if sets == tops and tops and depths.keys() <= {0, 2}:
        return "set/event"
    example = max((os.sep.join(parts) for parts in files), key=lambda path: path.count(os.sep))
    raise ValueError(
        f"layout: the folders in {str(root)!r} are {quoted(tops, 8)}, of which "
        f"{quoted(sets) or 'none'} have names of sets, and files are {listed(sorted(depths))} "
        f"folders deep, for example {example!r}; so it is not clear what the folders mean. Give "
        "layout='event', 'set/event', 'event/group' or the like, one word for each folder."
    )
