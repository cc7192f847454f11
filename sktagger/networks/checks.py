"""Checks that every network passes, for the tests of this package and of others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from sktagger.networks._protocol import Network, NetworkModule

__all__ = ["check_network", "network_checks"]

N_EVENTS = 3


def check_network(network: Network) -> None:
    """Check that a network does what the package relies on.

    Parameters
    ----------
    network : Network
        Small settings make it faster.

    Raises
    ------
    AssertionError
        If it does not; the message says what is wrong.

    Examples
    --------
    >>> from sktagger.networks import WALNet
    >>> from sktagger.networks.checks import check_network
    >>> check_network(WALNet(sample_rate=2000))
    """
    for check in network_checks():
        check(network)


def network_checks() -> list[Callable[[Network], None]]:
    """List the checks, each a function of a network.

    Returns
    -------
    list of callable
    """
    return [
        check_settings,
        check_shapes_without_data,
        check_seed,
        check_scores,
        check_grid,
        check_padding_and_neighbors,
        check_context,
        check_single_frame,
        check_pooling,
        check_embeddings,
        check_distortions,
        check_stages,
        check_gradients,
        check_bfloat16,
        check_adjustable_settings,
    ]


def _make_stfts(network: Network, n_frames: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Make the STFTs of clips of noise, padded with zeros to the longest."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(n_frames), 1, max(n_frames), network.get_input().stft.n_bins, 2)
    stft = torch.randn(shape, generator=generator)
    for row, n in zip(stft, n_frames, strict=True):
        row[:, n:] = 0
    return stft, torch.tensor(n_frames)


def _lengths(network: Network) -> list[int]:
    """Give numbers of frames around the borders of the grid."""
    length, step, _ = network.get_grid()
    return [length + 3 * step + 1, length + 3 * step, length + 1, length, max(1, length - 1), 1]


def _evaluated(network: Network) -> NetworkModule:
    """Build a module, let its statistics see clips, and set it to evaluation mode."""
    module = network.build(N_EVENTS)
    module.train()
    with torch.no_grad():
        for seed in range(3):
            module(*_make_stfts(network, [network.get_grid().length * 3] * 4, seed))
    return module.eval()


def _require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _require_close(first: Tensor, second: Tensor, what: str, atol: float = 1e-5) -> None:
    largest = (first.float() - second.float()).abs().max().item() if first.numel() else 0.0
    _require(largest <= atol, f"{what}: scores differ by up to {largest:.2g}")


def check_settings(network: Network) -> None:
    """Settings can be cloned and resolved, and resolved settings stay as they are."""
    network.validate()
    same = clone(network).get_input() == network.get_input()
    _require(same, "a clone of the network takes another input")
    resolved = network.resolve()
    _require(resolved is not network, "resolve must make a copy")
    _require(resolved.get_input() == network.get_input(), "resolve changes the input")
    _require(resolved.fixed_settings() == network.fixed_settings(), "resolve changes settings")
    unknown = set(network.adjustable) - set(network.get_params(deep=False))
    _require(not unknown, f"adjustable names no settings: {sorted(unknown)}")


def check_shapes_without_data(network: Network) -> None:
    """Shapes are known without data, those of the head by the number of events."""
    for n_events in (1, N_EVENTS):
        state, shapes = network.build(n_events).state_dict(), network.shapes(n_events)
        _require(list(state) == list(shapes), "shapes has other names than the state dict")
        for name, tensor in shapes.items():
            _require(tensor.device.type == "meta", f"shapes: {name} holds data")
            same = (tensor.shape, tensor.dtype) == (state[name].shape, state[name].dtype)
            _require(same, f"shapes: {name} has another shape or type than the weights")
        _require(network.count_events(state) == n_events, "the head has not a row per event")
    _require(network.count_events({}) is None, "count_events finds events in no weights")


def check_seed(network: Network) -> None:
    """The seed alone determines initial weights, and the global generator is left alone."""
    before = torch.get_rng_state()
    states = [network.build(N_EVENTS, random_state=seed).state_dict() for seed in (1, 1, 2)]
    _require(torch.equal(before, torch.get_rng_state()), "PyTorch's global generator was used")
    same = [torch.equal(states[0][name], states[1][name]) for name in states[0]]
    _require(all(same), "the same seed gives other weights")
    head = f"{network.head}.weight"
    _require(not torch.equal(states[0][head], states[2][head]), "another seed gives the same head")


@torch.no_grad()
def check_scores(network: Network) -> None:
    """Scores have their shape and type, and lie in [0, 1]."""
    stft, n_frames = _make_stfts(network, _lengths(network))
    scores = _evaluated(network)(stft, n_frames)
    _require(scores.shape == (len(n_frames), N_EVENTS), f"scores have shape {tuple(scores.shape)}")
    _require(scores.dtype == torch.float32, f"scores have type {scores.dtype}")
    _require(((scores >= 0) & (scores <= 1)).all(), "scores lie outside of [0, 1]")


@torch.no_grad()
def check_grid(network: Network) -> None:
    """There are as many segment scores as the grid says, and zeros beyond."""
    grid, module = network.get_grid(), _evaluated(network)
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
    module, lengths = _evaluated(network), _lengths(network)
    stft, n_frames = _make_stfts(network, lengths)
    together = module(stft, n_frames)
    for i, n in enumerate(lengths):
        alone = module(stft[i : i + 1, :, :n], n_frames[i : i + 1])
        _require_close(alone[0], together[i], f"a clip of {n} frames, alone and in a batch")
    padded = module(torch.nn.functional.pad(stft, (0, 0, 0, 0, 0, 37)), n_frames)
    _require_close(padded, together, "a batch with more padding")


@torch.no_grad()
def check_context(network: Network) -> None:
    """A segment depends on its own frames and its context, and on nothing else."""
    length, step, context = network.get_grid()
    if context is None:
        return
    module = _evaluated(network)
    reach = -(-(length + context) // step) * step  # in whole steps
    n = 2 * reach + length
    stft, n_frames = _make_stfts(network, [n])
    scores, _ = module.segment_scores(stft, n_frames)
    shifted, _ = module.segment_scores(stft[:, :, step:], n_frames - step)
    first = -(-context // step)
    kept = slice(first, shifted.shape[-1])
    _require_close(
        shifted[..., kept], scores[..., 1:][..., kept], "clips that begin a step later", 1e-4
    )
    changed = stft.clone()
    place = reach // step
    lowest, highest = place * step - context, place * step + length + context
    changed[:, :, :lowest] *= -3
    changed[:, :, highest:] *= -3
    other, _ = module.segment_scores(changed, n_frames)
    _require_close(
        other[..., place], scores[..., place], "frames beyond the context were changed", 1e-4
    )


@torch.no_grad()
def check_single_frame(network: Network) -> None:
    """A clip of one frame has one score."""
    module = _evaluated(network)
    scores, n_segments = module.segment_scores(*_make_stfts(network, [1]))
    _require(n_segments.tolist() == [1], "a clip of one frame has not one segment")
    _require(scores.isfinite().all(), "scores of one frame are not finite")
    module.train()
    _require(module(*_make_stfts(network, [1])).isfinite().all(), "one frame fails in training")


@torch.no_grad()
def check_pooling(network: Network) -> None:
    """The scores of clips are pooled from those of segments, of which the order is irrelevant."""
    module = _evaluated(network)
    stft, n_frames = _make_stfts(network, _lengths(network))
    scores, n_segments = module.segment_scores(stft, n_frames)
    _require_close(module.pool(scores, n_segments), module(stft, n_frames), "pool and forward")
    more = torch.nn.functional.pad(scores, (0, 5))
    _require_close(
        module.pool(more, n_segments), module.pool(scores, n_segments), "pool with padding"
    )


@torch.no_grad()
def check_embeddings(network: Network) -> None:
    """Embeddings have one column per segment, and zeros beyond."""
    module = _evaluated(network)
    stft, n_frames = _make_stfts(network, _lengths(network))
    embeddings, n_segments = module.segment_embeddings(stft, n_frames)
    scores, expected = module.segment_scores(stft, n_frames)
    _require(n_segments.tolist() == expected.tolist(), "embeddings are not those of the segments")
    _require(embeddings.shape[::2] == scores.shape[::2], "embeddings are not one per segment")
    _require(embeddings.dtype == torch.float32, f"embeddings have type {embeddings.dtype}")
    for row, n in zip(embeddings, n_segments.tolist(), strict=True):
        _require(not row[:, n:].any(), "embeddings beyond the segments of a clip are not 0")


@torch.no_grad()
def check_distortions(network: Network) -> None:
    """The front end applies the distortions that the network names."""
    module, n = _evaluated(network), _lengths(network)[0]
    stft, n_frames = _make_stfts(network, [n])
    n_mels = network.get_input().n_mels
    values = {
        "warp": torch.tensor([[1.2, 0.5]]),
        "time_mask": torch.tensor([[0, n // 2]]),
        "mel_mask": torch.tensor([[0, n_mels // 2]]),
    }
    nothing = {
        "warp": torch.tensor([[1.0, 0.5]]),
        "time_mask": torch.tensor([[0, 0]]),
        "mel_mask": torch.tensor([[n_mels, 0]]),
    }
    plain = module(stft, n_frames)
    for name in network.get_input().distortions:
        distorted = module(stft, n_frames, **{name: values[name]})
        _require(not torch.equal(distorted, plain), f"{name} changes nothing")
        undistorted = module(stft, n_frames, **{name: nothing[name]})
        _require_close(undistorted, plain, f"{name} of nothing", 1e-4)


def check_stages(network: Network) -> None:
    """Stages, front end and head are disjoint parts that hold all weights."""
    module = network.build(N_EVENTS)
    _require(len(module.stages) == network.n_stages, "n_stages is not the number of stages")
    head = module.get_submodule(network.head)
    parts = [*module.front_end, *module.stages, head]
    weights = [id(weight) for part in parts for weight in part.parameters()]
    _require(len(set(weights)) == len(weights), "a weight belongs to two stages")
    missing = [name for name, weight in module.named_parameters() if id(weight) not in weights]
    _require(not missing, f"weights belong to no stage: {missing}")


def check_gradients(network: Network) -> None:
    """In training, every weight of stages and head has a finite gradient."""
    module = network.build(N_EVENTS).train()
    stft, n_frames = _make_stfts(network, [network.get_grid().length * 2] * 4)
    module(stft, n_frames).sum().backward()
    for part in [*module.stages, module.get_submodule(network.head)]:
        for name, weight in part.named_parameters():
            _require(weight.grad is not None, f"{name} has no gradient")
            _require(weight.grad.isfinite().all(), f"{name} has a gradient that is not finite")


@torch.no_grad()
def check_bfloat16(network: Network) -> None:
    """Scores in bfloat16 are close to those in float32, and float32 themselves."""
    module = _evaluated(network)
    inputs = _make_stfts(network, _lengths(network))
    expected = module(*inputs)
    module.set_precision("bfloat16")
    scores = module(*inputs)
    _require(scores.dtype == torch.float32, f"scores in bfloat16 have type {scores.dtype}")
    _require_close(scores, expected, "bfloat16 and float32", 0.05)


def check_adjustable_settings(network: Network) -> None:
    """Settings that can be changed after training are those of the module."""
    module = network.build(N_EVENTS)
    module.adjust(network)
    for name in network.adjustable:
        same = np.all(getattr(module, name) == getattr(network, name))
        _require(same, f"adjust does not set {name}")
