"""Plots of clips, trainings and calibration."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from sktagger import AudioTagger
from sktagger.displays import ReliabilityDisplay, SpectrogramDisplay, TrainingHistoryDisplay
from sktagger.networks import FBCRNN, WALNet
from sktagger.taggers._spectrogram import compute_spectrogram

RATE = 8000
EVENTS = ["low", "high $x$", "none"]


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="module")
def clip():
    time = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 2000 * time) * ((time > 1) & (time < 2))
    return (0.5 * tone + np.random.default_rng(0).normal(0, 1e-3, len(time))).astype(np.float32)


@pytest.fixture(
    scope="module", params=[WALNet(sample_rate=RATE), FBCRNN(sample_rate=RATE)], ids=str
)
def tagger(request, clip):
    Y = pd.DataFrame([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], columns=EVENTS)
    settings = {"max_epochs": 3, "batch_size": 4, "random_state": 0, "verbose": 0}
    tagger = AudioTagger(request.param, **settings)
    return tagger.fit([clip] * 4, Y, X_val=[clip] * 4, Y_val=Y)


@pytest.fixture(scope="module")
def labels():
    return pd.DataFrame({"onset": [1.0, 0.5], "offset": [2.0, 0.9], "event": ["high $x$", "low"]})


def test_spectrogram_is_what_the_network_gets(pyplot, tagger, clip, labels):
    shown = SpectrogramDisplay.from_estimator(tagger, (clip, RATE), labels=labels)
    shown.figure_.canvas.draw()
    (image,) = shown.ax_.get_images()
    peak = clip - clip.mean()
    values, times, frequencies = compute_spectrogram(tagger, peak / (abs(peak).max() + 1e-3))
    np.testing.assert_allclose(image.get_array(), values, atol=1e-3)
    left, right, bottom, top = image.get_extent()
    hop = times[1] - times[0]
    assert (left, right) == (pytest.approx(times[0] - hop / 2), pytest.approx(times[-1] + hop / 2))
    assert (bottom, top) == (-0.5, 127.5)
    inside = (times > 1.1) & (times < 1.9)
    row = (values[:, inside].mean(axis=1) - values[:, ~inside].mean(axis=1)).argmax()
    ticks = dict(
        zip(
            shown.ax_.get_yticks(), [t.get_text() for t in shown.ax_.get_yticklabels()], strict=True
        )
    )
    place = next(y for y, text in ticks.items() if text == "2,000")
    assert row == pytest.approx(place, abs=1.5)
    assert frequencies[row] == pytest.approx(2000, rel=0.05)
    assert shown.ax_.get_xlim() == (left, right)


def test_scores_below_the_spectrogram_are_those_of_segments(pyplot, tagger, clip):
    (table,) = tagger.predict_segments([clip])
    shown = SpectrogramDisplay.from_estimator(tagger, clip, events=["none", "low"])
    lines = shown.score_ax_.get_lines()
    assert [line.get_label() for line in lines] == ["none", "low"]
    np.testing.assert_allclose(lines[0].get_ydata()[:-1], table["none"], atol=1e-6)
    x = lines[0].get_xdata()
    onsets, offsets = (table.index.get_level_values(i) for i in (0, 1))
    assert (np.diff(x) > 0).all()
    assert x[-1] <= offsets[-1] + 1e-9
    # each score is drawn where its segment is
    middles = (onsets + offsets) / 2
    assert ((x[:-1] <= middles + 1e-6) & (middles <= x[1:] + 1e-6))[:-1].all()
    best = table.max().idxmax()
    shown = SpectrogramDisplay.from_estimator(tagger, clip, events=1)
    assert [line.get_label() for line in shown.score_ax_.get_lines()] == [best.replace("$", r"\$")]
    assert SpectrogramDisplay.from_estimator(tagger, clip, events=None).score_ax_ is None
    ax = pyplot.subplots()[1]
    assert SpectrogramDisplay.from_estimator(tagger, clip, ax=ax).ax_ is ax


def test_labels_are_above_the_spectrogram(pyplot, tagger, clip, labels):
    shown = SpectrogramDisplay.from_estimator(tagger, clip, labels=labels, events=None)
    bars = [line for line in shown.ax_.get_lines() if len(line.get_xdata())]
    assert [tuple(bar.get_xdata()) for bar in bars] == [(1.0, 2.0), (0.5, 0.9)]
    assert all(bar.get_ydata()[0] > 127.5 for bar in bars)
    assert shown.ax_.get_ylim()[1] > max(bar.get_ydata()[0] for bar in bars)
    assert bars[0].get_color() != bars[1].get_color()
    shown = SpectrogramDisplay.from_estimator(tagger, clip, labels=labels, events=["none", "low"])
    (low,) = [line for line in shown.score_ax_.get_lines() if line.get_label() == "low"]
    bars = [line for line in shown.ax_.get_lines() if len(line.get_xdata())]
    assert bars[1].get_color() == low.get_color()


def test_files_and_sections_are_clips(pyplot, tagger, clip, write_audio, tmp_path):
    path = write_audio("a.wav", clip, RATE)
    whole = SpectrogramDisplay.from_estimator(tagger, path, events=None)
    part = SpectrogramDisplay.from_estimator(tagger, (path, RATE, 2 * RATE), events=None)
    assert len(part.times) < len(whole.times)
    with pytest.raises(ValueError, match=r"events has 'Low'.* 'low'"):
        SpectrogramDisplay.from_estimator(tagger, clip, events=["Low"])
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        SpectrogramDisplay.from_estimator(tagger, str(tmp_path / "gone.wav"))


def test_history_has_losses_and_the_interval_that_was_kept(pyplot, tagger):
    shown = TrainingHistoryDisplay.from_estimator(tagger)
    history = tagger.history_
    train, valid = shown.ax_.get_lines()
    np.testing.assert_array_equal(train.get_xdata(), history["n_epochs"])
    np.testing.assert_array_equal(train.get_ydata(), history["train_loss"])
    np.testing.assert_array_equal(valid.get_ydata(), history["valid_loss"])
    metric, kept = shown.metric_ax_.get_lines()
    np.testing.assert_array_equal(metric.get_ydata(), history["valid_mAP"])
    best = history[history["valid_mAP_best"].fillna(False).astype(bool)].iloc[-1]
    assert shown.best_ == best["n_epochs"]
    assert kept.get_xydata().tolist() == [[best["n_epochs"], best["valid_mAP"]]]
    shown.figure_.canvas.draw()


def test_history_without_validation_or_in_iterations(pyplot):
    plain = TrainingHistoryDisplay(pd.DataFrame({"n_epochs": [1, 2], "train_loss": [2.0, 1.0]}))
    shown = plain.plot()
    assert shown.metric_ax_ is shown.best_ is None
    assert shown.ax_.get_xlabel() == "Epoch"
    table = pd.DataFrame({
        "n_epochs": [0, 0], "n_iterations": [10, 20], "train_loss": [2.0, 1.0],
        "valid_mAP": [0.5, 0.4],
    })  # fmt: skip
    shown = TrainingHistoryDisplay(table).plot()
    assert (shown.ax_.get_xlabel(), shown.best_) == ("Iteration", 10)
    with pytest.raises(ValueError, match="history has no rows"):
        TrainingHistoryDisplay(table[:0]).plot()


def test_reliability_is_the_share_of_clips_with_the_event(pyplot, rng):
    S = rng.random((300, 3))
    Y = pd.DataFrame((rng.random(S.shape) < S).astype(int), columns=EVENTS)
    shown = ReliabilityDisplay.from_predictions(Y, S, events=["none", "low"], n_bins=5)
    for line, k in zip(shown.lines_, (2, 0), strict=True):
        share, score = calibration_curve(Y.iloc[:, k], S[:, k], n_bins=5)
        np.testing.assert_allclose(line.get_xdata(), score)
        np.testing.assert_allclose(line.get_ydata(), share)
    counts = shown.curves["none"]["n_clips"]
    np.testing.assert_array_equal(counts, np.histogram(S[:, 2], 5, (0, 1))[0])
    (pooled,) = ReliabilityDisplay.from_predictions(Y, S).curves.values()
    assert pooled["n_clips"].sum() == 900
    assert pooled["share"].to_numpy() == pytest.approx(pooled["score"].to_numpy(), abs=0.15)
    shown.figure_.canvas.draw()


def test_reliability_of_an_estimator_and_wrong_arguments(pyplot, tagger, clip, rng):
    Y = pd.DataFrame([[1, 0, 0], [0, 1, 0]], columns=EVENTS)
    shown = ReliabilityDisplay.from_estimator(tagger, [clip] * 2, Y, events=["low"])
    score = tagger.predict_proba([clip])[0, 0]
    assert shown.lines_[0].get_xydata().tolist() == [[pytest.approx(score), 0.5]]
    with pytest.raises(ValueError, match=r"shape \(2, 3\) and y_score \(2, 2\)"):
        ReliabilityDisplay.from_predictions(Y, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="y_prob has values outside"):
        ReliabilityDisplay.from_predictions(Y, np.full((2, 3), 1.5))
    with pytest.raises(ValueError, match="events has 'lwo'"):
        ReliabilityDisplay.from_predictions(Y, np.zeros((2, 3)), events=["lwo"])
