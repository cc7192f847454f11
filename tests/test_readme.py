"""README's database and first lines of code go together, and run."""

import json
import re
from pathlib import Path

import numpy as np
import soundfile
import torch

from sktagger.networks import EfficientAT

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def block(language, number=0):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)[number]


def write_clips(folder, database):
    """Write noise for the clips of a database, long enough for the sections that it names."""
    rng = np.random.default_rng(0)
    for clips in database["datasets"].values():
        for clip in clips.values():
            path = folder / clip["audio_path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            n_samples = clip.get("audio_stop_samples", 22050)
            soundfile.write(path, 0.1 * rng.standard_normal(n_samples), 44100)


def test_first_lines_run_on_the_database(tmp_path, monkeypatch):
    database = json.loads(block("json"))
    write_clips(tmp_path, database)
    (tmp_path / "scenes.json").write_text(block("json"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code = block("python")
    assert "max_epochs=20" in code
    names = {}
    exec(code.replace("max_epochs=20", "max_epochs=1"), names)
    assert names["db"].datasets == ("balanced_train", "validate", "eval")
    scores = names["tagger"].predict_proba(names["X_new"])
    assert scores.shape == names["Y_new"].shape
    assert np.isfinite(scores).all()


def test_lines_on_networks_that_know_audioset_run(tmp_path, monkeypatch):
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "mn10_as" in c]
    path = tmp_path / "mn10_as_mAP_471.pt"
    torch.save(EfficientAT().build(527).state_dict(), path)
    monkeypatch.setattr("sktagger.taggers._stored.fetch", lambda name, **_: path)
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).standard_normal((8, 3200))
    names = {"X": X, "X_val": X, "y": list("abababab")}
    names["Y"] = names["Y_val"] = [["a"], ["b"]] * 4
    fast = "max_epochs=1, augmentation=None, verbose=0"
    exec(code.replace("(init_from=", f"({fast}, init_from="), names)
    assert len(names["tagger"].classes_) == 527
