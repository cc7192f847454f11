"""Read audio files as float32 waveforms, resample them and mix them down to mono."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from sktagger._utils.warnings import warn
from sktagger.audio._contents import file_contents
from sktagger.audio._files import MemoryFile, file_version, open_bytes, why_unreadable
from sktagger.audio._parts import Contents, JoinedFile, Part, Recording, read_samples

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

# Messages in libsndfile's log about missing bytes or samples, for formats not examined here.
_SIZES = re.compile(r"(?:FORM|BODY|Data length) *:? (\d+) \(?should be (\d+)")
_FRAMES = re.compile(r"^ *Frames *: (\d+)$", re.MULTILINE)
_TRUNCATED = re.compile("truncated")
_NIST_SAMPLES = re.compile(rb"sample_count -i (\d+)")
_SILENCE = 1e-3  # magnitude
_MAX_SAMPLES_PER_BYTE = 10_000  # FLAC stores 65,535 equal samples in about 11 bytes


class Section(NamedTuple):
    """Section of an audio file.

    Parameters
    ----------
    path : str or MemoryFile
        The file.
    start : int or None, default=None
        First sample, at the sample rate of the file. None: the beginning of the file.
    stop : int or None, default=None
        Sample after the last one, at the sample rate of the file. None: the end of the file.

    Examples
    --------
    >>> Section("night.wav", 0, 160000)
    Section(path='night.wav', start=0, stop=160000)
    >>> print(Section("night.wav", 160000))
    'night.wav' (samples 160000 to the end)
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
    """Return the number of samples after resampling.

    Parameters
    ----------
    n_samples : int
        Number of samples before.
    orig_sr, target_sr : int
        Sample rates before and after, in Hz.

    Returns
    -------
    int
        ``n_samples * target_sr / orig_sr``, rounded up.

    Examples
    --------
    >>> resampled_length(1000, 8000, 44100)
    5513
    """
    return math.ceil(n_samples * target_sr / orig_sr)


def resample(waveform: np.ndarray, orig_sr: int, target_sr: int) -> np.ndarray:
    """Change the sample rate, with soxr at high quality.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
        Waveform at the rate `orig_sr`.
    orig_sr, target_sr : int
        Sample rates before and after, in Hz.

    Returns
    -------
    ndarray of shape (n_channels, ceil(n_samples * target_sr / orig_sr)), float32
        The waveform itself if the rates are equal.
    """
    if orig_sr == target_sr:
        return waveform
    n_samples = resampled_length(waveform.shape[1], orig_sr, target_sr)
    resampled = soxr.resample(waveform.T, orig_sr, target_sr, quality="HQ").T
    return _fit_length(resampled, n_samples)


def open_audio(section: Section) -> Recording | JoinedFile:
    """Open a file with its true length, even if the header states another one.

    Parameters
    ----------
    section : Section
        The file, and the section of it that is needed.

    Returns
    -------
    Recording or JoinedFile
        Has `frames`, `samplerate`, `channels`, `seek`, `read` and `close`.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        See :func:`audio_info`.

    Warns
    -----
    UserWarning
        If a part of the file is not read or may be lost.
    """
    path = section.path
    version = file_version(path)
    try:
        contents = file_contents(path, version)
        file = _open(path, () if contents is None else contents.parts)
    except soundfile.LibsndfileError as error:
        raise why_unreadable(path, error.error_string) from error
    except TypeError as error:  # raised for files without a header
        raise why_unreadable(path, "raw samples have no header") from error
    except OSError as error:
        raise why_unreadable(path, str(error)) from error
    try:
        _check(section, file, contents, version.n_bytes)
    except BaseException:
        file.close()
        raise
    return file


def _open(path: str | MemoryFile, parts: tuple[Part, ...]) -> Recording | JoinedFile:
    if parts:
        try:
            return JoinedFile(path, parts)
        except ValueError as error:
            raise ValueError(f"Audio file {path!r} cannot be read: {error}.") from error
    return Recording(open_bytes(path) if isinstance(path, MemoryFile) else path)


def audio_info(section: Section) -> tuple[int, int]:
    """Return the length and the sample rate of a file or of a section of it.

    The length comes from the header. If the header may be wrong, as in MP3 files, it comes from
    the content of the file.

    Parameters
    ----------
    section : Section
        The file, or a section of it.

    Returns
    -------
    n_samples : int
        Length of the section in samples, at the sample rate of the file.
    sample_rate : int
        Sample rate of the file in Hz.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        If the file is missing, cannot be read as audio or is cut off, or if the section is not
        inside the file. The message names the file.

    Warns
    -----
    UserWarning
        If a part of the file is not read or may be lost.

    See Also
    --------
    read_audio : Read the samples.

    Examples
    --------
    >>> import io, numpy as np, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros(8000), 16000, format="WAV")
    >>> audio_info(Section(MemoryFile(file.getvalue()), 2000, None))
    (6000, 16000)
    """
    with open_audio(section) as file:
        start, stop = _bounds(section, file.frames)
        return stop - start, file.samplerate


def read_audio(section: Section, sample_rate: int) -> np.ndarray:
    """Read a file, or only a section of it, at a given sample rate.

    Parameters
    ----------
    section : Section
        The file, or a section of it.
    sample_rate : int
        Sample rate of the result in Hz. Audio of another rate is resampled.

    Returns
    -------
    ndarray of shape (n_channels, n_samples), float32
        The samples, in [-1, 1] for most formats. Files with float samples may exceed this range.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError, ValueError
        See :func:`audio_info`. Also if samples are missing, NaN or infinite.
    MemoryError
        If the samples do not fit into memory.

    Warns
    -----
    UserWarning
        If a part of the file is not read or may be lost.

    See Also
    --------
    audio_info : Return length and sample rate without reading the samples.

    Examples
    --------
    >>> import io, numpy as np, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros((8000, 2)), 16000, format="WAV")
    >>> read_audio(Section(MemoryFile(file.getvalue())), 44100).shape
    (2, 22050)
    """
    try:
        return _read(section, sample_rate)
    except MemoryError as error:
        raise MemoryError(
            f"Audio file {section}: does not fit into memory ({error}). Read it in sections."
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
    """Return the error of a file whose samples cannot be decoded.

    Parameters
    ----------
    section : Section
        The file, for the message.
    error : Exception
        The error of the decoder.

    Returns
    -------
    ValueError
    """
    return ValueError(
        f"Audio file {section}: cannot be decoded ({str(error).strip(' .')}). It is cut off or "
        "damaged: copy the file again or leave the clip out."
    )


def check_complete(section: Section, n_samples: int, n_decoded: int) -> None:
    """Raise a ValueError if fewer samples were decoded than the header promises.

    Parameters
    ----------
    section : Section
        The file, for the message.
    n_samples : int
        Number of samples per channel according to the header.
    n_decoded : int
        Number of decoded samples per channel.
    """
    if n_decoded < n_samples:
        raise ValueError(
            f"Audio file {section}: the header promises {n_samples} samples, but the data ends "
            f"after {n_decoded}. It is cut off or damaged: copy the file again or leave the clip "
            "out."
        )


def to_mono(waveform: np.ndarray, scale: str = "peak") -> np.ndarray:
    """Average the channels of a waveform, and scale it.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
    scale : {"peak", "raw"}, default="peak"
        "peak": each channel is centered, and the average is divided by its maximum magnitude plus
        0.001. Its peak is then just below 1, and silence stays silent. "raw": neither.

    Returns
    -------
    ndarray of shape (n_samples,), float32

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
    # The channels of files are interleaved, so that NumPy sums a channel sequentially instead of
    # pairwise. In float32, the mean over minutes would then be wrong in its first digits.
    dtype = np.float32 if len(waveform) == 1 else np.float64
    means = waveform.mean(axis=1, keepdims=True, dtype=dtype).astype(np.float32)
    centered = waveform - means
    mono = centered[0] if len(centered) == 1 else centered.mean(axis=0)
    mono /= max(mono.max(), -mono.min()) + np.float32(_SILENCE)
    return mono


def channels_cancel(waveform: np.ndarray) -> bool:
    """Return whether the channels cancel in their average, as with opposite polarity.

    Parameters
    ----------
    waveform : ndarray of shape (n_channels, n_samples), float32
        Channels with or without an offset.

    Returns
    -------
    bool
        True if the average is more than 40 dB below the channels and they are not silent.

    Examples
    --------
    >>> import numpy as np
    >>> channel = np.array([0.0, 0.5, -0.5], dtype=np.float32)
    >>> channels_cancel(np.stack([channel, -channel]))
    True
    """
    if len(waveform) == 1:
        return False
    centered = waveform - waveform.mean(axis=1, keepdims=True)
    mono = centered.mean(axis=0)
    return is_lost(np.vdot(centered, centered) / centered.size, np.vdot(mono, mono) / mono.size)


def is_lost(power: float, power_of_mono: float) -> bool:
    """Return whether channels cancel, see :func:`channels_cancel`.

    Parameters
    ----------
    power : float
        Mean square of all channels.
    power_of_mono : float
        Mean square of their average.

    Returns
    -------
    bool
    """
    return bool(power > _SILENCE**2 and power_of_mono < 1e-4 * power)


def _check(section, file, contents, n_bytes):
    """Raise an error or warn if a file does not contain what its header promises."""
    if file.frames > _MAX_SAMPLES_PER_BYTE * n_bytes:
        raise ValueError(
            f"Audio file {section}: the header promises {file.frames} samples, which is more than "
            "the file can hold. It is damaged: copy the file again or leave the clip out."
        )
    if contents is None:
        contents = _contents_by_log(section.path, file)
    if contents.missing and section.stop is None:
        raise ValueError(
            f"Audio file {section}: the header promises {contents.missing}. "
            "The file is cut off: copy it again, give a section that ends earlier, or leave the "
            "clip out."
        )
    if file.frames == 0:
        reason = f": {contents.doubt}" * bool(contents.doubt)
        raise ValueError(f"Audio file {section}: has no samples{reason}. Leave the clip out.")
    if contents.doubt:
        warn(f"Audio file {section}: {contents.doubt}.")


def _contents_by_log(path, file):
    """Find out what is missing in a file from libsndfile's log of its header."""
    log = file.extra_info
    if sizes := _SIZES.search(log):
        n_missing = int(sizes[1]) - int(sizes[2])
        return Contents(missing=f"{n_missing} bytes more than the file has" * (n_missing > 0))
    # The log of SDS files also counts the padding of the last packet.
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
            "samples. Give 0 <= start < stop <= number of samples, at the sample rate of the file."
        )
    return start, stop


def check_finite(data: np.ndarray, name: str, *, first: int | None = None) -> None:
    """Raise a ValueError if samples are NaN or infinite.

    Parameters
    ----------
    data : ndarray of shape (n_samples, n_channels), float
        All samples of a clip, or a block of them.
    name : str
        Name of the clip in the message.
    first : int or None, default=None
        Position of the block in the clip, in samples. None: the data are the whole clip.
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
    """Cut or zero-pad a waveform of shape (n_channels, n) to `n_samples`."""
    missing = n_samples - waveform.shape[1]
    if missing > 0:
        return np.pad(waveform, ((0, 0), (0, missing)))
    return waveform[:, :n_samples]
