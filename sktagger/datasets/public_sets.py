"""Import public data sets from their own layouts: ESC-50, UrbanSound8K, FSD50K."""

from __future__ import annotations

import os

from sktagger._utils.json import parse_json
from sktagger.datasets._audioset import audioset_classes
from sktagger.datasets._database import Database
from sktagger.datasets._importing import TRAINING_SET, Importer
from sktagger.datasets._public_tables import add_clip, integer, read_rows

__all__ = ["read_esc50", "read_fsd50k", "read_urbansound8k"]


def read_esc50(
    root: str | os.PathLike[str],
    *,
    esc10: bool = False,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    r"""Import ESC-50: 2000 clips of 5 s, 50 events, 5 folds [1]_.

    The layout is that of the repository::

        meta/esc50.csv    (filename, fold, target, category, esc10, src_file, take)
        audio/1-100032-A-0.wav

    The set has folds, but no fixed sets for training and evaluation, so all clips are in
    "balanced_train". :func:`sktagger.datasets.split_by_fold` makes sets of folds.

    Parameters
    ----------
    root : str or PathLike
        The folder of the data set; ``~`` is expanded.
    esc10 : bool, default=False
        Whether to import the 10 events of ESC-10 only.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        With the keys ``fold`` (int, 1 to 5), ``group`` (the column ``src_file``, the recording
        that a clip comes from) and ``take`` (a letter).

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table.
    ValueError
        If the table has other columns, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    References
    ----------
    .. [1] K. J. Piczak, "ESC: Dataset for environmental sound classification", ACM MM 2015.
       https://github.com/karolpiczak/ESC-50

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = pathlib.Path(folder)
    ...     (root / "meta").mkdir()
    ...     (root / "audio").mkdir()
    ...     _ = (root / "meta" / "esc50.csv").write_text(
    ...         "filename,fold,target,category,esc10,src_file,take\n"
    ...         "1-100032-A-0.wav,1,0,dog,True,100032,A\n"
    ...     )
    ...     soundfile.write(root / "audio" / "1-100032-A-0.wav", np.zeros(800), 8000)
    ...     db = read_esc50(root)
    >>> db.table("balanced_train").loc["1-100032-A-0", ["events", "group"]].tolist()
    [['dog'], '100032']
    """
    importer = Importer(root, on_error=on_error, verbose=verbose)
    needed = ("filename", "fold", "category", "esc10", "src_file", "take")
    for where, row in read_rows(importer, "meta/esc50.csv", needed):
        if esc10 and row["esc10"].casefold() != "true":
            continue
        keys = {"fold": integer(row, "fold", where), "group": row["src_file"], "take": row["take"]}
        name = f"audio/{row['filename']}"
        add_clip(importer, TRAINING_SET, name, [row["category"]], where, **keys)
    return importer.finish()


def read_urbansound8k(
    root: str | os.PathLike[str], *, on_error: str = "skip", verbose: int | bool = 1
) -> Database:
    """Import UrbanSound8K: 8732 clips of up to 4 s, 10 events, 10 folds [1]_.

    The layout is that of the archive::

        metadata/UrbanSound8K.csv    (slice_file_name, fsID, start, end, salience, fold, classID,
                                      class)
        audio/fold1/101415-3-0-2.wav

    The set has folds, but no fixed sets for training and evaluation, so all clips are in
    "balanced_train". :func:`sktagger.datasets.split_by_fold` makes sets of folds.

    Parameters
    ----------
    root : str or PathLike
        The folder of the data set; ``~`` is expanded.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        With the keys ``fold`` (int, 1 to 10), ``group`` (the column ``fsID``, the recording that
        a clip comes from) and ``salience`` (int: 1 foreground, 2 background).

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table.
    ValueError
        If the table has other columns, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    References
    ----------
    .. [1] J. Salamon, C. Jacoby, J. P. Bello, "A dataset and taxonomy for urban sound research",
       ACM MM 2014. https://urbansounddataset.weebly.com/urbansound8k.html
    """
    importer = Importer(root, on_error=on_error, verbose=verbose)
    needed = ("slice_file_name", "fsID", "salience", "fold", "class")
    for where, row in read_rows(importer, "metadata/UrbanSound8K.csv", needed):
        fold = integer(row, "fold", where)
        keys = {"fold": fold, "group": row["fsID"], "salience": integer(row, "salience", where)}
        name = f"audio/fold{fold}/{row['slice_file_name']}"
        add_clip(importer, TRAINING_SET, name, [row["class"]], where, **keys)
    return importer.finish()


def read_fsd50k(
    root: str | os.PathLike[str],
    *,
    audioset_names: bool = False,
    on_error: str = "skip",
    verbose: int | bool = 1,
) -> Database:
    """Import FSD50K: 51,197 clips of 0.3 to 30 s, 200 events [1]_.

    The layout is that of the archives::

        FSD50K.ground_truth/dev.csv     (fname, labels, mids, split)
        FSD50K.ground_truth/eval.csv    (fname, labels, mids)
        FSD50K.dev_audio/64760.wav
        FSD50K.eval_audio/37199.wav
        FSD50K.metadata/dev_clips_info_FSD50K.json    (optional, and the same for eval)

    The last files name the uploader of each clip, which becomes its group. One of the halves
    ``dev`` and ``eval`` may be absent.

    Parameters
    ----------
    root : str or PathLike
        The folder of the data set; ``~`` is expanded.
    audioset_names : bool, default=False
        Whether events get the names that they have in AudioSet, such as "Acoustic guitar" for
        "Acoustic_guitar", if AudioSet's 527 classes contain them.
    on_error : {"skip", "raise"}, default="skip"
        What to do with files that are missing or cannot be read. "skip" leaves them out with a
        warning, and the report lists them. "raise" raises the first error.
    verbose : int or bool, default=1
        0 shows no progress.

    Returns
    -------
    Database
        The sets are "balanced_train" (split "train"), "validate" (split "val") and "eval". With
        the key ``group`` if the uploaders are known.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or table.
    ValueError
        If a table has other columns, or no clip is left.
    OSError
        If a file cannot be read and `on_error` is "raise".

    Warns
    -----
    UserWarning
        If files are left out because they are missing or cannot be read.

    References
    ----------
    .. [1] E. Fonseca et al., "FSD50K: an open dataset of human-labeled sound events", TASLP 2022.
       https://zenodo.org/records/4060432
    """
    importer = Importer(root, on_error=on_error, verbose=verbose)
    names = audioset_classes().set_index("mid")["name"].to_dict() if audioset_names else {}
    sets = {"train": TRAINING_SET, "val": "validate", "eval": "eval"}
    halves = [h for h in ("dev", "eval") if (importer.source / _truth(h)).is_file()] or ["dev"]
    if len(halves) == 1:
        importer.notes.append(f"only the half {halves[0]!r} of the set is there")
    for half in halves:
        needed = ("fname", "labels", "mids", *(["split"] if half == "dev" else []))
        uploaders = _uploaders(importer, half)
        for where, row in read_rows(importer, _truth(half), needed):
            split = row["split"] if half == "dev" else "eval"
            if split not in sets:
                raise ValueError(
                    f"{where}: got the split {split!r}; allowed is 'train' or 'val'. Fetch the "
                    "table again."
                )
            labels, mids = row["labels"].split(","), row["mids"].split(",")
            if len(labels) == len(mids):
                labels = [names.get(m, label) for label, m in zip(labels, mids, strict=True)]
            name, group = f"FSD50K.{half}_audio/{row['fname']}.wav", uploaders.get(row["fname"])
            add_clip(importer, sets[split], name, labels, where, group=group)
    return importer.finish()


def _truth(half):
    return f"FSD50K.ground_truth/{half}.csv"


def _uploaders(importer, half):
    """Return the uploader of each clip, if the file of that is there."""
    file = importer.source / f"FSD50K.metadata/{half}_clips_info_FSD50K.json"
    if not file.is_file():
        return {}
    try:
        clips = parse_json(file.read_bytes())
        return {str(name): str(clip["uploader"]) for name, clip in clips.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{file}: it is not the JSON file of FSD50K ({error!r}). Fetch it again, or remove it."
        ) from error
