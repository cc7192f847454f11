"""
Why thresholds must not be tuned on training scores
===================================================

A model scores its own training clips too well, because it has seen their labels. This example shows
how much worse the predictions on new clips become if thresholds are tuned on such scores. The model
is a random forest on band energies, because it trains in seconds. The same code works with
`WALNetTagger`, but takes longer.
"""

import tempfile

import numpy as np
import pandas as pd
import soundfile
from sklearn.ensemble import RandomForestClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktagger import STFT, ThresholdTuner, TunedThresholdTagger
from sktagger.audio.spectral import frame_onsets, stft
from sktagger.datasets.scenes import make_scenes
from sktagger.metrics import mean_average_precision, mean_f1
from sktagger.networks import mel_filterbank

# %%
# The features of a clip are mean and standard deviation over time of the log energy in 24 mel
# bands.

folder = tempfile.TemporaryDirectory()
sizes = {"n_train": 120, "n_validate": 6, "n_eval": 240}
db = make_scenes(folder.name, **sizes, duration=2.0, sample_rate=8000, random_state=0)
X, Y = db.to_xy("balanced_train")
X_new, Y_new = db.to_xy("eval")


def band_statistics(paths):
    sizes = STFT().sizes(8000)
    filters = mel_filterbank(8000, sizes.n_fft, 24).numpy()
    rows = []
    for path in paths:
        waveform, _ = soundfile.read(path, dtype="float32")
        power = np.square(stft(waveform, frame_onsets(len(waveform), sizes), sizes)).sum(-1)
        bands = np.log(power @ filters + 1e-6)
        rows.append(np.concatenate([bands.mean(axis=0), bands.std(axis=0)]))
    return np.array(rows)


model = make_pipeline(
    FunctionTransformer(band_statistics),
    OneVsRestClassifier(RandomForestClassifier(30, random_state=0)),
).fit(X, Y)

# %%
# The model ranks its training clips perfectly. The scores of clips with and without an event are
# far apart. New clips with the event have much lower scores.

scores, scores_new = model.predict_proba(X), model.predict_proba(X_new)
print(f"mAP on training clips {mean_average_precision(Y, scores):.2f}")
print(f"mAP on new clips      {mean_average_precision(Y_new, scores_new):.2f}")

# %%
# :class:`TunedThresholdTagger` tunes on out-of-fold scores: each clip is scored by a model that
# was not trained on it. Then it fits the model on all clips. In a pipeline of tagger and tuner,
# ``WALNetTagger(cross_fit=5)`` does the same. All rows below use the same model and scores. Only
# the thresholds differ. The last row is an upper bound: its thresholds are tuned on the new clips.

thresholds = {
    "training clips": ThresholdTuner(strategy="best").fit(scores, Y).thresholds_,
    "out-of-fold, best F1 as published": TunedThresholdTagger(
        model, tuner=ThresholdTuner(strategy="best"), cv=5, random_state=0
    ).fit(X, Y).thresholds_,
    "out-of-fold": TunedThresholdTagger(model, cv=5, random_state=0).fit(X, Y).thresholds_,
    "(the new clips)": ThresholdTuner(strategy="best").fit(scores_new, Y_new).thresholds_,
}  # fmt: skip
rows = {
    name: {"mean threshold": value.mean(), "mF1 on new clips": mean_f1(Y_new, scores_new > value)}
    for name, value in thresholds.items()
}
print(pd.DataFrame(rows).T.rename_axis("tuned on").round(3))
folder.cleanup()
