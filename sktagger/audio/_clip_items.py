"""One item of X, whatever its form -> a section of a file, a waveform, or a gap."""

import io
import operator
import os
import reprlib
from collections.abc import Mapping
from numbers import Number
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile

from sktagger.audio.clips import Gap
from sktagger.audio.reading import MemoryFile, Section

# names of the column, or key, of paths in tables and records
PATH_NAMES = ("path", "audio_path", "file_path", "filepath", "filename", "file")
_SAMPLES_NAMES = ("array", "waveform", "raw")
_RATE_NAMES = ("sampling_rate", "sample_rate")
MAX_CHANNELS = 32
_MIN_RATE = 1000  # a pair of an array and a lower number is rather a clip and its label
_MAX_PATH = 4096


class Waveform(NamedTuple):
    """A clip in memory.

    Parameters
    ----------
    samples : ndarray of shape (n_samples,) or (n_channels, n_samples)
        Floats or signed integers.
    rate : int or None, default=None
        Sample rate in Hz. None: that of whoever asks.
    shape : tuple of int, default=()
        As the array came, which may have been (n_samples, n_channels).
    """

    samples: np.ndarray
    rate: int | None = None
    shape: tuple = ()


def read_item(clip, where: str) -> Section | Waveform | Gap:
    """Tell what a clip is.

    Parameters
    ----------
    clip : object
        A path, an open binary file or the bytes of one, a section (path, start, stop), an array,
        a pair of an array and its sample rate, or a dict of one of these.
    where : str
        Name of the clip in messages, such as "X: clip 3".

    Returns
    -------
    Section, Waveform or Gap

    Raises
    ------
    TypeError, ValueError
        If it is none of these.
    """
    if hasattr(clip, "as_py"):  # a scalar of pyarrow
        clip = clip.as_py()
    if isinstance(clip, Mapping):
        clip = _from_mapping(clip, where)
    if is_missing(clip):
        return _gap(clip, where)
    if is_file(clip):
        return _section((clip,), where)
    if _is_section(clip):
        return _section(clip, where)
    pair = split_rate(clip)
    if pair is not None:
        samples, rate = pair
        return _waveform(samples, where, _check_rate(rate, where))
    return _waveform(clip, where)


def is_missing(value) -> bool:
    """Say whether a value stands for none: None, NaN, NA, NaT, or an empty text."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str | bytes):
        return not value
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def is_number(value) -> bool:
    """Say whether a value is a single number, also as an array or tensor without axes."""
    if isinstance(value, Number | np.generic):
        return isinstance(value, Number | np.bool_)
    return hasattr(value, "__array__") and getattr(value, "ndim", None) == 0


def is_file(value) -> bool:
    """Say whether a value is a path, a file in memory, or an open file."""
    paths = str | bytes | bytearray | memoryview | os.PathLike | MemoryFile | soundfile.SoundFile
    return isinstance(value, paths) or hasattr(value, "read")


def split_rate(clip):
    """Give the array and the rate of ``(array, rate)`` or ``(rate, array)``, or None."""
    if isinstance(clip, tuple | list) and len(clip) == 2:
        for samples, rate in (clip, clip[::-1]):
            holds_samples = hasattr(samples, "__array__") or isinstance(samples, list)
            if holds_samples and not is_number(samples) and is_number(rate):
                return None if is_missing(rate) else (samples, rate)
    return None


def as_array(values) -> np.ndarray:
    """Make an array of anything that holds numbers, tensors of any device and type among them."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError("a masked array, whose gaps must be filled first")
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    return np.asarray(values)


def check_samples_type(dtype, where: str) -> None:
    """Refuse samples whose type does not say what they mean."""
    if dtype.kind in "fi":
        return
    advice = "Convert them to floats in [-1, 1]."
    if dtype.kind == "c":
        advice = "Complex data not supported: give the waveform, not its spectrum."
    elif dtype == np.uint8:
        advice = "Zero is 128 in WAV files of 8 bits: give (x.astype('float32') - 128) / 128."
    raise ValueError(
        f"{where} has samples of type {dtype}, but they must be floats or signed integers. {advice}"
    )


def short(value) -> str:
    """Show a value in a message, whatever its size."""
    text = " ".join(_REPR.repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


class _Repr(reprlib.Repr):
    def repr_instance(self, value, level):
        if getattr(value, "shape", ()):
            return f"<{type(value).__name__} of shape {tuple(value.shape)}>"
        return super().repr_instance(value, level)


_REPR = _Repr()
_REPR.maxstring = _REPR.maxother = 60


def _gap(clip, where):
    return Gap(
        f"{where} is {clip!r}, but a clip must be a path, a section (path, start, stop), or an "
        "array of samples.",
        ValueError if isinstance(clip, str | bytes) else TypeError,
    )


def _no_clip(clip, where):
    return TypeError(
        f"{where} is {short(clip)} of type {type(clip).__name__}, but a clip must be a path, a "
        "section (path, start, stop), or an array of samples."
    )


def _from_mapping(clip, where):
    """Give the clip of a record: of Hugging Face's datasets, pyannote, or a table of sections."""
    keys = set(clip)
    rates = [key for key in _RATE_NAMES if key in keys]
    samples = [key for key in _SAMPLES_NAMES if key in keys and clip[key] is not None]
    if len(samples) == 1 and len(rates) == 1:
        return clip[samples[0]], clip[rates[0]]
    if keys in ({"bytes"}, {"bytes", "path"}) and clip["bytes"] is not None:
        name = clip.get("path")
        return MemoryFile(bytes(clip["bytes"]), repr(name) if name else f"<{where}>")
    paths = [key for key in PATH_NAMES if key in keys]
    if len(paths) == 1 and keys <= {*paths, "start", "stop", "bytes"}:
        return Section(clip[paths[0]], clip.get("start"), clip.get("stop"))
    raise TypeError(
        f"{where} is {short(clip)} of type {type(clip).__name__}, but a dict must have the keys "
        "'array' and 'sampling_rate', or 'bytes' and 'path', or 'path', 'start' and 'stop'."
    )


def _is_section(clip):
    if not isinstance(clip, tuple | list) or not clip:
        return False
    is_gap = is_missing(clip[0]) and len(clip) in (1, 3)
    return isinstance(clip, Section) or is_file(clip[0]) or is_gap


def _section(clip, where):
    path, *bounds = clip
    if is_missing(path):
        return _gap(path, where)
    try:
        start, stop = [None if is_missing(b) else _whole(b) for b in bounds] or (None, None)
    except (TypeError, ValueError):
        raise ValueError(
            f"{where} is {short(clip)}, but a section must be (path, start, stop) with start and "
            "stop integers (samples at the file's own rate) or None. Multiply seconds by the rate."
        ) from None
    path = _path(path, where)
    return path if isinstance(path, Gap) else Section(path, start, stop)


def _whole(number):
    """Give an int; numbers of a column with gaps are floats."""
    if isinstance(number, bool | np.bool_):
        raise TypeError("a bool")
    if isinstance(number, float | np.floating) and number.is_integer():
        return int(number)
    return operator.index(number)


def _path(path, where):
    if isinstance(path, MemoryFile):
        return path
    if isinstance(path, soundfile.SoundFile):
        return _path(path.name, where)
    if hasattr(path, "read"):
        return _read_open_file(path, where)
    if isinstance(path, bytearray | memoryview) or (
        isinstance(path, bytes) and (len(path) > _MAX_PATH or b"\0" in path)
    ):
        return MemoryFile(bytes(path), f"<{where}>")
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(
            f"{where} has {short(path)} of type {type(path).__name__} in place of a path."
        )
    path = str(os.fsdecode(path))
    if len(path) > _MAX_PATH:
        raise ValueError(
            f"{where} is {short(path)}, a text of {len(path)} characters, but must be a path."
        )
    return path


def _read_open_file(file, where):
    """Read all of an open file, which stands anywhere, and may be read again."""
    advice = "but must be open for reading as binary: open(path, 'rb')."
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{where} is a file opened as text, {advice}")
    try:
        position = file.tell() if hasattr(file, "seek") else None
        if position:
            file.seek(0)
        content = file.read()
        if position is not None:
            file.seek(position)
    except (OSError, ValueError) as error:
        return Gap(f"{where} is an open file that cannot be read ({error}), {advice}")
    if not isinstance(content, bytes):
        raise TypeError(f"{where} is a file that gives {type(content).__name__}, {advice}")
    name = getattr(file, "name", None)
    return MemoryFile(content, repr(name) if name and isinstance(name, str) else f"<{where}>")


def _check_rate(rate, where):
    try:
        whole = _whole(rate)
    except TypeError:
        whole = 0
    if whole < _MIN_RATE:
        raise ValueError(
            f"{where} is a pair of an array and {short(rate)}, but beside an array there must be "
            f"its sample rate: an integer in Hz, at least {_MIN_RATE}. Give the array alone if it "
            "has the sample_rate of the tagger."
        )
    return whole


def _waveform(clip, where, rate=None):
    if not (hasattr(clip, "__array__") or isinstance(clip, tuple | list)) or is_number(clip):
        raise _no_clip(clip, where)
    try:
        samples = as_array(clip)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where} is {short(clip)} of type {type(clip).__name__}, which makes no array of "
            f"samples ({str(error)[:100]})."
        ) from None
    if samples.dtype.kind in "fiubc" and (samples.ndim not in (1, 2) or samples.size == 0):
        raise ValueError(
            f"{where} is an array of shape {samples.shape} and type {samples.dtype}, but a "
            "waveform must be (n_samples,) or (n_channels, n_samples), not empty."
        )
    if samples.dtype.kind not in "fiubc" and isinstance(clip, tuple | list):
        raise _no_clip(clip, where)
    check_samples_type(samples.dtype, where)
    shape = samples.shape
    return Waveform(samples.T if has_channels_last(shape, where) else samples, rate, shape)


def has_channels_last(shape: tuple, where: str) -> bool:
    """Say whether a waveform is (n_samples, n_channels), as soundfile and SciPy read it.

    Channels are the axis of at most 32, samples the one of more than 32, or that which is not 1.

    Parameters
    ----------
    shape : tuple of int
    where : str

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If either axis could hold the channels, or none.
    """
    if len(shape) == 1 or shape[0] == 1:
        return False
    first, last = (n <= MAX_CHANNELS for n in shape)
    if shape[1] != 1 and first == last:
        raise ValueError(
            f"{where} is an array of shape {shape}, but in (n_channels, n_samples) there must be "
            f"at most {MAX_CHANNELS} channels and more samples than that. Give a mono waveform "
            "as (n_samples,)."
        )
    return shape[1] == 1 or last
