"""Checks that every network must pass, for the tests of this package and of others."""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
from sklearn.base import BaseEstimator, clone
from torch.nn import functional as F

from sktagger.networks._check_tools import (
    N_EVENTS,
    changed_tensors,
    copy_state,
    edge_lengths,
    global_generators_are_not_used,
    make_stfts,
    make_trained,
    pad_stfts,
    require,
    require_close,
    uninitialized_memory_is_nan,
)
from sktagger.networks._output_checks import (
    check_embeddings,
    check_head,
    check_layers,
    check_new_head,
    check_scores_and_embeddings,
)
from sktagger.networks._protocol import Network
from sktagger.networks._training_checks import (
    check_adjustable_settings,
    check_bfloat16,
    check_freezing,
    check_gradients,
    check_padding_in_training,
    check_stages,
    check_state,
    check_training_outputs,
)

__all__ = ["check_network", "network_checks"]

_DISTORTIONS = ("warp", "noise", "time_mask", "mel_mask")


def check_network(network: Network) -> None:
    """Check that a network does what the package relies on.

    Parameters
    ----------
    network : Network
        Small settings make the checks faster.

    Raises
    ------
    AssertionError
        If a check fails. The message says what is wrong.

    Examples
    --------
    >>> from sktagger.networks import WALNet
    >>> from sktagger.networks.checks import check_network
    >>> check_network(WALNet(sample_rate=2000))
    """
    for check in network_checks():
        check(network)


def network_checks() -> list[Callable[[Network], None]]:
    """Return the checks, to run them one by one.

    Returns
    -------
    list of callable
        Each takes a network and raises AssertionError if the check fails.
    """
    return [
        check_settings,
        check_shapes_without_data,
        check_seed,
        check_scores,
        check_inputs_are_not_changed,
        check_evaluation,
        check_grid,
        check_padding_and_neighbors,
        check_padding_in_training,
        check_context,
        check_single_frame,
        check_pooling,
        check_embeddings,
        check_layers,
        check_scores_and_embeddings,
        check_new_head,
        check_head,
        check_distortions,
        check_training_outputs,
        check_stages,
        check_gradients,
        check_freezing,
        check_state,
        check_bfloat16,
        check_adjustable_settings,
    ]


def check_settings(network: Network) -> None:
    """Settings are valid, can be copied and written to files, and resolve only once."""
    network.validate()
    clip_input = network.get_input()
    same = clone(network).get_input() == clip_input
    require(same, "a clone of the network has another input")
    require(clip_input.scale in ("peak", "raw"), f"unknown scale {clip_input.scale!r}")
    unknown = set(clip_input.distortions) - set(_DISTORTIONS)
    require(not unknown, f"unknown distortions: {sorted(unknown)}")
    length, step, context, _ = network.get_grid()
    require(length >= 1 and step >= 1, f"the grid has length {length} and step {step}")
    require(context is None or context >= 0, f"the grid has context {context}")
    distinct = len(set(network.layers)) == len(network.layers)
    require(distinct, f"layers={network.layers} are not distinct")

    resolved = network.resolve()
    require(resolved is not network, "resolve must make a copy")
    require(resolved.get_input() == clip_input, "resolve changes the input")
    require(type(resolved) is type(network), "resolve changes the class")
    params = resolved.get_params(deep=True)
    for name, value in network.get_params(deep=True).items():
        given = value is not None and not isinstance(value, BaseEstimator)
        require(not given or params[name] == value, f"resolve changes the setting {name}")
    fixed = network.fixed_settings()
    require(resolved.fixed_settings() == fixed, "resolved settings resolve to other ones")
    try:
        json.dumps(fixed, default=lambda value: value.item())
    except (AttributeError, TypeError, ValueError) as error:
        raise AssertionError(f"settings cannot be written as JSON: {error}") from error
    unknown = set(network.adjustable) - set(network.get_params(deep=False))
    require(not unknown, f"adjustable names no settings: {sorted(unknown)}")


def check_shapes_without_data(network: Network) -> None:
    """Shapes are known without data, and without tags only the head depends on the events."""
    shapes_of = {n_events: network.shapes(n_events) for n_events in (1, N_EVENTS)}
    for n_events, shapes in shapes_of.items():
        module = network.build(n_events)
        state = module.state_dict()
        require(module.n_events == n_events, "the module has another number of events")
        require(list(state) == list(shapes), "shapes has other names than the state dict")
        for name, tensor in shapes.items():
            require(tensor.device.type == "meta", f"shapes: {name} holds data")
            same = (tensor.shape, tensor.dtype) == (state[name].shape, state[name].dtype)
            require(same, f"shapes: {name} has another shape or type than the weights")
        require(network.count_events(state) == n_events, "the head has not one row per event")
        require(network.explain_mismatch(state) == "", "its own weights are called a mismatch")
    for name, tensor in shapes_of[1].items():
        other = shapes_of[N_EVENTS].get(name)
        if name.startswith(f"{network.head_name}."):
            same = (len(tensor), len(other)) == (1, N_EVENTS) and tensor.shape[1:] == other.shape[
                1:
            ]
            require(same, f"{name} has not one row per event")
        else:
            same = other is not None and tensor.shape == other.shape
            require(same or network.needs_tags, f"{name} depends on the number of events")
    for state in (
        {},
        {f"{network.head_name}.weight": "x"},
        {f"{network.head_name}.weight": torch.zeros(())},
    ):
        require(network.count_events(state) is None, "count_events finds events in no weights")
        require(isinstance(network.explain_mismatch(state), str), "explain_mismatch gives no text")


def check_seed(network: Network) -> None:
    """Initial weights depend on the seed only, and global generators are not used."""
    with global_generators_are_not_used("build"), uninitialized_memory_is_nan():
        modules = [network.build(N_EVENTS, random_state=seed) for seed in (1, 1, 2)]
    states = [module.state_dict() for module in modules]
    for name, tensor in states[0].items():
        require(tensor.isfinite().all(), f"{name} is not initialized")
        require(torch.equal(tensor, states[1][name]), f"the same seed gives another {name}")
    head = f"{network.head_name}.weight"
    require(not torch.equal(states[0][head], states[2][head]), "another seed gives the same head")


@torch.no_grad()
def check_scores(network: Network) -> None:
    """Scores have the right shape and type, lie in [0, 1], and depend on the clip."""
    stft, n_frames = make_stfts(network, edge_lengths(network))
    for n_events in (1, N_EVENTS):
        module = make_trained(network, n_events)
        scores = module(stft, n_frames)
        require(
            scores.shape == (len(n_frames), n_events), f"scores have shape {tuple(scores.shape)}"
        )
        segment_scores, n_segments = module.segment_scores(stft, n_frames)
        require(not n_segments.is_floating_point(), f"n_segments has type {n_segments.dtype}")
        for x in (scores, segment_scores):
            require(x.dtype == torch.float32, f"scores have type {x.dtype}")
            require(((x >= 0) & (x <= 1)).all(), "scores lie outside of [0, 1]")
            require((x != x[:1]).any(), "scores do not depend on the clip")


def check_inputs_are_not_changed(network: Network) -> None:
    """Inputs are not overwritten: a batch is used again if memory runs out."""
    inputs = make_stfts(network, edge_lengths(network))
    copies = [x.clone() for x in inputs]
    for training in (False, True):
        module = make_trained(network).train(training)
        module(*inputs).sum().backward()
        same = all(map(torch.equal, inputs, copies))
        require(same, f"the input is overwritten, with training={training}")


@torch.inference_mode()
def check_evaluation(network: Network) -> None:
    """In evaluation, scores are not random, and nothing in the module changes."""
    module = make_trained(network)
    inputs = make_stfts(network, edge_lengths(network))
    before = copy_state(module)
    with global_generators_are_not_used("evaluation"):
        first, second = module(*inputs), module(*inputs)
    require(torch.equal(first, second), "evaluation is not deterministic")
    changed = changed_tensors(module, before)
    require(not changed, f"evaluation changes {changed}")


@torch.no_grad()
def check_grid(network: Network) -> None:
    """The number of segment scores is that of the grid, and padding segments score 0."""
    grid, module = network.get_grid(), make_trained(network)
    lengths = edge_lengths(network)
    scores, n_segments = module.segment_scores(*make_stfts(network, lengths))
    expected = [grid.n_scores(n) for n in lengths]
    require(n_segments.tolist() == expected, f"{n_segments.tolist()} segments, not {expected}")
    for row, n in zip(scores, expected, strict=True):
        require(row.shape[-1] >= n, "segments are missing")
        require(not row[:, n:].any(), "scores beyond the segments of a clip are not 0")


@torch.no_grad()
def check_padding_and_neighbors(network: Network) -> None:
    """Neither padding nor the other clips of a batch change the scores of a clip."""
    module, lengths = make_trained(network), edge_lengths(network)
    stft, n_frames = make_stfts(network, lengths)
    together = module(stft, n_frames)
    for i, n in enumerate(lengths):
        alone = module(stft[i : i + 1, :, :n], n_frames[i : i + 1])
        require_close(alone[0], together[i], f"a clip of {n} frames, alone and in a batch")
    padded = module(pad_stfts(stft, 37), n_frames)
    require_close(padded, together, "a batch with more padding")


@torch.no_grad()
def check_context(network: Network) -> None:
    """The score of a segment depends on its frames, and on no frames beyond its context."""
    length, step, context, _ = network.get_grid()
    module = make_trained(network)
    reach = -(-(length + (context or 0)) // step) * step  # rounded up to whole steps
    n = 2 * reach + length
    stft, n_frames = make_stfts(network, [n])
    scores, _ = module.segment_scores(stft, n_frames)
    place = reach // step
    start, stop = place * step, place * step + length
    changed = stft.clone()
    changed[:, :, start:stop] *= -3
    other, _ = module.segment_scores(changed, n_frames)
    depends = not torch.equal(other[..., place], scores[..., place])
    require(depends, "the score of a segment does not depend on its frames")
    if context is None:
        return
    shifted, _ = module.segment_scores(stft[:, :, step:], n_frames - step)
    first = -(-context // step)
    kept = slice(first, shifted.shape[-1])
    require_close(
        shifted[..., kept], scores[..., 1:][..., kept], "clips that begin a step later", 1e-4
    )
    changed = stft.clone()
    changed[:, :, : start - context] *= -3
    changed[:, :, stop + context :] *= -3
    other, _ = module.segment_scores(changed, n_frames)
    require_close(
        other[..., place], scores[..., place], "frames beyond the context were changed", 1e-4
    )


@torch.no_grad()
def check_single_frame(network: Network) -> None:
    """A clip of one frame has one segment, and can be trained on."""
    module = make_trained(network)
    scores, n_segments = module.segment_scores(*make_stfts(network, [1]))
    require(n_segments.tolist() == [1], "a clip of one frame has not one segment")
    require(scores.isfinite().all(), "scores of one frame are not finite")
    module.train()
    require(module(*make_stfts(network, [1])).isfinite().all(), "one frame fails in training")


@torch.no_grad()
def check_pooling(network: Network) -> None:
    """Scores of clips come from those of their segments, or from one embedding; in [0, 1]."""
    module = make_trained(network)
    stft, n_frames = make_stfts(network, edge_lengths(network))
    scores, n_segments = module.segment_scores(stft, n_frames)
    if module.pools_embeddings:
        logits = module.clip_outputs("logits", stft, n_frames)
        require_close(logits.sigmoid(), module(stft, n_frames), "logits of clips and forward")
        return
    pooled = module.pool(scores, n_segments)
    require_close(pooled, module(stft, n_frames), "pool and forward")
    more = module.pool(F.pad(scores, (0, 5)), n_segments)
    require_close(more, pooled, "pool with padding")
    for i, n in enumerate(n_segments.tolist()):
        alone = module.pool(scores[i : i + 1, :, :n], n_segments[i : i + 1])
        require_close(alone[0], pooled[i], "pool of a clip, alone and in a batch")
    for value in (0.0, 1.0):
        extreme = module.pool(torch.full((1, N_EVENTS, 2), value), torch.tensor([2]))
        require(((extreme >= 0) & (extreme <= 1)).all(), f"pool of {value} lies outside of [0, 1]")


@torch.no_grad()
def check_distortions(network: Network) -> None:
    """The front end applies the distortions that the network names, to each clip its own."""
    module, (length, step, context, _) = make_trained(network), network.get_grid()
    clip_input = network.get_input()
    n = 2 * (length + step + (context or 0))
    stft, n_frames = make_stfts(network, [n, n])
    n_mels = clip_input.n_mels
    values = {  # of the second clip, they do nothing
        "warp": torch.tensor([[1.2, 0.5], [1.0, 0.5]]),
        "noise": torch.tensor([[0.5, 1.0], [0.0, 1.0]]),
        "time_mask": torch.tensor([[0, length], [0, 0]]),
        "mel_mask": torch.tensor([[0, n_mels // 2], [n_mels, 0]]),
    }
    values = {name: values[name] for name in clip_input.distortions}
    plain, _ = module.segment_scores(stft, n_frames)
    for name, value in values.items():
        distorted, _ = module.segment_scores(stft, n_frames, **{name: value})
        require(not torch.equal(distorted[0], plain[0]), f"{name} changes nothing")
        require_close(distorted[1], plain[1], f"{name} of nothing", 1e-4)
        if name == "time_mask" and context is not None:
            first = -(-(length + context) // step)  # the mask is before the context of this one
            require_close(
                distorted[..., first:], plain[..., first:], "frames beside time_mask change", 1e-4
            )
    distorted, _ = module.segment_scores(stft, n_frames, **values)
    require_close(distorted[1], plain[1], "all distortions of nothing", 1e-4)
