"""The report page: its numbers, what it holds of the clips, and that nothing breaks it."""

import base64
import io
import json
import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import f1_score, precision_score, recall_score

import sktagger
from sktagger import AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.audio.clip_input import check_clips
from sktagger.metrics import event_report, lwlrap
from sktagger.networks import WALNet
from sktagger.reports import _page_data as numbers
from sktagger.reports import _page_media, page, write_report
from sktagger.reports._page_media import Renderer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")

RATE = 2000
EVENTS = ["Rain", "Bell", "Dog"]


@pytest.fixture
def truth(rng):
    index = [f"clip_{i}" for i in range(40)]
    return pd.DataFrame((rng.random((40, 3)) < 0.4).astype(int), index, EVENTS)


@pytest.fixture
def scores(truth, rng):
    return np.clip(truth.to_numpy() * 0.3 + rng.random(truth.shape) * 0.7, 0, 1).round(2)


def read_page(path):
    """Return the text of a page, and its data."""
    text = path.read_text(encoding="utf-8")
    blocks = [
        json.loads(
            re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text)[1]
        )
        for name in ("data", "media")
    ]
    return text, *blocks


@pytest.fixture
def write(tmp_path, truth, scores):
    def write_page(Y=truth, S=scores, thresholds=0.5, **options):
        write_report(tmp_path / "report.html", Y, S, thresholds, **{"verbose": 0} | options)
        return read_page(tmp_path / "report.html")

    return write_page


def test_table_has_the_metrics_of_the_report(write, truth, scores):
    thresholds = [0.5, 0.3, np.inf]
    text, data, _ = write(thresholds=thresholds, n_bootstraps=50)
    report = event_report(truth, scores, thresholds, n_bootstraps=50, random_state=0)
    assert [row["name"] for row in data["events"]] == EVENTS
    assert [row["threshold"] for row in data["events"]] == [0.5, 0.3, "inf"]
    columns = {"d_prime": "d", "precision": "P", "recall": "R"}
    for name in ("AP", "AUC", "d_prime", "lwlrap", "F1", "precision", "recall", "support", "FP"):
        key = columns.get(name, name)
        shown = [row[key] for row in data["events"]]
        np.testing.assert_allclose(shown, report[name].iloc[:-1], atol=1e-4)
    for name in ("AP", "F1"):
        limits = report[[f"{name}_low", f"{name}_high"]].iloc[:-1]
        np.testing.assert_allclose([row[f"{name}_i"] for row in data["events"]], limits, atol=1e-4)
    macro = report.iloc[-1]
    interval = f"{100 * macro['AP_low']:.1f} to {100 * macro['AP_high']:.1f}"
    assert f"<td>{100 * macro['AP']:.1f}<small>{interval}</small></td>" in text
    assert f"<td>{100 * lwlrap(truth, scores):.1f}<small>" in text


def test_thresholds_with_names_are_matched_by_name(write, truth):
    by_name = pd.Series({"Dog": 0.3, "Rain": 0.5, "Bell": 0.7})
    _, data, _ = write(thresholds=by_name, n_bootstraps=0)
    assert [row["threshold"] for row in data["events"]] == [0.5, 0.7, 0.3]
    with pytest.raises(ValueError, match="1 NaN"):
        write(thresholds=by_name.drop("Dog"), n_bootstraps=0)


def test_tuned_tagger_shows_its_estimator(write, tagger, truth, files):
    tuned = TunedThresholdTagger(tagger, cv="prefit").fit(files, truth)
    _, data, media = write(X=files, tagger=tuned, n_bootstraps=0, max_bytes=20_000)
    assert media
    assert data["history"]["x"] == tagger.history_["n_epochs"].tolist()


def test_undefined_metrics_have_no_value(write, truth, scores):
    truth["Bell"] = 0
    text, data, _ = write(truth, n_bootstraps=0)
    bell = data["events"][1]
    assert bell["AP"] is bell["F1"] is bell["P"] is None
    assert (bell["support"], bell["FN"]) == (0, 0)
    assert bell["FP"] == (scores[:, 1] > 0.5).sum()
    assert data["curves"]["events"][1] is None
    assert "of which 1 occur in no clip" in text


def test_interval_of_lwlrap_is_that_of_drawn_clips(truth, scores):
    low, high = numbers.lwlrap_limits(truth, scores, 300, 0.9, 0)
    draws = np.random.RandomState(1).randint(40, size=(3000, 40))
    values = [lwlrap(truth.iloc[rows], scores[rows]) for rows in draws]
    assert low == pytest.approx(np.quantile(values, 0.05), abs=0.012)
    assert high == pytest.approx(np.quantile(values, 0.95), abs=0.012)
    assert numbers.lwlrap_limits(truth, scores, 0, 0.9, 0) is None


def test_curves_equal_those_of_each_threshold(truth, scores):
    labels = truth.to_numpy() > 0
    curves = numbers.curves_of_events(labels, scores)
    for event, curve in enumerate(curves["events"]):
        y, s = labels[:, event], scores[:, event]
        for name, metric in (("f1", f1_score), ("r", recall_score), ("p", precision_score)):
            for t, value in zip(np.linspace(0, 1, 64), curve[name], strict=True):
                if name == "p" and not (s > t).any():
                    assert value is None
                else:
                    assert value == pytest.approx(metric(y, s > t, zero_division=0), abs=6e-4)
        for recall, precision in zip(np.linspace(0, 1, 64), curve["precision"], strict=True):
            t = max(t for t in s if recall_score(y, s >= t) >= max(recall, 1e-9) - 1e-9)
            assert precision == pytest.approx(precision_score(y, s >= t), abs=6e-4)
    means = np.mean([curve["precision"] for curve in curves["events"]], axis=0)
    np.testing.assert_allclose(curves["all"]["precision"], means, atol=1.1e-3)


def test_reliability_and_histogram_count_each_score(truth, scores):
    labels = truth.to_numpy() > 0
    scores[0, 0] = 1.0
    curves = numbers.curves_of_events(labels, scores)
    both = [(curves["events"][1], labels[:, 1], scores[:, 1])]
    both.append((curves["all"], labels.ravel(), scores.ravel()))
    for curve, y, s in both:
        bins = np.minimum((s * 10 + 1e-9).astype(int), 9)
        for k in range(10):
            inside = bins == k
            if not inside.any():
                assert curve["mean_score"][k] is curve["fraction"][k] is None
                continue
            assert curve["mean_score"][k] == pytest.approx(s[inside].mean(), abs=6e-4)
            assert curve["fraction"][k] == pytest.approx(y[inside].mean(), abs=6e-4)
        assert sum(curve["with"]) == y.sum()
        assert sum(curve["without"]) == (~y).sum()
        assert curve["with"][-1] == (y & (s >= 0.95)).sum()


def test_scores_may_lie_outside_of_0_and_1(truth, scores):
    labels = truth.to_numpy() > 0
    logits = 8 * scores - 4
    span = numbers.score_range(logits)
    assert span == (logits.min(), logits.max())
    curves = numbers.curves_of_events(labels, logits)
    assert sum(curves["all"]["with"]) == labels.sum()
    assert curves["events"][0]["threshold"][0] == round(span[0], 3)


def test_confusions_are_pairs_of_a_missed_and_a_wrong_event(truth, scores):
    labels, predictions = truth.to_numpy() > 0, scores > 0.5
    found = numbers.find_confusions(labels, predictions, EVENTS)
    expected = {}
    for y, p in zip(labels, predictions, strict=True):
        for missed in np.flatnonzero(y & ~p):
            for wrong in np.flatnonzero(p & ~y):
                pair = EVENTS[missed], EVENTS[wrong]
                expected[pair] = expected.get(pair, 0) + 1
    assert {(row["missed"], row["found"]): row["n_clips"] for row in found} == expected
    counts = [row["n_clips"] for row in found]
    assert counts == sorted(counts, reverse=True)
    row = found[0]
    assert row["share"] == f"{100 * row['n_clips'] / truth[row['missed']].sum():.0f}"
    assert EVENTS[row["missed_index"]] == row["missed"]


def test_errors_come_with_the_worst_first(write, truth, scores):
    _, data, _ = write(n_bootstraps=0)
    expected = []
    for clip, event in np.ndindex(truth.shape):
        y, s = truth.iloc[clip, event], scores[clip, event]
        if (s > 0.5) != y:
            expected.append((1 - s if y else s, clip, event, y, s))
    expected.sort(key=lambda error: (-error[0], error[1:3]))
    errors, clips = data["errors"], data["clips"]
    assert errors["event"] == [error[2] for error in expected]
    assert errors["kind"] == [error[3] for error in expected]
    assert errors["score"] == [error[4] for error in expected]
    assert [clips["name"][i] for i in errors["clip"]] == [f"clip_{error[1]}" for error in expected]
    for name, labels, found in zip(clips["name"], clips["labels"], clips["found"], strict=True):
        row = int(name.split("_")[1])
        assert labels == np.flatnonzero(truth.iloc[row]).tolist()
        assert found == [[e, scores[row, e]] for e in np.flatnonzero(scores[row] > 0.5)]


def test_all_events_take_turns(truth, scores):
    labels, predictions = truth.to_numpy() > 0, scores > 0.5
    errors = numbers.list_errors(labels, predictions, scores)
    order = page.choose_clips(errors)
    assert sorted(order) == sorted(set(errors["clip"].tolist()))
    first = {}
    for clip, event, kind in zip(errors["clip"], errors["event"], errors["kind"], strict=True):
        first.setdefault((event, kind), clip)
    assert set(order[: len(set(first.values()))]) == set(first.values())


@pytest.fixture(scope="module")
def tagger():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 3 * RATE))
    Y = pd.DataFrame([[1, 0, 0], [0, 1, 0], [0, 0, 1]] * 2, columns=EVENTS)
    settings = {"max_epochs": 2, "batch_size": 3, "random_state": 0, "verbose": 0}
    return AudioTagger(WALNet(sample_rate=RATE), **settings).fit(X, Y, X_val=X, Y_val=Y)


@pytest.fixture
def files(write_audio, rng):
    return [write_audio(f"a b#{i}.wav", rng.normal(0, 0.1, 3 * RATE), RATE) for i in range(40)]


def decode(content):
    return soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="float32")


def test_clips_are_heard_in_the_page_or_from_their_files(write, files, tmp_path, tagger, scores):
    _, data, media = write(X=files, tagger=tagger, n_bootstraps=0, max_bytes=40_000)
    size = sum(len(v) for part in media.values() for v in part.values() if isinstance(v, str))
    assert 0 < size <= 40_000
    assert 0 < len(media) < len(data["clips"]["name"])
    for i, (name, link) in enumerate(
        zip(data["clips"]["name"], data["clips"]["media"], strict=True)
    ):
        path = files[int(name.split("_")[1])]
        if link == 1:
            part = media[str(i)]
            waveform, rate = decode(part["audio"])
            original, _ = soundfile.read(path, dtype="float32")
            assert (part["start"], part["duration"]) == (0, 3)
            place = np.correlate(np.repeat(original, rate // RATE)[:8000], waveform[:8000], "full")
            assert abs(place).max() > 0  # decodes
            assert len(waveform) / rate == pytest.approx(3, abs=0.2)
        else:
            assert (tmp_path / unquote(link)).samefile(path)
    worst = data["errors"]["clip"][0]
    assert data["clips"]["media"][worst] == 1


def test_scores_in_time_are_those_of_the_tagger(write, files, tagger, truth, scores):
    _, data, media = write(X=files, tagger=tagger, n_bootstraps=0)
    i, part = next(iter(media.items()))
    clip = int(data["clips"]["name"][int(i)].split("_")[1])
    (table,) = tagger.predict_segments([files[clip]])
    wrong = (scores[clip] > 0.5) != truth.iloc[clip].to_numpy(bool)
    for place, (event, values) in enumerate(part["lanes"]):
        np.testing.assert_allclose(values, 100 * table[EVENTS[event]], atol=0.51)
        assert wrong[event] or place >= wrong.sum()  # errors come first
    (onset, offset), (second, _) = table.index[0], table.index[1]
    assert part["grid"] == pytest.approx([onset, second - onset, offset - onset], abs=1e-4)


def test_long_clips_are_cut_around_the_highest_score(write_audio, tmp_path, tagger):
    waveform = np.random.default_rng(0).normal(0, 0.1, 40 * RATE)
    Y = pd.DataFrame([[0, 0, 0]], ["long"], EVENTS)
    path = write_audio("long.wav", waveform, RATE)
    options = {"X": [path], "tagger": tagger, "max_seconds": 5.0, "n_bootstraps": 0, "verbose": 0}
    write_report(tmp_path / "r.html", Y, np.array([[0.9, 0.1, 0.1]]), 0.5, **options)
    _, _, media = read_page(tmp_path / "r.html")
    part = media["0"]
    (table,) = tagger.predict_segments([path])
    best = sum(table.index[int(table["Rain"].to_numpy().argmax())]) / 2
    assert part["duration"] == 5
    assert part["start"] == pytest.approx(np.clip(best - 2.5, 0, 35), abs=1e-3)
    first = part["start"] + part["grid"][0]
    inside = [
        (on, off) for on, off in table.index if off > part["start"] and on < part["start"] + 5
    ]
    assert first == pytest.approx(inside[0][0], abs=1e-3)
    assert len(part["lanes"][0][1]) == len(inside)


@pytest.mark.parametrize("kind", ["file", "array"])
def test_of_a_long_recording_only_the_excerpt_is_read(write_audio, tagger, monkeypatch, kind):
    waveform = np.random.default_rng(0).normal(0, 0.05, 40 * RATE).astype(np.float32)
    clips = [write_audio("long.wav", waveform, RATE)] if kind == "file" else [waveform]
    scores = tagger.predict_segments(clips)[0]
    renderer = Renderer(check_clips(tagger, clips, reset=False), tagger, 5.0)
    whole = renderer.render(0, scores, [0])
    monkeypatch.setattr(_page_media, "_LONGEST", 10)
    channels, first = renderer._read(0, 40 * RATE, 7000, 17000)
    assert (first, channels.shape) == (7000, (1, 10000))
    given = soundfile.read(clips[0], dtype="float32")[0] if kind == "file" else waveform
    np.testing.assert_allclose(channels[0], given[7000:17000], atol=1e-6)
    part = renderer.render(0, scores, [0])
    for name in ("start", "duration", "lanes", "grid", "hz"):
        assert part[name] == whole[name]
    own, of_whole = decode(part["audio"])[0], decode(whole["audio"])[0]
    assert abs(own).max() == pytest.approx(0.9, abs=0.15)
    assert len(own) == len(of_whole)


def test_arrays_and_sections_are_clips_too(write, files, truth, tmp_path, tagger):
    sections = [(path, 100, 4100) for path in files]
    _, data, media = write(X=sections, n_bootstraps=0, max_bytes=0)
    assert media == {}
    link = data["clips"]["media"][0]
    assert link.endswith("#t=0.050,2.050")
    arrays = np.stack([soundfile.read(path)[0] for path in files])
    _, data, media = write(X=arrays, n_bootstraps=0, max_bytes=1)
    assert set(data["clips"]["media"]) == {None}
    assert "Raise max_bytes" in data["silent"]
    _, data, media = write(X=arrays, tagger=tagger, n_bootstraps=0)
    assert set(data["clips"]["media"]) == {1}


def test_clip_that_cannot_be_read_is_a_link(write, files, tagger):
    (_, data, _) = write(X=files, tagger=tagger, n_bootstraps=0)
    clip = int(data["clips"]["name"][0].split("_")[1])
    with open(files[clip], "wb") as file:
        file.write(b"RIFF")
    with pytest.warns(UserWarning, match="have no segments"):
        _, data, media = write(X=files, tagger=tagger, n_bootstraps=0)
    assert "0" not in media
    assert isinstance(data["clips"]["media"][0], str)
    assert len(media) == len(data["clips"]["name"]) - 1


def test_names_cannot_break_the_page(tmp_path, scores, truth):
    names = ["</script><script>alert(1)</script>", "a & <b>", "\x07 Ünï $x$"]
    clips = pd.Index([f"<img src=x{i}>\udce9" for i in range(40)], dtype=object)
    Y = pd.DataFrame(truth.to_numpy(), clips, names)
    about = {"<i>": "</style><script>alert(2)</script>"}
    write_report(tmp_path / "r.html", Y, scores, 0.5, title="<u>", about=about, n_bootstraps=0)
    text, data, _ = read_page(tmp_path / "r.html")
    assert text.count("<script") == text.count("</script>") == 3
    assert "<img src=x" not in text
    assert "<u>" not in text
    assert [row["name"] for row in data["events"]][:2] == names[:2]


def test_page_needs_no_network(write, files, tagger):
    text, *_ = write(X=files, tagger=tagger, n_bootstraps=0)
    without_data = re.sub(r'<script type="application/json".*?</script>', "", text)
    urls = re.findall(r"https?://[^\s\"'<]+", without_data)
    assert set(urls) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text


def test_history_and_settings_are_those_of_the_tagger(write, tagger, files):
    _, data, _ = write(tagger=tagger, n_bootstraps=0, history=tagger.history_.iloc[:1])
    assert data["history"]["x"] == [tagger.history_["n_epochs"].iloc[0]]
    text, data, _ = write(tagger=tagger, n_bootstraps=0, about={"Use": "rain & bells"})
    history = tagger.history_
    assert data["history"]["x"] == history["n_epochs"].tolist()
    curve = data["history"]["metric"]["y"]
    np.testing.assert_allclose(curve, history["valid_mAP"], atol=1e-4)
    assert (
        data["history"]["best"]
        == history["n_epochs"][history["valid_mAP_best"].to_numpy(bool)].iloc[-1]
    )
    assert "<dt>Use</dt><dd>rain &amp; bells</dd>" in text
    assert f"{sum(w.numel() for w in tagger.module_.parameters()):,} weights" in text
    assert '<th scope="row">batch_size</th><td><code>3</code>' in text
    assert f"sktagger {sktagger.__version__}, Python 3" in text
    assert tagger.on_error == "raise"


def test_validation_has_a_row_of_its_own(write, truth, scores):
    text, *_ = write(n_bootstraps=0, validation=(truth, 1 - scores), names=("v<1>", "test"))
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td>', text)
    expected = [event_report(truth, s, 0.5).loc["macro", "AP"] for s in (1 - scores, scores)]
    assert rows[0] == ("v&lt;1&gt;", f"{100 * expected[0]:.1f}")
    assert rows[1] == ("test", f"{100 * expected[1]:.1f}")


def test_no_error_and_no_clip_with_an_event(tmp_path, truth):
    write_report(tmp_path / "r.html", truth, truth.to_numpy(float), 0.5, n_bootstraps=0)
    _, data, _ = read_page(tmp_path / "r.html")
    assert data["errors"]["clip"] == []
    write_report(tmp_path / "r.html", truth * 0, np.zeros(truth.shape), 0.5, n_bootstraps=20)
    _, data, _ = read_page(tmp_path / "r.html")
    assert data["curves"]["all"]["precision"][0] is None


def test_wrong_arguments_have_clear_errors(
    write, tmp_path, truth, scores, tagger, files, monkeypatch
):
    with pytest.raises(ValueError, match=r"Y is array.*must be a DataFrame"):
        write(truth.to_numpy())
    with pytest.raises(ValueError, match=r"tagger has the events .* but Y has"):
        write(truth[["Bell", "Rain", "Dog"]], tagger=tagger)
    with pytest.raises(ValueError, match=r"X .*39.*Y .*40"):
        write(X=files[:-1])
    monkeypatch.setattr(page, "_PACKAGES", ("jinja2", "no_such_package"))
    assert not page.can_write_report()
    with pytest.raises(ImportError, match=r"needs no_such_package.*pip install sktagger\[report\]"):
        write()
    assert not (tmp_path / "report.html").exists()


def test_a_subclass_and_a_loaded_tagger_have_a_page(write, files, tmp_path, tagger):
    tagger.save(tmp_path / "t.sktagger")
    loaded = AudioTagger.load(tmp_path / "t.sktagger")
    _, data, media = write(X=files, tagger=loaded, n_bootstraps=0, max_bytes=20_000)
    assert data["history"] is None
    assert media
    walnet = WALNetTagger(sample_rate=RATE, max_epochs=1, random_state=0, verbose=0)
    walnet.fit(
        np.random.default_rng(0).standard_normal((4, RATE)), [["Rain"], ["Bell"], ["Dog"], []]
    )
    with pytest.raises(ValueError, match="tagger has the events"):
        write(tagger=walnet)
