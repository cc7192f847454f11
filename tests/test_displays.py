import builtins

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score
from sklearn.pipeline import Pipeline

from sktagger import ThresholdTuner
from sktagger.displays import (
    EventReportDisplay,
    PrecisionRecallEventsDisplay,
    ThresholdCurveDisplay,
)
from sktagger.metrics import event_report

DISPLAYS = [ThresholdCurveDisplay, PrecisionRecallEventsDisplay, EventReportDisplay]


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def make_clips(rng, n_events):
    names = [f"event {number}" for number in range(n_events)]
    Y = pd.DataFrame(rng.random((60, n_events)) < 0.3, columns=names).astype(int)
    return Y, rng.standard_normal(Y.shape) + Y.to_numpy()


@pytest.fixture
def clips(rng):
    return make_clips(rng, 3)


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("n_events", [1, 8, 30])
def test_displays_of_predictions(pyplot, rng, display, n_events):
    Y, S = make_clips(rng, n_events)
    shown = display.from_predictions(Y, S, thresholds=np.full(n_events, 0.5))
    assert isinstance(shown, display)
    assert shown.figure_ is shown.ax_.figure
    shown.figure_.canvas.draw()


@pytest.mark.parametrize("display", DISPLAYS)
def test_axes_can_be_passed(pyplot, clips, display):
    _, ax = pyplot.subplots()
    shown = display.from_predictions(*clips, ax=ax)
    assert shown.ax_ is ax
    assert shown.plot() is shown
    assert shown.ax_ is not ax


@pytest.mark.parametrize("display", DISPLAYS)
def test_from_estimator_equals_from_predictions(pyplot, clips, display):
    Y, S = clips
    pipe = Pipeline([("tuner", ThresholdTuner())]).fit(S, Y)
    thresholds = pipe[-1].thresholds_
    shown = display.from_estimator(pipe, S, Y)
    again = display.from_predictions(Y, S, thresholds=thresholds)
    for line, other in zip(shown.ax_.lines, again.ax_.lines, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())


def test_threshold_curve_is_the_f1(pyplot, clips):
    Y, S = clips
    lines = ThresholdCurveDisplay.from_predictions(Y, S).lines_
    for event, line in zip(Y, lines, strict=True):
        column = Y.columns.get_loc(event)
        for threshold, f1 in line.get_xydata()[::7]:
            assert f1 == pytest.approx(f1_score(Y[event], S[:, column] > threshold))


def test_points_are_at_the_thresholds(pyplot, clips):
    Y, S = clips
    report = event_report(Y, S, 0.5)
    marks = ThresholdCurveDisplay.from_predictions(Y, S, thresholds=0.5).points
    pd.testing.assert_frame_equal(marks, report.loc[Y.columns, marks.columns])


def test_legend_shows_average_precision(pyplot, clips):
    Y, S = clips
    shown = PrecisionRecallEventsDisplay.from_predictions(Y, S)
    texts = [text.get_text() for text in shown.ax_.get_legend().get_texts()]
    average_precision = average_precision_score(Y, S, average=None)
    assert texts == [f"{e} (AP {v:.2f})" for e, v in zip(Y, average_precision, strict=True)]


def test_many_events_have_gray_curves_and_a_mean(pyplot, rng):
    shown = PrecisionRecallEventsDisplay.from_predictions(*make_clips(rng, 20))
    texts = [text.get_text() for text in shown.ax_.get_legend().get_texts()]
    assert texts[0] == "20 events"
    assert len(texts) == 2
    assert len(shown.lines_) == 21


@pytest.mark.parametrize("display", DISPLAYS)
def test_events_can_be_selected(pyplot, clips, display):
    Y, S = clips
    shown = display.from_predictions(Y, S, events=["event 2", "event 0"])
    names = shown.report.index[:-1] if display is EventReportDisplay else shown.curves
    assert list(names) == ["event 2", "event 0"]
    numbers = display.from_predictions(Y.to_numpy(), S, events=[2])
    assert isinstance(numbers, display)


@pytest.mark.parametrize("display", DISPLAYS)
def test_unknown_event_raises(clips, display):
    with pytest.raises(ValueError, match=r"'evnt 2'.*3 events; nearest: 'event 2'"):
        display.from_predictions(*clips, events=["evnt 2"])


def test_best_event_is_at_the_top(pyplot, clips):
    shown = EventReportDisplay.from_predictions(*clips)
    labels = [label.get_text() for label in shown.ax_.get_yticklabels()]
    best = shown.report.iloc[:-1]["AP"].idxmax()
    assert labels[-1] == f"{best} ({shown.report.at[best, 'support']})"


def test_intervals_are_plotted(pyplot, clips):
    plain = EventReportDisplay.from_predictions(*clips)
    bootstrap = EventReportDisplay.from_predictions(*clips, n_bootstraps=20, random_state=0)
    assert len(bootstrap.ax_.collections) == len(plain.ax_.collections) + 2


def test_absent_events_have_no_curve(pyplot, clips):
    Y, S = clips
    Y["event 1"] = 0
    shown = ThresholdCurveDisplay.from_predictions(Y, S, thresholds=0.5)
    assert list(shown.curves) == ["event 0", "event 2"]
    with pytest.raises(ValueError, match="None of the events has a positive clip"):
        ThresholdCurveDisplay.from_predictions(Y, S, events=["event 1"])


@pytest.mark.parametrize("display", DISPLAYS)
def test_error_without_matplotlib_says_what_to_install(clips, display, monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install sktagger\[plot\]"):
        display.from_predictions(*clips)


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize(
    "form",
    [
        lambda Y: Y.iloc[:, ::-1],
        lambda Y: [list(Y.columns[row]) for row in Y.to_numpy(bool)],
        lambda Y: Y.to_numpy(),
    ],
)
def test_events_are_matched_by_name(pyplot, clips, display, form):
    Y, S = clips
    S = pd.DataFrame(S, columns=Y.columns)[["event 1", "event 2", "event 0"]]
    tuner = ThresholdTuner().fit(S, Y)
    expected = display.from_estimator(tuner, S, Y[S.columns])
    truth = form(Y[S.columns]) if form(Y).__class__ is np.ndarray else form(Y)
    shown = display.from_estimator(tuner, S, truth)
    for line, other in zip(shown.ax_.lines, expected.ax_.lines, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())
    names = shown.report.index[:-1] if display is EventReportDisplay else shown.curves
    assert list(names) == list(S)


@pytest.mark.parametrize("display", DISPLAYS)
def test_error_names_events_unknown_to_the_estimator(clips, display):
    Y, S = clips
    tuner = ThresholdTuner().fit(S, Y)
    with pytest.raises(ValueError, match="y has the event 'other', which is not among"):
        display.from_estimator(tuner, S, Y.rename(columns={"event 1": "other"}))


def test_event_may_be_named_macro(pyplot, clips):
    Y, S = clips
    Y = Y.rename(columns={"event 1": "macro"})
    shown = EventReportDisplay.from_predictions(Y, S)
    assert shown.report.index.tolist() == ["event 0", "macro", "event 2", "(macro)"]


@pytest.mark.parametrize("display", DISPLAYS)
def test_names_are_drawn_literally(pyplot, clips, display):
    Y, S = clips
    Y = Y.set_axis([r"$\bad{$", "_x", "a\nb"], axis=1)
    ax = display.from_predictions(Y, S).ax_
    ax.figure.draw_without_rendering()
    texts = ax.get_yticklabels() if display is EventReportDisplay else ax.get_legend().get_texts()
    shown = sorted(text.get_text() for text in texts)
    assert [label.split(" (")[0] for label in shown] == [" _x", r"\$\bad{\$", r"a\nb"]


@pytest.mark.parametrize("display", DISPLAYS)
def test_single_name_instead_of_a_list_raises(clips, display):
    with pytest.raises(ValueError, match=r"must be a list. Pass \['event 1'\]"):
        display.from_predictions(*clips, events="event 1")
