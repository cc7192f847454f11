"""README's database and first lines of code go together, and run."""

import json
import re
from pathlib import Path

import numpy as np
import soundfile

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
