"""Networks with a fault each, and the check that must find it."""

import torch
from _networks import OddModule, OddNet, TinyNet
from torch import nn
from torch.nn import functional as F

from sktagger.networks import MaskedBatchNorm, NetworkModule


def with_settings(**attributes):
    """Make an OddNet whose settings have other attributes."""
    return type("Faulty", (OddNet,), attributes)()


def with_module(**attributes):
    """Make an OddNet whose module has other attributes."""
    module = type("FaultyModule", (OddModule,), attributes)

    def make(self, n_events):
        return module(n_events, self.rate, self.width, self.sharpness)

    return with_settings(_make=make)


def with_input(**fields):
    return with_settings(get_input=lambda self: OddNet.get_input(self)._replace(**fields))


def with_grid(**fields):
    return with_settings(get_grid=lambda self: OddNet.get_grid(self)._replace(**fields))


def after_init(change):
    """Make a constructor that changes the module."""

    def init(self, *args):
        OddModule.__init__(self, *args)
        change(self)

    return init


def changed_scores(change):
    """Make a method that changes the scores of segments."""

    def segment_scores(self, stft, n_frames, **distortions):
        scores, n_segments = OddModule.segment_scores(self, stft, n_frames, **distortions)
        return change(self, scores, n_segments)

    return segment_scores


def changed_embeddings(change):
    """Make a method that changes the embeddings of segments."""

    def segment_embeddings(self, stft, n_frames, **distortions):
        x, n_segments = OddModule.segment_embeddings(self, stft, n_frames, **distortions)
        return change(self, x), n_segments

    return segment_embeddings


def changed_input(change):
    """Make a method that changes the input."""

    def segment_embeddings(self, stft, n_frames, **distortions):
        stft, n_frames, distortions = change(self, stft, n_frames, distortions)
        return OddModule.segment_embeddings(self, stft, n_frames, **distortions)

    return segment_embeddings


def changed_reset(change):
    """Make a method that does something after the weights are drawn."""

    def reset_parameters(self, random_state=0):
        OddModule.reset_parameters(self, random_state)
        change(self)

    return reset_parameters


class PlainBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics include padding."""

    def forward(self, x, frames):
        return frames.fill_(super().forward(x))


class AlwaysTrainingNorm(MaskedBatchNorm):
    """Batch norm that has no evaluation mode."""

    def train(self, mode=True):
        return super().train(True)


class WidthOfEvents(OddNet):
    """Hidden layers depend on the number of events."""

    def _make(self, n_events):
        return OddModule(n_events, self.rate, self.width + n_events, self.sharpness)


class HeadWithoutRows(OddNet):
    """The head is a layer whose rows are no events."""

    head_name = "third"


def shapes_with_data(self, n_events):
    return self._make(n_events).state_dict()


def without_batch_axis(self, scores, n_segments):
    return OddModule.pool(self, scores, n_segments).squeeze(1)


def of_neighbors(self, scores, n_segments):
    return OddModule.pool(self, scores, n_segments) * 0.5 + scores.mean() * 0.5


def of_padding(self, scores, n_segments):
    return scores.mean(-1)


def not_a_number_of_one(self, scores, n_segments):
    pooled = OddModule.pool(self, scores, n_segments)
    return torch.where(n_segments[:, None] == 1, torch.nan, pooled) if self.training else pooled


def of_pool(self, stft, n_frames, **distortions):
    return self.pool(*self.segment_scores(stft, n_frames, **distortions))


def of_most(self, stft, n_frames, **distortions):
    return self.segment_scores(stft, n_frames, **distortions)[0].amax(-1)


def changed_both(method, *factors):
    """Make a method that multiplies scores and embeddings by a factor each."""

    def changed(self, features, n_segments):
        both = method(self, features, n_segments)
        return tuple(x * factor for x, factor in zip(both, factors, strict=True))

    return changed


def changed_for_loss(change):
    """Make a method that changes the scores of training, and what the loss takes."""

    def pool_for_loss(self, features, n_segments, activity=None):
        scores, outputs = OddModule.pool_for_loss(self, features, n_segments, activity)
        return change(scores, outputs)

    return pool_for_loss


def forget_lengths(self, stft, n_frames, **distortions):
    return OddModule.segment_scores(self, stft, torch.full_like(n_frames, stft.shape[2]))


def scores_of_one_column(self, scores, n_segments):
    return scores.mean(-1, keepdim=True).expand_as(scores) * (scores > 0), n_segments


def later_frames(self, stft, n_frames, distortions):
    return stft.roll(10, 2), n_frames, distortions


def halve_in_place(self, stft, n_frames, distortions):
    stft *= 0.5 if self.training else 1.5
    return stft, n_frames, distortions


def drop(self, x):
    return F.dropout(x, 0.5, training=True)


def count_calls(self, x):
    self.n_calls += 1
    return x


def count_training(self, x):
    self.n_calls += self.training
    return x


def remember_scale(self, x):
    if self.training:
        self.scale = 1 + float(x.detach().mean())
    return x * self.scale


def keep_first(self, x):
    if self.offset is None:
        self.offset = 1 + 0 * x.mean()
    return x * self.offset


def detach_weights(self, x):
    return x.detach() + 0 * sum(w.sum() for w in self.parameters())


def swap_mask(self, stft, n_frames, distortions):
    masks = {name: mask.flip(1) + 1 for name, mask in distortions.items()}
    return stft, n_frames, masks


def mask_of_first(self, stft, n_frames, distortions):
    return stft, n_frames, {name: x[:1].expand_as(x) for name, x in distortions.items()}


def mask_all_frames(self, stft, n_frames, distortions):
    masks = dict(distortions)
    if "time_mask" in masks:
        masks["time_mask"] = masks["time_mask"] * 100
    return stft, n_frames, masks


def no_distortions(self, stft, n_frames, distortions):
    return stft, n_frames, {}


def round_weights(self, precision):
    self.precision = precision
    for weight in self.parameters() if precision == "bfloat16" else ():
        weight.data = weight.data.bfloat16().float()


def ignore_precision(self, precision):
    pass


def low_precision_scores(self, scores, n_segments):
    return (scores.bfloat16() if self.precision == "bfloat16" else scores), n_segments


def low_precision_is_wrong(self, scores, n_segments):
    return (scores**3 if self.precision == "bfloat16" else scores), n_segments


def adjust_and_draw(self, network):
    OddModule.adjust(self, network)
    self.reset_parameters(7)


def set_buffer(name):
    return after_init(lambda self: self.register_buffer(name, torch.zeros(())))


PLAIN_NORM = after_init(lambda self: setattr(self, "norm", PlainBatchNorm(self.norm.gamma.numel())))
TRAINING_NORM = after_init(
    lambda self: setattr(self, "norm", AlwaysTrainingNorm(self.norm.gamma.numel()))
)
STAGES_TWICE = property(lambda self: [self.first, self.second, self.second])
STAGES_WITHOUT_NORM = property(lambda self: [self.first, self.second, self.third])


def unmasked_logits(self, layer, stft, n_frames):
    x, n_segments = self.segment_embeddings(stft, n_frames)
    return (self.apply_head(x) + 1 if layer == "logits" else x), n_segments


def wrong_clip_logits(self, layer, stft, n_frames):
    outputs = NetworkModule.clip_outputs(self, layer, stft, n_frames)
    return outputs + 1 if layer == "logits" else outputs


FAULTS = [
    ("check_settings", with_settings(resolve=lambda self: self), "must make a copy"),
    (
        "check_settings",
        with_settings(resolve=lambda self: type(self)(width=7)),
        "changes the setting width",
    ),
    ("check_settings", with_settings(resolve=lambda self: TinyNet()), "changes the "),
    ("check_settings", with_settings(adjustable=("sharp",)), "adjustable names no settings"),
    ("check_settings", with_input(scale="loud"), "unknown scale"),
    ("check_settings", with_input(distortions=("warp", "shift")), "unknown distortions"),
    ("check_settings", with_grid(step=0), "the grid has length 10 and step 0"),
    ("check_settings", with_grid(context=-1), "the grid has context -1"),
    ("check_settings", with_settings(fixed_settings=lambda self: {"width": {6}}), "as JSON"),
    ("check_shapes_without_data", with_settings(shapes=shapes_with_data), "holds data"),
    ("check_shapes_without_data", WidthOfEvents(), "depends on the number of events"),
    ("check_shapes_without_data", HeadWithoutRows(), "not one row per event"),
    (
        "check_shapes_without_data",
        with_settings(count_events=lambda self, state: len(state.get("out.weight", "abc"))),
        "in no weights",
    ),
    (
        "check_shapes_without_data",
        with_settings(explain_mismatch=lambda self, state: "was trained otherwise"),
        "called a mismatch",
    ),
    (
        "check_seed",
        with_module(reset_parameters=lambda self, random_state=0: None),
        "is not initialized",
    ),
    (
        "check_seed",
        with_module(reset_parameters=changed_reset(lambda self: nn.init.normal_(self.out.weight))),
        "uses PyTorch's generator",
    ),
    (
        "check_seed",
        with_module(reset_parameters=lambda self, seed=0: OddModule.reset_parameters(self, 0)),
        "another seed gives the same head",
    ),
    ("check_scores", with_module(pool=without_batch_axis), "scores have shape"),
    (
        "check_scores",
        with_module(segment_scores=changed_scores(lambda self, x, n: (2 * x, n))),
        "outside of",
    ),
    (
        "check_scores",
        with_module(segment_scores=changed_scores(lambda self, x, n: (x.double(), n))),
        "scores have type torch.float64",
    ),
    (
        "check_scores",
        with_module(pool=lambda self, x, n: 0 * OddModule.pool(self, x, n)),
        "do not depend on the clip",
    ),
    (
        "check_inputs_are_not_changed",
        with_module(segment_embeddings=changed_input(halve_in_place)),
        "overwritten",
    ),
    (
        "check_evaluation",
        with_module(segment_embeddings=changed_embeddings(drop)),
        "evaluation uses PyTorch's generator",
    ),
    (
        "check_evaluation",
        with_module(
            __init__=set_buffer("n_calls"), segment_embeddings=changed_embeddings(count_calls)
        ),
        "evaluation changes .'n_calls'",
    ),
    ("check_evaluation", with_module(__init__=TRAINING_NORM), "evaluation changes .'norm"),
    ("check_grid", with_module(segment_scores=forget_lengths), "segments, not"),
    (
        "check_grid",
        with_module(segment_scores=changed_scores(lambda self, x, n: (x.clamp(min=0.1), n))),
        "are not 0",
    ),
    ("check_padding_and_neighbors", with_module(pool=of_neighbors), "alone and in a batch"),
    ("check_padding_and_neighbors", with_module(pool=of_padding), "alone and in a batch"),
    ("check_padding_in_training", with_module(__init__=PLAIN_NORM), "padding"),
    ("check_context", with_grid(context=0), "beyond the context|a step later"),
    (
        "check_context",
        with_module(segment_embeddings=changed_input(later_frames)),
        "beyond the context|a step later|does not depend on its frames",
    ),
    (
        "check_context",
        with_module(segment_scores=changed_scores(scores_of_one_column)),
        "beyond the context|a step later",
    ),
    ("check_single_frame", with_module(pool=not_a_number_of_one), "one frame fails in training"),
    ("check_pooling", with_module(forward=of_most), "pool and forward"),
    ("check_pooling", with_module(pool=of_padding), "pool with padding"),
    ("check_pooling", with_module(pool=of_neighbors), "pool"),
    (
        "check_embeddings",
        with_module(segment_embeddings=changed_embeddings(lambda self, x: x + 1)),
        "are not 0",
    ),
    ("check_settings", with_settings(layers=("logits", "logits")), "are not distinct"),
    ("check_layers", with_settings(layers=("embedding",)), "do not end in logits"),
    (
        "check_layers",
        with_module(segment_outputs=unmasked_logits),
        "logits beyond the segments of a clip is not 0",
    ),
    (
        "check_layers",
        with_module(apply_head=lambda self, x: 2 * NetworkModule.apply_head(self, x)),
        "logits and scores of segments",
    ),
    (
        "check_layers",
        with_module(clip_outputs=lambda self, *args: self.segment_outputs(*args)[0].mean(-1)),
        "alone and in a batch",
    ),
    (
        "check_layers",
        with_module(
            clip_outputs=NetworkModule.clip_outputs,
            pool_segments=lambda self, layer, x, n: x.sum(-1) / n[:, None],
            forward=of_pool,
        ),
        "scores of clips, pooled from segments",
    ),
    (
        "check_new_head",
        with_module(set_head=lambda self, w, b: NetworkModule.set_head(self, w, 0 * b)),
        "the head that was set",
    ),
    (
        "check_new_head",
        with_module(pools_embeddings=True, clip_outputs=wrong_clip_logits),
        "the head that was set, for clips",
    ),
    (
        "check_scores_and_embeddings",
        with_module(scores_and_embeddings=changed_both(OddModule.scores_and_embeddings, 1.1, 1.0)),
        "scores of clips beside embeddings",
    ),
    (
        "check_scores_and_embeddings",
        with_module(
            segment_scores_and_embeddings=changed_both(
                OddModule.segment_scores_and_embeddings, 1.0, 1.1
            )
        ),
        "embeddings of segments beside scores",
    ),
    (
        "check_pooling",
        with_module(pools_embeddings=True),
        "logits of clips and forward",
    ),
    (
        "check_head",
        with_module(segment_scores=changed_scores(lambda self, x, n: (x.flip(1), n))),
        "not that of event k",
    ),
    (
        "check_distortions",
        with_module(segment_embeddings=changed_input(no_distortions)),
        "time_mask changes nothing",
    ),
    (
        "check_distortions",
        with_module(segment_embeddings=changed_input(mask_of_first)),
        "time_mask of nothing",
    ),
    (
        "check_distortions",
        with_module(segment_embeddings=changed_input(swap_mask)),
        "time_mask",
    ),
    (
        "check_distortions",
        with_module(segment_embeddings=changed_input(mask_all_frames)),
        "frames beside time_mask",
    ),
    (
        "check_training_outputs",
        with_module(pool_for_loss=changed_for_loss(lambda scores, x: (0.9 * scores, x))),
        "scores in training and forward",
    ),
    (
        "check_training_outputs",
        with_module(pool_for_loss=changed_for_loss(lambda scores, x: (scores, x.T))),
        "other clips or events than scores",
    ),
    (
        "check_training_outputs",
        with_module(pool_for_loss=changed_for_loss(lambda scores, x: (scores, x + x.mean()))),
        "the loss of a clip alone",
    ),
    ("check_stages", with_module(stages=property(lambda self: [self.first])), "n_stages"),
    ("check_stages", with_module(stages=STAGES_TWICE), "belongs to two stages"),
    ("check_stages", with_module(stages=STAGES_WITHOUT_NORM), "belong to no stage"),
    ("check_stages", with_settings(head_name="last"), "is no layer of the module"),
    (
        "check_gradients",
        with_module(segment_embeddings=changed_embeddings(lambda self, x: x.detach())),
        "stage 1 .* has no gradient",
    ),
    (
        "check_gradients",
        with_module(segment_embeddings=changed_embeddings(detach_weights)),
        "the gradient of stage 1 .* is 0",
    ),
    (
        "check_gradients",
        with_module(offset=None, segment_embeddings=changed_embeddings(keep_first)),
        "training fails after evaluation",
    ),
    (
        "check_freezing",
        with_module(
            __init__=set_buffer("n_calls"), segment_embeddings=changed_embeddings(count_training)
        ),
        "with 1 frozen stages, training changes .'n_calls'",
    ),
    ("check_freezing", with_module(__init__=TRAINING_NORM), "training changes .'norm"),
    (
        "check_state",
        with_module(scale=1.0, segment_embeddings=changed_embeddings(remember_scale)),
        "more than the state dict",
    ),
    (
        "check_bfloat16",
        with_module(segment_scores=changed_scores(low_precision_scores)),
        "type torch.bfloat16",
    ),
    (
        "check_bfloat16",
        with_module(segment_scores=changed_scores(low_precision_is_wrong)),
        "bfloat16 and float32",
    ),
    ("check_bfloat16", with_module(set_precision=round_weights), "float32 after bfloat16"),
    ("check_bfloat16", with_module(set_precision=ignore_precision), "does not set the precision"),
    (
        "check_adjustable_settings",
        with_module(adjust=lambda self, network: setattr(self, "sharpness", 9)),
        "adjust does not set",
    ),
    (
        "check_adjustable_settings",
        with_module(adjust=lambda self, network: None),
        "adjust does not set",
    ),
    ("check_adjustable_settings", with_module(adjust=adjust_and_draw), "adjust changes weights"),
]
