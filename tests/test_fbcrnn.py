"""FBCRNN against the published numbers, and against plain layers."""

import numpy as np
import pytest
import torch
from _fbcrnn_reference import pb_sed_shapes, pb_sed_state, plain_scores, published  # noqa: F401
from torch import nn
from torch.nn import functional as F

from sktagger.networks import FBCRNN, Frames
from sktagger.networks._fbcrnn_loss import FrameCrossEntropy
from sktagger.networks._gru import reverse_order, run_both

N_EVENTS = 5
VARIANTS = {"shallow": ("", 11), "deep": ("deep.", 12)}  # prefix and seed of the published numbers


def build(state, **settings):
    """Build a module with weights of pb_sed."""
    network = FBCRNN(**settings)
    module = network.build(N_EVENTS)
    module.load_state_dict(network.convert(state))
    return module.eval()


@pytest.fixture(scope="module", params=list(VARIANTS))
def case(request, published):  # noqa: F811
    """Module in evaluation, input, and the published numbers of a depth."""
    prefix, seed = VARIANTS[request.param]
    module = build(pb_sed_state(seed, request.param), depth=request.param)
    numbers = {k.removeprefix(prefix): x for k, x in published.items() if k.startswith(prefix)}
    stft = torch.from_numpy(published["stft"].astype(np.float32))
    return module, stft, torch.from_numpy(published["seq_len"]), numbers


@pytest.fixture(scope="module")
def features(case):
    with torch.no_grad():
        return case[0].segment_features(None, case[1], case[2])


def close(got, expected, atol):
    got = got.detach().numpy() if isinstance(got, torch.Tensor) else got
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


# The published numbers


@torch.no_grad()
def test_published_features(case):
    module, stft, n_frames, numbers = case
    if "features" not in numbers:
        pytest.skip("the features of the deep network are not published")
    close(module.features(stft.clone(), n_frames), numbers["features"], 2e-5)


@torch.no_grad()
def test_published_scores(case, features):
    module, numbers = case[0], case[3]
    forward, backward = module.frame_scores(*features)
    close(forward, numbers["y_fwd"], 1e-5)
    close(backward, numbers["y_bwd"], 1e-5)
    close(module.pool_segments(None, *features), numbers["clip_scores"], 1e-5)
    module.score_window = None
    close(module.segment_scores_and_embeddings(*features)[0], numbers["boundary_scores"], 1e-5)


@pytest.mark.parametrize(("width", "step"), [(11, 1), (51, 1), (20, 20), (50, 50), (25, 5)])
@torch.no_grad()
def test_published_scores_of_windows(case, features, width, step):
    module, n_frames, numbers = case[0], case[2], case[3]
    scores = module.window_scores(*features, width, step)
    name = f"sed_w{width}_s{step}"
    expected = numbers[name]
    for own, other, n, n_windows in zip(
        scores, expected, n_frames, numbers[f"{name}_len"], strict=True
    ):
        n_own = -(-int(n) // step)
        assert n_own == n_windows
        close(own[:, :n_own], other[:, :n_own], 1e-5)
        assert not own[:, n_own:].any()


@torch.no_grad()
def test_published_scores_of_windows_per_event(case, features):
    module, n_frames, numbers = case[0], case[2], case[3]
    module.score_window = numbers["sed_windows"].tolist()
    scores, _ = module.segment_scores_and_embeddings(*features)
    for own, other, n in zip(scores, numbers["sed_per_event"], n_frames, strict=True):
        close(own[:, :n], other[:, :n], 1e-5)


@torch.no_grad()
def test_published_loss_in_evaluation(case, features, published):  # noqa: F811
    _, likelihoods = case[0].pool_for_loss(*features)
    loss = FrameCrossEntropy()(likelihoods, torch.from_numpy(published["weak_targets"]))
    close(loss, case[3]["loss_weak_eval"], 1e-6)


@pytest.fixture
def trained(case, published):  # noqa: F811
    """A function that computes the loss of a batch with all gradients, and its module."""
    _, stft, n_frames, numbers = case
    seed = int(numbers["seed"])
    depth = next(depth for depth, (_, own) in VARIANTS.items() if own == seed)
    module = build(pb_sed_state(seed, depth), depth=depth).train()
    targets = torch.from_numpy(published["weak_targets"])
    known = torch.from_numpy(published["boundary_targets"].astype(np.float32))
    activity = known.masked_fill(known == 0.5, 0.0)  # events without onsets are never active

    def compute(labels="weak"):
        module.zero_grad()
        given = activity if labels == "strong" else None
        _, likelihoods = module.training_outputs(stft.clone(), n_frames, given)
        loss = FrameCrossEntropy()(likelihoods, targets)
        loss.backward()
        return loss.item()

    return compute, module


@pytest.mark.parametrize("labels", ["weak", "strong"])
def test_published_loss_and_gradients(case, trained, labels):
    numbers, (compute, module) = case[3], trained
    close(compute(labels), numbers[f"loss_{labels}_train"], 1e-6)
    norms = {name: p.grad.norm().item() for name, p in module.named_parameters()}
    total = numbers[f"grad_norm_{labels}"]
    close(np.linalg.norm(list(norms.values())), total, 2e-4 * total)
    expected = dict(zip(numbers["param_keys"], numbers[f"grad_norms_{labels}"], strict=True))
    for kind in ("weight", "bias"):  # pb_sed has a head for each direction
        names = [f"rnn_{way}.output_net.convs.1.conv.{kind}" for way in ("fwd", "bwd")]
        expected[f"classifier.{kind}"] = np.linalg.norm([expected.pop(name) for name in names])
    assert norms.keys() == expected.keys()
    # where both directions or two frames are nearly equal, rounding decides which one gets the
    # gradient: those in float64 differ from the published ones by as much
    close([norms[k] - expected[k] for k in norms], 0.0, 5e-4 * total)


def test_published_statistics_and_loss_after_a_step(case, trained):
    numbers, (compute, module) = case[3], trained
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-4)
    compute()
    buffers = dict(module.named_buffers())
    after = [name for name in numbers if name.startswith("after_step.")]
    assert len(after) == 11
    for name in after:
        # of the front, whose values are large, the mean of log powers near -5
        close(buffers[name.removeprefix("after_step.")], numbers[name], 1e-5)
    optimizer.step()
    # a gradient near 0 can have another sign, and moves a weight by 2 * lr
    close(compute(), numbers["loss_weak_train_after_adam_step"], 2e-4)


@pytest.mark.parametrize(
    ("settings", "n_events", "expected"),
    [
        ({}, 10, 3_490_116),
        ({}, 527, 3_755_854),
        ({"depth": "deep", "width": 2}, 10, 15_197_556),
        ({"depth": "deep", "width": 2}, 527, 15_727_998),
        ({"depth": "deep"}, 10, 3_811_268),
    ],
)
def test_published_numbers_of_parameters(settings, n_events, expected):
    with torch.device("meta"):
        module = FBCRNN(**settings)._make(n_events)
    assert sum(p.numel() for p in module.parameters()) == expected


# Against plain layers


@pytest.fixture(scope="module")
def spectra():
    """STFTs of clips, and their numbers of frames."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 1, 40, 513, 2, generator=generator), torch.tensor([40, 1, 23])


@pytest.mark.parametrize("depth", list(VARIANTS))
@torch.no_grad()
def test_scores_are_those_of_plain_layers_on_single_clips(depth, spectra):
    state = pb_sed_state(3, depth)
    module = build(state, depth=depth)
    stft, n_frames = spectra
    features = module.features(stft.clone(), n_frames)
    forward, backward = module.frame_scores(*module.segment_features(None, *spectra))
    clips = module(*spectra)
    for i, n in enumerate(n_frames):
        expected = plain_scores(features[i, 0, :, :n], state, depth)
        for own, other in zip((forward, backward), expected, strict=True):
            close(own[i, :, :n].T, other, 1e-5)
            assert not own[i, :, n:].any()
        close(clips[i], (expected[0][-1] + expected[1][0]) / 2, 1e-5)


@torch.no_grad()
def test_a_window_is_scored_like_a_clip_of_features(spectra):
    state = pb_sed_state(3)
    module = build(state, score_window=[5, 8, 5, 5, 1])
    hidden, n = module.segment_features(None, *spectra)
    scores, _ = module.segment_scores_and_embeddings(hidden, n)
    for k, width in enumerate(module.score_window):
        for frame in (0, 7, 39):
            first = frame - (width - 1) // 2
            window = torch.zeros(1, hidden.shape[1], width)
            for i in range(width):
                if 0 <= first + i < 40:
                    window[0, :, i] = hidden[0, :, first + i]
            expected = module.pool_segments(None, window, torch.tensor([width]))
            close(scores[0, k, frame], expected[0, k], 1e-5)


@torch.no_grad()
def test_without_windows_the_lower_score_of_both_directions_counts(spectra):
    module = build(pb_sed_state(3), score_window=None)
    hidden, n = module.segment_features(None, *spectra)
    scores, _ = module.segment_scores_and_embeddings(hidden, n)
    close(scores, torch.minimum(*module.frame_scores(hidden, n)), 0)


def test_loss_is_that_of_the_formula(spectra):
    """Frame by frame: the higher score of both directions against the label of the clip."""
    module = build(pb_sed_state(3))
    targets = (torch.arange(15).view(3, 5) % 2).float()
    targets[1, 2] = 0.3
    hidden, n = module.segment_features(None, *spectra)
    forward, backward = module.frame_scores(hidden, n)
    scores, likelihoods = module.pool_for_loss(hidden, n)
    close(scores, module.pool_segments(None, hidden, n).detach(), 1e-6)
    got = FrameCrossEntropy(reduction="none")(likelihoods, targets)
    for i, k in np.ndindex(3, 5):
        y = torch.maximum(forward, backward)[i, k, : n[i]]
        expected = F.binary_cross_entropy(y, targets[i, k].expand_as(y))
        close(got[i, k], expected.item(), 1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_loss_of_onsets_is_that_of_the_formula(spectra, weight):
    """From the first onset on, forward must be 1; up to the last offset, backward must be."""
    module = build(pb_sed_state(3), boundary_weight=weight)
    targets = torch.tensor([1.0, 1, 1, 0, 0]).expand(3, 5)
    activity = torch.zeros(3, 5, 40)
    activity[0, 0, 5:9] = 1
    activity[0, 0, 20:22] = 1
    activity[2, 1, 22:] = 1  # its last frame
    hidden, n = module.segment_features(None, *spectra)
    forward, backward = module.frame_scores(hidden, n)
    weak = module.pool_for_loss(hidden, n)[1]
    likelihoods = module.pool_for_loss(hidden, n, activity)[1]
    got = FrameCrossEntropy(reduction="none")(likelihoods, targets)
    expected = FrameCrossEntropy(reduction="none")(weak, targets)
    for i, k, onset, offset in [(0, 0, 5, 22), (2, 1, 22, 23)]:
        place = torch.arange(int(n[i]))
        by_forward = F.binary_cross_entropy(forward[i, k, : n[i]], (place >= onset).float())
        by_backward = F.binary_cross_entropy(backward[i, k, : n[i]], (place < offset).float())
        strong = (by_forward + by_backward) / 2
        expected[i, k] = weight * strong + (1 - weight) * expected[i, k]
    close(got, expected.detach(), 1e-5)


@pytest.mark.parametrize("n_frames", [[6, 6], [9, 1], [1]])
def test_recurrent_layers_are_those_of_pytorch(n_frames):
    """Both directions at once, with gradients, against nn.GRU on single clips."""
    generator = torch.Generator().manual_seed(0)
    grus = [nn.GRU(7, 7, 2) for _ in range(2)]
    for gru in grus:
        for p in gru.parameters():
            nn.init.uniform_(p, -0.5, 0.5, generator=generator)
    n, length = torch.tensor(n_frames), max(n_frames)
    x = torch.randn(length, len(n), 7, generator=generator)
    of_output = torch.randn(2, length, len(n), 7, generator=generator)
    results = []
    for own in (True, False):
        given = x.clone().requires_grad_()
        if own:
            outputs = run_both(given, reverse_order(n, length), grus)
        else:
            outputs = [[], []]
            for i, k in enumerate(n_frames):
                outputs[0].append(grus[0](given[:k, i])[0])
                outputs[1].append(grus[1](given[:k, i].flip(0))[0].flip(0))
            outputs = [nn.utils.rnn.pad_sequence(part) for part in outputs]
        frames = Frames.of(n, length)
        valid = [frames.filled(part.permute(1, 2, 0)).permute(2, 0, 1) for part in outputs]
        for gru in grus:
            gru.zero_grad()
        sum((part * g).sum() for part, g in zip(valid, of_output, strict=True)).backward()
        weights = [p.grad for gru in grus for p in gru.parameters()]
        results.append([*valid, given.grad, *weights])
    for got, expected in zip(*results, strict=True):
        close(got, expected.detach().numpy(), 1e-5)


# The rest of the network


@torch.no_grad()
def test_pooled_time_has_half_as_many_segments(spectra):
    module = FBCRNN(time_pooling=2, score_window=None).build(N_EVENTS).eval()
    scores, n_segments = module.segment_scores(*spectra)
    assert n_segments.tolist() == [20, 1, 12]
    assert scores.shape == (3, N_EVENTS, 20)
    assert FBCRNN(time_pooling=2).get_grid()[:2] == (2, 2)


def test_input_has_a_frame_for_each_20_ms():
    sizes = FBCRNN().get_input().stft
    assert (sizes.n_fft, sizes.hop_length, sizes.win_length) == (1024, 320, 960)
    assert sizes.n_frames(160_000) == 500
    assert sizes.n_frames(1) == 1


@pytest.mark.parametrize("settings", [{}, {"time_pooling": 2}, {"score_window": [3, 30, 12]}])
@torch.no_grad()
def test_a_segment_depends_on_the_context_of_the_grid_only(settings):
    network = FBCRNN(**settings)
    grid = network.get_grid()
    module = network.build(3).eval()
    stft = torch.randn(1, 1, 120, 513, 2, generator=torch.Generator().manual_seed(1))
    n = torch.tensor([120])
    before = module.segment_scores(stft.clone(), n)[0][0]
    changed = stft.clone()
    changed[:, :, 60] *= 2
    after = module.segment_scores(changed, n)[0][0]
    differs = torch.nonzero((before - after).abs().amax(0) > 1e-7)[:, 0] * grid.step
    assert differs.min() + grid.length + grid.context > 60
    assert differs.max() - grid.context <= 60
    assert len(differs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "medium"}, "depth"),
        ({"width": 3}, "width"),
        ({"time_pooling": 3}, "time_pooling"),
        ({"score_window": 0}, "score_window"),
        ({"score_window": [5, 0]}, "score_window"),
        ({"score_window": [5.5]}, "score_window"),
        ({"score_window": [[5]]}, "score_window"),
        ({"boundary_weight": 1.5}, "boundary_weight"),
        ({"fmin": 8000.0}, "fmin"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        FBCRNN(**settings).validate()


def test_windows_must_be_as_many_as_events():
    with pytest.raises(ValueError, match="score_window has 2 windows, but there are 3 events"):
        FBCRNN(score_window=[5, 9]).build(3)


def test_initial_weights():
    module = FBCRNN().build(200)
    weights = dict(module.named_parameters())
    conv = weights["cnn.cnn_2d.convs.8.conv.weight"]
    close(conv.std().item(), (2 / (128 * 9)) ** 0.5, 1e-3)
    assert conv.abs().max() <= (6 / (128 * 9)) ** 0.5
    for part in weights["classifier.weight"].chunk(2, 1):
        close(part.std().item(), (2 / (256 + 200)) ** 0.5, 1e-3)
    recurrent = weights["rnn_bwd.rnn.weight_hh_l1"]
    close(recurrent.std().item(), 1 / 16 / 3**0.5, 1e-3)
    close(weights["rnn_bwd.rnn.bias_hh_l1"].abs().max().item(), 1 / 16, 2e-3)
    assert not weights["cnn.cnn_2d.convs.8.conv.bias"].any()


# Checkpoints of pb_sed


@pytest.mark.parametrize(("depth", "width"), [("shallow", 1), ("shallow", 2), ("deep", 2)])
def test_settings_are_told_by_the_weights(depth, width):
    shapes = pb_sed_shapes(2, depth, width)
    state = {k: torch.empty(1).expand(shape) for k, shape in shapes.items()}
    network = FBCRNN.identify(state)
    assert (network.depth, network.width) == (depth, width)


def test_every_weight_of_a_checkpoint_has_a_place():
    state = pb_sed_state(0, "deep")
    module = FBCRNN(depth="deep").build(N_EVENTS)
    own = FBCRNN(depth="deep").convert(state)
    assert own.keys() == module.state_dict().keys()
    assert {k: x.shape for k, x in own.items()} == {
        k: x.shape for k, x in module.state_dict().items()
    }


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"cnn.cnn_2d.convs.0.conv.weight": "text"},
        {"cnn.cnn_2d.convs.0.conv.weight": torch.zeros(16, 1, 3, 3)},
        {1: torch.zeros(2)},
    ],
)
def test_other_weights_are_not_identified(state):
    assert FBCRNN.identify(state) is None
    assert FBCRNN().convert(state) is state


def test_unknown_variants_are_refused():
    state = pb_sed_state(0)
    del state["cnn.cnn_2d.convs.8.conv.weight"]
    with pytest.raises(ValueError, match=r"'x.pth' holds .* has 8 2-d convolutions"):
        FBCRNN.identify(state, "x.pth")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": "deep"}, "depth='shallow', but this tagger has 'deep'"),
        ({"width": 2}, "width=1, but this tagger has width=2"),
        ({"fmin": 100.0}, "other mel filters"),
        ({}, ""),
    ],
)
def test_differences_are_explained(settings, message):
    explained = FBCRNN(**settings).explain_mismatch(pb_sed_state(0))
    assert message in explained if message else explained == ""
