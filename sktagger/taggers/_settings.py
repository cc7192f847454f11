"""A tagger's settings: groups of them set by name, checked, and resolved."""

from typing import NamedTuple

from sklearn.base import BaseEstimator

from sktagger._utils.validation import check_params
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.spectral import STFT, STFTSizes
from sktagger.batching.devices import resolve_device

AUGMENTATIONS = {"default": Augmentation, "reference": Augmentation.reference}


class NetworkSettings(NamedTuple):
    """What a network's scores depend on besides its weights.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    sizes : STFTSizes
    fmin : float
        In Hz.
    pooling : str
    """

    sample_rate: int
    sizes: STFTSizes
    fmin: float
    pooling: str

    def features(self) -> dict:
        """Give the settings of the features, which the weights fit."""
        return {"sample_rate": self.sample_rate, "fmin": self.fmin, **self.sizes._asdict()}


class TaggerSettings(BaseEstimator):
    """Parameters of a tagger: groups among them, names and defaults that stand for settings.

    A subclass has the parameters of a :class:`sktagger.WALNetTagger`.
    """

    _raises_interrupt = False

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
            Whether to give those of ``stft`` and ``augmentation``, too.

        Returns
        -------
        dict
        """
        params = super().get_params(deep)
        return {name: params[name] for name in params if not name.startswith("init_from__")}

    def set_params(self, **params):
        """Set parameters, also those of ``stft`` and ``augmentation``.

        Parameters
        ----------
        **params : dict
            Such as ``lr=1e-3`` or ``augmentation__mixup_prob=0.8``. Where the group of a nested
            parameter is a default or a name, it is replaced by the settings it stands for first.

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
        if "stft" in prefixes and params.get("stft", self.stft) is None:
            params = {**params, "stft": STFT()}
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
        augmentation = self._resolve_augmentation()
        if augmentation is not None:
            augmentation.validate()
        self._resolve_stft()
        resolve_device(self.device)

    def _resolve_network(self):
        return NetworkSettings(self.sample_rate, self._resolve_stft(), self.fmin, self.pooling)

    def _resolve_augmentation(self):
        if isinstance(self.augmentation, str):
            return AUGMENTATIONS[self.augmentation]()
        return self.augmentation

    def _resolve_stft(self):
        sizes = (STFT() if self.stft is None else self.stft).sizes(self.sample_rate)
        if self.fmin >= self.sample_rate / 2:
            raise ValueError(
                f"fmin={self.fmin} Hz must lie below half the sample_rate of {self.sample_rate} Hz."
            )
        return sizes
