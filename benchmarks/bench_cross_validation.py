"""Cross-validate on real recordings: what does it take, and does memory stay flat?

Run ``python benchmarks/bench_cross_validation.py esc10.json``. The database must hold ESC-10 in any
sets; the clips' names begin with fold and recording, as in "dog_bark_1-100032-A".

Each row is one 5-fold ``cross_val_score`` over all clips, by `map_scorer`:

* "groups": `MultilabelStratifiedGroupKFold`, all excerpts of a recording in one fold;
* "published": the folds that the data set comes with (`PredefinedSplit`).

``mAP`` is the mean over the folds with its standard deviation; ``s`` the wall time, training and
scoring included; ``MB`` the peak resident memory of the process so far, of which importing the
packages takes the share given in the first line. A few epochs say nothing about what the network
could reach.
"""

import argparse
import re
import resource
import time

import numpy as np
import pandas as pd
from sklearn.model_selection import PredefinedSplit, cross_val_score

from sktagger import WALNetTagger, load_database
from sktagger.metrics import map_scorer
from sktagger.model_selection import MultilabelStratifiedGroupKFold


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database")
    parser.add_argument("--max-epochs", type=int, default=2)
    parser.add_argument("--n-jobs", type=int, default=None, help="folds at the same time")
    parser.add_argument("--memory", help="directory of the cache of decoded audio")
    args = parser.parse_args()

    db = load_database(args.database)
    sets = [db.to_xy(name) for name in db.datasets]
    X = np.concatenate([X for X, _ in sets])
    Y = pd.concat([Y for _, Y in sets])
    names = [re.search(r"(\d)-(\d+)-[A-Z]$", name) for name in Y.index]
    folds = np.array([int(name[1]) for name in names])
    recordings = np.array([name[2] for name in names])
    print(f"{len(X)} clips of {len(set(recordings))} recordings, {peak_memory():.0f} MB")

    tagger = WALNetTagger(
        batch_size=8, lr=1e-3, max_epochs=args.max_epochs, memory=args.memory, random_state=0
    )
    for name, cv in (
        ("groups", MultilabelStratifiedGroupKFold(5)),
        ("published", PredefinedSplit(folds)),
    ):
        begin = time.perf_counter()
        scores = cross_val_score(
            tagger, X, Y, groups=recordings, cv=cv, scoring=map_scorer, n_jobs=args.n_jobs
        )
        print(
            f"{name:10}  mAP {scores.mean():.3f} +- {scores.std():.3f}"
            f"  {time.perf_counter() - begin:5.0f} s  {peak_memory():5.0f} MB"
        )


if __name__ == "__main__":
    main()
