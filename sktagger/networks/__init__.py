"""Torch modules: sizes in, tensors in, tensors out.

Nothing here reads files, computes metrics or prints. The axes of a tensor are named by one
vocabulary: clip, channel, frame, bin, mel, event, segment.
"""

from sktagger.networks._features import LogMel, mel_filterbank, warp_mel
from sktagger.networks._masking import Frames, MaskedBatchNorm, RunningNorm
from sktagger.networks._state import check_state, find_state
from sktagger.networks._stft import stft_of_frames
from sktagger.networks.walnet import (
    CONTEXT_FRAMES,
    MEL_FILTERS,
    MIN_FRAMES,
    N_LAYERS,
    N_MELS,
    OUTPUT_BIAS,
    OUTPUT_WEIGHT,
    SEGMENT_FRAMES,
    WALNet,
    count_segments,
)

__all__ = [
    "CONTEXT_FRAMES",
    "MEL_FILTERS",
    "MIN_FRAMES",
    "N_LAYERS",
    "N_MELS",
    "OUTPUT_BIAS",
    "OUTPUT_WEIGHT",
    "SEGMENT_FRAMES",
    "Frames",
    "LogMel",
    "MaskedBatchNorm",
    "RunningNorm",
    "WALNet",
    "check_state",
    "count_segments",
    "find_state",
    "mel_filterbank",
    "stft_of_frames",
    "warp_mel",
]
