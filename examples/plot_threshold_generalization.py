"""
Why does F1 fall on new clips?
==============================

Thresholds are tuned on validation clips, for the best F1 of each event. On new clips, F1 is several
points lower, although the tagger and the kind of clips are the same. This example shows why, and
how to lose less.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from sktagger import ThresholdTuner
from sktagger.displays import EventReportDisplay, ThresholdCurveDisplay
from sktagger.metrics import event_report

# %%
# Simulated scores
# ----------------
# With simulated scores, any number of new clips is available. There are 40 events. The rarest
# occurs in one of 200 clips, the most common in one of 5. Positive clips score higher, and the
# separation differs between events.

rng = np.random.default_rng(0)
share = np.geomspace(0.005, 0.2, 40)
separation = rng.normal(2.0, 0.5, 40)
events = [f"event {number:02}" for number in range(40)]


def draw_clips(n_clips):
    Y = rng.random((n_clips, 40)) < share
    raw = rng.standard_normal(Y.shape) + separation * Y
    return 1 / (1 + np.exp(-2 * (raw - 2))), pd.DataFrame(Y.astype(int), columns=events)


S_val, Y_val = draw_clips(400)
S_new, Y_new = draw_clips(50_000)

# %%
# The loss
# --------

tuners = {
    strategy: ThresholdTuner(strategy=strategy).fit(S_val, Y_val)
    for strategy in ("best", "expected")
}
best = tuners["best"]
print(f"mF1 on the validation clips {best.score(S_val, Y_val):.3f}")
print(f"mF1 on new clips            {best.score(S_new, Y_new):.3f}")

# %%
# The reason
# ----------
# The plot shows F1 against the threshold, for an event with few positives. On the validation clips
# (left) the curve is ragged: each positive, and each negative with a high score, makes a peak. The
# strategy "best" picks the highest peak. With many new clips (right) the curve is smooth, and the
# threshold of "best" is far from its maximum. The default strategy "expected" ignores single
# peaks.


def f1(tuner, S, Y):
    return event_report(Y, S, tuner.thresholds_)["F1"].iloc[:-1]


fall = f1(best, S_val, Y_val) - f1(best, S_new, Y_new)
rare = fall[Y_val.sum().between(5, 9)].idxmax()
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, sharey=True, layout="constrained")
for ax, S, Y, title in (
    (axes[0], S_val, Y_val, f"{Y_val[rare].sum()} positives of validation"),
    (axes[1], S_new, Y_new, "50,000 new clips"),
):
    ThresholdCurveDisplay.from_predictions(Y, S, events=[rare], ax=ax)
    for (strategy, tuner), color in zip(tuners.items(), ["#D55E00", "#009E73"], strict=True):
        threshold = tuner.thresholds_[events.index(rare)]
        ax.axvline(threshold, color=color, linestyle="--", label=f'"{strategy}"')
    ax.set_title(f"{rare}: {title}", fontsize="medium")
    ax.get_legend().remove()
axes[1].legend(frameon=False, loc="upper right")

# %%
# Rare events lose most
# ---------------------
# The fewer positives an event has, the higher are the peaks. The table shows the mean F1 by the
# number of validation clips with the event.

columns = {
    (strategy, clips): f1(tuner, S, Y)
    for strategy, tuner in tuners.items()
    for clips, S, Y in (("validation", S_val, Y_val), ("new", S_new, Y_new))
}
support = pd.cut(
    Y_val.sum(), [-1, 4, 9, 19, 39, 400], labels=["0-4", "5-9", "10-19", "20-39", "40+"]
)
table = pd.DataFrame(columns).groupby(support, observed=True).mean()
print(table.round(3))

# %%
# How to lose less
# ----------------
# The default strategy models the distributions of positive and negative scores, using all events
# together. It picks the threshold with the best expected F1 on new clips. Its F1 is lower on the
# validation clips, but higher on new clips. The upper bound uses thresholds tuned on the new clips
# themselves.

ceiling = ThresholdTuner(strategy="best").fit(S_new, Y_new)
for strategy, tuner in tuners.items():
    print(
        f"{strategy:9} validation {tuner.score(S_val, Y_val):.3f}  new "
        f"{tuner.score(S_new, Y_new):.3f}  of at most {ceiling.score(S_new, Y_new):.3f}"
    )
EventReportDisplay.from_predictions(
    Y_new, S_new, thresholds=tuners["expected"].thresholds_, events=events[::4]
)
plt.show()
