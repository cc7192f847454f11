"""Audio file -> float32 waveform: read, resample, mono, centre, scale."""

import math
import os
import re
import stat
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

# what libsndfile's log says where a header is wrong about the number of bytes
_SIZES = re.compile(
    r"^ *(?:data|SSND|riff|Riff size|Data Size) *: (\d+) \(should be (\d+)\)$", re.MULTILINE
)
_UNKNOWN_SIZE = 2**31 - 2**12
_FEW_BYTES = 64
_MOST_SAMPLES = 10_000  # in a byte: FLAC holds 65,535 equal ones in about eleven


class Section(NamedTuple):
    """Part of an audio file.

    Parameters
    ----------
    path : str
        The file.
    start, stop : int or None
        First sample, and the sample after the last one, at the file's own rate. None: the
        beginning, the end.
    """

    path: str
    start: int | None = None
    stop: int | None = None

    def __str__(self) -> str:
        if self.start is None and self.stop is None:
            return repr(self.path)
        return f"{self.path!r} (samples {self.start or 0} to {self.stop or 'the end'})"


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


def open_audio(section: Section) -> soundfile.SoundFile:
    """Open a file whose header promises no more than the file has.

    Parameters
    ----------
    section : Section

    Returns
    -------
    soundfile.SoundFile

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        As :func:`audio_info`.
    """
    n_bytes = _size(section.path)
    try:
        file = soundfile.SoundFile(section.path)
    except soundfile.LibsndfileError as error:
        raise _explain(section.path, error.error_string) from error
    except TypeError as error:  # of files without a header
        raise _explain(section.path, "raw samples have no header") from error
    if file.frames > _MOST_SAMPLES * n_bytes:
        file.close()
        raise ValueError(
            f"Audio file {section}: the header promises {file.frames} samples, which is more than "
            "the file can hold. It is damaged: copy it anew or leave it out."
        )
    missing = 0 if section.stop is not None else _missing_bytes(file.extra_info)
    if missing:
        file.close()
        raise ValueError(
            f"Audio file {section}: the header promises {missing} bytes more than the file has. "
            "The file is cut off: copy it anew, give the section that is there, or leave it out."
        )
    return file


def audio_info(section: Section) -> tuple[int, int]:
    """Read a file's header.

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
        If the file is missing, cannot be read as audio, or the section is not inside it.
        The message names the file.
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
        Of the length that the header promises.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        As :func:`audio_info`, and if samples are missing or are NaN or infinite.
    MemoryError
        If the samples do not fit into memory.
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
            if start:
                file.seek(start)
            data = file.read(stop - start, dtype="float32", always_2d=True)
        except soundfile.SoundFileRuntimeError as error:
            raise ValueError(f"Audio file {section}: cannot be decoded ({error}).") from error
        orig_sr = file.samplerate
    # lossy codecs round the length in the header; a file cut short lacks far more
    if len(data) < stop - start - orig_sr // 10 or len(data) == 0:
        raise ValueError(
            f"Audio file {section}: the header promises {stop - start} samples, but the data ends "
            f"after {len(data)}. The file is cut off: copy it anew or leave the clip out."
        )
    check_finite(data, f"Audio file {section}")
    return resample(_fit_length(data.T, stop - start), orig_sr, sample_rate)


def to_mono(waveform: np.ndarray) -> np.ndarray:
    """Centre each channel, average the channels, scale to a peak just below 1.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32

    Returns
    -------
    ndarray of shape (n_samples,), float32
        Divided by the largest magnitude plus 0.001, so that silence stays silence.

    Examples
    --------
    >>> import numpy as np
    >>> to_mono(np.array([[0.0, 2.0], [1.0, 1.0]], dtype=np.float32)).round(2)
    array([-1.,  1.], dtype=float32)
    """
    # channels as a file interleaves them are summed one sample after the other, and not by
    # halves: in float32, the mean of minutes would be off by its first digits
    dtype = np.float32 if len(waveform) == 1 else np.float64
    means = waveform.mean(axis=1, keepdims=True, dtype=dtype).astype(np.float32)
    centred = waveform - means
    mono = centred[0] if len(centred) == 1 else centred.mean(axis=0)
    mono /= max(mono.max(), -mono.min()) + np.float32(1e-3)
    return mono


def _size(path):
    """Give a file's size in bytes; refuse what is no file: opening a pipe would wait for ever."""
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise _explain(path, "") from error
    except OSError as error:
        raise _cannot_be_opened(path, error) from error
    except ValueError as error:
        raise ValueError(f"Audio file {path!r} cannot be opened: {error}.") from error
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ValueError(f"Audio file {path!r} is no regular file, but a pipe or a device.")
    return status.st_size


def _missing_bytes(log):
    """Count the bytes that a file lacks, by libsndfile's log of its header.

    Programs that write into a pipe promise the greatest size that there is, for want of a better
    one, and some count a few bytes too many.
    """
    sizes = [(int(promised), int(found)) for promised, found in _SIZES.findall(log)]
    missing = [promised - found for promised, found in sizes if promised < _UNKNOWN_SIZE]
    return max((n for n in missing if n > _FEW_BYTES), default=0)


def _explain(path, reason):
    """Turn libsndfile's "System error" into what is wrong with the file."""
    if not os.path.lexists(path):
        return FileNotFoundError(
            f"Audio file {path!r} does not exist. Check the path; relative paths in a database are "
            "resolved against the folder of its JSON file, others against the working directory."
        )
    if os.path.isdir(path):
        return IsADirectoryError(f"Audio file {path!r} is a directory. Give the files in it.")
    try:
        size = os.stat(path).st_size
        with open(path, "rb"):
            pass
    except OSError as error:
        return _cannot_be_opened(path, error)
    what = "is empty (0 bytes)" if size == 0 else f"cannot be read as audio ({reason})"
    return ValueError(
        f"Audio file {path!r} {what}. Allowed are the formats of libsndfile, among them WAV, FLAC, "
        "OGG, MP3 and AIFF; convert the file or leave the clip out."
    )


def _cannot_be_opened(path, error):
    return type(error)(f"Audio file {path!r} cannot be opened: {error.strerror}.")


def _bounds(section, n_samples):
    start = section.start or 0
    stop = n_samples if section.stop is None else section.stop
    if n_samples == 0:
        raise ValueError(f"Audio file {section}: has no samples. Leave the clip out.")
    if not 0 <= start < stop <= n_samples:
        raise ValueError(
            f"Audio file {section}: the section is not inside the file, which has {n_samples} "
            "samples. Needed is 0 <= start < stop <= number of samples, at the file's own rate."
        )
    return start, stop


def check_finite(data, name):
    """Refuse NaN and inf in data of shape (n_samples, n_channels)."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(data.sum()):
            return
    bad = np.flatnonzero(~np.isfinite(data).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name}: sample {bad[0]} is NaN or infinite ({len(bad)} such samples in all). "
            "Samples must be finite: repair the audio or leave the clip out."
        )


def _fit_length(waveform, n_samples):
    """Cut or zero-pad (n_channels, n) to n_samples."""
    missing = n_samples - waveform.shape[1]
    if missing > 0:
        return np.pad(waveform, ((0, 0), (0, missing)))
    return waveform[:, :n_samples]
