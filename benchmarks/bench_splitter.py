"""Compare splitters on long-tailed multi-label data, with and without groups.

Run this script where the package is installed. It takes about half a minute::

    python benchmarks/bench_splitter.py [--clips 20000] [--events 527] [--splits 5] [--seed 0]

It prints one table for clips without groups, and one for clips in groups of different sizes.
``iterstrat`` is the package iterative-stratification. It does not support groups, and its row is
left out if it is not installed. The columns are:

``groups split``
    Number of groups with clips in more than one fold. It must be 0 if there are groups.
``deviation``
    Mean over folds and events of ``|share of the event's clips in the fold - 1 / n_splits|``, in
    percent of the event's clips. It is not 0 even for the best split, because three clips of an
    event cannot be distributed over five folds.
``frequent``
    The same for events with at least 100 clips.
``missing``
    Number of pairs of a fold and an event without a clip in this fold, for events that occur in at
    least n_splits clips (or groups). Such an event cannot be evaluated on this fold.
``fold sizes``
    Number of clips in the smallest and in the largest fold.
``seconds``
    Time of the split. Only compare it with other rows of the same run.
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
    """Draw labels with Zipf frequencies, about two events per clip, similar within groups."""
    frequency = np.arange(1, n_events + 1) ** -1.2
    frequency = np.minimum(2 * frequency / frequency.sum(), 0.5)
    if group_of is None:
        return (rng.random((n_clips, n_events)) < frequency).astype(np.int8)
    group_events = rng.random((group_of.max() + 1, n_events)) < frequency
    kept = group_events[group_of] & (rng.random((n_clips, n_events)) < 0.7)
    return (kept | (rng.random((n_clips, n_events)) < 0.3 * frequency)).astype(np.int8)


def make_groups(rng, n_clips):
    """Draw groups of one to 50 clips, most of them small."""
    sizes = np.minimum(rng.zipf(1.7, n_clips), 50)
    return np.repeat(np.arange(n_clips), sizes)[:n_clips]


def measure(splitter, Y, groups):
    """Return the columns of the table for one splitter."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        # KFold warns that it ignores groups. It is in the table for comparison.
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
        row = measure(splitter, Y, groups)
        if number == 0:
            print(f"{'':12}" + "".join(f"{column:>15}" for column in row))
        print(f"{name:12}" + "".join(f"{value:>15}" for value in row.values()))
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

    splitters_without_groups = dict(splitters)
    if MultilabelStratifiedKFold is not None:
        splitters_without_groups["iterstrat"] = MultilabelStratifiedKFold(**shuffled)
    Y = make_labels(rng, args.clips, args.events)
    title = f"{args.clips} clips, {args.events} events, {Y.sum() / len(Y):.1f} events per clip"
    print_table(title, splitters_without_groups, Y, None)

    groups = make_groups(rng, args.clips)
    Y = make_labels(rng, args.clips, args.events, groups)
    title = f"the same in {groups.max() + 1} groups, {Y.sum() / len(Y):.1f} events per clip"
    print_table(title, splitters | {"GroupKFold": GroupKFold(args.splits)}, Y, groups)


if __name__ == "__main__":
    main()
