"""Compare time and memory of the metrics with scikit-learn and sed_scores_eval.

Run this script where the package is installed. 1,000 clips and 20,371 clips (AudioSet's eval set)
take about a minute::

    python benchmarks/bench_metrics.py [--clips 1000 20371] [--events 527] [--repeats 5]

    python benchmarks/bench_metrics.py --clips 1000 20371 100000

Each row computes mAP, mAUC, lwlrap, and for each event the highest F1 and its threshold. Scores are
float32. Labels are bool, with about 2.7 events per clip and Zipf frequencies. The rows are:

``sktagger``
    `RankedScores` and `lwlrap`, which sort each event once for AP, AUC and threshold.
``functions``
    `mean_average_precision`, `mean_roc_auc`, `lwlrap` and `best_f1`, as separate calls.
``event_report``
    A table of these and other metrics.
``scikit-learn``
    `average_precision_score`, `roc_auc_score` and `precision_recall_curve` in a loop over events,
    and `label_ranking_average_precision_score` weighted by the number of events of each clip.
``sed_scores_eval``
    AP, AUC and the best F1 from the package's clip-based statistics. The package has no lwlrap. It
    needs one DataFrame per clip, which is made before the measurement, and about 1 kB per score.
    The row is left out above ``--sed-scores`` scores, and if the package cannot be imported
    (version 0.0.4 needs setuptools < 81).

The columns are:

``seconds``
    Time of the fastest repeat. There is only one repeat of scikit-learn and sed_scores_eval.
``faster``
    Time of scikit-learn divided by the time of the row. Compare this ratio between machines.
``memory``
    Growth of the process's peak resident memory (``ru_maxrss``) in the first repeat, without
    imports and input, in MB, and in parentheses as a multiple of the input. Each row runs in a new
    process.
``mAP``, ``mAUC``, ``lwlrap``, ``mF1``
    The results. The script fails if the results of sktagger and scikit-learn differ by more than
    1e-9. sed_scores_eval handles ties differently.
"""

import argparse
import multiprocessing
import resource
import time

import numpy as np
import sklearn.metrics

from sktagger import metrics

NAMES = ("mAP", "mAUC", "lwlrap", "mF1")


def make_arrays(n_clips, n_events, seed=0):
    """Draw labels and sigmoid scores, using no memory except for the arrays themselves."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(4, n_events + 4)
    frequency *= 2.7 / frequency.sum()
    y_true = np.zeros((n_clips, n_events), dtype=bool)
    y_score = rng.standard_normal((n_clips, n_events), dtype=np.float32)
    for event in range(n_events):
        n_positives = min(max(1, round(n_clips * frequency[event])), n_clips - 1)
        positives = rng.choice(n_clips, n_positives, replace=False)
        y_true[positives, event] = True
        y_score[positives, event] += 2
    y_score -= 4
    np.negative(y_score, out=y_score)
    np.exp(y_score, out=y_score)
    y_score += 1
    np.reciprocal(y_score, out=y_score)
    return y_true, y_score


def run_sktagger(y_true, y_score):
    ranked = metrics.RankedScores(y_true, y_score)
    return (
        ranked.average_precision().mean(),
        ranked.roc_auc().mean(),
        metrics.lwlrap(y_true, y_score),
        ranked.best_thresholds().fscores.mean(),
    )


def run_functions(y_true, y_score):
    return (
        metrics.mean_average_precision(y_true, y_score),
        metrics.mean_roc_auc(y_true, y_score),
        metrics.lwlrap(y_true, y_score),
        metrics.best_f1(y_true, y_score),
    )


def run_event_report(y_true, y_score):
    report = metrics.event_report(y_true, y_score)
    overall = np.average(report["lwlrap"][:-1], weights=report["support"][:-1])
    return (*report.loc["macro", ["AP", "AUC"]], overall, report.loc["macro", "F1"])


def run_sklearn(y_true, y_score):
    values = []
    for labels, scores in zip(y_true.T, y_score.T, strict=True):
        precision, recall, thresholds = sklearn.metrics.precision_recall_curve(labels, scores)
        fscore = 2 * precision * recall / np.maximum(precision + recall, 1e-15)
        best = np.argmax(fscore)
        values.append(
            (
                sklearn.metrics.average_precision_score(labels, scores),
                sklearn.metrics.roc_auc_score(labels, scores),
                fscore[best],
                thresholds[min(best, len(thresholds) - 1)],
            )
        )
    mean_ap, mean_auc, mean_f1, _ = np.mean(values, axis=0)
    lwlrap = sklearn.metrics.label_ranking_average_precision_score(
        y_true, y_score, sample_weight=y_true.sum(axis=1)
    )
    return mean_ap, mean_auc, lwlrap, mean_f1


def prepare_sed_scores_eval(y_true, y_score):
    from sed_scores_eval.base_modules.scores import create_score_dataframe

    events = [f"event {number}" for number in range(y_true.shape[1])]
    scores = {
        str(clip): create_score_dataframe(row[np.newaxis], np.array([0.0, 10.0]), events)
        for clip, row in enumerate(y_score.astype(np.float64))
    }
    tags = {str(clip): [events[e] for e in np.flatnonzero(row)] for clip, row in enumerate(y_true)}
    return scores, tags


def run_sed_scores_eval(scores, tags):
    from sed_scores_eval.base_modules import precision_recall, roc
    from sed_scores_eval.clip_based import accumulated_intermediate_statistics

    statistics, _ = accumulated_intermediate_statistics(scores, tags)
    ap, _ = precision_recall.average_precision_from_intermediate_statistics(statistics)
    auc, _ = roc.auroc_from_intermediate_statistics(statistics)
    fscore, *_ = precision_recall.best_fscore_from_intermediate_statistics(statistics)
    ap, auc, fscore = (np.mean([by_event[e] for e in statistics]) for by_event in (ap, auc, fscore))
    return ap, auc, np.nan, fscore


METHODS = {
    "sktagger": run_sktagger,
    "functions": run_functions,
    "event_report": run_event_report,
    "scikit-learn": run_sklearn,
    "sed_scores_eval": run_sed_scores_eval,
}


def peak_memory():
    """Return the peak resident memory of this process in bytes (Linux counts kB)."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(method, n_clips, n_events, repeats):
    """Return seconds, bytes without the input, bytes of the input, and the four results."""
    # Small arrays first, so that imports and first calls are not measured.
    METHODS[method](*prepare(method, *make_arrays(10, 3)))
    y_true, y_score = make_arrays(n_clips, n_events)
    n_bytes = y_true.nbytes + y_score.nbytes
    arrays = prepare(method, y_true, y_score)
    before, seconds = peak_memory(), []
    for repeat in range(repeats):
        start = time.perf_counter()
        results = METHODS[method](*arrays)
        seconds.append(time.perf_counter() - start)
        if repeat == 0:
            growth = peak_memory() - before
    return min(seconds), growth, n_bytes, results


def prepare(method, y_true, y_score):
    if method == "sed_scores_eval":
        return prepare_sed_scores_eval(y_true, y_score)
    return y_true, y_score


def measure_in_process(*args):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, args)


def can_import_sed_scores_eval():
    try:
        import sed_scores_eval  # noqa: F401
    except ImportError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 20371])
    parser.add_argument("--events", type=int, default=527)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sed-scores", type=int, default=1_000_000)
    args = parser.parse_args()
    methods = [m for m in METHODS if m != "sed_scores_eval" or can_import_sed_scores_eval()]
    print(
        f"{'clips':>7}  {'what':15} {'seconds':>8} {'faster':>7} {'memory MB':>14}",
        *NAMES,
        sep="  ",
    )
    for n_clips in args.clips:
        measured = {}
        for method in methods:
            if method == "sed_scores_eval" and n_clips * args.events > args.sed_scores:
                continue
            repeats = 1 if method in ("scikit-learn", "sed_scores_eval") else args.repeats
            measured[method] = measure_in_process(method, n_clips, args.events, repeats)
        reference_seconds, *_, reference = measured["scikit-learn"]
        for method, (seconds, growth, n_bytes, results) in measured.items():
            if method != "sed_scores_eval":
                np.testing.assert_allclose(results, reference, rtol=0, atol=1e-9)
            print(
                f"{n_clips:7}  {method:15} {seconds:8.3f} {reference_seconds / seconds:6.1f}x "
                f"{growth / 2**20:6.0f} ({growth / n_bytes:4.1f}x)",
                *(f"{value:.4f}" for value in results),
                sep="  ",
            )


if __name__ == "__main__":
    main()
