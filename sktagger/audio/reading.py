"""Audio file -> float32 waveform: read, resample, mono, centre, scale."""

import math
import re
import warnings
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from sktagger.audio._contents import file_contents
from sktagger.audio._files import MemoryFile, file_version, open_bytes, why_unreadable
from sktagger.audio._parts import Contents, JoinedFile, Recording, read_samples

__all__ = [
    "MemoryFile",
    "Section",
    "audio_info",
    "channels_cancel",
    "check_complete",
    "check_finite",
    "is_lost",
    "open_audio",
    "read_audio",
    "resample",
    "resampled_length",
    "to_mono",
    "undecodable",
]

# what libsndfile's log says of formats that are not looked into, where bytes or samples lack
_SIZES = re.compile(r"(?:FORM|BODY|Data length) *:? (\d+) \(?should be (\d+)")
_FRAMES = re.compile(r"^ *Frames *: (\d+)$", re.MULTILINE)
_TRUNCATED = re.compile("truncated")
_NIST_SAMPLES = re.compile(rb"sample_count -i (\d+)")
_SILENCE = 1e-3  # magnitude
_MOST_SAMPLES = 10_000  # in a byte: FLAC holds 65,535 equal ones in about eleven


class Section(NamedTuple):
    """Part of an audio file.

    Parameters
    ----------
    path : str or MemoryFile
        The file.
    start, stop : int or None
        First sample, and the sample after the last one, at the file's own rate. None: the
        beginning, the end.
    """

    path: str | MemoryFile
    start: int | None = None
    stop: int | None = None

    def __str__(self) -> str:
        if self.start is None and self.stop is None:
            return repr(self.path)
        stop = "the end" if self.stop is None else self.stop
        return f"{self.path!r} (samples {self.start or 0} to {stop})"


def resampled_length(n_samples: int, orig_sr: int, target_sr: int) -> int:
    """Count the samples that resampling leaves.

    Parameters
    ----------
    n_samples : int
        Number of samples before.
    orig_sr, target_sr : int
        Sample rates before and after, in Hz.

    Returns
    -------
    int

    Examples
    --------
    >>> resampled_length(1000, 8000, 44100)
    5513
    """
    return math.ceil(n_samples * target_sr / orig_sr)


def resample(waveform: np.ndarray, orig_sr: int, target_sr: int) -> np.ndarray:
    """Change the sample rate (soxr, high quality).

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
    orig_sr, target_sr : int
        Sample rates before and after, in Hz.

    Returns
    -------
    ndarray of shape (n_channels, ceil(n_samples * target_sr / orig_sr)), float32
    """
    if orig_sr == target_sr:
        return waveform
    n_samples = resampled_length(waveform.shape[1], orig_sr, target_sr)
    resampled = soxr.resample(waveform.T, orig_sr, target_sr, quality="HQ").T
    return _fit_length(resampled, n_samples)


def open_audio(section: Section) -> Recording | JoinedFile:
    """Open a file, and let its length be what is there: headers that only guess are put right.

    Parameters
    ----------
    section : Section

    Returns
    -------
    Recording or JoinedFile
        With `frames`, `samplerate`, `channels`, `seek`, `read` and `close`.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        As :func:`audio_info`.

    Warns
    -----
    UserWarning
        If something of the file is not read, or may be lost.
    """
    path = section.path
    version = file_version(path)
    try:
        contents = file_contents(path, version)
        file = _open(path, () if contents is None else contents.parts)
    except soundfile.LibsndfileError as error:
        raise why_unreadable(path, error.error_string) from error
    except TypeError as error:  # of files without a header
        raise why_unreadable(path, "raw samples have no header") from error
    except OSError as error:
        raise why_unreadable(path, str(error)) from error
    try:
        _check(section, file, contents, version.n_bytes)
    except BaseException:
        file.close()
        raise
    return file


def _open(path, parts):
    if parts:
        try:
            return JoinedFile(path, parts)
        except ValueError as error:
            raise ValueError(f"Audio file {path!r} cannot be read: {error}.") from error
    return Recording(open_bytes(path) if isinstance(path, MemoryFile) else path)


def audio_info(section: Section) -> tuple[int, int]:
    """Say how long a file is: by its header, or by what is there where headers only guess.

    Parameters
    ----------
    section : Section

    Returns
    -------
    n_samples : int
        Length of the section at the file's own rate.
    sample_rate : int
        The file's own rate in Hz.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        If the file is missing, cannot be read as audio, is cut off, or the section is not inside
        it. The message names the file.

    Warns
    -----
    UserWarning
        If something of the file is not read, or may be lost.
    """
    with open_audio(section) as file:
        start, stop = _bounds(section, file.frames)
        return stop - start, file.samplerate


def read_audio(section: Section, sample_rate: int) -> np.ndarray:
    """Decode a file, or only a section of it, at a given rate.

    Parameters
    ----------
    section : Section
    sample_rate : int
        Wanted rate in Hz; audio of another rate is resampled.

    Returns
    -------
    ndarray of shape (n_channels, n_samples), float32
        Of the length that :func:`audio_info` gives, resampled.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        As :func:`audio_info`, and if samples are missing or are NaN or infinite.
    MemoryError
        If the samples do not fit into memory.

    Warns
    -----
    UserWarning
        As :func:`audio_info`.
    """
    try:
        return _read(section, sample_rate)
    except MemoryError as error:
        raise MemoryError(
            f"Audio file {section}: does not fit into memory ({error}). Give sections of it."
        ) from error


def _read(section, sample_rate):
    with open_audio(section) as file:
        start, stop = _bounds(section, file.frames)
        try:
            data = read_samples(file, start, stop, "float32")
        except soundfile.SoundFileRuntimeError as error:
            raise undecodable(section, error) from error
        orig_sr = file.samplerate
    check_complete(section, stop - start, len(data))
    check_finite(data, f"Audio file {section}")
    return resample(data.T, orig_sr, sample_rate)


def undecodable(section: Section, error: Exception) -> ValueError:
    """Make the error of a file whose samples the decoder gives up on."""
    return ValueError(
        f"Audio file {section}: cannot be decoded ({str(error).strip(' .')}). It is cut off or "
        "damaged: copy it anew or leave the clip out."
    )


def check_complete(section: Section, n_samples: int, n_decoded: int) -> None:
    """Raise ValueError if fewer samples could be decoded than there should be."""
    if n_decoded < n_samples:
        raise ValueError(
            f"Audio file {section}: the header promises {n_samples} samples, but the data ends "
            f"after {n_decoded}. It is cut off or damaged: copy it anew or leave the clip out."
        )


def to_mono(waveform: np.ndarray, scale: str = "peak") -> np.ndarray:
    """Average the channels of a waveform, and scale it.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
    scale : {"peak", "raw"}, default="peak"
        "peak": each channel is centered, and the average has a peak just below 1. "raw": the
        average is returned as it is.

    Returns
    -------
    ndarray of shape (n_samples,), float32
        With "peak", it is divided by its largest magnitude plus 0.001, so that silence stays
        silence.

    Examples
    --------
    >>> import numpy as np
    >>> to_mono(np.array([[0.0, 2.0], [1.0, 1.0]], dtype=np.float32)).round(2)
    array([-1.,  1.], dtype=float32)
    >>> to_mono(np.array([[0.0, 2.0], [1.0, 1.0]], dtype=np.float32), "raw")
    array([0.5, 1.5], dtype=float32)
    """
    if scale == "raw":
        return waveform[0].copy() if len(waveform) == 1 else waveform.mean(axis=0)
    # Files interleave their channels, so NumPy sums the samples of a channel one by one instead of
    # pairwise: in float32, the mean over minutes would be off by its first digits.
    dtype = np.float32 if len(waveform) == 1 else np.float64
    means = waveform.mean(axis=1, keepdims=True, dtype=dtype).astype(np.float32)
    centered = waveform - means
    mono = centered[0] if len(centered) == 1 else centered.mean(axis=0)
    mono /= max(mono.max(), -mono.min()) + np.float32(_SILENCE)
    return mono


def channels_cancel(waveform: np.ndarray) -> bool:
    """Say whether channels are sound that is lost in their average, as of opposite polarity.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32

    Returns
    -------
    bool
        True if the average is more than 40 dB below the channels, and those are not silent.

    Examples
    --------
    >>> import numpy as np
    >>> channel = np.array([0.0, 0.5, -0.5], dtype=np.float32)
    >>> channels_cancel(np.stack([channel, -channel]))
    True
    """
    if len(waveform) == 1:
        return False
    centred = waveform - waveform.mean(axis=1, keepdims=True)
    mono = centred.mean(axis=0)
    return is_lost(np.vdot(centred, centred) / centred.size, np.vdot(mono, mono) / mono.size)


def is_lost(power: float, power_of_mono: float) -> bool:
    """Say whether channels of some mean square are lost in their average, see above."""
    return bool(power > _SILENCE**2 and power_of_mono < 1e-4 * power)


def _check(section, file, contents, n_bytes):
    """Raise an error, or warn, if a file has not what its header promises."""
    if file.frames > _MOST_SAMPLES * n_bytes:
        raise ValueError(
            f"Audio file {section}: the header promises {file.frames} samples, which is more than "
            "the file can hold. It is damaged: copy it anew or leave it out."
        )
    if contents is None:
        contents = _judge_by_log(section.path, file)
    if contents.missing and section.stop is None:
        raise ValueError(
            f"Audio file {section}: the header promises {contents.missing}. "
            "The file is cut off: copy it anew, give the section that is there, or leave it out."
        )
    if file.frames == 0:
        reason = f": {contents.doubt}" * bool(contents.doubt)
        raise ValueError(f"Audio file {section}: has no samples{reason}. Leave the clip out.")
    if contents.doubt:
        warnings.warn(f"Audio file {section}: {contents.doubt}.", UserWarning, stacklevel=4)


def _judge_by_log(path, file):
    """Say what a file lacks by libsndfile's log of its header."""
    log = file.extra_info
    if sizes := _SIZES.search(log):
        n_missing = int(sizes[1]) - int(sizes[2])
        return Contents(missing=f"{n_missing} bytes more than the file has" * (n_missing > 0))
    # the log of SDS files counts what fills up their last packet
    promised = [] if file.format == "SDS" else _FRAMES.findall(log)
    if file.format == "NIST":
        with open_bytes(path) as header:
            promised = _NIST_SAMPLES.findall(header.read(1024))
    n_promised = int(promised[0]) if promised else file.frames
    if n_promised > file.frames:
        return Contents(missing=f"{n_promised} samples, but the data ends after {file.frames}")
    if n_promised < file.frames:
        return Contents(doubt=f"the header counts {n_promised} samples, but {file.frames} are read")
    return Contents(missing="more than the file has" if _TRUNCATED.search(log) else "")


def _bounds(section, n_samples):
    start = section.start or 0
    stop = n_samples if section.stop is None else section.stop
    if not 0 <= start < stop <= n_samples:
        raise ValueError(
            f"Audio file {section}: the section is not inside the file, which has {n_samples} "
            "samples. Needed is 0 <= start < stop <= number of samples, at the file's own rate."
        )
    return start, stop


def check_finite(data, name, *, first=None):
    """Refuse NaN and inf in data of shape (n_samples, n_channels).

    `first` is the number of samples before the data, if they are a block of a clip.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(data.sum()):
            return
    bad = np.flatnonzero(~np.isfinite(data).all(axis=1))
    if len(bad):
        in_all = f" ({len(bad)} such samples in all)" if first is None else ""
        raise ValueError(
            f"{name}: sample {(first or 0) + bad[0]} is NaN or infinite{in_all}. "
            "Samples must be finite: repair the audio or leave the clip out."
        )


def _fit_length(waveform, n_samples):
    """Cut or zero-pad (n_channels, n) to n_samples."""
    missing = n_samples - waveform.shape[1]
    if missing > 0:
        return np.pad(waveform, ((0, 0), (0, missing)))
    return waveform[:, :n_samples]
