"""
Learning from the scores of another model
=========================================

Labels are expensive, but recordings are often free. If a good model for the same events exists, it
can score unlabelled clips, and a tagger can learn from these scores. This is called distillation:
the model is the teacher, the tagger is its student. ``fit`` takes the scores in place of labels.
"""

import tempfile

import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktagger import WALNetTagger
from sktagger.baselines import MFCCStatistics
from sktagger.datasets import make_scenes
from sktagger.metrics import mean_average_precision

# %%
# Few labels, many clips
# ----------------------
# We own 40 labelled clips and 260 without labels. Another 500 labelled clips belong to somebody
# else. They are needed for the teacher only. All are synthetic scenes of one second.

folder = tempfile.TemporaryDirectory()
db = make_scenes(
    folder.name, n_train=800, n_validate=0, n_eval=150, duration=1.0, sample_rate=8000,
    random_state=0,
)  # fmt: skip
X, Y = db.to_xy("balanced_train")
X_new, Y_new = db.to_xy("eval")
X_labelled, Y_labelled = X[:40], Y[:40]
X_unlabelled = X[40:300]

# %%
# The teacher
# -----------
# The teacher can be any classifier with probabilities. Here it is a small network on MFCCs, trained
# on the clips of somebody else.

teacher = make_pipeline(
    MFCCStatistics(verbose=0),
    StandardScaler(),
    MLPClassifier(500, alpha=1.0, early_stopping=True, random_state=0),
).fit(X[300:], Y[300:])

# %%
# With real recordings, a network that knows AudioSet can be the teacher. It needs the few labelled
# clips only, because it has learned from two million others:
#
# .. code-block:: python
#
#    teacher = AudioTagger(init_from="mn10_as").fit(X_labelled, Y_labelled)

# %%
# Two students
# ------------
# Both students have the same network and train for 57 batches. The first one learns from the
# labelled clips only.

settings = {
    "sample_rate": 8000, "batch_size": 16, "max_iterations": 57, "augmentation": None,
    "random_state": 0, "verbose": 0,
}  # fmt: skip
alone = WALNetTagger(**settings).fit(X_labelled, Y_labelled)

# %%
# The second one learns from the labelled clips, and from the teacher's scores of the others. The
# columns of both tables have the same names. (A tagger has the names in ``classes_``.)

scores = pd.DataFrame(teacher.predict_proba(X_unlabelled), columns=Y.columns)
print(scores.head(3).round(2).T)
taught = WALNetTagger(**settings).fit(
    [*X_labelled, *X_unlabelled], pd.concat([Y_labelled, scores], ignore_index=True)
)

# %%
# What the scores are worth
# -------------------------
# New clips show the gain. The student comes closer to its teacher, without the teacher's clips.

models = {"teacher": teacher, "student, labels only": alone, "student, taught": taught}
for name, model in models.items():
    mAP = mean_average_precision(Y_new, model.predict_proba(X_new))
    print(f"{name:21} mAP {mAP:.3f}")

folder.cleanup()

# %%
# When it helps
# -------------
# The size of the gain depends on chance, too: three other seeds gave 0.02 to 0.07. Two things are
# needed: a teacher that is better than the student alone, and a student that gets better with more
# labels. Measure both before you collect clips. ``benchmarks/bench_distillation.py`` does so on
# scenes with real recordings, and ``docs/recipe.md`` shows the results.
