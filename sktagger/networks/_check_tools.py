"""Clips, modules and comparisons for the checks of networks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sktagger.networks._module import NetworkModule
from sktagger.networks._protocol import Network

N_EVENTS = 3


def require(holds: object, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def require_close(first: Tensor, second: Tensor, what: str, atol: float = 1e-5) -> None:
    same = first.shape == second.shape
    require(same, f"{what}: shapes are {tuple(first.shape)} and {tuple(second.shape)}")
    largest = (first.float() - second.float()).abs().max().item() if first.numel() else 0.0
    require(largest <= atol, f"{what}: scores differ by up to {largest:.2g}")


def require_gradients(parts: list[nn.Module], when: str) -> None:
    """Require finite gradients of float32 for all weights, which are not all 0 in any part."""
    for number, part in enumerate(parts, 1):
        name = "the head" if number == len(parts) else f"stage {number} of those that learn"
        weights = list(part.parameters())
        for weight in weights:
            require(weight.grad is not None, f"{when}, {name} has no gradient")
            require(weight.grad.isfinite().all(), f"{when}, the gradient of {name} is not finite")
            require(
                weight.grad.dtype == torch.float32,
                f"{when}, {name} has a gradient in low precision",
            )
        some = not weights or any(weight.grad.any() for weight in weights)
        require(some, f"{when}, the gradient of {name} is 0")


def make_stfts(network: Network, n_frames: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Make the STFTs of clips of noise, padded with zeros to the longest."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(n_frames), 1, max(n_frames), network.get_input().stft.n_bins, 2)
    stft = torch.randn(shape, generator=generator)
    for row, n in zip(stft, n_frames, strict=True):
        row[:, n:] = 0
    return stft, torch.tensor(n_frames)


def pad_stfts(stft: Tensor, n_frames: int) -> Tensor:
    """Pad the STFTs of a batch by more frames."""
    return F.pad(stft, (0, 0, 0, 0, 0, n_frames))


def edge_lengths(network: Network) -> list[int]:
    """Return numbers of frames at which the number of segments changes."""
    length, step, *_ = network.get_grid()
    return [length + 3 * step + 1, length + 3 * step, length + 1, length, max(1, length - 1), 1]


def make_trained(network: Network, n_events: int = N_EVENTS) -> NetworkModule:
    """Build a module in evaluation mode, with the statistics of some clips."""
    module = network.build(n_events)
    module.train()
    with torch.no_grad():
        for seed in range(3):
            module(*make_stfts(network, [network.get_grid().length * 3] * 4, seed))
    return module.eval()


def compute_loss(network: Network, module: NetworkModule, inputs: tuple[Tensor, Tensor]) -> Tensor:
    """Compute the mean loss. Every second target is 1."""
    scores, outputs = module.training_outputs(*inputs)
    targets = (torch.arange(scores.numel()).view(scores.shape) % 2).float()
    loss = network.criterion(reduction="none")(outputs, targets)
    require(loss.shape == scores.shape, f"the loss has shape {tuple(loss.shape)}")
    require(loss.isfinite().all(), "the loss is not finite")
    return loss.mean()


def get_head(network: Network, module: NetworkModule) -> nn.Module:
    try:
        return module.get_submodule(network.head_name)
    except AttributeError as error:
        raise AssertionError(
            f"head_name={network.head_name!r} is no layer of the module"
        ) from error


def copy_state(module: NetworkModule) -> dict[str, Tensor]:
    """Copy all parameters and buffers, including those that the state dict leaves out."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in tensors}


def changed_tensors(module: NetworkModule, before: dict[str, Tensor]) -> list[str]:
    """Return the names of the tensors of a module that have changed."""
    now = copy_state(module)
    names = now.keys() | before.keys()
    return sorted(
        name
        for name in names
        if name not in now or name not in before or not torch.equal(now[name], before[name])
    )


@contextmanager
def global_generators_are_not_used(where: str) -> Iterator[None]:
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    yield
    require(torch.equal(before[0], torch.get_rng_state()), f"{where} uses PyTorch's generator")
    require(before[1] == str(np.random.get_state()), f"{where} uses NumPy's generator")  # noqa: NPY002
    require(before[2] == random.getstate(), f"{where} uses Python's generator")


@contextmanager
def uninitialized_memory_is_nan() -> Iterator[None]:
    """Let PyTorch fill new memory with NaN, which otherwise often happens to be 0."""
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
