"""Make batches of tensors from the examples of a plan."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sktagger._utils.warnings import warn
from sktagger.audio._waveforms import place, roll
from sktagger.audio.clips import ArrayClips, FileClips
from sktagger.audio.edges import prepare
from sktagger.audio.reading import channels_cancel, to_mono
from sktagger.audio.spectral import STFTSizes, frame_onsets, samples_missing, stft
from sktagger.audio.unreadable import Unreadable
from sktagger.batching.activity import activity_of_example
from sktagger.batching.device_transfer import padded_length, pin
from sktagger.batching.plans import Example, Part
from sktagger.batching.smaller_batches import first_line
from sktagger.targets import EventTimes

__all__ = ["Batch", "ClipDataset", "count_frames"]

_CPU = torch.device("cpu")


class Batch(NamedTuple):
    """A batch of clips as tensors.

    Attributes
    ----------
    inputs : dict
        See :meth:`ClipDataset.inputs`, and :meth:`ClipDataset.activity`. Of a long clip that is
        scored in chunks, it has `n_frames` and `long_clip`, a
        :class:`sktagger.batching.long_clips.LongClip`, instead of the former.
    targets : tuple of Tensor or Tensor
        Events (n_clips, n_events) and weights (n_clips,), both float32. Zeros (n_clips,) if the
        dataset has no targets.
    rows : ndarray of shape (n_clips,), int
        Positions of the clips in their container; for a mixture, that of its first clip. Clips
        that cannot be read are left out, so that a batch can be empty.
    longest : str
        Name of the longest clip of the batch, even if it cannot be read.
    """

    inputs: dict[str, Any]
    targets: Any
    rows: np.ndarray
    longest: str


class ClipDataset(Dataset):
    """Clips as a dataset of PyTorch, whose items are batches.

    Parameters
    ----------
    clips : FileClips or ArrayClips
    lengths : ndarray of shape (n_clips,), int
        Length of each clip in samples at `sample_rate`.
    sample_rate : int
        In Hz.
    sizes : STFTSizes
        Sizes of the STFT.
    targets : ndarray of shape (n_clips, n_events), float32, or None, default=None
        1 where an event occurs in a clip, else 0. None for prediction.
    weights : ndarray of shape (n_clips,), float32, or None, default=None
        Weights of the clips in the loss, with a mean of 1, for examples without a weight of their
        own. None for prediction.
    device : torch.device, default=torch.device("cpu")
        Device of the network. For a GPU, batches have waveforms instead of STFTs, and
        :func:`sktagger.batching.device_transfer.to_device` transforms them.
    unreadable : Unreadable or None, default=None
        Records the clips that cannot be read. None: they raise errors.
    scale : {"peak", "raw"}, default="peak"
        How waveforms are scaled, see :func:`sktagger.audio.reading.to_mono`.
    distortions : sequence of str, default=("warp", "time_mask", "mel_mask")
        Fields of :class:`sktagger.audio.draws.FeatureDraw` that the network can apply.
    times : EventTimes or None, default=None
        Onsets and offsets of the events, for training. None: they are not known.
    """

    def __init__(
        self,
        clips: FileClips | ArrayClips,
        lengths: np.ndarray,
        sample_rate: int,
        sizes: STFTSizes,
        targets: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        *,
        device: torch.device = _CPU,
        unreadable: Unreadable | None = None,
        scale: str = "peak",
        distortions: Sequence[str] = ("warp", "time_mask", "mel_mask"),
        times: EventTimes | None = None,
    ):
        self.clips = clips
        self.lengths = lengths
        self.sample_rate = sample_rate
        self.sizes = sizes
        self.targets: Any = targets  # None: the dataset has none
        self.weights = weights
        self.device = device
        self.unreadable = Unreadable("raise") if unreadable is None else unreadable
        self.scale = scale
        self.distortions = distortions
        self.times = times
        self._warned = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def __getitem__(self, examples: list[Example]) -> Batch:
        """Make a batch.

        Parameters
        ----------
        examples : list of Example
            Those with a clip that cannot be read are left out.

        Returns
        -------
        Batch
        """
        longest = self.longest(examples)
        read = [(e, [self._waveform(part) for part in e.parts]) for e in examples]
        read = [(e, waveforms) for e, waveforms in read if all(w is not None for w in waveforms)]
        if not read:
            nothing = torch.zeros(0, dtype=torch.int64)
            return Batch({"n_frames": nothing}, torch.zeros(0), np.zeros(0, int), longest)
        examples, waveforms = zip(*read, strict=True)
        inputs = self.inputs(examples, waveforms) | self.activity(examples)
        return Batch(inputs, self.targets_of(examples), self.rows_of(examples), longest)

    def rows_of(self, examples: Sequence[Example]) -> np.ndarray:
        """Return the positions of the first clips of examples in their container.

        Parameters
        ----------
        examples : sequence of Example

        Returns
        -------
        ndarray of shape (n_clips,), int
        """
        return np.array([self.clips.positions[example.parts[0].index] for example in examples])

    def inputs(
        self, examples: Sequence[Example], waveforms: Sequence[Sequence[np.ndarray]]
    ) -> dict[str, Tensor]:
        """Make the inputs of a batch.

        Parameters
        ----------
        examples : sequence of Example
        waveforms : sequence of sequence of ndarray of shape (n_samples,), float32
            The waveforms of the parts of each example, prepared by
            :func:`sktagger.audio.edges.prepare`.

        Returns
        -------
        dict of Tensor
            Arguments of :meth:`sktagger.networks.NetworkModule.forward`: `stft`
            (n_clips, 1, n_frames, n_bins, 2), `n_frames` (n_clips,) and, if the examples are
            distorted, those of `warp`, `time_mask`, `mel_mask` and `noise` (n_clips, 2) that the
            network can apply. There is no `noise` if its level is 0 in all clips. For a GPU, or if
            the STFT does not fit into memory, `stft` is replaced by `samples`, `onsets` and
            `places`, see :func:`sktagger.networks.stft_of_frames`.
        """
        inputs = None
        if self.device.type == "cpu":
            with suppress(MemoryError):
                inputs = self._spectra(examples, waveforms)
        if inputs is None:  # the network computes the STFT, perhaps of fewer clips at a time
            inputs = self._frames(examples, waveforms)
        inputs["n_frames"] = torch.tensor([e.n_frames for e in examples])
        if examples[0].features is not None:
            for name in self.distortions:
                values = [getattr(e.features, name) for e in examples]
                if name != "noise" or any(level for level, _ in values):
                    inputs[name] = torch.tensor(values)
        return inputs

    def activity(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Make the input of a batch that tells when events occur, for the loss.

        Parameters
        ----------
        examples : sequence of Example

        Returns
        -------
        dict of Tensor
            `activity` (n_clips, n_events, n_frames), float32: 1 in frames whose center lies inside
            of an event. An event of which no time is known is 0 in all frames. No `activity` if the
            dataset has no times.
        """
        if self.times is None:
            return {}
        length = padded_length(max(e.n_frames for e in examples))
        activity = np.zeros((len(examples), len(self.times.classes), length), np.float32)
        for row, example in zip(activity, examples, strict=True):
            activity_of_example(example, self, out=row)
        return {"activity": torch.from_numpy(activity)}

    def load(self, examples: list[Example]) -> Batch:
        """Make a batch that is ready to be copied to the device.

        Parameters
        ----------
        examples : list of Example
            Those with a clip that cannot be read are left out.

        Returns
        -------
        Batch

        Raises
        ------
        MemoryError
            If memory runs out. The message names the longest clip.
        """
        try:
            batch = self[examples]
        except MemoryError as error:
            longest = self.longest(examples)
            if longest in str(error):
                raise
            raise MemoryError(
                f"Out of memory while a batch was read ({first_line(error)}). It has "
                f"{len(examples)} clips; the longest is {longest}. Set a lower batch_size "
                "or n_jobs, split long clips into sections (path, start, stop), or free memory "
                "that other programs hold."
            ) from error
        inputs, targets = pin((batch.inputs, batch.targets), self.device)
        return batch._replace(inputs=inputs, targets=targets)

    def longest(self, examples: Sequence[Example]) -> str:
        """Return the name of the longest clip in examples.

        Parameters
        ----------
        examples : sequence of Example

        Returns
        -------
        str
        """
        indices = [part.index for example in examples for part in example.parts]
        return self.clips.name(max(indices, key=self.lengths.__getitem__))

    def _spectra(self, examples, waveforms):
        """Compute the STFTs of examples, and add up those of mixed clips."""
        length = padded_length(max(e.n_frames for e in examples))
        spectra = np.zeros((len(examples), 1, length, self.sizes.n_bins, 2), np.float32)
        for spectrum, example, of_parts in zip(spectra, examples, waveforms, strict=True):
            for part, waveform in _separate(example.parts, of_parts):
                onsets = self.onsets_of(part)
                out = spectrum[0, part.onset : part.onset + len(onsets)]
                stft(waveform, onsets, self.sizes, out=out)
        return {"stft": torch.from_numpy(spectra)}

    def _frames(self, examples, waveforms):
        """Concatenate the waveforms, and locate their frames in them and in the batch."""
        length = padded_length(max(e.n_frames for e in examples))
        samples, onsets, places = [], [], []
        n_samples = 0
        for row, (example, of_parts) in enumerate(zip(examples, waveforms, strict=True)):
            for part, waveform in _separate(example.parts, of_parts):
                first = self.onsets_of(part)
                missing = samples_missing(len(waveform), first, self.sizes)
                samples.append(np.pad(waveform, (0, missing)))
                onsets.append(first + n_samples)
                places.append(row * length + part.onset + np.arange(len(first)))
                n_samples += len(samples[-1])
        parts = {"samples": samples, "onsets": onsets, "places": places}
        return {name: torch.from_numpy(np.concatenate(part)) for name, part in parts.items()}

    def _waveform(self, part):
        """Load and distort the waveform of a part; None if it cannot be read."""
        read = partial(self._load, part.index)
        waveform = self.unreadable.read(self.clips.positions[part.index], read)
        if waveform is None:
            return None
        if channels_cancel(waveform):
            self.warn_channels_cancel(part.index)
        if part.draw is None:
            return prepare(to_mono(waveform, self.scale), self.sizes)
        waveform = to_mono(roll(waveform, part.draw.n_roll, self.sample_rate), self.scale)
        waveform *= np.float32(part.draw.gain)
        if part.draw.n_total is not None:
            n_fade = self.sizes.win_length
            waveform = place(waveform, part.draw.offset, part.draw.n_total, n_fade)
        return prepare(waveform, self.sizes)

    def _load(self, index):
        waveform = self.clips.load(index, self.sample_rate)
        self.check_length(index, waveform.shape[1])
        return waveform

    def check_length(self, index: int, n_samples: int) -> None:
        """Check that a clip has the length that its header gave.

        Parameters
        ----------
        index : int
            Which clip.
        n_samples : int
            Number of samples that were read.

        Raises
        ------
        ValueError
            If the clip has another length.
        """
        if n_samples != self.lengths[index]:
            raise ValueError(
                f"{self.clips.name(index)} has changed: it had {self.lengths[index]} samples (at "
                f"{self.sample_rate} Hz) when its header was read, and now has {n_samples}. Leave "
                "files unchanged while they are used."
            )

    def warn_channels_cancel(self, index: int) -> None:
        """Warn that the channels of a clip cancel each other, once for each clip.

        Parameters
        ----------
        index : int
            Which clip.
        """
        with self._lock:
            is_known = index in self._warned
            self._warned.add(index)
        if not is_known:
            warn(
                f"{self.clips.name(index)}: its channels cancel each other. Their average, which "
                "is scored, is silence. Invert one channel, or give a single channel."
            )

    def onsets_of(self, part: Part) -> np.ndarray:
        """Return the first samples of the frames of a part, in its prepared waveform."""
        if part.draw is None:
            return frame_onsets(self.lengths[part.index], self.sizes)
        return part.draw.onsets

    def targets_of(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor] | Tensor:
        """Make the targets of a batch.

        Parameters
        ----------
        examples : sequence of Example

        Returns
        -------
        tuple of Tensor or Tensor
            See :class:`Batch`.
        """
        if self.targets is None:
            return torch.zeros(len(examples))
        indices = [[part.index for part in example.parts] for example in examples]
        events = np.stack([self.targets[i].max(axis=0) for i in indices])
        # The weight of the second clip of a mixture does not count here, because the plan already
        # draws second clips by their weights.
        own = np.ones(len(self.targets)) if self.weights is None else self.weights
        weights = [
            own[example.parts[0].index] if example.weight is None else example.weight
            for example in examples
        ]
        return torch.from_numpy(events), torch.from_numpy(np.array(weights, np.float32))


def _separate(parts, waveforms):
    """Pair the parts of an example with their waveforms; those of one mixture are added up."""
    first = parts[0]
    if first.draw is not None and first.draw.n_total is not None:
        return [(first, sum(waveforms[1:], waveforms[0]))]
    return zip(parts, waveforms, strict=True)


def count_frames(examples: Sequence[Example]) -> int:
    """Count the frames of a batch, including padding.

    Parameters
    ----------
    examples : sequence of Example

    Returns
    -------
    int
    """
    return len(examples) * padded_length(max(example.n_frames for example in examples))
