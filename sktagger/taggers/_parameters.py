"""Parameters of a tagger: get, set, check and resolve them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sklearn.base import BaseEstimator

from sktagger._utils.validation import check_params
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.spectral import STFT
from sktagger.batching.devices import resolve_device
from sktagger.networks import Network, WALNet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from typing_extensions import Self

AUGMENTATIONS = {
    "default": Augmentation,
    "reference": Augmentation.reference,
    "fbcrnn_reference": Augmentation.fbcrnn_reference,
}
# what "auto" stands for, unless a network's `from_scratch` or `fine_tuning` has another value
_FROM_SCRATCH = {"lr": 2e-3, "freeze_norms": False, "head_init": "random"}
_DEFAULTS: dict[str, type] = {"stft": STFT, "network": WALNet}  # used instead of None


class TaggerParameters(BaseEstimator):
    """Estimator with parameters that are groups of settings, or names of such groups.

    A subclass has the parameters of a :class:`sktagger.AudioTagger`. If it does not have the
    parameter `network`, it defines `_get_network` and `_with_network`.
    """

    network: Network | None
    augmentation: Augmentation | str | None
    freeze: int | Literal["backbone"] | None
    init_from: Any
    device: str

    _network_parameters: ClassVar[tuple[str, ...]] = ("network",)
    _raises_interrupt = False
    # weights and thresholds of the network that predicts tags, if the network to train takes some
    _first_stage: tuple[Mapping[str, Tensor], Tensor] | None = None

    def _get_network(self) -> Network:
        """Return the settings of the network."""
        return WALNet() if self.network is None else self.network

    @classmethod
    def _with_network(cls, network: Network, **params: Any) -> Self:
        """Make a tagger from the settings of its network and its other parameters."""
        return cls(network=network, **params)

    def __sklearn_clone__(self):
        # clones share `init_from`, because a clone of it would have no weights
        copy = super().__sklearn_clone__()
        copy.init_from = self.init_from
        # Ctrl-C must end the whole cross-validation or search that fits the clone
        copy._raises_interrupt = True
        return copy

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters, without those of a tagger given as ``init_from``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the settings of ``network``, ``stft`` and ``augmentation``.

        Returns
        -------
        dict
            Values of the parameters by name.
        """
        params = super().get_params(deep)
        return {name: params[name] for name in params if not name.startswith("init_from__")}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, including the settings of ``network``, ``stft`` and ``augmentation``.

        Parameters
        ----------
        **params : dict
            For example ``lr=1e-3`` or ``augmentation__mixup_prob=0.8``. If a group is None or a
            name, it is first replaced by the settings that this means.

        Returns
        -------
        self
            The tagger with the new parameters.

        Raises
        ------
        ValueError
            If there is no such parameter, or it is one of the tagger in ``init_from``.
        """
        prefixes = {name.partition("__")[0] for name in params if "__" in name}
        if "init_from" in prefixes:
            raise ValueError(
                f"{sorted(name for name in params if name.startswith('init_from__'))} would change "
                "the tagger in init_from, which is only read. Call set_params of that tagger."
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
            if name == "default":  # depends on the network
                network = params.get("network", self._get_network()) or WALNet()
                name = network.default_augmentation
            params = {**params, "augmentation": AUGMENTATIONS[name]()}
        return super().set_params(**params)

    def _check_settings(self) -> None:
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

    def _resolve(self, name: str, network: Network) -> Any:
        """Return the value of a parameter, where "auto" depends on the network."""
        value = getattr(self, name)
        if not (isinstance(value, str) and value == "auto"):
            return value
        fine_tuning = {} if self.init_from is None else network.fine_tuning
        return {**_FROM_SCRATCH, **network.from_scratch, **fine_tuning}[name]

    def _resolve_augmentation(self) -> Augmentation | None:
        if self.augmentation == "default":
            return AUGMENTATIONS[self._get_network().default_augmentation]()
        if isinstance(self.augmentation, str):
            return AUGMENTATIONS[self.augmentation]()
        return self.augmentation
