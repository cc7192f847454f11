"""Table of the metrics of each event, of a fitted tagger on clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sktagger._utils.validation import check_lengths
from sktagger.metrics import event_report
from sktagger.metrics._scored import scored
from sktagger.targets import event_columns
from sktagger.targets.responses import scores_and_targets


class ScoreTableMixin:
    """Method of a tagger that evaluates it on clips, event by event."""

    def score_table(
        self: Any,
        X: Any,
        y: Any,
        *,
        thresholds: ArrayLike | None = None,
        n_bootstraps: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> pd.DataFrame:
        """Make a table of all metrics of each event.

        Parameters
        ----------
        X : array-like of clips
            Clips, in a form that the tagger accepts.
        y : array-like of shape (n_clips, n_events) or (n_clips,), or list of event lists
            Events of the clips. They are matched by name and must be among ``classes_``.
        thresholds : float or array-like of shape (n_events,), default=None
            An event is predicted if its score is greater than its threshold. None: ``thresholds_``
            of a :class:`sktagger.TunedThresholdTagger`, else 0.5, also after training on 1-D
            labels, where `predict` takes the label with the highest score instead.
        n_bootstraps : int, default=0
            Number of bootstrap resamples for confidence intervals. 0: no intervals.
        random_state : int, RandomState instance or None, default=None
            Random numbers for the resamples. Pass an int to get the same intervals in every call.

        Returns
        -------
        DataFrame of shape (n_events + 1, 13 or more)
            Result of :func:`sktagger.metrics.event_report`: `support`, `prior`, `AP`, `AUC`,
            `d_prime`, `lwlrap`, `threshold`, `F1`, `precision`, `recall`, `TP`, `FP`, `FN`. The
            rows are ``classes_``, then "macro", the mean. Clips that could not be read (see
            `on_error`) are left out.

        Raises
        ------
        FileNotFoundError, ValueError
            If a clip cannot be read, or `y` does not fit `X` and the events of training.

        Warns
        -----
        UndefinedMetricWarning
            If events have no positives or no negatives; the message gives their number.

        Notes
        -----
        The table of a paper is ``tagger.score_table(X, y)[["AP", "F1"]].style.format(precision=3)
        .to_latex()``. ``to_latex`` of pandas needs the package jinja2.

        Examples
        --------
        >>> import numpy as np
        >>> from sktagger import AudioTagger
        >>> from sktagger.networks import WALNet
        >>> X = np.random.default_rng(0).standard_normal((4, 8000))
        >>> Y = [["noise"], ["noise", "loud"], [], ["loud"]]
        >>> tagger = AudioTagger(WALNet(sample_rate=8000), max_epochs=1, random_state=0).fit(X, Y)
        >>> table = tagger.score_table(X, Y)
        >>> table[["support", "threshold"]]
               support  threshold
        loud         2        0.5
        noise        2        0.5
        macro        4        NaN
        """
        check_is_fitted(self)
        scores, targets = scores_and_targets(self, X, y)
        check_lengths(scores, targets.indicator, ("X", "y"))
        kept = scored(scores)
        if thresholds is None:
            thresholds = getattr(self, "thresholds_", 0.5)
        y_true = pd.DataFrame(targets.indicator.astype(int), columns=event_columns(targets.classes))
        return event_report(
            y_true[kept],
            scores[kept],
            thresholds,
            n_bootstraps=n_bootstraps,
            random_state=random_state,
        )
