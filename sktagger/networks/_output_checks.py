"""Checks of the outputs of layers, and of the head."""

from __future__ import annotations

import torch

from sktagger.networks._check_tools import (
    N_EVENTS,
    edge_lengths,
    get_head,
    make_stfts,
    make_trained,
    require,
    require_close,
)
from sktagger.networks._protocol import Network


@torch.no_grad()
def check_embeddings(network: Network) -> None:
    """Embeddings have one column per segment, of the size that the head takes."""
    module = make_trained(network)
    stft, n_frames = make_stfts(network, edge_lengths(network))
    embeddings, n_segments = module.segment_embeddings(stft, n_frames)
    scores, expected = module.segment_scores(stft, n_frames)
    require(n_segments.tolist() == expected.tolist(), "embeddings are not those of the segments")
    require(embeddings.shape[::2] == scores.shape[::2], "embeddings are not one per segment")
    weight = module.state_dict()[f"{network.head_name}.weight"]
    n_features = weight.shape[1]
    require(embeddings.shape[1] == n_features, "embeddings have another size than the head takes")
    require(embeddings.dtype == torch.float32, f"embeddings have type {embeddings.dtype}")
    require(embeddings.isfinite().all(), "embeddings are not finite")
    for row, n in zip(embeddings, n_segments.tolist(), strict=True):
        require(not row[:, n:].any(), "embeddings beyond the segments of a clip are not 0")


@torch.no_grad()
def check_layers(network: Network) -> None:
    """Outputs of layers exist for clips and segments, and do not depend on padding."""
    module = make_trained(network)
    lengths = edge_lengths(network)
    stft, n_frames = make_stfts(network, lengths)
    scores, expected = module.segment_scores(stft, n_frames)
    layers = network.layers
    require(len(layers) >= 2 and layers[-1] == "logits", f"layers={layers} do not end in logits")
    for layer in layers:
        outputs, n_segments = module.segment_outputs(layer, stft, n_frames)
        require(n_segments.tolist() == expected.tolist(), f"{layer} is not that of the segments")
        require(outputs.shape[::2] == scores.shape[::2], f"{layer} has not one column per segment")
        clips = module.clip_outputs(layer, stft, n_frames)
        require(clips.shape == outputs.shape[:2], f"{layer} of clips has another size")
        for x in (outputs, clips):
            require(x.dtype == torch.float32, f"{layer} has type {x.dtype}")
            require(x.isfinite().all(), f"{layer} is not finite")
        for row, n in zip(outputs, n_segments.tolist(), strict=True):
            require(not row[:, n:].any(), f"{layer} beyond the segments of a clip is not 0")
        scale = clips.abs().max().item() + 1
        for i, n in enumerate(lengths):
            alone = module.clip_outputs(layer, stft[i : i + 1, :, :n], n_frames[i : i + 1])
            require_close(alone[0] / scale, clips[i] / scale, f"{layer} alone and in a batch")
        pooled = module.pool_segments(layer, *module.segment_features(layer, stft, n_frames))
        require_close(pooled / scale, clips / scale, f"{layer} of clips, pooled from segments")
    pooled = module.pool_segments(None, *module.segment_features(None, stft, n_frames))
    require_close(pooled, module(stft, n_frames), "scores of clips, pooled from segments")
    for row, of_clip, n in zip(scores, outputs, expected.tolist(), strict=True):
        require_close(of_clip[:, :n].sigmoid(), row[:, :n], "logits and scores of segments")


@torch.no_grad()
def check_scores_and_embeddings(network: Network) -> None:
    """Scores and embeddings that are computed at once are those that are computed alone."""
    module = make_trained(network)
    inputs = make_stfts(network, edge_lengths(network))
    features = module.segment_features("embedding", *inputs)
    scores, embeddings = module.scores_and_embeddings(*features)
    alone = module.clip_outputs("embedding", *inputs)
    scale = alone.abs().max().item() + 1
    require_close(scores, module(*inputs), "scores of clips beside embeddings")
    require_close(embeddings / scale, alone / scale, "embeddings of clips beside scores")
    scores, embeddings = module.segment_scores_and_embeddings(*features)
    alone, _ = module.segment_outputs("embedding", *inputs)
    scale = alone.abs().max().item() + 1
    require_close(scores, module.segment_scores(*inputs)[0], "scores of segments beside embeddings")
    require_close(embeddings / scale, alone / scale, "embeddings of segments beside scores")


@torch.no_grad()
def check_new_head(network: Network) -> None:
    """A head that is set computes weight times embedding plus bias, if it is linear."""
    module = make_trained(network)
    inputs = make_stfts(network, edge_lengths(network))
    layer = network.layers[-2]
    embeddings, n_segments = module.segment_outputs(layer, *inputs)
    weight = torch.linspace(-1, 1, N_EVENTS * embeddings.shape[1]).view(N_EVENTS, -1) / 10
    bias = torch.arange(N_EVENTS).float() - 1
    module.set_head(weight, bias)
    if not module.linear_head:
        return
    expected = torch.einsum("ef,cfs->ces", weight, embeddings) + bias[:, None]
    logits, _ = module.segment_outputs("logits", *inputs)
    scale = expected.abs().max().item() + 1
    for got, wanted, n in zip(logits, expected, n_segments.tolist(), strict=True):
        require_close(got[:, :n] / scale, wanted[:, :n] / scale, "the head that was set")
    if module.pools_embeddings:
        expected = module.clip_outputs(layer, *inputs) @ weight.T + bias
        logits = module.clip_outputs("logits", *inputs)
        require_close(logits / scale, expected / scale, "the head that was set, for clips")


@torch.no_grad()
def check_head(network: Network) -> None:
    """Row k of the head belongs to event k: fine-tuning matches rows by event."""
    module = make_trained(network)
    inputs = make_stfts(network, edge_lengths(network))
    tensors = list(get_head(network, module).parameters())
    for tensor in tensors:  # rows that differ, biases included
        tensor += 0.1 * torch.arange(N_EVENTS).view(-1, *[1] * (tensor.ndim - 1))
    scores = module(*inputs)
    for tensor in tensors:
        tensor.copy_(tensor.roll(1, 0))
    require_close(module(*inputs), scores.roll(1, 1), "row k of the head is not that of event k")
