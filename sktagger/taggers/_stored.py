"""Saving taggers, and making fitted ones from files, pretrained models and other taggers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sktagger._utils.files import expand_path
from sktagger.networks import Network
from sktagger.pretrained import fetch
from sktagger.taggers import persistence
from sktagger.taggers._fitting import FittingTagger
from sktagger.taggers._foreign import map_classes, restore_foreign, restore_padertorch
from sktagger.taggers._weights import network_of, network_of_model, read_weights
from sktagger.training._file_kinds import is_safetensors
from sktagger.training.fine_tuning import Weights

if TYPE_CHECKING:
    from typing_extensions import Self


class StoredTagger(FittingTagger):
    """Tagger that can be trained, saved, and read from files."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tagger to a file without Python objects in it.

        The file has the weights as safetensors, and the estimator, network, settings, events and
        versions as JSON. Loading it runs no code, so files from untrusted sources are safe. It has
        no training state.

        Parameters
        ----------
        path : str or PathLike
            An existing file is replaced in one step.

        Raises
        ------
        NotFittedError
            If the tagger is not fitted.
        ValueError
            If the file could not be loaded again; for example, if the name of an event has 1000
            characters.
        """
        check_is_fitted(self)
        persistence.save(path, self)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        precision: Literal["auto", "float32", "bfloat16"] | None = None,
        networks: Sequence[type[Network]] = (),
    ) -> Self:
        """Read a saved tagger, or the best tagger of a training. Nothing in the file is executed.

        Parameters
        ----------
        path : str or PathLike
            File that `save` wrote, or a checkpoint. In a directory of an experiment (of ``sktagger
            train``) or of a :class:`sktagger.training.callbacks.Checkpoint`, the best checkpoint
            is read.
        device : str, default="auto"
            Parameter of the tagger, which is not in the file.
        precision : {"auto", "float32", "bfloat16"} or None, default=None
            Parameter of the tagger. None: as saved.
        networks : sequence of class, default=()
            Networks that the file may name, in addition to those of :mod:`sktagger.networks`.

        Returns
        -------
        AudioTagger
            Fitted tagger. If a subclass was saved, an instance of the subclass.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, has a newer format, holds another estimator, or
            another method reads it, which the message names.
        """
        tagger, _ = persistence.load(
            path, estimators(), base=cls, device=device, precision=precision, networks=networks
        )
        return tagger

    @classmethod
    def from_checkpoint(
        cls,
        path: str | os.PathLike[str],
        network: Network | None = None,
        classes: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Read weights that the original implementation of a network trained.

        They are checkpoints of EfficientAT [1]_ ("mn10_as_mAP_471.pt") and PANNs [2]_
        ("Cnn14_mAP=0.431.pth"), trained on AudioSet or on other events, and of the FBCRNN of pb_sed
        [3]_. Nothing in the file is executed.

        Parameters
        ----------
        path : str or PathLike
            A file of PyTorch, of any version.
        network : Network or None, default=None
            Settings of the network. None: they are told by the weights and, where these do not show
            them, by the name of the file.
        classes : array-like of shape (n_events,) or None, default=None
            Events of the outputs, in their order. None: the classes of AudioSet
            (:func:`sktagger.datasets.audioset_classes`) for 527 outputs of EfficientAT or PANNs,
            else numbers.
        **params : dict
            Other parameters of the tagger, such as `device`.

        Returns
        -------
        AudioTagger
            Fitted tagger.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing or damaged, its weights are those of no known network or do not
            fit `network`, or its settings are unknown; then the message lists the choices.

        References
        ----------
        .. [1] F. Schmid, K. Koutini, G. Widmer, "Efficient large-scale audio tagging via
           transformer-to-CNN knowledge distillation", ICASSP 2023.
        .. [2] Q. Kong et al., "PANNs: Large-scale pretrained audio neural networks for audio
           pattern recognition", IEEE/ACM TASLP 28, 2020.
        .. [3] J. Ebbers, R. Haeb-Umbach, "Forward-backward convolutional recurrent neural networks
           and tag-conditioned convolutional neural networks for weakly labeled semi-supervised
           sound event detection", DCASE Workshop 2020.
        """
        path = expand_path(path)
        if path.is_file() and is_safetensors(path):
            raise ValueError(f"{str(path)!r} is a file of sktagger: {cls.__name__}.load reads it.")
        return restore_foreign(cls, path, network, classes, params)

    @classmethod
    def from_padertorch(
        cls,
        source: str | os.PathLike[str] | dict[str, Any],
        *,
        classes: Sequence[str],
        network: Network | None = None,
        **params: Any,
    ) -> Self:
        """Read a WALNet of padertorch, or an FBCRNN of pb_sed. Nothing in the file is executed.

        Parameters
        ----------
        source : str, PathLike or dict
            Checkpoint file, or a state dict. In both, the state dict may be under the key "model".
        classes : sequence of str
            Events in the order of the network's outputs (``events.json`` of the experiment).
        network : Network or None, default=None
            Settings of the network. None: they are told by the weights, with the default sample
            rate of the network.
        **params : dict
            Other parameters of the tagger, such as `device`.

        Returns
        -------
        AudioTagger
            Fitted tagger.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file cannot be read safely, or its tensors are not finite or do not fit the
            network with these events.
        """
        return restore_padertorch(cls, source, classes, network, params)

    @classmethod
    def from_pretrained(cls, name: str, **params: Any) -> Self:
        """Read a pretrained model by its name. Its file is fetched once into a cache folder.

        Parameters
        ----------
        name : str
            One of :func:`sktagger.pretrained.list_models`, such as "mn10_as".
        **params : dict
            Parameters of the tagger, such as `device`. With ``verbose=0``, no progress of the
            download is shown, either.

        Returns
        -------
        AudioTagger
            Fitted tagger with the 527 events of AudioSet.

        Raises
        ------
        ValueError
            If there is no such model. The message has similar names.
        OSError
            If it cannot be fetched. The message says which file to put where.
        """
        network = network_of_model(name)
        tagger = cls._with_network(network, **params)
        tagger._check_settings()  # before a file is fetched
        path = fetch(name, progress=bool(tagger.verbose))
        return restore_foreign(cls, path, network, None, params)

    def map_classes(self, mapping: Mapping[Any, Any], *, multilabel: bool | None = None) -> Self:
        """Make a tagger of one's own events from those of this one, without training.

        Parameters
        ----------
        mapping : dict
            From each own event to the event of this tagger that has its scores, such as
            ``{"Dog bark": "Bark", "Rain": "Rain"}``.
        multilabel : bool or None, default=None
            Whether a clip may have several events. False: `predict` returns the event with the best
            score, and scores of a clip sum to 1. None: as in this tagger.

        Returns
        -------
        AudioTagger
            Fitted tagger. Its scores are those of this one. It can be saved, and be the `init_from`
            of a training.

        Raises
        ------
        ValueError
            If `mapping` is empty, or names an event that this tagger does not have. The message has
            similar names.

        Examples
        --------
        >>> import numpy as np
        >>> from sktagger import AudioTagger
        >>> from sktagger.networks import WALNet
        >>> X = np.random.default_rng(0).standard_normal((4, 8000))
        >>> Y = [["noise"], ["noise", "loud"], [], ["loud"]]
        >>> tagger = AudioTagger(WALNet(sample_rate=8000), max_epochs=1, random_state=0).fit(X, Y)
        >>> tagger.map_classes({"a din": "loud"}).classes_
        array(['a din'], dtype='<U5')
        """
        check_is_fitted(self)
        return map_classes(self, mapping, multilabel)

    def _get_network(self) -> Network:
        if self.network is not None or self.init_from is None:
            return super()._get_network()
        if hasattr(self, "net_") and getattr(self, "_began_with", None) is self.init_from:
            return self._network
        return network_of(self.init_from, estimators())

    def _read_init_from(self, network: Network) -> Weights:
        progress = bool(self.verbose)
        return read_weights(self.init_from, network, estimators(), progress=progress)


def estimators() -> dict[str, type[StoredTagger]]:
    """Return the classes of taggers that a file can name, by name."""
    found: dict[str, type[StoredTagger]] = {}
    classes = StoredTagger.__subclasses__()
    while classes:
        tagger = classes.pop(0)
        found[tagger.__name__] = tagger
        classes += tagger.__subclasses__()
    return found
