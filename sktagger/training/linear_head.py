"""Fit the head of a network to embeddings, as the start of fine-tuning."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sktagger._utils.progress import TaskProgress

__all__ = ["fit_linear_head"]

_C = 0.1  # inverse strength of the penalty; from 0.01 to 1, results on ESC-10 are the same
_MAX_ITERATIONS = 1000


def fit_linear_head(
    embeddings: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    event_weight: np.ndarray | None = None,
    *,
    verbose: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one logistic regression per event, with an L2 penalty, to standardized embeddings.

    Parameters
    ----------
    embeddings : ndarray of shape (n_clips, n_features), float
    targets : ndarray of shape (n_clips, n_events), float, in [0, 1]
        A clip with a target p counts as p clips with the event and 1 - p clips without it.
    weights : ndarray of shape (n_clips,), float
        Weights of the clips, not negative.
    event_weight : ndarray of shape (2, n_events) or None, default=None
        Weights of clips without (first row) and with an event.
    verbose : int, default=0
        Whether a progress bar is shown if it takes some seconds.

    Returns
    -------
    weight : ndarray of shape (n_events, n_features), float32
        0 for events of which there are no positive or no negative clips.
    bias : ndarray of shape (n_events,), float32
        The standardization is included: ``embeddings @ weight.T + bias`` are the logits.

    Examples
    --------
    >>> import numpy as np
    >>> embeddings = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> targets = np.array([[0.0], [0.0], [1.0], [1.0]])
    >>> weight, bias = fit_linear_head(embeddings, targets, np.ones(4))
    >>> (embeddings @ weight.T + bias > 0).ravel()
    array([False, False,  True,  True])
    """
    n_events = targets.shape[1]
    scaler = StandardScaler().fit(embeddings, sample_weight=weights)
    standardized = scaler.transform(embeddings)
    weight, bias = np.zeros((n_events, embeddings.shape[1])), np.zeros(n_events)
    with TaskProgress("Fitting the head", n_events, verbose=verbose, delay=2, leave=False) as bar:
        for event in range(n_events):
            shares = np.stack([1 - targets[:, event], targets[:, event]]) * weights
            if event_weight is not None:
                shares = shares * event_weight[:, event, None]
            weight[event], bias[event] = _fit_event(standardized, shares)
            bar.update()
    weight /= scaler.scale_
    bias -= weight @ scaler.mean_
    return weight.astype(np.float32), bias.astype(np.float32)


def _fit_event(standardized, shares):
    """Fit one event; `shares` are weights of each clip without and with it."""
    absent, present = shares.sum(axis=1)
    if not absent or not present:
        return 0.0, np.log((present + 0.5) / (absent + 0.5))
    used = shares > 0
    features = np.concatenate([standardized[mask] for mask in used])
    labels = np.repeat([0, 1], used.sum(axis=1))
    model = LogisticRegression(C=_C, max_iter=_MAX_ITERATIONS)
    model.fit(features, labels, sample_weight=shares[used])
    return model.coef_[0], model.intercept_[0]
