"""Gated recurrent units that run forward and backward at once, and over windows of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_LAYERS = 2


def run_both(x: Tensor, reverse: Tensor, grus: Sequence[nn.GRU]) -> tuple[Tensor, Tensor]:
    """Run one GRU from the first frame on, and another one from the last frame back.

    On a CPU, both share the operations of a frame, which makes them faster than one after the
    other.

    Parameters
    ----------
    x : Tensor of shape (n_frames, n_clips, n_features), float32
    reverse : Tensor of shape (n_frames, n_clips), int64
        Frames of each clip in reverse order, see :func:`reverse_order`.
    grus : sequence of nn.GRU
        For each direction; only their weights are used.

    Returns
    -------
    forward, backward : Tensor of shape (n_frames, n_clips, n_hidden), float32
        Hidden states after each frame. In padding, they have any values.
    """
    flipped = _reorder(x, reverse)
    if x.device.type != "cpu":  # there, the kernels of PyTorch are faster
        forward, backward = (gru(part)[0] for gru, part in zip(grus, (x, flipped), strict=True))
    else:
        states = torch.stack([x, flipped], 1)
        for layer in range(N_LAYERS):
            weight, weight_h, bias, bias_h = _stacked(grus, layer)
            gates = _project(states, weight, bias)
            states = _Recurrence.apply(gates, weight_h, bias_h)
        forward, backward = states.unbind(1)
    return forward, _reorder(backward, reverse)


def reverse_order(n_frames: Tensor, length: int) -> Tensor:
    """Return the order that reverses the valid frames of padded clips.

    Parameters
    ----------
    n_frames : Tensor of shape (n_clips,), integer
        Number of valid frames of each clip.
    length : int
        Number of frames of the padded clips.

    Returns
    -------
    Tensor of shape (length, n_clips), int64

    Examples
    --------
    >>> import torch
    >>> reverse_order(torch.tensor([3, 2]), 3).T
    tensor([[2, 1, 0],
            [1, 0, 2]])
    """
    place = torch.arange(length, device=n_frames.device)[:, None]
    return torch.where(place < n_frames, n_frames - 1 - place, place)


def run_windows(
    x: Tensor, grus: Sequence[nn.GRU], width: int, step: int, n_windows: int
) -> tuple[Tensor, Tensor]:
    """Run both GRUs over windows of frames, each from the state 0.

    Window i has the frames from ``i * step - (width - step) // 2`` on (from ``i * step`` if
    `width` is not larger than `step`), with zeros where there are none.

    Parameters
    ----------
    x : Tensor of shape (n_frames, n_clips, n_features), float32
        0 beyond the frames of a clip.
    grus : sequence of nn.GRU
        For each direction; only their weights are used.
    width : int
        Number of frames of a window.
    step : int
        Number of frames from one window to the next.
    n_windows : int

    Returns
    -------
    forward : Tensor of shape (n_windows, n_clips, n_hidden), float32
        States of the forward GRU after the last frame of each window.
    backward : Tensor of shape (n_windows, n_clips, n_hidden), float32
        States of the backward GRU after the first frame of each window.
    """
    before = max(0, (width - step) // 2)
    reach = (n_windows - 1) * step  # from the first window to the last
    after = max(0, reach + width - before - len(x))
    x = F.pad(x, (0, 0, 0, 0, before, after))
    first, second = (_stacked(grus, layer) for layer in range(N_LAYERS))
    gates = _project(x[:, None].expand(-1, 2, -1, -1), first[0], first[2])
    n_clips, n_hidden = x.shape[1], first[1].shape[-1]
    states = [gates.new_zeros(2, n_windows * n_clips, n_hidden) for _ in range(N_LAYERS)]
    for i in range(width):
        places = (slice(i + first, i + first + reach + 1, step) for first in (0, width - 1 - 2 * i))
        rows = [gates[k, place].flatten(0, 1) for k, place in enumerate(places)]
        states[0] = _advance(torch.stack(rows), states[0], first[1], first[3])
        gates_above = torch.baddbmm(second[2][:, None], states[0], second[0].transpose(1, 2))
        states[1] = _advance(gates_above, states[1], second[1], second[3])
    forward, backward = states[1].view(2, n_windows, n_clips, n_hidden)
    return forward, backward


def _reorder(x, order):
    return x.gather(0, order[..., None].expand_as(x))


def _stacked(grus, layer):
    """Stack the weights of a layer: of the input, of the state, and the biases of both."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return [torch.stack([getattr(gru, f"{name}_l{layer}") for gru in grus]) for name in names]


def _project(x, weight, bias):
    """Compute the gates (2, n_frames, n_clips, 3 * n_hidden) from the inputs of a layer alone."""
    n_frames, _, n_clips, n_features = x.shape
    rows = x.transpose(0, 1).reshape(2, n_frames * n_clips, n_features)
    gates = torch.baddbmm(bias[:, None], rows, weight.transpose(1, 2))
    return gates.view(2, n_frames, n_clips, -1)


def _advance(gates, state, weight, bias):
    """Compute the next states from the gates of the inputs. No gradient is needed."""
    n_hidden = state.shape[-1]
    own = torch.baddbmm(bias[:, None], state, weight.transpose(1, 2))
    reset, update = (gates[..., : 2 * n_hidden] + own[..., : 2 * n_hidden]).sigmoid_().chunk(2, -1)
    new = torch.addcmul(gates[..., 2 * n_hidden :], reset, own[..., 2 * n_hidden :]).tanh_()
    return torch.lerp(new, state, update)


class _Recurrence(torch.autograd.Function):
    """The states (n_frames, 2, n_clips, n_hidden) of a layer, which start at 0, from its gates.

    What does not depend on the state before is computed for all frames at once, also of the
    gradient, so that few operations remain for each frame.
    """

    @staticmethod
    def forward(ctx, gates, weight, bias):
        gates = gates.transpose(0, 1)
        n_frames, _, n_clips, n_gates = gates.shape
        n = n_gates // 3
        kept = n_frames if any(ctx.needs_input_grad) else 1  # frames whose parts are kept
        states = gates.new_zeros(n_frames + 1, 2, n_clips, n)
        own = gates.new_empty(kept, 2, n_clips, 3 * n)
        switches = gates.new_empty(kept, 2, n_clips, 2 * n)
        news = gates.new_empty(kept, 2, n_clips, n)
        columns, bias = weight.transpose(1, 2).contiguous(), bias[:, None]
        inputs = gates[..., : 2 * n], gates[..., 2 * n :], states[:-1]
        parts = own, own[..., : 2 * n], own[..., 2 * n :], switches
        outputs = switches[..., :n], switches[..., n:], news, states[1:]
        for frame in _by_frame(n_frames, *inputs, *parts, *outputs):
            of_switches, of_new, before, all_own, own_switches, own_new, switch, *others = frame
            reset, update, new, after = others
            torch.baddbmm(bias, before, columns, out=all_own)
            torch.add(of_switches, own_switches, out=switch).sigmoid_()
            torch.addcmul(of_new, reset, own_new, out=new).tanh_()
            torch.lerp(new, before, update, out=after)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(weight, states, own[..., 2 * n :], switches, news)
        return states[1:]

    @staticmethod
    def backward(ctx, grad):
        weight, states, own_new, switches, news = ctx.saved_tensors
        n_frames, _, n_clips, n = news.shape
        reset, update = switches[..., :n], switches[..., n:]
        before = states[:-1]
        # derivatives of a state with respect to its gates
        slopes = news.new_empty(n_frames, 2, n_clips, 3, n)
        of_new = (1 - update) * (1 - news * news)
        torch.mul(of_new, reset, out=slopes[..., 2, :])
        torch.mul(slopes[..., 2, :] * own_new, 1 - reset, out=slopes[..., 0, :])
        torch.mul((before - news) * update, 1 - update, out=slopes[..., 1, :])
        of_states = torch.empty_like(news)
        of_gates = news.new_empty(2, n_frames, n_clips, 3, n)
        by_frame = of_gates.transpose(0, 1)
        given_and_slopes = grad, slopes, update
        results = of_states, of_states.unsqueeze(3), by_frame, by_frame.flatten(3)
        later = news.new_zeros(2, n_clips, n)
        for frame in reversed(list(_by_frame(n_frames, *given_and_slopes, *results))):
            given, slope, kept, of_state, wide, of_gate, flat = frame
            torch.add(given, later, out=of_state)
            torch.mul(wide, slope, out=of_gate)
            later = torch.baddbmm(of_state * kept, flat, weight)
        rows = of_gates.view(2, -1, 3 * n)  # of the part of the gates that the state makes
        of_weight = rows.transpose(1, 2) @ before.transpose(0, 1).flatten(1, 2)
        of_bias = rows.sum(1)
        torch.mul(of_states, of_new, out=by_frame[..., 2, :])
        return of_gates.flatten(3), of_weight, of_bias


def _by_frame(n_frames: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the slices of tensors along frames; a tensor of one frame has the same for all.

    They are made at once, because making one takes as long as computing with it.
    """
    slices = [x.unbind() if len(x) == n_frames else x.unbind() * n_frames for x in tensors]
    return zip(*slices, strict=True)
