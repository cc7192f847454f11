"""Checks of networks in training, of their weights and their precision."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from sktagger.networks._check_tools import (
    N_EVENTS,
    changed_tensors,
    compute_loss,
    copy_state,
    edge_lengths,
    get_head,
    make_stfts,
    make_trained,
    pad_stfts,
    require,
    require_close,
    require_gradients,
)
from sktagger.networks._protocol import Network


def check_padding_in_training(network: Network) -> None:
    """More padding changes neither scores nor statistics in training. Dropout is off here.

    Batch normalization amplifies errors of rounding. Clips are therefore long, and there is so much
    padding that the effect of a fault would be larger.
    """
    length = network.get_grid().length
    lengths = [5 * length, 5 * length - 1, 4 * length, 3 * length]
    stft, n_frames = make_stfts(network, lengths)
    modules = []
    for x in (stft, pad_stfts(stft, max(lengths))):
        module = network.build(N_EVENTS).train()
        for part in module.modules():
            if isinstance(part, nn.modules.dropout._DropoutNd):
                part.eval()
        modules.append((module, module(x, n_frames)))
    (module, scores), (padded_module, padded_scores) = modules
    require_close(padded_scores, scores, "a training batch with more padding", 0.01)
    state, padded = module.state_dict(), padded_module.state_dict()
    for name, tensor in state.items():
        same = torch.allclose(padded[name].double(), tensor.double(), rtol=0.01, atol=0.01)
        require(same, f"in training, padding changes {name}")


def check_stages(network: Network) -> None:
    """Front end, stages and head have all weights, each once."""
    module = network.build(N_EVENTS)
    require(len(module.stages) == network.n_stages, "n_stages is not the number of stages")
    parts = [*module.front_end, *module.stages, get_head(network, module)]
    weights = [id(weight) for part in parts for weight in part.parameters()]
    require(len(set(weights)) == len(weights), "a weight belongs to two stages")
    missing = [name for name, weight in module.named_parameters() if id(weight) not in weights]
    require(not missing, f"weights belong to no stage: {missing}")


@torch.no_grad()
def check_training_outputs(network: Network) -> None:
    """What training computes beside the loss are the scores of the clips."""
    module = make_trained(network)
    inputs = make_stfts(network, edge_lengths(network))
    scores, outputs = module.training_outputs(*inputs)
    require_close(scores, module(*inputs), "scores in training and forward")
    require(outputs.shape[:2] == scores.shape, "the loss gets other clips or events than scores")
    alone = [
        module.training_outputs(stft[None, :, :n], n[None])[1]
        for stft, n in zip(*inputs, strict=True)
    ]
    scale = outputs.abs().max().item() + 1
    require_close(torch.cat(alone) / scale, outputs / scale, "the loss of a clip alone")


def check_gradients(network: Network) -> None:
    """In training, all weights of stages and head have finite gradients, the front end none."""
    module = network.build(N_EVENTS)
    inputs = make_stfts(network, edge_lengths(network))
    with torch.inference_mode():  # nothing of it may be kept for training
        module.eval()(*inputs)
    module.train()
    try:
        compute_loss(network, module, inputs).backward()
    except RuntimeError as error:
        raise AssertionError(f"training fails after evaluation: {error}") from error
    for part in module.front_end:
        none = all(weight.grad is None for weight in part.parameters())
        require(none, "the front end has a gradient")
    require_gradients([*module.stages, get_head(network, module)], "in training")


def check_freezing(network: Network) -> None:
    """Frozen stages get no gradient, and neither their weights nor their statistics change."""
    n_stages = network.n_stages
    inputs = make_stfts(network, edge_lengths(network))
    for n_frozen in sorted({min(1, n_stages), n_stages // 2, n_stages} - {0}):
        when = f"with {n_frozen} frozen stages"
        module = network.build(N_EVENTS).train()
        frozen = [*module.front_end, *module.stages[:n_frozen]]
        others = [*module.stages[n_frozen:], get_head(network, module)]
        for part in frozen:
            part.requires_grad_(False).eval()
        before = copy_state(module)
        compute_loss(network, module, inputs).backward()
        for part in frozen:
            none = all(weight.grad is None for weight in part.parameters())
            require(none, f"{when}, one of them has a gradient")
        require_gradients(others, when)
        free = {id(x) for part in others for x in (*part.parameters(), *part.buffers())}
        tensors = dict([*module.named_parameters(), *module.named_buffers()])
        changed = changed_tensors(module, before)
        wrong = [name for name in changed if id(tensors[name]) not in free]
        require(not wrong, f"{when}, training changes {wrong}")


@torch.no_grad()
def check_state(network: Network) -> None:
    """The state dict determines the scores, and a module can be copied."""
    module = make_trained(network)
    inputs = make_stfts(network, edge_lengths(network))
    scores = module(*inputs)
    loaded = network.build(N_EVENTS, random_state=1).eval()
    loaded.load_state_dict(module.state_dict())
    require(torch.equal(loaded(*inputs), scores), "scores depend on more than the state dict")
    copied = copy.deepcopy(module)
    require(torch.equal(copied(*inputs), scores), "a copy of the module has other scores")


def check_bfloat16(network: Network) -> None:
    """In bfloat16, scores are close to those in float32; weights and gradients are float32."""
    module = make_trained(network)
    inputs = make_stfts(network, edge_lengths(network))
    types = {name: tensor.dtype for name, tensor in module.state_dict().items()}
    with torch.no_grad():
        expected = module(*inputs)
        module.set_precision("bfloat16")
        scores, (embeddings, _) = module(*inputs), module.segment_embeddings(*inputs)
        module.set_precision("float32")
        require(torch.equal(module(*inputs), expected), "float32 after bfloat16 changes scores")
    for what, x in {"scores": scores, "embeddings": embeddings}.items():
        require(x.dtype == torch.float32, f"{what} in bfloat16 have type {x.dtype}")
    require_close(scores, expected, "bfloat16 and float32", 0.05)
    module = network.build(N_EVENTS, precision="bfloat16").train()
    require(module.precision == "bfloat16", "build does not set the precision")
    compute_loss(network, module, inputs).backward()
    require_gradients([*module.stages, get_head(network, module)], "in bfloat16")
    for name, tensor in module.state_dict().items():
        require(tensor.dtype == types[name], f"{name} in bfloat16 has type {tensor.dtype}")
        require(tensor.isfinite().all(), f"{name} in bfloat16 is not finite")


def check_adjustable_settings(network: Network) -> None:
    """Settings that can be changed after training are set in the module, and nothing else."""
    module = network.build(N_EVENTS)
    before = copy_state(module)
    for name in network.adjustable:
        setattr(module, name, None)
    module.adjust(network)
    for name in network.adjustable:
        same = np.all(getattr(module, name) == getattr(network, name))
        require(same, f"adjust does not set {name}")
    require(not changed_tensors(module, before), "adjust changes weights")
