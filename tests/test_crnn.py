"""CRNN: sizes, names, scores and loss, and that it learns when events occur."""

import numpy as np
import pandas as pd
import pytest
import torch
from _fbcrnn_reference import pb_sed_shapes
from _tones import make_tones
from sklearn.metrics import roc_auc_score

from sktagger import AudioTagger, Augmentation
from sktagger.networks import CRNN, FBCRNN, Frames
from sktagger.networks._check_tools import make_stfts, make_trained
from sktagger.networks._fbcrnn_layers import norm_relu

SMALL = CRNN(sample_rate=2000)
SETTINGS = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "verbose": 0}
SIZES = [("shallow", 1, 3_879_994, 3_899_354), ("deep", 2, 16_763_754, 16_802_474)]


def count(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("depth", "width", "n_weights", "n_with_tags"), SIZES)
def test_numbers_of_weights_are_the_published_ones(depth, width, n_weights, n_with_tags):
    module = CRNN(depth=depth, width=width).build(10)
    assert count(module) == n_weights
    conditioned = CRNN(depth=depth, width=width, tag_conditioned=True).build(10)
    assert count(conditioned) - count(conditioned.first_stage) == n_with_tags


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_names_of_weights_are_the_published_ones(depth):
    published = {k for k in pb_sed_shapes(3, depth) if not k.startswith("rnn_")}
    for layer in ("l0", "l0_reverse", "l1", "l1_reverse"):
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            published.add(f"rnn.rnn.{part}_{layer}")
    for part in ("gamma", "beta", "num_tracked_values", "running_mean", "running_power"):
        published.add(f"rnn.output_net.convs.0.norm.{part}")
    for layer in (0, 1):
        published |= {f"rnn.output_net.convs.{layer}.conv.{part}" for part in ("weight", "bias")}
    assert CRNN(depth=depth).shapes(3).keys() == published


@pytest.mark.parametrize(("depth", "width"), [size[:2] for size in SIZES])
def test_weights_tell_the_settings(depth, width):
    state = CRNN(depth=depth, width=width).shapes(3)
    found = CRNN.identify(state)
    assert (found.depth, found.width) == (depth, width)
    assert FBCRNN.identify(state) is None
    assert CRNN.identify(FBCRNN(depth=depth).shapes(3)) is None
    state["cnn.cnn_2d.convs.0.conv.weight"] = torch.zeros(16 * width, 4, 3, 3)
    with pytest.raises(ValueError, match=r"'a\.pt' holds weights .* 4 input channels"):
        CRNN.identify(state, "a.pt")


@torch.no_grad()
def test_scores_are_those_of_each_clip_in_plain_layers():
    module = make_trained(SMALL)
    stft, n_frames = make_stfts(SMALL, [23, 17, 1])
    scores, _ = module.segment_scores(stft, n_frames)
    clip_scores = module(stft, n_frames)
    features, _ = module.segment_features(None, stft, n_frames)
    layer, last = module.rnn.output_net.convs
    norm = layer.norm
    for row, n in enumerate(n_frames.tolist()):
        states, _ = module.rnn.rnn(features[row, :, :n].T[:, None])  # of one clip, not padded
        x = states[:, 0] @ layer.conv.weight[:, :, 0].T + layer.conv.bias
        x = (x - norm.running_mean.flatten()) / (norm.running_variance().flatten() + 1e-3).sqrt()
        x = (x * norm.gamma.flatten() + norm.beta.flatten()).relu()
        logits = x @ last.conv.weight[:, :, 0].T + last.conv.bias
        torch.testing.assert_close(scores[row, :, :n], logits.sigmoid().T, atol=1e-5, rtol=0)
        torch.testing.assert_close(clip_scores[row], logits.sigmoid().amax(0), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("time_pooling", [1, 2])
def test_loss_is_the_cross_entropy_of_frames_of_known_events(time_pooling):
    network = CRNN(sample_rate=2000, time_pooling=time_pooling)
    module = make_trained(network)
    stft, n_frames = make_stfts(network, [22, 13])
    scores, n_segments = module.segment_scores(stft, n_frames)
    # clip 0: event 0 active, event 1 occurs at unknown times, event 2 absent; clip 1: 2 is active
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    activity = torch.zeros(2, 3, 32)
    activity[0, 0, 5:9] = 1
    activity[1, 2, [0, 12]] = 1
    _, outputs = module.training_outputs(stft, n_frames, activity)
    loss = network.criterion(reduction="none")(outputs, targets)
    expected = np.zeros((2, 3))
    for clip, event in np.ndindex(2, 3):
        if (clip, event) == (0, 1):
            continue  # left out
        n = int(n_segments[clip])
        for segment in range(n):
            frames = activity[clip, event, segment * time_pooling : (segment + 1) * time_pooling]
            y = scores[clip, event, segment].double().item()
            expected[clip, event] -= np.log(y if frames.any() else 1 - y) / n
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-4)


def make_conditioned():
    """A module whose first stage finds each of two events in one of two clips."""
    network = CRNN(sample_rate=2000, tag_conditioned=True)
    stft, n_frames = make_stfts(network, [23, 17])
    module, first = make_trained(network, 2), make_trained(FBCRNN(sample_rate=2000), 2)
    with torch.no_grad():
        module.set_first_stage(first.state_dict(), first(stft, n_frames).mean(0))
    return module, first, stft, n_frames


@torch.no_grad()
def test_tags_are_inputs_of_both_stacks_and_of_the_recurrent_layers():
    module, _, stft, n_frames = make_conditioned()
    tags = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    features, n_segments = module.segment_features(None, stft, n_frames, tags)
    x = module.features(stft, n_frames)
    for row, n in enumerate(n_frames.tolist()):
        constant = tags[row, :, None, None].expand(2, 128, n)
        first = module.cnn.cnn_2d.convs[0].conv(torch.cat([x[row, :, :, :n], constant])[None])
        chunks, frames = [first], [Frames.of(n_frames[row : row + 1], n)]
        for i, layer in enumerate(module.cnn.cnn_2d.convs):
            chunks = layer(chunks, frames) if i else chunks
            if i in module.cnn.pools:
                chunks = [torch.max_pool2d(x, (2, 1)) for x in chunks]
        chunks = norm_relu(module.cnn.cnn_2d.output_norm, chunks, frames)
        flat = torch.cat([chunks[0].flatten(1, 2), tags[row, None, :, None].expand(1, 2, n)], 1)
        for i, layer in enumerate(module.cnn.cnn_1d.convs):
            if i:
                flat = norm_relu(layer.norm, [flat[:, :, None]], frames)[0][:, :, 0]
            flat = layer.conv(flat)
        flat = norm_relu(module.cnn.cnn_1d.output_norm, [flat[:, :, None]], frames)[0][0, :, 0]
        torch.testing.assert_close(features[row, :256, :n], flat, atol=1e-4, rtol=1e-4)
        assert torch.equal(features[row, 256:, :n], tags[row, :, None].expand(2, n))
    scores, _ = module.segment_scores(stft, n_frames, tags=tags)
    expected, _ = module.segment_scores_and_embeddings(features, n_segments)
    torch.testing.assert_close(scores, expected)


@torch.no_grad()
def test_tags_are_those_that_the_first_stage_finds():
    module, first, stft, n_frames = make_conditioned()
    tags = module.predict_tags(stft, n_frames)
    assert tags.sum(0).tolist() == [1, 1]
    scores = first(stft, n_frames)
    assert torch.equal(tags > 0, scores == scores.amax(0))
    assert torch.equal(module(stft, n_frames), module(stft, n_frames, tags=tags))
    assert not torch.equal(module(stft, n_frames), module(stft, n_frames, tags=1 - tags))
    module.set_first_stage(first.state_dict(), torch.tensor([0.0, 1.0]))
    assert module.predict_tags(stft, n_frames).tolist() == [[1, 0], [1, 0]]


def test_training_leaves_the_first_stage_as_it_is():
    module, first, stft, n_frames = make_conditioned()
    module.requires_grad_(True).train()
    scores, _ = module.training_outputs(stft, n_frames, tags=torch.ones(2, 2))
    scores.sum().backward()
    assert not any(part.training for part in module.first_stage.modules())
    assert all(weight.grad is None for weight in module.first_stage.parameters())
    assert not any(weight.requires_grad for weight in module.first_stage.parameters())
    for name, tensor in first.state_dict().items():
        assert torch.equal(module.first_stage.state_dict()[name], tensor)
    assert module.cnn.cnn_2d.convs[0].conv.weight.grad[:, 1:].any()


def test_a_first_stage_is_needed():
    X, Y, events = make_tones(4)
    tagger = AudioTagger(CRNN(sample_rate=2000, tag_conditioned=True), **SETTINGS)
    with pytest.raises(ValueError, match=r"tag_conditioned=True\) takes tags .*StrongLabelTagger"):
        tagger.fit(X, Y, events=events)


def test_event_of_unknown_times_has_no_gradient():
    module = SMALL.build(2)
    inputs = make_stfts(SMALL, [20])
    _, outputs = module.training_outputs(*inputs)
    loss = SMALL.criterion(reduction="none")(outputs, torch.tensor([[1.0, 0.0]])).sum()
    loss.backward()
    gradient = module.classifier.weight.grad[..., 0]
    assert not gradient[0].any()
    assert gradient[1].any()


def test_loss_of_certain_scores_is_finite():
    module = make_trained(SMALL, 2)
    module.set_head(torch.full((2, 256), 100.0), torch.zeros(2))
    scores, outputs = module.training_outputs(*make_stfts(SMALL, [20]))
    assert scores.max() == 1
    assert outputs.isfinite().all()


def test_checkpoint_of_these_names_is_read(tmp_path):
    module = CRNN().build(2)
    torch.save({"model": module.state_dict()}, tmp_path / "ckpt.pth")
    tagger = AudioTagger.from_checkpoint(tmp_path / "ckpt.pth", classes=["a", "b"])
    assert isinstance(tagger.network, CRNN)
    for name, tensor in tagger.module_.state_dict().items():
        assert torch.equal(tensor, module.state_dict()[name])


def test_onsets_are_needed():
    X, Y, events = make_tones(4)
    tagger = AudioTagger(SMALL, **SETTINGS)
    for given in (None, events[:0], [events[:0]] * 4):
        with pytest.raises(ValueError, match="CRNN learns from onsets and offsets, but events has"):
            tagger.fit(X, Y, events=given)


def test_it_learns_when_events_occur(tmp_path):
    X, Y, events = make_tones(8)
    settings = {**SETTINGS, "max_epochs": 12, "augmentation": Augmentation.fbcrnn_reference()}
    tagger = AudioTagger(SMALL, **settings).fit(X, Y, events=events)
    tables = tagger.predict_segments(X)
    active = np.zeros((8, 50, 2), int)
    centers = (np.arange(50) + 0.5) * 0.02
    for clip, onset, offset, event in events.itertuples(index=False):
        active[clip, (centers >= onset) & (centers < offset), "ab".index(event)] = 1
    assert [len(table) for table in tables] == [50] * 8
    scores = np.concatenate([table.to_numpy() for table in tables])
    for event in range(2):
        assert roc_auc_score(active[..., event].ravel(), scores[:, event]) > 0.9
    expected = [table.to_numpy().max(0) for table in tables]
    np.testing.assert_allclose(tagger.predict_proba(X), expected, atol=1e-5)
    tagger.save(tmp_path / "tagger.safetensors")
    loaded = AudioTagger.load(tmp_path / "tagger.safetensors")
    assert isinstance(loaded.network, CRNN)
    pd.testing.assert_frame_equal(loaded.predict_segments(X)[0], tables[0])
