"""CRNN: sizes, names, scores and loss, and that it learns when events occur."""

import numpy as np
import pandas as pd
import pytest
import torch
from _fbcrnn_reference import pb_sed_shapes
from _tones import make_tones
from sklearn.metrics import roc_auc_score
from torch import nn

from sktagger import AudioTagger, Augmentation
from sktagger.networks import CRNN, FBCRNN
from sktagger.networks._check_tools import make_stfts, make_trained
from sktagger.networks._fbcrnn_layers import CNN, LAYOUTS

SMALL = CRNN(sample_rate=2000)
SETTINGS = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "verbose": 0}
SIZES = [("shallow", 1, 3_879_994, 3_899_354), ("deep", 2, 16_763_754, 16_802_474)]


def count(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("depth", "width", "n_weights", "n_with_tags"), SIZES)
def test_numbers_of_weights_are_the_published_ones(depth, width, n_weights, n_with_tags):
    module = CRNN(depth=depth, width=width).build(10)
    assert count(module) == n_weights
    # tags would be further inputs of both stacks of convolutions and of the GRU
    gru = nn.GRU(256 * width + 10, 256 * width, 2, bidirectional=True)
    with_tags = count(CNN(LAYOUTS[depth], width, n_tags=10)) + count(gru)
    assert n_weights - count(module.cnn) - count(module.rnn.rnn) + with_tags == n_with_tags


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
