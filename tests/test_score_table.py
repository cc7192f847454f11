"""The table of metrics of a fitted tagger."""

import numpy as np
import pandas as pd
import pytest

from sktagger import AudioTagger, TunedThresholdTagger
from sktagger.metrics import event_report
from sktagger.networks import WALNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
EVENTS = ["loud", "noise"]
Y = [["noise"], ["noise", "loud"], [], ["loud"], ["noise"]]
INDICATOR = pd.DataFrame([[0, 1], [1, 1], [0, 0], [1, 0], [0, 1]], columns=EVENTS)
SETTINGS = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "verbose": 0}


@pytest.fixture
def X(rng):
    return list(rng.standard_normal((5, 4000)).astype(np.float32))


@pytest.fixture
def tagger(X):
    return AudioTagger(WALNet(sample_rate=2000), **SETTINGS).fit(X, Y)


def test_table_is_the_event_report(X, tagger):
    table = tagger.score_table(X, Y)
    expected = event_report(INDICATOR, tagger.predict_proba(X), 0.5)
    pd.testing.assert_frame_equal(table, expected)
    assert table.index.tolist() == [*EVENTS, "macro"]
    # events are matched by name
    pd.testing.assert_frame_equal(tagger.score_table(X, INDICATOR[EVENTS[::-1]]), expected)
    assert tagger.score_table(X, Y, thresholds=0.25)["threshold"].iloc[0] == 0.25


def test_table_has_tuned_thresholds(X, tagger):
    tuned = TunedThresholdTagger(tagger, cv="prefit").fit(X, Y)
    table = tuned.score_table(X, Y, n_bootstraps=5, random_state=0)
    np.testing.assert_array_equal(table["threshold"].iloc[:-1], tuned.thresholds_)
    assert "AP_low" in table
    hits = (tuned.predict(X) * INDICATOR.to_numpy()).sum(axis=0)
    np.testing.assert_array_equal(table["TP"].iloc[:-1], hits)


def test_clips_that_cannot_be_read_are_left_out(X, tagger):
    expected = tagger.score_table(X, Y)
    tagger.set_params(on_error="skip")
    with pytest.warns(UserWarning, match="1 of 6 clips"):
        table = tagger.score_table([*X, None], [*Y, ["loud"]])
    pd.testing.assert_frame_equal(table, expected)


def test_table_as_latex(X, tagger):
    table = tagger.score_table(X, Y)[["AP", "F1"]]
    latex = table.style.format(precision=3).to_latex()
    assert latex.startswith(r"\begin{tabular}")
    assert f"loud & {table.loc['loud', 'AP']:.3f} &" in latex
