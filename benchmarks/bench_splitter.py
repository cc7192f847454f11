"""Compare splitters on long-tailed multi-label data, with and without groups.

Run where the package is installed, in about half a minute::

    python benchmarks/bench_splitter.py [--clips 20000] [--events 527] [--splits 5] [--seed 0]

It prints one table for clips that stand alone, and one for clips in groups of one to many.
``iterstrat`` is the package iterative-stratification, left out where it is not installed; it takes
no groups. The columns:

``groups split``
    Groups whose clips fall in more than one fold. Must be 0 where there are groups.
``deviation``
    Mean over folds and events of ``|share of the event's clips in the fold - 1 / n_splits|``, in
    percent of the event's clips. It is not 0 for the best split: an event of three clips
    cannot be spread over five folds.
``frequent``
    The same over events of at least 100 clips only.
``missing``
    Pairs of fold and event without one clip of it in the fold, of those events that occur in at
    least n_splits clips (or groups): such a fold cannot be scored for the event.
``fold sizes``
    Clips in the smallest and the largest fold.
``seconds``
    Time of the split. Only its ratio to the other rows means anything.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from sktagger.model_selection import MultilabelStratifiedGroupKFold

try:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
except ImportError:
    MultilabelStratifiedKFold = None


def make_labels(rng, n_clips, n_events, group_of=None):
    """Draw an indicator with Zipf frequencies, about two events a clip, alike within groups."""
    frequency = np.arange(1, n_events + 1) ** -1.2
    frequency = np.minimum(2 * frequency / frequency.sum(), 0.5)
    if group_of is None:
        return (rng.random((n_clips, n_events)) < frequency).astype(np.int8)
    of_groups = rng.random((group_of.max() + 1, n_events)) < frequency
    kept = of_groups[group_of] & (rng.random((n_clips, n_events)) < 0.7)
    return (kept | (rng.random((n_clips, n_events)) < 0.3 * frequency)).astype(np.int8)


def make_groups(rng, n_clips):
    """Draw groups of one to 50 clips, most of them small."""
    sizes = np.minimum(rng.zipf(1.7, n_clips), 50)
    return np.repeat(np.arange(n_clips), sizes)[:n_clips]


def measure(splitter, Y, groups):
    """Return the figures of the table's columns for one splitter."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        # KFold says that it ignores groups, which is why it is in the table.
        warnings.simplefilter("ignore", UserWarning)
        tests = [test for _, test in splitter.split(np.zeros(len(Y)), Y, groups)]
    seconds = time.perf_counter() - start
    fold_of = np.empty(len(Y), int)
    for fold, test in enumerate(tests):
        fold_of[test] = fold
    group_of = np.arange(len(Y)) if groups is None else groups
    folds_of_group = np.zeros((group_of.max() + 1, len(tests)), bool)
    folds_of_group[group_of, fold_of] = True

    total = Y.sum(axis=0)
    counts = np.array([Y[test].sum(axis=0) for test in tests])[:, total > 0]
    deviation = np.abs(counts / total[total > 0] - 1 / len(tests))
    n_groups = np.array([len(np.unique(group_of[column > 0])) for column in Y.T[total > 0]])
    possible = counts[:, n_groups >= len(tests)]
    sizes = [len(test) for test in tests]
    return {
        "groups split": str((folds_of_group.sum(axis=1) > 1).sum()),
        "deviation": f"{100 * deviation.mean():.2f} %",
        "frequent": f"{100 * deviation[:, total[total > 0] >= 100].mean():.2f} %",
        "missing": f"{(possible == 0).sum()} of {possible.size}",
        "fold sizes": f"{min(sizes)} to {max(sizes)}",
        "seconds": f"{seconds:.2f}",
    }


def print_table(title, splitters, Y, groups):
    print(title)
    for number, (name, splitter) in enumerate(splitters.items()):
        figures = measure(splitter, Y, groups)
        if number == 0:
            print(f"{'':12}" + "".join(f"{column:>15}" for column in figures))
        print(f"{name:12}" + "".join(f"{figure:>15}" for figure in figures.values()))
    print()


def main():
    parser = argparse.ArgumentParser(description="Compare multi-label splitters.")
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=527)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    shuffled = {"n_splits": args.splits, "shuffle": True, "random_state": args.seed}
    splitters = {
        "sktagger": MultilabelStratifiedGroupKFold(**shuffled),
        "KFold": KFold(**shuffled),
    }

    alone = dict(splitters)
    if MultilabelStratifiedKFold is not None:
        alone["iterstrat"] = MultilabelStratifiedKFold(**shuffled)
    Y = make_labels(rng, args.clips, args.events)
    title = f"{args.clips} clips, {args.events} events, {Y.sum() / len(Y):.1f} events a clip"
    print_table(title, alone, Y, None)

    groups = make_groups(rng, args.clips)
    Y = make_labels(rng, args.clips, args.events, groups)
    title = f"the same in {groups.max() + 1} groups, {Y.sum() / len(Y):.1f} events a clip"
    print_table(title, splitters | {"GroupKFold": GroupKFold(args.splits)}, Y, groups)


if __name__ == "__main__":
    main()
