"""How a training begins: anew, or with events, network, source and seed of an earlier one."""

from __future__ import annotations

from sklearn.utils import check_random_state

from sktagger._utils.text import quoted, short
from sktagger.networks import Network
from sktagger.taggers._base import BaseTagger
from sktagger.taggers._head import check_can_fit_head
from sktagger.targets import Targets
from sktagger.training.callbacks import Checkpoint
from sktagger.training.fine_tuning import compare_settings


def check_beginning(tagger: BaseTagger, network: Network) -> None:
    """Check the settings of a tagger that only a new training depends on."""
    if tagger.init_from is None and tagger.freeze:
        raise ValueError(
            f"freeze={tagger.freeze!r} with init_from=None would keep random weights. Set "
            "init_from to trained weights, or set freeze=None."
        )
    if network.needs_tags and tagger.init_from is None and tagger._first_stage is None:
        raise ValueError(
            f"{short(network)} takes tags of clips as an input, which a trained first stage "
            "predicts. Train it with sktagger.recordings.StrongLabelTagger, or give init_from."
        )
    if tagger._resolve("head_init", network) == "linear":
        check_can_fit_head(network)


def check_same_events(tagger: BaseTagger, targets: Targets) -> None:
    """Check that a training has the events of the earlier one that it continues."""
    if targets.multilabel != tagger._multilabel or list(targets.classes) != list(tagger.classes_):
        raise ValueError(
            f"y has the events {quoted(targets.classes)}, but with warm_start=True they must "
            f"be those of the earlier training, {quoted(tagger.classes_)}, in the same order "
            "and form. Set warm_start=False to start a new training."
        )


def check_same_network(tagger: BaseTagger, network: Network) -> None:
    """Check that the weights of the earlier training fit the network."""
    if type(network) is not type(tagger._network):
        raise ValueError(
            f"network={short(network)}: training continues with a "
            f"{type(tagger._network).__name__}. Set network back, or set warm_start=False."
        )
    changed, new, old = compare_settings(network, tagger._network)
    if changed:
        raise ValueError(
            f"{new}: training continues with a network that was trained with {old}, and its "
            "weights fit these only. "
            f"Set {', '.join(sorted({name.partition('__')[0] for name in changed}))} back, or "
            "set warm_start=False."
        )


def check_same_source(tagger: BaseTagger) -> None:
    """Check that `init_from` is None or was not changed since training began."""
    # pickles of earlier versions do not have `_began_with`
    if tagger.init_from not in (None, getattr(tagger, "_began_with", tagger.init_from)):
        raise ValueError(
            f"init_from={short(tagger.init_from)}: only a new training starts from it, but this "
            "training continues from the tagger's own weights. Set init_from back or set "
            "warm_start=False. Instead of calling partial_fit, fit a clone."
        )


def draw_seed(tagger: BaseTagger, *, continued: bool) -> int:
    """Draw the seed of a training, or take that of the checkpoint that it continues."""
    if tagger.random_state is None and not continued:
        for callback in tagger.callbacks or ():
            callback = callback[-1] if isinstance(callback, tuple) else callback
            if isinstance(callback, Checkpoint):
                seed = callback.unfinished_seed()
                if seed is not None:
                    return seed
    return int(check_random_state(tagger.random_state).randint(2**31 - 1))
