"""Measure time and memory of cross-validation on real recordings.

    python benchmarks/bench_cross_validation.py esc10.json
    python benchmarks/bench_cross_validation.py --quick    # does it run? seconds, synthetic clips

The database contains ESC-10, in any sets. The names of the clips end with fold and recording, as in
"dog_bark_1-100032-A".

Each row is one 5-fold ``cross_val_score`` over all clips, scored by `map_scorer`:

* "groups": `MultilabelStratifiedGroupKFold`, all excerpts of a recording in one fold;
* "published": the folds that the data set comes with (`PredefinedSplit`).

``mAP`` is the mean over the folds with its standard deviation. The default of two epochs is far too
short to show what the network can reach. ``s`` is the wall time of training and scoring. ``MB`` is
the peak resident memory of the process so far. The first line gives it after the imports; a column
that does not grow from row to row shows that nothing accumulates.
"""

import argparse
import re
import resource
import tempfile
import time

import numpy as np
import pandas as pd
from _quick_data import QUICK_PARAMS, write_quick_data
from sklearn.model_selection import PredefinedSplit, cross_val_score

from sktagger import WALNetTagger, load_database
from sktagger.metrics import map_scorer
from sktagger.model_selection import MultilabelStratifiedGroupKFold


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", nargs="?", help="needed without --quick")
    parser.add_argument("--max-epochs", type=int, default=2)
    parser.add_argument("--n-jobs", type=int, default=None, help="folds at the same time")
    parser.add_argument("--memory", help="directory of the cache of decoded audio")
    parser.add_argument("--quick", action="store_true", help="one epoch on a few synthetic clips")
    args = parser.parse_args()
    params = {"batch_size": 8, "lr": 1e-3, "max_epochs": args.max_epochs, "memory": args.memory}
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            params |= {**QUICK_PARAMS, "max_epochs": 1}
            cross_validate(write_quick_data(folder), params, args.n_jobs)
        return
    if args.database is None:
        parser.error("a database is needed")
    cross_validate(args.database, params, args.n_jobs)


def cross_validate(database, params, n_jobs):
    """Print a row for each way to split."""
    db = load_database(database)
    sets = [db.to_xy(name) for name in db.datasets]
    X = np.concatenate([X for X, _ in sets])
    Y = pd.concat([Y for _, Y in sets])
    names = [re.search(r"(\d)-(\d+)-[A-Z]$", name) for name in Y.index]
    folds = np.array([int(name[1]) for name in names])
    recordings = np.array([name[2] for name in names])
    print(f"{len(X)} clips of {len(set(recordings))} recordings, {peak_memory():.0f} MB")

    tagger = WALNetTagger(**params, random_state=0)
    for name, cv in (
        ("groups", MultilabelStratifiedGroupKFold(5)),
        ("published", PredefinedSplit(folds)),
    ):
        begin = time.perf_counter()
        scores = cross_val_score(
            tagger, X, Y, groups=recordings, cv=cv, scoring=map_scorer, n_jobs=n_jobs
        )
        print(
            f"{name:10}  mAP {scores.mean():.3f} +- {scores.std():.3f}"
            f"  {time.perf_counter() - begin:5.0f} s  {peak_memory():5.0f} MB"
        )


if __name__ == "__main__":
    main()
