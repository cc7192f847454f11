"""Find clips that are worth labeling, or labels that are likely to be wrong, and correct them.

PyTorch is imported only inside functions, so that help and errors appear without waiting for it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktagger._utils.files import expand_path

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_arguments", "main", "review"]

STRATEGIES = ("auto", "mixed", "uncertainty", "diversity")
_SUFFIXES = (".json", ".parquet")  # of databases
_N_FOLDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="directory of an experiment, saved tagger, checkpoint, or name of a pretrained model",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="+",
        help="database (.json or .parquet), or recordings and folders without labels",
    )
    parser.add_argument(
        "--set", metavar="NAME", help="data set of the database (default: the training set)"
    )
    parser.add_argument(
        "--labels",
        action="store_true",
        help="look for labels that are likely to be wrong, by the scores of a logistic regression "
        "on the embeddings of the model, which has not seen the label (5 folds)",
    )
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="what makes a clip worth its label: that scores are uncertain, that it is unlike "
        "others, or both (default: both, if the model has embeddings)",
    )
    parser.add_argument(
        "-n", type=int, default=100, metavar="N", help="number of clips (default: 100)"
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="DIR",
        default="review",
        help="folder that gets review.csv and review.html (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="default: auto")
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def main(args: argparse.Namespace) -> None:
    """Review; print the folder, and what is in it."""
    folder, table = review(
        args.model,
        args.source,
        dataset=args.set,
        labels=args.labels,
        strategy=args.strategy,
        n_clips=args.n,
        out=args.out,
        device=args.device,
        verbose=not args.quiet,
    )
    what = "labels that are likely to be wrong" if args.labels else "clips that are worth labeling"
    print(f"{len(table)} {what}: review.csv, and review.html to listen to and to correct them.")
    print(folder)


def review(
    model: str | os.PathLike[str],
    source: list[str],
    *,
    dataset: str | None = None,
    labels: bool = False,
    strategy: str = "auto",
    n_clips: int = 100,
    out: str | os.PathLike[str] = "review",
    device: str = "auto",
    verbose: int | bool = 1,
) -> tuple[Path, pd.DataFrame]:
    """Choose clips, and write a table and a page of them.

    Parameters
    ----------
    model : str or PathLike
        The tagger: an experiment, a file, or the name of a pretrained model.
    source : list of str
        A database, or recordings and folders.
    dataset : str or None, default=None
        Data set of the database. None: its training set.
    labels : bool, default=False
        Whether to look for wrong labels. False: for clips that are worth labeling.
    strategy : {"auto", "mixed", "uncertainty", "diversity"}, default="auto"
        See :func:`sktagger.review.propose_clips`.
    n_clips : int, default=100
        Number of clips, or of labels.
    out : str or PathLike, default="review"
        Folder of the results.
    device : str, default="auto"
        See :class:`sktagger.AudioTagger`.
    verbose : int or bool, default=1
        0: no progress is shown.

    Returns
    -------
    folder : Path
    table : DataFrame
        Content of ``review.csv``: `clip`, `path`, `start`, `stop` (in samples), and for each
        proposal `events` (the labels, if it has some) and `found`; for each label `event`, `label`,
        `score` and `suspicion`.

    Raises
    ------
    FileNotFoundError, ValueError
        If the model, the database or a recording cannot be read, or there are no labels to judge.
    """
    if n_clips < 1:
        raise ValueError(f"n={n_clips}, but it must be at least 1.")
    clips, events = _read_source(source, dataset, needs_labels=labels)

    import numpy as np
    import pandas as pd

    from sktagger.commands._taggers import load_tagger
    from sktagger.recordings.detection import tagger_and_thresholds
    from sktagger.review import propose_clips, suspicious_labels, write_review_page

    tuned = load_tagger(model, device=device, verbose=int(verbose))
    tagger, thresholds = tagger_and_thresholds(tuned)
    tagger.set_params(on_error="skip", verbose=int(verbose))
    X = clips.pop("clip").tolist()
    if labels:
        found = suspicious_labels(
            events, _out_of_fold(tagger, X, events, verbose), n_labels=n_clips
        )
        found = found[found["suspicion"] > 0]
        rows = clips.index.get_indexer(pd.unique(found["clip"]))
        suspects = [list(found.loc[found["clip"] == clips.index[i], "event"]) for i in rows]
        reasons = [_doubts(found[found["clip"] == clips.index[i]]) for i in rows]
        table = found.merge(clips[["path", "start", "stop"]], left_on="clip", right_index=True)
        table = table[["clip", "path", "start", "stop", "event", "label", "score", "suspicion"]]
        chosen_scores = (
            tagger.predict_proba([X[i] for i in rows]) if len(rows) else np.empty((0, 0))
        )
    else:
        scores, points = tagger.predict_proba(X), None
        if strategy != "uncertainty":
            points = _embeddings(tagger, X, verbose)
            if points is None and strategy != "auto":
                raise ValueError(
                    f"strategy={strategy!r} needs embeddings, but the network of the model has "
                    "none. Choose 'uncertainty'."
                )
            known = ~np.isnan(scores).any(axis=1)
            points = None if points is None else np.where(known[:, np.newaxis], points, 0.0)
        rows = propose_clips(scores, n_clips, embeddings=points, strategy=strategy)  # type: ignore[arg-type]
        suspects, reasons = None, [_top(scores[i], tagger.classes_) for i in rows]
        table = clips.iloc[rows].reset_index(names="clip")[["clip", "path", "start", "stop"]]
        if events is not None:
            table["events"] = [_joined(events.columns[events.iloc[i] > 0]) for i in rows]
        table["found"] = reasons
        chosen_scores = scores[rows]
    folder = expand_path(out)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "review.csv", index=False)
    limits: Any = 0.5
    if isinstance(thresholds, dict):
        limits = np.array([thresholds[event] for event in tagger.classes_])
    own = None if events is None else [events.columns[events.iloc[i] > 0].tolist() for i in rows]
    write_review_page(
        folder / "review.html",
        [X[i] for i in rows],
        np.nan_to_num(chosen_scores),
        tagger,
        clips=clips.iloc[rows],
        labels=own,
        suspects=suspects,
        reasons=reasons,
        thresholds=limits,
        title="Labels in doubt" if labels else "Clips worth labeling",
        verbose=verbose,
    )
    return folder, table


def _read_source(source, dataset, *, needs_labels):
    """Return the clips as a table, and an indicator of their events if they have labels."""
    import pandas as pd

    from sktagger.datasets.database import load_database

    if len(source) == 1 and expand_path(source[0]).suffix.lower() in _SUFFIXES:
        db = load_database(source[0])
        name = dataset
        if name is None:
            name = db.training_set if db.training_set in db.datasets else db.datasets[0]
        X, Y = db.to_xy(name)
        sections = [clip if isinstance(clip, tuple) else (clip, None, None) for clip in X]
        clips = pd.DataFrame(sections, Y.index, ["path", "start", "stop"]).astype(object)
        clips["clip"], clips["dataset"] = list(X), name
        return clips, Y
    if dataset is not None or needs_labels:
        option = "--labels" if needs_labels else "--set"
        raise ValueError(
            f"{option} is for a database, but SOURCE is {source[0]!r}. Give a database."
        )
    from sktagger.recordings.archive import find_recordings

    files = [str(path) for path in find_recordings(source)]
    clips = pd.DataFrame({"path": files, "start": None, "stop": None}, index=files)
    clips["clip"], clips["dataset"] = files, None
    return clips, None


def _embeddings(tagger: Any, X: list, verbose: int | bool):
    """Return the embeddings of clips; None if the network has none."""
    from sktagger import AudioEmbedding

    if "embedding" not in tagger.network_.layers:
        return None
    return AudioEmbedding(tagger, on_error="skip", verbose=int(verbose)).fit_transform(X)


def _out_of_fold(tagger, X, events, verbose):
    """Return scores of a logistic regression on embeddings that has not seen the labels."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import StandardScaler

    points = _embeddings(tagger, X, verbose)
    if points is None:
        raise ValueError("--labels needs embeddings, but the network of the model has none.")
    scores = np.full(events.shape, np.nan)
    known = np.flatnonzero(np.isfinite(points).all(axis=1))
    if len(known) < 2 * _N_FOLDS:
        raise ValueError(
            f"--labels needs at least {2 * _N_FOLDS} clips, but there are {len(known)}."
        )
    y = events.to_numpy()
    for kept, left_out in KFold(_N_FOLDS, shuffle=True, random_state=0).split(known):
        train, test = known[kept], known[left_out]
        scaler = StandardScaler().fit(points[train])
        seen, unseen = scaler.transform(points[train]), scaler.transform(points[test])
        for k in range(y.shape[1]):
            if y[train, k].min() == y[train, k].max():
                scores[test, k] = y[train[0], k]
                continue
            probe = LogisticRegression(C=0.01, max_iter=1000).fit(seen, y[train, k])
            scores[test, k] = probe.predict_proba(unseen)[:, 1]
    return scores


def _doubts(rows):
    return ", ".join(
        f"{row.event}: labeled, score {row.score:.2f}"
        if row.label
        else f"{row.event}: not labeled, score {row.score:.2f}"
        for row in rows.itertuples()
    )


def _top(scores, classes, n=3):
    best = scores.argsort()[::-1][:n]
    return ", ".join(f"{classes[i]} {scores[i]:.2f}" for i in best)


def _joined(events):
    return "; ".join(map(str, events))
