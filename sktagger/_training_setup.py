"""What a training is made of by a tagger's settings: clips held out, the net, the rounds."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import UndefinedMetricWarning
from skorch.callbacks import GradientNormClipping

from sktagger._text import listed
from sktagger._validation import check_lengths
from sktagger.callbacks import OneCycle, Progress, Validation
from sktagger.clip_input import check_clips
from sktagger.model_selection import MultilabelStratifiedGroupKFold
from sktagger.modules import N_MELS, WALNet
from sktagger.plans import TrainingPlan
from sktagger.targets import align_events
from sktagger.training import TaggerNet, TrainingRounds, resolve_device, resolve_precision
from sktagger.weighting import draw_probabilities


def hold_out(tagger, clips, targets, X_val, Y_val, seed):
    """Give the indices of the clips to train on, and the clips and events to validate on."""
    _warn_of_absent_events(targets.indicator, targets.classes, "y")
    everything = np.arange(len(clips))
    if (X_val is None) != (Y_val is None):
        raise ValueError("X_val and Y_val go together: give both or neither.")
    if X_val is not None:
        clips_val = check_clips(tagger, X_val, reset=False, name="X_val")
        events_val = align_events(Y_val, targets.classes, targets.multilabel, name="Y_val")
        check_lengths(clips_val, events_val, ("X_val", "Y_val"))
        kept = everything
    elif tagger.validation_fraction is not None:
        n_splits = max(2, round(1 / tagger.validation_fraction))
        splitter = MultilabelStratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
        kept, held_out = next(splitter.split(everything, targets.indicator))
        clips_val, events_val = clips.take(held_out), targets.indicator[held_out]
    else:
        return everything, None, None
    _warn_of_absent_events(events_val, targets.classes, "Y_val")
    return kept, clips_val, events_val


def make_net(tagger, seed, n_events, network):
    """Make a net with random weights.

    Parameters
    ----------
    tagger : BaseTagger
    seed : int
        Of the weights.
    n_events : int
    network : NetworkSettings

    Returns
    -------
    TaggerNet
        Initialized.
    """
    device = resolve_device(tagger.device)
    net = TaggerNet(
        WALNet,
        module__n_events=n_events,
        module__sample_rate=network.sample_rate,
        module__n_fft=network.sizes.n_fft,
        module__fmin=network.fmin,
        module__random_state=seed,
        module__precision=resolve_precision(tagger.precision, device),
        module__pooling=network.pooling,
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
    return net.initialize()


def go_on(tagger, net):
    """Let a net, which is trained further, take the settings of now."""
    net.callbacks = _make_callbacks(tagger)
    net.initialize_callbacks()
    net.lr = tagger.lr
    for group in net.optimizer_.param_groups:
        group.update(lr=tagger.lr, weight_decay=tagger.weight_decay)
    net.module_.pooling = tagger.pooling
    to_machine(tagger, net)


def to_machine(tagger, net):
    """Bring a net to the device of the tagger's settings, and let it compute in their precision."""
    device = resolve_device(tagger.device)
    net.module_.precision = resolve_precision(tagger.precision, device)
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
    return callbacks + list(tagger.callbacks or [])


def make_rounds(tagger, train_set, augmentation, n_threads, seed, *, validated, n_epochs, after):
    """Plan what to train on.

    Parameters
    ----------
    tagger : BaseTagger
    train_set : ClipDataset
    augmentation : Augmentation or None
    n_threads : int
        Number of loader threads.
    seed : int
    validated : bool
        Whether there are validation clips.
    n_epochs : int or None
        None: as long as the settings say, to the end of training. Else, this is a part of a
        training whose end is not known.
    after : TaggerNet or None
        Net that is trained further.

    Returns
    -------
    TrainingRounds
    """
    if tagger.max_iterations is None or n_epochs is not None:
        unit, length, every = "epoch", n_epochs or tagger.max_epochs, 1
    else:
        unit, length, every = "iteration", tagger.max_iterations, 1000
    plan = TrainingPlan(
        train_set.lengths,
        train_set.sizes,
        tagger.sample_rate,
        tagger.batch_size,
        augmentation,
        N_MELS,
        seed,
        draw_probabilities(train_set.targets) if tagger.sampler == "balanced" else None,
    )
    if after is not None:
        # an epoch of its own, so that its batches are not those of an earlier one
        last = after.history[-1] if after.history else {"n_epochs": 0}
        begun = last.get("n_steps", 0) > 0  # an epoch that was not finished
        plan.seek(last["n_epochs"] + begun, 0, tagger.n_iter_)
    return TrainingRounds(
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
