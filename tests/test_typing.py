"""What mypy says of a user's script: nothing of right use, and an error for each wrong line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

RIGHT = """
from pathlib import Path

import numpy as np

import sktagger
from sktagger import (
    STFT, AudioEmbedding, Augmentation, ThresholdTuner, TunedThresholdTagger, WALNetTagger,
    load_database,
)
from sktagger.audio import Section, audio_info, read_audio
from sktagger.datasets import make_scenes
from sktagger.metrics import RankedScores, event_report, mean_average_precision, mean_f1, scorers
from sktagger.model_selection import MultilabelStratifiedGroupKFold

db = load_database(Path("scenes.json"))
X, Y = db.to_xy("balanced_train")
X_val, Y_val = db.to_xy("validate", events=Y.columns)
tagger = WALNetTagger(
    stft=STFT(hop_length=882), augmentation=Augmentation(mixup_prob=0.5), lr=1e-3, max_epochs=2,
    memory=Path("cache"), random_state=np.random.RandomState(0), verbose=0,
)
tagger.fit(X, Y, X_val=X_val, Y_val=Y_val).predict_proba(X_val)
WALNetTagger(init_from=tagger, freeze="backbone").fit([np.zeros(9000)], [["Rain"]])
tuner = ThresholdTuner(metric="f1", strategy="best").fit(tagger.predict_proba(X_val), Y_val)
tuned = TunedThresholdTagger(tagger, tuner=tuner, cv=3).fit(X, Y)
tagger.save("tagger.safetensors")
loaded = WALNetTagger.load(Path("tagger.safetensors"), device="cpu")
embedding = AudioEmbedding(Path("tagger.safetensors"), pooling="max", memory="cache").fit(X)
print(embedding.transform(X).shape, embedding.transform_segments(X)[0].index)
print(AudioEmbedding(loaded, layer="logits").get_feature_names_out().tolist())

waveform = read_audio(Section("night.wav", 0, 44100), 44100)
length: int = waveform.shape[1]
events: list[str] = db.events("eval")
scores = np.random.rand(4, 3)
labels = scores > 0.5
print(mean_average_precision(labels, scores), mean_f1(labels, labels, average=None))
print(event_report(labels, scores), RankedScores(labels, scores).best_thresholds().fscores)
for train, test in MultilabelStratifiedGroupKFold(5, shuffle=True).split(scores, labels):
    print(len(train), len(test))
make_scenes("folder", n_train=9, sample_rate=8000)
print(sktagger.__version__, sorted(scorers), audio_info(Section("night.wav")))
"""

# each line, and the code of the error that is expected; None: no error
WRONG = [
    ("import numpy as np", None),
    ("import sktagger", None),
    ("from sktagger import WALNetTager", "attr-defined"),
    ("from sktagger import WALNetTagger, STFT, ThresholdTuner, load_database", None),
    ("from sktagger.audio import read_audio", None),
    ("from sktagger.datasets import make_scenes", None),
    ("from sktagger.metrics import RankedScores, lwlrap, mean_average_precision, mean_f1", None),
    ("from sktagger.metrics import map_scores", "attr-defined"),
    ("sktagger.WALNetTager()", "attr-defined"),
    ("from sktagger import Augmentation, AudioTagger", None),
    ("AudioTagger('WALNet')", "arg-type"),
    ("WALNetTagger(lr='fast')", "arg-type"),
    ("WALNetTagger(max_epochs=1.5)", "arg-type"),
    ("WALNetTagger(stft=1024)", "arg-type"),
    ("WALNetTagger(warm_start='no')", "arg-type"),
    ("STFT(hop_length='20 ms')", "arg-type"),
    ("Augmentation(mixup_prob='high')", "arg-type"),
    ("ThresholdTuner(beta='two')", "arg-type"),
    ("WALNetTagger().save(3)", "arg-type"),
    ("WALNetTagger.load(3)", "arg-type"),
    ("WALNetTagger(learning_rate=1e-3)", "call-arg"),
    ("WALNetTagger(44100)", "call-arg"),
    ("STFT(hop=882)", "call-arg"),
    ("ThresholdTuner(stratgy='best')", "call-arg"),
    ("db = load_database(7)", "arg-type"),
    ("load_database('scenes.json', roots='here')", "call-arg"),
    ("db.to_xyz('balanced_train')", "attr-defined"),
    ("db.to_xy(1)", "arg-type"),
    ("db.to_xy('balanced_train').columns", "attr-defined"),
    ("read_audio('a.wav', 44100)", "arg-type"),
    ("make_scenes('folder', n_training=9)", "call-arg"),
    ("scores = np.random.rand(4, 3)", None),
    ("mean_average_precision(scores > 0, scores, mean='macro')", "call-arg"),
    ("mean_average_precision(scores > 0, scores, average=3)", "arg-type"),
    ("mean_average_precision(scores > 0, scores, 'macro')", "call-arg"),
    ("mean_f1(scores > 0)", "call-arg"),
    ("mean_f1(scores > 0, scores > 0, beta='two')", "arg-type"),
    ("lwlrap(scores > 0, None)", "arg-type"),
    ("RankedScores(scores > 0, scores).threshold()", "attr-defined"),
]

# mypy accepts any method of an estimator, because scikit-learn has no hints. pyright finds unknown
# methods.


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run mypy, which takes ten seconds, on all scripts at once; give the errors of each."""
    folder = tmp_path_factory.mktemp("scripts")
    scripts = {"right": RIGHT, "wrong": script(WRONG)}
    for name, code in scripts.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    command = ["-m", "mypy", "--config-file=", "--follow-imports=silent", "--no-incremental"]
    command += ["--ignore-missing-imports", "--hide-error-context"]
    done = subprocess.run(
        [sys.executable, *command, *(f"{name}.py" for name in scripts)],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    errors = {name: {} for name in scripts}
    pattern = r"^(\w+)\.py:(\d+): error: (.*)  \[([\w-]+)\]$"
    for name, line, message, code in re.findall(pattern, done.stdout, re.MULTILINE):
        errors[name][int(line)] = (code, message)
    return errors


def script(lines):
    return "\n".join(line for line, _ in lines)


def with_codes(lines, errors):
    return [(line, errors.get(i, (None,))[0]) for i, (line, _) in enumerate(lines, start=1)]


def test_right_use_has_no_error(found):
    assert found["right"] == {}


def test_each_misuse_is_found(found):
    assert with_codes(WRONG, found["wrong"]) == WRONG


def test_type_checkers_are_told_of_the_hints():
    assert (PROJECT / "sktagger" / "py.typed").is_file()
    assert "py.typed" in (PROJECT / "setup.py").read_text(encoding="utf-8")
