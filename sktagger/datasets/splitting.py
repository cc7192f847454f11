"""Split the clips of a database into sets for training, validation and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sktagger._utils.text import nearest, quoted, short
from sktagger.datasets._database import Database
from sktagger.datasets._importing import standard_set_name
from sktagger.model_selection import check_groups, stratified_hold_out

__all__ = ["split_by_fold", "split_database"]


def split_database(
    db: Database,
    shares: Mapping[str, float],
    *,
    name: str | None = None,
    groups: str | None = None,
    random_state: int = 0,
) -> Database:
    """Split a data set at random, with about the same share of each event in every part.

    Parameters
    ----------
    db : Database
    shares : dict of str to float
        Shares of the clips, for example ``{"train": 0.8, "validate": 0.1, "eval": 0.1}``. Their
        sum must be 1. "train" stands for "balanced_train", "val" for "validate" and "test" for
        "eval", as the commands name them.
    name : str or None, default=None
        Name of the data set that is split; other sets stay. None: the only one.
    groups : str or None, default=None
        Key of the examples, such as "group". Clips with the same value stay together. None:
        sections of the same file stay together.
    random_state : int, default=0
        Seed. The same seed always gives the same parts.

    Returns
    -------
    Database
        It has a report if `db` has one.

    Raises
    ------
    ValueError
        If the shares are not such shares, there is no data set `name`, a clip lacks the key
        `groups`, or there are too few clips or groups.

    See Also
    --------
    split_by_fold : Split by the folds that a data set comes with.

    Examples
    --------
    >>> import tempfile
    >>> from sktagger.datasets import make_scenes, split_database
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     db = make_scenes(folder, n_train=20, n_validate=1, n_eval=1, duration=0.5)
    >>> split_database(db, {"train": 0.8, "mine": 0.2}, name="balanced_train")
    <Database scenes.json, clips: 16 in balanced_train, 4 in mine, 1 in validate, 1 in eval>
    """
    sizes = _check_shares(shares)
    name = _check_name(db, name)
    examples = db.examples(name)
    keys = _values(db, name, groups) if groups else [e["audio_path"] for e in examples.values()]
    group_of = check_groups(np.array(keys, object), len(keys))
    events = sorted({event for example in examples.values() for event in example["events"]})
    indicator = np.array([[event in e["events"] for event in events] for e in examples.values()])
    ids, left = list(examples), np.arange(len(examples))
    parts: dict[str, np.ndarray] = {}
    # The larger of two parts is never held out, so the parts are taken from small to large.
    ordered = sorted(sizes, key=lambda part: sizes[part])
    remaining = 1.0
    for part in ordered[:-1]:
        kept, held_out = stratified_hold_out(
            indicator[left].astype(int),
            min(sizes[part] / remaining, 0.5),
            group_of[left],
            random_state=random_state,
            name=f"share of {part!r}",
        )
        parts[part], left = left[held_out], left[kept]
        remaining -= sizes[part]
    parts[ordered[-1]] = left
    return _regroup(db, name, {part: [ids[i] for i in sorted(parts[part])] for part in sizes})


def split_by_fold(
    db: Database,
    folds: Mapping[str, Iterable[Any]],
    *,
    key: str = "fold",
    name: str | None = None,
) -> Database:
    """Split a data set by the folds that it comes with.

    Parameters
    ----------
    db : Database
    folds : dict of str to list
        The folds of each part, for example ``{"train": [1, 2, 3], "validate": [4], "eval": [5]}``.
        "train" stands for "balanced_train", "val" for "validate" and "test" for "eval". Clips of
        other folds are left out.
    key : str, default="fold"
        Key of the examples.
    name : str or None, default=None
        Name of the data set that is split; other sets stay. None: the only one.

    Returns
    -------
    Database

    Raises
    ------
    ValueError
        If a fold is in two parts or has no clip, or a clip lacks the key.

    See Also
    --------
    split_database : Split at random.
    """
    name = _check_name(db, name)
    values = [str(value) for value in _values(db, name, key)]
    part_of: dict[str, str] = {}
    parts: dict[str, list[str]] = {}
    for part, wanted in folds.items():
        parts[standard_set_name(part)] = []
        for fold in map(str, wanted):
            if fold not in values or fold in part_of:
                what = "is in two parts" if fold in part_of else "has no clip"
                raise ValueError(
                    f"folds: {short(fold)} {what}; there are {quoted(sorted(set(values)))}. Give "
                    "each fold to one part."
                )
            part_of[fold] = standard_set_name(part)
    for example_id, fold in zip(db.examples(name), values, strict=True):
        if fold in part_of:
            parts[part_of[fold]].append(example_id)
    return _regroup(db, name, parts)


def _regroup(db, name, parts):
    others = {other: dict(db.examples(other)) for other in db.datasets if other != name}
    examples = db.examples(name)
    content = {part: {i: examples[i] for i in ids} for part, ids in parts.items()}
    for part in content:
        if part in others:
            raise ValueError(
                f"shares: there is already a data set {part!r} beside {name!r}. Give another name."
            )
    content |= others
    report = db.report and db.report.of_parts(content, db.training_set)
    return Database(db.path, content, db.training_set, report)


def _check_shares(shares):
    sizes = {standard_set_name(name): share for name, share in shares.items()}
    numbers = [s for s in sizes.values() if isinstance(s, int | float) and 0 < s < 1]
    if len(sizes) < 2 or len(numbers) < len(shares) or abs(sum(numbers) - 1) > 1e-6:
        raise ValueError(
            f"shares: got {short(dict(shares))}; allowed are two or more sets with shares above 0, "
            "whose sum is 1. Give for example train=0.8, validate=0.1 and eval=0.1."
        )
    return sizes


def _check_name(db, name):
    if name is None and len(db.datasets) > 1:
        raise ValueError(
            f"name: the database already has the sets {quoted(db.datasets)}, and one of them can "
            "be split. Give its name, or do not split."
        )
    name = db.datasets[0] if name is None else name
    db.examples(name)  # raises an error if there is no such set
    return name


def _values(db, name, key):
    examples = db.examples(name)
    for example_id, example in examples.items():
        value = example.get(key)
        if value is None or isinstance(value, list | dict):
            raise ValueError(
                f"groups: clip {example_id!r} of {name!r} has no {key!r}"
                f"{nearest(key, example)}; its keys are {quoted(example, 12)}. Give a key that "
                "each clip has."
            )
    return [example[key] for example in examples.values()]
