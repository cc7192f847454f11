"""
A first tagger
==============

A network learns which sounds occur in a clip, from labels that do not say when. This example trains
one on synthetic sound scenes. It then looks at the scores, at predictions made from them, and at
the times at which the network hears an event.
"""

import tempfile

import numpy as np
import soundfile

from sktagger import ThresholdTuner, WALNetTagger
from sktagger.datasets.scenes import make_scenes
from sktagger.metrics import event_report, mean_average_precision

# %%
# Clips and labels
# ----------------
# A database lists audio files and the events in each of them. ``to_xy`` returns the paths and a
# table with one column per event. It does not read any audio.

folder = tempfile.TemporaryDirectory()
db = make_scenes(
    folder.name, n_train=60, n_validate=30, n_eval=30, duration=2.0, sample_rate=8000,
    random_state=0,
)  # fmt: skip
X, Y = db.to_xy("balanced_train")
X_val, Y_val = db.to_xy("validate")
X_new, Y_new = db.to_xy("eval")
print(Y.sum())

# %%
# Training
# --------
# The tagger is validated after each epoch, and the best epoch is kept. A few epochs on 60 clips
# take seconds. That is enough to learn a little.

tagger = WALNetTagger(sample_rate=8000, batch_size=8, lr=1e-3, max_epochs=6, random_state=0)
tagger.fit(X, Y, X_val=X_val, Y_val=Y_val)
print(tagger.history_[["n_epochs", "train_loss", "valid_loss", "valid_mAP"]].round(3))

# %%
# Scores
# ------
# The mean average precision (mAP) measures how well clips with an event are ranked above clips
# without it. The average precision of random scores is, on average, the fraction of clips with the
# event.

scores = tagger.predict_proba(X_new)
print(f"mAP {mean_average_precision(Y_new, scores):.3f}, by chance {Y_new.to_numpy().mean():.3f}")

# %%
# Predictions
# -----------
# A score of 0.3 may mean "yes" for one event and "no" for another. The tuner learns one threshold
# per event from the validation clips.

tuner = ThresholdTuner().fit(tagger.predict_proba(X_val), Y_val)
print(event_report(Y_new, scores, tuner.thresholds_)[["support", "AP", "threshold", "F1"]].round(2))

# %%
# When?
# -----
# The labels do not say when an event occurs. Still, the network scores segments of 2.56 s, one
# every 1.28 s. This recording consists of two scenes, one after the other. A longer training
# separates them better.

pair = np.flatnonzero(Y_new.sum(axis=1) == 1)[[0, -1]]
print("first, then:", Y_new.columns[Y_new.iloc[pair].to_numpy().argmax(axis=1)].tolist())
recording = np.concatenate([soundfile.read(X_new[i])[0] for i in pair])
(segments,) = tagger.predict_segments([recording])
print(segments.round(2).T)
folder.cleanup()
