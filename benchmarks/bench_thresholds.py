"""Compare strategies for thresholds on new clips, with simulated scores.

Scores and labels of the tuning clips are drawn from known distributions. Large samples (150,000
positives and 500,000 negatives of each kind of event) represent these distributions and are used
to evaluate the thresholds. The F1 is therefore that of infinitely many new clips. It is averaged
over all events, including those without positives among the tuning clips. The separation of each
event, the shape of its scores and its prior (log-uniform in a range) are new in each draw.

The results are means and standard deviations over draws, in percentage points of F1:

tuned     mF1 on the tuning clips, over the events that occur in them
unseen    mF1 on new clips
drop      tuned - unseen
regret    unseen mF1 of the optimal thresholds, minus the unseen mF1 of the strategy
removed   reduction of the regret, compared to "best", in percent
worst     largest loss of unseen mF1 in a draw, compared to "best"; negative if all draws improve

The strategies "best" and "expected" are those of `sktagger.ThresholdTuner`. There are two other
strategies for comparison. "bootstrap" averages the best thresholds of 10 resamples of the clips.
"logistic" maximizes the expected F1 under a logistic calibration of the standardized scores of each
event, with a ridge penalty.

Run with OMP_NUM_THREADS=1::

    python benchmarks/bench_thresholds.py --quick               # 3 draws, small sizes: a minute
    python benchmarks/bench_thresholds.py --draws 50            # writes results_thresholds.md
    python benchmarks/bench_thresholds.py --scores scores.npz   # scores of a tagger

The file of scores has arrays S_val and Y_val of shape (n_clips, n_events). Thresholds are tuned on
one random half of these clips and evaluated on the other half, repeatedly. If the file also has
S_eval and Y_eval, thresholds are tuned on all clips of S_val and evaluated on S_eval.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from sktagger import ThresholdTuner
from sktagger.metrics import mean_f1

RESULTS = Path(__file__).with_name("results_thresholds.md")
# clips, events, lowest and highest prior
SIZES = [
    (30, 10, 0.05, 0.3),
    (100, 50, 0.01, 0.3),
    (250, 50, 0.005, 0.2),
    (1000, 50, 0.005, 0.2),
    (4000, 50, 0.005, 0.2),
    (10_000, 20, 0.06, 0.3),
    (1000, 527, 0.001, 0.1),
]
QUICK_SIZES = [(100, 20, 0.02, 0.3), (1000, 30, 0.005, 0.2)]
N_KINDS = 24


def normal(y, kind, rng):
    return rng.standard_normal(y.shape) + kind["d"] * y


def unequal(y, kind, rng):
    score = rng.standard_normal(y.shape) * np.where(y, kind["width"], 1) + kind["d"] * y
    return kind["shift"] + kind["scale"] * score


def skewed(y, kind, rng):
    return rng.standard_gamma(kind["shape"] * np.where(y, kind["ratio"], 1))


def heavy(y, kind, rng):
    return rng.standard_t(3, size=y.shape) + 1.5 * kind["d"] * y


def segments(y, kind, rng, n_segments=6):
    presence = rng.beta(1.2, 1.2, size=y.shape)
    clip = rng.standard_normal(y.shape)
    total = np.zeros(y.shape)
    for _ in range(n_segments):
        heard = y * (rng.random(y.shape) < presence)
        noise = clip + 0.7 * rng.standard_normal(y.shape)
        total += expit(kind["slope"] * (kind["bias"] + noise + 1.6 * kind["d"] * heard))
    return (total / n_segments).astype(np.float32)


def saturated(y, kind, rng):
    return expit(kind["gain"] * (normal(y, kind, rng) - kind["cut"])).astype(np.float32)


def rounded(y, kind, rng):
    return np.round(saturated(y, kind, rng), 2)


def faint(y, kind, rng):
    return rng.standard_normal(y.shape) + (kind["d"] + 1.5) * y * (
        rng.random(y.shape) < kind["loud"]
    )


# description, function that draws scores, share of positives with a wrong label
FAMILIES = {
    "binormal": ("normal, with the same negatives for all events", normal, 0),
    "unequal": ("normal, with different widths, shifts and scales of the events", unequal, 0),
    "skewed": ("gamma distributions", skewed, 0),
    "heavy": ("t distributions with 3 degrees of freedom", heavy, 0),
    "segments": ("mean sigmoids of 6 segments, with the event in some of them", segments, 0),
    "saturated": ("steep sigmoids, different for each event", saturated, 0),
    "rounded": ("the same, rounded to 0.01, so most are 0 and many are 1", rounded, 0),
    "faint": ("10 to 60 % of the positives score like negatives", faint, 0),
    "noise": ("binormal, with 15 % of the positives wrong and as many missing", normal, 0.15),
}


class Family:
    """Kinds of events with known distributions of scores.

    Parameters
    ----------
    name : str
        One of `FAMILIES`.
    n_positives, n_negatives : int, default=150_000, 500_000
        Sizes of the samples that represent each kind.
    """

    def __init__(self, name, n_positives=150_000, n_negatives=500_000):
        _, self._draw, self._noise = FAMILIES[name]
        rng = np.random.default_rng([0, list(FAMILIES).index(name)])
        self._kinds = {
            "d": np.clip(rng.normal(2.0, 0.6, N_KINDS), 0.5, 4),
            "width": rng.uniform(0.6, 1.5, N_KINDS),
            "shift": rng.normal(0, 1, N_KINDS),
            "scale": np.exp(rng.normal(0, 0.4, N_KINDS)),
            "shape": rng.uniform(0.7, 3, N_KINDS),
            "ratio": rng.uniform(1.8, 4.5, N_KINDS),
            "slope": rng.uniform(1, 3, N_KINDS),
            "bias": rng.uniform(-4, -1.5, N_KINDS),
            "gain": rng.uniform(2, 8, N_KINDS),
            "cut": rng.uniform(1, 3, N_KINDS),
            "loud": rng.uniform(0.4, 0.9, N_KINDS),
        }
        self._positives, self._negatives = (
            [
                np.sort(self._draw(np.full(n, label), self._parameters(number), rng))
                for number in range(N_KINDS)
            ]
            for n, label in ((n_positives, 1.0), (n_negatives, 0.0))
        )
        self._rates = [self._rates_at(k, self._candidates(k)) for k in range(N_KINDS)]

    def _parameters(self, kind):
        return {name: values[kind] for name, values in self._kinds.items()}

    def _candidates(self, kind):
        positives, negatives = self._positives[kind], self._negatives[kind]
        parts = positives[::400], negatives[::2500], negatives[-20_000::80], negatives[-2500::10]
        return np.unique(np.concatenate(parts))

    def _rates_at(self, kind, thresholds):
        return tuple(
            1 - np.searchsorted(scores, thresholds, side="right") / len(scores)
            for scores in (self._positives[kind], self._negatives[kind])
        )

    def _f1(self, rates, prior):
        tpr, fpr = rates
        wrong, missing = self._noise, self._noise * prior
        tpr, fpr = (1 - wrong) * tpr + wrong * fpr, (1 - missing) * fpr + missing * tpr
        return 2 * prior * tpr / (prior * tpr + (1 - prior) * fpr + prior)

    def draw(self, n_clips, n_events, low, high, rng):
        """Draw scores and labels of tuning clips, and the kind and prior of each event."""
        kind = rng.integers(N_KINDS, size=n_events)
        prior = np.exp(rng.uniform(np.log(low), np.log(high), n_events))
        labels = rng.random((n_clips, n_events)) < prior
        truth = labels
        if self._noise:
            chance = rng.random(labels.shape)
            truth = np.where(labels, chance >= self._noise, chance < self._noise * prior)
        return self._draw(truth.astype(float), self._parameters(kind), rng), labels, kind, prior

    def evaluate(self, thresholds, kind, prior):
        """Compute the F1 of each event on new clips."""
        events = zip(thresholds, kind, prior, strict=True)
        return np.array([self._f1(self._rates_at(k, t), p) for t, k, p in events])

    def optimum(self, kind, prior):
        """Compute the highest F1 of each event on new clips."""
        pairs = zip(kind, prior, strict=True)
        return np.array([self._f1(self._rates[k], p).max() for k, p in pairs])


def tune(**parameters):
    return lambda scores, labels: ThresholdTuner(**parameters).fit(scores, labels).thresholds_


def tune_on_bootstraps(scores, labels, n_resamples=10):
    rng, best = np.random.default_rng(0), tune(strategy="best")
    total = np.zeros(scores.shape[1])
    for _ in range(n_resamples):
        drawn = rng.integers(len(scores), size=len(scores))
        total += best(scores[drawn], labels[drawn]).clip(scores.min(axis=0), scores.max(axis=0))
    return total / n_resamples


def tune_by_logistic_calibration(scores, labels, ridge=1.0, n_steps=15):
    z = ((scores - scores.mean(axis=0)) / (scores.std(axis=0) + 1e-12)).clip(-8, 8)
    n_clips, n_events = scores.shape
    offset = logit((labels.sum(axis=0) + 0.5) / (n_clips + 1))
    slope = np.ones(n_events)
    for _ in range(n_steps):
        p = expit(offset + slope * z)
        weight = p * (1 - p) + 1e-9
        to_offset, to_slope = (p - labels).sum(0), ((p - labels) * z).sum(0) + ridge * (slope - 1)
        a, b, c = weight.sum(0) + 1e-6, (weight * z).sum(0), (weight * z**2).sum(0) + ridge
        determinant = a * c - b**2
        step = (c * to_offset - b * to_slope, a * to_slope - b * to_offset) / determinant
        step *= np.minimum(1, 2 / np.abs(step).max(axis=0).clip(1e-9))
        offset, slope = offset - step[0], slope - step[1]
    order = np.argsort(-scores, axis=0)
    p = np.take_along_axis(expit(offset + slope * z), order, 0)
    descending = np.take_along_axis(scores, order, 0).astype(float)
    hits = np.cumsum(p, axis=0)
    best = np.argmax(2 * hits / (np.arange(1, n_clips + 1)[:, np.newaxis] + hits[-1]), axis=0)
    event = np.arange(n_events)
    below = descending[np.minimum(best + 1, n_clips - 1), event]
    return 0.5 * (descending[best, event] + np.where(best + 1 < n_clips, below, below - 1))


STRATEGIES = {
    "best": tune(strategy="best"),
    "bootstrap": tune_on_bootstraps,
    "logistic": tune_by_logistic_calibration,
    "expected": tune(strategy="expected"),
}


def mf1_of_present(labels, scores, thresholds):
    present = labels.any(axis=0)
    return mean_f1(labels[:, present], (scores > thresholds)[:, present])


def study(name, sizes, n_draws):
    """Return one row per size, draw and strategy."""
    family, rows = Family(name), []
    for number, size in enumerate(sizes):
        for draw in range(n_draws):
            rng = np.random.default_rng([1, list(FAMILIES).index(name), number, draw])
            scores, labels, kind, prior = family.draw(*size, rng)
            optimum = family.optimum(kind, prior).mean()
            for strategy, pick in STRATEGIES.items():
                start = time.perf_counter()
                thresholds = pick(scores, labels)
                seconds = time.perf_counter() - start
                unseen = family.evaluate(thresholds, kind, prior).mean()
                tuned = mf1_of_present(labels, scores, thresholds)
                rows.append((name, number, draw, strategy, tuned, unseen, optimum, seconds))
    return rows


def tabulate(rows, sizes):
    table = pd.DataFrame(
        rows,
        columns=["family", "size", "draw", "strategy", "tuned", "unseen", "optimum", "seconds"],
    )
    table[["tuned", "unseen", "optimum"]] *= 100
    table["drop"] = table["tuned"] - table["unseen"]
    table["regret"] = table["optimum"] - table["unseen"]
    best = table[table["strategy"] == "best"].set_index(["family", "size", "draw"])["unseen"]
    keys = pd.MultiIndex.from_frame(table[["family", "size", "draw"]])
    table["loss"] = best.loc[keys].to_numpy() - table["unseen"]
    lines = []
    _summary(table, ["strategy"], lines, "All families and sizes", spread=False)
    size_names = [f"{n} clips, {k} events, priors {a:g} to {b:g}" for n, k, a, b in sizes]
    order = pd.CategoricalDtype(size_names, ordered=True)
    table["size"] = table["size"].map(dict(enumerate(size_names))).astype(order)
    _summary(table, ["size", "strategy"], lines, "By size", spread=False)
    table["family"] = table["family"].astype(pd.CategoricalDtype(list(FAMILIES), ordered=True))
    _summary(table, ["family", "strategy"], lines, "By family", spread=False)
    cells = _summary(table, ["size", "family", "strategy"], lines, "Each family and size")
    losing = cells[(cells["loss"] > 0) & (cells.index.get_level_values("strategy") != "best")]
    lines += ["", "## Cases in which `best` is better (mean over draws, points)", ""]
    lines += [f"* {' / '.join(key)}: {row.loss:.2f}" for key, row in losing.iterrows()]
    return "\n".join(lines)


def _summary(table, by, lines, title, spread=True):
    groups = table.groupby(by, sort=True, observed=True)
    mean = groups[["tuned", "unseen", "drop", "regret", "loss", "seconds"]].mean()
    deviation = groups[["tuned", "unseen", "drop", "regret"]].std()
    mean["worst"] = groups["loss"].max()
    reference = mean.xs("best", level="strategy")["regret"] if len(by) > 1 else None
    if reference is None:
        mean["removed"] = 100 * (1 - mean["regret"] / mean.loc["best", "regret"])
    else:
        keys = mean.index.droplevel("strategy")
        mean["removed"] = 100 * (1 - mean["regret"] / reference.loc[keys].to_numpy())
    names = " | ".join(by)
    lines += ["", f"## {title}", ""]
    lines += [f"| {names} | tuned | unseen | drop | regret | removed % | worst | s |"]
    lines += ["|" + " --- |" * len(by) + " ---: |" * 7]
    rank = {name: place for place, name in enumerate(STRATEGIES)}
    positions = {key: place for place, key in enumerate(mean.index)}
    last = len(by) - 1

    def place(key):
        head = key[:last] if last else ()
        return [table[n].cat.categories.get_loc(h) for n, h in zip(by, head, strict=False)] + [
            rank[key[last] if last else key]
        ]

    for key in sorted(positions, key=place):
        row, dev = mean.loc[key], deviation.loc[key]
        cells = [
            f"{row[name]:.2f}" + (f" ± {dev[name]:.2f}" if spread else "")
            for name in ("tuned", "unseen", "drop", "regret")
        ]
        cells += [f"{row.removed:.0f}", f"{row.worst:.2f}", f"{row.seconds:.3f}"]
        head = key if last else (key,)
        lines.append("| " + " | ".join([*map(str, head), *cells]) + " |")
    return mean


def study_scores(path, n_halves=50):
    """Evaluate on real scores: halves of the validation clips, then the evaluation clips if any."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file}
    scores, labels = arrays["S_val"], arrays["Y_val"].astype(int)
    rows = {name: [] for name in STRATEGIES}
    for half in range(n_halves):
        order = np.random.default_rng(half).permutation(len(scores))
        tuning, unseen = np.array_split(order, 2)
        for name, pick in STRATEGIES.items():
            thresholds = pick(scores[tuning], labels[tuning])
            rows[name].append(
                [mf1_of_present(labels[c], scores[c], thresholds) for c in (tuning, unseen)]
            )
    print(f"mF1 in points, {n_halves} random halves of {len(scores)} clips")
    for name, values in rows.items():
        tuned, unseen = 100 * np.array(values).T
        print(
            f"{name:10} tuned {tuned.mean():.2f}  unseen {unseen.mean():.2f} ± {unseen.std():.2f}"
            f"  drop {np.mean(tuned - unseen):.2f}"
        )
    if "S_eval" in arrays:
        print("tuned on all of these clips, evaluated on the evaluation clips")
        for name, pick in STRATEGIES.items():
            thresholds = pick(scores, labels)
            tuned = 100 * mf1_of_present(labels, scores, thresholds)
            unseen = 100 * mf1_of_present(arrays["Y_eval"] > 0, arrays["S_eval"], thresholds)
            print(f"{name:10} tuned {tuned:.2f}  unseen {unseen:.2f}  drop {tuned - unseen:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="3 draws of small sizes, no file")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--jobs", type=int, default=1, help="processes, one family each")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--scores", help="npz file of a tagger's scores")
    args = parser.parse_args()
    if args.scores:
        study_scores(args.scores)
        return
    sizes, n_draws = (QUICK_SIZES, 3) if args.quick else (SIZES, args.draws)
    with ProcessPoolExecutor(args.jobs) as pool:
        tasks = [pool.submit(study, name, sizes, n_draws) for name in args.families]
        rows = [row for task in tasks for row in task.result()]
    text = tabulate(rows, sizes)
    families = "\n".join(f"* {name}: {FAMILIES[name][0]}" for name in args.families)
    text = (
        f"# Thresholds on new clips\n\nWritten by `bench_thresholds.py`, which explains the "
        f"columns (points of mF1, mean over {n_draws} draws; ± standard deviation over draws).\n\n"
        f"Families of scores:\n\n{families}\n{text}\n"
    )
    if args.quick:
        print(text)
    else:
        args.output.write_text(text, encoding="utf-8")
        print(text.split("## By family")[0])


if __name__ == "__main__":
    main()
