"""Prepare a training from a tagger's settings: validation clips, the net, the batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import UndefinedMetricWarning
from skorch.callbacks import Callback, GradientNormClipping

from sktagger._utils.text import listed, short
from sktagger._utils.validation import check_lengths
from sktagger._utils.warnings import warn
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.clip_input import check_clips
from sktagger.audio.clips import ArrayClips, FileClips
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.devices import resolve_device, resolve_precision
from sktagger.batching.plans import TrainingPlan
from sktagger.model_selection import check_groups, stratified_hold_out
from sktagger.networks import Network, NetworkModule
from sktagger.targets import Targets, align_events
from sktagger.training.callbacks import OneCycle, Progress, Step, Validation
from sktagger.training.fine_tuning import freeze_stages
from sktagger.training.intervals import TrainingIntervals
from sktagger.training.net import TaggerNet
from sktagger.training.weighting import draw_probabilities, mean_one

__all__ = ["make_intervals", "make_net", "move_to_device", "split_validation"]


def split_validation(
    tagger: Any,
    clips: FileClips | ArrayClips,
    targets: Targets,
    X_val: Any,
    Y_val: Any,
    seed: int,
    *,
    groups: ArrayLike | None = None,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, FileClips | ArrayClips | None, np.ndarray | None]:
    """Choose the clips to validate on.

    Parameters
    ----------
    tagger : BaseTagger
        Its `validation_fraction` is used if `X_val` is None.
    clips : FileClips or ArrayClips
        All clips given to `fit`.
    targets : Targets
        Events of `clips`.
    X_val, Y_val : array-like or None
        Clips to validate on and their events, if given to `fit`.
    seed : int
        Seed of the split.
    groups : array-like of shape (n_clips,) or None, default=None
        Group of each clip. Groups are not split.
    weights : ndarray of shape (n_clips,) or None, default=None
        The `sample_weight`. Clips of weight 0 are left out of validation.

    Returns
    -------
    kept : ndarray of shape (n_kept,), int
        Positions of the clips to train on, including those of weight 0.
    clips_val : FileClips, ArrayClips or None
        Clips to validate on.
    events_val : ndarray of shape (n_clips_val, n_events) or None
        Their events.

    Raises
    ------
    ValueError
        If the validation clips are not as described, too few clips can be held out, soft targets
        would be held out, or all clips to train on or to validate on have weight 0.
    """
    used = np.ones(len(clips), bool) if weights is None else weights > 0
    _warn_absent_events(targets.indicator[used], targets.classes, "y")
    if groups is not None:
        groups = check_groups(groups, len(clips))
    all_clips = np.arange(len(clips))
    if (X_val is None) != (Y_val is None):
        raise ValueError("X_val and Y_val belong together: give both or neither.")
    if X_val is not None:
        clips_val = check_clips(tagger, X_val, reset=False, name="X_val")
        events_val = align_events(Y_val, targets.classes, targets.multilabel, name="Y_val")
        check_lengths(clips_val, events_val, ("X_val", "Y_val"))
        kept = all_clips
    elif tagger.validation_fraction is not None:
        fraction = tagger.validation_fraction
        _check_not_soft(targets, used, fraction)
        kept, held_out = stratified_hold_out(
            targets.indicator, fraction, groups, random_state=seed, name="validation_fraction"
        )
        for part, purpose in ((kept, "train on"), (held_out, "validate on")):
            if not used[part].any():
                raise ValueError(
                    f"sample_weight is 0 for all {len(part)} clips that validation_fraction="
                    f"{fraction} leaves to {purpose}. Remove clips of weight 0 from X, or give "
                    "X_val and Y_val."
                )
        held_out = held_out[used[held_out]]
        clips_val, events_val = clips.take(held_out), targets.indicator[held_out]
    else:
        return all_clips, None, None
    _warn_absent_events(events_val, targets.classes, "Y_val")
    return kept, clips_val, events_val


def _check_not_soft(targets, used, fraction):
    """Check that the validation mAP can be measured on any of the training clips."""
    soft = np.argwhere(targets.are_soft & used[:, np.newaxis])
    if len(soft):
        clip, event = soft[0]
        raise ValueError(
            f"validation_fraction={fraction} holds out clips of X for the validation mAP, which "
            f"needs targets of 0 and 1, but y has {targets.indicator[clip, event]:g} for clip "
            f"{clip} and the event {short(targets.classes[event])}. Pass X_val and Y_val, or set "
            "validation_fraction=None."
        )


def make_net(
    tagger: Any,
    network: Network,
    module: NetworkModule,
    *,
    event_weight: np.ndarray | None = None,
    single_label: bool = False,
    earlier_net: TaggerNet | None = None,
) -> TaggerNet:
    """Make the net of a training.

    Parameters
    ----------
    tagger : BaseTagger
        Its parameters are those of the training.
    network : Network
        Settings that the module was built from.
    module : NetworkModule
        Module with its initial weights.
    event_weight : ndarray of shape (2, n_events) or None, default=None
        See :class:`TaggerNet`.
    single_label : bool, default=False
        See :class:`TaggerNet`.
    earlier_net : TaggerNet or None, default=None
        Net of an earlier training of the module that is continued. Its history and the state of
        its optimizer are used.

    Returns
    -------
    TaggerNet
        Initialized net.
    """
    device = resolve_device(tagger.device)
    precision = resolve_precision(tagger.precision, device, network)
    module.set_precision(precision)
    lr = tagger._resolve("lr", network)
    frozen = freeze_stages(module, tagger.freeze)
    if tagger._resolve("freeze_norms", network):
        frozen += module.norms
    net = TaggerNet(
        module,
        criterion=network.criterion,
        event_weight=event_weight,
        single_label=single_label,
        frozen=frozen,
        needs_tags=network.needs_tags,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=tagger.weight_decay,
        lr=lr,
        batch_size=tagger.batch_size,  # for skorch's progress bar
        device=device,
        callbacks=_make_callbacks(tagger),
        callbacks__print_log=None,
        train_split=None,
        verbose=0,
    )
    net.initialize()
    if earlier_net is not None:
        net.history = earlier_net.history
        net.optimizer_.load_state_dict(earlier_net.optimizer_.state_dict())
        for group in net.optimizer_.param_groups:
            group.update(lr=lr, weight_decay=tagger.weight_decay)
    return net


def move_to_device(tagger: Any, net: TaggerNet) -> None:
    """Move a net to the tagger's device, and set the precision of its computations.

    Parameters
    ----------
    tagger : BaseTagger
        Its `device` and `precision` are used.
    net : TaggerNet
        Changed in place.
    """
    device = resolve_device(tagger.device)
    net.module_.set_precision(resolve_precision(tagger.precision, device, tagger.network_))
    if torch.device(net.device) != device:
        net.device = device
        net.module_.to(device)
        # loading moves the optimizer's averages to the device of the weights
        net.optimizer_.load_state_dict(net.optimizer_.state_dict())


def _make_callbacks(tagger):
    callbacks = [
        ("validation", Validation(tagger.patience)),
        ("progress", Progress(tagger.verbose)),
    ]
    if tagger.schedule != "constant":
        schedule = OneCycle() if tagger.schedule == "one_cycle" else Step()
        callbacks.append(("schedule", schedule))
    if tagger.gradient_clip is not None:
        callbacks.append(("gradient_clip", GradientNormClipping(tagger.gradient_clip)))
    used_names = {name for name, _ in callbacks} | {"schedule", "gradient_clip", "print_log"}
    for callback in tagger.callbacks or ():
        _check_callback(callback, used_names)
    return callbacks + list(tagger.callbacks or [])


def _check_callback(entry, used_names):
    """Check that an entry is a callback or a pair (name, callback), and that the name is free."""
    name, callback = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, entry)
    kind = callback if isinstance(callback, type) else type(callback)
    if callback is not None and not issubclass(kind, Callback):
        raise TypeError(
            f"callbacks: got {short(entry)}; allowed are skorch callbacks, and pairs (name, "
            "callback)."
        )
    if name in used_names:
        raise ValueError(
            f"callbacks: the tagger has a callback {name!r} of its own. Choose another name."
        )


def make_intervals(
    tagger: Any,
    train_set: ClipDataset,
    augmentation: Augmentation | None,
    n_threads: int,
    n_mels: int,
    seed: int,
    *,
    validated: bool,
    n_epochs: int | None,
    earlier_net: TaggerNet | None,
    label_weight: np.ndarray | None = None,
) -> TrainingIntervals:
    """Plan the batches of a training.

    Parameters
    ----------
    tagger : BaseTagger
        Its parameters are those of the training.
    train_set : ClipDataset
        Clips to train on.
    augmentation : Augmentation or None
        Resolved setting of the tagger.
    n_threads : int
        Number of loader threads.
    n_mels : int
        Number of mel bands of the network's input.
    seed : int
        Seed of the plan.
    validated : bool
        Whether there are validation clips.
    n_epochs : int or None
        Number of epochs of a training whose end is not known. None: the tagger's parameters
        determine the end.
    earlier_net : TaggerNet or None
        Net of an earlier training that is continued.
    label_weight : ndarray of shape (n_clips,) or None, default=None
        Weights of the clips by their labels. They are multiplied by `sample_weight`.

    Returns
    -------
    TrainingIntervals
        Intervals at the start of the training.
    """
    if tagger.max_iterations is None or n_epochs is not None:
        unit, length, every = "epoch", n_epochs or tagger.max_epochs, 1
    else:
        unit, length, every = "iteration", tagger.max_iterations, 1000
    weights, probabilities = train_set.weights, None
    if tagger.sampler == "balanced":
        # a clip that counts as several is drawn more often, so each draw counts once
        probabilities = draw_probabilities(train_set.targets, weights)
        weights = np.ones_like(weights)
    if label_weight is not None:
        weights = mean_one(weights * label_weight)
    plan = TrainingPlan(
        train_set.lengths,
        train_set.sizes,
        train_set.sample_rate,
        tagger.batch_size,
        augmentation,
        n_mels,
        seed,
        probabilities,
        weights,
    )
    if earlier_net is not None:
        # a new epoch, so that its batches differ from those of earlier ones
        last = earlier_net.history[-1] if earlier_net.history else {"n_epochs": 0}
        unfinished = last.get("n_steps", 0) > 0  # the last epoch was not finished
        plan.seek(last["n_epochs"] + unfinished, 0, tagger.n_iter_)
    return TrainingIntervals(
        train_set,
        plan,
        n_threads,
        length=length,
        every=every if tagger.validate_every is None else tagger.validate_every,
        unit=unit,
        validated=validated,
        ends=n_epochs is None,
    )


def _warn_absent_events(indicator, classes, where):
    absent = classes[~indicator.any(axis=0)]
    if len(absent):
        consequence = {
            "y": "get low scores only. Drop their columns, or add clips with them",
            "Y_val": "are left out of the validation mAP. Add clips with them, if possible",
        }[where]
        warn(
            f"{len(absent)} of {len(classes)} events occur in no clip of {where} and "
            f"{consequence}: {listed(absent)}.",
            UndefinedMetricWarning,
        )
