"""The parameters of a tagger: groups of them set by name, checked, and resolved."""

from typing import ClassVar

from sklearn.base import BaseEstimator

from sktagger._utils.validation import check_params
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.spectral import STFT
from sktagger.batching.devices import resolve_device
from sktagger.networks import Network, WALNet

AUGMENTATIONS = {"default": Augmentation, "reference": Augmentation.reference}


_DEFAULTS = {"stft": STFT, "network": WALNet}  # what None stands for


class TaggerParameters(BaseEstimator):
    """The parameters of a tagger, among them groups, and names that stand for groups.

    A subclass has the parameters of a :class:`sktagger.AudioTagger`. If it does not have `network`
    itself, it defines `_get_network` and `_with_network`.
    """

    _network_parameters: ClassVar[tuple[str, ...]] = ("network",)
    _raises_interrupt = False

    def _get_network(self) -> Network:
        """Give the settings of the network."""
        return WALNet() if self.network is None else self.network

    @classmethod
    def _with_network(cls, network, **params):
        """Make a tagger from the settings of its network and its other parameters."""
        return cls(network=network, **params)

    def __sklearn_clone__(self):
        # `init_from` is a source of weights, not a part to be trained: it stays fitted
        copy = super().__sklearn_clone__()
        copy.init_from = self.init_from
        # clones are fitted by others, as cross-validation, which Ctrl-C is to end as a whole
        copy._raises_interrupt = True
        return copy

    def get_params(self, deep=True):
        """Get parameters; those of a tagger given as ``init_from`` are its own.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include those of ``network``, ``stft`` and ``augmentation``.

        Returns
        -------
        dict
        """
        params = super().get_params(deep)
        return {name: params[name] for name in params if not name.startswith("init_from__")}

    def set_params(self, **params):
        """Set parameters, also those of ``network``, ``stft`` and ``augmentation``.

        Parameters
        ----------
        **params : dict
            Such as ``lr=1e-3`` or ``augmentation__mixup_prob=0.8``. A group that is None or a name
            is first replaced by the settings that it stands for.

        Returns
        -------
        self
        """
        prefixes = {name.partition("__")[0] for name in params if "__" in name}
        if "init_from" in prefixes:
            raise ValueError(
                f"{sorted(name for name in params if name.startswith('init_from__'))} would change "
                "the tagger that init_from only reads. Set parameters of that tagger itself."
            )
        for group, default in _DEFAULTS.items():
            if group in prefixes and params.get(group, getattr(self, group, None)) is None:
                params = {**params, group: default()}
        name = params.get("augmentation", self.augmentation)
        if "augmentation" in prefixes and (name is None or isinstance(name, str)):
            if name not in AUGMENTATIONS:
                raise ValueError(
                    f"augmentation={name!r} has no settings of its own; it must be one of "
                    f"{sorted(AUGMENTATIONS)} or an Augmentation before they can be set."
                )
            params = {**params, "augmentation": AUGMENTATIONS[name]()}
        return super().set_params(**params)

    def _check_settings(self):
        check_params(self)
        network = self._get_network()
        network.validate()
        freeze = self.freeze
        if not isinstance(freeze, str) and (freeze or 0) > network.n_stages:
            raise ValueError(
                f"freeze={freeze!r}, but a {type(network).__name__} has {network.n_stages} stages. "
                f"Give a number from 0 to {network.n_stages}, 'backbone' or None."
            )
        augmentation = self._resolve_augmentation()
        if augmentation is not None:
            augmentation.validate()
            n_mels = network.get_input().n_mels
            if augmentation is self.augmentation and augmentation.mel_mask > n_mels:
                raise ValueError(
                    f"Augmentation: mel_mask={augmentation.mel_mask!r}, but it must be an integer "
                    f"from 0 to {n_mels}, the number of mel bands of the {type(network).__name__}."
                )
        resolve_device(self.device)

    def _resolve_augmentation(self):
        if isinstance(self.augmentation, str):
            return AUGMENTATIONS[self.augmentation]()
        return self.augmentation
