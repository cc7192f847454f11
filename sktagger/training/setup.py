"""What a training is made of by a tagger's settings: clips held out, the net, the batches."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import UndefinedMetricWarning
from skorch.callbacks import Callback, GradientNormClipping

from sktagger._utils.text import listed, short
from sktagger._utils.validation import check_lengths
from sktagger.audio.clip_input import check_clips
from sktagger.batching.devices import resolve_device, resolve_precision
from sktagger.batching.plans import TrainingPlan
from sktagger.model_selection import check_groups, stratified_hold_out
from sktagger.targets import align_events
from sktagger.training.callbacks import OneCycle, Progress, Validation
from sktagger.training.fine_tuning import freeze_stages
from sktagger.training.intervals import TrainingIntervals
from sktagger.training.net import TaggerNet
from sktagger.training.weighting import draw_probabilities, mean_one


def split_validation(tagger, clips, targets, X_val, Y_val, seed, *, groups=None, weights=None):
    """Set clips apart to validate on.

    Parameters
    ----------
    tagger : BaseTagger
    clips : FileClips or ArrayClips
    targets : Targets
    X_val, Y_val : array-like or None
        Clips to validate on, and their events.
    seed : int
    groups : array-like of shape (n_clips,) or None, default=None
        Clips of one group are not split.
    weights : ndarray of shape (n_clips,) or None, default=None
        `sample_weight`. Clips of weight 0 are not validated on either.

    Returns
    -------
    kept : ndarray of shape (n_kept,), int
        Clips to train on, with those of weight 0.
    clips_val : FileClips, ArrayClips or None
    events_val : ndarray of shape (n_held_out, n_events) or None

    Raises
    ------
    ValueError
        If the clips to validate on are not as described, too few can be held out, or all clips of
        a part have weight 0.
    """
    used = np.ones(len(clips), bool) if weights is None else weights > 0
    _warn_of_absent_events(targets.indicator[used], targets.classes, "y")
    if groups is not None:
        groups = check_groups(groups, len(clips))
    everything = np.arange(len(clips))
    if (X_val is None) != (Y_val is None):
        raise ValueError("X_val and Y_val go together: give both or neither.")
    if X_val is not None:
        clips_val = check_clips(tagger, X_val, reset=False, name="X_val")
        events_val = align_events(Y_val, targets.classes, targets.multilabel, name="Y_val")
        check_lengths(clips_val, events_val, ("X_val", "Y_val"))
        kept = everything
    elif tagger.validation_fraction is not None:
        fraction = tagger.validation_fraction
        kept, held_out = stratified_hold_out(
            targets.indicator, fraction, groups, random_state=seed, name="validation_fraction"
        )
        for part, purpose in ((kept, "train on"), (held_out, "validate on")):
            if not used[part].any():
                raise ValueError(
                    f"sample_weight is 0 for all {len(part)} clips that validation_fraction="
                    f"{fraction} leaves to {purpose}. Leave clips of weight 0 out of X, or give "
                    "X_val and Y_val."
                )
        held_out = held_out[used[held_out]]
        clips_val, events_val = clips.take(held_out), targets.indicator[held_out]
    else:
        return everything, None, None
    _warn_of_absent_events(events_val, targets.classes, "Y_val")
    return kept, clips_val, events_val


def make_net(tagger, network, module, *, event_weight=None, single_label=False, after=None):
    """Make the net of a training.

    Parameters
    ----------
    tagger : BaseTagger
    network : Network
        Which the module was built from.
    module : NetworkModule
        With the weights that training begins with.
    event_weight : ndarray of shape (2, n_events) or None, default=None
    single_label : bool, default=False
        See :class:`TaggerNet`.
    after : TaggerNet or None, default=None
        The net that is trained further, whose module it is: its optimizer and history are taken
        over.

    Returns
    -------
    TaggerNet
        Initialized.
    """
    device = resolve_device(tagger.device)
    module.set_precision(resolve_precision(tagger.precision, device))
    net = TaggerNet(
        module,
        criterion=network.criterion,
        event_weight=event_weight,
        single_label=single_label,
        frozen=freeze_stages(module, tagger.freeze),
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=tagger.weight_decay,
        lr=tagger.lr,
        batch_size=tagger.batch_size,  # for skorch's progress bar
        device=device,
        callbacks=_make_callbacks(tagger),
        callbacks__print_log=None,
        train_split=None,
        verbose=0,
    )
    net.initialize()
    if after is not None:
        net.history = after.history
        net.optimizer_.load_state_dict(after.optimizer_.state_dict())
        for group in net.optimizer_.param_groups:
            group.update(lr=tagger.lr, weight_decay=tagger.weight_decay)
    return net


def to_machine(tagger, net):
    """Bring a net to the device of the tagger's settings, and let it compute in their precision."""
    device = resolve_device(tagger.device)
    net.module_.set_precision(resolve_precision(tagger.precision, device))
    if torch.device(net.device) != device:
        net.device = device
        net.module_.to(device)
        # which brings the averages to the weights that they belong to
        net.optimizer_.load_state_dict(net.optimizer_.state_dict())


def _make_callbacks(tagger):
    callbacks = [
        ("validation", Validation(tagger.patience)),
        ("progress", Progress(tagger.verbose)),
    ]
    if tagger.schedule == "one_cycle":
        callbacks.append(("schedule", OneCycle()))
    if tagger.gradient_clip is not None:
        callbacks.append(("gradient_clip", GradientNormClipping(tagger.gradient_clip)))
    own = {name for name, _ in callbacks} | {"schedule", "gradient_clip", "print_log"}
    for callback in tagger.callbacks or ():
        _check_callback(callback, own)
    return callbacks + list(tagger.callbacks or [])


def _check_callback(given, own):
    """Check that something is a callback, or a name and one, and that the name is free."""
    name, callback = given if isinstance(given, tuple) and len(given) == 2 else (None, given)
    kind = callback if isinstance(callback, type) else type(callback)
    if callback is not None and not issubclass(kind, Callback):
        raise TypeError(
            f"callbacks: got {short(given)}; allowed are skorch callbacks, and pairs (name, "
            "callback)."
        )
    if name in own:
        raise ValueError(
            f"callbacks: the tagger has a callback {name!r} of its own. Give yours another name."
        )


def make_intervals(
    tagger,
    train_set,
    augmentation,
    n_threads,
    n_mels,
    seed,
    *,
    validated,
    n_epochs,
    after,
    label_weight=None,
):
    """Plan what to train on.

    Parameters
    ----------
    tagger : BaseTagger
    train_set : ClipDataset
    augmentation : Augmentation or None
    n_threads : int
        Number of loader threads.
    n_mels : int
        Number of mel bands of the network's input.
    seed : int
    validated : bool
        Whether there are validation clips.
    n_epochs : int or None
        None: as long as the settings say, to the end of training. Else, this is a part of a
        training whose end is not known.
    after : TaggerNet or None
        Net that is trained further.
    label_weight : ndarray of shape (n_clips,) or None, default=None
        Weights of the clips by their labels, which `sample_weight` is multiplied with.

    Returns
    -------
    TrainingIntervals
    """
    if tagger.max_iterations is None or n_epochs is not None:
        unit, length, every = "epoch", n_epochs or tagger.max_epochs, 1
    else:
        unit, length, every = "iteration", tagger.max_iterations, 1000
    weights, probabilities = train_set.weights, None
    if tagger.sampler == "balanced":
        # of a clip that counts as several, each copy is drawn, and counts once
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
    if after is not None:
        # an epoch of its own, so that its batches are not those of an earlier one
        last = after.history[-1] if after.history else {"n_epochs": 0}
        begun = last.get("n_steps", 0) > 0  # an epoch that was not finished
        plan.seek(last["n_epochs"] + begun, 0, tagger.n_iter_)
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


def _warn_of_absent_events(indicator, classes, where):
    absent = classes[~indicator.any(axis=0)]
    if len(absent):
        consequence = {
            "y": "get low scores only. Drop their columns, or add clips with them",
            "Y_val": "are left out of the validation mAP. Add clips with them, if you can",
        }[where]
        warnings.warn(
            f"{len(absent)} of {len(classes)} events occur in no clip of {where} and "
            f"{consequence}: {listed(absent)}.",
            UndefinedMetricWarning,
            stacklevel=4,
        )
