"""Checks that every network must pass, for the tests of this package and of others."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._protocol import Network, NetworkModule

__all__ = ["check_network", "network_checks"]

_N_EVENTS = 3
_DISTORTIONS = ("warp", "time_mask", "mel_mask")


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
        check_head,
        check_distortions,
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
    _require(same, "a clone of the network has another input")
    _require(clip_input.scale in ("peak", "raw"), f"unknown scale {clip_input.scale!r}")
    unknown = set(clip_input.distortions) - set(_DISTORTIONS)
    _require(not unknown, f"unknown distortions: {sorted(unknown)}")
    length, step, context = network.get_grid()
    _require(length >= 1 and step >= 1, f"the grid has length {length} and step {step}")
    _require(context is None or context >= 0, f"the grid has context {context}")

    resolved = network.resolve()
    _require(resolved is not network, "resolve must make a copy")
    _require(resolved.get_input() == clip_input, "resolve changes the input")
    _require(type(resolved) is type(network), "resolve changes the class")
    params = resolved.get_params(deep=True)
    for name, value in network.get_params(deep=True).items():
        given = value is not None and not isinstance(value, BaseEstimator)
        _require(not given or params[name] == value, f"resolve changes the setting {name}")
    fixed = network.fixed_settings()
    _require(resolved.fixed_settings() == fixed, "resolved settings resolve to other ones")
    try:
        json.dumps(fixed, default=lambda value: value.item())
    except (AttributeError, TypeError, ValueError) as error:
        raise AssertionError(f"settings cannot be written as JSON: {error}") from error
    unknown = set(network.adjustable) - set(network.get_params(deep=False))
    _require(not unknown, f"adjustable names no settings: {sorted(unknown)}")


def check_shapes_without_data(network: Network) -> None:
    """Shapes are known without data, and only the head depends on the number of events."""
    shapes_of = {n_events: network.shapes(n_events) for n_events in (1, _N_EVENTS)}
    for n_events, shapes in shapes_of.items():
        module = network.build(n_events)
        state = module.state_dict()
        _require(module.n_events == n_events, "the module has another number of events")
        _require(list(state) == list(shapes), "shapes has other names than the state dict")
        for name, tensor in shapes.items():
            _require(tensor.device.type == "meta", f"shapes: {name} holds data")
            same = (tensor.shape, tensor.dtype) == (state[name].shape, state[name].dtype)
            _require(same, f"shapes: {name} has another shape or type than the weights")
        _require(network.count_events(state) == n_events, "the head has not one row per event")
        _require(network.explain_mismatch(state) == "", "its own weights are called a mismatch")
    for name, tensor in shapes_of[1].items():
        other = shapes_of[_N_EVENTS].get(name)
        if name.startswith(f"{network.head}."):
            same = (len(tensor), len(other)) == (1, _N_EVENTS) and tensor.shape[1:] == other.shape[
                1:
            ]
            _require(same, f"{name} has not one row per event")
        else:
            same = other is not None and tensor.shape == other.shape
            _require(same, f"{name} depends on the number of events")
    for state in ({}, {f"{network.head}.weight": "x"}, {f"{network.head}.weight": torch.zeros(())}):
        _require(network.count_events(state) is None, "count_events finds events in no weights")
        _require(isinstance(network.explain_mismatch(state), str), "explain_mismatch gives no text")


def check_seed(network: Network) -> None:
    """Initial weights depend on the seed only, and global generators are not used."""
    with _global_generators_are_not_used("build"), _uninitialized_memory_is_nan():
        modules = [network.build(_N_EVENTS, random_state=seed) for seed in (1, 1, 2)]
    states = [module.state_dict() for module in modules]
    for name, tensor in states[0].items():
        _require(tensor.isfinite().all(), f"{name} is not initialized")
        _require(torch.equal(tensor, states[1][name]), f"the same seed gives another {name}")
    head = f"{network.head}.weight"
    _require(not torch.equal(states[0][head], states[2][head]), "another seed gives the same head")


@torch.no_grad()
def check_scores(network: Network) -> None:
    """Scores have the right shape and type, lie in [0, 1], and depend on the clip."""
    stft, n_frames = _make_stfts(network, _lengths(network))
    for n_events in (1, _N_EVENTS):
        module = _trained(network, n_events)
        scores = module(stft, n_frames)
        _require(
            scores.shape == (len(n_frames), n_events), f"scores have shape {tuple(scores.shape)}"
        )
        segment_scores, n_segments = module.segment_scores(stft, n_frames)
        _require(not n_segments.is_floating_point(), f"n_segments has type {n_segments.dtype}")
        for x in (scores, segment_scores):
            _require(x.dtype == torch.float32, f"scores have type {x.dtype}")
            _require(((x >= 0) & (x <= 1)).all(), "scores lie outside of [0, 1]")
            _require((x != x[:1]).any(), "scores do not depend on the clip")


def check_inputs_are_not_changed(network: Network) -> None:
    """Inputs are not overwritten: a batch is used again if memory runs out."""
    inputs = _make_stfts(network, _lengths(network))
    copies = [x.clone() for x in inputs]
    for training in (False, True):
        module = _trained(network).train(training)
        module(*inputs).sum().backward()
        same = all(map(torch.equal, inputs, copies))
        _require(same, f"the input is overwritten, with training={training}")


@torch.inference_mode()
def check_evaluation(network: Network) -> None:
    """In evaluation, scores are not random, and nothing in the module changes."""
    module = _trained(network)
    inputs = _make_stfts(network, _lengths(network))
    before = _copy_state(module)
    with _global_generators_are_not_used("evaluation"):
        first, second = module(*inputs), module(*inputs)
    _require(torch.equal(first, second), "evaluation is not deterministic")
    changed = _changed(module, before)
    _require(not changed, f"evaluation changes {changed}")


@torch.no_grad()
def check_grid(network: Network) -> None:
    """The number of segment scores is that of the grid, and padding segments score 0."""
    grid, module = network.get_grid(), _trained(network)
    lengths = _lengths(network)
    scores, n_segments = module.segment_scores(*_make_stfts(network, lengths))
    expected = [grid.n_scores(n) for n in lengths]
    _require(n_segments.tolist() == expected, f"{n_segments.tolist()} segments, not {expected}")
    for row, n in zip(scores, expected, strict=True):
        _require(row.shape[-1] >= n, "segments are missing")
        _require(not row[:, n:].any(), "scores beyond the segments of a clip are not 0")


@torch.no_grad()
def check_padding_and_neighbors(network: Network) -> None:
    """Neither padding nor the other clips of a batch change the scores of a clip."""
    module, lengths = _trained(network), _lengths(network)
    stft, n_frames = _make_stfts(network, lengths)
    together = module(stft, n_frames)
    for i, n in enumerate(lengths):
        alone = module(stft[i : i + 1, :, :n], n_frames[i : i + 1])
        _require_close(alone[0], together[i], f"a clip of {n} frames, alone and in a batch")
    padded = module(_pad(stft, 37), n_frames)
    _require_close(padded, together, "a batch with more padding")


def check_padding_in_training(network: Network) -> None:
    """More padding changes neither scores nor statistics in training. Dropout is off here.

    Batch normalization amplifies errors of rounding. Clips are therefore long, and there is so much
    padding that the effect of a fault would be larger.
    """
    length = network.get_grid().length
    lengths = [5 * length, 5 * length - 1, 4 * length, 3 * length]
    stft, n_frames = _make_stfts(network, lengths)
    modules = []
    for x in (stft, _pad(stft, max(lengths))):
        module = network.build(_N_EVENTS).train()
        for part in module.modules():
            if isinstance(part, nn.modules.dropout._DropoutNd):
                part.eval()
        modules.append((module, module(x, n_frames)))
    (module, scores), (padded_module, padded_scores) = modules
    _require_close(padded_scores, scores, "a training batch with more padding", 0.01)
    state, padded = module.state_dict(), padded_module.state_dict()
    for name, tensor in state.items():
        same = torch.allclose(padded[name].double(), tensor.double(), rtol=0.01, atol=0.01)
        _require(same, f"in training, padding changes {name}")


@torch.no_grad()
def check_context(network: Network) -> None:
    """The score of a segment depends on its frames, and on no frames beyond its context."""
    length, step, context = network.get_grid()
    module = _trained(network)
    reach = -(-(length + (context or 0)) // step) * step  # rounded up to whole steps
    n = 2 * reach + length
    stft, n_frames = _make_stfts(network, [n])
    scores, _ = module.segment_scores(stft, n_frames)
    place = reach // step
    start, stop = place * step, place * step + length
    changed = stft.clone()
    changed[:, :, start:stop] *= -3
    other, _ = module.segment_scores(changed, n_frames)
    depends = not torch.equal(other[..., place], scores[..., place])
    _require(depends, "the score of a segment does not depend on its frames")
    if context is None:
        return
    shifted, _ = module.segment_scores(stft[:, :, step:], n_frames - step)
    first = -(-context // step)
    kept = slice(first, shifted.shape[-1])
    _require_close(
        shifted[..., kept], scores[..., 1:][..., kept], "clips that begin a step later", 1e-4
    )
    changed = stft.clone()
    changed[:, :, : start - context] *= -3
    changed[:, :, stop + context :] *= -3
    other, _ = module.segment_scores(changed, n_frames)
    _require_close(
        other[..., place], scores[..., place], "frames beyond the context were changed", 1e-4
    )


@torch.no_grad()
def check_single_frame(network: Network) -> None:
    """A clip of one frame has one segment, and can be trained on."""
    module = _trained(network)
    scores, n_segments = module.segment_scores(*_make_stfts(network, [1]))
    _require(n_segments.tolist() == [1], "a clip of one frame has not one segment")
    _require(scores.isfinite().all(), "scores of one frame are not finite")
    module.train()
    _require(module(*_make_stfts(network, [1])).isfinite().all(), "one frame fails in training")


@torch.no_grad()
def check_pooling(network: Network) -> None:
    """Scores of clips are pooled from those of their segments only, and lie in [0, 1]."""
    module = _trained(network)
    stft, n_frames = _make_stfts(network, _lengths(network))
    scores, n_segments = module.segment_scores(stft, n_frames)
    pooled = module.pool(scores, n_segments)
    _require_close(pooled, module(stft, n_frames), "pool and forward")
    more = module.pool(F.pad(scores, (0, 5)), n_segments)
    _require_close(more, pooled, "pool with padding")
    for i, n in enumerate(n_segments.tolist()):
        alone = module.pool(scores[i : i + 1, :, :n], n_segments[i : i + 1])
        _require_close(alone[0], pooled[i], "pool of a clip, alone and in a batch")
    for value in (0.0, 1.0):
        extreme = module.pool(torch.full((1, _N_EVENTS, 2), value), torch.tensor([2]))
        _require(((extreme >= 0) & (extreme <= 1)).all(), f"pool of {value} lies outside of [0, 1]")


@torch.no_grad()
def check_embeddings(network: Network) -> None:
    """Embeddings have one column per segment, of the size that the head takes."""
    module = _trained(network)
    stft, n_frames = _make_stfts(network, _lengths(network))
    embeddings, n_segments = module.segment_embeddings(stft, n_frames)
    scores, expected = module.segment_scores(stft, n_frames)
    _require(n_segments.tolist() == expected.tolist(), "embeddings are not those of the segments")
    _require(embeddings.shape[::2] == scores.shape[::2], "embeddings are not one per segment")
    weight = module.state_dict()[f"{network.head}.weight"]
    n_features = weight.shape[1]
    _require(embeddings.shape[1] == n_features, "embeddings have another size than the head takes")
    _require(embeddings.dtype == torch.float32, f"embeddings have type {embeddings.dtype}")
    _require(embeddings.isfinite().all(), "embeddings are not finite")
    for row, n in zip(embeddings, n_segments.tolist(), strict=True):
        _require(not row[:, n:].any(), "embeddings beyond the segments of a clip are not 0")


@torch.no_grad()
def check_head(network: Network) -> None:
    """Row k of the head belongs to event k: fine-tuning matches rows by event."""
    module = _trained(network)
    inputs = _make_stfts(network, _lengths(network))
    tensors = list(_get_head(network, module).parameters())
    for tensor in tensors:  # rows that differ, biases included
        tensor += 0.1 * torch.arange(_N_EVENTS).view(-1, *[1] * (tensor.ndim - 1))
    scores = module(*inputs)
    for tensor in tensors:
        tensor.copy_(tensor.roll(1, 0))
    _require_close(module(*inputs), scores.roll(1, 1), "row k of the head is not that of event k")


@torch.no_grad()
def check_distortions(network: Network) -> None:
    """The front end applies the distortions that the network names, to each clip its own."""
    module, (length, step, context) = _trained(network), network.get_grid()
    clip_input = network.get_input()
    n = 2 * (length + step + (context or 0))
    stft, n_frames = _make_stfts(network, [n, n])
    n_mels = clip_input.n_mels
    values = {  # of the second clip, they do nothing
        "warp": torch.tensor([[1.2, 0.5], [1.0, 0.5]]),
        "time_mask": torch.tensor([[0, length], [0, 0]]),
        "mel_mask": torch.tensor([[0, n_mels // 2], [n_mels, 0]]),
    }
    values = {name: values[name] for name in clip_input.distortions}
    plain, _ = module.segment_scores(stft, n_frames)
    for name, value in values.items():
        distorted, _ = module.segment_scores(stft, n_frames, **{name: value})
        _require(not torch.equal(distorted[0], plain[0]), f"{name} changes nothing")
        _require_close(distorted[1], plain[1], f"{name} of nothing", 1e-4)
        if name == "time_mask" and context is not None:
            first = -(-(length + context) // step)  # the mask is before the context of this one
            _require_close(
                distorted[..., first:], plain[..., first:], "frames beside time_mask change", 1e-4
            )
    distorted, _ = module.segment_scores(stft, n_frames, **values)
    _require_close(distorted[1], plain[1], "all distortions of nothing", 1e-4)


def check_stages(network: Network) -> None:
    """Front end, stages and head have all weights, each once."""
    module = network.build(_N_EVENTS)
    _require(len(module.stages) == network.n_stages, "n_stages is not the number of stages")
    parts = [*module.front_end, *module.stages, _get_head(network, module)]
    weights = [id(weight) for part in parts for weight in part.parameters()]
    _require(len(set(weights)) == len(weights), "a weight belongs to two stages")
    missing = [name for name, weight in module.named_parameters() if id(weight) not in weights]
    _require(not missing, f"weights belong to no stage: {missing}")


def check_gradients(network: Network) -> None:
    """In training, all weights of stages and head have finite gradients, the front end none."""
    module = network.build(_N_EVENTS)
    inputs = _make_stfts(network, _lengths(network))
    with torch.inference_mode():  # nothing of it may be kept for training
        module.eval()(*inputs)
    module.train()
    try:
        _loss(network, module, inputs).backward()
    except RuntimeError as error:
        raise AssertionError(f"training fails after evaluation: {error}") from error
    for part in module.front_end:
        none = all(weight.grad is None for weight in part.parameters())
        _require(none, "the front end has a gradient")
    _require_gradients([*module.stages, _get_head(network, module)], "in training")


def check_freezing(network: Network) -> None:
    """Frozen stages get no gradient, and neither their weights nor their statistics change."""
    n_stages = network.n_stages
    inputs = _make_stfts(network, _lengths(network))
    for n_frozen in sorted({min(1, n_stages), n_stages // 2, n_stages} - {0}):
        when = f"with {n_frozen} frozen stages"
        module = network.build(_N_EVENTS).train()
        frozen = [*module.front_end, *module.stages[:n_frozen]]
        others = [*module.stages[n_frozen:], _get_head(network, module)]
        for part in frozen:
            part.requires_grad_(False).eval()
        before = _copy_state(module)
        _loss(network, module, inputs).backward()
        for part in frozen:
            none = all(weight.grad is None for weight in part.parameters())
            _require(none, f"{when}, one of them has a gradient")
        _require_gradients(others, when)
        free = {id(x) for part in others for x in (*part.parameters(), *part.buffers())}
        tensors = dict([*module.named_parameters(), *module.named_buffers()])
        changed = [name for name in _changed(module, before) if id(tensors[name]) not in free]
        _require(not changed, f"{when}, training changes {changed}")


@torch.no_grad()
def check_state(network: Network) -> None:
    """The state dict determines the scores, and a module can be copied."""
    module = _trained(network)
    inputs = _make_stfts(network, _lengths(network))
    scores = module(*inputs)
    loaded = network.build(_N_EVENTS, random_state=1).eval()
    loaded.load_state_dict(module.state_dict())
    _require(torch.equal(loaded(*inputs), scores), "scores depend on more than the state dict")
    copied = copy.deepcopy(module)
    _require(torch.equal(copied(*inputs), scores), "a copy of the module has other scores")


def check_bfloat16(network: Network) -> None:
    """In bfloat16, scores are close to those in float32; weights and gradients are float32."""
    module = _trained(network)
    inputs = _make_stfts(network, _lengths(network))
    types = {name: tensor.dtype for name, tensor in module.state_dict().items()}
    with torch.no_grad():
        expected = module(*inputs)
        module.set_precision("bfloat16")
        scores, (embeddings, _) = module(*inputs), module.segment_embeddings(*inputs)
        module.set_precision("float32")
        _require(torch.equal(module(*inputs), expected), "float32 after bfloat16 changes scores")
    for what, x in {"scores": scores, "embeddings": embeddings}.items():
        _require(x.dtype == torch.float32, f"{what} in bfloat16 have type {x.dtype}")
    _require_close(scores, expected, "bfloat16 and float32", 0.05)
    module = network.build(_N_EVENTS, precision="bfloat16").train()
    _require(module.precision == "bfloat16", "build does not set the precision")
    _loss(network, module, inputs).backward()
    _require_gradients([*module.stages, _get_head(network, module)], "in bfloat16")
    for name, tensor in module.state_dict().items():
        _require(tensor.dtype == types[name], f"{name} in bfloat16 has type {tensor.dtype}")
        _require(tensor.isfinite().all(), f"{name} in bfloat16 is not finite")


def check_adjustable_settings(network: Network) -> None:
    """Settings that can be changed after training are set in the module, and nothing else."""
    module = network.build(_N_EVENTS)
    before = _copy_state(module)
    for name in network.adjustable:
        setattr(module, name, None)
    module.adjust(network)
    for name in network.adjustable:
        same = np.all(getattr(module, name) == getattr(network, name))
        _require(same, f"adjust does not set {name}")
    _require(not _changed(module, before), "adjust changes weights")


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _require_close(first: Tensor, second: Tensor, what: str, atol: float = 1e-5) -> None:
    same = first.shape == second.shape
    _require(same, f"{what}: shapes are {tuple(first.shape)} and {tuple(second.shape)}")
    largest = (first.float() - second.float()).abs().max().item() if first.numel() else 0.0
    _require(largest <= atol, f"{what}: scores differ by up to {largest:.2g}")


def _require_gradients(parts: list[nn.Module], when: str) -> None:
    """Require finite gradients of float32 for all weights, which are not all 0 in any part."""
    for number, part in enumerate(parts, 1):
        name = "the head" if number == len(parts) else f"stage {number} of those that learn"
        weights = list(part.parameters())
        for weight in weights:
            _require(weight.grad is not None, f"{when}, {name} has no gradient")
            _require(weight.grad.isfinite().all(), f"{when}, the gradient of {name} is not finite")
            _require(
                weight.grad.dtype == torch.float32,
                f"{when}, {name} has a gradient in low precision",
            )
        some = not weights or any(weight.grad.any() for weight in weights)
        _require(some, f"{when}, the gradient of {name} is 0")


def _make_stfts(network: Network, n_frames: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Make the STFTs of clips of noise, padded with zeros to the longest."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(n_frames), 1, max(n_frames), network.get_input().stft.n_bins, 2)
    stft = torch.randn(shape, generator=generator)
    for row, n in zip(stft, n_frames, strict=True):
        row[:, n:] = 0
    return stft, torch.tensor(n_frames)


def _pad(stft: Tensor, n_frames: int) -> Tensor:
    """Pad the STFTs of a batch by more frames."""
    return F.pad(stft, (0, 0, 0, 0, 0, n_frames))


def _lengths(network: Network) -> list[int]:
    """Return numbers of frames at which the number of segments changes."""
    length, step, _ = network.get_grid()
    return [length + 3 * step + 1, length + 3 * step, length + 1, length, max(1, length - 1), 1]


def _trained(network: Network, n_events: int = _N_EVENTS) -> NetworkModule:
    """Build a module in evaluation mode, with the statistics of some clips."""
    module = network.build(n_events)
    module.train()
    with torch.no_grad():
        for seed in range(3):
            module(*_make_stfts(network, [network.get_grid().length * 3] * 4, seed))
    return module.eval()


def _loss(network: Network, module: NetworkModule, inputs: tuple[Tensor, Tensor]) -> Tensor:
    """Compute the loss for targets of 0 and 1."""
    scores = module(*inputs)
    targets = (torch.arange(scores.numel()).view(scores.shape) % 2).float()
    loss = network.criterion(reduction="none")(scores, targets)
    _require(loss.shape == scores.shape, f"the loss has shape {tuple(loss.shape)}")
    _require(loss.isfinite().all(), "the loss is not finite")
    return loss.mean()


def _get_head(network: Network, module: NetworkModule) -> nn.Module:
    try:
        return module.get_submodule(network.head)
    except AttributeError as error:
        raise AssertionError(f"head={network.head!r} is no layer of the module") from error


def _copy_state(module: NetworkModule) -> dict[str, Tensor]:
    """Copy all parameters and buffers, including those that the state dict leaves out."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in tensors}


def _changed(module: NetworkModule, before: dict[str, Tensor]) -> list[str]:
    """Name the tensors of a module that are not as they were."""
    now = _copy_state(module)
    names = now.keys() | before.keys()
    return sorted(
        name
        for name in names
        if name not in now or name not in before or not torch.equal(now[name], before[name])
    )


@contextmanager
def _global_generators_are_not_used(where: str) -> Iterator[None]:
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    yield
    _require(torch.equal(before[0], torch.get_rng_state()), f"{where} uses PyTorch's generator")
    _require(before[1] == str(np.random.get_state()), f"{where} uses NumPy's generator")  # noqa: NPY002
    _require(before[2] == random.getstate(), f"{where} uses Python's generator")


@contextmanager
def _uninitialized_memory_is_nan() -> Iterator[None]:
    """Let PyTorch fill new memory with NaN, which otherwise often happens to be 0."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
