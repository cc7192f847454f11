"""The loss of FBCRNN: every frame is to tell the events of the clip that it has heard."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sktagger.networks._masking import Frames


class FrameCrossEntropy(nn.Module):
    """Binary cross entropy from the mean log likelihoods of the frames of clips.

    Cross entropy is linear in the target, so that two numbers say everything about an event in a
    clip, however many frames they come from.

    Parameters
    ----------
    reduction : {"none", "mean"}, default="mean"
        "none": the loss of each event in each clip. "mean": their mean.
    """

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, likelihoods: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        likelihoods : Tensor of shape (n_clips, n_events, 2)
            Mean logarithm of the probability of what is heard if the event occurs in the clip, and
            if it does not.
        targets : Tensor of shape (n_clips, n_events), in [0, 1]
            Whether events occur.

        Returns
        -------
        Tensor of shape (n_clips, n_events), or ()
        """
        loss = -(targets * likelihoods[..., 0] + (1 - targets) * likelihoods[..., 1])
        return loss.mean() if self.reduction == "mean" else loss


def weak_likelihoods(forward: Tensor, backward: Tensor, frames: Frames) -> Tensor:
    """Compute how well the scores of frames fit each event in the clip, and its absence.

    The higher one of both scores of a frame counts: together, they have heard the whole clip.

    Parameters
    ----------
    forward, backward : Tensor of shape (n_clips, n_events, n_frames), in (0, 1)
    frames : Frames

    Returns
    -------
    Tensor of shape (n_clips, n_events, 2)
        See :class:`FrameCrossEntropy`.
    """
    scores = torch.maximum(forward, backward)
    likelihoods = scores, 1 - scores
    return torch.stack([mean_over_frames(x.log(), frames) for x in likelihoods], -1)


def boundary_likelihoods(
    forward: Tensor, backward: Tensor, frames: Frames, activity: Tensor
) -> Tensor:
    """Compute how well the scores of frames fit the onset and offset of each event.

    From the onset on, the forward score is to be 1; up to the offset, the backward score is.

    Parameters
    ----------
    forward, backward : Tensor of shape (n_clips, n_events, n_frames), in (0, 1)
    frames : Frames
    activity : Tensor of shape (n_clips, n_events, n_frames), in {0, 1}
        Where an event is. Of several occurrences, the first onset and the last offset count.

    Returns
    -------
    Tensor of shape (n_clips, n_events)
        Mean logarithm of the probability, if the event occurs.
    """
    begun = activity.cummax(-1).values
    left = activity.flip(-1).cummax(-1).values.flip(-1)
    return (
        frame_likelihoods(forward, frames, begun) + frame_likelihoods(backward, frames, left)
    ) / 2


def frame_likelihoods(scores: Tensor, frames: Frames, activity: Tensor) -> Tensor:
    """Compute how well scores fit what is active in each frame.

    Parameters
    ----------
    scores : Tensor of shape (n_clips, n_events, n_frames), in (0, 1)
    frames : Frames
    activity : Tensor of shape (n_clips, n_events, n_frames), in [0, 1]

    Returns
    -------
    Tensor of shape (n_clips, n_events)
        Mean logarithm of the probability.
    """
    logs = activity * scores.log() + (1 - activity) * (1 - scores).log()
    return mean_over_frames(logs, frames)


def mean_over_frames(x: Tensor, frames: Frames) -> Tensor:
    """Compute the mean over the valid frames of each clip.

    Parameters
    ----------
    x : Tensor of shape (n_clips, n_events, n_frames)
    frames : Frames

    Returns
    -------
    Tensor of shape (n_clips, n_events)
    """
    return frames.filled(x).sum(-1) / (frames.n_frames[:, None] + 1e-6)
