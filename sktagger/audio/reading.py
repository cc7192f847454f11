"""Read audio files as float32 waveforms.

The functions for waveforms in memory, such as :func:`resample` and :func:`to_mono`, are also here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import soundfile

from sktagger._utils.warnings import warn
from sktagger.audio._contents import file_contents
from sktagger.audio._files import MemoryFile, file_version, open_bytes, why_unreadable
from sktagger.audio._parts import Contents, JoinedFile, Part, Recording, read_samples
from sktagger.audio._waveforms import (
    channels_cancel,
    check_finite,
    is_lost,
    resample,
    resampled_length,
    to_mono,
)

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
