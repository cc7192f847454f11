"""Plans of batches -> tensors, made ahead in threads."""

import threading
import warnings
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from sktagger.audio.augmentation import FeatureDraw, roll
from sktagger.audio.reading import channels_cancel, to_mono
from sktagger.audio.spectral import frame_onsets, stft
from sktagger.audio.unreadable import Unreadable
from sktagger.batching.device_transfer import padded_length, pin
from sktagger.batching.smaller_batches import first_line

CPU = torch.device("cpu")


class Batch(NamedTuple):
    """A batch of clips as tensors, and which clips they are.

    Attributes
    ----------
    inputs : dict
        `n_frames` (n_clips,), and what :meth:`ClipDataset.inputs` makes; or `n_frames` and
        `long_clip`, a :class:`sktagger.batching.long_clips.LongClip`.
    targets : tuple of Tensor or Tensor
        Events (n_clips, n_events) and weights (n_clips,); zeros if the dataset has no targets.
    rows : ndarray of shape (n_clips,), int
        Positions of the clips in the container that they come from; of a mixture, that of its first
        clip. Clips that cannot be read are left out: there may be none.
    longest : str
        Name of the longest clip that was planned.
    """

    inputs: dict[str, Any]
    targets: Any
    rows: np.ndarray
    longest: str


class ClipDataset(Dataset):
    """Batches of clips as tensors; an item is what a list of examples gives.

    Parameters
    ----------
    clips : FileClips or ArrayClips
    lengths : ndarray of shape (n_clips,), int
        Length of each clip in samples at `sample_rate`.
    sample_rate : int
        In Hz.
    sizes : STFTSizes
    targets : ndarray of shape (n_clips, n_events), float32, or None, default=None
        1 where an event occurs in a clip.
    weights : ndarray of shape (n_clips,), float32, or None, default=None
        Weights of the clips, on average 1. They are those of examples whose plan gives none.
    device : torch.device, default=torch.device("cpu")
        Where batches go. For a GPU, they hold waveforms, which
        :func:`sktagger.batching.device_transfer.to_device` transforms there.
    unreadable : Unreadable or None, default=None
        Gets the clips that cannot be read. None: they are errors.
    scale : {"peak", "raw"}, default="peak"
        Of waveforms, see :func:`sktagger.audio.reading.to_mono`.
    distortions : sequence of str, default=("warp", "time_mask", "mel_mask")
        Fields of :class:`sktagger.audio.augmentation.FeatureDraw` that the network can apply.
    """

    def __init__(
        self,
        clips,
        lengths,
        sample_rate,
        sizes,
        targets=None,
        weights=None,
        *,
        device=CPU,
        unreadable=None,
        scale="peak",
        distortions=FeatureDraw._fields,
    ):
        self.clips = clips
        self.lengths = lengths
        self.sample_rate = sample_rate
        self.sizes = sizes
        self.targets = targets
        self.weights = weights
        self.device = device
        self.unreadable = Unreadable("raise") if unreadable is None else unreadable
        self.scale = scale
        self.distortions = distortions
        self._make_inputs = self._spectra if device.type == "cpu" else self._frames
        self._cancelling = set()
        self._lock = threading.Lock()

    def __len__(self):
        """Count the clips."""
        return len(self.clips)

    def __getitem__(self, examples) -> Batch:
        """Make a batch of the examples whose clips can be read.

        Parameters
        ----------
        examples : list of Example

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
        inputs = self.inputs(examples, waveforms)
        return Batch(inputs, self.targets_of(examples), self.rows_of(examples), longest)

    def rows_of(self, examples) -> np.ndarray:
        """Give the position of each example's first clip in the container that it comes from."""
        return np.array([self.clips.positions[example.parts[0].index] for example in examples])

    def inputs(self, examples, waveforms) -> dict:
        """Make the inputs of a batch from the waveforms of the parts of each example.

        Returns
        -------
        dict of Tensor
            `stft` (n_clips, 1, n_frames, n_bins, 2), `n_frames` (n_clips,) and, for distorted
            examples, those of `warp`, `time_mask` and `mel_mask` (n_clips, 2) that the network
            takes: the arguments of :meth:`sktagger.networks.NetworkModule.forward`. For a GPU, and
            where there is no memory for the STFT, `samples`, `onsets` and `places` instead of
            `stft`, see :func:`sktagger.networks.stft_of_frames`.
        """
        try:
            inputs = self._make_inputs(examples, waveforms)
        except MemoryError:
            if self._make_inputs == self._frames:
                raise
            # the STFT is then computed for fewer clips at a time, see ClipLimit
            inputs = self._frames(examples, waveforms)
        inputs["n_frames"] = torch.tensor([e.n_frames for e in examples])
        if examples[0].features is not None:
            for name in self.distortions:
                inputs[name] = torch.tensor([getattr(e.features, name) for e in examples])
        return inputs

    def load(self, examples):
        """Make a batch that is ready to be copied to the device."""
        try:
            batch = self[examples]
        except MemoryError as error:
            longest = self.longest(examples)
            if longest in str(error):
                raise
            raise MemoryError(
                f"Out of memory while a batch was read ({first_line(error)}). It has "
                f"{len(examples)} clips, the longest of which is {longest}. Set a lower batch_size "
                "or n_jobs, split long clips into sections (path, start, stop), or free memory "
                "that other programs hold."
            ) from error
        inputs, targets = pin((batch.inputs, batch.targets), self.device)
        return batch._replace(inputs=inputs, targets=targets)

    def longest(self, examples) -> str:
        """Name the longest clip of a batch."""
        indices = [part.index for example in examples for part in example.parts]
        return self.clips.name(max(indices, key=self.lengths.__getitem__))

    def _spectra(self, examples, waveforms):
        """Transform the examples, and add up those that are mixed."""
        length = padded_length(max(e.n_frames for e in examples))
        spectra = np.zeros((len(examples), 1, length, self.sizes.n_bins, 2), np.float32)
        for spectrum, example, of_parts in zip(spectra, examples, waveforms, strict=True):
            for part, waveform in zip(example.parts, of_parts, strict=True):
                onsets = self._onsets(part)
                out = spectrum[0, part.onset : part.onset + len(onsets)]
                stft(waveform, onsets, self.sizes, out=out)
        return {"stft": torch.from_numpy(spectra)}

    def _frames(self, examples, waveforms):
        """Lay the waveforms end to end, and say where their frames begin and where they go."""
        length = padded_length(max(e.n_frames for e in examples))
        samples, onsets, places = [], [], []
        n_samples = 0
        for row, (example, of_parts) in enumerate(zip(examples, waveforms, strict=True)):
            for part, waveform in zip(example.parts, of_parts, strict=True):
                first = self._onsets(part)
                missing = max(0, self.sizes.win_length - len(waveform))
                samples.append(np.pad(waveform, (0, missing)))
                onsets.append(first + n_samples)
                places.append(row * length + part.onset + np.arange(len(first)))
                n_samples += len(samples[-1])
        parts = {"samples": samples, "onsets": onsets, "places": places}
        return {name: torch.from_numpy(np.concatenate(part)) for name, part in parts.items()}

    def _waveform(self, part):
        """Load the waveform of a part; None if it cannot be read."""
        read = partial(self._load, part.index)
        waveform = self.unreadable.read(self.clips.positions[part.index], read)
        if waveform is None:
            return None
        if channels_cancel(waveform):
            self.warn_of_cancelling(part.index)
        if part.draw is None:
            return to_mono(waveform, self.scale)
        waveform = to_mono(roll(waveform, part.draw.n_roll, self.sample_rate), self.scale)
        waveform *= np.float32(part.draw.gain)
        return waveform

    def _load(self, index):
        waveform = self.clips.load(index, self.sample_rate)
        self.check_length(index, waveform.shape[1])
        return waveform

    def check_length(self, index, n_samples):
        """Raise ValueError if a clip has another length than its header had promised."""
        if n_samples != self.lengths[index]:
            raise ValueError(
                f"{self.clips.name(index)} has changed: it had {self.lengths[index]} samples (at "
                f"{self.sample_rate} Hz) when its header was read, and now has {n_samples}. Leave "
                "files alone while they are used."
            )

    def warn_of_cancelling(self, index):
        """Warn once of a clip whose channels are not heard."""
        with self._lock:
            is_known = index in self._cancelling
            self._cancelling.add(index)
        if not is_known:
            warnings.warn(
                f"{self.clips.name(index)}: its channels cancel each other, so that their average, "
                "which is scored, is silence. Turn the sign of one, or give a single channel.",
                UserWarning,
                stacklevel=2,
            )

    def _onsets(self, part):
        """Give the onsets of the frames of a part."""
        if part.draw is None:
            return frame_onsets(self.lengths[part.index], self.sizes)
        return part.draw.onsets

    def targets_of(self, examples):
        """Make the targets of a batch."""
        if self.targets is None:
            return torch.zeros(len(examples))
        indices = [[part.index for part in example.parts] for example in examples]
        events = np.stack([self.targets[i].max(axis=0) for i in indices])
        # the plan drew what is mixed in as often as it is to count: it must not count again here
        weights = [
            self.weights[example.parts[0].index] if example.weight is None else example.weight
            for example in examples
        ]
        return torch.from_numpy(events), torch.from_numpy(np.array(weights, np.float32))


def n_frames_of(examples) -> int:
    """Count the frames of a batch, padding included."""
    return len(examples) * padded_length(max(example.n_frames for example in examples))
