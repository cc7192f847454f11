"""Read audio files in blocks, for files that do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soundfile
import soxr

from sktagger.audio._parts import read_samples
from sktagger.audio._waveforms import check_finite, resampled_length
from sktagger.audio.reading import Section, audio_info, check_complete, open_audio, undecodable

BLOCK_SAMPLES = 2**18  # per channel


def audio_blocks(
    section: Section, sample_rate: int, block_samples: int = BLOCK_SAMPLES
) -> Iterator[np.ndarray]:
    """Read a file, or a section of it, in blocks.

    The concatenated blocks are the result of :func:`sktagger.audio.read_audio`.

    Parameters
    ----------
    section : Section
        The file, or a section of it.
    sample_rate : int
        Sample rate of the result in Hz. Audio of another rate is resampled as a whole, without
        artifacts between blocks.
    block_samples : int, default=262144
        Number of samples per channel that are decoded at a time, at the sample rate of the file.

    Returns
    -------
    iterator of ndarray of shape (n_channels, n), float32
        The blocks.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        See :func:`sktagger.audio.read_audio`.
    """
    n_samples, orig_sr = audio_info(section)
    decoded = _decode(section, n_samples, block_samples)
    return resample_blocks(decoded, n_samples, orig_sr, sample_rate)


def resample_blocks(
    blocks: Iterable[np.ndarray], n_samples: int, orig_sr: int, target_sr: int
) -> Iterator[np.ndarray]:
    """Change the sample rate of a waveform in blocks.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n_channels, n), float32
        The waveform at the rate `orig_sr`.
    n_samples : int
        Number of samples per channel in all blocks together.
    orig_sr, target_sr : int
        Sample rates before and after, in Hz.

    Yields
    ------
    ndarray of shape (n_channels, n), float32
        The concatenated blocks are the result of :func:`sktagger.audio.reading.resample` for
        the whole waveform.
    """
    if orig_sr == target_sr:
        yield from blocks
        return
    left = resampled_length(n_samples, orig_sr, target_sr)
    stream, n_done = None, 0
    for block in blocks:
        if stream is None:
            stream = soxr.ResampleStream(orig_sr, target_sr, len(block), "float32", "HQ")
        n_done += block.shape[1]
        samples = np.ascontiguousarray(block.T)
        resampled = stream.resample_chunk(samples, last=n_done == n_samples)[:left].T
        left -= resampled.shape[1]
        yield resampled
    if left:
        yield np.zeros((len(block), left), dtype=np.float32)


def _decode(section, n_samples, block_samples):
    """Yield blocks at the sample rate of the file."""
    name = f"Audio file {section}"
    begin = section.start or 0
    n_done = 0
    with open_audio(section) as file:
        try:
            while n_done < n_samples:
                first = begin + n_done
                size = min(block_samples, n_samples - n_done)
                data = read_samples(file, first, first + size, "float32")
                if not len(data):
                    break
                check_finite(data, name, first=n_done)
                n_done += len(data)
                yield data.T
        except soundfile.SoundFileRuntimeError as error:
            raise undecodable(section, error) from error
    check_complete(section, n_samples, n_done)
