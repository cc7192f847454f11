import filecmp
import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from numpy.random import default_rng
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score

from sktagger.datasets import audioset_classes
from sktagger.datasets import scenes as scenes_module
from sktagger.datasets._sounds import EVENTS, noise
from sktagger.datasets.database import load_database
from sktagger.datasets.scenes import make_scenes

SMALL = {"n_train": 12, "n_validate": 6, "n_eval": 2, "duration": 1.0}


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes"), **SMALL, random_state=0)


def files_below(folder):
    return sorted(file.relative_to(folder) for file in folder.rglob("*") if file.is_file())


def test_returns_the_database_it_wrote(db):
    assert db.path.name == "scenes.json"
    assert [len(db.table(name)) for name in db.datasets] == [12, 6, 2]
    again = load_database(db.path)
    assert again.table("eval").equals(db.table("eval"))


def test_database_moves_with_its_folder(db):
    examples = json.loads(db.path.read_text())["datasets"]["eval"]
    assert examples["eval_0000"]["audio_path"] == "eval/eval_0000.wav"


def test_only_the_database_and_its_clips_are_left(db):
    names = [f"{name}/{clip}.wav" for name in db.datasets for clip in db.table(name).index]
    files = ["scenes.json", "strong_labels.tsv", *names]
    assert [str(file) for file in files_below(db.path.parent)] == sorted(files)


def test_files_are_pcm_of_the_stated_length_and_rate(tmp_path):
    db = make_scenes(
        tmp_path, n_train=1, n_validate=0, n_eval=0, duration=0.7, sample_rate=11025, random_state=0
    )
    (clip,) = db.table("balanced_train").itertuples()
    header = soundfile.info(clip.audio_path)
    assert (header.samplerate, header.channels, header.subtype) == (11025, 1, "PCM_16")
    assert header.frames == round(0.7 * 11025)
    assert clip.audio_length == header.frames / header.samplerate


def test_clips_are_audible_and_do_not_clip(db):
    for path in db.to_xy("balanced_train")[0]:
        waveform, _ = soundfile.read(path)
        assert 0.09 < np.abs(waveform).max() < 0.91


def test_same_seed_gives_the_same_bytes(db, tmp_path):
    make_scenes(tmp_path, **SMALL, random_state=0)
    files = files_below(tmp_path)
    _, mismatch, errors = filecmp.cmpfiles(db.path.parent, tmp_path, files, shallow=False)
    assert (len(files), mismatch, errors) == (22, [], [])


def test_scenes_of_one_call_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes_module, "_EVENTS_PER_SCENE", (0,))
    db = make_scenes(tmp_path, n_train=2, n_validate=2, n_eval=2, duration=1.0, random_state=0)
    noises = [soundfile.read(path)[0] for name in db.datasets for path in db.to_xy(name)[0]]
    assert np.all(np.abs(np.corrcoef(noises) - np.eye(6)) < 0.9)


@pytest.mark.parametrize("random_state", [1, None])
def test_other_seed_gives_other_scenes(db, tmp_path, random_state):
    other = make_scenes(tmp_path, **SMALL, random_state=random_state)
    first, second = (soundfile.read(d.to_xy("eval")[0][0])[0] for d in (db, other))
    assert not np.array_equal(first, second)


def test_seed_of_numpy_is_left_alone(tmp_path):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_scenes(tmp_path, n_train=1, n_validate=0, n_eval=0, duration=0.1, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_events_are_balanced_and_none_is_missing(db):
    for name in ("balanced_train", "validate"):
        counts = db.to_xy(name)[1].sum()
        assert list(counts.index) == sorted(EVENTS)
        assert counts.max() - counts.min() <= 1


def test_some_scenes_have_no_event_and_none_more_than_three(db):
    n_events = db.to_xy("balanced_train")[1].sum(axis=1)
    assert set(n_events) == {0, 1, 2, 3}


def test_event_times_lie_in_the_scene(db):
    for clip in db.table("balanced_train").itertuples():
        assert sorted(clip.event_times) == clip.events
        for onset, offset in clip.event_times.values():
            assert 0 <= onset < offset <= clip.audio_length


def test_event_is_louder_than_the_noise_around_it(tmp_path):
    db = make_scenes(tmp_path, n_train=40, n_validate=0, n_eval=0, random_state=0)
    ratios = []
    for clip in db.table("balanced_train").itertuples():
        if len(clip.events) == 1:
            waveform, sample_rate = soundfile.read(clip.audio_path)
            ((onset, offset),) = clip.event_times.values()
            inside = np.zeros(len(waveform), bool)
            inside[int(onset * sample_rate) : int(offset * sample_rate)] = True
            ratios.append(np.var(waveform[inside]) / np.var(waveform[~inside]))
    assert len(ratios) == 16
    assert np.median(ratios) > 3


def test_set_of_no_scenes_is_left_out(tmp_path):
    db = make_scenes(tmp_path, n_train=1, n_validate=0, n_eval=1, duration=0.1)
    assert db.datasets == ("balanced_train", "eval")


def test_earlier_scenes_are_replaced(tmp_path):
    make_scenes(tmp_path, n_train=3, n_validate=0, n_eval=0, duration=0.1)
    db = make_scenes(tmp_path, n_train=0, n_validate=2, n_eval=0, duration=0.1)
    assert load_database(tmp_path / "scenes.json").datasets == db.datasets == ("validate",)


def test_interrupted_call_leaves_no_database(tmp_path, monkeypatch):
    make_scenes(tmp_path, n_train=3, n_validate=0, n_eval=0, duration=0.1)
    write = soundfile.write

    def write_two(file, *args, **kwargs):
        if file.stem.endswith("2"):
            raise KeyboardInterrupt
        write(file, *args, **kwargs)

    monkeypatch.setattr(scenes_module.soundfile, "write", write_two)
    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path, n_train=3, n_validate=0, n_eval=0, duration=0.1)
    assert list(tmp_path.glob("*.json*")) == []


@pytest.mark.parametrize("verbose", [True, False])
def test_no_progress_bar_off_a_terminal(tmp_path, capsys, verbose):
    make_scenes(tmp_path, n_train=1, n_validate=0, n_eval=0, duration=0.1, verbose=verbose)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_train": -1}, ValueError, "n_train: got -1; allowed is an integer of at least 0"),
        ({"n_eval": 2.0}, TypeError, "n_eval: got 2.0; allowed is an integer"),
        ({"n_eval": True}, TypeError, "n_eval: got True; allowed is an integer"),
        ({"duration": 0}, ValueError, "duration: got 0; allowed is a finite number of at least .1"),
        ({"duration": float("nan")}, ValueError, "duration: got nan"),
        ({"duration": float("inf")}, ValueError, "duration: got inf"),
        ({"sample_rate": 4000}, ValueError, "sample_rate: got 4000; allowed .* at least 8000"),
        ({"n_train": 0, "n_validate": 0, "n_eval": 0}, ValueError, "got 0 for each"),
        ({"random_state": "x"}, ValueError, "cannot be used to seed"),
    ],
)
def test_wrong_settings(tmp_path, settings, error, message):
    with pytest.raises(error, match=message.replace("least .1", r"least 0\.1")):
        make_scenes(tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("event", sorted(EVENTS))
@pytest.mark.parametrize(("n_samples", "sample_rate"), [(280, 8000), (3501, 16000), (4000, 44100)])
def test_sound_is_finite_and_never_silent(event, n_samples, sample_rate):
    for seed in range(20):
        sound = EVENTS[event](default_rng(seed), n_samples, sample_rate)
        assert sound.shape == (n_samples,)
        assert 1e-12 < np.mean(sound**2) < np.inf


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_sounds_of_an_event_differ(event):
    first, second = (EVENTS[event](default_rng(seed), 8000, 16000) for seed in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.9


@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_noise_has_unit_power_and_its_colour(exponent):
    x = noise(default_rng(0), 2**16, exponent)
    power = np.abs(np.fft.rfft(x)) ** 2
    frequency = np.arange(1, len(power))
    slope = np.polyfit(np.log(frequency), np.log(power[1:] + 1e-20), 1)[0]
    assert np.var(x) == pytest.approx(1)
    assert slope == pytest.approx(-exponent, abs=0.1)


def band_energies(path):
    """Mean and spread over time of the log energies of 24 bands, and of their changes."""
    waveform, _ = soundfile.read(path)
    frames = waveform[: len(waveform) // 512 * 512].reshape(-1, 512) * np.hanning(512)
    edges = np.geomspace(1, 257, 25).astype(int)
    edges = np.maximum(edges, np.arange(1, 26))
    spectrum = np.abs(np.fft.rfft(frames)) ** 2
    energies = np.log(np.add.reduceat(spectrum, edges[:-1], axis=1) + 1e-9)
    energies -= energies.mean()
    return np.concatenate(
        [energies.mean(0), energies.std(0), np.diff(energies, axis=0).std(0), energies.max(0)]
    )


def test_scenes_can_be_learnt_but_not_trivially(tmp_path):
    db = make_scenes(tmp_path, n_train=150, n_validate=0, n_eval=80, random_state=0)
    X, Y = db.to_xy("balanced_train")
    X_eval, Y_eval = db.to_xy("eval", events=Y.columns)
    forest = RandomForestClassifier(100, min_samples_leaf=2, random_state=0)
    forest.fit([band_energies(path) for path in X], Y.to_numpy())
    scores = forest.predict_proba([band_energies(path) for path in X_eval])
    scores = np.stack([score[:, 1] for score in scores], axis=1)
    mean_ap = average_precision_score(Y_eval, scores)
    chance = Y_eval.to_numpy().mean()
    assert chance + 0.25 < mean_ap < 0.95


def test_audioset_has_527_classes_in_order():
    classes = audioset_classes()
    assert list(classes.columns) == ["mid", "name"]
    assert classes.index.tolist() == list(range(527))
    assert classes["mid"].is_unique
    assert classes["name"].is_unique


@pytest.mark.parametrize(
    ("output", "mid", "name"),
    [
        (0, "/m/09x0r", "Speech"),
        (1, "/m/05zppz", "Male speech, man speaking"),
        (137, "/m/04rlf", "Music"),
        (506, "/t/dd00125", "Inside, small room"),
        (526, "/m/07hvw1", "Field recording"),
    ],
)
def test_audioset_classes_are_known(output, mid, name):
    assert audioset_classes().loc[output].tolist() == [mid, name]


def test_audioset_names_are_text():
    """No name is taken for a missing value, and none has spaces around it."""
    for name in audioset_classes()["name"]:
        assert isinstance(name, str)
        assert name == name.strip() != ""


def test_file_of_audioset_classes_is_the_published_one():
    content = (files("sktagger.datasets") / "audioset_classes.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == (
        "cdd1049833c4b86127c2773ac0d14a2754b6a6d0d1798002ed5c66e699708429"
    )
