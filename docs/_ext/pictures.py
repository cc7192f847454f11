"""Pictures that are drawn while the site is built: of thresholds, and of examples without any."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sktagger import ThresholdTuner
from sktagger.metrics import event_report

matplotlib.use("agg")
N_EVENTS, N_TUNING, N_NEW, N_DRAWS = 40, 400, 20_000, 8
COLORS = {"best": "#D55E00", "expected": "#009E73"}


def draw_clips(rng, share, separation, n_clips):
    """Draw labels, and scores in [0, 1]: those of clips with the event are higher."""
    Y = rng.random((n_clips, len(share))) < share
    raw = rng.standard_normal(Y.shape) + separation * Y
    return 1 / (1 + np.exp(-2 * (raw - 2))), pd.DataFrame(Y.astype(int))


def f1_of_thresholds(scores, positive, thresholds):
    """Measure the F1 of one event at each threshold."""
    above = scores[:, None] > thresholds
    hits = (above & positive[:, None]).sum(0)
    return 2 * hits / (above.sum(0) + positive.sum())


def simulate():
    """Tune thresholds on several draws of clips.

    Returns
    -------
    rare : tuple
        Scores and labels of one rare event on tuning clips and on new clips, and its thresholds.
    table : DataFrame
        A row for each draw and event: number of positives, and F1 on new clips by strategy.
    """
    rng = np.random.default_rng(0)
    share, separation = np.geomspace(0.005, 0.2, N_EVENTS), rng.normal(2.0, 0.5, N_EVENTS)
    rows, candidates = [], []
    for _ in range(N_DRAWS):
        S, Y = draw_clips(rng, share, separation, N_TUNING)
        S_new, Y_new = draw_clips(rng, share, separation, N_NEW)
        found = {name: ThresholdTuner(strategy=name).fit(S, Y).thresholds_ for name in COLORS}
        f1 = {name: event_report(Y_new, S_new, t)["F1"].iloc[:-1] for name, t in found.items()}
        rows.append(pd.DataFrame({"positives": Y.sum(), **f1}))
        few = np.flatnonzero(Y.sum().between(5, 9))
        event = few[np.argmax((f1["expected"] - f1["best"]).iloc[few])]
        gain = (f1["expected"] - f1["best"]).iloc[event]
        thresholds = {name: values[event] for name, values in found.items()}
        columns = [
            column
            for scores, labels in ((S, Y), (S_new, Y_new))
            for column in (scores[:, event], labels[event].to_numpy() == 1)
        ]
        candidates.append((gain, columns, thresholds))
    _, columns, thresholds = max(candidates, key=lambda candidate: candidate[0])
    return (columns, thresholds), pd.concat(rows)


def draw_picture():
    """Draw F1 against the threshold, and F1 on new clips against the number of positives.

    Returns
    -------
    Figure
    """
    ((scores, positive, new_scores, new_positive), thresholds), table = simulate()
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    grid = np.linspace(0, 1, 401)
    label = f"{positive.sum()} positives of {N_TUNING} tuning clips"
    left.step(grid, f1_of_thresholds(scores, positive, grid), color="0.6", label=label)
    curve = f1_of_thresholds(new_scores, new_positive, grid)
    left.plot(grid, curve, color="black", label=f"{N_NEW:,} new clips")
    for name, color in COLORS.items():
        left.axvline(thresholds[name], color=color, linestyle="--", label=f'strategy="{name}"')
    left.set(xlabel="threshold", ylabel="F1", title="One rare event", ylim=(0, 1))
    left.legend(edgecolor="white", framealpha=1, fontsize="small")

    groups = pd.cut(table["positives"], [0, 4, 9, 19, 39, N_TUNING], labels=False)
    means = table.groupby(groups)[list(COLORS)].mean()
    for name, color in COLORS.items():
        right.plot(means.index, means[name], "o-", color=color, label=f'strategy="{name}"')
    right.set_xticks(range(5), ["1-4", "5-9", "10-19", "20-39", "40+"])
    right.set(xlabel="positives among the tuning clips", ylabel="mean F1 on new clips")
    right.set_title(f"{N_EVENTS} events, {N_DRAWS} draws")
    right.legend(frameon=False, fontsize="small")
    return figure


def draw_thumbnail():
    """Draw a synthetic spectrogram: a siren over noise, and three knocks.

    Returns
    -------
    Figure
    """
    time, mel = np.meshgrid(np.linspace(0, 1, 160), np.linspace(0, 1, 112))
    siren = np.exp(-(((mel - 0.6 - 0.15 * np.sin(12 * time)) / 0.03) ** 2))
    knocks = sum(np.exp(-np.maximum(time - t, 0) / 0.02) * (time > t) for t in (0.2, 0.5, 0.8))
    level = siren + knocks * (1 - mel) + np.random.default_rng(0).normal(0, 0.12, time.shape)
    figure = Figure(figsize=(4, 2.8))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(level, origin="lower", aspect="auto", cmap="magma")
    axes.set_axis_off()
    return figure


def write_pictures(app):
    """Write the pictures into the folder of generated files."""
    folder = app.srcdir / "generated"
    folder.mkdir(exist_ok=True)
    for name, draw in (("thresholds", draw_picture), ("thumbnail", draw_thumbnail)):
        draw().savefig(folder / f"{name}.png", dpi=120, metadata={"Software": None})


def setup(app):
    """Connect to Sphinx.

    Parameters
    ----------
    app : Sphinx
        The application.

    Returns
    -------
    dict
        What Sphinx asks for.
    """
    app.connect("builder-inited", write_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
