"""The command `review`, the file of corrections, and how a database takes them."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from sktagger import AudioTagger, TunedThresholdTagger, load_database
from sktagger.commands import main
from sktagger.commands.review import review
from sktagger.datasets import read_corrections
from sktagger.networks import WALNet
from sktagger.review import propose_clips, write_review_page

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")


@pytest.fixture(scope="module")
def model(scenes, tmp_path_factory):
    X, Y = scenes.to_xy("balanced_train")
    settings = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "verbose": 0}
    path = tmp_path_factory.mktemp("model") / "t.sktagger"
    AudioTagger(WALNet(sample_rate=8000), **settings).fit(X, Y).save(path)
    return path


def page_data(folder):
    text = (folder / "review.html").read_text(encoding="utf-8")
    found = (re.search(rf'id="{name}">(.*?)</script>', text)[1] for name in ("data", "media"))
    return [json.loads(part) for part in found]


def test_valuable_clips_of_a_database_come_first(model, scenes, tmp_path):
    folder, table = review(model, [str(scenes.path)], n_clips=5, out=tmp_path / "r", verbose=0)
    X, Y = scenes.to_xy("balanced_train")
    tagger = AudioTagger.load(model)
    assert len(table) == 5
    by_hand = propose_clips(tagger.predict_proba(X), 5, strategy="uncertainty")
    _, plain = review(
        model, [str(scenes.path)], n_clips=5, strategy="uncertainty", out=tmp_path / "u", verbose=0
    )
    assert plain["clip"].tolist() == Y.index[by_hand].tolist()
    written = pd.read_csv(folder / "review.csv", keep_default_na=False)
    assert written["clip"].tolist() == table["clip"].tolist()
    assert written["events"].tolist() == [
        "; ".join(Y.columns[Y.loc[clip] > 0]) for clip in table["clip"]
    ]
    data, media = page_data(folder)
    names = [event["name"] for event in data["events"]]
    for i, (clip, name) in enumerate(zip(data["clips"], table["clip"], strict=True)):
        assert (clip["id"], clip["dataset"]) == (name, "balanced_train")
        assert {names[e] for e in clip["labels"]} == set(Y.columns[Y.loc[name] > 0])
        assert media[str(i)]["image"]


def test_recordings_without_labels_are_chosen(model, scenes, tmp_path):
    X, _ = scenes.to_xy("eval")
    for i, path in enumerate(X[:4]):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "in" / f"{i}.wav")
    folder, table = review(model, [str(tmp_path / "in")], n_clips=3, out=tmp_path / "r", verbose=0)
    assert len(table) == 3
    data, _ = page_data(folder)
    assert {clip["dataset"] for clip in data["clips"]} == {None}
    assert all(clip["path"].endswith(".wav") for clip in data["clips"])
    scores = AudioTagger.load(model).predict_proba([data["clips"][0]["path"]])[0]
    assert data["clips"][0]["labels"] == np.flatnonzero(scores > 0.5).tolist()


def test_labels_in_doubt_are_found(model, scenes, tmp_path, capsys):
    arguments = ["review", str(model), str(scenes.path), "--labels", "-n", "4", "-q"]
    main([*arguments, "-o", str(tmp_path / "r")])
    printed = capsys.readouterr().out
    assert "labels that are likely to be wrong: review.csv" in printed
    assert printed.splitlines()[-1] == str(tmp_path / "r")
    table = pd.read_csv(tmp_path / "r" / "review.csv")
    assert 0 < len(table) <= 4
    assert table["suspicion"].is_monotonic_decreasing
    _, Y = scenes.to_xy("balanced_train")
    for row in table.itertuples():
        assert Y.loc[row.clip, row.event] == row.label
    data, _ = page_data(tmp_path / "r")
    names = [event["name"] for event in data["events"]]
    marked = {(clip["id"], names[e]) for clip in data["clips"] for e in clip["suspects"]}
    assert marked == set(zip(table["clip"], table["event"], strict=True))


def test_thresholds_of_a_tuned_tagger_are_used(model, scenes, tmp_path):
    X, Y = scenes.to_xy("validate")
    tuned = TunedThresholdTagger(AudioTagger.load(model), cv="prefit").fit(X, Y)
    tuned.save(tmp_path / "tuned.sktagger")
    folder, _ = review(
        tmp_path / "tuned.sktagger", [str(scenes.path)], n_clips=2, out=tmp_path / "r", verbose=0
    )
    data, _ = page_data(folder)
    shown = [event["threshold"] for event in data["events"]]
    expected = [t if np.isfinite(t) else repr(t) for t in tuned.thresholds_.tolist()]
    for value, threshold in zip(shown, expected, strict=True):
        assert value == (
            threshold if isinstance(threshold, str) else pytest.approx(threshold, abs=1e-4)
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clips": 0}, "n=0, but it must be at least 1"),
        ({"source": ["."], "labels": True}, "--labels is for a database, but SOURCE is '.'"),
        ({"source": ["."], "dataset": "eval"}, "--set is for a database"),
        ({"dataset": "evl"}, "no data set 'evl'"),
    ],
)
def test_wrong_options(model, scenes, tmp_path, options, message):
    given = {"source": [str(scenes.path)], "out": tmp_path / "r"} | options
    with pytest.raises(ValueError, match=message):
        review(model, **given)
    assert not (tmp_path / "r").exists()


def make_corrections(path, *clips):
    full = [
        {"dataset": None, "id": "x", "path": None, "start": None, "stop": None, "events": []} | clip
        for clip in clips
    ]
    content = {"kind": "sktagger corrections", "format": 1, "clips": full}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_corrections_change_the_events_of_their_clips_only(scenes, tmp_path, capsys):
    ids = list(scenes.examples("eval"))
    clips = [
        {"dataset": "eval", "id": ids[1], "events": ["Dog bark", "New event"]},
        {"dataset": "eval", "id": ids[2], "events": []},
    ]
    file = make_corrections(tmp_path / "c.json", *clips)
    out = tmp_path / "new.json"
    given = ["--database", str(scenes.path), "-o", str(out), "--quiet"]
    main(["import", "corrections", str(file), *given])
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    new = load_database(out)
    for name in scenes.datasets:
        for key, before in scenes.examples(name).items():
            after = new.examples(name)[key]
            if (name, key) in {("eval", ids[1]), ("eval", ids[2])}:
                assert after["events"] == clips[ids.index(key) - 1]["events"]
                before, after = before | {"events": 0}, after | {"events": 0}
            assert after == before
    again = load_database(scenes.path)
    assert again.examples("eval")[ids[1]] == scenes.examples("eval")[ids[1]]


def test_corrections_of_recordings_make_a_database(scenes, tmp_path):
    X, _ = scenes.to_xy("eval")
    clips = [
        {"id": "a", "path": X[0], "events": ["Rain"]},
        {"id": "b", "path": X[1], "start": 100, "stop": 900, "events": []},
        {"id": "gone", "path": str(tmp_path / "gone.wav"), "events": []},
    ]
    file = make_corrections(tmp_path / "c.json", *clips)
    db = read_corrections(file, verbose=0)
    assert db.datasets == ("reviewed",)
    X_new, Y = db.to_xy("reviewed")
    assert X_new.tolist() == [X[0], (X[1], 100, 900)]
    assert Y["Rain"].tolist() == [1, 0]
    joined = read_corrections(file, database=scenes, dataset="more", verbose=0)
    assert joined.datasets == (*scenes.datasets, "more")
    assert joined.training_set == "balanced_train"
    with pytest.raises(FileNotFoundError, match=r"clip 'gone' has the file .*gone\.wav"):
        read_corrections(file, on_error="raise", verbose=0)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([{"dataset": "evl"}], r"has no data set 'evl'"),
        ([{"dataset": "eval", "id": "none"}], r"has no clip 'none'"),
        ([{"dataset": "eval", "events": "Rain"}], r"clips\[0\].* allowed is a list of strings"),
        ([{"dataset": "eval", "start": 0.5}], r"clips\[0\].*a number of samples or null"),
        ([{"surprise": 1}], r"surprise"),
        ([{"path": "/no/such/file.wav"}], r"no clip in it that exists"),
    ],
)
def test_wrong_corrections_have_clear_errors(scenes, tmp_path, clips, message):
    file = make_corrections(tmp_path / "c.json", *clips)
    database = None if "path" in clips[0] else scenes
    with pytest.raises(ValueError, match=message):
        read_corrections(file, database=database, verbose=0)


def test_other_files_are_no_corrections(scenes, tmp_path):
    file = make_corrections(tmp_path / "c.json", {"dataset": "eval"})
    with pytest.raises(ValueError, match="Give it by database, or --database"):
        read_corrections(file, verbose=0)
    with pytest.raises(ValueError, match=r"is no file of corrections: .* allowed"):
        read_corrections(scenes.path, verbose=0)
    file.write_text("[", encoding="utf-8")
    with pytest.raises(ValueError, match=r"c\.json is no JSON file"):
        read_corrections(file, verbose=0)


def test_page_keeps_names_as_they_are(model, scenes, tmp_path):
    X, _ = scenes.to_xy("eval")
    tagger = AudioTagger.load(model)
    scores = tagger.predict_proba(X[:2])
    odd = "</script> \x07 & é"
    write_review_page(
        tmp_path / "review.html", X[:2], scores, tagger, labels=[[odd], []], suspects=[[odd], []],
        clips=pd.DataFrame({"dataset": ["a", None]}, index=[odd, "b"]), verbose=0,
    )  # fmt: skip
    data, _ = page_data(tmp_path)
    assert data["events"][-1] == {"name": odd, "threshold": None}
    assert data["clips"][0]["id"] == odd
    assert data["clips"][0]["suspects"] == [len(tagger.classes_)]
    assert [clip["dataset"] for clip in data["clips"]] == ["a", None]
    with pytest.raises(ValueError, match=r"X .* 2.*reasons .* 1"):
        write_review_page(tmp_path / "r.html", X[:2], scores, tagger, reasons=["a"], verbose=0)
