"""Networks: settings, and the torch modules that are built from them.

A network consists of a settings object, such as :class:`WALNet`, and a torch module, such as
:class:`WALNetModule`. Their base classes, :class:`Network` and :class:`NetworkModule`, document
what the rest of the package relies on; :func:`sktagger.networks.checks.check_network` checks it.
Axes have the same names everywhere: clip, channel, frame, bin, mel, event, segment.
"""

from sktagger.networks._features import LogMel, mel_filterbank, warp_mel
from sktagger.networks._init import skip_init
from sktagger.networks._masking import Frames, MaskedBatchNorm, MaskedBatchNorm2d, RunningNorm
from sktagger.networks._module import NetworkModule
from sktagger.networks._norm_pool import NormPoolReLU
from sktagger.networks._protocol import Network, NetworkInput, ScoreGrid
from sktagger.networks._state import check_state, find_state
from sktagger.networks._stft import stft_of_frames
from sktagger.networks.crnn import CRNN, StrongCRNNModule
from sktagger.networks.efficientat import EfficientAT, EfficientATModule
from sktagger.networks.fbcrnn import FBCRNN, FBCRNNModule
from sktagger.networks.panns import PANNs, PANNsModule
from sktagger.networks.walnet import WALNet, WALNetModule

# by their names in files
NETWORKS = {network.__name__: network for network in (WALNet, FBCRNN, CRNN, EfficientAT, PANNs)}

__all__ = [
    "CRNN",
    "FBCRNN",
    "NETWORKS",
    "EfficientAT",
    "EfficientATModule",
    "FBCRNNModule",
    "Frames",
    "LogMel",
    "MaskedBatchNorm",
    "MaskedBatchNorm2d",
    "Network",
    "NetworkInput",
    "NetworkModule",
    "NormPoolReLU",
    "PANNs",
    "PANNsModule",
    "RunningNorm",
    "ScoreGrid",
    "StrongCRNNModule",
    "WALNet",
    "WALNetModule",
    "check_state",
    "find_state",
    "mel_filterbank",
    "skip_init",
    "stft_of_frames",
    "warp_mel",
]
